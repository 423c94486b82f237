"""Loading of a saved model without knowing its task."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from carousel.errors import ModelError, unknown_name
from carousel.tasks.model_folder import ModelFolder

# Task name: the module and the class that loads it.
TASKS = {
    "forecasting": ("carousel.tasks.forecasting", "Forecaster"),
    "language-modeling": ("carousel.tasks.language_modeling", "LanguageModel"),
}


def load(folder: str | Path) -> Any:
    """Loads a saved model of any task.

    Args:
        folder: what ``save`` or ``carousel fit`` wrote.

    Returns:
        The task's own class, such as ``Forecaster``.

    Raises:
        ModelError: where it is missing, damaged, of an unknown task or of a newer version.
    """
    found = ModelFolder.read(folder)
    if found.task not in TASKS:
        raise ModelError(
            f"{folder}: {unknown_name('task', found.task, TASKS)}; upgrade carousel-lstm"
        )
    module, name = TASKS[found.task]
    return getattr(importlib.import_module(module), name).from_folder(found)
