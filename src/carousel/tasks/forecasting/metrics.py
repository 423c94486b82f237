"""Scores of forecasts, each as its source defines it.

Missing actual values are NaN and count nowhere. Letters: K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from carousel.tasks.forecasting.breakdown import mean_of


def pinball(actual: Tensor, quantiles: Tensor, levels: Tensor) -> Tensor:
    """Returns the pinball loss, averaged over the quantiles.

        ρ_τ(y, q) = max(τ·(y − q), (τ − 1)·(y − q))

    Args:
        actual: (K, W).
        quantiles: (K, W, Q).
        levels: (Q,) τ of each quantile, in (0, 1).

    Returns:
        (K, W), in the units of ``actual``.

    Reference: Koenker and Bassett 1978, doi:10.2307/1913643.
    """
    error = actual[..., None] - quantiles
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1)


def smape(actual: np.ndarray, forecast: np.ndarray) -> float:
    """Returns the symmetric mean absolute percentage error, in percent from 0 to 200.

        200 · mean(|y − ŷ| / (|y| + |ŷ|)),  0 where both are 0

    Reference: Makridakis 2020 (M4), doi:10.1016/j.ijforecast.2019.04.014.
    """
    return mean_of(percentage_errors(actual, forecast))


def percentage_errors(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Returns what ``smape`` is the mean of, of the same shape; NaN where a value is missing."""
    size = np.abs(actual) + np.abs(forecast)
    error = np.abs(actual - forecast)
    missing = np.where(np.isnan(size), np.nan, 0.0)
    return 200 * np.divide(error, size, out=missing, where=size > 0)


def coverage(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Returns the share of actual values inside [low, high]."""
    return mean_of(inside(actual, low, high))


def inside(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns 1 where the actual value is inside [low, high], else 0; NaN where it is missing."""
    return np.where(np.isnan(actual), np.nan, (actual >= low) & (actual <= high))


def central_intervals(levels: tuple[float, ...]) -> list[tuple[int, int]]:
    """Returns the index pairs of quantiles that lie even about the median, narrowest first."""
    pairs = []
    for low in range(len(levels) // 2 - 1, -1, -1):
        partner = [j for j, q in enumerate(levels) if abs(q + levels[low] - 1) < 1e-9]
        if levels[low] < 0.5 and partner:
            pairs.append((low, partner[0]))
    return pairs
