"""Loading of a saved model without knowing its task."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from carousel.errors import ModelError, unknown_name
from carousel.tasks.model_folder import ModelFolder, read_config

# Task name: the module and the class that loads it.
TASKS = {
    "forecasting": ("carousel.tasks.forecasting", "Forecaster"),
    "language-modeling": ("carousel.tasks.language_modeling", "LanguageModel"),
    "translation": ("carousel.tasks.translation", "Translator"),
    "speech-recognition": ("carousel.tasks.speech_recognition", "Recognizer"),
}


def task_of(folder: str | Path) -> str:
    """Returns the task of a saved model, one of ``TASKS``; raises what ``load`` does."""
    task: str = read_config(Path(folder))["task"]
    if task not in TASKS:
        raise ModelError(f"{folder}: {unknown_name('task', task, TASKS)}; upgrade carousel-lstm")
    return task


def load(folder: str | Path) -> Any:
    """Loads a saved model of any task.

    Args:
        folder: what ``save`` or ``carousel fit`` wrote.

    Returns:
        The task's own class, such as ``Forecaster``.

    Raises:
        ModelError: where it is missing, damaged, of an unknown task or of a newer version.
    """
    module, name = TASKS[task_of(folder)]
    found = ModelFolder.read(folder)
    return getattr(importlib.import_module(module), name).from_folder(found)
