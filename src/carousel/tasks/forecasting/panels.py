"""What single panels of a picture show: a fan, an error by step, coverage, scores of the series.

Draws on axes that it is given and knows nothing of files. Names of series are a user's own words:
they are cut to a length and never read as formulas.

Letters: K horizon, Q quantiles, S series.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.pictures import shortened
from carousel.tasks.forecasting.metrics import central_intervals

# Okabe and Ito's colours stay apart for the colour-blind; lines differ in dashes and marks too, so
# that they stay apart in greyscale. A page gives each of these colours its own for dark screens.
INK, FAINT = "#1a1a1a", "#8c8c8c"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
_MARKS = ("o", "s", "^", "D", "v", "P")
_LONGEST_LABEL = 22
_MOST_MARKS = 30


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One panel.

    Attributes:
        title: what it shows, in words.
        draw: draws it on axes of matplotlib.
        is_series: it shows one series over time, so it is wide and shares a legend with its kind.
    """

    title: str
    draw: Callable[[Any], None]
    is_series: bool = False


def style(number: int) -> dict[str, Any]:
    """Returns colour, dashes and width of the line of forecast ``number``, the model being 0."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "linewidth": 1.8 if number == 0 else 1.4,
    }


def dress(axis: Any, *, x: str = "", y: str = "") -> None:
    """Gives axes their labels, grid and colours, whatever matplotlib's settings say."""
    axis.set_xlabel(x, color=INK, parse_math=False)
    axis.set_ylabel(y, color=INK, parse_math=False)
    axis.tick_params(colors=INK, which="both")
    axis.xaxis.get_offset_text().set_color(INK)
    axis.yaxis.get_offset_text().set_color(INK)
    axis.grid(visible=True, which="major", color=FAINT, alpha=0.3, linewidth=0.6, linestyle="-")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FAINT)
    axis.set_facecolor("none")


def time_axis(axis: Any, is_time: bool) -> None:
    """Writes dates short, where the axis has dates."""
    axis.margins(x=0.01)
    if is_time:
        dates = import_extra("matplotlib.dates", "forecasting")
        locator = dates.AutoDateLocator(minticks=3, maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


def draw_fan(
    axis: Any,
    when: np.ndarray,
    quantiles: np.ndarray,
    point: np.ndarray,
    levels: tuple[float, ...],
    label: bool = True,
) -> None:
    """Draws the central intervals, widest lightest, and the point forecast.

    Args:
        axis: of matplotlib.
        when: (K,) where on the x axis.
        quantiles: (K, Q).
        point: (K,) point forecast.
        levels: (Q,) of each quantile.
        label: whether the legend shall name them.
    """
    for depth, (low, high) in enumerate(reversed(central_intervals(levels))):
        look = {
            "color": COLOURS[0],
            "alpha": min(0.18 + 0.2 * depth, 0.6),
            "label": f"{100 * (levels[high] - levels[low]):g}% interval" if label else None,
        }
        if len(when) == 1:  # an area without width would not be seen
            axis.vlines(when, quantiles[:, low], quantiles[:, high], linewidth=5, **look)
        else:
            axis.fill_between(when, quantiles[:, low], quantiles[:, high], linewidth=0, **look)
    axis.plot(
        when, point, color=COLOURS[0], linewidth=1.6, marker="o" if len(when) == 1 else None,
        markersize=3.5, label="forecast" if label else None,
    )  # fmt: skip


def draw_errors(axis: Any, by_step: dict[str, list[float]], unit: str, frequency: str) -> None:
    """Draws the error of each forecast by step of the horizon."""
    for number, (name, errors) in enumerate(by_step.items()):
        _draw_steps(axis, errors, name, number, marked=True)
    dress(axis, x=f"steps ahead, of {frequency} each", y=unit)
    _whole_steps(axis, len(next(iter(by_step.values()))))
    axis.set_ylim(bottom=0)


def draw_coverage(axis: Any, by_step: dict[float, list[float]], frequency: str) -> None:
    """Draws the share of values in each interval by step, beside the share it promises."""
    lowest = 1.0
    for number, (nominal, held) in enumerate(by_step.items()):
        _draw_steps(axis, [100 * h for h in held], f"{100 * nominal:g}% interval", number)
        axis.axhline(100 * nominal, color=COLOURS[number % len(COLOURS)], linewidth=4, alpha=0.25)
        lowest = min(lowest, nominal, *(h for h in held if not np.isnan(h)))
    dress(axis, x=f"steps ahead, of {frequency} each", y="% of values inside")
    axis.set_ylim(max(0, 100 * lowest - 8), 103)
    _whole_steps(axis, len(next(iter(by_step.values()))))


def draw_reliability(
    axis: Any, quantiles: dict[float, float], intervals: dict[float, float]
) -> None:
    """Draws what quantiles and intervals promise against what they held; the diagonal is right."""
    axis.plot([0, 100], [0, 100], color=FAINT, linewidth=1, linestyle="--", label="as promised")
    for number, (name, shares) in enumerate(
        {"quantiles": quantiles, "intervals": intervals}.items()
    ):
        if shares:
            axis.plot(
                [100 * nominal for nominal in shares], [100 * held for held in shares.values()],
                linestyle="", marker=_MARKS[number], color=COLOURS[number], label=name,
                markersize=7 if number == 0 else 6,
            )  # fmt: skip
    dress(axis, x="% of values promised", y="% of values held")
    axis.set_xlim(-3, 103)
    axis.set_ylim(-3, 103)


def draw_series_scores(axis: Any, names: list[str], scores: dict[str, list[float]]) -> None:
    """Draws a row of marks for each series, the best for the model on top.

    Args:
        axis: of matplotlib.
        names: (S,) of the series.
        scores: by forecast, the model first, (S,) MASE.
    """
    model = np.array(next(iter(scores.values())))
    order = np.argsort(-np.nan_to_num(model, nan=np.inf), kind="stable")
    rows = np.arange(len(names))
    for number, (name, values) in enumerate(scores.items()):
        axis.plot(
            np.array(values)[order], rows, linestyle="", marker=_MARKS[number % len(_MARKS)],
            color=COLOURS[number % len(COLOURS)], markersize=6 if number == 0 else 5, label=name,
            markerfacecolor=None if number == 0 else "none", zorder=3 - 0.1 * number,
        )  # fmt: skip
    dress(axis, x="MASE (lower is better)")
    axis.set_yticks(rows)
    axis.set_yticklabels(
        [shortened(names[s], _LONGEST_LABEL) for s in order], fontsize="small", parse_math=False
    )
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_xlim(left=0)


def draw_score_ratios(axis: Any, ratios: np.ndarray, baseline: str) -> None:
    """Draws how many series have which ratio of the model's MASE to a baseline's.

    Args:
        axis: of matplotlib.
        ratios: (S,) above 0 and finite.
        baseline: its name.
    """
    reach = max(float(np.abs(np.log2(ratios)).max()), 0.25) if len(ratios) else 1.0
    bins = 2.0 ** np.linspace(-reach, reach, 31)
    bins[15] = 1.0
    for number, (name, chosen) in enumerate(
        {"model better": ratios < 1, "baseline better or even": ratios >= 1}.items()
    ):
        axis.hist(
            np.clip(ratios[chosen], bins[0], bins[-1]), bins=bins, color=COLOURS[number],
            edgecolor=INK, linewidth=0.5, hatch=None if number == 0 else "///",
            label=f"{name}: {int(chosen.sum()):,} series",
        )  # fmt: skip
    axis.axvline(1, color=INK, linewidth=1.2)
    axis.set_xscale("log", base=2)
    ticker = import_extra("matplotlib.ticker", "forecasting")
    axis.xaxis.set_major_locator(ticker.LogLocator(base=2, subs=_subdivisions(reach)))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.yaxis.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    dress(axis, x=f"MASE of the model / MASE of the {baseline}", y="series")


def _subdivisions(reach: float) -> tuple[float, ...]:
    """Returns where between two powers of 2 the ticks of a narrow logarithmic axis lie."""
    if reach > 2:
        return (1.0,)
    return (1.0, 1.5) if reach > 0.8 else (1.0, 1.1, 1.25, 1.4, 1.6, 1.8)


def _draw_steps(
    axis: Any, values: list[float], name: str, number: int, marked: bool = False
) -> None:
    few = len(values) <= _MOST_MARKS
    axis.plot(
        np.arange(1, len(values) + 1), values, label=name, markersize=4,
        marker=_MARKS[number % len(_MARKS)] if few and (marked or len(values) == 1) else None,
        **style(number),
    )  # fmt: skip


def _whole_steps(axis: Any, horizon: int) -> None:
    ticker = import_extra("matplotlib.ticker", "forecasting")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_xlim(0.5, horizon + 0.5)
