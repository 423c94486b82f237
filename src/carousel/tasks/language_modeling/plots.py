"""The picture of an evaluation: how well a text is predicted, from its begin to its end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from carousel.data.pictures import picture

if TYPE_CHECKING:
    from carousel.tasks.language_modeling.report import Report

_STRETCHES = 120  # points of a curve
_COLOURS = ("#1f6f8b", "#c06c2b", "#8a8a8a")


def draw_report(report: Report, path: Path) -> Path:
    """Draws bits per token over the text, smoothed, for the model and the baselines.

    Raises:
        OptionError: for another ending than .png or .svg.
        OutputError: where the file cannot be written.
    """
    with picture(path, (8.0, 3.6)) as figure:
        axes = figure.add_subplot()
        for (name, nats), colour in zip(report.nats.items(), _COLOURS, strict=False):
            edges = np.linspace(0, len(nats), min(_STRETCHES, len(nats)) + 1).astype(int)
            means = np.add.reduceat(nats, edges[:-1]) / np.diff(edges) / math.log(2)
            mean = report.scores[name].nats_per_token / math.log(2)
            label = f"{name}: {mean:.3f}"
            axes.plot(edges[1:], means, color=colour, linewidth=1.4, label=label)
        axes.set_xlabel("token of the text")
        axes.set_ylabel("bits per token")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, len(nats))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower left", ncols=3)
        axes.set_title(f"What a token costs ({report.tokenizer})", loc="left")
    return path
