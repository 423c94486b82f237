"""Standard input: text, decoded as files are, line by line as it comes, or whole; or names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from carousel.data import text_files
from carousel.errors import DataError

STANDARD_INPUT = "standard input"


def incoming_lines(encoding: str, remedy: str) -> Iterator[str]:
    """Yields the lines of standard input as they come, divided as those of a file are.

    Args:
        encoding: as ``text_files.known_encoding`` calls it.
        remedy: what to do where it is closed.

    Raises:
        DataError: where it is closed, or holds what is no text; names its line and byte.
    """
    # The bytes are cut behind each that ends a line, which in UTF-16 may be half of one.
    return text_files.divided(
        text_files.decoded_bytes(_opened(remedy), encoding, STANDARD_INPUT),
    )


def incoming_text(remedy: str) -> str:
    """Returns all of standard input, in UTF-8; raises what ``incoming_lines`` does."""
    return "".join(text_files.decoded_bytes(_opened(remedy), "utf-8", STANDARD_INPUT))


def incoming_names(remedy: str) -> list[str]:
    """Returns the names of files that standard input lists, a line each, as the system has them.

    Raises:
        DataError: where it is closed, or a line cannot be a name on this system.
    """
    names = []
    for number, line in enumerate(_opened(remedy), start=1):
        try:
            names.append(os.fsdecode(line.strip()))
        except UnicodeDecodeError:  # on Windows; elsewhere a name may be any bytes
            raise DataError(
                f"expected the name of a file in UTF-8, got {line[:40]!r}; save the list so",
                source=STANDARD_INPUT,
                line=number,
            ) from None
    return [name for name in names if name]


def _opened(remedy: str) -> Any:
    """Returns standard input's bytes, through a reader of our own where it has a descriptor.

    The thread that waits for a line may do so when the program ends; Python would want the lock of
    ``sys.stdin`` then, which that thread holds, and abort.
    """
    if sys.stdin is None:
        raise DataError(f"standard input is closed; {remedy}")
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:  # no descriptor
        return sys.stdin.buffer
