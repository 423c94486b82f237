"""Tables as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def ruled(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a table's lines: the first column to the left, the others to the right, a rule."""
    whole = [header, *rows]
    widths = [max(len(row[i]) for row in whole) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in whole
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
