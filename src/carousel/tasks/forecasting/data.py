"""From a table in long form to series on a regular grid, with every flaw of the input named.

Gaps and missing values become NaN on the grid; nothing is invented. Knows nothing of networks.

Letters: N rows on the grid, S series, E encoded columns of covariates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from carousel.data.reading import Columns, read_table
from carousel.data.samples import is_sample, sample_table, with_sample
from carousel.data.stamps import LAST_YEAR, TimeStyle, format_stamps
from carousel.data.tables import Table
from carousel.errors import nearest, unknown_name
from carousel.tasks.forecasting.covariates import Covariates, numbers
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.rows import SeriesRows

TASK = "forecasting"
SINGLE_SERIES = "series"
_COVARIATES_NAMED = 5


@dataclass(frozen=True)
class Panel:
    """Series of one frequency, each on its own regular grid, laid end to end.

    Attributes:
        ids: (S,) names of the series, as the table holds them.
        frequency: the step between rows.
        offsets: (S + 1,) where each series begins on the grid; the last entry is N.
        stamps: (N,) int64 time stamp of each row of the grid.
        values: (N, 1 + E) float64; column 0 is the target, then the covariates that move, encoded;
            NaN is missing.
        static: (S, E) the covariates that do not move, encoded; NaN is missing.
        target_name: name of the target's column.
        covariates: which columns these are.
        first_rows: (S,) row of the table in which each series first stands.
        has_ids: False where the table has no column that names series.
        style: how the table writes time stamps.
        table: the table itself, for errors and for answers in the same library.
    """

    ids: np.ndarray
    frequency: Frequency
    offsets: np.ndarray
    stamps: np.ndarray
    values: np.ndarray
    static: np.ndarray
    target_name: str
    covariates: Covariates
    first_rows: np.ndarray
    has_ids: bool
    style: TimeStyle
    table: Table

    @property
    def lengths(self) -> np.ndarray:
        """(S,) number of rows of each series on the grid."""
        return np.diff(self.offsets)

    def target(self, series: int) -> np.ndarray:
        """Returns the target of one series, (T,), NaN where it is missing."""
        return self.values[self.offsets[series] : self.offsets[series + 1], 0]

    def check_target(self, rows: np.ndarray) -> None:
        """Refuses a target that cannot teach anything in the first ``rows`` (S,) of each series.

        Raises:
            DataError: for a series without a value, or where every series is constant.
        """
        y = np.where(self._is_within(rows), self.values[:, 0], np.nan)
        begin = self.offsets[:-1]
        low, high = np.fmin.reduceat(y, begin), np.fmax.reduceat(y, begin)
        unseen = np.flatnonzero(np.isnan(low))
        if len(unseen):
            s = int(unseen[0])
            raise self.table.error(
                f"all values of series {self.ids[s]!r} are missing in its {rows[s]} training rows; "
                f"leave the series out, or fill in what is known",
                column=self.target_name,
            )
        if (low == high).all():
            raise self.table.error(
                "the target is constant in every series, so there is nothing to learn; "
                "is this the right column?",
                column=self.target_name,
            )

    def check_goes_on(self, table: Table, style: TimeStyle, time_column: str) -> None:
        """Refuses rows behind these whose stamps count from elsewhere.

        Args:
            table: of the rows behind.
            style: how it writes its stamps.
            time_column: that they stand in.

        Raises:
            DataError: where one has steps and the other times, or one tells UTC and the other not.
        """
        expected = ""
        if (style.kind == "integer") != (self.style.kind == "integer"):
            expected = "dates or times in both, or step numbers in both"
        elif (style.clock is None) != (self.style.clock is None):
            expected = "with a time zone or an offset from UTC in both, or in neither"
        if expected:
            raise table.error(
                f"expected time stamps as in the rows before it: {expected}", column=time_column
            )

    def with_levels_of(self, rows: np.ndarray) -> Panel:
        """Returns the panel without the levels that come after the first ``rows`` (S,) alone.

        Nobody could learn them, and their names would tell of rows that fitting never sees.
        """
        moving = self.covariates.moving
        if not self.covariates.is_level(moving).any():
            return self
        training = self.values[self._is_within(rows), 1:]
        kept = ~self.covariates.is_level(moving) | (training == 1).any(axis=0)
        source = self.covariates.sources(moving)
        # A category without any value in training keeps a level, and with it its place.
        first = np.searchsorted(source, np.arange(len(moving)))
        kept[first[np.bincount(source, kept, minlength=len(moving)) == 0]] = True
        return replace(
            self,
            values=self.values[:, np.concatenate([[True], kept])],
            covariates=self.covariates.keeping(kept),
        )

    def _is_within(self, rows: np.ndarray) -> np.ndarray:
        """Says of each row whether it is one of the first ``rows`` (S,) of its series, (N,)."""
        return np.arange(self.offsets[-1]) < np.repeat(self.offsets[:-1] + rows, self.lengths)

    def future_stamps(self, series: int, count: int) -> np.ndarray:
        """Returns the ``count`` stamps that follow the last row of one series, int64."""
        own = self.stamps[self.offsets[series] : self.offsets[series + 1]]
        return self.frequency.stamps(own, len(own) + np.arange(count), self.style.clock)

    def ends_silent(self, rows: int) -> np.ndarray:
        """Says of each series whether its last ``rows`` rows have no value of the target, (S,)."""
        seen = np.concatenate([[0], np.cumsum(~np.isnan(self.values[:, 0]))])
        end = self.offsets[1:]
        return seen[end] == seen[np.maximum(end - rows, self.offsets[:-1])]

    def stamps_behind(self, count: int) -> np.ndarray:
        """Returns the ``count`` stamps that follow each series' last row, (S, count) int64.

        Raises:
            DataError: where they go beyond what can be counted; names the series.
        """
        counts = np.full(len(self.ids), count)
        found = self.frequency.grid(
            self.stamps, self.offsets, counts, self.style.clock, first=self.lengths
        ).reshape(-1, count)
        before = np.column_stack([self.stamps[self.offsets[1:] - 1], found[:, :-1]])
        wrapped = (found <= before).any(axis=1)
        if wrapped.any():
            series = self.ids[int(np.argmax(wrapped))]
            raise self.table.error(
                f"the horizon behind the last row of series {series!r} goes beyond the year "
                f"{LAST_YEAR - 1}, where time stamps end; correct the stamps, or number the steps"
            )
        return found

    def stamp_words(self, series: int, position: int) -> str:
        """Returns the time stamp of one row of one series as the table would write it."""
        row = self.offsets[series] + position
        return str(format_stamps(self.stamps[row : row + 1], self.style)[0])

    def summary(self) -> str:
        """One line: how many series and rows, the step, what is missing, which covariates."""
        missing = float(np.isnan(self.values[:, 0]).mean())
        count = len(self.ids)
        return (
            f"{count} series, {self.offsets[-1]:,} rows, one every {self.frequency}, "
            f"{missing:.1%} of the target missing{self._covariate_words()}"
        )

    def _covariate_words(self) -> str:
        told = []
        for role, names in (
            ("covariates", self.covariates.past),
            ("known ahead", self.covariates.known),
            ("static", self.covariates.static),
        ):
            if names:
                more = len(names) - _COVARIATES_NAMED
                rest = f" and {more} more" if more > 0 else ""
                told.append(f"; {role} {', '.join(names[:_COVARIATES_NAMED])}{rest}")
        return "".join(told)


def read_panel(
    data: Any,
    options: ForecastingOptions,
    frequency: Frequency | None = None,
    covariates: Covariates | None = None,
) -> Panel:
    """Reads a table in long form and lays it on a regular grid.

    Args:
        data: a path, ``sample:NAME``, or a frame of pandas, polars or pyarrow.
        options: the roles of the columns.
        frequency: the step between rows where it is known, for rows too few or too full of gaps
            to tell it; by default it is inferred.
        covariates: those that a model was fitted with; by default found in the table.

    Raises:
        DataError: names the file, line and column of whatever cannot be used, and the remedy.
    """
    table = find_table(data, _columns(options, covariates))
    return panel_from_table(table, options, frequency, covariates)


def find_table(data: Any, columns: Columns | None = None) -> Table:
    """Returns the table of a path, ``sample:NAME`` or frame, at least its ``columns``."""
    return sample_table(data, TASK) if is_sample(data) else read_table(data, columns)


def options_for(data: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the option values with a sample's own column roles filled in where none are given."""
    return with_sample(data, TASK, values)


def panel_from_table(
    table: Table,
    options: ForecastingOptions,
    frequency: Frequency | None = None,
    covariates: Covariates | None = None,
) -> Panel:
    """Lays the rows of a table on a regular grid; see ``read_panel``."""
    ids, codes, has_ids = series_codes(table, options)
    table.require(options.time_column, "time_column")
    table.require(options.target, "target")
    covariates = _checked(covariates, table, options)
    stamps, style = table.stamps(options.time_column, options.time_format, options.time_zone)
    moving = covariates.encode(table, covariates.moving)
    target = numbers(table, options.target)
    rows = SeriesRows.group(table, options.time_column, ids, codes, stamps, style)
    rows.check_order()
    frequency = rows.frequency(frequency)
    return Panel(
        ids=rows.ids,
        frequency=frequency,
        static=_static(rows, covariates),
        target_name=options.target,
        covariates=covariates,
        first_rows=rows.order[rows.offsets[:-1]],
        has_ids=has_ids,
        style=style,
        table=table,
        **_grid(rows, frequency, target, moving),
    )


def series_codes(table: Table, options: ForecastingOptions) -> tuple[np.ndarray, np.ndarray, bool]:
    """Returns which series each row belongs to.

    Returns:
        The names of the series in the order of their first appearance, (S,) objects; the number of
        each row's series, (N,); and whether a column has them.
    """
    if _has_ids(table, options):
        return *table.codes(options.id_column), True
    return np.array([SINGLE_SERIES], dtype=object), np.zeros(len(table), dtype=np.int64), False


def _has_ids(table: Table, options: ForecastingOptions) -> bool:
    name = options.id_column
    if name in table.names:
        return True
    default = ForecastingOptions(horizon=1).id_column
    others = [n for n in table.names if n not in (options.time_column, options.target)]
    if name != default or nearest(name, others) is not None:
        table.require(name, "id_column")
    return False


def _columns(options: ForecastingOptions, fitted: Covariates | None) -> Columns:
    """Returns the columns that a panel is made of, those of a model's covariates among them."""
    names = (
        options.id_column,
        options.time_column,
        options.target,
        *(options.covariates or ()),
        *options.known_covariates,
        *options.static_covariates,
        *(() if fitted is None else (*fitted.moving, *fitted.static)),
    )
    return Columns(names, numbers=options.covariates is None)


def _checked(fitted: Covariates | None, table: Table, options: ForecastingOptions) -> Covariates:
    """Returns the covariates to read, refusing a table with others than the model was fitted on.

    Where the user named the covariates, further columns are left alone, as they were in fitting.
    """
    if fitted is None:
        return Covariates.of(table, options)
    for name in (*fitted.moving, *fitted.static):
        if name not in table.names:
            raise table.error(
                f"{unknown_name('column', name, table.names)}; the model was fitted with it: give "
                f"it, or fit again without"
            )
    if options.covariates is None:
        new = [name for name in Covariates.of(table, options).past if name not in fitted.past]
        if new:
            raise table.error(
                "the model was fitted without this column of numbers; leave it out, or fit again "
                "(where fit is given the covariates by name, further columns are left alone)",
                column=new[0],
            )
    return fitted


def _static(rows: SeriesRows, covariates: Covariates) -> np.ndarray:
    """Returns the covariates that never change, (S, E), refusing those that do."""
    found = [np.zeros((len(rows.ids), 0))]
    first = rows.offsets[:-1]
    of_row = np.repeat(np.arange(len(rows.ids)), np.diff(rows.offsets))
    for name in covariates.static:
        own = covariates.encode(rows.table, [name])[rows.order]
        changed = ~((own == own[first][of_row]) | (np.isnan(own) & np.isnan(own[first][of_row])))
        if changed.any():
            at = int(np.flatnonzero(changed.any(axis=1))[0])
            raise rows.table.error(
                f"series {rows.ids[of_row[at]]!r} has another value here than in its first row; a "
                f"static covariate never changes: name it in covariates or known_covariates",
                row=int(rows.order[at]),
                column=name,
            )
        found.append(own[first])
    return np.concatenate(found, axis=1)


def _grid(
    rows: SeriesRows, frequency: Frequency, target: np.ndarray, moving: np.ndarray
) -> dict[str, np.ndarray]:
    """Spreads a table's target (N,) and covariates (N, E) over a regular grid.

    What no row fills stays NaN.
    """
    positions = rows.positions(frequency)
    lengths = positions[rows.offsets[1:] - 1] + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    place = np.empty_like(positions)
    positions += np.repeat(offsets[:-1], np.diff(rows.offsets))
    place[rows.order] = positions
    values = np.full((offsets[-1], 1 + moving.shape[1]), np.nan)
    values[place, 0] = target
    values[place, 1:] = moving
    stamps = frequency.grid(rows.stamps, rows.offsets, lengths, rows.style.clock)
    return {"offsets": offsets, "stamps": stamps, "values": values}
