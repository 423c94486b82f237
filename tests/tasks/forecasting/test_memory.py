"""What a model keeps of the rows it has seen, and going on from there."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.tasks.forecasting.small_data import QUICK, SMALL, frame

import carousel
from carousel.errors import DataError, ModelError
from carousel.tasks.forecasting import Forecaster, memory

WHOLE = frame(length=200)
NEW = 30


def first_rows(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    return rows.group_by("unique_id", maintain_order=True).head(count)


def last_rows(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    return rows.group_by("unique_id", maintain_order=True).tail(count)


OLD, LATER = first_rows(WHOLE, 200 - NEW), last_rows(WHOLE, NEW)


def fresh() -> Forecaster:
    return Forecaster(**SMALL).fit(OLD, run=QUICK)


def test_a_fitted_model_goes_on_from_the_rows_it_was_given(tmp_path: Path) -> None:
    model = fresh()
    expected = model.predict(OLD)
    assert model.predict().equals(expected)
    model.save(tmp_path / "a.model")
    assert carousel.load(tmp_path / "a.model").predict().equals(expected)


def test_updated_it_forecasts_what_the_whole_history_would_give(tmp_path: Path) -> None:
    model = fresh()
    expected = model.predict(WHOLE)
    halves = first_rows(LATER, NEW // 2), last_rows(LATER, NEW - NEW // 2)
    for half in halves:
        assert model.update(half) is model
    answer = model.predict()
    assert answer.equals(expected)
    assert answer["ds"].min() == WHOLE["ds"].max() + datetime.timedelta(hours=1)
    model.save(tmp_path / "a.model")
    assert carousel.load(tmp_path / "a.model").predict().equals(expected)


def test_an_update_trains_nothing() -> None:
    model = fresh()
    before = model.card
    model.update(LATER)
    assert model.card == before


def test_rows_between_are_a_gap_and_series_go_on_by_themselves() -> None:
    model = fresh()
    holed = LATER.filter(~((pl.col("unique_id") == "a") & (pl.col("ds") < LATER["ds"][5])))
    expected = model.predict(pl.concat([OLD, holed]).sort("unique_id", maintain_order=True))
    assert model.update(holed).predict().equals(expected)
    only_b = fresh().update(LATER.filter(pl.col("unique_id") == "b")).predict()
    assert dict(only_b.group_by("unique_id").agg(pl.col("ds").min()).iter_rows()) == {
        "a": OLD["ds"].max() + datetime.timedelta(hours=1),
        "b": WHOLE["ds"].max() + datetime.timedelta(hours=1),
    }


def test_new_series_join() -> None:
    newcomer = WHOLE.filter(pl.col("unique_id") == "b").with_columns(pl.lit("c").alias("unique_id"))
    model = fresh()
    expected = model.predict(pl.concat([OLD, newcomer]))
    assert model.update(newcomer).predict().equals(expected)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda rows: last_rows(OLD, 3), "behind it only"),
        (
            lambda rows: rows.with_columns(pl.col("ds") + pl.duration(minutes=30)),
            "between the steps",
        ),
        (lambda rows: rows.with_columns(pl.col("ds") + pl.duration(days=900)), "correct the stamp"),
        (lambda rows: rows.drop("wind"), "wind"),
    ],
)
def test_rows_that_do_not_follow_are_refused_and_change_nothing(spoil, word: str) -> None:  # type: ignore[no-untyped-def]
    model = fresh()
    before = model.predict()
    with pytest.raises(DataError, match=word):
        model.update(spoil(LATER))
    assert model.predict().equals(before)


@pytest.mark.parametrize("kind", ["polars", "pandas", "csv"])
def test_rows_come_from_any_library(kind: str, tmp_path: Path) -> None:
    def given(rows: pl.DataFrame, name: str) -> object:
        if kind == "polars":
            return rows
        if kind == "pandas":
            return rows.to_pandas()
        rows.write_csv(tmp_path / name, datetime_format="%Y-%m-%d %H:%M")
        return tmp_path / name

    model = Forecaster(**SMALL).fit(given(OLD, "old.csv"), run=QUICK)
    expected = model.predict(given(WHOLE, "whole.csv"))
    answer = model.update(given(LATER, "later.csv")).predict()
    if isinstance(expected, pd.DataFrame):
        expected = pl.from_pandas(expected)
    assert isinstance(answer, pl.DataFrame)
    np.testing.assert_array_equal(answer["y"], expected["y"])
    assert answer["ds"].cast(pl.String).to_list() == expected["ds"].cast(pl.String).to_list()


def test_only_what_the_next_forecast_looks_at_is_kept() -> None:
    model = Forecaster(**SMALL, calibration=0).fit(OLD, run=QUICK)
    found = model._memory("predict")
    assert found.panel.lengths.tolist() == [SMALL["context"]] * 2
    model.update(LATER)
    assert model._memory("predict").panel.lengths.tolist() == [SMALL["context"]] * 2


def test_too_much_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "MOST_CELLS", 10)
    model = fresh()
    for act in (model.predict, lambda: model.update(LATER)):
        with pytest.raises(ModelError, match="give the rows with every forecast"):
            act()
    model.save(tmp_path / "a.model")
    assert not (tmp_path / "a.model" / memory.ROWS_FILE).exists()
    assert model.predict(OLD).equals(carousel.load(tmp_path / "a.model").predict(OLD))


def test_a_series_without_name_and_step_numbers() -> None:
    rows = pl.DataFrame({"ds": np.arange(200), "y": WHOLE["y"][:200]})
    model = Forecaster(**SMALL).fit(rows[:170], run=QUICK)
    expected = model.predict(rows)
    assert model.update(rows[170:]).predict().equals(expected)


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "pandas on pyarrow"])
def test_stamps_of_a_fixed_offset_go_on_from_a_saved_model(library: str, tmp_path: Path) -> None:
    def given(rows: pl.DataFrame) -> object:
        zoned = rows.to_pandas()
        zoned["ds"] = zoned["ds"].dt.tz_localize("+02:00")
        arrow = pa.Table.from_pandas(zoned, preserve_index=False)
        on_arrow = arrow.to_pandas(types_mapper=pd.ArrowDtype)
        return {"pandas": zoned, "pyarrow": arrow}.get(library, on_arrow)

    model = Forecaster(**SMALL).fit(given(OLD), run=QUICK)
    answer = model.predict(given(OLD))
    native = answer if isinstance(answer, pa.Table) else pa.Table.from_pandas(answer)
    model.save(tmp_path / "a.model")
    loaded = carousel.load(tmp_path / "a.model")
    for found in (model.predict(), loaded.predict()):
        assert found.schema["ds"].time_zone == "Etc/GMT-2"
        assert found["ds"].to_list() == native["ds"].to_pylist()
        np.testing.assert_array_equal(found["y"], native["y"].to_numpy())
    loaded.update(given(LATER))
    expected = pl.DataFrame(model.predict(given(WHOLE)))
    np.testing.assert_array_equal(loaded.predict()["y"], expected["y"])


def test_text_stamps_in_a_table_of_pyarrow_go_on_from_a_saved_model(tmp_path: Path) -> None:
    words = OLD.with_columns(pl.col("ds").dt.to_string("%Y-%m-%d %H:%M"))
    model = Forecaster(**SMALL).fit(words.to_arrow(), run=QUICK)
    expected = Forecaster(**SMALL).fit(words, run=QUICK).predict(words)
    assert pl.DataFrame(model.predict(words.to_arrow())).equals(expected)
    model.save(tmp_path / "a.model")
    assert carousel.load(tmp_path / "a.model").predict().equals(expected)
