"""The module that csrc/ is compiled to, or why there is none, and when it may be called.

Where no C++ compiler was found the installation succeeds without it, and other engines run.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FAST_VIEWS", "available", "module", "nobody_watches"]

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

_tracing, _dispatch_modes = torch._C._get_tracing_state, torch._C._len_torch_dispatch_stack
_function_modes = torch._C._is_torch_function_mode_enabled


def nobody_watches() -> bool:
    """Returns whether addresses may be taken: nothing traces, transforms or intercepts calls."""
    return not (
        torch.compiler.is_compiling()
        or _tracing() is not None
        or _dispatch_modes() > 0
        or _function_modes()
    )
