"""The step between two rows of a series: inferred from the stamps, checked, and counted in.

Plain steps and lengths of time are counted as they are. Days, business days and months are counted
on a wall clock: a day has 23 or 25 hours where the clock is put forward or back. Knows nothing of
values.

A time stamp is an int64: nanoseconds since 1970-01-01, or a plain step number. Where a clock is
given, they are nanoseconds in UTC that it turns into wall time; without one they are wall time.

Letters: N rows, S series.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from carousel.data.clocks import SECOND, Clock

Unit = Literal["step", "nanosecond", "day", "business day", "month"]

DAY = 86_400 * SECOND
_NAMES = (
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
# Ten days in a row have two of a weekend: a smaller share of them is strays among business days.
_TELLING_ROWS = 10
_STRAY_WEEKENDS = 0.1
# A few wrong stamps do not hide the months that the others keep to.
_SHARE_ON_STEP = 0.75


@dataclass(frozen=True)
class Frequency:
    """A constant step between rows.

    Attributes:
        unit: what is counted: plain steps, nanoseconds, days, business days (Monday to Friday) or
            months.
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
        elif self.unit == "day" and self.count % 7 == 0:
            name, count = "week", self.count // 7
        return f"{count} {name}{'' if count == 1 else 's'}"

    @property
    def season(self) -> int:
        """The usual season in steps: a day of hours, a week of days, a year of months, else 1.

        Steps below a second have none: a day of them is more than a network could look back on.
        """
        if self.unit == "month":
            return _MONTH_SEASONS.get(self.count, 1)
        if self.unit in ("day", "business day"):
            week = 7 if self.unit == "day" else 5
            return week if self.count == 1 else 1
        if self.unit == "step" or not SECOND <= self.count <= DAY:
            return 1
        if self.count == DAY:
            return 7
        return DAY // self.count if DAY % self.count == 0 else 1

    @property
    def is_on_wall_clock(self) -> bool:
        """Says whether steps are counted in days, which a wall clock makes shorter and longer."""
        return self.unit in ("day", "business day", "month")

    def positions(self, stamps: np.ndarray, clock: Clock | None = None) -> np.ndarray:
        """Returns how many steps each stamp lies behind the first, or -1 where it is on no step.

        Args:
            stamps: (N,) int64, ascending.
            clock: the wall clock that they follow.

        Returns:
            (N,) int64.
        """
        if not self.is_on_wall_clock:
            steps, rest = np.divmod(stamps - stamps[0], self.count)
            return np.where(rest == 0, steps, -1)
        wall = _wall(stamps, clock)
        days, months = _days(wall), _months(wall)
        if self.unit == "business day":
            passed = np.busday_count(days[0], days)
        else:
            passed = (days - days[0]).astype(np.int64) if self.unit == "day" else months - months[0]
        steps, rest = np.divmod(passed, self.count)
        wanted = self._wall_stamps(stamps, np.maximum(steps, 0), clock)
        # Where the clock skips or repeats an hour, a day may begin at another time than it should.
        on_step = (wanted == wall) | (_instants(wanted, clock) == stamps)
        return np.where((rest == 0) & on_step, steps, -1)

    def stamps(
        self, series: np.ndarray, positions: np.ndarray, clock: Clock | None = None
    ) -> np.ndarray:
        """Returns the stamps that lie ``positions`` steps behind the first of a series.

        Args:
            series: (N,) int64 stamps of the series, ascending, N at least 1: the first sets where
                steps begin, the others on which day of the month they fall.
            positions: (P,) int64.
            clock: the wall clock that the series follows.

        Returns:
            (P,) int64.
        """
        if not self.is_on_wall_clock:
            return series[0] + positions * self.count
        return _instants(self._wall_stamps(series, positions, clock), clock)

    def _wall_stamps(
        self, series: np.ndarray, positions: np.ndarray, clock: Clock | None
    ) -> np.ndarray:
        """Returns what the clock shows ``positions`` steps behind the first of a series."""
        start = _wall(series[:1], clock)
        day, midnight = _days(start)[0], start // DAY * DAY
        # A day whose midnight the clock skips begins when it does so.
        is_midnight = _instants(midnight, clock)[0] == series[0]
        time_of_day = 0 if is_midnight else int(start[0] - midnight[0])
        passed = positions * self.count
        if self.unit == "day":
            days = day + passed
        elif self.unit == "business day":
            days = np.busday_offset(day, passed, roll="forward", weekmask=_WEEKDAYS)
        else:
            month = day.astype("datetime64[M]") + passed
            last = (month + 1).astype("datetime64[D]") - 1
            wanted = month.astype("datetime64[D]") + (_day_of_month(_wall(series, clock)) - 1)
            days = last if self.month_end else np.minimum(wanted, last)
        return days.astype("datetime64[ns]").astype(np.int64) + time_of_day


def infer_frequency(
    stamps: np.ndarray, offsets: np.ndarray, *, integer: bool, clock: Clock | None = None
) -> Frequency | None:
    """Infers the step that most neighbouring rows of the same series lie apart.

    Args:
        stamps: (N,) int64, ascending within each series.
        offsets: (S + 1,) where each series begins; the last entry is N.
        integer: True for plain step numbers.
        clock: the wall clock that the stamps follow.

    Returns:
        The frequency, or None where no series has two rows.
    """
    steps = _steps_between(stamps, offsets)
    if len(steps) == 0:
        return None
    if integer:
        return Frequency("step", _usual(steps))
    exact = Frequency("nanosecond", _usual(steps))
    wall = _wall(stamps, clock)
    usual = _usual(_steps_between(wall, offsets))
    if usual <= 0 or usual % DAY != 0:
        return exact
    if usual >= 28 * DAY:
        months = _infer_months(stamps, wall, offsets, clock)
        if months is not None:
            return months
    if usual == DAY and _spares_weekends(_days(wall), offsets):
        return Frequency("business day", 1)
    found = Frequency("day", usual // DAY)
    # Every 24 hours, whatever the clock on the wall shows.
    if clock is not None and not _keep_to(found, stamps, offsets, clock).all():
        return exact if _keep_to(exact, stamps, offsets, clock).all() else found
    return found


def other_frequency(
    stamps: np.ndarray, offsets: np.ndarray, frequency: Frequency, clock: Clock | None = None
) -> tuple[int, Frequency] | None:
    """Finds a series that plainly runs at another step than ``frequency``.

    Returns:
        The index of the first such series (at least 3 steps, none of the usual length and most of
        one other length, so that scattered gaps are no frequency) and its own frequency, or None.
    """
    for series, (begin, end) in enumerate(itertools.pairwise(offsets)):
        own = stamps[begin:end]
        if len(own) < 4 or bool(np.any(np.diff(frequency.positions(own, clock)) == 1)):
            continue
        span = np.array([0, len(own)])
        found = infer_frequency(own, span, integer=frequency.unit == "step", clock=clock)
        if found is None or found == frequency:
            continue
        if np.mean(np.diff(found.positions(own, clock)) == 1) > 0.5:
            return series, found
    return None


def _infer_months(
    stamps: np.ndarray, wall: np.ndarray, offsets: np.ndarray, clock: Clock | None
) -> Frequency | None:
    """Returns the step in months where most stamps keep to month ends or one day of the month."""
    gap = _usual(_steps_between(_months(wall), offsets))
    if gap <= 0:
        return None
    is_end = _is_month_end(_days(wall))
    if is_end.all():
        return Frequency("month", gap, month_end=True)
    # Each series may keep to a day of its own: one to the 1st, another to the 15th.
    if _keep_to(Frequency("month", 1), stamps, offsets, clock).mean() >= _SHARE_ON_STEP:
        return Frequency("month", gap)
    return Frequency("month", gap, month_end=True) if is_end.mean() >= _SHARE_ON_STEP else None


def _spares_weekends(days: np.ndarray, offsets: np.ndarray) -> bool:
    """Says whether days (N,) are business days, but for a stray one on a weekend."""
    if len(days) < _TELLING_ROWS:
        return False
    weekend = ~np.is_busday(days, weekmask=_WEEKDAYS)
    lengths = np.diff(offsets)
    shares = np.add.reduceat(weekend, offsets[:-1], dtype=np.int64) / lengths
    telling = shares[lengths >= _TELLING_ROWS]
    return bool(weekend.mean() < _STRAY_WEEKENDS and (telling < _STRAY_WEEKENDS).all())


def _keep_to(
    frequency: Frequency, stamps: np.ndarray, offsets: np.ndarray, clock: Clock | None
) -> np.ndarray:
    """Says of each row whether it is on a step behind the first of its series, (N,)."""
    return np.concatenate(
        [
            frequency.positions(stamps[begin:end], clock) >= 0
            for begin, end in itertools.pairwise(offsets)
            if end > begin
        ]
    )


def _steps_between(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns the differences of neighbours within a series."""
    inside = np.ones(len(values) - 1, dtype=bool)
    inside[offsets[1:-1] - 1] = False
    return np.diff(values)[inside]


def _usual(steps: np.ndarray) -> int:
    sizes, counts = np.unique(steps, return_counts=True)
    return int(sizes[np.argmax(counts)])


def _day_of_month(wall: np.ndarray) -> int:
    """Returns the day that stamps a whole number of months apart fall on where months have it.

    The last day of a month may stand for a later one that the month does not have.
    """
    days = _days(wall)
    numbers = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    telling = numbers[~_is_month_end(days)]
    return int(np.bincount(telling).argmax()) if len(telling) else int(numbers.max())


def _is_month_end(days: np.ndarray) -> np.ndarray:
    return (days + 1).astype("datetime64[M]").astype("datetime64[D]") == days + 1


def _wall(stamps: np.ndarray, clock: Clock | None) -> np.ndarray:
    return stamps if clock is None else clock.wall(stamps)


def _instants(wall: np.ndarray, clock: Clock | None) -> np.ndarray:
    return wall if clock is None else clock.instants(wall)


def _days(wall: np.ndarray) -> np.ndarray:
    return wall.astype("datetime64[ns]").astype("datetime64[D]")


def _months(wall: np.ndarray) -> np.ndarray:
    return wall.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
