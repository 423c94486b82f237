"""The sampler: every example once an epoch, shares that partition a batch, starts that skip."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.batching import Shard, derived_seed, num_batches, shuffled_batches

SIZES = {
    "num_examples": st.integers(0, 60),
    "batch_size": st.integers(1, 20),
    "seed": st.integers(0, 2**40),
    "epoch": st.integers(0, 5),
}


@given(**SIZES)
def test_every_example_comes_once_an_epoch(
    num_examples: int, batch_size: int, seed: int, epoch: int
) -> None:
    batches = list(shuffled_batches(num_examples, batch_size, seed, epoch))
    assert sorted(n for batch in batches for n in batch.tolist()) == list(range(num_examples))
    assert len(batches) == num_batches(num_examples, batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])


@given(**SIZES, world=st.integers(1, 6))
def test_shares_partition_each_batch(
    num_examples: int, batch_size: int, seed: int, epoch: int, world: int
) -> None:
    whole = list(shuffled_batches(num_examples, batch_size, seed, epoch))
    shares = [
        list(shuffled_batches(num_examples, batch_size, seed, epoch, shard=Shard(rank, world)))
        for rank in range(world)
    ]
    assert {len(share) for share in shares} == {len(whole)}
    for k, batch in enumerate(whole):
        together = torch.cat([share[k] for share in shares])
        assert sorted(together.tolist()) == sorted(batch.tolist())
        sizes = [len(share[k]) for share in shares]
        assert max(sizes) - min(sizes) <= 1


@given(**SIZES, start=st.integers(0, 70))
def test_a_start_skips_whole_batches_and_nothing_else(
    num_examples: int, batch_size: int, seed: int, epoch: int, start: int
) -> None:
    whole = [b.tolist() for b in shuffled_batches(num_examples, batch_size, seed, epoch)]
    rest = [b.tolist() for b in shuffled_batches(num_examples, batch_size, seed, epoch, start)]
    assert rest == whole[start:]


def test_epochs_and_seeds_have_their_own_orders() -> None:
    orders = {
        tuple(next(shuffled_batches(50, 50, seed, epoch)).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_purposes_have_their_own_seeds() -> None:
    seeds = [derived_seed(a, "x", b) for a in range(30) for b in range(30)]
    assert len(set(seeds)) == 900
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(1, "x", 2) == derived_seed(1, "x", 2)


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "start"), [(5, 0, 0), (-1, 2, 0), (5, 2, -1)]
)
def test_impossible_sizes_are_refused(num_examples: int, batch_size: int, start: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        next(shuffled_batches(num_examples, batch_size, 0, 0, start))


@pytest.mark.parametrize(("rank", "world"), [(1, 1), (-1, 2), (0, 0)])
def test_impossible_shards_are_refused(rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        Shard(rank, world)
