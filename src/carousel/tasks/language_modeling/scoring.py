"""Scores of a text: a report beside the baselines, or one text token by token."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.errors import DataError
from carousel.tasks.language_modeling.adaptation import Adaptation, AdaptationOptions
from carousel.tasks.language_modeling.data import Part
from carousel.tasks.language_modeling.evaluation import token_nats
from carousel.tasks.language_modeling.fitted import Fitted
from carousel.tasks.language_modeling.generation import prompt_tokens
from carousel.tasks.language_modeling.report import Report, Scores

MODEL_NAME = "this model"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredText:
    """How likely a text is, token by token.

    Attributes:
        tokens: as they are shown to a person, (N,).
        nats: -ln P of each, given all before it.
        unknown: how many the model does not know.
    """

    tokens: list[str]
    nats: np.ndarray
    unknown: int

    @property
    def total(self) -> float:
        """-ln P of the whole text, in nats."""
        return float(self.nats.sum())

    @property
    def perplexity(self) -> float:
        """Exp of the mean nats of a token."""
        return float(np.exp(self.nats.mean()))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values."""
        return {
            "tokens": self.tokens,
            "nats": self.nats.tolist(),
            "total": self.total,
            "perplexity": self.perplexity,
            "unknown": self.unknown,
        }

    def __str__(self) -> str:
        """A line for each token, and the sum."""
        width = max(len(repr(token)) for token in self.tokens)
        lines = [
            f"{token!r:<{width}}  {nats:8.4f} nats  p = {np.exp(-nats):.3g}"
            for token, nats in zip(self.tokens, self.nats, strict=True)
        ]
        total = f"{len(self.tokens):,} tokens, {self.total:.3f} nats, perplexity"
        return "\n".join([*lines, f"{total} {self.perplexity:.4g}"])


def score_text(fitted: Fitted, text: str) -> ScoredText:
    """Scores one text as a document of its own, its end too; see ``LanguageModel.score``."""
    if not isinstance(text, str) or not text:
        raise DataError(f"expected a text to score, got {text!r}; give one that is not empty")
    own = fitted.tokenizer
    tokens = np.array(prompt_tokens(own, text))
    if len(tokens) == 1:
        raise DataError(f"expected a text to score, got {text!r}, which has no {own.kind}")
    if fitted.several:  # whose ends the model predicts
        tokens = np.append(tokens, own.end)
    nats = token_nats(fitted.network, tokens, boundary=None)
    share = fitted.share()
    return ScoredText(
        tokens=[own.vocabulary[t] for t in tokens[1:].tolist()],
        nats=nats if share is None else -share.joined(-nats, share.model.log_probabilities(tokens)),
        unknown=0 if own.unknown is None else int((tokens == own.unknown).sum()),
    )


def evaluate_part(
    fitted: Fitted,
    part: Part,
    scope: str,
    options: AdaptationOptions,
    progress: Callable[[int, int], None] | None,
    seen: tuple[int, int] = (0, 0),
) -> Report:
    """Scores a tokenized text by the model and by every baseline; see ``LanguageModel.evaluate``.

    Raises:
        DataError: for a text without a token.
    """
    if len(part) == 0:
        raise DataError(f"expected text with {fitted.tokenizer.kind}, got none in {scope}")
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, len(part))

    adapter = None
    if options.dynamic or options.cache:
        adapter = Adaptation(options, fitted.statistics, fitted.tokenizer.kind)
    updates = None if adapter is None else adapter.updates
    with contextlib.nullcontext() if updates is None else updates.on(fitted.network):
        nats = {
            MODEL_NAME: token_nats(
                fitted.network,
                part.tokens,
                boundary=fitted.boundary,
                adapter=adapter,
                progress=told,
            )
        }
    share, alone = fitted.share(options.ngram_weight), None
    for name, model in fitted.ngrams.items():
        counted = model.log_probabilities(part.tokens, boundary=fitted.boundary)
        if share is not None and model is share.model:
            alone = _scores(nats[MODEL_NAME], part)
            nats[MODEL_NAME] = -share.joined(-nats[MODEL_NAME], counted)
        nats[name] = -counted
    return Report(
        scores={name: _scores(values, part) for name, values in nats.items()},
        nats={name: values.astype(np.float32) for name, values in nats.items()},
        counted=fitted.about["ngram_tokens"],
        trained=fitted.about["training_tokens"],
        tokenizer=fitted.tokenizer.kind,
        scope=_scope(scope, part),
        documents=part.documents,
        unknown=part.unknown,
        vocabulary=len(fitted.tokenizer),
        adaptation="" if adapter is None else adapter.words,
        lines=seen[0],
        seen_lines=seen[1],
        ngram_weight=0.0 if share is None else share.weight,
        network=alone,
    )


def _scores(nats: np.ndarray, part: Part) -> Scores:
    return Scores(
        nats=float(nats.sum()),
        tokens=len(part),
        characters=part.characters,
        bytes=part.bytes,
        words=part.words,
    )


def _scope(scope: str, part: Part) -> str:
    documents = f"{part.documents:,} documents, " if part.documents > 1 else ""
    return f"{scope}: {documents}{len(part):,} tokens, {part.words:,} words"
