"""What the calendar says of a time stamp, as numbers a network can read.

Letters: N stamps, G features.
"""

from __future__ import annotations

import numpy as np

from carousel.data.clocks import DAY, Clock
from carousel.tasks.forecasting.frequency import Frequency

_YEAR = 365.2425 * DAY
# The Unix epoch was a Thursday; weeks are counted from the Monday before it.
_MONDAY = 3 * DAY
_SPANS_TO_LEARN_FROM = 2


def calendar_cycles(frequency: Frequency, span: int) -> tuple[str, ...]:
    """Chooses the cycles that the data can teach: longer than two steps, seen at least twice.

    Args:
        frequency: the step of the series.
        span: nanoseconds from the first training row to the last, of the longest series.

    Returns:
        Some of "day", "week", "year", in this order.
    """
    if frequency.unit == "step":
        return ()
    units = {"nanosecond": 1, "day": DAY, "business day": DAY, "month": 30 * DAY}
    step = units[frequency.unit] * frequency.count
    lengths = {"day": DAY, "week": 7 * DAY, "year": _YEAR}
    return tuple(
        name
        for name, length in lengths.items()
        if length > 2 * step and span >= _SPANS_TO_LEARN_FROM * length
    )


def calendar_features(
    stamps: np.ndarray, cycles: tuple[str, ...], clock: Clock | None = None
) -> np.ndarray:
    """Returns where each stamp lies in each cycle, as a point on the unit circle.

        [sin 2πp, cos 2πp],  p the part of the cycle that has passed

    People follow the clock on the wall, and so do the cycles: seven in the morning stays where it
    is when summer time begins.

    Args:
        stamps: (N,) int64 nanoseconds since 1970-01-01.
        cycles: from ``calendar_cycles``.
        clock: the wall clock that the stamps, in UTC, follow; None where they are wall time.

    Returns:
        (N, G) float32, G = 2 · len(cycles).
    """
    wall = stamps if clock is None else clock.wall(stamps)
    columns = []
    for cycle in cycles:
        angle = 2 * np.pi * _phase(wall, cycle)
        columns += [np.sin(angle), np.cos(angle)]
    return (
        np.stack(columns, axis=1).astype(np.float32)
        if columns
        else np.zeros((len(stamps), 0), np.float32)
    )


def _phase(wall: np.ndarray, cycle: str) -> np.ndarray:
    if cycle == "day":
        return (wall % DAY) / DAY
    if cycle == "week":
        return ((wall + _MONDAY) % (7 * DAY)) / (7 * DAY)
    times = wall.astype("datetime64[ns]")
    new_year = times.astype("datetime64[Y]")
    year = (new_year + 1).astype("datetime64[ns]") - new_year.astype("datetime64[ns]")
    return (times - new_year.astype("datetime64[ns]")) / year
