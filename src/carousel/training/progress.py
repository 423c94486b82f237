"""What a person, a pipe or a program sees of a run. On stderr: stdout belongs to results."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol, cast, runtime_checkable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from carousel.data.streams import LastingStream
from carousel.training.history import Record


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The state of a run after a step.

    Args:
        record: the numbers since the last line of history.
        used: part of the budget that is used, [0, 1].
        is_line: whether this is also a line of history.
    """

    record: Record
    used: float
    is_line: bool

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the budget is used up at this pace; None before anything is used."""
        if self.used <= 0:
            return None
        return self.record.elapsed * (1.0 - self.used) / self.used


@runtime_checkable
class Stream(Protocol):
    """What progress needs of a file to write to."""

    def write(self, text: str, /) -> object:
        """Takes some text."""
        ...

    def flush(self) -> object:
        """Passes on what was written."""
        ...


@runtime_checkable
class Progress(Protocol):
    """Where the loop reports; give your own to ``train`` to draw something else."""

    def show(self, moment: Moment) -> None:
        """Called after every step; cheap, because most calls draw nothing."""
        ...

    def note(self, text: str) -> None:
        """Called with a sentence for the user."""
        ...

    def close(self) -> None:
        """Called once at the end, whatever the end is."""
        ...


class NoProgress:
    """Shows nothing."""

    def show(self, moment: Moment) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class PlainProgress:
    """Lines of text for a pipe or a log file.

    Args:
        stream: where to.
        every: seconds between lines; a validation gets its line at once.
        clock: seconds.
    """

    def __init__(
        self, stream: Stream, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream = stream
        self.every = every
        self.clock = clock
        self._next = clock()

    def show(self, moment: Moment) -> None:
        """Writes a line if it is time or there is a score."""
        if self.clock() >= self._next or moment.record.metrics:
            self._next = self.clock() + self.every
            cells = described(moment)
            self.note("  ".join(f"{name} {value}" for name, value in cells.items()))

    def note(self, text: str) -> None:
        """Writes the sentence as a line."""
        print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Does nothing: every line is already out."""


class JsonProgress:
    """One JSON object a line: ``{"event": "progress", …}`` and ``{"event": "note", "text"}``.

    Args:
        stream: where to.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def show(self, moment: Moment) -> None:
        """Writes what history gets, with the budget used and the seconds left."""
        if moment.is_line:
            self._write(
                {
                    "event": "progress",
                    **moment.record.to_dict(),
                    "used": moment.used,
                    "seconds_left": moment.seconds_left,
                }
            )

    def note(self, text: str) -> None:
        """Writes the sentence as an object."""
        self._write({"event": "note", "text": text})

    def close(self) -> None:
        """Does nothing: every line is already out."""

    def _write(self, values: dict[str, object]) -> None:
        print(json.dumps(values), file=self.stream, flush=True)


class LiveProgress:
    """A table that is redrawn in place, for a terminal.

    Args:
        console: where to.
        every: seconds between drawings.
        clock: seconds.
    """

    def __init__(
        self,
        console: Console,
        every: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live = Live(console=console, auto_refresh=False)
        self.every = every
        self.clock = clock
        self._next = clock()
        self._scores: dict[str, str] = {}
        self.live.start()

    def show(self, moment: Moment) -> None:
        """Redraws if it is time or there is a score, and keeps the last score in view."""
        self._scores |= {name: f"{value:.5g}" for name, value in moment.record.metrics.items()}
        if self.clock() >= self._next or moment.record.metrics:
            self._next = self.clock() + self.every
            table = Table("", "", show_header=False, box=None)
            for name, value in (described(moment) | self._scores).items():
                table.add_row(name, value)
            self.live.update(table, refresh=True)

    def note(self, text: str) -> None:
        """Prints the sentence above the table."""
        self.live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leaves the last table standing and gives the cursor back."""
        self.live.stop()


def make_progress(kind: str, stream: Stream | None = None) -> Progress:
    """Returns the progress that the option names; "auto" is live in a terminal, else plain."""
    # Whoever watched may leave; that is no reason to stop a run.
    stream = LastingStream(sys.stderr if stream is None else stream)
    console = Console(file=cast(IO[str], stream))
    if kind == "auto":
        kind = "live" if console.is_terminal and not console.is_dumb_terminal else "plain"
    if kind == "live":
        return LiveProgress(console)
    if kind == "plain":
        return PlainProgress(stream)
    return JsonProgress(stream) if kind == "json" else NoProgress()


def described(moment: Moment) -> dict[str, str]:
    """Returns the numbers of a moment as words, by name."""
    record, left = moment.record, moment.seconds_left
    cells = {
        "step": str(record.step),
        "epoch": str(record.epoch),
        "loss": "–" if record.loss is None else f"{record.loss:.5g}",
        "rate": f"{record.learning_rate:.3g}",
        "items/s": f"{record.throughput:,.0f}",
        "elapsed": duration(record.elapsed),
        "left": "–" if left is None else duration(left),
    }
    return cells | {name: f"{value:.5g}" for name, value in record.metrics.items()}


def duration(seconds: float) -> str:
    """Returns seconds as h:mm:ss or m:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
