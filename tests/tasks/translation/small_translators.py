"""Small sentence pairs, options and translators that the tests of translation share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carousel.tasks.translation import Translator
from carousel.training import RunOptions

SMALL = {
    "embedding_size": 8,
    "hidden_size": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "vocabulary_size": 300,
    "guided_alignment": 0.0,
}
QUICK = RunOptions(max_steps=3, batch_size=8, progress="none")
NOUNS = {
    "cat": "Kätzchen", "dog": "Hündchen", "bird": "Vogel", "fish": "Fisch", "fox": "Füchslein",
    "bear": "Bär",
}  # fmt: skip
VERBS = {"sat": "saß", "ran": "lief", "slept": "schlief", "fell": "fiel"}
PLACES = {"on": "auf", "near": "neben", "behind": "hinter"}
WORDS = {"the": "das", **NOUNS, **VERBS, **PLACES}

Pair = tuple[str, str]


def translated_by_hand(source: str) -> str:
    """Returns what a sentence of the small language means: word for word."""
    return " ".join(WORDS[word] for word in source.removesuffix(".").split()) + "."


def small_pairs(number: int, seed: int = 0) -> list[Pair]:
    """Returns pairs of two to six words with a full stop, no source twice."""
    random = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < number:
        article = ["the"] * int(random.integers(2))
        words = [*article, random.choice(list(NOUNS)), random.choice(list(VERBS))]
        if random.random() < 0.8:
            words += [random.choice(list(PLACES)), *article, random.choice(list(NOUNS))]
        source = " ".join(words) + "."
        found[source] = translated_by_hand(source)
    return list(found.items())


PAIRS, OTHER = small_pairs(125)[:100], small_pairs(125)[100:]  # which share no source


def fitted(data: Any = PAIRS, run: RunOptions = QUICK, **options: Any) -> Translator:
    """Returns a translator that has been trained for a few steps."""
    return Translator(**{**SMALL, **options}).fit(data, run=run)


@functools.cache
def small_translator(shared: bool = True) -> Translator:
    """Returns one translator for all tests, which must leave it as it is."""
    return fitted(shared_vocabulary=shared)


@functools.cache
def taught_translator() -> Translator:
    """Returns one that has learned the small language well; likewise."""
    options = {"embedding_size": 64, "hidden_size": 64, "vocabulary_size": 600}
    options |= {f"{place}_dropout": 0.0 for place in ("word", "input", "hidden", "output")}
    options |= {"label_smoothing": 0.0, "guided_alignment": 0.2}
    run = RunOptions(
        max_steps=200,
        batch_size=16,
        learning_rate=1e-2,
        schedule="constant",
        weight_decay=0.0,
        average=0.9,
        validate_every=200,
        progress="none",
    )
    return fitted(small_pairs(400, seed=1), run, **options)


def write_two(folder: Path, pairs: Sequence[Pair], name: str = "a") -> tuple[str, str]:
    """Writes two aligned files, ``NAME.en`` and ``NAME.de``, and returns their paths."""
    paths = folder / f"{name}.en", folder / f"{name}.de"
    for path, side in zip(paths, zip(*pairs, strict=True), strict=True):
        path.write_text("".join(f"{text}\n" for text in side), encoding="utf-8")
    return str(paths[0]), str(paths[1])
