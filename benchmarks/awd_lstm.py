"""The recipe for AWD-LSTM's own figure on Penn Treebank, for a GPU and hours.

The paper's figure took more than 500 passes over the training part. ``--minutes`` gives the recipe
so much time in place of passes, and the step size falls to 0 in that time: ``passes`` says what it
came to. In less than 5 minutes, or with fewer ``--epochs``, nothing is written.

Three layers of 1,150, 1,150 and 400 cells, tied, with the dropout, the regularization and the plain
stochastic gradient descent of Merity, Keskar and Socher (2018), arXiv:1708.02182, section 5, as the
command in their code's README has them. Fine-tuning is left out. Where the paper averages the
weights from the step on at which the validation part no longer improves, ours are averaged
exponentially all along, over about the last two passes, with whatever ``--batch-size``. The
validation part, read after every fifth pass and at the end, chooses among these averages; the test
part is scored once.

    test_perplexity         the paper has 58.8, fine-tuned 56.5
    validation_perplexity   of the same weights; its authors' code has 61.2, fine-tuned 58.8
    minutes                 of training, validation included
    passes                  over the training part
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from _harness import Outcome, Table, data_path, run
from carousel.tasks.language_modeling import LanguageModel
from carousel.training import RunOptions

OPTIONS: dict[str, Any] = {
    "tokenizer": "words",
    "embedding_size": 400,
    "hidden_size": 1150,
    "num_layers": 3,
    "tied": True,
    "softmax": "full",
    "embedding_dropout": 0.1,
    "input_dropout": 0.4,
    "hidden_dropout": 0.25,
    "output_dropout": 0.4,
    "weight_dropout": 0.5,
    "activation_regularization": 2.0,
    "temporal_activation_regularization": 1.0,
    "bptt": 70,
}
RUN: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 30.0,
    "momentum": 0.0,
    "weight_decay": 1.2e-6,
    "clip_norm": 0.25,
    "schedule": "linear",
    "warmup": 0.0,
}
PASSES = 500
LEAST_MINUTES = 5.0  # less says nothing of a recipe that is for hours
BATCH_SIZE = 20
AVERAGE = 0.9992  # 1,250 steps, of which a pass has about 680 at that batch size
VALIDATED = 5  # passes; reading the validation part takes about a quarter of a pass's time


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits for the given passes or minutes, and scores the test part once."""
    if not arguments.quick and not torch.cuda.is_available():
        print("This recipe takes a GPU; penn_treebank.py has what a CPU can do.")
        raise SystemExit(0)
    folder = data_path("ptb")
    small = {"hidden_size": 16, "embedding_size": 16} if arguments.quick else {}
    text = (folder / "ptb.train.txt").read_text(encoding="utf-8")
    text = text[: 50_000 if arguments.quick else None]
    # Lines end in a token of their own; segments are a little shorter than bptt in the mean.
    tokens = len(text.split()) + text.count("\n")
    steps = tokens / arguments.batch_size / (0.97 * OPTIONS["bptt"])
    model = LanguageModel(holdout=0.0, **{**OPTIONS, **small})
    model.fit(
        [text],
        valid=folder / "ptb.valid.txt",
        run=RunOptions(
            **_budget(arguments),
            **RUN,
            batch_size=arguments.batch_size,
            average=1 - (1 - AVERAGE) * arguments.batch_size / BATCH_SIZE,
            validate_every=max(1, round(VALIDATED * steps)),
            progress="plain",
            log_every=200,
        ),
    ).to("auto")
    last = model.history.records[-1]
    rows: list[list[str | float | int]] = []
    found = {}
    for part in ("valid",) if arguments.quick else ("valid", "test"):
        found[part] = model.evaluate(folder / f"ptb.{part}.txt").perplexity
        rows.append([part, round(found[part], 2)])
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
    passes, minutes = round(last.step / steps, 1), round(last.elapsed / 60, 1)
    columns = ["part", "perplexity"]
    facts: list[str | float | int] = [where, arguments.batch_size, passes, minutes]
    run_columns = ["trained on", "batch size", "passes", "minutes"]
    results = {"passes": passes, "minutes": minutes}
    if "test" in found:
        results["test_perplexity"] = round(found["test"], 2)
    results["validation_perplexity"] = round(found["valid"], 2)
    return Outcome(
        results=results,
        columns=columns,
        rows=rows,
        tables=[
            Table(title="The run", columns=run_columns, rows=[facts]),
            Table(title="Penn Treebank, word by word", columns=columns, rows=rows),
        ],
        partial=_is_partial(arguments),
    )


def _budget(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.quick:
        return {"max_steps": 3}
    given = {"max_minutes": arguments.minutes, "max_epochs": arguments.epochs}
    found = {name: value for name, value in given.items() if value is not None}
    return found or {"max_epochs": PASSES}


def _is_partial(arguments: argparse.Namespace) -> bool:
    """Returns whether a run is too short to say something of the recipe."""
    if arguments.epochs is not None and arguments.epochs < PASSES:
        return True
    return arguments.minutes is not None and arguments.minutes < LEAST_MINUTES


OWN: dict[str, dict[str, Any]] = {
    "--epochs": {
        "type": int,
        "help": f"passes over the training part; default: {PASSES}, or as many as --minutes has",
    },
    "--minutes": {"type": float, "help": "time for training, which the schedule knows"},
    "--batch-size": {"type": int, "default": BATCH_SIZE, "help": "columns that are read together"},
}

if __name__ == "__main__":
    run(measure, options=OWN)
