"""One self-contained HTML page of a backtest or a forecast: words, pictures, tables, no script.

Every word that comes from outside (names of series, columns, stamps) is escaped, and the page's own
policy forbids scripts and anything from a network.

Letters: K horizon, S series, Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.data.stamps import format_stamps
from carousel.tasks.forecasting.options import quantile_column
from carousel.tasks.forecasting.page_style import STYLE
from carousel.tasks.forecasting.panels import Picture

if TYPE_CHECKING:
    from carousel.tasks.forecasting.data import Panel
    from carousel.tasks.forecasting.report import Report

MOST_ROWS = 200  # of a table; a page is for reading, a file for the rest
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

Drawn = Sequence[tuple[Picture, str]]


def report_page(report: Report, drawn: Drawn) -> str:
    """Returns the page of a backtest.

    Args:
        report: what was found.
        drawn: its pictures, each with its ``<svg>``.
    """
    panel = report.backtest.panel
    series = [pair for pair in drawn if pair[0].is_series]
    scores = [pair for pair in drawn if not pair[0].is_series]
    left_out = len(report.by_series) - len(series)
    shown = (
        f"{len(series)} of {len(report.by_series):,} series, from the model's best to its worst."
        if left_out
        else "The last forecasts of each series that do not overlap."
    )
    header, rows = report.table()
    parts = [
        _paragraph(report.verdict, "verdict"),
        _paragraph(report.scope, "scope"),
        _section("Scores", _table(header, rows), *(_paragraph(note) for note in report.notes)),
        _section("Forecasts and what came", _paragraph(shown), _figures(series)),
        _section("Errors and coverage", _figures(scores)),
        _section("Step by step", *_capped(*_step_table(report), "steps", 'report.frame("step")')),
        _section(
            "Series by series", *_capped(*_series_table(report), "series", 'report.frame("series")')
        ),
        _section("How this was measured", *map(_paragraph, _method(report))),
    ]
    return _page(f"Backtest of {panel.target_name}", parts)


def forecast_page(
    panel: Panel, quantiles: np.ndarray, levels: tuple[float, ...], drawn: Drawn
) -> str:
    """Returns the page of a forecast.

    Args:
        panel: the series.
        quantiles: (K, S, Q) of the horizon behind each series' end.
        levels: (Q,) of each quantile.
        drawn: the pictures, each with its ``<svg>``.
    """
    horizon, count = quantiles.shape[:2]
    left_out = count - len(drawn)
    scope = (
        f"The next {horizon:,} step{'s' if horizon > 1 else ''} of {panel.frequency} "
        f"of {count:,} series"
    )
    if left_out:
        scope += f"; pictures of the first {len(drawn)}, {left_out:,} more in the table"
    point = levels.index(0.5)
    others = [q for q in range(len(levels)) if q != point]
    names = [panel.target_name, *(quantile_column(panel.target_name, levels[q]) for q in others)]
    rows = []
    for s in range(min(count, -(-MOST_ROWS // horizon))):
        stamps = format_stamps(panel.future_stamps(s, horizon), panel.style)
        for k in range(min(horizon, MOST_ROWS)):
            numbers = [_number(float(quantiles[k, s, q])) for q in (point, *others)]
            rows.append([str(panel.ids[s]), str(stamps[k]), *numbers])
    table = _capped(
        ["series", "time", *names], rows, "rows", "carousel predict … --out forecast.csv",
        horizon * count, words=2,
    )  # fmt: skip
    parts = [
        _paragraph(f"{scope}.", "scope"),
        _section("Forecast", _figures(drawn)),
        _section("Numbers", *table),
        _section(
            "How good it is",
            _paragraph(
                "An interval of 80% is made to hold four values in five. Whether it does, and "
                "whether the forecast beats the naive ones, is what carousel evaluate says."
            ),
        ),
    ]
    return _page(f"Forecast of {panel.target_name}", parts)


def _step_table(report: Report) -> tuple[list[str], list[list[str]]]:
    header = ["step"]
    header += [f"MAE, {name}" for name in report.by_step]
    header += [f"MASE, {name}" for name in report.scaled_by_step]
    header += [f"in {100 * nominal:g}% interval" for nominal in report.coverage_by_step]
    columns = [
        *([_number(v) for v in errors] for errors in report.by_step.values()),
        *([_fixed(v) for v in errors] for errors in report.scaled_by_step.values()),
        *([_percent(v) for v in held] for held in report.coverage_by_step.values()),
    ]
    return header, [[str(k + 1), *cells] for k, cells in enumerate(zip(*columns, strict=True))]


def _series_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Returns the header and a row a series, the model's worst first."""
    names = list(report.scores)
    intervals = list(report.by_series[0]["coverage"])
    header = ["series", "forecasts", "values"]
    header += [f"MASE, {name}" for name in names] + [f"sMAPE %, {name}" for name in names]
    header += [f"in {100 * float(nominal):g}% interval" for nominal in intervals]

    def worst(row: dict[str, Any]) -> float:
        mase: float = row[report.model_name]
        return math.inf if math.isnan(mase) else -mase

    return header, [
        [
            row["series"],
            f"{row['num_windows']:,}",
            f"{row['num_points']:,}",
            *(_fixed(row[name]) for name in names),
            *(_fixed(row["smape"][name], 2) for name in names),
            *(_percent(row["coverage"][nominal]) for nominal in intervals),
        ]
        for row in sorted(report.by_series, key=worst)
    ]


def _method(report: Report) -> list[str]:
    """Returns what a reader has to know to judge the numbers."""
    season = f"{report.season} step{'s' if report.season != 1 else ''}"
    found = [
        f"Every forecast is scored on the same values. MASE is the mean absolute error over that "
        f"of the seasonal naive forecast ({season}) in the rows before the first origin, averaged "
        f"over series; below 1 is better than that forecast was there.",
    ]
    significance = report.significance
    if significance.kind == "origins":
        found.append(
            f"The test is Diebold and Mariano's on scaled absolute errors against the "
            f"{significance.against}, with Harvey, Leybourne and Newbold's correction: all series' "
            f"differences at one origin are one number, of which there are {significance.num:,}"
            + (
                f", and origins up to {significance.overlap:,} apart share rows."
                if significance.overlap
                else "."
            )
            + (" Bartlett's weights kept its variance positive." if significance.bartlett else "")
        )
    elif significance.kind == "series":
        found.append(
            f"There were too few origins for a test over time. The test is a paired t-test of "
            f"{significance.num:,} series' mean scaled absolute errors against the "
            f"{significance.against}; it takes the series as independent, and where they rise and "
            f"fall together its p-value is too small."
        )
    return found


def _page(title: str, parts: Iterable[str]) -> str:
    version = metadata.version("carousel-lstm")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            f"<footer>carousel-lstm {escape(version)}</footer>",
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _section(title: str, *parts: str) -> str:
    return "\n".join(["<section>", f"<h2>{escape(title)}</h2>", *parts, "</section>"])


def _paragraph(words: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(words)}</p>' if kind else f"<p>{escape(words)}</p>"


def _figures(drawn: Drawn) -> str:
    return "\n".join(
        [
            '<div class="figures">',
            *(
                f"<figure>\n<figcaption>{escape(picture.title)}</figcaption>\n"
                f'<div class="scroll">{svg}</div>\n</figure>'
                for picture, svg in drawn
            ),
            "</div>",
        ]
    )


def _capped(
    header: list[str],
    rows: list[list[str]],
    kind: str,
    whole: str,
    count: int | None = None,
    words: int = 1,
) -> list[str]:
    """Returns a table of at most ``MOST_ROWS`` rows and, where it is cut, a line that says so."""
    count = len(rows) if count is None else count
    shown = rows[:MOST_ROWS]
    parts = [_table(header, shown, words)]
    if len(shown) < count:
        note = f"The first {len(shown):,} of {count:,} {kind}; {whole} has them all."
        parts.insert(0, _paragraph(note))
    return parts


def _table(header: list[str], rows: list[list[str]], words: int = 1) -> str:
    """Returns a table whose first ``words`` columns are words and the others numbers."""
    head = "".join(
        f'<th scope="col"{_align(column, words)}>{escape(cell)}</th>'
        for column, cell in enumerate(header)
    )
    lines = [
        '<div class="scroll table" tabindex="0">',
        "<table>",
        f"<thead><tr>{head}</tr></thead>",
        "<tbody>",
    ]
    for row in rows:
        cells = "".join(
            f"<td{_align(column, words)}>{escape(cell)}</td>"
            for column, cell in enumerate(row[1:], 1)
        )
        lines.append(f'<tr><th scope="row" class="words">{escape(row[0])}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody>", "</table>", "</div>"])


def _align(column: int, words: int) -> str:
    return ' class="words"' if column < words else ""


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _fixed(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"
