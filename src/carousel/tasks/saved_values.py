"""Checks of the plain values of a saved model: what was expected, and what is there."""

from __future__ import annotations

from typing import Any

from carousel.errors import ModelError


def expect(valid: bool, name: str, expected: str, value: Any) -> None:
    """Raises a ModelError unless a value is valid.

    Args:
        valid: whether it is.
        name: of the value, such as "plan.season".
        expected: what it has to be, in words.
        value: what it is.
    """
    if not valid:
        raise ModelError(
            f"the model folder is damaged: expected {expected} as {name!r}, got "
            f"{repr(value)[:60]}; fit the model again or take it from a copy"
        )


def is_count(value: Any, least: int) -> bool:
    """Returns whether a value is a whole number from ``least`` on."""
    return type(value) is int and value >= least
