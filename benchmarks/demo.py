"""How long `make demo` takes once everything is installed: fit, evaluate, predict, two pictures.

Runs the three commands of the Makefile's demo, each in a fresh process, in a temporary folder.

    demo_seconds            all three together
    mase_ratio              MASE of the demo's model over the seasonal naive forecast's
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import Outcome, run


def commands(folder: Path, quick: bool) -> dict[str, list[str]]:
    """Returns the demo's commands by verb."""
    model, data = str(folder / "weather.model"), "sample:weather"
    budget = ["--max-steps", "20" if quick else "800", "--max-minutes", "2"]
    return {
        "fit": ["fit", "forecasting", data, "--horizon", "24", "--out", model, *budget],
        "evaluate": ["evaluate", model, data, "--plot", str(folder / "backtest.png"), "--json"],
        "predict": [
            "predict", model, data,
            "--out", str(folder / "forecast.csv"), "--plot", str(folder / "forecast.png"),
        ],
    }  # fmt: skip


def measure(arguments: argparse.Namespace) -> Outcome:
    """Runs the demo once."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for verb, words in commands(Path(folder), arguments.quick).items():
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "carousel", *words],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            seconds[verb] = time.perf_counter() - begin
            if verb == "evaluate":
                report = json.loads(done.stdout)
    total = sum(seconds.values())
    return Outcome(
        results={"demo_seconds": round(total, 1), "mase_ratio": round(report["mase_ratio"], 4)},
        columns=["command", "seconds"],
        rows=[*seconds.items(), ("all", total)],
    )


if __name__ == "__main__":
    run(measure)
