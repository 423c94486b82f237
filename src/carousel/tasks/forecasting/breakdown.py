"""Means of what was scored, series by series and step by step. NaN counts nowhere.

Letters: K horizon, W windows, S series.
"""

from __future__ import annotations

import numpy as np


def mean_of(values: np.ndarray) -> float:
    """Returns the mean of all numbers, NaN where there is none."""
    real = ~np.isnan(values)
    return float(values[real].mean()) if real.any() else float("nan")


def mean_by_series(values: np.ndarray, series: np.ndarray, size: int) -> np.ndarray:
    """Returns the mean of each series, (S,), NaN where it has nothing.

    Args:
        values: (K, W).
        series: (W,) which series each window belongs to.
        size: S.
    """
    real = ~np.isnan(values)
    total = np.bincount(series, np.where(real, values, 0.0).sum(0), minlength=size)
    return _divided(total, np.bincount(series, real.sum(0), minlength=size))


def mean_by_step(values: np.ndarray) -> np.ndarray:
    """Returns the mean of each row of (K, W), (K,), NaN where it has nothing."""
    real = ~np.isnan(values)
    return _divided(np.where(real, values, 0.0).sum(1), real.sum(1))


def scaled_mean(values: np.ndarray, series: np.ndarray, naive_error: np.ndarray) -> float:
    """Returns the mean over series of (mean of the series / its naive error).

    Args:
        values: (K, W) errors or losses in the target's units.
        series: (W,) which series each window belongs to.
        naive_error: (S,); a series in which it is 0 is left out.

    Returns:
        MASE where the values are absolute errors; NaN where no series has one.
    """
    means = mean_by_series(values, series, len(naive_error))
    return mean_of(_divided(means, naive_error))


def scaled_mean_by_step(
    values: np.ndarray, series: np.ndarray, naive_error: np.ndarray
) -> np.ndarray:
    """Returns ``scaled_mean`` of each step of the horizon, (K,)."""
    return np.array([scaled_mean(row[None], series, naive_error) for row in values])


def _divided(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
