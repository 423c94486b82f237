"""The recipe for AWD-LSTM's own figure on Penn Treebank, for a GPU and hours.

Three layers of 1,150, 1,150 and 400 cells, tied, with the dropout, the regularization and the plain
stochastic gradient descent of Merity, Keskar and Socher (2018), arXiv:1708.02182, section 5, as the
command in their code's README has them. Fine-tuning is left out. Where the paper averages the
weights from the step on at which the validation part no longer improves, ours are averaged
exponentially all along, over about the last two passes.

    test_perplexity         the paper has 58.8, fine-tuned 56.5
    minutes                 of training
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
    "batch_size": 20,
    "average": 0.9992,
    "schedule": "linear",
    "warmup": 0.0,
}


PASSES = 500


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits for the given passes and scores the test part once."""
    if not arguments.quick and not torch.cuda.is_available():
        print("This recipe takes a GPU; penn_treebank.py has what a CPU can do.")
        raise SystemExit(0)
    folder = data_path("ptb")
    small = {"hidden_size": 16, "embedding_size": 16} if arguments.quick else {}
    budget: dict[str, Any] = (
        {"max_steps": 3} if arguments.quick else {"max_epochs": arguments.epochs}
    )
    model = LanguageModel(holdout=0.0, **{**OPTIONS, **small})
    text = (folder / "ptb.train.txt").read_text(encoding="utf-8")
    model.fit(
        [text[: 50_000 if arguments.quick else None]],
        valid=folder / "ptb.valid.txt",
        run=RunOptions(**budget, **RUN, progress="plain", log_every=1000),
    )
    part = "valid" if arguments.quick else "test"
    report = model.evaluate(folder / f"ptb.{part}.txt")
    minutes = model.history.records[-1].elapsed / 60
    columns = ["passes", "minutes", f"{part} perplexity"]
    rows: list[list[str | float | int]] = [[arguments.epochs, minutes, report.perplexity]]
    return Outcome(
        results={"test_perplexity": round(report.perplexity, 2), "minutes": round(minutes, 1)},
        columns=columns,
        rows=rows,
        tables=[Table(title="Penn Treebank, word by word", columns=columns, rows=rows)],
        partial=arguments.epochs != PASSES,
    )


if __name__ == "__main__":
    run(
        measure,
        options={
            "--epochs": {"type": int, "default": PASSES, "help": "passes over the training part"}
        },
    )
