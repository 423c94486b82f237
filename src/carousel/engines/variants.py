"""One step of the cell's variants: coupled gates, peepholes, a clipped memory cell and zoneout.

``CellVariant`` prints the equations. Knows nothing of time, lengths or resets.

Shape letters: B batch, H hidden size, P projection size (H where there is none), G = 4H rows of
packed gates (3H where input and forget gate are coupled).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import linear

from carousel.engines.contract import CellVariant, LayerMasks, LayerTrace, LayerWeights, State

NO_MASKS = LayerMasks()


def is_textbook(weights: LayerWeights, variant: CellVariant, masks: LayerMasks) -> bool:
    """Returns whether a step is the textbook's once its sums before the activation are known."""
    zoned = masks.zoneout_h is not None or masks.zoneout_c is not None
    return weights.weight_peephole is None and variant == CellVariant() and not zoned


def variant_step(
    pre: Float[Tensor, "*B G"],
    state: State,
    weights: LayerWeights,
    variant: CellVariant,
    kept_h: Bool[Tensor, "*B P"] | None = None,
    kept_c: Bool[Tensor, "*B H"] | None = None,
) -> LayerTrace:
    """Computes one step from the sums before the activation, without what the peepholes add.

    Args:
        pre: (B, G), W_ih x + b_ih + W_hh (m ⋆ h) + b_hh, in the weights' order of gates.
        state: h (B, P) and c (B, H) before the step; h without the mask m.
        weights: of which the peepholes and the projection are used here.
        variant: which cell it is.
        kept_h: (B, P), true where h keeps its old value; None for the mean of zoneout.
        kept_c: (B, H), the same for c.

    Returns:
        The activated gates, the new memory cell and the new hidden state, after zoneout.
    """
    *i_pre, f_pre, g_pre, o_pre = pre.chunk(3 if variant.coupled else 4, dim=-1)
    if weights.weight_peephole is not None:
        *p_i, p_f, p_o = weights.weight_peephole.chunk(2 if variant.coupled else 3)
        i_pre = [own + p * state.c for own, p in zip(i_pre, p_i, strict=True)]
        f_pre = f_pre + p_f * state.c
    f, g = torch.sigmoid(f_pre), torch.tanh(g_pre)
    i = 1 - f if variant.coupled else torch.sigmoid(i_pre[0])
    c = f * state.c + i * g
    if variant.cell_clip is not None:
        c = c.clamp(-variant.cell_clip, variant.cell_clip)
    if weights.weight_peephole is not None:
        o_pre = o_pre + p_o * c
    o = torch.sigmoid(o_pre)
    h = o * torch.tanh(c)
    if weights.weight_hr is not None:
        h = linear(h, weights.weight_hr)
    c = _zoneout(state.c, c, variant.zoneout_c, kept_c)
    h = _zoneout(state.h, h, variant.zoneout_h, kept_h)
    return LayerTrace(i, f, g, o, c, h)


def _zoneout(
    old: Float[Tensor, "*B N"],
    new: Float[Tensor, "*B N"],
    rate: float,
    kept: Bool[Tensor, "*B N"] | None,
) -> Float[Tensor, "*B N"]:
    """Returns z ⋆ old + (1 - z) ⋆ new, where z is a mask or, without one, its mean."""
    if kept is not None:
        return torch.where(kept, old, new)
    return rate * old + (1 - rate) * new if rate else new
