"""Options that refuse: frozen, keyword-only dataclasses whose fields carry unit, range and source.

Knows nothing of what the options mean. Imports only ``errors``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

from carousel.errors import OptionError, unknown_name

T = TypeVar("T")


def option(
    *,
    default: Any = dataclasses.MISSING,
    help: str,  # the word that every command line uses
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    source: str = "",
) -> Any:
    """Declares one field of an options class.

    Args:
        default: the value where none is given; without it the field must be given.
        help: one phrase, shown by the command line.
        unit: of the value, in words ("steps", "minutes").
        low: smallest allowed value, included.
        high: largest allowed value, included.
        choices: the allowed values of a text option.
        source: the paper, table or section a default comes from.
    """
    metadata = {
        "help": help,
        "unit": unit,
        "low": low,
        "high": high,
        "choices": choices,
        "source": source,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """Makes ``cls`` a frozen, keyword-only dataclass that checks each field's type and range.

    Raises (on construction):
        OptionError: for an unknown name (with the nearest known one), a value of the wrong type,
            out of its range, or not among its choices.
    """
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = {field.name: field for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    generated: Callable[..., None] = made.__init__

    @functools.wraps(generated)
    def checked_init(self: Any, **values: Any) -> None:
        for name in values:
            if name not in fields:
                raise OptionError(unknown_name("option", name, fields))
        for name, field in fields.items():
            required = (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            )
            if required and name not in values:
                raise OptionError(f"option {name!r} must be given: {field.metadata['help']}")
        kinds = typing.get_type_hints(made)
        checked = {
            name: _checked(name, value, kinds[name], fields[name].metadata)
            for name, value in values.items()
        }
        generated(self, **checked)

    made.__init__ = checked_init  # type: ignore[method-assign]
    return made


def to_dict(values: Any) -> dict[str, Any]:
    """Returns the options as plain JSON-ready values (tuples become lists)."""
    return {
        field.name: list(value) if isinstance(value, tuple) else value
        for field in dataclasses.fields(values)
        for value in [getattr(values, field.name)]
    }


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Makes options from plain values, refusing unknown names as the constructor does."""
    return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def _checked(name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Any:
    """Returns ``value`` as its declared type, or says what the option expects."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    allowed = typing.get_args(kind) if union else (kind,)
    if value is None and type(None) in allowed:
        return None
    plain = next(candidate for candidate in allowed if candidate is not type(None))
    if isinstance(value, os.PathLike) and os.PathLike[str] in allowed:
        value = os.fspath(value)
    value = _converted(name, value, plain, limits)
    if limits.get("choices") and value not in limits["choices"]:
        raise OptionError(f"{name}: " + unknown_name("choice", str(value), limits["choices"]))
    for number in value if isinstance(value, tuple) else (value,):
        _check_range(name, number, limits)
    return value


def _converted(name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Any:
    expected = f"option {name!r} expects {_words(kind)}{_range_words(limits)}, got {value!r}"
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise OptionError(expected)
        inner = typing.get_args(kind)[0]
        return tuple(_converted(name, item, inner, limits) for item in value)
    is_bool = isinstance(value, bool)
    if kind is int and isinstance(value, numbers.Integral) and not is_bool:
        return int(value)  # such as NumPy's
    if kind is float and isinstance(value, numbers.Real) and not is_bool:
        return float(value)
    if (is_bool and kind is not bool) or not isinstance(value, kind):
        raise OptionError(expected)
    return value


def _check_range(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    low, high = limits.get("low"), limits.get("high")
    below = low is not None and value < low
    above = high is not None and value > high
    if below or above or math.isnan(value):
        raise OptionError(f"option {name!r} expects a value{_range_words(limits)}, got {value!r}")


def _words(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if typing.get_origin(kind) is tuple:
        return f"a list, each item {_words(typing.get_args(kind)[0])}"
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _range_words(limits: Mapping[str, Any]) -> str:
    low, high, unit = limits.get("low"), limits.get("high"), limits.get("unit")
    words = f" of {unit}" if unit else ""
    if low is not None and high is not None:
        return f"{words}, from {low} to {high}"
    if low is not None:
        return f"{words}, at least {low}"
    return f"{words}, at most {high}" if high is not None else words
