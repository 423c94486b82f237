"""Text to token numbers and back, whole and in pieces."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data import blocks
from carousel.data.tokenizers import (
    END,
    KINDS,
    LINE_END,
    UNKNOWN,
    Decoder,
    Encoder,
    Tokenizer,
    Words,
    tokenizer_from_json,
    train_tokenizer,
)
from carousel.errors import DataError, ModelError, OptionError

TEXT = (
    "the cat's  <end> sat\non the mat.\r\n\tthe é über 日本語 😀 it's 12.5\x85\x1c\u00a0they'll\n\n"
    * 3
)
TRAINED = {kind: train_tokenizer(kind, [TEXT]) for kind in KINDS}
TRAINED["subwords"] = train_tokenizer("subwords", [TEXT], size=300)

ALPHABET = sorted({*TEXT})
texts = st.text(st.sampled_from(ALPHABET) | st.sampled_from(" \n.'s\u3000\u2028"), max_size=60)
known = st.text(st.sampled_from(ALPHABET), max_size=60)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
kinds = pytest.mark.parametrize("kind", KINDS)


def test_characters_are_numbered_by_code_point() -> None:
    tokenizer = train_tokenizer("characters", ["bé", "ab"])
    assert list(tokenizer.vocabulary) == [END, "a", "b", "é"]
    found = tokenizer.encode("éab")
    assert (found.dtype, found.tolist()) == (np.int32, [3, 1, 2])


def test_a_character_that_training_lacked_is_named_with_its_place() -> None:
    tokenizer = train_tokenizer("characters", ["ab\n"])
    with pytest.raises(DataError, match=r"a.txt, line 3: .* no 'é' \(U\+00E9\); it knows 3 ") as e:
        tokenizer.encode("ab\n\naébé", source="a.txt")
    assert e.value.line == 3
    for stranger in "\x00A😀\ud800":  # before, between and beyond the known ones
        with pytest.raises(DataError, match="bytes, which knows every text"):
            tokenizer.encode(f"a{stranger}")


def test_bytes_are_numbered_by_value() -> None:
    tokenizer = train_tokenizer("bytes", ["x"])
    assert len(tokenizer) == 257
    assert [tokenizer.vocabulary[k] for k in (0, 1, 11, 33, 98, 128, 256)] == [
        END, "<0x00>", "<0x0A>", " ", "a", "<0x7F>", "<0xFF>"
    ]  # fmt: skip
    assert tokenizer.encode("aé").tolist() == [98, 0xC3 + 1, 0xA9 + 1]
    assert tokenizer.decode([98, 0xC3 + 1]) == "a\ufffd"


def test_words_are_numbered_by_count_then_alphabet() -> None:
    text = "b a c\nb c  d <unk> <end>\n\n"
    tokenizer = train_tokenizer("words", [text])
    assert list(tokenizer.vocabulary) == [END, UNKNOWN, LINE_END, "b", "c", "a", "d"]
    assert tokenizer.unknown == 1
    wanted = [3, 5, 4, 2, 3, 4, 6, 1, 1, 2, 2]
    assert tokenizer.encode(text).tolist() == wanted
    assert tokenizer.decode(wanted) == "b a c\nb c d <unk> <unk>\n\n"
    assert tokenizer.encode("z <eos> <end>").tolist() == [1, 2, 1]
    assert list(train_tokenizer("words", [text], size=5).vocabulary)[3:] == ["b", "c"]
    assert list(train_tokenizer("words", [text], min_count=2).vocabulary)[3:] == ["b", "c"]


def test_words_without_lines_have_no_line_end() -> None:
    tokenizer = train_tokenizer("words", ["a b"], min_count=1)
    assert list(tokenizer.vocabulary) == [END, UNKNOWN, "a", "b"]
    assert tokenizer.encode("a\nb").tolist() == [2, 1, 3]


@pytest.mark.parametrize(
    ("pieces", "limits", "wanted"),
    [
        (["b a a"], {}, ["a"]),  # what comes once is rare
        (["b a a"], {"min_count": 1}, ["a", "b"]),
        (["b a", None, "a"], {}, ["a"]),  # of two documents
        (["b a a <unk>"], {}, ["a", "b"]),  # the rare ones are out already
        (["b a a", None, "<unk>"], {}, ["a", "b"]),
        (["b a a <u", "nk>"], {}, ["a", "b"]),
        (["b a a <unk>"], {"min_count": 2}, ["a"]),  # what is given holds
        (["c b a a <unk>"], {"size": 4}, ["a", "b"]),
        (["b a a b <unk>."], {}, ["a", "b"]),  # another word, and a rare one
        (["b a a <UNK> <end>"], {}, ["a"]),
    ],
)
def test_rare_words_are_left_out_unless_the_text_has_done_so(
    pieces: list[str | None], limits: dict[str, int], wanted: list[str]
) -> None:
    for train in (Words.train, partial(train_tokenizer, "words")):
        assert list(train(pieces, **limits).vocabulary) == [END, UNKNOWN, *wanted]


def test_subwords_are_the_byte_pairs_that_come_most_often() -> None:
    tokenizer = train_tokenizer("subwords", ["hug hug hug pug"], size=259)
    assert len(tokenizer) == 259
    assert tokenizer.vocabulary[0] == END
    # "ug" comes four times, "hug" three times.
    assert tokenizer.vocabulary[257:] == ("ug", "hug")
    assert tokenizer.decode(tokenizer.encode("pug")) == "pug"


def test_subwords_take_pairs_that_come_once_unless_told() -> None:
    text = ["hug hug hug pug"]
    usual = train_tokenizer("subwords", text)
    assert usual.vocabulary[257:259] == ("ug", "hug")
    assert "pug" in usual.vocabulary
    assert train_tokenizer("subwords", text, min_count=1).to_json() == usual.to_json()
    assert train_tokenizer("subwords", text, min_count=4).vocabulary[257:] == ("ug",)


def test_subwords_do_not_depend_on_how_the_text_was_cut() -> None:
    texts = [[TEXT], list(TEXT), [TEXT[:17], TEXT[17:31], "", TEXT[31:]]]
    first, *others = [train_tokenizer("subwords", text, size=290).to_json() for text in texts]
    assert others == [first, first]


@kinds
@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=5))
def test_training_cuts_no_word(kind: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[start:stop] for start, stop in itertools.pairwise(edges)]
    size = 300 if kind == "subwords" else None
    assert train_tokenizer(kind, pieces, size=size).to_json() == TRAINED[kind].to_json()


def test_none_ends_a_document_and_its_word() -> None:
    def learned(*pieces: str | None) -> list[str]:
        return list(train_tokenizer("words", pieces, min_count=1).vocabulary[2:])

    assert learned("a", "b") == ["ab"]
    assert learned("a", None, "b") == ["a", "b"]


@kinds
def test_no_text_makes_an_end(kind: str) -> None:
    for text in (END, f"a {END} b", TEXT, "\x00"):
        if kind != "characters" or {*text} <= {*TEXT}:
            assert 0 not in TRAINED[kind].encode(text)


@kinds
def test_an_end_is_decoded_to_nothing(kind: str) -> None:
    tokenizer = TRAINED[kind]
    ids = tokenizer.encode("the cat's sat").tolist()
    assert tokenizer.decode([0, *ids, 0]) == tokenizer.decode(ids)
    assert tokenizer.decode([]) == tokenizer.decode([0]) == ""
    assert tokenizer.encode("").shape == (0,)


@given(text=anything)
def test_bytes_and_subwords_give_every_text_back(text: str) -> None:
    for kind in ("bytes", "subwords"):
        assert TRAINED[kind].decode(TRAINED[kind].encode(text)) == text


@given(text=known)
def test_characters_give_what_they_know_back(text: str) -> None:
    assert TRAINED["characters"].decode(TRAINED["characters"].encode(text)) == text


@given(lines=st.lists(st.lists(st.sampled_from(["the", "mat.", "é", "<unk>"]), max_size=4)))
def test_words_give_lines_of_single_spaces_back(lines: list[list[str]]) -> None:
    text = "\n".join(map(" ".join, lines))
    assert TRAINED["words"].decode(TRAINED["words"].encode(text)) == text


@given(text=texts)
def test_subwords_cut_nothing_that_the_library_joins(text: str) -> None:
    tokenizer: Any = TRAINED["subwords"]
    whole = [number + 1 for number in tokenizer._library.encode(text).ids]
    encoder = Encoder(tokenizer)
    parts = [encoder.feed(character) for character in text]
    assert np.concatenate([*parts, encoder.finish()]).tolist() == whole


@kinds
@given(text=texts, sizes=st.lists(st.integers(0, 9), min_size=1, max_size=9))
def test_pieces_are_encoded_like_the_whole(kind: str, text: str, sizes: list[int]) -> None:
    text = "".join(c for c in text if c in ALPHABET) if kind == "characters" else text
    encoder = Encoder(TRAINED[kind])
    for _ in range(2):  # it begins anew after finish
        parts, rest = [], text
        for size in sizes:
            parts.append(encoder.feed(rest[:size]))
            rest = rest[size:]
        found = np.concatenate([*parts, encoder.feed(rest), encoder.finish()])
        assert found.dtype == np.int32
        assert found.tolist() == TRAINED[kind].encode(text).tolist()


@kinds
def test_a_long_text_is_encoded_like_a_short_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TRAINED[kind].encode(TEXT).tolist()
    monkeypatch.setattr(blocks, "BLOCK", 7)
    assert TRAINED[kind].encode(TEXT).tolist() == whole
    assert TRAINED[kind].encode_all([TEXT])[0].tolist() == whole


@kinds
@given(some=st.lists(known, max_size=5))
def test_many_texts_are_encoded_like_each(kind: str, some: list[str]) -> None:
    found = TRAINED[kind].encode_all(some)
    assert [ids.dtype for ids in found] == [np.int32] * len(some)
    assert [ids.tolist() for ids in found] == [TRAINED[kind].encode(t).tolist() for t in some]


def test_an_encoder_passes_on_what_it_can() -> None:
    for kind, wanted in {"bytes": 7, "words": 1, "subwords": 1}.items():
        encoder = Encoder(TRAINED[kind])
        assert len(encoder.feed("the mat")) >= wanted, kind


def test_an_encoder_names_the_line_of_the_whole_text() -> None:
    encoder = Encoder(TRAINED["characters"], source="a.txt")
    encoder.feed("the\nmat\n")
    with pytest.raises(DataError, match=r"a\.txt, line 4: the model knows no 'Q'"):
        encoder.feed("\nQ")


@kinds
@given(data=st.data())
def test_tokens_one_by_one_are_decoded_like_all(kind: str, data: st.DataObject) -> None:
    tokenizer = TRAINED[kind]
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    decoder = Decoder(tokenizer)
    for _ in range(2):
        text = "".join(map(decoder.feed, ids)) + decoder.finish()
        assert text == tokenizer.decode(ids) == tokenizer.decode(np.array(ids, np.int32))
    if kind == "bytes":
        wanted = bytes(number - 1 for number in ids if number).decode("utf-8", "replace")
        assert text == wanted


def test_a_character_cut_over_tokens_is_held_back() -> None:
    tokenizer = TRAINED["bytes"]
    decoder = Decoder(tokenizer)
    assert [decoder.feed(k) for k in tokenizer.encode("é😀").tolist()] == [
        "", "é", "", "", "", "😀"
    ]  # fmt: skip
    assert (decoder.feed(0xC3 + 1), decoder.finish(), decoder.feed(98)) == ("", "\ufffd", "a")


@kinds
def test_a_number_outside_the_vocabulary_is_refused(kind: str) -> None:
    tokenizer = TRAINED[kind]
    for number in (-1, len(tokenizer)):
        with pytest.raises(DataError, match=f"from 0 to {len(tokenizer) - 1}, got {number}"):
            tokenizer.decode([number])
        with pytest.raises(DataError, match="decode with what encoded"):
            Decoder(tokenizer).feed(number)


@kinds
def test_what_was_saved_is_the_same(kind: str) -> None:
    tokenizer = TRAINED[kind]
    again = tokenizer_from_json(tokenizer.to_json())
    assert type(again) is type(tokenizer)
    assert (again.vocabulary, again.unknown) == (tokenizer.vocabulary, tokenizer.unknown)
    assert again.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()
    assert again.decode(again.encode(TEXT)) == tokenizer.decode(tokenizer.encode(TEXT))
    assert again.to_json() == tokenizer.to_json()


def damaged_subwords(**changes: Any) -> dict[str, Any]:
    library = json.loads(TRAINED["subwords"].to_json())["library"]
    return {"kind": "subwords", "library": {**library, **changes}}


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {},
        {"kind": "syllables"},
        {"kind": "bytes", "more": 1},
        {"kind": "characters"},
        {"kind": "characters", "characters": ""},
        {"kind": "characters", "characters": "ba"},
        {"kind": "characters", "characters": 3},
        {"kind": "characters", "characters": "\ud800"},
        {"kind": "words", "vocabulary": None},
        {"kind": "words", "vocabulary": ["a", "b"]},
        {"kind": "words", "vocabulary": [END, UNKNOWN, "a", "a"]},
        {"kind": "words", "vocabulary": [END, UNKNOWN, "a", END]},
        {"kind": "words", "vocabulary": [END, UNKNOWN, "a b"]},
        {"kind": "words", "vocabulary": [END, UNKNOWN, "a", LINE_END]},
        {"kind": "words", "vocabulary": [END, UNKNOWN, 3]},
        {"kind": "subwords", "library": {}},
        damaged_subwords(normalizer={"type": "NFC"}),
        damaged_subwords(added_tokens=[{}]),
        damaged_subwords(model={"vocab": {"a": 0}}),
        damaged_subwords(model={"vocab": {"a": 1}}),
        damaged_subwords(pre_tokenizer={"type": "none such"}),
    ],
)
def test_a_damaged_tokenizer_is_refused(fields: Any) -> None:
    with pytest.raises(ModelError, match=r"got a damaged one .*; take it from a copy"):
        tokenizer_from_json(json.dumps(fields))
    with pytest.raises(ModelError, match="damaged"):
        tokenizer_from_json(json.dumps(fields)[:-1])


@kinds
@pytest.mark.parametrize("pieces", [[], ["", ""], [None]])
def test_an_empty_text_is_refused(kind: str, pieces: list[str | None]) -> None:
    with pytest.raises(DataError, match="the text is empty"):
        train_tokenizer(kind, pieces)


def test_a_text_without_frequent_words_is_refused() -> None:
    for text, least in ((" \n ", 2), ("a b", 2), ("<unk> \n <unk>", 1)):
        wanted = f"the text is empty: expected a word that comes {least} times"
        with pytest.raises(DataError, match=wanted):
            train_tokenizer("words", [text])
    with pytest.raises(DataError, match="comes 3 times or more; give more, or lower min_count"):
        train_tokenizer("words", ["a a b"], min_count=3)


@pytest.mark.parametrize(
    ("kind", "limits", "message"),
    [
        ("characters", {"size": 1}, "size is for words and subwords; leave it out for characters"),
        ("bytes", {"size": 300}, "size is for words and subwords; leave it out for bytes"),
        ("bytes", {"min_count": 2}, "min_count is for words and subwords; leave it out for bytes"),
        ("bytes", {"min_count": 1}, "min_count is for words and subwords; leave it out for bytes"),
        ("characters", {"min_count": 1}, "min_count is for words and .* it out for characters"),
        ("characters", {"min_count": 3}, "min_count is for words and .* it out for characters"),
        ("words", {"size": 3}, "size expects at least 4, got 3"),
        ("words", {"min_count": 0}, "min_count expects at least 1, got 0"),
        ("subwords", {"min_count": 0}, "min_count expects at least 1, got 0"),
        ("subwords", {"size": 256}, "size expects at least 257, got 256"),
        ("word", {}, "no tokenizer 'word'; did you mean 'words'"),
    ],
)
def test_impossible_options_are_refused(kind: str, limits: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        train_tokenizer(kind, ["a b"], **limits)


@pytest.mark.parametrize("kind", ["bytes", "subwords"])
def test_half_a_surrogate_pair_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match=r"a.txt, line 2: expected Unicode text, got '\\udcff'"):
        TRAINED[kind].encode("a\nb\udcff", source="a.txt")
    with pytest.raises(DataError, match=r"expected Unicode text, got '\\udcff'"):
        TRAINED[kind].encode_all(["a", "b\udcff"])
    with pytest.raises(DataError, match="expected Unicode text"):
        train_tokenizer("words", ["a \udcff"])


@given(
    text=texts,
    rest=st.sampled_from(["", " <unk>", " <unk> <end> <eos>"]),
    min_count=st.sampled_from([None, 1, 2, 3]),
)
def test_words_are_counted_like_a_plain_count(text: str, rest: str, min_count: int | None) -> None:
    text += rest
    counts = Counter(word for line in text.split("\n") for word in line.split())
    line_end = [LINE_END] * ("\n" in text or LINE_END in counts)
    least = min_count or (1 if UNKNOWN in counts else 2)
    del counts[UNKNOWN], counts[END], counts[LINE_END]
    frequent = [word for word in counts if counts[word] >= least]
    if frequent:
        found: Tokenizer = train_tokenizer("words", [text], min_count=min_count)
        ranked = sorted(frequent, key=lambda word: (-counts[word], word))
        assert list(found.vocabulary) == [END, UNKNOWN, *line_end, *ranked]
    else:
        with pytest.raises(DataError, match="the text is empty"):
            train_tokenizer("words", [text], min_count=min_count)
