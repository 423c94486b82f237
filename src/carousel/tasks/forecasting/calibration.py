"""Intervals that hold: the latest forecasts set how wide the next ones are.

A network's quantiles are right on data like its training data. Before a forecast is given, the
same network forecasts the rows just before it, whose truth is known, and each interval is stretched
about the median until it would have held its share of them. This is conformalized quantile
regression on a window that moves with time, so it follows a drift that no fixed calibration could.

Letters: K horizon, W windows, Q quantiles, M past forecasts, I intervals, N scores.

Reference: Romano, Patterson and Candès 2019, arXiv:1905.03222, algorithm 1, with scores that
multiply an interval's reach where theirs are added to it. That the level has to follow a drifting
distribution is Gibbs and Candès 2021, arXiv:2106.00170; here the window moves instead.
"""

from __future__ import annotations

import numpy as np

from carousel.tasks.forecasting.metrics import central_intervals

# Fewer known values than this say nothing of a 95 % interval; the network's own width stays.
LEAST_SCORES = 60
_TINY = 1e-12


def stretch_scores(
    actual: np.ndarray, quantiles: np.ndarray, levels: tuple[float, ...]
) -> np.ndarray:
    """Returns how far each interval would have to be stretched to reach the truth.

        s = (y − m) / (q_high − m) above the median m,   (m − y) / (m − q_low) below it

    Args:
        actual: (K, M), NaN where missing.
        quantiles: (K, M, Q), ascending.
        levels: (Q,) of each quantile.

    Returns:
        (I, K, M), an interval a row, narrowest first; NaN where the truth is missing.
    """
    median = quantiles[..., levels.index(0.5)]
    rows = []
    for low, high in central_intervals(levels):
        above = actual >= median
        reach = np.where(above, quantiles[..., high] - median, median - quantiles[..., low])
        rows.append(np.abs(actual - median) / np.maximum(reach, _TINY))
    return np.stack(rows) if rows else np.zeros((0, *actual.shape))


def stretch_factors(scores: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Returns the factor of each interval, (I,): the score that its nominal share stays below.

        factor = the ⌈(N + 1)·share⌉-th smallest of N scores

    Args:
        scores: (I, …) from ``stretch_scores``.
        levels: (Q,) of each quantile.

    Returns:
        1 for an interval with fewer than ``LEAST_SCORES`` scores.
    """
    factors = np.ones(len(scores))
    for k, (low, high) in enumerate(central_intervals(levels)):
        known = np.sort(scores[k][~np.isnan(scores[k])])
        if len(known) >= LEAST_SCORES:
            share = levels[high] - levels[low]
            rank = int(np.ceil((len(known) + 1) * share))
            factors[k] = known[min(rank, len(known)) - 1]
    return factors


def stretched(quantiles: np.ndarray, factors: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Returns the quantiles with each interval stretched about the median; they do not cross.

    Args:
        quantiles: (K, W, Q), ascending.
        factors: (I, W).
        levels: (Q,) of each quantile.
    """
    middle = levels.index(0.5)
    median = quantiles[..., middle : middle + 1]
    widths = np.ones((len(levels), quantiles.shape[1]))
    for k, (low, high) in enumerate(central_intervals(levels)):
        widths[low] = widths[high] = factors[k]
    out = median + (quantiles - median) * widths.T
    # An inner interval may be stretched past an outer one; the outer one then gives way.
    out[..., middle:] = np.maximum.accumulate(out[..., middle:], axis=-1)
    out[..., : middle + 1] = np.minimum.accumulate(out[..., middle::-1], axis=-1)[..., ::-1]
    return out


class RecentScores:
    """Scores of past forecasts by the time stamp at which their whole truth is known.

    Args:
        scores: (I, K, M) from ``stretch_scores``.
        known_at: (M,) int64 stamp of each forecast's last row.
    """

    def __init__(self, scores: np.ndarray, known_at: np.ndarray) -> None:
        order = np.argsort(known_at, kind="stable")
        self._scores = scores[..., order]
        self._known_at = known_at[order]

    def at(self, stamps: np.ndarray) -> np.ndarray:
        """Returns the scores, (I, K, ·), of every forecast whose last row has one of ``stamps``."""
        begin = np.searchsorted(self._known_at, stamps, side="left")
        end = np.searchsorted(self._known_at, stamps, side="right")
        rows = [np.arange(b, e) for b, e in zip(begin, end, strict=True)]
        return self._scores[..., np.concatenate(rows)]
