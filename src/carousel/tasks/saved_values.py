"""Checks of the plain values of a saved model: what was expected, and what is there."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from safetensors import SafetensorError

from carousel.errors import CarouselError, ModelError

DAMAGED = "fit the model again or take it from a copy"
_LONGEST_REASON = 200  # characters; PyTorch names weights behind its first line


@contextlib.contextmanager
def parts_that_fit() -> Iterator[None]:
    """Turns what goes wrong where a model is put together from its files into a ModelError."""
    try:
        yield
    except ModelError:
        raise
    except (KeyError, TypeError, RuntimeError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        kind = "" if isinstance(error, CarouselError) else f"{type(error).__name__}: "
        raise ModelError(
            f"the model folder's parts do not fit together ({kind}{reason}); {DAMAGED}"
        ) from error


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
            f"{repr(value)[:60]}; {DAMAGED}"
        )


def is_count(value: Any, least: int) -> bool:
    """Returns whether a value is a whole number from ``least`` on."""
    return type(value) is int and value >= least


def expect_plan(plan: Mapping[str, Any], kind: Any, *, from_zero: Collection[str] = ()) -> None:
    """Refuses a plan with a value that its dataclass has no room for.

    Args:
        plan: as it was saved.
        kind: the dataclass, whose fields are whole numbers from 1, rates from 0, truths or texts.
            One with a default may be missing: it came with a later version.
        from_zero: whole numbers that may be 0.

    Raises:
        ModelError: names the value.
    """
    for field in dataclasses.fields(kind):
        if field.name not in plan and field.default is not dataclasses.MISSING:
            continue
        value: Any = plan.get(field.name)
        name, of = f"plan.{field.name}", str(field.type)
        if of == "int":
            least = 0 if field.name in from_zero else 1
            expect(is_count(value, least), name, f"a number from {least} on", value)
        elif of == "float":
            valid = type(value) in (int, float) and value >= 0
            expect(valid, name, "a number from 0 on", value)
        else:
            kinds = {"bool": bool, "str": str}
            expect(type(value) is kinds[of], name, f"a value of type {of}", value)
