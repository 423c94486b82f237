"""From a table in long form to series on a regular grid, with every flaw of the input named.

Gaps and missing values become NaN on the grid; nothing is invented. Knows nothing of networks.

Letters: N rows on the grid, S series, C covariates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.data.samples import is_sample, sample_options, sample_table
from carousel.data.stamps import TimeStyle, format_stamps
from carousel.data.tables import Table, read_table
from carousel.errors import nearest
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.rows import SeriesRows

TASK = "forecasting"
SINGLE_SERIES = "series"
# Squares and sums of these stay finite, and so do their standardised values in float32.
LARGEST = 1e30
_COVARIATES_NAMED = 5


@dataclass(frozen=True)
class Panel:
    """Series of one frequency, each on its own regular grid, laid end to end.

    Attributes:
        ids: (S,) names of the series, as the table holds them.
        frequency: the step between rows.
        offsets: (S + 1,) where each series begins on the grid; the last entry is N.
        stamps: (N,) int64 time stamp of each row of the grid.
        values: (N, 1 + C) float64; column 0 is the target, then the covariates; NaN is missing.
        target_name: name of the target's column.
        covariates: names of the covariates.
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
    target_name: str
    covariates: tuple[str, ...]
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
        constant = 0
        for s, name in enumerate(self.ids):
            y = self.target(s)[: rows[s]]
            seen = y[~np.isnan(y)]
            if len(seen) == 0:
                raise self.table.error(
                    f"all values of series {name!r} are missing in its {rows[s]} training rows; "
                    f"leave the series out, or fill in what is known",
                    column=self.target_name,
                )
            constant += int(np.all(seen == seen[0]))
        if constant == len(self.ids):
            raise self.table.error(
                "the target is constant in every series, so there is nothing to learn; "
                "is this the right column?",
                column=self.target_name,
            )

    def future_stamps(self, series: int, count: int) -> np.ndarray:
        """Returns the ``count`` stamps that follow the last row of one series, int64."""
        own = self.stamps[self.offsets[series] : self.offsets[series + 1]]
        return self.frequency.stamps(own, len(own) + np.arange(count), self.style.clock)

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
        if not self.covariates:
            return ""
        more = len(self.covariates) - _COVARIATES_NAMED
        rest = f" and {more} more" if more > 0 else ""
        return f"; covariates {', '.join(self.covariates[:_COVARIATES_NAMED])}{rest}"


def read_panel(data: Any, options: ForecastingOptions, frequency: Frequency | None = None) -> Panel:
    """Reads a table in long form and lays it on a regular grid.

    Args:
        data: a path, ``sample:NAME``, or a frame of pandas, polars or pyarrow.
        options: the roles of the columns.
        frequency: the step between rows where it is known, for rows too few or too full of gaps
            to tell it; by default it is inferred.

    Raises:
        DataError: names the file, line and column of whatever cannot be used, and the remedy.
    """
    table = sample_table(data, TASK) if is_sample(data) else read_table(data)
    return panel_from_table(table, options, frequency)


def options_for(data: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the option values with a sample's own column roles filled in where none are given."""
    return {**sample_options(data, TASK), **values} if is_sample(data) else dict(values)


def panel_from_table(
    table: Table, options: ForecastingOptions, frequency: Frequency | None = None
) -> Panel:
    """Lays the rows of a table on a regular grid; see ``read_panel``."""
    has_ids = _has_ids(table, options)
    table.require(options.time_column, "time_column")
    table.require(options.target, "target")
    covariates = _covariates(table, options)
    labels = (
        table.labels(options.id_column)
        if has_ids
        else np.full(len(table), SINGLE_SERIES, dtype=object)
    )
    stamps, style = table.stamps(options.time_column, options.time_format, options.time_zone)
    values = np.stack([_numbers(table, name) for name in (options.target, *covariates)], axis=1)
    rows = SeriesRows.sort(table, options.time_column, labels, stamps, style)
    rows.check_order()
    frequency = rows.frequency(frequency)
    return Panel(
        ids=rows.ids,
        frequency=frequency,
        target_name=options.target,
        covariates=covariates,
        first_rows=rows.order[rows.offsets[:-1]],
        has_ids=has_ids,
        style=style,
        table=table,
        **_grid(rows, frequency, values[rows.order]),
    )


def _numbers(table: Table, name: str) -> np.ndarray:
    """Returns a column as numbers, refusing those whose scaled values could leave float32."""
    values = table.numbers(name)
    large = np.flatnonzero(np.abs(values) > LARGEST)
    if len(large):
        row = int(large[0])
        raise table.error(
            f"expected a number between -{LARGEST:g} and {LARGEST:g}, got {values[row]:g}; "
            f"correct it, leave the cell empty, or give the column in a larger unit",
            row=row,
            column=name,
        )
    return values


def _has_ids(table: Table, options: ForecastingOptions) -> bool:
    name = options.id_column
    if name in table.names:
        return True
    default = ForecastingOptions(horizon=1).id_column
    others = [n for n in table.names if n not in (options.time_column, options.target)]
    if name != default or nearest(name, others) is not None:
        table.require(name, "id_column")
    return False


def _covariates(table: Table, options: ForecastingOptions) -> tuple[str, ...]:
    roles = (options.id_column, options.time_column, options.target)
    if options.covariates is None:
        others = [name for name in table.names if name not in roles]
        return tuple(name for name in others if table.is_numeric(name))
    for name in options.covariates:
        table.require(name, "covariates")
    return options.covariates


def _grid(rows: SeriesRows, frequency: Frequency, values: np.ndarray) -> dict[str, np.ndarray]:
    """Spreads the rows over a regular grid; what no row fills stays NaN."""
    positions = rows.positions(frequency)
    lengths = np.array([own[-1] + 1 for own in positions], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    grid = np.full((offsets[-1], values.shape[1]), np.nan)
    stamps = np.empty(offsets[-1], dtype=np.int64)
    for own, (begin, end), first, length in zip(
        positions, rows.spans(), offsets[:-1], lengths, strict=True
    ):
        grid[first + own] = values[begin:end]
        stamps[first : first + length] = frequency.stamps(
            rows.stamps[begin:end], np.arange(length), rows.style.clock
        )
    return {"offsets": offsets, "stamps": stamps, "values": grid}
