"""Small texts, options and models that the tests of language modelling share."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling.fitted import Fitted
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.training import HISTORY_FILE, RunOptions

KINDS = ("characters", "bytes", "words", "subwords")
SMALL = {"hidden_size": 8, "embedding_size": 8, "num_layers": 1, "bptt": 16}
QUICK = RunOptions(max_steps=4, batch_size=4, progress="none")


def small_text(lines: int = 60, seed: int = 0) -> str:
    """Returns lines of six words each, every one ended by a line end."""
    random = np.random.default_rng(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran", "far", "away", "to", "sea"]
    return "".join(" ".join(random.choice(words, 6)) + "\n" for _ in range(lines))


TEXT = small_text()
OTHER = small_text(20, seed=1)
DOCUMENTS = [small_text(3, seed=k) for k in range(2, 22)]


def fitted(data: Any, **options: Any) -> LanguageModel:
    """Returns a model that has been trained for a few steps."""
    return LanguageModel(**{**SMALL, **options}).fit(data, run=QUICK)


@functools.cache
def small_model(kind: str = "characters", several: bool = False) -> LanguageModel:
    """Returns one model for all tests, which must leave it as it is."""
    return fitted(DOCUMENTS if several else [TEXT], tokenizer=kind)


def restored(model: LanguageModel, plan: Mapping[str, Any], without: Sequence[str] = ()) -> Fitted:
    """Returns a model's parts as read again, of another plan, and without some of its options."""
    parts = model._ready("save")
    config = parts.config()
    config["plan"] |= plan
    for name in without:
        del config["plan"][name], config["options"][name]
    return Fitted.restore(config, parts.tensors(), {**parts.assets(), HISTORY_FILE: b""})


def small_network(vocabulary: int = 9, **options: Any) -> LanguageNetwork:
    """Returns a network of two layers with weights that matter, in double precision."""
    torch.manual_seed(3)
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2, "tied": False}
    network = LanguageNetwork(vocabulary, **{**sizes, **options}).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.7)
    return network


def random_tokens(number: int, vocabulary: int = 9, seed: int = 0) -> np.ndarray:
    """Returns END and that many tokens behind it, none of them END."""
    drawn = np.random.default_rng(seed).integers(1, vocabulary, number)
    return np.concatenate([[0], drawn]).astype(np.uint16)
