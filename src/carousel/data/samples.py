"""Real data that ships with the package, so that everything runs offline: ``sample:NAME``."""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

from carousel.data.reading import read_table
from carousel.data.tables import Table
from carousel.errors import DataError, unknown_name

PREFIX = "sample:"


@functools.cache
def samples() -> dict[str, dict[str, Any]]:
    """Returns what ships: for each name its file, task, column roles, licence and source."""
    index = resources.files("carousel.data").joinpath("sample_files/index.json")
    found: dict[str, dict[str, Any]] = json.loads(index.read_text(encoding="utf-8"))
    return found


def is_sample(data: Any) -> bool:
    """Says whether ``data`` is the name of a sample, ``sample:NAME``."""
    return isinstance(data, str) and data.startswith(PREFIX)


def sample_path(name: str, task: str) -> Path:
    """Returns the path of the sample ``sample:NAME``.

    Args:
        name: with its prefix.
        task: what it is wanted for; a sample for another task is refused.

    Raises:
        DataError: for an unknown name, or a sample for another task.
    """
    entry = _entry(name, task)
    with resources.as_file(
        resources.files("carousel.data").joinpath("sample_files", entry["file"])
    ) as p:
        return p


def sample_table(name: str, task: str) -> Table:
    """Returns a sample that is a table."""
    return read_table(sample_path(name, task))


def sample_options(name: str, task: str) -> dict[str, Any]:
    """Returns the option values that fit a sample, such as the roles of its columns."""
    return dict(_entry(name, task)["options"])


def with_sample(data: Any, task: str, given: dict[str, Any]) -> dict[str, Any]:
    """Returns option values for some data: what is given outranks what a sample says of itself.

    Args:
        data: as the task takes it.
        task: what it is for.
        given: option values by name.
    """
    return {**sample_options(data, task), **given} if is_sample(data) else dict(given)


def _entry(name: str, task: str) -> dict[str, Any]:
    fitting = {PREFIX + key: entry for key, entry in samples().items() if entry["task"] == task}
    if name not in fitting:
        raise DataError(unknown_name(f"sample for {task}", name, fitting))
    return fitting[name]
