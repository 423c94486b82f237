"""What every engine takes and gives: the recurrence over time as one function.

An engine is handed tensors in one layout only, (T, B, ·), and arguments that were checked before.
It knows nothing of modules, parameters' names, ``batch_first`` or packed sequences.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions, G = 4H rows of packed gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Integer
from torch import Tensor


class State(NamedTuple):
    """The hidden state and the memory cell, passed in and returned, never kept.

    For a whole stack ``h`` is (L·D, B, P) and ``c`` is (L·D, B, H), ordered layer by layer and
    forward before reverse within one; without a batch (L·D, P) and (L·D, H); for a single cell
    (B, H) or (H,).
    """

    h: Tensor
    c: Tensor


class LayerWeights(NamedTuple):
    """The weights of one layer in one direction, gates packed in the order i, f, g, o."""

    weight_ih: Float[Tensor, "G I"]
    weight_hh: Float[Tensor, "G P"]
    bias_ih: Float[Tensor, " G"] | None = None  # both biases or neither
    bias_hh: Float[Tensor, " G"] | None = None
    weight_hr: Float[Tensor, "P H"] | None = None  # present where the layer projects


class LayerTrace(NamedTuple):
    """Every value of one layer in one direction, each (T, B, H); the gates are activated values.

    ``i``, ``f``, ``o`` lie in (0, 1) and ``g`` in (-1, 1); ``c`` is the memory cell and ``h``
    (T, B, P) the hidden state, after the projection where there is one. Past a sequence's end
    all are 0.
    """

    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor
    c: Tensor
    h: Tensor


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What one call of an engine is asked for, beside its tensors."""

    bidirectional: bool = False
    dropout: float = 0.0  # probability, on the outputs of all layers but the last; 0 in evaluation
    lengths: Integer[Tensor, " B"] | None = None  # real steps of each sequence, from 0 to T
    reset: Bool[Tensor, "T B"] | None = None  # true where the state is zeroed before step t
    trace: bool = False


class EngineResult(NamedTuple):
    """What an engine gives back; ``trace`` is ordered like the weights, None unless asked for."""

    outputs: Float[Tensor, "T B D*P"]
    state: State
    trace: tuple[LayerTrace, ...] | None = None


@runtime_checkable
class Engine(Protocol):
    """One way to run the recurrence; every engine gives the same numbers within a stated bound."""

    name: str
    summary: str  # what it runs on and what it can do, one line for ``carousel info``

    def unavailable(self) -> str | None:
        """Returns why the engine cannot run on this machine at all, or None where it can."""

    def supports(
        self, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
    ) -> str | None:
        """Returns why the engine cannot run this call, or None where it can."""

    def run(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        """Runs the whole stack over time.

        Args:
            inputs: (T, B, I); what stands past a sequence's end is never read.
            state: the state before the first step, ``h`` (L·D, B, P) and ``c`` (L·D, B, H); the
                reverse direction starts from it at each sequence's last real step.
            weights: one entry a layer and direction, layer by layer, forward before reverse.
            options: the rest of the request.

        Returns:
            Outputs (T, B, D·P), 0 past a sequence's end; the state after each sequence's last real
            step (the first one, for the reverse direction), which is the initial state where the
            length is 0; the trace, where it was asked for.
        """
