"""Intervals that hold: the latest forecasts set how wide the next ones are.

A network's quantiles are right on data like its training data. Before a forecast is given, the
same network forecasts the rows of the same series just before it, whose truth is known, and each
interval is stretched about the median until it would have held its share of them. This is
conformalized quantile regression on a window that moves with time, so it follows a drift that no
fixed calibration could. No series looks at another.

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
    """Returns the factor of each interval: the score that its nominal share stays below.

        factor = the ⌈(N + 1)·share⌉-th smallest of N scores

    Args:
        scores: (I, W, N), NaN where there is none.
        levels: (Q,) of each quantile.

    Returns:
        (I, W), 1 where there are fewer than ``LEAST_SCORES`` scores.
    """
    ordered = np.sort(scores, axis=-1)  # NaN comes last
    count = (~np.isnan(scores)).sum(axis=-1)
    shares = np.array([levels[high] - levels[low] for low, high in central_intervals(levels)])
    rank = np.ceil((count + 1) * shares[:, None]).astype(np.int64)
    at = np.clip(np.minimum(rank, count) - 1, 0, None)
    found = np.take_along_axis(ordered, at[..., None], axis=-1)[..., 0]
    return np.where(count >= LEAST_SCORES, found, 1.0)


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
