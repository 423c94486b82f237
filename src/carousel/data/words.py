"""What a cell says as a word, and the words that mean that it says nothing.

Knows nothing of columns.
"""

from __future__ import annotations

import re
from typing import Any

MISSING_WORDS = ("", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_TRUTHS = ("true", "false")


def word_of(cell: Any) -> str | None:
    """Returns a cell as text, None where it is missing."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    word = str(cell).strip()
    if cell is None or word.lower() in MISSING_WORDS:
        return None
    if word.lower() in _TRUTHS:  # polars and pandas write them differently
        return word.lower()
    whole = _WHOLE.fullmatch(word)
    return whole.group(1) if whole else word
