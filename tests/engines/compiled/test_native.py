"""The native module as a guest in PyTorch's threads: what it does to how they compute."""

from __future__ import annotations

import platform

import pytest
import torch

from carousel.engines.compiled.native import available
from carousel.nn import LSTM

pytestmark = pytest.mark.skipif(not available, reason="there is no compiled kernel")
LEAST = torch.finfo(torch.float32).tiny  # 1.2e-38, below which numbers have fewer digits


def denormal(x: torch.Tensor) -> torch.Tensor:
    return (x != 0) & (x.abs() < LEAST)


@pytest.mark.parametrize("threads", [1, 2])
def test_gates_that_are_shut_make_no_number_that_is_slow(threads: int) -> None:
    """A multiply-add that meets a denormal number takes some hundred cycles."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("only x86-64 is told to take them for zeros")
    torch.manual_seed(0)
    layer, other = (LSTM(8, 32, engine=engine) for engine in ("compiled", "reference"))
    with torch.no_grad():
        layer.bias_ih_l0[96:] = -88.0  # of the output gate
    other.load_state_dict(layer.state_dict())
    given = torch.randn(30, 12, 8)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out, expected = layer(given)[0], other(given)[0]
        (out * 1e-3).sum().backward()
        # What others compute in these threads is as it was.
        beside = torch.full((1 << 20,), LEAST) * 0.5
    finally:
        torch.set_num_threads(before)
    assert denormal(expected).any()
    assert not denormal(out).any()
    assert (out - expected).abs().max() <= 2 * LEAST
    assert all(not denormal(weight.grad).any() for weight in layer.parameters())
    assert denormal(beside).all()
