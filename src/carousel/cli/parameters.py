"""Command-line parameters made from options classes, so that no option is written down twice."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Group, Parameter, Token

from carousel.errors import OptionError

Command = TypeVar("Command", bound=Callable[..., Any])


def expanded(kind: Any, tokens: Sequence[Token]) -> Any:
    """Converts a place on disk: shells leave the ``~`` of ``--out=~/model`` for us to expand."""
    text = os.path.expanduser(tokens[0].value)
    return text if _plain(kind) is str else Path(text)


def whole(kind: Any, tokens: Sequence[Token]) -> int:
    """Converts a whole number, such as 1000, 1_000 or 1e3; a fraction is not rounded to one."""
    text = tokens[0].value
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError, OverflowError):
        if (number := int(float(text))) == float(text):
            return number
    raise ValueError(f"expected a whole number, got {text}")


def with_options(
    classes: Mapping[str, type], *, without: tuple[str, ...] = ()
) -> Callable[[Command], Command]:
    """Gives a command every field of some options classes as a keyword parameter.

    The command takes them as ``**values``: only what the user gave is in there, so that the
    classes' own defaults, and those of a sample, stay in force. A name that several classes have
    is one parameter, under the first heading, and its help says what it is to each of them.

    Args:
        classes: options classes by the heading under which ``--help`` lists their fields.
        without: fields that the command sets itself.
    """

    def extend(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        hints = typing.get_type_hints(command, include_extras=True)
        own = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in own]
        fields: dict[str, list[tuple[str, dataclasses.Field[Any], Any]]] = {}
        for heading, cls in classes.items():
            for field in dataclasses.fields(cls):
                if field.name not in without:
                    kind = typing.get_type_hints(cls)[field.name]
                    fields.setdefault(field.name, []).append((heading, field, kind))
        added = [_parameter(same) for same in fields.values()]
        command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        return command

    return extend


def split_values(values: Mapping[str, Any], *classes: type) -> list[dict[str, Any]]:
    """Deals the given values out to the classes that have a field of that name."""
    return [
        {
            name: value
            for name, value in values.items()
            if name in {field.name for field in dataclasses.fields(cls)}
        }
        for cls in classes
    ]


def own_values(
    task: str, values: Mapping[str, Any], classes: Mapping[str, tuple[type, ...]]
) -> list[dict[str, Any]]:
    """Returns the values of each options class of a task, and refuses those of another task.

    Args:
        task: of the model.
        values: by option name.
        classes: of each task.
    """
    own = {f.name for cls in classes[task] for f in dataclasses.fields(cls)}
    for other, theirs in classes.items():
        names = {field.name for cls in theirs for field in dataclasses.fields(cls)}
        if foreign := [name for name in values if name in names - own]:
            raise OptionError(
                f"--{foreign[0].replace('_', '-')} is for {other}, and this is a model for {task}; "
                f"leave it out"
            )
    return split_values(values, *classes[task])


def check_overlap(*classes: type) -> None:
    """Refuses, when the program is built, two classes with a field of the same name."""
    names = [field.name for cls in classes for field in dataclasses.fields(cls)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise OptionError(f"options {', '.join(sorted(twice))} stand in two classes")


def _parameter(same: Sequence[tuple[str, dataclasses.Field[Any], Any]]) -> inspect.Parameter:
    """Returns the parameter of a field, or of several of one name, each with heading and type."""
    heading, field, kind = same[0]
    assert all(other == kind for _, _, other in same)
    words = [_help(field)]
    words += [f"{place}: {_help(other)}" for place, other, _ in same[1:]]
    required = field.default is dataclasses.MISSING
    listed = typing.get_origin(_plain(kind)) is tuple
    is_on = _plain(kind) is bool and field.default is not False
    parameter = Parameter(
        help="; ".join(words),
        group=Group(heading),
        required=required,
        consume_multiple=True if listed else None,
        # What is off where nothing is said needs no word to turn it off.
        negative=None if listed or is_on else "",
        show_default=False,
        converter=whole if _plain(kind) is int else None,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else field.default,
        annotation=Annotated[_typed(kind), parameter],
    )


def _help(field: dataclasses.Field[Any]) -> str:
    """Returns the field's phrase with unit, choices, default and source."""
    facts = []
    if field.metadata["unit"]:
        facts.append(f"in {field.metadata['unit']}")
    if field.metadata["choices"]:
        facts.append("one of " + ", ".join(field.metadata["choices"]))
    shown = field.default
    # What is 0 is told, and equals False.
    if not (shown is dataclasses.MISSING or shown is None or shown is False or shown == ()):
        words = " ".join(f"{x:g}" for x in shown) if isinstance(shown, tuple) else f"{shown}"
        facts.append(f"default {words}")
    if field.metadata["source"]:
        facts.append(field.metadata["source"])
    phrase: str = field.metadata["help"]
    return f"{phrase} ({'; '.join(facts)})" if facts else phrase


def _typed(kind: Any) -> Any:
    """Returns what an option is on a command line, where a path is text."""
    return str | None if os.PathLike[str] in typing.get_args(kind) else kind


def _plain(kind: Any) -> Any:
    inner = [k for k in typing.get_args(kind) if k is not type(None)]
    union = len(typing.get_args(kind)) > len(inner)
    return inner[0] if union else kind
