"""Carousel: the LSTM, end to end. This is the table of contents; each name is loaded on first use.

Importing the package loads none of it, not even PyTorch (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carousel import (
        data,
        engines,
        equations,
        errors,
        export,
        inspection,
        nn,
        options,
        tasks,
        training,
    )
    from carousel.export import export_onnx
    from carousel.inspection import inspect
    from carousel.nn import LSTM, LSTMCell, State, Trace, replace_lstm, restore_lstm, to_torch
    from carousel.tasks import load
    from carousel.tasks.forecasting import Forecaster
    from carousel.tasks.language_modeling import LanguageModel
    from carousel.tasks.speech_recognition import Recognizer
    from carousel.tasks.translation import Translator
    from carousel.training import RunOptions

    __version__: str

__all__ = [
    "LSTM",
    "Forecaster",
    "LSTMCell",
    "LanguageModel",
    "Recognizer",
    "RunOptions",
    "State",
    "Trace",
    "Translator",
    "__version__",
    "data",
    "engines",
    "equations",
    "errors",
    "export",
    "export_onnx",
    "inspect",
    "inspection",
    "load",
    "nn",
    "options",
    "replace_lstm",
    "restore_lstm",
    "tasks",
    "to_torch",
    "training",
]

_HOME = {
    "LSTM": "carousel.nn",
    "LSTMCell": "carousel.nn",
    "State": "carousel.nn",
    "Trace": "carousel.nn",
    "replace_lstm": "carousel.nn",
    "restore_lstm": "carousel.nn",
    "to_torch": "carousel.nn",
    "export_onnx": "carousel.export",
    "inspect": "carousel.inspection",
    "RunOptions": "carousel.training",
    "Forecaster": "carousel.tasks.forecasting",
    "LanguageModel": "carousel.tasks.language_modeling",
    "Translator": "carousel.tasks.translation",
    "Recognizer": "carousel.tasks.speech_recognition",
    "load": "carousel.tasks",
}


def __getattr__(name: str) -> Any:
    """Loads a public name where it lives, and keeps it, so that this runs once a name."""
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("carousel-lstm")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in __all__:
        value = importlib.import_module(f"carousel.{name}")
    else:
        raise AttributeError(f"module 'carousel' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
