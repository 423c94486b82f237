"""Where a text is cut and what tokenizing counts, against plain Python."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.language_modeling.small_texts import DOCUMENTS, KINDS, QUICK, SMALL, TEXT

from carousel.data import text_files
from carousel.data.texts import Texts
from carousel.data.tokenizers import train_tokenizer
from carousel.errors import DataError
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling import data as data_module
from carousel.tasks.language_modeling.data import (
    count_tokens,
    cuts,
    learn_tokenizer,
    open_texts,
    options_for,
    tokenize,
)
from carousel.tasks.language_modeling.options import LanguageModelingOptions

RICH = ["Zürich, où\tça va\n\nfoo  bar\n", "漢字 かな\n 🎠 🎠", "  \n", "\u2003x\u00a0y z"]


def options(**values: object) -> LanguageModelingOptions:
    return LanguageModelingOptions(**values)


def cut(documents: list[str], validates: bool = True, **values: object) -> tuple[int, int]:
    return cuts(Texts.open(documents), options(**values), validates)


def test_one_document_of_characters_is_cut_exactly() -> None:
    text = "abcde\n" * 100
    assert cut([text], validation=0.25, holdout=0.125) == (375, 525)
    assert cut([text], validation=0.25, holdout=0.0) == (450, 600)
    assert cut([text], validation=0.0, holdout=0.25) == (450, 450)
    assert cut([text], validates=False, validation=0.25, holdout=0.125) == (525, 525)
    assert cut([text], tokenizer="bytes", validation=0.25, holdout=0.125) == (375, 525)


def test_documents_are_kept_whole() -> None:
    documents = ["a" * 30, "b" * 25, "c" * 20, "d" * 15, "e" * 10]
    ends = np.cumsum([len(d) for d in documents])
    found = cut(documents, validation=0.25, holdout=0.125)  # 62.5 and 87.5 were wanted
    assert found == (75, 90)
    assert set(found) <= set(ends)
    # The last document holds both places: it is cut, so that every part has some.
    assert cut(["a" * 10, "b" * 90], validation=0.25, holdout=0.125) == (62, 87)


def test_words_are_cut_at_line_ends() -> None:
    text = "one two three\n" * 20  # 14 characters a line
    assert cut([text], tokenizer="words", validation=0.25, holdout=0.125) == (182, 252)
    training, seen = cut([text], tokenizer="words")
    assert text[training - 1] == text[seen - 1] == "\n"


@pytest.mark.parametrize(
    ("documents", "values"),
    [
        (["one two three " * 100 + "\n" + "four five\n"], {"tokenizer": "words"}),
        (["a" * 960, "b" * 40], {}),
    ],
)
def test_a_validation_that_was_asked_for_is_not_empty(
    documents: list[str], values: dict[str, str]
) -> None:
    training, seen = cut(documents, **values)
    assert 0 < training < seen < sum(map(len, documents))


def test_too_short_a_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"too short to be split: 1 characters; give more"):
        cut(["a"])
    assert cut(["a"], validation=0.0, holdout=0.0) == (1, 1)
    with pytest.raises(DataError, match="empty"):
        cut(["", ""])


def test_words_are_learned_from_the_training_part_and_characters_from_all() -> None:
    texts = Texts.open(["a b a b ", "c d c d "])
    words = options(tokenizer="words", min_count=1)
    assert learn_tokenizer(texts, 8, words).vocabulary == ("<end>", "<unk>", "a", "b")
    assert len(learn_tokenizer(texts, 16, words)) == 6
    assert learn_tokenizer(texts, 8, options()).vocabulary == ("<end>", *" abcd")


def test_tokens_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Texts.open(["abba", "a"])
    part = tokenize(texts, learn_tokenizer(texts, 5, options()), 0, None, ends=True)
    for chunk in (1, 3, 100):
        monkeypatch.setattr(data_module, "_CHUNK", chunk)
        assert count_tokens(part, 4).tolist() == [2, 3, 2, 0]


def test_a_document_ends_a_word() -> None:
    found = learn_tokenizer(
        Texts.open(["one tw", "o three"]), 13, options(tokenizer="words", min_count=1)
    )
    assert set(found.vocabulary[2:]) == {"one", "tw", "o", "three"}


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ends", [True, False])
def test_counts_and_tokens_are_those_of_plain_python(
    kind: str, piece: int, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1 if kind == "words" else None
    tokenizer = train_tokenizer(kind, [x for d in RICH for x in (d, None)], min_count=count)
    monkeypatch.setattr(text_files, "PIECE", piece)
    part = tokenize(Texts.open(RICH), tokenizer, 0, None, ends=ends)
    assert part.characters == sum(map(len, RICH))
    assert part.bytes == sum(len(d.encode()) for d in RICH)
    assert part.words == sum(len(d.split()) + d.count("\n") for d in RICH)
    assert part.documents == len(RICH)
    assert part.unknown == 0
    wanted = [[*tokenizer.encode(d).tolist(), *[0] * ends] for d in RICH]
    assert part.tokens.tolist() == [0, *itertools.chain(*wanted)]
    assert len(part) == len(part.tokens) - 1


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
def test_unknown_words_are_counted(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = ["a b\nc d ", "b c c", "d dd d\n"]
    tokenizer = train_tokenizer("words", ["a b c\n"], min_count=1)
    monkeypatch.setattr(text_files, "PIECE", piece)
    part = tokenize(Texts.open(documents), tokenizer, 0, None, ends=True)
    assert part.unknown == sum(w not in "abc" for d in documents for w in d.split()) == 4


def test_a_stretch_between_two_positions() -> None:
    documents = ["abcabc", "bb", "cab"]
    tokenizer = train_tokenizer("characters", ["abc"])
    for begin in range(11):
        for end in range(begin, 12):
            part = tokenize(Texts.open(documents), tokenizer, begin, end, ends=True)
            wanted, documents_in, place = [0], 0, 0
            for document in documents:
                inside = range(max(begin, place), min(end, place + len(document)))
                wanted += ["_abc".index(document[k - place]) for k in inside]
                documents_in += bool(inside)
                place += len(document)
                wanted += [0] * (bool(inside) and place <= end)
            assert part.tokens.tolist() == wanted
            assert (part.documents, part.characters) == (documents_in, end - begin)


@pytest.mark.parametrize("limit", [0, 100, 5_000])
def test_many_tokens_are_kept_in_a_file(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = train_tokenizer("characters", DOCUMENTS)
    texts = Texts.open(DOCUMENTS)
    wanted = tokenize(texts, tokenizer, 0, None, ends=True).tokens
    assert not isinstance(wanted, np.memmap)
    monkeypatch.setattr(data_module, "_IN_MEMORY", limit)
    found = tokenize(texts, tokenizer, 0, None, ends=True).tokens
    assert isinstance(found, np.memmap)
    assert found.dtype == wanted.dtype == np.uint16
    assert np.array_equal(found, wanted)


def test_a_model_does_not_notice_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = LanguageModel(**SMALL).fit(DOCUMENTS, run=QUICK)
    monkeypatch.setattr(data_module, "_IN_MEMORY", 50)
    found = LanguageModel(**SMALL).fit(DOCUMENTS, run=QUICK)
    assert found.evaluate(DOCUMENTS).model == wanted.evaluate(DOCUMENTS).model


def test_large_vocabularies_have_larger_numbers() -> None:
    store = data_module._Store(2**16 + 1)
    store.add(np.array([2**16]))
    assert store.whole().tolist() == [2**16]
    assert data_module._Store(2**16)._dtype == np.uint16


def test_what_may_be_given_as_a_text(tmp_path: Path) -> None:
    """A file, gzip, JSON lines, a folder and a pattern hold the same documents."""
    (tmp_path / "a").mkdir()
    for number, document in enumerate(DOCUMENTS):
        (tmp_path / "a" / f"{number:02}.txt").write_text(document)
    (tmp_path / "b.jsonl").write_text("".join(json.dumps({"text": d}) + "\n" for d in DOCUMENTS))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress((tmp_path / "b.jsonl").read_bytes()))
    places = [
        tmp_path / "a",
        tmp_path / "a" / "*.txt",
        tmp_path / "b.jsonl",
        tmp_path / "c.jsonl.gz",
    ]
    tokenizer = train_tokenizer("characters", [TEXT])
    wanted = tokenize(Texts.open(DOCUMENTS), tokenizer, 0, None, ends=True)
    for place in places:
        for given in (place, str(place)):
            texts = open_texts(given, options())
            found = tokenize(texts, tokenizer, 0, None, ends=True)
            assert np.array_equal(found.tokens, wanted.tokens)
            assert (found.documents, found.words) == (wanted.documents, wanted.words)
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(TEXT.encode("utf-16")))
    texts = open_texts(tmp_path / "d.txt.gz", options(encoding="utf-16"))
    assert tokenize(texts, tokenizer, 0, None, ends=False).characters == len(TEXT)


def test_samples_are_opened_by_name() -> None:
    texts = open_texts("sample:shakespeare", options_for("sample:shakespeare", {}))
    assert texts.name == "sample:shakespeare"
    assert next(texts.pieces()).text.startswith("First Citizen:\n")
    assert options_for("sample:shakespeare", {"holdout": 0.1}).holdout == 0.1
    with pytest.raises(DataError, match="no sample for language-modeling 'sample:weather'"):
        open_texts("sample:weather", options())


def test_an_unknown_character_behind_a_cut_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab\n" * 50 + "aéb\n", encoding="utf-8")
    tokenizer = train_tokenizer("characters", ["ab\n"])
    with pytest.raises(DataError, match=r"a\.txt, line 51: the model knows no 'é'"):
        tokenize(Texts.open(tmp_path / "a.txt"), tokenizer, 120, None, ends=False)
