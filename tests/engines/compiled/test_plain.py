"""The shortest way to the kernel: it takes plain calls only, and gives the engine's numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.parameter import Parameter

from carousel import LSTM, engines
from carousel.engines.compiled.native import FAST_VIEWS
from carousel.engines.compiled.plain import run_plain
from carousel.errors import ShapeError

pytestmark = pytest.mark.skipif(not FAST_VIEWS, reason="this PyTorch offers no views of tensors")

x = torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(0))


def plain(layer: LSTM, input: Any = x, hx: Any = None) -> Any:
    return run_plain(input, hx, layer._parameters, layer.bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("T", "B"), [(1, 1), (1, 2), (1, 3), (5, 1), (4, 7)])
def test_it_gives_the_numbers_of_the_engine(T: int, B: int, bias: bool) -> None:
    layer, strided = LSTM(6, 20, bias=bias), torch.randn(B, T, 6).transpose(0, 1)
    for hx in (None, (torch.randn(1, B, 20), torch.randn(1, B, 20))):
        with torch.no_grad():
            out, state = plain(layer, strided, hx)
            through_layer = layer(strided, hx)
        assert torch.equal(out, through_layer[0])
        assert torch.equal(state.c, through_layer[1].c)
        assert out.data_ptr() != state.h.data_ptr()
        expected, ends = layer(strided, hx)  # under autograd the engine runs
        if T > 1 or B > 2:
            assert torch.equal(out, expected)
            assert torch.equal(state.h, ends.h)
            assert torch.equal(state.c, ends.c)
        else:
            # A sum of 26 terms, each rounded at most 14 times either way, is off by 2 · 14 u of
            # what it would be without signs, which is below 10 here; no gate is steeper than 1.
            bound = 2 * 14 * 2.0**-24 * 10
            assert (out - expected).abs().max() < bound
            assert (state.c - ends.c).abs().max() < 3 * bound  # of three gates


def negative(values: torch.Tensor) -> torch.Tensor:
    turned = torch.complex(torch.zeros_like(values), -values).conj().imag
    assert turned.is_neg()
    assert torch.equal(turned, values)
    return turned


NOT_PLAIN: dict[str, Callable[[LSTM], Any]] = {
    "gradients": lambda layer: torch.enable_grad()(plain)(layer),
    "autocast": lambda layer: torch.autocast("cpu", torch.bfloat16)(plain)(layer),
    "float64": lambda layer: plain(layer, x.double()),
    "float64 weights": lambda layer: plain(layer.double()),
    "two dimensions": lambda layer: plain(layer, x[0]),
    "a wrong width": lambda layer: plain(layer, torch.randn(3, 2, 7)),
    "no step": lambda layer: plain(layer, x[:0]),
    "no row": lambda layer: plain(layer, x[:, :0]),
    "strided features": lambda layer: plain(layer, torch.randn(3, 2, 12)[..., ::2]),
    "a parameter": lambda layer: plain(layer, Parameter(x)),
    "a list": lambda layer: plain(layer, x.tolist()),
    "negative in memory": lambda layer: plain(layer, negative(x)),
    "meta": lambda layer: plain(layer, x.to("meta")),
    "a state of another batch": lambda layer: plain(layer, x, (torch.zeros(1, 3, 20),) * 2),
    "a state of two layers": lambda layer: plain(layer, x, (torch.zeros(2, 2, 20),) * 2),
    "a state in float64": lambda layer: plain(layer, x, (torch.zeros(1, 2, 20).double(),) * 2),
    "three states": lambda layer: plain(layer, x, (torch.zeros(1, 2, 20),) * 3),
    "a strided state": lambda layer: plain(layer, x, (torch.zeros(1, 2, 40)[..., ::2],) * 2),
}


@torch.no_grad()
@pytest.mark.parametrize("name", NOT_PLAIN)
@pytest.mark.parametrize("steps", [1, 3])
def test_it_leaves_every_other_call_alone(name: str, steps: int, monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "x", x[:steps])
    assert NOT_PLAIN[name](LSTM(6, 20)) is None


@torch.no_grad()
def test_it_leaves_transforms_and_other_weights_alone() -> None:
    layer = LSTM(6, 20)
    seen = []
    torch.vmap(lambda v: (seen.append(plain(layer, v)), v)[1])(torch.randn(4, 3, 2, 6))
    assert seen == [None]
    for name in layer._parameters:
        changed = copy.deepcopy(layer)
        changed._parameters[name].data = torch.zeros(2, 2)  # type: ignore[union-attr]
        assert plain(changed) is None, name
    square = LSTM(5, 5)
    square.weight_ih_l0.data = square.weight_ih_l0.data.reshape(5, 20).t()
    assert plain(square, torch.randn(1, 1, 5)) is None
    subclass = copy.deepcopy(layer)
    subclass.weight_hh_l0 = type("Odd", (Parameter,), {})(layer.weight_hh_l0.data)
    assert plain(subclass) is None


@torch.no_grad()
def test_what_the_layer_says_comes_first() -> None:
    layer = LSTM(6, 20)
    with pytest.raises(ShapeError, match="input_size 6"):
        layer(torch.randn(1, 1, 7))
    with pytest.raises(ShapeError, match="h_0: expected shape"):
        layer(x[:1], (torch.zeros(1, 3, 20), torch.zeros(1, 3, 20)))
    # Options may change after construction, and an engine may be asked for.
    whole = layer(x)[0]
    layer.zoneout_h = 0.5
    assert not torch.equal(layer(x)[0], whole)
    layer.zoneout_h = 0.0
    with engines.use("reference"):
        assert not layer._is_plain()
    assert torch.equal(layer(x)[0], whole)
