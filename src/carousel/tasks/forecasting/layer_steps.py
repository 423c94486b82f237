"""The past and the horizon of one series, at the steps at which a forecaster's layers read them.

Knows nothing of networks but how many rows they read in one step.

Letters: P rows of a step, L steps, K rows of the horizon, E encoded columns, C columns, Q
quantiles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from carousel.data.stamps import format_stamps
from carousel.inspection.contents import Axis
from carousel.tasks.forecasting.calendar import calendar_cycles, calendar_features
from carousel.tasks.forecasting.covariates import Covariates
from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.fitted import Fitted
from carousel.tasks.forecasting.options import quantile_column

PAST, HORIZON = "past", "horizon"  # names of the axes
BEFORE = "before the first row"  # what a step is called that no row is in
_CYCLES = {"day": "time of day", "week": "day of the week", "year": "time of the year"}


def past_axis(fitted: Fitted, panel: Panel, s: int, patch: int) -> Axis:
    """Returns the last window of a series, at the steps at which the encoder reads it."""
    context, length = fitted.plan.context, int(panel.lengths[s])
    rows = length + np.arange(-(context + -context % patch), 0).reshape(-1, patch)
    # What fills the first step, and what lies before the series begins, is none of it.
    real = rows >= max(0, length - context)
    there = np.asarray(real.any(axis=1))
    place = panel.offsets[s] + np.where(real, rows, 0)
    first = place[np.arange(len(place)), real.argmax(1)]
    covariates = panel.covariates
    return Axis(
        name=PAST,
        kind="series",
        names=stamp_words(panel, panel.stamps[first], there),
        values=_means(np.where(real[..., None], panel.values[place], np.nan)),
        columns=(panel.target_name, *_column_names(covariates, covariates.moving)),
        tracks=_season(fitted, panel, panel.stamps[first], rows[:, 0], patch, there),
        unit=_unit(fitted, patch),
    )


def horizon_axis(
    fitted: Fitted,
    panel: Panel,
    stamps: np.ndarray,
    forecast: Float[np.ndarray, "K Q"],
    known: Float[np.ndarray, "K E"],
    patch: int,
) -> Axis:
    """Returns the horizon with its forecast, at the steps at which the decoder walks it."""
    target, levels = panel.target_name, fitted.options.quantiles
    median = levels.index(0.5)
    others = [q for q in range(len(levels)) if q != median]
    values = np.concatenate([forecast[:, [median, *others]], known], axis=1)
    behind = -len(values) % patch
    filled = np.concatenate([values, np.full((behind, values.shape[1]), np.nan)])
    first = stamps[::patch]
    return Axis(
        name=HORIZON,
        kind="series",
        names=stamp_words(panel, first),
        values=_means(filled.reshape(-1, patch, values.shape[1])),
        columns=(
            target,
            *(quantile_column(target, levels[q]) for q in others),
            *_column_names(panel.covariates, panel.covariates.known),
        ),
        tracks=_season(fitted, panel, first, patch * np.arange(len(first)), patch),
        unit=_unit(fitted, patch),
    )


def stamp_words(panel: Panel, stamps: np.ndarray, real: np.ndarray | None = None) -> list[str]:
    """Returns time stamps (L,) as the table writes them; where not ``real``, that there is none."""
    words = [str(stamp) for stamp in format_stamps(stamps, panel.style)]
    if real is None:
        return words
    return [word if there else BEFORE for word, there in zip(words, real, strict=True)]


def _means(values: Float[np.ndarray, "L P C"]) -> Float[np.ndarray, "L C"]:
    """Returns the means over the rows of each step, of what is there; NaN of nothing."""
    count = (~np.isnan(values)).sum(1)
    found = np.nansum(values, axis=1) / np.maximum(count, 1)
    return np.where(count > 0, found, np.nan).astype(np.float32)


def _column_names(covariates: Covariates, names: Sequence[str]) -> list[str]:
    """Returns what the encoded columns of some covariates are called."""
    return [
        column
        for name in names
        for column in (
            [f"{name}={level}" for level in covariates.levels[name]]
            if name in covariates.levels
            else [name]
        )
    ]


def _unit(fitted: Fitted, patch: int) -> str:
    """Returns in words what one step of a layer is."""
    return str(fitted.frequency).removeprefix("1 ") if patch == 1 else f"step of {patch} rows"


def _season(
    fitted: Fitted,
    panel: Panel,
    stamps: np.ndarray,
    rows: np.ndarray,
    patch: int,
    real: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Returns where each step (L,) lies in the cycles that are long enough to be seen in steps.

    As points on the unit circle, [sin 2πp, cos 2πp]: of the calendar's cycles that the steps hold
    once; where there is no calendar, of the season.

    Args:
        fitted: the forecaster.
        panel: whose clock the stamps follow.
        stamps: (L,) of the first row of each step.
        rows: (L,) numbers of these rows.
        patch: P.
        real: (L,) where there is a step; by default everywhere.
    """
    frequency = dataclasses.replace(fitted.frequency, count=patch * fitted.frequency.count)
    there = np.ones(len(stamps), bool) if real is None else real
    own = stamps[there]
    span = int(own[-1] - own[0]) * len(own) // max(1, len(own) - 1)
    cycles = calendar_cycles(frequency, 2 * span)
    points = calendar_features(stamps, cycles, panel.style.clock)
    names = [_CYCLES[cycle] for cycle in cycles]
    if fitted.frequency.unit == "step" and fitted.plan.season > 2 * patch:
        angle = 2 * np.pi * rows / fitted.plan.season
        points = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
        names = [f"season of {fitted.plan.season}"]
    points = np.where(there[:, None], points, np.float32(np.nan))
    return {
        f"{name}, {wave}": points[:, 2 * k + half].copy()
        for k, name in enumerate(names)
        for half, wave in enumerate(("sin", "cos"))
    }
