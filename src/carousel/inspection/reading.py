"""One sequence that one module read: its calls, and every value of every layer in them.

Knows nothing of hooks, of axes' names or of pictures.

Shape letters: T steps, I input size, H hidden size, P projection size (H where there is none),
D directions, K = L·D states of L layers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.inspection.calls import Call
from carousel.inspection.contents import Array, LayerValues
from carousel.inspection.recomputing import array, cell_weights, follows_textbook
from carousel.nn import LSTM, State, Trace
from carousel.nn.parameters import suffixes


class Piece(NamedTuple):
    """One call, and everything of it recomputed."""

    call: Call
    trace: Trace


@dataclass(kw_only=True, eq=False)
class Reading:
    """One sequence that one module read, in one call or in several.

    Attributes:
        path: of the module in the model, "" for the model itself.
        number: 1 for the first sequence that the module read, 2 for its next.
        cell: whether the module is a cell, so that its one layer has no suffix.
        batch_first: whether the module's sequences are (B, T, ·).
        layer: ours, on the module's weights.
        pieces: the calls in their order, one at least.
        steps: of all calls, those among them that are no part of the row.
        discarded: whether the last call stands where an earlier one's result was thrown away.
    """

    path: str
    number: int
    cell: bool
    batch_first: bool
    layer: LSTM
    pieces: list[Piece] = field(default_factory=list)
    steps: int = 0
    discarded: bool = False

    def __len__(self) -> int:
        return sum(len(piece.call.inputs) for piece in self.pieces)

    @property
    def name(self) -> str:
        """Path of the module, and which of its sequences this is where it is not the first."""
        return self.path if self.number == 1 else f"{self.path}#{self.number}"

    @property
    def first(self) -> Call:
        """The first call."""
        return self.pieces[0].call

    @property
    def after(self) -> State:
        """The state that the last call gave, h (K, P) and c (K, H)."""
        return self.pieces[-1].call.after

    @property
    def inputs(self) -> Tensor:
        """(T, I), in the order of reading."""
        return torch.cat([piece.call.inputs for piece in self.pieces])

    @property
    def outputs(self) -> Tensor:
        """(T, D·P), in the order of reading."""
        return torch.cat([piece.call.outputs for piece in self.pieces])

    @property
    def layer_names(self) -> list[str]:
        """What the layers are called in an inspection, in PyTorch's order."""
        return layer_names(self.name, self.layer, cell=self.cell)

    def layers(self, axis: str, backwards: bool = False) -> dict[str, LayerValues]:
        """Returns what each layer and direction computed, by its name in an inspection.

        Args:
            axis: name of the axis that was read.
            backwards: whether it was read from its end, so that all is turned round.
        """
        D = 2 if self.layer.bidirectional else 1
        names = suffixes(self.layer.num_layers, self.layer.bidirectional)
        values = [{letter: self._values(suffix, letter) for letter in "figoch"} for suffix in names]
        found = {}
        for k, suffix in enumerate(names):
            below = [layer["h"] for layer in values[k // D * D - D : k // D * D]] if k >= D else []
            inputs = np.concatenate(below, axis=1) if below else array(self.inputs)
            own: dict[str, Any] = {**values[k], "inputs": inputs}
            if backwards:
                own = {letter: part[::-1].copy() for letter, part in own.items()}
            second = k % D == 1
            before = self._before(second)
            layer = LayerValues(
                axis=axis,
                reverse=second != backwards,
                before_h=array(before.h[k]),
                before_c=array(before.c[k]),
                **own,
            )
            weights = cell_weights(self.layer, suffix)
            if weights is not None and follows_textbook(layer, weights):
                layer = dataclasses.replace(layer, weights=weights)
            found[self.layer_names[k]] = layer
        return found

    def _values(self, suffix: str, letter: str) -> Array:
        parts = [getattr(piece.trace[suffix], letter)[:, 0] for piece in self.pieces]
        return array(torch.cat(parts))

    def _before(self, second_direction: bool) -> State:
        """Returns the state before the first step; the first direction's may be zeroed there."""
        reset, before = self.first.reset, self.first.before
        if second_direction or reset is None or not reset[0]:
            return before
        return State(*(torch.zeros_like(part) for part in before))


def layer_names(name: str, module: Any, *, cell: bool) -> list[str]:
    """Returns what the layers of a module are called in an inspection, in PyTorch's order.

    Args:
        name: of the module: its path, with the number of the sequence behind the first.
        module: a layer, or what stands for one.
        cell: whether it is a cell, which is one layer without a suffix.
    """
    if cell:
        return [name or "cell"]
    own = suffixes(int(module.num_layers), bool(module.bidirectional))
    return [f"{name}.{suffix}" if name else suffix for suffix in own]
