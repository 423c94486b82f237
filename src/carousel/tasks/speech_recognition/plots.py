"""Pictures of speech recognition: errors by speaker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from carousel.data.pictures import picture, shortened

if TYPE_CHECKING:
    from carousel.tasks.speech_recognition.report import Report

MOST_SPEAKERS = 40  # the worst ones; more names are too small to read on a page
MOST_RATE = 1_000.0  # %, at which a bar is cut: insertions know no end
_COLOUR, _OTHER = "#1f6f8b", "#c06c2b"
_LONGEST_LABEL = 24  # letters


def draw_report(report: Report, path: Path) -> Path:
    """Draws errors per word as bars, a speaker each, and those of all as lines.

    Raises:
        OptionError: for another ending than .png or .svg.
        OutputError: where the file cannot be written.
    """
    ranked = sorted(report.speakers.items(), key=lambda item: -item[1].rate)[:MOST_SPEAKERS]
    rates = [min(100 * counts.rate, MOST_RATE) for _, counts in ranked]
    with picture(path, (8.0, max(2.6, 1.6 + 0.26 * len(ranked)))) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(ranked))
        bars = axes.barh(places, rates, 0.7, color=_COLOUR, alpha=0.45)
        words = [f"{counts.errors:,} of {counts.length:,}" for _, counts in ranked]
        axes.bar_label(bars, words, fontsize=8, padding=3)
        names = [shortened(name, _LONGEST_LABEL) if name else _nobody(report) for name, _ in ranked]
        axes.set_yticks(places, labels=[name.replace("$", r"\$") for name in names])
        axes.invert_yaxis()
        ours = report.word_errors
        axes.axvspan(ours.low, ours.high, color=_OTHER, alpha=0.12, linewidth=0)
        axes.axvline(
            ours.value,
            color=_OTHER,
            linewidth=1.4,
            label=f"all together: {ours.value:.2f} % ({ours.low:.2f}–{ours.high:.2f})",
        )
        highest = max([*rates, min(ours.high, MOST_RATE)])
        axes.set_xlim(0, max(1.25 * highest, 1.0))  # room for the words
        axes.set_xlabel("errors per word, %")
        axes.spines[["top", "right"]].set_visible(False)
        left_out = len(report.speakers) - len(ranked)
        more = f", the {len(ranked)} worst of {len(report.speakers):,}" if left_out else ""
        axes.set_title(f"Errors by speaker{more}", loc="left")
        figure.legend(loc="outside lower center", frameon=False)
    return path


def _nobody(report: Report) -> str:
    """Returns what those are called of whom no name is known: all, or the others."""
    return "all" if len(report.speakers) == 1 else "unknown"
