"""The naive forecasts, and how wrong they are in the past: what every score is measured by.

Works on all series at once, laid end to end. Letters: N rows, S series.
"""

from __future__ import annotations

import numpy as np

_PART_OF_LEVEL = 1e-3


def last_of_phase(y: np.ndarray, offsets: np.ndarray, season: int) -> np.ndarray:
    """Returns the last observed value of the same phase at or before each row, NaN before any.

    Args:
        y: (N,) NaN where missing.
        offsets: (S + 1,) where each series begins; the last entry is N.
        season: steps after which a phase comes back; 1 for the last value whatever its phase.

    Returns:
        (N,).
    """
    series, within = _rows(offsets)
    group = series * season + within % season
    order = np.argsort(group, kind="stable") if season > 1 else np.arange(len(y))
    group, value = group[order], y[order]
    at = np.arange(len(y))
    begins = np.concatenate([[True], group[1:] != group[:-1]])[: len(y)]
    start = np.maximum.accumulate(np.where(begins, at, 0))
    seen = np.maximum.accumulate(np.where(np.isnan(value), -1, at))
    out = np.empty(len(y))
    out[order] = np.where(seen >= start, value[np.maximum(seen, 0)], np.nan)
    return out


def naive_errors(y: np.ndarray, offsets: np.ndarray, season: int, known: np.ndarray) -> np.ndarray:
    """Returns what MASE divides by: the mean of |y_t - y_{t-m}| over the first ``known`` rows (S,).

    Where no two rows lie a season apart, neighbours are compared; 0 where the series is constant or
    has no pair at all.

    Reference: Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001, section 3.
    """
    errors, count = _mean_steps(y, offsets, season, known)
    if season > 1:
        neighbours, _ = _mean_steps(y, offsets, 1, known)
        errors = np.where(count > 0, errors, neighbours)
    return errors


def naive_percentage(y: np.ndarray, offsets: np.ndarray, season: int, known: np.ndarray) -> float:
    """Returns the mean of 2·|y_t - y_{t-m}| / (|y_t| + |y_{t-m}|) over all known pairs, else 1."""
    now, then = _pairs(offsets, season, known)
    size = np.abs(y[now]) + np.abs(y[then])
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = 2 * np.abs(y[now] - y[then]) / size
    shares = shares[~np.isnan(shares)]
    mean = float(shares.mean()) if len(shares) else 0.0
    return mean if mean > 0 else 1.0


def levels(y: np.ndarray, offsets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns the mean of |y_t| over the first ``known`` rows of each series, (S,)."""
    series, within = _rows(offsets)
    real = ~np.isnan(y) & (within < known[series])
    return _mean(np.abs(y[real]), series[real], len(known))[0]


def usual_steps(errors: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Returns each series' naive error (S,), never 0.

    A constant series has none; a part of its level, else 1, takes the place.
    """
    return np.where(errors > 0, errors, np.where(level > 0, _PART_OF_LEVEL * level, 1.0))


def _rows(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which series each row belongs to, and its place in it; both (N,)."""
    lengths = np.diff(offsets)
    series = np.repeat(np.arange(len(lengths)), lengths)
    return series, np.arange(int(offsets[-1])) - offsets[:-1][series]


def _pairs(offsets: np.ndarray, lag: int, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the known rows that have a row ``lag`` before them, and those rows."""
    series, within = _rows(offsets)
    now = np.flatnonzero((within >= lag) & (within < known[series]))
    return now, now - lag


def _mean_steps(
    y: np.ndarray, offsets: np.ndarray, lag: int, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    now, then = _pairs(offsets, lag, known)
    steps = np.abs(y[now] - y[then])
    real = ~np.isnan(steps)
    series = np.repeat(np.arange(len(known)), np.diff(offsets))[now]
    return _mean(steps[real], series[real], len(known))


def _mean(values: np.ndarray, groups: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean of each group, 0 where it is empty, and how many values it has."""
    count = np.bincount(groups, minlength=size)
    return np.bincount(groups, values, minlength=size) / np.maximum(count, 1), count
