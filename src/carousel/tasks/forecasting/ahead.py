"""What is known of the future: the known covariates of the horizon behind each series' end.

Letters: S series, K horizon, E encoded columns, N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carousel.data.reading import Columns
from carousel.data.stamps import format_stamps
from carousel.data.tables import Table
from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting.covariates import Covariates
from carousel.tasks.forecasting.data import Panel, find_table, series_codes
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.rows import SeriesRows, series_key


def read_ahead(
    future: Any, panel: Panel, options: ForecastingOptions, covariates: Covariates
) -> np.ndarray | None:
    """Reads the known covariates of the rows behind each series' end.

    Args:
        future: rows in long form with the series, the time stamp and the known covariates; rows
            that are not among the horizon's are left alone. None where there are none to know.
        panel: the series.
        options: the roles of the columns.
        covariates: of the model.

    Returns:
        (S, K, E), or None for a model without known covariates.

    Raises:
        OptionError: where ``future`` is given and not needed, or needed and not given.
        DataError: for a column, series, row or cell that is missing, or a row that stands twice;
            names it.
    """
    if not covariates.known:
        if future is not None:
            raise OptionError(
                "future: the model has no covariates that are known ahead, so there is nothing to "
                "read in it; leave it out, or fit with known_covariates"
            )
        return None
    names = ", ".join(covariates.known)
    if future is None:
        raise OptionError(
            f"expected the next {options.horizon} rows of {names} (known_covariates) for every "
            f"series; give them with future (--future FILE)"
        )
    wanted = (options.id_column, options.time_column, *covariates.known)
    table = find_table(future, Columns(wanted))
    for name in covariates.known:
        table.require(name, "known_covariates")
    table.require(options.time_column, "time_column")
    ids, codes, has_ids = series_codes(table, options)
    if has_ids != panel.has_ids:
        raise table.error(
            f"expected {'the' if panel.has_ids else 'no'} column {options.id_column!r}, as in the "
            f"rows before it; {'add it' if panel.has_ids else 'leave it out'}"
        )
    stamps, style = table.stamps(options.time_column, options.time_format, options.time_zone)
    panel.check_goes_on(table, style, options.time_column)
    rows = SeriesRows.group(table, options.time_column, ids, codes, stamps, style)
    place = _places(rows, panel, options)
    found = covariates.encode(table, covariates.known)[place]
    if np.isnan(found).any():
        s, k, e = np.argwhere(np.isnan(found))[0].tolist()
        name = covariates.known[covariates.sources(covariates.known)[e]]
        raise _missing(table, panel, s, "has an empty cell", int(place[s, k]), name)
    return found


def _places(rows: SeriesRows, panel: Panel, options: ForecastingOptions) -> np.ndarray:
    """Returns which row of the table has each row behind the series, (S, K), refusing gaps."""
    wanted = panel.stamps_behind(options.horizon)
    number = {series_key(name): s for s, name in enumerate(panel.ids)}
    numbers = np.array([number.get(series_key(name), -1) for name in rows.ids], dtype=np.int64)
    series = np.repeat(numbers, np.diff(rows.offsets))
    stamps = _stamps_behind(rows, panel.stamps[panel.offsets[1:] - 1][series])
    near = (wanted[series, 0] <= stamps) & (stamps <= wanted[series, -1]) & (series >= 0)
    series, stamps, order = series[near], stamps[near], rows.order[near]
    step = (wanted[series] < stamps[:, None]).sum(axis=1)
    hit = wanted[series, step] == stamps
    cell, order = (series * options.horizon + step)[hit], order[hit]
    _, first = np.unique(cell, return_index=True)
    again = np.setdiff1d(np.arange(len(cell)), first)
    if len(again):
        s, k = divmod(int(cell[again[0]]), options.horizon)
        stamp = format_stamps(wanted[s, k : k + 1], panel.style)[0]
        earlier = rows.table.place(int(order[np.argmax(cell == cell[again[0]])]))
        raise rows.table.error(
            f"series {panel.ids[s]!r} has the time stamp {stamp} twice (first in {earlier}); "
            f"keep one",
            row=int(order[again[0]]),
            column=options.time_column,
        )
    place = np.full(wanted.shape, -1)
    place.reshape(-1)[cell] = order
    if (place < 0).any():
        s, k = np.argwhere(place < 0)[0].tolist()
        stamp = format_stamps(wanted[s, k : k + 1], panel.style)[0]
        raise _missing(rows.table, panel, s, f"has no row for {stamp}")
    return place


def _stamps_behind(rows: SeriesRows, ends: np.ndarray) -> np.ndarray:
    """Returns the rows' stamps (N,), read as of rows that go on behind their series' ``ends`` (N,).

    Where a clock shows an hour twice and the rows before stop between, the first ones here are of
    the second time.
    """
    clock = rows.style.clock
    if not rows.style.is_local or clock is None:
        return rows.stamps
    later = clock.instants(clock.wall(rows.stamps), later=True)
    is_past = (rows.stamps <= ends) & (later > ends)
    others: np.ndarray = np.cumsum(~is_past) - ~is_past
    begin = np.repeat(rows.offsets[:-1], np.diff(rows.offsets))
    return np.where(is_past & (others == others[begin]), later, rows.stamps)


def _missing(
    table: Table,
    panel: Panel,
    series: int,
    problem: str,
    row: int | None = None,
    column: str | None = None,
) -> DataError:
    return table.error(
        f"series {panel.ids[series]!r} {problem}; give what is known ahead for every row of the "
        f"horizon",
        row=row,
        column=column,
    )
