"""Output streams whose reader may leave, whose disk may fill up, or whose encoding lacks signs.

Knows nothing of what is written.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
from collections.abc import Iterator
from typing import Any

from carousel.errors import OutputError

_NUMBERS = "carousel.numbers"  # how characters are encoded that an encoding lacks


class LastingStream:
    """A text stream that outlives its reader: what comes after a failed write goes nowhere.

    A character that its encoding lacks is written as JSON would escape it, such as \\u0142, and
    ``escaped`` is True from then on. Anything else is the stream's own.

    Args:
        stream: where to write.
        name: of the stream in an error.
        expendable: True where nobody's work depends on the text, as with progress: then every
            failure is passed over. Else only a reader who left, having seen enough, is; a disk
            that is full, say, has swallowed a result, and that is an error.
    """

    def __init__(self, stream: Any, name: str = "output", expendable: bool = True) -> None:
        self.stream = stream
        self.name = name
        self.expendable = expendable
        self.failed = False
        self.escaped = False

    def write(self, text: str) -> int:
        """Writes the text, if the stream still takes any."""
        if not self.failed:
            with self._lasting():
                try:
                    self.stream.write(text)
                except UnicodeEncodeError as error:
                    self.escaped = True
                    # Of some encodings the error has another name.
                    encoding = self.stream.encoding or error.encoding
                    self.stream.write(text.encode(encoding, _NUMBERS).decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Passes on what was written, if the stream still takes any."""
        if not self.failed:
            with self._lasting():
                self.stream.flush()

    def silence(self) -> None:
        """Leads a failed stream nowhere, or Python would fail again at it when the process ends."""
        if not self.failed:
            return
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextlib.contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failed = True
            if not self.expendable and not isinstance(error, BrokenPipeError):
                raise OutputError(
                    f"{self.name}: cannot be written ({error.strerror or error}); free some space, "
                    "or send the output somewhere else"
                ) from error


class Closed(io.TextIOBase):
    """What stands for an output that the shell has closed: text that comes there is lost."""

    def write(self, text: str) -> int:
        """Fails as a closed file descriptor does, where there is text."""
        if text:
            raise OSError(errno.EBADF, "it is closed")
        return 0


def _number(error: UnicodeError) -> tuple[str, int]:
    """Returns the UTF-16 numbers of what an encoding lacks, which JSON reads back."""
    assert isinstance(error, UnicodeEncodeError)
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[k : k + 2].hex()}" for k in range(0, len(units), 2)), error.end


codecs.register_error(_NUMBERS, _number)
