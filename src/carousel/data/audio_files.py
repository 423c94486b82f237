"""Audio files, opened and checked: what their headers say, and their frames as they were stored.

libsndfile reads them, through the library soundfile, which comes with the extra ``speech``. Nothing
here holds a whole file. Knows nothing of rates but their range, nor of channels but their number.

Letters: N frames; a frame is one sample of each channel.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from carousel.data.extras import import_extra
from carousel.errors import DataError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".sph")
LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz
SLACK = 0.1  # seconds that may be missing at an end: times in manifests are rounded

_PIECE = 0.25  # seconds decoded at a time; always the same, so that the results are too
_LOUDEST = 16.0  # 24 dB above full scale: more are integers that were never divided
_UNKNOWN_LENGTH = 2**62  # libsndfile counts 2**63 - 1 frames where a header does not say
_STREAMED = 0x7FFF0000  # bytes; written into the headers of what went through a pipe
# What libsndfile logs of WAV, AIFF, AU, W64 and RF64 that promise more bytes than there are.
_CUT_OFF = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)", re.M)


@dataclass(frozen=True)
class AudioFacts:
    """What the header of an audio file says.

    Args:
        rate: Hz.
        channels: how many.
        frames: how many; estimated by libsndfile for an MP3 without Xing's header.
        seconds: frames / rate.
        format: of the file and of its samples, in libsndfile's words, such as ``WAV PCM_16``.
    """

    rate: int
    channels: int
    frames: int
    seconds: float
    format: str


def audio_facts(path: str | Path) -> AudioFacts:
    """Returns what a file's header says; its samples are not read.

    Raises:
        DataError: names the file, where there is none, it is not audio, it has no samples or
            fewer than its header promises, or its rate is out of range.
    """
    with opened(path) as (_, _, facts):
        return facts


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[BinaryIO, Any, AudioFacts]]:
    """Gives a file, libsndfile's view of it, and what its header says."""
    soundfile = import_extra("soundfile", "speech")
    name = os.fspath(path)
    remedy = "add one: sox -r RATE -e signed -b 16 -c 1 IN.raw OUT.wav"
    for is_so, problem in (
        (not os.path.exists(name), "there is no such file; check the path"),
        (os.path.isdir(name), "expected an audio file, got a folder; name a file in it"),
        (not os.path.isfile(name), "expected a file, got a pipe or device; save it first"),
        (name.lower().endswith(".raw"), f"no header tells its rate; {remedy}"),
    ):
        if is_so:
            raise DataError(problem, source=path)
    try:
        file = open(name, "rb")  # noqa: SIM115 (closed by the line after it)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror}); check the path"
        raise DataError(problem, source=path) from error
    with file:
        head = file.read(1024)
        if not head:
            raise DataError("the file is empty; get it anew or leave it out", source=path)
        file.seek(0)
        # Python's file and not its name: libsndfile would take some endings for headerless
        # samples, and cannot open each name that Python can.
        try:
            audio = soundfile.SoundFile(file)
        except soundfile.LibsndfileError as error:
            raise _broken(path, error) from error
        with audio:
            yield file, audio, _checked_facts(path, head, audio)


def _checked_facts(path: str | Path, head: bytes, audio: Any) -> AudioFacts:
    frames, rate = audio.frames, audio.samplerate
    for is_so, problem in (
        (frames == 0, "expected samples, got none by its header; get it anew or leave it out"),
        (frames >= _UNKNOWN_LENGTH, "its header lacks its length; ffmpeg -i IN OUT writes it anew"),
        (
            not LOWEST_RATE <= rate <= HIGHEST_RATE,
            f"expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {rate}; resample it or leave it out",
        ),
    ):
        if is_so:
            raise DataError(problem, source=path)
    promised = frames
    counted = re.search(rb"^sample_count -i (\d+)", head, re.M)
    cut_off = _CUT_OFF.search(audio.extra_info)
    if counted and audio.format == "NIST":  # which libsndfile does not look at
        promised = int(counted[1])
    elif cut_off and int(cut_off[1]) < _STREAMED:
        promised = frames * int(cut_off[1]) // int(cut_off[2])
    seconds, kind = frames / rate, f"{audio.format} {audio.subtype}"
    _whole(path, seconds, promised / rate)
    return AudioFacts(rate, audio.channels, frames, seconds, kind)


def _whole(path: str | Path, got: float, promised: float) -> None:
    if promised - got > SLACK:
        raise DataError(
            f"expected {promised:.2f} s as its header says, got {got:.2f} s, then it is cut off; "
            "get it anew, or save what there is: ffmpeg -i IN OUT.wav",
            source=path,
        )


def _broken(path: str | Path, error: Any, place: str = "") -> DataError:
    return DataError(
        f"{place}libsndfile cannot read it ({error.error_string.rstrip('.')}); get it anew, or "
        f"convert it (ffmpeg -i IN OUT.wav): files that work end in {', '.join(SUFFIXES)}",
        source=path,
    )


def bounds(
    path: str | Path, facts: AudioFacts, start: float | None, end: float | None
) -> tuple[int, int]:
    """Returns the first frame of a part, and the one behind its last."""
    for name, value, most in (("start", start, 0.0), ("end", end, SLACK)):
        if value is not None and not 0 <= value <= facts.seconds + most:
            raise DataError(
                f"{name}: expected 0 to {facts.seconds:.2f} s, which is all of it, got {value} s; "
                "correct it, or name the right file",
                source=path,
            )
    begin, stop = start or 0.0, facts.seconds if end is None else end
    first = round(begin * facts.rate)
    behind = min(round(stop * facts.rate), facts.frames)
    if first >= behind:
        problem = f"expected a start before the end, got {begin} to {stop} s; correct them"
        raise DataError(problem, source=path)
    return first, behind


def raw_pieces(
    path: str | Path, file: BinaryIO, audio: Any, facts: AudioFacts, begin: int, stop: int
) -> Iterator[Float32[np.ndarray, "N channels"]]:
    """Yields the frames (N, channels) from ``begin`` to before ``stop``, some at a time."""
    soundfile = import_extra("soundfile", "speech")
    guessed = facts.format.startswith("MP3") and not _tells_length(path)
    step, place = round(_PIECE * facts.rate), begin
    try:
        if begin:
            audio.seek(begin)
        # Otherwise soundfile seeks after each piece to where it is, which alters an MP3's samples.
        audio.seekable = lambda: False
        while place < stop:
            frames = audio.read(min(step, stop - place), dtype="float32", always_2d=True)
            if not len(frames):
                break
            if wrong := first_wrong(frames):
                second = f"at {(place + wrong[0]) / facts.rate:.3f} s"
                raise DataError(f"{second}: {wrong[1]}", source=path)
            yield frames
            place += len(frames)
    except soundfile.LibsndfileError as error:
        raise _broken(path, error, f"at {place / facts.rate:.2f} s: ") from error
    if not guessed or stop < facts.frames or place == begin:
        _whole(path, place / facts.rate, stop / facts.rate)
    elif (size := os.path.getsize(path)) - file.tell() > max(8192, size // 100):  # not only tags
        raise DataError(
            f"it does not say its length, and goes on behind the {facts.seconds:.2f} s that "
            "libsndfile takes it for; give it a header: ffmpeg -i IN -c copy OUT.mp3",
            source=path,
        )


def _tells_length(path: str | Path) -> bool:
    """Says whether an MP3's first frame tells its length; else libsndfile has guessed it."""
    with open(path, "rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its length: 7 bits of each of 4 bytes
            file.seek(sum(byte << 7 * (9 - k) for k, byte in enumerate(head) if k > 5), os.SEEK_CUR)
        else:
            file.seek(0)
        frame = file.read(256)
    return b"Xing" in frame or b"Info" in frame


def first_wrong(samples: np.ndarray) -> tuple[int, str] | None:
    """Returns the first frame with a sample that is none, and what is wrong with it."""
    places = np.argwhere(~(np.abs(samples) <= _LOUDEST))  # NaN is not
    if not len(places):
        return None
    value = float(samples[tuple(places[0])])
    if math.isfinite(value):
        remedy = "divide the samples by their full scale, which is 32768 for 16 bits"
    else:
        remedy = "correct what wrote it, or leave it out"
    return int(places[0, 0]), f"expected samples in [-1, 1], got {value:g}; {remedy}"
