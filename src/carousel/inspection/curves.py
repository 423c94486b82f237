"""Figures of layers on the whole: saturation, half-lives, and how far gradients reach.

Knows nothing of which figure is wanted. Letters: T steps, K end steps, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.data.pictures import picture, shortened
from carousel.inspection.contents import Contents, GradientFlow
from carousel.inspection.gradient_flow import curve
from carousel.inspection.statistics import half_lives, layer_statistics
from carousel.inspection.strips import (
    COLOURS,
    DASHES,
    FAINT,
    MARKS,
    QUANTITY_WORDS,
    legend_word,
    titled,
)

LOWEST_GAIN = 1e-12  # below which nothing is seen; in float32 it is nothing beside 1


def draw_saturation(contents: Contents, path: Path, layers: Sequence[str]) -> None:
    """Draws each unit at the shares of steps at which its gate is nearly open and nearly shut.

    One panel a gate. Both shares add up to 1 at most: no point is above the diagonal.

    Reference: Karpathy, Johnson and Fei-Fei 2015, arXiv:1506.02078, the saturation plots.
    """
    found = {name: layer_statistics(contents.layer(name)) for name in layers}
    with picture(path, (10.0, 4.4)) as figure:
        panels = figure.subplots(1, 3, sharex=True, sharey=True)
        for axes, gate in zip(panels, "fio", strict=True):
            for number, (name, statistics) in enumerate(found.items()):
                axes.scatter(
                    statistics.saturation_high[gate],
                    statistics.saturation_low[gate],
                    s=22,
                    marker=MARKS[number % len(MARKS)],
                    facecolors="none",
                    edgecolors=COLOURS[number % len(COLOURS)],
                    linewidths=0.9,
                    label=_label(name),
                )
            axes.plot([0, 1], [1, 0], color=FAINT, linewidth=0.8)
            axes.set_xlim(-0.03, 1.03)
            axes.set_ylim(-0.03, 1.03)
            axes.set_title(QUANTITY_WORDS[gate], fontsize="medium")
            axes.set_xlabel("share of steps above 0.9")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("share of steps below 0.1")
        _heading(figure, f"How often each unit's gates are open or shut\n{_title(contents)}")
        _legend(figure, panels[0])


def draw_half_lives(contents: Contents, path: Path, layers: Sequence[str]) -> None:
    """Draws for each layer the share of its units whose half-life is longer than so many steps."""
    lives = {name: half_lives(contents.layer(name).f) for name in layers}
    finite = np.concatenate([life[np.isfinite(life)] for life in lives.values()])
    longest = max([len(contents.layer(name)) for name in layers] + [finite.max(initial=1.0)])
    shortest = min(finite.min(initial=1.0), 1.0)
    with picture(path, (6.4, 4.0)) as figure:
        axes = figure.add_subplot()
        for number, (name, life) in enumerate(lives.items()):
            ordered = np.sort(life)
            longer = 1 - np.arange(1, len(life) + 1) / len(life)
            kept = np.isfinite(ordered)
            # Units that forget nothing stay in the share at the right end.
            places = np.concatenate([[shortest / 2], ordered[kept], [2 * longest]])
            shares = np.concatenate([[1.0], longer[kept], [longer[kept][-1] if kept.any() else 1]])
            axes.step(
                places,
                shares,
                where="post",
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.6,
                label=f"{_label(name)}: {_median_words(life)}",
            )
        steps = sorted({len(contents.layer(name)) for name in layers})
        for length in steps:
            axes.axvline(length, color=FAINT, linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        axes.set_xlim(shortest / 2, 2 * longest)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("half-life in steps (dotted: the length of the sequence)")
        axes.set_ylabel("share of units that keep longer")
        _finish(figure, axes, "How long the memory cells keep what they hold", contents)


def _median_words(life: np.ndarray) -> str:
    median = float(np.median(life))
    return "not a number" if np.isnan(median) else f"median {median:.3g}"


def draw_gradients(contents: Contents, path: Path, flows: Sequence[GradientFlow]) -> None:
    """Draws how much of a change is left so many steps later, on a scale of logarithms.

    A thick line is the geometric mean over all end steps, thin ones are single ends.
    """
    with picture(path, (7.2, 4.4)) as figure:
        axes = figure.add_subplot()
        lowest = 1.0
        for number, flow in enumerate(flows):
            colour = COLOURS[number % len(COLOURS)]
            for dash, (letter, gains) in enumerate((("h", flow.of_h), ("c", flow.of_c))):
                if gains is None:
                    continue
                for end, one in zip(flow.ends, gains, strict=True):
                    real = ~np.isnan(one)
                    distance = np.abs(np.arange(len(one)) - end)[real]
                    order = np.argsort(distance)
                    axes.plot(
                        distance[order],
                        one[real][order],
                        color=colour,
                        linewidth=0.4,
                        alpha=0.25,
                    )
                distance, mean = curve(flow, letter)
                lowest = min(lowest, float(np.nanmin(mean)))
                axes.plot(
                    distance[~np.isnan(mean)],
                    mean[~np.isnan(mean)],
                    color=colour,
                    linestyle=DASHES[(2 * number + dash) % len(DASHES)],
                    linewidth=1.8,
                    label=f"{_label(flow.layer)}: ∂{letter}/∂{letter}",
                )
        axes.axhline(1, color=FAINT, linewidth=0.8)
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(lowest / 2, LOWEST_GAIN))
        axes.set_xlim(left=0)
        axes.set_xlabel("steps back from the end")
        axes.set_ylabel("gain of a random direction")
        _finish(figure, axes, "How far back gradients reach", contents)


def _finish(figure: Any, axes: Any, words: str, contents: Contents) -> None:
    """Gives a figure of one panel its frame, title and legend."""
    axes.spines[["top", "right"]].set_visible(False)
    titled(axes, words, _title(contents))
    _legend(figure, axes)


def _title(contents: Contents) -> str:
    return shortened(contents.title, 80)


def _label(name: str) -> str:
    # A legend's words are read as formulas.
    return legend_word(name, 40).replace("$", r"\$")


def _heading(figure: Any, words: str) -> None:
    figure.suptitle(words, x=0.01, ha="left", fontsize="medium", parse_math=False)


def _legend(figure: Any, axes: Any) -> None:
    """Puts one legend below all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", frameon=False, fontsize="small", ncols=3
    )
