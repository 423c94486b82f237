"""Whether a target is better seen through its logarithm: where its movement grows with its level.

Letters: N rows, S series.
"""

from __future__ import annotations

import numpy as np

from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.options import ForecastingOptions

_LEAST_BLOCK = 8
# Where level and movement have nothing to do with each other, the two differ by less, by chance.
_LEAST_ADVANTAGE = 0.05
_LEAST_BLOCKS = 4
_MOST_SERIES = 1_000  # that are asked; more change the answer no more


def sees_logarithms(
    panel: Panel, options: ForecastingOptions, rows: np.ndarray, block: int
) -> bool:
    """Decides whether the network sees the target or its logarithm.

    Each series is cut into blocks. Were the deviations s within a block independent of its mean m,
    s would vary little between blocks; were they proportional, s / m would. The logarithm is taken
    where the coefficient of variation of s / m is the smaller one by more than chance, on average
    over series.

    Args:
        panel: the series.
        options: ``transform`` decides, where it is not "auto".
        rows: (S,) first rows of each series that may be looked at.
        block: rows of a block; a season, or more.

    Raises:
        DataError: where logarithms are asked for and a value has none; names its line.

    Reference: Guerrero 1993, doi:10.1002/for.3980120104, with its two usual powers, 0 and 1.
    """
    if options.transform != "auto":
        if options.transform == "log":
            check_positive(panel)
        return options.transform == "log"
    y = panel.values[:, 0]
    if not (y[~np.isnan(y)] > 0).all():
        return False
    block = max(block, _LEAST_BLOCK)
    advantages = []
    for s in np.linspace(0, len(rows) - 1, min(len(rows), _MOST_SERIES)).astype(int):
        count = rows[s] // block
        if count < _LEAST_BLOCKS:
            continue
        own = panel.target(int(s))[: count * block].reshape(count, block)
        own = own[~np.isnan(own).any(axis=1)]
        mean, deviation = own.mean(axis=1), own.std(axis=1)
        if len(own) >= _LEAST_BLOCKS and deviation.mean() > 0:
            advantages.append(_variation(deviation) - _variation(deviation / mean))
    return bool(advantages) and float(np.mean(advantages)) > _LEAST_ADVANTAGE


def check_positive(panel: Panel) -> None:
    """Refuses a target with a value that has no logarithm; names its line."""
    if (panel.values[:, 0] <= 0).any():
        table = panel.table
        values = table.numbers(panel.target_name)
        row = int(np.flatnonzero(values <= 0)[0])
        raise table.error(
            f"expected a value above 0, because the model sees logarithms, got {values[row]:g}; "
            f"correct it, or fit with transform none",
            row=row,
            column=panel.target_name,
        )


def _variation(values: np.ndarray) -> float:
    return float(values.std() / values.mean())
