"""Words while somebody speaks: chunks of sound in, partial and final words out.

What comes in is cut anew into blocks of one length, so that the network reads the same blocks, and
gives the same bits, however the sound was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from carousel.data.acoustic_features import FeatureStream
from carousel.data.audio import Resampler, mono
from carousel.data.feature_scaling import RunningScale
from carousel.decoding.ctc_beam import StreamingPrefixBeam
from carousel.errors import ModelError
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.network import BLANK, CONTEXT
from carousel.tasks.speech_recognition.recognition import (
    SURE,
    Search,
    Transcript,
)
from carousel.tasks.speech_recognition.symbols import SPACE
from carousel.tasks.speech_recognition.utterances import RUNNING_WEIGHT

BLOCK = 16  # frames that the network reads together


@dataclass(frozen=True)
class Partial:
    """What has been understood so far.

    Attributes:
        final: the words that no later sound will change.
        tentative: those behind them, which it may.
    """

    final: str
    tentative: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.final, self.tentative) if part)


class RecognitionStream:
    """Recognises one utterance chunk by chunk; see ``Recognizer.stream``.

    Args:
        fitted: a recogniser that reads forward only, of sound.
        rate: of the chunks, Hz.
        search: how words are searched for.

    Raises:
        ModelError: for a recogniser that cannot stream.
    """

    def __init__(self, fitted: Fitted, rate: int, search: Search) -> None:
        check_streams(fitted)
        assert fitted.frontend.features is not None
        self._fitted, self._search = fitted, search
        self._resampler = Resampler(rate, fitted.plan.rate)
        self._features: FeatureStream = fitted.frontend.features.stream()
        self._scale = RunningScale(fitted.frontend.moments, RUNNING_WEIGHT)
        self._waiting = np.zeros((0, fitted.frontend.size), np.float32)
        self._state = fitted.network.begin()
        self._beam = StreamingPrefixBeam(self._search.options, scorer=self._search.scorer)
        self._frames = 0
        self._silent_steps = 0
        self._is_done = False

    def feed(self, samples: np.ndarray) -> Partial:
        """Takes the next samples.

        Args:
            samples: (N,) or (N, channels), whole numbers of any width or floats from -1 to 1; 0 of
                them too.

        Returns:
            What has been understood so far.
        """
        self._check_open()
        self._take(self._features.feed(self._resampler.feed(mono(samples))))
        return self.partial()

    def finish(self) -> Transcript:
        """Ends the utterance, and returns all that it says."""
        self._check_open()
        self._is_done = True
        self._take(self._features.feed(self._resampler.finish()))
        self._take(self._features.finish(), last=True)
        seconds = self._frames * self._fitted.frontend.frame_seconds
        return self._search.transcript(self._beam.finish(), seconds)

    def partial(self) -> Partial:
        """Returns what has been understood so far."""
        symbols = self._fitted.symbols
        # A word is final when what follows it is: the blank behind it.
        stable = self._beam.stable()
        spaces = [k for k, token in enumerate(stable) if token == symbols.numbers[SPACE]]
        final = symbols.decode(stable[: spaces[-1]]) if spaces else ""
        whole = symbols.decode(self._beam.partial())
        return Partial(final, whole[len(final) :].strip())

    @property
    def silence_seconds(self) -> float:
        """How long no symbol has been heard: finish and begin another where it is a pause."""
        return self._silent_steps * self._fitted.step_seconds

    def _take(self, x: np.ndarray, *, last: bool = False) -> None:
        self._frames += len(x)
        self._waiting = np.concatenate([self._waiting, self._scale.feed(x)])
        while len(self._waiting) >= BLOCK:
            self._read(self._waiting[:BLOCK], last=False)
            self._waiting = self._waiting[BLOCK:]
        if last:
            self._read(self._waiting, last=True)
            self._waiting = self._waiting[:0]

    @torch.no_grad()
    def _read(self, frames: np.ndarray, *, last: bool) -> None:
        network = self._fitted.network
        device = next(network.parameters()).device
        x = torch.from_numpy(frames.copy())[:, None].to(device)
        log_probs, self._state = network.read(x, self._state, last=last)
        self._beam.feed(log_probs[:, 0])
        for is_silent in (log_probs[:, 0, BLANK] > SURE).tolist():
            self._silent_steps = self._silent_steps + 1 if is_silent else 0

    def _check_open(self) -> None:
        if self._is_done:
            raise ModelError("this stream is finished; begin another with stream()")


def check_streams(fitted: Fitted) -> None:
    """Refuses a recogniser that cannot hear chunk by chunk."""
    if fitted.plan.bidirectional:
        raise ModelError(
            "this recogniser reads both ways and needs the whole recording; fit one with "
            "streaming=True (--streaming)"
        )
    if fitted.frontend.features is None:
        raise ModelError(
            "this recogniser was fitted to ready features, which are no sound; fit one to audio "
            "files to stream"
        )


def latency_seconds(fitted: Fitted) -> float:
    """Returns how long after a sound its step is computed at the latest, computing time aside.

    A block is waited for, then the frames of context behind its last step, and half the window of
    the last frame. Where rates differ, the resampler's filter adds 0.04 to 0.16 s.

    Raises:
        ModelError: for a recogniser that cannot stream.
    """
    check_streams(fitted)
    frames = BLOCK - 1 + CONTEXT
    return frames * fitted.frontend.frame_seconds + 0.0125
