"""What the tests of a GPU share: float32 is float32 there too, and without a GPU they are skipped.

By default PyTorch lets cuDNN round the factors of products to 11 bits (TF32).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def gpu() -> None:
    """What these tests are about."""
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no NVIDIA GPU")


@pytest.fixture(autouse=True)
def whole_digits() -> Iterator[None]:
    """No TF32 while a test runs."""
    before = _set_tf32(False)
    yield
    _set_tf32(before)


def _set_tf32(allowed: bool) -> bool:
    """Allows TF32 in cuDNN or forbids it; returns what held before."""
    with warnings.catch_warnings():  # newer versions of PyTorch have a newer switch beside this one
        warnings.simplefilter("ignore")
        before: bool = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = allowed
    return before
