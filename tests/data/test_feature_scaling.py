"""Slopes against Kaldi's, moments against NumPy's, and scales that no cut changes."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.extras import import_extra
from carousel.data.feature_scaling import Moments, RunningScale, scaled, with_deltas
from carousel.errors import DataError, ModelError, OptionError

LENGTHS = st.lists(st.integers(0, 9), max_size=8)


def features(frames: int, size: int = 3, seed: int = 1) -> np.ndarray:
    """Features of unlike means and spreads."""
    x = np.random.default_rng(seed).standard_normal((frames, size))
    return (x * 10.0 ** np.arange(size) + 5.0 - np.arange(size)).astype(np.float32)


def moments_of(x: np.ndarray) -> Moments:
    exact = x.astype(np.float64)
    return Moments(len(x), exact.mean(0), exact.var(0))


def close(found: Moments, expected: Moments) -> bool:
    return (
        found.count == expected.count
        and np.allclose(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
        and np.allclose(found.var, expected.var, rtol=1e-12, atol=1e-12)
    )


@given(
    frames=st.integers(1, 20),
    size=st.integers(1, 4),
    order=st.integers(0, 3),
    window=st.integers(1, 3),
)
def test_deltas_are_kaldis(frames: int, size: int, order: int, window: int) -> None:
    x = features(frames, size)
    library = import_extra("kaldi_native_fbank", "speech")
    options = library.DeltaOptions(order=order, window=window)
    found = with_deltas(x, order, window)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, :size], x)
    expected = library.compute_deltas(options, x) if order else x
    # Its sums are in single precision, of which one addend may be 1000 times the result.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(x).max())


def test_deltas_of_a_line_and_a_parabola() -> None:
    t = np.arange(30, dtype=np.float32)
    found = with_deltas(np.stack([3 * t, t**2], axis=1))
    inner = slice(4, -4)
    np.testing.assert_allclose(found[inner, 2], 3, rtol=1e-6)  # the slope of 3 t
    np.testing.assert_allclose(found[inner, 3], 2 * t[inner], rtol=1e-6)
    np.testing.assert_allclose(found[inner, 4], 0, atol=1e-6)
    np.testing.assert_allclose(found[inner, 5], 2, rtol=1e-5)
    # At the edge the first frame stands again: (1 · (3 - 0) + 2 · (6 - 0)) / 10.
    assert found[0, 2] == pytest.approx(1.5)
    assert with_deltas(features(0)).shape == (0, 9)
    constant = np.repeat(features(1), 5, axis=0) / 3
    for x in (constant, constant[:1]):
        assert (with_deltas(x, order=3)[:, 3:] == 0).all()


@pytest.mark.parametrize("options", [{"order": -1}, {"window": 0}])
def test_deltas_are_checked(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="order of 0 or more over a window of 1 frame or more"):
        with_deltas(features(3), **options)


@given(lengths=LENGTHS.filter(any))
def test_moments_of_parts_are_those_of_all(lengths: list[int]) -> None:
    x = features(sum(lengths))
    parts = np.split(x, list(itertools.accumulate(lengths)))
    found = Moments.of(iter(parts))
    assert close(found, moments_of(x))
    assert (found.mean.dtype, found.var.dtype) == (np.float64, np.float64)
    several = [Moments.of([part]) for part in parts if len(part)]
    backwards = several[-1]
    for other in several[-2::-1]:
        backwards = backwards.merged(other)
    assert close(backwards, moments_of(x))


def test_moments_keep_their_digits_far_from_zero() -> None:
    # Sums of squares in single precision would lose all of a variance of 1 about 4000.
    x = (np.random.default_rng(1).standard_normal((2_000, 2)) + 4_000).astype(np.float32)
    assert close(Moments.of(np.split(x, 40)), moments_of(x))


def test_moments_are_saved_and_checked() -> None:
    found = Moments.of([features(7)])
    again = Moments.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.count == found.count == 7
    assert np.array_equal(again.mean, found.mean)
    assert np.array_equal(again.var, found.var)
    for nothing in ([], [features(0)]):
        with pytest.raises(DataError, match="expected frames of features, got none; give"):
            Moments.of(nothing)
    with pytest.raises(DataError, match=r"expected 3 features a frame, as .* got 4; compute"):
        Moments.of([features(2), features(2, 4)])


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"count": None},
        {"mean": [1.0]},
        {"mean": [[1.0], [2.0], [3.0]], "var": [[1.0], [2.0], [3.0]]},
        {"mean": "abc"},
        {"mean": [1.0, 2.0, float("nan")]},
        {"var": [1.0, float("inf"), 1.0]},
        {"var": [1.0, -1.0, 1.0]},
        {"mean": [], "var": []},
    ],
)
def test_damaged_moments_are_refused(change: dict[str, Any]) -> None:
    values = Moments.of([features(7)]).to_dict()
    with pytest.raises(ModelError, match=r"as they were saved, got damaged ones .*train again"):
        Moments.from_dict({**values, **change})
    del values["var"]
    with pytest.raises(ModelError, match="KeyError: 'var'"):
        Moments.from_dict(values)


def test_scaled_has_mean_0_and_variance_1() -> None:
    x = features(500)
    found = scaled(x, Moments.of([x]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(0, np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(found.var(0, dtype=np.float64), 1, rtol=1e-6)
    np.testing.assert_allclose(found, (x - x.mean(0)) / x.std(0), rtol=1e-3, atol=1e-5)
    assert scaled(features(0), Moments.of([x])).shape == (0, 3)


def test_constant_features_become_0() -> None:
    x = features(50)
    x[:, 0], x[:, 2] = 0.1, 0
    moments = Moments.of([x[:7], x[7:]])
    other = features(20, seed=2)
    for found in (scaled(other, moments), RunningScale(moments, 10).feed(other)):
        assert (found[:, [0, 2]] == 0).all()
        assert found[:, 1].std() > 0.5
    # What a stream makes constant is no division by 0 either.
    still = RunningScale(moments, 1e-30).feed(np.full((9, 3), 7.0, np.float32))
    assert np.array_equal(still, np.zeros((9, 3)))


def by_frame(x: np.ndarray, moments: Moments, weight: float) -> np.ndarray:
    """The running scale as its definition says it, each time over all frames so far."""
    rows = []
    for t in range(1, len(x) + 1):
        heard = x[:t].astype(np.float64)
        total = weight + t
        mean = (weight * moments.mean + heard.sum(0)) / total
        spread = weight * (moments.var + (moments.mean - mean) ** 2)
        var = (spread + ((heard - mean) ** 2).sum(0)) / total
        rows.append((heard[-1] - mean) / np.sqrt(var))
    return np.array(rows).reshape(x.shape)


@given(lengths=LENGTHS, weight=st.sampled_from([0.5, 1, 100, 1e6]), offset=st.integers(-50, 50))
def test_running_scale_is_its_definition_however_cut(
    lengths: list[int], weight: float, offset: int
) -> None:
    moments = Moments.of([features(200)])
    x = features(sum(lengths), seed=2) + np.float32(offset)
    whole = RunningScale(moments, weight).feed(x)
    np.testing.assert_allclose(whole, by_frame(x, moments, weight), rtol=1e-5, atol=1e-6)
    stream = RunningScale(moments, weight)
    parts = [stream.feed(part) for part in np.split(x, list(itertools.accumulate(lengths)))]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.float32


def test_running_scale_goes_from_the_training_data_to_the_stream() -> None:
    moments = Moments.of([features(200)])
    x = features(4_000, seed=2) * 3 + 20
    far = RunningScale(moments, 1e12).feed(x)
    np.testing.assert_allclose(far, scaled(x, moments), rtol=1e-3, atol=1e-3)
    late = RunningScale(moments, 1).feed(x)[-2_000:]
    assert np.abs(late.mean(0)).max() < 0.1
    assert np.abs(late.std(0) - 1).max() < 0.1
    # What comes later changes nothing before it.
    early = RunningScale(moments, 50).feed(np.concatenate([x[:100], x[:100] * 9]))[:100]
    assert np.array_equal(early, RunningScale(moments, 50).feed(x[:100]))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_running_scale_is_checked(weight: float) -> None:
    with pytest.raises(OptionError, match=r"weight: expected above 0 frames .* use scaled"):
        RunningScale(Moments.of([features(3)]), weight)
