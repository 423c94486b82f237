"""Tables from anywhere: CSV, Parquet, pandas, polars or pyarrow in; checked NumPy columns out.

A CSV file is read as text and converted here, so that a bad cell is named by its line and column.
Knows nothing of what the columns mean.

Letters: N rows.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.clocks import Clock
from carousel.data.csv_text import line_of_row, read_csv_text
from carousel.data.extras import import_extra
from carousel.data.stamps import FIRST_YEAR, LAST_YEAR, TimeStyle, parse_stamps
from carousel.errors import DataError, OptionError, unknown_name

if TYPE_CHECKING:
    import narwhals as nw

MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "-", "?")
DATA_CELL = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?|\d{4}-\d{2}(-\d{2}([T ].*)?)?")
CSV_SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Table:
    """A frame of any library with the place of every row, for errors that name lines.

    Attributes:
        frame: the rows, as a narwhals frame.
        source: path of the file, or None for a frame handed over in memory.
        separator: of the cells where every one of them is still text (CSV), else None.
    """

    frame: nw.DataFrame[Any]
    source: str | None
    separator: str | None = None

    @property
    def is_text(self) -> bool:
        """Says whether every cell is still text (CSV)."""
        return self.separator is not None

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.frame.columns)

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
        if name not in self.frame.columns:
            problem = unknown_name("column", name, self.names)
            raise self.error(f"{problem}; choose another with {option}")

    def labels(self, name: str) -> np.ndarray:
        """Returns column ``name`` as objects of shape (N,), refusing missing ones."""
        column = self.frame[name]
        values = np.fromiter(column.to_list(), dtype=object, count=len(column))
        missing = column.is_null().to_numpy().astype(bool)
        for row, value in enumerate(values):
            if isinstance(value, list | tuple | dict | set):
                raise self.error(
                    f"expected the name of a series, got a {type(value).__name__}; "
                    f"turn it into text",
                    row=row,
                    column=name,
                )
            missing[row] |= str(value).strip() in ("", "nan")
        if missing.any():
            raise self.error("the name of the series is missing", row=_first(missing), column=name)
        return values

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

    def _typed_numbers(self, name: str) -> np.ndarray:
        column = self.frame[name]
        if column.dtype.is_numeric():
            nw = import_extra("narwhals", "forecasting")
            return column.cast(nw.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
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
        """Says whether column ``name`` holds numbers (for text: most of its cells that are set)."""
        if not self.is_text:
            return bool(self.frame[name].dtype.is_numeric())
        _, parsed, missing = self._parsed_text(name)
        is_number = ~missing & ~parsed.is_null().to_numpy()
        return bool(is_number.sum() > (~missing).sum() / 2)

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
        years = times.astype("datetime64[Y]").astype(np.int64) + 1970
        outside = (years <= FIRST_YEAR) | (years >= LAST_YEAR)
        if outside.any():
            row = _first(outside)
            raise self.error(
                f"the year {years[row]} lies outside {FIRST_YEAR + 1} to {LAST_YEAR - 1}; "
                f"correct the time stamp",
                row=row,
                column=name,
            )
        return times.astype("datetime64[ns]").astype(np.int64)


def read_table(data: Any) -> Table:
    """Reads a table from a path or takes a frame.

    Args:
        data: path of a CSV (``.csv``, ``.tsv``, also ``.gz``) or Parquet file, or a frame of
            pandas, polars (lazy too) or pyarrow.

    Raises:
        DataError: for a file that is missing, empty, without a header, or no table.
    """
    if isinstance(data, str | Path):
        return _read_file(Path(data))
    frame = _from_frame(data)
    if len(frame) == 0:
        raise DataError("the frame has no rows")
    return Table(frame, None)


def _from_frame(data: Any) -> nw.DataFrame[Any]:
    """Takes a frame of any library, its columns named by text and each by another."""
    nw = import_extra("narwhals", "forecasting")
    try:
        frame = nw.from_native(data)
        frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
        if not all(isinstance(name, str) for name in frame.columns):
            frame = frame.rename({name: str(name) for name in frame.columns})
        names = list(frame.columns)
    except TypeError:
        raise DataError(
            f"expected a path or a frame of pandas, polars or pyarrow, got {type(data).__name__}"
        ) from None
    except nw.exceptions.DuplicateError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"a column name stands twice; rename or drop one ({reason})") from None
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"expected one name for each column, got {names[0]!r}; flatten the columns")
    return frame.select([name for name in names if name.strip()])


def _read_file(path: Path) -> Table:
    pl = import_extra("polars", "forecasting")
    nw = import_extra("narwhals", "forecasting")
    if not path.exists():
        raise DataError("there is no such file; check the path", source=path)
    if path.is_dir():
        raise DataError("expected a CSV or Parquet file, got a folder", source=path)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", source=path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    separator = CSV_SEPARATORS.get(kind)
    if separator is not None:
        frame, separator = read_csv_text(path, separator)
        _refuse_headless(frame.columns, path)
    elif kind in PARQUET_SUFFIXES:
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"the file cannot be read as a table: {reason}", source=path) from error
    else:
        raise DataError(
            f"expected a name that ends in .csv, .tsv or .parquet (.csv.gz too), got {path.name!r}",
            source=path,
        )
    if len(frame) == 0:
        raise DataError("the file has a header and no rows", source=path)
    return Table(nw.from_native(frame, eager_only=True), str(path), separator)


def _refuse_headless(names: Sequence[str], path: Path) -> None:
    """Refuses a first line that is data: a header has no cell that is a number or a time stamp."""
    for name in names:
        if DATA_CELL.fullmatch(name.strip()):
            raise DataError(
                f"the first line has to name the columns, but it holds {name!r}; "
                f"add a header such as unique_id,ds,y",
                source=path,
                line=1,
            )


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


def _first(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[0])
