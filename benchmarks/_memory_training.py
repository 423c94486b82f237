"""Recurrent networks with equal parameters, and the equal time in which each learns a problem.

Knows nothing of records or pictures. Shape letters: T steps, B sequences, H hidden size, N numbers
of a state.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from _memory_tasks import Drawn, Problem
from carousel import LSTM

# What is raced: a layer of so many inputs and hidden units, that expects a memory of so many steps.
CELLS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "LSTM, chrono": lambda inputs, hidden, memory: LSTM(inputs, hidden, chrono=float(memory)),
    "LSTM": lambda inputs, hidden, memory: LSTM(inputs, hidden),
    "GRU": lambda inputs, hidden, memory: nn.GRU(inputs, hidden),
    "plain RNN": lambda inputs, hidden, memory: nn.RNN(inputs, hidden),
}
_ROWS = {"LSTM, chrono": 4, "LSTM": 4, "GRU": 3, "plain RNN": 1}  # matrices of a layer
_CLIP = 1.0
_VALIDATED, _TESTED, _AT_ONCE = 512, 2_560, 512  # sequences; 2,560 as the 1997 paper has them


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every cell learns one problem.

    Args:
        hidden_size: of the LSTM; the others have as many parameters.
        batch_size: sequences.
        learning_rate: Adam's at the begin; it falls to a tenth over the time.
        seconds: at most, validation included.
        lengths: of the problem: the last one is what is asked for; those before are trained on
            until few sequences are wrong.
        chrono: longest memory that the biases are drawn for, in steps.
        good: validation loss at which it is enough.
        faultless: whether no validation sequence may be wrong then.
        passed: share of wrong validation sequences up to which a length is passed.
        every: steps between two validations.
    """

    hidden_size: int
    batch_size: int
    learning_rate: float
    seconds: float
    lengths: Sequence[int]
    chrono: int
    good: float
    faultless: bool = False
    passed: float = 0.0
    every: int = 50


class Point(NamedTuple):
    """A validation at the length that is being learned."""

    seconds: float
    step: int
    length: int
    loss: float
    wrong: float


@dataclass(kw_only=True)
class Learned:
    """What came of one run; loss and share of wrong sequences are the test's."""

    network: Reader
    points: list[Point] = field(default_factory=list)
    loss: float = math.nan
    wrong: float = math.nan


class Reader(nn.Module):
    """A recurrent layer and a linear layer on its hidden states."""

    def __init__(self, layer: nn.Module, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.layer, self.output = layer, nn.Linear(hidden_size, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns what is said at every step, (T, B, O)."""
        said: Tensor = self.output(self.layer(inputs)[0])
        return said


def make(cell: str, problem: Problem, recipe: Recipe, seed: int) -> Reader:
    """Builds a network with as many parameters as the LSTM of the recipe has."""
    torch.manual_seed(seed)
    wanted = _parameters(4, problem, recipe.hidden_size)
    hidden = min(
        range(1, 4 * recipe.hidden_size),
        key=lambda size: abs(_parameters(_ROWS[cell], problem, size) - wanted),
    )
    layer = CELLS[cell](problem.inputs, hidden, recipe.chrono)
    return Reader(layer, hidden, problem.outputs)


def learn(
    cell: str, problem: Problem, recipe: Recipe, seed: int, say: Callable[[str], None] = print
) -> Learned:
    """Trains until validation is good or the time is up, then tests once.

    Training, validation and test draw from generators of their own. The weights of the best
    validation at the greatest length are those that are tested.
    """
    network = make(cell, problem, recipe, seed)
    generator = np.random.default_rng([seed, 0])
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    found, best, kept = Learned(network=network), (0, math.inf), network.state_dict()
    begin, step, place = time.perf_counter(), 0, 0
    while True:
        passed = (time.perf_counter() - begin) / recipe.seconds
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * (1 - 0.9 * min(passed, 1))
        length = recipe.lengths[place]
        drawn = problem.draw(generator, recipe.batch_size, length)
        loss = problem.loss(network(drawn.inputs), drawn)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        step += 1
        if step % recipe.every and passed < 1:
            continue
        seen = _score(network, problem, [seed, 1], _VALIDATED, length)
        point = Point(time.perf_counter() - begin, step, length, *seen)
        found.points.append(point)
        if len(found.points) % 10 == 1:
            say(
                f"{cell:14} {point.seconds:6.1f} s  step {step:6,}  length {length:5,}  "
                f"loss {point.loss:.6f}  wrong {point.wrong:.3f}"
            )
        if (place, -point.loss) > (best[0], -best[1]):
            best, kept = (place, point.loss), copy.deepcopy(network.state_dict())
        is_last = place == len(recipe.lengths) - 1
        enough = _is_enough(recipe, point.loss, point.wrong)
        if is_last and enough and passed < 1:  # by chance, perhaps: others are asked, and more
            seen = _score(network, problem, [seed, 3], _TESTED, length)
            enough = _is_enough(recipe, *seen)
        if passed >= 1 or (is_last and enough):
            break
        if not is_last and point.wrong <= recipe.passed:
            place += 1
    network.load_state_dict(kept)
    found.loss, found.wrong = _score(network, problem, [seed, 5], _TESTED, recipe.lengths[-1])
    return found


def _is_enough(recipe: Recipe, loss: float, wrong: float) -> bool:
    return loss <= recipe.good and not (recipe.faultless and wrong)


@torch.no_grad()
def _score(
    network: Reader, problem: Problem, seed: Sequence[int], count: int, length: int
) -> tuple[float, float]:
    """Returns the mean loss and the share of wrong sequences, always of the same sequences."""
    generator = np.random.default_rng(seed)
    losses, wrong = [], []
    for begin in range(0, count, _AT_ONCE):
        drawn = problem.draw(generator, min(_AT_ONCE, count - begin), length)
        said = network(drawn.inputs)
        losses.append(float(problem.loss(said, drawn)))
        wrong.append(problem.wrong(said, drawn))
    return float(np.mean(losses)), float(torch.cat(wrong).float().mean())


def gains(network: Reader, drawn: Drawn, distances: Sequence[int], vectors: int = 8) -> list[float]:
    """Returns how strongly the last hidden state depends on the state some steps before it.

        √(E_v ‖vᵀ ∂h_T/∂s_{T-d}‖² / H),   v of random signs, s the hidden state, for an LSTM [h, c]

    the root mean square gain of a direction, at the sequences that are given.

    Reference: Pascanu, Mikolov and Bengio (2013), arXiv:1211.5063, section 2.
    """
    layer, inputs = network.layer, drawn.inputs
    steps, signs = len(inputs), torch.Generator().manual_seed(0)
    found = []
    for distance in distances:
        with torch.no_grad():
            _, state = layer(inputs[: steps - distance])
        is_pair = isinstance(state, tuple)
        parts = [part.detach().requires_grad_() for part in (state if is_pair else (state,))]
        end = layer(inputs[steps - distance :], tuple(parts) if is_pair else parts[0])[0][-1]
        squares = []
        for _ in range(vectors):
            sign = torch.randint(0, 2, end.shape, generator=signs).to(end.dtype) * 2 - 1
            grads = torch.autograd.grad(end, parts, sign, retain_graph=True)
            squares.append(sum(grad.double().square().sum((0, 2)) for grad in grads))
        square = torch.stack(squares).mean() / end.shape[-1]  # type: ignore[arg-type]
        found.append(float(square.sqrt()))
    return found


def _parameters(matrices: int, problem: Problem, hidden: int) -> int:
    layer = matrices * hidden * (problem.inputs + hidden + 2)
    return layer + problem.outputs * (hidden + 1)


def describe(network: Reader) -> dict[str, Any]:
    """Returns the sizes of a network."""
    return {
        "hidden": network.output.in_features,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
