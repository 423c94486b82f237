"""M4 Hourly: 414 hourly series, 48 steps ahead, against Naive2 and the competition's winner.

One network is trained on all series' official training part; their official test part is forecast
once, from its begin. Options and the number of steps were chosen on the last 48 steps of the
training part (``--validation`` runs that), and then everything known was trained on.

    owa                     mean of sMAPE and MASE, each over that of Naive2; the winner has 0.440
    smape, mase             percent, and over the 24-step seasonal naive error
    coverage_80, _95        percent of the values inside the interval
    minutes                 of fitting, on this machine
"""

from __future__ import annotations

import argparse

import _m4
from _harness import Outcome, run

OPTIONS = {
    "context": 336,
    "patch": 4,
    "lags": (168,),
    "members": 3,
    "metric": "owa",
    "transform": "log",
    "num_layers": 2,
    "hidden_size": 64,
    "dropout": 0.1,
}
RUN = {
    "max_steps": 3000,
    "batch_size": 128,
    "learning_rate": 5e-3,
    "weight_decay": 0.1,
    "average": 0.995,
}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits once and forecasts once."""
    return _m4.measure(arguments, frequency="Hourly", season=24, options=OPTIONS, run=RUN)


if __name__ == "__main__":
    run(measure, options=_m4.OPTIONS, libraries=["polars", "narwhals"])
