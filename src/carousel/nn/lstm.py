"""The layer: everything that ``torch.nn.LSTM`` does, and lengths, resets and a trace.

The module owns parameters and nothing else: no state of a batch, no cache. Which code runs is the
engines' matter, which layout the tensors have is ``layout``'s.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import Parameter
from torch.nn.utils.rnn import PackedSequence

from carousel import engines
from carousel.engines import Choice, EngineOptions, EngineResult, LayerWeights, State
from carousel.engines.selection import check_name
from carousel.errors import OptionError
from carousel.nn.cudnn import flatten_weights
from carousel.nn.layout import Arguments, Padded, Sizes, arguments, padded
from carousel.nn.trace import Trace


class LSTM(torch.nn.Module):
    """A stack of LSTM layers over sequences; takes the place of ``torch.nn.LSTM``.

        i, f, o = σ(W_i* x_t + b_i* + W_h* h_{t-1} + b_h*),   g likewise with tanh
        c_t = f ⋆ c_{t-1} + i ⋆ g,   h_t = W_hr (o ⋆ tanh(c_t))   (W_hr only with ``proj_size``)

    Parameters have PyTorch's names, order, shapes and initial values, so that ``state_dict`` loads
    both ways.

    Args:
        input_size: I, features of one step.
        hidden_size: H, memory cells of one layer and direction.
        num_layers: L; layer l reads the hidden states of layer l-1.
        bias: whether the gates have biases.
        batch_first: whether sequences are (B, T, ·) and not (T, B, ·); states never are.
        dropout: probability from 0 to 1, on the outputs of all layers but the last, in training.
        bidirectional: whether a second direction reads each sequence from its end; D is then 2.
        proj_size: P, size that h is projected to, below H; 0 for no projection.
        device: of the parameters.
        dtype: of the parameters.
        engine: "auto" for the first that can, or the name of one (``carousel.engines.available``).

    Raises:
        OptionError: for a number out of its range or an unknown engine.
        TypeError: for an argument of another type.

    Reference:
        Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; projections: Sak, Senior
        and Beaufays (2014), arXiv:1402.1128; two directions: Graves and Schmidhuber (2005),
        doi:10.1016/j.neunet.2005.06.042.
    """

    weight_ih_l0: Parameter
    mode = "LSTM"  # what torch.nn.LSTM calls itself, for code that asks

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float | int = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        _check_sizes(input_size, hidden_size, num_layers, proj_size)
        _check_flags(bias=bias, batch_first=batch_first)
        _check_dropout(dropout, num_layers)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = proj_size
        self.preferred_engine = check_name(engine)
        for layer in range(num_layers):
            width = input_size if layer == 0 else self._directions * self._output_size
            shapes = self._shapes(width)
            for direction in range(self._directions):
                for kind, shape in shapes.items():
                    value = Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{kind}_{_suffix(layer, direction)}", value)
        self.flatten_parameters()
        self.reset_parameters()

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Runs the stack over sequences.

        Args:
            input: (T, B, I), (B, T, I) with ``batch_first``, (T, I) without a batch, or a
                ``PackedSequence``. T may be 0: the state is then returned as it came.
            hx: the state before the first step, h (L·D, B, P) and c (L·D, B, H), without the B for
                input without a batch; zeros where it is None. The reverse direction starts from it
                at each sequence's own end.
            lengths: (B,) whole numbers from 0 to T, the real steps of each sequence, in any order
                and on any device. What the input holds past them is never read.
            reset: truth values in the input's layout, (T, B), (B, T) or (T,): true where the state
                is zeroed before step t. It is a boundary that neither direction's state crosses:
                the reverse direction is zeroed between step t and step t-1.

        Returns:
            The outputs of the last layer, (T, B, D·P) in the input's layout and 0 past a sequence's
            end; and the state after each sequence's last real step (for the reverse direction its
            first), the initial state where the length is 0.

        Raises:
            ShapeError: for a tensor that does not fit.
            OptionError: where the engine that was asked for by name cannot run this call.
        """
        call = self._arguments(input, hx, lengths, reset)
        result = self._run(call, trace=False)
        return call.layout.sequence(result.outputs), call.layout.state(result.state)

    def trace(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> Trace:
        """Runs the stack and returns every gate, cell and hidden value of every step.

        Args and errors are ``forward``'s. A ``PackedSequence`` is traced as the padded tensor that
        it was packed from.

        Returns:
            The values by layer and direction, with the output and state of the plain call.
        """
        if isinstance(input, PackedSequence) and lengths is None and reset is None:
            input, lengths = padded(input, batch_first=self.batch_first)
        call = self._arguments(input, hx, lengths, reset)
        result = self._run(call, trace=True)
        assert isinstance(call.layout, Padded)
        assert result.trace is not None
        in_layout = call.layout.sequence
        layers = {
            name: type(values)(*(in_layout(value) for value in values))
            for name, values in zip(self._suffixes(), result.trace, strict=True)
        }
        return Trace(layers, in_layout(result.outputs), call.layout.state(result.state))

    @property
    def engine(self) -> Choice:
        """The engine that a plain call (no lengths, no resets, no trace) runs on, and why."""
        weights = self._weights()
        plain = weights[0].weight_ih.new_empty(1, 1, self.input_size)
        options = EngineOptions(bidirectional=self.bidirectional)
        return engines.choose(self.preferred_engine, plain, weights, options)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, in PyTorch's order."""
        return [
            [getattr(self, f"{kind}_{suffix}") for kind in self._shapes(0)]
            for suffix in self._suffixes()
        ]

    def flatten_parameters(self) -> None:
        """Lays the parameters out in one block where cuDNN wants it; elsewhere does nothing."""
        flatten_weights(
            self.all_weights,
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            proj_size=self.proj_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
        )

    def reset_parameters(self) -> None:
        """Draws every parameter from U(-1/√H, 1/√H), in PyTorch's order."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """Returns the sizes and every option that is not the default."""
        words = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        words += [
            f"{name}={getattr(self, name)}"
            for name, default in defaults.items()
            if getattr(self, name) != default
        ]
        if self.preferred_engine != engines.selection.AUTO:
            words.append(f"engine={self.preferred_engine!r}")
        return ", ".join(words)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> LSTM:
        super()._apply(fn, recurse)
        self.flatten_parameters()  # a move to another device gives every parameter its own block
        return self

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """Returns the parameters of a layer that reads ``width`` features, in PyTorch's order."""
        H, P = self.hidden_size, self._output_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (4 * H, width), "weight_hh": (4 * H, P)}
        if self.bias:
            shapes |= {"bias_ih": (4 * H,), "bias_hh": (4 * H,)}
        if self.proj_size:
            shapes["weight_hr"] = (P, H)
        return shapes

    def _suffixes(self) -> list[str]:
        return [
            _suffix(layer, direction)
            for layer in range(self.num_layers)
            for direction in range(self._directions)
        ]

    def _weights(self) -> tuple[LayerWeights, ...]:
        # By name at every call, so that parametrizations and torch.func.functional_call are seen.
        return tuple(
            LayerWeights(**{kind: getattr(self, f"{kind}_{suffix}") for kind in self._shapes(0)})
            for suffix in self._suffixes()
        )

    def _arguments(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None,
        lengths: Tensor | Sequence[int] | None,
        reset: Tensor | None,
    ) -> Arguments:
        states = self.num_layers * self._directions
        return arguments(
            input,
            hx,
            lengths,
            reset,
            batch_first=self.batch_first,
            sizes=Sizes(self.input_size, self.hidden_size, self._output_size, states),
            dtype=self.weight_ih_l0.dtype,
        )

    def _run(self, call: Arguments, *, trace: bool) -> EngineResult:
        options = EngineOptions(
            bidirectional=self.bidirectional,
            dropout=self.dropout if self.training else 0.0,
            lengths=call.lengths,
            reset=call.reset,
            trace=trace,
        )
        return engines.run(self.preferred_engine, call.inputs, call.state, self._weights(), options)


def _suffix(layer: int, direction: int) -> str:
    return f"l{layer}_reverse" if direction else f"l{layer}"


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> None:
    named = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for name, value in {**named, "proj_size": proj_size}.items():
        if not isinstance(value, int):
            raise TypeError(f"{name}: expected a whole number, got {type(value).__name__}")
    for name, value in named.items():
        if value <= 0:
            raise OptionError(f"{name}: expected a whole number above 0, got {value}")
    if not 0 <= proj_size < hidden_size:
        raise OptionError(
            f"proj_size: expected from 0 (no projection) to below hidden_size {hidden_size}, got "
            f"{proj_size}"
        )


def _check_flags(**flags: bool) -> None:
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected true or false, got {type(value).__name__}")


def _check_dropout(dropout: float, num_layers: int) -> None:
    number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise OptionError(
            f"dropout: expected the probability of zeroing an element, from 0 to 1, got {dropout!r}"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"dropout={dropout} does nothing with num_layers=1: it acts between layers, on the "
            f"outputs of all but the last",
            stacklevel=3,
        )
