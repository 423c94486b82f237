"""The network: quantiles never cross, and it follows what it is given and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from carousel.nn import State
from carousel.tasks.forecasting.network import ForecastingNetwork, Member, QuantileHead
from carousel.tasks.forecasting.windows import Window

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


def window(time: int = 7, batch: int = 3, horizon: int = 4) -> Window:
    series = torch.zeros(batch, dtype=torch.int64)
    wide = torch.ones(batch, dtype=torch.float64)
    return Window(
        past=torch.randn(time, batch, 5),
        future=torch.randn(horizon, batch, 3),
        static=torch.randn(1, batch, 2),
        anchor=torch.randn(horizon, batch),
        target=torch.zeros(horizon, batch),
        observed=torch.ones(horizon, batch),
        weight=torch.ones(horizon, batch),
        center=wide,
        scale=wide,
        series=series,
        origin=series,
    )


def network(members: int = 1, **changes: object) -> ForecastingNetwork:
    options = {
        "context": 7,
        "horizon": 4,
        "quantiles": LEVELS,
        "patch": 1,
        "hidden_size": 16,  # so many that some of the ReLU's units are awake
        "num_layers": 2,
        "dropout": 0.0,
        **changes,
    }
    made = ForecastingNetwork(members, 5, 3, 2, **options)
    for member in made.members:  # a highway that has learnt something
        nn.init.normal_(member.highway.weight)
        nn.init.normal_(member.highway.bias)
    return made


def part_of(given: Window, begin: int, end: int) -> Window:
    """The windows from ``begin`` to ``end`` of a batch."""
    return Window(*(part[begin:end] if part.ndim == 1 else part[:, begin:end] for part in given))


@given(
    seed=st.integers(0, 2**31),
    size=st.floats(0.0, 1e4),
    levels=st.sets(st.sampled_from([0.01, 0.1, 0.25, 0.75, 0.9, 0.99])),
)
def test_quantiles_never_cross(seed: int, size: float, levels: set[float]) -> None:
    torch.manual_seed(seed)
    head = QuantileHead(4, 8, tuple(sorted({*levels, 0.5})))
    found = head(size * torch.randn(50, 4))
    assert found.shape == (50, 1, len(levels | {0.5}))
    assert (found.diff(dim=-1) >= 0).all()


def test_each_quantile_can_be_learnt() -> None:
    """Cumulated steps must not tie the outer quantiles to the inner ones' gradients alone."""
    head = QuantileHead(2, 8, LEVELS)
    head(torch.randn(5, 2)).sum(0).prod().backward()
    assert head.outer.weight.grad is not None
    assert (head.outer.weight.grad.abs().sum(1) > 0).all()


def test_shapes_and_the_anchor() -> None:
    model, given = network().eval(), window()
    found = model(given)
    assert found.shape == (4, 3, 5)
    step = torch.tensor([2.0, 0.0, -1.0, 5.0])[:, None]
    moved = model(given._replace(anchor=given.anchor + step))
    torch.testing.assert_close(moved, found + step[..., None])


@pytest.mark.parametrize("patch", [1, 3])
def test_windows_of_a_batch_do_not_touch_each_other(patch: int) -> None:
    model, given = network(patch=patch).eval(), window()
    alone = part_of(given, 1, 2)
    torch.testing.assert_close(model(alone)[:, 0], model(given)[:, 1])


@pytest.mark.parametrize("patch", [1, 2, 3, 4, 5, 7])
def test_all_that_is_given_reaches_the_forecast(patch: int) -> None:
    model, given = network(patch=patch), window()
    inputs = {name: getattr(given, name).requires_grad_() for name in ("past", "future", "static")}
    model(given._replace(**inputs))[-1].sum().backward()
    for name, tensor in inputs.items():
        assert tensor.grad is not None, name
        assert (tensor.grad.abs().sum((1, 2)) > 0).all(), name


def by_loops(member: Member, given: Window) -> torch.Tensor:
    """The forecast of one window, patch by patch: the past is filled at its begin."""
    patch, horizon = member.past_patch, member.horizon
    static = given.static[0, 0]
    past, future = given.past[:, 0], given.future[:, 0]
    while len(past) % patch:
        past = torch.cat([torch.zeros_like(past[:1]), past])
    steps = [
        member.embed_past(torch.cat([*past[k : k + patch], static]))
        for k in range(0, len(past), patch)
    ]
    _, memory = member.encoder(torch.stack(steps)[:, None])
    last = State(memory.h[-1:], memory.c[-1:])
    ahead = member.future_patch
    while len(future) % ahead:
        future = torch.cat([future, torch.zeros_like(future[:1])])
    steps = [
        member.embed_future(torch.cat([*future[k : k + ahead], static]))
        for k in range(0, len(future), ahead)
    ]
    walked, _ = member.decoder(torch.stack(steps)[:, None], last)
    rows = [row for step in walked for row in member.head(torch.cat([step[0], last.h[0, 0]]))]
    linear = member.highway(given.past[:, 0, 0])
    return torch.stack([given.anchor[k, 0] + linear[k] + rows[k] for k in range(horizon)])


@pytest.mark.parametrize("horizon", [1, 2, 4, 5])
@pytest.mark.parametrize("patch", [1, 2, 3, 7, 9])
def test_patches_by_loops(patch: int, horizon: int) -> None:
    model = network(patch=patch, horizon=horizon).eval()
    given = window(batch=1, horizon=horizon)
    found = model(given)
    assert found.shape == (horizon, 1, len(LEVELS))
    torch.testing.assert_close(found[:, 0], by_loops(model.members[0], given))


def test_the_highway_begins_empty_and_is_linear_in_the_past() -> None:
    options = {"context": 7, "horizon": 4, "quantiles": LEVELS, "patch": 1, "hidden_size": 6}
    fresh = ForecastingNetwork(1, 5, 3, 2, **options, num_layers=1, dropout=0.0)
    assert fresh.members[0].highway.weight.abs().sum() == 0
    member = network().members[0]
    member.head.outer.weight.data.zero_()  # what is not linear says the same everywhere
    given = window()
    one, other = (
        member(past, given.future, given.static, given.anchor)
        for past in (given.past, 0.5 * given.past)
    )
    none = member(0 * given.past, given.future, given.static, given.anchor)
    torch.testing.assert_close(other - none, 0.5 * (one - none))


def test_the_forecast_of_several_members_is_their_mean() -> None:
    model, given = network(3).eval(), window(batch=4)
    inputs = (given.past, given.future, given.static, given.anchor)
    alone = [member(*inputs) for member in model.members]
    assert not torch.equal(alone[0], alone[1])
    torch.testing.assert_close(model(given), (alone[0] + alone[1] + alone[2]) / 3)
    assert (model(given).diff(dim=-1) >= 0).all()


def test_in_training_each_member_has_windows_of_its_own() -> None:
    model, given = network(3).train(), window(batch=8)
    found = model(given)
    shares = [part_of(given, *share) for share in ((0, 3), (3, 6), (6, 8))]
    for member, share, begin in zip(model.members, shares, (0, 3, 6), strict=True):
        wanted = member(share.past, share.future, share.static, share.anchor)
        torch.testing.assert_close(found[:, begin : begin + wanted.shape[1]], wanted)
    found.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    for member in model.members:
        assert member.encoder.weight_hh_l0.grad.abs().sum() > 0
        assert member.head.outer.weight.grad.abs().sum() > 0
    # No window teaches another's member.
    model.zero_grad()
    model(given)[:, :3].sum().backward()
    for number, member in enumerate(model.members):
        learns = sum(float(p.grad.abs().sum()) for p in member.parameters())
        assert (learns > 0) == (number == 0)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("patch", [1, 3])
def test_a_batch_may_have_fewer_windows_than_members(batch: int, patch: int) -> None:
    model, given = network(5, patch=patch).train(), window(batch=batch)
    found = model(given)
    assert found.shape == (4, batch, len(LEVELS))
    found.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
