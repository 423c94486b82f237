"""Streams of tokens for truncated backpropagation through time: columns that go on where they were.

The tokens of a corpus stand one behind the other and are cut into B columns of equal length; a
batch is the next few rows of all columns, so that each column's state can be carried from batch to
batch. Knows nothing of what a token is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from carousel.data.batching import Shard, derived_seed

_WHOLE = Shard()
_SPREAD = 5.0  # standard deviation of a segment's length, arXiv:1708.02182, section 4.1
_FULL = 0.95  # share of segments of the usual length; the others are about half as long
_LEAST = 5  # steps of the shortest segment, as in the paper's code


def num_rows(num_tokens: int, columns: int) -> int:
    """Returns how many predictions a column holds: every token but the first is a target once."""
    return (num_tokens - 1) // columns


def segment_ends(rows: int, bptt: int, seed: int, epoch: int, vary: bool = True) -> np.ndarray:
    """Returns where each segment of an epoch ends, as row numbers from 1 to ``rows``.

        length ~ Normal(bptt with probability 0.95, else bptt / 2; 5), at least 5

    Args:
        rows: of a column.
        bptt: usual steps of a segment.
        seed: of the run.
        epoch: from 0; each is cut anew.
        vary: whether lengths vary; otherwise each is ``bptt``.

    Reference: arXiv:1708.02182, section 4.1: no row is always the last that gradients reach.
    """
    if not vary:
        return np.append(np.arange(bptt, rows, bptt), rows)
    draws = np.random.default_rng(derived_seed(seed, "segments", epoch))
    many = 2 + 4 * rows // bptt
    base = np.where(draws.random(many) < _FULL, bptt, bptt / 2)
    least = min(_LEAST, bptt)
    lengths = np.maximum(np.round(draws.normal(base, _SPREAD)).astype(np.int64), least)
    lengths = np.minimum(lengths, 2 * bptt)  # a bound on memory
    ends = np.cumsum(lengths)
    assert ends[-1] >= rows, "too few segments were drawn"
    return np.append(ends[ends < rows], rows)


def column_segments(
    tokens: np.ndarray,
    columns: int,
    ends: np.ndarray,
    start: int = 0,
    shard: Shard = _WHOLE,
) -> Iterator[Int[Tensor, "L B"]]:
    """Yields this rank's columns of the segments ``start``, ``start + 1``, … of an epoch.

    Args:
        tokens: (N,) whole numbers; may be mapped from a file.
        columns: B over all ranks.
        ends: of the segments, as ``segment_ends`` returns them.
        start: first segment to yield.
        shard: which columns.

    Returns:
        Iterator of int64 (L + 1, B_rank): the inputs are all rows but the last, the targets all but
        the first, so the last row comes again as the next segment's first.
    """
    rows = num_rows(len(tokens), columns)
    mine = np.arange(columns)[shard.rank :: shard.world] * rows
    for k in range(start, len(ends)):
        first = int(ends[k - 1]) if k else 0
        steps = np.arange(first, int(ends[k]) + 1)
        yield torch.from_numpy(tokens[mine[None, :] + steps[:, None]].astype(np.int64))
