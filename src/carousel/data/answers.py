"""An answer's columns in the library and the types of the question, so that both can be joined.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.stamps import TimeStyle, format_stamps
from carousel.data.tables import Table

if TYPE_CHECKING:
    import narwhals as nw


def write_table(
    columns: Mapping[str, Sequence[Any] | np.ndarray | nw.Series[Any]], like: Table
) -> Any:
    """Returns the columns as a frame of the library that ``like`` came from (polars for a file)."""
    nw = import_extra("narwhals", "forecasting")
    plain = {
        name: values if isinstance(values, np.ndarray) else list(values)
        for name, values in columns.items()
    }
    typed = [
        values.alias(name) for name, values in columns.items() if isinstance(values, nw.Series)
    ]
    frame = nw.from_dict(plain, backend=like.frame.implementation)
    return frame.with_columns(*typed).to_native()  # from_dict alone would lose their types


def repeated_rows(like: Table, name: str, rows: np.ndarray) -> nw.Series[Any]:
    """Returns the cells that column ``name`` of ``like`` has in ``rows`` (N,), of its own type."""
    return _without_index(like.frame[name][rows.tolist()])


def stamp_column(stamps: np.ndarray, style: TimeStyle, like: Table, name: str) -> nw.Series[Any]:
    """Returns time stamps as ``like`` has them in its column ``name``, of its own type if it can.

    Args:
        stamps: (N,) int64, as ``Table.stamps`` returns them.
        style: from the same call.
        like: the table.
        name: the column.
    """
    nw = import_extra("narwhals", "forecasting")
    backend = like.frame.implementation
    if style.kind == "time" and style.dtype == "Datetime":
        shown = stamps if style.shown is None else style.shown.wall(stamps)
        column = nw.new_series(name, shown.astype("datetime64[ns]"), backend=backend)
        if style.time_zone is not None:
            # A table of another library may have another name for it, such as Etc/GMT-2.
            zone = getattr(like.frame[name].dtype, "time_zone", None) or style.time_zone
            column = column.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    else:
        column = nw.new_series(name, format_stamps(stamps, style), backend=backend)
    return _of_type(column, like.frame[name])


def _of_type(column: nw.Series[Any], like: nw.Series[Any]) -> nw.Series[Any]:
    """Returns the column cast to the type of another; as it is where that cannot hold it."""
    nw = import_extra("narwhals", "forecasting")
    pl = import_extra("polars", "forecasting")
    try:
        if like.implementation.is_pandas_like():  # pandas has more types than narwhals has names
            native = column.to_native().astype(like.to_native().dtype)
            cast = nw.from_native(native, series_only=True)
        else:
            cast = column.cast(like.dtype)
        # Step numbers may outgrow a narrow type, and pandas lets them wrap around.
        kept = not column.dtype.is_integer() or bool((cast.cast(nw.Int64) == column).all())
        # A word that a category does not know becomes missing.
        kept = kept and not cast.is_null().any()
    except (ValueError, TypeError, OverflowError, pl.exceptions.PolarsError):
        return column
    return cast if kept else column


def _without_index(column: nw.Series[Any]) -> nw.Series[Any]:
    """Returns a column of pandas with plain row numbers, by which it lines up with others."""
    if not column.implementation.is_pandas_like():
        return column
    nw = import_extra("narwhals", "forecasting")
    return nw.from_native(column.to_native().reset_index(drop=True), series_only=True)
