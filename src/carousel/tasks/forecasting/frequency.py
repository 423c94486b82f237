"""The step between two rows of a series: inferred from the stamps, checked, and counted in.

Knows nothing of values. A time stamp is an int64: nanoseconds since 1970-01-01, or a plain step
number.

Letters: N rows, S series.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

Unit = Literal["step", "nanosecond", "business day", "month"]

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
_NAMES = (
    (7 * DAY, "week"),
    (DAY, "day"),
    (3_600 * SECOND, "hour"),
    (60 * SECOND, "minute"),
    (SECOND, "second"),
    (1_000_000, "millisecond"),
    (1_000, "microsecond"),
    (1, "nanosecond"),
)
# The seasons of the M4 competition (Makridakis 2020) and, below an hour, one day.
_MONTH_SEASONS = {1: 12, 3: 4, 6: 2}
_WEEKDAYS = "1111100"


@dataclass(frozen=True)
class Frequency:
    """A constant step between rows.

    Attributes:
        unit: what is counted: plain steps, nanoseconds, business days (Monday to Friday) or months.
        count: how many units one step has, at least 1.
        month_end: True where every stamp is the last day of its month.
    """

    unit: Unit
    count: int
    month_end: bool = False

    def __str__(self) -> str:
        """The step in words, such as "1 hour"."""
        name: str = self.unit
        count = self.count
        if self.unit == "nanosecond":
            size, name = next((s, n) for s, n in _NAMES if self.count % s == 0)
            count = self.count // size
        return f"{count} {name}{'' if count == 1 else 's'}"

    @property
    def season(self) -> int:
        """The usual season in steps: a day of hours, a week of days, a year of months, else 1.

        Steps below a second have none: a day of them is more than a network could look back on.
        """
        if self.unit == "month":
            return _MONTH_SEASONS.get(self.count, 1)
        if self.unit == "business day":
            return 5 if self.count == 1 else 1
        if self.unit == "step" or not SECOND <= self.count <= DAY:
            return 1
        if self.count == DAY:
            return 7
        return DAY // self.count if DAY % self.count == 0 else 1

    def positions(self, stamps: np.ndarray) -> np.ndarray:
        """Returns how many steps each stamp lies behind the first, or -1 where it is on no step.

        Args:
            stamps: (N,) int64, ascending.

        Returns:
            (N,) int64.
        """
        if self.unit in ("step", "nanosecond"):
            steps, rest = np.divmod(stamps - stamps[0], self.count)
            return np.where(rest == 0, steps, -1)
        days = _days(stamps)
        if self.unit == "business day":
            steps, rest = np.divmod(np.busday_count(days[0], days), self.count)
            on_step = (rest == 0) & np.is_busday(days, weekmask=_WEEKDAYS)
            return np.where(on_step & self._same_time_of_day(stamps), steps, -1)
        months = _months(stamps)
        steps, rest = np.divmod(months - months[0], self.count)
        guess = self.stamps(int(stamps[0]), np.maximum(steps, 0))
        return np.where((rest == 0) & (guess == stamps), steps, -1)

    def stamps(self, first: int, positions: np.ndarray) -> np.ndarray:
        """Returns the stamps that lie ``positions`` steps behind ``first``; (N,) int64."""
        if self.unit in ("step", "nanosecond"):
            return first + positions * self.count
        start = np.int64(first)
        time_of_day = start % DAY
        day = _days(np.array([start]))[0]
        if self.unit == "business day":
            days = np.busday_offset(day, positions * self.count, weekmask=_WEEKDAYS)
            return days.astype("datetime64[ns]").astype(np.int64) + time_of_day
        month = day.astype("datetime64[M]") + positions * self.count
        last = (month + 1).astype("datetime64[D]") - 1
        wanted = month.astype("datetime64[D]") + (day - day.astype("datetime64[M]")).astype(int)
        days = last if self.month_end else np.minimum(wanted, last)
        return days.astype("datetime64[ns]").astype(np.int64) + time_of_day

    @staticmethod
    def _same_time_of_day(stamps: np.ndarray) -> np.ndarray:
        return stamps % DAY == stamps[0] % DAY


def infer_frequency(stamps: np.ndarray, offsets: np.ndarray, *, integer: bool) -> Frequency | None:
    """Infers the step that most neighbouring rows of the same series lie apart.

    Args:
        stamps: (N,) int64, ascending within each series.
        offsets: (S + 1,) where each series begins; the last entry is N.
        integer: True for plain step numbers.

    Returns:
        The frequency, or None where no series has two rows.
    """
    steps, _ = _steps_between(stamps, offsets)
    if len(steps) == 0:
        return None
    sizes, counts = np.unique(steps, return_counts=True)
    usual = int(sizes[np.argmax(counts)])
    if integer:
        return Frequency("step", usual)
    if usual >= 28 * DAY:
        months = _months(stamps)
        gaps, counts = np.unique(_steps_between(months, offsets)[0], return_counts=True)
        gap = int(gaps[np.argmax(counts)])
        ends = (_days(stamps) + 1).astype("datetime64[M]").astype("datetime64[D]")
        month_end = bool((ends == _days(stamps) + 1).all())
        monthly = Frequency("month", 1)
        # Each series may keep to a day of its own: one to the 1st, another to the 15th.
        own_day = all(
            bool((monthly.positions(stamps[begin:end]) >= 0).all())
            for begin, end in itertools.pairwise(offsets)
            if end > begin
        )
        if gap > 0 and (month_end or own_day):
            return Frequency("month", gap, month_end=month_end)
    if usual == DAY and len(stamps) >= 10 and np.is_busday(_days(stamps)).all():
        return Frequency("business day", 1)
    return Frequency("nanosecond", usual)


def other_frequency(
    stamps: np.ndarray, offsets: np.ndarray, frequency: Frequency
) -> tuple[int, Frequency] | None:
    """Finds a series that plainly runs at another step than ``frequency``.

    Returns:
        The index of the first such series (at least 3 steps, none of the usual length and most of
        one other length, so that scattered gaps are no frequency) and its own frequency, or None.
    """
    for series, (begin, end) in enumerate(itertools.pairwise(offsets)):
        own = stamps[begin:end]
        if len(own) < 4 or bool(np.any(np.diff(frequency.positions(own)) == 1)):
            continue
        span = np.array([0, len(own)])
        found = infer_frequency(own, span, integer=frequency.unit == "step")
        if found is None or found == frequency:
            continue
        if np.mean(np.diff(found.positions(own)) == 1) > 0.5:
            return series, found
    return None


def _steps_between(stamps: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the differences of neighbours within a series, and the row each one ends at."""
    rows = np.arange(1, len(stamps))
    inside = ~np.isin(rows, offsets[1:-1])
    return np.diff(stamps)[inside], rows[inside]


def _days(stamps: np.ndarray) -> np.ndarray:
    return stamps.astype("datetime64[ns]").astype("datetime64[D]")


def _months(stamps: np.ndarray) -> np.ndarray:
    return stamps.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
