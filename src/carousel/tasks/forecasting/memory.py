"""The last rows of every series, which a model keeps so that it can go on from them.

The network reads a window of the past, so what a forecaster carries forward is that window: the
rows that the next forecast and the width of its intervals need, and no more.

Letters: S series, N rows, E encoded columns.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import safetensors.torch
import torch

from carousel.data.answers import stamp_column
from carousel.data.extras import import_extra
from carousel.data.stamps import format_stamps
from carousel.data.tables import Table
from carousel.errors import ModelError
from carousel.tasks.forecasting.covariates import Covariates
from carousel.tasks.forecasting.data import Panel, series_codes
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.rows import SPREAD_ALLOWANCE, series_key

ROWS_FILE = "rows.safetensors"
ENDS_FILE = "ends.parquet"
# More cells than this are not kept: such a model is given the rows with every forecast.
MOST_CELLS = 20_000_000


@dataclass(frozen=True)
class Memory:
    """The last rows of every series.

    Attributes:
        panel: the rows; its table has one row a series, the last, in the types of the data.
        rows: how many of each series are kept at most.
        least: (S,) the least scale of each series, of all the rows that were seen when it came.
    """

    panel: Panel
    rows: int
    least: np.ndarray

    @classmethod
    def of(
        cls, panel: Panel, options: ForecastingOptions, rows: int, least: np.ndarray
    ) -> Memory | None:
        """Keeps the last ``rows`` rows of each series, or nothing where that would be too much."""
        if np.minimum(panel.lengths, rows).sum() * panel.values.shape[1] > MOST_CELLS:
            return None
        return cls(_last_rows(_with_ends(panel, options), rows), rows, least)

    def followed_by(self, new: Panel, options: ForecastingOptions, least: np.ndarray) -> Memory:
        """Returns the memory after the rows of ``new``, which come behind those that are kept.

        A series that is new is added; one without new rows stays as it is.

        Raises:
            DataError: for a row that is not behind the last known one; names the series and stamps.
                For stamps with a time zone behind those without, or the other way round.
        """
        old = self.panel
        if new.has_ids != old.has_ids:
            have, want = ("a", "no") if new.has_ids else ("no", "a")
            raise new.table.error(
                f"expected {want} column {options.id_column!r} as in the rows before it, got "
                f"{have} column of series"
            )
        old.check_goes_on(new.table, new.style, options.time_column)
        place = {series_key(name): s for s, name in enumerate(old.ids)}
        at = np.array([place.get(series_key(name), -1) for name in new.ids], dtype=np.int64)
        known = at >= 0
        begin = np.zeros(len(at), dtype=np.int64)
        begin[known] = _places_behind(old, new, at, np.flatnonzero(known))
        newcomers = int((~known).sum())
        at[~known] = len(old.ids) + np.arange(newcomers)
        lengths = np.concatenate([old.lengths, np.zeros(newcomers, dtype=np.int64)])
        gaps = np.zeros(len(old.ids), dtype=np.int64)
        gaps[at[known]] = begin[known] - old.lengths[at[known]]
        lengths[at] = begin + new.lengths
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        of_old = _rows_from(offsets[: len(old.ids)], old.lengths)
        of_new = _rows_from(offsets[at] + begin, new.lengths)
        of_gaps = _rows_from(offsets[: len(old.ids)] + old.lengths, gaps)
        values = np.full((offsets[-1], old.values.shape[1]), np.nan)
        values[of_old], values[of_new] = old.values, new.values
        stamps = np.empty(offsets[-1], dtype=np.int64)
        stamps[of_old], stamps[of_new] = old.stamps, new.stamps
        stamps[of_gaps] = old.frequency.grid(
            old.stamps, old.offsets, gaps, old.style.clock, first=old.lengths
        )
        static = np.concatenate([old.static, new.static[~known]])
        static[at] = new.static
        joined = replace(
            old,
            ids=np.concatenate([old.ids, new.ids[~known]]),
            offsets=offsets,
            stamps=stamps,
            values=values,
            static=static,
        )
        panel = _last_rows(_with_ends(joined, options), self.rows)
        return Memory(panel, self.rows, np.concatenate([self.least, least[~known]]))

    def assets(self) -> dict[str, bytes]:
        """Returns the files that hold the memory."""
        panel = self.panel
        tensors = {
            "offsets": torch.from_numpy(panel.offsets.astype(np.int64)),
            "stamps": torch.from_numpy(panel.stamps),
            "values": torch.from_numpy(np.ascontiguousarray(panel.values)),
            "static": torch.from_numpy(np.ascontiguousarray(panel.static)),
            "rows": torch.tensor(self.rows),
            "least": torch.from_numpy(self.least),
        }
        ends = io.BytesIO()
        panel.table.frame.to_polars().write_parquet(ends)
        return {ROWS_FILE: safetensors.torch.save(tensors), ENDS_FILE: ends.getvalue()}

    @classmethod
    def restore(
        cls,
        assets: Mapping[str, bytes],
        options: ForecastingOptions,
        frequency: Frequency,
        covariates: Covariates,
    ) -> Memory | None:
        """Makes the memory again from its files; None where a model has none.

        Raises:
            ModelError: where they do not fit together.
        """
        if ROWS_FILE not in assets or ENDS_FILE not in assets:
            return None
        pl, nw = import_extra("polars", "forecasting"), import_extra("narwhals", "forecasting")
        tensors = {n: t.numpy() for n, t in safetensors.torch.load(assets[ROWS_FILE]).items()}
        ends = pl.read_parquet(io.BytesIO(assets[ENDS_FILE]))
        table = Table(nw.from_native(ends, eager_only=True), None)
        ids, codes, has_ids = series_codes(table, options)
        _, style = table.stamps(options.time_column, options.time_format, options.time_zone)
        panel = Panel(
            ids=ids[codes],
            frequency=frequency,
            offsets=tensors["offsets"],
            stamps=tensors["stamps"],
            values=tensors["values"],
            static=tensors["static"],
            target_name=options.target,
            covariates=covariates,
            first_rows=np.arange(len(table)),
            has_ids=has_ids,
            style=style,
            table=table,
        )
        width = 1 + covariates.width(covariates.moving)
        fits = (
            len(panel.offsets) == len(panel.ids) + 1
            and panel.offsets[-1] == len(panel.stamps) == len(panel.values)
            and panel.values.shape[1] == width
            and tensors["least"].shape == panel.ids.shape
            and panel.static.shape == (len(panel.ids), covariates.width(covariates.static))
        )
        if not fits:
            raise ModelError(
                f"the model folder is damaged: {ROWS_FILE} and {ENDS_FILE} do not fit together; "
                f"fit the model again or take it from a copy"
            )
        return cls(panel, int(tensors["rows"]), tensors["least"])


def _places_behind(old: Panel, new: Panel, at: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Returns on which row of the old series, ``at`` (S,), each of ``series`` of the new goes on.

    Raises:
        DataError: for a series that does not go on behind its last row.
    """
    last = old.stamps[old.offsets[1:] - 1][at[series]]
    first = new.stamps[new.offsets[:-1]][series]
    starts = old.stamps[old.offsets[:-1]][at[series]]
    pairs = np.stack([starts, np.maximum(starts, first)], axis=1).reshape(-1)
    each = np.arange(0, len(pairs) + 1, 2)
    found = old.frequency.positions(pairs, old.style.clock, each)[1::2]
    far = found - old.lengths[at[series]] > SPREAD_ALLOWANCE
    wrong = np.flatnonzero((first <= last) | (found < 0) | far)
    if len(wrong) == 0:
        return found
    k = int(wrong[0])
    s = int(series[k])
    before, after = (
        str(format_stamps(np.array([stamp]), new.style)[0]) for stamp in (last[k], first[k])
    )
    problem = (
        f"begins with {after}, and the model knows its rows until {before}; give those behind it "
        f"only"
        if first[k] <= last[k]
        else f"goes on with {after}, over {SPREAD_ALLOWANCE:,} steps behind {before}; correct the "
        f"stamp, or fit a model on the new rows"
        if far[k]
        else f"goes on with {after}, which lies between the steps of {old.frequency} that follow "
        f"{before}; correct it"
    )
    raise new.table.error(f"series {new.ids[s]!r} {problem}", row=int(new.first_rows[s]))


def _rows_from(begin: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns ``begin``, ``begin`` + 1, … of each of (S,) runs of rows, one behind the other."""
    return np.arange(lengths.sum()) + np.repeat(begin - np.cumsum(lengths) + lengths, lengths)


def _last_rows(panel: Panel, rows: int) -> Panel:
    lengths = np.minimum(panel.lengths, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(offsets[-1]) + np.repeat(panel.offsets[1:] - offsets[1:], lengths)
    return replace(panel, offsets=offsets, stamps=panel.stamps[at], values=panel.values[at])


def _with_ends(panel: Panel, options: ForecastingOptions) -> Panel:
    """Returns the panel on a table of its own: the last row of each series, series and stamp."""
    pl, nw = import_extra("polars", "forecasting"), import_extra("narwhals", "forecasting")
    like = panel.table
    stamps = stamp_column(
        panel.stamps[panel.offsets[1:] - 1], panel.style, like, options.time_column
    )
    columns = {options.time_column: stamps.to_polars()}
    if panel.has_ids:
        kind = like.frame[options.id_column].to_polars().dtype
        ids = panel.ids.tolist()
        try:
            columns = {options.id_column: pl.Series(ids, dtype=kind), **columns}
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            columns = {options.id_column: pl.Series([str(name) for name in ids]), **columns}
    table = Table(nw.from_native(pl.DataFrame(columns), eager_only=True), None)
    return replace(panel, table=table, first_rows=np.arange(len(panel.ids)))
