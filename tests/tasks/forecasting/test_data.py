"""Panels: rows on a regular grid, gaps as missing values, roles of columns."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.tasks.forecasting.small_data import START, frame, write_csv

from carousel.errors import DataError
from carousel.tasks.forecasting.data import options_for, read_panel
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
    assert read_panel(given, HORIZON).covariates == ("wind", "rain")
    chosen = ForecastingOptions(horizon=4, covariates=("rain",))
    assert read_panel(given, chosen).covariates == ("rain",)
    none = ForecastingOptions(horizon=4, covariates=())
    assert read_panel(given, none).values.shape == (40, 1)


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
