"""Training a language model: tokens per second on our engine over those on PyTorch's.

The same script, network and batches, the engine switched from step to step (A B A B). PyTorch's is
the kernel of ``torch.nn.LSTM``, called on the same weights by the same layer.

    engine_speedup           the least of the cases
    engine_speedup_CASE      median of the seconds of a step on PyTorch's engine over ours
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from _harness import Outcome, Spread, Table, in_turn, run
from carousel import engines
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.training.learner import make_optimizer
from carousel.training.options import RunOptions

# Name: V, the network, T, B and the precision.
CASES: dict[str, tuple[int, dict[str, Any], int, int, str]] = {
    "characters": (66, {"embedding_size": 64, "hidden_size": 512, "num_layers": 1}, 48, 16, "fp32"),
    "words": (
        10_000,
        {"embedding_size": 400, "hidden_size": 400, "num_layers": 2, "tied": True},
        70,
        20,
        "fp32",
    ),
}
ROUNDS = 15


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times single steps of training in turn."""
    rows: list[list[str | float | int]] = []
    results = {}
    for name, (V, sizes, T, B, precision) in CASES.items():
        torch.manual_seed(0)
        network = LanguageNetwork(V, **{"tied": False, **sizes}).train()
        if V > 5_000:
            network.head.sample_by(torch.arange(V, 0, -1), 2_000)  # type: ignore[operator]
        parameters: list[torch.Tensor] = list(network.parameters())
        optimizer = make_optimizer(parameters, RunOptions(max_steps=1).complete())
        tokens = torch.randint(V, (T + 1, B))

        def step(
            engine: str,
            network: Any = network,
            optimizer: Any = optimizer,
            tokens: torch.Tensor = tokens,
            precision: str = precision,
        ) -> Callable[[], float]:
            def once() -> float:
                begin = time.perf_counter()
                with engines.use(engine):
                    optimizer.zero_grad()
                    found = network(tokens[:-1])
                    flat = found.dropped.flatten(0, 1)
                    network.head.losses(flat, tokens[1:].flatten()).mean().backward()
                    optimizer.step()
                return time.perf_counter() - begin

            return once

        rounds = 2 if arguments.quick else ROUNDS
        taken = in_turn({e: step(e) for e in ("pytorch", "compiled")}, rounds, warm_up=2)
        ratios = Spread.of(
            [p / c for p, c in zip(taken["pytorch"], taken["compiled"], strict=True)]
        )
        ours = Spread.of(taken["compiled"])
        results[f"engine_speedup_{name}"] = round(ratios.median, 3)
        rows.append([name, T * B / ours.median, ratios.median, ratios.low, ratios.high])
    results["engine_speedup"] = min(results.values())
    columns = ["case", "tokens per second", "times as fast", "lower quartile", "upper quartile"]
    return Outcome(
        results=results,
        columns=columns,
        rows=rows,
        tables=[Table(title="Training steps on our engine", columns=columns, rows=rows)],
    )


if __name__ == "__main__":
    run(measure)
