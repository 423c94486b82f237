"""Backtests made without a network: what was forecast is the truth and some noise."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import polars as pl
from tests.tasks.forecasting.small_data import START

from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.evaluation import RANDOM_WALK, SEASONAL_NAIVE, Backtest
from carousel.tasks.forecasting.options import DEFAULT_QUANTILES, ForecastingOptions

SEASON = 6
NORMAL = {0.025: -1.96, 0.1: -1.2816, 0.5: 0.0, 0.8: 0.8416, 0.9: 1.2816, 0.975: 1.96}


def panel(names: Sequence[str], length: int, target: str = "y") -> Panel:
    """Hourly waves of period 6 with noise, each around a level of its own."""
    random = np.random.default_rng(0)
    parts = []
    for number, name in enumerate(names):
        wave = 3.0 * np.sin(2 * np.pi * np.arange(length) / SEASON)
        parts.append(
            pl.DataFrame(
                {
                    "unique_id": [name] * length,
                    "ds": [START + k * datetime.timedelta(hours=1) for k in range(length)],
                    target: 10.0 * (number % 7 + 1) + wave + random.normal(0, 1, length),
                }
            )
        )
    return read_panel(pl.concat(parts), ForecastingOptions(horizon=1, target=target))


def made_backtest(
    names: Sequence[str] = ("a", "b"),
    *,
    horizon: int = 4,
    origins: int = 10,
    stride: int | None = None,
    noise: float = 0.6,
    levels: tuple[float, ...] = DEFAULT_QUANTILES,
    target: str = "y",
) -> Backtest:
    """The last ``origins`` forecasts of every series, whose errors are ``noise`` naive errors."""
    stride = stride or horizon
    first = 4 * SEASON
    data = panel(names, first + (origins - 1) * stride + horizon, target)
    random = np.random.default_rng(1)
    size = len(data.ids)
    series = np.repeat(np.arange(size), origins)
    origin = np.tile(first + stride * np.arange(origins), size)
    rows = data.offsets[series] + origin + np.arange(horizon)[:, None]
    y = data.values[:, 0]
    naive = np.array(
        [
            np.abs(data.target(s)[SEASON:first] - data.target(s)[: first - SEASON]).mean()
            for s in range(size)
        ]
    )
    spread = noise * naive[series] * np.ones((horizon, 1))
    middle = y[rows] + spread * random.normal(size=rows.shape)
    back = SEASON * (1 + np.arange(horizon) // SEASON)[:, None]
    return Backtest(
        panel=data,
        series=series,
        origin=origin,
        actual=y[rows],
        quantiles=np.stack([middle + spread * NORMAL[level] for level in levels], axis=-1),
        levels=levels,
        baselines={
            SEASONAL_NAIVE: y[rows - back],
            RANDOM_WALK: np.repeat(y[rows[:1] - 1], horizon, axis=0),
        },
        naive_error=naive,
        season=SEASON,
        num_unknown=0,
    )
