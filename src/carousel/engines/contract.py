"""What every engine takes and gives: the recurrence over time as one function.

An engine is handed tensors in one layout only, (T, B, ·), and arguments that were checked before.
It knows nothing of modules, parameters' names, ``batch_first`` or packed sequences.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions, G = 4H rows of packed gates (3H where input and forget gate are
coupled).
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
    """The weights of one layer in one direction, gates packed in the order i, f, g, o.

    Where the input gate is coupled to the forget gate it has no weights: the order is f, g, o.
    """

    weight_ih: Float[Tensor, "G I"]
    weight_hh: Float[Tensor, "G P"]
    bias_ih: Float[Tensor, " G"] | None = None  # both biases or neither
    bias_hh: Float[Tensor, " G"] | None = None
    weight_hr: Float[Tensor, "P H"] | None = None  # present where the layer projects
    # (3H,), of the gates i, f, o; (2H,), of f, o, where the gates are coupled.
    weight_peephole: Float[Tensor, " K"] | None = None


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
class CellVariant:
    """What makes a cell differ from the textbook's; the default is the textbook's.

    The step, with everything on (⋆ is the product element by element):

        h̃ = m ⋆ h_{t-1}                                        locked recurrent dropout
        i, f = σ(… + W_hh h̃ + p_{i,f} ⋆ c_{t-1})               peepholes; or i = 1 - f, coupled
        c̄ = clip(f ⋆ c_{t-1} + i ⋆ g, -cell_clip, cell_clip)
        o = σ(… + p_o ⋆ c̄),   h̄ = o ⋆ tanh(c̄), then W_hr h̄ where the layer projects
        c_t = z_c ⋆ c_{t-1} + (1 - z_c) ⋆ c̄                    zoneout: z is 0 or 1 in training,
        h_t = z_h ⋆ h_{t-1} + (1 - z_h) ⋆ h̄                    its mean in evaluation

    Reference:
        Peepholes: Gers, Schraudolph and Schmidhuber (2002). Coupled gates: Greff et al. (2017),
        arXiv:1503.04069. Zoneout: Krueger et al. (2017), arXiv:1606.01305, section 3.2. Locked
        recurrent dropout: Gal and Ghahramani (2016), arXiv:1512.05287.
    """

    coupled: bool = False
    cell_clip: float | None = None  # above 0
    zoneout_h: float = 0.0  # probability of keeping the old hidden value, and the old memory cell
    zoneout_c: float = 0.0


class LayerMasks(NamedTuple):
    """The random choices of one layer in one direction, drawn before the engine runs."""

    recurrent: Float[Tensor, "B P"] | None = None  # m: 0 or 1/(1-p), the same at every step
    zoneout_h: Bool[Tensor, "T B P"] | None = None  # true where the old value is kept
    zoneout_c: Bool[Tensor, "T B H"] | None = None


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What one call of an engine is asked for, beside its tensors."""

    bidirectional: bool = False
    dropout: float = 0.0  # probability, on the outputs of all layers but the last; 0 in evaluation
    lengths: Integer[Tensor, " B"] | None = None  # real steps of each sequence, from 0 to T
    reset: Bool[Tensor, "T B"] | None = None  # true where the state is zeroed before step t
    trace: bool = False
    variant: CellVariant = CellVariant()
    # One entry a layer and direction, ordered like the weights; None outside training.
    masks: tuple[LayerMasks, ...] | None = None


class EngineResult(NamedTuple):
    """What an engine gives back; ``trace`` is ordered like the weights, None unless asked for."""

    outputs: Float[Tensor, "T B D*P"]
    state: State
    trace: tuple[LayerTrace, ...] | None = None


@runtime_checkable
class Engine(Protocol):
    """One way to run the recurrence; every engine gives the same numbers within a stated bound."""

    name: str

    @property
    def summary(self) -> str:
        """What it runs on and what it can do, one line for ``carousel info``."""

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
