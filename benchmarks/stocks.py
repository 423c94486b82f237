"""The S&P 500 index, one and five trading days ahead, against the random walk.

The target is the closing price; the network sees its logarithm and says each price relative to the
last one, which is the log-return. It reads open, high, low and volume of the past as well. The last
three years (756 trading days) are the test, forecast from every day; everything was left at the
forecaster's defaults, so that nothing was chosen on it. The p-value is Diebold and Mariano's
against the best of the naive forecasts, over all origins, for one seed; the ratios of the other
seeds show how much of it is luck.

    mase_ratio_1, _5        MASE of the median over the random walk's, one and five days ahead
    p_value_1, _5           two-sided: the chance of a difference as large where there is none
    beats_1, _5             whether the model beats the best naive forecast at 5 %
    coverage_80_1, ...      percent of the prices inside the interval
"""

from __future__ import annotations

import argparse
import statistics
import time

from _harness import Outcome, data_path, run
from carousel.tasks.forecasting import Forecaster, Report
from carousel.training import RunOptions

TEST = 756
COLUMNS = {"time_column": "date", "target": "close"}
COVARIATES = ("open", "high", "low", "volume")


def forecast(horizon: int, seed: int, quick: bool) -> tuple[Report, float]:
    """Fits on all but the last three years and forecasts them from every day."""
    begin = time.perf_counter()
    model = Forecaster(
        horizon=horizon, holdout=TEST, covariates=COVARIATES, transform="log", **COLUMNS
    )
    training = RunOptions(
        seed=seed, progress="plain", log_every=200, max_steps=40 if quick else None
    )
    model.fit(data_path("stocks"), run=training)
    report = model.evaluate(data_path("stocks"), stride=1)
    return report, time.perf_counter() - begin


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits and tests one and five days ahead, once for each seed."""
    results: dict[str, float | bool] = {}
    rows: list[list[object]] = []
    notes = []
    for horizon in (1, 5):
        ratios = []
        for seed in range(1 if arguments.quick else 3):
            report, seconds = forecast(horizon, seed, arguments.quick)
            walk = report.baselines["random walk"].mase
            ratios.append(report.model.mase / walk)
            test = report.significance
            inside = [100 * share for share in report.model.coverage.values()]
            rows.append(
                [horizon, seed, report.model.mase, walk, ratios[-1], test.p_value, *inside, seconds]
            )
            if seed == 0:
                results |= {
                    f"p_value_{horizon}": round(test.p_value, 4),
                    f"beats_{horizon}": bool(test.tells and test.difference < 0),
                    f"coverage_80_{horizon}": round(inside[0], 2),
                    f"coverage_95_{horizon}": round(inside[1], 2),
                }
                notes.append(f"{horizon} ahead: {report.verdict}")
        results[f"mase_ratio_{horizon}"] = round(statistics.fmean(ratios), 4)
    return Outcome(
        results=dict(sorted(results.items())),
        columns=["days", "seed", "MASE", "walk", "ratio", "p", "in 80 %", "in 95 %", "seconds"],
        rows=rows,
        notes=notes,
    )


if __name__ == "__main__":
    run(measure, libraries=["polars", "narwhals"])
