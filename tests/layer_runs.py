"""One call of a layer with everything it produces, outputs and all gradients, under flat names.

The names are those of ``numerical_bounds.bound``, so that the two can be laid side by side.

Shape letters: T time, B batch, I input size, H hidden size, P projection size, L layers,
D directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import carousel.nn
from numerical_bounds import Bounded, bound


@dataclass(frozen=True, repr=False)
class Problem:
    """A layer's options, and the tensors of one call."""

    input_size: int
    hidden_size: int
    options: dict[str, Any]
    inputs: Tensor  # (T, B, I)
    h_0: Tensor
    c_0: Tensor
    cotangents: tuple[Tensor, Tensor, Tensor]
    parameters: dict[str, Tensor]
    dtype: torch.dtype

    def __repr__(self) -> str:
        return f"Problem(inputs {tuple(self.inputs.shape)}, {self.hidden_size}, {self.options})"

    def analysed(self, **ragged: Tensor) -> dict[str, Bounded]:
        return bound(
            self.parameters,
            self.inputs,
            self.h_0,
            self.c_0,
            self.cotangents,
            dtype=self.dtype,
            **ragged,
        )

    def theirs(self, **options: Any) -> torch.nn.LSTM:
        """PyTorch's layer with this problem's weights."""
        layer = torch.nn.LSTM(
            self.input_size, self.hidden_size, dtype=self.dtype, **(self.options | options)
        )
        layer.load_state_dict(self.parameters)
        return layer

    def ours(self, engine: str, **options: Any) -> carousel.nn.LSTM:
        """Our layer with this problem's weights."""
        layer = carousel.nn.LSTM(
            self.input_size,
            self.hidden_size,
            dtype=self.dtype,
            engine=engine,
            **(self.options | options),
        )
        layer.load_state_dict(self.parameters)
        return layer

    def alone(self, row: int, steps: slice) -> Problem:
        """The part of the problem that one row has in some of its steps."""
        rows = slice(row, row + 1)
        outputs, h_n, c_n = self.cotangents
        return replace(
            self,
            inputs=self.inputs[steps, rows],
            h_0=self.h_0[:, rows],
            c_0=self.c_0[:, rows],
            cotangents=(outputs[steps, rows], h_n[:, rows], c_n[:, rows]),
        )


def problem(
    T: int,
    B: int,
    I: int,  # noqa: E741
    H: int,
    *,
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> Problem:
    """Draws a problem; the seed is the caller's."""
    layer = torch.nn.LSTM(I, H, dtype=dtype, **options)
    D = 2 if layer.bidirectional else 1
    P = layer.proj_size or H
    states = layer.num_layers * D
    h_0 = torch.randn(states, B, P, dtype=dtype)
    c_0 = torch.randn(states, B, H, dtype=dtype)
    cotangents = (
        torch.randn(T, B, D * P, dtype=dtype),
        torch.randn_like(h_0),
        torch.randn_like(c_0),
    )
    inputs = torch.randn(T, B, I, dtype=dtype)
    parameters = {name: value.detach() for name, value in layer.named_parameters()}
    return Problem(I, H, options, inputs, h_0, c_0, cotangents, parameters, dtype)


def numbers(layer: torch.nn.Module, given: Problem, **call: Any) -> dict[str, Tensor]:
    """Returns the outputs, states and every gradient of one call on (T, B, I) input."""
    layer.zero_grad()
    inputs, h_0, c_0 = (
        part.clone().requires_grad_() for part in (given.inputs, given.h_0, given.c_0)
    )
    output, (h_n, c_n) = layer(inputs, (h_0, c_0), **call)
    torch.autograd.backward((output, h_n, c_n), given.cotangents)
    found = {"output": output, "h_n": h_n, "c_n": c_n}
    found |= {"d input": inputs.grad, "d h_0": h_0.grad, "d c_0": c_0.grad}
    found |= {f"d {name}": value.grad for name, value in layer.named_parameters()}
    assert all(value is not None for value in found.values())
    return {name: value.detach() for name, value in found.items()}
