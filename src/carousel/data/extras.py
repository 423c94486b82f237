"""Libraries of optional extras, imported when first needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from carousel.errors import MissingDependencyError


def import_extra(module: str, extra: str | None) -> ModuleType:
    """Imports ``module``, which the extra named ``extra`` installs, or none where that is None.

    Raises:
        MissingDependencyError: where it is not installed; the message is the command to run.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).split(".")[0]
        wanted = missing if extra is None else f'"carousel-lstm[{extra}]"'
        raise MissingDependencyError(
            f"this needs the library {missing!r}, which is not installed; run: pip install {wanted}"
        ) from error
