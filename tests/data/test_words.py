"""What a cell says as a word."""

from __future__ import annotations

import pytest

from carousel.data.words import MISSING_WORDS, word_of


@pytest.mark.parametrize(
    ("cell", "word"),
    [(7, "7"), (7.0, "7"), ("7.00", "7"), (" red ", "red"), (True, "true"), ("1.0.0", "1.0.0")],
)
def test_one_thing_has_one_word(cell: object, word: str) -> None:
    assert word_of(cell) == word


@pytest.mark.parametrize("cell", [None, float("nan"), *MISSING_WORDS, " #N/A ", "Null"])
def test_words_for_missing_say_nothing(cell: object) -> None:
    assert word_of(cell) is None
