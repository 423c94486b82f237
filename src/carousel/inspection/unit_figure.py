"""The figure of one unit: a text whose characters have the colour of its value, or a curve.

Knows nothing of which unit is worth looking at.

Letters: T steps, R lines of text, W cells of a line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carousel.data.pictures import letters, picture, shortened
from carousel.inspection.contents import TEXTS, Axis, Contents
from carousel.inspection.following import followed
from carousel.inspection.heat_maps import SIDE, TITLE, headed, is_projected, map_width
from carousel.inspection.statistics import half_lives
from carousel.inspection.strips import (
    COLOUR_MAP,
    COLOURS,
    FAINT,
    INK,
    LINE_END,
    QUANTITY_WORDS,
    STRIP,
    add_bar,
    colour_scale,
    has_strip,
    label_steps,
    step_name,
    under_strip,
)

MOST_STEPS = 4_000  # of a text, about two pages
_CELLS = 80  # of a line
_CELL, _LINE = 0.082, 0.2  # inches
_LONGEST_WORD = 24
_CURVE = 2.2  # inches
_FOLLOWS = 0.5  # correlation from which on a title says what a unit follows


class Cell(NamedTuple):
    """Where the name of a step stands in a text that is set in cells of one width."""

    step: int
    line: int
    begin: int
    width: int
    name: str


def draw_unit(
    contents: Contents, path: Path, layer: str, quantity: str, unit: int, steps: range
) -> None:
    """Draws one unit over the sequence.

    Args:
        contents: what was seen.
        path: where to.
        layer: name of it.
        quantity: one of ``f, i, g, o, c, h``.
        unit: its number.
        steps: the part that is drawn.
    """
    values = contents.layer(layer)
    axis = contents.axis(values.axis)
    shown = getattr(values, quantity)[steps.start : steps.stop, unit]
    what = f"{QUANTITY_WORDS[quantity].capitalize()} of unit {unit}"
    if not is_projected(values, quantity):
        what += _facts(contents, layer, quantity, unit)
    if axis.kind not in TEXTS:
        _draw_curve(contents, path, layer, what, shown, steps)
        return
    cells = set_in_cells(axis, steps)
    width = max(cell.begin + cell.width for cell in cells)
    lines = cells[-1].line + 1
    ground = np.full((lines, width), np.nan)
    for cell, value in zip(cells, shown, strict=True):
        ground[cell.line, cell.begin : cell.begin + cell.width] = value
    scale = colour_scale(quantity, shown)
    # Room for the heading, however short the text is.
    size = max(_CELL * width, 5.0) + SIDE, max(_LINE * lines, 0.8) + TITLE
    with picture(path, size) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(
            np.ma.masked_invalid(ground),
            aspect="auto",
            interpolation="nearest",
            cmap=COLOUR_MAP,
            norm=scale,
        )
        for cell, value in zip(cells, shown, strict=True):
            axes.text(
                cell.begin + (cell.width - 1) / 2,
                cell.line,
                cell.name,
                ha="center",
                va="center",
                family="monospace",
                fontsize=8,
                # The upper half of the colours is light.
                color="white" if scale(value) < 0.5 else "black",
                parse_math=False,
            )
        axes.set_axis_off()
        headed(axes, contents, layer, what, size[0])
        add_bar(figure, axes, image, QUANTITY_WORDS[quantity])


def set_in_cells(axis: Axis, steps: range) -> list[Cell]:
    """Returns where each step's name stands, lines broken at ends of line and where one is full.

    Args:
        axis: characters stand side by side, words one cell apart.
        steps: those that are set.
    """
    gap = 0 if axis.kind == "characters" else 1
    found, line, place = [], 0, 0
    for step in steps:
        name = step_name(axis.names[step], _LONGEST_WORD)
        width = letters(name)
        if place and place + width > _CELLS:
            line, place = line + 1, 0
        found.append(Cell(step, line, place, max(1, width), name))
        place += width + gap
        if name.endswith(LINE_END):
            line, place = line + 1, 0
    return found


def _draw_curve(
    contents: Contents, path: Path, layer: str, what: str, shown: NDArray[Any], steps: range
) -> None:
    axis = contents.axis(contents.layer(layer).axis)
    width = map_width(steps)
    strip = STRIP if has_strip(axis) else 0.0
    with picture(path, (width + SIDE, _CURVE + strip + TITLE)) as figure:
        above, axes = under_strip(figure, axis, steps, _CURVE)
        axes.plot(steps, shown, color=COLOURS[0], linewidth=1.3)
        axes.axhline(0, color=FAINT, linewidth=0.6)
        axes.set_ylabel(what.split(" of unit")[0], color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        label_steps(axes, axis, steps, width)
        headed(above, contents, layer, what, width + SIDE)


def _facts(contents: Contents, layer: str, quantity: str, unit: int) -> str:
    """Returns the unit's half-life, and what it follows where that is plain."""
    values = contents.layer(layer)
    axis = contents.axis(values.axis)
    half_life = float(half_lives(values.f)[unit])
    words = f": half-life {half_life:.3g} steps" if np.isfinite(half_life) else ": never forgets"
    if values.broken_from is not None:
        words = f": not a number from step {values.broken_from} on"
    found = followed(values, axis, quantity)
    if found:
        best = max(found, key=lambda one: abs(one.correlation[unit]))
        if abs(best.correlation[unit]) >= _FOLLOWS:
            words += f", follows {shortened(best.name, 24)} (r = {best.correlation[unit]:+.2f})"
    return words
