"""Pictures of forecasts and of backtests: which panels there are, and into which file they go.

PNG and SVG hold all panels in one picture; HTML is one page with the tables too. Draws on figures
of its own; what it asks of matplotlib's settings holds while it draws.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.pictures import picture_bytes, shortened
from carousel.data.storage import write_atomically
from carousel.errors import OptionError
from carousel.tasks.forecasting import panels
from carousel.tasks.forecasting.page import forecast_page, report_page
from carousel.tasks.forecasting.panels import INK, Picture
from carousel.tasks.forecasting.svg import inline_svg

if TYPE_CHECKING:
    from carousel.tasks.forecasting.data import Panel
    from carousel.tasks.forecasting.evaluation import Backtest
    from carousel.tasks.forecasting.fitted import Fitted
    from carousel.tasks.forecasting.report import Report

FORMATS = ("png", "svg", "html")
_MOST_SERIES = 6
_MOST_DOTS = 16  # series that each get a row of their own
_LEAST_FORECASTS, _LEAST_STEPS = 7, 48  # what a panel shows of a backtest's end
_SERIES_SIZE, _SMALL_SIZE = (10.0, 2.5), (5.0, 3.2)  # inches
_PAGE_SIZE = (5.4, 3.0)
_ENTRY_WIDTH, _LETTER_WIDTH = 0.47, 0.07  # inches of a legend


def draw_forecast(fitted: Fitted, panel: Panel, quantiles: np.ndarray, path: Path) -> Path:
    """Draws the last rows of each series and the forecast behind them.

    Args:
        fitted: the model.
        panel: the series.
        quantiles: (K, S, Q) forecast of each series.
        path: where to, ``.png``, ``.svg`` or ``.html``.

    Raises:
        OptionError: for another ending.
    """
    _check_kind(path)
    shown = min(len(panel.ids), _MOST_SERIES)
    horizon = len(quantiles)
    back = max(3 * horizon, min(2 * fitted.plan.season, fitted.plan.context))
    pictures = [
        Picture(
            title=shortened(panel.ids[s]),
            draw=partial(
                _draw_next,
                panel=panel,
                series=s,
                back=back,
                quantiles=quantiles[:, s],
                levels=fitted.options.quantiles,
            ),
            is_series=True,
        )
        for s in range(shown)
    ]
    if _kind(path) == "html":
        page = forecast_page(panel, quantiles, fitted.options.quantiles, _inline(pictures))
        write_atomically(path, page.encode())
        return path
    left_out = len(panel.ids) - shown
    steps = f"{horizon} step{'s' if horizon > 1 else ''} of {panel.frequency}"
    heading = f"{shortened(panel.target_name)}: the next {steps}"
    if left_out:
        heading += f" ({left_out:,} more series not shown)"
    return _save(_composed(pictures, heading), path)


def draw_report(report: Report, path: Path) -> Path:
    """Draws the last forecasts of a backtest against the truth, the errors and the coverage.

    Raises:
        OptionError: for a path that ends in none of ``.png``, ``.svg`` and ``.html``.
    """
    _check_kind(path)
    pictures = [*_series_pictures(report), *_score_pictures(report)]
    if _kind(path) == "html":
        write_atomically(path, report_page(report, _inline(pictures)).encode())
        return path
    best = report.best
    heading = (
        f"backtest: MASE {report.model.mase:.3f}, {best} {report.scores[best].mase:.3f} "
        f"({report.significance.words})"
    )
    return _save(_composed(pictures, heading), path)


def _series_pictures(report: Report) -> list[Picture]:
    """Returns panels of all series, or of some from the model's best to its worst."""
    tested = report.backtest
    series = np.unique(tested.series)
    mase = np.array([row[report.model_name] for row in report.by_series])
    order = np.argsort(np.nan_to_num(mase, nan=np.inf), kind="stable")
    ranks = np.arange(len(series))
    if len(series) > _MOST_SERIES:
        ranks = np.linspace(0, len(series) - 1, _MOST_SERIES - 1).round().astype(int)
        chosen = order[ranks]
    else:
        chosen = ranks
    found = []
    for rank, s in zip(ranks, chosen, strict=True):
        words = [f"MASE {mase[s]:.3f}"] if not np.isnan(mase[s]) else []
        if len(series) > _MOST_SERIES:
            words.append(f"{rank + 1:,} of {len(series):,} from the best")
        title = shortened(tested.panel.ids[series[s]]) + (f" ({', '.join(words)})" if words else "")
        draw = partial(_draw_tested, tested=tested, series=int(series[s]))
        found.append(Picture(title=title, draw=draw, is_series=True))
    return found


def _score_pictures(report: Report) -> list[Picture]:
    """Returns the panels that tell of errors and coverage."""
    several = len(report.by_series) > 1
    scaled = several and not all(map(np.isnan, report.scaled_by_step[report.model_name]))
    unit = report.backtest.panel.target_name
    pictures = [
        Picture(
            title="Error by step of the horizon",
            draw=partial(
                panels.draw_errors,
                by_step=report.scaled_by_step if scaled else report.by_step,
                unit="MASE" if scaled else f"mean |error|, {shortened(unit, 24)}",
                frequency=report.frequency,
            ),
        )
    ]
    if report.coverage_by_step:
        draw = partial(
            panels.draw_coverage, by_step=report.coverage_by_step, frequency=report.frequency
        )
        pictures.append(Picture(title="Coverage by step of the horizon", draw=draw))
    draw = partial(
        panels.draw_reliability, quantiles=report.reliability, intervals=report.model.coverage
    )
    pictures.append(Picture(title="What quantiles and intervals promise and hold", draw=draw))
    if several:
        pictures.append(_series_scores(report))
    return pictures


def _series_scores(report: Report) -> Picture:
    rows = report.by_series
    scores = {name: [row[name] for row in rows] for name in report.scores}
    if len(rows) <= _MOST_DOTS:
        names = [row["series"] for row in rows]
        draw = partial(panels.draw_series_scores, names=names, scores=scores)
        return Picture(title="MASE of each series", draw=draw)
    best = report.best
    model, baseline = np.array(scores[report.model_name]), np.array(scores[best])
    there = (model > 0) & (baseline > 0)
    missing = len(rows) - int(there.sum())
    draw = partial(panels.draw_score_ratios, ratios=model[there] / baseline[there], baseline=best)
    without = f" ({missing:,} without a ratio)" if missing else ""
    return Picture(title=f"The model and the {best}, series by series{without}", draw=draw)


def _draw_next(
    axis: Any,
    panel: Panel,
    series: int,
    back: int,
    quantiles: np.ndarray,
    levels: tuple[float, ...],
) -> None:
    """Draws the last ``back`` rows of one series and the (K, Q) quantiles behind them."""
    past = panel.target(series)[-back:]
    end = panel.offsets[series + 1]
    when = _times(panel, panel.stamps[end - len(past) : end])
    ahead = _times(panel, panel.future_stamps(series, len(quantiles)))
    axis.plot(when, past, color=INK, linewidth=1, label="observed")
    panels.draw_fan(axis, ahead, quantiles, quantiles[:, levels.index(0.5)], levels)
    _origins(axis, when[-1:])
    panels.dress(axis, y=shortened(panel.target_name, 24))
    panels.time_axis(axis, panel.frequency.unit != "step")


def _draw_tested(axis: Any, tested: Backtest, series: int) -> None:
    """Draws the last forecasts of one series that do not overlap, and what came."""
    own = np.flatnonzero(tested.series == series)
    horizon = len(tested.actual)
    most = max(_LEAST_FORECASTS, -(-_LEAST_STEPS // horizon))
    chosen = [own[-1]]
    for window in own[::-1]:
        if tested.origin[chosen[-1]] - tested.origin[window] >= horizon and len(chosen) < most:
            chosen.append(window)
    panel, begin = tested.panel, tested.panel.offsets[series]
    first = max(0, int(tested.origin[chosen[-1]]) - max(1, horizon // 4))
    last = int(tested.origin[chosen[0]]) + horizon
    past = panel.target(series)[first:last]
    when = _times(panel, panel.stamps[begin + first : begin + first + len(past)])
    axis.plot(when, past, color=INK, linewidth=1, label="observed", zorder=3)
    starts = []
    for number, window in enumerate(reversed(chosen)):
        rows = np.arange(
            tested.origin[window], min(tested.origin[window] + horizon, len(panel.target(series)))
        )
        when = _times(panel, panel.stamps[begin + rows])
        panels.draw_fan(
            axis,
            when,
            tested.quantiles[: len(rows), window],
            tested.point[: len(rows), window],
            tested.levels,
            label=number == 0,
        )
        starts.append(when[0])
    if horizon > 1:
        _origins(axis, starts)
    panels.dress(axis, y=shortened(panel.target_name, 24))
    panels.time_axis(axis, panel.frequency.unit != "step")


def _origins(axis: Any, moments: Any) -> None:
    for moment in moments:
        axis.axvline(moment, color=panels.FAINT, linewidth=0.8, linestyle=":")


def _composed(pictures: list[Picture], heading: str) -> Any:
    """Returns one figure: the series above each other, the other panels in pairs below."""
    wide = [p for p in pictures if p.is_series]
    small = [p for p in pictures if not p.is_series]
    rows = -(-len(small) // 2)
    heights = [_SERIES_SIZE[1] * len(wide) + 0.4, *[_SMALL_SIZE[1]] * rows]
    figure = _figure((_SERIES_SIZE[0], sum(heights) + 0.4))
    figure.suptitle(heading, color=INK, parse_math=False)
    grid = figure.add_gridspec(1 + rows, 2, height_ratios=heights)
    part = figure.add_subfigure(grid[0, :])
    for axis, picture in zip(part.subplots(len(wide), 1, squeeze=False)[:, 0], wide, strict=True):
        _title(axis, picture)
        picture.draw(axis)
    _legend(part, axis, _SERIES_SIZE[0])
    for k, picture in enumerate(small):
        alone = k == len(small) - 1 and k % 2 == 0
        part = figure.add_subfigure(grid[1 + k // 2, slice(None) if alone else k % 2])
        axis = part.subplots()
        _title(axis, picture)
        picture.draw(axis)
        _legend(part, axis, _SMALL_SIZE[0])
    return figure


def _inline(pictures: list[Picture]) -> list[tuple[Picture, str]]:
    """Returns each picture with its SVG for a page, which says the title in its own words."""
    found = []
    for number, picture in enumerate(pictures):
        figure = _figure(_PAGE_SIZE)
        axis = figure.subplots()
        picture.draw(axis)
        _legend(figure, axis, _PAGE_SIZE[0])
        found.append((picture, inline_svg(figure, f"f{number}", picture.title)))
    return found


def _figure(size: tuple[float, float]) -> Any:
    figures = import_extra("matplotlib.figure", "forecasting")
    return figures.Figure(figsize=size, layout="constrained", facecolor="white")


def _title(axis: Any, picture: Picture) -> None:
    axis.set_title(picture.title, loc="left", fontsize="medium", color=INK, parse_math=False)


def _legend(figure: Any, axis: Any, width: float) -> None:
    """Puts one legend under all panels of a figure that is ``width`` inches wide."""
    handles, labels = axis.get_legend_handles_labels()
    entry = _ENTRY_WIDTH + _LETTER_WIDTH * max(map(len, labels))
    figure.legend(
        handles, labels, loc="outside lower center", fontsize="small", frameon=False,
        labelcolor=INK, ncols=max(1, min(len(labels), int(width / entry))),
    )  # fmt: skip


def _times(panel: Panel, stamps: np.ndarray) -> np.ndarray:
    if panel.frequency.unit == "step":
        return stamps
    clock = panel.style.clock
    return (stamps if clock is None else clock.wall(stamps)).astype("datetime64[ns]")


def _kind(path: Path) -> str:
    return path.suffix.lower().lstrip(".")


def _check_kind(path: Path) -> None:
    if _kind(path) not in FORMATS:
        raise OptionError(f"a picture's name ends in .png, .svg or .html, got {path.name!r}")


def _save(figure: Any, path: Path) -> Path:
    write_atomically(path, picture_bytes(figure, format=_kind(path), dpi=120))
    return path
