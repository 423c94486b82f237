"""An evaluation: which recordings are scored, by what, and beside which baseline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.recordings import Recordings
from carousel.errors import DataError
from carousel.tasks.speech_recognition.data import is_ready, open_recordings, usable
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.recognition import Search, Transcript
from carousel.tasks.speech_recognition.report import Report, make_report
from carousel.tasks.speech_recognition.training import read_all
from carousel.tasks.speech_recognition.utterances import BROKEN, Utterances

Listened = Callable[[int, int], None]


def recordings_to_score(
    fitted: Fitted, data: Any, options: RecognitionOptions
) -> tuple[Recordings, str, tuple[str, ...]]:
    """Returns the recordings that are scored, what they are in words, and what to know of them.

    Of the very recordings that fitting was given those are scored that it held out; of any other
    data all that have a transcript.

    Raises:
        DataError: where the model has heard all of them, or they are of another kind.
    """
    given = open_recordings(data, options)
    found = usable(given, options)
    ready = fitted.frontend.features is None
    if is_ready(found) != ready:
        wanted, got = ("ready features", "sound") if ready else ("sound", "ready features")
        raise DataError(
            f"expected {wanted}, as the model was fitted to, got {got}; give the other",
            source=found.source,
        )
    known = np.array(fitted.seen.knows(found))
    notes = [f"{n:,} recordings left out: {reason}." for reason, n in found.removed.items() if n]
    if fitted.seen.is_whole(given):
        rows = np.flatnonzero(~known)
        if not len(rows):
            raise DataError(
                "no recording to score: the model has heard all of them; give others, or fit with "
                "a holdout",
                source=given.source,
            )
        held = found.take(rows)
        notes += _of_unknown(fitted, held)
        scope = f"{len(held):,} recordings of {given.source} that fitting has not heard"
        return held, scope, tuple(notes)
    if count := int(known.sum()):
        notes.append(
            f"{count:,} of {len(found):,} recordings ({count / len(found):.1%}) are of speakers "
            f"that fitting has heard, or it has heard them, which flatters the model."
        )
    notes += _of_unknown(fitted, found)
    return found, f"{len(found):,} recordings of {given.source}", tuple(notes)


def _of_unknown(fitted: Fitted, recordings: Recordings) -> list[str]:
    """Returns a note where transcripts have characters that the model cannot write."""
    strange = [fitted.symbols.unknown(text) for text in recordings.texts]
    if not any(strange):
        return []
    letters = "".join(sorted(set("".join(strange))))
    return [
        f"{sum(map(bool, strange)):,} transcripts have characters that training never had "
        f"({letters[:20]}), each of which is an error."
    ]


def evaluate_recordings(
    fitted: Fitted,
    recordings: Recordings,
    scope: str,
    notes: tuple[str, ...],
    search: Search,
    skip_broken: bool,
    progress: Listened | None,
) -> Report:
    """Transcribes recordings and scores the transcripts; see ``Recognizer.evaluate``."""
    import_extra("jiwer", "speech")  # whose lack should be known before the work, not behind it
    begun = time.perf_counter()
    utterances = Utterances.read(
        recordings,
        fitted.frontend.features,
        size=fitted.frontend.size,
        skip_broken=skip_broken,
    )
    if broken := utterances.recordings.removed.get(BROKEN, 0):
        notes += (f"{broken:,} recordings left out: {BROKEN}.",)
    found: dict[int, Transcript] = {}
    frame_seconds = fitted.frontend.frame_seconds
    for batch, log_probs, steps in read_all(
        fitted.network, utterances, fitted.frontend, fitted.symbols
    ):
        seconds = [length * frame_seconds for length in batch.lengths.tolist()]
        for row, one in zip(
            batch.rows.tolist(), search.transcripts(log_probs, steps, seconds), strict=True
        ):
            found[row] = one
        if progress is not None:
            progress(len(found), len(utterances))
    return make_report(
        utterances.recordings,
        [found[row].text for row in range(len(utterances))],
        commonest=fitted.commonest,
        scope=scope,
        audio_seconds=float(utterances.lengths.sum()) * frame_seconds,
        seconds=time.perf_counter() - begun,
        notes=notes,
    )
