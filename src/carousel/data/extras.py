"""Libraries of optional extras, imported when first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from carousel.errors import MissingDependencyError


def import_extra(module: str, extra: str) -> ModuleType:
    """Imports ``module``, which the extra named ``extra`` installs.

    Raises:
        MissingDependencyError: where it is not installed; the message is the command to run.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).split(".")[0]
        raise MissingDependencyError(
            f"this needs the library {missing!r}, which is not installed; "
            f'run: pip install "carousel-lstm[{extra}]"'
        ) from error
