"""The module that csrc/ is compiled to, or why there is none.

Where no C++ compiler was found the installation succeeds without it, and other engines run.
"""

from __future__ import annotations

__all__ = ["available", "module"]

try:
    import carousel.engines._kernel as module

    available = True
except ImportError:
    module = None  # type: ignore[assignment]
    available = False
