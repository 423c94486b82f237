"""The figure of what each step of an input did for what a model said: bars, or a map of many.

Knows nothing of how shares are found. Letters: T steps, A attributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.pictures import picture, shortened
from carousel.inspection.contents import Attribution, Contents
from carousel.inspection.heat_maps import SIDE, TITLE, map_width
from carousel.inspection.strips import (
    COLOUR_MAP,
    COLOURS,
    INK,
    LETTER,
    STRIP,
    draw_strip,
    has_strip,
    label_steps,
    titled,
)

MOST_BARS = 4  # attributions of one input and method; of more a map is drawn
_BARS, _ROW = 1.3, 0.22  # inches
_LONGEST_NAME = 48  # letters


def draw_attributions(contents: Contents, path: Path, steps: range | None) -> None:
    """Draws the share of each step in what the model said: upwards where it raised that.

    Of more than four explained numbers of one input the shares are a map, a row for each number.

    Args:
        contents: what was seen, with attributions.
        path: where to.
        steps: the part that is drawn; None is all.
    """
    panels = _panels(contents.attributions)
    drawn = [steps or range(len(contents.axis(panel[0].axis))) for panel in panels]
    width = max(map(map_width, drawn))
    strips = [STRIP if has_strip(contents.axis(panel[0].axis)) else 0.0 for panel in panels]
    own = [_BARS if len(panel) == 1 else _ROW * len(panel) for panel in panels]
    heights = [
        inches
        for strip, height in zip(strips, own, strict=True)
        for inches in ([strip, height] if strip else [height])
    ]
    left = LETTER * max(len(_row_name(one)) for panel in panels for one in panel)
    left *= any(len(panel) > 1 for panel in panels)
    size = left + width + SIDE, sum(heights) + TITLE * len(panels)
    with picture(path, size) as figure:
        grid = iter(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
        for panel, part, strip in zip(panels, drawn, strips, strict=True):
            axis = contents.axis(panel[0].axis)
            highest = axes = next(grid)
            if strip:
                draw_strip(highest, axis, part)
                axes = next(grid)
            if len(panel) == 1:
                words = _draw_bars(axes, panel[0], part)
            else:
                words = _draw_map(figure, axes, panel, part)
            label_steps(axes, axis, part, width)
            titled(highest, shortened(words, 90), shortened(contents.title, 80))


def _panels(many: Sequence[Attribution]) -> list[list[Attribution]]:
    """Returns what is drawn in each panel: one attribution, or many of one input and method."""
    groups: dict[tuple[str, str], list[Attribution]] = {}
    for one in many:
        groups.setdefault((one.axis, one.method), []).append(one)
    return [
        panel
        for group in groups.values()
        for panel in ([group] if len(group) > MOST_BARS else [[one] for one in group])
    ]


def _draw_bars(axes: Any, one: Attribution, part: range) -> str:
    """Draws one attribution; returns what is seen."""
    shares = one.values[part.start : part.stop]
    colours = [COLOURS[0] if share >= 0 else COLOURS[1] for share in shares]
    # With an edge, which is seen where a thousand bars are thinner than a dot.
    axes.bar(part, shares, width=0.85, color=colours, edgecolor=colours, linewidth=0.5)
    axes.axhline(0, color=INK, linewidth=0.6)
    ticker = import_extra("matplotlib.ticker", "inspect")
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("share")
    total = f": {one.total:+.3g} in all" if np.isfinite(one.total) else ""
    return f"{shortened(one.name, 70)}, by {one.method}{total}"


def _draw_map(figure: Any, axes: Any, panel: Sequence[Attribution], part: range) -> str:
    """Draws many attributions, a row each; returns what is seen."""
    shares = np.stack([one.values[part.start : part.stop] for one in panel])
    top = float(np.abs(shares).max()) or 1.0
    image = axes.imshow(
        shares,
        aspect="auto",
        interpolation="nearest",
        cmap=COLOUR_MAP,
        vmin=-top,
        vmax=top,
        extent=(part.start - 0.5, part.stop - 0.5, len(panel) - 0.5, -0.5),
    )
    names = [_row_name(one) for one in panel]
    axes.set_yticks(range(len(panel)), names, fontsize=8, parse_math=False)
    axes.tick_params(axis="y", length=0)
    figure.colorbar(image, ax=axes).set_label("share")
    return f"What each step did for each number, by {panel[0].method}"


def _row_name(one: Attribution) -> str:
    return shortened(one.name, _LONGEST_NAME)
