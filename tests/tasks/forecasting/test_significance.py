"""The test of a difference: by hand, against closed forms, and its size under the null."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.forecasting.significance import (
    LEAST,
    Outcome,
    Significance,
    compare,
    diebold_mariano,
    paired_t,
    student_t_p_value,
)

# Two-sided 5 % and 1 % points of Student's t, as every textbook prints them.
TABLE = [
    (1, 12.7062, 0.05), (4, 2.77645, 0.05), (9, 2.26216, 0.05), (30, 2.04227, 0.05),
    (120, 1.97993, 0.05), (1, 63.6567, 0.01), (10, 3.16927, 0.01), (60, 2.66028, 0.01),
]  # fmt: skip


@pytest.mark.parametrize(("freedom", "statistic", "wanted"), TABLE)
def test_students_t_as_in_the_tables(freedom: int, statistic: float, wanted: float) -> None:
    # The table's last digit moves p by less than 5e-6 · 0.1 relative to its slope.
    assert student_t_p_value(statistic, freedom) == pytest.approx(wanted, rel=2e-5)
    assert student_t_p_value(-statistic, freedom) == student_t_p_value(statistic, freedom)


@given(st.floats(1e-6, 1e6))
def test_students_t_in_closed_form(t: float) -> None:
    """ν = 1, 2 and 4 have closed forms; written so that nothing cancels."""
    root2, root4 = math.sqrt(2 + t * t), math.sqrt(4 + t * t)
    assert student_t_p_value(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-9)
    assert student_t_p_value(t, 2) == pytest.approx(2 / (root2 * (root2 + t)), rel=1e-9)
    # 1 − s(1 + 2/(4 + t²)) with s = t/√(4 + t²); as (1 − s)²·(1 + s/2).
    below = 4 / (root4 * (root4 + t))
    assert student_t_p_value(t, 4) == pytest.approx(below**2 * (1 + t / root4 / 2), rel=1e-9)


def test_students_t_becomes_normal_and_knows_its_ends() -> None:
    assert student_t_p_value(1.96, 1e7) == pytest.approx(math.erfc(1.96 / math.sqrt(2)), rel=1e-6)
    assert student_t_p_value(0.0, 5) == 1.0
    assert student_t_p_value(math.inf, 5) == student_t_p_value(1e200, 5) == 0.0
    assert math.isnan(student_t_p_value(math.nan, 5))
    between = student_t_p_value(2.0, 3.5)
    assert student_t_p_value(2.0, 4) < between < student_t_p_value(2.0, 3)


def test_diebold_mariano_by_hand() -> None:
    """d̄ = 3, γ_0 = 14/4, γ_1 = (2 + 0 + 0)/4, so V = 4.5, and the correction is 1.5/4."""
    found = diebold_mariano(np.array([1.0, 2.0, 3.0, 6.0]), overlap=1)
    assert found.statistic == pytest.approx(3 / math.sqrt(4.5 / 4) * math.sqrt(1.5 / 4))
    assert found.statistic == pytest.approx(math.sqrt(3))
    # Two windows that do not overlap leave one degree of freedom, and tan(π/3) = √3.
    assert found.p_value == pytest.approx(1 / 3)
    assert not found.bartlett
    assert diebold_mariano(-np.array([1.0, 2.0, 3.0, 6.0]), 1).statistic == -found.statistic


def test_without_overlap_it_is_the_paired_t_test() -> None:
    """Which is what the correction was made for: (n + 1 − 2 + 0)/n turns 1/n into 1/(n − 1)."""
    differences = np.array([1.0, 2.0, 3.0, 6.0])
    wanted = 3 / math.sqrt(14 / 3 / 4)
    for found in (diebold_mariano(differences), paired_t(differences)):
        assert found.statistic == pytest.approx(wanted)
        assert found.p_value == pytest.approx(student_t_p_value(wanted, 3))


def test_bartletts_weights_where_the_variance_is_not_positive() -> None:
    """Signs that change at each step: γ_1 = −γ_0 (n − 1)/n, so γ_0 + 2γ_1 < 0 and γ_0 + γ_1 > 0."""
    n = 20
    found = diebold_mariano(0.1 + (-1.0) ** np.arange(n), overlap=1)
    assert found.bartlett
    correction = (n + 1 - 4 + 2 / n) / n
    assert found.statistic == pytest.approx(0.1 / math.sqrt((1 / n) / n) * math.sqrt(correction))


@pytest.mark.parametrize("test", [diebold_mariano, paired_t])
def test_differences_without_spread(test: Callable[[np.ndarray], Outcome]) -> None:
    assert test(np.zeros(9)) == (0.0, 1.0, False)
    assert test(np.full(9, -0.3)) == (-math.inf, 0.0, False)
    assert test(np.full(9, 0.1)) == (math.inf, 0.0, False)


def compared(
    differences: np.ndarray, series: np.ndarray, origin: np.ndarray, shift: np.ndarray | int = 0
) -> Significance:
    """Tests (K, W) differences; row 0 of series s has the time stamp ``shift[s]``, in steps."""
    begin = origin + np.broadcast_to(shift, series.max() + 1)[series]
    return compare(
        differences,
        series=series,
        origin=origin,
        begin=begin,
        end=begin + len(differences) - 1,
        against="naive",
    )


def grid(size: int, origins: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of ``size`` series that share their origins."""
    return np.repeat(np.arange(size), origins), np.tile(stride * np.arange(origins), size)


def test_series_that_share_origins_are_one_time_series() -> None:
    random = np.random.default_rng(0)
    differences = random.normal(size=(3, 5 * 12))
    found = compared(differences, *grid(5, 12, 3))
    wanted = diebold_mariano(differences.reshape(3, 5, 12).mean((0, 1)))
    assert (found.kind, found.num, found.overlap, found.against) == ("origins", 12, 0, "naive")
    assert found.statistic == pytest.approx(wanted.statistic)
    assert found.p_value == pytest.approx(wanted.p_value)
    assert found.difference == pytest.approx(differences.mean())
    assert "Diebold–Mariano test over 12 origins" in found.words


@pytest.mark.parametrize(("horizon", "stride"), [(4, 1), (4, 2), (5, 2), (4, 3), (4, 4), (4, 7)])
def test_the_overlap_is_what_the_horizon_reaches(horizon: int, stride: int) -> None:
    random = np.random.default_rng(0)
    found = compared(random.normal(size=(horizon, 2 * 60)), *grid(2, 60, stride))
    assert found.overlap == math.ceil(horizon / stride) - 1
    assert found.kind == "origins"
    assert ("overlapping" in found.words) == (found.overlap > 0)


def test_every_series_weighs_the_same_as_in_mase() -> None:
    """One series with a gap and one with fewer origins: the mean is of the series' own means."""
    random = np.random.default_rng(0)
    series, origin = grid(3, 20, 2)
    differences = random.normal(size=(2, 60)) + series
    differences[0, 3] = differences[:, 21] = np.nan
    keep = (series != 2) | (origin >= 18)
    differences, series, origin = differences[:, keep], series[keep], origin[keep]
    found = compared(differences, series, origin)
    assert found.kind == "origins"
    own = [np.nanmean(differences[:, series == s]) for s in range(3)]
    assert found.difference == pytest.approx(np.mean(own))
    assert found.num_series == 3


def test_a_series_without_a_scale_is_left_out() -> None:
    random = np.random.default_rng(0)
    series, origin = grid(2, 12, 1)
    differences = random.normal(size=(1, 24))
    differences[:, series == 1] = np.nan
    found = compared(differences, series, origin)
    alone = compared(differences[:, :12], series[:12], origin[:12])
    assert found == alone
    nothing = compared(np.full((1, 24), np.nan), series, origin)
    assert nothing.kind == "none"
    assert math.isnan(nothing.difference)


def test_with_one_origin_each_the_series_are_compared() -> None:
    """As in M4, where series end at arbitrary stamps that have nothing to do with each other."""
    random = np.random.default_rng(0)
    differences = random.normal(size=(6, 50))
    found = compared(differences, *grid(50, 1, 1), shift=random.integers(0, 1000, 50))
    assert (found.kind, found.num, found.num_separate) == ("series", 50, 1)
    wanted = paired_t(differences.mean(0))
    assert (found.statistic, found.p_value) == pytest.approx((wanted.statistic, wanted.p_value))
    assert "paired t-test across 50 series, taken as independent" in found.words


def test_too_few_of_either_tell_nothing() -> None:
    random = np.random.default_rng(0)
    size = LEAST - 1
    found = compared(random.normal(size=(2, size * size)) - 9, *grid(size, size, 2))
    assert (found.kind, found.num_series, found.num_separate) == ("none", size, size)
    assert math.isnan(found.p_value)
    assert not found.tells
    assert found.words == "no test"
    # Many origins that all but coincide are few: 20 of them see 23 rows, which hold 5 windows.
    close = compared(random.normal(size=(4, 20)), *grid(1, 20, 1))
    assert (close.kind, close.num_separate) == ("none", 5)


def test_series_that_begin_between_the_others_origins_overlap_with_them() -> None:
    random = np.random.default_rng(0)
    found = compared(random.normal(size=(4, 3 * 20)), *grid(3, 20, 4), shift=np.array([0, 1, 3]))
    assert (found.kind, found.num, found.overlap) == ("origins", 60, 2)


def panels(stride: int, count: int, drift: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Differences of 4 steps; 6 series share most of each moment's surprise; 48/stride origins.

    Returns for each panel the differences (4, W) and the stride's origins.
    """
    random = np.random.default_rng(7)
    made = []
    for _ in range(count):
        shared = random.normal(size=60)
        own = np.stack([shared + 0.5 * random.normal(size=60) for _ in range(6)])
        series, origin = grid(6, 48 // stride, stride)
        made.append((own[series, origin + np.arange(4)[:, None]] + drift, origin))
    return made


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_it_says_5_percent_and_errs_in_about_5(stride: int) -> None:
    """400 panels without a difference; 3 standard errors of a share of 5 % are 3.3 points.

    Counting every window as independent errs in more than a quarter of them.
    """
    series = np.repeat(np.arange(6), 48 // stride)
    wrong = naive = 0
    for differences, origin in panels(stride, 400):
        found = compared(differences, series, origin)
        assert found.kind == "origins"
        wrong += found.tells
        naive += paired_t(differences.mean(0)).p_value < 0.05
    assert 0.05 - 0.033 < wrong / 400 < 0.05 + 0.033
    assert naive / 400 > 0.25


def test_it_sees_a_difference_that_is_there() -> None:
    series = np.repeat(np.arange(6), 12)
    seen = [compared(d, series, o).tells for d, o in panels(4, 100, drift=-0.8)]
    assert np.mean(seen) > 0.95
