"""The different cells of a column, and which of them each row has.

Letters: N rows, L different cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.extras import import_extra

if TYPE_CHECKING:
    import narwhals as nw

_ROWS_AT_ONCE = 1_000_000


def distinct(column: nw.Series[Any]) -> tuple[list[Any], np.ndarray]:
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
    """Returns the same as ``distinct``, for whatever Python objects they are."""
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


def objects(cells: list[Any]) -> np.ndarray:
    """Returns a list as an array (L,) of the very same objects."""
    return np.fromiter(cells, dtype=object, count=len(cells))
