"""Fitting: from a text to a trained model's parts, top to bottom."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from carousel.data.texts import Texts
from carousel.data.tokenizers import END, LINE_END, UNKNOWN, Tokenizer
from carousel.errors import DataError, OptionError
from carousel.options import to_dict
from carousel.tasks.language_modeling.adaptation import dynamic_steps, gradient_statistics
from carousel.tasks.language_modeling.data import (
    Part,
    count_tokens,
    cuts,
    learn_tokenizer,
    open_texts,
    tokenize,
)
from carousel.tasks.language_modeling.ensemble import Network, make_network, sample_by
from carousel.tasks.language_modeling.fitted import Fitted, Seen
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.plan import make_plan
from carousel.tasks.language_modeling.seen_lines import SeenLines
from carousel.tasks.language_modeling.training import MOST_VALIDATED, LanguageModelingTask
from carousel.tasks.ngrams import NgramModel
from carousel.tasks.trained import run_facts
from carousel.training import History, Progress, RunOptions, train

_NGRAM_TOKENS = 2_000_000  # of the training text that the baselines count
_NGRAM_ORDER = {"characters": 7, "bytes": 7, "words": 5, "subwords": 4}


def fitted_to(
    data: Any,
    valid: Any,
    options: LanguageModelingOptions,
    run: RunOptions | None,
    progress: Progress | None,
) -> tuple[Fitted, History]:
    """Trains on all of a text but its holdout; see ``LanguageModel.fit``."""
    texts = open_texts(data, options)
    training_end, seen_end = cuts(texts, options, validates=valid is None)
    extent = texts.measure()
    several = extent.documents > 1
    tokenizer = learn_tokenizer(texts, training_end, options)
    part = tokenize(texts, tokenizer, 0, training_end, ends=several)
    counts = count_tokens(part, len(tokenizer))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"the training text repeats one token, {tokenizer.vocabulary[int(counts.argmax())]!r}: "
            f"there is nothing to predict; give a text with more than one",
            source=texts.name,
        )
    optimizer = None if run is None else run.optimizer
    plan, defaults = make_plan(options, len(tokenizer), len(part), optimizer)
    validation = _validation_part(texts, tokenizer, valid, options, training_end, seen_end, several)
    run = (run or RunOptions()).filled(**defaults)
    _check_columns(part, run)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed)  # no GPU's, which stay the caller's
        network = make_network(len(tokenizer), plan.members, **plan.network())
    if plan.samples:
        sample_by(network, torch.from_numpy(counts), plan.samples)
    digest = texts.prefix_digest(seen_end)
    task = LanguageModelingTask(
        network,
        part.tokens,
        part.tokens[:0] if validation is None else validation.tokens,
        plan,
        run,
        boundary=tokenizer.end if several else None,
        source=texts.name,
        fingerprint={
            "data": digest,
            "validation data": _digest(validation),
            **_of_training(options),
        },
        introduction=_introduction(part, tokenizer, network),
    )
    result = train(task, run, progress)
    # Still where it was trained, because of a large network they take a CPU minutes.
    statistics = gradient_statistics(network, part.tokens, dynamic_steps(tokenizer.kind))
    network.cpu().zero_grad(set_to_none=True)
    counted = part.tokens[1:][-_NGRAM_TOKENS:]
    order = _NGRAM_ORDER[tokenizer.kind]
    fitted = Fitted(
        options=options,
        plan=plan,
        tokenizer=tokenizer,
        network=network,
        ngrams={
            f"{order}-gram": NgramModel.fit(counted, len(tokenizer), order),
            "unigram": NgramModel.fit(counted, len(tokenizer), 1),
        },
        statistics={name: one.cpu() for name, one in statistics.items()},
        several=several,
        seen=Seen(
            characters=seen_end, digest=digest, lines=SeenLines.of(texts.pieces(0, seen_end))
        ),
        about={
            "source": texts.name,
            "documents": extent.documents,
            "characters": extent.characters,
            "training_tokens": len(part),
            "ngram_tokens": len(counted),
            "training_characters": part.characters,
            "validation": _validation_words(validation, valid),
            "holdout_characters": extent.characters - seen_end,
            **run_facts(result, run),
        },
    )
    return fitted, result.history


def _of_training(options: LanguageModelingOptions) -> dict[str, Any]:
    """Returns the options that a run depends on."""
    return {name: v for name, v in to_dict(options).items() if name != "ngram_weight"}


def _validation_part(
    texts: Texts,
    tokenizer: Tokenizer,
    valid: Any,
    options: LanguageModelingOptions,
    begin: int,
    end: int,
    several: bool,
) -> Part | None:
    """Returns the text that chooses the weights: ``valid``, or what lies before the holdout."""
    if valid is None:
        if begin == end:
            return None
        return tokenize(texts, tokenizer, begin, end, ends=several)
    texts = open_texts(valid, options)
    part = tokenize(texts, tokenizer, 0, None, ends=several)
    if len(part) == 0:
        raise DataError(f"expected text with {tokenizer.kind}, got none", source=texts.name)
    return part


def _validation_words(part: Part | None, valid: Any) -> str:
    if part is None:
        return "none; the last weights were kept"
    place = "" if valid is None else f" of {valid if isinstance(valid, str | Path) else 'a list'}"
    used = f", the first {MOST_VALIDATED:,} of which" if len(part) > MOST_VALIDATED else ", which"
    return f"{len(part):,} tokens, {part.characters:,} characters{place}{used} chose the weights"


def _digest(part: Part | None) -> str:
    return "" if part is None else hashlib.sha256(part.tokens.data).hexdigest()


def _check_columns(part: Part, run: RunOptions) -> None:
    assert run.batch_size is not None
    if len(part) < run.batch_size:
        raise OptionError(
            f"batch_size expects at most one column for each of the {len(part):,} training tokens, "
            f"got {run.batch_size}; give less, or more text"
        )


def _introduction(part: Part, tokenizer: Tokenizer, network: Network) -> str:
    parameters = sum(p.numel() for p in network.parameters())
    documents = f"{part.documents:,} documents, " if part.documents > 1 else ""
    different = len(set(tokenizer.vocabulary) - {END, UNKNOWN, LINE_END})
    return (
        f"{documents}{len(part):,} training tokens of {part.characters:,} characters; "
        f"{different:,} different {tokenizer.kind}; {parameters:,} parameters"
    )
