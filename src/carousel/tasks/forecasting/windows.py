"""Windows on a panel: what the network reads before an origin, and what it has to say after it.

Windows are gathered when they are asked for; the panel is held once. Each window is scaled by what
it shows of the past, so one network serves series of any size (DeepAR, arXiv:1704.04110, sec. 3.3).

Letters: N rows, S series, B windows, T context, K horizon, C covariates, F and G features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.tasks.forecasting.calendar import calendar_features
from carousel.tasks.forecasting.data import Panel

# A window quieter than this share of its series' usual movement is scaled by the latter.
_LEAST_SCALE = 0.1
_PART_OF_LEVEL = 1e-3


class Window(NamedTuple):
    """A batch of windows. Past and future never overlap: the origin is the first future row.

    Attributes:
        past: (T, B, F) target (scaled), its mask, covariates, their masks, calendar.
        future: (K, B, G) calendar, the last season's value (scaled), its mask, the position.
        anchor: (B,) last value before the origin, scaled.
        target: (K, B) what comes, scaled; 0 where it is missing.
        observed: (K, B) 1 where the target is real.
        center: (B,) float64 and
        scale: (B,) float64, so that value = center + scale · scaled.
        series_scale: (B,) float64 the series' own naive error, which weighs its loss.
        series: (B,) which series, and
        origin: (B,) which row of it comes first after the past.
    """

    past: Tensor
    future: Tensor
    anchor: Tensor
    target: Tensor
    observed: Tensor
    center: Tensor
    scale: Tensor
    series_scale: Tensor
    series: Tensor
    origin: Tensor


class CovariateScaler(NamedTuple):
    """Mean and standard deviation of each covariate in the training rows, both (C,) float64."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def measure(cls, values: np.ndarray) -> CovariateScaler:
        """Measures (N, C) values, NaN left out; a column without spread gets 1."""
        count = np.maximum((~np.isnan(values)).sum(axis=0), 1)
        mean = np.nansum(values, axis=0) / count
        std = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / count)
        return cls(mean, np.where(std > 0, std, 1.0))


class Windows:
    """Cuts windows from a panel.

    Args:
        panel: the series.
        context: T, rows read before the origin; what lies before the series begins is masked.
        horizon: K, rows to forecast from the origin on.
        season: steps of the seasonal naive forecast.
        cycles: of the calendar, from ``calendar_cycles``.
        scaler: of the covariates.
        known: (S,) rows of each series whose movement sets its ``naive_error``, which MASE divides
            by, and its ``series_scale``.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        context: int,
        horizon: int,
        season: int,
        cycles: tuple[str, ...],
        scaler: CovariateScaler,
        known: np.ndarray,
    ) -> None:
        self.panel, self.context, self.horizon, self.season = panel, context, horizon, season
        self.naive_error = naive_errors(panel, season, known)
        self.series_scale = torch.from_numpy(_series_scales(panel, self.naive_error, known))
        # Every series gets the horizon's rows behind its end, so that the future has a place.
        self._begin = torch.from_numpy(
            panel.offsets[:-1] + horizon * np.arange(len(panel.ids), dtype=np.int64)
        )
        padded = _padded(panel, horizon)
        values = padded.values
        self._y = torch.from_numpy(values[:, 0].copy())
        # How many values are observed before each row, over all series.
        observed = (~torch.isnan(self._y)).cumsum(0)
        self._observed_before = torch.cat([observed.new_zeros(1), observed])
        self._last = torch.from_numpy(_filled(panel, values[:, 0], horizon, 1))
        self._last_season = torch.from_numpy(_filled(panel, values[:, 0], horizon, season))
        covariates = (values[:, 1:] - scaler.mean) / scaler.std
        seen = ~np.isnan(covariates)
        self._covariates = torch.from_numpy(np.where(seen, covariates, 0.0).astype(np.float32))
        self._covariates_seen = torch.from_numpy(seen.astype(np.float32))
        self._calendar = torch.from_numpy(calendar_features(padded.stamps, cycles, panel.style.clock))

    def cut(self, series: Tensor, origin: Tensor) -> Window:
        """Returns the windows of ``series`` (B,) before and after ``origin`` (B,), in rows."""
        begin = self._begin[series]
        back = torch.arange(-self.context, 0)[:, None] + origin
        before = back < 0
        past = begin + back.clamp(min=0)
        y = self._y[past]
        seen = ~(torch.isnan(y) | before)
        count = seen.sum(0).clamp(min=1)
        y = torch.where(seen, y, 0.0)
        center = y.sum(0) / count
        spread = ((torch.where(seen, y - center, 0.0) ** 2).sum(0) / count).sqrt()
        series_scale = self.series_scale[series]
        scale = torch.maximum(spread, _LEAST_SCALE * series_scale)
        scaled = torch.where(seen, (y - center) / scale, 0.0)
        inside = (~before)[..., None]
        past_features = torch.cat(
            [
                scaled.float()[..., None],
                seen.float()[..., None],
                self._covariates[past] * inside,
                self._covariates_seen[past] * inside,
                self._calendar[past],
            ],
            dim=-1,
        )
        ahead = torch.arange(self.horizon)[:, None]
        future = begin + origin + ahead
        lag = (self.seasonal_naive(series, origin) - center) / scale
        position = (ahead / max(self.horizon - 1, 1)).expand(-1, len(series))
        future_features = torch.cat(
            [
                self._calendar[future],
                torch.nan_to_num(lag).float()[..., None],
                (~torch.isnan(lag)).float()[..., None],
                position.float()[..., None],
            ],
            dim=-1,
        )
        target = (self._y[future] - center) / scale
        anchor = (self.random_walk(series, origin)[0] - center) / scale
        return Window(
            past=past_features,
            future=future_features,
            anchor=torch.nan_to_num(anchor).float(),
            target=torch.nan_to_num(target).float(),
            observed=(~torch.isnan(target)).float(),
            center=center,
            scale=scale,
            series_scale=series_scale,
            series=series,
            origin=origin,
        )

    def chunks(self, series: Tensor, origin: Tensor, size: int) -> Iterator[Window]:
        """Yields the windows in order, ``size`` at a time."""
        for some, at in zip(series.split(size), origin.split(size), strict=True):
            yield self.cut(some, at)

    def usable(self, series: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps the windows that ``is_usable`` approves of."""
        keep = self.is_usable(series, origin)
        return series[keep], origin[keep]

    def is_usable(self, series: Tensor, origin: Tensor) -> Tensor:
        """Says of each window whether it has an observed value before the origin and one after."""
        seen = self._observed_before
        begin = self._begin[series]
        at = begin + origin
        past = seen[at] - seen[torch.maximum(at - self.context, begin)]
        ahead = seen[at + self.horizon] - seen[at]
        return (past > 0) & (ahead > 0)

    def seasonal_naive(self, series: Tensor, origin: Tensor) -> Tensor:
        """Returns the value of the last season, (K, B), NaN where there is none.

        ŷ_{t+k} = y_{t+k-m·⌈k/m⌉},  m the season; a missing y gives way to the season before
        """
        ahead = torch.arange(1, self.horizon + 1)[:, None]
        back = ahead - self.season * -(-ahead // self.season) - 1
        row = origin + back
        found = self._last_season[self._begin[series] + row.clamp(min=0)]
        return torch.where(row >= 0, found, torch.nan)

    def random_walk(self, series: Tensor, origin: Tensor) -> Tensor:
        """Returns the last value before the origin, (K, B), NaN where there is none."""
        row = origin - 1
        found = self._last[self._begin[series] + row.clamp(min=0)]
        return torch.where(row >= 0, found, torch.nan).expand(self.horizon, -1)

    def actual(self, series: Tensor, origin: Tensor) -> Tensor:
        """Returns what came, (K, B), NaN where it is missing or lies behind the end."""
        ahead = torch.arange(self.horizon)[:, None]
        return self._y[self._begin[series] + origin + ahead]

    def origins(self, first: np.ndarray, last: np.ndarray, stride: int) -> tuple[Tensor, Tensor]:
        """Returns (series, origin) of every window with first ≤ origin ≤ last, ``stride`` apart.

        Args:
            first: (S,) earliest origin of each series, in rows.
            last: (S,) latest origin of each series; before ``first`` for none.
            stride: steps between origins.
        """
        count = np.maximum((last - first) // stride + 1, 0)
        series = np.repeat(np.arange(len(count)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        origin = first[series] + stride * within
        return torch.from_numpy(series.astype(np.int64)), torch.from_numpy(origin.astype(np.int64))


class _Padded(NamedTuple):
    values: np.ndarray
    stamps: np.ndarray


def _padded(panel: Panel, horizon: int) -> _Padded:
    """Returns the panel's rows with ``horizon`` empty ones behind each series, stamps continued."""
    lengths = panel.lengths
    total = int(panel.offsets[-1] + horizon * len(lengths))
    values = np.full((total, panel.values.shape[1]), np.nan)
    stamps = np.empty(total, dtype=np.int64)
    for s, (begin, length) in enumerate(zip(panel.offsets[:-1], lengths, strict=True)):
        to = begin + s * horizon
        values[to : to + length] = panel.values[begin : begin + length]
        stamps[to : to + length] = panel.stamps[begin : begin + length]
        stamps[to + length : to + length + horizon] = panel.future_stamps(s, horizon)
    return _Padded(values, stamps)


def _filled(panel: Panel, y: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """Returns the last observed value of the same phase at or before each row; NaN before any.

    Rows behind a series' end stay NaN.
    """
    out = np.full(len(y), np.nan)
    for s, (begin, length) in enumerate(zip(panel.offsets[:-1], panel.lengths, strict=True)):
        to = begin + s * horizon
        rows = -(-length // season)
        grid = np.full(rows * season, np.nan)
        grid[:length] = y[to : to + length]
        grid = grid.reshape(rows, season)
        seen_at = np.where(np.isnan(grid), -1, np.arange(rows)[:, None])
        seen_at = np.maximum.accumulate(seen_at, axis=0)
        filled = np.take_along_axis(grid, np.maximum(seen_at, 0), axis=0)
        out[to : to + length] = np.where(seen_at < 0, np.nan, filled).reshape(-1)[:length]
    return out


def _series_scales(panel: Panel, errors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns each series' in-sample error of the seasonal naive forecast, (S,), never 0.

    A constant series has no such error; a part of its level, else 1, takes the place.
    """
    level = np.array([_level(panel.target(s)[: known[s]]) for s in range(len(known))])
    return np.where(errors > 0, errors, np.where(level > 0, _PART_OF_LEVEL * level, 1.0))


def naive_errors(panel: Panel, season: int, known: np.ndarray) -> np.ndarray:
    """Returns what MASE divides by: the mean of |y_t - y_{t-m}| over the first ``known`` rows.

    Where no two rows lie a season apart, neighbours are compared; 0 where the series is constant or
    has no pair at all.

    Reference: Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001, section 3.
    """
    errors = np.zeros(len(known))
    for s in range(len(known)):
        y = panel.target(s)[: known[s]]
        for lag in (season, 1):
            steps = np.abs(y[lag:] - y[:-lag]) if len(y) > lag else np.array([])
            steps = steps[~np.isnan(steps)]
            if len(steps):
                errors[s] = steps.mean()
                break
    return errors


def _level(y: np.ndarray) -> float:
    seen = np.abs(y[~np.isnan(y)])
    return float(seen.mean()) if len(seen) else 0.0
