"""Numbers of units against loops over single numbers and closed forms, also of 0 and 1 steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.inspection.recorded_layers import plain, recorded

from carousel.inspection.statistics import (
    GATES,
    correlations,
    layer_statistics,
    standardized,
)

T, H = 40, 7
# One rounding to float32 at the end; what is computed in float64 before is far below it.
ROUNDED = {"rtol": 2.0**-23, "atol": 0}
MEANS = ("half_life", "keep", "write", "read")


def in_loops(layer, h: int) -> dict[str, float]:
    """The definitions of one unit, step by step."""
    f, i, g, o, c = ([float(v) for v in getattr(layer, name)[:, h]] for name in "figoc")
    shown = [o[t] * math.tanh(c[t]) for t in range(len(layer))]
    changes = [(shown[t] - shown[t - 1]) ** 2 for t in range(1, len(layer))]
    kept = 1.0
    for value in f:
        kept *= value
    return {
        "half_life": len(layer) * math.log(0.5) / math.log(kept),
        "keep": sum(f) / len(layer),
        "write": sum(a * abs(b) for a, b in zip(i, g, strict=True)) / len(layer),
        "read": sum(o) / len(layer),
        "shown": sum(map(abs, shown)) / sum(abs(math.tanh(v)) for v in c),
        "activity": math.sqrt(sum(changes) / len(changes)),
    }


@pytest.mark.parametrize("reverse", [False, True])
def test_every_number_is_its_definition(reverse: bool) -> None:
    layer = recorded(T, H, reverse=reverse)
    found = layer_statistics(layer)
    for h in range(H):
        for name, expected in in_loops(layer, h).items():
            np.testing.assert_allclose(getattr(found, name)[h], expected, err_msg=name, **ROUNDED)
        for gate in GATES:
            column = [float(value) for value in getattr(layer, gate)[:, h]]
            low, high = sum(v < 0.1 for v in column) / T, sum(v > 0.9 for v in column) / T
            np.testing.assert_allclose(found.saturation_low[gate][h], low, **ROUNDED)
            np.testing.assert_allclose(found.saturation_high[gate][h], high, **ROUNDED)


def test_saturation_is_counted_beyond_the_bounds_only() -> None:
    columns = np.array([[0.05, 0.5], [0.0999, 0.9001], [0.1001, 0.95], [0.5, 1.0]])
    for gate in GATES:
        found = layer_statistics(plain(**{gate: columns}))
        np.testing.assert_array_equal(found.saturation_low[gate], [0.5, 0])
        np.testing.assert_array_equal(found.saturation_high[gate], [0, 0.75])


@pytest.mark.parametrize("steps", [1.0, 7.0, 1000.0])
def test_a_constant_gate_has_halved_the_memory_after_a_half_life(steps: float) -> None:
    gate = np.full((T, 1), 0.5 ** (1 / steps))
    # The gate is rounded to float32, which moves ln f by 2^-24 relative to f, of ln 2 / steps.
    allowed = 2.0**-24 * steps / math.log(2) + 2.0**-23
    np.testing.assert_allclose(layer_statistics(plain(f=gate)).half_life, steps, rtol=allowed)


def test_half_lives_have_ends() -> None:
    gates = np.array([[1.0, 0.0, 0.5], [1.0, 0.5, 0.5]])
    np.testing.assert_array_equal(
        layer_statistics(plain(f=gates)).half_life, np.float32([math.inf, 0, 1])
    )


def test_a_memory_that_is_empty_shows_nothing() -> None:
    found = layer_statistics(plain(c=np.zeros((T, 2))))
    np.testing.assert_array_equal(found.shown, [0, 0])
    np.testing.assert_array_equal(found.activity, [0, 0])
    assert found.dead.all()


def test_dead_units_are_those_that_stay_within_a_band() -> None:
    c = np.zeros((T, 4))
    c[5:9, 1] = 0.018  # of which o = 0.5 shows a bit less than 0.009
    c[7, 2] = 0.022  # once in a while is not dead
    c[:, 3] = 2.0
    np.testing.assert_array_equal(layer_statistics(plain(c=c)).dead, [True, True, False, True])


def test_duplicates_name_the_first_unit_before_them() -> None:
    rng = np.random.default_rng(1)
    c = rng.normal(size=(T, 7))
    c[:, 3] = -c[:, 1]
    c[:, 4] = 0
    c[:, 5] = 0
    c[:, 6] = c[:, 1]
    found = layer_statistics(plain(c=c))
    np.testing.assert_array_equal(found.duplicate_of, [-1, -1, -1, 1, -1, -1, 1])
    assert np.abs(np.corrcoef(c[:, :4].T) - np.eye(4))[:3, :3].max() < 0.99


def test_a_dead_unit_is_no_duplicate_and_nobodys_first() -> None:
    source = np.random.default_rng(1).uniform(-0.3, 0.3, T)  # where tanh is nearly a line
    c = np.stack([0.001 * source, source, source, 0.001 * source], 1)
    found = layer_statistics(plain(c=c))
    np.testing.assert_array_equal(found.dead, [True, False, False, True])
    np.testing.assert_array_equal(found.duplicate_of, [-1, -1, 1, -1])


@pytest.mark.parametrize(("share", "expected"), [(0.3, -1), (0.05, 0)])
def test_duplicates_are_nearly_the_same(share: float, expected: int) -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 500))
    c = np.stack([one, one + share * other], 1)
    # r = 1/√(1 + share²) but for the chance in 500 draws: 0.958 and 0.9988.
    assert layer_statistics(plain(c=c)).duplicate_of[1] == expected


def test_a_projection_leaves_h_units() -> None:
    values = recorded(T, H)
    projected = plain(**{name: getattr(values, name) for name in "figoc"}, h=np.zeros((T, 2)))
    expected, found = layer_statistics(values), layer_statistics(projected)
    for name in (*MEANS, "shown", "activity", "dead", "duplicate_of"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_no_steps_have_no_mean() -> None:
    found = layer_statistics(recorded(0, H))
    for name in MEANS:
        assert np.isnan(getattr(found, name)).all(), name
    for gate in GATES:
        assert np.isnan(found.saturation_low[gate]).all()
        assert np.isnan(found.saturation_high[gate]).all()
    for values in (found.shown, found.activity, found.dead, found.duplicate_of + 1):
        np.testing.assert_array_equal(values, np.zeros(H))


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps_make_neither_dead_nor_duplicate_units(steps: int) -> None:
    found = layer_statistics(plain(c=np.arange(steps * 3.0).reshape(steps, 3)))
    assert not found.dead.any()
    assert (found.duplicate_of == -1).all()
    assert np.isfinite(found.half_life).all()
    assert (found.activity > 0).all() == (steps == 2)


def test_correlations_are_pearsons() -> None:
    values = np.random.default_rng(3).normal(5, 2, (T, H)).astype(np.float32)
    z = standardized(values)
    # Sums of T products; NumPy's own has as many roundings.
    allowed = {"rtol": 0, "atol": 8 * T * 2.0**-53}
    np.testing.assert_allclose(z.mean(0), 0, **allowed)
    np.testing.assert_allclose((z**2).sum(0), 1, **allowed)
    np.testing.assert_allclose(correlations(values), np.corrcoef(values.T), **allowed)
    assert np.abs(correlations(values)).max() <= 1


def test_what_does_not_vary_correlates_with_nothing() -> None:
    values = np.random.default_rng(4).normal(size=(T, 6)).astype(np.float32)
    values[:, 1] = 3.3
    values[:, 2] = 1000.1
    values[::2, 2] = np.nextafter(values[0, 2], np.float32(np.inf))
    values[3, 3] = np.nan
    values[4, 4] = np.inf
    found = correlations(values)
    assert not found[1:5].any()
    assert not found[:, 1:5].any()
    np.testing.assert_allclose(
        found[0, 5], np.corrcoef(values[:, [0, 5]].T)[0, 1], rtol=0, atol=8 * T * 2.0**-53
    )
    values[0, 2] += 1  # that one step is no rounding
    assert correlations(values)[2, 0] != 0


@pytest.mark.parametrize("steps", [0, 1])
def test_there_is_no_correlation_in_a_step(steps: int) -> None:
    np.testing.assert_array_equal(correlations(np.ones((steps, 3))), np.zeros((3, 3)))


def test_of_what_is_no_number_nothing_is_said() -> None:
    layer = recorded(T, 3)
    for name in "fgc":
        getattr(layer, name)[30:, 1] = np.nan
    layer.c[12, 1] = np.inf
    assert layer.broken_from == 12
    assert recorded(T, 3).broken_from is None
    found, whole = layer_statistics(layer), layer_statistics(recorded(T, 3))
    for name in ("half_life", "keep", "write", "shown", "activity"):
        values = getattr(found, name)
        assert np.isnan(values[1]), name
        assert np.array_equal(values[[0, 2]], getattr(whole, name)[[0, 2]]), name
    for table in (found.saturation_low, found.saturation_high):
        assert np.isnan(table["f"]).tolist() == [False, True, False]
        assert not np.isnan(table["o"]).any()
    assert not found.dead[1]
    assert found.duplicate_of[1] == -1
