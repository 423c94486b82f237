"""Windows: the past alone is read, what is missing is masked, scales follow the window."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.forecasting.small_data import frame

from carousel.tasks.forecasting.calendar import calendar_cycles, calendar_features
from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.windows import CovariateScaler, Window, Windows, naive_errors

OPTIONS = ForecastingOptions(horizon=4)
DAY = 86_400_000_000_000


def make(rows: pl.DataFrame, *, context: int = 12, season: int = 6) -> Windows:
    panel = read_panel(rows, OPTIONS)
    return Windows(
        panel,
        context=context,
        horizon=4,
        season=season,
        cycles=("day",),
        scaler=CovariateScaler.measure(panel.values[:, 1:]),
        known=panel.lengths,
    )


def window(rows: pl.DataFrame, series: int, origin: int) -> Window:
    return make(rows).cut(torch.tensor([series]), torch.tensor([origin]))


def changed(rows: pl.DataFrame, column: str, series: str, keep: pl.Expr) -> pl.DataFrame:
    """Replaces the values of one series where ``keep`` is false by something far off."""
    own = (pl.col("unique_id") == series) & ~keep
    return rows.with_columns(pl.when(own).then(1e6).otherwise(column).alias(column))


INPUTS = ("past", "future", "anchor", "center", "scale")


def test_nothing_at_or_after_the_origin_is_read() -> None:
    rows = frame()
    origin = 40
    before = pl.int_range(pl.len()).over("unique_id") < origin
    known = torch.tensor([40, 40]).numpy()

    def cut(given: pl.DataFrame) -> Window:
        panel = read_panel(given, OPTIONS)
        scaler = CovariateScaler(np.zeros(1), np.ones(1))
        windows = Windows(
            panel, context=12, horizon=4, season=6, cycles=("day",), scaler=scaler, known=known
        )
        return windows.cut(torch.tensor([0]), torch.tensor([origin]))

    plain = cut(rows)
    spoilt = cut(changed(changed(rows, "y", "a", before), "wind", "a", before))
    for name in INPUTS:
        assert torch.equal(getattr(plain, name), getattr(spoilt, name)), name
    assert not torch.equal(plain.target, spoilt.target)


def test_no_other_series_is_read() -> None:
    rows = frame()
    one = window(rows.drop("wind"), 0, 40)
    other = window(changed(rows, "y", "b", pl.lit(False)).drop("wind"), 0, 40)
    for name in (*INPUTS, "target"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_targets_are_what_came() -> None:
    rows = frame()
    cut = window(rows, 1, 30)
    value = (cut.center + cut.scale * cut.target.double())[:, 0].numpy()
    wanted = rows.filter(pl.col("unique_id") == "b")["y"].to_numpy()[30:34]
    assert value == pytest.approx(wanted, rel=1e-6)
    assert cut.observed.tolist() == [[1.0]] * 4


@given(level=st.floats(-1e6, 1e6), size=st.floats(1e-12, 1e6))
def test_level_and_size_of_a_series_do_not_matter(level: float, size: float) -> None:
    rows = frame()
    level *= min(size, 1.0)
    moved = rows.with_columns(y=pl.col("y") * size + level)
    one, other = window(rows, 0, 40), window(moved, 0, 40)
    # What is lost is what the sum y·size + level rounds away, seen in units of the scale.
    lost = 4 * 2.0**-52 * (abs(level) + size * 20) / (size * float(one.scale)) + 1e-5
    for name in ("past", "future", "anchor", "target"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=lost), name


def test_missing_values_are_masked_and_do_not_move_the_scale() -> None:
    rows = frame(names=["a"])
    hole = pl.int_range(pl.len()).is_in([33, 34, 41])
    holed = rows.with_columns(y=pl.when(hole).then(None).otherwise("y"))
    cut = window(holed, 0, 40)
    assert cut.past[:, 0, 1].tolist() == [0.0 if k in (33, 34) else 1.0 for k in range(28, 40)]
    assert cut.past[5:7, 0, 0].tolist() == [0.0, 0.0]
    assert cut.observed[:, 0].tolist() == [1.0, 0.0, 1.0, 1.0]
    y = np.delete(rows["y"].to_numpy()[28:40], [5, 6])
    assert float(cut.center[0]) == pytest.approx(y.mean())
    assert float(cut.scale[0]) == pytest.approx(y.std())
    assert all(torch.isfinite(part.double()).all() for part in cut)


def test_a_window_that_begins_before_its_series_is_masked_there() -> None:
    cut = make(frame()).cut(torch.tensor([1]), torch.tensor([5]))
    assert cut.past[:, 0, 1].tolist() == [0.0] * 7 + [1.0] * 5
    assert cut.past[:7, 0, :4].abs().sum() == 0


def test_the_future_continues_behind_the_end() -> None:
    windows = make(frame())
    cut = windows.cut(torch.tensor([0, 1]), torch.tensor([80, 80]))
    assert cut.observed.sum() == 0
    inside = windows.cut(torch.tensor([0]), torch.tensor([56]))  # 80 = 56 + one day
    assert cut.future[:, 0, :2] == pytest.approx(inside.future[:, 0, :2], abs=1e-5)


def test_baselines_by_hand() -> None:
    rows = frame(names=["a"])
    y = rows["y"].to_numpy().copy()
    windows = make(rows)
    series, origin = torch.tensor([0]), torch.tensor([40])
    assert windows.seasonal_naive(series, origin)[:, 0].tolist() == y[34:38].tolist()
    assert windows.random_walk(series, origin)[:, 0].tolist() == [y[39]] * 4
    short = make(rows, season=2)
    assert short.seasonal_naive(series, origin)[:, 0].tolist() == [y[38], y[39], y[38], y[39]]
    hole = pl.int_range(pl.len()).is_in([35, 39])
    holed = make(rows.with_columns(y=pl.when(hole).then(None).otherwise("y")))
    assert holed.seasonal_naive(series, origin)[:, 0].tolist() == [y[34], y[29], y[36], y[37]]
    assert holed.random_walk(series, origin)[:, 0].tolist() == [y[38]] * 4
    assert torch.isnan(windows.seasonal_naive(series, torch.tensor([3]))[:3]).all()


def test_origins_are_every_stride_and_usable_ones_have_values() -> None:
    windows = make(frame())
    series, origin = windows.origins(np.array([10, 70]), np.array([19, 60]), 4)
    assert (series.tolist(), origin.tolist()) == ([0, 0, 0], [10, 14, 18])
    hole = pl.int_range(pl.len()).over("unique_id").is_between(20, 50)
    holed = make(frame().with_columns(y=pl.when(hole).then(None).otherwise("y")))
    series, origin = holed.usable(*holed.origins(np.array([0, 0]), np.array([76, 76]), 1))
    # The hole is rows 20 to 50: from 20 on nothing comes after, and until 51 nothing came before.
    assert origin[series == 0].tolist() == [*range(1, 20), *range(52, 77)]


def test_naive_errors_by_hand() -> None:
    rows = frame()
    panel: Panel = read_panel(rows, OPTIONS)
    y = panel.target(1)[:50]
    errors = naive_errors(panel, 6, np.array([50, 50]))
    assert errors[1] == pytest.approx(np.abs(y[6:] - y[:-6]).mean())
    flat = read_panel(rows.with_columns(y=pl.lit(2.0)), OPTIONS)
    assert naive_errors(flat, 6, np.array([50, 50])).tolist() == [0.0, 0.0]


def test_calendar_features_turn_once_a_cycle() -> None:
    hours = np.arange(0, 14 * 24) * (DAY // 24)
    features = calendar_features(hours, ("day", "week", "year"))
    assert features.shape == (14 * 24, 6)
    assert features[:24, :2] == pytest.approx(features[24:48, :2], abs=1e-6)
    assert features[: 7 * 24, 2:4] == pytest.approx(features[7 * 24 :, 2:4], abs=1e-6)
    assert (features**2).reshape(-1, 3, 2).sum(-1) == pytest.approx(np.ones((336, 3)), abs=1e-6)
    monday = calendar_features(np.array([4 * DAY]), ("week",))
    assert monday[0] == pytest.approx([0.0, 1.0], abs=1e-6)
    new_year = np.datetime64("2024-01-01", "ns").astype(np.int64)[None]
    assert calendar_features(new_year, ("year",))[0] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_only_cycles_that_the_data_can_teach_are_read() -> None:
    hourly, daily = Frequency("nanosecond", DAY // 24), Frequency("nanosecond", DAY)
    assert calendar_cycles(hourly, 3 * DAY) == ("day",)
    assert calendar_cycles(hourly, 20 * DAY) == ("day", "week")
    assert calendar_cycles(hourly, 800 * DAY) == ("day", "week", "year")
    assert calendar_cycles(daily, 800 * DAY) == ("week", "year")
    assert calendar_cycles(Frequency("month", 1), 3_000 * DAY) == ("year",)
    assert calendar_cycles(Frequency("step", 1), 10**18) == ()
