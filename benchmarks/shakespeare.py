"""Tiny Shakespeare, character by character: nats on the last 10 % after 3 and after 20 minutes.

The first 90 % are trained on; the last 10 %, which nanoGPT calls validation, are scored once by
what a budget of minutes gives, every character once, the state carried. Options were chosen on
characters from 80 to 90 %, by models of the first 80 % (``--validation`` runs that). In the model
of 20 minutes the 7-gram of its own training text has a share (``ngram_weight``). ``--minutes``
measures one of the two, and leaves what the record has of the other as it is.

    nats_3_minutes, nats_20_minutes   per character; nanoGPT's 10.7M-parameter transformer has 1.47
                                      on a GPU, its CPU recipe 1.886
    nats_20_minutes_network           of the same model's network alone
    nats_7_gram                       of the interpolated Kneser-Ney model of the same text
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from _harness import Outcome, Table, data_path, run
from carousel.tasks.language_modeling import LanguageModel
from carousel.training import RunOptions

# The first is what a user gets who gives no option but the minutes.
OPTIONS: Mapping[int, tuple[dict[str, Any], dict[str, Any]]] = {
    3: ({}, {}),
    20: (
        {
            "hidden_size": 768,
            "input_dropout": 0.1,
            "output_dropout": 0.3,
            "weight_dropout": 0.2,
            "ngram_weight": 0.24,
        },
        {"learning_rate": 4e-3, "batch_size": 32},
    ),
}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits once for each budget and scores each model once."""
    text = data_path("shakespeare").read_text(encoding="utf-8")
    if arguments.validation:
        text = text[: int(len(text) * 0.9)]
    share = 1 / 9 if arguments.validation else 0.1
    results: dict[str, float] = {}
    rows: list[list[str | float | int]] = []
    for minutes in [arguments.minutes] if arguments.minutes else OPTIONS:
        options, training = OPTIONS[minutes]
        begin = time.perf_counter()
        model = LanguageModel(validation=0.0, holdout=share, **options)
        budget = 0.05 if arguments.quick else float(minutes)
        model.fit(
            [text],
            run=RunOptions(max_minutes=budget, progress="plain", log_every=2000, **training),
        )
        seconds = time.perf_counter() - begin
        report = model.evaluate([text])
        name = f"nats_{minutes}_minutes"
        results[name] = round(report.model.nats_per_character, 4)
        alone = report.network or report.model
        if options.get("ngram_weight"):
            results[f"{name}_network"] = round(alone.nats_per_character, 4)
        results["nats_7_gram"] = round(report.scores["7-gram"].nats_per_character, 4)
        steps = model.history.records[-1].step
        found = [results[name], alone.nats_per_character]
        rows.append([f"{minutes} minutes", *found, steps, seconds])
    rows.append(["7-gram, Kneser-Ney", results["nats_7_gram"], "", 0, 0.0])
    columns = [
        "trained for",
        "nats per character",
        "of the network alone",
        "steps",
        "seconds of fitting in all",
    ]
    return Outcome(
        results=results,
        columns=columns,
        rows=rows,
        tables=[Table(title="Nats per character of the last 10 %", columns=columns, rows=rows)],
        partial=arguments.validation,
        part=arguments.minutes is not None,
    )


OWN: dict[str, dict[str, Any]] = {
    "--validation": {
        "action": "store_true",
        "help": "train on 80 %% and score the next 10 %% instead; writes nothing",
    },
    "--minutes": {
        "type": int,
        "choices": list(OPTIONS),
        "help": "one budget; the record is joined",
    },
}

if __name__ == "__main__":
    run(measure, options=OWN)
