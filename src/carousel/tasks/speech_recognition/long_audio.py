"""Recordings of any length, in memory that does not grow with it but for the words.

A file is read twice where its features are scaled by their own moments: once for these. The network
reads windows that overlap, of which the margins are thrown away, and the search ends where the
speaker pauses, or after a minute.

Letters: T frames, S steps, F features of a frame, V symbols with the blank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from carousel.data.audio import audio_blocks
from carousel.data.audio_files import audio_facts
from carousel.data.feature_scaling import Moments, RunningScale, scaled
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.network import BLANK
from carousel.tasks.speech_recognition.recognition import SURE, Search, Transcript, Word, heard
from carousel.tasks.speech_recognition.symbols import SPACE
from carousel.tasks.speech_recognition.utterances import RUNNING_WEIGHT

LONGEST = 90.0  # seconds that are read whole
_BLOCK = 10.0  # seconds of sound in memory at a time
_WINDOW = 60.0  # seconds of a window without its margins
_MARGIN = 5.0  # seconds on either side, which give a window's ends what they follow from
_PAUSE = 0.6  # seconds without a symbol, behind which a search ends
_SEARCH = 60.0  # seconds after which it ends without a pause; in their second half


def transcribed_long(fitted: Fitted, path: str | Path, search: Search) -> Transcript:
    """Returns what a long sound file says.

    Args:
        fitted: a recogniser of sound.
        path: of the file.
        search: how words are searched for; of its further results there are none.
    """
    utterance = _Utterance(fitted, search)
    for log_probs in _heard(fitted, path):
        utterance.feed(log_probs)
    return utterance.finish(audio_facts(path).seconds)


def _features(fitted: Fitted, path: str | Path) -> Iterator[Float32[np.ndarray, "T F"]]:
    """Yields the plain features of a file, block by block."""
    features = fitted.frontend.features
    assert features is not None
    stream = features.stream()
    for block in audio_blocks(path, features.rate, seconds=_BLOCK):
        yield stream.feed(block)
    yield stream.finish()


def _scaled(fitted: Fitted, path: str | Path) -> Iterator[Float32[np.ndarray, "T F"]]:
    """Yields the scaled features of a file, block by block."""
    frontend = fitted.frontend
    if frontend.scaling == "running":
        running = RunningScale(frontend.moments, RUNNING_WEIGHT)
        yield from (running.feed(x) for x in _features(fitted, path))
        return
    own = Moments.of(_features(fitted, path))
    yield from (scaled(x, own) for x in _features(fitted, path))


def _heard(fitted: Fitted, path: str | Path) -> Iterator[Float[Tensor, "S V"]]:
    """Yields ln p of the symbols at all steps of a file, in their order."""
    step, seconds = fitted.plan.subsampling, fitted.frontend.frame_seconds
    window, margin = (step * round(value / seconds / step) for value in (_WINDOW, _MARGIN))
    waiting = np.zeros((0, fitted.frontend.size), np.float32)
    before = 0  # frames of ``waiting`` that have been transcribed, and are context now
    for x in _scaled(fitted, path):
        waiting = np.concatenate([waiting, x])
        while len(waiting) >= before + window + margin:
            yield _window(fitted, waiting[: before + window + margin], before, window)
            kept = before + window - margin
            waiting, before = waiting[kept:], margin
    if len(waiting) > before:
        yield _window(fitted, waiting, before, len(waiting) - before)


def _window(fitted: Fitted, x: np.ndarray, before: int, frames: int) -> Float[Tensor, "S V"]:
    """Returns ln p at the steps of some frames, of which so many stand before in ``x``."""
    seen = torch.from_numpy(fitted.frontend.seen(x))[:, None]
    log_probs, _ = heard(fitted, seen, torch.tensor([len(x)]))
    step = fitted.plan.subsampling
    return log_probs[before // step : -(-(before + frames) // step), 0]


class _Utterance:
    """The search over a long recording, which ends and begins anew where there is a pause.

    Where there is none for ``_SEARCH`` seconds it ends where the blank between two words is surest:
    time and memory of a search grow with the square of what it is over.
    """

    def __init__(self, fitted: Fitted, search: Search) -> None:
        self._fitted, self._search = fitted, search
        self._pause = max(1, round(_PAUSE / fitted.step_seconds))
        self._most = max(2, round(_SEARCH / fitted.step_seconds))
        self._waiting = torch.zeros(0, len(fitted.symbols))  # steps that no search has seen
        self._steps = 0  # before these
        self._words: list[Word] = []
        self._score = 0.0

    def feed(self, log_probs: Float[Tensor, "S V"]) -> None:
        """Takes the next steps."""
        self._waiting = torch.cat([self._waiting, log_probs.cpu()])
        while ends := self._ends():
            self._take(*ends)

    def finish(self, seconds: float) -> Transcript:
        """Returns what all steps say, of a recording of so many seconds."""
        self._take(len(self._waiting), len(self._waiting))
        words = tuple(replace(word, end=min(word.end, seconds)) for word in self._words)
        return Transcript(" ".join(w.text for w in words), words, self._score, seconds)

    def _ends(self) -> tuple[int, int] | None:
        """Returns where the next search ends and the one behind it begins, if enough is waiting."""
        steps = self._waiting[: self._most]
        silent = 0
        for place, is_silent in enumerate((steps[:, BLANK] > SURE).tolist()):
            silent = silent + 1 if is_silent else 0
            if silent == self._pause:
                return place + 1, place + 1
        if len(steps) < self._most:
            return None
        late = self._most // 2
        spaces = steps[late:, self._fitted.symbols.numbers[SPACE]]
        if float(spaces.max()) > math.log(0.5):
            end = late + int(spaces.argmax())
            return end, end + 1  # its step parts words, and belongs to none
        end = late + int(steps[late:, BLANK].argmax()) + 1
        return end, end

    def _take(self, end: int, begin: int) -> None:
        """Takes the words of the steps up to an end, and leaves those from a beginning on."""
        step = self._fitted.step_seconds
        steps, count = self._waiting[:end, None], torch.tensor([end])
        [found] = self._search.transcripts(steps, count, [end * step])
        shift = self._steps * step
        self._words += [
            Word(word.text, word.begin + shift, word.end + shift, word.confidence)
            for word in found.words
        ]
        self._score += found.score
        self._waiting, self._steps = self._waiting[begin:], self._steps + begin
