"""The step size's values, and which budget counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.training import RunOptions
from carousel.training.schedule import rate_factor, used_budget


@pytest.mark.parametrize(
    ("schedule", "warmup", "used", "factor"),
    [
        ("constant", 0.0, 0.0, 1.0),
        ("constant", 0.0, 1.0, 1.0),
        ("constant", 0.5, 0.1, 0.2),
        ("linear", 0.0, 0.25, 0.75),
        ("linear", 0.2, 0.1, 0.5),
        ("linear", 0.2, 0.2, 1.0),
        ("linear", 0.2, 0.6, 0.5),
        ("linear", 0.2, 1.0, 0.0),
        ("cosine", 0.0, 0.0, 1.0),
        ("cosine", 0.0, 0.5, 0.5),
        ("cosine", 0.0, 1 / 3, 0.75),
        ("cosine", 0.2, 0.4, (1 + math.sqrt(0.5)) / 2),
        ("cosine", 0.2, 1.0, 0.0),
        ("cosine", 1.0, 0.5, 0.5),
        ("cosine", 1.0, 1.0, 1.0),
    ],
)
def test_values(schedule: str, warmup: float, used: float, factor: float) -> None:
    assert rate_factor(schedule, warmup, used) == pytest.approx(factor, abs=1e-12)


@given(
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
    warmup=st.floats(0, 1),
    points=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_it_rises_in_the_warm_up_and_never_after(
    schedule: str, warmup: float, points: tuple[float, float]
) -> None:
    early, late = sorted(points)
    first, second = (rate_factor(schedule, warmup, used) for used in (early, late))
    assert 0 <= first <= 1
    if late < warmup:
        assert first <= second
    if early >= warmup:
        assert first >= second


@pytest.mark.parametrize(
    ("budgets", "used"),
    [
        ({"max_steps": 100}, 0.3),
        ({"max_minutes": 4.0}, 0.5),
        ({"max_epochs": 5}, 0.25),
        ({"max_steps": 100, "max_minutes": 4.0, "max_epochs": 5}, 0.5),
        ({"max_steps": 10}, 1.0),
    ],
)
def test_the_budget_that_is_used_most_counts(budgets: dict[str, float], used: float) -> None:
    options = RunOptions(**budgets)
    assert used_budget(options, step=30, seconds=120.0, epochs=1.25) == pytest.approx(used)
