"""Beginnings of sentences by a language model, several at a time: how likely each next token is.

Letters: N beginnings, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from carousel.data.tokenizers import LINE_END
from carousel.errors import ModelError
from carousel.nn import State
from carousel.tasks.language_modeling.evaluation import initial_state
from carousel.tasks.language_modeling.fitted import Fitted
from carousel.tasks.language_modeling.mixture import NgramShare
from carousel.tasks.ngrams import Contexts


class Begun(NamedTuple):
    """A beginning of a sentence.

    Attributes:
        state: of each layer behind it, h and c (1, 1, H).
        log_probs: (V,), of each token as the next one.
        contexts: of the n-grams, where they have a share in it.
    """

    state: tuple[State, ...]
    log_probs: Float64[np.ndarray, " V"]
    contexts: Contexts = ()


class SentenceReader:
    """Reads sentences token by token; what it knows of a beginning is in what it returned for it.

    A sentence is a line where the model has read more lines than documents, else a document.

    Args:
        fitted: a language model's parts. Its network must not change meanwhile.

    Raises:
        ModelError: for a model that has read no line's end, nor several documents.
    """

    def __init__(self, fitted: Fitted) -> None:
        self.tokenizer, self._network = fitted.tokenizer, fitted.network
        self._end, self._share = fitted.tokenizer.end, fitted.share()
        line_end = _line_end(fitted)
        self._is_line = line_end is not None and (
            not fitted.several or _times(fitted, line_end) > 1.5 * _times(fitted, self._end)
        )
        # Of a line that is a document both may be the end.
        self._endings = [self._end] if fitted.several else []
        self._endings += [] if line_end is None else [line_end]
        if not self._endings:
            raise ModelError(
                "this language model knows no end of a sentence: its text was one document of one "
                "line, or in tokens of another kind; train one over words or characters on text "
                "with a sentence on each line"
            )

    def start(self) -> Begun:
        """Returns the empty beginning."""
        place = () if self._share is None else self._share.model.begin()
        empty = Begun(tuple(initial_state(self._network)), np.zeros(0), place)
        [begun] = self.read([empty], [self._end])
        return self.read([begun], [self._endings[-1]])[0] if self._is_line else begun

    def end_log_prob(self, begun: Begun) -> float:
        """Returns ln P of the sentence's end behind a beginning."""
        return float(np.logaddexp.reduce(begun.log_probs[self._endings]))

    @torch.no_grad()
    def read(self, before: Sequence[Begun], tokens: Sequence[int]) -> list[Begun]:
        """Returns N beginnings that are one token longer; the same may come several times.

        Args:
            before: the shorter ones.
            tokens: the last of each.
        """
        if not before:
            return []
        device = next(self._network.parameters()).device
        layers = zip(*(begun.state for begun in before), strict=True)
        state = [
            State(torch.cat([h for h, _ in each], 1), torch.cat([c for _, c in each], 1))
            for each in layers
        ]
        features = self._network(torch.tensor([*tokens], device=device)[None], state)
        scores = self._network.head.logits(features.dropped[-1]).double()
        log_probs = torch.log_softmax(scores, 1).cpu().numpy()
        found = [
            Begun(tuple(State(h[:, [k]], c[:, [k]]) for h, c in features.state), log_probs[k])
            for k in range(len(before))
        ]
        if self._share is None:
            return found
        return [
            self._mixed(one, self._share, self._share.model.after(begun.contexts, token))
            for one, begun, token in zip(found, before, tokens, strict=True)
        ]

    @staticmethod
    def _mixed(begun: Begun, share: NgramShare, contexts: Contexts) -> Begun:
        log_probs = share.mixed_log_probs(begun.log_probs, contexts)
        return begun._replace(log_probs=log_probs, contexts=contexts)


def _line_end(fitted: Fitted) -> int | None:
    """Returns the token that ends a line, where the training text had some."""
    vocabulary = fitted.tokenizer.vocabulary
    line_end = {"characters": "\n", "words": LINE_END}.get(fitted.tokenizer.kind, "")
    if line_end not in vocabulary:
        return None
    number = vocabulary.index(line_end)
    return number if _times(fitted, number) > 1.5 else None  # one may stand at the very end


def _times(fitted: Fitted, token: int) -> float:
    """Returns about how often a token came in what the n-gram models have counted."""
    [log_probability] = fitted.ngrams["unigram"].log_probabilities(np.array([token]), first=0)
    return float(np.exp(log_probability)) * fitted.about["ngram_tokens"]
