"""What one inspection holds: a sequence, and every value that the layers had while reading it.

Knows nothing of modules, tasks, pictures or pages: arrays with names, checked once. One sequence,
not a batch.

Shape letters: T steps of an axis, S steps of another, F features drawn, I input size, H hidden
size, P projection size (H where there is none), K end steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from carousel.errors import OptionError, unknown_name

KINDS = ("steps", "characters", "words", "series", "spectrogram")
TEXTS = ("characters", "words")  # kinds that are set in lines
DRAWN = ("series", "spectrogram")  # kinds whose values are drawn above the steps
BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}  # signs that are seen for what would not be
QUANTITIES = ("f", "i", "g", "o", "c", "h")  # in the order of the textbook's equations

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A sequence that layers read, as it is drawn along the top.

    Attributes:
        name: of the sequence, such as "text", "source" or "recording".
        kind: how it is drawn, one of ``KINDS``.
        names: (T,) what each step is called: a character, a word, a time.
        values: (T, F) numbers drawn above the steps: a series' values, a spectrogram's bands; None
            where the names are all there is.
        columns: (F,) names of those.
        tracks: name to (T,) numbers that a unit may follow: the position, the hour, whether a quote
            is open. NaN where one is not defined.
        unit: of a step in words ("character", "hour", "frame of 40 ms"), for captions.
    """

    name: str
    kind: str = "steps"
    names: Sequence[str]
    values: Array | None = None
    columns: Sequence[str] = ()
    tracks: Mapping[str, Array] = field(default_factory=dict)
    unit: str = "step"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(unknown_name("kind of sequence", self.kind, KINDS))
        if self.values is not None and len(self.values) != len(self.names):
            raise OptionError(
                f"axis {self.name!r}: expected a row of values for each of the {len(self.names)} "
                f"steps, got {len(self.values)}"
            )
        for name, track in self.tracks.items():
            if track.shape != (len(self.names),):
                raise OptionError(
                    f"axis {self.name!r}: expected the track {name!r} as ({len(self.names)},), a "
                    f"number a step, got {track.shape}"
                )

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, kw_only=True)
class CellWeights:
    """The weights of one layer and direction, gates packed in the order i, f, g, o.

    Attributes:
        input: (4H, I).
        recurrent: (4H, P).
        bias: (4H,), both of PyTorch's added up; zeros for a layer without biases.
    """

    input: Array
    recurrent: Array
    bias: Array


@dataclass(frozen=True, kw_only=True)
class LayerValues:
    """Every value of one layer and direction at every step, gates ACTIVATED.

    Steps are in the order of the axis in either direction; where ``reverse``, the step before t in
    the layer's reading is t + 1.

    Attributes:
        axis: name of the axis that it read.
        reverse: whether it read from the end.
        f: (T, H) the forget gate, in (0, 1).
        i: (T, H) the input gate, in (0, 1).
        o: (T, H) the output gate, in (0, 1).
        g: (T, H) the candidate, in (-1, 1).
        c: (T, H) the memory cell.
        h: (T, P) the hidden state, after the projection where there is one.
        inputs: (T, I) what it read.
        before_h: (P,) the hidden state before its first step.
        before_c: (H,) the memory cell before its first step.
        weights: of the textbook's cell; None where the cell is a variant (peepholes, coupled gates,
            zoneout, a projection ...) whose step the textbook's equations do not give.
    """

    axis: str
    reverse: bool = False
    f: Array
    i: Array
    g: Array
    o: Array
    c: Array
    h: Array
    inputs: Array
    before_h: Array
    before_c: Array
    weights: CellWeights | None = None

    def __len__(self) -> int:
        return len(self.c)

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.c.shape[1]

    @property
    def broken_from(self) -> int | None:
        """The first step, on the axis, with a value that is NaN or infinite; None where none is."""
        wrong = [~np.isfinite(getattr(self, quantity)).all(1) for quantity in QUANTITIES]
        steps = np.flatnonzero(np.any(wrong, axis=0))
        return int(steps[0]) if len(steps) else None

    def before(self, quantity: str) -> Array:
        """Returns h or c before each step, (T, P) or (T, H), in the order of the axis."""
        values: Array = getattr(self, quantity)
        start: Array = getattr(self, f"before_{quantity}")
        if self.reverse:
            return np.concatenate([values[1:], start[None]])
        return np.concatenate([start[None], values[:-1]])


@dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """What each step of one axis attended to on another.

    Attributes:
        name: of it.
        queries: name of the axis whose steps attend.
        memory: name of the axis that they attend to.
        weights: (T, S), each row a distribution.
    """

    name: str
    queries: str
    memory: str
    weights: Array


@dataclass(frozen=True, kw_only=True)
class GradientFlow:
    """How strongly what a layer says at some end steps depends on its states at all earlier ones.

    Attributes:
        layer: name of the layer; of another model, of what that is ("plain RNN").
        ends: (K,) the end steps.
        of_h: (K, T) √(‖∂h_end/∂h_s‖²_F / P), the root mean square gain of a random direction; NaN
            at steps past the end.
        of_c: (K, T) the same of ∂c_end/∂c_s; None for a cell without a memory of its own.
    """

    layer: str
    ends: NDArray[np.int64]
    of_h: Array
    of_c: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """How much each step of an input did for one number that the model said.

    Attributes:
        name: what was explained, such as "log-probability of 'e' at step 12".
        method: "integrated gradients" or "occlusion".
        axis: name of the axis whose steps are given a share.
        values: (T,) the share of each step; its sign says whether it raised the number.
        total: the number at the input less the number at the baseline, which integrated gradients
            add up to; NaN where the method promises nothing of the kind.
    """

    name: str
    method: str
    axis: str
    values: Array
    total: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that was seen of one model at one sequence; ``Inspection`` shows it.

    Attributes:
        title: what was inspected, for headings.
        axes: by name, the one that is shown first at the head.
        layers: by name: the module's path and PyTorch's suffix ("decoder.layers.0.l0_reverse").
        attentions: of the model, if it attends.
        flows: of gradients, where they were asked for.
        attributions: of what the model said, where they were asked for.
    """

    title: str
    axes: Mapping[str, Axis]
    layers: Mapping[str, LayerValues]
    attentions: Sequence[AttentionMap] = ()
    flows: Sequence[GradientFlow] = ()
    attributions: Sequence[Attribution] = ()

    def __post_init__(self) -> None:
        for name, layer in self.layers.items():
            steps = len(self.axis(layer.axis))
            for quantity in QUANTITIES:
                found = getattr(layer, quantity)
                if len(found) != steps:
                    raise OptionError(
                        f"layer {name!r}: expected {quantity} at the {steps} steps of axis "
                        f"{layer.axis!r}, got {len(found)}"
                    )
        for attention in self.attentions:
            expected = len(self.axis(attention.queries)), len(self.axis(attention.memory))
            if attention.weights.shape != expected:
                raise OptionError(
                    f"attention {attention.name!r}: expected weights as {expected}, got "
                    f"{attention.weights.shape}"
                )

    def axis(self, name: str) -> Axis:
        """Returns an axis by its name."""
        if name not in self.axes:
            raise OptionError(unknown_name("axis", name, self.axes))
        return self.axes[name]

    def layer(self, name: str) -> LayerValues:
        """Returns a layer by its name."""
        if name not in self.layers:
            raise OptionError(unknown_name("layer", name, self.layers))
        return self.layers[name]

    def layer_names(self, chosen: str | Sequence[str] | None = None) -> list[str]:
        """Returns the names of layers, all where none is chosen; refuses those not there."""
        if isinstance(chosen, str):
            chosen = [chosen]
        names = list(self.layers if chosen is None else chosen)
        for name in names:
            self.layer(name)
        return names
