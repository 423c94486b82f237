"""The engine that can do everything: plain PyTorch operations, one step after the other.

It runs on any device and dtype, differentiates twice, and under ``torch.func`` transforms. Slow and
clear on purpose; the faster engines are held against it.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions, G = 4H rows of packed gates (3H where input and forget gate are
coupled).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import linear

from carousel.engines.contract import (
    CellVariant,
    EngineOptions,
    EngineResult,
    LayerMasks,
    LayerTrace,
    LayerWeights,
    State,
)
from carousel.engines.variants import NO_MASKS, is_textbook, variant_step


class ReferenceEngine:
    """Plain PyTorch operations: every variant, every device, double backward, ``torch.func``."""

    name = "reference"
    summary = "plain PyTorch operations: any device, variant and transform"

    def unavailable(self) -> str | None:
        """Returns None: the reference runs wherever PyTorch does."""
        return None

    def supports(
        self, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
    ) -> str | None:
        """Returns None: there is nothing in the contract that the reference cannot do."""
        return None

    def run(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        """Runs the whole stack over time; the contract is ``Engine.run``'s."""
        directions = 2 if options.bidirectional else 1
        finals: list[State] = []
        traces: list[LayerTrace] = []
        for first in range(0, len(weights), directions):
            if first and options.dropout:
                inputs = torch.dropout(inputs, options.dropout, True)
            sides = []
            for k in range(first, first + directions):
                values, final = run_direction(
                    inputs,
                    State(state.h[k], state.c[k]),
                    weights[k],
                    options,
                    options.masks[k] if options.masks is not None else NO_MASKS,
                    backwards=k > first,
                )
                sides.append(values.h)
                finals.append(final)
                traces.append(values)
            inputs = torch.cat(sides, dim=-1) if directions == 2 else sides[0]
        final = State(*(torch.stack(list(parts)) for parts in zip(*finals, strict=True)))
        return EngineResult(inputs, final, tuple(traces) if options.trace else None)


def run_direction(
    inputs: Float[Tensor, "T B I"],
    initial: State,
    weights: LayerWeights,
    options: EngineOptions,
    masks: LayerMasks,
    *,
    backwards: bool,
) -> tuple[LayerTrace, State]:
    """Runs one layer in one direction; of the options those count that concern a layer.

    Args:
        inputs: (T, B, I).
        initial: the state before the first step, (B, P) and (B, H).
        weights: of this layer and direction.
        options: lengths, reset and variant.
        masks: of this layer and direction.
        backwards: whether time runs from each sequence's end to its start.

    Returns:
        Every value of every step, in the order of time in either direction, and the final state.
    """
    real, reset = _boundaries(inputs, options)
    if real is not None:
        # NaN times a gradient of 0 is NaN: padding must be gone before the first product.
        inputs = torch.where(real, inputs, 0)
    return _one_direction(
        inputs, initial, weights, options.variant, masks, real, reset, backwards=backwards
    )


def step(
    pre: Float[Tensor, "*B G"],
    c: Float[Tensor, "*B H"],
    weight_hr: Float[Tensor, "P H"] | None = None,
) -> LayerTrace:
    """Computes one step of the textbook's cell from the sums before the activation.

        i, f, o = σ(i_pre), σ(f_pre), σ(o_pre);   g = tanh(g_pre)
        c' = f ⋆ c + i ⋆ g;   h' = o ⋆ tanh(c'), then W_hr h' where the layer projects

    Args:
        pre: (B, 4H) or (4H,), W_ih x + b_ih + W_hh h + b_hh, in the order i, f, g, o.
        c: (B, H) or (H,), the memory cell before the step.
        weight_hr: (P, H), or None where the layer does not project.

    Returns:
        The activated gates, the new memory cell and the new hidden state.
    """
    i_pre, f_pre, g_pre, o_pre = pre.chunk(4, dim=-1)
    i, f, o = torch.sigmoid(i_pre), torch.sigmoid(f_pre), torch.sigmoid(o_pre)
    g = torch.tanh(g_pre)
    c = f * c + i * g
    h = o * torch.tanh(c)
    if weight_hr is not None:
        h = linear(h, weight_hr)
    return LayerTrace(i, f, g, o, c, h)


def _boundaries(
    inputs: Float[Tensor, "T B I"], options: EngineOptions
) -> tuple[Bool[Tensor, "T B 1"] | None, Bool[Tensor, "T B 1"] | None]:
    """Returns which steps are real, and before which real steps the state is zeroed."""
    real = reset = None
    if options.lengths is not None:
        steps = torch.arange(inputs.shape[0], device=inputs.device)
        real = (steps[:, None] < options.lengths.to(inputs.device)).unsqueeze(-1)
    if options.reset is not None:
        reset = options.reset.unsqueeze(-1)
        if real is not None:
            reset = reset & real  # past its end a sequence keeps its final state
    return real, reset


def _one_direction(
    inputs: Float[Tensor, "T B I"],
    initial: State,
    weights: LayerWeights,
    variant: CellVariant,
    masks: LayerMasks,
    real: Bool[Tensor, "T B 1"] | None,
    reset: Bool[Tensor, "T B 1"] | None,
    *,
    backwards: bool,
) -> tuple[LayerTrace, State]:
    """Runs one layer in one direction; the values come in the order of time in either."""
    T = inputs.shape[0]
    h, c = initial
    # One product for all steps, because the input half of the sums waits for no earlier step.
    from_input = linear(inputs, weights.weight_ih, weights.bias_ih)
    if T == 0:
        return _no_steps(from_input, initial), initial
    by_step = from_input.unbind(0)
    textbook = is_textbook(weights, variant, masks)
    values: list[LayerTrace] = []
    for t in reversed(range(T)) if backwards else range(T):
        crossed = t + 1 if backwards else t  # the boundary between the last step and this one
        if reset is not None and crossed < T:
            h = torch.where(reset[crossed], 0, h)
            c = torch.where(reset[crossed], 0, c)
        heard = h if masks.recurrent is None else masks.recurrent * h
        pre = by_step[t] + linear(heard, weights.weight_hh, weights.bias_hh)
        if textbook:
            now = step(pre, c, weights.weight_hr)
        else:
            kept_h = None if masks.zoneout_h is None else masks.zoneout_h[t]
            kept_c = None if masks.zoneout_c is None else masks.zoneout_c[t]
            now = variant_step(pre, State(h, c), weights, variant, kept_h, kept_c)
        if real is None:
            h, c = now.h, now.c
        else:
            h = torch.where(real[t], now.h, h)
            c = torch.where(real[t], now.c, c)
        values.append(now)
    if backwards:
        values.reverse()
    stacked = LayerTrace(*(torch.stack(list(parts)) for parts in zip(*values, strict=True)))
    if real is not None:
        stacked = LayerTrace(*(torch.where(real, part, 0) for part in stacked))
    return stacked, State(h, c)


def _no_steps(from_input: Float[Tensor, "0 B G"], initial: State) -> LayerTrace:
    """Returns values of no steps, cut from the product so that they stay on the graph."""
    h, c = (from_input[..., : part.shape[-1]] for part in initial)
    return LayerTrace(c, c, c, c, c, h)
