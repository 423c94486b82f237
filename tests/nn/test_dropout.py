"""Dropout that is locked in time, and dropout of words: what is dropped, how often, and when."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from carousel.nn.dropout import locked_dropout, word_dropout

T, B, F = 6, 3, 7
BOTH = pytest.mark.parametrize(
    ("drop", "shape"), [(locked_dropout, (T, B, F)), (word_dropout, (9, 4))]
)


def ones_that_stay(drop: Callable, shape: tuple[int, ...], rate: float) -> torch.Tensor:
    """Where a one is not dropped."""
    found = drop(torch.ones(shape), rate, True)
    # 1 divided by (1 - rate), one rounding each, and multiplied by 1, which rounds nothing.
    assert ((found == 0) | ((found * (1 - rate) - 1).abs() <= 4 * 2.0**-24)).all()
    return found != 0


def test_a_locked_mask_is_the_same_at_every_step_and_another_in_each_sequence() -> None:
    kept = ones_that_stay(locked_dropout, (T, 40, 50), 0.4)
    assert (kept == kept[0]).all()
    rows = kept[0].unbind(0)
    assert not any(torch.equal(a, b) for n, a in enumerate(rows) for b in rows[n + 1 :])
    columns = kept[0].unbind(1)
    assert not any(torch.equal(a, b) for n, a in enumerate(columns) for b in columns[n + 1 :])


def test_word_dropout_drops_whole_rows() -> None:
    kept = ones_that_stay(word_dropout, (60, 5), 0.4)
    assert (kept == kept[:, :1]).all()
    assert 0 < kept[:, 0].sum() < 60


def test_a_dropped_word_is_missing_wherever_it_stands() -> None:
    weight = torch.randn(10, 4)
    tokens = torch.randint(10, (50, 3))
    x = torch.nn.functional.embedding(tokens, word_dropout(weight, 0.5, True))
    missing = (x == 0).all(-1)
    assert 0 < missing.sum() < missing.numel()
    for token in range(10):
        assert missing[tokens == token].unique().numel() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@BOTH
def test_values_and_gradients_are_those_of_the_mask(
    drop: Callable, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    cotangent = torch.randn(shape, dtype=dtype)
    torch.manual_seed(4)
    found = drop(x, 0.25, True)
    found.backward(cotangent)
    torch.manual_seed(4)
    small = (1, B, F) if drop is locked_dropout else (9, 1)
    mask = torch.empty(small, dtype=dtype).bernoulli_(0.75) / 0.75
    assert 0 < (mask == 0).sum() < mask.numel()
    assert found.dtype == dtype
    assert torch.equal(found, x * mask)
    assert torch.equal(x.grad, cotangent * mask)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False), (0.0, False)])
@BOTH
def test_nothing_is_done_or_drawn_where_nothing_is_dropped(
    drop: Callable, shape: tuple[int, ...], rate: float, training: bool
) -> None:
    x = torch.randn(shape)
    before = torch.get_rng_state()
    assert drop(x, rate, training) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(
    ("drop", "shape", "drawn"),
    [(locked_dropout, (2, 200, 100), 20_000), (word_dropout, (20_000, 2), 20_000)],
)
def test_the_rate_and_the_mean_are_kept(
    drop: Callable, shape: tuple[int, ...], drawn: int, rate: float
) -> None:
    """Within five standard deviations of a mean of so many draws.

    The seed is fixed, so it fails always or never. What stays is 1/(1-rate) times as large, so a
    share of 1-rate that stays is a mean of 1.
    """
    kept = ones_that_stay(drop, shape, rate).double().mean()
    assert abs(kept - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / drawn)


def test_every_call_draws_anew() -> None:
    x = torch.ones(T, 20, 20)
    assert not torch.equal(locked_dropout(x, 0.5, True), locked_dropout(x, 0.5, True))
    assert not torch.equal(word_dropout(x[:, 0], 0.5, True), word_dropout(x[:, 1], 0.5, True))


@pytest.mark.parametrize("shape", [(0, B, F), (T, 0, F), (T, B, 0)])
def test_nothing_to_drop(shape: tuple[int, ...]) -> None:
    assert locked_dropout(torch.ones(shape), 0.5, True).shape == shape
