"""The network: quantiles never cross, and it follows what it is given and nothing else."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.forecasting.network import ForecastingNetwork, QuantileHead
from carousel.tasks.forecasting.windows import Window

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


def window(time: int = 7, batch: int = 3, horizon: int = 4) -> Window:
    series = torch.zeros(batch, dtype=torch.int64)
    wide = torch.ones(batch, dtype=torch.float64)
    return Window(
        past=torch.randn(time, batch, 5),
        future=torch.randn(horizon, batch, 3),
        anchor=torch.randn(batch),
        target=torch.zeros(horizon, batch),
        observed=torch.ones(horizon, batch),
        center=wide,
        scale=wide,
        series_scale=wide,
        series=series,
        origin=series,
    )


def network(**changes: object) -> ForecastingNetwork:
    options = {"quantiles": LEVELS, "hidden_size": 6, "num_layers": 2, "dropout": 0.0, **changes}
    return ForecastingNetwork(5, 3, **options)  # type: ignore[arg-type]


@given(
    seed=st.integers(0, 2**31),
    size=st.floats(0.0, 1e4),
    levels=st.sets(st.sampled_from([0.01, 0.1, 0.25, 0.75, 0.9, 0.99])),
)
def test_quantiles_never_cross(seed: int, size: float, levels: set[float]) -> None:
    torch.manual_seed(seed)
    head = QuantileHead(4, 8, tuple(sorted({*levels, 0.5})))
    found = head(size * torch.randn(50, 4))
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
    moved = model(given._replace(anchor=given.anchor + 2.0))
    torch.testing.assert_close(moved, found + 2.0)


def test_windows_of_a_batch_do_not_touch_each_other() -> None:
    model, given = network().eval(), window()
    alone = Window(*(part[..., 1:2, :] if part.ndim == 3 else part[..., 1:2] for part in given))
    torch.testing.assert_close(model(alone)[:, 0], model(given)[:, 1])


def test_past_and_future_reach_the_forecast() -> None:
    model, given = network(), window()
    past, future = given.past.requires_grad_(), given.future.requires_grad_()
    model(given._replace(past=past, future=future))[-1].sum().backward()
    assert past.grad is not None
    assert future.grad is not None
    assert (past.grad.abs().sum((1, 2)) > 0).all()
    assert (future.grad.abs().sum((1, 2)) > 0).all()
