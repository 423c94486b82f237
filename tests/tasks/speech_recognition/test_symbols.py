"""Characters as numbers and back: nothing is lost but blanks too many and what is no symbol."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.speech_recognition.symbols import Symbols

LETTERS = " abcé漢'"
MADE = Symbols(LETTERS)


def test_numbers_begin_behind_the_blank() -> None:
    made = Symbols("ab ")
    assert len(made) == 4
    assert made.numbers == {"a": 1, "b": 2, " ": 3}
    assert made.encode("ba ab").tolist() == [2, 1, 3, 1, 2]
    assert made.decode([2, 1, 3, 1, 2]) == "ba ab"
    assert made.decode([3, 3, 2, 3, 3, 3, 1, 3]) == "b a"  # blanks side by side are one


def test_symbols_are_the_characters_of_the_texts_in_order() -> None:
    assert Symbols.of(["ba", "", "c'a", "é 漢"]).characters == " 'abcé漢"
    assert Symbols.of(["no", "on"]).characters == " no"  # the blank between words is always one
    assert Symbols.of([]).characters == " "
    assert Symbols.of(iter(["ab", "ba"])).characters == Symbols.of(["b", "a"]).characters


@given(st.text(st.sampled_from(LETTERS), max_size=12))
def test_what_is_written_is_what_was_read_but_for_blanks_too_many(text: str) -> None:
    numbers = MADE.encode(text)
    assert numbers.dtype == np.int64
    assert numbers.shape == (len(text),)
    assert [LETTERS[number - 1] for number in numbers.tolist()] == list(text)
    assert MADE.decode(numbers.tolist()) == re.sub(" +", " ", text).strip(" ")


@given(st.text(st.sampled_from(LETTERS + "xyZ\t\u0301"), max_size=12))
def test_what_is_no_symbol_is_left_out_and_told(text: str) -> None:
    known = "".join(character for character in text if character in LETTERS)
    assert MADE.encode(text).tolist() == MADE.encode(known).tolist()
    unknown = MADE.unknown(text)
    assert set(unknown) == set(text) - set(LETTERS)
    assert len(unknown) == len(set(unknown))
    places = [text.index(character) for character in unknown]
    assert places == sorted(places)


def test_nothing_is_nothing() -> None:
    assert MADE.encode("").tolist() == MADE.encode("xyz").tolist() == []
    assert MADE.encode("").dtype == np.int64
    assert MADE.decode([]) == MADE.decode([1, 1]) == MADE.unknown("") == ""


@pytest.mark.parametrize("characters", ["ab", "a ba", ""])
def test_symbols_are_different_ones_with_a_blank_among_them(characters: str) -> None:
    with pytest.raises(AssertionError):
        Symbols(characters)
