"""What the data decides: season, context, patch, logarithm, and the split of the rows.

Each series is cut by its own end: [ training | validation | holdout ].
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.logarithm import sees_logarithms
from carousel.tasks.forecasting.naive import naive_errors
from carousel.tasks.forecasting.options import ForecastingOptions

# Chosen on rows before every test; docs/forecasting.md compares.
_HORIZONS_READ = 16  # where there is no season
_SEASONS_READ = 7  # of a length worth several patches
_LONGEST_DEFAULT_CONTEXT = 336
_PATCHES_PER_SEASON = 6
_PATCHES = 16  # of a context without season
_LONG_SEASON = 12
_SEASONS_TO_BELIEVE = 4
_PART_HELD_OUT = 10
_STEPS_COMPARED = 12
_CLEARLY_BETTER = 0.8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The choices behind a fit; all in steps.

    Attributes:
        context: how far back the network reads.
        least: how many rows before an origin a series has to have.
        season: length of the season of the naive forecast.
        patch: how many rows the network reads in one step.
        lags: how far behind each forecast row the values lie that the network is told; the first is
            the season.
        anchor: the distance of the value that forecasts are relative to: the season where its value
            is clearly the better forecast by itself, else 1, for the last value.
        log: whether the network sees logarithms of the target.
        validation: rows before the holdout that choose the weights.
        holdout: rows at the end of each series that fitting never sees.
    """

    context: int
    least: int
    season: int
    patch: int
    lags: tuple[int, ...]
    anchor: int
    log: bool
    validation: int
    holdout: int

    def training_rows(self, panel: Panel) -> np.ndarray:
        """Returns how many rows of each series train, (S,)."""
        return panel.lengths - self.holdout - self.validation

    def first_origins(self, rows: np.ndarray, horizon: int) -> np.ndarray:
        """Returns the first origin of each series of ``rows`` (S,) rows, (S,).

        A whole context lies before it, or as much as leaves room for a horizon.
        """
        return np.clip(rows - horizon, self.least, self.context)


def make_plan(panel: Panel, options: ForecastingOptions, *, validates: bool = True) -> Plan:
    """Chooses what the options leave open, so that every series can train, validate and test.

    Args:
        panel: the series.
        options: of the forecaster.
        validates: whether rows of the panel choose the weights (else further data does).

    Raises:
        DataError: for a series too short; names it and what it lacks.
    """
    horizon = options.horizon
    shortest, usual = int(panel.lengths.min()), int(np.median(panel.lengths))
    season = options.season or _season(panel.frequency.season, usual)
    tenth = max(horizon, shortest // _PART_HELD_OUT // horizon * horizon)
    wanted = options.context or _context(season, horizon)
    for part in (tenth, horizon):
        holdout = part if options.holdout is None else options.holdout
        validation = (part if options.validation is None else options.validation) * validates
        room = shortest - holdout - validation - horizon
        if room >= wanted:
            break
    # Short series show less than the context, and the network sees by the mask how much.
    context = options.context or max(2, min(wanted, usual - holdout - validation - horizon))
    fewest = max(2, min(context, max(2 * season, horizon)))
    plan = Plan(
        context=context,
        least=max(2, min(fewest, room)),
        season=season,
        patch=min(options.patch or _patch(season, context), context),
        lags=_lags(panel, options, season, usual),
        anchor=season,
        log=False,
        validation=validation,
        holdout=holdout,
    )
    if room < 2:
        _refuse_short(panel, horizon, plan)
    rows = plan.training_rows(panel)
    if season >= rows.max():
        raise panel.table.error(
            f"season: expected fewer steps than the {rows.max()} training rows of the longest "
            f"series, got {season}; give a smaller season"
        )
    return replace(
        plan,
        anchor=_anchor(panel, season, horizon, rows),
        log=sees_logarithms(panel, options, rows, max(season, horizon)),
    )


def _season(season: int, rows: int) -> int:
    """Returns the frequency's season, or 1 where a usual series' rows do not hold it four times."""
    return season if rows >= _SEASONS_TO_BELIEVE * season else 1


def _context(season: int, horizon: int) -> int:
    wanted = _SEASONS_READ * season if season >= _LONG_SEASON else _HORIZONS_READ * horizon
    return min(max(wanted, 2 * horizon), _LONGEST_DEFAULT_CONTEXT)


def _patch(season: int, context: int) -> int:
    """Returns a sixth of a long season, a short one whole, else a sixteenth of the context."""
    if season >= _LONG_SEASON:
        return season // _PATCHES_PER_SEASON
    return season if season > 1 else max(1, context // _PATCHES)


def _lags(panel: Panel, options: ForecastingOptions, season: int, rows: int) -> tuple[int, ...]:
    """Returns the season and, where the rows hold it four times, the next longer one."""
    if options.lags is not None:
        far = max(options.lags, default=0)
        if far >= panel.lengths.max():
            raise panel.table.error(
                f"lags: expected fewer steps than the {panel.lengths.max()} rows of the longest "
                f"series, got {far}"
            )
        return tuple(dict.fromkeys((season, *options.lags)))
    longer = panel.frequency.longer_season
    holds = season < longer and rows >= _SEASONS_TO_BELIEVE * longer
    return (season, longer) if holds else (season,)


def _anchor(panel: Panel, season: int, horizon: int, rows: np.ndarray) -> int:
    """Returns the season where its value errs clearly less over the horizon, else 1."""
    y, offsets = panel.values[:, 0], panel.offsets
    steps = np.unique(np.linspace(1, horizon, min(horizon, _STEPS_COMPARED)).astype(int))

    @functools.cache  # one season is the lag of many steps
    def error(lag: int) -> np.ndarray:
        return naive_errors(y, offsets, lag, rows)

    walk = np.mean([error(int(k)) for k in steps], axis=0)
    seasonal = np.mean([error(season * -(-int(k) // season)) for k in steps], axis=0)
    usual = error(1)
    moves = usual > 0
    if not moves.any():
        return season
    ratio = np.mean(seasonal[moves] / usual[moves]) / np.mean(walk[moves] / usual[moves])
    return season if ratio < _CLEARLY_BETTER else 1


def _refuse_short(panel: Panel, horizon: int, plan: Plan) -> None:
    needed = plan.least + horizon + plan.validation + plan.holdout
    short = np.flatnonzero(panel.lengths < needed)
    first = short[np.argmin(panel.lengths[short])]
    others = f" (and {len(short) - 1} more series)" if len(short) > 1 else ""
    raise panel.table.error(
        f"series {panel.ids[first]!r} is too short{others}: {panel.lengths[first]} rows, expected "
        f"at least {needed} ({plan.least} to start from + horizon {horizon} to train, "
        f"{plan.validation} to validate, {plan.holdout} held out); give a smaller horizon, context "
        f"or holdout, or leave the series out"
    )
