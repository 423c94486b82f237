"""What figures of a sequence share: the sequence along the top, names of steps, colours.

Draws on axes that it is given and knows nothing of files. Names of steps are a user's own words:
they are cut to a length and never read as formulas.

Shape letters: T steps, F features drawn, U units.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carousel.data.extras import import_extra
from carousel.data.pictures import shortened
from carousel.inspection.contents import BLANKS, DRAWN, TEXTS, Axis

# Okabe and Ito's colours stay apart for the colour-blind; lines differ in dashes too, so that they
# stay apart in greyscale.
INK, FAINT = "#1a1a1a", "#8c8c8c"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKS = ("o", "s", "^", "D", "v", "P")
# Its lightness rises evenly from end to end, so that it is read in greyscale and by the
# colour-blind: Nuñez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239.
COLOUR_MAP = "cividis"

QUANTITY_WORDS = {
    "f": "forget gate f",
    "i": "input gate i",
    "g": "candidate g",
    "o": "output gate o",
    "c": "memory cell c",
    "h": "hidden state h",
}
LINE_END = BLANKS["\n"]
_SIGNS = {**BLANKS, "\r": "␍", "": "∅"}
# What has no picture of its own, as `seen` of page_files/numbers.js has it: soft hyphens, letters
# and blanks of no width, directions, joiners, fillers, tags; at the start, what chooses a variant.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]|^[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_LONGEST_NAME = 20  # letters of a step: a time with its zone
_MOST_LINES, _LONGEST_COLUMN = 6, 13  # lines of a series, letters of a column's name
_EVEN = 3.0  # up to which a scale by asinh looks even
_ALIKE = 5.0  # by how much ranges of columns may differ that share a scale
STRIP = 1.1  # inches of a sequence's values
LETTER = 0.072  # inches of a letter of 8 points
_CHARACTER, _WORD = 0.082, 0.105  # inches that the name of a step needs, upright and turned


def step_name(name: str, length: int = _LONGEST_NAME) -> str:
    """Returns what a step is called, all of it to be seen.

    A blank or an end of line is a sign, a character without a picture its code, as in "[200b]", and
    so is each one of a name that would otherwise be blank.
    """
    words = _SIGNS.get(name) or shortened(_UNSEEN.sub(lambda found: _mark(found[0]), name), length)
    return words if words.strip() else shortened("".join(map(_mark, name)), length)


def colour_scale(quantity: str, values: NDArray[Any]) -> Any:
    """Returns which value has which colour: a norm of matplotlib.

    Gates go from 0 to 1, the candidate and a hidden state without a projection from -1 to 1, all
    evenly. A memory cell goes from -a to a, a being the largest |c|, by asinh(c): evenly up to
    about 1, where tanh(c) bends, and by its logarithm beyond, for some units count to a hundred
    while others say all between -1 and 1.

    Args:
        quantity: one of ``f, i, g, o, c, h``.
        values: that are drawn.
    """
    colours = import_extra("matplotlib.colors", "inspect")
    if quantity in "fio":
        return colours.Normalize(0.0, 1.0)
    top = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    if quantity == "c" or top > 1:
        return colours.AsinhNorm(linear_width=1.0, vmin=-top, vmax=top)
    return colours.Normalize(-1.0, 1.0)


def add_bar(figure: Any, axes: Any, image: Any, words: str) -> None:
    """Puts the bar that says which colour is which value beside axes.

    Args:
        figure: of the axes.
        axes: with the image.
        image: drawn with a scale of ``colour_scale``.
        words: what the values are.
    """
    top = image.norm.vmax
    ticks = None
    if top > _EVEN:  # what asinh spreads, in numbers that are read at once
        powers = [10.0**k for k in range(int(math.log10(top)) + 1)]
        marks = powers if len(powers) > 1 else [1.0, 3.0]
        ticks = [*(-mark for mark in reversed(marks)), 0.0, *marks]
    bar = figure.colorbar(image, ax=axes, ticks=ticks, format="%g" if ticks else None)
    if ticks is None and image.norm.vmin < 0:
        bar.ax.yaxis.set_major_locator(import_extra("matplotlib.ticker", "inspect").MaxNLocator(6))
        bar.ax.yaxis.set_major_formatter("{x:g}")
    if ticks is None or len(ticks) > 5:
        bar.ax.minorticks_off()
    bar.set_label(words)


def titled(axes: Any, *lines: str) -> None:
    """Writes lines above axes, to the left; words of a user in them are no formulas."""
    axes.set_title("\n".join(lines), loc="left", fontsize="medium", parse_math=False)


def legend_word(name: str, length: int) -> str:
    """Returns a name for a legend, which passes over words that begin with a dash below."""
    return shortened(name, length).lstrip("_")


def has_strip(axis: Axis) -> bool:
    """Says whether numbers are drawn above the steps."""
    return axis.values is not None and axis.kind in DRAWN


def under_strip(
    figure: Any, axis: Axis, steps: range, height: float, *, over_bar: bool = False
) -> tuple[Any, Any]:
    """Returns the highest axes, and those of the figure below the sequence's own values.

    Args:
        figure: without axes.
        axis: that is drawn above, where it has numbers; else both are the same.
        steps: the part that is drawn.
        height: of the lower axes in inches.
        over_bar: see ``draw_strip``.
    """
    if not has_strip(axis):
        axes = figure.add_subplot()
        return axes, axes
    above, axes = figure.subplots(2, 1, height_ratios=[STRIP, height])
    draw_strip(above, axis, steps, over_bar=over_bar)
    return above, axes


def draw_strip(axes: Any, axis: Axis, steps: range, *, over_bar: bool = False) -> None:
    """Draws the sequence itself: a spectrogram's bands upwards, or the lines of a series.

    Args:
        axes: where to; its x is the step.
        axis: with values of (T, F).
        steps: the part that is drawn.
        over_bar: whether axes below have a bar of colours beside them, above which a legend has
            room.
    """
    assert axis.values is not None
    shown = axis.values[steps.start : steps.stop]
    if axis.kind == "spectrogram":
        axes.imshow(
            shown.T,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="Greys",
            extent=(steps.start - 0.5, steps.stop - 0.5, -0.5, shown.shape[1] - 0.5),
        )
        axes.set_ylabel("band")
    else:
        shown = shown[:, :_MOST_LINES]
        columns = [*axis.columns, *map(str, range(len(axis.columns), shown.shape[1]))]
        own = not _share_a_scale(shown)
        for number in range(shown.shape[1]):
            axes.plot(
                steps,
                _spread(shown[:, number]) if own else shown[:, number],
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.1,
                label=legend_word(columns[number], _LONGEST_COLUMN),
            )
        if own:
            axes.set_yticks([])
            axes.set_ylabel("each in its\nown range", fontsize="small")
        if shown.shape[1] > 1:
            legend = axes.legend(
                frameon=False,
                fontsize="x-small",
                loc="upper left",
                bbox_to_anchor=(1.0, 1.05),
                handlelength=1.4,
                handletextpad=0.5,
            )
            legend.set_in_layout(not over_bar)
            for text in legend.get_texts():
                text.set_parse_math(False)
        else:
            axes.set_ylabel(shortened(columns[0], 20), fontsize="small", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(steps.start - 0.5, steps.stop - 0.5)
    axes.tick_params(labelbottom=False, labelsize="small")


def label_steps(axes: Any, axis: Axis, steps: range, width: float) -> None:
    """Names the steps along x: characters and words on top where they fit, else some below.

    Args:
        axes: whose x is the step.
        axis: whose names they are.
        steps: the part that is drawn.
        width: of the axes in inches.
    """
    names = [step_name(axis.names[step]) for step in steps]
    room = width / len(steps)
    axes.set_xlim(steps.start - 0.5, steps.stop - 0.5)
    if axis.kind == "characters" and room >= _CHARACTER and max(map(len, names)) == 1:
        _name_all(axes, names, steps, 0)
    elif axis.kind in TEXTS and room >= _WORD:
        _name_all(axes, names, steps, 90)
    else:
        numbered = axis.kind in TEXTS
        words = [str(step) for step in steps] if numbered else names
        every = math.ceil((max(map(len, words)) + 2) * LETTER / room)
        if numbered:  # in steps of 1, 2, 5, 10, 20, 50 ...
            power = 10 ** int(math.log10(every))
            every = next(one * power for one in (1, 2, 5, 10) if one * power >= every)
        first = -steps.start % every if numbered else 0
        places = range(first, len(steps), every)
        axes.set_xticks(
            [steps[place] for place in places],
            [words[place] for place in places],
            fontsize="small",
            parse_math=False,
        )
        counted = f"{axis.unit}, counted from 0" if numbered else axis.unit
        axes.set_xlabel(f"{axis.name} ({counted})", parse_math=False)


def label_units(axes: Any, units: NDArray[np.intp], height: float) -> None:
    """Writes the numbers of the units beside the rows, where they fit.

    Args:
        axes: whose y is the row, downwards.
        units: (U,) number of the unit in each row.
        height: of the axes in inches.
    """
    room = height / len(units)
    if room < 0.12:
        axes.set_ylabel(f"{len(units)} units")
        axes.set_yticks([])
        return
    axes.set_yticks(range(len(units)), [str(unit) for unit in units], fontsize=min(8, 60 * room))
    axes.set_ylabel("unit")
    axes.tick_params(axis="y", length=0)


def _mark(character: str) -> str:
    """Returns what stands for a character that is not seen."""
    return _SIGNS.get(character) or f"[{ord(character):04x}]"


def _share_a_scale(values: NDArray[Any]) -> bool:
    """Says whether columns of (T, F) can be read on one scale: neither is lost in another."""
    columns = [column[np.isfinite(column)] for column in values.T]
    moving = [column for column in columns if len(column) and np.ptp(column) > 0]
    if len(moving) < 2:
        return True
    ranges = [float(np.ptp(column)) for column in moving]
    whole = float(np.ptp(np.concatenate(moving)))
    return max(ranges) <= _ALIKE * min(ranges) and whole <= _ALIKE * max(ranges)


def _spread(column: NDArray[Any]) -> NDArray[Any]:
    """Returns a column from 0 to 1."""
    real = column[np.isfinite(column)]
    if not len(real) or np.ptp(real) == 0:
        return column * 0 + 0.5
    return (column - real.min()) / np.ptp(real)


def _name_all(axes: Any, names: list[str], steps: range, turn: int) -> None:
    axes.xaxis.tick_top()
    axes.set_xticks(list(steps), names, rotation=turn, fontsize=8, parse_math=False)
    axes.tick_params(axis="x", length=0, pad=1)
