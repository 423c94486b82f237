"""One exception tree. Every message says what was expected, what came, and what to do.

Each class also derives from the built-in exception that a caller would expect, so that
``except ValueError`` written for another library still catches ours. Imports nothing of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class CarouselError(Exception):
    """Base of every error that this package raises on purpose; the command line exits with 2."""


class OptionError(CarouselError, ValueError):
    """An option that is unknown, out of its range, or impossible together with another."""


class ShapeError(CarouselError, ValueError, RuntimeError):
    """A tensor argument of the wrong shape, dtype or device.

    Also a ``RuntimeError``, because that is what ``torch.nn.LSTM`` raises and callers catch.
    """


class DataError(CarouselError, ValueError):
    """The user's data cannot be used: names the file and, where they are known, line and column."""

    def __init__(
        self,
        problem: str,
        *,
        source: str | Path | None = None,
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        self.source = None if source is None else str(source)
        self.line = line
        self.column = column
        place = [] if source is None else [str(source)]
        if line is not None:
            place.append(f"line {line}")
        if column is not None:
            place.append(f"column {column!r}")
        super().__init__(f"{', '.join(place)}: {problem}" if place else problem)


class ModelError(CarouselError, ValueError):
    """A model folder that is missing, damaged, of another task, or written by a newer version."""


class CheckpointError(CarouselError, ValueError):
    """A checkpoint that is damaged, foreign, or belongs to another run."""


class OutputError(CarouselError, OSError):
    """An output that exists already, or cannot be written; what was there before is untouched."""


class MissingDependencyError(CarouselError, ImportError):
    """A library of an optional extra is not installed; names the extra."""


class NonFiniteError(CarouselError, ArithmeticError):
    """A loss or gradient became infinite or NaN; names the step and the batch."""


class TrainingInterruptedError(CarouselError):
    """Training stopped on SIGINT or SIGTERM after saving; ``signal_number`` says which."""

    def __init__(self, message: str, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(message)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name closest to ``name``, or None where nothing is close.

    Similarity is difflib's ratio (Ratcliff and Obershelp), letter case ignored, cut at 0.5.
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[found[0]] if found else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns the sentence for a name that is not among the known ones: the nearest, then all."""
    known = list(known)
    guess = nearest(name, known)
    hint = f"did you mean {guess!r}? " if guess else ""
    return f"there is no {kind} {name!r}; {hint}known: {', '.join(known) or 'none'}"
