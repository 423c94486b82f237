"""One step at a time: a layer whose state waits between the steps of a stream.

The layer itself keeps nothing; what a stream needs, its state and the weights in the kernel's
order, is kept here.

Shape letters: B batch, I input size, H hidden size, P projection size (H where there is none),
L layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from carousel import engines
from carousel.engines import EngineOptions, LayerWeights, State
from carousel.engines.compiled.stepping import CompiledSteps
from carousel.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from carousel.nn.lstm import LSTM


class Stepper:
    """Feeds a layer one step at a time, without gradients, as in evaluation.

    The numbers are those of the layer on the whole sequence, bit for bit where the compiled engine
    runs both. Weights are packed once; a change that PyTorch counts (an optimizer's step,
    ``load_state_dict``) is seen at the next step, one behind its back (through ``.data``) is not:
    call ``refresh()`` after it.

    Args:
        layer: of one direction; ``LSTM.stepper`` calls this.
        batch: B, rows of the stream.

    Raises:
        OptionError: for a bidirectional layer, whose backward direction starts at the end, and for
            a batch below 1.
    """

    def __init__(self, layer: LSTM, batch: int = 1) -> None:
        if layer.bidirectional:
            raise OptionError(
                "stepper: expected a layer of one direction, got a bidirectional one, whose second "
                "direction starts at the end of the sequence. Run it on whole sequences"
            )
        if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
            raise OptionError(f"batch: expected a whole number of rows above 0, got {batch!r}")
        self._layer = layer
        weight = layer._weights()[0].weight_hh.detach()
        self._dtype, self._device = weight.dtype, weight.device
        sizes = layer.num_layers, batch
        with torch.inference_mode(False):  # the state outlives the mode that it is made in
            self._state = State(
                weight.new_zeros(*sizes, layer.proj_size or layer.hidden_size),
                weight.new_zeros(*sizes, layer.hidden_size),
            )
        self.refresh()

    def step(self, x: Tensor) -> Tensor:
        """Feeds one step to every row.

        Args:
            x: (B, I), in the dtype and on the device of the layer.

        Returns:
            The top layer's hidden state, (B, P); a new tensor.

        Raises:
            ShapeError: for a tensor that does not fit.
        """
        if not isinstance(x, Tensor):
            raise ShapeError(f"x: expected a tensor {tuple(self._inputs)}, got {type(x).__name__}")
        if x.shape != self._inputs or x.dtype != self._dtype or x.device != self._device:
            raise ShapeError(
                f"x: expected {tuple(self._inputs)}, a row of input_size for each row of the "
                f"batch, in {self._dtype} on {self._device}; got {tuple(x.shape)} in {x.dtype} on "
                f"{x.device}. Another batch needs a stepper of its own"
            )
        if self._derived or self._marks() != self._seen:
            self.refresh()
        if self._compiled is None:
            return self._step_on_another(x)
        if x.is_neg():  # its memory holds the negative of its values
            x = x.resolve_neg()
        return self._compiled.step(x if x.stride(1) == 1 else x.contiguous())

    @property
    def state(self) -> State:
        """The present state, copied: h (L, B, P) and c (L, B, H). Assigning copies into it."""
        return State(self._state.h.clone(), self._state.c.clone())

    @state.setter
    def state(self, state: tuple[Tensor, Tensor]) -> None:
        if len(state) != 2:
            raise ShapeError(f"state: expected a pair (h, c), got {len(state)} of them")
        for name, to, value in zip(("h", "c"), self._state, state, strict=True):
            if value.shape != to.shape:
                raise ShapeError(
                    f"state.{name}: expected {tuple(to.shape)}, (layers, batch, size), got "
                    f"{tuple(value.shape)}"
                )
        for to, value in zip(self._state, state, strict=True):
            to.copy_(value.detach())

    def reset(self, rows: Tensor | None = None) -> None:
        """Zeroes the state of all rows, or of those where ``rows`` (B,) is true."""
        if rows is None:
            rows = torch.ones(self._inputs[0], dtype=torch.bool, device=self._device)
        if rows.shape != self._inputs[:1] or rows.dtype != torch.bool:
            raise ShapeError(
                f"rows: expected ({self._inputs[0]},), true for each row to reset; got "
                f"{tuple(rows.shape)} of {rows.dtype}"
            )
        for part in self._state:
            part[:, rows] = 0

    def refresh(self) -> None:
        """Takes the layer's weights as they are now."""
        layer = self._layer
        weights = layer._weights()
        self._inputs = torch.Size((self._state.h.shape[1], layer.input_size))
        if weights[0].weight_hh.dtype != self._dtype or weights[0].weight_hh.device != self._device:
            raise OptionError(
                f"stepper: the layer has moved from {self._dtype} on {self._device} to "
                f"{weights[0].weight_hh.dtype} on {weights[0].weight_hh.device}. Make a new "
                f"stepper, and give it the state"
            )
        # Held, so that no other parameter can have the identity of one of these.
        self._tensors = [part for one in weights for part in one if part is not None]
        own = self._layer._parameters.values()
        # Weights that are made of others at every look, as by a parametrization, are made anew.
        self._derived = [id(part) for part in own] != [id(part) for part in self._tensors]
        # PyTorch counts no changes of what was made in inference mode.
        self._uncounted = any(part is not None and part.is_inference() for part in own)
        self._seen = self._marks()
        self._weights = tuple(
            LayerWeights(*(None if part is None else part.detach() for part in one))  # type: ignore[arg-type]
            for one in weights
        )
        self._options = EngineOptions(variant=layer._variant)
        with torch.no_grad():
            probe = self._weights[0].weight_hh.new_empty(1, *self._inputs)
            choice = engines.choose(layer.preferred_engine, probe, self._weights, self._options)
        self._compiled = None
        if choice.name == "compiled":
            self._compiled = CompiledSteps(self._weights, self._options.variant, self._state)

    def _marks(self) -> list[int]:
        """Returns numbers that change when a parameter is replaced, moved or written to."""
        own = self._layer._parameters.values()
        if self._uncounted:
            return [
                mark for part in own if part is not None for mark in (id(part), part.data_ptr())
            ]
        return [
            mark
            for part in own
            if part is not None
            for mark in (id(part), part.data_ptr(), part._version)
        ]

    @torch.no_grad()
    def _step_on_another(self, x: Tensor) -> Tensor:
        result = engines.run(
            self._layer.preferred_engine, x[None], self._state, self._weights, self._options
        )
        self.state = result.state
        return result.outputs[0]
