"""Manifests: which recordings there are, where, who speaks, and what is said in them.

A table (CSV, TSV), JSON lines, a Kaldi data folder, or a list. Opens no recording, and knows
nothing of samples or of words. All is held in memory.
"""

from __future__ import annotations

import contextlib
import csv
import math
import numbers
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from carousel.data import text_files
from carousel.data.csv_text import OTHER_SEPARATORS
from carousel.errors import DataError, OptionError, unknown_name

CSV, TSV = ".csv", ".tsv"
SUFFIXES = (TSV, CSV, *text_files.JSON_SUFFIXES)
OPTIONAL = ("start", "end", "speaker", "name")

_ARCHIVE = re.compile(r".*\.ark:\d+")


class Entry(NamedTuple):
    """One recording, or a part of one, as a manifest tells of it."""

    audio: str  # path of the file
    text: str  # what is said, its words parted by single blanks
    start: float  # seconds from the file's beginning; NaN where none is given
    end: float  # seconds from the file's beginning; NaN where none is given
    speaker: str  # "" where unknown
    name: str  # no other entry has it; "" where none is given
    line: int  # where it stood in its file or list, from 1


class _Place(NamedTuple):
    """Where something stands that may be wrong."""

    source: str | Path
    line: int | None = None

    def error(self, problem: str, column: str | None = None) -> DataError:
        return DataError(problem, source=self.source, line=self.line, column=column)


_Found = Iterator[tuple[Entry, _Place]]


def read_manifest(data: Any, *, audio: str, text: str, encoding: str) -> tuple[list[Entry], str]:
    """Returns the entries of a manifest in its order, and what to call it.

    Args:
        data: as for ``Recordings.read``.
        audio: column of the paths.
        text: column of what is said.
        encoding: of the files, as Python names it.

    Raises:
        DataError: for what cannot be read or is no manifest, two equal names, or no entry at all.
        OptionError: for an unknown encoding, or one column for both.
    """
    if audio == text:
        raise OptionError(f"expected two columns, audio and text, got {audio!r} for both")
    encoding = text_files.known_encoding(encoding)
    # Who calls a column "speaker" the text has no speakers.
    columns = {"audio": audio, "text": text}
    columns |= {role: role for role in OPTIONAL if role not in (audio, text)}
    if isinstance(data, str | Path):
        name = str(data)
        is_folder = name != "" and os.path.isdir(name)
        found = _kaldi(Path(data), encoding) if is_folder else _file(data, columns, encoding)
    elif isinstance(data, list | tuple):
        name = f"a list of {len(data)} recording{'s' * (len(data) != 1)}"
        found = _list(data, columns, name)
    else:
        raise DataError(
            f"expected a path or a list of recordings, got {type(data).__name__}; give a manifest "
            "by its path, or [(audio, text), ...]"
        )
    entries = _distinct(found)
    if not entries:
        raise DataError("expected recordings, got none; give at least one", source=name)
    return entries, name


def _distinct(found: _Found) -> list[Entry]:
    entries: list[Entry] = []
    first: dict[str, str] = {}
    for entry, place in found:
        if entry.name in first:
            raise place.error(
                f"two recordings are named {entry.name!r}, the first {first[entry.name]}; rename "
                "one or leave it out"
            )
        if entry.name:
            where = f"at index {entry.line - 1}" if place.line is None else f"on line {place.line}"
            first[entry.name] = where
        entries.append(entry)
    return entries


def _file(data: str | Path, columns: Mapping[str, str], encoding: str) -> _Found:
    path = text_files.found_files(data)[0]
    if not text_files.ends_in(SUFFIXES, path):  # such as sound, which is no text
        raise DataError(
            f"expected a name that ends in {', '.join(SUFFIXES)} (or these with .gz), or a Kaldi "
            f"folder, got {path.name!r}; rename it if it is one of these",
            source=data,
        )
    lines = text_files.file_lines(data, encoding)  # refuses several
    if text_files.ends_in(text_files.JSON_SUFFIXES, path):
        rows = _json_rows(path, lines, columns)
    else:
        rows = _table_rows(path, lines, columns)
    for line, values in rows:
        place = _Place(path, line)
        yield _entry(values, columns, path.parent, line, place), place


def _table_rows(
    path: Path, lines: Sequence[str], columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, str]]]:
    header: list[str] = []
    for line, cells in _records(path, lines):
        place = _Place(path, line)
        if not header:
            header = [cell.strip() for cell in cells]
            _check_header(header, columns, place)
        elif len(cells) != len(header):
            raise place.error(
                f"expected {len(header)} fields as in the header, got {len(cells)}; in a CSV file "
                "put quotes around text that holds the separator, in a TSV file leave out TABs"
            )
        else:
            yield line, dict(zip(header, cells, strict=True))


def _check_header(header: list[str], columns: Mapping[str, str], place: _Place) -> None:
    for role, column in columns.items():
        if header.count(column) > 1:
            raise place.error(f"the header names the column {column!r} twice; rename or delete one")
        if column not in header and role not in OPTIONAL:
            raise place.error(
                f"{unknown_name('column', column, header)}; the first line names the columns, and "
                "which of them are meant is told by audio and text"
            )


def _separator(lines: Iterable[str]) -> str:
    """Returns what divides the cells of a CSV file; spreadsheets do not agree on the comma."""
    header = next((line for line in lines if line.strip()), "")
    return next((sign for sign in (",", *OTHER_SEPARATORS) if sign in header), ",")


def _records(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields the cells of every record that is not blank, and the line on which it begins."""
    is_csv = text_files.ends_in((CSV,), path)
    rows: Iterator[list[str]] = (line.split("\t") for line in lines)
    if is_csv:
        ended = (line + "\n" for line in lines)
        rows = reader = csv.reader(ended, delimiter=_separator(lines), strict=True)
    begin = 1
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                yield begin, cells
            begin = 1 + (reader.line_num if is_csv else begin)
    except csv.Error as error:
        raise _Place(path, begin).error(
            f"expected each quote that opens a field to be closed, got something else ({error}); "
            'close it, and write a quote within quotes twice: "say ""no"""'
        ) from None


def _json_rows(
    path: Path, lines: Sequence[str], columns: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = _Place(path, number)
        remedy = "name the file .csv or .tsv if it is a table"
        value = text_files.json_value(
            line, (dict,), "a JSON object", remedy, source=path, line=number
        )
        _check_fields(value, columns, place)
        yield number, value


def _list(data: Iterable[Any], columns: Mapping[str, str], name: str) -> _Found:
    for index, item in enumerate(data):
        place = _Place(f"{name}, index {index}")
        if isinstance(item, Mapping):
            _check_fields(item, columns, place)
        elif isinstance(item, list | tuple) and len(item) == 2:
            item = dict(zip((columns["audio"], columns["text"]), item, strict=True))
        else:
            raise place.error(
                f"expected a pair (audio, text) or a dict, got {repr(item)[:40]}; a manifest is "
                "given by its path alone"
            )
        yield _entry(item, columns, Path(), index + 1, place), place


def _check_fields(values: Mapping[Any, Any], columns: Mapping[str, str], place: _Place) -> None:
    for role in ("audio", "text"):
        if columns[role] not in values:
            problem = unknown_name("field", columns[role], map(str, values))
            raise place.error(f"{problem}; name the fields by audio and text")


def _kaldi(folder: Path, encoding: str) -> _Found:
    """Yields the utterances of a Kaldi data folder in the order of its file ``text``."""
    paths = {name: folder / name for name in ("wav.scp", "text", "segments", "utt2spk")}
    for name in ("wav.scp", "text"):
        if not paths[name].is_file():
            raise DataError(
                f"expected a Kaldi folder with the files wav.scp and text, got no {name}; "
                "write it, or give another kind of manifest by its own path",
                source=folder,
            )
    tables = {name: _kaldi_table(path, encoding) for name, path in paths.items() if path.is_file()}
    for line, path in tables["wav.scp"].values():
        _check_kaldi_audio(path, _Place(paths["wav.scp"], line))
    for name, table in tables.items():
        if name != "text" and not (name == "wav.scp" and "segments" in tables):
            _check_same_utterances(tables["text"], table, paths["text"], paths[name])
    columns = {role: role for role in ("audio", "text", *OPTIONAL)}
    for name, (line, text) in tables["text"].items():
        values = {"text": text, "name": name}
        place = _Place(paths["text"], line)
        recording = name
        if "segments" in tables:
            number, cells = tables["segments"][name]
            place = _Place(paths["segments"], number)
            recording, values["start"], values["end"] = _segment(cells, place)
            if recording not in tables["wav.scp"]:
                raise place.error(
                    f"there is no recording {recording!r} in {paths['wav.scp']}; add it there or "
                    "delete the line here"
                )
        values["audio"] = tables["wav.scp"][recording][1]
        if "utt2spk" in tables:
            values["speaker"] = tables["utt2spk"][name][1]
        yield _entry(values, columns, folder, line, place), place


def _kaldi_table(path: Path, encoding: str) -> dict[str, tuple[int, str]]:
    """Returns the number and the rest of each line by its first word."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text_files.file_lines(path, encoding), start=1):
        if not line.strip():
            continue
        name, *rest = line.split(maxsplit=1)
        if name in found:
            raise DataError(
                f"{name!r} stands here and on line {found[name][0]}; rename one or leave it out",
                source=path,
                line=number,
            )
        found[name] = number, rest[0].rstrip() if rest else ""
    return found


def _check_kaldi_audio(path: str, place: _Place) -> None:
    if not path:
        raise place.error("expected the path of an audio file, got none; give it")
    if path.endswith("|") or _ARCHIVE.fullmatch(path):
        kind = "a command" if path.endswith("|") else "a place in an archive"
        raise place.error(
            f"expected the path of an audio file, got {kind}, {path[:60]!r}; write what it makes "
            "to a file (with that command, or with Kaldi's wav-copy) and give the file's path"
        )


def _check_same_utterances(
    texts: Mapping[str, tuple[int, str]],
    others: Mapping[str, tuple[int, str]],
    text_path: Path,
    other_path: Path,
) -> None:
    for these, those, path, lacking in (
        (texts, others, text_path, other_path),
        (others, texts, other_path, text_path),
    ):
        for name, (line, _) in these.items():
            if name not in those:
                raise DataError(
                    f"expected the same utterances in both files, but {lacking} lacks {name!r}; "
                    "add it there or delete it here",
                    source=path,
                    line=line,
                )


def _segment(cells: str, place: _Place) -> tuple[str, str, str]:
    """Returns the recording and the times of a line of ``segments``."""
    fields = cells.split()
    if len(fields) != 3:
        raise place.error(
            f"expected 4 fields, utterance, recording, start and end, got {len(fields) + 1}; one "
            "of several channels must be a file of its own"
        )
    recording, start, end = fields
    return recording, start, "" if end in ("-1", "-1.0") else end  # Kaldi's "to the end"


def _entry(
    values: Mapping[Any, Any],
    columns: Mapping[str, str],
    folder: Path,
    line: int,
    place: _Place,
) -> Entry:
    cells = {role: values.get(column) for role, column in columns.items()}
    audio = cells["audio"]
    audio = _text(os.fspath(audio) if isinstance(audio, Path) else audio, columns["audio"], place)
    if not audio:
        raise place.error(
            "expected the path of an audio file, got none; give it or leave the line out",
            columns["audio"],
        )
    start, end = (_seconds(cells.get(role), role, place) for role in ("start", "end"))
    if not (math.isnan(end) or end > (0.0 if math.isnan(start) else start)):
        raise place.error(
            f"expected an end behind the start, got {cells['end']} and {cells.get('start') or 0}; "
            "both count in seconds from the file's beginning",
            "end",
        )
    return Entry(
        str(folder / os.path.expanduser(audio)),
        " ".join(_text(cells["text"], columns["text"], place).split()),
        start,
        end,
        _label(cells.get("speaker"), "speaker", place),
        _label(cells.get("name"), "name", place),
        line,
    )


def _label(value: Any, column: str, place: _Place) -> str:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(value)
    return "" if value is None else _text(value, column, place)


def _text(value: Any, column: str, place: _Place) -> str:
    if not isinstance(value, str):
        raise place.error(
            f"expected text, got {repr(value)[:40]}; correct it or leave it out", column
        )
    if wrong := text_files.unreadable_signs(value):
        raise place.error(f"expected text, got {wrong} in it; delete it", column)
    return value.strip()


def _seconds(value: Any, column: str, place: _Place) -> float:
    """Returns a time, NaN where none is given."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    seconds = math.nan
    if isinstance(value, str | numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # told below, with what came
            seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise place.error(
            f"expected seconds, a number from 0 on, got {repr(value)[:40]}; write it as 12.5, or "
            "leave it empty for the whole file",
            column,
        )
    return seconds
