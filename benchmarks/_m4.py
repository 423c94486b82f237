"""What the benchmarks of the M4 competition share: its series, its scores, and one fit of ours.

A series is forecast once, from its official end. The scores are the competition's own: sMAPE and
MASE averaged over the series, and OWA, the mean of both over those of Naive2 (Makridakis 2020,
doi:10.1016/j.ijforecast.2019.04.014).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from _harness import Outcome, Table, data_path
from carousel.tasks.forecasting import Forecaster
from carousel.training import RunOptions


@dataclass(frozen=True)
class Series:
    """The series of one frequency: names, what is known, and what came."""

    names: list[str]
    past: list[np.ndarray]
    future: np.ndarray

    @classmethod
    def read(cls, frequency: str) -> Series:
        """Reads the official training and test part, such as of "Hourly"."""
        folder = data_path("m4")
        past = _rows(folder / f"{frequency}-train.csv")
        future = _rows(folder / f"{frequency}-test.csv")
        names = list(past)
        return cls(names, list(past.values()), np.stack([future[name] for name in names]))

    def before_the_end(self, horizons: int) -> Series:
        """Returns the series some horizons earlier: what choices are made on, the test unseen."""
        held = horizons * self.future.shape[1]
        return Series(
            self.names,
            [y[:-held] for y in self.past],
            np.stack([y[-held:] for y in self.past]),
        )

    def frame(self, *, with_future: bool) -> pl.DataFrame:
        """Returns rows in long form, numbered: the files have no dates."""
        whole = [
            np.concatenate([y, ahead]) if with_future else y
            for y, ahead in zip(self.past, self.future, strict=True)
        ]
        return pl.DataFrame(
            {
                "unique_id": np.repeat(self.names, [len(y) for y in whole]),
                "ds": np.concatenate([np.arange(len(y)) for y in whole]),
                "y": np.concatenate(whole),
            }
        )

    def naive_error(self, season: int) -> np.ndarray:
        """Returns what MASE divides by, (S,)."""
        return np.array([np.abs(y[season:] - y[:-season]).mean() for y in self.past])

    def scores(self, forecast: np.ndarray, season: int) -> dict[str, float]:
        """Returns sMAPE in percent and MASE of a forecast (S, K), as the competition does."""
        return scores(self.future, forecast, self.naive_error(season))


def scores(actual: np.ndarray, forecast: np.ndarray, naive: np.ndarray) -> dict[str, float]:
    """Returns sMAPE in percent and MASE of forecasts (W, K), with ``naive`` (W,) below MASE."""
    error = np.abs(actual - forecast)
    smape = 200 * error / (np.abs(actual) + np.abs(forecast))
    return {"smape": float(smape.mean()), "mase": float((error.mean(axis=1) / naive).mean())}


def naive2(frequency: str, names: list[str]) -> np.ndarray:
    """Returns the competition's own Naive2 forecasts, (S, K)."""
    rows = _rows(data_path("m4") / "naive2-forecasts.csv")
    horizon = max(int(np.isfinite(rows[name]).sum()) for name in names)
    return np.stack([rows[name][:horizon] for name in names])


def measure(
    arguments: argparse.Namespace,
    *,
    frequency: str,
    season: int,
    options: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Outcome:
    """Fits on the training part and forecasts the test part once.

    With ``--validation`` it fits on all but the last three horizons of the training part, forecasts
    each of them, and writes nothing.
    """
    series = Series.read(frequency)
    horizon = series.future.shape[1]
    if arguments.validation:
        series = series.before_the_end(3)
    steps = {"max_steps": 20} if arguments.quick else {}
    begin = time.perf_counter()
    model = Forecaster(
        horizon=horizon, season=season, holdout=0, validation=0, calibration=0, **options
    )
    model.fit(
        series.frame(with_future=False),
        run=RunOptions(**{**run, **steps, "seed": arguments.seed}, progress="plain", log_every=200),
    )
    minutes = (time.perf_counter() - begin) / 60
    report = model.evaluate(series.frame(with_future=True))
    tested = report.backtest
    assert tested.actual.shape[1] == series.future.size // horizon, "a window is missing"
    naive = series.naive_error(season)[tested.series]
    found = {name: scores(tested.actual.T, f.T, naive) for name, f in tested.forecasts.items()}
    ours = found["this model"]
    held = {f"coverage_{100 * n:.0f}": 100 * share for n, share in report.model.coverage.items()}
    results = {**ours, **held, "minutes": minutes}
    columns = ["forecast", "sMAPE %", "MASE"]
    if not arguments.validation:
        base = series.scores(naive2(frequency, series.names), season)
        found["Naive2"] = base
        for s in found.values():
            s["owa"] = (s["smape"] / base["smape"] + s["mase"] / base["mase"]) / 2
        results["owa"] = ours["owa"]
        columns.append("OWA")
    rows: list[list[str | float]] = [[name, *s.values()] for name, s in found.items()]
    return Outcome(
        results={name: round(value, 4) for name, value in results.items()},
        columns=columns,
        rows=rows,
        tables=[Table(title="Scores of all forecasts", columns=columns, rows=rows)],
        partial=arguments.validation,
    )


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--validation": {
        "action": "store_true",
        "help": "forecast the last three horizons of the training part instead; writes nothing",
    },
    "--seed": {"type": int, "default": 0, "help": "of the run"},
}


def _rows(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        lines = csv.reader(file)
        next(lines)
        return {
            line[0]: np.array([float(cell) for cell in line[1:] if cell not in ("", "NA")])
            for line in lines
        }
