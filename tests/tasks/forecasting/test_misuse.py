"""What callers get wrong, and what they may well ask for: a sentence, never a traceback.

``unwrap`` takes off the checks of types that the tests put on; users have none.
"""

from __future__ import annotations

import datetime
from inspect import unwrap
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.tasks.forecasting.small_data import QUICK, SMALL, frame

import carousel
from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting import Forecaster

ROWS = frame(length=120)


@pytest.mark.parametrize("quantiles", [(), (0.9,), (0.2, 0.9)])
def test_quantiles_without_a_central_interval(quantiles: tuple[float, ...], tmp_path: Path) -> None:
    model = Forecaster(**SMALL, quantiles=quantiles).fit(ROWS, run=QUICK)
    answer = model.predict(ROWS)
    assert answer.columns == ["unique_id", "ds", "y", *(f"y_q{q:g}" for q in quantiles)]
    report = model.evaluate(ROWS)
    assert report.model.coverage == {}
    assert report.plot(tmp_path / "r.html").exists()


@pytest.mark.parametrize("run", [{"max_steps": 3}, 3])
def test_a_run_is_run_options(run: Any) -> None:
    with pytest.raises(OptionError, match=r"run expects RunOptions.*got"):
        unwrap(Forecaster.fit)(Forecaster(**SMALL), ROWS, run=run)


def test_a_bare_number_is_no_options() -> None:
    with pytest.raises(OptionError, match=r"expected ForecastingOptions, or .* by name, got 3$"):
        unwrap(Forecaster.__init__)(Forecaster(horizon=3), 3)


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    assert Forecaster(horizon=np.int64(3)).options.horizon == 3
    assert type(Forecaster(horizon=np.int64(3)).options.horizon) is int
    with pytest.raises(OptionError, match="whole number"):
        Forecaster(horizon=np.float64(3))


@pytest.mark.parametrize("stride", [1.5, "x", 10**30, 0, -1])
def test_a_stride_is_a_number_of_steps(stride: Any) -> None:
    model = Forecaster(**SMALL).fit(ROWS, run=QUICK)
    with pytest.raises(OptionError, match="stride expects a whole number of steps from 1"):
        unwrap(Forecaster.evaluate)(model, ROWS, stride=stride)


def test_an_empty_tail_cannot_choose_weights() -> None:
    tail = pl.int_range(pl.len()).over("unique_id") >= 95
    rows = ROWS.with_columns(y=pl.when(tail).then(None).otherwise("y"))
    with pytest.raises(DataError, match=r"column 'y'.*missing in the 8 rows.*validation to 0"):
        Forecaster(**SMALL).fit(rows, run=QUICK)


def test_an_update_without_the_series_column_invents_no_series() -> None:
    model = Forecaster(**SMALL).fit(ROWS[:100], run=QUICK)
    before = model.predict()
    with pytest.raises(DataError, match="expected a column 'unique_id' as in the rows before it"):
        model.update(ROWS[100:120].drop("unique_id"))
    assert model.predict().equals(before)


def test_a_series_that_fell_silent_is_forecast_alike_from_what_is_remembered() -> None:
    """Lively for 700 rows and then all but still, for longer than rows are kept."""
    noise = np.random.default_rng(0).normal(size=1_400)
    lively = 100 * np.sin(2 * np.pi * np.arange(1_400) / 6) + 20 * noise
    y = np.where(np.arange(1_400) < 700, lively, 5 + 0.001 * noise)
    rows = pl.DataFrame({"ds": np.arange(1_400), "y": y})
    model = Forecaster(**SMALL).fit(rows, run=QUICK)
    assert model._fitted is not None
    assert model._fitted.memory is not None
    assert model._fitted.memory.panel.lengths.max() < 600
    np.testing.assert_array_equal(model.predict()["y_q0.9"], model.predict(rows)["y_q0.9"])


def test_notes_in_a_card_are_kept(tmp_path: Path) -> None:
    Forecaster(**SMALL).fit(ROWS, run=QUICK).save(tmp_path / "m")
    card = tmp_path / "m" / "README.md"
    card.write_text("my own notes", encoding="utf-8")
    carousel.load(tmp_path / "m").save(tmp_path / "m", force=True)
    assert card.read_text("utf-8") == "my own notes"


def test_a_horizon_beyond_the_end_of_time_is_refused() -> None:
    stamps = [datetime.datetime(2142 + k, 1, 1) for k in range(120)]
    rows = pl.DataFrame({"ds": stamps, "y": ROWS["y"][:120]})
    with pytest.raises(DataError, match="'series' goes beyond the year 2261"):
        Forecaster(**{**SMALL, "season": 1}).fit(rows, run=QUICK)


@pytest.mark.parametrize("zoned_first", [True, False])
def test_an_update_does_not_take_wall_time_for_utc(zoned_first: bool) -> None:
    zoned = ROWS.with_columns(pl.col("ds").dt.replace_time_zone("Europe/Berlin"))
    before, after = (zoned, ROWS) if zoned_first else (ROWS, zoned)
    series = before["unique_id"] == "a"
    model = Forecaster(**SMALL).fit(before.filter(series)[:100], run=QUICK)
    answer = model.predict()
    with pytest.raises(DataError, match="with a time zone or an offset from UTC in both"):
        model.update(after.filter(series)[100:])
    assert model.predict().equals(answer)
