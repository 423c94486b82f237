"""Intervals that hold: the latest forecasts set how wide the next ones are.

A network's quantiles are right on data like its training data. Before a forecast is given, the
same network forecasts the rows of the same series just before it, whose truth is known, and each
interval is stretched about the median until it would have held its share of them. This is
conformalized quantile regression on a window that moves with time, so it follows a drift that no
fixed calibration could. No series looks at another.

Letters: K horizon, W windows, Q quantiles, M past forecasts, I intervals, N scores of a group.

Reference: Romano, Patterson and Candès 2019, arXiv:1905.03222, algorithm 1, with scores that
multiply an interval's reach where theirs are added to it. That the level has to follow a drifting
distribution is Gibbs and Candès 2021, arXiv:2106.00170; here the window moves instead.
"""

from __future__ import annotations

import numpy as np

from carousel.tasks.forecasting.metrics import central_intervals

# Fewer known values than this say nothing of a 95 % interval; the network's own width stays.
LEAST_SCORES = 60
# Steps of the horizon share their scores until they are so many.
GROUP_SCORES = 80
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
    """Returns the factor of each interval: the score that its nominal share stays below.

        factor = the ⌈(N + 1)·share⌉-th smallest of N scores

    Neighbouring steps of the horizon share their scores, as few steps as have ``GROUP_SCORES``
    together: what comes next is known better than what comes last.

    Args:
        scores: (I, K, W, M) of M past forecasts, NaN where there is none.
        levels: (Q,) of each quantile.

    Returns:
        (I, K, W), 1 where there are fewer than ``LEAST_SCORES`` scores.
    """
    horizon, past = scores.shape[1], scores.shape[3]
    groups = max(1, min(horizon, horizon * past // GROUP_SCORES))
    shares = np.array([levels[high] - levels[low] for low, high in central_intervals(levels)])
    out = np.ones(scores.shape[:3])
    for steps in np.array_split(np.arange(horizon), groups):
        own = scores[:, steps].transpose(0, 2, 1, 3).reshape(len(scores), scores.shape[2], -1)
        ordered = np.sort(own, axis=-1)  # NaN comes last
        count = (~np.isnan(own)).sum(axis=-1)
        rank = np.ceil((count + 1) * shares[:, None]).astype(np.int64)
        at = np.clip(np.minimum(rank, count) - 1, 0, None)
        found = np.take_along_axis(ordered, at[..., None], axis=-1)[..., 0]
        out[:, steps] = np.where(count >= LEAST_SCORES, found, 1.0)[:, None]
    return out


def stretched(quantiles: np.ndarray, factors: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Returns the quantiles with each interval stretched about the median; they do not cross.

    Args:
        quantiles: (K, W, Q), ascending.
        factors: (I, K, W).
        levels: (Q,) of each quantile.
    """
    middle = levels.index(0.5)
    median = quantiles[..., middle : middle + 1]
    widths = np.ones((len(levels), *quantiles.shape[:2]))
    for k, (low, high) in enumerate(central_intervals(levels)):
        widths[low] = widths[high] = factors[k]
    out = median + (quantiles - median) * widths.transpose(1, 2, 0)
    # An inner interval may be stretched past an outer one; the outer one then gives way.
    out[..., middle:] = np.maximum.accumulate(out[..., middle:], axis=-1)
    out[..., : middle + 1] = np.minimum.accumulate(out[..., middle::-1], axis=-1)[..., ::-1]
    return out
