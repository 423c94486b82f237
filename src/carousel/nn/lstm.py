"""The layer: all that ``torch.nn.LSTM`` does, and lengths, resets, a trace, variants of the cell.

The module owns parameters and nothing else: no state of a batch, no cache. Which code runs is the
engines' matter, which layout the tensors have is ``layout``'s.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import Parameter
from torch.nn.utils.rnn import PackedSequence

from carousel import engines
from carousel.engines import CellVariant, Choice, EngineOptions, EngineResult, LayerWeights, State
from carousel.engines.compiled.plain import run_plain
from carousel.engines.selection import check_name, prefers_compiled
from carousel.nn.cudnn import flatten_weights
from carousel.nn.initialization import initialize_
from carousel.nn.layout import Arguments, Padded, Sizes, arguments, padded
from carousel.nn.masks import draw_masks, drop_weights
from carousel.nn.options import check_dropout, check_flags, check_sizes, check_variant, described
from carousel.nn.parameters import shapes, suffixes
from carousel.nn.stepper import Stepper
from carousel.nn.trace import Trace


class LSTM(torch.nn.Module):
    """A stack of LSTM layers over sequences; takes the place of ``torch.nn.LSTM``.

        i, f, o = σ(W_i* x_t + b_i* + W_h* h_{t-1} + b_h*),   g likewise with tanh
        c_t = f ⋆ c_{t-1} + i ⋆ g,   h_t = W_hr (o ⋆ tanh(c_t))   (W_hr only with ``proj_size``)

    Parameters have PyTorch's names, order, shapes and initial values, so that ``state_dict`` loads
    both ways. ``carousel.engines.CellVariant`` prints the equations with the options below.

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
        peepholes: whether the gates see the memory cell, by ``weight_peephole_l0`` (3H,) for i, f,
            o; (2H,) for f, o, where gates are coupled.
        coupled: whether i = 1 - f; gates are then packed f, g, o, in 3H rows and not in 4H.
        cell_clip: bound of the memory cell's size, above 0; None for none.
        recurrent_dropout: probability, below 1, on h where the gates read it, in training; one mask
            a sequence, layer and direction, the same at every step.
        weight_dropout: probability, below 1, on the elements of ``weight_hh`` in training; one
            mask a call, the same at every step and for every sequence.
        zoneout_h: probability, below 1, that an element of h keeps its old value, drawn at each
            step in training to a resolution of 2^-16; in evaluation the mean is taken.
        zoneout_c: the same for the memory cell.
        initialization: "pytorch" or "orthogonal", as ``carousel.nn.initialization`` has them.
        forget_bias: what the forget gates' biases start from; None leaves them as drawn.
        chrono: in its place the longest memory expected, in steps, which biases are drawn for.

    Raises:
        OptionError: for a number out of its range or an unknown engine.
        TypeError: for an argument of another type.

    Reference:
        Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; projections: Sak, Senior
        and Beaufays (2014), arXiv:1402.1128; two directions: Graves and Schmidhuber (2005),
        doi:10.1016/j.neunet.2005.06.042; weight dropout: Merity, Keskar and Socher (2018),
        arXiv:1708.02182, section 2; variants: see ``carousel.engines.CellVariant``.
    """

    weight_ih_l0: Parameter
    mode = "LSTM"  # what torch.nn.LSTM calls itself, for code that asks

    # On the class, so that a layer that was built as torch.nn.LSTM and became this one has them.
    peepholes: bool = False
    coupled: bool = False
    cell_clip: float | None = None
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0
    initialization: str = "pytorch"
    forget_bias: float | None = None
    chrono: float | None = None

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
        peepholes: bool = False,
        coupled: bool = False,
        cell_clip: float | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout_h: float = 0.0,
        zoneout_c: float = 0.0,
        initialization: str = "pytorch",
        forget_bias: float | None = None,
        chrono: float | None = None,
    ) -> None:
        super().__init__()
        check_sizes(input_size, hidden_size, num_layers, proj_size)
        check_flags(bias=bias, batch_first=batch_first, peepholes=peepholes, coupled=coupled)
        check_dropout(dropout, num_layers)
        check_variant(cell_clip, recurrent_dropout, weight_dropout, zoneout_h, zoneout_c)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = proj_size
        self.preferred_engine = check_name(engine)
        self.peepholes, self.coupled, self.cell_clip = peepholes, coupled, cell_clip
        self.recurrent_dropout = float(recurrent_dropout)
        self.weight_dropout = float(weight_dropout)
        self.zoneout_h, self.zoneout_c = float(zoneout_h), float(zoneout_c)
        self.initialization, self.forget_bias, self.chrono = initialization, forget_bias, chrono
        for suffix in self._suffixes():
            first = suffix in ("l0", "l0_reverse")
            width = input_size if first else self._directions * self._output_size
            for kind, shape in self._shapes(width).items():
                value = Parameter(torch.empty(shape, device=device, dtype=dtype))
                self.register_parameter(f"{kind}_{suffix}", value)
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
        if lengths is None and reset is None and self._is_plain():
            quick = run_plain(input, hx, self._parameters, self.bias)
            if quick is not None:
                return quick
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

    def stepper(self, batch: int = 1) -> Stepper:
        """Returns what feeds the layer one step at a time, starting from a state of zeros.

        Args:
            batch: B, rows of the stream.

        Raises:
            OptionError: for a bidirectional layer, and for a batch below 1.
        """
        return Stepper(self, batch)

    @property
    def engine(self) -> Choice:
        """The engine that a plain call (no lengths, no resets, no trace) runs on, and why."""
        weights = self._weights()
        plain = weights[0].weight_ih.new_empty(1, 1, self.input_size)
        # No mask is drawn for a question: which engine can does not depend on what is in it.
        draws = self.recurrent_dropout or self.zoneout_h or self.zoneout_c
        masks = (engines.LayerMasks(),) * len(weights) if self.training and draws else None
        bidirectional, variant = self.bidirectional, self._variant
        options = EngineOptions(bidirectional=bidirectional, variant=variant, masks=masks)
        return engines.choose(self.preferred_engine, plain, weights, options)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, in PyTorch's order."""
        return [
            [getattr(self, f"{kind}_{suffix}") for kind in self._shapes()]
            for suffix in self._suffixes()
        ]

    def flatten_parameters(self) -> None:
        """Lays the parameters out in one block where cuDNN wants it; elsewhere does nothing."""
        if self.coupled or self.peepholes:  # which cuDNN does not run
            return
        flatten_weights(
            self.all_weights,
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            proj_size=self.proj_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
        )

    def reset_parameters(self) -> None:
        """Draws every parameter anew, as ``initialization`` and the bias options say."""
        initialize_(self, self.initialization, self.forget_bias, self.chrono)

    def extra_repr(self) -> str:
        """Returns the sizes and every option that is not the default."""
        return described(self, engine=self.preferred_engine)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> LSTM:
        super()._apply(fn, recurse)
        self.flatten_parameters()  # a move to another device gives every parameter its own block
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.flatten_parameters()  # so does a copy

    def _is_plain(self) -> bool:
        """Returns whether this is one layer of the textbook's cell, for the compiled engine."""
        return (
            self.num_layers == 1
            and not (self.bidirectional or self.batch_first or self.proj_size)
            and not (self.coupled or self.peepholes or self.recurrent_dropout)
            and not (self.zoneout_h or self.zoneout_c)
            and not (self.training and self.weight_dropout)
            and self.cell_clip is None
            and prefers_compiled(self.preferred_engine)
        )

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _variant(self) -> CellVariant:
        return CellVariant(
            coupled=self.coupled,
            cell_clip=self.cell_clip,
            zoneout_h=self.zoneout_h,
            zoneout_c=self.zoneout_c,
        )

    def _suffixes(self) -> list[str]:
        return suffixes(self.num_layers, self.bidirectional)

    def _shapes(self, width: int = 0) -> dict[str, tuple[int, ...]]:
        """Returns the parameters of a layer that reads ``width`` features, in PyTorch's order."""
        return shapes(
            width,
            self.hidden_size,
            self.proj_size,
            bias=self.bias,
            coupled=self.coupled,
            peepholes=self.peepholes,
        )

    def _weights(self) -> tuple[LayerWeights, ...]:
        # By name at every call, so that parametrizations and torch.func.functional_call are seen.
        kinds = tuple(self._shapes())
        return tuple(
            LayerWeights(**{kind: getattr(self, f"{kind}_{suffix}") for kind in kinds})
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
        variant, masks, weights = self._variant, None, self._weights()
        if self.training:
            masks = draw_masks(len(call.inputs), call.state, self.recurrent_dropout, variant)
            weights = drop_weights(weights, self.weight_dropout)
        options = EngineOptions(
            bidirectional=self.bidirectional,
            dropout=self.dropout if self.training else 0.0,
            lengths=call.lengths,
            reset=call.reset,
            trace=trace,
            variant=variant,
            masks=masks,
        )
        return engines.run(self.preferred_engine, call.inputs, call.state, weights, options)
