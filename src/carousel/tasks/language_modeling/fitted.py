"""What a fit leaves behind: network, tokenizer, baselines, and which text it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor

from carousel.data.texts import Texts
from carousel.data.tokenizers import Tokenizer, tokenizer_from_json
from carousel.errors import ModelError
from carousel.options import from_dict, to_dict
from carousel.tasks.language_modeling.ensemble import Network, make_network
from carousel.tasks.language_modeling.mixture import NgramShare
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.plan import Plan
from carousel.tasks.language_modeling.saved import check_config, check_members, check_statistics
from carousel.tasks.language_modeling.seen_lines import SeenLines
from carousel.tasks.ngrams import NgramModel
from carousel.tasks.saved_values import DAMAGED, parts_that_fit
from carousel.training import HISTORY_FILE

TOKENIZER_FILE = "tokenizer.json"
NGRAMS_FILE = "ngrams.safetensors"
LINES_FILE = "lines.safetensors"
_EMBEDDING, _OUTPUT = "embedding.weight", "head.weight"  # of each member
_STATISTICS = "statistics."  # of the gradients, beside the network's weights


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A text that fitting has read.

    Attributes:
        characters: how many, from its begin on.
        digest: of these, see ``Texts``.
        lines: of these; None in models that were saved by a version without them.
    """

    characters: int
    digest: str
    lines: SeenLines | None = None

    def begin_of_unseen(self, texts: Texts) -> int:
        """Returns where the rest of a text begins that itself begins with what was seen, else 0."""
        if texts.measure().characters < self.characters:
            return 0
        return self.characters if texts.prefix_digest(self.characters) == self.digest else 0


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained language model's parts.

    Attributes:
        options: as they were given.
        plan: what the data decided.
        tokenizer: learned from the training text.
        network: trained, in evaluation mode.
        ngrams: baselines by name, the best first.
        statistics: of the gradients, for dynamic evaluation.
        several: whether training had several documents, so that their ends are predicted.
        seen: what fitting has read.
        about: what the model card tells.
    """

    options: LanguageModelingOptions
    plan: Plan
    tokenizer: Tokenizer
    network: Network
    ngrams: Mapping[str, NgramModel]
    statistics: Mapping[str, Tensor]
    several: bool
    seen: Seen
    about: Mapping[str, Any]

    @property
    def boundary(self) -> int | None:
        """The token at which the state is zeroed; None where training had one document."""
        return self.tokenizer.end if self.several else None

    def share(self, weight: float | None = None) -> NgramShare | None:
        """Returns what n-grams add to the predictions; None where it is nothing.

        Args:
            weight: in place of the plan's.
        """
        weight = self.plan.ngram_weight if weight is None else weight
        return NgramShare(next(iter(self.ngrams.values())), weight) if weight else None

    def config(self) -> dict[str, Any]:
        """Returns the plain values of ``config.json``."""
        return {
            "options": to_dict(self.options),
            "plan": self.plan.to_dict(),
            "several": self.several,
            "seen": {"characters": self.seen.characters, "digest": self.seen.digest},
            "about": dict(self.about),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Returns weights and statistics by name."""
        weights = dict(self.network.state_dict())
        if self.plan.tied:  # the same memory under two names
            weights = {name: t for name, t in weights.items() if not name.endswith(_OUTPUT)}
        return {**weights, **{_STATISTICS + name: t for name, t in self.statistics.items()}}

    def assets(self) -> dict[str, bytes]:
        """Returns the other files of the model's folder."""
        arrays = {
            f"{name}/{key}": np.ascontiguousarray(value)
            for name, model in self.ngrams.items()
            for key, value in model.tensors().items()
        }
        found = {
            TOKENIZER_FILE: self.tokenizer.to_json().encode(),
            NGRAMS_FILE: safetensors.numpy.save(arrays),
        }
        if self.seen.lines is not None:
            found[LINES_FILE] = safetensors.numpy.save(self.seen.lines.tensors())
        return found

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
        for name in (TOKENIZER_FILE, NGRAMS_FILE, HISTORY_FILE):
            if name not in assets:
                raise ModelError(f"the model folder lacks {name}; {DAMAGED}")
        check_config(config)
        with parts_that_fit():
            tokenizer = tokenizer_from_json(assets[TOKENIZER_FILE].decode())
            options = from_dict(LanguageModelingOptions, config["options"])
            plan = Plan.from_dict(config["plan"])
            weights = {n: t for n, t in tensors.items() if not n.startswith(_STATISTICS)}
            check_members(weights, plan.members)
            with torch.random.fork_rng(devices=[]):
                network = make_network(len(tokenizer), plan.members, **plan.network())
            if plan.tied:
                own = [name for name in weights if name.endswith(_EMBEDDING)]
                weights |= {n.removesuffix(_EMBEDDING) + _OUTPUT: weights[n] for n in own}
            network.load_state_dict(weights)
            statistics = {
                name.removeprefix(_STATISTICS): t
                for name, t in tensors.items()
                if name.startswith(_STATISTICS)
            }
            check_statistics(statistics, network)
            ngrams = _restored(safetensors.numpy.load(assets[NGRAMS_FILE]))
            if not ngrams or any(one.vocabulary != len(tokenizer) for one in ngrams.values()):
                raise ValueError(f"{NGRAMS_FILE} is not of a vocabulary of {len(tokenizer)}")
            lines = None
            if LINES_FILE in assets:
                lines = SeenLines.from_tensors(safetensors.numpy.load(assets[LINES_FILE]))
            return cls(
                options=options,
                plan=plan,
                tokenizer=tokenizer,
                network=network.eval(),
                ngrams=ngrams,
                statistics=statistics,
                several=config["several"],
                seen=Seen(**config["seen"], lines=lines),
                about=config["about"],
            )


def _restored(arrays: Mapping[str, np.ndarray]) -> dict[str, NgramModel]:
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for path, value in arrays.items():
        name, key = path.split("/", 1)
        grouped.setdefault(name, {})[key] = value
    found = {name: NgramModel.from_tensors(own) for name, own in grouped.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].order))
