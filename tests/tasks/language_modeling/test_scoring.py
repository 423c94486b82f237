"""A single text's score, token by token, against the evaluation of the same text."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tests.tasks.language_modeling.small_texts import KINDS, OTHER, TEXT, small_model

from carousel.errors import DataError
from carousel.tasks.language_modeling.scoring import ScoredText

# Single precision: sums over other numbers of rows at once differ by a few roundings of 6e-8.
CLOSE = {"rel": 1e-5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_sums_to_the_evaluation_of_one_document(kind: str) -> None:
    model = small_model(kind)
    scored, report = model.score(OTHER), model.evaluate([OTHER])
    assert scored.total == pytest.approx(report.model.nats, **CLOSE)
    assert scored.nats == pytest.approx(report.nats["this model"], abs=1e-5)
    assert scored.perplexity == pytest.approx(report.perplexity, **CLOSE)
    assert len(scored.tokens) == len(scored.nats) == report.model.tokens


def test_of_a_model_of_documents_the_end_is_scored_too() -> None:
    model = small_model(several=True)
    scored, report = model.score(OTHER), model.evaluate([OTHER])
    assert report.model.tokens == len(OTHER) + 1
    assert scored.nats == pytest.approx(report.nats["this model"], abs=1e-5)
    assert scored.tokens[-1] == "<end>"


def test_tokens_are_shown_as_they_are() -> None:
    assert small_model().score("the\n").tokens == ["t", "h", "e", "\n"]
    assert small_model("words").score("the cat\nsat").tokens == ["the", "cat", "<eos>", "sat"]
    assert small_model("bytes").score("é").tokens == ["<0xC3>", "<0xA9>"]
    assert "".join(small_model("subwords").score("the cat").tokens) == "the cat"


def test_unknown_words_are_counted() -> None:
    found = small_model("words").score("the dog sat dog")
    assert (found.unknown, found.tokens) == (2, ["the", "<unk>", "sat", "<unk>"])
    assert small_model().score("the").unknown == 0


def test_the_table_and_the_plain_values() -> None:
    scored = ScoredText(tokens=["a", "\n"], nats=np.array([math.log(2), math.log(8)]), unknown=0)
    assert scored.total == pytest.approx(math.log(16))
    assert scored.perplexity == pytest.approx(4)
    assert str(scored).splitlines() == [
        "'a'     0.6931 nats  p = 0.5",
        "'\\n'    2.0794 nats  p = 0.125",
        "2 tokens, 2.773 nats, perplexity 4",
    ]
    plain = json.loads(json.dumps(scored.to_dict(), allow_nan=False))
    assert plain == {
        "tokens": ["a", "\n"],
        "nats": scored.nats.tolist(),
        "total": scored.total,
        "perplexity": scored.perplexity,
        "unknown": 0,
    }


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match="expected a text to score, got ''"):
        small_model().score("")
    with pytest.raises(DataError, match="which has no words"):
        small_model("words").score("  \t")
    with pytest.raises(DataError, match="no 'Q'"):
        small_model().score("the Q")
    with pytest.raises(DataError, match="expected text with words, got none"):
        small_model("words").evaluate(["  \t"])


def test_progress_is_told_up_to_the_end() -> None:
    for values in ({}, {"cache": True}, {"dynamic": True}):
        told: list[tuple[int, int]] = []

        def progress(done: int, of: int, told: list[tuple[int, int]] = told) -> None:
            told.append((done, of))

        report = small_model().evaluate([TEXT], progress=progress, **values)
        assert told[-1] == (report.model.tokens,) * 2
        assert [done for done, _ in told] == sorted({done for done, _ in told})
