"""Penn Treebank, word by word: test perplexity of a model trained on this machine.

Mikolov's preparation: 10,000 types, a token for each line end, every token counted once and the
state carried from line to line. The validation part chose the options and the weights; the test
part is scored once. ``--fit FOLDER`` only trains, and goes on where it was interrupted (the minutes
are those of training); ``--validation`` with ``--model FOLDER`` only scores the validation part,
and ``--model FOLDER`` scores a model that was trained so.

    test_perplexity             Zaremba et al. (2014): medium 82.7, large 78.4
    test_perplexity_adaptive    the same model with dynamic evaluation and the cache
    validation_perplexity       of the weights that were kept
    minutes                     of training, in bf16 unless --precision says otherwise
    perplexity_5_gram           interpolated modified Kneser-Ney, same tokens
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from _harness import Outcome, Table, data_path, run
from carousel.tasks.language_modeling import LanguageModel
from carousel.training import RunOptions

OPTIONS: dict[str, Any] = {"tokenizer": "words"}
MINUTES = 65.0
# Chosen on the first 400 lines of the validation part.
ADAPTATION: dict[str, Any] = {
    "dynamic": True,
    "dynamic_rate": 6e-5,
    "dynamic_decay": 0.002,
    "dynamic_steps": 20,
    "cache": True,
    "cache_size": 2000,
    "cache_flatness": 0.5,
    "cache_weight": 0.1,
}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits once; scores validation and test part once each, as trained and adapting."""
    folder = data_path("ptb")
    part = {name: folder / f"ptb.{name}.txt" for name in ("train", "valid", "test")}
    if arguments.model:
        model = LanguageModel.load(arguments.model)
    else:
        budget: Any = {"max_steps": 20} if arguments.quick else {"max_minutes": arguments.minutes}
        model = LanguageModel(holdout=0.0, **OPTIONS)
        kept: dict[str, Any] = {}
        if arguments.fit:
            kept = {"checkpoint": f"{arguments.fit}.run", "resume": True}
        run_options = RunOptions(
            **budget,
            **kept,
            seed=arguments.seed,
            precision=arguments.precision,
            progress="plain",
            log_every=1000,
            validate_every=1000,
        )
        model.fit(part["train"], valid=part["valid"], run=run_options)
        if arguments.fit:
            model.save(arguments.fit, force=True)
    minutes = model.history.records[-1].elapsed / 60
    rows: list[Sequence[str | float]] = []
    found = {}
    without_test = arguments.quick or arguments.fit or arguments.validation
    for name in ["valid"] if without_test else ["valid", "test"]:
        text = part[name].read_text(encoding="utf-8")[: 20_000 if arguments.quick else None]
        plain = model.evaluate([text])
        found[name] = plain.perplexity
        adaptive: str | float = "not run"
        if name == "test" or without_test:  # it takes a quarter of an hour
            adaptive = found["adaptive"] = model.evaluate([text], **ADAPTATION).perplexity
        baselines = [score.perplexity for score in list(plain.scores.values())[1:]]
        rows.append([name, plain.perplexity, adaptive, *baselines])
    columns = ["part", "this model", "adapting", "5-gram", "unigram"]
    tables = [Table(title="Perplexity of a word", columns=columns, rows=rows)]
    if "test" not in found:
        return Outcome(results={}, columns=columns, rows=rows, tables=tables, partial=True)
    assert plain.model.tokens == 82_430, "a token of the test part is missing or counted twice"
    return Outcome(
        results={
            "test_perplexity": round(found["test"], 2),
            "test_perplexity_adaptive": round(found["adaptive"], 2),
            "validation_perplexity": round(found["valid"], 2),
            "minutes": round(minutes, 1),
            "perplexity_5_gram": round(plain.scores["5-gram"].perplexity, 2),
        },
        columns=columns,
        rows=rows,
        tables=tables,
    )


OWN: dict[str, dict[str, Any]] = {
    "--minutes": {"type": float, "default": MINUTES, "help": "of training"},
    "--precision": {
        "choices": ["fp32", "bf16"],
        "default": "bf16",
        "help": "of training; bf16 wants a processor with AVX-512",
    },
    "--seed": {"type": int, "default": 0, "help": "of the run"},
    "--fit": {"metavar": "FOLDER", "help": "train, keep the model there, and write nothing else"},
    "--model": {"metavar": "FOLDER", "help": "a model that --fit kept, in place of training"},
    "--validation": {"action": "store_true", "help": "leave the test part; writes nothing"},
}

if __name__ == "__main__":
    run(measure, options=OWN)
