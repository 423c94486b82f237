"""Pictures as files: PNG or SVG, whole or not at all, whatever words of a user stand in them.

Knows nothing of what is drawn. Draws on figures of its own; what it asks of matplotlib's settings
holds while it draws.
"""

from __future__ import annotations

import contextlib
import io
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carousel.data.extras import import_extra
from carousel.data.storage import check_file_target, write_atomically
from carousel.errors import OptionError

FORMATS = (".png", ".svg")
_LONGEST_NAME = 60


@contextlib.contextmanager
def picture(path: Path, size: tuple[float, float]) -> Iterator[Any]:
    """Gives an empty figure, and writes it to ``path`` when the block ends without an error.

        with picture(path, (8.0, 3.6)) as figure:
            figure.add_subplot().plot(values)

    The ending and the place are checked first. Text of an SVG stays text, which can be searched.

    Args:
        path: where to, ``.png`` or ``.svg``; a file that is there is replaced.
        size: width and height in inches.

    Yields:
        A ``matplotlib.figure.Figure``.

    Raises:
        OptionError: for another ending.
        OutputError: where the file cannot be written; what was there is untouched.
        MissingDependencyError: where matplotlib is not installed.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise OptionError(f"plot expects a name ending in .png or .svg, got {path.name!r}")
    check_file_target(path, force=True)
    matplotlib = import_extra("matplotlib", "text")
    figures = import_extra("matplotlib.figure", "text")
    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 10}):
        figure = figures.Figure(figsize=size, layout="constrained")
        yield figure
        content = picture_bytes(figure, format=ending[1:], dpi=150)
    write_atomically(path, content)


def picture_bytes(figure: Any, **how: Any) -> bytes:
    """Returns the figure as ``savefig`` writes it, ``how`` being its options."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks gets boxes, which is no reason to stop;
        # of some scripts matplotlib before 3.11 says more than that.
        for message in (
            r"Glyph \d+ .* missing from",
            r"Matplotlib currently does not support .* natively",
        ):
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        figure.savefig(content, **how)
    return content.getvalue()


def letters(words: str) -> int:
    """Returns how many letters words are wide; one of Chinese is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in words)


def shortened(name: object, length: int = _LONGEST_NAME) -> str:
    """Returns a name on one line, without control characters, cut to ``length`` characters."""
    words = "".join(c if c.isprintable() else " " for c in str(name))
    return words if len(words) <= length else words[: length - 1] + "…"
