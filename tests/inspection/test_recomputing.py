"""Gates that are computed again are those of the module, of every variant and dtype."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tests.inspection.equation_runs import assert_each_step, assert_values, stack_by_equations
from torch.nn.utils import parametrizations, weight_norm

import carousel
from carousel.engines import EngineOptions, State
from carousel.errors import OptionError
from carousel.inspection.recomputing import follows_textbook, layer_on, weights_of
from variant_runs import CLOSE, Call, by_hand

T, B, I, H = 6, 3, 4, 5  # noqa: E741

VARIANTS: dict[str, dict[str, Any]] = {
    "peepholes": {"peepholes": True, "num_layers": 2, "bidirectional": True},
    "coupled": {"coupled": True},
    "coupled with peepholes": {"coupled": True, "peepholes": True, "bias": False},
    "clipped": {"cell_clip": 0.1, "bidirectional": True},
    "zoneout": {"zoneout_h": 0.2, "zoneout_c": 0.4},
    "recurrent dropout": {"recurrent_dropout": 0.5, "weight_dropout": 0.5},
    "projection": {"proj_size": 2, "num_layers": 2, "bidirectional": True},
}


@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str, ragged: bool) -> None:
    lstm = carousel.LSTM(I, H, **VARIANTS[name], dtype=torch.float64)
    D, P = 2 if lstm.bidirectional else 1, lstm.proj_size or H
    K = lstm.num_layers * D
    x = torch.randn(T, B, I, dtype=torch.float64)
    hx = State(torch.randn(K, B, P).double(), torch.randn(K, B, H).double())
    lengths = torch.tensor([4, 6, 1]) if ragged else None
    reset = torch.rand(T, B) < 0.3 if ragged else None
    options = EngineOptions(
        bidirectional=lstm.bidirectional, variant=lstm._variant, lengths=lengths, reset=reset
    )
    expected = by_hand(Call(x, hx, lstm._weights(), options, ()))[3]
    for row in range(B):
        end = int(lengths[row]) if lengths is not None else T
        seen = carousel.inspect(lstm, x, hx, lengths=lengths, reset=reset, row=row)
        for layer, values in zip(seen.layers.values(), expected, strict=True):
            for letter, value in values.items():
                found = torch.from_numpy(getattr(layer, letter).copy()).double()
                torch.testing.assert_close(
                    found, value[:end, row].detach(), rtol=2**-24, atol=CLOSE["atol"]
                )
            textbook = name == "recurrent dropout" and not ragged
            assert textbook <= (layer.weights is not None)
            if name not in ("recurrent dropout", "clipped"):
                assert layer.weights is None


def test_a_state_that_is_zeroed_before_the_first_step() -> None:
    lstm = carousel.LSTM(I, H, bidirectional=True, dtype=torch.float64)
    x, hx = torch.randn(T, I).double(), (torch.randn(2, H).double(), torch.randn(2, H).double())
    reset = torch.arange(T) == 0
    seen = carousel.inspect(lstm, x, hx, reset=reset)
    zeroed = tuple(part * torch.tensor([[0.0], [1.0]]) for part in hx)
    for suffix, values in stack_by_equations(lstm, x, zeroed).items():
        assert_values(seen.layers[suffix], values)
        assert_each_step(seen.layers[suffix])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projection_of_torch() -> None:
    lstm = torch.nn.LSTM(I, H, 2, proj_size=3, bidirectional=True)
    x = torch.randn(T, B, I)
    seen = carousel.inspect(lstm, x, row=1)
    output, _ = lstm(x)
    both = np.concatenate([seen.layers["l1"].h, seen.layers["l1_reverse"].h], 1)
    # Sums of at most 14 terms below 1/2 in both, over few steps: far below 2^-16.
    np.testing.assert_allclose(both, output[:, 1].detach(), rtol=0, atol=2**-16)
    assert seen.layers["l1"].weights is None
    assert seen.layers["l1"].c.shape == (T, H)


def test_a_layer_that_was_replaced() -> None:
    model = torch.nn.Sequential(torch.nn.LSTM(I, H, bidirectional=True, dtype=torch.float64))
    x = torch.randn(T, B, I, dtype=torch.float64)
    carousel.replace_lstm(model)
    seen = carousel.inspect(model, x, row=2)
    for suffix, values in stack_by_equations(model[0], x[:, 2]).items():
        assert_values(seen.layers[f"0.{suffix}"], values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("cell", [False, True], ids=["layer", "cells"])
def test_every_dtype_is_seen_in_float32(dtype: torch.dtype, cell: bool) -> None:
    class Loop(torch.nn.LSTMCell):
        """Not a subclass with other equations: what calls it loops."""

    module = Loop(I, H, dtype=dtype) if cell else torch.nn.LSTM(I, H, dtype=dtype)
    x = torch.randn(T, B, I).to(dtype)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = module

        def forward(self, x: torch.Tensor) -> None:
            if not cell:
                self.lstm(x)
                return
            state = None
            for x_t in x:
                state = self.lstm(x_t, state)

    (layer,) = carousel.inspect(Model(), x, row=1).layers.values()
    assert len(layer) == T
    assert_each_step(layer)
    weights = weights_of(module)
    assert layer.weights is not None
    assert np.array_equal(layer.weights.recurrent, weights["weight_hh_l0"].float())
    assert np.array_equal(layer.inputs, x[:, 1].float())


def test_autocast() -> None:
    """The model rounds to bfloat16, which is allowed for; what is seen is computed without."""
    cell, x = torch.nn.LSTMCell(I, H), torch.randn(B, I)
    expected = carousel.inspect(cell, x).layers["cell"]
    with torch.autocast("cpu", torch.bfloat16):
        seen = carousel.inspect(cell, x).layers["cell"]
    assert np.array_equal(seen.h, expected.h)


def test_nothing_is_copied() -> None:
    lstm = torch.nn.LSTM(I, H, 2, bidirectional=True)
    layer = layer_on(lstm, weights_of(lstm))
    for name, parameter in lstm.named_parameters():
        assert getattr(layer, name).data_ptr() == parameter.data_ptr()
    assert not layer.training
    assert list(layer.parameters()) == []


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("norm", [weight_norm, parametrizations.weight_norm], ids=["old", "new"])
def test_weights_that_are_computed(norm: Any) -> None:
    lstm = torch.nn.LSTM(I, H, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    norm(lstm, "weight_hh_l0")
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(3)
    lstm(x)
    seen = carousel.inspect(lstm, x, row=1)
    assert_values(seen.layers["l0"], stack_by_equations(lstm, x[:, 1])["l0"])


class Doubled(torch.nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(2 * input, hx)


class WithoutState(torch.nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx)[0]


class OtherArguments(torch.nn.LSTMCell):
    def forward(self, input: Any, hx: Any = None, context: Any = None) -> Any:
        return super().forward(input, hx)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_subclass_with_other_equations_is_refused(dtype: torch.dtype) -> None:
    model = torch.nn.Sequential(Doubled(I, H, dtype=dtype))
    words = r"output of 0 \(Doubled\) differs by .* allowed, half the digits"
    with pytest.raises(OptionError, match=words):
        carousel.inspect(model, torch.randn(T, B, I).to(dtype))


def test_subclasses_that_take_or_return_something_else() -> None:
    with pytest.raises(OptionError, match="expected WithoutState to be called"):
        carousel.inspect(WithoutState(I, H), torch.randn(T, B, I))
    cell = OtherArguments(I, H)
    with pytest.raises(OptionError, match="expected OtherArguments to be called"):
        carousel.inspect(cell, torch.randn(B, I), context=1)
    assert list(carousel.inspect(cell, torch.randn(B, I)).layers) == ["cell"]


def test_one_that_is_refused_can_be_left_out() -> None:
    model = torch.nn.ModuleDict({"odd": Doubled(I, H), "plain": torch.nn.LSTM(I, H)})
    model.forward = lambda x: (model["odd"](x), model["plain"](x))  # type: ignore[method-assign]
    x = torch.randn(T, B, I)
    with pytest.raises(OptionError, match="odd"):
        carousel.inspect(model, x)
    assert list(carousel.inspect(model, x, layers="plain").layers) == ["plain.l0"]


def test_a_model_that_says_nan_is_seen() -> None:
    lstm, x = torch.nn.LSTM(I, H), torch.randn(T, B, I)
    x[3, 1, 0] = torch.nan
    layer = carousel.inspect(lstm, x, row=1).layers["l0"]
    assert np.isnan(layer.c[3:]).all()
    assert not np.isnan(layer.c[:3]).any()


@pytest.mark.parametrize("letter", ["f", "i", "g", "o", "c", "h", "before_h", "before_c", "inputs"])
def test_a_number_that_is_off_is_noticed(letter: str) -> None:
    lstm, x = torch.nn.LSTM(I, H), torch.randn(T, B, I)
    layer = carousel.inspect(lstm, x, row=1).layers["l0"]
    weights = layer.weights
    assert weights is not None
    assert follows_textbook(layer, weights)
    wrong = getattr(layer, letter).copy()
    wrong.flat[-1] += 0.001
    assert not follows_textbook(dataclasses.replace(layer, **{letter: wrong}), weights)
