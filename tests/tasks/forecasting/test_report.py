"""The report's sentences against its numbers, and its tables as frames."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.tasks.forecasting.small_backtests import made_backtest

from carousel.errors import OptionError
from carousel.tasks.forecasting import Report
from carousel.tasks.forecasting.report import Scores, best_baseline
from carousel.tasks.forecasting.significance import Significance


@pytest.fixture(scope="module")
def report() -> Report:
    return made_backtest().report()


def judged(report: Report, model: float, naive: float, walk: float, **test: object) -> str:
    """Returns the verdict on these MASEs with this test."""
    scores = {
        name: Scores(mase=mase, smape=0.0, mae=0.0, mse=0.0, pinball=0.0)
        for name, mase in zip(report.scores, (model, naive, walk), strict=True)
    }
    best = best_baseline(scores)
    made = Significance(against=best, difference=model - scores[best].mase, **test)  # type: ignore[arg-type]
    return replace(report, scores=scores, significance=made).verdict


def test_the_verdict_has_three_forms(report: Report) -> None:
    clear = {"kind": "origins", "statistic": 3.0, "p_value": 0.01234, "num": 36}
    won = judged(report, 0.8, 2.0, 1.0, **clear)
    assert won.startswith("The model beats the best baseline, random walk")
    assert "20.0% lower (p = 0.012, Diebold–Mariano test over 36 origins)." in won
    lost = judged(report, 1.1, 1.0, 3.0, **clear)
    assert lost.startswith("The model does NOT beat the best baseline, seasonal naive")
    assert "10.0% higher (p = 0.012," in lost
    assert lost.endswith("Use the seasonal naive forecast.")
    for mase, words in ((0.9, "10.0% lower"), (1.1, "10.0% higher")):
        unclear = judged(report, mase, 1.0, 3.0, **{**clear, "p_value": 0.05})
        assert "cannot be told" in unclear
        assert f"{words}, which may be chance (p = 0.050" in unclear
        assert "newer rows" in unclear


def test_the_verdict_says_which_test_it_was(report: Report) -> None:
    across = {"kind": "series", "statistic": -3.0, "p_value": 1e-9, "num": 1500}
    found = judged(report, 0.8, 1.0, 1.0, **across)
    assert "p < 0.001, paired t-test across 1,500 series, taken as independent" in found
    few = judged(report, 0.8, 1.0, 1.0, kind="none", num_series=2, num_separate=1)
    assert "2 series with 1 forecast behind each other are too few" in few
    assert "8" in few


def test_what_has_no_test_keeps_its_own_words(report: Report) -> None:
    sure = {"kind": "origins", "statistic": 3.0, "p_value": 0.0, "num": 9}
    assert "undefined" in judged(report, math.nan, math.nan, math.nan, **sure)
    assert "makes no error" in judged(report, 0.4, 0.0, 1.0, **sure)
    assert "Nothing could be scored" in replace(report, num_points=0).verdict


def test_a_model_that_is_its_baseline_cannot_be_told_from_it() -> None:
    tested = made_backtest(origins=12)
    tested.quantiles[:] = tested.baselines["seasonal naive"][..., None]
    tested.baselines["random walk"][:] += 100
    report = tested.report()
    assert (report.significance.statistic, report.significance.p_value) == (0.0, 1.0)
    assert "cannot be told" in report.verdict
    assert "0.0% higher" in report.verdict


def test_a_good_model_beats_and_a_bad_one_does_not() -> None:
    good = made_backtest(origins=12, noise=0.2).report()
    assert good.verdict.startswith("The model beats")
    assert good.significance.statistic < 0
    bad = made_backtest(origins=12, noise=9.0).report()
    assert "does NOT beat" in bad.verdict
    assert bad.significance.statistic > 0


def test_intervals_that_do_not_hold_are_spoken_of(report: Report) -> None:
    def notes(coverage: dict[float, float]) -> list[str]:
        model = replace(report.model, coverage=coverage)
        changed = replace(report, scores={**report.scores, report.model_name: model})
        assert all(note in str(changed) for note in changed.notes)
        return changed.notes

    assert notes({0.8: 0.771, 0.95: 0.979}) == []
    narrow, wide = notes({0.8: 0.712, 0.9: 0.9, 0.95: 0.99})
    assert narrow == (
        "The 80% interval held 71.2% of the values, 8.8 points fewer than it promises."
    )
    assert "4.0 points more" in wide
    assert notes({0.8: math.nan}) == []


def test_plain_values_are_json(report: Report) -> None:
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["significance"]["num"] == report.significance.num == 10
    assert plain["significance"]["p_value"] == report.significance.p_value
    assert plain["by_series"][0]["series"] == "a"
    assert set(plain["by_series"][0]["coverage"]) == {"0.8", "0.95"}
    assert len(plain["scaled_by_step"]["random walk"]) == 4
    assert len(plain["coverage_by_step"]["0.95"]) == 4
    assert list(plain["reliability"]) == ["0.025", "0.1", "0.5", "0.9", "0.975"]


def test_the_table_has_a_column_for_each_score(report: Report) -> None:
    header, rows = report.table()
    assert header[:6] == ["forecast", "MASE", "sMAPE %", "MAE", "MSE", "pinball"]
    assert [row[0] for row in rows] == list(report.scores)
    assert rows[0][4] == f"{report.model.mse:.4g}"
    assert all(len(row) == len(header) for row in rows)


def test_frames_have_a_row_for_each_forecast(report: Report) -> None:
    by_series = report.frame()
    assert by_series.columns == [
        "series", "forecast", "num_windows", "num_points", "mase", "smape",
        "coverage_0.8", "coverage_0.95",
    ]  # fmt: skip
    assert len(by_series) == 2 * 3
    model = by_series.filter(pl.col("forecast") == report.model_name)
    assert model["mase"].mean() == pytest.approx(report.model.mase)
    assert by_series.filter(pl.col("forecast") == "random walk")["coverage_0.8"].is_null().all()
    by_step = report.frame("step")
    assert by_step["step"].to_list() == [k for k in (1, 2, 3, 4) for _ in range(3)]
    means = by_step.group_by("forecast").agg(pl.col("mae", "mase").mean()).sort("forecast")
    for name, mae, mase in means.iter_rows():
        assert mae == pytest.approx(report.scores[name].mae)  # every step has as many values
        assert mase == pytest.approx(report.scores[name].mase)
    assert by_series.write_csv().splitlines()[1].startswith("a,this model,10,40,")
    with pytest.raises(OptionError, match="'series' or 'step'"):
        report.frame("month")


def test_frames_come_in_the_library_of_the_data() -> None:
    tested = made_backtest()
    table = tested.panel.table
    import narwhals as nw

    from carousel.data.reading import read_table

    pandas = read_table(nw.from_native(table.frame.to_native()).to_pandas())
    report = replace(tested, panel=replace(tested.panel, table=pandas)).report()
    frame = report.frame()
    assert isinstance(frame, pd.DataFrame)
    assert np.isnan(frame["coverage_0.8"][1])
