"""Calibration by hand, its coverage on drifting noise, and that it never reads the future."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.forecasting.small_data import QUICK, SMALL, frame

from carousel.tasks.forecasting import Forecaster
from carousel.tasks.forecasting.calibration import (
    GROUP_SCORES,
    LEAST_SCORES,
    stretch_factors,
    stretch_scores,
    stretched,
)

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


def test_scores_by_hand() -> None:
    quantiles = np.array([[[1.0, 4.0, 5.0, 7.0, 9.0]] * 4])
    actual = np.array([[9.0, 4.5, 5.0, np.nan]])
    scores = stretch_scores(actual, quantiles, LEVELS)
    assert scores[0, 0, :3].tolist() == [2.0, 0.5, 0.0]  # of 4 … 7
    assert scores[1, 0, :3].tolist() == [1.0, 0.125, 0.0]  # of 1 … 9
    assert np.isnan(scores[:, 0, 3]).all()


def test_factors_by_hand() -> None:
    known = np.random.default_rng(0).permutation(np.append(np.arange(1.0, 100.0), np.nan))
    few = np.where(np.arange(100) < LEAST_SCORES - 1, 3.0, np.nan)
    scores = np.stack([[known, few, np.full(100, np.nan)]] * 2)[:, None]
    assert stretch_factors(scores, LEVELS).tolist() == [[[80.0, 1.0, 1.0]], [[95.0, 1.0, 1.0]]]


def test_neighbouring_steps_share_their_scores() -> None:
    """Ten past forecasts of 24 steps: three groups of eight, each wider than the one before."""
    group = np.repeat([1.0, 2.0, 3.0], 8)
    scores = np.tile(group[None, :, None, None], (2, 1, 1, 10))
    assert GROUP_SCORES == 80
    assert stretch_factors(scores, LEVELS)[..., 0].tolist() == [group.tolist()] * 2
    scores[:, 0] = 100.0  # ten of the first eighty, which no 80 % needs
    found = stretch_factors(scores, LEVELS)[..., 0]
    assert found.tolist() == [group.tolist(), [100.0] * 8 + group[8:].tolist()]


def test_stretching_by_hand() -> None:
    quantiles = np.array([[[1.0, 4.0, 5.0, 7.0, 9.0]]])
    found = stretched(quantiles, np.array([[[2.0]], [[0.5]]]), LEVELS)
    # The 80 % interval grows to 3 … 9; the 95 % one shrinks to 3 … 7 and gives way above.
    assert found[0, 0].tolist() == [3.0, 3.0, 5.0, 9.0, 9.0]
    assert stretched(quantiles, np.ones((2, 1, 1)), LEVELS).tolist() == quantiles.tolist()


@given(
    steps=st.lists(st.floats(0.0, 1e3), min_size=5, max_size=5),
    factors=st.lists(st.floats(0.0, 1e3), min_size=2, max_size=2),
)
def test_stretched_quantiles_never_cross_and_keep_the_median(
    steps: list[float], factors: list[float]
) -> None:
    quantiles = np.cumsum(steps)[None, None]
    found = stretched(quantiles, np.array(factors)[:, None, None], LEVELS)
    assert (np.diff(found) >= 0).all()
    assert found[0, 0, 2] == quantiles[0, 0, 2]


def test_a_network_that_is_sure_of_itself_is_corrected() -> None:
    """Noise three times as wide as the quantiles say, and later six times: coverage holds."""
    rng = np.random.default_rng(0)
    size = np.where(np.arange(400) < 200, 3.0, 6.0)
    actual = rng.normal(size=(24, 400)) * size
    z80, z95 = 1.2816, 1.9600
    quantiles = np.tile(np.array([-z95, -z80, 0.0, z80, z95]), (24, 400, 1))
    scores = stretch_scores(actual, quantiles, LEVELS)
    latest = np.arange(20, 400)[:, None] - np.arange(1, 21)
    factors = stretch_factors(scores[:, :, latest], LEVELS)
    held = stretched(quantiles[:, 20:], factors, LEVELS)
    truth = actual[:, 20:]
    for low, high, share in ((1, 3, 0.8), (0, 4, 0.95)):
        inside = ((truth >= held[..., low]) & (truth <= held[..., high])).mean()
        assert inside == pytest.approx(share, abs=0.02)
    assert factors[0, :, 100].mean() == pytest.approx(3.0, rel=0.2)
    assert factors[0, :, -1].mean() == pytest.approx(6.0, rel=0.2)


def test_the_future_sets_no_width() -> None:
    rows = frame(length=160)
    model = Forecaster(**{**SMALL, "holdout": 60}).fit(rows, run=QUICK)
    late = pl.int_range(pl.len()).over("unique_id") >= 130
    spoilt = rows.with_columns(y=pl.when(late).then(pl.col("y") + 500.0).otherwise("y"))
    one, other = (model.evaluate(data, stride=1).backtest for data in (rows, spoilt))
    before = (one.origin <= 130) & (one.series == 0)
    assert before.sum() > 20
    assert np.array_equal(one.quantiles[:, before], other.quantiles[:, before])
    after = (one.origin >= 140) & (one.series == 0)
    assert not np.array_equal(one.quantiles[:, after], other.quantiles[:, after])


def interval(forecast: pl.DataFrame, series: str) -> np.ndarray:
    own = forecast.filter(pl.col("unique_id") == series)
    return own.select("y_q0.025", "y_q0.1", "y", "y_q0.9", "y_q0.975").to_numpy()


def test_a_series_is_forecast_alike_in_any_company_and_order() -> None:
    long, noisy = frame(["a"], 200), frame(["b"], 90)
    noise = np.random.default_rng(1).normal(0, 40, 90)
    noisy = noisy.with_columns(y=pl.col("y") + pl.Series(noise))
    model = Forecaster(**SMALL).fit(pl.concat([long, noisy]), run=QUICK)
    alone = interval(model.predict(long), "a")
    for together in (pl.concat([long, noisy]), pl.concat([noisy, long])):
        assert interval(model.predict(together), "a") == pytest.approx(alone, rel=1e-6)


def test_a_past_without_a_value_sets_no_width() -> None:
    rows = frame(["a"], 200)
    model = Forecaster(**SMALL).fit(rows, run=QUICK)
    early = pl.int_range(pl.len()) < 100
    holed = rows.with_columns(y=pl.when(early).then(None).otherwise("y"))
    # A context of missing rows stays, so that windows that see little are the same in both.
    late = holed[100 - SMALL["context"] :]
    found, wanted = (interval(model.predict(data), "a") for data in (holed, late))
    assert found == pytest.approx(wanted, rel=1e-6)


def test_calibration_can_be_switched_off() -> None:
    rows = frame(length=160)
    widths = {}
    for count in (0, 10):
        options = {**SMALL, "holdout": 60, "calibration": count}
        forecast = Forecaster(**options).fit(rows, run=QUICK).predict(rows)
        widths[count] = (forecast["y_q0.9"] - forecast["y_q0.1"]).to_numpy()
        median = forecast["y"].to_numpy()
        widths[count, "median"] = median
    assert np.array_equal(widths[0, "median"], widths[10, "median"])
    assert not np.allclose(widths[0], widths[10])
