"""The cell's variants computed number by number from their equations, for engines to be held to.

Written from the docstring of ``CellVariant`` and from nothing else: one sequence at a time, only
its real steps, each gate with its own rows of the weights.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions, G rows of packed gates.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from carousel.engines import (
    CellVariant,
    Engine,
    EngineOptions,
    LayerMasks,
    LayerWeights,
    State,
)

# In float64, for the sizes of these tests (up to 6 steps, sums of up to 12 terms): the analysis in
# docs/numerics.md allows gradients of the plain cell 1.9e5 u = 2.1e-11 at the worst place of a grid
# of this size. No variant adds more than four roundings to a step that has over forty. A wrong or
# missing term is of size 1e-3 and more.
CLOSE = {"rtol": 0.0, "atol": 3e-11}


@dataclass(frozen=True)
class Call:
    """One call of an engine, and what its results are multiplied with to get gradients."""

    inputs: Tensor  # (T, B, I)
    state: State
    weights: tuple[LayerWeights, ...]
    options: EngineOptions
    cotangents: tuple[Tensor, Tensor, Tensor]

    def leaves(self) -> tuple[Call, dict[str, Tensor]]:
        """Returns the call on fresh leaves of a graph, and those leaves by name."""
        named = {"input": self.inputs, "h_0": self.state.h, "c_0": self.state.c}
        for k, layer in enumerate(self.weights):
            named |= {f"{kind}.{k}": w for kind, w in layer._asdict().items() if w is not None}
        named = {name: value.detach().clone().requires_grad_() for name, value in named.items()}
        weights = tuple(
            LayerWeights(**{kind: named.get(f"{kind}.{k}") for kind in LayerWeights._fields})
            for k in range(len(self.weights))
        )
        state = State(named["h_0"], named["c_0"])
        return replace(self, inputs=named["input"], state=state, weights=weights), named

    def asked(self, **options: Any) -> Call:
        """Returns the call with other options."""
        return replace(self, options=replace(self.options, **options))


def call(
    T: int,
    B: int,
    I: int,  # noqa: E741
    H: int,
    variant: CellVariant,
    *,
    peepholes: bool = False,
    P: int = 0,
    L: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    recurrent_dropout: float = 0.0,
    zoned: bool = True,
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> Call:
    """Draws a call; the seed is the caller's.

    Args:
        T: steps.
        B: sequences.
        I: features.
        H: memory cells.
        variant: which cell it is; where it has zoneout, masks are drawn.
        peepholes: whether there are any.
        P: projection size, 0 for none.
        L: layers.
        bidirectional: whether D is 2.
        bias: whether there are biases.
        recurrent_dropout: probability; a mask is drawn where it is above 0.
        zoned: whether to draw masks of zoneout; without them its mean is computed.
        dtype: of every tensor.
        options: the rest of the engine's options.
    """
    D, rows, out = 2 if bidirectional else 1, 3 if variant.coupled else 4, P or H

    def draw(*shape: int) -> Tensor:
        return 0.7 * torch.randn(*shape, dtype=dtype)

    def flip(rate: float, *shape: int) -> Tensor | None:
        return torch.rand(*shape) < rate if rate and zoned else None

    weights, masks = [], []
    for layer, _ in itertools.product(range(L), range(D)):
        weights.append(
            LayerWeights(
                draw(rows * H, D * out if layer else I),
                draw(rows * H, out),
                draw(rows * H) if bias else None,
                draw(rows * H) if bias else None,
                draw(out, H) if P else None,
                draw((rows - 1) * H) if peepholes else None,
            )
        )
        kept = (torch.rand(B, out) >= recurrent_dropout).to(dtype) / (1 - recurrent_dropout)
        masks.append(
            LayerMasks(
                kept if recurrent_dropout else None,
                flip(variant.zoneout_h, T, B, out),
                flip(variant.zoneout_c, T, B, H),
            )
        )
    given = any(part is not None for layer in masks for part in layer)
    return Call(
        draw(T, B, I),
        State(draw(L * D, B, out), draw(L * D, B, H)),
        tuple(weights),
        EngineOptions(
            bidirectional=bidirectional,
            variant=variant,
            masks=tuple(masks) if given else None,
            **options,
        ),
        (draw(T, B, D * out), draw(L * D, B, out), draw(L * D, B, H)),
    )


def numbers(engine: Engine | None, given: Call) -> dict[str, Tensor]:
    """Returns outputs, states and every gradient, of an engine or, for None, of the equations."""
    fresh, leaves = given.leaves()
    if engine is None:
        results = by_hand(fresh)[:3]
    else:
        ran = engine.run(fresh.inputs, fresh.state, fresh.weights, fresh.options)
        results = (ran.outputs, *ran.state)
    # By hand, what no step touched is on no graph; an engine may say that its gradient is 0.
    pairs = zip(results, given.cotangents, strict=True)
    torch.autograd.backward(*zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True))
    found = dict(zip(("output", "h_n", "c_n"), results, strict=True))
    found |= {
        f"d {name}": torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for name, leaf in leaves.items()
    }
    return {name: value.detach() for name, value in found.items()}


def differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, float]:
    """Returns each name whose values differ by more than ``CLOSE``, with the difference."""
    assert one.keys() == other.keys()
    assert all(value.shape == other[name].shape for name, value in one.items())
    worst = {
        name: float((value - other[name]).abs().max()) if value.numel() else 0.0
        for name, value in one.items()
    }
    return {name: value for name, value in worst.items() if not value <= CLOSE["atol"]}


def by_hand(given: Call) -> tuple[Tensor, Tensor, Tensor, list[dict[str, Tensor]]]:
    """Returns outputs (T, B, D·P), h_n, c_n, and by layer and direction every value by letter."""
    options = given.options
    T, B, _ = given.inputs.shape
    D = 2 if options.bidirectional else 1
    ends = [T] * B if options.lengths is None else options.lengths.tolist()
    inputs, h_n, c_n, values = given.inputs, [], [], []
    for first in range(0, len(given.weights), D):
        sides = []
        for k in range(first, first + D):
            rows = [_row(given, inputs, k, b, ends[b], backwards=k > first) for b in range(B)]
            layer = {
                letter: torch.stack([row[0][letter] for row in rows], 1)
                for letter in ("i", "f", "g", "o", "c", "h")
            }
            values.append(layer)
            sides.append(layer["h"])
            h_n.append(torch.stack([row[1] for row in rows]))
            c_n.append(torch.stack([row[2] for row in rows]))
        inputs = torch.cat(sides, -1)
    return inputs, torch.stack(h_n), torch.stack(c_n), values


def _row(
    given: Call, inputs: Tensor, k: int, b: int, end: int, *, backwards: bool
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Runs one sequence through one layer in one direction: its values by time, and its state."""
    options, weights = given.options, given.weights[k]
    masks = LayerMasks() if options.masks is None else options.masks[k]
    h, c = given.state.h[k, b], given.state.c[k, b]
    empty = {letter: torch.zeros_like(h if letter == "h" else c) for letter in "ifgoch"}
    steps = [empty] * inputs.shape[0]
    for t in range(end - 1, -1, -1) if backwards else range(end):
        boundary = t + 1 if backwards else t
        if options.reset is not None and boundary < end and options.reset[boundary, b]:
            h, c = torch.zeros_like(h), torch.zeros_like(c)
        m = 1 if masks.recurrent is None else masks.recurrent[b]
        z_h = options.variant.zoneout_h if masks.zoneout_h is None else masks.zoneout_h[t, b].int()
        z_c = options.variant.zoneout_c if masks.zoneout_c is None else masks.zoneout_c[t, b].int()
        steps[t] = _step(weights, options.variant, inputs[t, b], h, c, m, z_h, z_c)
        h, c = steps[t]["h"], steps[t]["c"]
    return {letter: torch.stack([step[letter] for step in steps]) for letter in "ifgoch"}, h, c


def _step(
    weights: LayerWeights,
    variant: CellVariant,
    x: Tensor,
    h: Tensor,
    c: Tensor,
    m: Tensor | int,
    z_h: Tensor | float,
    z_c: Tensor | float,
) -> dict[str, Tensor]:
    """Computes one step of one sequence, in the order and the letters of ``CellVariant``."""
    H = c.shape[0]
    order = "fgo" if variant.coupled else "ifgo"

    def pre(gate: str) -> Tensor:
        rows = slice(order.index(gate) * H, (order.index(gate) + 1) * H)
        total = weights.weight_ih[rows] @ x + weights.weight_hh[rows] @ (m * h)
        if weights.bias_ih is not None and weights.bias_hh is not None:
            total = total + weights.bias_ih[rows] + weights.bias_hh[rows]
        return total

    def peephole(gate: str) -> Tensor:
        if weights.weight_peephole is None:
            return torch.zeros_like(c)
        place = order.replace("g", "").index(gate)
        return weights.weight_peephole[place * H : (place + 1) * H]

    f = 1 / (1 + torch.exp(-(pre("f") + peephole("f") * c)))
    i = 1 - f if variant.coupled else 1 / (1 + torch.exp(-(pre("i") + peephole("i") * c)))
    g = torch.tanh(pre("g"))
    c_bar = f * c + i * g
    if variant.cell_clip is not None:
        c_bar = torch.where(
            c_bar > variant.cell_clip,
            torch.full_like(c_bar, variant.cell_clip),
            torch.where(
                c_bar < -variant.cell_clip, torch.full_like(c_bar, -variant.cell_clip), c_bar
            ),
        )
    o = 1 / (1 + torch.exp(-(pre("o") + peephole("o") * c_bar)))
    h_bar = o * torch.tanh(c_bar)
    if weights.weight_hr is not None:
        h_bar = weights.weight_hr @ h_bar
    values = {"i": i, "f": f, "g": g, "o": o}
    return values | {"c": z_c * c + (1 - z_c) * c_bar, "h": z_h * h + (1 - z_h) * h_bar}
