"""Every value that a layer computed, by name.

Knows nothing of what the values mean; ``carousel.inspection`` reads them.

Shape letters: T time, B batch, H hidden size, P projection size (H where there is none), L layers,
D directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from carousel.engines import LayerTrace, State
from carousel.errors import OptionError, unknown_name


class Trace(Mapping[str, LayerTrace]):
    """Every gate, cell and hidden value of every layer, direction and step of one call.

    ``i``, ``f``, ``g`` and ``o`` are ACTIVATED values: i, f, o = σ(·) in (0, 1), g = tanh(·) in
    (-1, 1), never the sums before them. ``c`` is the memory cell and ``h`` the hidden state after
    its projection, where there is one:

        c_t = f_t ⋆ c_{t-1} + i_t ⋆ g_t,   h_t = o_t ⋆ tanh(c_t)

    A layer and direction is named with PyTorch's suffix: ``trace["l0"].f``,
    ``trace["l1_reverse"].c``; iterating gives these names in PyTorch's order. Values have the
    layout of the layer's output, (T, B, H), (B, T, H) with ``batch_first`` or (T, H) without a
    batch, and are 0 past a sequence's end.

    Attributes:
        output: what the plain call returns, (T, B, D·P) in the same layout.
        state: what the plain call returns, ``h`` (L·D, B, P) and ``c`` (L·D, B, H).
    """

    def __init__(self, layers: Mapping[str, LayerTrace], output: Tensor, state: State) -> None:
        self._layers = dict(layers)
        self.output = output
        self.state = state

    def __getitem__(self, name: str) -> LayerTrace:
        if name not in self._layers:
            raise OptionError(unknown_name("layer", name, self._layers))
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        return f"Trace({', '.join(self._layers)}; output {tuple(self.output.shape)})"

    def to_dict(self) -> dict[str, Tensor]:
        """Returns every value under a flat name such as ``"l0_reverse.f"``."""
        return {
            f"{name}.{letter}": value
            for name, layer in self._layers.items()
            for letter, value in layer._asdict().items()
        }
