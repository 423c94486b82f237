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

from carousel.data.clocks import Clock, is_nameless_offset
from carousel.data.csv_text import line_of_row
from carousel.data.distinct import distinct, objects
from carousel.data.extras import import_extra
from carousel.data.stamps import FIRST_YEAR, LAST_STEP, LAST_YEAR, TimeStyle, parse_stamps
from carousel.data.words import MISSING_WORDS, word_of
from carousel.errors import DataError, OptionError, unknown_name

if TYPE_CHECKING:
    import narwhals as nw

_DECIMAL = re.compile(r"[+-]?\d+\.\d*")


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
            raise self.error(
                f"{problem}; choose another with {option} when fitting, or rename the column"
            )

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
        cells, codes = distinct(self.frame[name])
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
        return objects(cells), codes

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
        cells, codes = distinct(self.frame[name])
        words = [word_of(cell) if cell.__hash__ is not None else str(cell) for cell in cells]
        return objects([*words, None])[codes]

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
        if column.dtype.is_integer() or (column.dtype.is_float() and text_format is None):
            return self._steps(column, name), TimeStyle("integer", dtype="Int64")
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
            clock = self._clock_of_column(name, zone)
            style = TimeStyle("time", dtype="Datetime", time_zone=zone, clock=clock)
            return self._nanoseconds(utc.to_numpy(), name), style
        if str(getattr(column.to_native(), "dtype", "")).startswith("period["):
            raise self.error(
                "expected points in time, got periods; turn them into timestamps with "
                ".dt.to_timestamp()",
                column=name,
            )
        cells = column.to_list()
        if all(type(cell) is datetime.date for cell in cells):  # a pandas column of objects
            days = np.array(cells, dtype="datetime64[D]")
            return self._nanoseconds(days, name), TimeStyle("time", dtype="Date")
        words = [str(cell).strip() for cell in cells]
        parsed = parse_stamps(words, text_format)
        if parsed is None:
            decimals = [k for k, word in enumerate(words[:100]) if _DECIMAL.fullmatch(word)]
            row, remedy = (
                (decimals[0], "write step numbers as whole numbers, such as 0, 1, 2")
                if decimals
                else (
                    0,
                    "write 2013-01-31 18:00, or give the option time_format, for example %d.%m.%Y",
                )
            )
            raise self.error(
                f"the time stamp {words[row]!r} is in no known form; {remedy}",
                row=row,
                column=name,
            )
        if parsed.bad.any():
            row = _first(parsed.bad)
            raise self.error(
                f"expected {parsed.expected}, got {words[row]!r}", row=row, column=name
            )
        if parsed.style.kind == "integer":
            outside = (parsed.values > LAST_STEP) | (parsed.values < -LAST_STEP)
            if outside.any():
                raise self._far_step(words[_first(outside)], _first(outside), name)
            return parsed.values, parsed.style
        return self._nanoseconds(parsed.values, name), parsed.style

    def _steps(self, column: nw.Series[Any], name: str) -> np.ndarray:
        """Returns a column of numbers, none missing, as steps, (N,) int64; refuses broken ones."""
        nw = import_extra("narwhals", "forecasting")
        if column.dtype.is_float():
            values = column.cast(nw.Float64).to_numpy()
            if np.isnan(values).any():
                row = _first(np.isnan(values))
                raise self.error("the time stamp is missing", row=row, column=name)
            broken = values != np.rint(values)
            if broken.any():
                row = _first(broken)
                raise self.error(
                    f"expected a whole number, as steps are, got {values[row]}; number the steps, "
                    f"or give dates",
                    row=row,
                    column=name,
                )
        if column.max() > LAST_STEP or column.min() < -LAST_STEP:
            cells = column.to_list()  # a column may have wider numbers than NumPy
            row = next(k for k, step in enumerate(cells) if abs(step) > LAST_STEP)
            raise self._far_step(cells[row], row, name)
        return column.cast(nw.Int64).to_numpy().astype(np.int64)

    def _far_step(self, step: object, row: int, name: str) -> DataError:
        return self.error(
            f"the step number {step} lies outside {-LAST_STEP:,} to {LAST_STEP:,}; "
            f"count them from another step",
            row=row,
            column=name,
        )

    def _clock_of_column(self, name: str, zone: str) -> Clock:
        if is_nameless_offset(zone):
            raise self.error(
                f"the zone {zone!r} of the column is an offset from UTC that no zone is named by; "
                f"convert the column to UTC, or to one with an IANA name, such as Asia/Kolkata",
                column=name,
            )
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


def _pandas_zone(column: nw.Series[Any]) -> str | None:
    """Returns the zone of a column of pandas that narwhals does not take for one, else None.

    It knows those of letters and slashes only, and so not America/New_York.
    """
    zone = getattr(getattr(column.to_native(), "dtype", None), "tz", None)
    if zone is None:
        return None
    try:
        Clock.of_zone(str(zone))
    except OptionError:  # such as dateutil's, whose stamps are read as text
        return None
    return str(zone)


def _first(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[0])
