"""Which weights decay, and that the state is whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from carousel.training import RunOptions
from carousel.training.learner import Learner, make_optimizer


def updated(learner: Learner, times: int) -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(times):
        for parameter in learner.module.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        learner.update(0.01, learner.gradient_norm())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_matrices_decay_and_biases_do_not(name: str, kind: type) -> None:
    options = RunOptions(max_steps=1, optimizer=name, weight_decay=0.3).complete()
    module = nn.Linear(3, 2)
    optimizer = make_optimizer(list(module.parameters()), options)
    assert type(optimizer) is kind
    decay = {p: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert (decay[module.weight], decay[module.bias]) == (0.3, 0.0)


@pytest.mark.parametrize("values", [{}, {"optimizer": "sgd"}, {"average": 0.9}])
def test_the_state_is_whole(values: dict[str, Any]) -> None:
    options = RunOptions(max_steps=1, **values).complete()
    one, other = (Learner(nn.Linear(3, 2), options) for _ in range(2))
    updated(one, 3)
    one.keep_best()
    kept = {name: tensor.clone() for name, tensor in one.tensors().items()}
    updated(one, 2)
    other.load_tensors(kept)
    updated(other, 2)
    # Both drew the same two gradients again, so everything must be equal but what was kept as best.
    assert one.tensors().keys() == other.tensors().keys()
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, other.tensors()[name]), name


def test_the_gradient_is_clipped_to_its_norm() -> None:
    options = RunOptions(max_steps=1, optimizer="sgd", momentum=0.0, clip_norm=0.5).complete()
    for scale, expected in ((10.0, 0.5), (0.1, 0.1)):
        learner = Learner(nn.Linear(4, 1, bias=False), options)
        weight = learner.module.weight
        before = weight.detach().clone()
        weight.grad = scale * torch.tensor([[0.5, -0.5, 0.5, 0.5]])
        assert learner.gradient_norm() == pytest.approx(scale)
        learner.update(1.0, learner.gradient_norm())
        assert float((before - weight).detach().norm()) == pytest.approx(expected, rel=1e-5)


def test_parameters_that_are_frozen_stay() -> None:
    options = RunOptions(max_steps=1).complete()
    module = nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    learner = Learner(module, options)
    before = module.bias.clone()
    (module(torch.ones(1, 3)) ** 2).sum().backward()
    learner.update(0.1, learner.gradient_norm())
    assert torch.equal(module.bias, before)
    assert [name for name, _ in learner.names_and_weights()] == ["weight"]
