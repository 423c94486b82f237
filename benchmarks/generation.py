"""Writing with a language model: characters per second, one after the other.

Two layers of 512 cells over characters, batch 1, temperature 0.8: from the token that was drawn
through the network and the sampler to the next piece of text, nothing left out.

    characters_per_second    the median over rounds
"""

from __future__ import annotations

import argparse
import itertools
import time

from _harness import Outcome, Spread, Table, data_path, run
from carousel.tasks.language_modeling import LanguageModel
from carousel.training import RunOptions

CHARACTERS, ROUNDS = 20_000, 9


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits a few steps, which speed does not depend on, and writes."""
    text = data_path("shakespeare").read_text(encoding="utf-8")[:200_000]
    model = LanguageModel(hidden_size=512, num_layers=2, validation=0.0, holdout=0.0)
    model.fit([text], run=RunOptions(max_steps=5, progress="none"))
    count, rounds = (200, 2) if arguments.quick else (CHARACTERS, ROUNDS)
    speeds = []
    for number in range(rounds + 1):
        stream = model.stream("ROMEO:", seed=number, temperature=0.8)
        next(stream)  # the prompt is read
        begin = time.perf_counter()
        written = sum(len(piece) for piece in itertools.islice(stream, count))
        if number:  # the first round warms up
            speeds.append(written / (time.perf_counter() - begin))
    found = Spread.of(speeds)
    columns = ["network", "characters per second", "lower quartile", "upper quartile"]
    rows: list[list[str | float | int]] = [["2 layers of 512", found.median, found.low, found.high]]
    return Outcome(
        results={"characters_per_second": round(found.median)},
        columns=columns,
        rows=rows,
        tables=[Table(title="Writing, batch 1", columns=columns, rows=rows)],
    )


if __name__ == "__main__":
    run(measure)
