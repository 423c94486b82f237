"""Masks: their shapes, their rates, and that nothing is drawn that nobody asked for."""

from __future__ import annotations

import math

import pytest
import torch

from carousel.engines import CellVariant, LayerWeights, State
from carousel.nn.masks import RESOLUTION, bernoulli, draw_masks, drawn_rate, drop_weights

T, B, H, P = 5, 3, 7, 2


def state(layers: int = 2, **tensor) -> State:
    return State(torch.zeros(layers, B, P, **tensor), torch.zeros(layers, B, H, **tensor))


def beyond_chance(found: float, expected: float, count: int) -> bool:
    """Whether a mean of independent truth values is over five standard deviations off.

    That happens once in 1.7 million draws; the seed is fixed, so it happens always or never.
    """
    return abs(found - expected) > 5 * math.sqrt(expected * (1 - expected) / count)


def test_nothing_is_drawn_where_every_rate_is_zero() -> None:
    before = torch.get_rng_state()
    assert draw_masks(T, state(), 0.0, CellVariant(coupled=True, cell_clip=1.0)) is None
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_shapes_and_values(dtype: torch.dtype) -> None:
    masks = draw_masks(T, state(4, dtype=dtype), 0.5, CellVariant(zoneout_h=0.5, zoneout_c=0.5))
    assert masks is not None
    assert len(masks) == 4
    for layer in masks:
        assert layer.recurrent is not None
        assert layer.recurrent.shape == (B, P)
        assert layer.recurrent.dtype == dtype
        assert set(layer.recurrent.unique().tolist()) <= {0.0, 2.0}
        for mask, shape in ((layer.zoneout_h, (T, B, P)), (layer.zoneout_c, (T, B, H))):
            assert mask is not None
            assert mask.shape == shape
            assert mask.dtype == torch.bool
            assert mask.is_contiguous()


@pytest.mark.parametrize("only", [0, 1, 2])
def test_each_is_drawn_only_where_its_own_rate_is_above_zero(only: int) -> None:
    rates = [0.3 if place == only else 0.0 for place in range(3)]
    variant = CellVariant(zoneout_h=rates[1], zoneout_c=rates[2])
    masks = draw_masks(T, state(1), rates[0], variant)
    assert masks is not None
    assert [part is not None for part in masks[0]] == [place == only for place in range(3)]


def test_every_layer_call_and_kind_has_its_own_and_a_seed_repeats_them() -> None:
    def drawn() -> list[torch.Tensor]:
        variant = CellVariant(zoneout_h=0.5, zoneout_c=0.5)
        wide = State(torch.zeros(2, 40, 9), torch.zeros(2, 40, 9))
        masks = draw_masks(T, wide, 0.5, variant)
        assert masks is not None
        return [part for layer in masks for part in layer if part is not None]

    torch.manual_seed(1)
    first, second = drawn(), drawn()
    torch.manual_seed(1)
    assert all(map(torch.equal, drawn(), first))
    zoned = [m for m in [*first, *second] if m.dtype == torch.bool]
    locked = [m for m in [*first, *second] if m.dtype != torch.bool]
    for same_kind in (zoned, locked):
        for n, one in enumerate(same_kind):
            assert not any(torch.equal(one, other) for other in same_kind[n + 1 :])


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_the_rate_is_kept_and_neighbours_do_not_know_each_other(rate: float) -> None:
    """Neighbours share a draw of 64 bits: were bits used twice, products would show it."""
    mask = bernoulli(rate, 400, torch.empty(10, 60))
    flat = mask.flatten().double()
    assert not beyond_chance(float(flat.mean()), rate, flat.numel())
    for apart in (1, 2, 3, 4, 60, 600):
        # Each product is true with p²; those that share an element depend on each other, which
        # four disjoint sets of pairs at most would not.
        both = (flat[:-apart] * flat[apart:]).view(-1)
        assert not beyond_chance(float(both.mean()), rate**2, both.numel() // 4)
    assert not any(
        beyond_chance(float(row.double().mean()), rate, 24_000) for row in mask.unbind(1)
    )


def test_a_locked_mask_keeps_the_mean() -> None:
    rate = 0.2
    masks = draw_masks(1, State(torch.zeros(1, 500, 400), torch.zeros(1, 500, 400)), rate, PLAIN)
    assert masks is not None
    m = masks[0].recurrent
    assert m is not None
    assert m.unique().tolist() == [0.0, 1 / (1 - rate)]
    assert not beyond_chance(float((m == 0).double().mean()), rate, m.numel())


PLAIN = CellVariant()


def test_the_smallest_and_the_largest_rate_are_neither_never_nor_always() -> None:
    many = torch.empty(1, 2**21)
    assert RESOLUTION == 2**-16
    rare = bernoulli(1e-9, 1, many).double().mean()
    assert not beyond_chance(float(rare), RESOLUTION, 2**21)
    assert rare > 0
    assert not bernoulli(1 - 1e-9, 1, many).all()


@pytest.mark.parametrize(("steps", "rows"), [(0, 3), (3, 0), (1, 1), (3, 3)])
def test_any_number_of_elements(steps: int, rows: int) -> None:
    assert bernoulli(0.5, steps, torch.empty(rows, 5)).shape == (steps, rows, 5)


def test_a_sample_of_a_batch_has_its_own_masks_under_vmap() -> None:
    def one(x: torch.Tensor) -> torch.Tensor:
        masks = draw_masks(50, State(x[None], x[None]), 0.5, CellVariant(zoneout_c=0.5))
        assert masks is not None
        return torch.cat([masks[0].recurrent.flatten(), masks[0].zoneout_c.flatten().float()])

    rows = torch.func.vmap(one, randomness="different")(torch.zeros(3, 4, 9))
    assert not torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[1], rows[2])


def recurrent_weights(layers: int, **tensor) -> tuple[LayerWeights, ...]:
    return tuple(
        LayerWeights(
            torch.randn(4 * H, 3, **tensor),
            torch.randn(4 * H, P, **tensor),
            torch.randn(4 * H, **tensor),
            torch.randn(4 * H, **tensor),
            torch.randn(P, H, **tensor),
        )
        for _ in range(layers)
    )


def test_no_weight_is_dropped_and_nothing_drawn_at_rate_zero() -> None:
    weights = recurrent_weights(2)
    before = torch.get_rng_state()
    assert drop_weights(weights, 0.0) is weights
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_only_recurrent_weights_are_dropped_and_each_layer_has_its_own_mask(
    dtype: torch.dtype,
) -> None:
    weights = recurrent_weights(3, dtype=dtype)
    torch.manual_seed(6)
    dropped = drop_weights(weights, 0.25)
    torch.manual_seed(6)
    masks = []
    for before, after in zip(weights, dropped, strict=True):
        # In the order of the layers, one draw for each element.
        mask = (~bernoulli(0.25, 1, before.weight_hh)[0]).to(dtype) / 0.75
        assert torch.equal(after.weight_hh, before.weight_hh * mask)
        assert after.weight_hh.dtype == dtype
        rest = zip(before._replace(weight_hh=None), after._replace(weight_hh=None), strict=True)
        assert all(one is other for one, other in rest)
        masks.append(mask)
    for n, mask in enumerate(masks):
        assert not any(torch.equal(mask, other) for other in masks[n + 1 :])


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_the_rate_of_dropped_weights_is_kept(rate: float) -> None:
    many = torch.ones(400, 100)
    (found,) = drop_weights((LayerWeights(many, many),), rate)
    assert not beyond_chance(float((found.weight_hh == 0).double().mean()), rate, many.numel())
    kept = found.weight_hh[found.weight_hh != 0]
    # One rounding each of 1 - rate, of its inverse, and of the product that is looked at.
    assert ((kept * (1 - drawn_rate(rate)) - 1).abs() <= 4 * 2.0**-24).all()


@pytest.mark.parametrize("rate", [1e-9, 1e-6, 0.3, 0.999, 0.99999])
def test_weights_are_right_on_average_however_rare_what_is_kept(rate: float) -> None:
    assert abs(drawn_rate(rate) - rate) <= RESOLUTION
    assert 0 < drawn_rate(rate) < 1
    many = torch.ones(2_000, 500)
    (found,) = drop_weights((LayerWeights(many, many),), rate)
    kept = 1 - drawn_rate(rate)
    # The mean's standard deviation is the root of (1/kept - 1) / N.
    deviation = ((1 / kept - 1) / many.numel()) ** 0.5
    assert abs(float(found.weight_hh.double().mean()) - 1) < 5 * deviation + 2.0**-22


def test_a_dropped_weight_has_no_gradient_and_the_others_a_larger_one() -> None:
    weight = torch.randn(4 * H, H, requires_grad=True)
    (found,) = drop_weights((LayerWeights(torch.zeros(4 * H, 3), weight),), 0.5)
    found.weight_hh.sum().backward()
    assert torch.equal(weight.grad, (found.weight_hh != 0) * 2.0)
