"""Training a translator: target tokens per second on our engine over those on PyTorch's.

The default network for Multi30k's size on its first batches, padding and lengths as they come,
whole training steps with dropout, clipping and averaging, the engine switched from batch to batch
(A B A B). PyTorch's is the kernel of ``torch.nn.LSTM``, called on the same weights by the same
layer, its sequences packed by length.

    engine_speedup              the least of the cases
    engine_speedup_CASE         median of the seconds of a step on PyTorch's engine over ours
    tokens_per_second           target tokens, on our engine, with the default options
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch

from _harness import Outcome, Spread, Table, data_path, in_turn, run
from carousel import engines
from carousel.data.batching import Shard
from carousel.tasks.translation.data import cleaned, learn_tokenizers, make_corpus, open_pairs
from carousel.tasks.translation.fitted import make_network
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.plan import make_plan, vocabulary_size
from carousel.tasks.translation.training import TranslationTask
from carousel.training.learner import Learner
from carousel.training.options import RunOptions

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "small": {"hidden_size": 256, "embedding_size": 128},
}
ROUNDS = 20
_WHOLE = Shard()


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times steps of training in turn."""
    folder = data_path("multi30k")
    rows: list[list[str | float | int]] = []
    results = {}
    for name, chosen in CASES.items():
        options = TranslationOptions(**chosen)
        pairs = cleaned(open_pairs((folder / "train.en", folder / "train.de"), options), options)
        size = vocabulary_size(options, len(pairs))
        tokenizers = learn_tokenizers(pairs, size, options.shared_vocabulary)
        corpus = make_corpus(pairs, tokenizers)
        plan, training = make_plan(options, len(pairs))
        run_options = RunOptions(max_steps=1).filled(**training).complete()
        torch.manual_seed(0)
        network = make_network(plan, tokenizers).train()
        task = TranslationTask(network, corpus, corpus, plan, run_options)
        learner = Learner(network, run_options)
        rounds = 2 if arguments.quick else ROUNDS
        batches = list(itertools.islice(task.batches(0, 0, _WHOLE), rounds + 2))
        tokens: list[int] = []

        def step(
            engine: str,
            task: TranslationTask = task,
            learner: Learner = learner,
            batches: list[Any] = batches,
            tokens: list[int] = tokens,
        ) -> Callable[[], float]:
            left = iter(batches)

            def once() -> float:
                batch = next(left)
                begin = time.perf_counter()
                learner.optimizer.zero_grad()
                with engines.use(engine):
                    total, weight = task.loss(task.module, batch)
                (total / weight).backward()
                learner.update(1e-3, learner.gradient_norm())
                tokens.append(int(weight))
                return time.perf_counter() - begin

            return once

        taken = in_turn({e: step(e) for e in ("pytorch", "compiled")}, rounds, warm_up=2)
        ratios = Spread.of(
            [p / c for p, c in zip(taken["pytorch"], taken["compiled"], strict=True)]
        )
        speed = sum(tokens[-2 * rounds :]) / 2 / sum(taken["compiled"])
        results[f"engine_speedup_{name}"] = round(ratios.median, 3)
        rows.append([name, speed, ratios.median, ratios.low, ratios.high])
    results["engine_speedup"] = min(results.values())
    results["tokens_per_second"] = round(float(rows[0][1]))
    columns = ["case", "tokens per second", "times as fast", "lower quartile", "upper quartile"]
    return Outcome(
        results=results,
        columns=columns,
        rows=rows,
        tables=[Table(title="Training steps on our engine", columns=columns, rows=rows)],
    )


if __name__ == "__main__":
    run(measure, libraries=("tokenizers",))
