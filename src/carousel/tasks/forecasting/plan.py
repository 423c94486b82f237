"""What the data decides: season, context, and which rows train, validate and test.

Each series is cut by its own end: [ training | validation | holdout ].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.options import ForecastingOptions

# A week of days below a day, four seasons above: enough to tell level, season and drift.
_SEASONS_BELOW_A_DAY = 7
_SEASONS_ABOVE = 4
_LONGEST_DEFAULT_CONTEXT = 336
_PART_HELD_OUT = 10


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The choices behind a fit; all in steps.

    Attributes:
        context: how far back the network reads.
        season: length of the season of the naive forecast.
        validation: rows before the holdout that choose when to stop.
        holdout: rows at the end of each series that fitting never sees.
    """

    context: int
    season: int
    validation: int
    holdout: int

    def training_rows(self, panel: Panel) -> np.ndarray:
        """Returns how many rows of each series train, (S,)."""
        return panel.lengths - self.holdout - self.validation


def make_plan(panel: Panel, options: ForecastingOptions, *, validates: bool = True) -> Plan:
    """Chooses what the options leave open, so that every series can train, validate and test.

    Args:
        panel: the series.
        options: of the forecaster.
        validates: whether rows of the panel choose when to stop (else further data does).

    Raises:
        DataError: for a series too short; names it and what it lacks.
    """
    horizon = options.horizon
    shortest = int(panel.lengths.min())
    season = options.season or _season(panel.frequency.season, shortest)
    tenth = max(horizon, shortest // _PART_HELD_OUT // horizon * horizon)
    wanted = options.context or min(
        max(_seasons_read(season) * season, 2 * horizon), _LONGEST_DEFAULT_CONTEXT
    )
    for part in (tenth, horizon):
        holdout = part if options.holdout is None else options.holdout
        validation = (options.validation or part) if validates else 0
        room = shortest - holdout - validation - horizon
        if room >= wanted:
            break
    least = options.context or max(2, min(season, horizon))
    plan = Plan(
        context=options.context or max(min(wanted, room), least),
        season=season,
        validation=validation,
        holdout=holdout,
    )
    if room < least:
        _refuse_short(panel, horizon, plan)
    rows = int(plan.training_rows(panel).min())
    if rows <= season:
        raise panel.table.error(
            f"season: expected fewer steps than the {rows} training rows of the shortest series, "
            f"got {season}; give a smaller season"
        )
    return plan


def _season(usual: int, shortest: int) -> int:
    """Returns the frequency's usual season, or 1 where the rows do not hold it four times."""
    return usual if shortest >= _SEASONS_ABOVE * usual else 1


def _seasons_read(season: int) -> int:
    return _SEASONS_BELOW_A_DAY if season >= 24 else _SEASONS_ABOVE


def _refuse_short(panel: Panel, horizon: int, plan: Plan) -> None:
    needed = plan.context + horizon + plan.validation + plan.holdout
    short = np.flatnonzero(panel.lengths < needed)
    first = short[np.argmin(panel.lengths[short])]
    others = f" (and {len(short) - 1} more series)" if len(short) > 1 else ""
    raise panel.table.error(
        f"series {panel.ids[first]!r} is too short{others}: {panel.lengths[first]} rows, expected "
        f"at least {needed} (context {plan.context} + horizon {horizon} to train, "
        f"{plan.validation} to validate, {plan.holdout} held out); give a smaller horizon, context "
        f"or holdout, or leave the series out"
    )
