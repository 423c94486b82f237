"""The step between two rows of a series: inferred from the stamps, checked, and counted in.

Plain steps and lengths of time are counted as they are. Days, business days and months are counted
on a wall clock: a day has 23 or 25 hours where the clock is put forward or back. Knows nothing of
values.

A time stamp is an int64: nanoseconds since 1970-01-01, or a plain step number. Where a clock is
given, they are nanoseconds in UTC that it turns into wall time; without one they are wall time.

Letters: N rows, S series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from carousel.data.clocks import DAY, SECOND, Clock

Unit = Literal["step", "nanosecond", "day", "business day", "month"]

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
    def longer_season(self) -> int:
        """The next longer season in steps: a week of hours, 52 weeks of days or weeks, else 1.

        A year of days is taken as 52 weeks, so that a weekday meets its like.
        """
        if self.unit == "nanosecond":
            day = DAY // self.count if DAY % self.count == 0 else 0
            return 7 * day if day > 1 and self.count >= SECOND else 1
        if self.unit == "day" and 364 % self.count == 0:
            return 364 // self.count
        return 260 if self.unit == "business day" and self.count == 1 else 1

    @property
    def is_on_wall_clock(self) -> bool:
        """Says whether steps are counted in days, which a wall clock makes shorter and longer."""
        return self.unit in ("day", "business day", "month")

    def constant_step(self, clock: Clock | None = None) -> int | None:
        """Returns how far apart all stamps are, in their own unit, or None where that changes."""
        if not self.is_on_wall_clock:
            return self.count
        return self.count * DAY if self.unit == "day" and clock is None else None

    def positions(
        self, stamps: np.ndarray, clock: Clock | None = None, offsets: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns how many steps each stamp lies behind the first, or -1 where it is on no step.

        Args:
            stamps: (N,) int64, ascending within each series.
            clock: the wall clock that they follow.
            offsets: (S + 1,) where each series begins, none of them empty; the last entry is N. By
                default all stamps are of one.

        Returns:
            (N,) int64.
        """
        starts = _Starts(stamps, _one_series(stamps) if offsets is None else offsets, clock)
        step = self.constant_step(clock)
        if step is not None:
            behind = stamps - np.repeat(starts.first, starts.lengths)
            steps = behind // step
            steps[steps * step != behind] = -1
            return steps
        series = np.repeat(np.arange(len(starts.first)), starts.lengths)
        wall = _wall(stamps, clock)
        if self.unit == "month":
            passed = _months(wall) - _months(starts.wall)[series]
        elif self.unit == "day":
            passed = (_days(wall) - starts.days[series]).astype(np.int64)
        else:
            passed = np.busday_count(starts.days[series], _days(wall))
        steps, rest = np.divmod(passed, self.count)
        wanted = self._wall_stamps(starts, series, np.maximum(steps, 0))
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
        starts = _Starts(series, _one_series(series), clock)
        return self._stamps(starts, np.zeros(len(positions), dtype=np.int64), positions)

    def grid(
        self,
        stamps: np.ndarray,
        offsets: np.ndarray,
        lengths: np.ndarray,
        clock: Clock | None = None,
        first: np.ndarray | int = 0,
    ) -> np.ndarray:
        """Returns the stamps of ``lengths`` (S,) steps of each series in a row, laid end to end.

        Args:
            stamps: (N,) int64, as for ``positions``.
            offsets: (S + 1,) where each series begins, none of them empty; the last entry is N.
            lengths: (S,) how many steps.
            clock: the wall clock that the series follow.
            first: the step that each begins with, counted from its first stamp; (S,) or one for
                all.

        Returns:
            (the sum of the lengths,) int64.
        """
        behind = np.arange(lengths.sum())
        behind -= np.repeat(np.cumsum(lengths) - lengths - first, lengths)
        step = self.constant_step(clock)
        if step is not None:
            return np.repeat(stamps[offsets[:-1]], lengths) + behind * step
        series = np.repeat(np.arange(len(lengths)), lengths)
        return self._stamps(_Starts(stamps, offsets, clock), series, behind)

    def _stamps(self, starts: _Starts, series: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Returns the stamps that lie ``positions`` (P,) steps behind the first of ``series``."""
        step = self.constant_step(starts.clock)
        if step is not None:
            return starts.first[series] + positions * step
        return _instants(self._wall_stamps(starts, series, positions), starts.clock)

    def _wall_stamps(
        self, starts: _Starts, series: np.ndarray, positions: np.ndarray
    ) -> np.ndarray:
        """Returns what the clock shows ``positions`` (P,) steps behind the first of ``series``."""
        day = starts.days[series]
        passed = positions * self.count
        if self.unit == "day":
            days = day + passed
        elif self.unit == "business day":
            days = np.busday_offset(day, passed, roll="forward", weekmask=_WEEKDAYS)
        else:
            month = day.astype("datetime64[M]") + passed
            last = (month + 1).astype("datetime64[D]") - 1
            wanted = month.astype("datetime64[D]") + (starts.days_of_month[series] - 1)
            days = last if self.month_end else np.minimum(wanted, last)
        return days.astype("datetime64[ns]").astype(np.int64) + starts.times_of_day[series]


class _Starts:
    """Where the steps of each series begin, laid end to end.

    Args:
        stamps: (N,) int64, ascending within each series.
        offsets: (S + 1,) where each series begins, none of them empty; the last entry is N.
        clock: the wall clock that they follow.

    Attributes:
        lengths: (S,) how many stamps each series has.
        first: (S,) its first stamp.
        wall: (S,) what the clock shows then.
        days: (S,) that day.
    """

    def __init__(self, stamps: np.ndarray, offsets: np.ndarray, clock: Clock | None) -> None:
        self.stamps, self.offsets, self.clock = stamps, offsets, clock
        self.lengths = np.diff(offsets)
        self.first = stamps[offsets[:-1]]
        self.wall = _wall(self.first, clock)
        self.days = _days(self.wall)

    @property
    def times_of_day(self) -> np.ndarray:
        """(S,) nanoseconds since midnight at which the steps of each series fall, in days."""
        midnight = self.wall // DAY * DAY
        # A day whose midnight the clock skips begins when it does so.
        is_midnight = _instants(midnight, self.clock) == self.first
        return np.where(is_midnight, 0, self.wall - midnight)

    @property
    def days_of_month(self) -> np.ndarray:
        """(S,) the day that the stamps of each series fall on where months have it.

        They are a whole number of months apart; the last day of a month may stand for a later one
        that the month does not have.
        """
        days = _days(_wall(self.stamps, self.clock))
        numbers = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(int) + 1
        telling = ~_is_month_end(days)
        series = np.repeat(np.arange(len(self.lengths)), self.lengths)
        counts = np.bincount(
            (32 * series + numbers)[telling], minlength=32 * len(self.lengths)
        ).reshape(-1, 32)
        largest = np.maximum.reduceat(numbers, self.offsets[:-1])
        return np.where(counts.any(axis=1), counts.argmax(axis=1), largest)


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
    usual = exact.count if clock is None else _usual(_steps_between(wall, offsets))
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
    lengths = np.diff(offsets)
    steps = np.diff(frequency.positions(stamps, clock, offsets)) == 1
    steps[offsets[1:-1] - 1] = False
    usual = np.add.reduceat(np.append(steps, False), offsets[:-1], dtype=np.int64)
    for series in np.flatnonzero((lengths >= 4) & (usual == 0)).tolist():
        own = stamps[offsets[series] : offsets[series + 1]]
        found = infer_frequency(
            own, _one_series(own), integer=frequency.unit == "step", clock=clock
        )
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
    return frequency.positions(stamps, clock, np.unique(offsets)) >= 0


def _steps_between(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns the differences of neighbours within a series."""
    inside = np.ones(len(values) - 1, dtype=bool)
    inside[offsets[1:-1] - 1] = False
    return np.diff(values)[inside]


def _usual(steps: np.ndarray) -> int:
    if steps.min() == steps.max():  # which is so as a rule, and far quicker to see
        return int(steps[0])
    sizes, counts = np.unique(steps, return_counts=True)
    return int(sizes[np.argmax(counts)])


def _is_month_end(days: np.ndarray) -> np.ndarray:
    return (days + 1).astype("datetime64[M]").astype("datetime64[D]") == days + 1


def _one_series(stamps: np.ndarray) -> np.ndarray:
    """Returns the offsets of stamps (N,) that are all of one series."""
    return np.array([0, len(stamps)])


def _wall(stamps: np.ndarray, clock: Clock | None) -> np.ndarray:
    return stamps if clock is None else clock.wall(stamps)


def _instants(wall: np.ndarray, clock: Clock | None) -> np.ndarray:
    return wall if clock is None else clock.instants(wall)


def _days(wall: np.ndarray) -> np.ndarray:
    return wall.astype("datetime64[ns]").astype("datetime64[D]")


def _months(wall: np.ndarray) -> np.ndarray:
    return wall.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
