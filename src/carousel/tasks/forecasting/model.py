"""The forecaster: fit, evaluate, predict, save, load."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carousel.data.answers import repeated_rows, stamp_column, write_table
from carousel.errors import DataError, ModelError, OptionError
from carousel.tasks.forecasting.calendar import calendar_cycles
from carousel.tasks.forecasting.card import write_card
from carousel.tasks.forecasting.data import TASK, Panel, options_for, read_panel
from carousel.tasks.forecasting.evaluation import backtest
from carousel.tasks.forecasting.fitted import Fitted, make_network, series_key
from carousel.tasks.forecasting.options import ForecastingOptions, quantile_column
from carousel.tasks.forecasting.plan import Plan, make_plan
from carousel.tasks.forecasting.report import Report
from carousel.tasks.forecasting.training import (
    ForecastingTask,
    training_origins,
    validation_origins,
)
from carousel.tasks.forecasting.windows import CovariateScaler, Windows
from carousel.tasks.model_folder import ModelFolder, check_model_target
from carousel.training import HISTORY_FILE, History, Progress, RunOptions, TrainingResult, train

# Chosen on the validation part of the weather sample; docs/forecasting.md has the comparison.
DEFAULT_RUN = {
    "max_steps": 800,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "validate_every": 100,
    "average": 0.99,
}


class Forecaster:
    """Forecasts many series of one frequency with one LSTM network.

        model = Forecaster(horizon=24).fit("load.csv")
        print(model.evaluate("load.csv"))
        forecast = model.predict("load.csv")

    Args:
        options: a ready ``ForecastingOptions``, or
        **values: its fields by name.

    Raises:
        OptionError: for an unknown option (names the nearest) or a value out of range.
    """

    def __init__(self, options: ForecastingOptions | None = None, /, **values: Any) -> None:
        if options is not None and values:
            raise OptionError("give either an options object or single options, not both")
        given = dataclasses.asdict(options) if options is not None else values
        self.options = ForecastingOptions(**given)
        self._given = given
        self._fitted: Fitted | None = None
        self._history = History()

    def fit(
        self,
        data: Any,
        valid: Any = None,
        run: RunOptions | None = None,
        progress: Progress | None = None,
    ) -> Forecaster:
        """Trains on every series of ``data`` but its holdout.

        Args:
            data: rows in long form: a path (CSV, Parquet), ``sample:NAME``, or a frame of pandas,
                polars or pyarrow.
            valid: further rows that choose when to stop; by default the last rows before the
                holdout of each series.
            run: how to train; what it leaves open has defaults.
            progress: where to report; by default what ``run.progress`` says.

        Returns:
            This forecaster.

        Raises:
            DataError: for data that cannot be used; names file, line and column.
            OptionError: for options that do not go together.
        """
        options = ForecastingOptions(**options_for(data, self._given))
        run = (run or RunOptions()).filled(**DEFAULT_RUN)
        panel = read_panel(data, options)
        options = dataclasses.replace(options, covariates=panel.covariates)
        plan = make_plan(panel, options, validates=valid is None)
        rows = plan.training_rows(panel)
        panel.check_target(rows)
        fitted = _untrained(panel, options, plan, rows, run.seed)
        windows = fitted.windows(panel, rows)
        valid_windows, valid_origins = _validation(fitted, windows, rows, valid)
        fitted = _having_seen(fitted, valid_windows.panel if valid is not None else None)
        task = ForecastingTask(
            fitted.network,
            windows,
            training_origins(windows, rows),
            valid_windows,
            valid_origins,
            options,
            plan,
            run,
        )
        result = train(task, run, progress)
        self.options = options
        self._history = result.history
        self._fitted = dataclasses.replace(
            fitted,
            about={
                "source": _source(data),
                "validation": "" if valid is None else _source(valid),
                **_about(panel, plan, run, result),
            },
        )
        return self

    def evaluate(self, data: Any, *, stride: int | None = None) -> Report:
        """Backtests on the rows that fitting has not seen, from a rolling origin.

        Args:
            data: as for ``fit``; the rows before the unseen ones serve as context.
            stride: steps between origins; by default the horizon.

        Returns:
            Scores of the model, the seasonal naive forecast and the random walk.

        Raises:
            DataError: where no row is new to the model.
        """
        fitted = self._ready("evaluate")
        if stride is not None and stride < 1:
            raise OptionError(f"stride expects steps, at least 1, got {stride}")
        panel = fitted.read(data)
        horizon = fitted.options.horizon
        first = np.maximum(fitted.first_unseen(panel), fitted.plan.context)
        last = panel.lengths - horizon
        found = backtest(fitted, panel, first, last, stride or horizon)
        if found is not None:
            return found.report()
        if (first <= last).any():
            raise panel.table.error(
                "no row to evaluate on: every value is missing in the rows that fitting has not "
                "seen, or in the context before them; give rows with values",
                column=fitted.options.target,
            )
        raise panel.table.error(
            f"no row to evaluate on: every series needs {fitted.plan.context} steps of context "
            f"and then {horizon} steps that fitting has not seen; "
            f"give newer rows, or fit with a holdout"
        )

    def predict(self, data: Any, *, plot: str | Path | None = None) -> Any:
        """Forecasts the horizon behind the last row of every series.

        Args:
            data: as for ``fit``; series that were not in training are forecast too.
            plot: where to draw the forecast as well; see ``plot``.

        Returns:
            A frame of the library that ``data`` came from (polars for a file): series, time stamp,
            the median under the target's name, and ``{target}_q{level}`` for the other quantiles.

        Raises:
            DataError: for a series without any value to start from.
        """
        fitted = self._ready("predict")
        panel = fitted.read(data)
        quantiles = _next_quantiles(fitted, panel)
        frame = _forecast_frame(fitted, panel, quantiles)
        if plot is not None:
            _draw(fitted, panel, quantiles, plot)
        return frame

    def plot(self, data: Any, path: str | Path) -> Path:
        """Draws the forecast of every series (at most six) behind its last rows; PNG or SVG."""
        fitted = self._ready("plot")
        panel = fitted.read(data)
        return _draw(fitted, panel, _next_quantiles(fitted, panel), path)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Saves the model as a folder, whole or not at all.

        Raises:
            OutputError: where the folder exists and ``force`` is not set, or cannot be written.
        """
        fitted = self._ready("save")
        check_model_target(folder, force=force)
        return ModelFolder(
            task=TASK,
            config=fitted.config(),
            tensors=fitted.network.state_dict(),
            assets={**fitted.assets(), HISTORY_FILE: self._history.to_bytes()},
            card=write_card(fitted),
        ).write(folder, force=force)

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """Loads a model that ``save`` wrote.

        Raises:
            ModelError: where it is missing, damaged, of another task or of a newer version.
        """
        return cls.from_folder(ModelFolder.read(folder, task=TASK))

    @classmethod
    def from_folder(cls, folder: ModelFolder) -> Forecaster:
        """Makes the forecaster from a model folder that has been read."""
        fitted = Fitted.restore(folder.config, folder.tensors, folder.assets)
        model = cls(fitted.options)
        model._fitted = fitted
        model._history = History.from_bytes(folder.assets[HISTORY_FILE])
        return model

    @property
    def history(self) -> History:
        """The training run, record by record."""
        return self._history

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return write_card(self._ready("describe"))

    def _ready(self, verb: str) -> Fitted:
        if self._fitted is None:
            raise ModelError(f"there is nothing to {verb} yet; call fit first, or load a model")
        return self._fitted


def _untrained(
    panel: Panel, options: ForecastingOptions, plan: Plan, rows: np.ndarray, seed: int
) -> Fitted:
    """Measures what the training rows say and makes the network with the run's seed."""
    begin = panel.offsets[:-1]
    training = np.concatenate(
        [panel.values[b : b + count, 1:] for b, count in zip(begin, rows, strict=True)]
    )
    span = int((panel.stamps[begin + rows - 1] - panel.stamps[begin]).max())
    cycles = calendar_cycles(panel.frequency, span)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make_network(options, len(panel.covariates), cycles)
    ends = panel.stamps[begin + rows + plan.validation - 1]
    return Fitted(
        options=options,
        plan=plan,
        frequency=panel.frequency,
        cycles=cycles,
        scaler=CovariateScaler.measure(training),
        network=network,
        trained_until={
            series_key(name): int(end) for name, end in zip(panel.ids, ends, strict=True)
        },
        about={},
    )


def _validation(
    fitted: Fitted, windows: Windows, rows: np.ndarray, valid: Any
) -> tuple[Windows, tuple[torch.Tensor, torch.Tensor]]:
    """Returns the windows that choose when to stop: of ``valid``, or behind the training rows."""
    if valid is None:
        end = rows + fitted.plan.validation
        return windows, validation_origins(windows, rows, end)
    panel = fitted.read(valid)
    own = fitted.windows(panel, panel.lengths)
    first = np.full_like(panel.lengths, fitted.plan.context)
    origins = validation_origins(own, first, panel.lengths)
    if len(origins[0]) == 0:
        raise DataError(
            f"the validation data has no window of context {fitted.plan.context} + horizon "
            f"{fitted.options.horizon} rows; give longer series"
        )
    return own, origins


def _having_seen(fitted: Fitted, valid: Panel | None) -> Fitted:
    """Returns the model knowing that the rows of ``valid`` chose its weights, so are not new."""
    if valid is None:
        return fitted
    until = dict(fitted.trained_until)
    for name, end in zip(valid.ids, valid.stamps[valid.offsets[1:] - 1], strict=True):
        until[series_key(name)] = max(int(end), until.get(series_key(name), int(end)))
    return dataclasses.replace(fitted, trained_until=until)


def _source(data: Any) -> str:
    """Returns what a person calls the data: the path or sample they gave."""
    return str(data) if isinstance(data, str | Path) else "a frame in memory"


def _about(panel: Panel, plan: Plan, run: RunOptions, result: TrainingResult) -> dict[str, Any]:
    """Returns what the model card tells of the training rows and the run."""
    return {
        "data": panel.summary(),
        "steps": result.steps,
        "minutes": round(result.seconds / 60, 2),
        "stop_reason": result.stop_reason,
        "validation_pinball": result.best_score,
        "best_step": result.best_step,
        "run": run.complete().deciding(),
        "torch": torch.__version__,
        "rows_per_series": [int(panel.lengths.min()), int(panel.lengths.max())],
        "training_rows": int(plan.training_rows(panel).sum()),
    }


def _next_quantiles(fitted: Fitted, panel: Panel) -> np.ndarray:
    """Returns the quantiles (K, S, Q) of the horizon behind each series' end."""
    for s, name in enumerate(panel.ids):
        recent = panel.target(s)[-fitted.plan.context :]
        if np.isnan(recent).all():
            raise panel.table.error(
                f"series {name!r} has no value in its last {len(recent)} steps to start from; "
                f"give rows with values, or leave the series out",
                column=fitted.options.target,
            )
    windows = fitted.windows(panel, panel.lengths)
    series = torch.arange(len(panel.ids))
    return fitted.quantiles(windows, series, torch.from_numpy(panel.lengths))


def _draw(fitted: Fitted, panel: Panel, quantiles: np.ndarray, path: str | Path) -> Path:
    from carousel.tasks.forecasting.plots import draw_forecast

    return draw_forecast(fitted, panel, quantiles, Path(path))


def _forecast_frame(fitted: Fitted, panel: Panel, quantiles: np.ndarray) -> Any:
    options = fitted.options
    horizon = options.horizon
    stamps = np.concatenate([panel.future_stamps(s, horizon) for s in range(len(panel.ids))])
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
