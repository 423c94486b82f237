"""A rolling-origin backtest in one batched pass, against the forecasts a sceptic would ask for.

Letters: S series, K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.fitted import Fitted
from carousel.tasks.forecasting.metrics import central_intervals, coverage, pinball, smape
from carousel.tasks.forecasting.report import Report, Scores

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
        """(K, W) the model's point forecast."""
        return self.quantiles[..., self.levels.index(0.5)]

    def report(self) -> Report:
        """Scores every forecast on the same points: those where all of them and the truth exist."""
        real = ~np.isnan(self.actual)
        for forecast in self.baselines.values():
            real &= ~np.isnan(forecast)
        actual = np.where(real, self.actual, np.nan)
        scores = {MODEL: self._scores(actual, self.median, self.quantiles)}
        for name, forecast in self.baselines.items():
            scores[name] = self._scores(actual, forecast, None)
        begin = self.panel.stamps[self.panel.offsets[self.series] + self.origin]
        errors = {MODEL: self._by_step(actual, self.median)}
        errors |= {name: self._by_step(actual, f) for name, f in self.baselines.items()}
        return Report(
            scores=scores,
            by_series=self._by_series(actual),
            by_step=errors,
            num_windows=len(self.series),
            num_points=int(real.sum()),
            num_undefined=int((self.naive_error[np.unique(self.series)] == 0).sum()),
            num_unknown=self.num_unknown,
            first=self._stamp(int(begin.argmin())),
            last=self._stamp(int(begin.argmax()), len(self.actual) - 1),
            season=self.season,
            frequency=str(self.panel.frequency),
            backtest=self,
        )

    def _scores(
        self, actual: np.ndarray, point: np.ndarray, quantiles: np.ndarray | None
    ) -> Scores:
        levels = torch.tensor(self.levels, dtype=torch.float64)
        spread = np.repeat(point[..., None], len(levels), -1) if quantiles is None else quantiles
        loss = pinball(torch.from_numpy(actual), torch.from_numpy(spread), levels).numpy()
        found = {}
        if quantiles is not None:
            for low, high in central_intervals(self.levels):
                share = coverage(actual, quantiles[..., low], quantiles[..., high])
                found[round(self.levels[high] - self.levels[low], 6)] = share
        return Scores(
            mase=self._scaled_mean(np.abs(actual - point)),
            smape=smape(actual, point),
            mae=float(np.nanmean(np.abs(actual - point))),
            pinball=self._scaled_mean(loss),
            coverage=found,
        )

    def _scaled_mean(self, errors: np.ndarray) -> float:
        """Returns the mean over series of (mean error / naive error); both (K, W) and NaN-aware."""
        per_series = self._mean_by_series(errors)
        usable = (self.naive_error > 0) & ~np.isnan(per_series)
        if not usable.any():
            return float("nan")
        return float((per_series[usable] / self.naive_error[usable]).mean())

    def _mean_by_series(self, errors: np.ndarray) -> np.ndarray:
        real = ~np.isnan(errors)
        size = len(self.naive_error)
        total = np.bincount(self.series, np.where(real, errors, 0.0).sum(0), minlength=size)
        count = np.bincount(self.series, real.sum(0), minlength=size)
        return np.divide(total, count, out=np.full(size, np.nan), where=count > 0)

    def _by_series(self, actual: np.ndarray) -> list[dict[str, object]]:
        rows = []
        columns = {MODEL: self.median, **self.baselines}
        means = {name: self._mean_by_series(np.abs(actual - f)) for name, f in columns.items()}
        for s in np.unique(self.series):
            row: dict[str, object] = {"series": str(self.panel.ids[s])}
            for name, mean in means.items():
                scale = self.naive_error[s]
                row[name] = float(mean[s] / scale) if scale > 0 else float("nan")
            rows.append(row)
        return rows

    @staticmethod
    def _by_step(actual: np.ndarray, forecast: np.ndarray) -> list[float]:
        errors = np.abs(actual - forecast)
        real = ~np.isnan(errors)
        total, count = np.where(real, errors, 0.0).sum(1), real.sum(1)
        return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0).tolist()

    def _stamp(self, window: int, ahead: int = 0) -> str:
        return self.panel.stamp_words(int(self.series[window]), int(self.origin[window]) + ahead)


def backtest(
    fitted: Fitted, panel: Panel, first: np.ndarray, last: np.ndarray, stride: int
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
        quantiles=fitted.quantiles(windows, series, origin),
        levels=fitted.options.quantiles,
        baselines={
            SEASONAL_NAIVE: windows.seasonal_naive(series, origin).numpy(),
            RANDOM_WALK: windows.random_walk(series, origin).numpy(),
        },
        naive_error=windows.naive_error,
        season=fitted.plan.season,
        num_unknown=fitted.num_unknown(panel),
    )
