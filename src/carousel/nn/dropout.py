"""Dropout that keeps its choice over time, and dropout of whole words.

Shape letters: T time, B batch, F features, V vocabulary, E embedding size.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def locked_dropout(x: Float[Tensor, "T B F"], rate: float, training: bool) -> Tensor:
    """Zeroes the same features at every step of a sequence, and multiplies the rest by 1/(1-rate).

    Args:
        x: (T, B, F).
        rate: probability of a feature of a sequence to be zeroed.
        training: whether anything is done.

    Returns:
        (T, B, F).

    Reference: variational dropout, Gal and Ghahramani (2016), arXiv:1512.05287; as in Merity,
    Keskar and Socher (2018), arXiv:1708.02182, section 4.2.
    """
    mask = locked_mask(x, rate, training)
    return x if mask is None else x * mask


def locked_mask(
    x: Float[Tensor, "T B F"], rate: float, training: bool
) -> Float[Tensor, "1 B F"] | None:
    """Returns what ``locked_dropout`` multiplies by, for sequences that come step by step.

    Args:
        x: (T, B, F), of which only the shape and the kind are read.
        rate: probability of a feature of a sequence to be zeroed.
        training: whether anything is done.

    Returns:
        (1, B, F), each 0 or 1/(1-rate); None where nothing is done.
    """
    if not training or rate == 0:
        return None
    return torch.dropout(x.new_ones(1, *x.shape[1:]), rate, True)


def word_dropout(
    x: Float[Tensor, "T B E"],
    words: Int[Tensor, "T B"],
    vocabulary: int,
    rate: float,
    training: bool,
) -> Tensor:
    """Zeroes some words wherever they stand, and multiplies the rest by 1/(1-rate).

    That is dropout of whole rows of the embedding matrix, which is not touched for it.

    Args:
        x: (T, B, E), the embedded words.
        words: (T, B), which ones they are.
        vocabulary: V.
        rate: probability of a word to be zeroed.
        training: whether anything is done.

    Returns:
        (T, B, E).

    Reference: embedding dropout, arXiv:1512.05287; arXiv:1708.02182, section 4.3.
    """
    if not training or rate == 0:
        return x
    return x * torch.dropout(x.new_ones(vocabulary, 1), rate, True)[words]
