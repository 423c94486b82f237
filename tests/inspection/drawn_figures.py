"""What a figure shows, read from its axes as they were when it became a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from matplotlib.figure import Figure

from carousel.inspection.contents import Contents
from carousel.inspection.figures import FigureOptions, draw_figure


def drawn(contents: Contents, **values: Any) -> Figure:
    """Draws a figure into a file that nobody needs, and returns it."""
    found: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: Any, **how: Any) -> None:
        found.append(figure)
        save(figure, *args, **how)

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Figure, "savefig", kept):
        draw_figure(contents, Path(folder) / "a.svg", FigureOptions(**values))
    (figure,) = found
    return figure


def labels(axis: Any) -> list[str]:
    """The words beside the ticks of an axis."""
    return [tick.get_text() for tick in axis.get_ticklabels()]
