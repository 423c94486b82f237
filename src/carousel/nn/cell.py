"""One step of one layer as a module: takes the place of ``torch.nn.LSTMCell``.

Shape letters: B batch (may be absent), I input size, H hidden size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.parameter import Parameter

from carousel.engines import LayerTrace, State
from carousel.engines.reference import step
from carousel.errors import OptionError, ShapeError


class LSTMCell(torch.nn.Module):
    """One step of an LSTM; loops over time are the caller's.

        i, f, o = σ(W_i* x + b_i* + W_h* h + b_h*),   g likewise with tanh
        c' = f ⋆ c + i ⋆ g,   h' = o ⋆ tanh(c')

    Args:
        input_size: I, features of one step.
        hidden_size: H, memory cells.
        bias: whether the gates have biases.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        OptionError: for a size that is not above 0.

    Reference:
        Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735.
    """

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size <= 0:
                raise OptionError(f"{name}: expected a whole number above 0, got {size}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = 4 * hidden_size
        self.weight_ih = Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(torch.empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(torch.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> State:
        """Runs one step.

        Args:
            input: (B, I), or (I,) without a batch.
            hx: h and c before the step, each (B, H) or (H,); zeros where it is None.

        Returns:
            h and c after the step, each (B, H) or (H,).

        Raises:
            ShapeError: for a tensor that does not fit.
        """
        h, c = self._state(input, hx)
        batched = input.dim() == 2
        # PyTorch's own step, one fused kernel on CUDA, which wants a batch.
        rows = (input, h, c) if batched else tuple(part.unsqueeze(0) for part in (input, h, c))
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        h, c = torch.lstm_cell(rows[0], rows[1:], *weights)
        return State(h, c) if batched else State(h.squeeze(0), c.squeeze(0))

    def trace(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> LayerTrace:
        """Runs one step and returns every value of it.

        Args and errors are ``forward``'s.

        Returns:
            The ACTIVATED gates i, f, o in (0, 1) and g in (-1, 1), and c and h after the step, each
            (B, H) or (H,).
        """
        h, c = self._state(input, hx)
        from_input = linear(input, self.weight_ih, self.bias_ih)
        return step(from_input + linear(h, self.weight_hh, self.bias_hh), c)

    def reset_parameters(self) -> None:
        """Draws every parameter from U(-1/√H, 1/√H), in PyTorch's order."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Returns the sizes, and the bias where there is none."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _state(self, input: Tensor, hx: tuple[Tensor, Tensor] | None) -> State:
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"input: expected (batch, {self.input_size}) or ({self.input_size},), got "
                f"{tuple(input.shape)}. A whole sequence goes to LSTM, or to this cell step by step"
            )
        expected = (*input.shape[:-1], self.hidden_size)
        if hx is None:
            zeros = input.new_zeros(expected)
            return State(zeros, zeros)
        if isinstance(hx, Tensor) or len(hx) != 2:
            raise ShapeError(f"hx: expected a pair (h_0, c_0), got {type(hx).__name__}")
        for name, part in (("h_0", hx[0]), ("c_0", hx[1])):
            if tuple(part.shape) != expected:
                raise ShapeError(
                    f"{name}: expected shape {expected}, a row of hidden_size for each row of the "
                    f"input; got {tuple(part.shape)}"
                )
        return State(*hx)
