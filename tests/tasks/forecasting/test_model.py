"""The forecaster as a user meets it."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from tests.tasks.forecasting.small_data import QUICK, SMALL, START, frame

import carousel
from carousel.errors import DataError, ModelError, OptionError, OutputError
from carousel.tasks.forecasting import Forecaster, ForecastingOptions
from carousel.training import RunOptions


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return frame()


@pytest.fixture(scope="module")
def model(rows: pl.DataFrame) -> Forecaster:
    return Forecaster(**SMALL).fit(rows, run=QUICK)


def weights(model: Forecaster) -> dict[str, torch.Tensor]:
    return model._ready("compare").network.state_dict()


def test_it_learns_a_wave_that_the_random_walk_cannot(rows: pl.DataFrame) -> None:
    run = RunOptions(max_steps=150, batch_size=32, learning_rate=0.02, progress="none")
    report = Forecaster(**{**SMALL, "dropout": 0.0}).fit(rows, run=run).evaluate(rows)
    assert report.model.mase < 0.6 * report.scores["random walk"].mase


def test_the_same_seed_gives_the_same_weights(model: Forecaster, rows: pl.DataFrame) -> None:
    torch.manual_seed(123)
    again = weights(Forecaster(**SMALL).fit(rows, run=QUICK))
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights(model).items())
    run = RunOptions(max_steps=6, batch_size=8, validate_every=3, progress="none", seed=1)
    other = weights(Forecaster(**SMALL).fit(rows, run=run))
    assert not torch.equal(other["head.outer.weight"], again["head.outer.weight"])


def test_fitting_leaves_the_callers_random_numbers_alone(rows: pl.DataFrame) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Forecaster(**SMALL).fit(rows, run=QUICK)
    assert torch.equal(torch.rand(3), wanted)


def test_the_holdout_is_never_read(model: Forecaster, rows: pl.DataFrame) -> None:
    held = pl.int_range(pl.len()).over("unique_id") >= 80 - SMALL["holdout"]
    spoilt = rows.with_columns(
        pl.when(held).then(1e6).otherwise(name).alias(name) for name in ("y", "wind")
    )
    again = weights(Forecaster(**SMALL).fit(spoilt, run=QUICK))
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights(model).items())


def test_validation_rows_do_not_train(rows: pl.DataFrame) -> None:
    run = RunOptions(max_steps=6, batch_size=8, progress="none", validate_every=6)
    late = pl.int_range(pl.len()).over("unique_id").is_between(60, 67)
    spoilt = rows.with_columns(y=pl.when(late).then(pl.col("y") + 1.0).otherwise("y"))
    one = weights(Forecaster(**SMALL).fit(rows, run=run))
    other = weights(Forecaster(**SMALL).fit(spoilt, run=run))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_validation_data_of_ones_own(rows: pl.DataFrame) -> None:
    fitted = Forecaster(**{**SMALL, "validation": None}).fit(rows, valid=rows, run=QUICK)
    assert fitted._ready("look").plan.validation == 0
    assert fitted.history.scores("pinball")
    with pytest.raises(DataError, match="validation data has no window"):
        Forecaster(**SMALL).fit(rows, valid=frame(length=14), run=QUICK)


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
def test_predict_answers_in_the_library_it_was_asked_in(
    library: str, model: Forecaster, rows: pl.DataFrame
) -> None:
    given: Any = {
        "polars": rows,
        "pandas": rows.to_pandas(),
        "pyarrow": rows.to_arrow(),
    }[library]
    kind = {"polars": pl.DataFrame, "pandas": pd.DataFrame, "pyarrow": pa.Table}[library]
    forecast = model.predict(given)
    assert isinstance(forecast, kind)
    found = pl.DataFrame(forecast) if library != "pyarrow" else pl.from_arrow(forecast)
    assert isinstance(found, pl.DataFrame)
    quantiles = ["y_q0.025", "y_q0.1", "y", "y_q0.9", "y_q0.975"]
    assert sorted(found.columns) == sorted(["unique_id", "ds", *quantiles])
    hour = datetime.timedelta(hours=1)
    assert found["ds"].to_list() == [START + (80 + k) * hour for k in range(4)] * 2
    ordered = found.select(quantiles).to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert ordered == pytest.approx(model.predict(rows).select(quantiles).to_numpy())


def test_series_never_seen_are_forecast_too(model: Forecaster) -> None:
    forecast = model.predict(frame(["new"], 30))
    assert forecast["unique_id"].to_list() == ["new"] * 4
    assert np.isfinite(forecast["y"].to_numpy()).all()


def test_a_saved_model_forecasts_the_same(
    model: Forecaster, rows: pl.DataFrame, tmp_path: Path
) -> None:
    model.save(tmp_path / "m")
    loaded = carousel.load(tmp_path / "m")
    assert isinstance(loaded, Forecaster)
    assert loaded.predict(rows).equals(model.predict(rows))
    assert loaded.evaluate(rows).to_dict() == model.evaluate(rows).to_dict()
    assert loaded.options == model.options
    assert loaded.history.records == model.history.records
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert {"model.safetensors", "config.json", "README.md", "history.jsonl"} <= names


def test_the_card_tells_data_split_options_scores_and_versions(model: Forecaster) -> None:
    card = model.card
    for words in (
        "2 series, 160 rows, one every 1 hour",
        "holdout: 12 steps",
        "validation: 8 steps",
        "| horizon | 4 |",
        "| run: max_steps | 6 |",
        f"torch {torch.__version__}",
        "scaled pinball loss on the validation rows",
    ):
        assert words in card


def test_an_existing_folder_needs_force(model: Forecaster, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    with pytest.raises(OutputError, match="force"):
        model.save(tmp_path / "m")
    model.save(tmp_path / "m", force=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_save_that_fails_leaves_the_old_model(
    number: int, model: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path / "m")
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}

    def failing(path: Path, content: bytes) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises(OutputError, match=str(tmp_path / "m")):
        model.save(tmp_path / "m", force=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_is_not_fitted_cannot_be_used(tmp_path: Path) -> None:
    for act in (
        lambda m: m.predict(frame()),
        lambda m: m.evaluate(frame()),
        lambda m: m.save(tmp_path / "m"),
    ):
        with pytest.raises(ModelError, match="call fit first"):
            act(Forecaster(horizon=4))


def test_options_come_whole_or_one_by_one() -> None:
    assert Forecaster(ForecastingOptions(horizon=7)).options.horizon == 7
    with pytest.raises(OptionError, match="not both"):
        Forecaster(ForecastingOptions(horizon=7), season=3)
    with pytest.raises(OptionError, match="did you mean 'hidden_size'"):
        Forecaster(horizon=4, hidden_sise=3)


def test_a_new_column_is_ignored_and_a_missing_one_named(
    model: Forecaster, rows: pl.DataFrame
) -> None:
    more = rows.with_columns(extra=pl.lit(1.0))
    assert model.predict(more).equals(model.predict(rows))
    with pytest.raises(DataError, match="'wind'"):
        model.predict(rows.drop("wind"))


def test_a_horizon_of_one_and_two_layers(rows: pl.DataFrame) -> None:
    model = Forecaster(**{**SMALL, "horizon": 1, "num_layers": 2}).fit(rows, run=QUICK)
    assert len(model.predict(rows)) == 2
    assert model.evaluate(rows).num_windows == 2 * 12


def test_whole_numbers_as_time_stamps(rows: pl.DataFrame) -> None:
    numbered = rows.with_columns(ds=pl.int_range(pl.len()).over("unique_id") + 1)
    forecast = Forecaster(**SMALL).fit(numbered, run=QUICK).predict(numbered)
    assert forecast["ds"].to_list() == [81, 82, 83, 84] * 2
