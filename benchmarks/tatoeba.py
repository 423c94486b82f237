"""Tatoeba, English to German: BLEU of a translator for short sentences of everyday language.

169,813 pairs, of which many share their English side: 2,000 pairs are held out for the test and as
many for validation, no English sentence in two parts (``Pairs.split_by_source``, seed 0). A
sentence has one reference here although others may be right, so that the figure compares with no
other split. The test is translated once, with a beam of 5. ``--model FOLDER`` keeps the model
there, and goes on with its training where it was interrupted; of a model that has trained for
other than 90 minutes, and with ``--validation``, which scores the validation part, nothing is
written.

    bleu, chrf              sacreBLEU's, 13a, cased
    bleu_word_by_word       the baseline
    minutes                 of training
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path
from typing import Any

from _harness import Outcome, Table, data_path, run
from carousel.data.pairs import Pairs
from carousel.tasks.translation import Translator
from carousel.training import RunOptions

OPTIONS: dict[str, Any] = {}
MINUTES = 90.0
SEARCH: dict[str, Any] = {"beam": 5}
HELD = 2_000  # pairs each for test and validation
CREDIT = "Sentences: tatoeba.org, CC BY 2.0, paired by manythings.org/anki."


def measure(arguments: argparse.Namespace) -> Outcome:
    """Splits, fits, and scores once."""
    with lzma.open(data_path("tatoeba"), "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    pairs = Pairs.read([(line[0], line[1]) for line in lines if len(line) >= 2])
    rest, test = pairs.split_by_source(HELD / len(pairs), seed=0)
    training, valid = rest.split_by_source(HELD / len(rest), seed=1)
    most = 500 if arguments.quick else None
    parts = {
        name: list(zip(part.sources, part.targets, strict=True))[:most]
        for name, part in (("training", training), ("validation", valid), ("test", test))
    }
    # What five steps make must not be taken for the model of another run.
    place = None if arguments.model is None or arguments.quick else Path(arguments.model)
    if place is not None and place.exists():
        model = Translator.load(place)
    else:
        how: dict[str, Any] = {"max_minutes": arguments.minutes}
        if arguments.quick:
            how = {"max_steps": 5}
        if place is not None:
            how |= {"checkpoint": f"{place}.run", "resume": True}
        model = Translator(holdout=0.0, **OPTIONS)
        model.fit(
            parts["training"],
            valid=parts["validation"],
            run=RunOptions(**how, progress="plain", log_every=1000),
        )
        if place is not None:
            model.save(place)
    report = model.evaluate(parts["validation" if arguments.validation else "test"], **SEARCH)
    print(report, flush=True)
    rows: list[list[str | float]] = [
        [name, score.value, score.low, score.high, report.chrf[name].value]
        for name, score in report.bleu.items()
    ]
    columns = ["translation", "BLEU", "from", "to", "chrF"]
    minutes = model.history.records[-1].elapsed / 60
    return Outcome(
        results={
            "bleu": round(report.bleu_score.value, 2),
            "chrf": round(report.chrf_score.value, 2),
            "bleu_word_by_word": round(report.bleu["word by word"].value, 2),
            "minutes": round(minutes, 1),
        },
        columns=columns,
        rows=rows,
        tables=[
            Table(title="Test, with 95 % intervals", columns=columns, rows=rows),
            Table(
                title="Examples, from worst to best",
                columns=["source", "reference", "translation"],
                rows=[[one.source, one.reference, one.translation] for one in report.examples],
            ),
        ],
        notes=[CREDIT],
        # A model that was there may have had another budget.
        partial=bool(arguments.quick or arguments.validation or abs(minutes - MINUTES) > 1),
    )


OWN: dict[str, dict[str, Any]] = {
    "--minutes": {"type": float, "default": MINUTES, "help": "of training"},
    "--model": {"metavar": "FOLDER", "help": "where the model is kept"},
    "--validation": {"action": "store_true", "help": "score the validation part; writes nothing"},
}

if __name__ == "__main__":
    run(measure, options=OWN, libraries=("sacrebleu", "tokenizers"))
