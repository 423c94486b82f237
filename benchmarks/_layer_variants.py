"""What each variant of the cell costs beside the plain cell, in a training step.

Shape letters: T time, B batch, I input size, H hidden size, P projection size.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import carousel
from _harness import Table
from _layer_cases import Found, Point, inputs, say, training_step
from _layer_timing import Effort, Work, compare, significant

POINTS = (Point(32, 168, 8, 64), Point(64, 96, 7, 128), Point(64, 50, 512, 512))
RESET_SHARE = 0.01  # of all steps: about one boundary in a hundred steps, as in a text stream

# Options of the layer by the name of the variant. Probabilities and the clip are in the range that
# their papers use; they change no amount of work.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "peepholes": {"peepholes": True},
    "recurrent dropout": {"recurrent_dropout": 0.25},
    "zoneout": {"zoneout_h": 0.05, "zoneout_c": 0.5},
    "coupled gates": {"coupled": True},
    "cell clip": {"cell_clip": 3.0},
}
PLAIN, FORWARD = "plain", "plain, forward"
NAMES = ("lengths", "resets", "projection", *OPTIONS, "trace")


def variants(points: Sequence[Point], effort: Effort) -> Found:
    """Measures every variant in turn with the plain cell on the engine that ``auto`` takes."""
    cost: dict[str, list[float]] = {name: [] for name in NAMES}
    notes: list[str] = []
    columns = ["variant"]
    cells: dict[str, list[str | float]] = {name: [name] for name in NAMES}
    for point in points:
        candidates, absent = _candidates(point)
        notes += [f"variant not measured: {line}" for line in absent if point is points[0]]
        times = compare(candidates, effort)
        columns += [str(point), "quartiles"]
        for name in NAMES:
            if name not in candidates:
                cells[name] += ["–", "–"]
                continue
            ratio = times.ratio(name, FORWARD if name == "trace" else PLAIN)
            cost[name].append(ratio.median)
            cells[name] += [significant(ratio.median, 3), f"{ratio.low:.3g} to {ratio.high:.3g}"]
        shown = ", ".join(f"{name} {cost[name][-1]:.2f}" for name in NAMES if cost[name])
        say(f"variants {point}: plain {1e3 * times.seconds(PLAIN).median:.4g} ms, times {shown}")
    results = {}
    if all(cost.values()):
        results["variant_cost_max"] = significant(max(max(found) for found in cost.values()))
    title = "Variants: how many times the plain cell's time a training step takes"
    return Found(
        results=results,
        table=Table(title=title, columns=columns, rows=list(cells.values())),
        notes=notes,
    )


def equal_work(H: int) -> int:
    """Returns P with which a step has as many multiplications as without a projection.

    4HI + 4HP + PH = 4HI + 4H² for P = 4H/5: what is left of the difference is what the projection
    costs by itself, and not that P is smaller than H.
    """
    return max(1, round(4 * H / 5))


def _candidates(point: Point) -> tuple[dict[str, Work], list[str]]:
    """Returns a training step for every variant that there is, and why the others are not."""
    x = inputs(point)
    generator = torch.Generator().manual_seed(3)
    resets = torch.rand(point.T, point.B, generator=generator) < RESET_SHARE
    full = torch.full((point.B,), point.T)
    plain = _layer(point)
    found: dict[str, Work] = {
        PLAIN: training_step(plain, x),
        "lengths": training_step(plain, x, functools.partial(_called, plain, lengths=full)),
        "resets": training_step(plain, x, functools.partial(_called, plain, reset=resets)),
        "projection": training_step(_layer(point, proj_size=equal_work(point.H)), x),
    }
    absent = []
    for name, options in OPTIONS.items():
        try:
            layer = _layer(point, **options)
        except TypeError as error:  # an option that this version of the layer does not have
            absent.append(f"{name}: {error}")
        else:
            found[name] = training_step(layer, x)
    # A training forward keeps the gates for its backward: what is left is to hand them out.
    found[FORWARD] = functools.partial(plain, x.clone().requires_grad_())
    found["trace"] = torch.no_grad()(functools.partial(plain.trace, x))
    return found, absent


def _layer(point: Point, **options: Any) -> carousel.LSTM:
    torch.manual_seed(sum(point))
    return carousel.LSTM(point.I, point.H, **options)


def _called(layer: carousel.LSTM, x: Tensor, **arguments: Tensor) -> Tensor:
    output, _ = layer(x, **arguments)
    assert isinstance(output, Tensor)
    return output
