"""Gradient flow against the Jacobians of autograd in float64, and against closed forms."""

from __future__ import annotations

import importlib
import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.inspection.recorded_layers import double, inputs, plain, recorded, steps, textbook
from torch import Tensor
from torch.autograd.functional import jacobian

from carousel.equations import step
from carousel.errors import OptionError, ShapeError
from carousel.inspection.contents import CellWeights, GradientFlow, LayerValues
from carousel.inspection.gradient_flow import curve, gradient_flow, plain_rnn_flow

flows = importlib.import_module("carousel.inspection.gradient_flow")  # not the function of the name

U = 2.0**-24
T = 9
# What float32 makes of a number that float64 has to 12 digits and more.
ROUNDED = {"rtol": 2 * U, "atol": 0}
# Where the pass is in float32 its products of matrices are sums of 2H products, and what they are
# made of takes less than ten operations. A vector of H signs adds H errors up, √H times their norm.
SINGLE = 2 * (2 * 4 + 10)
BOTH = pytest.mark.parametrize("reverse", [False, True])


def jacobians(layer: LayerValues, end: int, s: int) -> tuple[Tensor, Tensor]:
    """∂h_end/∂h_s and ∂c_end/∂c_s in total, steps counted in the order of reading."""
    read, x, weights = steps(layer), inputs(layer), textbook(layer)

    def state(h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for t in range(s + 1, end + 1):
            now = step(x[t], h, c, weights)
            h, c = now.h, now.C
        return h, c

    start = read[s]
    of_h = jacobian(lambda h: state(h, start.C)[0], start.h)
    of_c = jacobian(lambda c: state(start.o * torch.tanh(c), c)[1], start.C)
    return of_h, of_c


def allowed(layer: LayerValues, end: int, more: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How far the gains at each step may be off because gates and memory are recorded in float32.

    With ``more`` roundings by the relative error u in each step.

    An entry of a Jacobian is a sum over paths. On each step back a path takes at most three
    recorded factors, one slope, whose relative error is κ u with the κ below, and o(1 - tanh²(c))
    with (1 + 2|c|) u: (1 + e)^n - 1 of it in n steps. The sum of the paths' absolute values is the
    same recursion with absolute values.
    """
    read = steps(layer)
    f, i, g, o, c = (
        np.stack([np.abs(getattr(one, name).numpy()) for one in read])
        for name in ("f", "i", "C_tilde", "o", "C")
    )
    W_i, W_f, W_g, W_o = (np.abs(w) for w in np.split(layer.weights.recurrent.astype(float), 4))
    kappa = max((x / (1 - x)).max() for x in (f, i, o, g**2)) * 2
    error = (3 + kappa + 1 + 2 * c.max() + more) * U
    shown = o * (1 - np.tanh(c) ** 2)
    H = layer.hidden_size
    found = np.full((2, len(read)), np.nan)
    for of in (0, 1):
        dh = np.eye(H) * (of == 0)
        dc = np.eye(H) * (shown[end] if of == 0 else 1)
        for s in range(end, -1, -1):
            size = np.linalg.norm((dh, dc)[of]) / math.sqrt(H)
            found[of, s] = size * (math.expm1((end - s + 1) * error) + 2 * U)
            if s:
                earlier = (dc * g[s] * i[s] * (1 - i[s])) @ W_i
                earlier += (dc * c[s - 1] * f[s] * (1 - f[s])) @ W_f
                earlier += (dc * i[s] * (1 - g[s] ** 2)) @ W_g
                earlier += (dh * np.tanh(c[s]) * o[s] * (1 - o[s])) @ W_o
                dh, dc = earlier, dc * f[s] + earlier * shown[s - 1]
    return found[0], found[1]


@BOTH
@pytest.mark.parametrize("H", [1, 4, 5])
def test_every_gain_is_the_norm_of_autograds_jacobian(H: int, reverse: bool) -> None:
    layer = recorded(T, H, reverse=reverse)
    flow = gradient_flow("l0", layer, range(T))
    for end in range(T):
        at = T - 1 - end if reverse else end  # on the axis
        bounds = allowed(layer, end)
        for s in range(end + 1):
            place = T - 1 - s if reverse else s
            exact = jacobians(layer, end, s)
            for found, expected, bound in zip((flow.of_h, flow.of_c), exact, bounds, strict=True):
                gain = float(expected.norm()) / math.sqrt(H)
                # So that a term that is missing, or another weight, would be seen.
                assert bound[s] < 1e-3 * max(gain, 0.01)
                assert abs(found[at, place] - gain) <= bound[s]


@BOTH
def test_there_is_nothing_past_the_end(reverse: bool) -> None:
    flow = gradient_flow("l0", recorded(T, reverse=reverse), [2, 6, 0])
    assert flow.layer == "l0"
    np.testing.assert_array_equal(flow.ends, [2, 6, 0])
    for gains in (flow.of_h, flow.of_c):
        for end, row in zip(flow.ends, gains, strict=True):
            past = np.arange(T) < end if reverse else np.arange(T) > end
            np.testing.assert_array_equal(np.isnan(row), past)
            np.testing.assert_allclose(row[end], 1, **ROUNDED)


@pytest.mark.parametrize(
    ("steps", "count", "expected"),
    [
        (0, 24, []),
        (1, 24, [0]),
        (3, 24, [0, 1, 2]),
        (10, 3, [2, 5, 9]),
        (48, 24, list(range(1, 48, 2))),
        (5, 1, [4]),
    ],
)
@BOTH
def test_ends_are_spread_up_to_the_last_step(
    steps: int, count: int, expected: list[int], reverse: bool
) -> None:
    flow = gradient_flow("l0", recorded(steps, 2, reverse=reverse), count=count)
    if reverse:
        expected = [steps - 1 - end for end in reversed(expected)]
    np.testing.assert_array_equal(flow.ends, np.array(expected, dtype=int))
    assert flow.of_h.shape == flow.of_c.shape == (len(expected), steps)
    assert len(curve(flow)[0]) == steps


def test_a_gain_does_not_depend_on_the_other_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = recorded(T)
    for most in (flows.EXACT_UP_TO, 0):
        monkeypatch.setattr(flows, "EXACT_UP_TO", most)
        many = gradient_flow("l0", layer, np.array([7, 3, 8, 3]))
        for row, end in enumerate([7, 3, 8, 3]):
            alone = gradient_flow("l0", layer, [end])
            of_h, of_c = allowed(layer, end, SINGLE)
            assert (abs(many.of_h[row] - alone.of_h[0])[: end + 1] <= of_h[: end + 1]).all()
            assert (abs(many.of_c[row] - alone.of_c[0])[: end + 1] <= of_c[: end + 1]).all()
    assert gradient_flow("l0", layer, []).of_c.shape == (0, T)


@pytest.mark.parametrize("at_once", [0, 2 * 16, 5 * 16])
def test_chunks_are_the_whole(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = recorded(T)
    expected = gradient_flow("l0", layer, range(T))
    monkeypatch.setattr(flows, "_AT_ONCE", at_once)
    found = gradient_flow("l0", layer, range(T))
    np.testing.assert_allclose(found.of_h, expected.of_h, **ROUNDED)
    np.testing.assert_allclose(found.of_c, expected.of_c, **ROUNDED)


def test_memory_is_about_eight_arrays_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    H, ends = 64, 16
    layer = recorded(32, H)
    chunk = ends * H * H
    monkeypatch.setattr(flows, "_AT_ONCE", chunk)
    tracemalloc.start()
    try:
        gradient_flow("l0", layer, range(32))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Beside them the weights of four gates, and four products of a gate with its weights.
    assert peak < 8 * (8 * chunk + 10 * H * H)
    assert 8 * 8 * (1 << 21) < 200e6


def test_the_mean_over_all_sign_vectors_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = recorded(T)
    expected = gradient_flow("l0", layer, range(T))
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    monkeypatch.setattr(flows, "_directions", lambda end, H: signs)
    found = gradient_flow("l0", layer, range(T))
    np.testing.assert_allclose(found.of_h, expected.of_h, **ROUNDED)
    np.testing.assert_allclose(found.of_c, expected.of_c, **ROUNDED)

    monkeypatch.setattr(flows, "EXACT_UP_TO", 0)  # which makes it float32
    single = gradient_flow("l0", layer, range(T))
    for one, other, n in ((single.of_h, expected.of_h, 0), (single.of_c, expected.of_c, 1)):
        assert (one != other)[~np.isnan(one)].any()
        for end in range(T):
            bound = allowed(layer, end, SINGLE)[n][: end + 1]
            assert (abs(one - other)[end, : end + 1] <= bound).all()


def test_large_layers_are_estimated_from_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    H, R = flows.EXACT_UP_TO + 1, flows.SIGN_VECTORS
    one, other = flows._directions(3, H), flows._directions(4, H)
    assert one.shape == (R, H)
    assert (np.abs(one) == 1).all()
    assert abs(one.mean()) < 5 / math.sqrt(one.size)
    assert abs((one * other).mean()) < 5 / math.sqrt(one.size)
    np.testing.assert_array_equal(one, flows._directions(3, H))
    np.testing.assert_array_equal(flows._directions(3, 4), 2 * np.eye(4))  # all of a small one

    layer = recorded(T)
    monkeypatch.setattr(flows, "EXACT_UP_TO", 3)
    flow = gradient_flow("l0", layer, [T - 1])
    differ = 0
    for s in range(T):
        for found, J in zip((flow.of_h, flow.of_c), jacobians(layer, T - 1, s), strict=True):
            G = J @ J.T
            # Hutchinson's variance of vᵀGv with signs, of which R are averaged.
            deviation = math.sqrt(2 * (G.square().sum() - G.diagonal().square().sum()) / R)
            difference = abs(4 * float(found[0, s]) ** 2 - float(G.trace()))
            assert difference <= 5 * deviation + 1e-4 * float(G.trace())
            differ += difference > 1e-3 * float(G.trace())
    assert differ > T / 2  # it was an estimate


def test_without_recurrent_weights_the_forget_gate_is_all_there_is() -> None:
    layer = recorded(T)
    own = layer.weights
    cut = replace(
        layer,
        weights=CellWeights(input=own.input, recurrent=np.zeros_like(own.recurrent), bias=own.bias),
    )
    flow = gradient_flow("l0", cut, [T - 1])
    for s in range(T):
        kept = layer.f[s + 1 :].astype(float).prod(0)
        np.testing.assert_allclose(flow.of_c[0, s], math.sqrt((kept**2).mean()), **ROUNDED)
        assert flow.of_h[0, s] == (s == T - 1)


def test_the_memory_carries_a_gradient_past_a_step_that_h_does_not_pass() -> None:
    # At the last step the input gate is shut, and the forget and the output gate are open for good:
    # none of them passes a gradient on to h before.
    values = {
        "f": [0.5, 0.5, 0.5, 1.0],
        "i": [0.5, 0.5, 0.5, 0.0],
        "o": [0.5, 0.5, 0.5, 1.0],
        "g": [0.5, 0.5, 0.5, 0.5],
        "c": [0.25, 0.375, 0.5, 0.5],
    }
    columns = {name: np.array(value)[:, None] for name, value in values.items()}
    recurrent = np.array([[0.5], [-2.0], [1.5], [3.0]], np.float32)
    weights = CellWeights(input=recurrent, recurrent=recurrent, bias=np.zeros(4, np.float32))
    flow = gradient_flow("l0", replace(plain(**columns), weights=weights), [3])
    shown = 1 - math.tanh(0.5) ** 2
    through = 0.5 * 0.25 * 0.5 + 0.375 * 0.25 * -2.0 + 0.5 * 0.75 * 1.5
    assert flow.of_h[0, 2] == 0
    np.testing.assert_allclose(flow.of_h[0, 1], shown * through, **ROUNDED)


def test_what_is_not_a_number_stays_where_it_is() -> None:
    layer = recorded(T)
    layer.f[4, 1] = np.nan
    flow = gradient_flow("l0", layer, [3, T - 1])
    assert np.isfinite(flow.of_c[0, :4]).all()
    assert np.isfinite(flow.of_c[1, 4:]).all()
    assert np.isnan(flow.of_c[1, :4]).all()


def test_what_cannot_be_followed_is_refused() -> None:
    layer = recorded(T)
    with pytest.raises(OptionError, match=r"layer 'l1': .* without weights: a variant \(peepholes"):
        gradient_flow("l1", replace(layer, weights=None))
    for ends in ([0, T], [-1]):
        with pytest.raises(OptionError, match="ends: expected whole numbers from 0 to 8, steps, g"):
            gradient_flow("l0", layer, ends)
    with pytest.raises(OptionError, match="count: expected a number of end steps from 1 on, got 0"):
        gradient_flow("l0", layer, count=0)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_plain_rnn_against_autograd(nonlinearity: str, bias: bool) -> None:
    H = 5
    rnn = torch.nn.RNN(3, H, nonlinearity=nonlinearity, bias=bias).double()
    x = torch.randn(T, 3, dtype=torch.float64)
    hidden = rnn(x)[0].detach()
    flow = plain_rnn_flow("plain RNN", rnn, x, range(T))
    assert flow.layer == "plain RNN"
    assert flow.of_c is None
    for end in range(T):
        assert np.isnan(flow.of_h[end, end + 1 :]).all()
        for s in range(end):
            after = x[s + 1 : end + 1]
            J = jacobian(lambda h, after=after: rnn(after, h[None])[0][-1], hidden[s])
            gain = float(J.norm()) / math.sqrt(H)
            np.testing.assert_allclose(flow.of_h[end, s], gain, rtol=2 * U, atol=1e-14)
    for same in (x.numpy(), x.clone().requires_grad_()):
        np.testing.assert_array_equal(plain_rnn_flow("", rnn, same, range(T)).of_h, flow.of_h)


@pytest.mark.parametrize("H", [4, flows.EXACT_UP_TO + 1])
@pytest.mark.parametrize("growth", [0.5, 1.0, 4.0])
def test_powers_of_a_matrix_vanish_or_explode(growth: float, H: int) -> None:
    steps = 600
    rnn = torch.nn.RNN(1, H, nonlinearity="relu")
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
        rnn.weight_hh_l0.copy_(growth * torch.eye(H))
        rnn.bias_ih_l0.fill_(1)
        rnn.bias_hh_l0.zero_()
    flow = plain_rnn_flow("plain RNN", rnn, np.zeros((steps, 1)), [400])
    with np.errstate(over="ignore"):
        expected = (growth ** np.arange(400.0, -1, -1)).astype(np.float32)
    np.testing.assert_array_equal(flow.of_h[0, :401], expected)
    distances, gains = curve(flow)
    np.testing.assert_array_equal(distances, np.arange(steps))
    # The logarithm is rounded, and so is the power, of numbers up to 104 and down to 2^-149.
    np.testing.assert_allclose(gains[:401], expected[::-1], rtol=2 * U, atol=2.0**-149)
    assert np.isnan(gains[401:]).all()


def test_a_plain_rnn_that_is_not_one_layer_is_refused() -> None:
    x = np.zeros((T, 3), np.float32)
    for options in ({"num_layers": 2}, {"bidirectional": True}):
        with pytest.raises(OptionError, match="rnn: expected one layer in one direction, got num_"):
            plain_rnn_flow("", torch.nn.RNN(3, 2, **options), x)
    rnn = torch.nn.RNN(3, 2)
    for wrong in (x[:, :2], x[None], x[0]):
        with pytest.raises(ShapeError, match=r"inputs: expected \(steps, 3\), one sequence, got"):
            plain_rnn_flow("", rnn, wrong)
    with pytest.raises(OptionError, match="ends: expected whole numbers from 0 to 8"):
        plain_rnn_flow("", rnn, x, [T])
    assert plain_rnn_flow("", rnn, x[:0]).of_h.shape == (0, 0)
    np.testing.assert_array_equal(plain_rnn_flow("", rnn, x[:1]).of_h, [[1]])


@BOTH
@pytest.mark.parametrize("quantity", ["h", "c"])
def test_the_curve_is_the_geometric_mean_at_each_distance(quantity: str, reverse: bool) -> None:
    flow = gradient_flow("l0", recorded(T, reverse=reverse), [2, 7, 4])
    gains = {"h": flow.of_h, "c": flow.of_c}[quantity]
    distances, found = curve(flow, quantity)
    np.testing.assert_array_equal(distances, np.arange(T))
    for d in range(T):
        places = [(row, end + d if reverse else end - d) for row, end in enumerate(flow.ends)]
        some = [float(gains[row, s]) for row, s in places if 0 <= s < T]
        if not some:
            assert np.isnan(found[d])
            continue
        np.testing.assert_allclose(found[d], math.prod(some) ** (1 / len(some)), **ROUNDED)


def test_the_curve_has_zeros_and_the_quantities_that_there_are() -> None:
    of_h = np.array([[0, 0.5, 1, np.nan], [np.inf, 0.25, 2, 1]], np.float32)
    flow = GradientFlow(layer="plain RNN", ends=np.array([2, 3]), of_h=of_h)
    distances, gains = curve(flow)
    np.testing.assert_array_equal(distances, range(4))
    np.testing.assert_allclose(gains, [1, 1, 0, np.inf], **ROUNDED)
    with pytest.raises(OptionError, match="quantity: expected h of 'plain RNN', got 'c'"):
        curve(flow, "c")
    with pytest.raises(OptionError, match="quantity: expected h or c of 'l0', got 'f'"):
        curve(replace(flow, layer="l0", of_c=of_h), "f")


def test_the_layers_under_test_are_the_textbooks() -> None:
    layer = recorded(T, reverse=True)
    h, c = double(layer.before("h")), double(layer.before("c"))
    for t in range(T):
        now = step(double(layer.inputs[t]), h[t], c[t], textbook(layer))
        # Rounding of h and c to float32, through sums of products with weights of up to 1.
        torch.testing.assert_close(double(layer.c[t]), now.C, rtol=0, atol=20 * U)
