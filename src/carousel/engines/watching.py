"""Who watches a call: what of PyTorch traces, transforms or intercepts it.

PyTorch has no public way to ask most of this; what it has instead is asked here and nowhere else.
"""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

# Looked up once: a step of a small layer takes as long as a few hundred look-ups.
_func_level = torch._C._functorch.maybe_current_level
_tracing, _dispatch_modes = torch._C._get_tracing_state, torch._C._len_torch_dispatch_stack
_function_modes = torch._C._is_torch_function_mode_enabled


def transformed() -> bool:
    """Returns whether a ``torch.func`` transform is active."""
    return _func_level() is not None


def forward_mode() -> bool:
    """Returns whether forward-mode derivatives may be asked for."""
    return forward_ad._current_level >= 0


def nobody_watches() -> bool:
    """Returns whether addresses may be taken: nothing traces or intercepts calls."""
    return not (
        torch.compiler.is_compiling()
        or _tracing() is not None
        or _dispatch_modes() > 0
        or _function_modes()
    )
