"""Whole training steps of a task on our engine and on PyTorch's, in turn, on the same batches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from _harness import Outcome, Spread, Table, in_turn
from carousel import engines
from carousel.data.batching import Shard
from carousel.training.learner import Learner

ROUNDS = 15
_WARM_UP = 2
_STEPS = 4  # of a turn; the first finds the other engine's numbers in the caches, and is left out
_WHOLE = Shard()


class Race(NamedTuple):
    """What came of it.

    Attributes:
        ratios: seconds of a step on PyTorch's engine over those on ours.
        items_per_second: on ours, in what the task's loss is divided by.
    """

    ratios: Spread
    items_per_second: float


def race(task: Any, learner: Learner, rounds: int, precision: str = "fp32") -> Race:
    """Times training steps with dropout, clipping and averaging, the engine switched in turn.

    Args:
        task: of ``carousel.training``, its module in training mode.
        learner: of the same module.
        rounds: turns of each engine that are kept.
        precision: "fp32" or "bf16", of the forward pass.
    """
    batches = list(itertools.islice(task.batches(0, 0, _WHOLE), (rounds + _WARM_UP) * _STEPS))
    assert len(batches) == (rounds + _WARM_UP) * _STEPS, "there are too few batches"
    items: dict[str, list[float]] = {"pytorch": [], "compiled": []}

    def turn(engine: str) -> Callable[[], float]:
        left = iter(batches)

        def step() -> float:
            batch = next(left)
            begin = time.perf_counter()
            learner.optimizer.zero_grad()
            half = precision == "bf16"
            with engines.use(engine), torch.autocast("cpu", torch.bfloat16, enabled=half):
                total, weight = task.loss(task.module, batch)
            (total / weight).backward()
            learner.update(1e-3, learner.gradient_norm())
            items[engine].append(float(weight))
            return time.perf_counter() - begin

        return lambda: sum([step() for _ in range(_STEPS)][1:])

    taken = in_turn({e: turn(e) for e in ("pytorch", "compiled")}, rounds, warm_up=_WARM_UP)
    ratios = [p / c for p, c in zip(taken["pytorch"], taken["compiled"], strict=True)]
    kept = [n for k, n in enumerate(items["compiled"]) if k >= _WARM_UP * _STEPS and k % _STEPS]
    return Race(Spread.of(ratios), sum(kept) / sum(taken["compiled"]))


def outcome(found: dict[str, Race], unit: str) -> Outcome:
    """Returns the results of some cases, the first of which is what a user gets by default.

    Args:
        found: by the case's name.
        unit: of the items, in words with underscores, such as "tokens".
    """
    results: dict[str, float] = {
        f"engine_speedup_{name}": round(one.ratios.median, 3) for name, one in found.items()
    }
    results["engine_speedup"] = min(results.values())
    results[f"{unit}_per_second"] = round(next(iter(found.values())).items_per_second, 1)
    columns = ["case", f"{unit} per second", "times as fast", "lower quartile", "upper quartile"]
    rows: list[list[str | float | int]] = [
        [name, one.items_per_second, one.ratios.median, one.ratios.low, one.ratios.high]
        for name, one in found.items()
    ]
    table = Table(title="Training steps on our engine", columns=columns, rows=rows)
    return Outcome(results=results, columns=columns, rows=rows, tables=[table])
