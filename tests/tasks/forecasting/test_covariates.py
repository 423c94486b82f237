"""Covariates: which columns they are, how they become numbers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.forecasting.small_data import ALL_COVARIATES, rich_frame

from carousel.data.reading import read_table
from carousel.data.tables import Table
from carousel.errors import DataError
from carousel.tasks.forecasting.covariates import (
    LARGEST,
    MOST_LEVELS,
    Covariates,
    CovariateScaler,
    numbers,
)
from carousel.tasks.forecasting.options import ForecastingOptions


def options(**values: Any) -> ForecastingOptions:
    return ForecastingOptions(horizon=4, **values)


RICH = options(**ALL_COVARIATES)


def table(library: str, rows: pl.DataFrame, folder: Path) -> Table:
    """The same rows as a table of each kind."""
    made = {
        "polars": lambda: rows,
        "pandas": lambda: rows.to_pandas(),
        "pyarrow": lambda: rows.to_arrow(),
        "csv": lambda: written(rows, folder / "polars.csv"),
        "csv of pandas": lambda: written(rows.to_pandas(), folder / "pandas.csv"),
    }[library]()
    return read_table(made)


def written(rows: Any, path: Path) -> Path:
    if isinstance(rows, pl.DataFrame):
        rows.write_csv(path)
    else:
        rows.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow", "csv", "csv of pandas"])
def test_every_kind_of_table_gives_the_same_covariates(library: str, tmp_path: Path) -> None:
    row = pl.int_range(pl.len())
    rows = rich_frame(length=10).with_columns(
        holiday=pl.when(row == 3).then(None).otherwise("holiday"),
        sky=pl.when(row == 4).then(None).otherwise("sky"),
        price=pl.when(row == 5).then(None).otherwise("price"),
        kind=pl.when(row == 6).then(None).otherwise("kind"),
    )
    wanted, found = table("polars", rows, tmp_path), table(library, rows, tmp_path)
    covariates = Covariates.of(found, RICH)
    assert covariates == Covariates(
        past=("wind", "sky"),
        known=("price", "holiday"),
        static=("kind", "area"),
        levels={
            "sky": ("blue", "grey"),
            "holiday": ("false", "true"),
            "kind": ("mill", "shop"),
        },
    )
    names = (*covariates.moving, *covariates.static)
    one, other = covariates.encode(wanted, names), covariates.encode(found, names)
    assert other == pytest.approx(one, rel=1e-12, nan_ok=True)
    assert np.argwhere(np.isnan(one)).tolist() == [
        [3, 4], [3, 5], [4, 1], [4, 2], [5, 3], [6, 6], [6, 7],
    ]  # fmt: skip


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow", "csv", "csv of pandas"])
@pytest.mark.parametrize("holed", [False, True])
def test_numbers_that_are_kinds_have_the_same_levels_in_every_table(
    library: str, holed: bool, tmp_path: Path
) -> None:
    """A column of whole numbers with a hole becomes 7.0 in pandas and in its CSV files."""
    cells = [7, 12, None if holed else 7, -3]
    rows = pl.DataFrame({"ds": [1, 2, 3, 4], "y": 1.0, "line": cells})
    found = table(library, rows, tmp_path)
    covariates = Covariates.of(found, options(covariates=("line",), categories=("line",)))
    assert covariates.levels == {"line": ("-3", "12", "7")}
    encoded = covariates.encode(found, ["line"])
    third = [np.nan] * 3 if holed else [0, 0, 1]
    wanted = [[0, 0, 1], [0, 1, 0], third, [1, 0, 0]]
    assert np.array_equal(encoded, wanted, equal_nan=True)


def test_a_column_of_objects_that_are_numbers_is_one_of_numbers() -> None:
    rows = pd.DataFrame({"ds": [1, 2, 3], "y": 1.0, "x": pd.Series([1, None, 2.5], dtype=object)})
    for given_options in (options(), options(covariates=("x",))):
        covariates = Covariates.of(read_table(rows), given_options)
        assert (covariates.past, covariates.levels) == (("x",), {})
    words = rows.assign(x=pd.Series([1, None, "warm"], dtype=object))
    covariates = Covariates.of(read_table(words), options(covariates=("x",)))
    assert covariates.levels == {"x": ("1", "warm")}
    truths = rows.assign(x=pd.Series([True, None, False], dtype=object))
    covariates = Covariates.of(read_table(truths), options(covariates=("x",)))
    assert covariates.levels == {"x": ("false", "true")}


def test_pandas_own_missing_value_is_no_level() -> None:
    for kind, cells in (
        ("string", ["x", pd.NA]),
        ("Int64", [1, pd.NA]),
        ("boolean", [True, pd.NA]),
    ):
        rows = pd.DataFrame({"ds": [1, 2], "y": 1.0, "x": pd.array(cells, dtype=kind)})
        found = Covariates.of(read_table(rows), options(covariates=("x",), categories=("x",)))
        assert len(found.levels["x"]) == 1
        assert np.isnan(found.encode(read_table(rows), ["x"])).tolist() == [[False], [True]]


@pytest.mark.parametrize("name", ["gone", "wind"])
@pytest.mark.parametrize("role", ["covariates", "known_covariates", "static_covariates"])
def test_a_column_without_a_value_is_missing_everywhere(
    role: str, name: str, tmp_path: Path
) -> None:
    rows = pl.DataFrame({"ds": [1, 2], "y": 1.0, "wind": [3.0, 3.0], "gone": [None, None]})
    others = ("gone", "wind") if name == "gone" else ("wind", "gone")
    for library in ("polars", "pandas", "csv"):
        found = table(library, rows, tmp_path)
        covariates = Covariates.of(found, options(**{role: others}))
        assert covariates.levels == {}
        column = others.index("gone")
        encoded = covariates.encode(found, others)
        assert np.isnan(encoded[:, column]).all()
        assert (encoded[:, 1 - column] == 3).all()


def test_encoded_columns_know_where_they_come_from() -> None:
    covariates = Covariates.of(read_table(rich_frame(length=10)), RICH)
    assert covariates.moving == ("wind", "sky", "price", "holiday")
    assert covariates.width(covariates.moving) == 6
    assert covariates.sources(covariates.moving).tolist() == [0, 1, 1, 2, 3, 3]
    level = [False, True, True, False, True, True]
    assert covariates.is_level(covariates.moving).tolist() == level
    assert covariates.width(()) == 0
    assert covariates.sources(()).shape == covariates.is_level(()).shape == (0,)
    assert covariates.encode(read_table(rich_frame(length=10)), ()).shape == (20, 0)
    assert bool(covariates)
    assert not bool(Covariates())


def test_levels_can_be_left_out() -> None:
    covariates = Covariates.of(read_table(rich_frame(length=10)), RICH)
    kept = covariates.keeping(np.array([True, False, True, True, True, False]))
    assert kept.levels == {"sky": ("grey",), "holiday": ("false",), "kind": ("mill", "shop")}
    assert covariates.keeping(np.ones(6, dtype=bool)) == covariates


def test_they_survive_json() -> None:
    covariates = Covariates.of(read_table(rich_frame(length=10)), RICH)
    assert Covariates.from_dict(json.loads(json.dumps(covariates.to_dict()))) == covariates


def test_a_level_that_was_not_there_in_fitting_is_none_of_them_and_not_missing() -> None:
    covariates = Covariates(past=("sky",), levels={"sky": ("blue", "grey")})
    given = read_table(pl.DataFrame({"sky": ["grey", "green", None, "blue "]}))
    wanted = [[0, 1], [0, 0], [np.nan, np.nan], [1, 0]]
    assert np.array_equal(covariates.encode(given, ["sky"]), wanted, equal_nan=True)


def test_too_many_levels_are_names_and_not_kinds(tmp_path: Path) -> None:
    words = [f"w{k}" for k in range(MOST_LEVELS + 1)]
    rows = pl.DataFrame({"ds": range(len(words)), "y": 1.0, "note": words})
    chosen = options(static_covariates=("note",))
    assert len(Covariates.of(read_table(rows[1:]), chosen).levels["note"]) == MOST_LEVELS
    with pytest.raises(DataError, match=r"at most 100 levels, got 101 .*'w0'.*leave") as caught:
        Covariates.of(read_table(written(rows, tmp_path / "rows.csv")), chosen)
    assert caught.value.column == "note"
    assert caught.value.source == str(tmp_path / "rows.csv")


@pytest.mark.parametrize("role", ["covariates", "known_covariates", "static_covariates"])
def test_a_column_that_is_not_there_is_named_with_its_option(role: str) -> None:
    with pytest.raises(
        DataError, match=rf"'windy'; did you mean 'wind'.*choose another with {role}"
    ):
        Covariates.of(read_table(rich_frame(length=10)), options(**{role: ("windy",)}))


def test_a_cell_that_is_no_number_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("ds,y,wind\n1,1,1\n2,1,calm\n3,1,3\n")
    found = read_table(path)
    covariates = Covariates.of(found, options(known_covariates=("wind",)))
    with pytest.raises(DataError, match="expected a number, got 'calm'") as caught:
        covariates.encode(found, covariates.known)
    assert (caught.value.line, caught.value.column) == (3, "wind")
    large = read_table(pl.DataFrame({"x": [1.0, -2 * LARGEST]}))
    with pytest.raises(DataError, match=r"row 1: .*-1e\+30 and 1e\+30, got -2e\+30"):
        numbers(large, "x")


@given(
    cells=st.lists(
        st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6, allow_subnormal=False)),
        min_size=1,
        max_size=12,
    )
)
def test_numbers_are_standardised_by_what_is_there(cells: list[float]) -> None:
    values = np.array(cells)[:, None]
    scaler = CovariateScaler.measure(values, np.array([False]))
    seen = values[~np.isnan(values)]
    mean = seen.mean() if len(seen) else 0.0
    spread = seen.std() if len(seen) else 0.0
    assert scaler.mean[0] == pytest.approx(mean, rel=1e-9, abs=1e-9)
    scaled = scaler.scale(values)
    assert scaled.dtype == np.float32
    assert (scaled[np.isnan(values)] == 0).all()
    # Below this, the values differ by what rounding of their sum leaves.
    if spread > 1e-9 * (1 + np.abs(seen).max(initial=0.0)):
        wanted = (values - mean) / spread
        assert scaled[:, 0] == pytest.approx(np.nan_to_num(wanted)[:, 0], rel=1e-4, abs=1e-4)
    assert np.isfinite(scaled).all()


def test_levels_stay_zero_and_one_and_a_constant_becomes_zero() -> None:
    values = np.array([[0.0, 5.0], [1.0, 5.0], [1.0, 5.0], [np.nan, np.nan]])
    scaler = CovariateScaler.measure(values, np.array([True, False]))
    assert scaler.mean.tolist() == [0.0, 5.0]
    assert scaler.std.tolist() == [1.0, 1.0]
    assert scaler.scale(values).tolist() == [[0, 0], [1, 0], [1, 0], [0, 0]]
