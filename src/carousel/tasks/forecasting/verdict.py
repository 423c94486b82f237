"""The plain sentences of an evaluation: which forecast to use, and whether intervals hold.

Knows numbers that a report has, nothing of series and windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from carousel.tasks.forecasting.significance import LEAST, Significance

# An interval that holds this many points more or fewer than it says is spoken of.
_POINTS_OFF = 3.0


def verdict(
    model: float, best: str, baseline: float, num_points: int, significance: Significance
) -> str:
    """Says whether the model beats the best baseline, at 5 %.

    Args:
        model: MASE of the model.
        best: name of the best baseline.
        baseline: its MASE.
        num_points: observed values that were scored.
        significance: of the difference between the two.
    """
    if num_points == 0:
        return "Nothing could be scored: no row has both a value and every baseline's forecast."
    if math.isnan(model) or math.isnan(baseline):
        return "MASE is undefined on these rows: the past of every series is constant."
    if baseline == 0:
        return f"The model does NOT beat the best baseline, {best}: that one makes no error."
    change = model / baseline - 1
    size = f"its MASE is {abs(change):.1%} {'lower' if change < 0 else 'higher'}"
    if not significance.tells:
        return (
            f"Whether the model beats the best baseline, {best}, cannot be told: {size}, "
            f"{_why(significance)}"
        )
    if change < 0:
        return f"The model beats the best baseline, {best}: {size} ({significance.words})."
    return (
        f"The model does NOT beat the best baseline, {best}: {size} ({significance.words}). "
        f"Use the {best} forecast."
    )


def coverage_notes(coverage: Mapping[float, float]) -> list[str]:
    """Says of each central interval that does not hold its share how far off it is.

    Args:
        coverage: nominal share of each interval to the share that fell inside.
    """
    notes = []
    for nominal, held in coverage.items():
        off = 100 * (held - nominal)
        if abs(off) > _POINTS_OFF:
            notes.append(
                f"The {100 * nominal:g}% interval held {held:.1%} of the values, {abs(off):.1f} "
                f"points {'more' if off > 0 else 'fewer'} than it promises."
            )
    return notes


def _why(significance: Significance) -> str:
    """Returns why a difference tells nothing, and what would help."""
    if significance.kind == "none":
        series = significance.num_series
        origins = significance.num_separate
        return (
            f"and {series:,} series with {origins:,} forecast{'s' if origins != 1 else ''} "
            f"behind each other are too few for a test. Give newer rows or fit with a larger "
            f"holdout, for {LEAST} such forecasts of a series; or give {LEAST} series."
        )
    more = (
        "More forecasts would tell: give newer rows, or fit with a larger holdout."
        if significance.kind == "origins"
        else "More series would tell, or more forecasts of each: give newer rows, or fit with a "
        "larger holdout."
    )
    return f"which may be chance ({significance.words}). {more}"
