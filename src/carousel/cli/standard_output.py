"""Standard output: JSON that is valid in whatever encoding it has."""

from __future__ import annotations

import json
import sys
from typing import Any


def is_utf8(stream: Any) -> bool:
    """Says whether a text stream can take every character."""
    return (getattr(stream, "encoding", None) or "").lower().startswith(("utf-8", "utf8", "utf_8"))


def as_json(values: Any, *, allow_nan: bool = True) -> str:
    """Returns JSON for standard output: in ASCII where that is not UTF-8, as JSON has to be."""
    return json.dumps(values, ensure_ascii=not is_utf8(sys.stdout), allow_nan=allow_nan)
