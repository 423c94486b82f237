"""The shortest way to the kernel: one plain layer in one direction, outside of autograd.

A step of a small layer takes the kernel a few microseconds, less than it takes to bring arguments
into the engines' contract. So a plain call is recognized here, by looking at what it is made of,
and goes straight to the kernel; every other one is left to the engine, which gives the same
numbers.

Shape letters: T time, B batch, I input size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.parameter import Parameter

from carousel.engines.compiled.kernel import FEW_ROWS, FLOATS_FOR_A_TEAM, plain_forward
from carousel.engines.compiled.native import FAST_VIEWS
from carousel.engines.compiled.native import module as native
from carousel.engines.contract import State
from carousel.engines.watching import forward_mode, nobody_watches, transformed

# Looked up once: a call takes as long as a few hundred look-ups.
_gradients, _autocast = torch.is_grad_enabled, torch.is_autocast_enabled


def run_plain(
    input: object, hx: object, parameters: Mapping[str, Tensor | None], bias: bool
) -> tuple[Tensor, State] | None:
    """Runs one layer of the textbook's cell, or returns None where the call is not a plain one.

    Args:
        input: plain is a tensor (T, B, I).
        hx: plain is None, or a pair of h (1, B, H) and c (1, B, H).
        parameters: weight_ih_l0 (4H, I), weight_hh_l0 (4H, H), bias_ih_l0 and bias_hh_l0 (4H,).
        bias: whether there are biases.

    Returns:
        The output (T, B, H) and the state after the last step.
    """
    if not FAST_VIEWS or _gradients() or not nobody_watches():
        return None
    if _autocast("cpu") or transformed() or forward_mode():
        return None
    if type(input) is not Tensor or input.dim() != 3 or input.is_neg():
        return None
    w_ih, w_hh = parameters.get("weight_ih_l0"), parameters.get("weight_hh_l0")
    b_ih = b_hh = None
    if bias:
        b_ih, b_hh = parameters.get("bias_ih_l0"), parameters.get("bias_hh_l0")
        if type(b_ih) is not Parameter or type(b_hh) is not Parameter:
            return None
    if type(w_ih) is not Parameter or type(w_hh) is not Parameter:
        return None
    h0 = c0 = None
    if hx is not None:
        if not isinstance(hx, tuple) or len(hx) != 2:
            return None
        h0, c0 = hx
        if type(h0) is not Tensor or type(c0) is not Tensor or h0.is_neg() or c0.is_neg():
            return None
    T, B, _ = input.shape
    if T == 1 and 0 < B <= FEW_ROWS:
        H = w_hh.shape[-1]
        empty = input.new_empty  # whatever PyTorch's default type and device are
        out, h_n, c_n = empty(1, B, H), empty(1, B, H), empty(1, B, H)
        threads = torch.get_num_threads() if w_hh.numel() >= FLOATS_FOR_A_TEAM else 1
        if not native.plain_step(out, h_n, c_n, threads, input, h0, c0, w_ih, w_hh, b_ih, b_hh):
            return None
        return out, State(h_n, c_n)
    if any(part is not None and part.is_neg() for part in (w_ih, w_hh, b_ih, b_hh)):
        return None
    if T == 0 or not native.fits(input, h0, c0, w_ih, w_hh, b_ih, b_hh):
        return None
    out, h_n, c_n = plain_forward(input, h0, c0, w_ih, w_hh, b_ih, b_hh)
    return out, State(h_n, c_n)
