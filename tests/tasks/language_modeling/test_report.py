"""The report's formulas and sentences, against the definitions by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from carousel.tasks.language_modeling import Report
from carousel.tasks.language_modeling.report import Scores


def scores(nats: float) -> Scores:
    return Scores(nats=nats, tokens=40, characters=30, bytes=35, words=6)


def made(model: float = 50.0, best: float = 60.0, **values: object) -> Report:
    """Returns a report of a model and two baselines with so many nats in all."""
    totals = {"this model": model, "7-gram": best, "unigram": 90.0}
    given = {
        "tokenizer": "characters",
        "scope": "30 characters of a book",
        "documents": 1,
        "unknown": 0,
        "vocabulary": 17,
        **values,
    }
    return Report(
        scores={name: scores(total) for name, total in totals.items()},
        nats={name: np.full(40, total / 40) for name, total in totals.items()},
        counted=2_000_000,
        trained=1_000,
        **given,
    )


def test_the_formulas() -> None:
    found = scores(50.0)
    assert found.perplexity == pytest.approx(math.exp(50 / 40))
    assert found.nats_per_token == 50 / 40
    assert found.nats_per_character == 50 / 30
    assert found.bits_per_character == pytest.approx(50 / 30 * math.log2(math.e))
    assert found.bits_per_byte == pytest.approx(50 / 35 * math.log2(math.e))
    assert found.word_perplexity == pytest.approx(math.exp(50 / 6))
    assert found.to_dict() == {name: getattr(found, name) for name in found.to_dict()}


def test_a_uniform_guess_has_the_perplexity_of_the_vocabulary() -> None:
    found = Scores(nats=9 * math.log(17), tokens=9, characters=9, bytes=9, words=2)
    assert found.perplexity == pytest.approx(17)
    assert found.bits_per_character == found.bits_per_byte == pytest.approx(math.log2(17))


def test_a_text_without_a_word_and_one_beyond_all_numbers() -> None:
    found = Scores(nats=5_000.0, tokens=5, characters=5, bytes=5, words=0)
    assert found.perplexity == found.word_perplexity == math.inf
    assert made(model=1e6).table()[1][0][1:] == [
        "inf", "25000.0000", "48089.8347", "41219.8583", "over 1,000,000",
    ]  # fmt: skip


def test_the_verdict_says_which_is_better() -> None:
    won = made(50.0, 60.0)
    assert won.best_baseline == "7-gram"
    assert won.verdict == (
        "This model predicts the text better than the 7-gram: 2.404 bits per character against "
        "2.885."
    )
    lost = made(61.0, 60.0)
    assert lost.verdict.startswith("This model does not beat the 7-gram: 2.933 bits per character")
    assert "Train it longer, or on more text" in lost.verdict
    assert "the 7-gram is the better model of this text" in lost.verdict
    assert made(60.0, 60.0).verdict.startswith("This model does not beat")
    assert made(50.0, 95.0).best_baseline == "unigram"


def test_notes_tell_what_flatters_the_numbers() -> None:
    assert made().notes == []
    unknown, adapts = made(unknown=3, adaptation="cache of 500 tokens").notes
    assert unknown.startswith("3 words are unknown to the model (50.0%)")
    assert "cache of 500 tokens" in adapts
    assert "The baselines do not adapt" in adapts


def test_the_table_has_a_row_for_each_model() -> None:
    report = made()
    header, rows = report.table()
    assert header == [
        "model", "perplexity", "nats/token", "bits/char", "bits/byte", "word perplexity",
    ]  # fmt: skip
    assert [row[0] for row in rows] == ["this model", "7-gram", "unigram"]
    assert rows[0] == ["this model", "3.49", "1.2500", "2.4045", "2.0610", "4160.3"]
    lines = str(report).splitlines()
    assert lines[0] == report.scope
    assert lines[2].split() == " ".join(header).split()
    assert set(lines[3]) == {"-"}
    assert lines[-1] == report.verdict
    assert len({len(line) for line in lines[4:7]}) == 1


def test_plain_values_are_json() -> None:
    report = made(unknown=1)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["scores"]["this model"]["perplexity"] == report.perplexity
    assert plain["scores"]["unigram"] == report.scores["unigram"].to_dict()
    counts = ("tokens", "characters", "bytes", "words", "documents", "unknown", "vocabulary")
    assert [plain[name] for name in counts] == [40, 30, 35, 6, 1, 1, 17]
    assert plain["verdict"] == report.verdict
    assert plain["notes"] == report.notes
    assert plain["scope"] == report.scope


def test_a_baseline_that_saw_less_than_the_network_is_said_to() -> None:
    assert not any("n-gram models count" in note for note in made().notes)
    notes = dataclasses.replace(made(), counted=2_000_000, trained=5_000_000).notes
    assert "The n-gram models count the last 2,000,000 of 5,000,000 training tokens" in notes[0]


def test_of_words_it_is_said_that_blanks_cost_nothing() -> None:
    assert any("blanks" in n for n in dataclasses.replace(made(), tokenizer="words").notes)
    assert not any("blanks" in n for n in dataclasses.replace(made(), tokenizer="bytes").notes)
