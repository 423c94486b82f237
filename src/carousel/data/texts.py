"""Text for language models, read lazily: files, folders, gzip, JSON lines, or text as such.

What is larger than memory is streamed, all but a single line of JSON lines. Knows nothing of
tokens, of how text is split, nor of samples.
"""

from __future__ import annotations

import codecs
import encodings.aliases
import glob
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carousel.errors import DataError, OptionError, nearest

PIECE = 1 << 20  # bytes read at a time, and hence the most characters of a piece
JSON_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (".txt", ".text", ".md", *JSON_SUFFIXES)  # of what is read in a folder

_WIDE = {"utf-16": 2, "utf-32": 4}  # bytes of a NUL, where it is not one


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
        encoding = _known(encoding)
        if isinstance(data, str | Path):
            return cls(str(data), _files(data), encoding, field)
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
        0xff behind each document that ends at or before position ``characters``.

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
            elif _ends_in(JSON_SUFFIXES, part):
                pieces = _json_pieces(part, self._encoding, self._field)
            else:
                pieces = _joined(_decoded(part, self._encoding), str(part))
            for piece in pieces:
                is_empty = False
                yield piece
        if is_empty:
            raise DataError("the text is empty", source=self.name)


def _extent(pieces: Iterable[Piece]) -> Extent:
    characters, documents, digest = 0, 0, hashlib.sha256()
    for piece in pieces:
        characters += len(piece.text)
        documents += piece.ends_document
        digest.update(piece.text.encode("utf-8"))
        if piece.ends_document:
            digest.update(b"\xff")  # which UTF-8 never has
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
    if wrong := _wrong(document):
        raise DataError(f"expected text, got {wrong} in it; delete it", **place)
    if "\r" in document:
        document = re.sub("\r\n?", "\n", document)
    for begin in range(0, len(document), PIECE):
        yield document[begin : begin + PIECE]


def _json_pieces(path: Path, encoding: str, field: str) -> Iterator[Piece]:
    for number, line in enumerate(_lines(_decoded(path, encoding)), start=1):
        place = {"source": path, "line": number}
        if line.strip():
            yield from _joined(_cut(_document(line, field, place), **place), str(path))


def _lines(texts: Iterable[str]) -> Iterator[str]:
    parts: list[str] = []  # joined once, because a line may be long
    for text in texts:
        *whole, rest = text.split("\n")
        for line in whole:
            yield "".join([*parts, line])
            parts = []
        parts.append(rest)
    yield "".join(parts)


def _document(line: str, field: str, place: dict[str, Any]) -> str:
    """Returns the document of one line; for an object its field is added to the place."""
    try:
        value = json.loads(line)
        if isinstance(value, str):
            return value
        if not isinstance(value, dict):
            raise ValueError(json.dumps(value)[:40])
    except (ValueError, RecursionError) as error:
        # JSON's own line is always 1, and would be taken for the file's.
        reason = str(error).replace("line 1 column", "character")
        raise DataError(
            f"expected a JSON object or string on each line, got something else ({reason}); "
            "correct the line, or name the file .txt if it is plain text",
            **place,
        ) from None
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


def _known(encoding: str) -> str:
    """Returns an encoding's own name."""
    try:
        codec = codecs.lookup(encoding)
        if codec._is_text_encoding and codec.incrementaldecoder is not None:
            return codec.name
    except (LookupError, ValueError):
        pass
    guess = nearest(encoding.replace("-", "_"), sorted({*encodings.aliases.aliases.values()}))
    raise OptionError(
        f"there is no encoding {encoding!r} of text; {f'did you mean {guess}? ' if guess else ''}"
        "known are those of Python, such as utf-8, utf-16, latin-1, cp1252"
    )


def _ends_in(suffixes: tuple[str, ...], path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(suffixes)


def _files(data: str | Path) -> list[Path]:
    """Returns the files that a path or pattern means, in order."""
    path, name = Path(data), str(data)
    if name and os.path.isdir(name):
        return _files_below(path)
    if os.path.exists(name):
        if not path.is_file():
            raise DataError("expected a file, got a pipe or device; save it first", source=path)
        if path.stat().st_size == 0:
            raise DataError("the file is empty", source=path)
        return [path]
    is_text = not name or any(sign in name for sign in "\n\r\0")
    is_pattern = glob.has_magic(name) and not is_text
    found = map(Path, glob.glob(name, recursive=True) if is_pattern else ())
    if files := sorted((each for each in found if each.is_file()), key=lambda each: each.parts):
        return files
    problem = "the pattern fits no file" if is_pattern else "there is no such file"
    if is_text or len(name) > 200:
        raise DataError(f"{problem} as {name[:40]!r}; text itself is given as a list, [text]")
    raise DataError(f"{problem}; check the path", source=name)


def _files_below(folder: Path) -> list[Path]:
    found: list[Path] = []
    errors: list[OSError] = []
    for place, inner, names in os.walk(folder, onerror=errors.append):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    if errors:
        raise _unreadable(errors[0].filename, errors[0])
    found.sort(key=lambda path: path.parts)
    if files := [path for path in found if _ends_in(SUFFIXES, path)]:
        return files
    shown = [str(path.relative_to(folder)) for path in found[:5]]
    raise DataError(
        f"expected a folder of files that end in {', '.join(SUFFIXES)} (or these with .gz), got "
        f"{', '.join(shown) or 'no file'}{', ...' if len(found) > 5 else ''}; "
        "for others give a pattern such as 'folder/*.log'",
        source=folder,
    )


def _unreadable(path: str | Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"it cannot be read ({error.strerror}); check the path", source=path)
    return DataError(f"the gzip file is damaged or cut off ({error}); get it anew", source=path)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b" or path.suffix.lower() == ".gz"
        with gzip.open(path) if zipped else path.open("rb") as content:
            while chunk := content.read(PIECE):
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    """Yields a file's text without its byte order mark, each line ended by "\\n" alone."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    offset, line, begun = 0, 1, False
    for chunk in itertools.chain(_chunks(path), [b""]):
        before = decoder.getstate()
        text, wrong, back = _decode(decoder, chunk)
        if wrong:
            # Byte by byte once more, to know the place, whatever the encoding.
            decoder.setstate(before)
            for byte in [chunk[k : k + 1] for k in range(len(chunk))] or [b""]:
                text, wrong, back = _decode(decoder, byte)
                offset += len(byte)
                line += text.count("\n")
                if wrong:
                    break
            place = offset - (back or _WIDE.get(encoding[:6], 1))
            raise DataError(
                f"expected text in {encoding}, got {wrong or 'something else'} at byte offset "
                f"{place}; {_remedy(path, encoding, chunk)}",
                source=path,
                line=line + (decoder.getstate()[1] & 1),  # a "\r" that waits for its "\n"
            )
        offset += len(chunk)
        line += text.count("\n")
        yield text if begun else text.removeprefix("\ufeff")
        begun = begun or bool(text)


def _decode(decoder: io.IncrementalNewlineDecoder, chunk: bytes) -> tuple[str, str, int]:
    """Returns the text of the next bytes (none: the end), and what is wrong with them or "".

    Last comes how many bytes before their end it begins; 0 for a character that no text holds.
    """
    try:
        text = decoder.decode(chunk, not chunk)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        # The object begins with bytes that were held back, and ends with the last of the chunk.
        return "", f"the byte 0x{byte:02x} ({error.reason})", len(error.object) - error.start
    except UnicodeError as error:
        return "", str(error), len(chunk)
    return text, _wrong(text), 0


def _wrong(text: str) -> str:
    """Returns in words what no text holds and this one does, or ""."""
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"half a surrogate pair (U+{ord(text[error.start]):04X})"
    return ""


def _remedy(path: Path, encoding: str, chunk: bytes) -> str:
    if encoding[:6] in _WIDE:
        return f"give --encoding {encoding[:6]}-le or -be if it has no byte order mark, or another"
    if next(_chunks(path), b"").startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it has the byte order mark of UTF-16: give --encoding utf-16"
    if b"\0" in chunk:
        return "is it a binary file? if it is text in UTF-16, give --encoding utf-16-le"
    other = "latin-1" if encoding == "utf-8" else "utf-8"
    return f"give its encoding, say --encoding {other}, or convert it: iconv -f ENCODING -t UTF-8"
