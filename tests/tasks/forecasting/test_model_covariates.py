"""Models with covariates of every kind, as a user meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.forecasting.small_data import (
    ALL_COVARIATES,
    QUICK,
    SMALL,
    answers,
    frame,
    rich_frame,
    split,
)
from tests.tasks.forecasting.test_model import weights

import carousel
from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting import Forecaster

RICH = {**SMALL, **ALL_COVARIATES}


@pytest.fixture(scope="module")
def rich() -> Forecaster:
    """A model of every kind of covariate, fitted on the rows before the last four."""
    return Forecaster(**RICH, categories=("price",)).fit(split(quarters())[0], run=QUICK)


def quarters(length: int = 84) -> pl.DataFrame:
    """Rows with covariates of every kind, among them numbers that are kinds."""
    quarter = pl.int_range(pl.len()).over("unique_id") % 4
    return rich_frame(length=length).with_columns(price=quarter)


def test_all_covariates_together_are_saved_and_forecast_the_same(
    rich: Forecaster, tmp_path: Path
) -> None:
    past, future = split(quarters())
    rich.save(tmp_path / "m")
    loaded = carousel.load(tmp_path / "m")
    assert isinstance(loaded, Forecaster)
    assert loaded.predict(past, future=future).equals(rich.predict(past, future=future))
    assert loaded.evaluate(past).to_dict() == rich.evaluate(past).to_dict()
    assert loaded.options == rich.options
    assert weights(loaded).keys() == weights(rich).keys()
    for words in (
        "covariates: of the past `wind`, `sky`; known ahead `price`, `holiday`; static `kind`, ",
        "; known ahead price, holiday; static kind, area",
        "| categories | price |",
    ):
        assert words in rich.card
    assert rich._ready("look").covariates.levels == {
        "sky": ("blue", "grey"),
        "price": ("0", "1", "2", "3"),
        "holiday": ("false", "true"),
        "kind": ("mill", "shop"),
    }


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "csv", "csv of pandas", "parquet"])
def test_every_kind_of_table_is_forecast_alike(
    library: str, rich: Forecaster, tmp_path: Path
) -> None:
    def other(rows: pl.DataFrame, name: str) -> Any:
        path = tmp_path / f"{name}.{'parquet' if library == 'parquet' else 'csv'}"
        if library == "csv":
            rows.write_csv(path)
        elif library == "csv of pandas":
            rows.to_pandas().to_csv(path, index=False)
        elif library == "parquet":
            rows.write_parquet(path)
        else:
            return rows.to_pandas() if library == "pandas" else rows.to_arrow()
        return path

    past, future = split(quarters())
    wanted = answers(rich.predict(past, future=future))
    found = rich.predict(other(past, "past"), future=other(future, "future"))
    assert answers(found) == pytest.approx(wanted, rel=1e-9)
    mixed = rich.predict(past, future=other(future, "future"))
    assert answers(mixed) == pytest.approx(wanted, rel=1e-9)
    fitted = Forecaster(**RICH, categories=("price",)).fit(other(past, "past"), run=QUICK)
    assert answers(fitted.predict(past, future=future)) == pytest.approx(wanted, rel=1e-6)


def test_what_is_known_ahead_moves_the_forecast_and_its_order_does_not(rich: Forecaster) -> None:
    past, future = split(quarters())
    wanted = rich.predict(past, future=future)
    mixed = future.sample(fraction=1.0, shuffle=True, seed=3)
    more = pl.concat([mixed, future.with_columns(unique_id=pl.lit("z"))])
    assert rich.predict(past, future=more).equals(wanted)
    for change in ({"price": (pl.col("price") + 1) % 4}, {"holiday": ~pl.col("holiday")}):
        moved = rich.predict(past, future=future.with_columns(**change))
        assert not np.allclose(moved["y"].to_numpy(), wanted["y"].to_numpy(), rtol=1e-6)
    # Only that of the series it was changed for.
    one = pl.when(pl.col("unique_id") == "b").then((pl.col("price") + 1) % 4).otherwise("price")
    moved = rich.predict(past, future=future.with_columns(price=one))
    assert answers(moved)[:4] == pytest.approx(answers(wanted)[:4], rel=1e-6)


def test_a_level_that_training_never_saw_is_forecast_all_the_same(rich: Forecaster) -> None:
    past, future = split(quarters())
    new = future.with_columns(price=pl.lit(17))
    found = rich.predict(past, future=new)
    assert np.isfinite(answers(found)).all()
    assert found.equals(rich.predict(past, future=future.with_columns(price=pl.lit(99))))
    unknown = past.with_columns(
        unique_id=pl.lit("c-") + pl.col("unique_id"), kind=pl.lit("farm"), sky=pl.lit("red")
    )
    ahead = future.with_columns(unique_id=pl.lit("c-") + pl.col("unique_id"))
    found = rich.predict(unknown, future=ahead)
    assert found["unique_id"].unique(maintain_order=True).to_list() == ["c-a", "c-b"]
    assert np.isfinite(answers(found)).all()


def test_a_future_that_is_missing_or_in_vain_is_refused(rich: Forecaster, tmp_path: Path) -> None:
    past, future = split(quarters())
    with pytest.raises(OptionError, match=r"next 4 rows of price, holiday .*give them with future"):
        rich.predict(past)
    with pytest.raises(OptionError, match="give them with future"):
        rich.plot(past, tmp_path / "p.svg")
    with pytest.raises(DataError, match="'b' has no row for"):
        rich.predict(past, future=future[:-1])
    with pytest.raises(OptionError, match=r"nothing to read in it; leave it out"):
        Forecaster(**SMALL).fit(frame(), run=QUICK).predict(frame(), future=future)
    assert rich.plot(past, tmp_path / "p.svg", future=future).exists()


@pytest.mark.parametrize("name", ["wind", "sky", "price", "holiday", "kind", "area"])
def test_a_covariate_that_is_missing_is_named(name: str, rich: Forecaster) -> None:
    past, future = split(quarters())
    for act in (lambda data: rich.predict(data, future=future), rich.evaluate):
        with pytest.raises(DataError, match=rf"no column '{name}'.*the model was fitted with it"):
            act(past.drop(name))


def test_a_static_covariate_that_changes_is_refused(rich: Forecaster) -> None:
    past, future = split(quarters())
    row = pl.int_range(pl.len())
    other = past.with_columns(kind=pl.when(row == 50).then(pl.lit("mill")).otherwise("kind"))
    with pytest.raises(DataError, match=r"column 'kind': row 50: series 'a' has another value"):
        rich.predict(other, future=future)


def test_a_forecast_from_within_sees_what_was_known_then(rich: Forecaster) -> None:
    """Neither target nor past covariates from the origin on, and all that is known ahead."""
    past, future = split(quarters())
    row = pl.int_range(pl.len()).over("unique_id")
    for origin in (68, 73):
        then = past.filter(row < origin)
        ahead = past.filter(row.is_between(origin, origin + 3))
        wanted = answers(rich.predict(then, future=ahead.select(future.columns)))
        late = row >= origin
        spoilt = past.with_columns(
            y=pl.when(late).then(1e4).otherwise("y"),
            wind=pl.when(late).then(-1e4).otherwise("wind"),
            sky=pl.when(late).then(pl.lit("grey")).otherwise("sky"),
        )
        for data in (past, spoilt):
            tested = rich.evaluate(data, stride=1).backtest
            for s in (0, 1):
                window = np.flatnonzero((tested.series == s) & (tested.origin == origin))[0]
                found = tested.median[:, window]
                assert found == pytest.approx(wanted[4 * s : 4 * s + 4, 0], rel=1e-5)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_nothing_of_the_holdout_reaches_the_weights(transform: str) -> None:
    past, _ = split(quarters())
    options = {**RICH, "categories": ("price",), "transform": transform}
    held = pl.int_range(pl.len()).over("unique_id") >= 80 - SMALL["holdout"]
    spoilt = past.with_columns(
        pl.when(held).then(value).otherwise(name).alias(name)
        for name, value in {
            "y": pl.lit(1e6),
            "wind": pl.lit(1e6),
            "sky": pl.lit("a level of its own"),
            "price": pl.lit(77),
            "holiday": pl.lit(None),
        }.items()
    )
    one, other = (Forecaster(**options).fit(data, run=QUICK) for data in (past, spoilt))
    assert one._ready("look").covariates == other._ready("look").covariates
    found = weights(other)
    assert all(torch.equal(tensor, found[name]) for name, tensor in weights(one).items())


def test_a_column_without_a_value_trains_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    empty = frame().with_columns(gone=pl.lit(None, dtype=pl.String))
    empty.write_csv(tmp_path / "rows.csv")
    for role in ("covariates", "static_covariates"):
        for data in (empty, tmp_path / "rows.csv"):
            fitted = Forecaster(**SMALL, **{role: ("gone",)}).fit(data, run=QUICK)
            assert np.isfinite(answers(fitted.predict(data))).all()
