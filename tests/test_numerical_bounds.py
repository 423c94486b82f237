"""The bound is true where an engine meets the bare activation, and tight enough to catch a bug."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import torch

import carousel.nn
from layer_runs import numbers, problem
from numerical_bounds import (
    ACTIVATION_ERROR,
    SIGMOID_CURVATURE,
    TANH_CURVATURE,
    UNIT_ROUNDOFF,
    Arithmetic,
    exact,
    ratios,
    violations,
)

DTYPES = [torch.float32, torch.float64]
ENGINES = ["pytorch", "reference"]


def activations(engine: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns σ(x) and tanh(x) as an engine computes them, seen through a cell with open gates."""
    cell = carousel.nn.LSTM(1, 1, dtype=x.dtype, engine=engine)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih_l0[1] = 100.0  # f = 1 keeps c_0
        cell.bias_ih_l0[0] = -100.0  # i = 0 writes nothing
        cell.weight_ih_l0[3] = 1.0
        one = torch.ones_like(x)[None, :, None]
        _, open_output = cell(100 * one, (0 * one, x[None, :, None]))
        _, full_memory = cell(x[None, :, None], (0 * one, 100 * one))
    return full_memory.h.flatten(), open_output.h.flatten()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_are_as_exact_as_the_analysis_takes_them(
    engine: str, dtype: torch.dtype
) -> None:
    if numpy.finfo(numpy.longdouble).eps >= numpy.finfo(numpy.float64).eps:
        pytest.skip("no number type here is finer than float64")
    spread = torch.cat([torch.linspace(-30, 30, 40_001), torch.linspace(-1, 1, 40_001)])
    x = torch.cat([spread, torch.logspace(-9, 1, 20_001)]).to(dtype)
    sigmoid, tanh = activations(engine, x)
    precise = x.numpy().astype(numpy.longdouble)
    allowed = ACTIVATION_ERROR * UNIT_ROUNDOFF[dtype]
    assert abs(sigmoid.numpy() - 1 / (1 + numpy.exp(-precise))).max() <= allowed
    assert abs(tanh.numpy() - numpy.tanh(precise)).max() <= allowed


def test_curvatures_are_the_largest_second_derivatives() -> None:
    x = torch.linspace(-5, 5, 100_001, dtype=torch.float64)
    s, g = torch.sigmoid(x), torch.tanh(x)
    assert float((s * (1 - s) * (1 - 2 * s)).abs().max()) == pytest.approx(SIGMOID_CURVATURE)
    assert float((2 * g * (1 - g * g)).abs().max()) == pytest.approx(TANH_CURVATURE)


def test_sums_and_products_in_low_precision_stay_inside_their_rules() -> None:
    u = 2.0**-8  # bfloat16 rounds coarsely enough to come near the bound
    rules = Arithmetic(u)
    a, b = (torch.rand(200, 30).bfloat16() for _ in range(2))
    one, other = exact(a), exact(b)
    total = torch.zeros(200, dtype=torch.bfloat16)
    for k in range(30):
        total = total + a[:, k] * b[:, k]
    columns = rules.sum(*(rules.product(one[:, k], other[:, k]) for k in range(30)))
    share = (total.double() - columns.value).abs() / columns.error
    assert 0.01 < float(share.max()) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
def test_weights_off_by_one_part_in_ten_thousand_are_caught(
    dtype: torch.dtype, options: dict
) -> None:
    given = problem(5, 3, 3, 7, dtype=dtype, **options)
    wrong = given.theirs()
    with torch.no_grad():
        for parameter in wrong.parameters():
            parameter.add_(1e-4)
    found = given.analysed()
    caught = violations(found, numbers(wrong, given)).keys()
    assert {"output", "h_n", "c_n"} <= caught
    # In float32 a change of 1e-4 is some 1700 roundings, and the bound of a gradient through two
    # layers and all steps is nearly as wide: most gradients show it there, all of them in float64.
    assert len(caught) >= (0.8 if dtype == torch.float32 else 1) * len(found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "weight_hh_l1"])
def test_one_wrong_weight_of_many_is_caught(dtype: torch.dtype, name: str) -> None:
    given = problem(5, 3, 3, 7, dtype=dtype, num_layers=2)
    wrong = given.theirs()
    with torch.no_grad():
        getattr(wrong, name).view(-1)[10] += 1e-3
    assert "output" in violations(given.analysed(), numbers(wrong, given))


@pytest.mark.parametrize("dtype", DTYPES)
def test_swapped_gates_are_caught(dtype: torch.dtype) -> None:
    given = problem(5, 3, 3, 7, dtype=dtype)
    wrong = given.theirs()
    with torch.no_grad():
        for parameter in wrong.parameters():
            i, f, g, o = parameter.chunk(4)
            parameter.copy_(torch.cat([f, i, g, o]))
    # Exchanged gates are wrong by far more than rounding, in every single number.
    assert min(ratios(given.analysed(), numbers(wrong, given)).values()) > 1000


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_that_forgets_one_step_is_caught(dtype: torch.dtype) -> None:
    given = problem(5, 3, 3, 7, dtype=dtype)
    found = given.analysed()
    right = numbers(given.theirs(), given)
    outputs, h_n, c_n = given.cotangents
    all_but_last = torch.arange(5).lt(4)[:, None, None]
    short = replace(given, cotangents=(outputs * all_but_last, h_n, c_n))
    without_last = numbers(given.theirs(), short)
    assert not violations(found, right)
    assert {"d weight_hh_l0", "d input", "d h_0"} <= violations(found, without_last).keys()
