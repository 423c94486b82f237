"""The answer to ``predict``: the quantiles behind each series' end, as a frame or a picture.

Letters: S series, K horizon, Q quantiles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from carousel.data.answers import repeated_rows, stamp_column, write_table
from carousel.errors import DataError
from carousel.tasks.forecasting.ahead import read_ahead
from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.fitted import Fitted, Told
from carousel.tasks.forecasting.options import quantile_column


def next_quantiles(
    fitted: Fitted, panel: Panel, future: Any, progress: Told | None = None
) -> np.ndarray:
    """Returns the quantiles (K, S, Q) of the horizon behind each series' end."""
    ahead = read_ahead(future, panel, fitted.options, fitted.covariates)
    context = fitted.plan.context
    silent = panel.ends_silent(context)
    if silent.any():
        raise silent_series(panel, int(np.argmax(silent)), context)
    windows = fitted.windows(panel, panel.lengths, ahead)
    series = torch.arange(len(panel.ids))
    return fitted.quantiles(windows, series, torch.from_numpy(panel.lengths), progress)


def silent_series(panel: Panel, series: int, context: int) -> DataError:
    """Returns what is wrong with a series without a value in the last ``context`` rows."""
    return panel.table.error(
        f"series {panel.ids[series]!r} has no value in its last "
        f"{min(context, panel.lengths[series])} steps to start from; give rows with values, or "
        f"leave the series out",
        column=panel.target_name,
    )


def draw(fitted: Fitted, panel: Panel, quantiles: np.ndarray, path: str | Path) -> Path:
    """Draws the forecast (K, S, Q) of a panel; PNG, SVG or HTML by the path's ending."""
    from carousel.tasks.forecasting.plots import draw_forecast

    return draw_forecast(fitted, panel, quantiles, Path(path))


def forecast_frame(fitted: Fitted, panel: Panel, quantiles: np.ndarray) -> Any:
    """Returns the forecast (K, S, Q) as a frame of the library that the panel came from."""
    options = fitted.options
    horizon = options.horizon
    stamps = panel.stamps_behind(horizon).reshape(-1)
    columns: dict[str, Any] = {}
    if panel.has_ids:
        rows = np.repeat(panel.first_rows, horizon)
        columns[options.id_column] = repeated_rows(panel.table, options.id_column, rows)
    columns[options.time_column] = stamp_column(
        stamps, panel.style, panel.table, options.time_column
    )
    by_series = quantiles.transpose(1, 0, 2).reshape(-1, quantiles.shape[-1])
    columns[options.target] = by_series[:, options.quantiles.index(0.5)]
    for q, level in enumerate(options.quantiles):
        if level != 0.5:
            columns[quantile_column(options.target, level)] = by_series[:, q]
    return write_table(columns, panel.table)
