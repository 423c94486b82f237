"""``carousel.LSTM`` against ``torch.nn.LSTM`` on one GPU: the same numbers in the same time.

Both run cuDNN's, on the same weights, in float32 without TF32, T = 100 steps. A measurement is some
calls behind each other between two events of the GPU's own clock, so that what Python does before
the GPU needs it costs nothing, and the rest counts; the two take turns (A B A B).

    ratio_forward                the most of the cases: our median time over theirs, no gradients
    ratio_training               the same of a forward and a backward pass
    largest_difference           of outputs and states, in any case
    largest_gradient_difference  of all gradients, over the largest of their tensor

The named cases are in the table. Where PyTorch sees no GPU there is nothing to measure.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from _harness import Outcome, Spread, Table, in_turn, run
from carousel.nn import LSTM

T = 100
ROUNDS = 15
SECONDS = 0.025  # of a measurement, about


class Case(NamedTuple):
    """Sizes of a stack: I = H."""

    hidden_size: int
    batch: int
    num_layers: int

    def __str__(self) -> str:
        return f"I = H = {self.hidden_size}, B = {self.batch}, L = {self.num_layers}"


CASES = [
    Case(size, batch, layers)
    for size, batch in ((128, 32), (512, 64), (1024, 64))
    for layers in (1, 2)
]
QUICK = [Case(16, 4, 1), Case(16, 4, 2)]


def measure(arguments: argparse.Namespace) -> Outcome:
    """Times each case, forward and in training, and compares the numbers."""
    if not arguments.quick and not torch.cuda.is_available():
        print("This is about a GPU, and PyTorch sees none; layer.py has what a CPU can do.")
        raise SystemExit(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with warnings.catch_warnings():  # newer versions of PyTorch have a newer switch beside this one
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = False
    rounds = 2 if arguments.quick else ROUNDS
    rows: list[list[str | float | int]] = []
    worst, worst_gradient = 0.0, 0.0
    for case in QUICK if arguments.quick else CASES:
        torch.manual_seed(0)
        theirs = torch.nn.LSTM(case.hidden_size, case.hidden_size, case.num_layers, device=device)
        ours = LSTM(case.hidden_size, case.hidden_size, case.num_layers, device=device)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(T, case.batch, case.hidden_size, device=device)
        differences = _differences(ours, theirs, x)
        worst, worst_gradient = max(worst, differences[0]), max(worst_gradient, differences[1])
        row: list[str | float | int] = [str(case)]
        for work in (_forward, _training):
            both = {
                name: _timed(work(layer, x), device)
                for name, layer in (("ours", ours), ("theirs", theirs))
            }
            found = in_turn(both, rounds)
            pairs = zip(found["ours"], found["theirs"], strict=True)
            ratio = Spread.of([a / b for a, b in pairs])
            row += [
                round(1000 * Spread.of(found["theirs"]).median, 3),
                round(1000 * Spread.of(found["ours"]).median, 3),
                round(ratio.median, 3),
                f"{ratio.low:.3f} to {ratio.high:.3f}",
            ]
        rows.append(row)
    columns = ["case"]
    for name in ("forward", "training"):
        columns += [f"{name}, theirs", f"{name}, ours", f"ratio {name}", f"quartiles {name}"]
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    return Outcome(
        results={
            "ratio_forward": max(float(row[3]) for row in rows),
            "ratio_training": max(float(row[7]) for row in rows),
            "largest_difference": worst,
            "largest_gradient_difference": worst_gradient,
        },
        columns=columns,
        rows=rows,
        tables=[Table(title=f"Milliseconds of a call on {where}", columns=columns, rows=rows)],
        notes=[f"{where}, cuDNN {torch.backends.cudnn.version()}, CUDA {torch.version.cuda}"],
    )


def _forward(layer: torch.nn.LSTM | LSTM, x: Tensor) -> Callable[[], object]:
    def work() -> None:
        with torch.no_grad():
            layer(x)

    return work


def _training(layer: torch.nn.LSTM | LSTM, x: Tensor) -> Callable[[], object]:
    ones = torch.ones(*x.shape[:2], layer.hidden_size, device=x.device)

    def work() -> None:
        layer.zero_grad(set_to_none=True)
        layer(x)[0].backward(ones)

    return work


def _timed(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """Returns what gives the mean seconds of so many calls as last ``SECONDS``."""
    for _ in range(3):  # what is chosen, or allocated, at the first calls
        work()
    calls = 3
    once = _seconds(work, device, calls)
    calls = max(calls, round(SECONDS / once))
    return lambda: _seconds(work, device, calls)


def _seconds(work: Callable[[], object], device: torch.device, calls: int) -> float:
    """Returns the mean seconds of some calls: by the GPU's clock where there is one."""
    if device.type == "cpu":
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - begun) / calls
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(calls):
        work()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) / 1000 / calls


def _differences(ours: torch.nn.Module, theirs: torch.nn.Module, x: Tensor) -> tuple[float, float]:
    """Returns by how much numbers differ, and gradients, these by a share of their largest."""
    found = [_numbers(layer, x) for layer in (ours, theirs)]
    values, gradients = zip(*found, strict=True)
    plain = max(float((a - b).abs().max()) for a, b in zip(*values, strict=True))
    shares = [
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        for a, b in zip(*gradients, strict=True)
    ]
    return plain, max(shares)


def _numbers(layer: torch.nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    layer.zero_grad(set_to_none=True)
    given = x.clone().requires_grad_()
    output, (h, c) = layer(given)
    torch.manual_seed(1)
    weights = torch.randn_like(output)
    ((output * weights).sum() + h.sum() + c.sum()).backward()
    gradients = [given.grad, *(p.grad for p in layer.parameters())]
    kept = [one.detach() for one in gradients if one is not None]
    assert len(kept) == len(gradients)
    return [part.detach() for part in (output, h, c)], kept


if __name__ == "__main__":
    run(measure)
