"""What a fit leaves behind: networks, tokenizers, a dictionary, and which pairs it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import UInt64
from torch import Tensor

from carousel.data.pairs import Pairs
from carousel.data.tokenizers import tokenizer_from_json
from carousel.errors import ModelError
from carousel.options import from_dict, to_dict
from carousel.tasks.saved_values import DAMAGED, expect, parts_that_fit
from carousel.tasks.translation.data import Longest, Tokenizers, digest_of, marks_of
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.plan import Plan
from carousel.tasks.translation.saved import UNKNOWN_LENGTH, check_config
from carousel.tasks.translation.word_alignment import Lexicon
from carousel.training import HISTORY_FILE

SHARED_FILE = "tokenizer.json"
SIDE_FILES = ("source-tokenizer.json", "target-tokenizer.json")
LEXICON_FILE = "lexicon.json"
SEEN_FILE = "seen.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What fitting has read.

    Attributes:
        digest: of all pairs, in their order, before anything was left out.
        sources: (N,) sorted marks of the sources in training and validation; see ``marks_of``.
    """

    digest: str
    sources: UInt64[np.ndarray, " N"]

    def is_whole(self, pairs: Pairs) -> bool:
        """Returns whether these are the very pairs that fitting was given."""
        return digest_of(pairs) == self.digest

    def knows(self, pairs: Pairs) -> np.ndarray:
        """Returns for each pair whether training or validation had its source."""
        return np.isin(marks_of(pairs.sources), self.sources)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A trained translator's parts.

    Attributes:
        options: as they were given.
        plan: what the data decided.
        tokenizers: learned from the training pairs.
        network: trained, in evaluation mode.
        lexicon: the word-by-word baseline.
        characters: those of the training's sources, in order.
        longest: how long the sentences of training were.
        seen: what fitting has read.
        about: what the model card tells.
    """

    options: TranslationOptions
    plan: Plan
    tokenizers: Tokenizers
    network: TranslationNetwork
    lexicon: Lexicon
    characters: str
    longest: Longest
    seen: Seen
    about: Mapping[str, Any]

    def config(self) -> dict[str, Any]:
        """Returns the plain values of ``config.json``."""
        return {
            "options": to_dict(self.options),
            "plan": self.plan.to_dict(),
            "characters": self.characters,
            "longest": self.longest.words,
            "longest_subwords": self.longest.subwords,
            "seen": self.seen.digest,
            "about": dict(self.about),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights by name, each matrix once."""
        again = {second for second, _ in _tied(self.network)}
        return {name: t for name, t in self.network.state_dict().items() if name not in again}

    def assets(self) -> dict[str, bytes]:
        """Returns the other files of the model's folder."""
        own = self.tokenizers
        texts = (
            {SHARED_FILE: own.source.to_json()}
            if own.shared
            else dict(zip(SIDE_FILES, (own.source.to_json(), own.target.to_json()), strict=True))
        )
        return {
            **{name: text.encode() for name, text in texts.items()},
            LEXICON_FILE: self.lexicon.to_json().encode(),
            SEEN_FILE: safetensors.numpy.save({"sources": self.seen.sources}),
        }

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
        shared = config["options"]["shared_vocabulary"]
        files = (SHARED_FILE,) if shared else SIDE_FILES
        for name in (*files, LEXICON_FILE, SEEN_FILE, HISTORY_FILE):
            if name not in assets:
                raise ModelError(f"the model folder lacks {name}; {DAMAGED}")
        with parts_that_fit():
            sides = [tokenizer_from_json(assets[name].decode()) for name in files]
            tokenizers = Tokenizers(source=sides[0], target=sides[-1])
            for name, side in zip(files, sides, strict=True):
                expect(side.kind == "subwords", name, "subwords", side.kind)
            options = from_dict(TranslationOptions, config["options"])
            plan = Plan.from_dict(config["plan"])
            with torch.random.fork_rng(devices=[]):
                network = make_network(plan, tokenizers)
            weights = dict(tensors)
            for second, first in _tied(network):
                expect(second not in weights, second, f"nothing, being tied to {first}", "weights")
                if first in weights:
                    weights[second] = weights[first]
            network.load_state_dict(weights)
            seen = safetensors.numpy.load(assets[SEEN_FILE])["sources"]
            valid = seen.ndim == 1 and seen.dtype == np.uint64
            expect(valid, SEEN_FILE, "numbers", f"{seen.dtype} {seen.shape}")
            return cls(
                options=options,
                plan=plan,
                tokenizers=tokenizers,
                network=network.eval(),
                lexicon=Lexicon.from_json(assets[LEXICON_FILE].decode()),
                characters=config["characters"],
                longest=Longest(
                    words=config["longest"],
                    subwords=config.get("longest_subwords", UNKNOWN_LENGTH),
                ),
                seen=Seen(digest=config["seen"], sources=seen),
                about=config["about"],
            )


def make_network(plan: Plan, tokenizers: Tokenizers) -> TranslationNetwork:
    """Returns an untrained network as the plan says."""
    sizes = len(tokenizers.source), len(tokenizers.target)
    return TranslationNetwork(plan.members, *sizes, **plan.network())


def _tied(network: TranslationNetwork) -> list[tuple[str, str]]:
    """Returns the names under which a matrix comes again, each with its first name."""
    first: dict[int, str] = {}
    again = []
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            again.append((name, first[id(parameter)]))
        else:
            first[id(parameter)] = name
    return again
