"""The parts of a model card that read alike whatever the task is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.data.samples import PREFIX, is_sample, samples
from carousel.options import to_dict


def source_line(source: str) -> str:
    """Returns where the data came from, with the credit and licence of a sample."""
    sample = samples().get(source.removeprefix(PREFIX)) if is_sample(source) else None
    if sample is None:
        return f"- source: {source}"
    return f"- source: {source} ({sample['source']}; {sample['licence']})"


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
