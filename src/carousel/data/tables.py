"""A table of any library's frame: checked NumPy columns out.

The cells of a CSV file are text and converted here, so that a bad one is named by line and column.
Knows nothing of what the columns mean.

Letters: N rows.
"""

from __future__ import annotations

import datetime
import numbers
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.clocks import Clock
from carousel.data.csv_text import line_of_row
from carousel.data.extras import import_extra
from carousel.data.stamps import FIRST_YEAR, LAST_YEAR, TimeStyle, parse_stamps
from carousel.errors import DataError, OptionError, unknown_name

if TYPE_CHECKING:
    import narwhals as nw

MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "-", "?")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_TRUTHS = ("true", "false")
_ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Table:
    """A frame of any library with the place of every row, for errors that name lines.

    Attributes:
        frame: the rows, as a narwhals frame.
        source: path of the file, or None for a frame handed over in memory.
        separator: of the cells where every one of them is still text (CSV), else None.
        header: names of all columns, those that were left unread too; None where there are none.
    """

    frame: nw.DataFrame[Any]
    source: str | None
    separator: str | None = None
    header: tuple[str, ...] | None = None

    @property
    def is_text(self) -> bool:
        """Says whether every cell is still text (CSV)."""
        return self.separator is not None

    @property
    def names(self) -> list[str]:
        """Names of all columns, in order, those that were left unread too."""
        return list(self.frame.columns if self.header is None else self.header)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.frame)

    def error(
        self, problem: str, *, row: int | None = None, column: str | None = None
    ) -> DataError:
        """Returns the error that names where in this table the problem is.

        Args:
            problem: what is wrong and what to do.
            row: index of the row, counted from 0; a text file's line is looked up for it.
            column: name of the column.
        """
        line = None if row is None else self._line(row)
        if row is not None and line is None:
            problem = f"row {row}: {problem}"
        return DataError(problem, source=self.source, line=line, column=column)

    def place(self, row: int) -> str:
        """Says where a row stands: "line 7" of a text file, else "row 5", counted from 0."""
        line = self._line(row)
        return f"row {row}" if line is None else f"line {line}"

    def _line(self, row: int) -> int | None:
        if self.source is None or self.separator is None:
            return None
        return line_of_row(Path(self.source), self.separator, row)

    def require(self, name: str, option: str) -> None:
        """Refuses a table that lacks the column ``name``, chosen by the option ``option``."""
        if name not in self.names:
            problem = unknown_name("column", name, self.names)
            raise self.error(f"{problem}; choose another with {option}")

    def labels(self, name: str) -> np.ndarray:
        """Returns column ``name`` as objects of shape (N,), refusing missing ones."""
        cells, codes = self.codes(name)
        return cells[codes]

    def codes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Numbers the different names in column ``name`` in the order of their first appearance.

        Returns:
            The names, (L,) objects, and which of them each row has, (N,) int64.

        Raises:
            DataError: for a name that is missing, or no name but a list or the like.
        """
        cells, codes = _distinct(self.frame[name])
        for code, cell in enumerate(cells):
            if isinstance(cell, list | tuple | dict | set):
                raise self.error(
                    f"expected the name of a series, got a {type(cell).__name__}; "
                    f"turn it into text",
                    row=_first(codes == code),
                    column=name,
                )
        # The last entry is for the code -1: a cell that is missing.
        missing = np.array([*(str(cell).strip() in ("", "nan") for cell in cells), True])[codes]
        if missing.any():
            raise self.error("the name of the series is missing", row=_first(missing), column=name)
        return _objects(cells), codes

    def numbers(self, name: str) -> np.ndarray:
        """Returns column ``name`` as float64 of shape (N,); missing cells become NaN.

        Raises:
            DataError: for a cell that is no number, or infinite; names its line.
        """
        if self.is_text:
            text, parsed, missing = self._parsed_text(name)
            bad = parsed.is_null().to_numpy() & ~missing
            if bad.any():
                row = _first(bad)
                raise self.error(
                    f"expected a number, got {text[row]!r}; "
                    f"write a missing value as an empty cell or NA, and decimals with a point",
                    row=row,
                    column=name,
                )
            values = parsed.fill_null(float("nan")).to_numpy().astype(np.float64)
            values[missing] = np.nan
        else:
            values = self._typed_numbers(name)
        infinite = np.isinf(values)
        if infinite.any():
            raise self.error(
                "the value is infinite or too large; replace it, or leave the cell empty",
                row=_first(infinite),
                column=name,
            )
        return values

    def words(self, name: str) -> np.ndarray:
        """Returns column ``name`` as text, (N,) objects; None where a cell is missing.

        The same thing has the same word in every kind of file: 7, 7.0 and "7" are "7", and a truth
        value is "true" or "false".
        """
        cells, codes = _distinct(self.frame[name])
        words = [_word(cell) if cell.__hash__ is not None else str(cell) for cell in cells]
        return _objects([*words, None])[codes]

    def _typed_numbers(self, name: str) -> np.ndarray:
        column = self.frame[name]
        if column.dtype.is_numeric():
            nw = import_extra("narwhals", "forecasting")
            values = column.cast(nw.Float64).fill_null(float("nan")).to_numpy()
            return values.astype(np.float64, copy=False)
        values = np.full(len(column), np.nan)
        missing = column.is_null().to_numpy()
        for row, value in enumerate(column.to_list()):
            if missing[row] or (isinstance(value, str) and value.lower() in MISSING_WORDS):
                continue
            try:
                values[row] = float(value)
            except OverflowError:
                values[row] = np.inf
            except (TypeError, ValueError):
                raise self.error(
                    f"expected a number, got {value!r}", row=row, column=name
                ) from None
        return values

    def is_numeric(self, name: str) -> bool:
        """Says whether column ``name`` holds numbers (for text: most of its cells that are set).

        A column that was left unread does not.
        """
        if name not in self.frame.columns:
            return False
        if not self.is_text:
            return bool(self.frame[name].dtype.is_numeric()) or self._has_number_objects(name)
        _, parsed, missing = self._parsed_text(name)
        is_number = ~missing & ~parsed.is_null().to_numpy()
        return bool(is_number.sum() > (~missing).sum() / 2)

    def _has_number_objects(self, name: str) -> bool:
        """Says whether the cells of a column of objects, such as pandas has, are all numbers."""
        nw = import_extra("narwhals", "forecasting")
        column = self.frame[name]
        if column.dtype != nw.Object:
            return False
        cells = column.drop_nulls().to_list()
        return bool(cells) and all(
            isinstance(cell, numbers.Number) and not isinstance(cell, bool) for cell in cells
        )

    def _parsed_text(self, name: str) -> tuple[Any, Any, np.ndarray]:
        """Returns a text column stripped, the same as numbers or null, and which are missing."""
        pl = import_extra("polars", "forecasting")
        text = self.frame[name].to_native().str.strip_chars()
        missing = (text.is_null() | text.str.to_lowercase().is_in(MISSING_WORDS)).to_numpy()
        return text, text.cast(pl.Float64, strict=False), missing

    def stamps(
        self, name: str, text_format: str | None, time_zone: str | None = None
    ) -> tuple[np.ndarray, TimeStyle]:
        """Returns column ``name`` as int64 of shape (N,), and how it was written.

        Times become nanoseconds since 1970-01-01: in UTC where the stamps say how far they are
        from it, else as they stand, on a wall clock of their own or that of ``time_zone``, which
        the style then calls local. Plain step numbers stay what they are.

        Args:
            name: the column.
            text_format: strptime format of text stamps; None tries the ISO 8601 ones.
            time_zone: IANA name of the zone whose wall clock the stamps follow; by default the
                column's own zone, or the offsets in the text.

        Raises:
            DataError: for a stamp that is missing or does not parse, with its line; for a zone
                that dates or step numbers have no use for.
        """
        stamps, style = self._read_stamps(name, text_format)
        if time_zone is None:
            return stamps, style
        if style.is_dated:
            kind = "step numbers" if style.kind == "integer" else "dates without a time of day"
            raise self.error(
                f"time_zone {time_zone!r} is of no use to {kind}, which are the same in every "
                f"zone; leave it out",
                column=name,
            )
        return stamps, style.in_zone(Clock.of_zone(time_zone), stamps)

    def _read_stamps(self, name: str, text_format: str | None) -> tuple[np.ndarray, TimeStyle]:
        """Returns a column's stamps and style, which has the clock that the column itself tells."""
        nw = import_extra("narwhals", "forecasting")
        column = self.frame[name]
        missing = column.is_null().to_numpy()
        if missing.any():
            raise self.error("the time stamp is missing", row=_first(missing), column=name)
        if column.dtype.is_integer():
            return column.to_numpy().astype(np.int64), TimeStyle("integer", dtype="Int64")
        if column.dtype == nw.Date:
            times = column.cast(nw.Datetime("us")).to_numpy()
            return self._nanoseconds(times, name), TimeStyle("time", dtype="Date")
        if isinstance(column.dtype, nw.Datetime):
            zone = column.dtype.time_zone
            clock = None if zone is None else self._clock_of_column(name, zone)
            plain = column if zone is None else column.dt.convert_time_zone("UTC")
            style = TimeStyle("time", dtype="Datetime", time_zone=zone, clock=clock)
            return self._nanoseconds(plain.to_numpy(), name), style
        zone = _pandas_zone(column)
        if zone is not None:
            utc = column.to_native().dt.tz_convert("UTC").dt.tz_localize(None)
            clock = Clock.of_zone(zone)
            style = TimeStyle("time", dtype="Datetime", time_zone=zone, clock=clock)
            return self._nanoseconds(utc.to_numpy(), name), style
        cells = column.to_list()
        if all(type(cell) is datetime.date for cell in cells):  # a pandas column of objects
            days = np.array(cells, dtype="datetime64[D]")
            return self._nanoseconds(days, name), TimeStyle("time", dtype="Date")
        words = [str(cell).strip() for cell in cells]
        parsed = parse_stamps(words, text_format)
        if parsed is None:
            raise self.error(
                f"the time stamp {words[0]!r} is in no known form; write 2013-01-31 18:00, "
                f"or give the option time_format, for example %d.%m.%Y",
                row=0,
                column=name,
            )
        if parsed.bad.any():
            row = _first(parsed.bad)
            raise self.error(
                f"expected {parsed.expected}, got {words[row]!r}", row=row, column=name
            )
        if parsed.style.kind == "integer":
            return parsed.values, parsed.style
        return self._nanoseconds(parsed.values, name), parsed.style

    def _clock_of_column(self, name: str, zone: str) -> Clock:
        try:
            return Clock.of_zone(zone)
        except OptionError:
            raise self.error(
                f"the zone {zone!r} of the column is unknown; convert the column to one with an "
                f"IANA name, such as Europe/Berlin",
                column=name,
            ) from None

    def _nanoseconds(self, times: np.ndarray, name: str) -> np.ndarray:
        """Returns datetime64 (N,) as int64 nanoseconds, refusing what these cannot count."""
        first, last = np.datetime64(f"{FIRST_YEAR + 1}"), np.datetime64(f"{LAST_YEAR}")
        outside = (times < first) | (times >= last)
        if outside.any():
            row = _first(outside)
            years = times.astype("datetime64[Y]").astype(np.int64) + 1970
            raise self.error(
                f"the year {years[row]} lies outside {FIRST_YEAR + 1} to {LAST_YEAR - 1}; "
                f"correct the time stamp",
                row=row,
                column=name,
            )
        return times.astype("datetime64[ns]").view(np.int64)


def _distinct(column: nw.Series[Any]) -> tuple[list[Any], np.ndarray]:
    """Returns the different cells of a column in the order of their first appearance.

    With them which of them each row has, (N,) int64, -1 where it is missing. Cells that cannot be
    compared, such as lists, are all different.
    """
    if column.implementation.is_pandas():
        try:
            found, cells = column.to_native().factorize()
            return cells.tolist(), found.astype(np.int64)
        except TypeError:  # a list among the cells
            return _distinct_objects(column)
    pl, nw = import_extra("polars", "forecasting"), import_extra("narwhals", "forecasting")
    kind = column.dtype
    if kind in (nw.Categorical, nw.Enum) and column.implementation.is_polars():
        column = column.cast(nw.String)
    elif not (kind.is_integer() or kind.is_float() or kind in (nw.String, nw.Boolean, nw.Date)):
        return _distinct_objects(column)
    cells = column.to_polars()
    different = cells.unique(maintain_order=True).drop_nulls()
    if len(different) == 0:
        return [], np.full(len(cells), -1)
    numbered = pl.Series(np.arange(len(different)))
    # Some at a time, because polars joins the cells for it.
    parts = (cells[k : k + _ROWS_AT_ONCE] for k in range(0, len(cells), _ROWS_AT_ONCE))
    codes = [part.replace_strict(different, numbered, default=-1) for part in parts]
    return different.to_list(), pl.concat(codes).to_numpy()


def _distinct_objects(column: nw.Series[Any]) -> tuple[list[Any], np.ndarray]:
    """Returns the same as ``_distinct``, for whatever Python objects they are."""
    known: dict[Any, int] = {}
    cells: list[Any] = []
    codes = np.full(len(column), -1)
    missing = column.is_null().to_numpy().astype(bool)
    for row, cell in enumerate(column.to_list()):
        if missing[row]:
            continue
        new = len(cells)
        code = new if cell.__hash__ is None else known.setdefault(cell, new)
        if code == new:
            cells.append(cell)
        codes[row] = code
    return cells, codes


def _objects(cells: list[Any]) -> np.ndarray:
    """Returns a list as an array (L,) of the very same objects."""
    return np.fromiter(cells, dtype=object, count=len(cells))


def _pandas_zone(column: nw.Series[Any]) -> str | None:
    """Returns the zone of a column of pandas that narwhals does not take for one, else None.

    It knows those of letters and slashes only, and so not America/New_York.
    """
    zone = getattr(column.to_native().dtype, "tz", None)
    if zone is None:
        return None
    try:
        Clock.of_zone(str(zone))
    except OptionError:  # such as dateutil's, whose stamps are read as text
        return None
    return str(zone)


def _word(cell: Any) -> str | None:
    """Returns a cell as text, None where it is missing."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    word = str(cell).strip()
    if cell is None or word.lower() in MISSING_WORDS:
        return None
    if word.lower() in _TRUTHS:  # polars and pandas write them differently
        return word.lower()
    whole = _WHOLE.fullmatch(word)
    return whole.group(1) if whole else word


def _first(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[0])
