"""Large tables of time series: how long and how much memory a forecaster takes beyond its training.

Two Parquet files are made in a temporary folder: a million hourly rows of 100 series, and six
million daily rows of 100,000 series, each with a column of words that nobody asks for. A fresh
process reads one, fits a small network for 20 steps, forecasts behind every series and scores a
backtest.

    million_rows_seconds, many_series_seconds
                            of all of that, in one process
    million_rows_mib, many_series_mib
                            the most memory that the process held, with Python and PyTorch
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from _harness import Outcome, run

# Name: series, rows of each, step, horizon and season.
SIZES = {
    "million_rows": (100, 10_000, "1h", 24, 24),
    "many_series": (100_000, 60, "1d", 7, 7),
}
PARTS = ("read and fit", "predict", "evaluate")


def write(path: Path, series: int, rows: int, step: str, season: int) -> None:
    """Writes waves with noise, each series around a level of its own."""
    random = np.random.default_rng(0)
    level = random.uniform(10, 1_000, series)
    wave = 1 + 0.3 * np.sin(2 * np.pi * np.arange(rows) / season)
    noise = random.normal(1, 0.05, (series, rows))
    start = pl.datetime(2020, 1, 1)
    stamps = pl.select(pl.datetime_range(start, start + pl.duration(days=rows), step))
    words = pl.Series(["nobody asks for this text, however long it may be"]).new_from_index(0, rows)
    pl.DataFrame(
        {
            "unique_id": np.repeat([f"series {k}" for k in range(series)], rows),
            "ds": np.tile(stamps.to_series()[:rows].to_numpy(), series),
            "y": (level[:, None] * wave * noise).reshape(-1),
            "words": pl.concat([words] * series),
        }
    ).write_parquet(path)


def use(path: str, horizon: int, season: int) -> None:
    """Fits, forecasts and evaluates; prints the seconds of each part and the peak memory."""
    from carousel.tasks.forecasting import Forecaster
    from carousel.training import RunOptions

    marks = [time.perf_counter()]
    model = Forecaster(horizon=horizon, season=season, hidden_size=16)
    model.fit(path, run=RunOptions(max_steps=20, validate_every=20, progress="none"))
    marks.append(time.perf_counter())
    model.predict()
    marks.append(time.perf_counter())
    model.evaluate(path)
    marks.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": np.diff(marks).tolist(), "mib": peak}))


def measure(arguments: argparse.Namespace) -> Outcome:
    """Makes the files and uses each in a process of its own."""
    results: dict[str, float] = {}
    rows: list[list[object]] = []
    for name, (series, count, step, horizon, season) in SIZES.items():
        series = series // 100 if arguments.quick else series
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            write(path, series, count, step, season)
            words = [sys.executable, __file__, "--use", str(path), str(horizon), str(season)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        results[f"{name}_seconds"] = round(sum(found["seconds"]), 1)
        results[f"{name}_mib"] = round(found["mib"])
        rows.append([f"{series:,} series of {count:,} rows", *found["seconds"], found["mib"]])
    return Outcome(
        results=results, columns=["data", *(f"{part}, s" for part in PARTS), "MiB"], rows=rows
    )


if __name__ == "__main__":
    if "--use" in sys.argv:
        place, horizon, season = sys.argv[sys.argv.index("--use") + 1 :]
        use(place, int(horizon), int(season))
    else:
        run(measure, libraries=["polars", "narwhals"])
