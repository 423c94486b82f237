"""Temperature at three New York airports, 24 hours ahead, over the last 60 days of 2013.

The test is the last 60 days; one forecast starts every 24 hours at every station. Everything was
chosen on rows before the test: docs/forecasting.md has the comparison. The test runs once per seed,
and the recorded numbers are means over the seeds.

    mase_ratio              MASE of the median over MASE of the 24-hour seasonal naive forecast
    coverage_80, _95        percent of the observed values inside the interval
    *_covariates            the same with the other variables of each station
    load_milliseconds       of loading a saved model of the last kind, in the running process
    predict_milliseconds    of a forecast for all three stations from the rows that it knows, its
                            intervals calibrated; the median of 20
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from _harness import Outcome, data_path, in_turn, run, seconds_of
from carousel.tasks.forecasting import Forecaster, Report
from carousel.training import RunOptions

DAY = 24
COVARIATES = ("dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
COLUMNS = {"id_column": "origin", "time_column": "time_hour", "target": "temp"}


def forecast(
    covariates: tuple[str, ...], seed: int, quick: bool
) -> tuple[Forecaster, Report, float]:
    """Fits on all but the last 60 days and backtests on them."""
    data = data_path("weather")
    begin = time.perf_counter()
    model = Forecaster(horizon=DAY, holdout=60 * DAY, covariates=covariates, **COLUMNS)
    run = RunOptions(seed=seed, progress="plain", max_steps=60 if quick else None)
    model.fit(data, run=run)
    return model, model.evaluate(data, stride=DAY), time.perf_counter() - begin


def milliseconds(model: Forecaster) -> tuple[float, float]:
    """Returns how long loading a saved model takes, and a forecast from the rows it knows."""
    with tempfile.TemporaryDirectory() as folder:
        place = model.save(Path(folder) / "saved.model")
        load = seconds_of(lambda: Forecaster.load(place))()
        saved = Forecaster.load(place)
    predict = in_turn({"predict": seconds_of(saved.predict)}, rounds=20)["predict"]
    return 1e3 * load, 1e3 * statistics.median(predict)


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits and tests with the temperature alone, and with the other variables of each station."""
    seeds = range(1 if arguments.quick else 3)
    rows: list[list[object]] = []
    results: dict[str, float] = {}
    for suffix, covariates in (("", ()), ("_covariates", COVARIATES)):
        reports = []
        for seed in seeds:
            model, report, seconds = forecast(covariates, seed, arguments.quick)
            reports.append(report)
            inside = [100 * share for share in report.model.coverage.values()]
            rows.append(
                [
                    "with covariates" if covariates else "temperature alone",
                    seed,
                    report.model.mase,
                    report.mase_ratio,
                    *inside,
                    report.model.pinball,
                    seconds,
                ]
            )
        naive = reports[0].baselines
        results |= {
            f"mase_ratio{suffix}": mean(r.mase_ratio for r in reports),
            f"mase{suffix}": mean(r.model.mase for r in reports),
            f"coverage_80{suffix}": mean(100 * r.model.coverage[0.8] for r in reports),
            f"coverage_95{suffix}": mean(100 * r.model.coverage[0.95] for r in reports),
        }
    load, predict = milliseconds(model)
    results |= {"load_milliseconds": round(load, 1), "predict_milliseconds": round(predict, 1)}
    results["mase_seasonal_naive"] = round(naive["seasonal naive"].mase, 4)
    results["mase_random_walk"] = round(naive["random walk"].mase, 4)
    return Outcome(
        results=results,
        columns=["input", "seed", "MASE", "ratio", "in 80 %", "in 95 %", "pinball", "seconds"],
        rows=rows,
    )


def mean(values: Iterable[float]) -> float:
    """Returns the mean with four decimals."""
    return round(statistics.fmean(values), 4)


if __name__ == "__main__":
    run(measure, libraries=["polars", "narwhals"])
