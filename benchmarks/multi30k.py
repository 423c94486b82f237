"""Multi30k, English and German captions: BLEU of translators that this machine trained.

Trained on the 29,000 pairs of ``train``, weights and options chosen on ``val``, test_2016_flickr
translated once, with a beam of 5, by the ensemble with a length penalty of 1.2; BLEU is
sacreBLEU's (13a, cased), on raw text. The ensemble's members learn side by side, in three times the
single model's time. ``--fit NAME --models FOLDER`` trains one of the three and goes on where it was
interrupted (minutes are those of training);
``--models FOLDER`` scores those that are there and trains the others; ``--only NAME`` leaves what
the record has of the others as it is; ``--validation`` scores ``val`` in place of the test and
writes nothing.

    bleu_en_de              text-only recurrent systems: 36 to 39
    bleu_en_de_ensemble     of three members
    bleu_de_en              the other direction
    chrf_en_de, chrf_en_de_ensemble, chrf_de_en
    bleu_word_by_word       the baseline, English to German
    sentences_per_second    English to German, beam 5, batches of 64, this machine's threads
    alignment_accuracy      % of the words of 50 test references, aligned by hand, at which the
                            attention of the single model is strongest on a right source word
    minutes_en_de, minutes_en_de_ensemble, minutes_de_en    of training
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from _alignment import read_links, share_right
from _harness import Outcome, Table, data_path, run
from carousel.tasks.translation import Translator
from carousel.training import RunOptions

# What a user gets who gives no option but the minutes, except where options stand here.
OPTIONS: dict[str, Any] = {}
RUN: dict[str, Any] = {"max_minutes": 45.0}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "en_de": ({}, {}),
    "en_de_ensemble": ({"members": 3}, {"max_minutes": 135.0}),
    "de_en": ({"reverse": True}, {}),
}
SEARCH: dict[str, Any] = {"beam": 5}
# Chosen on val, of beams of 5 and 10 and length penalties of 0.8 to 1.4 (docs/translation.md).
SEARCHES: dict[str, dict[str, Any]] = {"en_de_ensemble": {"beam": 5, "length_penalty": 1.2}}
LINKS = Path(__file__).with_name("alignments") / "multi30k-test.txt"
_ROUNDS = 3


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits what is not there, scores each model once, and times the search."""
    folder = data_path("multi30k")

    def part(name: str) -> tuple[str, str]:
        return str(folder / f"{name}.en"), str(folder / f"{name}.de")

    kept = Path(arguments.models) if arguments.models else None
    only = arguments.fit or arguments.only
    names = [only] if only else list(MODELS)
    scored = part("val" if arguments.validation or arguments.quick else "test_2016_flickr")
    results: dict[str, float] = {}
    rows: list[list[str | float | int]] = []
    further: list[Table] = []
    for name in names:
        model = _model(name, part, kept, arguments)
        if arguments.fit:
            continue
        report = model.evaluate(scored, **SEARCHES.get(name, SEARCH))
        print(report, flush=True)
        minutes = model.history.records[-1].elapsed / 60
        results[f"bleu_{name}"] = round(report.bleu_score.value, 2)
        results[f"chrf_{name}"] = round(report.chrf_score.value, 2)
        results[f"minutes_{name}"] = round(minutes, 1)
        rows.append(
            [
                name,
                report.bleu_score.value,
                report.bleu_score.low,
                report.bleu_score.high,
                report.chrf_score.value,
                report.perplexity,
                minutes,
            ]
        )
        if name == "en_de":
            own = {
                "bleu_word_by_word": round(report.bleu["word by word"].value, 2),
                "sentences_per_second": round(_speed(model, scored[0]), 1),
            }
            if not arguments.validation and not arguments.quick:
                own["alignment_accuracy"] = round(_alignment(model, scored), 1)
            results |= own
            columns = ["of en_de", "result"]
            values: list[list[str | float | int]] = [[key, value] for key, value in own.items()]
            further.append(Table(title="What else was measured", columns=columns, rows=values))
    columns = ["model", "BLEU", "from", "to", "chrF", "perplexity", "minutes"]
    table = Table(title="Test, with 95 % intervals", columns=columns, rows=rows)
    return Outcome(
        results=results,
        columns=columns,
        rows=rows,
        tables=[table, *further],
        partial=bool(arguments.fit or arguments.validation or arguments.quick),
        part=arguments.only is not None,
    )


def _model(name: str, part: Any, kept: Path | None, arguments: argparse.Namespace) -> Translator:
    """Loads a model that is there, else trains it."""
    # What five steps make must not be taken for the model of another run.
    place = None if kept is None or arguments.quick else kept / name
    if place is not None and place.exists():
        return Translator.load(place)
    own, training = MODELS[name]
    budget = {"max_steps": 5} if arguments.quick else {**RUN, **training}
    resumed: dict[str, Any] = {}
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        resumed = {"checkpoint": f"{place}.run", "resume": True}
    model = Translator(holdout=0.0, **OPTIONS, **own)
    model.fit(
        part("train"),
        valid=part("val"),
        run=RunOptions(**budget, **resumed, seed=arguments.seed, progress="plain", log_every=500),
    )
    if place is not None:
        model.save(place)
    return model


def _speed(model: Translator, path: str) -> float:
    """Returns sentences per second, the median of some runs over the whole file."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    model.translate(lines[:64], **SEARCH)
    taken = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        model.translate(lines, **SEARCH)
        taken.append(time.perf_counter() - begin)
    return len(lines) / statistics.median(taken)


def _alignment(model: Translator, paths: tuple[str, str]) -> float:
    """Returns in % how often the attention is strongest on a right word."""
    sides = [Path(path).read_text(encoding="utf-8").splitlines() for path in paths]
    links = read_links(LINKS)
    chosen = [[side[number - 1] for number in links] for side in sides]
    share, count = share_right(model.align(*chosen), links)
    print(f"alignment: {share:.1f} % of {count} words", flush=True)
    return share


OWN: dict[str, dict[str, Any]] = {
    "--seed": {"type": int, "default": 0, "help": "of the run"},
    "--fit": {"choices": list(MODELS), "help": "train this model only; writes no result"},
    "--only": {"choices": list(MODELS), "help": "score this model only; the record is joined"},
    "--models": {"metavar": "FOLDER", "help": "where models are kept"},
    "--validation": {"action": "store_true", "help": "score val, not the test; writes nothing"},
}

if __name__ == "__main__":
    run(measure, options=OWN, libraries=("sacrebleu", "tokenizers"))
