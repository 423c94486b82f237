"""How far the layer is from exact, beside how far ``torch.nn.LSTM`` is: outputs and all gradients.

The exact values are ``torch.nn.LSTM``'s own in float64, whose rounding is 10⁹ times smaller.

Shape letters: T time, B batch, I input size, H hidden size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from _harness import Table
from _layer_cases import Found, Point, inputs, our_layer, say, torch_layer
from _layer_timing import geometric_mean, significant

# A value that is exact but for its rounding to fp32 is this far off. Below it luck decides, so what
# is smaller counts as this.
ONE_ROUNDING = 2.0**-24


class Deviation(NamedTuple):
    """How far values are from the exact ones, as a share of the largest exact one."""

    largest: float
    rms: float

    @classmethod
    def of(cls, found: Tensor, exact: Tensor) -> Deviation:
        """Returns the largest and the root mean square deviation."""
        exact = exact.detach()
        scale = float(exact.abs().max())
        off = found.detach().double() - exact
        return cls(float(off.abs().max()) / scale, float(off.square().mean().sqrt()) / scale)


def error(grid: Sequence[Point], seeds: int) -> Found:
    """Compares every output and gradient of the grid's points, on several draws.

    A quantity's errors over the draws are joined, the largest of the largest and the root mean
    square of all, before ours are divided by torch's.
    """
    rows: list[list[str | float]] = []
    ratios: list[Deviation] = []
    highest = [0.0, 0.0]  # of ours and of torch's, over everything
    for point in grid:
        ours, theirs = deviations(point, seeds)
        by_quantity = {name: over(ours[name], theirs[name]) for name in ours}
        worst = max(by_quantity, key=lambda name: by_quantity[name].largest)
        worst_rms = max(by_quantity, key=lambda name: by_quantity[name].rms)
        here = [max(each.largest for each in side.values()) for side in (ours, theirs)]
        highest = [max(pair) for pair in zip(highest, here, strict=True)]
        ratios += by_quantity.values()
        high = by_quantity[worst].largest, by_quantity[worst_rms].rms
        mean = geometric_mean([ratio.rms for ratio in by_quantity.values()])
        numbers = [significant(value, 3) for value in (*here, *high, mean)]
        rows.append([str(point), *numbers[:3], worst, numbers[3], worst_rms, numbers[4]])
        say(f"error {point}: largest {high[0]:.2f} ({worst}), rms {high[1]:.2f} ({worst_rms})")
    columns = ["B,T,I,H", "carousel", "torch", "largest ratio", "of"]
    columns += ["largest RMS ratio", "of", "RMS ratio, geometric mean"]
    title = "Error against float64: the largest of any output or gradient, and ratios over torch's"
    return Found(
        results={
            "error_vs_torch": significant(max(ratio.largest for ratio in ratios)),
            "error_rms_vs_torch": significant(max(ratio.rms for ratio in ratios)),
            "error_rms_vs_torch_mean": significant(geometric_mean([r.rms for r in ratios])),
            "error_peak_vs_torch": significant(highest[0] / highest[1]),
        },
        table=Table(title=title, columns=columns, rows=rows),
    )


def deviations(point: Point, seeds: int) -> tuple[dict[str, Deviation], dict[str, Deviation]]:
    """Returns how far our layer and torch's are from exact, by quantity."""
    theirs = torch_layer(point)
    ours, exact = our_layer(theirs), copy.deepcopy(theirs).double()
    ours_off: dict[str, list[Deviation]] = {}
    theirs_off: dict[str, list[Deviation]] = {}
    for seed in range(seeds):
        right = values(exact, point, seed)
        for layer, off in ((ours, ours_off), (theirs, theirs_off)):
            for name, found in values(layer, point, seed).items():
                off.setdefault(name, []).append(Deviation.of(found, right[name]))
    return (
        {name: joined(draws) for name, draws in ours_off.items()},
        {name: joined(draws) for name, draws in theirs_off.items()},
    )


def values(layer: torch.nn.Module, point: Point, seed: int) -> Mapping[str, Tensor]:
    """Returns every output and every gradient of a call, the state's among them, by name.

    The same seed draws the same input, state and output gradients in every type.
    """
    generator = torch.Generator().manual_seed(seed)
    kind = next(layer.parameters()).dtype

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(kind)

    T, B, H = point.T, point.B, point.H
    given = {"x": inputs(point, seed + 10).to(kind), "h_0": drawn(1, B, H), "c_0": drawn(1, B, H)}
    for value in given.values():
        value.requires_grad_()
    state = (given["h_0"], given["c_0"])
    with torch.no_grad():
        output, (h, c) = layer(given["x"], state)
    found = {"output, no gradients": output, "h_n, no gradients": h, "c_n, no gradients": c}
    output, (h, c) = layer(given["x"], state)
    found |= {"output": output, "h_n": h, "c_n": c}
    given |= dict(layer.named_parameters())
    into = [drawn(T, B, H), drawn(1, B, H), drawn(1, B, H)]
    gradients = torch.autograd.grad([output, h, c], list(given.values()), into)
    found |= {f"gradient of {n}": g for n, g in zip(given, gradients, strict=True)}
    return found


def joined(draws: Sequence[Deviation]) -> Deviation:
    """Returns the deviation over several draws of the same size."""
    rms = (sum(draw.rms**2 for draw in draws) / len(draws)) ** 0.5
    return Deviation(max(draw.largest for draw in draws), rms)


def over(ours: Deviation, theirs: Deviation) -> Deviation:
    """Returns ours over theirs; what is below one rounding counts as one."""
    return Deviation(
        max(ours.largest, ONE_ROUNDING) / max(theirs.largest, ONE_ROUNDING),
        max(ours.rms, ONE_ROUNDING / 4) / max(theirs.rms, ONE_ROUNDING / 4),
    )
