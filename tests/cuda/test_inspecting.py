"""``carousel.inspect`` of a model on a GPU: the values are those of the same model on the CPU."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.cuda.nearness import CLOSE, assert_near
from torch import Tensor, nn

import carousel
from carousel.inspection.inspection import Inspection

DEVICE = "cuda"
T, B, I, H = 12, 3, 5, 6  # noqa: E741


class Tagger(nn.Module):
    """An embedding, a stack in both directions, a cell in a loop, and a softmax."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, I)
        self.stack = kind(I, H, 2, bidirectional=True)
        self.cell = nn.LSTMCell(2 * H, H)
        self.output = nn.Linear(H, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        x, _ = self.stack(self.embedding(tokens))
        state, found = None, []
        for one in x:
            state = self.cell(one, state)
            found.append(state[0])
        return self.output(torch.stack(found)).log_softmax(-1)


def assert_same_inspection(found: Inspection, wanted: Inspection, share: float = CLOSE) -> None:
    """Compares every value of every layer, the gradients and the attributions."""
    assert list(found.layers) == list(wanted.layers)
    for name, layer in found.layers.items():
        other = wanted.layers[name]
        for letter in ("inputs", "f", "i", "g", "o", "c", "h"):
            assert type(getattr(layer, letter)) is np.ndarray
            assert_near(getattr(layer, letter), getattr(other, letter), share)
        assert (layer.weights is None) is (other.weights is None)
        if layer.weights is not None:
            assert_near(layer.weights.recurrent, other.weights.recurrent, 0.0)
    assert [flow.layer for flow in found.flows] == [flow.layer for flow in wanted.flows]
    for flow, also in zip(found.flows, wanted.flows, strict=True):
        assert_near(flow.of_h, also.of_h, 10 * share)
    for one, another in zip(found.attributions, wanted.attributions, strict=True):
        assert_near(one.values, another.values, 10 * share)


@pytest.mark.parametrize("kind", [nn.LSTM, carousel.LSTM], ids=["torch", "ours"])
@pytest.mark.parametrize("training", [False, True])
def test_a_model_is_seen_as_on_the_cpu(kind: Any, training: bool) -> None:
    model = Tagger(kind).train(training)
    tokens = torch.randint(9, (T, B))
    wanted = carousel.inspect(model, tokens, row=1, flow=True)
    there = copy.deepcopy(model).to(DEVICE)
    found = carousel.inspect(there, tokens.to(DEVICE), row=1, flow=True)
    assert len(found.flows) == 5
    assert_same_inspection(found, wanted)
    assert there.training is training
    assert {p.device.type for p in there.parameters()} == {DEVICE}


@pytest.mark.parametrize("kind", [nn.LSTM, carousel.LSTM], ids=["torch", "ours"])
def test_a_layer_with_features_and_a_state(kind: Any) -> None:
    lstm = kind(I, H, batch_first=True)
    x, hx = torch.randn(B, T, I), (torch.randn(1, B, H), torch.randn(1, B, H))
    wanted = carousel.inspect(lstm, x, hx, flow=True)
    onto = x.to(DEVICE), tuple(part.to(DEVICE) for part in hx)
    found = carousel.inspect(lstm.to(DEVICE), *onto, flow=True)
    assert_same_inspection(found, wanted)
    assert_near(found.axes["input"].values, wanted.axes["input"].values, 0.0)


def test_a_variant_is_seen_too() -> None:
    lstm = carousel.LSTM(I, H, 2, peepholes=True, coupled=True)
    x = torch.randn(T, B, I)
    wanted = carousel.inspect(lstm, x)
    assert_same_inspection(carousel.inspect(lstm.to(DEVICE), x.to(DEVICE)), wanted)
