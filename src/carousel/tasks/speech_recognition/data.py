"""What a recogniser is fitted to and scored on: recordings, cleaned and divided by speaker."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from carousel.data.audio import clipped_share
from carousel.data.audio_files import audio_facts
from carousel.data.ready_features import is_features
from carousel.data.recordings import Recordings
from carousel.data.samples import is_sample, sample_path, with_sample
from carousel.decoding.ctc import least_frames
from carousel.errors import DataError
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.utterances import Utterances, unreadable

TASK = "speech-recognition"
TOO_LONG = "transcript too long for its audio"
MOST_RATE = 16_000  # Hz; speech has little above half of it

_CLIPPED = (
    0.001  # share of samples cut off at full scale from which a recording is named; our choice
)
_SPLIT = 20131112  # seed of the holdout; the next number is the validation's


def options_for(data: Any, given: dict[str, Any]) -> RecognitionOptions:
    """Returns the options for this data: what was given outranks what a sample says of itself."""
    return RecognitionOptions(**with_sample(data, TASK, given))


def open_recordings(data: Any, options: RecognitionOptions) -> Recordings:
    """Reads a manifest; see ``Recordings.read``."""
    place = str(sample_path(data, TASK)) if is_sample(data) else data
    found = Recordings.read(
        place, audio=options.audio_field, text=options.text_field, encoding=options.encoding
    )
    if options.lowercase:
        found = replace(found, texts=[text.lower() for text in found.texts])
    return replace(found, source=data) if is_sample(data) else found


def usable(recordings: Recordings, options: RecognitionOptions) -> Recordings:
    """Returns the recordings that are there and say something; others are counted or refused."""
    found = recordings.cleaned()
    if options.skip_broken:
        return found.without_missing()
    for row in found.missing()[:1]:
        raise DataError(
            f"there is no such file; line {found.lines[row]:,} of {found.source} names it: correct "
            f"the path, or give --skip-broken to go on without",
            source=found.audio[row],
        )
    return found


def is_ready(recordings: Recordings) -> bool:
    """Returns whether these are ready features.

    Raises:
        DataError: where some are and some are not.
    """
    kinds = [is_features(path) for path in recordings.audio]
    if any(kinds) and not all(kinds):
        sound = recordings.audio[kinds.index(False)]
        raise DataError(
            f"expected sound or ready features throughout, got both: "
            f"{recordings.audio[kinds.index(True)]} and {sound}; divide them",
            source=recordings.source,
        )
    return bool(kinds) and all(kinds)


def common_rate(recordings: Recordings, skip_broken: bool) -> int:
    """Returns the lowest sample rate of some sound files, or 16,000 Hz where it is above that."""
    rates = []
    for path in dict.fromkeys(recordings.audio):
        try:
            rates.append(audio_facts(path).rate)
        except DataError as error:
            if not skip_broken:
                raise unreadable(error, recordings, recordings.audio.index(path)) from error
    if not rates:
        raise DataError(
            "expected sound, but none of the files can be read; check the paths",
            source=recordings.source,
        )
    return min(MOST_RATE, *rates)


def clipping_warning(recordings: Recordings) -> str:
    """Returns what is said of readable sound of which much was cut off at full scale, or nothing.

    Letters whose loudest parts are lost sound like others; no program can bring them back.
    """
    shares: dict[str, float] = {}
    for row, path in enumerate(recordings.audio):
        start, end = recordings.span(row)
        share = clipped_share(path, start=start, end=end)
        if share > _CLIPPED:
            shares[path] = max(share, shares.get(path, 0.0))
    if not shares:
        return ""
    worst = max(shares, key=lambda path: shares[path])
    files = "1 file is" if len(shares) == 1 else f"{len(shares):,} files are"
    return (
        f"warning: {files} clipped, {shares[worst]:.1%} of the samples of {worst}: the level was "
        f"too high; record anew with a lower one, or leave them out"
    )


def split(
    recordings: Recordings, options: RecognitionOptions, validates: bool
) -> tuple[Recordings, Recordings | None, Recordings | None]:
    """Returns training, validation and holdout; where speakers are named none is in two of them.

    Args:
        recordings: usable ones.
        options: say how much goes where.
        validates: whether a part of these chooses the weights.
    """
    try:
        return _split(recordings, options, validates)
    except DataError as error:
        raise DataError(
            f"{error}; to do without these parts: --holdout 0 --validation 0"
        ) from error


def _split(
    recordings: Recordings, options: RecognitionOptions, validates: bool
) -> tuple[Recordings, Recordings | None, Recordings | None]:
    holdout = validation = None
    share = options.validation if validates else 0.0
    if options.holdout:
        recordings, holdout = recordings.split_by_speaker(options.holdout, _SPLIT)
    if share:
        own = share / (1 - options.holdout)
        recordings, validation = recordings.split_by_speaker(own, _SPLIT + 1)
    return recordings, validation, holdout


def fits(utterances: Utterances, symbols: Symbols, subsampling: int) -> Utterances:
    """Returns the recordings with a step at least, and one for each symbol; counts the others."""
    texts = utterances.recordings.texts
    needed = [max(1, least_frames(symbols.encode(text).tolist())) for text in texts]
    kept = np.flatnonzero(-(-utterances.lengths // subsampling) >= np.array(needed, np.int64))
    left_out = len(utterances) - len(kept)
    if not len(kept):
        raise DataError(
            "expected recordings that are long enough for their transcripts, got none; check that "
            "they belong together, or give a smaller subsampling",
            source=utterances.recordings.source,
        )
    if not left_out:
        return utterances
    found = utterances.take(kept)
    removed = {**found.recordings.removed, TOO_LONG: left_out}
    found.recordings = replace(found.recordings, removed=removed)
    return found


def digest_of(recordings: Recordings) -> str:
    """Returns what tells these recordings, in this order, from others, wherever they lie."""
    found = hashlib.sha256()
    rows = zip(
        recordings.names,
        recordings.texts,
        recordings.speakers,
        recordings.starts,
        recordings.ends,
        strict=True,
    )
    for row in rows:
        for value in row:
            data = str(value).encode()
            found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def marks_of(recordings: Recordings) -> list[str]:
    """Returns what each recording is known again by: its speaker, or else its name and text."""
    found = []
    for speaker, name, text in zip(
        recordings.speakers, recordings.names, recordings.texts, strict=True
    ):
        said = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        found.append(f"speaker {speaker}" if speaker else f"recording {name} {said}")
    return found


def total_seconds(lengths: Sequence[int] | np.ndarray, frame_seconds: float) -> float:
    """Returns how long so many frames take."""
    return math.fsum(lengths) * frame_seconds
