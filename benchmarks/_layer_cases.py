"""What the layer is measured on: the grid, the layers with equal weights, and their data.

Shape letters: T time, B batch, I input size, H hidden size, P projection size.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import carousel
from _harness import Spread, Table
from _layer_timing import Times, Work, significant

# Of two programs that compute the same in fp32 outputs differ by about 1e-6 of the largest; where a
# library took bf16 it is 1e-2, and with gates in a wrong order 1.
SAME = 1e-4


class Point(NamedTuple):
    """The sizes of one call, in the order in which they are written: batch, time, input, hidden."""

    B: int
    T: int
    I: int  # noqa: E741
    H: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


GRID = (
    Point(1, 1, 64, 128),
    Point(1, 100, 64, 128),
    Point(1, 1, 512, 512),
    Point(1, 100, 512, 512),
    Point(32, 48, 1, 32),
    Point(32, 168, 8, 64),
    Point(256, 48, 4, 64),
    Point(64, 96, 7, 128),
    Point(64, 30, 256, 256),
    Point(20, 35, 650, 650),
    Point(16, 500, 80, 320),
    Point(64, 50, 512, 512),
    Point(128, 35, 1024, 1024),
)
QUICK_GRID = (Point(1, 1, 64, 128), Point(32, 48, 1, 32), Point(64, 30, 256, 256))
RAGGED = (Point(64, 100, 64, 128), Point(32, 200, 128, 256))
STEPPER_SIZES = (128, 512)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What one group of measurements found.

    Args:
        results: the numbers that are kept, by key; a key whose candidates are missing is absent.
        table: the measurements behind them.
        notes: what could not be measured, and why.
        ratios: point by point, how many times as long as ours each other takes, for the picture.
    """

    results: Mapping[str, float]
    table: Table
    notes: Sequence[str] = ()
    ratios: Mapping[str, Mapping[str, Spread]] = dataclasses.field(default_factory=dict)


def torch_layer(point: Point) -> torch.nn.LSTM:
    """Returns ``torch.nn.LSTM`` with weights that depend on the sizes only."""
    torch.manual_seed(sum(point))
    return torch.nn.LSTM(point.I, point.H)


def our_layer(theirs: torch.nn.LSTM, **options: Any) -> carousel.LSTM:
    """Returns ``carousel.LSTM`` on the engine that ``auto`` takes, with the same weights."""
    ours = carousel.LSTM(theirs.input_size, theirs.hidden_size, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours


def inputs(point: Point, seed: int = 0) -> Tensor:
    """Returns (T, B, I) standard normal numbers."""
    return torch.randn(point.T, point.B, point.I, generator=torch.Generator().manual_seed(seed))


def output_gradient(output: Tensor) -> Tensor:
    """Returns standard normal numbers in the shape and type of an output, always the same."""
    drawn = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return drawn.to(output.dtype)


def must_agree(name: str, found: Any, expected: Tensor) -> None:
    """Stops the benchmark where a candidate computes something else than torch does.

    Raises:
        RuntimeError: for a difference that rounding in fp32 does not explain.
    """
    right = expected.detach().numpy()
    difference = float(np.abs(np.asarray(found) - right).max()) / float(np.abs(right).max())
    if not difference <= SAME:
        raise RuntimeError(
            f"{name} does not compute what torch.nn.LSTM computes: outputs differ by "
            f"{difference:.1e} of the largest; expected at most {SAME:.0e}. Nothing was measured"
        )


def say(line: str) -> None:
    """Tells whoever waits how far we are."""
    print(line, file=sys.stderr, flush=True)


def milliseconds(times: Times, names: Sequence[str]) -> list[str | float]:
    """Returns the median time of each, and a dash for a candidate that is missing."""
    return [
        significant(1e3 * times.seconds(name).median) if name in times.by_name else "–"
        for name in names
    ]


def spread_cells(ratio: Spread | None) -> list[str | float]:
    """Returns a ratio's median, and its quartiles as text."""
    if ratio is None:
        return ["–", "–"]
    return [significant(ratio.median, 3), f"{ratio.low:.3g} to {ratio.high:.3g}"]


def training_step(
    layer: torch.nn.Module, inputs: Tensor, call: Any = None, gradient: Tensor | None = None
) -> Work:
    """Returns one training step: gradients away, forward, backward from a fixed output gradient.

    Args:
        layer: in training mode; its parameters get their gradients.
        inputs: (T, B, I); gets a gradient too, as it would from a layer below.
        call: runs the layer on the inputs and returns the output; ``layer(inputs)[0]`` by default.
        gradient: of the output; drawn where it is None.
    """
    inputs = inputs.clone().requires_grad_()
    parameters = list(layer.parameters())

    def forward() -> Tensor:
        output: Tensor = layer(inputs)[0] if call is None else call(inputs)
        return output

    if gradient is None:
        gradient = output_gradient(forward().detach())

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        inputs.grad = None
        forward().backward(gradient)

    return step
