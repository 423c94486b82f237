"""Figures of many values at once: a quantity of all units over the sequence, and attention.

Knows nothing of which figure is wanted. Letters: T steps of an axis, S steps of another, U units.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from carousel.data.pictures import picture, shortened
from carousel.inspection.contents import AttentionMap, Axis, Contents, LayerValues
from carousel.inspection.orders import unit_orders
from carousel.inspection.statistics import layer_statistics
from carousel.inspection.strips import (
    COLOUR_MAP,
    LETTER,
    QUANTITY_WORDS,
    STRIP,
    add_bar,
    colour_scale,
    has_strip,
    label_steps,
    label_units,
    step_name,
    titled,
    under_strip,
)

ORDER_WORDS = {
    "half-life": "longest half-life on top",
    "activity": "most active on top",
    "similarity": "similar ones side by side",
    "number": "in the order of their numbers",
}
STEP, NARROWEST, WIDEST = 0.1, 4.5, 10.0  # inches: a step; the axes
SIDE, TITLE = 1.6, 0.9  # inches beside the axes and above them
_ROW, _LOWEST, _HIGHEST = 0.035, 2.0, 5.5  # inches: a unit; the axes
_CELL, _LEAST, _MOST = 0.24, 1.6, 8.0  # inches of attention: a step; the axes


def map_width(steps: range) -> float:
    """Returns the inches of axes over some steps."""
    return min(max(STEP * len(steps), NARROWEST), WIDEST)


def draw_heat_map(
    contents: Contents, path: Path, layer: str, quantity: str, order: str | None, steps: range
) -> None:
    """Draws a quantity of all units of a layer: steps across, units downwards.

    Args:
        contents: what was seen.
        path: where to.
        layer: name of it.
        quantity: one of ``f, i, g, o, c, h``.
        order: of the units, one of ``ORDER_WORDS``; None is by half-life. The numbers of a
            projection are no units and keep their own order.
        steps: the part that is drawn.
    """
    values = contents.layer(layer)
    axis = contents.axis(values.axis)
    shown = getattr(values, quantity)[steps.start : steps.stop].T
    projected = is_projected(values, quantity)
    assert not projected or order in (None, "number")
    order = "number" if projected else order or "half-life"
    rows = np.arange(len(shown))
    if order != "number":
        rows = np.asarray(unit_orders(values, layer_statistics(values))[order])
    width, height = map_width(steps), min(max(_ROW * len(shown), _LOWEST), _HIGHEST)
    strip = STRIP if has_strip(axis) else 0.0
    with picture(path, (width + SIDE, height + strip + TITLE)) as figure:
        above, axes = under_strip(figure, axis, steps, height, over_bar=True)
        image = axes.imshow(
            shown[rows],
            aspect="auto",
            interpolation="nearest",
            cmap=COLOUR_MAP,
            norm=colour_scale(quantity, shown),
            extent=(steps.start - 0.5, steps.stop - 0.5, len(shown) - 0.5, -0.5),
        )
        label_steps(axes, axis, steps, width)
        label_units(axes, rows, height)
        what = "numbers of the projection" if projected else "units"
        headed(
            above,
            contents,
            layer,
            f"{QUANTITY_WORDS[quantity].capitalize()} of {len(shown)} {what}, {ORDER_WORDS[order]}",
            width + SIDE,
        )
        add_bar(figure, axes, image, QUANTITY_WORDS[quantity])


def is_projected(values: LayerValues, quantity: str) -> bool:
    """Says whether what is drawn are the numbers of a projection, which are no units."""
    return quantity == "h" and values.h.shape[1] != values.hidden_size


def draw_attention(contents: Contents, path: Path) -> None:
    """Draws what each step of one axis attended to on another, darker where more."""
    sizes = [_sides(contents, attention) for attention in contents.attentions]
    widths, heights = zip(*sizes, strict=True)
    names = [
        [step_name(name) for name in contents.axis(attention.queries).names]
        for attention in contents.attentions
    ]
    left = LETTER * max(len(name) for many in names for name in many)
    with picture(path, (left + max(widths) + SIDE, sum(heights) + TITLE * len(sizes))) as figure:
        grid = figure.subplots(len(sizes), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, attention, (width, height), down in zip(
            grid, contents.attentions, sizes, names, strict=True
        ):
            memory = contents.axis(attention.memory)
            image = axes.imshow(
                attention.weights,
                vmin=0,
                vmax=1,
                cmap="Greys",
                aspect="auto",
                interpolation="nearest",
            )
            label_steps(axes, memory, range(len(memory)), width)
            _label_queries(axes, contents.axis(attention.queries), down, height)
            words = f"{attention.name}: where each {contents.axis(attention.queries).unit} looked"
            titled(axes, shortened(words), shortened(contents.title))
            bar = figure.colorbar(image, ax=axes, ticks=[0, 0.25, 0.5, 0.75, 1])
            bar.set_label("part of the attention")


def headed(axes: Any, contents: Contents, layer: str, what: str, width: float) -> None:
    """Writes above axes what is seen, and below that of which model and layer.

    Args:
        axes: the highest of the figure.
        contents: whose title it is.
        layer: name of it.
        what: is seen.
        width: of the figure in inches.
    """
    room = int(width / (1.2 * LETTER))
    # No line ends beside an equals sign.
    unbroken = shortened(what, 2 * room).replace(" = ", "\u00a0=\u00a0")
    lines = textwrap.wrap(unbroken, room, break_on_hyphens=False)
    lines.append(shortened(f"layer {layer} of {contents.title}", room))
    titled(axes, *lines)


def _sides(contents: Contents, attention: AttentionMap) -> tuple[float, float]:
    """Returns the inches of the axes: across the memory, down the queries."""
    down, across = (
        min(max(_CELL * len(contents.axis(name)), _LEAST), _MOST)
        for name in (attention.queries, attention.memory)
    )
    return across, down


def _label_queries(axes: Any, axis: Axis, names: list[str], height: float) -> None:
    every = math.ceil(0.13 * len(names) / height)
    places = np.arange(0, len(names), every)
    axes.set_yticks(places, [names[place] for place in places], fontsize=8, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel(axis.name, parse_math=False)
