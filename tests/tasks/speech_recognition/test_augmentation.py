"""Augmentation: each formula against its inverse or NumPy, and what chance may and may not do."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.speech_recognition.signals import RATE, generator, some_features, tone

from carousel.data.acoustic_features import AcousticFeatures
from carousel.errors import MissingDependencyError, OptionError
from carousel.tasks.speech_recognition.augmentation import Augmentation, gained, noisy, speed
from carousel.tasks.speech_recognition.feature_changes import warped


def decibels_of(signal: np.ndarray, noise: np.ndarray) -> float:
    power = [np.mean(np.square(each.astype(np.float64))) for each in (signal, noise)]
    return float(10 * np.log10(power[0] / power[1]))


def changed(how: Augmentation, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return how.drawn(rng).applied(samples, rng)


# --- speed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.5, 2.0, 1.03])
def test_a_tone_played_faster_is_higher_and_shorter(factor: float) -> None:
    found = speed(tone(440), factor)
    assert found.dtype == np.float32
    assert len(found) == round(RATE / factor)
    # y(t) = x(factor t), away from the ends, where the filter reaches beyond them.
    inner = slice(500, len(found) - 500)
    expected = tone(440 * factor, 1 / factor)[: len(found)]
    assert np.abs(found[inner] - expected[inner]).max() < 1e-3


def test_what_would_be_too_high_for_the_rate_is_left_out() -> None:
    inner = slice(500, -500)
    assert np.abs(speed(tone(7_900), 1.1)[inner]).max() < 1e-3  # 8,690 Hz of 8,000
    assert np.abs(speed(tone(6_600), 1.1)[inner]).max() > 0.9  # 7,260 Hz


@pytest.mark.parametrize("number", [0, 1, 2, 7, 100])
def test_speed_of_little(number: int) -> None:
    samples = np.full(number, 0.5, np.float32)
    assert speed(samples, 1.0) is samples
    for factor in (0.9, 1.1):
        assert abs(len(speed(samples, factor)) - number / factor) <= 0.5 + 1e-9
    assert (samples == 0.5).all()


# --- noise and gain -----------------------------------------------------------------------------


@given(
    decibels=st.floats(-60, 60),
    color=st.sampled_from(["white", "pink"]),
    number=st.integers(1, 300),
    loud=st.floats(1e-3, 1e3),
    seed=st.integers(0, 99),
)
def test_noise_has_its_ratio_to_the_signal(
    decibels: float, color: Any, number: int, loud: float, seed: int
) -> None:
    samples = (generator(seed).uniform(0.5, 1, number) * loud).astype(np.float32)
    before = samples.copy()
    found = noisy(samples, generator(seed), decibels=decibels, color=color)
    assert found.dtype == np.float32
    assert found.shape == samples.shape
    assert (samples == before).all()
    # What is added is known to a rounding of the sum, 6e-8 of it, and at 60 dB is 1e-3 of it.
    noise = found.astype(np.float64) - samples
    assert decibels_of(samples, noise) == pytest.approx(decibels, abs=0.05)


@pytest.mark.parametrize(("color", "slope"), [("white", 0.0), ("pink", -1.0)])
def test_the_colour_of_noise_is_the_slope_of_its_spectrum(color: Any, slope: float) -> None:
    samples = tone(440, 8)
    noise = noisy(samples, generator(), decibels=0, color=color) - samples
    power = np.abs(np.fft.rfft(noise)) ** 2
    # The mean power of each octave; noise of 8 s has hundreds of frequencies in those.
    edges = 2 ** np.arange(7, 16)
    octaves = [power[a:b].mean() for a, b in itertools.pairwise(edges)]
    assert np.polyfit(np.arange(len(octaves)), np.log2(octaves), 1)[0] == pytest.approx(
        slope, abs=0.05
    )


def test_silence_stays_silent() -> None:
    for color in ("white", "pink"):
        for number in (0, 1, 50):
            found = noisy(np.zeros(number, np.float32), generator(), decibels=0, color=color)
            assert found.shape == (number,)
            assert (found == 0).all()


def test_quiet_signals_get_quiet_noise() -> None:
    samples = np.full(1_000, 1e-30, np.float32)  # whose square float32 cannot hold
    noise = noisy(samples, generator(), decibels=0).astype(np.float64) - samples
    assert decibels_of(samples, noise) == pytest.approx(0, abs=1e-3)


def test_gain_is_one_factor_within_its_range() -> None:
    samples = tone(440, 0.1)
    rng = generator()
    gains = []
    for _ in range(400):
        found = gained(samples, rng, decibels=6)
        assert found.dtype == np.float32
        loud = np.abs(samples) > 0.01
        ratios = found[loud] / samples[loud]
        assert np.ptp(ratios) < 1e-5
        gains.append(20 * math.log10(ratios.mean()))
    assert -6 <= min(gains) < -5.8
    assert 5.8 < max(gains) <= 6
    # The mean of 400 of U(−6, 6) has a standard error of 12 / √12 / 20.
    assert abs(np.mean(gains)) < 3 * 12 / math.sqrt(12) / 20
    assert (gained(samples, rng, decibels=0) == samples).all()
    assert (np.abs(gained(samples, generator(0), decibels=40)) > 1).any()  # nothing is cut off
    assert gained(samples[:0], rng, decibels=6).shape == (0,)


# --- all together -------------------------------------------------------------------------------


def test_none_changes_nothing_and_draws_nothing_that_shows() -> None:
    nothing = Augmentation.none()
    x, samples = some_features(30, 5), tone(440, 0.1)
    for seed in range(20):
        assert (nothing.features(x, generator(seed)) == x).all()
        assert (changed(nothing, samples, generator(seed)) == samples).all()


def test_one_generator_gives_one_result() -> None:
    some = Augmentation()
    x, samples = some_features(80, 40), tone(440, 0.2)
    for apply, given_one in ((some.features, x), (partial(changed, some), samples)):
        found = [apply(given_one, generator(seed)) for seed in range(20)]
        again = [apply(given_one, generator(seed)) for seed in range(20)]
        assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
        assert len({each.tobytes() for each in found}) == 20
        assert all(each.dtype == np.float32 and np.isfinite(each).all() for each in found)


def test_each_strength_does_what_it_says() -> None:
    samples, plain = tone(440, 0.2), Augmentation.none()
    off: dict[str, Any] = {
        name: getattr(plain, name) for name in ("speeds", "noise_share", "gain", "stretch")
    }
    off |= {"time_masks": 0, "frequency_masks": 0}
    rng = generator()
    faster = Augmentation(**{**off, "speeds": (0.8, 1.25)})
    lengths = [len(changed(faster, samples, rng)) for _ in range(100)]
    assert set(lengths) == {4_000, 2_560}
    assert 30 < lengths.count(4_000) < 70

    noise = Augmentation(**{**off, "noise_share": 0.4, "least_snr": 5, "most_snr": 20})
    added = [changed(noise, samples, rng) - samples for _ in range(300)]
    ratios = [decibels_of(samples, each) for each in added if each.any()]
    assert 80 < len(ratios) < 160
    assert 4.9 < min(ratios) < 6
    assert 19 < max(ratios) < 20.1
    # Pink noise is nearly all in the lower half of the spectrum, white noise by half.
    spectra = [np.abs(np.fft.rfft(each)) ** 2 for each in added if each.any()]
    low = np.array([each[: len(each) // 2].sum() / each.sum() for each in spectra])
    assert 0.3 < np.mean(low > 0.7) < 0.7
    assert low[low < 0.7] == pytest.approx(0.5, abs=0.1)

    louder = Augmentation(**{**off, "gain": 3.0})
    gains = [np.abs(changed(louder, samples, rng)).max() for _ in range(100)]
    assert 10 ** (-3 / 20) - 1e-3 < min(gains) < 0.8 < 1.3 < max(gains) < 10 ** (3 / 20) + 1e-3

    x = some_features(100, 12)
    longer = Augmentation(**{**off, "stretch": 0.2})
    frames = [len(longer.features(x, rng)) for _ in range(200)]
    assert 80 <= min(frames) < 84
    assert 116 < max(frames) <= 120

    hiding = Augmentation(
        **{**off, "time_masks": 1, "time_width": 50, "time_share": 0.1, "frequency_masks": 1,
           "frequency_width": 4}
    )  # fmt: skip
    found = [hiding.features(x, rng) == 0 for _ in range(200)]
    assert max(hidden.all(1).sum() for hidden in found) == 10
    assert max(hidden.all(0).sum() for hidden in found) == 4


def test_warping_is_drawn_for_each_utterance() -> None:
    middles = AcousticFeatures(rate=RATE, bins=12).middles
    x = some_features(6, 12)
    some = dataclasses.replace(Augmentation.none(), warp=0.2)
    rng = generator()
    found = [some.features(x, rng, middles) for _ in range(20)]
    assert len({one.tobytes() for one in found}) == 20
    drawn = generator()
    assert np.array_equal(found[0], warped(x, 1 + drawn.uniform(-0.2, 0.2), middles))


def test_features_are_stretched_before_parts_are_hidden() -> None:
    """So that what is hidden has sharp edges: nothing lies between the fill and the rest."""
    x, some = some_features(60, 10), Augmentation(stretch=0.3)
    for seed in range(50):
        found = some.features(x, generator(seed))
        assert ((found == 0) | (found >= 1)).all()


def test_noise_comes_after_speed_and_has_the_whole_spectrum() -> None:
    """Noise that was slowed, too, would have nothing in the upper half of the spectrum."""
    samples = tone(440, 1)
    slow = Augmentation(speeds=(0.5,), noise_share=1, least_snr=0, most_snr=0, gain=0)
    found = changed(slow, samples, generator(3))
    added = np.abs(np.fft.rfft(found - speed(samples, 0.5))) ** 2
    assert added[-len(added) // 4 :].mean() > 0.01 * added.mean()


def test_little_is_augmented_too() -> None:
    some = Augmentation(noise_share=1)
    for number in (0, 1, 2):
        for seed in range(20):
            samples = changed(some, np.ones(number, np.float32), generator(seed))
            assert len(samples) >= min(number, 1)
            assert np.isfinite(samples).all()
            found = some.features(some_features(number, 3), generator(seed))
            assert len(found) >= min(number, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, s, g: speed(s, 0.4), r"factor: expected 0\.5 to 2, got 0\.4"),
        (lambda x, s, g: speed(s, math.nan), r"factor: expected 0\.5 to 2, got nan"),
        (lambda x, s, g: noisy(s, g, decibels=math.inf), "decibels: expected -100 to 100, got inf"),
        (lambda x, s, g: gained(s, g, decibels=-1), "decibels: expected 0 to 100, got -1"),
        (lambda x, s, g: Augmentation(speeds=()), "speeds: expected one or more, got none; give 1"),
        (lambda x, s, g: Augmentation(speeds=(1.0, 3.0)), r"'speeds' expects .* 2\.0, got 3\.0"),
        (lambda x, s, g: Augmentation(least_snr=20, most_snr=10), "at most most_snr, got 20"),
        (lambda x, s, g: Augmentation(noise_share=1.1), "'noise_share' expects a value"),
        (lambda x, s, g: Augmentation(time_mask=1), "'time_mask'; did you mean 'time_masks'"),
        (lambda x, s, g: Augmentation(stretch=0.6), r"'stretch' expects .* 0\.5, got 0\.6"),
    ],
)
def test_what_cannot_be_done_is_refused(call: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        call(some_features(9, 5), tone(440, 0.01), generator())


def test_soxr_is_needed_only_where_the_speed_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    samples = tone(440, 0.01)
    with pytest.raises(MissingDependencyError, match=r"'soxr'.*carousel-lstm\[speech\]"):
        speed(samples, 0.9)
    assert len(changed(Augmentation(speeds=(1.0,)), samples, generator())) == len(samples)
