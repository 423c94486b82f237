"""Transcribing: files and samples of any length in, transcripts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from carousel.data.audio import Resampler, mono
from carousel.data.audio_files import audio_facts
from carousel.data.length_buckets import length_batches
from carousel.errors import DataError, OptionError
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.long_audio import LONGEST, transcribed_long
from carousel.tasks.speech_recognition.recognition import Search, Transcript, heard

_FRAMES_AT_ONCE = 16_000
_FILES_AT_ONCE = 64


def check_sound(sound: Any, rate: int | None) -> None:
    """Refuses what is neither the path of a file nor samples, and a rate of a file.

    Args:
        sound: as ``Recognizer.transcribe`` takes it.
        rate: of samples, Hz.
    """
    if isinstance(sound, str | Path):
        if rate is not None:
            raise OptionError("rate: a file says its rate itself; leave it out")
    elif not isinstance(sound, np.ndarray):
        raise DataError(
            f"expected the path of a file, or samples as a NumPy array, got "
            f"{type(sound).__name__}; give several files one by one, or to transcripts"
        )


def frames_of_samples(fitted: Fitted, samples: Any, rate: int | None) -> Float32[np.ndarray, "T F"]:
    """Returns the plain features of samples.

    Args:
        fitted: a recogniser of sound.
        samples: (N,) or (N, channels), whole numbers of any width or floats from -1 to 1.
        rate: of the samples, Hz.

    Raises:
        DataError: for what are no samples, or no rate of theirs.
    """
    features = fitted.frontend.features
    if features is None:
        raise DataError(
            "expected the path of ready features, which is what this recogniser was fitted to, got "
            "samples; fit one to audio files"
        )
    if rate is None:
        raise DataError(
            "samples alone do not say how many there are in a second; give rate, say rate=16000"
        )
    resampler = Resampler(rate, features.rate)
    given = mono(np.asarray(samples))
    return features.compute(np.concatenate([resampler.feed(given), resampler.finish()]))


def transcribed_files(
    fitted: Fitted,
    paths: Sequence[str],
    search: Search,
    progress: Callable[[int, int], None] | None = None,
) -> list[Transcript]:
    """Returns what each of some files says; long ones are read window by window.

    Args:
        fitted: the recogniser.
        paths: of sound, or of ready features if it was fitted to these.
        search: how words are searched for.
        progress: told how many are done, and of how many.

    Raises:
        DataError: for what cannot be read.
        OptionError: for several results of a long file.
    """
    found: list[Transcript] = []
    for begin in range(0, len(paths), _FILES_AT_ONCE):
        group = paths[begin : begin + _FILES_AT_ONCE]
        is_long = [
            fitted.frontend.features is not None and audio_facts(path).seconds > LONGEST
            for path in group
        ]
        if any(is_long) and search.options.best > 1:
            raise OptionError(
                f"option 'best' is for recordings of up to {LONGEST:g} s, "
                f"which are searched whole, got {group[is_long.index(True)]}; leave it out"
            )
        short = [
            fitted.frontend.plain(path)
            for path, long in zip(group, is_long, strict=True)
            if not long
        ]
        whole = iter(transcribed(fitted, short, search))
        for path, long in zip(group, is_long, strict=True):
            found.append(transcribed_long(fitted, path, search) if long else next(whole))
        if progress is not None:
            progress(len(found), len(paths))
    return found


def transcribed(fitted: Fitted, sounds: Sequence[np.ndarray], search: Search) -> list[Transcript]:
    """Returns what each of some sounds says, the same alone and among others.

    Args:
        fitted: the recogniser.
        sounds: plain features (T, F) of each, scaled here by its own moments where the model wants
            them.
        search: how words are searched for.
    """
    found: dict[int, Transcript] = {}
    lengths = np.array([len(x) for x in sounds], np.int64)
    for rows in length_batches(lengths, _FRAMES_AT_ONCE, seed=0, epoch=0):
        for row, one in zip(
            rows.tolist(),
            _batch(fitted, [sounds[row] for row in rows.tolist()], search),
            strict=True,
        ):
            found[row] = one
    return [found[row] for row in range(len(sounds))]


def _batch(fitted: Fitted, sounds: Sequence[np.ndarray], search: Search) -> Iterator[Transcript]:
    frontend = fitted.frontend
    frames = torch.zeros(max(map(len, sounds)), len(sounds), frontend.width)
    for place, x in enumerate(sounds):
        frames[: len(x), place] = torch.from_numpy(frontend.seen(frontend.scaled(x, None)))
    lengths = torch.tensor([len(x) for x in sounds])
    log_probs, steps = heard(fitted, frames, lengths)
    seconds = [len(x) * frontend.frame_seconds for x in sounds]
    yield from search.transcripts(log_probs, steps, seconds)
