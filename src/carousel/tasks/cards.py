"""The part of a model card that reads alike whatever the task is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.options import to_dict


def option_lines(options: Any, run: Mapping[str, Any]) -> list[str]:
    """Returns the section that lists every option, Markdown, to the card's end.

    Args:
        options: the task's options object.
        run: what decided the training run, by name.
    """
    return [
        "## Options",
        "",
        "| option | value |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in to_dict(options).items()),
        *(f"| run: {name} | {_cell(value)} |" for name, value in run.items()),
        "",
    ]


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return "none" if value is None else str(value).replace("|", "\\|")
