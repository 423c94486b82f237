"""Audio files and live sound as samples: one channel, one rate, float32, in blocks.

Files are read by libsndfile, through the library soundfile, and resampled by soxr; both come with
the extra ``speech``. Nothing here holds a whole file, but for ``read_audio``, which returns one.
Knows nothing of features, texts or manifests.

Letters: N samples or frames; a frame is one sample of each channel.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from carousel.data.extras import import_extra
from carousel.errors import DataError, OptionError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".sph")
LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz
SLACK = 0.1  # seconds that may be missing at an end: times in manifests are rounded
FULL_SCALE = 32767 / 32768  # the largest sample of 16 bits

_PIECE = 0.25  # seconds decoded at a time; always the same, so that the results are too
_LOUDEST = 16.0  # 24 dB above full scale: more are integers that were never divided
_MOST_CHANNELS = 32  # of an array; one with more was given the wrong way round
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


class Resampler:
    """Brings a live signal to another rate, chunk by chunk.

    However the signal is cut, the joined result is the same bit for bit: N samples become
    N·rate/given_rate, rounded. They come late by soxr's filter, quality HQ: 0.04 s from 48,000 to
    16,000 Hz, up to 0.16 s to 8,000. Where the rates are equal they pass as they are, at once.

    Args:
        given_rate: Hz, 8,000 to 192,000.
        rate: Hz of the result, likewise.

    Raises:
        OptionError: for a rate out of its range.
    """

    def __init__(self, given_rate: int, rate: int) -> None:
        self.given_rate = _known_rate("given_rate", given_rate)
        self.rate = _known_rate("rate", rate)
        self._stream: Any = None
        if given_rate != rate:
            soxr = import_extra("soxr", "speech")
            self._stream = soxr.ResampleStream(given_rate, rate, 1, dtype="float32", quality="HQ")

    def feed(self, samples: Float32[np.ndarray, " N"]) -> Float32[np.ndarray, " M"]:
        """Returns what is ready.

        Args:
            samples: (N,) finite; any number, none too.
        """
        return samples if self._stream is None else self._stream.resample_chunk(samples)

    def finish(self) -> Float32[np.ndarray, " M"]:
        """Returns the rest, and begins a new signal."""
        rest = np.zeros(0, np.float32)
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True)
            self._stream.clear()
        return rest


def audio_facts(path: str | Path) -> AudioFacts:
    """Returns what a file's header says; its samples are not read.

    Raises:
        DataError: names the file, where there is none, it is not audio, it has no samples or
            fewer than its header promises, or its rate is out of range.
    """
    with _opened(path) as (_, _, facts):
        return facts


def audio_blocks(
    path: str | Path,
    rate: int,
    *,
    start: float | None = None,
    end: float | None = None,
    seconds: float = 30.0,
) -> Iterator[Float32[np.ndarray, " N"]]:
    """Yields a file's samples, block by block: the mean of its channels, resampled.

    The joined blocks are the same bit for bit whatever ``seconds`` is. Integers are divided by
    their full scale; samples of floating point beyond 1 stay as they are.

    Args:
        path: a file of any kind that libsndfile reads, 8,000 to 192,000 Hz.
        rate: Hz of the result, 8,000 to 192,000.
        start: seconds; where the part begins, None for the beginning.
        end: seconds; where it ends, None for the end. Up to 0.1 s past the file's end is cut.
        seconds: length of a block, but for the last, which is as long as the rest.

    Yields:
        (N,) each.

    Raises:
        DataError: with the first block, as ``audio_facts`` does, and for times that are no part
            of the file; with any, where the file is broken or cut off, or its samples are no
            numbers near [-1, 1]: names the second.
        OptionError: for ``rate`` or ``seconds`` out of its range.
    """
    if not 0 < seconds < math.inf:
        raise OptionError(f"seconds: expected a block of more than 0 s, got {seconds}")
    _known_rate("rate", rate)
    with _opened(path) as (file, audio, facts):
        begin, stop = _bounds(path, facts, start, end)
        resampler = Resampler(facts.rate, rate)

        def parts() -> Iterator[np.ndarray]:
            for piece in _pieces(path, file, audio, facts, begin, stop):
                yield resampler.feed(piece)
            yield resampler.finish()

        yield from _regrouped(parts(), max(1, round(seconds * rate)))


def read_audio(
    path: str | Path, rate: int, *, start: float | None = None, end: float | None = None
) -> Float32[np.ndarray, " N"]:
    """Returns a file's samples at once; ``audio_blocks`` says what they are, and what it raises."""
    blocks = list(audio_blocks(path, rate, start=start, end=end))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def mono(samples: np.ndarray) -> Float32[np.ndarray, " N"]:
    """Returns samples as they come from users and microphones as one channel of float32.

    Integers are divided by their full scale: 128, 32,768 or 2,147,483,648; those of uint8 have
    their zero at 128, as in WAV files. Floating point stays as it is.

    Args:
        samples: (N,) or (N, channels).

    Returns:
        (N,) mean of the channels.

    Raises:
        DataError: for another shape or kind of number, NaN, infinity, and floating point far
            outside [-1, 1].
    """
    if samples.ndim not in (1, 2) or not 1 <= math.prod(samples.shape[1:]) <= _MOST_CHANNELS:
        raise DataError(
            f"expected samples (N,) or (N, channels) with 1 to {_MOST_CHANNELS} channels, got "
            f"{samples.shape}; transpose them if the channels come first"
        )
    kind, width = samples.dtype.kind, samples.dtype.itemsize
    if (kind, width) == ("u", 1):
        samples = (samples.astype(np.float32) - 128) / 128
    elif kind == "i" and width in (1, 2, 4):
        samples = samples.astype(np.float32) / np.float32(2 ** (8 * width - 1))
    elif kind != "f":
        raise DataError(
            f"expected int8, int16, int32, uint8 or floating point, got {samples.dtype}; convert "
            "them to the one whose full scale is theirs"
        )
    if wrong := _first_wrong(samples):
        raise DataError(f"sample {wrong[0]}: {wrong[1]}")
    return _mean(samples)


def clipped(samples: Float32[np.ndarray, " N"]) -> float:
    """Returns the share of samples that were cut off at full scale: in runs of 3 or more.

    To be asked before resampling or the mean of channels, which both hide it.

    Args:
        samples: (N,) in [-1, 1].

    Returns:
        0 to 1; 0 where there are none.
    """
    full = np.abs(samples) >= FULL_SCALE
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))  # begin, end, begin, ...
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= 3].sum() / max(1, len(samples)))


def _known_rate(name: str, rate: int) -> int:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise OptionError(f"{name}: expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {rate}")
    return rate


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[BinaryIO, Any, AudioFacts]]:
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


def _bounds(
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


def _pieces(
    path: str | Path, file: BinaryIO, audio: Any, facts: AudioFacts, begin: int, stop: int
) -> Iterator[Float32[np.ndarray, " N"]]:
    """Yields the frames from ``begin`` to before ``stop`` as one channel, some at a time."""
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
            if wrong := _first_wrong(frames):
                second = f"at {(place + wrong[0]) / facts.rate:.3f} s"
                raise DataError(f"{second}: {wrong[1]}", source=path)
            yield _mean(frames)
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


def _first_wrong(samples: np.ndarray) -> tuple[int, str] | None:
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


def _mean(samples: np.ndarray) -> Float32[np.ndarray, " N"]:
    if samples.ndim == 1 or samples.shape[1] == 1:
        return samples.reshape(-1).astype(np.float32)
    # Channel by channel, because NumPy may sum in another order where there are fewer frames.
    total = sum(samples.T, start=np.zeros(len(samples)))
    return (total / samples.shape[1]).astype(np.float32)


def _regrouped(parts: Iterable[np.ndarray], size: int) -> Iterator[Float32[np.ndarray, " N"]]:
    """Yields the same samples in blocks of one size, and the rest."""
    held: list[np.ndarray] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= size:
            joined = np.concatenate(held)
            rest = count % size
            for place in range(0, count - rest, size):
                yield joined[place : place + size]
            held, count = [joined[len(joined) - rest :]], rest
    if count:
        yield np.concatenate(held)
