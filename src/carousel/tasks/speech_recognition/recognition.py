"""From what the network says to words: searches, times and confidences.

Letters: S steps of the network, V symbols with the blank.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from carousel.decoding.ctc import CtcResult
from carousel.decoding.ctc_beam import PrefixBeamOptions, prefix_beam_search
from carousel.decoding.ctc_scorer import Scorer
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.model_folder import CONFIG
from carousel.tasks.speech_recognition.fitted import Fitted, Weights
from carousel.tasks.speech_recognition.language import CountedWords
from carousel.tasks.speech_recognition.symbols import SPACE, Symbols
from carousel.tasks.speech_recognition.word_scorer import WordScorer

SURE = math.log(0.95)  # ln p of the blank in a step that is silent


@options
class ListeningOptions:
    """How the words are searched for that a sound most likely says."""

    beam: int = option(
        default=16, help="how many hypotheses of a sentence are followed", low=1, high=1_000
    )
    best: int = option(default=1, help="how many of the best are given", low=1, high=1_000)
    language_weight: float | None = option(
        default=None,
        help="how much the language model counts beside the sound; default: what fitting found "
        "best for its own on its validation part",
        low=0.0,
        high=100.0,
    )
    word_bonus: float | None = option(
        default=None,
        help="what each word adds to a score; above 0 for more words; default: what fitting found "
        "best with its own language model on its validation part",
        unit="nats",
        low=-100.0,
        high=100.0,
    )
    language_model: str | os.PathLike[str] | None = option(
        default=None,
        help="folder of a language model over words or characters, fitted by carousel, that scores "
        "the words in place of those that the transcripts of training have counted",
    )


@dataclass(frozen=True)
class Word:
    """A word, when it was said, and how sure the model is of it.

    Attributes:
        text: the word.
        begin: seconds from the beginning of the recording.
        end: seconds, where the last of its symbols ends; CTC ends early, see the documentation.
        confidence: the lowest probability among its symbols, each at its most likely step.
    """

    text: str
    begin: float
    end: float
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "text": self.text,
            "begin": round(self.begin, 3),
            "end": round(self.end, 3),
            "confidence": round(self.confidence, 4),
        }


@dataclass(frozen=True)
class Transcript:
    """What a recording says.

    Attributes:
        text: the words with blanks between them; "" for silence.
        words: with their times.
        score: of the search, in nats.
        seconds: length of the recording.
        others: the next best transcripts, where they were asked for.
    """

    text: str
    words: tuple[Word, ...]
    score: float
    seconds: float
    others: tuple[Transcript, ...] = ()

    @property
    def confidence(self) -> float:
        """The lowest of its words'; 1 where nothing is said."""
        return min((word.confidence for word in self.words), default=1.0)

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        found: dict[str, Any] = {
            "text": self.text,
            "confidence": round(self.confidence, 4),
            "seconds": round(self.seconds, 3),
            "words": [word.to_dict() for word in self.words],
        }
        if self.others:
            found["others"] = [
                {"text": other.text, "score": round(other.score, 4)} for other in self.others
            ]
        return found


class Search:
    """Searches with a recogniser's words.

    Args:
        fitted: the recogniser.
        listening: how to search.
    """

    def __init__(self, fitted: Fitted, listening: ListeningOptions) -> None:
        own = fitted.weights
        weight, bonus = listening.language_weight, listening.word_bonus
        weight = own.scorer if weight is None else weight
        bonus = own.word_bonus if bonus is None else bonus
        told = [name for name in ("language_weight", "word_bonus") if getattr(listening, name)]
        if told and not (fitted.options.lexicon or listening.language_model):
            raise OptionError(
                f"option {told[0]!r} weighs a lexicon's words, and this model has none; leave it "
                f"out, or give a language model"
            )
        if bonus and listening.word_bonus is not None and not weight:
            raise OptionError(
                f"option 'word_bonus' is given with the words' own scores, which "
                f"'language_weight' = 0 leaves out, got {bonus:g}; leave one of them out"
            )
        if listening.language_model is not None and not weight:
            raise OptionError(
                "option 'language_model' would count nothing with 'language_weight' = 0; leave one "
                "of them out"
            )
        self.fitted, self.listening = fitted, listening
        self._stamp = _stamp(listening.language_model)
        self.scorer, self.options = search_parts(
            fitted, Weights(scorer=weight, word_bonus=bonus), listening
        )

    def is_of(self, fitted: Fitted, listening: ListeningOptions) -> bool:
        """Returns whether another search would be the same, its language model's files included."""
        same = self.fitted is fitted and self.listening == listening
        return same and self._stamp == _stamp(listening.language_model)

    def transcripts(
        self, log_probs: Float[Tensor, "S B V"], steps: Tensor, seconds: Sequence[float]
    ) -> list[Transcript]:
        """Returns what each recording of a batch says.

        Args:
            log_probs: of the network.
            steps: (B,) of each recording.
            seconds: of each recording.
        """
        found = prefix_beam_search(log_probs, steps, options=self.options, scorer=self.scorer)
        return [self.transcript(each, length) for each, length in zip(found, seconds, strict=True)]

    def transcript(self, results: Sequence[CtcResult], seconds: float) -> Transcript:
        """Returns results of one recording, the best first, as a transcript and its others."""
        ended = [each for each in results if each.score > -math.inf]
        found: dict[str, Transcript] = {}
        for each in ended or [self._whole_words(results[0])]:
            one = transcript_of(each, self.fitted.symbols, self.fitted.step_seconds, seconds)
            found.setdefault(one.text, one)  # without a lexicon blanks alone may differ
        first, *others = found.values()
        return Transcript(first.text, first.words, first.score, seconds, tuple(others))

    def _whole_words(self, result: CtcResult) -> CtcResult:
        """Returns what stands before the last blank: behind it is a part of a word, or nothing."""
        space = self.fitted.symbols.numbers[SPACE]
        spaces = [k for k, token in enumerate(result.tokens) if token == space]
        end = spaces[-1] if spaces else 0
        return replace(
            result,
            tokens=result.tokens[:end],
            spans=result.spans[:end],
            confidences=result.confidences[:end],
            score=result.log_probability,
        )


def _stamp(folder: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    """Returns what tells a saved model from one that takes its place; None where there is none."""
    try:
        found = None if folder is None else (Path(folder).expanduser() / CONFIG).stat()
    except (OSError, RuntimeError, ValueError):  # no such file, or home; loading it will say so
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)


def search_parts(
    fitted: Fitted, weights: Weights, listening: ListeningOptions
) -> tuple[Scorer | None, PrefixBeamOptions]:
    """Returns the scorer of a search and its options; there is none with nothing to ask.

    Args:
        fitted: the recogniser.
        weights: of the scorer, in place of those that the two others say.
        listening: the beam, and the language model.
    """
    beam, best = listening.beam, listening.best
    lexicon = fitted.lexicon if fitted.options.lexicon else None
    bonus = weights.word_bonus / weights.scorer if weights.scorer else 0.0
    scorer: Scorer
    if listening.language_model is not None:
        # Only here, because most recognisers do without.
        from carousel.tasks.speech_recognition.neural_language import neural_scorer

        scorer = neural_scorer(os.fspath(listening.language_model), lexicon, fitted.symbols, bonus)
    elif lexicon is not None:
        counted = None if fitted.ngrams is None else CountedWords(fitted.ngrams)
        scorer = WordScorer(lexicon, counted, len(fitted.symbols), bonus)
    else:
        return None, PrefixBeamOptions(beam=beam, best=best)
    return scorer, PrefixBeamOptions(beam=beam, best=best, scorer_weight=weights.scorer)


def transcript_of(
    result: CtcResult, symbols: Symbols, step_seconds: float, seconds: float
) -> Transcript:
    """Returns one result as words with their times.

    Args:
        result: of a search.
        symbols: that its tokens are.
        step_seconds: from one step to the next.
        seconds: of the recording.
    """
    parts = zip(result.tokens, result.spans, result.confidences, strict=True)
    pieces = [(symbols.decode([token]) or SPACE, span, sure) for token, span, sure in parts]
    words = []
    for is_space, group in itertools.groupby(pieces, key=lambda piece: piece[0] == SPACE):
        if is_space:
            continue
        letters = list(group)
        words.append(
            Word(
                text="".join(letter for letter, _, _ in letters),
                begin=letters[0][1].begin * step_seconds,
                end=min(letters[-1][1].end * step_seconds, seconds),
                confidence=min(sure for _, _, sure in letters),
            )
        )
    text = SPACE.join(word.text for word in words)
    return Transcript(text, tuple(words), result.score, seconds)


@torch.no_grad()
def heard(fitted: Fitted, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns ln p of the symbols of recordings, (S, B, V), and their steps; see the network."""
    device = next(fitted.network.parameters()).device
    log_probs, steps = fitted.network(frames.to(device), lengths.to(device))
    return log_probs, steps
