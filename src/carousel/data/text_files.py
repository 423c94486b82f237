"""Files of text: which ones a path means, and what stands in them, decoded piece by piece.

Knows nothing of documents.
"""

from __future__ import annotations

import codecs
import encodings.aliases
import glob
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from carousel.errors import DataError, OptionError, nearest

PIECE = 1 << 20  # bytes read at a time, and hence the most characters of a piece
JSON_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (".txt", ".text", ".md", *JSON_SUFFIXES)  # of what is read in a folder

_WIDE = {"utf-16": 2, "utf-32": 4}  # bytes of a NUL, where it is not one


def known_encoding(encoding: str) -> str:
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


def ends_in(suffixes: tuple[str, ...], path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(suffixes)


def found_files(data: str | Path) -> list[Path]:
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
    if files := [path for path in found if ends_in(SUFFIXES, path)]:
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


def decoded(path: Path, encoding: str) -> Iterator[str]:
    """Yields a file's text without its byte order mark, each line ended by "\\n" alone."""
    return decoded_bytes(_chunks(path), encoding, str(path))


def decoded_bytes(chunks: Iterable[bytes], encoding: str, source: str) -> Iterator[str]:
    """Yields the text of bytes as they come, without their byte order mark.

    Args:
        chunks: none of them empty; a character may be divided between two.
        encoding: as ``known_encoding`` calls it.
        source: what the bytes are of, for a message.

    Yields:
        The text of each chunk, each line ended by "\\n" alone; last what the end completes.

    Raises:
        DataError: for what is no text in this encoding; names its line and byte.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    offset, line, begin, begun = 0, 1, b"", False
    for chunk in itertools.chain(chunks, [b""]):
        begin = begin or chunk[:2]
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
                f"{place}; {_remedy(begin, encoding, chunk)}",
                source=source,
                line=line + (decoder.getstate()[1] & 1),  # a "\r" that waits for its "\n"
            )
        offset += len(chunk)
        line += text.count("\n")
        yield text if begun else text.removeprefix("\ufeff")
        begun = begun or bool(text)


def one_file(path: str | Path) -> Path:
    """Returns the only file that a path or pattern means.

    Raises:
        DataError: where there is none, it is empty, or there are several.
    """
    files = found_files(path)
    if len(files) > 1:
        raise DataError(
            f"expected one file, got {len(files)} ({files[0].name}, ...); join them first",
            source=path,
        )
    return files[0]


def file_lines(path: str | Path, encoding: str) -> list[str]:
    """Returns the lines of one file, without their ends, blank ones too.

    Raises:
        DataError: where it cannot be read, is empty, or the path means several files.
    """
    lines = list(divided(decoded(one_file(path), encoding)))
    if not lines:
        raise DataError("the file is empty", source=path)
    return lines


def text_lines(text: str) -> list[str]:
    """Returns the lines of a text, which end where those of a file do; none of an empty text."""
    return list(divided([plain_ends(text)]))


def plain_ends(text: str) -> str:
    """Returns a text whose lines end by "\\n" alone."""
    return re.sub("\r\n?", "\n", text) if "\r" in text else text


def divided(texts: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a text that comes in pieces, each as soon as it is whole.

    Args:
        texts: with lines that end by "\\n" alone; the last one may have no end.
    """
    parts: list[str] = []  # joined once, because a line may be long
    for text in texts:
        *whole, rest = text.split("\n")
        for line in whole:
            yield "".join([*parts, line]) if parts else line
            parts.clear()
        if rest:
            parts.append(rest)
    if parts:
        yield "".join(parts)


def json_value(text: str, kinds: tuple[type, ...], words: str, remedy: str, **place: Any) -> Any:
    """Returns the JSON value of a line.

    Args:
        text: a line of a file of JSON lines.
        kinds: that it may be of.
        words: the same in words, such as "a JSON object".
        remedy: what to do about another.
        **place: of the line, for the message.

    Raises:
        DataError: for what is no JSON, or of another kind.
    """
    try:
        value = json.loads(text)
        if not isinstance(value, kinds):
            raise ValueError(json.dumps(value)[:40])
    except (ValueError, RecursionError) as error:
        # JSON's own line is always 1, and would be taken for the file's.
        reason = str(error).replace("line 1 column", "character")
        raise DataError(
            f"expected {words} on each line, got something else ({reason}); correct the line, or "
            f"{remedy}",
            **place,
        ) from None
    return value


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
    return text, unreadable_signs(text), 0


def unreadable_signs(text: str) -> str:
    """Returns in words what no text holds and this one does, or ""."""
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"half a surrogate pair (U+{ord(text[error.start]):04X})"
    return ""


def _remedy(begin: bytes, encoding: str, chunk: bytes) -> str:
    if encoding[:6] in _WIDE:
        return f"give --encoding {encoding[:6]}-le or -be if it has no byte order mark, or another"
    if begin.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it has the byte order mark of UTF-16: give --encoding utf-16"
    if b"\0" in chunk:
        return "is it a binary file? if it is text in UTF-16, give --encoding utf-16-le"
    other = "latin-1" if encoding == "utf-8" else "utf-8"
    return f"give its encoding, say --encoding {other}, or convert it: iconv -f ENCODING -t UTF-8"
