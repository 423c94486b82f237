"""What a person or a pipe sends to standard input."""

from __future__ import annotations

import io
import sys

import pytest


def typed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Makes standard input of some bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
