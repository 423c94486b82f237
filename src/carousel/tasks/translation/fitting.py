"""Fitting: from sentence pairs to a trained model's parts, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from carousel.data.pairs import REASONS, Pairs
from carousel.errors import DataError
from carousel.options import to_dict
from carousel.tasks.trained import run_facts
from carousel.tasks.translation.data import (
    Corpus,
    Longest,
    Tokenizers,
    cleaned,
    digest_of,
    learn_tokenizers,
    make_corpus,
    marks_of,
    open_pairs,
    options_to_score,
    split,
)
from carousel.tasks.translation.fitted import Fitted, Seen, make_network
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.plan import make_plan, vocabulary_size
from carousel.tasks.translation.training import MOST_VALIDATED, TranslationTask
from carousel.tasks.translation.word_alignment import align_words
from carousel.training import History, Progress, RunOptions, train

# Words of how many pairs are aligned, evenly spread: more take minutes and gigabytes.
_ALIGNED = 200_000  # for the lexicon
_GUIDED = 1_000_000  # where the alignment is also what attention learns from
_NO_OVERLAP = {"sources": 0, "pairs": 0}
_LEAST_PAIRS = 10  # in training; fewer are a mistake in the data more often than a wish


def fitted_to(
    data: Any,
    valid: Any,
    options: TranslationOptions,
    run: RunOptions | None,
    progress: Progress | None,
) -> tuple[Fitted, History]:
    """Trains on all pairs but their holdout; see ``Translator.fit``."""
    given = open_pairs(data, options)
    usable = cleaned(given, options)
    training, validation, holdout = split(usable, options, validates=valid is None)
    if len(training) < _LEAST_PAIRS:
        raise DataError(
            f"expected {_LEAST_PAIRS} pairs or more to train on, got {len(training)} of "
            f"{len(given)}; give more, or a smaller validation and holdout",
            source=given.name,
        )
    read = [(given, usable)]
    if valid is not None:
        further = open_pairs(valid, options_to_score(valid, options, {}))
        validation = cleaned(further, options)
        read.append((further, validation))
    optimizer = None if run is None else run.optimizer
    plan, defaults = make_plan(options, len(training), optimizer)
    run = (run or RunOptions()).filled(**defaults)

    tokenizers = learn_tokenizers(
        training, vocabulary_size(options, len(training)), options.shared_vocabulary
    )
    guided = plan.guided_alignment > 0
    rows = _spread(len(training), _GUIDED if guided else _ALIGNED)
    counted = training.take(rows)
    alignment = align_words(counted.sources, counted.targets)
    links = dict(zip(rows.tolist(), alignment.links, strict=True)) if guided else None
    corpus = make_corpus(training, tokenizers, links)
    validated = validation.take(_spread(len(validation), MOST_VALIDATED))
    chosen_on = make_corpus(validated, tokenizers)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed)  # no GPU's, which stay the caller's
        network = make_network(plan, tokenizers)
    digest = digest_of(given)
    sources = [*training.sources, *validation.sources]
    seen = Seen(digest=digest, sources=np.unique(marks_of(sources)))
    unseen = int((~seen.knows(holdout)).sum())  # pairs that are given for validation may be in it
    # What is split is split by source.
    overlap = _NO_OVERLAP if valid is None else training.overlap(validation)
    task = TranslationTask(
        network,
        corpus,
        chosen_on,
        plan,
        run,
        source=given.name,
        fingerprint={
            "data": digest,
            "validation data": digest_of(validated),
            **to_dict(options),
        },
        introduction=_introduction(
            read,
            (len(training), len(validation), unseen),
            overlap,
            tokenizers,
            corpus,
            sum(parameter.numel() for parameter in network.parameters()),
        ),
    )
    result = train(task, run, progress)
    network.cpu().zero_grad(set_to_none=True)
    fitted = Fitted(
        options=options,
        plan=plan,
        tokenizers=tokenizers,
        network=network,
        lexicon=alignment.lexicon,
        characters="".join(sorted(set().union(*map(set, training.sources)))),
        longest=Longest(
            words=max(len(t.split()) for t in (*training.sources, *training.targets)),
            subwords=int(corpus.lengths.max()) - 1,
        ),
        seen=seen,
        about={
            "source": given.name,
            "pairs": len(given),
            "removed": {reason: usable.removed[reason] for reason in REASONS},
            "training_pairs": len(training),
            "training_tokens": int(corpus.lengths.sum()),
            "validation": _validation_words(validation, valid),
            "validation_overlap": overlap["sources"],
            "holdout_pairs": unseen,
            **run_facts(result, run),
        },
    )
    return fitted, result.history


def _spread(count: int, most: int) -> Int64[np.ndarray, " N"]:
    """Returns numbers below ``count``, all of them or ``most``, evenly spread."""
    chosen = min(count, most)
    return np.arange(chosen) * count // max(chosen, 1)


def _validation_words(pairs: Pairs, valid: Any) -> str:
    if not len(pairs):
        return "none; the last weights were kept"
    place = "" if valid is None else f" of {pairs.name}"
    if valid is not None and (left_out := _left_out(pairs)):
        place += f" (left out: {left_out})"
    used = (
        f", {MOST_VALIDATED:,} of which, evenly spread,"
        if len(pairs) > MOST_VALIDATED
        else ", which"
    )
    return f"{len(pairs):,} pairs{place}{used} chose the weights"


def _left_out(pairs: Pairs) -> str:
    """Returns in words what cleaning removed, or ""."""
    return ", ".join(f"{pairs.removed[r]:,} {r}" for r in REASONS if pairs.removed.get(r))


def _introduction(
    read: Sequence[tuple[Pairs, Pairs]],
    parts: tuple[int, int, int],
    overlap: Mapping[str, int],
    tokenizers: Tokenizers,
    corpus: Corpus,
    parameters: int,
) -> str:
    """Returns what was found in the data, and what will be trained.

    Args:
        read: all pairs of each source of them, and those that are left of them.
        parts: how many pairs are for training, for validation, and held out.
        overlap: of training and validation; see ``Pairs.overlap``.
        tokenizers: learned.
        corpus: of the training part.
        parameters: of the network.
    """
    training, validation, holdout = parts
    lines = []
    for given, usable in read:
        left_out = _left_out(usable)
        end = f"; left out: {left_out}" if left_out else ""
        lines.append(f"{len(given):,} pairs of {given.name}{end}")
    sizes = sorted({len(tokenizers.source), len(tokenizers.target)})
    lines += [
        f"{training:,} for training, {validation:,} for validation, {holdout:,} held out",
        f"{' and '.join(f'{size:,}' for size in sizes)} subwords, "
        f"{corpus.lengths.sum() / len(corpus) / 2:.1f} in a sentence; {parameters:,} parameters",
    ]
    if overlap["sources"]:
        lines.append(
            f"warning: {overlap['sources']:,} sources of the validation pairs are in training too "
            f"({overlap['pairs']:,} with their translation), which flatters the validation"
        )
    return "\n".join(lines)
