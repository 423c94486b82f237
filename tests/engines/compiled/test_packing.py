"""Packed weights follow every change of the weights, counted by PyTorch or not."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable

import pytest
import torch

from carousel.engines.compiled import packing
from carousel.nn import LSTM

pytest.importorskip("carousel.engines._kernel", reason="installed where nothing could be compiled")


def by_version(layer: LSTM) -> None:
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)


def behind_its_back(layer: LSTM) -> None:
    layer.weight_hh_l0.data.mul_(2)


def one_number_through_numpy(layer: LSTM) -> None:
    layer.weight_ih_l0.detach().numpy()[-1, -1] += 1


def a_bias(layer: LSTM) -> None:
    layer.bias_hh_l0.data[3] = 1


def other_memory(layer: LSTM) -> None:
    layer.weight_hh_l0.data = torch.zeros_like(layer.weight_hh_l0)


def another_parameter(layer: LSTM) -> None:
    layer.weight_ih_l0 = torch.nn.Parameter(torch.zeros_like(layer.weight_ih_l0))


def another_state(layer: LSTM) -> None:
    layer.load_state_dict(LSTM(layer.input_size, layer.hidden_size).state_dict())


CHANGES = [
    by_version, behind_its_back, one_number_through_numpy, a_bias, other_memory, another_parameter,
    another_state,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_change_is_seen(change: Callable[[LSTM], None], calls: int) -> None:
    layer, x = LSTM(5, 20, engine="compiled"), torch.randn(3, 2, 5)
    for _ in range(calls):
        with torch.no_grad():
            before, _ = layer(x)
    change(layer)
    with torch.no_grad():
        after, _ = layer(x)
    fresh = LSTM(5, 20, engine="compiled")
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(after, fresh(x)[0])
    assert not torch.equal(after, before)


@pytest.mark.parametrize("factor", [-1.0, 0.5, 2.0])
def test_weights_that_all_change_alike_are_seen(factor: float) -> None:
    layer, x = LSTM(64, 64), torch.randn(5, 3, 64)
    with torch.no_grad():
        for _ in range(3):
            before = layer(x)[0]
        layer.weight_ih_l0.data.mul_(factor)  # which PyTorch does not count
        after = layer(x)[0]
        assert not torch.equal(before, after)
        assert torch.equal(after, copy.deepcopy(layer)(x)[0])


def test_unchanged_weights_are_packed_once() -> None:
    layer, x = LSTM(5, 20, engine="compiled"), torch.randn(3, 2, 5)
    kept = []
    with torch.no_grad():
        for _ in range(4):
            layer(x)
            kept.append(packing._entries[layer.weight_hh_l0].packed)
    assert kept[1] is kept[2] is kept[3]


def test_what_was_packed_goes_with_its_weights_and_training_keeps_nothing() -> None:
    gc.collect()  # what other tests left goes now, not meanwhile
    before = len(packing._entries)
    layer, x = LSTM(5, 20, engine="compiled"), torch.randn(3, 2, 5)
    layer(x)[0].sum().backward()
    assert len(packing._entries) == before
    with torch.no_grad():
        layer(x)
    assert len(packing._entries) == before + 1
    del layer
    gc.collect()
    assert len(packing._entries) == before
