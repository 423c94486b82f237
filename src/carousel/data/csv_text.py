"""CSV files as text: separator, header, cells, and the line of the file where each row begins.

Reads no number and no time stamp. A file is read a second time, slowly and line by line, only when
an error has to name a line.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from carousel.data.extras import import_extra
from carousel.errors import DataError

OTHER_SEPARATORS = (";", "\t")
_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What reading a file that is damaged, or no CSV, can raise.
_UNREADABLE = (OSError, EOFError, zlib.error, csv.Error)


def read_csv_text(path: Path, separator: str) -> tuple[Any, str]:
    """Reads a CSV file, gzipped or not, with every cell as text.

    Lines that are wholly blank are left out; so are columns without a name, such as the index that
    pandas writes, because no option could name them.

    Args:
        path: of a file that is not empty.
        separator: what its name promises; a header that has none of these tells another.

    Returns:
        The cells as a polars frame, and the separator that was used.

    Raises:
        DataError: for text that is not UTF-8, a column named twice, or a row longer than the
            header; names the line.
    """
    pl = import_extra("polars", "forecasting")
    try:
        _check_encoding(path)
        separator, names = _header(path, separator)
        for place, name in enumerate(names):
            if name and name in names[:place]:
                raise DataError(
                    f"the header names the column {name!r} twice; rename or delete one of them",
                    source=path,
                    line=_first_line(path, separator),
                )
        frame = pl.read_csv(path, separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, *_UNREADABLE, UnicodeDecodeError) as error:
        raise _diagnosis(path, separator, error) from error
    if frame.width != len(names):
        raise DataError(
            f"the header cannot be split into names at {separator!r}; check its quotes",
            source=path,
            line=_first_line(path, separator),
        )
    frame = frame.select(
        [column for column, name in zip(frame.columns, names, strict=True) if name.strip()]
    )
    blank = [pl.col(name).fill_null("").str.strip_chars() == "" for name in frame.columns]
    return frame.filter(~pl.all_horizontal(blank)) if blank else frame.clear(), separator


def line_of_row(path: Path, separator: str, row: int) -> int | None:
    """Returns the line on which a row begins, both as an editor shows them; None if unreadable.

    Args:
        path: of a file that ``read_csv_text`` has read.
        separator: from the same call.
        row: its index in the frame, the header not counted.
    """
    try:
        for k, (line, _) in enumerate(_records(path, separator)):
            if k == row + 1:
                return line
    except (*_UNREADABLE, UnicodeDecodeError):
        pass  # the error that asks for the line is worth more than the line
    return None


def _open(path: Path) -> io.BufferedReader | gzip.GzipFile:
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    return gzip.open(path) if zipped else path.open("rb")


def _check_encoding(path: Path) -> None:
    with _open(path) as file:
        start = file.read(1_000)
    if start[:2] in _UTF_16 or b"\0" in start:
        raise DataError(
            "expected text in UTF-8, got UTF-16 or no text at all; save the file as UTF-8",
            source=path,
        )


def _header(path: Path, separator: str) -> tuple[str, list[str]]:
    """Returns the separator that splits the header, and the names it holds."""
    for candidate in (separator, *OTHER_SEPARATORS):
        for _, names in _records(path, candidate):
            if len(names) > 1:
                return candidate, names
            break
    return separator, next((names for _, names in _records(path, separator)), [])


def _first_line(path: Path, separator: str) -> int | None:
    return line_of_row(path, separator, -1)


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the cells of every record that is not blank, and the line on which it begins."""
    with _open(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator)
        begin, headed = 1, False
        for cells in reader:
            # A first line of nothing but separators is a header still, if a poor one.
            if (cells and not headed) or any(cell.strip() for cell in cells):
                headed = True
                yield begin, cells
            begin = reader.line_num + 1


def _diagnosis(path: Path, separator: str, error: Exception) -> DataError:
    """Returns what is wrong with a file that cannot be read, with the line where it is known."""
    problem, line = str(error).splitlines()[0], None
    try:
        line = _line_of_other_encoding(path)
        if line is not None:
            problem = "expected text in UTF-8, got another encoding; save the file as UTF-8"
        else:
            found = _longer_row(path, separator)
            if found is not None:
                line, problem = found
    except (*_UNREADABLE, UnicodeDecodeError):
        pass  # the first reader's own words remain
    return DataError(f"the file cannot be read as a table: {problem}", source=path, line=line)


def _line_of_other_encoding(path: Path) -> int | None:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None


def _longer_row(path: Path, separator: str) -> tuple[int, str] | None:
    names: Sequence[str] | None = None
    for line, cells in _records(path, separator):
        if names is None:
            names = cells
        elif len(cells) > len(names):
            remedy = (
                "put quotes around text or numbers that hold the separator"
                if len(names) > 1 and not names[0].startswith("#")
                else "delete what stands above the line that names the columns"
            )
            return line, (
                f"expected {len(names)} cells as in the header, got {len(cells)} "
                f"(separated by {separator!r}); {remedy}"
            )
    return None
