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
from tests.tasks.forecasting.small_data import (
    QUICK,
    SMALL,
    START,
    answers,
    frame,
)

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
    assert not torch.equal(
        other["members.0.head.outer.weight"], again["members.0.head.outer.weight"]
    )


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


def test_a_new_column_of_numbers_is_refused_where_columns_were_found_and_a_missing_one_named(
    model: Forecaster, rows: pl.DataFrame, tmp_path: Path
) -> None:
    more = rows.with_columns(extra=pl.lit(1.0))
    more.write_csv(tmp_path / "more.csv")
    for given in (more, more.to_pandas(), more.to_arrow(), tmp_path / "more.csv"):
        for act in (model.predict, model.evaluate):
            with pytest.raises(
                DataError, match=r"fitted without this column.*leave it out"
            ) as found:
                act(given)
            assert found.value.column == "extra"
    with pytest.raises(DataError, match="'wind'"):
        model.predict(rows.drop("wind"))
    # Words were never found, so new ones are nobody's.
    assert model.predict(rows.with_columns(note=pl.lit("x"))).equals(model.predict(rows))


def test_a_new_column_is_left_alone_where_columns_were_named(rows: pl.DataFrame) -> None:
    more = rows.with_columns(extra=pl.lit(1.0))
    for names in (("wind",), ()):
        named = Forecaster(**SMALL, covariates=names).fit(rows, run=QUICK)
        assert named.predict(more).equals(named.predict(rows))
    assert named.predict(rows.drop("wind")).equals(named.predict(rows))


def test_a_horizon_of_one_and_two_layers(rows: pl.DataFrame) -> None:
    model = Forecaster(**{**SMALL, "horizon": 1, "num_layers": 2}).fit(rows, run=QUICK)
    assert len(model.predict(rows)) == 2
    assert model.evaluate(rows).num_windows == 2 * 12


def test_short_series_are_forecast_beside_long_ones(tmp_path: Path) -> None:
    options = {"horizon": 4, "season": 6, "hidden_size": 6, "context": 30}
    short = frame(["c", "d"], 17).with_columns(pl.col("ds") + pl.duration(hours=63))
    both = pl.concat([frame(length=80), short])
    fitted = Forecaster(**options).fit(both, run=QUICK)
    plan = fitted._ready("look").plan
    assert (plan.least, plan.holdout, plan.validation) == (5, 4, 4)
    forecast = fitted.predict(both)
    assert forecast["unique_id"].to_list() == [name for name in "abcd" for _ in range(4)]
    assert np.isfinite(answers(forecast)).all()
    report = fitted.evaluate(both)
    assert report.num_windows == 4
    # A forecast needs a single value, and fitting as many rows as the message says.
    alone = fitted.predict(frame(["e"], 1))
    assert np.isfinite(answers(alone)).all()
    with pytest.raises(DataError, match=r"'e' is too short.*13 rows, expected at least 14"):
        Forecaster(**options).fit(pl.concat([both, frame(["e"], 13)]), run=QUICK)


def test_without_validation_every_row_trains_and_the_last_weights_stay(rows: pl.DataFrame) -> None:
    options = {**SMALL, "validation": 0, "holdout": 0}
    run = RunOptions(max_steps=6, batch_size=8, progress="none")
    shorter = RunOptions(max_steps=5, batch_size=8, progress="none")
    fitted = Forecaster(**options).fit(rows, run=run)
    assert fitted._ready("look").about["training_rows"] == len(rows)
    assert "validation: none; the last weights were kept" in fitted.card
    assert "on the validation rows: not measured\n" in fitted.card
    assert "flatters" not in fitted.card
    assert fitted.history.scores("pinball") == []
    assert fitted.history.records[-1].step == 6
    # The last weights, and no better ones from before.
    other = Forecaster(**options).fit(rows, run=shorter)
    assert not torch.equal(*(next(iter(weights(m).values())) for m in (fitted, other)))
    # The very last rows train too.
    last = pl.int_range(pl.len()).over("unique_id") == 79
    moved = rows.with_columns(y=pl.when(last).then(pl.col("y") + 1).otherwise("y"))
    found = weights(Forecaster(**options).fit(moved, run=run))
    assert not all(torch.equal(tensor, found[name]) for name, tensor in weights(fitted).items())
    with pytest.raises(OptionError, match="'validate_every' needs validation data"):
        Forecaster(**options).fit(rows, run=QUICK)
    with pytest.raises(DataError, match="no row to evaluate on"):
        fitted.evaluate(rows)


def test_further_data_may_choose_the_weights_where_no_rows_do(rows: pl.DataFrame) -> None:
    fitted = Forecaster(**{**SMALL, "validation": 0}).fit(rows, valid=rows, run=QUICK)
    assert fitted.history.scores("pinball")
    assert "validation: a frame in memory, which chose the weights" in fitted.card


def swinging(length: int = 80) -> pl.DataFrame:
    """Positive series whose movement is a multiple of their level."""
    random = np.random.default_rng(0)
    return frame(length=length).with_columns(
        y=pl.Series(np.exp(random.normal(0.0, 2.0, 2 * length)))
    )


@pytest.mark.parametrize("calibration", [0, 10])
def test_forecasts_of_logarithms_are_above_0(calibration: int, tmp_path: Path) -> None:
    options = {**SMALL, "transform": "log", "calibration": calibration, "covariates": ()}
    fitted = Forecaster(**options).fit(swinging(160), run=QUICK)
    found = answers(fitted.predict(swinging(160)))
    assert (found > 0).all()
    ordered = found[:, [1, 2, 0, 3, 4]]  # y, y_q0.025, y_q0.1, y_q0.9, y_q0.975
    assert (np.diff(ordered, axis=1) >= 0).all()
    report = fitted.evaluate(swinging(160))
    assert (report.backtest.quantiles > 0).all()
    assert np.isfinite(report.model.mase)
    assert "the network sees the logarithm of the target" in fitted.card
    fitted.save(tmp_path / "m")
    loaded = carousel.load(tmp_path / "m")
    assert loaded.predict(swinging(160)).equals(fitted.predict(swinging(160)))


def test_a_factor_does_not_change_what_logarithms_learn() -> None:
    options = {**SMALL, "transform": "log", "covariates": ()}
    large = swinging().with_columns(pl.col("y") * 1024)
    one, other = (Forecaster(**options).fit(data, run=QUICK) for data in (swinging(), large))
    wanted = answers(one.predict(swinging()))
    assert answers(other.predict(large)) / 1024 == pytest.approx(wanted, rel=1e-3)


def test_a_value_without_a_logarithm_is_refused_with_its_line(tmp_path: Path) -> None:
    options = {**SMALL, "transform": "log", "covariates": ()}
    fitted = Forecaster(**options).fit(swinging(), run=QUICK)
    row = pl.int_range(pl.len())
    spoilt = swinging().with_columns(y=pl.when(row == 30).then(0.0).otherwise("y"))
    spoilt.write_csv(tmp_path / "rows.csv")
    for act in (
        fitted.predict,
        fitted.evaluate,
        lambda data: Forecaster(**options).fit(data, run=QUICK),
        lambda data: Forecaster(**options).fit(swinging(), valid=data, run=QUICK),
    ):
        with pytest.raises(DataError, match=r"above 0.*got 0; .*transform none") as caught:
            act(tmp_path / "rows.csv")
        assert (caught.value.line, caught.value.column) == (32, "y")
        assert caught.value.source == str(tmp_path / "rows.csv")
    plain = Forecaster(**{**options, "transform": "auto"}).fit(tmp_path / "rows.csv", run=QUICK)
    assert "the network sees the target itself" in plain.card


@pytest.mark.parametrize("metric", ["mase", "smape", "owa"])
def test_what_is_weighed_decides_what_is_learnt(metric: str, rows: pl.DataFrame) -> None:
    found = weights(Forecaster(**SMALL, metric=metric).fit(rows, run=QUICK))
    usual = weights(Forecaster(**SMALL).fit(rows, run=QUICK))
    same = all(torch.equal(tensor, usual[name]) for name, tensor in found.items())
    assert same == (metric == "mase")


@pytest.mark.parametrize("changes", [{"members": 3}, {"patch": 5}, {"lags": (3, 12)}])
def test_members_patches_and_lags_are_saved(
    changes: dict[str, Any], rows: pl.DataFrame, tmp_path: Path
) -> None:
    fitted = Forecaster(**SMALL, **changes).fit(rows, run=QUICK)
    fitted.save(tmp_path / "m")
    loaded = carousel.load(tmp_path / "m")
    assert loaded.predict(rows).equals(fitted.predict(rows))
    again = weights(Forecaster(**SMALL, **changes).fit(rows, run=QUICK))
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights(fitted).items())


def test_whole_numbers_as_time_stamps(rows: pl.DataFrame) -> None:
    numbered = rows.with_columns(ds=pl.int_range(pl.len()).over("unique_id") + 1)
    forecast = Forecaster(**SMALL).fit(numbered, run=QUICK).predict(numbered)
    assert forecast["ds"].to_list() == [81, 82, 83, 84] * 2
