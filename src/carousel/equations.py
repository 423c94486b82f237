"""One step of the LSTM cell, gate by gate, as the textbook prints it: the specification.

Everything faster in this package is tested against this page. It knows nothing of layers, time,
devices or speed. Imports nothing of ours.

The letters: x_t the input at time t, h the hidden state, C the memory cell; f, i, o the forget,
input and output gates and C̃ the candidate, all four *after* their activation; σ the logistic
function; ⋆ the product element by element; [h, x] the concatenation.

Shape letters: B batch (may be absent), I input size, H hidden size, G = 4H rows of packed gates.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class GateWeights(NamedTuple):
    """The textbook's weights: one matrix (H, H+I) over [h_{t-1}, x_t] and one bias (H,) a gate."""

    W_f: Float[Tensor, "H H+I"]
    b_f: Float[Tensor, " H"]
    W_i: Float[Tensor, "H H+I"]
    b_i: Float[Tensor, " H"]
    W_c: Float[Tensor, "H H+I"]
    b_c: Float[Tensor, " H"]
    W_o: Float[Tensor, "H H+I"]
    b_o: Float[Tensor, " H"]


class PackedWeights(NamedTuple):
    """PyTorch's weights of one layer: four gates stacked in the order i, f, g, o (g is C̃)."""

    weight_ih: Float[Tensor, "G I"]
    weight_hh: Float[Tensor, "G H"]
    bias_ih: Float[Tensor, " G"]
    bias_hh: Float[Tensor, " G"]


class Step(NamedTuple):
    """Every value that one step computes, each (B, H) or (H,), in the order it is computed."""

    f: Tensor
    i: Tensor
    C_tilde: Tensor
    C: Tensor
    o: Tensor
    h: Tensor


def step(
    x_t: Float[Tensor, "*B I"],
    h: Float[Tensor, "*B H"],
    C: Float[Tensor, "*B H"],
    weights: GateWeights,
) -> Step:
    """Computes one step of the cell.

        f_t = σ(W_f·[h_{t-1}, x_t] + b_f)        forget gate: what to erase from memory
        i_t = σ(W_i·[h_{t-1}, x_t] + b_i)        input gate: what to write
        C̃_t = tanh(W_c·[h_{t-1}, x_t] + b_c)     candidate: what could be written
        C_t = f_t ⋆ C_{t-1} + i_t ⋆ C̃_t          the memory cell, the carousel
        o_t = σ(W_o·[h_{t-1}, x_t] + b_o)        output gate: what to show
        h_t = o_t ⋆ tanh(C_t)                    hidden state

    Args:
        x_t: the input at this step, (B, I) or (I,).
        h: the hidden state before this step, (B, H) or (H,).
        C: the memory cell before this step, (B, H) or (H,).
        weights: the textbook's weights.

    Returns:
        The three gates, the candidate, the new memory cell and the new hidden state.

    Reference:
        Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; the forget gate is of
        Gers, Schmidhuber and Cummins (2000), doi:10.1162/089976600300015015.
    """
    hx = torch.cat([h, x_t], dim=-1)
    f = torch.sigmoid(hx @ weights.W_f.T + weights.b_f)
    i = torch.sigmoid(hx @ weights.W_i.T + weights.b_i)
    C_tilde = torch.tanh(hx @ weights.W_c.T + weights.b_c)
    C = f * C + i * C_tilde
    o = torch.sigmoid(hx @ weights.W_o.T + weights.b_o)
    h = o * torch.tanh(C)
    return Step(f, i, C_tilde, C, o, h)


def from_packed(
    weight_ih: Float[Tensor, "G I"],
    weight_hh: Float[Tensor, "G H"],
    bias_ih: Float[Tensor, " G"] | None = None,
    bias_hh: Float[Tensor, " G"] | None = None,
) -> GateWeights:
    """Returns the textbook's weights for PyTorch's packed ones.

        W_k = [weight_hh_k, weight_ih_k],   b_k = bias_ih_k + bias_hh_k     for each gate k

    Keeps every weight bit for bit. Of the two biases only their sum has a meaning in the equations,
    so only the sum is kept.

    Args:
        weight_ih: (4H, I), gates in the order i, f, g, o.
        weight_hh: (4H, H).
        bias_ih: (4H,), or None for a layer without biases.
        bias_hh: (4H,), or None for a layer without biases.

    Returns:
        One matrix (H, H+I) and one bias (H,) a gate; gradients flow through them.
    """
    W_i, W_f, W_c, W_o = torch.cat([weight_hh, weight_ih], dim=1).chunk(4)
    bias = torch.zeros_like(weight_ih[:, 0])
    if bias_ih is not None:
        bias = bias_ih
    if bias_hh is not None:
        bias = bias + bias_hh
    b_i, b_f, b_c, b_o = bias.chunk(4)
    return GateWeights(W_f, b_f, W_i, b_i, W_c, b_c, W_o, b_o)


def to_packed(weights: GateWeights) -> PackedWeights:
    """Returns PyTorch's packed weights for the textbook's.

    The bias goes into ``bias_ih``; ``bias_hh`` is zero. Nothing is lost: the way back,
    ``from_packed(*to_packed(w))``, gives every number of ``w`` bit for bit.

    Args:
        weights: the textbook's weights, each matrix (H, H+I), each bias (H,).

    Returns:
        ``weight_ih (4H, I)``, ``weight_hh (4H, H)``, ``bias_ih (4H,)``, ``bias_hh (4H,)``.
    """
    H = weights.b_f.shape[0]
    W = torch.cat([weights.W_i, weights.W_f, weights.W_c, weights.W_o])
    bias_ih = torch.cat([weights.b_i, weights.b_f, weights.b_c, weights.b_o])
    # -0.0 and not 0.0: b + (-0.0) is b for every b, while -0.0 + 0.0 would lose the sign.
    bias_hh = torch.full_like(bias_ih, -0.0)
    return PackedWeights(W[:, H:], W[:, :H], bias_ih, bias_hh)
