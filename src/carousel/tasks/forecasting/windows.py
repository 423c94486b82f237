"""Windows on a panel: what the network reads before an origin, and what it has to say after it.

Windows are gathered when they are asked for; the panel is held once. Each window is scaled by what
it shows of the past, so one network serves series of any size (DeepAR, arXiv:1704.04110, sec. 3.3).

Letters: N rows, S series, B windows, T context, K horizon, E encoded columns, F and G features.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.tasks.forecasting.calendar import calendar_features
from carousel.tasks.forecasting.covariates import CovariateScaler
from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.naive import (
    last_of_phase,
    levels,
    naive_errors,
    naive_percentage,
    usual_steps,
)
from carousel.tasks.forecasting.plan import Plan

# A window quieter than this share of its series' usual movement is scaled by the latter.
_LEAST_SCALE = 0.1
# Percentage errors of values this close to 0, as a share of the series' level, weigh no more.
_LEAST_LEVEL = 0.05


class Window(NamedTuple):
    """A batch of windows. Past and future never overlap: the origin is the first future row.

    Attributes:
        past: (T, B, F) target (scaled), its mask, covariates, their masks, calendar.
        future: (K, B, G) calendar, known covariates, their masks, the values one season and one
            long season before (scaled), their masks, the position.
        static: (1, B, E) covariates that never change, and their masks.
        anchor: (K, B) the value that forecasts are relative to, else the last value, scaled.
        target: (K, B) what comes, scaled; 0 where it is missing.
        observed: (K, B) 1 where the target is real.
        weight: (K, B) what an error of 1 in ``target`` is worth in the metric; 0 if missing.
        center: (B,) float64 and
        scale: (B,) float64, so that value = center + scale · scaled, or its exponential.
        series: (B,) which series, and
        origin: (B,) which row of it comes first after the past.
    """

    past: Tensor
    future: Tensor
    static: Tensor
    anchor: Tensor
    target: Tensor
    observed: Tensor
    weight: Tensor
    center: Tensor
    scale: Tensor
    series: Tensor
    origin: Tensor


class Scalers(NamedTuple):
    """How covariates are standardised: those that move, and those that do not."""

    moving: CovariateScaler
    static: CovariateScaler


class Windows:
    """Cuts windows from a panel.

    Args:
        panel: the series.
        plan: context, season and the rest of what the data decided; T rows are read before an
            origin, and what lies before the series begins is masked.
        horizon: K, rows to forecast from the origin on.
        cycles: of the calendar, from ``calendar_cycles``.
        scalers: of the covariates.
        metric: what the weights measure; see ``ForecastingOptions``.
        known: (S,) rows of each series whose movement sets its ``naive_error``, which MASE divides
            by, and its part in the loss.
        ahead: (S, K, E) encoded known covariates of the rows behind each series' end.
        least_scale: (S,) see ``least_scales``, which is the default.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        plan: Plan,
        horizon: int,
        cycles: tuple[str, ...],
        scalers: Scalers,
        metric: str,
        known: np.ndarray,
        ahead: np.ndarray | None = None,
        least_scale: np.ndarray | None = None,
    ) -> None:
        self.panel, self.plan, self.horizon, self.metric = panel, plan, horizon, metric
        self.context, self.season = plan.context, plan.season
        offsets = panel.offsets
        y = panel.values[:, 0]
        self.naive_error = naive_errors(y, offsets, self.season, known)
        level = levels(y, offsets, known)
        self._usual = torch.from_numpy(usual_steps(self.naive_error, level))
        self._level = torch.from_numpy(np.where(level > 0, level, 1.0))
        self._known = known
        # Each series is followed by the rows of the horizon, so that the future has a place.
        count = len(panel.ids)
        places = np.arange(len(y)) + horizon * np.repeat(np.arange(count), panel.lengths)
        size = len(y) + horizon * count
        self._begin = torch.from_numpy(offsets[:-1] + horizon * np.arange(count, dtype=np.int64))
        behind = (self._begin.numpy() + panel.lengths)[:, None] + np.arange(horizon)

        def padded(values: np.ndarray) -> np.ndarray:
            out = np.full((size, *values.shape[1:]), np.nan)
            out[places] = values
            return out

        self._y = torch.from_numpy(padded(y))
        # How many values are observed before each row, over all series.
        observed = (~torch.isnan(self._y)).cumsum(0)
        self._observed_before = torch.cat([observed.new_zeros(1), observed])
        self._z = torch.from_numpy(padded(np.log(y))) if plan.log else self._y
        if least_scale is None:
            least_scale = least_scales(panel, plan, known)
        self._least_scale = torch.from_numpy(least_scale)
        self._last = {
            lag: torch.from_numpy(padded(last_of_phase(y, offsets, lag)))
            for lag in {1, plan.anchor, *plan.lags}
        }
        moving = padded(panel.values[:, 1:])
        if ahead is not None:
            moving[behind, moving.shape[1] - ahead.shape[2] :] = ahead
        self._moving = torch.from_numpy(scalers.moving.scale(moving))
        names = panel.covariates.moving
        self._seen = torch.from_numpy(_seen(moving, panel.covariates.sources(names), len(names)))
        self._known_from = panel.covariates.width(panel.covariates.past)
        static = panel.static
        names = panel.covariates.static
        self._static = torch.from_numpy(
            np.concatenate(
                [
                    scalers.static.scale(static),
                    _seen(static, panel.covariates.sources(names), len(names)),
                ],
                axis=1,
            )
        )
        stamps = np.empty(size, dtype=np.int64)
        stamps[places], stamps[behind] = panel.stamps, panel.stamps_behind(horizon)
        self._calendar = torch.from_numpy(calendar_features(stamps, cycles, panel.style.clock))

    def cut(self, series: Tensor, origin: Tensor) -> Window:
        """Returns the windows of ``series`` (B,) before and after ``origin`` (B,), in rows."""
        begin = self._begin[series]
        back = torch.arange(-self.context, 0)[:, None] + origin
        before = back < 0
        past = begin + back.clamp(min=0)
        z = self._z[past]
        seen = ~(torch.isnan(z) | before)
        count = seen.sum(0).clamp(min=1)
        z = torch.where(seen, z, 0.0)
        center = z.sum(0) / count
        spread = ((torch.where(seen, z - center, 0.0) ** 2).sum(0) / count).sqrt()
        scale = torch.maximum(spread, self._least_scale[series])
        inside = (~before)[..., None]
        past_features = torch.cat(
            [
                torch.where(seen, (z - center) / scale, 0.0).float()[..., None],
                seen.float()[..., None],
                self._moving[past] * inside,
                self._seen[past] * inside,
                self._calendar[past],
            ],
            dim=-1,
        )
        ahead = torch.arange(self.horizon)[:, None]
        future = begin + origin + ahead
        lagged = {
            lag: self._scaled(self.lagged(lag, series, origin), center, scale) for lag in self._last
        }
        earlier = torch.stack([lagged[lag] for lag in self.plan.lags], dim=-1)
        position = (ahead / max(self.horizon - 1, 1)).expand(-1, len(series))
        future_features = torch.cat(
            [
                self._calendar[future],
                self._moving[future][..., self._known_from :],
                self._seen[future][..., len(self.panel.covariates.past) :],
                torch.nan_to_num(earlier).float(),
                (~torch.isnan(earlier)).float(),
                position.float()[..., None],
            ],
            dim=-1,
        )
        anchor = lagged[self.plan.anchor]
        anchor = torch.where(torch.isnan(anchor), lagged[1], anchor)
        target = (self._z[future] - center) / scale
        observed = ~torch.isnan(target)
        weight = torch.where(observed, self._weight(self._y[future], series) * scale, 0.0)
        return Window(
            past=past_features,
            future=future_features,
            static=self._static[series][None],
            anchor=torch.nan_to_num(anchor).float(),
            target=torch.nan_to_num(target).float(),
            observed=observed.float(),
            weight=weight.float(),
            center=center,
            scale=scale,
            series=series,
            origin=origin,
        )

    def values(self, scaled: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Returns scaled numbers (K, B, Q) as values of the target, float64."""
        found = center[:, None] + scale[:, None] * scaled.double()
        return found.exp() if self.plan.log else found

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
        """Returns the value of the last season, (K, B), NaN where there is none."""
        return self.lagged(self.season, series, origin)

    def lagged(self, lag: int, series: Tensor, origin: Tensor) -> Tensor:
        """Returns the last value of the same phase before the origin, (K, B), NaN without one.

        ŷ_{t+k} = y_{t+k-m·⌈k/m⌉},  m the lag; a missing y gives way to the one m before
        """
        ahead = torch.arange(1, self.horizon + 1)[:, None]
        back = ahead - lag * -(-ahead // lag) - 1
        row = origin + back
        found = self._last[lag][self._begin[series] + row.clamp(min=0)]
        return torch.where(row >= 0, found, torch.nan)

    def random_walk(self, series: Tensor, origin: Tensor) -> Tensor:
        """Returns the last value before the origin, (K, B), NaN where there is none."""
        return self.lagged(1, series, origin)

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

    @cached_property
    def _naive_percentage(self) -> float:
        """The naive forecast's mean percentage error, which only some metrics ask for."""
        panel = self.panel
        return naive_percentage(panel.values[:, 0], panel.offsets, self.season, self._known)

    def _scaled(self, y: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        return ((y.log() if self.plan.log else y) - center) / scale

    def _weight(self, y: Tensor, series: Tensor) -> Tensor:
        """Returns what an error of 1 in the transformed target (K, B) is worth in the metric."""
        if self.metric == "mae":
            worth = (1.0 / self._usual.mean()).expand_as(y)
        elif self.metric == "mase":
            worth = (1.0 / self._usual[series]).expand_as(y)
        else:
            size = torch.maximum(y.abs(), _LEAST_LEVEL * self._level[series])
            worth = 1.0 / size / self._naive_percentage
            if self.metric == "owa":
                worth = (1.0 / self._usual[series] + worth) / 2
        return worth * y if self.plan.log else worth


def least_scales(panel: Panel, plan: Plan, known: np.ndarray) -> np.ndarray:
    """Returns what a quiet window of each series is scaled by at least, (S,).

    A part of the usual movement in its first ``known`` rows (S,), as the network sees them.
    """
    y = panel.values[:, 0]
    z = np.log(y) if plan.log else y
    errors = naive_errors(z, panel.offsets, plan.season, known)
    return _LEAST_SCALE * usual_steps(errors, levels(z, panel.offsets, known))


def _seen(values: np.ndarray, sources: np.ndarray, count: int) -> np.ndarray:
    """Returns 1 where a covariate (N, count) is there; its columns (N, E) are there together."""
    first = np.searchsorted(sources, np.arange(count))
    return (~np.isnan(values[:, first])).astype(np.float32)
