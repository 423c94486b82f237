"""Audio: which files give which samples, and cuts that change no bit."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.sound_files import noise, tone, written

from carousel.data.audio import Resampler, audio_blocks, clipped, clipped_share, mono, read_audio
from carousel.data.audio_files import SUFFIXES, audio_facts
from carousel.errors import DataError

RATES = (8000, 11025, 16000, 44100, 48000, 192000)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_each_ending_is_read(tmp_path: Path, suffix: str, channels: int) -> None:
    options = {"subtype": "OPUS"} if suffix == ".opus" else {}
    path = written(tmp_path / f"ä b{suffix}", noise(30000, channels), 48000, **options)
    facts = audio_facts(path)
    assert (facts.rate, facts.channels, facts.frames) == (48000, channels, 30000)
    assert facts.seconds == 0.625
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(1, dtype=np.float64)
    found = read_audio(path, 48000)
    np.testing.assert_array_equal(found, expected.astype(np.float32), strict=True)
    assert np.abs(found).max() > 0.2


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers_are_divided_by_their_full_scale(tmp_path: Path, bits: int) -> None:
    full, subtype = 2 ** (bits - 1), f"PCM_{'U' * (bits == 8)}{bits}"
    whole = np.array([[-full, full - 1], [0, 1], [-1, full // 2], [full - 1, full - 1]])
    path = written(tmp_path / "a.wav", (whole << 32 - bits).astype(np.int32), subtype=subtype)
    assert audio_facts(path).format == f"WAV {subtype}"
    expected = (whole / full).astype(np.float32).astype(np.float64).mean(1)
    np.testing.assert_array_equal(read_audio(path, 16000), expected.astype(np.float32))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floating_point_beyond_one_stays(tmp_path: Path, subtype: str) -> None:
    samples = np.array([0.25, -1.5, 2.0, 15.9], np.float32)
    path = written(tmp_path / "a.wav", samples, 8000, subtype=subtype)
    np.testing.assert_array_equal(read_audio(path, 8000), samples)


@given(
    rates=st.tuples(st.sampled_from(RATES), st.sampled_from((8000, 16000, 22050))),
    shape=st.tuples(st.floats(0.01, 0.7), st.sampled_from((1, 3))),
    seconds=st.floats(0.001, 0.8),
    part=st.tuples(st.none() | st.floats(0, 0.4), st.none() | st.floats(0.5, 1)),
)
@settings(max_examples=40)
def test_blocks_join_to_the_whole(
    rates: tuple[int, int], shape: Any, seconds: float, part: Any, tmp_path_factory: Any
) -> None:
    (given_rate, rate), (length, channels) = rates, shape
    samples = noise(int(length * given_rate), channels)
    path = written(tmp_path_factory.mktemp("a") / "a.wav", samples, given_rate, subtype="FLOAT")
    start, end = (None if share is None else share * length for share in part)
    options = {"start": start, "end": end}
    blocks = list(audio_blocks(path, rate, seconds=seconds, **options))
    whole = read_audio(path, rate, **options)
    np.testing.assert_array_equal(np.concatenate([*blocks, np.zeros(0, np.float32)]), whole)
    size = round(seconds * rate)
    assert all(len(block) == size for block in blocks[:-1])
    assert all(1 <= len(block) <= size for block in blocks[-1:])
    # The same frames by themselves, averaged here and resampled at once.
    first = round((start or 0) * given_rate)
    behind = len(samples) if end is None else round(end * given_rate)
    frames = samples.reshape(len(samples), -1)[first:behind]
    average = frames.mean(1, dtype=np.float64).astype(np.float32)
    expected = average if given_rate == rate else soxr.resample(average, given_rate, rate)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_part_is_a_part_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"a{suffix}", noise(32000))
    whole = read_audio(path, 16000)
    for start, end, first, behind in (
        (0.5, 1.25, 8000, 20000),
        (None, 0.1, 0, 1600),
        (1.9, None, 30400, 32000),
        (1.0, 2.09, 16000, 32000),  # up to 0.1 s past the end is cut
        (0, 2, 0, 32000),
    ):
        found = read_audio(path, 16000, start=start, end=end)
        # An MP3's samples depend on where decoding began, by their last bits.
        np.testing.assert_allclose(found, whole[first:behind], rtol=0, atol=5e-6)


def test_a_long_file_is_never_in_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", tone(440, 16000, 60 * 16000))  # 3.8 MB as float32
    next(audio_blocks(path, 8000, seconds=1))  # what is loaded when first needed
    tracemalloc.start()
    total = sum(len(block) for block in audio_blocks(path, 8000, seconds=1))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 60 * 8000
    assert most < 500_000


@given(
    rates=st.tuples(st.sampled_from(RATES), st.sampled_from((8000, 16000, 44100))),
    frames=st.integers(0, 12000),
    cuts=st.lists(st.integers(0, 12000), max_size=12),
)
def test_cuts_do_not_change_the_resampled(
    rates: tuple[int, int], frames: int, cuts: list[int]
) -> None:
    samples = noise(frames)
    resampler = Resampler(*rates)
    whole = np.concatenate([resampler.feed(samples), resampler.finish()])
    expected = samples if rates[0] == rates[1] else soxr.resample(samples, *rates)
    np.testing.assert_array_equal(whole, expected, strict=True)
    assert abs(len(whole) - frames * rates[1] / rates[0]) <= 0.5
    # A second signal on the same resampler, in pieces of any size, some of them empty.
    parts = [resampler.feed(part) for part in np.split(samples, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate([*parts, resampler.finish()]), whole)


@pytest.mark.parametrize(("given_rate", "size"), [(48000, 1), (44100, 7), (8000, 80), (192000, 3)])
def test_small_chunks_do_not_change_the_resampled(given_rate: int, size: int) -> None:
    samples, resampler = np.repeat(noise(3000), 2)[::2], Resampler(given_rate, 16000)
    parts = [resampler.feed(samples[k : k + size]) for k in range(0, 3000, size)]
    found = np.concatenate([*parts, resampler.finish()])
    np.testing.assert_array_equal(found, soxr.resample(samples, given_rate, 16000))


@pytest.mark.parametrize(("given_rate", "rate"), [(48000, 16000), (44100, 16000), (8000, 16000)])
def test_a_tone_stays_a_tone(given_rate: int, rate: int) -> None:
    resampler, inner = Resampler(given_rate, rate), slice(rate // 4, -rate // 4)  # without edges
    found = np.concatenate([resampler.feed(tone(1000, given_rate, given_rate)), resampler.finish()])
    assert np.abs(found - tone(1000, rate, rate))[inner].max() < 1e-4
    if given_rate > rate:
        high = tone(9000, given_rate, given_rate)  # above half of 16,000 Hz
        silent = np.concatenate([resampler.feed(high), resampler.finish()])
        assert np.abs(silent[inner]).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "given_samples", "expected"),
    [
        (np.int8, [-128, 64, 127], [-1, 0.5, 127 / 128]),
        (np.uint8, [0, 192, 128, 255], [-1, 0.5, 0, 127 / 128]),
        (np.int16, [-32768, 16384, 1], [-1, 0.5, 1 / 32768]),
        (">i2", [-32768, 16384, 1], [-1, 0.5, 1 / 32768]),
        (np.int32, [-(2**31), 2**30, 1], [-1, 0.5, 2**-31]),
        (np.float16, [-1, 0.5], [-1, 0.5]),
        (np.float64, [-1.25, 0.1], [-1.25, 0.1]),
        (np.int16, [[-32768, 0], [3, 1]], [-0.5, 2 / 32768]),
        (np.float32, [[1, 0, -0.25]], [0.25]),
    ],
)
def test_mono(kind: Any, given_samples: Any, expected: Sequence[float]) -> None:
    found = mono(np.array(given_samples, kind))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@given(channels=st.integers(1, 32), cuts=st.lists(st.integers(0, 50), max_size=4))
def test_mono_of_parts_is_part_of_mono(channels: int, cuts: list[int]) -> None:
    samples = noise(50 * channels, seed=channels).reshape(50, channels)
    parts = [mono(part) for part in np.split(samples, sorted(cuts))]
    whole = mono(samples)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_allclose(whole, samples.mean(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((2, 48000), np.int16), r"1 to 32 channels, got \(2, 48000\); transpose"),
        (np.zeros((2, 2, 2), np.int16), r"got \(2, 2, 2\)"),
        (np.array(1.0), r"got \(\)"),
        (np.zeros(3, np.int64), "expected int8, int16, int32, uint8 or floating .* got int64; c"),
        (np.zeros(3, np.uint16), "got uint16"),
        (np.zeros(3, complex), "got complex128"),
        (np.array([0, 0, np.nan, np.nan]), r"sample 2: expected samples in \[-1, 1\], got nan; co"),
        (np.array([[0, 0], [0, -np.inf]]), "sample 1: .* got -inf"),
        (np.array([1e300]), r"sample 0: .* got 1e\+300; divide the samples by their full scale"),
        (np.array([100, 2000.0]), "sample 0: .* got 100; divide"),
    ],
)
def test_samples_that_are_none_are_refused(samples: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        mono(samples)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0, 1.5, 32767 / 32768, 0.9999]), max_size=12))
def test_clipped_counts_runs(values: list[float]) -> None:
    text = "".join("x" if abs(value) >= 32767 / 32768 else "." for value in values)
    count = sum(len(run) for run in re.findall("x{3,}", text))
    found = clipped(np.array(values, np.float32))
    assert found == (count / len(values) if values else 0)


def test_a_tone_is_clipped_where_it_was_too_loud() -> None:
    loud = 2 * tone(200, 16000, 16000)  # up to 1, and no further
    assert clipped(loud) == 0
    share = clipped(np.clip(2 * loud, -1, 1))
    # |sin| > 1/2 in two thirds of its period.
    assert share == pytest.approx(2 / 3, abs=0.02)
    assert clipped(mono(np.array([32767, 32767, -32768, 0], np.int16))) == 0.75


def test_of_a_file_the_worst_channel_is_asked(tmp_path: Path) -> None:
    soft = tone(200, 16000, 16000) / 4
    loud = np.clip(16 * soft, -1, 1)
    loud[8000:] = 0.0
    for name, channels in (("soft", [soft, soft]), ("loud", [soft, loud])):
        soundfile.write(tmp_path / f"{name}.wav", np.stack(channels, 1), 16000, subtype="PCM_16")
    assert clipped_share(tmp_path / "soft.wav") == 0
    assert clipped_share(tmp_path / "loud.wav") == pytest.approx(1 / 3, abs=0.02)
    assert clipped_share(tmp_path / "loud.wav", end=0.5) == pytest.approx(2 / 3, abs=0.02)
    assert clipped_share(tmp_path / "loud.wav", start=0.5) == 0
