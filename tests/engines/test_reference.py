"""What only the reference can: second derivatives, torch.func, resets and traces together."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, grad, jacrev, vmap

import carousel.nn
from carousel import engines
from carousel.engines.reference import step
from carousel.equations import from_packed
from carousel.equations import step as textbook_step
from layer_runs import problem
from numerical_bounds import violations

I, H, B, T = 2, 3, 2, 3  # noqa: E741


def test_step_is_the_textbooks() -> None:
    given = problem(1, B, I, H)
    weight_ih, weight_hh, bias_ih, bias_hh = given.parameters.values()
    x, h, c = given.inputs[0], given.h_0[0], given.c_0[0]
    now = step(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh, c)
    expected = textbook_step(x, h, c, from_packed(weight_ih, weight_hh, bias_ih, bias_hh))
    for one, other in [
        (now.i, expected.i),
        (now.f, expected.f),
        (now.g, expected.C_tilde),
        (now.o, expected.o),
        (now.c, expected.C),
        (now.h, expected.h),
    ]:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


def test_a_projection_is_applied_to_h_only() -> None:
    pre, c = torch.randn(B, 4 * H), torch.randn(B, H)
    weight_hr = torch.randn(2, H)
    plain, projected = step(pre, c), step(pre, c, weight_hr)
    assert torch.equal(projected.h, plain.h @ weight_hr.T)
    assert all(map(torch.equal, projected[:5], plain[:5]))


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "proj_size": 2}])
def test_derivatives_of_first_and_second_order(options: dict) -> None:
    given = problem(T, B, I, H, **options)
    layer = given.ours("reference")
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[1, 0] = True
    names = list(given.parameters)

    def run(inputs: torch.Tensor, h: torch.Tensor, c: torch.Tensor, *weights: torch.Tensor):
        named = dict(zip(names, weights, strict=True))
        call = {"lengths": [3, 2], "reset": reset}
        output, state = functional_call(layer, named, (inputs, (h, c)), call)
        return output, *state

    tensors = [given.inputs, given.h_0, given.c_0, *given.parameters.values()]
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(run, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, tensors, fast_mode=True)


@pytest.mark.parametrize("ragged", [False, True])
def test_per_sample_gradients(ragged: bool) -> None:
    layer = carousel.nn.LSTM(I, H, 2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(T, 4, I, dtype=torch.float64)
    lengths = torch.tensor([3, 0, 2, 1]) if ragged else torch.full((4,), T)
    weights = {name: value.detach() for name, value in layer.named_parameters()}

    def loss(weights: dict, one: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        call = {"lengths": length[None]} if ragged else {}
        output, state = functional_call(layer, weights, (one[:, None],), call)
        return output.square().sum() + state.c.sum()

    together = vmap(grad(loss), in_dims=(None, 1, 0))(weights, x, lengths)
    for row in range(4):
        alone = grad(loss)(weights, x[:, row], lengths[row])
        for name, gradient in together.items():
            torch.testing.assert_close(gradient[row], alone[name], rtol=0, atol=1e-13)


def test_jacobian_is_causal() -> None:
    layer = carousel.nn.LSTM(I, H, dtype=torch.float64)
    jacobian = jacrev(lambda x: layer(x)[0])(torch.randn(T, I, dtype=torch.float64))
    assert jacobian.shape == (T, H, T, I)
    for t in range(T):
        assert jacobian[t, :, : t + 1].all()
        assert not jacobian[t, :, t + 1 :].any()


def test_the_state_carries_on_where_it_stopped() -> None:
    given = problem(6, B, I, H, num_layers=2, proj_size=2)
    layer = given.ours("reference")
    whole, end = layer(given.inputs, (given.h_0, given.c_0))
    first, state = layer(given.inputs[:2], (given.h_0, given.c_0))
    rest, last = layer(given.inputs[2:], state)
    pieces = {"output": torch.cat([first, rest]), "h_n": last.h, "c_n": last.c}
    found = {name: value for name, value in given.analysed().items() if name in pieces}
    assert not violations(found, {"output": whole, "h_n": end.h, "c_n": end.c}, pieces)


def test_it_supports_everything() -> None:
    engine = engines.reference.ReferenceEngine()
    options = engines.EngineOptions(trace=True, reset=torch.zeros(1, 1, dtype=torch.bool))
    assert engine.unavailable() is None
    assert engine.supports(torch.zeros(1, 1, 1), (), options) is None
