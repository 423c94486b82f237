"""Attributions against closed forms and loops: what adds up, what is exact, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from carousel.errors import OptionError, ShapeError
from carousel.inspection import attribution
from carousel.inspection.attribution import integrated_gradients, occlusion

T, F = 7, 3
# Shares of a few units are rounded to float32; all else is in float64.
ROUNDED = {"rtol": 2.0**-23, "atol": 2.0**-40}


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def small_model() -> torch.nn.Module:
    """An LSTM with a number for each sequence."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(F, 5, batch_first=True)
            self.head = torch.nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x)[0][:, -1])[:, 0]

    return Model().double()


def polynomial(weights: Tensor, degree: int):
    return lambda x: (x * weights).sum((1, 2)) ** degree


@pytest.mark.parametrize("steps", [1, 5])
def test_a_weighted_sum_gives_each_step_its_part(steps: int) -> None:
    weights, x, baseline = numbers(T, F), numbers(T, F), numbers(F)
    shares, total = integrated_gradients(polynomial(weights, 1), x, baseline, steps)
    expected = (weights * (x - baseline)).sum(1)
    np.testing.assert_allclose(shares, expected.numpy(), **ROUNDED)
    np.testing.assert_allclose(total, float(expected.sum()), rtol=1e-12)


@pytest.mark.parametrize(("steps", "exact"), [(2, False), (3, True), (20, True)])
def test_the_sum_is_exact_for_polynomials_up_to_twice_its_points(steps: int, exact: bool) -> None:
    weights, x = numbers(T, F), numbers(T, F)
    shares, total = integrated_gradients(polynomial(weights, 6), x, None, steps)
    # ∫ 6 (α w·x)^5 w dα x = (w x) (w·x)^5
    expected = (weights * x).sum(1) * (weights * x).sum() ** 5
    close = np.allclose(shares, expected.numpy(), **ROUNDED)
    assert close == exact
    np.testing.assert_allclose(total, float((weights * x).sum() ** 6), rtol=1e-12)


def test_shares_of_a_model_add_up_to_the_total() -> None:
    model, x, baseline = small_model(), numbers(T, F), 0.3 * numbers(T, F)
    shares, total = integrated_gradients(model, x, baseline)
    with torch.no_grad():
        expected = float(model(x[None]) - model(baseline[None]))
    np.testing.assert_allclose(total, expected, rtol=1e-12)
    # The sum converges geometrically: with 64 points the T roundings to float32 are what is left.
    assert abs(shares.astype(float).sum() - total) < T * 2.0**-24 * np.abs(shares).max()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_integral_is_that_of_a_fine_sum() -> None:
    model, x, baseline = small_model(), numbers(T, F), numbers(F)
    found, _ = integrated_gradients(model, x, baseline)
    points, mean = 400, torch.zeros(T, F, dtype=torch.float64)
    for k in range(points):
        at = (baseline + (k + 0.5) / points * (x - baseline)).requires_grad_()
        mean += torch.autograd.grad(model(at[None]).sum(), at)[0] / points
    # The midpoint rule is off by a 24th of the second derivative times the step squared.
    np.testing.assert_allclose(
        found, ((x - baseline) * mean).sum(1).numpy(), rtol=0, atol=100 / 24 / points**2
    )


def test_steps_that_are_not_read_have_no_share() -> None:
    x = numbers(T, F)

    def last_two(batch: Tensor) -> Tensor:
        return batch[:, -2:].sin().sum((1, 2))

    for shares in (integrated_gradients(last_two, x)[0], occlusion(last_two, x)):
        assert (shares[:-2] == 0).all()
        assert (shares[-2:] != 0).all()


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_batches_do_not_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = small_model(), numbers(T, F)
    sizes: list[int] = []

    def watched(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return model(batch)

    expected = integrated_gradients(model, x, steps=8)[0], occlusion(model, x, window=2)
    monkeypatch.setattr(attribution, "_AT_ONCE", rows * T * F)
    found = integrated_gradients(watched, x, steps=8)[0], occlusion(watched, x, window=2)
    assert max(sizes) == max(2, rows)  # two of them are the input and the baseline
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **ROUNDED)


def test_gradients_are_taken_where_the_caller_has_switched_them_off() -> None:
    model, x = small_model(), numbers(T, F)
    expected = integrated_gradients(model, x)
    with torch.no_grad():
        found = integrated_gradients(model, x.clone().requires_grad_())
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@pytest.mark.parametrize("window", [1, 2, 3, T])
def test_occlusion_is_the_mean_drop_over_windows(window: int) -> None:
    model, x, baseline = small_model(), numbers(T, F), numbers(T, F)
    found = occlusion(model, x, baseline, window)
    assert found.shape == (T,)
    assert found.dtype == np.float32
    drops: list[list[float]] = [[] for _ in range(T)]
    with torch.no_grad():
        for begin in range(T - window + 1):
            other = x.clone()
            other[begin : begin + window] = baseline[begin : begin + window]
            drop = float(model(x[None]) - model(other[None])) / window
            for t in range(begin, begin + window):
                drops[t].append(drop)
    expected = [sum(some) / len(some) for some in drops]
    np.testing.assert_allclose(found, expected, **ROUNDED)


def test_what_two_steps_can_say_alone_is_missed_only_with_both() -> None:
    x = torch.zeros(T, 1)
    x[2:4] = 1

    def largest(batch: Tensor) -> Tensor:
        return batch.amax((1, 2))

    np.testing.assert_array_equal(occlusion(largest, x), np.zeros(T))
    # One of two windows that hold the step holds both, and its drop is 1 for two steps.
    expected = [0, 0, 0.25, 0.25, 0, 0, 0]
    np.testing.assert_array_equal(occlusion(largest, x, window=2), expected)


def test_a_step_of_the_baseline_stands_for_all() -> None:
    model, x, step = small_model(), numbers(T, F), numbers(F)
    whole = step.expand(T, F).contiguous()
    np.testing.assert_array_equal(occlusion(model, x, step), occlusion(model, x, whole))
    one, other = integrated_gradients(model, x, step), integrated_gradients(model, x, whole)
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1] == other[1]


def test_short_sequences() -> None:
    model, x = small_model(), numbers(1, F)
    shares, total = integrated_gradients(model, x)
    np.testing.assert_allclose(shares, [total], **ROUNDED)
    np.testing.assert_allclose(occlusion(model, x), [total], **ROUNDED)
    shares, total = integrated_gradients(model, x[:0])
    assert shares.shape == occlusion(model, x[:0]).shape == (0,)
    assert total == 0


def test_what_does_not_fit_is_refused() -> None:
    model, x = small_model(), numbers(T, F)
    with pytest.raises(OptionError, match="steps: expected a number of points from 1 on, got 0"):
        integrated_gradients(model, x, steps=0)
    for window in (0, T + 1):
        with pytest.raises(OptionError, match=f"window: .* from 1 to 7, got {window}"):
            occlusion(model, x, window=window)
    for method in (integrated_gradients, occlusion):
        with pytest.raises(ShapeError, match=r"baseline: .*\(7, 3\), .* got \(7,\)"):
            method(model, x, x[:, 0])
        with pytest.raises(ShapeError, match=r"got \(7, 3\) in torch.int64; of tokens, give the"):
            method(model, x.long())
        with pytest.raises(ShapeError, match=r"one sequence .* got \(1, 7, 3\)"):
            method(model, x[None])
        with pytest.raises(ShapeError, match=r"function: .* \(\d+,\), got \(\d+, 7, 3\); choose"):
            method(lambda batch: batch * 2, x)
    with pytest.raises(OptionError, match="function: expected one with a gradient"):
        integrated_gradients(lambda batch: batch.detach().sum((1, 2)), x)


def test_where_corners_need_more_points_there_are_more() -> None:
    places = torch.linspace(0.05, 0.9, 9, dtype=torch.float64)
    asked: list[int] = []

    def jagged(x: Tensor) -> Tensor:
        asked.append(len(x))
        # Steep at some places of the way, each for a few thousandths of it.
        return sum(torch.sigmoid(3000 * (x[:, 0, 0] - place)) for place in places)

    x = torch.ones(1, 1, dtype=torch.float64)
    shares, total = integrated_gradients(jagged, x)
    few, _ = integrated_gradients(jagged, x, steps=64)
    assert total == pytest.approx(9)
    assert abs(few.sum() - total) > 0.01 * total
    assert abs(shares.sum() - total) < abs(few.sum() - total)
    assert sum(asked[:-3]) > 64 + 128
    asked.clear()
    integrated_gradients(polynomial(torch.ones(1, 1, dtype=torch.float64), 3), x)
    assert sum(asked) == 0
