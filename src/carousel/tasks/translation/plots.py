"""Pictures of translation: BLEU by the length of a sentence, and what each word attended to.

Words are a user's own: they are cut to a length and never read as formulas.

Letters: T words of the translation, S of the source.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from carousel.data.pictures import letters, picture, shortened
from carousel.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from carousel.tasks.translation.report import Report

MOST_WORDS = 200  # a side of a heat map; more are too small to read on a page
_COLOURS = ("#1f6f8b", "#c06c2b", "#8a8a8a")
_DASHES = ("-", "--", ":")
_PAGE, _LEAST, _CELL = 11.0, 1.5, 0.32  # inches: the longest side; of a heat map; of a word in it
_BAR, _TITLE, _LETTER = 1.1, 0.4, 0.075  # inches: the colour bar; the title; a label's letter
_TITLE_LETTER = 0.085  # inches
_LARGEST = 9.0  # points of a label
_LONGEST_LABEL = 20  # letters


def draw_report(report: Report, path: Path) -> Path:
    """Draws BLEU by length of the source as bars, and of all sentences as lines.

    Raises:
        OptionError: for another ending than .png or .svg.
        OutputError: where the file cannot be written.
    """
    bands = report.bands
    with picture(path, (8.0, 4.0)) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(bands))
        bars = axes.bar(places, [b.bleu for b in bands], 0.7, color=_COLOURS[0], alpha=0.45)
        counts = [f"{b.sentences:,}\nsentence{'s' if b.sentences > 1 else ''}" for b in bands]
        # A line that passes behind the words must not strike them out.
        ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
        axes.bar_label(bars, counts, fontsize=8, padding=2, bbox=ground, zorder=3)
        for number, (name, score) in enumerate(report.bleu.items()):
            axes.axhline(
                score.value,
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=_DASHES[number % len(_DASHES)],
                linewidth=1.4,
                label=f"{name}: {score.value:.1f}",
            )
        axes.set_xticks(places, labels=[b.name for b in bands])
        axes.set_xlim(-0.6, len(bands) - 0.4)
        highest = max([*(b.bleu for b in bands), *(s.value for s in report.bleu.values())])
        axes.set_ylim(0, max(1.22 * highest, 1.0))  # room for the words on the highest bar
        axes.set_xlabel("words of the source")
        axes.set_ylabel("BLEU")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title("BLEU by length of the source", loc="left")
        figure.legend(
            loc="outside lower center",
            frameon=False,
            ncols=3,
            title="BLEU of all sentences together",
        )
    return path


def draw_alignment(
    weights: Float[np.ndarray, "T S"],
    source_words: Sequence[str],
    target_words: Sequence[str],
    path: str | Path,
    title: str = "",
) -> Path:
    """Draws the attention as a heat map: the translation downwards, the source across.

    Args:
        weights: (T, S) part of the attention, 0 to 1, that each word of the translation had for
            each of the source.
        source_words: S words.
        target_words: T words.
        path: where to, ``.png`` or ``.svg``.
        title: above it.

    Raises:
        OptionError: for another ending, for no words, or for more than 200 on a side.
        ShapeError: for weights of another shape.
        OutputError: where the file cannot be written.

    Reference: the picture is figure 3 of Bahdanau et al. 2014, arXiv:1409.0473.
    """
    _check_words(weights, source_words, target_words)
    across, down = _labels(source_words), _labels(target_words)
    left, top = _LETTER * max(map(letters, down)), _LETTER * max(map(letters, across))
    width, across_size = _extent(len(across), left + _BAR)
    height, down_size = _extent(len(down), top + _TITLE)
    title = shortened(title, int((width - left) / _TITLE_LETTER))
    with warnings.catch_warnings():
        # Letters wider than foreseen may take all room; that is no reason to stop.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        with picture(Path(path), (width, height)) as figure:
            axes = figure.add_subplot()
            image = axes.imshow(
                weights, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="nearest"
            )
            axes.xaxis.tick_top()
            axes.tick_params(length=0)
            axes.set_xticks(
                range(len(across)), across, rotation=90, fontsize=across_size, parse_math=False
            )
            axes.set_yticks(range(len(down)), down, fontsize=down_size, parse_math=False)
            axes.set_title(title, loc="left", fontsize="medium", parse_math=False)
            bar = figure.colorbar(image, ax=axes, ticks=[0, 0.25, 0.5, 0.75, 1])
            bar.set_label("part of the attention")
    return Path(path)


def _check_words(
    weights: np.ndarray, source_words: Sequence[str], target_words: Sequence[str]
) -> None:
    expected = (len(target_words), len(source_words))
    if weights.shape != expected:
        raise ShapeError(
            f"weights expect a row for each word of the translation and a column for each of the "
            f"source, {expected}, got {weights.shape}; give the words that the weights are of"
        )
    for side, count in (("source", len(source_words)), ("translation", len(target_words))):
        if not 1 <= count <= MOST_WORDS:
            raise OptionError(
                f"a picture of the attention expects 1 to {MOST_WORDS} words on each side, got "
                f"{count:,} in the {side}; draw a part of it"
            )


def _labels(words: Sequence[str]) -> list[str]:
    return [shortened(word, _LONGEST_LABEL) for word in words]


def _extent(words: int, margin: float) -> tuple[float, float]:
    """Returns a side of the figure in inches and its labels' size in points.

    From about 60 words on the page is full, and the labels get smaller.
    """
    cells = min(max(_CELL * words, _LEAST), _PAGE - margin)
    return cells + margin, min(_LARGEST, 0.85 * 72 * cells / words)
