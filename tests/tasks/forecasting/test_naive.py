"""Naive forecasts and their errors, against a plain loop over series and rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.forecasting.naive import (
    last_of_phase,
    levels,
    naive_errors,
    naive_percentage,
    usual_steps,
)

VALUES = st.lists(
    st.one_of(st.just(float("nan")), st.integers(-20, 20).map(float)), min_size=1, max_size=25
)
SERIES = st.lists(VALUES, min_size=1, max_size=5)


def laid(series: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """The series end to end, and where each begins."""
    return np.concatenate(series), np.cumsum([0, *map(len, series)])


def steps(y: list[float], lag: int, known: int) -> list[tuple[float, float]]:
    """Known values that are there, each with the one ``lag`` before it."""
    pairs = [(y[t], y[t - lag]) for t in range(lag, min(known, len(y)))]
    return [(now, then) for now, then in pairs if not np.isnan(now) and not np.isnan(then)]


@given(series=SERIES, lag=st.integers(1, 9))
def test_the_last_of_a_phase(series: list[list[float]], lag: int) -> None:
    found = last_of_phase(*laid(series), lag)
    wanted = []
    for y in series:
        for t in range(len(y)):
            back = [y[s] for s in range(t, -1, -lag) if not np.isnan(y[s])]
            wanted.append(back[0] if back else np.nan)
    assert np.array_equal(found, wanted, equal_nan=True)


@given(series=SERIES, lag=st.integers(1, 9), data=st.data())
def test_errors_levels_and_shares(series: list[list[float]], lag: int, data: st.DataObject) -> None:
    known = np.array([data.draw(st.integers(0, len(y))) for y in series])
    y, offsets = laid(series)
    errors, sizes, shares = [], [], []
    for own, rows in zip(series, known, strict=True):
        pairs = steps(own, lag, rows)
        for now, then in pairs:
            if now or then:
                shares.append(2 * abs(now - then) / (abs(now) + abs(then)))
        pairs = pairs or steps(own, 1, rows)
        errors.append(np.mean([abs(now - then) for now, then in pairs]) if pairs else 0.0)
        seen = [abs(value) for value in own[:rows] if not np.isnan(value)]
        sizes.append(np.mean(seen) if seen else 0.0)
    assert naive_errors(y, offsets, lag, known) == pytest.approx(errors)
    assert levels(y, offsets, known) == pytest.approx(sizes)
    mean = np.mean(shares) if shares else 0.0
    assert naive_percentage(y, offsets, lag, known) == pytest.approx(mean if mean > 0 else 1.0)


@given(series=SERIES, lag=st.integers(1, 9))
def test_no_series_looks_at_another(series: list[list[float]], lag: int) -> None:
    y, offsets = laid(series)
    whole = last_of_phase(y, offsets, lag)
    known = np.diff(offsets)
    errors = naive_errors(y, offsets, lag, known)
    for s, own in enumerate(series):
        alone = laid([own])
        span = slice(offsets[s], offsets[s + 1])
        assert np.array_equal(whole[span], last_of_phase(*alone, lag), equal_nan=True)
        assert errors[s] == pytest.approx(naive_errors(*alone, lag, known[s : s + 1])[0])


def test_by_hand() -> None:
    y, offsets = laid([[1.0, 2.0, 4.0, np.nan, 7.0], [5.0, 5.0, 5.0]])
    assert last_of_phase(y, offsets, 2).tolist() == [1.0, 2.0, 4.0, 2.0, 7.0, 5.0, 5.0, 5.0]
    assert naive_errors(y, offsets, 2, np.array([5, 3])).tolist() == [3.0, 0.0]  # 4-1 and 7-4
    assert naive_errors(y, offsets, 2, np.array([3, 3])).tolist() == [3.0, 0.0]
    # No two rows lie four apart in what is known, so neighbours are compared.
    assert naive_errors(y, offsets, 4, np.array([4, 3])).tolist() == [1.5, 0.0]
    assert levels(y, offsets, np.array([4, 0])).tolist() == [7.0 / 3, 0.0]
    # 2·3/5, 2·3/11 and 0.
    found = naive_percentage(y, offsets, 2, np.array([5, 3]))
    assert found == pytest.approx((6 / 5 + 6 / 11 + 0) / 3)


def test_a_series_that_does_not_move_has_a_usual_step_all_the_same() -> None:
    found = usual_steps(np.array([2.0, 0.0, 0.0]), np.array([9.0, 50.0, 0.0]))
    assert found.tolist() == pytest.approx([2.0, 0.05, 1.0])


def test_series_of_no_rows_are_none() -> None:
    nothing = np.zeros(0)
    assert last_of_phase(nothing, np.array([0]), 3).shape == (0,)
    assert naive_errors(nothing, np.array([0]), 3, np.zeros(0, np.int64)).shape == (0,)
    assert naive_percentage(nothing, np.array([0]), 3, np.zeros(0, np.int64)) == 1.0
