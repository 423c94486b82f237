"""What `import carousel` costs beyond `import torch`, in seconds of a fresh process.

Each round starts one process for each candidate, in turn; each process loads torch first and then
measures. `import carousel` alone is cheap because its names are loaded on first use, so what the
first use costs is shown beside it. The bytecode is compiled before the first round that counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from _harness import Outcome, Spread, in_turn, run

TIMED = """
import time
import torch
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""

STATEMENTS = {
    "nothing_seconds": "pass",
    "import_seconds_beyond_torch": "import carousel",
    "lstm_seconds_beyond_torch": "import carousel; carousel.LSTM",
    "forecaster_seconds_beyond_torch": "import carousel; carousel.Forecaster",
}


def in_fresh_process(statement: str) -> float:
    """Returns the seconds that a statement takes in a new process that has loaded torch."""
    words = [sys.executable, "-c", TIMED.format(statement=statement)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def measure(arguments: argparse.Namespace) -> Outcome:
    """Measures every statement in turn."""
    rounds = 3 if arguments.quick else 15
    candidates = {
        key: lambda statement=statement: in_fresh_process(statement)
        for key, statement in STATEMENTS.items()
    }
    spreads = {key: Spread.of(values) for key, values in in_turn(candidates, rounds).items()}
    return Outcome(
        results={
            key: round(spread.median, 5)
            for key, spread in spreads.items()
            if key != "nothing_seconds"
        },
        columns=["after import torch", "median s", "lower quartile", "upper quartile"],
        rows=[[STATEMENTS[k], s.median, s.low, s.high] for k, s in spreads.items()],
    )


if __name__ == "__main__":
    run(measure)
