"""What a fit leaves behind: a network, symbols, words, and which recordings it has heard."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.numpy
import torch
from torch import Tensor

from carousel.data.feature_scaling import Moments
from carousel.data.recordings import Recordings
from carousel.errors import ModelError
from carousel.options import from_dict, to_dict
from carousel.tasks.ngrams import NgramModel
from carousel.tasks.saved_values import DAMAGED, expect, parts_that_fit
from carousel.tasks.speech_recognition.data import digest_of, marks_of
from carousel.tasks.speech_recognition.network import AcousticNetwork
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.plan import Plan
from carousel.tasks.speech_recognition.saved import check_config
from carousel.tasks.speech_recognition.symbols import SPACE, Symbols
from carousel.tasks.speech_recognition.utterances import Frontend, features_of
from carousel.tasks.speech_recognition.word_scorer import Lexicon
from carousel.training import HISTORY_FILE

WORDS_FILE = "words.json"
NGRAMS_FILE = "ngrams.safetensors"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What fitting has heard.

    Attributes:
        digest: of all recordings, in their order, before anything was left out.
        marks: of training and validation: speakers, or recordings of none; see ``marks_of``.
    """

    digest: str
    marks: frozenset[str]

    def is_whole(self, recordings: Recordings) -> bool:
        """Returns whether these are the very recordings that fitting was given."""
        return digest_of(recordings) == self.digest

    def knows(self, recordings: Recordings) -> list[bool]:
        """Returns for each recording whether training or validation had its speaker, or it."""
        return [mark in self.marks for mark in marks_of(recordings)]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How much the words count beside the sound; chosen on the validation part.

    Attributes:
        scorer: what the language model's nats are multiplied by.
        word_bonus: what each word adds, in nats.
    """

    scorer: float = 1.0
    word_bonus: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A trained recogniser's parts.

    Attributes:
        options: as they were given.
        plan: what the data decided.
        symbols: the characters of the training's transcripts.
        frontend: what the network sees of a sound.
        network: trained, in evaluation mode.
        words: those of the training's transcripts, in order.
        ngrams: which follow which; None without.
        weights: of words and sound.
        commonest: the most frequent transcript of training, the baseline.
        seen: what fitting has heard.
        about: what the model card tells.
    """

    options: RecognitionOptions
    plan: Plan
    symbols: Symbols
    frontend: Frontend
    network: AcousticNetwork
    words: list[str]
    ngrams: NgramModel | None
    weights: Weights
    commonest: str
    seen: Seen
    about: Mapping[str, Any]

    @functools.cached_property
    def lexicon(self) -> Lexicon:
        """The words as a tree of their symbols, made once for all searches."""
        return Lexicon(self.words, self.symbols.numbers)

    @property
    def step_seconds(self) -> float:
        """Seconds from one step of the network to the next."""
        return self.plan.subsampling * self.frontend.frame_seconds

    def config(self) -> dict[str, Any]:
        """Returns the plain values of ``config.json``."""
        return {
            "options": to_dict(self.options),
            "plan": self.plan.to_dict(),
            "size": self.frontend.size,
            "moments": self.frontend.moments.to_dict(),
            "characters": self.symbols.characters,
            "weights": {"scorer": self.weights.scorer, "word_bonus": self.weights.word_bonus},
            "commonest": self.commonest,
            "seen": {"digest": self.seen.digest, "marks": sorted(self.seen.marks)},
            "about": dict(self.about),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights by name."""
        return dict(self.network.state_dict())

    def assets(self) -> dict[str, bytes]:
        """Returns the other files of the model's folder."""
        words = json.dumps(self.words, ensure_ascii=False, indent=0).encode()
        ngrams = {} if self.ngrams is None else self.ngrams.tensors()
        return {WORDS_FILE: words, NGRAMS_FILE: safetensors.numpy.save(ngrams)}

    @classmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        assets: Mapping[str, bytes],
    ) -> Fitted:
        """Takes back what ``config``, ``tensors`` and ``assets`` returned.

        Raises:
            ModelError: where the parts do not fit together.
        """
        check_config(config)
        for name in (WORDS_FILE, NGRAMS_FILE, HISTORY_FILE):
            if name not in assets:
                raise ModelError(f"the model folder lacks {name}; {DAMAGED}")
        with parts_that_fit():
            options = from_dict(RecognitionOptions, config["options"])
            plan = Plan.from_dict(config["plan"])
            symbols = Symbols(config["characters"])
            moments, size = Moments.from_dict(config["moments"]), config["size"]
            expect(len(moments.mean) == size, "moments", f"those of {size} features", moments.mean)
            frontend = make_frontend(plan, size, moments)
            own = size if frontend.features is None else frontend.features.size
            expect(own == size, "size", f"{own}, as the plan's features have", size)
            with torch.random.fork_rng(devices=[]):
                network = make_network(plan, frontend, symbols)
            network.load_state_dict(dict(tensors))
            words = json.loads(assets[WORDS_FILE])
            texts = isinstance(words, list) and all(type(word) is str and word for word in words)
            expect(texts and words == sorted(set(words)), WORDS_FILE, "words in order", words)
            letters = {letter for word in words for letter in word}
            known = letters <= set(symbols.characters) - {SPACE}
            expect(known, WORDS_FILE, "words of the model's characters", words)
            found = safetensors.numpy.load(assets[NGRAMS_FILE])
            ngrams = NgramModel.from_tensors(found) if found else None
            counted = len(words) + 1 if ngrams is None else ngrams.vocabulary
            told = f"counts of {len(words)} words"
            expect(counted == len(words) + 1, NGRAMS_FILE, told, counted - 1)
            order = 0 if ngrams is None else ngrams.order
            expect(order == options.ngram, NGRAMS_FILE, f"{options.ngram}-grams", order)
            return cls(
                options=options,
                plan=plan,
                symbols=symbols,
                frontend=frontend,
                network=network.eval(),
                words=words,
                ngrams=ngrams,
                weights=Weights(**config["weights"]),
                commonest=config["commonest"],
                seen=Seen(
                    digest=config["seen"]["digest"], marks=frozenset(config["seen"]["marks"])
                ),
                about=config["about"],
            )


def make_frontend(plan: Plan, size: int, moments: Moments) -> Frontend:
    """Returns what the network sees of a sound, as the plan says."""
    return Frontend(features_of(plan), size, plan.deltas, plan.scaling, moments)


def make_network(plan: Plan, frontend: Frontend, symbols: Symbols) -> AcousticNetwork:
    """Returns an untrained network as the plan says."""
    return AcousticNetwork(frontend.width, len(symbols), **plan.network())
