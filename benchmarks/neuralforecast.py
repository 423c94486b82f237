"""M4 Hourly beside NeuralForecast's LSTM and NHITS, on the same machine in the same run.

Both peers run at their default number of steps (1,000), with the robust scaler and four times the
horizon as input, 192 rows. Ours runs as in ``m4_hourly.py``, but one network with patches of eight
and a budget of minutes: an eighth, a quarter, a half and all of what the better peer took to fit
and to forecast. All of them train on the official training part and forecast the official test
part.

    mase_ratio              our MASE over the better peer's, in the time that it took
    seconds_ratio           the seconds of our smallest budget with which our MASE was no higher
                            than the better peer's, over its seconds; 2 where none was enough
    mase_lstm, mase_nhits, mase_carousel
    seconds_lstm, seconds_nhits
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import _m4
import m4_hourly
from _harness import Outcome, run
from carousel.tasks.forecasting import Forecaster
from carousel.training import RunOptions

SEASON, INPUT, STEPS = 24, 192, 1_000
BUDGETS = (1 / 8, 1 / 4, 1 / 2, 1)
NEVER = 2.0


def imported(name: str) -> Any:
    """Imports a module of the library that this script has its name from, and not the script."""
    here = str(Path(__file__).parent)
    kept = list(sys.path)
    sys.path[:] = [place for place in kept if place != here]
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = kept


def peer(name: str, series: _m4.Series, steps: int) -> tuple[dict[str, float], float]:
    """Fits one of NeuralForecast's models and forecasts; returns its scores and its seconds."""
    library, models = imported("neuralforecast"), imported("neuralforecast.models")
    horizon = series.future.shape[1]
    options: dict[str, Any] = {
        "h": horizon,
        "input_size": INPUT,
        "max_steps": steps,
        "scaler_type": "robust",
        "enable_progress_bar": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    frame = series.frame(with_future=False)
    begin = time.perf_counter()
    model = library.NeuralForecast(models=[getattr(models, name)(**options)], freq=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, val_size=0)
        answer = model.predict().sort("unique_id", "ds", maintain_order=True)
    seconds = time.perf_counter() - begin
    by_name = {
        key[0]: part[name].to_numpy()
        for key, part in answer.partition_by("unique_id", as_dict=True).items()
    }
    forecast = np.stack([by_name[each] for each in series.names])
    return series.scores(forecast, SEASON), seconds


def ours(series: _m4.Series, seconds: float) -> tuple[dict[str, float], float]:
    """Fits ours within so many seconds and forecasts; returns its scores and its seconds."""
    horizon = series.future.shape[1]
    begin = time.perf_counter()
    model = Forecaster(
        horizon=horizon,
        season=SEASON,
        holdout=0,
        validation=0,
        calibration=0,
        **{**m4_hourly.OPTIONS, "members": 1, "patch": 8},
    )
    budget: dict[str, Any] = {**m4_hourly.RUN, "max_steps": None, "max_minutes": seconds / 60}
    model.fit(
        series.frame(with_future=False),
        run=RunOptions(**budget, progress="plain", log_every=200),
    )
    answer = model.predict()
    taken = time.perf_counter() - begin
    return series.scores(answer["y"].to_numpy().reshape(-1, horizon), SEASON), taken


def measure(arguments: argparse.Namespace) -> Outcome:
    """Runs both peers and then ours, with growing budgets."""
    series = _m4.Series.read("Hourly")
    rows: list[list[object]] = []
    found = {}
    for name in ("LSTM", "NHITS"):
        scores, seconds = peer(name, series, 10 if arguments.quick else STEPS)
        found[name] = (scores["mase"], seconds)
        rows.append([f"NeuralForecast {name}", scores["smape"], scores["mase"], seconds])
    best, limit = min(found.values())
    ratio = NEVER
    for part in BUDGETS:
        scores, seconds = ours(series, part * limit)
        rows.append([f"carousel, {part:g} of its time", scores["smape"], scores["mase"], seconds])
        if scores["mase"] <= best and ratio == NEVER:
            ratio = seconds / limit
    results = {
        "mase_ratio": scores["mase"] / best,
        "seconds_ratio": ratio,
        "mase_lstm": found["LSTM"][0],
        "mase_nhits": found["NHITS"][0],
        "mase_carousel": scores["mase"],
        "seconds_lstm": found["LSTM"][1],
        "seconds_nhits": found["NHITS"][1],
    }
    return Outcome(
        results={name: round(value, 4) for name, value in results.items()},
        columns=["model", "sMAPE %", "MASE", "seconds"],
        rows=rows,
    )


if __name__ == "__main__":
    run(measure, libraries=["neuralforecast", "polars", "narwhals"])
