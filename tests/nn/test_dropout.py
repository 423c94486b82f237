"""Dropout that is locked in time, and dropout of words: what is dropped, how often, and when."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import embedding

from carousel.nn.dropout import locked_dropout, locked_mask, word_dropout

T, B, F = 6, 3, 7


def drop_each(x: torch.Tensor, rate: float, training: bool) -> torch.Tensor:
    """Word dropout where every place has a word of its own."""
    vocabulary = x.shape[0] * x.shape[1]
    words = torch.arange(vocabulary).view(x.shape[:2])
    return word_dropout(x, words, vocabulary, rate, training)


BOTH = pytest.mark.parametrize("drop", [locked_dropout, drop_each])


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


def test_word_dropout_drops_whole_words() -> None:
    kept = ones_that_stay(drop_each, (20, 3, 5), 0.4)
    assert (kept == kept[..., :1]).all()
    assert 0 < kept[..., 0].sum() < 60


def test_a_dropped_word_is_missing_wherever_it_stands() -> None:
    words = torch.randint(10, (50, 3))
    x = word_dropout(torch.randn(50, 3, 4), words, 10, 0.5, True)
    missing = (x == 0).all(-1)
    assert 0 < missing.sum() < missing.numel()
    assert torch.equal(missing, (x == 0).any(-1))
    for word in range(10):
        assert missing[words == word].unique().numel() <= 1


def test_word_dropout_is_dropout_of_the_rows_of_the_embedding() -> None:
    """Bit for bit: at a rate of 1/2 the mask is 0 or 2, and by these every number is exact."""
    weight = torch.randn(10, 4, requires_grad=True)
    words = torch.randint(8, (50, 3))  # two words do not come, and are drawn for all the same
    cotangent = torch.randn(50, 3, 4)
    torch.manual_seed(4)
    wanted = embedding(words, weight * torch.dropout(torch.ones(10, 1), 0.5, True))
    (wanted_gradient,) = torch.autograd.grad(wanted, weight, cotangent)
    after = torch.get_rng_state()
    torch.manual_seed(4)
    found = word_dropout(embedding(words, weight), words, 10, 0.5, True)
    (gradient,) = torch.autograd.grad(found, weight, cotangent)
    assert torch.equal(found, wanted)
    assert torch.equal(gradient, wanted_gradient)
    assert torch.equal(torch.get_rng_state(), after)
    dropped = (gradient == 0).all(1)
    assert dropped[8:].all()
    assert 0 < dropped[:8].sum() < 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@BOTH
def test_values_and_gradients_are_those_of_the_mask(drop: Callable, dtype: torch.dtype) -> None:
    x = torch.randn(T, B, F, dtype=dtype, requires_grad=True)
    cotangent = torch.randn(T, B, F, dtype=dtype)
    torch.manual_seed(4)
    found = drop(x, 0.25, True)
    found.backward(cotangent)
    torch.manual_seed(4)
    small = (1, B, F) if drop is locked_dropout else (T, B, 1)
    mask = torch.empty(small, dtype=dtype).bernoulli_(0.75) / 0.75
    assert 0 < (mask == 0).sum() < mask.numel()
    assert found.dtype == dtype
    assert torch.equal(found, x * mask)
    assert torch.equal(x.grad, cotangent * mask)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False), (0.0, False)])
@BOTH
def test_nothing_is_done_or_drawn_where_nothing_is_dropped(
    drop: Callable, rate: float, training: bool
) -> None:
    x = torch.randn(T, B, F)
    before = torch.get_rng_state()
    assert drop(x, rate, training) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(
    ("drop", "shape", "drawn"),
    [(locked_dropout, (2, 200, 100), 20_000), (drop_each, (200, 100, 2), 20_000)],
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
    assert not torch.equal(drop_each(x, 0.5, True), drop_each(x, 0.5, True))


@pytest.mark.parametrize("shape", [(0, B, F), (T, 0, F), (T, B, 0)])
@BOTH
def test_nothing_to_drop(drop: Callable, shape: tuple[int, ...]) -> None:
    assert drop(torch.ones(shape), 0.5, True).shape == shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_locked_mask_is_what_locked_dropout_multiplies_by(dtype: torch.dtype) -> None:
    x = torch.randn(T, B, F, dtype=dtype)
    torch.manual_seed(4)
    mask = locked_mask(x, 0.25, True)
    torch.manual_seed(4)
    found = locked_dropout(x, 0.25, True)
    assert mask.shape == (1, B, F)
    assert mask.dtype == dtype
    assert 0 < (mask == 0).sum() < mask.numel()
    assert torch.equal(found, x * mask)


def test_sequences_that_come_step_by_step_are_dropped_as_whole_ones() -> None:
    """The mask hangs on neither the steps that there are nor on what they hold."""
    x = torch.randn(T, B, F)
    torch.manual_seed(4)
    whole = locked_dropout(x, 0.5, True)
    for first in (x[:1], x[4:], torch.full((3, B, F), math.nan), x[:1, :, :1].expand(-1, -1, F)):
        torch.manual_seed(4)
        mask = locked_mask(first, 0.5, True)
        assert torch.equal(torch.cat([step * mask for step in x.split(1)]), whole)
    assert not torch.equal(locked_mask(x, 0.5, True), locked_mask(x, 0.5, True))


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False), (0.0, False)])
def test_there_is_no_mask_where_nothing_is_dropped(rate: float, training: bool) -> None:
    x = torch.randn(T, B, F)
    before = torch.get_rng_state()
    assert locked_mask(x, rate, training) is None
    assert torch.equal(torch.get_rng_state(), before)
