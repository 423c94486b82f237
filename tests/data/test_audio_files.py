"""Audio files: what is refused, and in which words."""

from __future__ import annotations

import os
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.sound_files import noise, refused, written

from carousel.data.audio import Resampler, audio_blocks, read_audio
from carousel.data.audio_files import audio_facts
from carousel.errors import DataError, OptionError

# A picture of 16 KiB, as it stands before the sound of an MP3.
PICTURE = b"ID3\x03\0\0" + bytes([0, 0, 0x7F, 0x7F]) + bytes(127 * 128 + 127)


def cut_short(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_places_that_are_no_audio_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.wav") == "there is no such file; check the path"
    assert "no such file" in refused(tmp_path / "a\0.wav")
    assert "got a folder; name a file in it" in refused(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        assert "got a pipe or device; save it first" in refused(tmp_path / "pipe.wav")
    for name, content, words in (
        ("a.raw", bytes(100), "no header tells its rate; add one: sox -r RATE"),
        ("b.wav", b"", "the file is empty"),
        ("c.mp3", b"some text " * 50, "libsndfile cannot read it (Format not recognised); get"),
        ("d.m4a", b"\0\0\0\x20ftypM4A " + bytes(900), "ffmpeg -i IN OUT.wav): files that work end"),
        ("e.vox", bytes(100), "in .wav, .flac, .ogg, .opus, .mp3, .aiff, .aif, .au, .caf, .sph"),
    ):
        (tmp_path / name).write_bytes(content)
        assert words in refused(tmp_path / name)
        with pytest.raises(DataError, match=re.escape(words)):
            audio_facts(str(tmp_path / name))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_not_utf_8_is_opened(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", noise(800))
    assert len(read_audio(path.rename(tmp_path / os.fsdecode(b"caf\xe9.wav")), 16000)) == 800


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".au", ".w64", ".rf64", ".sph"])
def test_a_file_that_is_cut_off_is_refused_by_its_header(tmp_path: Path, suffix: str) -> None:
    path = cut_short(written(tmp_path / f"a{suffix}", noise(64000)), 0.5)
    with pytest.raises(DataError) as caught:
        audio_facts(path)
    words = r": expected 4\.00 s as its header says, got (\S+) s, then it is cut off; get"
    found = re.search(words, str(caught.value))
    assert found
    assert float(found[1]) == pytest.approx(2, abs=0.05)
    # What is there, without the last 0.05 s, is as good as whole.
    whole = written(tmp_path / f"b{suffix}", noise(64000))
    assert len(read_audio(cut_short(whole, 1 - 0.05 / 4), 16000)) == pytest.approx(63200, abs=50)


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_a_compressed_file_that_is_cut_off_is_refused_at_its_second(
    tmp_path: Path, suffix: str
) -> None:
    path = cut_short(written(tmp_path / f"a{suffix}", noise(64000)), 0.5)
    words = r"at (\S+) s: libsndfile cannot read it \(Error : flac decoder lost sync\)"
    if suffix == ".mp3":
        path.write_bytes(PICTURE + path.read_bytes())
        words = r"expected 4\.00 s as its header says, got (\S+) s"
    assert audio_facts(path).seconds == 4
    found = re.search(words, message := refused(path))
    assert found, message
    assert float(found[1]) == pytest.approx(2, abs=0.3)
    assert len(read_audio(path, 16000, end=1)) == 16000  # the good part


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_whole(tmp_path: Path, size: int) -> None:
    content = bytearray(written(tmp_path / "a.wav", noise(8000)).read_bytes())
    place = content.find(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_audio(tmp_path / "a.wav", 16000)) == 8000


def test_headers_without_a_length_are_refused(tmp_path: Path) -> None:
    wav = written(tmp_path / "a.wav", np.zeros(0, np.float32))
    assert "expected samples, got none by its header; get it anew" in refused(wav)
    flac = written(tmp_path / "a.flac", noise(8000))
    content = bytearray(flac.read_bytes())
    assert content[22:26] == struct.pack(">I", 8000)
    content[22:26] = bytes(4)
    flac.write_bytes(content)
    assert "its header lacks its length; ffmpeg -i IN OUT writes it anew" in refused(flac)


def test_mp3_without_a_header(tmp_path: Path) -> None:
    """Libsndfile then guesses the length, from the first frame's bit rate and the file's size."""
    options: dict[str, Any] = {"rate": 48000, "compression_level": 0.5}
    constant = written(tmp_path / "c.mp3", noise(96000), bitrate_mode="CONSTANT", **options)
    fading = np.concatenate([noise(48000), np.zeros(480000, np.float32)])
    variable = written(tmp_path / "v.mp3", fading, bitrate_mode="VARIABLE", **options)
    for path in (constant, variable):
        content = path.read_bytes()
        assert re.search(b"Xing|Info", content[:200])
        path.write_bytes(content[content.find(b"\xff\xfb", 4) :])
    assert len(read_audio(constant, 48000)) == pytest.approx(96000, abs=2400)
    # A picture before the sound makes the guess too long.
    constant.write_bytes(PICTURE + constant.read_bytes())
    assert audio_facts(constant).seconds > 2.5
    assert len(read_audio(constant, 48000)) == pytest.approx(96000, abs=2400)
    assert "expected 2.50 s as its header says, got 2.0" in refused(constant, end=2.5)
    assert "got 2.4" in refused(constant, start=2.4)
    # The first frames are the largest here, so that it is taken for shorter than it is.
    assert "it does not say its length, and goes on behind the" in refused(variable)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1000])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_none_are_named_by_second(
    tmp_path: Path, value: float, channels: int
) -> None:
    samples = noise(64000, channels).reshape(64000, channels)
    samples[40000, -1] = samples[50000, 0] = value
    path = written(tmp_path / "a.wav", samples, subtype="FLOAT")
    message = refused(path, 8000)
    assert message.startswith(f"at 2.500 s: expected samples in [-1, 1], got {value:g}; ")
    assert ("divide" in message) == np.isfinite(value)
    assert len(read_audio(path, 8000, end=2.5)) == 20000
    assert refused(path, 8000, start=2.75).startswith("at 3.125 s")
    blocks = audio_blocks(path, 8000, seconds=0.5)
    assert len([next(blocks) for _ in range(4)]) == 4  # what comes before it is given


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (-0.5, None, "start: expected 0 to 2.00 s, which is all of it, got -0.5 s; correct it"),
        (np.nan, None, "start: expected 0 to 2.00 s, which is all of it, got nan s"),
        (0, -1.0, "end: expected 0 to 2.00 s, which is all of it, got -1.0 s"),
        (2.01, None, "start: expected 0 to 2.00 s, which is all of it, got 2.01 s"),
        (None, 2.11, "end: expected 0 to 2.00 s, which is all of it, got 2.11 s"),
        (1.5, 1.0, "expected a start before the end, got 1.5 to 1.0 s"),
        (2.0, None, "expected a start before the end, got 2.0 to 2.0 s"),
        (1.0, 1.00001, "expected a start before the end, got 1.0 to 1.00001 s"),
    ],
)
def test_times_outside_the_file_are_refused(
    tmp_path: Path, start: float | None, end: float | None, words: str
) -> None:
    path = written(tmp_path / "a.wav", noise(32000))
    assert words in refused(path, start=start, end=end)


def test_rates_are_checked(tmp_path: Path) -> None:
    for rate in (7999, 192001):
        path = written(tmp_path / "a.wav", noise(800), rate)
        assert f"expected 8000 to 192000 Hz, got {rate}; resample it" in refused(path)
        with pytest.raises(OptionError, match=f"rate: expected 8000 to 192000 Hz, got {rate}"):
            read_audio(path, rate)
        with pytest.raises(OptionError, match=f"given_rate: expected 8000 to .* got {rate}"):
            Resampler(rate, 16000)
        with pytest.raises(OptionError, match=f"^rate: expected 8000 to .* got {rate}"):
            Resampler(16000, rate)
    for seconds in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(OptionError, match=f"a block of more than 0 s, got {seconds}"):
            next(audio_blocks(path, 16000, seconds=seconds))
