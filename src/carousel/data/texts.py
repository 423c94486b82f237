"""Text for language models, read lazily: files, folders, gzip, JSON lines, or text as such.

What is larger than memory is streamed, all but a single line of JSON lines. Knows nothing of
tokens, of how text is split, nor of samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carousel.data import text_files
from carousel.errors import DataError, OptionError, nearest


@dataclass(frozen=True)
class Piece:
    """A stretch of one document."""

    text: str  # never empty, at most about 1 Mi characters, lines ended by "\n" alone
    ends_document: bool  # the document ends behind this piece
    source: str  # the file, or "" for text that was given as such


@dataclass(frozen=True)
class Extent:
    """What one pass over texts finds."""

    characters: int
    documents: int  # that are not empty
    digest: str  # see Texts.prefix_digest


class Texts:
    """Documents of text that can be read again and again; ``name`` is what the user gave.

    Positions are characters over all documents laid end to end; a document's end counts none.
    What cannot be read as text, or is all empty, raises a DataError when it is read.
    """

    def __init__(self, name: str, parts: Sequence[Any], encoding: str, field: str) -> None:
        self.name = name
        self._parts = tuple(parts)  # files, and documents as they are
        self._encoding = encoding
        self._field = field
        self._extent: Extent | None = None  # measured once

    @classmethod
    def open(cls, data: Any, *, field: str = "text", encoding: str = "utf-8") -> Texts:
        """Finds the files; of what stands in them nothing is read yet.

        Args:
            data: path of a file of text, of JSON lines (``.jsonl``, ``.ndjson``; an object or a
                string a line, each a document), or of either with ``.gz``; of a folder, of which
                all such files are read in the order of their paths, hidden ones left out; a
                pattern (``books/*.txt``); or a list of texts, each a document.
            field: of the JSON objects, where the document stands.
            encoding: of the files, as Python names it.

        Raises:
            DataError: for a path without text, or data of another kind.
            OptionError: for an unknown encoding.
        """
        encoding = text_files.known_encoding(encoding)
        if isinstance(data, str | Path):
            return cls(str(data), text_files.found_files(data), encoding, field)
        is_list = isinstance(data, list | tuple)
        if wrong := [x for x in (data if is_list else [data]) if not isinstance(x, str)]:
            raise DataError(
                f"expected a path or a list of texts, got {'a list of ' if is_list else ''}"
                f"{type(wrong[0]).__name__}; give text as [text], many files as a folder or pattern"
            )
        return cls(f"a list of {len(data)} text{'s' * (len(data) != 1)}", data, encoding, field)

    def pieces(self, begin: int = 0, end: int | None = None) -> Iterator[Piece]:
        """Yields what lies between two positions, ``end`` None for all, piece by piece.

        A document that ``end`` cuts has no end; one that ends exactly there has.

        Raises:
            OptionError: unless 0 <= begin <= end.
        """
        if begin < 0 or (end is not None and end < begin):
            raise OptionError(f"expected 0 <= begin <= end, got begin {begin} and end {end}")
        place = 0
        for piece in self._all() if end != 0 else ():
            size = len(piece.text)
            low = max(begin - place, 0)
            high = size if end is None else min(end - place, size)
            if low < high:
                ends = piece.ends_document and high == size
                yield Piece(piece.text[low:high], ends, piece.source)
            place += size
            if end is not None and place >= end:
                return

    def measure(self) -> Extent:
        """Returns how much text there is, from a single pass over it; a second call makes none."""
        if self._extent is None:
            self._extent = _extent(self.pieces())
        return self._extent

    def prefix_digest(self, characters: int) -> str:
        """Returns the digest of the first so many characters, however they are cut into pieces.

        It is the sha256, in hexadecimal, of each document's characters in UTF-8, with the byte
        0xff behind each document but the last: of a text that has grown, what was there before
        keeps its digest.

        Raises:
            DataError: where the text is shorter.
        """
        found = _extent(self.pieces(0, characters))
        if found.characters < characters:
            raise DataError(
                f"expected {characters} characters or more, got {found.characters}; "
                "give the whole text",
                source=self.name,
            )
        return found.digest

    def cut_at_document(self, position: int) -> int:
        """Returns the first document's end at or behind a position, or else the text's length."""
        place = 0
        for piece in self.pieces():
            place += len(piece.text)
            if piece.ends_document and place >= position:
                break
        return place

    def cut_at_line(self, position: int) -> int:
        """Returns the offset just behind the first line's end at or behind a position.

        That is a "\\n", or a document's end if that comes first, or else the text's length.
        """
        place = 0
        for piece in self.pieces():
            found = piece.text.find("\n", max(position - place, 0))
            if found >= 0:
                return place + found + 1
            place += len(piece.text)
            if piece.ends_document and place >= position:
                break
        return place

    def _all(self) -> Iterator[Piece]:
        is_empty = True
        for index, part in enumerate(self._parts):
            if isinstance(part, str):
                pieces = _joined(_cut(part, source=f"{self.name}, index {index}"), "")
            elif text_files.ends_in(text_files.JSON_SUFFIXES, part):
                pieces = _json_pieces(part, self._encoding, self._field)
            else:
                pieces = _joined(text_files.decoded(part, self._encoding), str(part))
            for piece in pieces:
                is_empty = False
                yield piece
        if is_empty:
            raise DataError("the text is empty", source=self.name)


def _extent(pieces: Iterable[Piece]) -> Extent:
    characters, documents, digest = 0, 0, hashlib.sha256()
    ended = False
    for piece in pieces:
        characters += len(piece.text)
        documents += piece.ends_document
        digest.update((b"\xff" if ended else b"") + piece.text.encode("utf-8"))  # no UTF-8 has it
        ended = piece.ends_document
    return Extent(characters, documents, digest.hexdigest())


def _joined(texts: Iterable[str], source: str) -> Iterator[Piece]:
    """Yields one document's pieces, each held back until it is known whether it is the last."""
    held = ""
    for text in texts:
        if held and text:
            yield Piece(held, False, source)
        held = text or held
    if held:
        yield Piece(held, True, source)


def _cut(document: str, **place: Any) -> Iterator[str]:
    """Yields a document that is in memory, in parts; its place is for a DataError."""
    if wrong := text_files.unreadable_signs(document):
        raise DataError(f"expected text, got {wrong} in it; delete it", **place)
    document = text_files.plain_ends(document)
    for begin in range(0, len(document), text_files.PIECE):
        yield document[begin : begin + text_files.PIECE]


def _json_pieces(path: Path, encoding: str, field: str) -> Iterator[Piece]:
    lines = text_files.divided(text_files.decoded(path, encoding))
    for number, line in enumerate(lines, start=1):
        place = {"source": path, "line": number}
        if line.strip():
            yield from _joined(_cut(_document(line, field, place), **place), str(path))


def _document(line: str, field: str, place: dict[str, Any]) -> str:
    """Returns the document of one line; for an object its field is added to the place."""
    remedy = "name the file .txt if it is plain text"
    value = text_files.json_value(line, (dict, str), "a JSON object or string", remedy, **place)
    if isinstance(value, str):
        return value
    place["column"] = field
    text = value.get(field)
    if isinstance(text, str):
        return text
    if field in value:
        problem = f"expected text, got {json.dumps(text)[:40]}; delete the line, or"
    else:
        guess = nearest(field, value)
        problem = "the object has no such field; " + (f"did you mean {guess!r}? " if guess else "")
        problem += f"it has: {', '.join(value) or 'none'};"
    raise DataError(f"{problem} name the field that holds the text by --field", **place)
