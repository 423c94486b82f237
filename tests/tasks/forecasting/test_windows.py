"""Windows: the past alone is read, what is missing is masked, scales follow the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.forecasting.small_data import ALL_COVARIATES, frame, rich_frame

from carousel.tasks.forecasting.calendar import calendar_cycles, calendar_features
from carousel.tasks.forecasting.covariates import CovariateScaler
from carousel.tasks.forecasting.data import read_panel
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan
from carousel.tasks.forecasting.windows import Scalers, Window, Windows

OPTIONS = ForecastingOptions(horizon=4)
RICH = ForecastingOptions(horizon=4, **ALL_COVARIATES)
DAY = 86_400_000_000_000


def as_they_are(size: int) -> CovariateScaler:
    return CovariateScaler(np.zeros(size), np.ones(size))


def make(
    rows: pl.DataFrame,
    *,
    season: int = 6,
    lags: tuple[int, ...] | None = None,
    anchor: int | None = None,
    log: bool = False,
    metric: str = "mase",
    options: ForecastingOptions = OPTIONS,
    known: int | None = None,
    ahead: np.ndarray | None = None,
) -> Windows:
    """Windows whose covariates stay as they are and whose scales come from ``known`` rows."""
    panel = read_panel(rows, options)
    plan = Plan(
        context=12,
        least=2,
        season=season,
        patch=1,
        lags=lags or (season,),
        anchor=anchor or season,
        log=log,
        validation=0,
        holdout=0,
    )
    scalers = Scalers(as_they_are(panel.values.shape[1] - 1), as_they_are(panel.static.shape[1]))
    return Windows(
        panel,
        plan=plan,
        horizon=4,
        cycles=("day",),
        scalers=scalers,
        metric=metric,
        known=panel.lengths if known is None else np.full(len(panel.ids), known),
        ahead=ahead,
    )


def window(rows: pl.DataFrame, series: int, origin: int, **settings: Any) -> Window:
    return make(rows, **settings).cut(torch.tensor([series]), torch.tensor([origin]))


def changed(rows: pl.DataFrame, column: str, series: str, keep: pl.Expr) -> pl.DataFrame:
    """Replaces the values of one series where ``keep`` is false by something far off."""
    own = (pl.col("unique_id") == series) & ~keep
    return rows.with_columns(pl.when(own).then(1e6).otherwise(column).alias(column))


INPUTS = ("past", "future", "static", "anchor", "center", "scale")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("origin", [3, 12, 40, 76])
def test_nothing_at_or_after_the_origin_is_read(origin: int, log: bool) -> None:
    settings = {"lags": (6, 24, 3), "log": log, "options": RICH, "known": origin}
    rows = rich_frame()
    before = pl.int_range(pl.len()).over("unique_id") < origin
    spoilt = changed(changed(rows, "y", "a", before), "wind", "a", before).with_columns(
        sky=pl.when(before).then("sky").otherwise(pl.lit("blue"))
    )
    plain, other = (window(given, 0, origin, **settings) for given in (rows, spoilt))
    for name in INPUTS:
        assert torch.equal(getattr(plain, name), getattr(other, name)), name
    assert not torch.equal(plain.target, other.target)


def test_what_is_known_ahead_is_read_at_its_step_and_nowhere_else() -> None:
    origin, row = 40, pl.int_range(pl.len()).over("unique_id")
    settings = {"options": RICH, "known": origin}
    plain = window(rich_frame(), 0, origin, **settings)
    # wind, the levels of sky, price, the levels of holiday; then which of the four are there.
    width = 1 + 2 + 1 + 2
    assert plain.past.shape == (12, 1, 2 + width + 4 + 2)
    y, a = rich_frame()["y"].to_numpy(), torch.arange(origin - 12, origin)
    assert plain.past[:, 0, 2] == pytest.approx(np.cos(a.numpy() / 5.0))
    assert plain.past[:, 0, 3].tolist() == (a % 3 != 0).float().tolist()  # blue
    assert plain.past[:, 0, 4].tolist() == (a % 3 == 0).float().tolist()  # grey
    assert plain.past[:, 0, 5].tolist() == (1000 + a).tolist()
    assert plain.past[:, 0, 7].tolist() == (a % 5 == 0).float().tolist()
    assert (plain.past[:, 0, 2 + width : 2 + width + 4] == 1).all()
    # Calendar; price, the levels of holiday; which are there; last season, whether it is; position.
    ahead = torch.arange(origin, origin + 4)
    future = plain.future[:, 0]
    assert future.shape == (4, 2 + 3 + 2 + 2 + 1)
    assert future[:, 2].tolist() == (1000 + ahead).tolist()
    assert future[:, 3].tolist() == (ahead % 5 != 0).float().tolist()
    assert future[:, 4].tolist() == (ahead % 5 == 0).float().tolist()
    assert (future[:, 5:7] == 1).all()
    scaled = (y[ahead - 6] - float(plain.center)) / float(plain.scale)
    assert future[:, 7] == pytest.approx(scaled, rel=1e-5)
    assert future[:, 9] == pytest.approx(np.arange(4) / 3)
    # Each step's price is one number of the future and none of the past.
    for k in range(-1, 5):
        there = pl.when(row == origin + k).then(None).otherwise("price").alias("price")
        other = window(rich_frame().with_columns(there), 0, origin, **settings)
        touched = (plain.future != other.future).nonzero().tolist()
        assert touched == ([[k, 0, 2], [k, 0, 5]] if 0 <= k < 4 else [])
        assert torch.equal(plain.past, other.past) == (k >= 0)


def test_what_is_known_behind_the_end_is_given_apart() -> None:
    settings = {"options": RICH, "known": 40}
    whole = rich_frame(length=44)
    known = pl.int_range(pl.len()).over("unique_id") < 40
    panel = read_panel(whole, RICH)
    ahead = panel.values.reshape(2, 44, -1)[:, 40:, 4:]
    both = torch.tensor([0, 1]), torch.tensor([40, 40])
    wanted = make(whole, **settings).cut(*both)
    found = make(whole.filter(known), **settings, ahead=ahead).cut(*both)
    for name in INPUTS:
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name
    without = make(whole.filter(known), **settings).cut(*both)
    assert without.future[..., 2:7].abs().sum() == 0
    assert torch.equal(without.past, wanted.past)


def test_a_level_that_is_new_is_there_and_none() -> None:
    options = ForecastingOptions(horizon=4, covariates=("sky",), known_covariates=("holiday",))
    fitted = read_panel(rich_frame(), options).covariates
    row = pl.int_range(pl.len()).over("unique_id")
    given = rich_frame().with_columns(
        sky=pl.when(row == 39).then(pl.lit("green")).when(row == 38).then(None).otherwise("sky")
    )
    panel = read_panel(given, options, covariates=fitted)
    sky = panel.values[36:40, 1:3]  # blue, grey
    assert np.array_equal(sky, [[0, 1], [1, 0], [np.nan] * 2, [0, 0]], equal_nan=True)
    made = make(rich_frame(), options=options)
    found = Windows(
        panel,
        plan=made.plan,
        horizon=4,
        cycles=("day",),
        scalers=Scalers(as_they_are(4), as_they_are(0)),
        metric="mase",
        known=panel.lengths,
    ).cut(torch.tensor([0]), torch.tensor([40]))
    # target, mask, sky, holiday, whether they are there
    assert found.past[-2:, 0, 2:4].tolist() == [[0, 0], [0, 0]]
    assert found.past[-2:, 0, 6].tolist() == [0, 1]
    assert (found.past[:, 0, 7] == 1).all()


def test_static_covariates_are_those_of_the_series() -> None:
    empty = pl.when(pl.col("unique_id") == "b").then(None)
    rows = rich_frame(("a", "b", "c")).with_columns(kind=empty.otherwise("kind"))
    cut = make(rows, options=RICH).cut(torch.tensor([2, 0, 1]), torch.tensor([40, 20, 30]))
    # kind is "shop" only, as b's is missing; area; whether they are there
    assert cut.static.shape == (1, 3, 1 + 1 + 2)
    assert cut.static[0].tolist() == [[1, 30, 1, 1], [1, 10, 1, 1], [0, 20, 0, 1]]


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
    for name in ("past", "future", "static", "anchor", "target"):
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
    windows = make(rows, lags=(6, 24, 3))
    series, origin = torch.tensor([0]), torch.tensor([40])
    assert windows.seasonal_naive(series, origin)[:, 0].tolist() == y[34:38].tolist()
    assert windows.random_walk(series, origin)[:, 0].tolist() == [y[39]] * 4
    short = make(rows, season=2)
    assert short.seasonal_naive(series, origin)[:, 0].tolist() == [y[38], y[39], y[38], y[39]]
    assert windows.lagged(24, series, origin)[:, 0].tolist() == y[16:20].tolist()
    assert windows.lagged(3, series, origin)[:, 0].tolist() == [y[37], y[38], y[39], y[37]]
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


def test_each_lag_is_told_with_whether_it_is_there() -> None:
    y = frame(names=["a"])["y"].to_numpy()
    # In row 7, a day before does not exist and three rows before does.
    cut = window(frame(names=["a"]), 0, 7, lags=(6, 24, 3))
    told = cut.future[:, 0, 2:8]
    for place, back in ((0, [1, 2, 3, 4]), (2, [4, 5, 6, 4])):
        scaled = (y[back] - float(cut.center)) / float(cut.scale)
        assert told[:, place] == pytest.approx(scaled, rel=1e-5)
    assert told[:, 1].tolist() == [0.0] * 4
    assert told[:, 3:].tolist() == [[1.0, 0.0, 1.0]] * 4


@pytest.mark.parametrize(
    ("anchor", "origin", "back"),
    [
        (6, 40, [34, 35, 36, 37]),
        (6, 4, [3, 3, 0, 1]),  # a season before, where there is one
        (1, 40, [39] * 4),
        (3, 40, [37, 38, 39, 37]),
    ],
)
def test_the_anchor_is_the_planned_value_else_the_last(
    anchor: int, origin: int, back: list[int]
) -> None:
    y = frame(names=["a"])["y"].to_numpy()
    cut = window(frame(names=["a"]), 0, origin, anchor=anchor)
    scaled = (y[back] - float(cut.center)) / float(cut.scale)
    assert cut.anchor[:, 0] == pytest.approx(scaled, rel=1e-5)


def test_logarithms_are_what_is_scaled() -> None:
    rows = frame()
    y = rows["y"].to_numpy()[80:]
    cut = window(rows, 1, 40, log=True)
    past = np.log(y[28:40])
    assert float(cut.center) == pytest.approx(past.mean())
    assert float(cut.scale) == pytest.approx(past.std())
    assert cut.past[:, 0, 0] == pytest.approx((past - past.mean()) / past.std(), abs=1e-5)
    assert cut.anchor[:, 0] == pytest.approx(
        (np.log(y[34:38]) - past.mean()) / past.std(), abs=1e-5
    )
    made = make(rows, log=True)
    back = made.values(cut.target[..., None], cut.center, cut.scale)
    assert back[:, 0, 0].numpy() == pytest.approx(y[40:44], rel=1e-6)
    both = torch.tensor([1]), torch.tensor([40])
    assert made.actual(*both)[:, 0].tolist() == y[40:44].tolist()
    assert made.seasonal_naive(*both)[:, 0].tolist() == y[34:38].tolist()


def test_a_factor_does_not_matter_to_logarithms() -> None:
    one = window(frame(), 0, 40, log=True)
    other = window(frame().with_columns(pl.col("y") * 1e5), 0, 40, log=True)
    for name in ("past", "future", "anchor", "target"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-4), name


def naive_share(rows: pl.DataFrame) -> float:
    """The mean of 2·|y_t - y_{t-6}| / (|y_t| + |y_{t-6}|) over all series, by a loop."""
    shares = []
    for name in "ab":
        y = rows.filter(pl.col("unique_id") == name)["y"].to_numpy()
        shares += [2 * abs(u - v) / (abs(u) + abs(v)) for u, v in zip(y[6:], y[:-6], strict=True)]
    return float(np.mean(shares))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("metric", ["mase", "smape", "owa"])
def test_weights_are_what_a_small_error_costs_in_the_metric(metric: str, log: bool) -> None:
    rows = frame()
    made = make(rows, metric=metric, log=log)
    both = torch.tensor([1]), torch.tensor([40])
    cut = made.cut(*both)
    y = rows.filter(pl.col("unique_id") == "b")["y"].to_numpy()
    naive = np.abs(y[6:] - y[:-6]).mean()
    actual = y[40:44]
    # The true values, moved by a small step of the scaled target, as the metric sees them.
    small = 1e-5
    z = np.log(actual) if log else actual
    z = z + float(cut.scale) * small
    forecast = np.exp(z) if log else z
    mase = np.abs(forecast - actual) / naive
    smape = 2 * np.abs(forecast - actual) / (np.abs(forecast) + np.abs(actual))
    relative = smape / naive_share(rows)
    cost = {"mase": mase, "smape": relative, "owa": (mase + relative) / 2}[metric]
    # The slopes of 1 / |y| and exp bend by about one small step of the scale.
    assert cut.weight[:, 0] == pytest.approx(cost / small, rel=1e-4)


@pytest.mark.parametrize("metric", ["mase", "smape", "owa"])
def test_a_missing_target_weighs_nothing_and_one_of_zero_not_endlessly(metric: str) -> None:
    rows = frame(names=["a"])
    row = pl.int_range(pl.len())
    holed = rows.with_columns(
        y=pl.when(row == 41).then(None).when(row == 42).then(0.0).otherwise("y")
    )
    cut = window(holed, 0, 40, metric=metric)
    assert cut.weight[1, 0] == 0
    assert (cut.weight[[0, 2, 3], 0] > 0).all()
    level = np.nanmean(np.abs(holed["y"].to_numpy(allow_copy=True).astype(float)))
    ordinary = window(rows, 0, 40, metric=metric).weight[0, 0]
    assert cut.weight[2, 0] <= 1.5 * ordinary * np.abs(rows["y"][40]) / (0.05 * level)
    assert torch.isfinite(cut.weight).all()
    behind = window(rows, 0, 80, metric=metric)
    assert behind.weight.abs().sum() == 0


def test_a_constant_series_weighs_something() -> None:
    flat = frame().with_columns(y=pl.when(pl.col("unique_id") == "a").then(5.0).otherwise("y"))
    for metric in ("mase", "smape", "owa"):
        for log in (False, True):
            cut = window(flat, 0, 40, metric=metric, log=log)
            assert (cut.weight > 0).all()
            assert torch.isfinite(cut.weight).all()
            assert (cut.past[:, 0, 0] == 0).all()


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
