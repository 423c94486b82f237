"""ETTh1, 96 steps ahead, seven channels: the usual test of long horizons.

8,640 rows train, the next 2,880 validate, the next 2,880 test. Columns are standardised by their
training part and taken as seven series of one network, which never sees one channel beside another.
Every window of the test part counts (2,785 origins a channel). Options were chosen on the
validation part (``--validation`` runs that).

    mse, mae                of the point forecast, in standardised units; published: DLinear 0.375
                            and 0.399 (arXiv:2205.13504, table 2), PatchTST 0.370 and 0.400
                            (arXiv:2211.14730, table 3)
    mse_seasonal_naive, mae_seasonal_naive
                            of the value 24 hours before
    coverage_80, _95        percent of the values inside the interval
    minutes                 of fitting, on this machine
"""

from __future__ import annotations

import argparse
import csv
import time
from typing import Any

import numpy as np
import polars as pl

from _harness import Outcome, data_path, run
from carousel.tasks.forecasting import Forecaster
from carousel.training import RunOptions

TRAIN, PART, HORIZON = 8_640, 2_880, 96
OPTIONS: dict[str, Any] = {
    "context": 336,
    "patch": 24,
    "members": 4,
    "dropout": 0.2,
    "hidden_size": 64,
    "metric": "mae",
    "transform": "none",
}
RUN: dict[str, Any] = {"max_steps": 500, "batch_size": 128, "learning_rate": 2e-3, "average": 0.995}


def rows(end: int) -> pl.DataFrame:
    """Returns the first ``end`` rows in long form, standardised by the training part."""
    with data_path("ett").open(newline="") as file:
        lines = list(csv.reader(file))
    names = lines[0][1:]
    values = np.array([[float(cell) for cell in line[1:]] for line in lines[1 : end + 1]])
    values = (values - values[:TRAIN].mean(0)) / values[:TRAIN].std(0)
    stamps = pl.Series([line[0] for line in lines[1 : end + 1]]).str.to_datetime()
    return pl.concat(
        pl.DataFrame({"unique_id": name, "ds": stamps, "y": values[:, k]})
        for k, name in enumerate(names)
    )


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits on the training part, chooses weights on the validation part, and tests once."""
    steps = {"max_steps": 20} if arguments.quick else {}
    training = RunOptions(**{**RUN, **steps}, seed=arguments.seed, progress="plain", log_every=100)
    known = TRAIN if arguments.validation else TRAIN + PART
    begin = time.perf_counter()
    model = Forecaster(horizon=HORIZON, holdout=0, validation=known - TRAIN, **OPTIONS)
    model.fit(rows(known), run=training)
    minutes = (time.perf_counter() - begin) / 60
    stride = HORIZON // 4 if arguments.quick else 4 if arguments.validation else 1
    report = model.evaluate(rows(known + PART), stride=stride)
    scores = {name: (s.mse, s.mae) for name, s in report.scores.items()}
    naive = report.baselines["seasonal naive"]
    results = {
        "mse": report.model.mse,
        "mae": report.model.mae,
        "mse_seasonal_naive": naive.mse,
        "mae_seasonal_naive": naive.mae,
        **{
            f"coverage_{100 * nominal:.0f}": 100 * share
            for nominal, share in report.model.coverage.items()
        },
        "minutes": minutes,
    }
    return Outcome(
        results={name: round(value, 4) for name, value in results.items()},
        columns=["forecast", "MSE", "MAE"],
        rows=[[name, mse, mae] for name, (mse, mae) in scores.items()],
        notes=[f"{report.num_windows:,} windows; {report.verdict}"],
        partial=arguments.validation,
    )


if __name__ == "__main__":
    run(
        measure,
        options={
            "--validation": {
                "action": "store_true",
                "help": "train on the training part and forecast the validation part; "
                "writes nothing",
            },
            "--seed": {"type": int, "default": 0, "help": "of the run"},
        },
        libraries=["polars", "narwhals"],
    )
