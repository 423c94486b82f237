"""The module that csrc/ is compiled to, or why there is none.

Where no C++ compiler was found the installation succeeds without it, and other engines run.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["FAST_VIEWS", "available", "module"]

try:
    import carousel.engines._kernel as module

    available = True
except ImportError:
    module = None  # type: ignore[assignment]
    available = False

# Whether the module can look at tensors themselves, by DLPack's C exchange API, which PyTorch
# offers from 2.10 on. Without it they are handed over as addresses, microseconds later.
_exchange = getattr(Tensor, "__dlpack_c_exchange_api__", None)
FAST_VIEWS: bool = available and _exchange is not None and module.use_exchange(_exchange)
