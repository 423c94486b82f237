"""Wall clocks: what people's clocks show at an instant, and when it is that they show it.

An instant is an int64: nanoseconds since 1970-01-01 UTC. A wall time is what a clock on the wall
shows at it, counted as if the clock were UTC. Where a zone puts its clock forward some wall times
never come; where it puts it back some come twice. Knows nothing of tables.

Letters: N stamps, M stretches between two changes of a clock.
"""

from __future__ import annotations

import datetime
import functools
import re
import zoneinfo
from dataclasses import dataclass

import numpy as np

from carousel.data.extras import import_extra
from carousel.errors import MissingDependencyError, OptionError, nearest

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
_FIXED_ZONE = re.compile(r"(?:UTC|GMT)?([+-]\d{2}:?\d{2})")
# The whole days that 64 bits of nanoseconds can count, a day's offset from UTC kept free.
_FIRST_DAY, _LAST_DAY = np.datetime64("1677-09-24"), np.datetime64("2262-04-10")
# Morocco and Egypt have put their clocks forward, back for Ramadan, forward and back in one year.
_CHANGES_A_YEAR = 4


@dataclass(frozen=True, eq=False)
class Clock:
    """How far a wall clock is ahead of UTC, over time.

    Attributes:
        changes: (M - 1,) instants at which the clock is put forward or back, ascending.
        offsets: (M,) nanoseconds that the clock is ahead of UTC before, between and after them.
        name: of the zone, or None for a clock that stamps themselves tell.
    """

    changes: np.ndarray
    offsets: np.ndarray
    name: str | None = None

    @classmethod
    def of_zone(cls, name: str) -> Clock:
        """Returns the clock of a zone by its IANA name or its offset, such as "UTC+01:00".

        Changes are known until 2099, as polars' own time zone database has them.

        Raises:
            OptionError: where there is no such zone; names the nearest.
        """
        fixed = _FIXED_ZONE.fullmatch(name)
        if fixed is not None:
            return cls(_whole([]), _whole([parse_offset(fixed.group(1))]), name)
        return _clock_of_zone(name)

    @classmethod
    def of_offsets(cls, instants: np.ndarray, offsets: np.ndarray) -> Clock | None:
        """Returns the clock that stamps with offsets of their own tell; the last one stays.

        Args:
            instants: (N,) int64, in any order, N at least 1.
            offsets: (N,) int64 nanoseconds that each is written ahead of UTC.

        Returns:
            The clock, or None where the offsets are those of several zones: they differ at one
            instant, or change more often than any clock does.
        """
        order = np.argsort(instants, kind="stable")
        instants, offsets = instants[order], offsets[order]
        other = np.diff(offsets) != 0
        if bool(np.any(other & (np.diff(instants) == 0))):
            return None
        changed = np.flatnonzero(other) + 1
        years = (int(instants[-1]) - int(instants[0])) / (365 * DAY)
        if len(changed) > _CHANGES_A_YEAR * years + 2:
            return None
        return cls(instants[changed], offsets[np.concatenate([[0], changed])])

    def ahead(self, instants: np.ndarray) -> np.ndarray:
        """Returns how far the clock is ahead of UTC at each instant, (N,) nanoseconds."""
        return self.offsets[np.searchsorted(self.changes, instants, side="right")]

    def wall(self, instants: np.ndarray) -> np.ndarray:
        """Returns what the clock shows at each instant, (N,) int64."""
        return instants + self.ahead(instants)

    def instants(self, wall: np.ndarray, *, later: np.ndarray | bool = False) -> np.ndarray:
        """Returns when the clock shows each wall time, (N,) int64.

        A wall time that the clock skips stands for the instant at which it does so.

        Args:
            wall: (N,) int64.
            later: (N,) or one, true for the second time where it shows a wall time twice.
        """
        first, last = self._stretches(wall)
        chosen = np.where(later, last, first)
        skipped = last < first
        found = wall - self.offsets[chosen]
        if skipped.any():
            found[skipped] = self.changes[last[skipped]]
        return found

    def skips(self, wall: np.ndarray) -> np.ndarray:
        """Says of each wall time whether the clock never shows it, (N,)."""
        first, last = self._stretches(wall)
        return last < first

    def repeats(self, wall: np.ndarray) -> np.ndarray:
        """Says of each wall time whether the clock shows it twice, (N,)."""
        first, last = self._stretches(wall)
        return last > first

    def instants_of_rows(self, wall: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Returns when the clock showed the wall times that rows were written at, one by one.

        A wall time that comes twice is the first one until the rows of its series step back.

        Args:
            wall: (N,) int64, in the order of the rows within each series.
            offsets: (S + 1,) where each series begins; the last entry is N.

        Returns:
            (N,) int64.
        """
        first, last = self._stretches(wall)
        twice = last > first
        if not twice.any():
            return self.instants(wall)
        begins = np.zeros(len(wall) + 1, dtype=bool)
        begins[offsets] = True
        # A run: neighbouring rows of one series within one hour that is shown twice.
        same = np.zeros(len(wall), dtype=bool)
        same[1:] = twice[1:] & twice[:-1] & (first[1:] == first[:-1]) & ~begins[1:-1]
        back = same.copy()
        back[1:] &= wall[1:] <= wall[:-1]
        steps_back = np.cumsum(back)
        run = np.maximum.accumulate(np.where(same, 0, np.arange(len(wall))))
        return self.instants(wall, later=twice & (steps_back > steps_back[run]))

    def _stretches(self, wall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first stretch that ends behind each wall time, the last that begins by it.

        They are the same where the clock shows it once; the first lies before the last where it
        does so twice, and after it where it never does.
        """
        first = np.searchsorted(self.changes + self.offsets[:-1], wall, side="right")
        last = np.searchsorted(self.changes + self.offsets[1:], wall, side="right")
        return first, last


def check_time_zone(name: str) -> None:
    """Refuses what is no IANA name of a time zone.

    Raises:
        OptionError: names the nearest one.
        MissingDependencyError: where this computer has no time zone database.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        if not known:
            raise MissingDependencyError(
                f"time_zone {name!r} cannot be looked up, because this computer has no database "
                f"of time zones; run: pip install tzdata"
            ) from None
        raise _unknown_zone(name, known) from None


def is_nameless_offset(zone: str) -> bool:
    """Says whether a zone is an offset from UTC alone and has no IANA name, such as "+05:30".

    Whole hours have one, Etc/GMT-14 to Etc/GMT+12, which libraries that know no offsets take.
    """
    fixed = _FIXED_ZONE.fullmatch(zone)
    if fixed is None:
        return False
    hours, rest = divmod(parse_offset(fixed.group(1)), 3_600 * SECOND)
    return rest != 0 or not -12 <= hours <= 14


def parse_offset(word: str) -> int:
    """Returns how many nanoseconds "+02:00", "+0200", "+02" or "Z" is ahead of UTC."""
    if word == "Z":
        return 0
    digits = word[1:].replace(":", "").ljust(4, "0")
    size = (int(digits[:2]) * 60 + int(digits[2:])) * 60 * SECOND
    return -size if word[0] == "-" else size


def write_offset(ahead: int, like: str) -> str:
    """Returns nanoseconds ahead of UTC as an offset in the form of another, such as "+02:00"."""
    if like == "Z" and ahead == 0:
        return "Z"
    minutes = abs(ahead) // (60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if ahead < 0 else "+"
    if len(like) == len("+02") and minutes == 0:
        return f"{sign}{hours:02}"
    colon = ":" if ":" in like or like == "Z" else ""
    seconds = ":00" if like.count(":") == 2 else ""
    return f"{sign}{hours:02}{colon}{minutes:02}{seconds}"


def python_zone(name: str) -> datetime.tzinfo:
    """Returns Python's own object for the zone of a column, by its IANA name or its offset."""
    fixed = _FIXED_ZONE.fullmatch(name)
    if fixed is None:
        return zoneinfo.ZoneInfo(name)
    return datetime.timezone(datetime.timedelta(seconds=parse_offset(fixed.group(1)) // SECOND))


@functools.lru_cache(maxsize=32)
def _clock_of_zone(name: str) -> Clock:
    """Finds the changes of a zone's clock: the days that have one, each then cut in halves."""
    days = np.arange(_FIRST_DAY, _LAST_DAY).astype("datetime64[s]").astype(np.int64)
    ahead = _seconds_ahead(days, name)
    changed = np.flatnonzero(np.diff(ahead))
    before, after = days[changed], days[changed + 1]
    while len(before) and int((after - before).max()) > 1:
        middle = (before + after) // 2
        is_old = _seconds_ahead(middle, name) == ahead[changed]
        before, after = np.where(is_old, middle, before), np.where(is_old, after, middle)
    offsets = ahead[np.concatenate([[0], changed + 1])]
    return Clock(after * SECOND, offsets * SECOND, name)


def _seconds_ahead(seconds: np.ndarray, name: str) -> np.ndarray:
    """Returns how far the clock of a zone is ahead of UTC at seconds since 1970-01-01 UTC."""
    pl = import_extra("polars", "forecasting")
    instants = pl.Series(seconds.astype("datetime64[s]").astype("datetime64[ms]"))
    try:
        local = instants.dt.replace_time_zone("UTC").dt.convert_time_zone(name)
    except pl.exceptions.ComputeError:
        raise _unknown_zone(name, zoneinfo.available_timezones()) from None
    wall = local.dt.replace_time_zone(None).to_numpy().astype("datetime64[s]")
    return wall.astype(np.int64) - seconds


def _unknown_zone(name: str, known: set[str]) -> OptionError:
    """Returns the error for a name that is no zone's; a city alone finds its zone."""
    full = {zone for zone in known if "/" in zone and not zone.startswith("Etc/")}
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(full, reverse=True)}
    city = nearest(name.replace(" ", "_"), cities)
    exact = city is not None and city.casefold() == name.replace(" ", "_").casefold()
    guess = cities[city] if city is not None and exact else nearest(name, full)
    hint = f"did you mean {guess!r}? " if guess else ""
    return OptionError(
        f"there is no time zone {name!r}; {hint}write its IANA name, such as Europe/Berlin"
    )


def _whole(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)
