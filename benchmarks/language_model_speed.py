"""Training a language model: tokens per second on our engine over those on PyTorch's.

The default networks for characters and for words, whole training steps with dropout, clipping and
averaging, the engine switched from step to step (A B A B). PyTorch's is the kernel of
``torch.nn.LSTM``, called on the same weights by the same layer.

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
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.plan import make_plan
from carousel.tasks.language_modeling.softmax import FullSoftmax
from carousel.training.learner import Learner
from carousel.training.options import RunOptions

# Name: V, options beside the defaults, and the precision.
CASES: dict[str, tuple[int, dict[str, Any], str]] = {
    "characters": (66, {}, "fp32"),
    "words": (10_000, {"tokenizer": "words"}, "fp32"),
    "characters_bf16": (66, {}, "bf16"),
    "words_bf16": (10_000, {"tokenizer": "words"}, "bf16"),
}
ROUNDS = 15


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times single steps of training in turn."""
    rows: list[list[str | float | int]] = []
    results = {}
    skipped = []
    for name, (V, options, precision) in CASES.items():
        if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            skipped.append(f"{name}: PyTorch's engine cannot run bf16 on this processor")
            continue
        plan, training = make_plan(LanguageModelingOptions(**options), V, 1_000_000)
        torch.manual_seed(0)
        network = LanguageNetwork(V, **plan.network()).train()
        if plan.samples and isinstance(network.head, FullSoftmax):
            network.head.sample_by(torch.arange(V, 0, -1), plan.samples)
        T, B = plan.bptt, training["batch_size"]
        run_options = RunOptions(max_steps=1, precision=precision).filled(**training).complete()
        learner = Learner(network, run_options)
        tokens = torch.randint(V, (T + 1, B))

        def step(
            engine: str,
            network: Any = network,
            learner: Learner = learner,
            tokens: torch.Tensor = tokens,
            precision: str = precision,
        ) -> Callable[[], float]:
            def once() -> float:
                begin = time.perf_counter()
                learner.optimizer.zero_grad()
                half = precision == "bf16"
                with engines.use(engine), torch.autocast("cpu", torch.bfloat16, enabled=half):
                    found = network(tokens[:-1])
                    flat = found.dropped.flatten(0, 1)
                    loss = network.head.losses(flat, tokens[1:].flatten()).mean()
                loss.backward()
                learner.update(1e-3, learner.gradient_norm())
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
        notes=skipped,
    )


if __name__ == "__main__":
    run(measure)
