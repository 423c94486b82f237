"""A small task with everything that a resume could get wrong: dropout, averages, early stopping.

As a script it trains what a JSON list says: ``small_task.py FOLDER '[{"name", "run", "task"}]'``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from carousel.data.batching import Shard, num_batches, shuffled_batches
from carousel.errors import NonFiniteError
from carousel.training import RunOptions, Task, train

Example = tuple[Tensor, Tensor, Tensor]  # numbers (B,), x (B, 5, 3), y (B,)


class SmallModel(nn.Module):
    """Two layers of LSTM and a head: x (B, 5, 3) to (B,)."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 8, num_layers=2, dropout=dropout, batch_first=True)
        self.head = nn.Linear(8, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.lstm(x)[0][:, -1]))[:, 0]


class SmallTask(Task[Example]):
    """Regression of a sum over time."""

    def __init__(
        self,
        run: RunOptions,
        num_examples: int = 37,
        dropout: float = 0.2,
        pause: float = 0.0,
        poison: int | None = None,
        metric: str = "mse",
        before_step: Callable[[int], None] = lambda call: None,
    ) -> None:
        self.run = run
        self.pause = pause
        self.metric = metric
        self.before_step = before_step
        self.calls = 0
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(num_examples, 5, 3, generator=generator)
        self.y = self.x.sum((1, 2))
        if poison is not None:
            self.y[poison] = float("nan")
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.module = SmallModel(dropout)

    def batches(self, epoch: int, start: int, shard: Shard) -> Iterator[Example | None]:
        size = self.run.batch_size or 8
        for numbers in shuffled_batches(len(self.x), size, self.run.seed, epoch, start, shard):
            time.sleep(self.pause)
            yield (numbers, self.x[numbers], self.y[numbers]) if len(numbers) else None

    def batches_per_epoch(self) -> int:
        return num_batches(len(self.x), self.run.batch_size or 8)

    def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, float]:
        self.calls += 1
        self.before_step(self.calls)
        _, x, y = batch
        return ((module(x) - y) ** 2).sum(), len(y)

    def validate(self, module: nn.Module) -> dict[str, float]:
        torch.rand(7)  # a validation that uses random numbers must not disturb training
        return {"mse": float(((module(self.x[:11]) - self.y[:11]) ** 2).mean())}

    def describe(self, batch: Example) -> str:
        return f"examples {batch[0].tolist()}"

    def fingerprint(self) -> dict[str, object]:
        return {"task": "small", "num_examples": len(self.x)}


def main(folder: str, runs: str) -> None:
    """Trains each run of a JSON list; leaves NAME.safetensors or, where it is refused, NAME.txt."""
    torch.set_num_threads(1)
    for values in json.loads(runs):
        run = RunOptions(**values["run"])
        task = SmallTask(run, **values.get("task", {}))
        rank = os.environ.get("RANK", "0")
        try:
            train(task, run)
        except NonFiniteError as error:
            Path(folder, f"{values['name']}.{rank}.txt").write_text(str(error))
        else:
            weights = dict(task.module.state_dict())
            safetensors.torch.save_file(
                weights, Path(folder, f"{values['name']}.{rank}.safetensors")
            )


def main_as_in_a_shell(folder: str, runs: str) -> None:
    """What ``main`` does in a process of its own, with its words in FOLDER/stderr."""
    os.dup2(os.open(Path(folder, "stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    warnings.simplefilter("error")
    main(folder, runs)


def start(folder: Path, runs: list[dict[str, Any]]) -> BaseProcess:
    """Starts ``main`` in a new process, forked from one that has imported PyTorch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["carousel.training", "torch._dynamo"])
    process = context.Process(target=main_as_in_a_shell, args=(str(folder), json.dumps(runs)))
    process.start()
    return process


if __name__ == "__main__":
    main(*sys.argv[1:])
