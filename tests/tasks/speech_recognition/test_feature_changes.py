"""Changes of features: formulas by hand or against NumPy, and what chance may and may not do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.speech_recognition.signals import RATE, generator, some_features, tone

from carousel.data.acoustic_features import AcousticFeatures
from carousel.errors import OptionError
from carousel.tasks.speech_recognition.feature_changes import masked, stretched, warped

MASKS = {
    "time_masks": 2, "time_width": 8, "time_share": 0.3, "frequency_masks": 2, "frequency_width": 3
}  # fmt: skip
NO_MASKS = {**MASKS, "time_masks": 0, "frequency_masks": 0}


# --- stretching ---------------------------------------------------------------------------------


@given(frames=st.integers(0, 40), size=st.integers(1, 4), factor=st.floats(0.5, 2))
def test_stretching_interpolates_between_frames(frames: int, size: int, factor: float) -> None:
    x = some_features(frames, size)
    before = x.copy()
    found = stretched(x, factor)
    assert (x == before).all()
    assert found.dtype == np.float32
    wanted = max(round(frames * factor), 1 if frames else 0)
    assert found.shape == (wanted, size)
    if frames:
        # The middles of both, as parts of the whole; NumPy holds the ends' values beyond them.
        middles = (np.arange(frames) + 0.5) / frames
        places = (np.arange(wanted) + 0.5) / wanted
        expected = [np.interp(places, middles, column) for column in x.T]
        assert np.allclose(found, np.stack(expected, 1), rtol=0, atol=2e-5)


def test_stretching_by_hand() -> None:
    x = np.array([[0], [4]], np.float32)
    assert stretched(x, 2.0).tolist() == [[0], [1], [3], [4]]
    assert stretched(x, 0.5).tolist() == [[2]]
    assert (stretched(x, 1.0) == x).all()


# --- warping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.7, 0.9, 0.97, 1.08, 1.2, 1.3])
def test_warping_hears_a_tone_where_a_tone_of_that_factor_is(factor: float) -> None:
    features = AcousticFeatures(rate=RATE, bins=60)
    for hertz in (300.0, 700.0, 1500.0, 3000.0):
        x, wanted = (features.compute(tone(f, 0.2)) for f in (hertz, hertz * factor))
        found = warped(x, factor, features.middles)
        assert found.shape == x.shape
        assert found.dtype == np.float32
        assert abs(int(found[10].argmax()) - int(wanted[10].argmax())) <= 1


@given(size=st.integers(2, 30), factor=st.floats(0.7, 1.3))
def test_warping_keeps_order_and_both_ends_of_the_scale(size: int, factor: float) -> None:
    """A feature that is the filter's own frequency tells where it was heard."""
    middles = AcousticFeatures(rate=RATE, bins=30).middles[:size]
    x = np.tile(middles.astype(np.float32), (3, 1))
    before = x.copy()
    found = warped(x, factor, middles)
    assert (x == before).all()
    assert (np.diff(found[0]) >= 0).all()
    assert np.allclose(found[:, -1], middles[-1], rtol=1e-6)
    bend = 0.6 * middles[-1] * min(factor, 1)
    plain = middles < bend
    expected = np.maximum(middles[plain] / factor, middles[0])
    # Only the slope changes at the bend; below it the paper's line is followed from filter to
    # filter, which for a straight feature is exact.
    assert np.allclose(found[0][plain], expected, rtol=1e-5)


def test_warping_by_hand() -> None:
    middles = np.array([100.0, 200.0, 400.0, 1000.0])
    x = np.array([[0, 1, 3, 9]], np.float32)
    # The bend lies at 0.6 · 1000 · 0.8: 100 and 200 are heard at 125 and 250, and 400 at 500.
    assert np.allclose(warped(x, 0.8, middles), [[0.25, 1.5, 4, 9]])
    assert (warped(x, 1.0, middles) == x).all()
    assert warped(x[:0], 0.8, middles).shape == (0, 4)
    one = x[:, :1]
    assert (warped(one, 0.8, middles[:1]) == one).all()  # there is nowhere else to hear


# --- masks --------------------------------------------------------------------------------------


@given(
    shape=st.tuples(st.integers(0, 30), st.integers(1, 12)),
    masks=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    widths=st.tuples(st.integers(0, 40), st.integers(0, 20)),
    share=st.floats(0, 1),
    fill=st.sampled_from([0.0, -7.5]),
    seed=st.integers(0, 999),
)
def test_masks_hide_whole_frames_and_features_and_nothing_else(
    shape: tuple[int, int],
    masks: tuple[int, int],
    widths: tuple[int, int],
    share: float,
    fill: float,
    seed: int,
) -> None:
    x = some_features(*shape)
    before = x.copy()
    found = masked(
        x,
        generator(seed),
        time_masks=masks[0],
        time_width=widths[0],
        time_share=share,
        frequency_masks=masks[1],
        frequency_width=widths[1],
        fill=fill,
    )
    assert (x == before).all()
    assert found.dtype == np.float32
    hidden = found == fill  # of which x has none
    assert (found[~hidden] == x[~hidden]).all()
    rows, columns = hidden.all(1), hidden.all(0)
    whole = rows.all() or columns.all()  # then either alone may have hidden all
    if not whole:
        assert (hidden == rows[:, None] | columns).all()
        assert rows.sum() <= masks[0] * min(widths[0], math.floor(share * shape[0]))
        assert columns.sum() <= masks[1] * min(widths[1], shape[1])
        # No more runs than masks.
        for marks, most in ((rows, masks[0]), (columns, masks[1])):
            assert (np.diff(marks.astype(int), prepend=0) == 1).sum() <= most


def test_widths_and_places_are_uniform_as_in_the_paper() -> None:
    x, rng = some_features(20, 10), generator()
    runs = 3_000
    for axis, options, longest in (
        (1, {"time_masks": 1, "time_width": 99, "time_share": 0.2}, 4),  # of 20 frames
        (1, {"time_masks": 1, "time_width": 3, "time_share": 1.0}, 3),
        (0, {"frequency_masks": 1, "frequency_width": 3}, 3),
    ):
        found = [masked(x, rng, **{**NO_MASKS, **options}) == 0 for _ in range(runs)]
        marks = np.array([hidden.all(axis) for hidden in found])
        widths = np.bincount(marks.sum(1), minlength=longest + 1) / runs
        assert len(widths) == longest + 1
        assert widths == pytest.approx([1 / (longest + 1)] * (longest + 1), abs=0.03)
        # Of those of one width all begin equally often, the last place included.
        begins = marks[marks.sum(1) == longest].argmax(1)
        places = marks.shape[1] - longest + 1
        shares = np.bincount(begins, minlength=places) / len(begins)
        assert shares == pytest.approx([1 / places] * places, abs=0.06)
        assert len(shares) == places


def test_no_mask_leaves_all() -> None:
    x = some_features(9, 5)
    for options in (NO_MASKS, {**MASKS, "time_share": 0.0, "frequency_width": 0}):
        found = masked(x, generator(), **options)
        assert (found == x).all()
        assert found is not x


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, g: stretched(x, 2.1), r"factor: expected 0\.5 to 2, got 2\.1"),
        (lambda x, g: masked(x, g, **{**MASKS, "time_masks": -1}), "time_masks: .* 0 or more"),
        (lambda x, g: masked(x, g, **{**MASKS, "time_width": -1}), "time_width: .* got -1"),
        (lambda x, g: masked(x, g, **{**MASKS, "frequency_masks": -1}), "frequency_masks: "),
        (lambda x, g: masked(x, g, **{**MASKS, "frequency_width": -2}), "frequency_width: "),
        (lambda x, g: masked(x, g, **{**MASKS, "time_share": 1.5}), "time_share: .* 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_refused(call: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        call(some_features(9, 5), generator())
