"""``carousel.inspect``: any model with an LSTM in it is run once, and all that it computed is kept.

Knows nothing of hooks or kernels, and nothing of pictures: what was recorded gets axes and names.

Shape letters: T steps, B batch, F features of a step.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from carousel.errors import OptionError, ShapeError, unknown_name
from carousel.inspection.contents import DRAWN, KINDS, Array, Axis, LayerValues
from carousel.inspection.inspection import Inspection
from carousel.inspection.reading import Reading
from carousel.inspection.recomputing import array
from carousel.inspection.recording import equal, record, selects
from carousel.inspection.strands import Strand, strands
from carousel.nn.layout import padded

MOST_LINES = 16  # features that are still drawn as lines by themselves
_LISTED = 6  # axes that an error names
_SINGLE = 2  # sequences of one step that a cell may read before that looks like a loop
_UNITS = {"characters": "character", "words": "word"}

Names = Iterable[object]


def inspect(
    module: Any,
    *inputs: Any,
    names: Names | Mapping[str, Names] | None = None,
    layers: str | Sequence[str] | None = None,
    row: int = 0,
    kind: str | None = None,
    values: Any = None,
    columns: Sequence[str] | None = None,
    tracks: Mapping[str, Any] | None = None,
    title: str | None = None,
    flow: bool = False,
    **keywords: Any,
) -> Inspection:
    """Runs a model once, and keeps every gate, memory cell and hidden value of its LSTMs.

        seen = carousel.inspect(model, x, names="the input's characters")
        print(seen)
        seen.save_page("seen.html")

    Any model will do: ``torch.nn.LSTM`` and ``carousel.LSTM`` in every layout and variant, cells of
    either in a loop, several of them, and calls one after the other. A layer is named by the path
    of its module and PyTorch's suffix, ``"encoder.l0_reverse"``, a cell by its path; the second
    sequence that a module reads is ``"encoder#2.l0"``.

    The model runs in evaluation and without gradients, and is left as it was. Every gate is
    computed a second time, on the very weights, and what comes out is held against the model's own
    output: half the digits of its dtype must agree. Values are float32, whatever that dtype is;
    those of float16 and bfloat16 models are computed in float32.

    Layers that read the same number of steps share an axis, unless they are seen to read different
    sequences; a layer that reads another's input turned round is a second direction of it.

    Args:
        module: the model. Something else that has a method ``inspect``, such as a forecaster or a
            translator of this package, is asked by it, with the other arguments.
        inputs: what ``forward`` takes, on the model's device; tensors or anything else.
        names: what each step is called: T of them, or a text, which is as many characters. Where
            there are several axes they are the first one's, or a mapping from axes to them.
        layers: names of layers or modules to look at, or what they begin with; by default all.
        row: which sequence of a batch; its axis ends where it ends.
        kind: how the first axis is drawn, one of ``carousel.inspection.KINDS``. By default
            "characters" where ``names`` is a text, else "series" where there are values.
        values: (T, F) or (T,) numbers that are drawn above the first axis. By default the row of
            the model's first argument, where that is a float tensor of up to 16 features, or of any
            number for a spectrogram.
        columns: (F,) names of those.
        tracks: name to (T,) numbers that a unit may follow, NaN where there is none.
        title: for headings; by default the model's class.
        flow: whether to work out how far gradients reach in each layer of the textbook's cell.
        keywords: arguments of ``forward`` by name; one that is called like an argument here is
            given by its place.

    Returns:
        What was seen.

    Raises:
        OptionError: where the model calls no LSTM or one that computes something else, for an
            unknown name, and for an option that does nothing here.
        ShapeError: for a row that there is not, and for names or values of another number.
        TypeError: for something that is no module.
    """
    if not isinstance(module, torch.nn.Module):
        given = {"names": names, "layers": layers, "kind": kind, "values": values}
        given |= {"columns": columns, "tracks": tracks, "title": title}
        asked = {name: value for name, value in given.items() if value is not None}
        asked |= {"row": row} if row else {}
        asked |= {"flow": flow} if flow else {}
        return _by_its_own(module, *inputs, **asked, **keywords)
    if kind is not None and kind not in KINDS:
        raise OptionError(unknown_name("kind of sequence", kind, KINDS))
    run = partial(module, *inputs, **keywords)
    chosen = _chosen(layers)
    if tracks is not None and not isinstance(tracks, Mapping):
        raise OptionError(
            f"tracks: expected a mapping from names to numbers, such as {{'price': prices}}, got "
            f"{type(tracks).__name__}"
        )
    readings = _kept(record(module, run, row=row, layers=chosen).readings, chosen)
    _warn_of_pieces(readings)
    argument = next(iter([*inputs, *keywords.values()]), None)
    features = _features(argument, readings[0], row)
    found = strands(readings, features)
    axes = _axes(found, names)
    head = next(iter(axes))
    axes[head] = _drawn(axes[head], kind, values, columns, tracks, features)
    place = {
        reading: (name, backwards)
        for name, strand in zip(axes, found, strict=True)
        for reading, backwards in strand.members
    }
    seen: dict[str, LayerValues] = {}
    for reading in readings:
        seen |= reading.layers(*place[reading])
    seen = {name: one for name, one in seen.items() if chosen is None or selects(chosen, name)}
    inspection = Inspection(
        title=type(getattr(module, "_orig_mod", module)).__name__ if title is None else title,
        axes=axes,
        layers=seen,
    )
    return inspection.with_gradients() if flow else inspection


def _chosen(layers: Any) -> list[str] | None:
    """Returns the names of layers as a list; None for all."""
    if layers is None or isinstance(layers, str):
        return None if layers is None else [layers]
    if not isinstance(layers, Iterable) or not all(isinstance(one, str) for one in layers):
        raise OptionError(f"layers: expected names, such as ['lstm.l0'], got {layers!r}")
    return list(layers)


def _by_its_own(thing: Any, *inputs: Any, **asked: Any) -> Any:
    """Asks something that can inspect itself."""
    if isinstance(thing, type) or not callable(getattr(thing, "inspect", None)):
        raise TypeError(
            f"inspect: expected a torch.nn.Module, or something with a method inspect, got "
            f"{thing if isinstance(thing, type) else type(thing).__name__}"
        )
    return thing.inspect(*inputs, **asked)


def _kept(readings: list[Reading], chosen: Sequence[str] | None) -> list[Reading]:
    """Returns the readings that have a layer with one of these names."""
    if chosen is None:
        return readings
    names = [name for reading in readings for name in reading.layer_names]
    for one in chosen:
        if not any(selects([one], name) for name in names):
            raise OptionError(f"layers: while the model ran, {unknown_name('layer', one, names)}")
    return [reading for reading in readings if any(selects(chosen, n) for n in reading.layer_names)]


def _warn_of_pieces(readings: Sequence[Reading]) -> None:
    """Warns of a loop over a cell that was not seen as one."""
    single = Counter(one.path for one in readings if one.cell and len(one) == 1)
    for path, count in single.items():
        if count > _SINGLE:
            warnings.warn(
                f"{path or 'the model itself'} reads {count} sequences of a single step. If it is "
                f"called in a loop, the loop changes the memory cell between the calls (a decay, "
                f"zoneout by hand, a choice among beams), so that they cannot be joined",
                stacklevel=3,
            )


def _axes(found: Sequence[Strand], names: Any) -> dict[str, Axis]:
    """Returns an axis for each strand, in their order, with what its steps are called."""
    called = ["input"] if len(found) == 1 else [one.first.name or "input" for one in found]
    lengths = dict(zip(called, map(len, found), strict=True))
    given: Mapping[str, Names] = {} if names is None else {called[0]: names}
    if isinstance(names, Mapping):
        given = names
    for name in given:
        if name not in lengths:
            raise OptionError(f"names: {unknown_name('axis', name, lengths)}")
    axes = {}
    for name, T in lengths.items():
        called_so = given.get(name, range(T))
        if not isinstance(called_so, Iterable):
            raise OptionError(
                f"names: expected a text, or {T} names, one for each step of axis {name!r}, got "
                f"{called_so!r}"
            )
        own = list(map(str, called_so))
        if len(own) != T:
            shown = [f"{axis} {steps}" for axis, steps in lengths.items()]
            more = [f"and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
            others = ", ".join(shown[:_LISTED] + more)
            hint = "" if len(lengths) == 1 else f". A mapping names each axis: {others}"
            raise ShapeError(
                f"names: expected {T}, one for each step of axis {name!r}, got {len(own)}{hint}"
            )
        kind = "characters" if isinstance(given.get(name), str) else "steps"
        axes[name] = Axis(name=name, kind=kind, names=own, unit=_UNITS.get(kind, "step"))
    return axes


def _drawn(
    axis: Axis,
    kind: str | None,
    values: Any,
    columns: Sequence[str] | None,
    tracks: Mapping[str, Any] | None,
    features: Tensor | None,
) -> Axis:
    """Returns the first axis with all that the user said of it."""
    if values is not None:
        numbers: Array | None = _numbers("values", values, len(axis), ("T, F", "T"))
    else:
        numbers = None if features is None else array(features)
        wanted = kind in DRAWN or (kind is None and axis.kind == "steps")
        if not wanted or (numbers is not None and numbers.shape[1] > MOST_LINES):
            numbers = array(features) if kind == "spectrogram" and features is not None else None
    if kind is None:
        kind = axis.kind if axis.kind != "steps" or numbers is None else "series"
    if kind in DRAWN and numbers is None:
        raise OptionError(
            f"kind: a {kind} needs numbers, but the model's first argument is no float tensor of "
            f"these {len(axis)} steps"
            f"{f' with up to {MOST_LINES} features' if kind == 'series' else ''}. Give values, "
            f"(steps, features), or another kind"
        )
    if columns is not None and numbers is None:
        raise OptionError("columns: expected values that they are of, got none. Give values too")
    F = 0 if numbers is None else numbers.shape[1]
    if columns is None:
        columns = ["value"] if F == 1 else [f"feature {number}" for number in range(F)]
    if len(columns) != F:
        raise ShapeError(f"columns: expected {F} names, one a column of values, got {len(columns)}")
    return Axis(
        name=axis.name,
        kind=kind,
        names=axis.names,
        values=numbers,
        columns=list(map(str, columns)),
        tracks={
            name: _numbers(f"tracks[{name!r}]", track, len(axis), ("T",))[:, 0]
            for name, track in (tracks or {}).items()
        },
        unit=_UNITS.get(kind, "step"),
    )


def _numbers(name: str, given: Any, T: int, shapes: Sequence[str]) -> Array:
    """Returns numbers of T steps as (T, F)."""
    if isinstance(given, Tensor):
        given = given.detach().cpu().double()
    try:
        numbers = np.asarray(given, np.float32)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name}: expected numbers, got something else ({error})") from error
    if numbers.ndim not in [len(shape.split()) for shape in shapes] or len(numbers) != T:
        words = " or ".join(f"({shape})" for shape in shapes)
        raise ShapeError(
            f"{name}: expected {words} with the {T} steps of the axis as T, got {numbers.shape}"
        )
    return numbers if numbers.ndim == 2 else numbers[:, None]


def _features(argument: Any, reading: Reading, row: int) -> Tensor | None:
    """Returns (T, F) of what the model was given, where it has the steps of a reading."""
    if isinstance(argument, PackedSequence):
        argument, _ = padded(argument)
    if not isinstance(argument, Tensor) or not argument.is_floating_point():
        return None
    steps, rows = reading.steps, reading.first.rows
    if argument.dim() == 2:  # (T, F), or a number a step: (B, T) or (T, B)
        alone = rows == 1 and argument.shape[0] == steps
        argument = argument[None] if alone else argument[..., None]
    if argument.dim() != 3:
        return None
    ways = []
    if argument.shape[:2] == (rows, steps):
        ways.append(argument[row])
    if argument.shape[:2] == (steps, rows):
        ways.insert(0 if not reading.batch_first else 1, argument[:, row])
    ways = [way.detach()[: len(reading)] for way in ways]
    return next((way for way in ways if equal(way, reading.inputs)), ways[0] if ways else None)
