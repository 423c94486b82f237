"""The forecaster: fit, evaluate, predict, save, load."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carousel.errors import DataError, ModelError, OptionError
from carousel.inspection.inspection import Inspection
from carousel.tasks.forecasting.answer import draw, forecast_frame, next_quantiles
from carousel.tasks.forecasting.calendar import calendar_cycles
from carousel.tasks.forecasting.card import write_card
from carousel.tasks.forecasting.covariates import CovariateScaler
from carousel.tasks.forecasting.data import TASK, Panel, options_for, read_panel
from carousel.tasks.forecasting.evaluation import backtest
from carousel.tasks.forecasting.fitted import Fitted, Told, make_network
from carousel.tasks.forecasting.inspecting import SeriesInspectionOptions, inspected_series
from carousel.tasks.forecasting.memory import Memory
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan, make_plan
from carousel.tasks.forecasting.report import Report
from carousel.tasks.forecasting.rows import series_key
from carousel.tasks.forecasting.training import (
    ForecastingTask,
    training_origins,
    validation_origins,
)
from carousel.tasks.forecasting.windows import Scalers, Windows
from carousel.tasks.model_folder import ModelFolder
from carousel.tasks.trained import TrainedModel, check_run, chosen_options
from carousel.training import Progress, RunOptions, TrainingResult, train

_MOST_STEPS = 1_000_000
# Chosen on the validation part of the weather sample; docs/forecasting.md has the comparison.
DEFAULT_RUN = {
    "max_steps": 800,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "validate_every": 100,
    "average": 0.99,
}


class Forecaster(TrainedModel[Fitted]):
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

    task = TASK
    options_class = ForecastingOptions

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
            valid: further rows that choose the weights; by default the last rows before the
                holdout of each series.
            run: how to train; what it leaves open has defaults.
            progress: where to report; by default what ``run.progress`` says.

        Returns:
            This forecaster.

        Raises:
            DataError: for data that cannot be used; names file, line and column.
            OptionError: for options that do not go together.
        """
        check_run(run, "max_steps=800")
        options = ForecastingOptions(**options_for(data, self._given))
        panel = read_panel(data, options)
        plan = make_plan(panel, options, validates=valid is None)
        run = (run or RunOptions()).filled(**_default_run(plan.validation > 0 or valid is not None))
        rows = plan.training_rows(panel)
        panel.check_target(rows)
        panel = panel.with_levels_of(rows)
        fitted = _untrained(panel, options, plan, rows, run.seed)
        windows = fitted.windows(panel, rows)
        valid_windows, valid_origins = _validation(fitted, windows, rows, valid)
        fitted = fitted.remembering(panel)
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
        fitted.network.cpu().zero_grad(set_to_none=True)
        about = {
            "source": _source(data),
            "validation": "" if valid is None else _source(valid),
            **_about(panel, plan, run, result),
        }
        self._take(options, dataclasses.replace(fitted, about=about), result.history)
        return self

    def evaluate(
        self, data: Any, *, stride: int | None = None, progress: Told | None = None
    ) -> Report:
        """Backtests on the rows that fitting has not seen, from a rolling origin.

        Args:
            data: as for ``fit``; the rows before the unseen ones serve as context.
            stride: steps between origins; by default the horizon.
            progress: told how many forecasts are made, and of how many; first those that are
                scored, then those that set their intervals.

        Returns:
            Scores of the model, the seasonal naive forecast and the random walk.

        Raises:
            DataError: where no row is new to the model.
        """
        fitted = self._ready("evaluate")
        if stride is not None and not (isinstance(stride, int) and 1 <= stride <= _MOST_STEPS):
            raise OptionError(
                f"stride expects a whole number of steps from 1 to {_MOST_STEPS:,}, got {stride!r}"
            )
        panel = fitted.read(data)
        horizon = fitted.options.horizon
        last = panel.lengths - horizon
        unseen = fitted.first_unseen(panel)
        whole = fitted.plan.first_origins(panel.lengths, horizon)
        first = np.where(unseen > 0, np.maximum(unseen, fitted.plan.least), whole)
        found = backtest(fitted, panel, first, last, stride or horizon, progress)
        if found is not None:
            return found.report()
        if (first <= last).any():
            raise panel.table.error(
                "no row to evaluate on: every value is missing in the rows that fitting has not "
                "seen, or in the context before them; give rows with values",
                column=fitted.options.target,
            )
        raise panel.table.error(
            f"no row to evaluate on: every series needs {fitted.plan.least} steps of context "
            f"and then {horizon} steps that fitting has not seen; "
            f"give newer rows, or fit with a holdout"
        )

    def update(self, data: Any) -> Forecaster:
        """Carries the model forward over new rows, without training, to go on from there.

        What a network that reads a window carries is the window: the model keeps the last rows of
        every series, and the new ones take the place of the oldest.

        Args:
            data: as for ``fit``; rows behind those that the model has seen, for some series or all.
                New series are added.

        Returns:
            This forecaster; ``predict()`` then forecasts what follows the new rows.

        Raises:
            DataError: for a row that is not behind the last known one.
            ModelError: where the model has too many series to keep their rows.
        """
        fitted = self._ready("update")
        self._memory("update")
        self._fitted = fitted.updated(fitted.read(data))
        return self

    def predict(
        self,
        data: Any = None,
        *,
        future: Any = None,
        plot: str | Path | None = None,
        progress: Told | None = None,
    ) -> Any:
        """Forecasts the horizon behind the last row of every series.

        Args:
            data: as for ``fit``; series that were not in training are forecast too. None goes on
                from the last rows that the model has seen in ``fit`` or ``update``.
            future: the rows of the horizon with the covariates that are known ahead, for a model
                that has some; their target is not read.
            plot: where to draw the forecast as well; see ``plot``.
            progress: as for ``evaluate``.

        Returns:
            A frame of the library that ``data`` came from (polars for a file): series, time stamp,
            the median under the target's name, and ``{target}_q{level}`` for the other quantiles.

        Raises:
            DataError: for a series without any value to start from, or a row of the horizon that is
                missing in ``future``.
            OptionError: for ``future`` missing or given in vain.
        """
        fitted = self._ready("predict")
        panel = self._memory("predict").panel if data is None else fitted.read(data)
        quantiles = next_quantiles(fitted, panel, future, progress)
        frame = forecast_frame(fitted, panel, quantiles)
        if plot is not None:
            draw(fitted, panel, quantiles, plot)
        return frame

    def plot(self, data: Any, path: str | Path, *, future: Any = None) -> Path:
        """Draws the forecast of every series (at most six); PNG, SVG or HTML."""
        fitted = self._ready("plot")
        panel = fitted.read(data)
        return draw(fitted, panel, next_quantiles(fitted, panel, future), path)

    def inspect(
        self,
        data: Any = None,
        *,
        future: Any = None,
        flow: bool = False,
        options: SeriesInspectionOptions | None = None,
        **values: Any,
    ) -> Inspection:
        """Forecasts what follows one series, and returns every value that the layers had at that.

        Args:
            data: as for ``predict``: a path, ``sample:NAME``, a frame, or None for the last rows
                that the model has seen.
            future: as for ``predict``.
            flow: whether to work out how far gradients reach back in each layer.
            options: what is looked at, or
            **values: fields of ``SeriesInspectionOptions`` by name, such as ``series="a"``.

        Returns:
            The axis "past", the window before the horizon with what the encoder reads there, in the
            units of the data; and the axis "horizon", with the forecast. A layer reads several rows
            in one step (``patch``), of which an axis shows the mean. Where it is asked for, what
            the values of each step of the past did for the forecast of one row.

        Raises:
            DataError: as for ``predict``.
            OptionError: for an option out of range, or a series that is not there (names the
                nearest).
        """
        fitted = self._ready("inspect")
        chosen = chosen_options(SeriesInspectionOptions, options, values)
        panel = self._memory("inspect").panel if data is None else fitted.read(data)
        seen = inspected_series(fitted, panel, future, chosen)
        return seen.with_gradients() if flow else seen

    @classmethod
    def _restored(cls, folder: ModelFolder) -> Fitted:
        return Fitted.restore(folder.config, folder.tensors, folder.assets)

    def _written_card(self, fitted: Fitted) -> str:
        return write_card(fitted)

    def _memory(self, verb: str) -> Memory:
        memory = self._ready(verb).memory
        if memory is None:
            raise ModelError(
                f"the model has too many series to keep their rows, so there is nothing to {verb} "
                f"from; give the rows with every forecast"
            )
        return memory


def _default_run(validates: bool) -> dict[str, Any]:
    without = () if validates else ("validate_every",)
    return {name: value for name, value in DEFAULT_RUN.items() if name not in without}


def _untrained(
    panel: Panel, options: ForecastingOptions, plan: Plan, rows: np.ndarray, seed: int
) -> Fitted:
    """Measures what the training rows say and makes the network with the run's seed."""
    begin = panel.offsets[:-1]
    within = np.arange(panel.offsets[-1]) - np.repeat(begin, panel.lengths)
    training = panel.values[within < np.repeat(rows, panel.lengths), 1:]
    span = int((panel.stamps[begin + rows - 1] - panel.stamps[begin]).max())
    cycles = calendar_cycles(panel.frequency, span)
    covariates = panel.covariates
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # no GPU's, which stay the caller's
        network = make_network(options, plan, covariates, cycles)
    ends = panel.stamps[begin + rows + plan.validation - 1]
    return Fitted(
        options=options,
        plan=plan,
        frequency=panel.frequency,
        cycles=cycles,
        covariates=covariates,
        scalers=Scalers(
            CovariateScaler.measure(training, covariates.is_level(covariates.moving)),
            CovariateScaler.measure(panel.static, covariates.is_level(covariates.static)),
        ),
        network=network,
        trained_until={
            series_key(name): int(end) for name, end in zip(panel.ids, ends, strict=True)
        },
        about={},
    )


def _validation(
    fitted: Fitted, windows: Windows, rows: np.ndarray, valid: Any
) -> tuple[Windows, tuple[torch.Tensor, torch.Tensor]]:
    """Returns the windows that choose the weights: of ``valid``, or behind the training rows."""
    if valid is None:
        end = rows + fitted.plan.validation
        origins = validation_origins(windows, rows, end)
        if fitted.plan.validation and len(origins[0]) == 0:
            raise windows.panel.table.error(
                f"every value is missing in the {fitted.plan.validation} rows of each series that "
                f"would choose the weights; leave out empty rows at the end, give validation data, "
                f"or set validation to 0",
                column=fitted.options.target,
            )
        return windows, origins
    panel = fitted.read(valid)
    own = fitted.windows(panel, panel.lengths)
    first = fitted.plan.first_origins(panel.lengths, fitted.options.horizon)
    origins = validation_origins(own, first, panel.lengths)
    if len(origins[0]) == 0:
        raise DataError(
            f"the validation data has no window of {fitted.plan.least} rows to start from and "
            f"{fitted.options.horizon} to forecast; give longer series"
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
