"""Audio files and live sound as samples: one channel, one rate, float32, in blocks.

Resampled by soxr, which comes with the extra ``speech``. Nothing here holds a whole file, but for
``read_audio``, which returns one. Knows nothing of features, texts or manifests.

Letters: N samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from carousel.data.audio_files import (
    HIGHEST_RATE,
    LOWEST_RATE,
    bounds,
    first_wrong,
    opened,
    raw_pieces,
)
from carousel.data.extras import import_extra
from carousel.errors import DataError, OptionError

FULL_SCALE = 32767 / 32768  # the largest sample of 16 bits

_MOST_CHANNELS = 32  # of an array; one with more was given the wrong way round


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
    with opened(path) as (file, audio, facts):
        begin, stop = bounds(path, facts, start, end)
        resampler = Resampler(facts.rate, rate)

        def parts() -> Iterator[np.ndarray]:
            for frames in raw_pieces(path, file, audio, facts, begin, stop):
                yield resampler.feed(_mean(frames))
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
    if wrong := first_wrong(samples):
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


def clipped_share(
    path: str | Path, *, start: float | None = None, end: float | None = None
) -> float:
    """Returns the share of a file's samples that were cut off at full scale; see ``clipped``.

    Args:
        path: as for ``audio_blocks``.
        start: seconds; where the part begins, None for the beginning.
        end: seconds; where it ends, None for the end.

    Returns:
        0 to 1, of the worst channel.

    Raises:
        DataError: as ``audio_blocks`` does.
    """
    with opened(path) as (file, audio, facts):
        begin, stop = bounds(path, facts, start, end)
        cut_off = np.zeros(facts.channels)
        for frames in raw_pieces(path, file, audio, facts, begin, stop):
            cut_off += [len(frames) * clipped(channel) for channel in frames.T]
        return float(cut_off.max() / (stop - begin))


def _known_rate(name: str, rate: int) -> int:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise OptionError(f"{name}: expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {rate}")
    return rate


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
