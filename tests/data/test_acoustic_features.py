"""Acoustic features: against the formulas in NumPy, at any rate, and the same however cut."""

from __future__ import annotations

import ctypes
import itertools
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.data.acoustic_features import AcousticFeatures
from carousel.errors import MissingDependencyError, OptionError

LOG_BOUND = 1e-3  # of a filter's natural logarithm, for sounds of which each filter hears some
CEPSTRUM_BOUND = 5e-3  # of a coefficient: a lifter of up to 12 times a sum of such logarithms
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)


def sound(samples: int, rate: int = 16_000, seed: int = 1) -> np.ndarray:
    """Noise, a rising tone and a constant, from -1 to 1."""
    time = np.arange(samples) / rate
    noise = np.random.default_rng(seed).standard_normal(samples)
    tone = np.sin(2 * np.pi * (300 + 400 * time) * time)
    return (0.05 * noise + 0.3 * tone + 0.1).astype(np.float32)


def reference(samples: np.ndarray, rate: int, bins: int) -> np.ndarray:
    """The logarithms of the mel filters in double precision, as Kaldi's manual has them."""
    x = 32768 * samples.astype(np.float64)
    shift, length = int(0.010 * rate + 1e-6), int(0.025 * rate + 1e-6)
    size = 1 << (length - 1).bit_length()
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))) ** 0.85
    low, high = (1127 * np.log1p(hz / 700) for hz in (20, rate / 2))
    width = (high - low) / (bins + 1)
    mel = 1127 * np.log1p(np.arange(size // 2 + 1) * rate / size / 700)
    centers = low + width * np.arange(1, bins + 1)
    filters = np.maximum(0, 1 - np.abs(mel - centers[:, None]) / width)
    rows = []
    for t in range((len(x) + shift // 2) // shift):
        # The middle of the frame stands in the middle of its shift.
        place = np.arange(length) + t * shift + shift // 2 - length // 2
        while ((place < 0) | (place >= len(x))).any():
            place = np.where(place < 0, -place - 1, place)
            place = np.where(place >= len(x), 2 * len(x) - 1 - place, place)
        frame = x[place] - x[place].mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, size)) ** 2
        rows.append(np.log(np.maximum(filters @ power, 2.0**-23)))
    return np.array(rows).reshape(-1, bins)


def cepstrum(log_mel: np.ndarray, count: int) -> np.ndarray:
    """The orthonormal cosine transform of type II, liftered."""
    bins = log_mel.shape[1]
    order = np.arange(count)[:, None]
    cosines = np.cos(np.pi * order * (np.arange(bins) + 0.5) / bins) * np.sqrt(2 / bins)
    cosines[0] /= np.sqrt(2)
    return log_mel @ cosines.T * (1 + 11 * np.sin(np.pi * order[:, 0] / 22))


def joined(features: AcousticFeatures, pieces: list[np.ndarray]) -> np.ndarray:
    stream = features.stream()
    return np.concatenate([*(stream.feed(piece) for piece in pieces), stream.finish()])


@pytest.mark.parametrize(("rate", "bins"), [(8_000, 23), (16_000, 12), (44_100, 40)])
def test_a_tone_in_the_middle_of_a_filter_is_loudest_in_it(rate: int, bins: int) -> None:
    features = AcousticFeatures(rate=rate, bins=bins)
    assert len(features.middles) == bins
    # Of the lowest filters, which are as narrow as a window's resolution, neighbours hear as much.
    for number in range(bins // 2, bins):
        tone = np.sin(2 * np.pi * features.middles[number] * np.arange(rate // 5) / rate)
        found = features.compute(tone.astype(np.float32))[5:15]
        assert (found.argmax(1) == number).all()


@pytest.mark.parametrize(("rate", "bins"), [(8_000, 23), *((rate, 40) for rate in RATES)])
def test_log_mel_is_the_formula(rate: int, bins: int) -> None:
    features = AcousticFeatures(rate=rate, bins=bins)
    for samples in (rate // 2 + 123, rate // 40 + 1):
        given = sound(samples, rate)
        expected = reference(given, rate, bins)
        found = features.compute(given)
        assert found.shape == expected.shape == (features.frames_of(samples), features.size)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < LOG_BOUND


@pytest.mark.parametrize(("bins", "cepstra"), [(40, 13), (23, 23), (26, 1)])
def test_mfcc_is_the_cosine_transform_of_log_mel(bins: int, cepstra: int) -> None:
    features = AcousticFeatures(kind="mfcc", bins=bins, cepstra=cepstra)
    given = sound(8_000)
    found = features.compute(given)
    assert found.shape == (50, cepstra) == (50, features.size)
    assert np.abs(found - cepstrum(reference(given, 16_000, bins), cepstra)).max() < CEPSTRUM_BOUND


def test_a_tone_is_heard_in_its_filter_and_at_its_time() -> None:
    features = AcousticFeatures()
    time = np.arange(16_000) / 16_000
    given = np.where((time >= 0.4) & (time < 0.6), np.sin(2 * np.pi * 1_000 * time), 0)
    found = features.compute(given.astype(np.float32))
    low, high = (1127 * np.log1p(hz / 700) for hz in (20, 8_000))
    expected = round((1127 * np.log1p(1_000 / 700) - low) * 41 / (high - low)) - 1
    assert (found[41:59].argmax(1) == expected).all()
    # Frames that hear none of it: silence is the floor, and finite.
    assert found[:39] == pytest.approx(np.log(2.0**-23))
    assert found[61:] == pytest.approx(np.log(2.0**-23))
    assert found[50, expected] > 20
    # Twice as loud is log 4 more.
    louder = features.compute((given / 2).astype(np.float32))[50, expected]
    assert found[50, expected] - louder == pytest.approx(np.log(4), abs=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 2, 79, 80, 81, 199, 239, 240, 279, 280, 400, 401, 560])
@pytest.mark.parametrize("kind", ["log_mel", "mfcc"])
def test_short_sounds_have_a_frame_for_each_half_of_one(kind: str, samples: int) -> None:
    features = AcousticFeatures(kind=kind)
    given = sound(samples)
    found = features.compute(given)
    assert len(found) == features.frames_of(samples) == (samples + 80) // 160
    assert found.shape[1] == features.size
    expected = reference(given, 16_000, 40)
    if kind == "log_mel" and len(expected):
        assert np.abs(found - expected).max() < LOG_BOUND


@settings(max_examples=50)
@given(
    kind=st.sampled_from(["log_mel", "mfcc"]),
    rate=st.sampled_from([8_000, 11_025, 16_000]),
    lengths=st.lists(st.integers(0, 700) | st.integers(0, 3), max_size=12),
)
def test_cuts_change_no_bit(kind: str, rate: int, lengths: list[int]) -> None:
    features = AcousticFeatures(kind=kind, rate=rate)
    given = sound(sum(lengths), rate)
    pieces = np.split(given, list(itertools.accumulate(lengths)))
    expected = features.compute(given)
    assert len(expected) == features.frames_of(len(given))
    assert np.array_equal(joined(features, pieces), expected)


def test_long_pieces_are_as_short_ones() -> None:
    features = AcousticFeatures(bins=3)
    given = sound(200_000)
    expected = features.compute(given)
    pieces = np.array_split(given, 331)
    assert np.array_equal(joined(features, pieces), expected)
    assert np.array_equal(joined(features, [given[:131_072], given[131_072:]]), expected)


def test_frames_come_as_soon_as_the_sound_has_reached_their_end() -> None:
    stream = AcousticFeatures().stream()
    given = sound(1_000)
    counts = [len(stream.feed(given[k : k + 1])) for k in range(len(given))]
    # 17.5 ms, which are 280 samples, and one more frame every 160.
    assert [k + 1 for k, count in enumerate(counts) if count] == [280, 440, 600, 760, 920]
    assert max(counts) == 1
    assert len(stream.finish()) == 1


def test_the_next_sound_begins_anew() -> None:
    features = AcousticFeatures()
    stream = features.stream()
    for seed in (1, 2, 1):
        given = sound(999, seed=seed)
        found = np.concatenate([stream.feed(given), stream.finish()])
        assert np.array_equal(found, features.compute(given))
    assert stream.finish().shape == (0, 40)
    # What was returned is the caller's.
    first = stream.feed(sound(999))
    kept = first.copy()
    stream.feed(sound(9_999, seed=2))
    assert np.array_equal(first, kept)


class MallocFacts(ctypes.Structure):
    """What glibc's ``mallinfo2`` answers."""

    _fields_ = [(f"field_{k}", ctypes.c_size_t) for k in range(10)]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc says how much memory is held")
def test_memory_does_not_grow_with_the_length() -> None:
    facts = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if facts is None:
        pytest.skip("glibc 2.33 or newer says how much memory is held")
    facts.restype = MallocFacts

    def held() -> int:
        answer = facts()
        return answer.field_4 + answer.field_7  # hblkhd and uordblks: mapped, and of the heap

    stream = AcousticFeatures(bins=120).stream()
    given = sound(16_000)
    stream.feed(given)
    before = held()
    for _ in range(60):
        stream.feed(given)
    # The samples alone would be 3.8 MB, and the frames 2.9 MB.
    assert held() - before < 2e5


@settings(max_examples=40)
@given(rate=st.integers(8_000, 192_000), samples=st.integers(0, 3_000))
def test_frames_are_counted_at_any_rate(rate: int, samples: int) -> None:
    features = AcousticFeatures(rate=rate, bins=3)
    assert len(features.compute(np.zeros(samples, np.float32))) == features.frames_of(samples)
    assert features.frame_seconds == pytest.approx(0.01, abs=1 / rate)
    assert features.frames_of(100 * rate) == pytest.approx(100 / features.frame_seconds, abs=1)


def test_frame_seconds_are_whole_samples() -> None:
    assert {AcousticFeatures(rate=rate).frame_seconds for rate in (8_000, 16_000, 44_100)} == {0.01}
    assert AcousticFeatures(rate=11_025).frame_seconds == 110 / 11_025


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000])
def test_most_filters_of_a_rate(rate: int) -> None:
    with pytest.raises(OptionError, match=rf"at {rate:,} Hz, of which some hold none") as caught:
        AcousticFeatures(rate=rate, bins=300)
    most = int(str(caught.value).split("take ")[1].split()[0])
    given = sound(rate // 2, rate)
    found = AcousticFeatures(rate=rate, bins=most).compute(given)
    assert np.abs(found - reference(given, rate, most)).max() < 3 * LOG_BOUND
    with pytest.raises(OptionError, match=f"take {most} bins or fewer"):
        AcousticFeatures(rate=rate, bins=most + 1)
    # Beyond it, by the formula, some filter lies between two frequencies.
    assert (reference(given, rate, most + 1) <= np.log(2.0**-23)).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "mel"}, "no choice 'mel'; did you mean 'log_mel'"),
        ({"rate": 4_000}, "'rate' expects .*8000"),
        ({"rate": 16_000.5}, "a whole number"),
        ({"bins": 2}, "'bins' expects .*3"),
        ({"kind": "mfcc", "cepstra": 0}, "'cepstra' expects .*1"),
        ({"kind": "mfcc", "bins": 12}, "as many cepstra as filters, 12, got 13; raise bins"),
        ({"cepstra": 12}, "cepstra for the kind 'mfcc' alone, got 12 for 'log_mel'; leave"),
        ({"filters": 40}, "no option 'filters'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        AcousticFeatures(**options)


def test_the_library_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"'kaldi_native_fbank'.*\[speech\]"):
        AcousticFeatures()
