"""What pictures show, read from the axes before they become a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.tasks.forecasting.small_backtests import made_backtest

from carousel.errors import OptionError
from carousel.tasks.forecasting import panels, plots
from carousel.tasks.forecasting.evaluation import Backtest
from carousel.tasks.forecasting.plots import draw_forecast, draw_report

SIZES = {
    "one series": made_backtest(("a",)),
    "six series": made_backtest("abcdef"),
    "many series": made_backtest([f"s{k}" for k in range(60)], origins=1),
    "horizon 1": made_backtest(horizon=1, origins=12),
    "no intervals": made_backtest(levels=(0.1, 0.5, 0.8)),
}


@pytest.mark.parametrize(
    ("name", "ending"),
    [("six series", "png"), ("one series", "svg"), ("many series", "png"), ("horizon 1", "html"),
     ("no intervals", "html")],
)  # fmt: skip
def test_pictures_of_any_size_are_drawn(name: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending.upper()}"
    assert draw_report(SIZES[name].report(), path) == path
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!DOCTYPE html>"}
    assert path.read_bytes().startswith(begins[ending])


def pictures(tested: Backtest) -> dict[str, Any]:
    """Draws each picture of a report on axes of its own; by title."""
    report = tested.report()
    found = {}
    for picture in [*plots._series_pictures(report), *plots._score_pictures(report)]:
        axis = Figure().subplots()
        picture.draw(axis)
        found[picture.title] = axis
    return found


def lines(axis: Any) -> dict[str, np.ndarray]:
    """The values of the labelled lines."""
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axis.lines}


def test_errors_and_coverage_are_the_reports() -> None:
    tested = SIZES["six series"]
    report, shown = tested.report(), pictures(tested)
    errors = lines(shown["Error by step of the horizon"])
    assert shown["Error by step of the horizon"].get_ylabel() == "MASE"
    for name, wanted in report.scaled_by_step.items():
        assert errors[name] == pytest.approx(wanted)
    held = lines(shown["Coverage by step of the horizon"])
    assert held["80% interval"] == pytest.approx([100 * c for c in report.coverage_by_step[0.8]])
    promise = lines(shown["What quantiles and intervals promise and hold"])
    assert promise["quantiles"] == pytest.approx([100 * s for s in report.reliability.values()])
    assert promise["intervals"] == pytest.approx([100 * s for s in report.model.coverage.values()])
    marks = {m.get_label(): m.get_xdata() for m in shown["MASE of each series"].lines}
    scores = marks["this model"]
    assert scores == pytest.approx(
        sorted((r["this model"] for r in report.by_series), reverse=True)
    )


def test_one_series_has_errors_in_its_own_unit() -> None:
    tested = made_backtest(("a",), target="load, MW")
    shown = pictures(tested)
    axis = shown["Error by step of the horizon"]
    assert axis.get_ylabel() == "mean |error|, load, MW"
    assert lines(axis)["this model"] == pytest.approx(tested.report().by_step["this model"])
    assert "MASE of each series" not in shown


def test_many_series_are_counted_and_the_best_and_the_worst_are_shown() -> None:
    tested = SIZES["many series"]
    report, shown = tested.report(), pictures(tested)
    series = list(shown)[:5]
    best = min(report.by_series, key=lambda row: row["this model"])
    worst = max(report.by_series, key=lambda row: row["this model"])
    assert series[0] == f"{best['series']} (MASE {best['this model']:.3f}, 1 of 60 from the best)"
    assert series[-1].startswith(f"{worst['series']} (MASE {worst['this model']:.3f}, 60 of 60")
    axis = shown["The model and the seasonal naive, series by series"]
    better = sum(row["this model"] < row["seasonal naive"] for row in report.by_series)
    labels = axis.get_legend_handles_labels()[1]
    assert labels == [
        f"model better: {better} series", f"baseline better or even: {60 - better} series",
    ]  # fmt: skip
    heights = sum(bar.get_height() for bars in axis.containers for bar in bars)
    assert heights == 60


def test_series_without_mase_are_told_of() -> None:
    tested = SIZES["many series"]
    naive = tested.naive_error.copy()
    naive[3] = 0
    shown = pictures(replace(tested, naive_error=naive))
    assert "The model and the seasonal naive, series by series (1 without a ratio)" in shown
    assert list(shown)[4] == "s3 (60 of 60 from the best)"
    constant = replace(tested, naive_error=np.zeros(60))
    errors = pictures(constant)["Error by step of the horizon"]
    assert errors.get_ylabel().startswith("mean |error|")


def test_forecasts_that_overlap_are_not_drawn_over_each_other() -> None:
    tested = made_backtest(("a",), horizon=8, origins=40, stride=1)
    axis = next(iter(pictures(tested).values()))
    forecasts = [line for line in axis.lines if line.get_color() == panels.COLOURS[0]]
    begins = sorted(line.get_xdata()[0] for line in forecasts)
    assert len(forecasts) == 5  # 47 rows hold five horizons of 8
    assert np.all(np.diff(begins) >= np.timedelta64(8, "h"))


def test_a_step_without_values_leaves_a_gap() -> None:
    tested = made_backtest(origins=9)
    tested.actual[2] = np.nan
    held = lines(pictures(tested)["Coverage by step of the horizon"])["95% interval"]
    assert np.isnan(held).tolist() == [False, False, True, False]


def test_lines_differ_in_more_than_colour() -> None:
    looks = [panels.style(number) for number in range(6)]
    for key in ("color", "linestyle"):
        assert len({str(look[key]) for look in looks}) == 6


def test_names_are_cut_and_never_read_as_formulas(tmp_path: Path) -> None:
    tested = made_backtest([r"$\frac{$", "_hidden"], origins=2, target=r"$\bad{$")
    for ending in ("png", "html"):
        draw_report(tested.report(), tmp_path / f"x.{ending}")
    assert panels.shortened("a" * 200) == "a" * 59 + "…"
    assert panels.shortened("line\nbreak\x00") == "line break "


def test_a_script_that_the_font_lacks_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Warnings are errors here."""
    assert forecast(made_backtest(["東京"]), tmp_path / "x.png").stat().st_size > 10_000


def forecast(tested: Backtest, path: Path) -> Path:
    """Draws what comes behind the rows, as the last windows had it."""
    last = np.flatnonzero(np.diff(tested.series, append=-1))
    fitted: Any = SimpleNamespace(
        plan=SimpleNamespace(season=tested.season, context=12),
        options=SimpleNamespace(quantiles=tested.levels),
    )
    return draw_forecast(fitted, tested.panel, tested.quantiles[:, last], path)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("many series", "png"), ("one series", "svg"), ("horizon 1", "html"), ("no intervals", "png")],
)
def test_forecasts_of_any_size_are_drawn(name: str, ending: str, tmp_path: Path) -> None:
    assert forecast(SIZES[name], tmp_path / f"f.{ending}").stat().st_size > 5_000


def test_nothing_of_matplotlibs_settings_is_changed(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for ending in ("svg", "html"):
        forecast(SIZES["one series"], tmp_path / f"f.{ending}")
    assert dict(matplotlib.rcParams) == before


def test_other_endings_are_refused_before_the_work(tmp_path: Path) -> None:
    for draw in (lambda path: draw_report(SIZES["one series"].report(), path),
                 lambda path: forecast(SIZES["one series"], path)):  # fmt: skip
        with pytest.raises(OptionError, match=r"\.png, \.svg or \.html, got 'x\.pdf'"):
            draw(tmp_path / "x.pdf")
    assert not list(tmp_path.iterdir())
