"""Which examples make which batch where lengths differ: batches of similar length, by tokens.

Knows nothing of what an example is: it deals in index numbers and lengths. As in ``batching`` the
order is a function of (seed, epoch), so that a run that was stopped goes on without replaying it.

Letters: N examples, D sides of an example, such as a source and a target.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from carousel.data.batching import Shard, derived_seed

_WHOLE = Shard()
_SPARE = 10  # up to one part in so many of a batch is left free at random


def length_batches(
    lengths: np.ndarray,
    tokens: int,
    seed: int,
    epoch: int,
    start: int = 0,
    shard: Shard = _WHOLE,
) -> Iterator[np.ndarray]:
    """Yields this rank's example numbers of the global batches ``start``, ``start + 1``, ….

        rows · (longest of side 1 + … + longest of side D) ≤ tokens
        share of rank r: batch[r::world]

    Every example comes exactly once an epoch, over all batches and ranks. All ranks get the same
    number of batches; where a batch has fewer examples than ranks, a share is empty. An example
    that is longer than ``tokens`` is a batch by itself.

    Examples are sorted by length, ties at random; with several sides the first is sorted into
    strips and these by the next side, up and down in turn. How full a batch may be is drawn between
    0.9 and 1 of ``tokens``, so that epochs differ in their batches even where there are no ties;
    only if all fits into one batch it is one. The batches come in random order. With one side an
    epoch's padding is at most tokens · ln(longest / shortest), however many examples there are.

    Args:
        lengths: (N, D), or (N,) for one side, whole numbers of tokens from 0.
        tokens: most tokens of a global batch, padding included, over all sides and ranks. An
            example of length 0 counts 1.
        seed: of the run.
        epoch: from 0; each has its own batches.
        start: first global batch to yield, from 0.
        shard: which share of each batch.

    Returns:
        Iterator of int64 arrays (B_rank,), B_rank = ⌈(B - rank) / world⌉.

    Raises:
        ValueError: for lengths that are none, no tokens, or a negative start.
    """
    yield from LengthBatches(lengths, tokens, seed).of(epoch, start, shard)


class LengthBatches:
    """The batches of a run, an epoch at a time; those of the present epoch are counted at no cost.

    Args and errors are ``length_batches``'.
    """

    def __init__(self, lengths: np.ndarray, tokens: int, seed: int) -> None:
        self.lengths, self.tokens, self.seed = lengths, tokens, seed
        self._epoch, self._batches = -1, list[np.ndarray]()

    def of(self, epoch: int, start: int = 0, shard: Shard = _WHOLE) -> Iterator[np.ndarray]:
        """Yields what ``length_batches`` does; the epoch is the present one from now on."""
        if start < 0:
            raise ValueError(f"expected start >= 0, got {start}; batches count from 0")
        for batch in self._of(epoch)[start:]:
            yield batch[shard.rank :: shard.world]

    def count(self) -> int:
        """Returns how many global batches the present epoch has; another may have some more."""
        return len(self._of(max(self._epoch, 0)))

    def _of(self, epoch: int) -> list[np.ndarray]:
        if epoch != self._epoch:
            self._batches = _epoch(self.lengths, self.tokens, self.seed, epoch)
            self._epoch = epoch
        return self._batches


def _epoch(lengths: np.ndarray, tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Returns the global batches of an epoch in their order."""
    if lengths.ndim not in (1, 2) or lengths.shape[1:] == (0,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            "lengths: expected whole numbers, (examples,) or (examples, sides), got "
            f"{lengths.dtype} {lengths.shape}; count the tokens of each side of each example"
        )
    if (lengths < 0).any():
        raise ValueError(f"lengths: expected numbers from 0, got {lengths.min()}; count tokens")
    if tokens < 1:
        raise ValueError(f"tokens: expected 1 or more in a batch, got {tokens}")
    if len(lengths) == 0:
        return []
    sides = lengths.astype(np.int64).reshape(len(lengths), -1)
    draws = np.random.default_rng(derived_seed(seed, "length batches", epoch))
    sizes = np.maximum(sides.sum(1), 1)
    order = _sorted(draws.permutation(len(sides)), sides, sizes, tokens)
    if len(sides) * max(1, int(sides.max(0).sum())) <= tokens:
        return [order]
    batches = _cut(order, sides, sizes, tokens, draws)
    return [batches[k] for k in draws.permutation(len(batches))]


def _sorted(
    rows: Int64[np.ndarray, " M"],
    sides: Int64[np.ndarray, "N D"],
    sizes: Int64[np.ndarray, " N"],
    tokens: int,
) -> Int64[np.ndarray, " M"]:
    """Returns rows in an order in which neighbours are alike in every side.

    With D sides a strip holds B^((D-1)/D) of the B batches that there are to be, so that a batch is
    about as wide, relative to all, in one side as in another.
    """
    rows = rows[np.argsort(sides[rows, 0], kind="stable")]
    if sides.shape[1] == 1 or len(rows) == 0:
        return rows
    ends = np.cumsum(sizes[rows])
    strips = max(1, round((ends[-1] / tokens) ** (1 / sides.shape[1])))
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, strips) / strips)
    parts = [_sorted(part, sides[:, 1:], sizes, tokens) for part in np.split(rows, cuts)]
    return np.concatenate([part[:: 1 - 2 * (k % 2)] for k, part in enumerate(parts)])


def _cut(
    order: Int64[np.ndarray, " N"],
    sides: Int64[np.ndarray, "N D"],
    sizes: Int64[np.ndarray, " N"],
    tokens: int,
    draws: np.random.Generator,
) -> list[np.ndarray]:
    """Returns batches as large as the tokens drawn for each allow, one behind the other."""
    batches: list[np.ndarray] = []
    begin = 0
    while begin < len(order):
        allowed = tokens - int(draws.integers(tokens // _SPARE + 1))
        # With the size of the first alone there would be so many; the others only add to it.
        candidates = order[begin : begin + max(1, allowed // int(sizes[order[begin]]))]
        longest = np.maximum.accumulate(sides[candidates], axis=0).sum(1)
        padded = np.maximum(longest, 1) * np.arange(1, len(candidates) + 1)
        count = max(1, int(np.searchsorted(padded, allowed, side="right")))
        batches.append(candidates[:count])
        begin += count
    return batches
