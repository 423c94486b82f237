"""From text to the tokens of training, validation and holdout, and what they were made of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.data.samples import is_sample, sample_path, with_sample
from carousel.data.texts import Piece, Texts
from carousel.data.tokenizers import Encoder, Tokenizer, train_tokenizer
from carousel.errors import DataError
from carousel.tasks.language_modeling.options import LanguageModelingOptions

TASK = "language-modeling"
_CHUNK = 1 << 20  # tokens looked at at once
_IN_MEMORY = 64 << 20  # bytes of tokens; more are kept in a file


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One stretch of a text as tokens.

    Attributes:
        tokens: (N + 1,) behind an END, which is what the first token is predicted from.
        characters, bytes, words: what the text has; line ends count among the words, as Mikolov's
            Penn Treebank counts them.
        documents: that end in it, or are cut by its end.
        unknown: how many words the tokenizer does not know.
    """

    tokens: np.ndarray
    characters: int
    bytes: int
    words: int
    documents: int
    unknown: int

    def __len__(self) -> int:
        return len(self.tokens) - 1


def options_for(data: Any, given: dict[str, Any]) -> LanguageModelingOptions:
    """Returns the options for this data: what was given outranks what a sample says of itself."""
    return LanguageModelingOptions(**with_sample(data, TASK, given))


def open_texts(data: Any, options: LanguageModelingOptions) -> Texts:
    """Opens files, folders, patterns, ``sample:NAME`` or a list of texts; see ``Texts.open``."""
    place = sample_path(data, TASK) if is_sample(data) else data
    texts = Texts.open(place, field=options.field, encoding=options.encoding)
    if is_sample(data):
        texts.name = data
    return texts


def cuts(texts: Texts, options: LanguageModelingOptions, validates: bool) -> tuple[int, int]:
    """Returns where training ends and where the holdout begins, in characters.

    Where there are several documents, the cuts lie between them if that leaves every part some;
    words are not cut, but lines kept whole.
    """
    extent = texts.measure()
    size = extent.characters
    validation = options.validation if validates else 0.0
    wanted = [int(size * (1 - validation - options.holdout)), int(size * (1 - options.holdout))]
    places = [_fitting(texts, place, options.tokenizer) for place in wanted]
    if places[0] == places[1] and validation > 0:  # one long line or document holds both
        places[0] = wanted[0]
    if places[0] == 0:
        raise DataError(
            f"the text is too short to be split: {size} characters; give more, or set holdout and "
            f"validation to 0",
            source=texts.name,
        )
    return places[0], places[1]


def _fitting(texts: Texts, place: int, kind: str) -> int:
    extent = texts.measure()
    if place >= extent.characters:
        return extent.characters
    if extent.documents > 1 and (end := texts.cut_at_document(place)) < extent.characters:
        return end
    if kind == "words" and (end := texts.cut_at_line(place)) < extent.characters:
        return end
    return place


def learn_tokenizer(texts: Texts, end: int, options: LanguageModelingOptions) -> Tokenizer:
    """Learns the vocabulary from the first ``end`` characters.

    Which characters there are is taken from the whole text: a rare one must not make its own
    holdout unreadable, and tells nothing of where it comes.
    """
    return train_tokenizer(
        options.tokenizer,
        _between_documents(texts.pieces(0, None if options.tokenizer == "characters" else end)),
        size=options.vocabulary_size,
        min_count=options.min_count,
    )


def count_tokens(part: Part, vocabulary: int) -> np.ndarray:
    """Returns how often each token comes, (V,) int64."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    for first in range(1, len(part.tokens), _CHUNK):
        counts += np.bincount(part.tokens[first : first + _CHUNK], minlength=vocabulary)
    return counts


def _between_documents(pieces: Iterable[Piece]) -> Iterator[str | None]:
    for piece in pieces:
        yield piece.text
        if piece.ends_document:
            yield None


def tokenize(
    texts: Texts, tokenizer: Tokenizer, begin: int, end: int | None, *, ends: bool
) -> Part:
    """Returns the text between two positions as tokens.

    Args:
        texts: where it stands.
        tokenizer: which makes the tokens.
        begin: first character.
        end: behind the last one; None for all.
        ends: whether END stands behind each document, as it does where a model was trained on
            several.
    """
    line = 1 + _lines_before(texts, begin) if tokenizer.kind == "characters" else 1
    store = _Store(len(tokenizer))
    store.add(np.array([tokenizer.end]))
    characters = size = words = documents = unknown = 0
    encoder: Encoder | None = None
    within = False  # a word goes on
    for piece in texts.pieces(begin, end):
        if encoder is None:
            encoder = Encoder(tokenizer, source=piece.source, line=line)
            documents, within, line = documents + 1, False, 1
        text = piece.text
        characters += len(text)
        size += len(text.encode())
        words += len(text.split()) + text.count("\n") - (within and not text[0].isspace())
        within = not text[-1].isspace()
        found = [encoder.feed(text)]
        if piece.ends_document:
            found += [encoder.finish(), np.array([tokenizer.end] if ends else [], dtype=np.int32)]
            encoder = None
        for ids in found:
            store.add(ids)
            unknown += _count(ids, tokenizer.unknown)
    if encoder is not None:
        ids = encoder.finish()
        store.add(ids)
        unknown += _count(ids, tokenizer.unknown)
    return Part(
        tokens=store.whole(),
        characters=characters,
        bytes=size,
        words=words,
        documents=documents,
        unknown=unknown,
    )


def _lines_before(texts: Texts, place: int) -> int:
    """Returns how many lines of a document end between its begin and a place inside it."""
    lines = 0
    for piece in texts.pieces(0, place):
        lines = 0 if piece.ends_document else lines + piece.text.count("\n")
    return lines


def _count(ids: np.ndarray, token: int | None) -> int:
    return 0 if token is None else int((ids == token).sum())


class _Store:
    """Tokens that come one stretch after the other, in memory or, where they are many, in a file.

    Args:
        vocabulary: how many different ones there are.
    """

    def __init__(self, vocabulary: int) -> None:
        self._dtype = np.dtype(np.uint16 if vocabulary <= 2**16 else np.uint32)
        self._parts: list[np.ndarray] = []
        self._file: Any = None
        self._size = self._written = 0

    def add(self, ids: np.ndarray) -> None:
        self._parts.append(ids.astype(self._dtype))
        self._size += ids.nbytes
        if self._size > _IN_MEMORY:
            self._spill()

    def whole(self) -> np.ndarray:
        """Returns all tokens; the file lives as long as the array."""
        if self._file is None:
            return np.concatenate(self._parts)
        self._spill()
        self._file.flush()
        with self._file:  # the array has a handle of its own
            return np.memmap(self._file, dtype=self._dtype, mode="r", shape=(self._written,))

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="carousel-")  # noqa: SIM115 - lives on
        for part in self._parts:
            self._file.write(part.tobytes())
            self._written += len(part)
        self._parts, self._size = [], 0
