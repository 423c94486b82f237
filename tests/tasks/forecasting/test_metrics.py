"""Scores against their formulas, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.forecasting.metrics import (
    coverage,
    inside,
    percentage_errors,
    pinball,
    smape,
)


def test_pinball_by_hand() -> None:
    actual = torch.tensor([[10.0, 10.0]], dtype=torch.float64)
    quantiles = torch.tensor([[[8.0, 13.0], [12.0, 9.0]]], dtype=torch.float64)
    levels = torch.tensor([0.1, 0.9], dtype=torch.float64)
    # first: 0.1·2 and 0.1·3; second: 0.9·2 and 0.9·1
    assert pinball(actual, quantiles, levels)[0].tolist() == pytest.approx([0.25, 1.35])


def test_the_pinball_loss_is_least_at_its_quantile() -> None:
    sample = torch.arange(1001, dtype=torch.float64)[:, None]
    for level in (0.1, 0.5, 0.975):
        losses = [
            float(
                pinball(sample, torch.full((1001, 1, 1), q).double(), torch.tensor([level])).mean()
            )
            for q in range(0, 1001, 5)
        ]
        assert 5 * int(np.argmin(losses)) == pytest.approx(1000 * level, abs=5)


def test_smape_by_hand() -> None:
    assert smape(np.array([1.0, 3.0]), np.array([3.0, 3.0])) == pytest.approx(50.0)
    assert smape(np.array([0.0, 1.0]), np.array([0.0, -1.0])) == pytest.approx(100.0)
    assert smape(np.array([np.nan, 2.0]), np.array([5.0, 2.0])) == 0.0


def test_coverage_by_hand() -> None:
    actual = np.array([1.0, 2.0, 3.0, np.nan])
    assert coverage(actual, np.full(4, 2.0), np.full(4, 9.0)) == pytest.approx(2 / 3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(-1e6, 1e6))
def test_smape_lies_between_0_and_200(actual: list[float], forecast: float) -> None:
    found = smape(np.array(actual), np.full(len(actual), forecast))
    assert 0.0 <= found <= 200.0 + 1e-9
    assert not math.isnan(found)


def test_errors_and_intervals_point_by_point() -> None:
    actual = np.array([1.0, 3.0, np.nan])
    found = percentage_errors(actual, np.array([3.0, 3.0, 1.0]))
    assert found[:2] == pytest.approx([100.0, 0.0])
    held = inside(actual, np.full(3, 1.0), np.full(3, 2.0))
    assert held[:2].tolist() == [1.0, 0.0]
    assert np.isnan([found[2], held[2]]).all()


def test_nothing_has_no_score_and_no_warning() -> None:
    nothing = np.full(3, np.nan)
    assert math.isnan(smape(nothing, np.ones(3)))
    assert math.isnan(coverage(nothing, np.zeros(3), np.ones(3)))
