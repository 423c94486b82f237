"""What a page holds: one or two inspections as plain values, and blocks of numbers beside them.

Knows nothing of HTML. Numbers are kept as exactly as the room allows; what the page can compute
from others (h from o and C, a layer's inputs from the layer below) is not kept twice.

Shape letters: T steps, H hidden size, P projection size, I input size, U rows that differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carousel.inspection.contents import (
    QUANTITIES,
    Array,
    Axis,
    Contents,
    GradientFlow,
    LayerValues,
)
from carousel.inspection.encoding import WHOLE, Block, decoded, encoded_recurrence
from carousel.inspection.following import followed
from carousel.inspection.orders import unit_orders
from carousel.inspection.page_blocks import (
    PRECISIONS,
    Blocks,
    Key,
    Known,
    NoRoomError,
    Precision,
    rounded,
)
from carousel.inspection.statistics import LayerStatistics, layer_statistics

# o tanh(C) as an engine rounds it: 8 steps of float32 at 1, and what tanh and the product lose.
SAME_H = 2e-6
GATES = ("f", "i", "g", "o")
LEAST_GAIN = 1e-38  # that a gain counts as, so that it has a logarithm
FOLLOWED = 6  # things that a unit is said to follow, at the most


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """What is known of one layer before a precision is tried.

    Attributes:
        facts: what JSON can hold.
        shows_cell: whether the page can compute h.
        below: numbers of the layers that it read; if there are none, ``inputs`` are kept.
        inputs: (T, I), or (U, I) where ``rows`` says which of them each step read.
        rows: of ``inputs``, one for each step; None where each step has its own.
    """

    facts: dict[str, Any]
    shows_cell: bool
    below: list[int]
    inputs: Array
    rows: list[int] | None


def page_data(
    contents: Sequence[Contents], room: int, precisions: Sequence[Precision] = PRECISIONS
) -> tuple[dict[str, Any], list[str]]:
    """Returns what is written into a page: plain values, and the texts of its blocks.

    Args:
        contents: one, or two that are compared.
        room: characters for everything.
        precisions: the best first.

    Returns:
        What JSON can hold, and the blocks in the order of their numbers.
    """
    layers = [
        {name: _layer(name, layer, each) for name, layer in each.layers.items()}
        for each in contents
    ]
    for each in layers:
        room -= len(json.dumps({name: layer.facts for name, layer in each.items()}))
    known: Known = {}
    for precision in precisions:
        last = precision is precisions[-1]
        blocks = Blocks(math.inf if last else room, known)
        try:
            recordings = [
                _recording(number, each, layers[number], precision, blocks)
                for number, each in enumerate(contents)
            ]
        except NoRoomError:
            continue
        facts = {
            "precision": {"values": precision.values, "weights": precision.weights},
            "bounds": blocks.bounds,
            "recordings": recordings,
        }
        return facts, blocks.texts
    raise AssertionError("the last precision has all the room that it needs")


def _recording(
    number: int,
    contents: Contents,
    layers: Mapping[str, _Layer],
    precision: Precision,
    blocks: Blocks,
) -> dict[str, Any]:
    """Returns what a page holds of one inspection, of whose layers much is known."""
    bits = precision.values
    return {
        "title": contents.title,
        "axes": [_axis((number, "axis"), each, bits, blocks) for each in contents.axes.values()],
        "layers": [
            layer.facts
            | _layer_blocks(
                (number, "layer", name), contents.layers[name], layer, contents, precision, blocks
            )
            for name, layer in layers.items()
        ],
        "attentions": [
            {
                "name": each.name,
                "queries": each.queries,
                "memory": each.memory,
                "weights": blocks.add((number, "attention", k), each.weights, bits),
            }
            for k, each in enumerate(contents.attentions)
        ],
        "flows": [
            _flow((number, "flow", k), each, bits, blocks) for k, each in enumerate(contents.flows)
        ],
        "attributions": [
            {
                "name": each.name,
                "method": each.method,
                "axis": each.axis,
                "values": numbers(each.values, 9),
                "total": _number(each.total, 9),
            }
            for each in contents.attributions
        ],
    }


def _axis(key: Key, axis: Axis, bits: int, blocks: Blocks) -> dict[str, Any]:
    values = None
    if axis.values is not None and axis.values.shape[1]:
        # A few series are read off; a spectrogram is only looked at.
        few = axis.values.shape[1] <= 8
        values = blocks.add((*key, axis.name), axis.values.T, WHOLE if few else bits)
    return {
        "name": axis.name,
        "kind": axis.kind,
        "unit": axis.unit,
        "names": list(axis.names),
        "columns": list(axis.columns),
        "values": values,
        "tracks": {name: numbers(track, 6) for name, track in axis.tracks.items()},
    }


def _flow(key: Key, flow: GradientFlow, bits: int, blocks: Blocks) -> dict[str, Any]:
    """Returns where decimal logarithms of gains are found, with 0 where there are none."""
    there = [np.flatnonzero(~np.isnan(row)) for row in flow.of_h]
    kept = 16 if bits < WHOLE else WHOLE  # 16 bits of a logarithm are enough for any drawing

    def logarithms(name: str, gains: Array) -> dict[str, object]:
        exponents = np.log10(np.clip(np.nan_to_num(gains, nan=1.0), LEAST_GAIN, 1 / LEAST_GAIN))
        return blocks.add((*key, name), exponents.astype(np.float32), kept)

    return {
        "layer": flow.layer,
        "ends": [int(end) for end in flow.ends],
        "spans": [[int(row[0]), int(row[-1])] if len(row) else [0, -1] for row in there],
        "h": logarithms("h", flow.of_h),
        "c": None if flow.of_c is None else logarithms("c", flow.of_c),
    }


def _layer(name: str, layer: LayerValues, contents: Contents) -> _Layer:
    kept = layer.weights is not None  # or neither are the inputs
    below = layers_below(name, contents) if kept else []
    inputs, rows = layer.inputs, None
    if kept and not below and len(layer):
        # The inputs of a text are rows of an embedding, which come again and again.
        found, numbers_ = np.unique(layer.inputs, axis=0, return_inverse=True)
        if len(found) <= len(layer) / 2:
            inputs, rows = found, [int(number) for number in numbers_]
    return _Layer(
        facts=_layer_facts(name, layer, contents),
        shows_cell=shows_cell(layer),
        below=below,
        inputs=inputs,
        rows=rows,
    )


def _layer_facts(name: str, layer: LayerValues, contents: Contents) -> dict[str, Any]:
    statistics = layer_statistics(layer)
    axis = contents.axis(layer.axis)
    followings = followed(layer, axis)
    return {
        "name": name,
        "axis": layer.axis,
        "reverse": layer.reverse,
        "steps": len(layer),
        "units": layer.hidden_size,
        "outputs": layer.h.shape[1],
        "width": layer.inputs.shape[1],
        "before_h": numbers(layer.before_h, 9) if layer.before_h.any() else None,
        "before_c": numbers(layer.before_c, 9) if layer.before_c.any() else None,
        "statistics": _statistics(statistics),
        "lost": lost_steps(layer),
        "orders": {
            order: [int(unit) for unit in units]
            for order, units in unit_orders(layer, statistics).items()
        },
        "followings": [each.name for each in followings],
        "followed": _followed([each.correlation for each in followings], layer.c),
    }


def _statistics(found: LayerStatistics) -> dict[str, Any]:
    """Returns the numbers of every unit, NaN for what there is none of; see ``numbers``."""
    plain = ("half_life", "keep", "write", "read", "shown", "activity")
    return {
        **{name: numbers(getattr(found, name), 5) for name in plain},
        "low": {gate: numbers(values, 5) for gate, values in found.saturation_low.items()},
        "high": {gate: numbers(values, 5) for gate, values in found.saturation_high.items()},
        "dead": [bool(each) for each in found.dead],
        "duplicate_of": [int(each) for each in found.duplicate_of],
    }


def lost_steps(layer: LayerValues) -> list[list[int] | None] | None:
    """Returns where values of a model that diverged are not finite; None where all of them are.

    For each unit the first of these steps, in the order in which the layer read, and how many
    there are: [t, n], or None for a unit whose values are all finite.
    """
    lost = np.zeros(layer.c.shape, dtype=bool)
    for quantity in QUANTITIES:
        values = getattr(layer, quantity)
        if values.shape == lost.shape:  # not of a projected h, whose units are not the cells
            lost |= ~np.isfinite(values)
    if not lost.any():
        return None
    first = (lost[::-1] if layer.reverse else lost).argmax(0)
    steps = len(layer) - 1 - first if layer.reverse else first
    counts = lost.sum(0)
    return [[int(t), int(n)] if n else None for t, n in zip(steps, counts, strict=True)]


def _followed(correlations: Sequence[NDArray[np.float32]], memory: Array) -> list[list[Any]]:
    """Returns for each unit the things that it follows most closely: their numbers, and r.

    A memory (T, H) that is not finite follows nothing.
    """
    if not correlations:
        return [[] for _ in range(memory.shape[1])]
    r = np.stack(correlations, axis=1)
    r = np.where(np.asarray(np.isfinite(memory).all(0))[:, None], r, np.nan)
    best = np.argsort(-np.abs(r), axis=1, kind="stable")[:, :FOLLOWED]  # NaN comes last
    return [
        [[int(k), round(float(row[k]), 3)] for k in order if np.isfinite(row[k])]
        for row, order in zip(r, best, strict=True)
    ]


def _layer_blocks(
    key: Key,
    layer: LayerValues,
    known: _Layer,
    contents: Contents,
    precision: Precision,
    blocks: Blocks,
) -> dict[str, Any]:
    """Returns where the values, inputs and weights of one layer are found."""
    bits = precision.values
    kept = {gate: _gate(key, gate, layer, bits, blocks) for gate in GATES}
    kept["c"] = blocks.keep((*key, "c"), bits, lambda: _memory(key, layer, bits, blocks), "c")
    if bits == WHOLE or not known.shows_cell:
        kept["h"] = blocks.add((*key, "h"), layer.h.T, bits, quantity="h")
    else:
        bounds = blocks.bounds
        bounds["h"] = max(bounds.get("h", 0.0), bounds["o"] + bounds["c"] + SAME_H)
    if layer.weights is None or not precision.weights:
        return {"blocks": kept, "weights": None, "inputs": None}
    weights = {
        kind: blocks.add(
            (*key, kind),
            getattr(layer.weights, kind),
            precision.weights,
            quantity="weights",
            smooth=False,
        )
        for kind in ("input", "recurrent")
    }
    weights["bias"] = blocks.add((*key, "bias"), layer.weights.bias[None], WHOLE)
    if known.below:
        inputs: dict[str, Any] = {"layers": known.below}
    else:
        inputs = _inputs(key, layer, known, contents, bits, blocks)
    return {"blocks": kept, "weights": weights, "inputs": inputs}


def _inputs(
    key: Key, layer: LayerValues, known: _Layer, contents: Contents, bits: int, blocks: Blocks
) -> dict[str, Any]:
    """Returns where what a layer read is found: one row for each step, or for each that differs."""
    axis = contents.axis(layer.axis)
    same = axis.values is not None and np.array_equal(axis.values, layer.inputs)
    return {
        "block": blocks.add((*key, "inputs"), known.inputs.T, bits, quantity="inputs"),
        "rows": known.rows,
        "names": list(axis.columns) if same and axis.columns else None,
    }


def _gate(key: Key, gate: str, layer: LayerValues, bits: int, blocks: Blocks) -> dict[str, object]:
    fixed = None if gate == "g" else (0.0, 1.0)
    return blocks.add((*key, gate), getattr(layer, gate).T, bits, quantity=gate, fixed=fixed)


def _memory(key: Key, layer: LayerValues, bits: int, blocks: Blocks) -> Block:
    """Returns C, as what is left of it beside f C_{t-1} + i C̃ where it follows that."""
    rest = None
    if bits < WHOLE and np.isfinite(layer.c).all():
        f, i, g = (decoded(blocks.known[(*key, gate), bits]) for gate in "fig")
        added = i.astype(np.float64) * g.astype(np.float64)
        rest = encoded_recurrence(layer.c.T, f, added, layer.before_c, bits, layer.reverse)
    return rounded(layer.c.T, bits) if rest is None else rest


def shows_cell(layer: LayerValues) -> bool:
    """Returns whether h = o ⋆ tanh(C), so that the page can compute it."""
    if layer.h.shape != layer.o.shape:
        return False
    with np.errstate(invalid="ignore"):
        off = np.abs(layer.h - layer.o * np.tanh(layer.c))
    return bool((off <= SAME_H).all())


def layers_below(name: str, contents: Contents) -> list[int]:
    """Returns the numbers of the layers whose hidden states, side by side, a layer read.

    One layer, or the two directions of one; none where it read something else.
    """
    layer, order = contents.layers[name], list(contents.layers)
    near = [
        (number, other)
        for number, (key, other) in enumerate(contents.layers.items())
        if key != name and other.axis == layer.axis and len(layer)
    ]
    for number, other in near:
        if np.array_equal(other.h, layer.inputs):
            return [number]
        # PyTorch's order: forward, then reverse.
        pair = order[number] + "_reverse"
        if not other.reverse and pair in contents.layers and pair != name:
            both = np.concatenate([other.h, contents.layers[pair].h], axis=1)
            if np.array_equal(both, layer.inputs):
                return [number, order.index(pair)]
    return []


def numbers(values: NDArray[Any], digits: int) -> list[float | str | None]:
    """Returns numbers with so many significant digits, as JSON has them.

    It has no word for some: None stands for NaN, "Infinity" and "-Infinity" for those.
    """
    return [_number(value, digits) for value in np.asarray(values, dtype=np.float64).tolist()]


def _number(value: float, digits: int) -> float | str | None:
    if math.isfinite(value):
        return float(f"{value:.{digits}g}")
    return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
