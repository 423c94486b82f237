"""What is said how often: the words of the training transcripts, and which follow which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from carousel.tasks.ngrams import NgramModel


def words_said(texts: Sequence[str]) -> list[str]:
    """Returns the different words of some texts, in order."""
    return sorted({word for text in texts for word in text.split()})


def count_words(texts: Sequence[str], words: Sequence[str], order: int) -> NgramModel:
    """Counts which words follow which.

    Args:
        texts: of which each is a sentence.
        words: W different ones, all that the texts have.
        order: of the longest n-gram, from 1.

    Returns:
        A model of W + 1 tokens: the words by their place, and W the end of a sentence, which is
        counted as often before its begin as the model looks back.
    """
    number = {word: k for k, word in enumerate(words)}
    end = len(words)
    stream: list[int] = []
    for text in texts:
        stream += [end] * max(1, order - 1)
        stream += [number[word] for word in text.split()]
    stream.append(end)
    return NgramModel.fit(np.array(stream, np.int64), end + 1, order)


class CountedWords:
    """An n-gram model as a ``WordModel``.

    Args:
        ngrams: of W + 1 tokens, see ``count_words``.
    """

    looks_back: int | None

    def __init__(self, ngrams: NgramModel) -> None:
        self.ngrams = ngrams
        self.looks_back, self.size = ngrams.order - 1, ngrams.vocabulary

    def log_probabilities(self, history: tuple[int, ...]) -> Float64[np.ndarray, " W_1"]:
        """Returns ln P of each word, and of the end, after as many words as it looks back over."""
        n = len(history)
        asked = np.empty((self.size, n + 1), np.int64)
        asked[:, :n] = history
        asked[:, n] = np.arange(self.size)
        found = self.ngrams.log_probabilities(asked.ravel(), first=0)
        scores: np.ndarray = found.reshape(asked.shape)[:, n]
        return scores
