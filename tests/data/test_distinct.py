"""The different cells of a column, of every library alike."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest

from carousel.data import distinct as module
from carousel.data.distinct import distinct, objects


def columns(cells: list[Any]) -> list[nw.Series[Any]]:
    """Returns the cells as a column of each library."""
    column = pl.Series("x", cells)
    arrow = pl.DataFrame(column).to_arrow()["x"]
    pandas = pd.Series(cells, dtype=object)
    return [nw.from_native(native, series_only=True) for native in (column, arrow, pandas)]


@pytest.mark.parametrize(
    ("cells", "wanted", "codes"),
    [
        (["b", None, "a", "b"], ["b", "a"], [0, -1, 1, 0]),
        ([3, 1, None, 3], [3, 1], [0, 1, -1, 0]),
        ([True, None, False], [True, False], [0, -1, 1]),
        ([None, None], [], [-1, -1]),
    ],
)
def test_cells_are_numbered_as_they_first_appear(
    cells: list[Any], wanted: list[Any], codes: list[int]
) -> None:
    for column in columns(cells):
        found, numbers = distinct(column)
        assert (found, numbers.tolist()) == (wanted, codes)


def test_lists_are_all_different() -> None:
    for column in columns([[1], [2], [1]]):
        found, numbers = distinct(column)
        assert [list(cell) for cell in found] == [[1], [2], [1]]
        assert numbers.tolist() == [0, 1, 2]


def test_parts_of_a_long_column_are_numbered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = np.random.default_rng(0).integers(0, 5, 23).tolist()
    column = columns(cells)[0]
    whole = distinct(column)
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 4)
    parts = distinct(column)
    assert parts[0] == whole[0]
    assert parts[1].tolist() == whole[1].tolist()


def test_an_array_of_objects_holds_the_very_same() -> None:
    cells = [(1, 2), "a", [3]]
    found = objects(cells)
    assert found.shape == (3,)
    assert all(one is other for one, other in zip(found, cells, strict=True))
