"""The rows of a table sorted into series, and what can be wrong with their time stamps.

Letters: N rows, S series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from carousel.data.clocks import DAY, SECOND
from carousel.data.stamps import TimeStyle, format_stamps
from carousel.data.tables import Table
from carousel.errors import DataError
from carousel.tasks.forecasting.frequency import Frequency, infer_frequency, other_frequency

# A grid this much longer than its rows comes from a wrong stamp, not from gaps.
SPREAD_LIMIT = 1_000
SPREAD_ALLOWANCE = 10_000
_HOUR = 3_600 * SECOND
# Clocks are put back over an hour that begins by then.
_LATEST_REPEATED_HOUR = 3
_SATURDAY, _EPOCH_WEEKDAY = 5, 3  # counted from Monday; the Unix epoch was a Thursday
_WEEKEND = ("Saturday", "Sunday")


@dataclass(frozen=True)
class SeriesRows:
    """Rows sorted by series, in the table's order within each.

    Attributes:
        table: where the rows come from, for errors.
        time_column: name of the column of the stamps.
        style: how the table writes time stamps.
        ids: (S,) names of the series in the order of their first appearance.
        offsets: (S + 1,) where each series begins; the last entry is N.
        order: (N,) index in the table of each sorted row.
        stamps: (N,) int64 time stamp of each sorted row.
    """

    table: Table
    time_column: str
    style: TimeStyle
    ids: np.ndarray
    offsets: np.ndarray
    order: np.ndarray
    stamps: np.ndarray

    @classmethod
    def group(
        cls,
        table: Table,
        time_column: str,
        ids: np.ndarray,
        codes: np.ndarray,
        stamps: np.ndarray,
        style: TimeStyle,
    ) -> SeriesRows:
        """Sorts rows by their series.

        Where the style is local, the stamps are read on its clock; a wall time that comes twice is
        the second one from where the rows of its series step back.

        Args:
            table: of the rows.
            time_column: name of the column of the stamps.
            ids: (S,) names of the series, in the order of their first appearance.
            codes: (N,) which of them each row belongs to.
            stamps: (N,) int64.
            style: how the table writes them.

        Raises:
            DataError: for a local stamp that the clock never shows.
        """
        order = np.argsort(codes, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))])
        rows = cls(table, time_column, style, ids, offsets, order, stamps[order])
        return rows._read_on_clock() if style.is_local else rows

    def check_order(self) -> None:
        """Refuses a stamp that stands twice in a series, or before its predecessor."""
        steps = np.diff(self.stamps)
        steps[self.offsets[1:-1] - 1] = 1
        wrong = np.flatnonzero(steps <= 0) + 1
        if len(wrong) == 0:
            return
        at = int(wrong[np.argmin(self.order[wrong])])
        series = int(np.searchsorted(self.offsets, at, side="right")) - 1
        begin = int(self.offsets[series])
        twin = np.flatnonzero(self.stamps[begin:at] == self.stamps[at])
        if len(twin):
            where = self.table.place(int(self.order[begin + twin[0]]))
            problem = f"has the time stamp {self._word(at)} twice (first in {where}); keep one"
            if self._is_repeated_hour(series, begin + int(twin[0]), at):
                problem += (
                    ", or, where the clock was put back over this hour, name the time zone with "
                    "time_zone, for example Europe/Berlin"
                )
        else:
            problem = (
                f"is out of order: {self._word(at)} comes after {self._word(at - 1)}; "
                f"sort the rows by {self.time_column}"
            )
        raise self._error(series, problem, at)

    def frequency(self, known: Frequency | None = None) -> Frequency:
        """Returns the one step of all series, refusing a mixture and stamps between the steps.

        Args:
            known: the step where a model has it already, so that any gaps are gaps; None infers it.
        """
        frequency = self._inferred() if known is None else known
        if (frequency.unit == "step") != (self.style.kind == "integer"):
            kind = "step numbers" if self.style.kind == "integer" else "dates or times"
            raise self.table.error(
                f"expected a row every {frequency}, as in training, got {kind}; give rows as the "
                f"model was fitted on",
                column=self.time_column,
            )
        mixed = other_frequency(self.stamps, self.offsets, frequency, self.style.clock)
        if mixed is not None:
            series, other = mixed
            problem = (
                f"has a row every {other}, most series every {frequency}: mixed frequencies; "
                f"fit them apart, or bring them to one step"
                if known is None
                else f"has a row every {other}, expected a row every {frequency}, as in training; "
                f"bring the rows to that step, or fit a model on them"
            )
            raise self._error(series, problem)
        return frequency

    def positions(self, frequency: Frequency) -> np.ndarray:
        """Returns how many steps each row lies behind the first of its series, (N,).

        Raises:
            DataError: for a stamp between the steps, or so far away that it must be wrong.
        """
        found = frequency.positions(self.stamps, self.style.clock, self.offsets)
        lengths = np.diff(self.offsets)
        is_off = np.logical_or.reduceat(found < 0, self.offsets[:-1])
        spread = found[self.offsets[1:] - 1] + 1
        wrong = np.flatnonzero(is_off | (spread > SPREAD_LIMIT * lengths + SPREAD_ALLOWANCE))
        if len(wrong):
            raise self._wrong_positions(int(wrong[0]), found, frequency)
        return found

    def _inferred(self) -> Frequency:
        frequency = infer_frequency(
            self.stamps,
            self.offsets,
            integer=self.style.kind == "integer",
            clock=self.style.clock,
        )
        if frequency is None:
            raise self.table.error(
                "every series has a single row, so the step between rows cannot be inferred; "
                "give more rows, or name the column of the series with id_column"
            )
        return frequency

    def _wrong_positions(
        self, series: int, positions: np.ndarray, frequency: Frequency
    ) -> DataError:
        """Returns the error for a series whose ``positions`` (N,) cannot be right."""
        begin, end = self.offsets[series : series + 2].tolist()
        own = positions[begin:end]
        off = np.flatnonzero(own < 0)
        if len(off):
            at = begin + int(off[0])
            problem = (
                f"has {self._word(at)}, which lies between the steps of {frequency} that most rows "
                f"keep; {self._remedy(begin, at, frequency)}"
            )
            return self._error(series, problem, at)
        at = begin + int(np.argmax(np.diff(own))) + 1
        problem = (
            f"has {len(own)} rows spread over {int(own[-1]) + 1:,} steps of {frequency}; "
            f"is the stamp {self._word(at)} after the largest gap right?"
        )
        return self._error(series, problem, at)

    def _remedy(self, begin: int, at: int, frequency: Frequency) -> str:
        """Says what to do about a stamp between the steps of a series that starts at ``begin``."""
        clock = self.style.clock
        wall = self.stamps[[begin, at]]
        wall = wall if clock is None else clock.wall(wall)
        day = int(wall[1] // DAY + _EPOCH_WEEKDAY) % 7
        if frequency.unit == "business day" and day >= _SATURDAY:
            return (
                f"it is a {_WEEKEND[day - _SATURDAY]}: leave the row out, or, where weekends "
                f"count, give all of them, with empty cells where there is no value"
            )
        late = int(wall[1] - wall[0]) % DAY
        has_zone = clock is not None and clock.name is not None
        if frequency.is_on_wall_clock and not has_zone and late in (_HOUR, DAY - _HOUR):
            return (
                "if a clock was changed between them, name the time zone with time_zone, for "
                "example Europe/Berlin; else correct it"
            )
        return "correct it, or bring the series to one step"

    def _is_repeated_hour(self, series: int, twin: int, at: int) -> bool:
        """Says whether rows ``twin`` to ``at`` look like an hour of the night that comes twice."""
        after = at + 1
        if self.style.kind == "integer" or self.style.clock or after == self.offsets[series + 1]:
            return False
        step = int(self.stamps[after] - self.stamps[at])
        repeated = int(self.stamps[at - 1] - self.stamps[twin]) + step
        hour = int(self.stamps[twin] % DAY) / _HOUR
        return step > 0 and repeated == _HOUR and hour <= _LATEST_REPEATED_HOUR

    def _read_on_clock(self) -> SeriesRows:
        """Returns the rows with the instants at which the style's clock showed their stamps."""
        clock = self.style.clock
        assert clock is not None
        skipped = np.flatnonzero(clock.skips(self.stamps))
        if len(skipped):
            at = int(skipped[np.argmin(self.order[skipped])])
            series = int(np.searchsorted(self.offsets, at, side="right")) - 1
            as_given = replace(self, style=replace(self.style, shown=None))
            problem = (
                f"has {as_given._word(at)}, which does not exist in {clock.name}: the clock is put "
                f"forward over it; correct it, or leave time_zone out where the stamps follow "
                f"another clock"
            )
            raise self._error(series, problem, at)
        return replace(self, stamps=clock.instants_of_rows(self.stamps, self.offsets))

    def _error(self, series: int, problem: str, at: int | None = None) -> DataError:
        row = None if at is None else int(self.order[at])
        return self.table.error(
            f"series {self.ids[series]!r} {problem}", row=row, column=self.time_column
        )

    def _word(self, at: int) -> str:
        return str(format_stamps(self.stamps[at : at + 1], self.style)[0])


def series_key(name: object) -> str:
    """Returns a series' name as text; 7, 7.0 and " 7" are one series, as tables confuse them."""
    whole = isinstance(name, float) and name.is_integer()
    return str(int(name) if whole else name).strip()  # type: ignore[call-overload]
