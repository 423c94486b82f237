"""Panels: rows on a regular grid, gaps as missing values, roles of columns."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.forecasting.small_data import (
    ALL_COVARIATES,
    START,
    frame,
    rich_frame,
    write_csv,
)

from carousel.errors import DataError
from carousel.tasks.forecasting.covariates import Covariates
from carousel.tasks.forecasting.data import Panel, options_for, read_panel
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions

HORIZON = ForecastingOptions(horizon=4)


def test_gaps_and_missing_values_become_nan_and_nothing_else_does() -> None:
    given = frame(length=30)
    given = given.with_columns(y=pl.when(pl.col("y").rank() == 5).then(None).otherwise("y"))
    kept = given.filter(~pl.int_range(pl.len()).is_in([3, 4, 35]))
    panel = read_panel(kept, HORIZON)
    assert panel.lengths.tolist() == [30, 30]
    for s, name in enumerate("ab"):
        wanted = given.filter(pl.col("unique_id") == name)["y"].to_numpy().copy()
        wanted[[3, 4] if name == "a" else [5]] = np.nan
        assert np.array_equal(panel.target(s), wanted, equal_nan=True)
    hour = 3_600_000_000_000
    assert (np.diff(panel.stamps[:30]) == hour).all()


def test_series_may_be_interleaved() -> None:
    given = frame(length=20)
    mixed = given.sort("ds", maintain_order=True)
    one, other = read_panel(given, HORIZON), read_panel(mixed, HORIZON)
    assert one.ids.tolist() == other.ids.tolist()
    assert np.array_equal(one.values, other.values)


def test_other_columns_of_numbers_become_covariates() -> None:
    given = frame(length=20).with_columns(note=pl.lit("x"), rain=pl.lit(1))
    assert read_panel(given, HORIZON).covariates == Covariates(past=("wind", "rain"))
    chosen = ForecastingOptions(horizon=4, covariates=("rain",))
    assert read_panel(given, chosen).covariates == Covariates(past=("rain",))
    none = ForecastingOptions(horizon=4, covariates=())
    panel = read_panel(given, none)
    assert (panel.values.shape, bool(panel.covariates)) == ((40, 1), False)
    # What has another role is not found a second time.
    known = ForecastingOptions(horizon=4, known_covariates=("rain",), static_covariates=("note",))
    found = read_panel(given, known).covariates
    assert (found.past, found.known, found.static) == (("wind",), ("rain",), ("note",))
    assert found.levels == {"note": ("x",)}


def test_static_covariates_are_one_value_a_series() -> None:
    options = ForecastingOptions(horizon=4, **ALL_COVARIATES)
    given = rich_frame(("a", "b", "c"), 20)
    panel = read_panel(given.sort("ds", maintain_order=True), options)
    # kind is "mill" or "shop", area 10 to 30.
    assert panel.static.tolist() == [[0.0, 1.0, 10.0], [1.0, 0.0, 20.0], [0.0, 1.0, 30.0]]
    assert panel.values.shape == (60, 1 + 1 + 2 + 1 + 2)
    empty = pl.when(pl.col("unique_id") == "b").then(None)
    holed = read_panel(
        given.with_columns(area=empty.otherwise("area"), kind=empty.otherwise("kind")), options
    )
    assert np.isnan(holed.static).tolist() == [[False] * 2, [True] * 2, [False] * 2]


@pytest.mark.parametrize("value", ["mill", "", "other"])
def test_a_static_covariate_that_changes_is_refused(value: str, tmp_path: Path) -> None:
    given = rich_frame(length=20)
    path = tmp_path / "rows.csv"
    given.write_csv(path)
    lines = path.read_text().splitlines()
    lines[7] = lines[7].replace(",shop,", f",{value},")
    options = ForecastingOptions(horizon=4, **ALL_COVARIATES)
    with pytest.raises(DataError, match=r"'a' has another value.*name it in covariates") as caught:
        read_panel(write_csv(path, lines), options)
    assert (caught.value.line, caught.value.column) == (8, "kind")


def test_levels_that_training_does_not_show_are_none() -> None:
    row = pl.int_range(pl.len()).over("unique_id")
    late = pl.when(row >= 15).then(pl.lit("new")).otherwise("sky")
    alone = pl.when(row >= 15).then(pl.lit("late"))
    given = rich_frame(length=20).with_columns(sky=late, alone=alone.otherwise(None))
    options = ForecastingOptions(
        horizon=4, covariates=("wind", "sky", "alone"), known_covariates=("holiday",)
    )
    panel = read_panel(given, options)
    assert panel.covariates.levels["sky"] == ("blue", "grey", "new")
    found = panel.with_levels_of(np.array([15, 15]))
    assert found.covariates.levels == {
        "sky": ("blue", "grey"),
        "alone": ("late",),  # without any level it would have no place
        "holiday": ("false", "true"),
    }
    names = [*panel.covariates.levels["sky"]]
    gone = 2 + names.index("new")  # behind the target and the wind
    assert np.array_equal(found.values, np.delete(panel.values, gone, axis=1), equal_nan=True)
    same = panel.with_levels_of(panel.lengths)
    assert same.covariates == panel.covariates
    assert np.array_equal(same.values, panel.values, equal_nan=True)


def test_a_table_without_a_column_of_series_is_one_series() -> None:
    single = frame(names=["a"], length=20).drop("unique_id")
    panel = read_panel(single, HORIZON)
    assert (len(panel.ids), panel.has_ids) == (1, False)
    wanted = ForecastingOptions(horizon=4, id_column="station")
    with pytest.raises(DataError, match="'station'"):
        read_panel(single, wanted)


def test_rows_of_a_frame_are_named_from_0() -> None:
    given = frame(names=["a"], length=20).with_columns(
        y=pl.when(pl.col("y").rank() == 1).then(float("inf")).otherwise("y")
    )
    row = int(given["y"].arg_max())
    with pytest.raises(DataError, match=rf"row {row}: .*infinite"):
        read_panel(given, HORIZON)


def test_samples_bring_the_roles_of_their_columns() -> None:
    values = options_for("sample:weather", {"horizon": 24, "covariates": ("dewp",)})
    assert (values["target"], values["covariates"]) == ("temp", ("dewp",))
    assert options_for("weather.csv", {"horizon": 24}) == {"horizon": 24}


def test_the_summary_names_the_step_and_what_is_missing() -> None:
    given = frame(length=50, step=datetime.timedelta(minutes=15))
    given = given.with_columns(
        y=pl.when(pl.col("ds") < START + datetime.timedelta(hours=1)).then(None).otherwise("y")
    )
    words = read_panel(given, HORIZON).summary()
    assert (
        words
        == "2 series, 100 rows, one every 15 minutes, 8.0% of the target missing; covariates wind"
    )


def test_the_summary_cuts_a_long_list_of_covariates() -> None:
    given = frame(length=20).with_columns(pl.lit(k).alias(f"x{k}") for k in range(6))
    words = read_panel(given, HORIZON).summary()
    assert words.endswith("; covariates wind, x0, x1, x2, x3 and 2 more")
    options = ForecastingOptions(horizon=4, **ALL_COVARIATES)
    words = read_panel(rich_frame(length=20), options).summary()
    assert words.endswith("; covariates wind, sky; known ahead price, holiday; static kind, area")


@pytest.mark.parametrize("column", ["y", "wind"])
def test_numbers_that_cannot_be_scaled_are_refused(column: str) -> None:
    given = frame(length=20).with_columns(pl.lit(1e300).alias(column))
    with pytest.raises(DataError, match=r"1e\+30.*got 1e\+300") as caught:
        read_panel(given, HORIZON)
    assert caught.value.column == column


DAILY, BUSINESS = Frequency("day", 1), Frequency("business day", 1)


@pytest.mark.parametrize(
    ("frequency", "days", "length"),
    [
        (DAILY, [1, 2, 3, 4, 5, 8, 9, 10, 11, 12], 12),  # weekdays only
        (BUSINESS, [1, 2, 3, 4, 5, 8, 9, 10], 8),  # too few to be told from days
        (DAILY, [1, 4, 9, 11, 18], 18),  # gaps that are no step
        (DAILY, [3], 1),
    ],
)
def test_a_slice_is_laid_on_a_known_step(
    frequency: Frequency, days: list[int], length: int
) -> None:
    given = pl.DataFrame({"ds": [datetime.date(2024, 1, day) for day in days], "y": 1.0})
    panel = read_panel(given, HORIZON, frequency)
    assert (panel.frequency, panel.lengths.tolist()) == (frequency, [length])
    assert int((~np.isnan(panel.target(0))).sum()) == len(days)


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([datetime.date(2024, 1, day) for day in (1, 3, 5, 7, 9)], "every 2 days.*every 1 day"),
        ([datetime.datetime(2024, 1, 1, 0), datetime.datetime(2024, 1, 1, 5)], "between the steps"),
        ([1, 2, 3], "every 1 day, as in training, got step numbers"),
    ],
)
def test_rows_that_plainly_run_at_another_step_are_refused(stamps: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_panel(pl.DataFrame({"ds": stamps, "y": 1.0}), HORIZON, DAILY)


@pytest.mark.parametrize("step", ["15m", "1h", "1d", "1w", "1mo"])
@pytest.mark.parametrize("word", ["", "NA", "NaN", "null"])
def test_rows_left_out_and_rows_left_empty_are_one_gap(
    step: str, word: str, tmp_path: Path
) -> None:
    end = pl.select(pl.lit(START).dt.offset_by("60" + step[-1 if step != "1mo" else 1 :]))
    stamps = pl.datetime_range(START, end.item(), step, eager=True)
    gone = np.isin(np.arange(len(stamps)), [1, 2, 11, 30, 31, 32, 33])
    lines = [f"{stamp},{k},{k % 5}" for k, stamp in enumerate(stamps)]
    empty = [f"{stamp},{word},{word}" for stamp in stamps]
    full = [empty[k] if gone[k] else lines[k] for k in range(len(lines))]
    short = [line for line, is_gone in zip(lines, gone, strict=True) if not is_gone]
    one, other = (
        read_panel(write_csv(tmp_path / "rows.csv", ["ds,y,wind", *kept]), HORIZON)
        for kept in (full, short)
    )
    assert np.array_equal(one.values, other.values, equal_nan=True)
    assert np.isnan(one.values).all(axis=1).tolist() == gone.tolist()
    assert (one.frequency, one.covariates) == (other.frequency, other.covariates)
    assert np.array_equal(one.stamps, other.stamps)


def test_hours_of_business_leave_nights_and_weekends_as_gaps() -> None:
    days = np.busday_offset("2024-01-01", np.arange(10), roll="forward").astype("datetime64[us]")
    stamps = (days[:, None] + np.arange(9, 17) * np.timedelta64(1, "h")).reshape(-1)
    panel = read_panel(pl.DataFrame({"ds": stamps, "y": np.arange(80.0)}), HORIZON)
    assert str(panel.frequency) == "1 hour"
    seen = ~np.isnan(panel.target(0))
    assert panel.stamps[seen].tolist() == stamps.astype("datetime64[ns]").astype(int).tolist()
    assert len(seen) == 11 * 24 + 8


def test_years_alone_are_step_numbers() -> None:
    panel = read_panel(pl.DataFrame({"ds": ["2011", "2012", "2014"], "y": 1.0}), HORIZON)
    assert panel.frequency == Frequency("step", 1)
    assert panel.future_stamps(0, 2).tolist() == [2015, 2016]


def test_a_series_may_begin_in_february_and_keep_to_the_30th() -> None:
    days = [datetime.date(2023, 2, 28), datetime.date(2023, 3, 30), datetime.date(2023, 5, 30)]
    panel = read_panel(pl.DataFrame({"ds": days, "y": 1.0}), HORIZON, Frequency("month", 1))
    ahead = panel.future_stamps(0, 9).astype("datetime64[ns]").astype("datetime64[D]")
    assert [str(day) for day in ahead[[0, 1, -1]]] == ["2023-06-30", "2023-07-30", "2024-02-29"]
    assert int(np.isnan(panel.target(0)).sum()) == 1


def panels_equal(one: Panel, other: Panel) -> bool:
    return (
        one.ids.tolist() == other.ids.tolist()
        and one.frequency == other.frequency
        and one.covariates == other.covariates
        and one.first_rows.tolist() == other.first_rows.tolist()
        and all(
            np.array_equal(getattr(one, part), getattr(other, part), equal_nan=True)
            for part in ("offsets", "stamps", "values", "static")
        )
    )


@pytest.mark.parametrize("covariates", [{}, ALL_COVARIATES], ids=["found", "named"])
def test_every_kind_of_table_is_the_same_panel(covariates: dict, tmp_path: Path) -> None:
    options = ForecastingOptions(horizon=4, **covariates)
    rows = rich_frame(("b", "a", "c"), 20).sample(fraction=0.9, seed=3)
    # Series take turns, in the order of their time stamps; one has a value missing.
    rows = rows.sort("ds", "unique_id").with_columns(
        note=pl.lit("nobody reads this"),
        y=pl.when(pl.col("price") == 1007).then(None).otherwise("y"),
    )
    rows.write_csv(tmp_path / "rows.csv")
    rows.write_parquet(tmp_path / "rows.parquet")
    parts = tmp_path / "parts"
    parts.mkdir()
    for k, part in enumerate(rows.iter_slices(17)):
        part.write_parquet(parts / f"{k}.parquet")
    wanted = read_panel(rows, options)
    assert np.isnan(wanted.values[:, 0]).any()
    for data in (
        tmp_path / "rows.csv",
        tmp_path / "rows.parquet",
        parts,
        str(parts / "*.parquet"),
        rows.lazy(),
        pl.scan_parquet(tmp_path / "rows.parquet"),
        rows.to_pandas(),
        rows.to_arrow(),
    ):
        assert panels_equal(read_panel(data, options), wanted), data


def test_of_a_parquet_file_a_panel_reads_its_own_columns_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = rich_frame(length=20)
    rows.write_parquet(path)
    found = read_panel(path, HORIZON)
    assert found.table.frame.columns == ["unique_id", "ds", "y", "wind", "price", "area"]
    assert found.table.names == rows.columns
    some = ForecastingOptions(horizon=4, covariates=("sky",), static_covariates=("kind",))
    named = read_panel(path, some)
    assert named.table.frame.columns == ["unique_id", "ds", "y", "sky", "kind"]
    # A model's covariates are read where the options do not name them.
    again = read_panel(path, HORIZON, covariates=found.covariates)
    assert panels_equal(again, found)
    fitted = Covariates(past=("wind", "price", "area", "sky"), levels={"sky": ("blue", "grey")})
    assert read_panel(path, HORIZON, covariates=fitted).values.shape == (40, 6)


def test_names_are_suggested_of_columns_that_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    frame(length=20).rename({"ds": "note"}).with_columns(words=pl.lit("x")).write_parquet(path)
    for wrong, words in (("nota", "did you mean 'note'"), ("word", "did you mean 'words'")):
        with pytest.raises(DataError, match=words):
            read_panel(path, ForecastingOptions(horizon=4, time_column=wrong))


@given(
    kept=st.lists(
        st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True), min_size=1, max_size=6
    ),
    seed=st.integers(0, 99),
)
def test_rows_are_laid_on_the_grid_as_a_plain_loop_would(kept: list[list[int]], seed: int) -> None:
    hour = datetime.timedelta(hours=1)
    kept = [sorted({*own, min(own) + 1}) for own in kept]  # one step of the usual length at least
    rows = [(f"s{s}", k, 100.0 * s + k) for s, own in enumerate(kept) for k in own]
    # Series take turns, each in its own order of time.
    turns = np.random.default_rng(seed).permutation([name for name, _, _ in rows])
    own = {name: iter([row for row in rows if row[0] == name]) for name in set(turns)}
    rows = [next(own[name]) for name in turns]
    columns = {
        "unique_id": [name for name, _, _ in rows],
        "ds": [START + k * hour for _, k, _ in rows],
        "y": [value for _, _, value in rows],
    }
    panel = read_panel(pl.DataFrame(columns), HORIZON, Frequency("nanosecond", 3_600 * 10**9))
    cells: dict[str, dict[int, float]] = {}
    for name, k, value in rows:
        cells.setdefault(name, {})[k] = value
    assert panel.ids.tolist() == list(cells)
    for s, (name, found) in enumerate(cells.items()):
        steps = range(min(found), max(found) + 1)
        wanted = [found.get(k, np.nan) for k in steps]
        assert np.array_equal(panel.target(s), wanted, equal_nan=True)
        begin = np.datetime64(START) + np.array(steps) * np.timedelta64(1, "h")
        mine = panel.stamps[panel.offsets[s] : panel.offsets[s + 1]]
        assert mine.tolist() == begin.astype("datetime64[ns]").astype(int).tolist()
        assert columns["unique_id"][panel.first_rows[s]] == name


def test_a_target_that_teaches_nothing_is_named_by_the_first_such_series() -> None:
    rows = frame(("a", "b", "c"), 20)
    row = pl.int_range(pl.len()).over("unique_id")
    late = rows.with_columns(
        y=pl.when((pl.col("unique_id") != "a") & (row < 15)).then(None).otherwise("y")
    )
    rows_trained = np.array([15, 16, 15])
    with pytest.raises(DataError, match="series 'c' are missing in its 15 training rows"):
        read_panel(late, HORIZON).check_target(rows_trained)
    still = rows.with_columns(y=pl.when(row < 15).then(7.0).otherwise("y"))
    with pytest.raises(DataError, match="constant in every series"):
        read_panel(still, HORIZON).check_target(np.array([15, 15, 15]))
    read_panel(still, HORIZON).check_target(rows_trained)
    read_panel(late, HORIZON).check_target(np.array([15, 16, 16]))


def test_text_stamps_in_a_table_of_pyarrow_are_read_as_those_of_polars() -> None:
    words = frame(length=20).with_columns(pl.col("ds").dt.to_string("%Y-%m-%d %H:%M"))
    assert panels_equal(read_panel(words.to_arrow(), HORIZON), read_panel(words, HORIZON))


def test_whole_numbers_that_are_floats_are_steps() -> None:
    steps = pl.DataFrame({"ds": [0.0, 1.0, 3.0], "y": 1.0})
    panel = read_panel(steps, HORIZON)
    assert panel.frequency == Frequency("step", 1)
    assert panel.lengths.tolist() == [4]


@pytest.mark.parametrize("least", [-3 * 10**18, 0])
def test_the_largest_steps_have_a_future(least: int) -> None:
    step = (3 * 10**18 - least) // 8
    panel = read_panel(pl.DataFrame({"ds": least + step * np.arange(9), "y": 1.0}), HORIZON)
    assert panel.frequency == Frequency("step", step)
    ahead = panel.stamps_behind(8)[0].tolist()
    assert ahead == [3 * 10**18 + step * k for k in range(1, 9)]
