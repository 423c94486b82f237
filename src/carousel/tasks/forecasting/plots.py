"""Pictures of forecasts: fan charts and the error by step. PNG or SVG by the file's ending.

Draws on figures of its own; no global plot setting is read or changed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.storage import write_atomically
from carousel.errors import OptionError
from carousel.tasks.forecasting.metrics import central_intervals

if TYPE_CHECKING:
    from carousel.tasks.forecasting.data import Panel
    from carousel.tasks.forecasting.evaluation import Backtest
    from carousel.tasks.forecasting.fitted import Fitted
    from carousel.tasks.forecasting.report import Report

FORMATS = ("png", "svg")
_MOST_SERIES = 6
# Blue on orange stays apart for the colour-blind and in greyscale (Okabe and Ito 2008).
_TRUTH, _FORECAST, _NAIVE = "#000000", "#0072B2", "#D55E00"


def draw_forecast(fitted: Fitted, panel: Panel, quantiles: np.ndarray, path: Path) -> Path:
    """Draws the last rows of each series and the forecast behind them.

    Args:
        fitted: the model.
        panel: the series.
        quantiles: (K, S, Q) forecast of each series.
        path: where to, ``.png`` or ``.svg``.
    """
    shown = min(len(panel.ids), _MOST_SERIES)
    horizon = len(quantiles)
    back = max(3 * horizon, min(2 * fitted.plan.season, fitted.plan.context))
    figure, axes = _figure(path, shown, height=2.6)
    for s, axis in enumerate(axes):
        past = panel.target(s)[-back:]
        end = panel.offsets[s + 1]
        when = _times(panel, panel.stamps[end - len(past) : end])
        ahead = _times(panel, panel.future_stamps(s, horizon))
        axis.plot(when, past, color=_TRUTH, linewidth=1, label="observed")
        _fan(axis, ahead, quantiles[:, s], fitted.options.quantiles)
        axis.axvline(when[-1], color="grey", linewidth=0.8, linestyle=":")
        _dress(axis, str(panel.ids[s]), panel.target_name)
    _legend(figure, axes[0])
    left_out = len(panel.ids) - shown
    figure.suptitle(
        f"{panel.target_name}: the next {horizon} steps of {panel.frequency}"
        + (f" ({left_out} more series not shown)" if left_out > 0 else "")
    )
    return _save(figure, path)


def draw_report(report: Report, path: Path) -> Path:
    """Draws the last forecasts of a backtest against the truth, and the error by step."""
    tested = report.backtest
    series = np.unique(tested.series)[: _MOST_SERIES - 1]
    figure, axes = _figure(path, len(series) + 1, height=2.6)
    for s, axis in zip(series, axes, strict=False):
        _draw_series(axis, tested, int(s))
    _legend(figure, axes[0])
    steps = np.arange(1, len(tested.actual) + 1)
    colours = {0: _FORECAST, 1: _NAIVE, 2: "#999999"}
    for k, (name, errors) in enumerate(report.by_step.items()):
        axes[-1].plot(
            steps, errors, color=colours[k], label=name, marker="o" if len(steps) == 1 else None
        )
    _dress(axes[-1], "error by step of the horizon", "mean absolute error")
    axes[-1].set_ylim(bottom=0)
    axes[-1].set_xlabel(f"steps of {report.frequency} ahead")
    axes[-1].legend(fontsize="small")
    figure.suptitle(
        f"backtest: MASE {report.model.mase:.3f}, seasonal naive "
        f"{next(iter(report.baselines.values())).mase:.3f}"
    )
    return _save(figure, path)


def _draw_series(axis: Any, tested: Backtest, series: int) -> None:
    """Draws the last windows of one series that do not overlap."""
    own = np.flatnonzero(tested.series == series)
    horizon = len(tested.actual)
    chosen = [own[-1]]
    for window in own[::-1]:
        if tested.origin[chosen[-1]] - tested.origin[window] >= horizon and len(chosen) < 7:
            chosen.append(window)
    panel = tested.panel
    begin = panel.offsets[series]
    for number, window in enumerate(sorted(chosen)):
        rows = begin + tested.origin[window] + np.arange(horizon)
        when = _times(panel, panel.stamps[rows])
        label = number == 0
        axis.plot(
            when, tested.actual[:, window], color=_TRUTH, linewidth=1,
            marker="." if horizon == 1 else None, label="observed" if label else None,
        )  # fmt: skip
        _fan(axis, when, tested.quantiles[:, window], tested.levels, label=label)
        axis.axvline(when[0], color="grey", linewidth=0.5, linestyle=":")
    _dress(axis, str(panel.ids[series]), panel.target_name)


def _fan(
    axis: Any,
    when: np.ndarray,
    quantiles: np.ndarray,
    levels: tuple[float, ...],
    label: bool = True,
) -> None:
    """Draws the central intervals of (K, Q) quantiles, widest lightest, and the median."""
    intervals = central_intervals(levels)
    mark = "o" if len(when) == 1 else None
    for depth, (low, high) in enumerate(reversed(intervals)):
        name = f"{100 * (levels[high] - levels[low]):g}% interval" if label else None
        shade = 0.15 + 0.2 * depth
        axis.fill_between(
            when, quantiles[:, low], quantiles[:, high],
            color=_FORECAST, alpha=min(shade, 0.6), linewidth=0 if mark is None else 4, label=name,
        )  # fmt: skip
    axis.plot(
        when, quantiles[:, levels.index(0.5)],
        color=_FORECAST, linewidth=1.5, marker=mark, label="median forecast" if label else None,
    )  # fmt: skip


def _figure(path: Path, rows: int, height: float) -> tuple[Any, list[Any]]:
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise OptionError(
            f"a picture's name ends in {' or '.join('.' + f for f in FORMATS)}, got {path.name!r}"
        )
    figures = import_extra("matplotlib.figure", "forecasting")
    figure = figures.Figure(figsize=(10, height * rows + 0.6), layout="constrained")
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def _legend(figure: Any, axis: Any) -> None:
    """Puts one legend for all panels under them, where it hides nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")


def _dress(axis: Any, title: str, label: str) -> None:
    axis.set_title(title, loc="left", fontsize="medium")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    axis.margins(x=0.01)
    axis.spines[["top", "right"]].set_visible(False)


def _times(panel: Panel, stamps: np.ndarray) -> np.ndarray:
    return stamps if panel.frequency.unit == "step" else stamps.astype("datetime64[ns]")


def _save(figure: Any, path: Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().lstrip("."), dpi=120)
    write_atomically(path, content.getvalue())
    return path
