"""How near numbers have to be that were computed on two devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# Of sums of some hundred terms in float32, each rounded by 2^-24, over some dozen steps.
CLOSE = 1e-5
# Gradients of stacked layers by cuDNN; on an H200 4.5e-5 was seen, in PyTorch's layer as in ours.
CLOSE_GRADIENTS = 1e-4
# The same kernel on the same device, but for the order of its sums.
SAME = 1e-6


def assert_near(found: Any, wanted: Any, share: float = CLOSE) -> None:
    """Compares arrays or tensors wherever they are, by a share of the largest number, or of 1."""
    one, other = _array(found), _array(wanted)
    assert one.shape == other.shape
    if not other.size:
        return
    assert np.array_equal(np.isnan(one), np.isnan(other))
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    worst = float(np.abs(one - other).max())
    assert worst <= share * max(1.0, float(np.abs(other).max())), f"they differ by {worst:.3g}"


def assert_all_near(found: dict[str, Any], wanted: dict[str, Any], share: float = CLOSE) -> None:
    """Compares what has the same names."""
    assert list(found) == list(wanted)
    for name, value in found.items():
        assert_near(value, wanted[name], share)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
    return np.asarray(values, np.float64)
