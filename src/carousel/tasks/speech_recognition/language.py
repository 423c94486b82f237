"""What is said how often: the words of the training transcripts, and which follow which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
