"""Which examples make which batch: a permutation for each epoch that needs no memory of the last.

Knows nothing of what an example is: it deals in index numbers. Because the order is a function of
(seed, epoch), a run that was stopped goes on in the middle of an epoch without replaying it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """One process's part of every global batch: number ``rank`` of ``world``.

    Args:
        rank: of this process, from 0.
        world: number of processes that share the work.
    """

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(
                f"expected 0 <= rank < world, got rank {self.rank} of world {self.world}; "
                "ranks count from 0"
            )


def num_batches(num_examples: int, batch_size: int) -> int:
    """Returns how many global batches an epoch has; the last one may be smaller."""
    return -(-num_examples // batch_size)


def shuffled_batches(
    num_examples: int,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    shard: Shard = Shard(),
) -> Iterator[Tensor]:
    """Yields this rank's example numbers of the global batches ``start``, ``start + 1``, ….

        batch_k = permutation[k·batch_size : (k+1)·batch_size],  share of rank r: batch_k[r::world]

    Every example comes exactly once an epoch, over all batches and ranks. All ranks get the same
    number of batches; where the last batch has fewer examples than ranks, a share is empty.

    Args:
        num_examples: size of the data set.
        batch_size: examples in a global batch, over all ranks.
        seed: of the run.
        epoch: from 0; each has its own permutation.
        start: first global batch to yield, from 0.
        shard: which share of each batch.

    Returns:
        Iterator of int64 tensors (B_rank,), B_rank = ⌈(B - rank) / world⌉.

    Raises:
        ValueError: for a batch size below 1 or a negative count.
    """
    if batch_size < 1 or num_examples < 0 or start < 0:
        raise ValueError(
            "expected batch_size >= 1, num_examples >= 0 and start >= 0, got "
            f"batch_size={batch_size}, num_examples={num_examples}, start={start}"
        )
    generator = torch.Generator().manual_seed(derived_seed(seed, "epoch", epoch))
    permutation = torch.randperm(num_examples, generator=generator)
    for first in range(start * batch_size, num_examples, batch_size):
        yield permutation[first : first + batch_size][shard.rank :: shard.world]


def derived_seed(seed: int, *purpose: int | str) -> int:
    """Returns a 63-bit seed for one purpose of a run, independent of those for other purposes.

    A hash, not a sum, so that (seed 1, epoch 2) and (seed 2, epoch 1) share nothing.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
