"""Scores of forecasts, each as its source defines it.

Missing actual values are NaN and count nowhere. Letters: K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


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
    size = np.abs(actual) + np.abs(forecast)
    error = np.abs(actual - forecast)
    ratio = np.divide(error, size, out=np.where(np.isnan(size), np.nan, 0.0), where=size > 0)
    return float(200 * np.nanmean(ratio))


def coverage(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Returns the share of actual values inside [low, high]."""
    real = ~np.isnan(actual)
    return float(((actual >= low) & (actual <= high))[real].mean())


def central_intervals(levels: tuple[float, ...]) -> list[tuple[int, int]]:
    """Returns the index pairs of quantiles that lie even about the median, narrowest first."""
    pairs = []
    for low in range(len(levels) // 2 - 1, -1, -1):
        partner = [j for j, q in enumerate(levels) if abs(q + levels[low] - 1) < 1e-9]
        if levels[low] < 0.5 and partner:
            pairs.append((low, partner[0]))
    return pairs
