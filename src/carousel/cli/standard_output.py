"""Standard output: JSON that is valid in whatever encoding it has, and an output that is closed."""

from __future__ import annotations

import errno
import io
import json
import sys
from typing import Any


class Closed(io.TextIOBase):
    """What stands for an output that the shell has closed: text that comes there is lost."""

    def write(self, text: str) -> int:
        """Fails as a closed file descriptor does, where there is text."""
        if text:
            raise OSError(errno.EBADF, "it is closed")
        return 0


def is_utf8(stream: Any) -> bool:
    """Says whether a text stream can take every character."""
    return (getattr(stream, "encoding", None) or "").lower().startswith(("utf-8", "utf8", "utf_8"))


def as_json(values: Any, *, allow_nan: bool = True) -> str:
    """Returns JSON for standard output: in ASCII where that is not UTF-8, as JSON has to be."""
    return json.dumps(values, ensure_ascii=not is_utf8(sys.stdout), allow_nan=allow_nan)
