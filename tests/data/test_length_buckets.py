"""Batches by length: every example once an epoch, within the tokens, with little padding."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data import length_buckets
from carousel.data.batching import Shard
from carousel.data.length_buckets import LengthBatches, length_batches


@st.composite
def some_lengths(draw: st.DrawFn, shortest: int = 0, most_sides: int = 3) -> np.ndarray:
    sides, longest = draw(st.integers(0, most_sides)), draw(st.integers(shortest, 30))
    count = draw(st.integers(0, 60))
    numbers = np.random.default_rng(draw(st.integers(0, 2**31)))
    shape = (count, sides) if sides else (count,)
    return numbers.integers(shortest, longest + 1, shape).astype(draw(st.sampled_from("BHiq")))


SIZES = {
    "lengths": some_lengths(),
    "tokens": st.integers(1, 300),
    "seed": st.integers(0, 2**40),
    "epoch": st.integers(0, 5),
}


def padded(lengths: np.ndarray, batch: np.ndarray) -> int:
    """Tokens of a batch as a rectangle for each side; a row has one at the least."""
    rows = lengths[batch].reshape(len(batch), -1).astype(np.int64)
    return len(batch) * max(1, int(rows.max(axis=0).sum()))


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    return sum(padded(lengths, batch) for batch in batches) - int(lengths.sum(dtype=np.int64))


def pairs_of_sentences(count: int) -> np.ndarray:
    """(N, 2): sources of about 18 words, targets of 0.6 to 1.6 times as many for 95 of 100."""
    numbers = np.random.default_rng(7)
    sources = np.clip(np.exp(numbers.normal(math.log(18), 0.55, count)).round(), 1, 150)
    targets = np.clip((sources * np.exp(numbers.normal(0, 0.25, count))).round(), 1, 250)
    return np.stack([sources, targets], axis=1).astype(np.int64)


@given(**SIZES)
def test_every_example_comes_once_an_epoch_and_within_the_tokens(
    lengths: np.ndarray, tokens: int, seed: int, epoch: int
) -> None:
    batches = list(length_batches(lengths, tokens, seed, epoch))
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(len(batch) == 1 or padded(lengths, batch) <= tokens for batch in batches)
    assert all(len(batch) and batch.dtype == np.int64 for batch in batches)
    if len(lengths) and padded(lengths, np.arange(len(lengths))) <= tokens:
        assert len(batches) == 1
    again = list(length_batches(lengths, tokens, seed, epoch))
    assert all(map(np.array_equal, again, batches))


@given(**SIZES)
def test_the_batches_of_a_run_are_those_of_its_epochs(
    lengths: np.ndarray, tokens: int, seed: int, epoch: int
) -> None:
    made = LengthBatches(lengths, tokens, seed)
    for number in (0, epoch, epoch + 1, epoch):
        wanted = list(length_batches(lengths, tokens, seed, number))
        if number == 0:
            assert made.count() == len(wanted)  # before any was asked for
        for start, shard in ((0, Shard()), (1, Shard(1, 2))):
            found = list(made.of(number, start, shard))
            assert made.count() == len(wanted)
            shares = list(length_batches(lengths, tokens, seed, number, start, shard))
            assert all(map(np.array_equal, found, shares))
            assert len(found) == len(shares)


def test_the_batches_of_an_epoch_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, numbers = LengthBatches(np.arange(1, 50), 100, 3), []

    def counted(lengths: np.ndarray, tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
        numbers.append(epoch)
        return [np.array([0]), np.array([1])]

    monkeypatch.setattr(length_buckets, "_epoch", counted)
    for epoch in (0, 1, 1, 2):
        assert len(list(made.of(epoch))) == made.count() == 2
    assert numbers == [0, 1, 2]


@given(**SIZES, world=st.integers(1, 6))
def test_shares_partition_each_batch(
    lengths: np.ndarray, tokens: int, seed: int, epoch: int, world: int
) -> None:
    whole = list(length_batches(lengths, tokens, seed, epoch))
    for rank in range(world):
        share = list(length_batches(lengths, tokens, seed, epoch, shard=Shard(rank, world)))
        assert len(share) == len(whole)
        for part, batch in zip(share, whole, strict=True):
            assert np.array_equal(part, batch[rank::world])  # nothing, where rows are too few


@given(**SIZES, start=st.integers(0, 70))
def test_a_start_skips_whole_batches_and_nothing_else(
    lengths: np.ndarray, tokens: int, seed: int, epoch: int, start: int
) -> None:
    whole = [batch.tolist() for batch in length_batches(lengths, tokens, seed, epoch)]
    rest = [batch.tolist() for batch in length_batches(lengths, tokens, seed, epoch, start)]
    assert rest == whole[start:]


@given(lengths=some_lengths(shortest=1, most_sides=1), tokens=st.integers(1, 300))
def test_padding_of_one_side_is_bounded(lengths: np.ndarray, tokens: int) -> None:
    """By tokens · ln(longest / shortest), whatever the lengths.

    A batch of n rows from m to M tokens long has at most n (M - m) = n M (1 - m/M) of padding.
    Where it has several rows, n M ≤ tokens, and 1 - m/M ≤ ln(M/m); where it has one, M = m. Sorted,
    the next batch begins where this one ends or above, so the logarithms add up to no more than
    that of the longest to the shortest.
    """
    batches = list(length_batches(lengths, tokens, 1, 1))
    if len(lengths):
        bound = tokens * math.log(int(lengths.max()) / int(lengths.min()))
        assert padding(lengths, batches) <= bound + 1e-9  # the logarithm's own rounding


def test_padding_of_realistic_lengths_is_small() -> None:
    """Of one side by the bound above; of two by the same argument for each strip of them.

    Strips are cut where a source length v_j is reached, between which the batches of a strip are
    sorted by target. In strip j
    - a source is padded to v_j at most; one of the very length v_j may be in the next strip,
    - the targets' padding is at most tokens · ln(longest / shortest) of the strip's.
    The batches across the strips' borders are one less than the strips, with tokens each at most.
    """
    lengths, tokens = pairs_of_sentences(40_000), 2048
    total = int(lengths.sum())
    one = list(length_batches(lengths[:, 0], tokens, 1, 1))
    bound = tokens * math.log(150) / int(lengths[:, 0].sum())
    assert padding(lengths[:, 0], one) / int(lengths[:, 0].sum()) <= bound < 0.015

    ordered = lengths[np.argsort(lengths[:, 0], kind="stable")]
    strips = round(math.sqrt(total / tokens))
    reached = np.searchsorted(np.cumsum(ordered.sum(1)), total * np.arange(1, strips) / strips)
    v = np.array([0, *ordered[reached, 0], ordered[-1, 0]])
    sources, targets = lengths.T
    up = v[np.minimum(np.searchsorted(v, sources, side="right"), strips)]
    most = int((up - sources).sum()) + (strips - 1) * tokens
    for low, high in itertools.pairwise(v):
        found = targets[(sources >= low) & (sources <= high)]
        most += tokens * math.log(found.max() / found.min())
    two = list(length_batches(lengths, tokens, 1, 1))
    assert padding(lengths, two) <= most < 0.2 * total

    # What it is good for: as many batches of the same pairs at random.
    parts = np.array_split(np.random.default_rng(1).permutation(len(lengths)), len(two))
    assert padding(lengths, parts) > total


@pytest.mark.parametrize("ties", [True, False])
def test_epochs_and_seeds_have_their_own_batches_and_order(ties: bool) -> None:
    lengths = np.arange(4000) // 200 + 1 if ties else np.arange(1, 4001)
    tokens = 2000 if ties else 200_000
    epochs = [
        {frozenset(batch.tolist()) for batch in length_batches(lengths, tokens, seed, epoch)}
        for seed in range(3)
        for epoch in range(3)
    ]
    for one, other in itertools.combinations(epochs, 2):
        assert len(one & other) < 0.3 * len(one)
    longest = [int(lengths[batch].max()) for batch in length_batches(lengths, tokens, 1, 1)]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_the_limit_is_made_use_of() -> None:
    """One more row would have been more than 0.9 of the tokens, in all batches but the last."""
    lengths = np.random.default_rng(2).integers(1, 40, 2000)
    batches = sorted(
        length_batches(lengths, 500, 3, 0),
        key=lambda batch: (lengths[batch].min(), lengths[batch].max()),
    )
    assert len(batches) > 80
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * int(lengths[following].min()) > 0.9 * 500


@pytest.mark.parametrize(
    ("lengths", "tokens", "start", "words"),
    [
        (np.zeros((2, 2, 2), int), 5, 0, r"\(examples,\) or \(examples, sides\), got int64 \(2, 2"),
        (np.zeros((2, 0), int), 5, 0, r"got int64 \(2, 0\); count"),
        (np.ones(3), 5, 0, "expected whole numbers, .* got float64"),
        (np.array([3, -1]), 5, 0, "lengths: expected numbers from 0, got -1"),
        (np.array([3]), 0, 0, "tokens: expected 1 or more in a batch, got 0"),
        (np.array([3]), 5, -1, "expected start >= 0, got -1"),
    ],
)
def test_impossible_arguments_are_refused(
    lengths: np.ndarray, tokens: int, start: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        next(length_batches(lengths, tokens, 0, 0, start))
