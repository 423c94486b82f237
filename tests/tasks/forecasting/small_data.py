"""Small series that every forecasting test makes its data from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from carousel.training import RunOptions

START = datetime.datetime(2024, 1, 1)
SMALL = {"horizon": 4, "context": 12, "season": 6, "hidden_size": 6, "holdout": 12, "validation": 8}
QUICK = RunOptions(max_steps=6, batch_size=8, validate_every=3, progress="none")


def values(length: int = 80, series: int = 0, *, seed: int = 0) -> np.ndarray:
    """A noisy wave with period 6 around a level of its own, (length,)."""
    noise = np.random.default_rng(seed + series).normal(0.0, 0.3, length)
    return 10.0 * (series + 1) + 3.0 * np.sin(2 * np.pi * np.arange(length) / 6) + noise


def frame(
    names: Sequence[str] = ("a", "b"),
    length: int = 80,
    step: datetime.timedelta = datetime.timedelta(hours=1),
) -> pl.DataFrame:
    """Series in long form with one covariate."""
    parts = [
        pl.DataFrame(
            {
                "unique_id": [name] * length,
                "ds": [START + k * step for k in range(length)],
                "y": values(length, number),
                "wind": np.cos(np.arange(length) / 5.0),
            }
        )
        for number, name in enumerate(names)
    ]
    return pl.concat(parts)


# Of every kind, as ``rich_frame`` has them.
ALL_COVARIATES = {
    "covariates": ("wind", "sky"),
    "known_covariates": ("price", "holiday"),
    "static_covariates": ("kind", "area"),
}


def rich_frame(names: Sequence[str] = ("a", "b"), length: int = 80) -> pl.DataFrame:
    """Series in long form with covariates of every kind, numbers, words and truth values."""
    row = pl.int_range(pl.len()).over("unique_id")
    number = pl.col("unique_id").rank("dense").cast(pl.Int64)
    return frame(names, length).with_columns(
        sky=pl.when(row % 3 == 0).then(pl.lit("grey")).otherwise(pl.lit("blue")),
        price=row + 1000.0 * number,
        holiday=row % 5 == 0,
        kind=pl.when(number % 2 == 1).then(pl.lit("shop")).otherwise(pl.lit("mill")),
        area=number * 10.0,
    )


def split(rows: pl.DataFrame, horizon: int = 4) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of the past, and what is known of the last ``horizon`` ones of each series."""
    last = pl.int_range(pl.len()).over("unique_id") >= pl.len().over("unique_id") - horizon
    known = ["unique_id", "ds", *ALL_COVARIATES["known_covariates"]]
    return rows.filter(~last), rows.filter(last).select(known)


def answers(forecast: Any) -> np.ndarray:
    """The forecast's quantiles, (rows, Q), whatever library the frame is of."""
    found = pl.DataFrame(forecast)
    return found.select(sorted(name for name in found.columns if name.startswith("y"))).to_numpy()


def csv_lines(length: int = 80, names: Sequence[str] = ("a",)) -> list[str]:
    """The lines of a CSV file, header first, to be spoilt by a test."""
    lines = ["unique_id,ds,y"]
    for number, name in enumerate(names):
        for k, value in enumerate(values(length, number)):
            stamp = START + k * datetime.timedelta(hours=1)
            lines.append(f"{name},{stamp:%Y-%m-%d %H:%M},{value:.4f}")
    return lines


def write_csv(path: Path, lines: Sequence[str]) -> Path:
    """Writes the lines to a file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
