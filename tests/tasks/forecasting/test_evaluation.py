"""The backtest against loops written out, and the report's words against its numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.tasks.forecasting.small_backtests import made_backtest
from tests.tasks.forecasting.small_data import QUICK, SMALL, frame

from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting import Forecaster
from carousel.tasks.forecasting.metrics import central_intervals


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    hole = pl.int_range(pl.len()).over("unique_id").is_in([71, 75])
    return frame().with_columns(y=pl.when(hole).then(None).otherwise("y"))


@pytest.fixture(scope="module")
def model(rows: pl.DataFrame) -> Forecaster:
    return Forecaster(**SMALL).fit(rows, run=QUICK)


def test_baselines_and_mase_by_loops(model: Forecaster, rows: pl.DataFrame) -> None:
    report = model.evaluate(rows)
    assert report.num_windows == 2 * 3  # a holdout of 12 rows holds 3 horizons of 4
    walk, seasonal, smape_terms = {}, {}, []
    for name in "ab":
        y = rows.filter(pl.col("unique_id") == name)["y"].to_numpy()
        naive = np.nanmean(np.abs(y[6:68] - y[: 68 - 6]))
        errors: dict[str, list[float]] = {"walk": [], "seasonal": []}
        for origin in (68, 72, 76):
            last = y[:origin][~np.isnan(y[:origin])][-1]
            for k in range(4):
                actual = y[origin + k]
                if np.isnan(actual):
                    continue
                back = origin + k - 6
                while np.isnan(y[back]):
                    back -= 6
                errors["walk"].append(abs(actual - last))
                errors["seasonal"].append(abs(actual - y[back]))
                smape_terms.append(200 * abs(actual - last) / (abs(actual) + abs(last)))
        walk[name] = np.mean(errors["walk"]) / naive
        seasonal[name] = np.mean(errors["seasonal"]) / naive
    scores = report.scores
    assert report.num_points == 2 * 10
    assert scores["random walk"].mase == pytest.approx(np.mean(list(walk.values())))
    assert scores["seasonal naive"].mase == pytest.approx(np.mean(list(seasonal.values())))
    assert scores["random walk"].smape == pytest.approx(np.mean(smape_terms))
    assert [row["random walk"] for row in report.by_series] == pytest.approx(list(walk.values()))


def test_a_point_forecast_has_the_pinball_loss_of_half_its_error(
    model: Forecaster, rows: pl.DataFrame
) -> None:
    for name, scores in model.evaluate(rows).scores.items():
        if name != "this model":
            assert scores.pinball == pytest.approx(scores.mase / 2)


def test_the_batched_pass_forecasts_what_predict_does(
    model: Forecaster, rows: pl.DataFrame
) -> None:
    tested = model.evaluate(rows, stride=1).backtest
    for origin in (68, 70):
        known = rows.filter(pl.int_range(pl.len()).over("unique_id") < origin)
        forecast = model.predict(known)
        for s in (0, 1):
            window = np.flatnonzero((tested.series == s) & (tested.origin == origin))[0]
            wanted = forecast["y"].to_numpy()[4 * s : 4 * s + 4]
            assert tested.median[:, window] == pytest.approx(wanted, rel=1e-5)


def test_no_row_that_fitting_saw_is_scored(model: Forecaster, rows: pl.DataFrame) -> None:
    report = model.evaluate(rows, stride=1)
    assert report.backtest.origin.min() == 68
    assert report.first == "2024-01-03 20:00:00"
    assert report.last == "2024-01-04 07:00:00"


def test_a_stride_below_one_is_refused(model: Forecaster, rows: pl.DataFrame) -> None:
    with pytest.raises(OptionError, match="stride"):
        model.evaluate(rows, stride=0)


def test_the_report_prints_and_serialises(model: Forecaster, rows: pl.DataFrame) -> None:
    report = model.evaluate(rows)
    words = str(report)
    for name, scores in report.scores.items():
        line = next(line for line in words.splitlines() if line.startswith(name))
        assert f"{scores.mase:.3f}" in line
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["mase_ratio"] == pytest.approx(
        report.scores["this model"].mase / report.scores["seasonal naive"].mase
    )
    assert set(plain["scores"]["this model"]["coverage"]) == {"0.8", "0.95"}
    assert len(plain["by_step"]["random walk"]) == 4


def test_the_verdict_is_against_the_best_baseline_by_more_than_chance(
    model: Forecaster, rows: pl.DataFrame
) -> None:
    report = model.evaluate(rows)
    best = min(report.baselines, key=lambda name: report.baselines[name].mase)
    found = report.significance
    assert found.against == best
    assert found.difference == pytest.approx(report.model.mase - report.scores[best].mase)
    # Two series with three forecasts of each.
    assert (found.kind, found.num_series, found.num_separate) == ("none", 2, 3)
    assert "cannot be told" in report.verdict
    assert f"best baseline, {best}" in report.verdict
    assert report.to_dict()["significance"]["kind"] == "none"


def test_constant_series_are_left_out_of_mase_and_said_so() -> None:
    flat = frame(["a", "flat"]).with_columns(
        y=pl.when(pl.col("unique_id") == "flat").then(5.0).otherwise("y")
    )
    report = Forecaster(**SMALL).fit(flat, run=QUICK).evaluate(flat)
    assert report.num_undefined == 1
    assert "1 constant series left out" in str(report)
    alone = report.by_series[0]["this model"]
    assert report.model.mase == pytest.approx(alone)


def test_a_baseline_without_error_is_no_accident() -> None:
    """A series that stays where it is, after it moved: the random walk cannot be beaten."""
    late = pl.int_range(pl.len()).over("unique_id") >= 50
    still = frame(length=100).with_columns(y=pl.when(late).then(5.0).otherwise("y"))
    report = Forecaster(**SMALL).fit(still, run=QUICK).evaluate(still)
    assert report.baselines["seasonal naive"].mase == 0
    assert report.mase_ratio == float("inf")
    assert "makes no error" in report.verdict
    assert "does NOT beat" in str(report)


def test_the_scope_names_the_first_and_the_last_moment_of_all_series() -> None:
    """A series that begins late has low row numbers and high time stamps."""
    early, late = frame(["early"], 120), frame(["late"], 80)
    late = late.with_columns(pl.col("ds") + pl.duration(days=100))
    both = pl.concat([early, late])
    report = Forecaster(**SMALL).fit(both, run=QUICK).evaluate(both)
    assert report.first < report.last
    assert report.first == str(early["ds"][120 - 12])
    assert report.last == str(late["ds"][79])


def test_series_new_to_the_model_are_named_and_spelling_does_not_make_them_new(
    model: Forecaster, rows: pl.DataFrame
) -> None:
    renamed = rows.with_columns(pl.col("unique_id").replace({"b": "c"}))
    report = model.evaluate(renamed)
    assert report.num_unknown == 1
    assert "1 series new to the model" in str(report)
    assert model.evaluate(rows).num_unknown == 0
    numbered = rows.with_columns(pl.col("unique_id").replace_strict({"a": 1, "b": 2}))
    fitted = Forecaster(**SMALL).fit(numbered, run=QUICK)
    wanted = fitted.evaluate(numbered).to_dict()
    for spelt in (
        numbered.with_columns(pl.col("unique_id").cast(pl.Float64)),
        numbered.with_columns(pl.col("unique_id").cast(pl.String) + " "),
    ):
        found = fitted.evaluate(spelt).to_dict()
        assert (found["num_windows"], found["num_unknown"]) == (wanted["num_windows"], 0)


def test_rows_that_chose_the_weights_are_not_new(rows: pl.DataFrame) -> None:
    row = pl.int_range(pl.len()).over("unique_id")
    first, second = rows.filter(row < 50), rows.filter(row.is_between(30, 65))
    options = {**SMALL, "holdout": 0, "validation": None}
    fitted = Forecaster(**options).fit(first, valid=second, run=QUICK)
    assert fitted.evaluate(rows, stride=1).backtest.origin.min() == 66
    assert "validation: a frame in memory" in fitted.card


def test_why_nothing_can_be_scored_is_said(model: Forecaster, rows: pl.DataFrame) -> None:
    late = pl.int_range(pl.len()).over("unique_id") >= 68
    gone = rows.with_columns(y=pl.when(late).then(None).otherwise("y"))
    with pytest.raises(DataError, match="every value is missing"):
        model.evaluate(gone)
    nothing = replace(model.evaluate(rows), num_points=0)
    assert "Nothing could be scored" in nothing.verdict


def test_pictures_are_drawn(model: Forecaster, rows: pl.DataFrame, tmp_path: Path) -> None:
    report = model.evaluate(rows)
    assert report.plot(tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in model.plot(rows, tmp_path / "f.svg").read_bytes()
    assert b"<!DOCTYPE html>" in model.plot(rows, tmp_path / "f.html").read_bytes()
    with pytest.raises(OptionError, match=r"\.png"):
        report.plot(tmp_path / "b.jpg")


def test_tables_by_series_and_step_by_loops() -> None:
    tested = made_backtest(("a", "b", "c"), horizon=3, origins=9)
    tested.actual[1, 4] = tested.actual[:, 12] = np.nan
    tested.baselines["random walk"][0, 20] = np.nan
    report = tested.report()
    held = (tested.actual >= tested.quantiles[..., 1]) & (tested.actual <= tested.quantiles[..., 3])
    steps: dict[int, list[float]] = {k: [] for k in range(3)}
    for s, row in enumerate(report.by_series):
        errors, percent, inside = [], [], []
        by_step: dict[int, list[float]] = {k: [] for k in range(3)}
        for w in np.flatnonzero(tested.series == s):
            for k in range(3):
                y, f = tested.actual[k, w], tested.point[k, w]
                if np.isnan(y) or np.isnan(tested.baselines["random walk"][k, w]):
                    continue
                errors.append(abs(y - f))
                by_step[k].append(abs(y - f))
                percent.append(200 * abs(y - f) / (abs(y) + abs(f)))
                inside.append(float(held[k, w]))
        assert row["series"] == "abc"[s]
        assert (row["num_windows"], row["num_points"]) == (9, len(errors))
        assert row["this model"] == pytest.approx(np.mean(errors) / tested.naive_error[s])
        assert row["smape"]["this model"] == pytest.approx(np.mean(percent))
        assert row["coverage"]["0.8"] == pytest.approx(np.mean(inside))
        for k in range(3):
            steps[k].append(float(np.mean(by_step[k]) / tested.naive_error[s]))
    assert [row["num_points"] for row in report.by_series] == [26, 24, 26]
    wanted = [np.mean(steps[k]) for k in range(3)]
    assert report.scaled_by_step["this model"] == pytest.approx(wanted)
    scored = ~np.isnan(tested.scored)
    assert report.coverage_by_step[0.8] == pytest.approx(
        [held[k][scored[k]].mean() for k in range(3)]
    )
    for level, share in report.reliability.items():
        below = tested.scored <= tested.quantiles[..., tested.levels.index(level)]
        assert share == pytest.approx(below[scored].mean())


def test_squared_errors_by_hand() -> None:
    tested = made_backtest(("a",), horizon=1, origins=2)
    tested.quantiles[:] = (tested.actual + np.array([3.0, -4.0]))[..., None]
    report = tested.report()
    assert (report.model.mae, report.model.mse) == pytest.approx((3.5, 12.5))
    assert report.to_dict()["scores"]["this model"]["mse"] == pytest.approx(12.5)


def test_significance_is_of_the_windows_own_times(model: Forecaster, rows: pl.DataFrame) -> None:
    """Horizon 4 every step: each origin shares rows with the three before it."""
    found = model.evaluate(rows, stride=1).significance
    assert (found.overlap, found.num_separate) == (3, 3)
    apart = model.evaluate(rows, stride=4).significance
    assert apart.overlap == 0


def test_where_nothing_can_be_scored_nothing_is_warned_of() -> None:
    tested = made_backtest(origins=2)
    tested.baselines["random walk"][:] = np.nan
    report = tested.report()
    assert report.num_points == 0
    assert "Nothing could be scored" in report.verdict
    assert report.notes == []


def test_central_intervals_are_symmetric_pairs() -> None:
    assert central_intervals((0.025, 0.1, 0.5, 0.9, 0.975)) == [(1, 3), (0, 4)]
    assert central_intervals((0.1, 0.5, 0.8)) == []
    assert central_intervals((0.05, 0.3, 0.5, 0.95)) == [(0, 3)]
