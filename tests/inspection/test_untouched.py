"""A model that was inspected is what it was before, also where its forward pass fails."""

from __future__ import annotations

import contextlib
import copy
import random

import numpy as np
import pytest
import torch

import carousel
from carousel.errors import OptionError
from carousel.inspection.untouched import untouched


class Stateful(torch.nn.Module):
    """Everything that a forward pass should not do, and many do."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.frozen = torch.nn.Dropout(0.5).eval()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("nothing", None)
        self.hidden = None
        self.plain = torch.zeros(2)
        self.history: list[torch.Tensor] = []
        self.memory = {"old": 1}
        self.fails = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output, self.hidden = self.lstm(x, self.hidden)
        self.calls += 1
        self.plain.add_(1)
        self.history.append(output)
        self.memory["new"] = len(self.history)
        self.extra = random.random() + np.random.rand() + float(torch.rand(()))
        self.lstm.note = "called"
        if self.fails:
            raise ValueError("as told")
        assert not torch.is_grad_enabled()
        assert not any(part.training for part in self.modules())
        return self.frozen(self.norm(output[-1]))


def state(model: torch.nn.Module) -> list[object]:
    found: list[object] = []
    for part in model.modules():
        found += [sorted(vars(part)), part.training]
        found += [list(value) for value in vars(part).values() if isinstance(value, dict)]
    found += [copy.deepcopy(model.state_dict()), model.hidden, list(model.history)]
    return [*found, model.memory.copy(), model.plain.clone()]


def equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(equal, one.values(), other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails: bool) -> None:
    model, x = Stateful(), torch.randn(5, 2, 3)
    handle = model.lstm.register_forward_hook(lambda *call: None)
    model.fails = fails
    before = state(model)
    if fails:
        with pytest.raises(ValueError, match="as told"):
            carousel.inspect(model, x)
    else:
        first, again = (carousel.inspect(model, x).layers["lstm.l0"] for _ in range(2))
        assert np.array_equal(first.c, again.c)
    assert equal(before, state(model))
    assert list(model.lstm._forward_hooks) == [handle.id]
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("fails", [False, True])
def test_random_generators_go_on_where_they_were(fails: bool) -> None:
    model, x = Stateful(), torch.randn(5, 2, 3)
    model.fails = fails
    draws = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    # Not through ``inspect``: what checks its arguments in tests draws from Python's generator.
    with contextlib.suppress(ValueError), untouched(model):
        model(x)
    assert random.getstate() == draws[0]
    assert np.array_equal(np.random.get_state()[1], draws[1])
    assert torch.equal(torch.get_rng_state(), draws[2])


def test_a_model_in_evaluation_stays_there() -> None:
    model = Stateful().eval()
    model.norm.train()
    carousel.inspect(model, torch.randn(5, 2, 3))
    assert [part.training for part in model.modules()] == [False, False, True, False]


def test_modes_are_set_without_the_models_own_eval() -> None:
    class Merging(torch.nn.LSTM):
        def train(self, mode: bool = True) -> Merging:
            raise AssertionError("some models change their weights here")

    carousel.inspect(Merging(3, 4), torch.randn(5, 2, 3))


def test_weights_that_are_not_made_yet() -> None:
    model = torch.nn.Sequential(torch.nn.LazyLinear(3), torch.nn.LSTM(3, 4))
    with pytest.raises(OptionError, match="LazyLinear makes them at its first call"):
        carousel.inspect(model, torch.randn(5, 2, 7))
    model(torch.randn(5, 2, 7))
    assert len(carousel.inspect(model, torch.randn(5, 2, 7)).layers) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_scripted_part() -> None:
    model = torch.nn.Sequential(torch.jit.script(torch.nn.Dropout(0.5)))
    with untouched(model):
        assert not model[0].training
    assert model[0].training


class Odd(torch.nn.Module):
    """Buffers that cannot be written as others are, in a part that is put back before the rest."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([torch.nan, 1.0])[:, None].expand(2, 5))
        with torch.inference_mode():
            self.register_buffer("made", torch.zeros(3))
        self.drop = torch.nn.Dropout()
        self.lstm = torch.nn.LSTM(3, 4)
        self.writes = writes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.writes:
            self.mask.narrow(1, 0, 1).add_(1)
            with torch.inference_mode():
                self.made.add_(1)
        return self.lstm(self.drop(x))[0]


@pytest.mark.parametrize("writes", [False, True])
def test_buffers_of_odd_kinds_are_put_back(writes: bool) -> None:
    model = Odd(writes).train()
    with untouched(model):
        model(torch.zeros(5, 1, 3))
    assert all(part.training for part in model.modules())
    assert model.mask[1].tolist() == [1.0] * 5
    assert model.mask[0].isnan().all()
    assert model.made.tolist() == [0.0] * 3


def test_what_cannot_be_put_back_keeps_nothing_else_from_it() -> None:
    model = torch.nn.Sequential(Stateful(), torch.nn.Dropout())
    with pytest.raises(RuntimeError), untouched(model):
        model[0].plain.resize_(7)
    assert model[0].training
    assert model[1].training
