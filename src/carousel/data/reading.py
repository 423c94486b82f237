"""Tables read from files, or taken as frames of pandas, polars or pyarrow.

A CSV file is read as text, so that a bad cell can be named by its line and column. Of a Parquet
file or a lazy frame nothing is read but the columns that are wanted.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.data.csv_text import read_csv_text
from carousel.data.extras import import_extra
from carousel.data.tables import Table
from carousel.errors import DataError

if TYPE_CHECKING:
    import narwhals as nw

DATA_CELL = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?|\d{4}-\d{2}(-\d{2}([T ].*)?)?")
CSV_SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are wanted.

    Attributes:
        names: of columns, whether the table has them or not.
        numbers: True for all columns of numbers too.
    """

    names: tuple[str, ...]
    numbers: bool = False

    def among(self, schema: Mapping[str, Any]) -> list[str]:
        """Returns the wanted names of a narwhals schema, in its order; at least one of any."""
        nw = import_extra("narwhals", "forecasting")

        def is_wanted(name: str) -> bool:
            kind = schema[name]
            # Objects may be numbers, and nobody knows before they are read.
            return name in self.names or (
                self.numbers and (kind.is_numeric() or kind in (nw.Object, nw.Unknown))
            )

        # A table is as long as its columns, so one has to stand for those that it lacks.
        return [name for name in schema if is_wanted(name)] or list(schema)[:1]


def read_table(data: Any, columns: Columns | None = None) -> Table:
    """Reads a table from a path or takes a frame.

    Args:
        data: path of a CSV (``.csv``, ``.tsv``, also ``.gz``) or Parquet file, of a folder of
            Parquet files or a pattern for them (``parts/*.parquet``), which are read in the order
            of their names, or a frame of pandas, polars (lazy too) or pyarrow.
        columns: what is wanted of it; others may be left unread. None wants all.

    Raises:
        DataError: for a file that is missing, empty, without a header, or no table.
    """
    if isinstance(data, str | Path):
        return _read_path(Path(data), columns)
    frame, header = _from_frame(data, columns)
    if len(frame) == 0:
        raise DataError("the frame has no rows")
    return Table(frame, None, header=header)


def _from_frame(
    data: Any, columns: Columns | None
) -> tuple[nw.DataFrame[Any], tuple[str, ...] | None]:
    """Takes a frame of any library, its columns named by text and each by another.

    Returns:
        The columns that are wanted of it, and the names of all.
    """
    nw = import_extra("narwhals", "forecasting")
    try:
        frame = nw.from_native(data)
        if isinstance(frame, nw.LazyFrame):
            return _collect(frame, columns)
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
    return frame.select([name for name in names if name.strip()]), None


def _collect(
    frame: nw.LazyFrame[Any], columns: Columns | None
) -> tuple[nw.DataFrame[Any], tuple[str, ...]]:
    """Returns the wanted columns of a lazy frame, read at once, and the names of all."""
    schema = {name: kind for name, kind in frame.collect_schema().items() if name.strip()}
    wanted = list(schema) if columns is None else columns.among(schema)
    return frame.select(wanted).collect(), tuple(schema)


def _read_path(path: Path, columns: Columns | None) -> Table:
    if path.is_dir():
        parts = sorted(p for p in path.iterdir() if p.suffix.lower() in PARQUET_SUFFIXES)
        if not parts:
            raise DataError(
                "expected a CSV or Parquet file, got a folder without Parquet files", source=path
            )
        return _read_parquet(path, parts, columns)
    if not path.exists() and glob.has_magic(str(path)):
        parts = [Path(name) for name in sorted(glob.glob(str(path)))]
        if parts and all(p.suffix.lower() in PARQUET_SUFFIXES for p in parts):
            return _read_parquet(path, parts, columns)
        raise DataError(
            f"expected a pattern for Parquet files, got one that fits "
            f"{repr(str(parts[0])) if parts else 'no file'}; check the path",
            source=path,
        )
    if not path.exists():
        raise DataError("there is no such file; check the path", source=path)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", source=path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind in CSV_SEPARATORS:
        return _read_csv(path, CSV_SEPARATORS[kind])
    if kind in PARQUET_SUFFIXES:
        return _read_parquet(path, [path], columns)
    raise DataError(
        f"expected a name that ends in .csv, .tsv or .parquet (.csv.gz too), got {path.name!r}",
        source=path,
    )


def _read_csv(path: Path, separator: str) -> Table:
    nw = import_extra("narwhals", "forecasting")
    frame, separator = read_csv_text(path, separator)
    _refuse_headless(frame.columns, path)
    if len(frame) == 0:
        raise DataError("the file has a header and no rows", source=path)
    return Table(nw.from_native(frame, eager_only=True), str(path), separator)


def _read_parquet(path: Path, parts: Sequence[Path], columns: Columns | None) -> Table:
    """Reads the wanted columns of Parquet files, which ``path`` names, one behind the other."""
    pl = import_extra("polars", "forecasting")
    nw = import_extra("narwhals", "forecasting")
    try:
        lazy = pl.scan_parquet(list(parts), glob=False, hive_partitioning=False)
        frame, header = _collect(nw.from_native(lazy), columns)
    except (pl.exceptions.PolarsError, nw.exceptions.NarwhalsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"the file cannot be read as a table: {reason}", source=path) from error
    if len(frame) == 0:
        raise DataError("the file has a header and no rows", source=path)
    return Table(frame, str(path), header=header)


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
