"""Texts as their readers see them: names of tokens, and tracks written under a text by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.tokenizers import Tokenizer, train_tokenizer
from carousel.tasks.text_tracks import text_tracks, token_names, token_texts, visible

# ⏎ is a line end. Of each number the last digit stands under the sign behind which it is true.
TWO_LINES = '  if X2("a b", [c])⏎ Don\'t “(x'
BY_HAND = {
    "position in line": "123456789012345678901234567890",
    "position in word": "001201200101000010000123450001",
    "indentation": "122222222222222222201111111111",
    "inside quotes": "000000001111000000000000000111",
    "bracket depth": "000000011111111221000000000011",
    "is space": "110010000010001000011000001000",
    "is upper case": "000001000000000000000100000000",
}


def tokenizer_of(kind: str, text: str) -> Tokenizer:
    size = {"subwords": 300}.get(kind)
    return train_tokenizer(kind, [text], size=size)


def one(track: str, text: str) -> list[int]:
    return [int(value) for value in text_tracks(list(text))[track]]


def test_each_track_is_what_a_reader_would_write_under_the_text() -> None:
    found = text_tracks(list(TWO_LINES.replace("⏎", "\n")))
    assert {name: track.dtype for name, track in found.items()} == dict.fromkeys(
        BY_HAND, np.dtype(np.float32)
    )
    for name, digits in BY_HAND.items():
        assert "".join(str(int(value) % 10) for value in found[name]) == digits, name


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('"a"b"c', "110011"),
        ("„a“b”c", "110000"),  # the sign that closes in German opens in English
        ("“a”b“c", "110011"),
        ("»a«b", "1100"),
        ("«a»b", "1100"),
        ("“a«b»c”d", "11111100"),  # one within another
        ("'a'", "000"),  # an apostrophe is no quote
        ('"a\nb"c', "111100"),  # over a line end
        ('"a\n\nb"c', "1110011"),  # not over an empty line
        ('"a\n \nb', "111100"),  # nor over one with nothing but blanks
    ],
    ids=str,
)
def test_what_is_inside_quotes(text: str, inside: str) -> None:
    assert one("inside quotes", text) == [int(sign) for sign in inside]


def test_brackets_that_close_nothing_are_none() -> None:
    assert one("bracket depth", ")(])[{}") == [0, 1, 0, 0, 1, 2, 1]


def test_a_capital_is_the_first_letter_of_a_token() -> None:
    found = text_tracks([" The", "x", "aB", "(B", "É", "12", ""])
    assert found["is upper case"].tolist() == [1, 0, 0, 1, 1, 0, 0]
    assert found["is space"].tolist() == [0] * 7


@given(st.lists(st.text(alphabet="ab D\n\"“”„([)]}.2_'", max_size=5), max_size=12))
def test_tokens_of_any_length_keep_what_is_behind_their_last_sign(texts: list[str]) -> None:
    found, signs = text_tracks(texts), text_tracks(list("".join(texts)))
    ends = np.cumsum([len(text) for text in texts], dtype=int)
    for name in BY_HAND:
        if not name.startswith("is "):
            behind = np.concatenate([[0], signs[name]])[ends]
            assert found[name].tolist() == behind.tolist()


def test_nothing_is_blank() -> None:
    assert visible("a b\n\tc") == "a␣b⏎⇥c"
    assert visible("\x07\u200b") == "<U+0007><U+200B>"
    assert visible("\u0301") == "◌\u0301"
    assert visible("e\u0301") == "e\u0301"
    assert visible("") == ""


@pytest.mark.parametrize(
    ("kind", "names", "texts"),
    [
        ("characters", ["t", "é", "␣", "t", "⏎"], ["t", "é", " ", "t", "\n"]),
        ("bytes", ["t", "<0xC3>", "<0xA9>", "␣", "t", "⏎"], ["t", "", "é", " ", "t", "\n"]),
        ("words", ["té", "t", "⏎"], ["té", " t", "\n"]),
        ("subwords", ["té", "␣t", "⏎"], ["té", " t", "\n"]),
    ],
)
def test_tokens_have_readable_names(kind: str, names: list[str], texts: list[str]) -> None:
    tokenizer = tokenizer_of(kind, "té t\n" * 20)
    tokens = tokenizer.encode("té t\n").tolist()
    assert token_names(tokenizer, tokens) == names
    assert token_texts(tokenizer, tokens) == texts


def test_what_is_no_text_is_shown_as_the_vocabulary_has_it() -> None:
    words = tokenizer_of("words", "a a b b\n")
    tokens = [words.end, *words.encode("a c").tolist()]
    assert token_names(words, tokens) == ["<end>", "a", "<unk>"]
    assert token_names(tokenizer_of("characters", "ab"), [0, 1]) == ["<end>", "a"]
