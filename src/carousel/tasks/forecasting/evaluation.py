"""A rolling-origin backtest in one batched pass, against the forecasts a sceptic would ask for.

Letters: S series, K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from carousel.tasks.forecasting.breakdown import (
    mean_by_series,
    mean_by_step,
    mean_of,
    scaled_mean,
    scaled_mean_by_step,
)
from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.fitted import Fitted, Told
from carousel.tasks.forecasting.metrics import (
    central_intervals,
    coverage,
    inside,
    percentage_errors,
    pinball,
    smape,
)
from carousel.tasks.forecasting.report import Report, Scores, best_baseline
from carousel.tasks.forecasting.significance import Significance, compare

MODEL = "this model"
SEASONAL_NAIVE = "seasonal naive"
RANDOM_WALK = "random walk"


@dataclass(frozen=True)
class Backtest:
    """Forecasts from many origins and what came.

    Attributes:
        panel: the series.
        series: (W,) which series each window belongs to.
        origin: (W,) its first forecast row.
        actual: (K, W), NaN where missing.
        quantiles: (K, W, Q) of the model.
        levels: (Q,) which quantiles.
        baselines: by name, (K, W) each.
        naive_error: (S,) what MASE divides by, 0 where it is undefined.
        season: steps of the seasonal naive forecast.
        num_unknown: series of the panel that fitting has not seen.
    """

    panel: Panel
    series: np.ndarray
    origin: np.ndarray
    actual: np.ndarray
    quantiles: np.ndarray
    levels: tuple[float, ...]
    baselines: dict[str, np.ndarray]
    naive_error: np.ndarray
    season: int
    num_unknown: int

    @property
    def median(self) -> np.ndarray:
        """(K, W) the middle of the model's quantiles."""
        return self.quantiles[..., self.levels.index(0.5)]

    @property
    def point(self) -> np.ndarray:
        """(K, W) the model's point forecast, which MASE, sMAPE, MAE and MSE judge."""
        return self.median

    @property
    def forecasts(self) -> dict[str, np.ndarray]:
        """Point forecasts by name, (K, W) each, the model's first."""
        return {MODEL: self.point, **self.baselines}

    @cached_property
    def scored(self) -> np.ndarray:
        """(K, W) what came, where every baseline forecasts it too; NaN elsewhere."""
        real = ~np.isnan(self.actual)
        for forecast in self.baselines.values():
            real &= ~np.isnan(forecast)
        return np.where(real, self.actual, np.nan)

    @property
    def intervals(self) -> dict[float, np.ndarray]:
        """By nominal share, narrowest first: (K, W) 1 where the interval held what was scored."""
        return {
            round(self.levels[high] - self.levels[low], 6): inside(
                self.scored, self.quantiles[..., low], self.quantiles[..., high]
            )
            for low, high in central_intervals(self.levels)
        }

    def report(self) -> Report:
        """Scores every forecast on the same points: those where all of them and the truth exist."""
        intervals = self.intervals
        errors = {name: np.abs(self.scored - f) for name, f in self.forecasts.items()}
        scores = {
            name: self._scores(name, forecast, intervals)
            for name, forecast in self.forecasts.items()
        }
        begin, _ = self._span()
        return Report(
            scores=scores,
            significance=self._significance(best_baseline(scores), errors),
            by_series=self._by_series(errors, intervals),
            by_step={name: mean_by_step(e).tolist() for name, e in errors.items()},
            scaled_by_step={
                name: scaled_mean_by_step(e, self.series, self.naive_error).tolist()
                for name, e in errors.items()
            },
            coverage_by_step={
                nominal: mean_by_step(held).tolist() for nominal, held in intervals.items()
            },
            reliability={
                level: coverage(self.scored, np.full(1, -np.inf), self.quantiles[..., q])
                for q, level in enumerate(self.levels)
            },
            num_windows=len(self.series),
            num_points=int((~np.isnan(self.scored)).sum()),
            num_undefined=int((self.naive_error[np.unique(self.series)] == 0).sum()),
            num_unknown=self.num_unknown,
            first=self._stamp(int(begin.argmin())),
            last=self._stamp(int(begin.argmax()), len(self.actual) - 1),
            season=self.season,
            frequency=str(self.panel.frequency),
            backtest=self,
        )

    def _scores(self, name: str, point: np.ndarray, intervals: dict[float, np.ndarray]) -> Scores:
        levels = torch.tensor(self.levels, dtype=torch.float64)
        is_model = name == MODEL
        spread = self.quantiles if is_model else np.repeat(point[..., None], len(levels), -1)
        loss = pinball(torch.from_numpy(self.scored), torch.from_numpy(spread), levels).numpy()
        error = self.scored - point
        return Scores(
            mase=scaled_mean(np.abs(error), self.series, self.naive_error),
            smape=smape(self.scored, point),
            mae=mean_of(np.abs(error)),
            mse=mean_of(error**2),
            pinball=scaled_mean(loss, self.series, self.naive_error),
            coverage={n: mean_of(held) for n, held in intervals.items()} if is_model else {},
        )

    def _significance(self, best: str, errors: dict[str, np.ndarray]) -> Significance:
        naive = self.naive_error[self.series]
        scale = np.divide(1.0, naive, out=np.full(len(naive), np.nan), where=naive > 0)
        begin, end = self._span()
        return compare(
            (errors[MODEL] - errors[best]) * scale,
            series=self.series,
            origin=self.origin,
            begin=begin,
            end=end,
            against=best,
        )

    def _span(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the time stamps of the first and the last row of each window, (W,) each."""
        begin = self.panel.offsets[self.series] + self.origin
        behind = self.panel.offsets[self.series + 1]
        end = np.minimum(begin + len(self.actual), behind) - 1
        return self.panel.stamps[begin], self.panel.stamps[end]

    def _by_series(
        self, errors: dict[str, np.ndarray], intervals: dict[float, np.ndarray]
    ) -> list[dict[str, Any]]:
        size = len(self.naive_error)

        def means(values: np.ndarray) -> np.ndarray:
            return mean_by_series(values, self.series, size)

        naive = np.where(self.naive_error > 0, self.naive_error, np.nan)
        mase = {name: means(e) / naive for name, e in errors.items()}
        percent = {
            name: means(percentage_errors(self.scored, f)) for name, f in self.forecasts.items()
        }
        held = {f"{nominal:g}": means(held) for nominal, held in intervals.items()}
        windows = np.bincount(self.series, minlength=size)
        points = np.bincount(self.series, (~np.isnan(self.scored)).sum(0), minlength=size)
        return [
            {
                "series": str(self.panel.ids[s]),
                "num_windows": int(windows[s]),
                "num_points": int(points[s]),
                **{name: float(values[s]) for name, values in mase.items()},
                "smape": {name: float(values[s]) for name, values in percent.items()},
                "coverage": {nominal: float(values[s]) for nominal, values in held.items()},
            }
            for s in np.unique(self.series)
        ]

    def _stamp(self, window: int, ahead: int = 0) -> str:
        return self.panel.stamp_words(int(self.series[window]), int(self.origin[window]) + ahead)


def backtest(
    fitted: Fitted,
    panel: Panel,
    first: np.ndarray,
    last: np.ndarray,
    stride: int,
    progress: Told | None = None,
) -> Backtest | None:
    """Forecasts every ``stride`` steps from row ``first`` to row ``last`` (S,) of each series.

    MASE's denominator comes from the rows before ``first`` alone.

    Returns:
        The backtest, or None where there is no origin with anything to forecast.
    """
    windows = fitted.windows(panel, first)
    series, origin = windows.usable(*windows.origins(first, last, stride))
    if len(series) == 0:
        return None
    return Backtest(
        panel=panel,
        series=series.numpy(),
        origin=origin.numpy(),
        actual=windows.actual(series, origin).numpy(),
        quantiles=fitted.quantiles(windows, series, origin, progress),
        levels=fitted.options.quantiles,
        baselines={
            SEASONAL_NAIVE: windows.seasonal_naive(series, origin).numpy(),
            RANDOM_WALK: windows.random_walk(series, origin).numpy(),
        },
        naive_error=windows.naive_error,
        season=fitted.plan.season,
        num_unknown=fitted.num_unknown(panel),
    )
