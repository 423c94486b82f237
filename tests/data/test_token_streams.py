"""Columns of tokens: each target once an epoch, segments that go on, starts that skip."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.batching import Shard
from carousel.data.token_streams import column_segments, num_rows, segment_ends

SIZES = {
    "columns": st.integers(1, 9),
    "spare": st.integers(0, 300),  # tokens beyond the fewest, which are a prediction a column
    "bptt": st.integers(1, 40),
    "seed": st.integers(0, 2**40),
    "epoch": st.integers(0, 5),
    "vary": st.booleans(),
}


def segments(
    columns: int, spare: int, bptt: int, seed: int, epoch: int, vary: bool, **how
) -> list[torch.Tensor]:
    """The segments of an epoch of tokens that are numbered from 0."""
    tokens = np.arange(columns + 1 + spare, dtype=np.uint16)
    ends = segment_ends(num_rows(len(tokens), columns), bptt, seed, epoch, vary)
    return list(column_segments(tokens, columns, ends, **how))


@given(**SIZES)
def test_every_target_comes_once_an_epoch_behind_its_own_input(columns: int, **sizes) -> None:
    found = segments(columns, **sizes)
    targets = torch.cat([rows[1:].flatten() for rows in found])
    inputs = torch.cat([rows[:-1].flatten() for rows in found])
    rows = (columns + sizes["spare"]) // columns
    # What is left over at the end is less than a token for each column.
    assert sorted(targets.tolist()) == list(range(1, rows * columns + 1))
    assert rows * columns + columns > columns + sizes["spare"]
    assert torch.equal(inputs, targets - 1)
    assert all(part.dtype == torch.int64 for part in found)


@given(**SIZES)
def test_each_column_goes_on_where_it_was(columns: int, **sizes) -> None:
    found = segments(columns, **sizes)
    rows = (columns + sizes["spare"]) // columns
    assert found[0][0].tolist() == [column * rows for column in range(columns)]
    for one, following in itertools.pairwise(found):
        assert torch.equal(one[-1], following[0])
    assert found[-1][-1].tolist() == [(column + 1) * rows for column in range(columns)]


@given(**SIZES, world=st.integers(1, 5))
def test_shares_partition_the_columns(world: int, **sizes) -> None:
    whole = segments(**sizes)
    shares = [segments(**sizes, shard=Shard(rank, world)) for rank in range(world)]
    for rank, share in enumerate(shares):
        assert len(share) == len(whole)
        for part, rows in zip(share, whole, strict=True):
            # Of a rank that has no column too: it has the same steps, and nothing in them.
            assert torch.equal(part, rows[:, rank::world])


@given(**SIZES, start=st.integers(0, 60), world=st.integers(1, 3))
def test_a_start_skips_segments_and_changes_none(start: int, world: int, **sizes) -> None:
    shard = Shard(world - 1, world)
    whole, rest = segments(**sizes, shard=shard), segments(**sizes, shard=shard, start=start)
    assert len(rest) == len(whole[start:])
    assert all(map(torch.equal, rest, whole[start:]))


@given(
    rows=st.integers(1, 20_000),
    bptt=st.integers(1, 400),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 5),
)
def test_segments_end_where_they_can(rows: int, bptt: int, seed: int, epoch: int) -> None:
    ends = segment_ends(rows, bptt, seed, epoch)
    lengths = np.diff(ends, prepend=0)
    assert ends[-1] == rows
    assert (lengths > 0).all()
    assert (lengths[:-1] >= min(5, bptt)).all()  # the last one is what is left
    assert (lengths <= 2 * bptt).all()
    assert np.array_equal(ends, segment_ends(rows, bptt, seed, epoch))


@given(rows=st.integers(1, 500), bptt=st.integers(1, 600), seed=st.integers(0, 9))
def test_lengths_that_do_not_vary_are_exact(rows: int, bptt: int, seed: int) -> None:
    lengths = np.diff(segment_ends(rows, bptt, seed, seed, vary=False), prepend=0)
    assert (lengths[:-1] == bptt).all()
    assert 0 < lengths[-1] <= bptt
    assert lengths.sum() == rows


def test_epochs_and_seeds_have_their_own_ends() -> None:
    cut = {tuple(segment_ends(500, 20, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(cut) == 9


@pytest.mark.parametrize("bptt", [70, 200])
def test_lengths_have_the_papers_distribution(bptt: int) -> None:
    """arXiv:1708.02182, section 4.1: Normal(bptt, 5) with probability 0.95, else of half of it.

    Half of bptt is 7 standard deviations away from bptt, and 7 from the shortest length and more,
    so each length tells which of the two it is from. Means are within five standard deviations.
    """
    lengths = np.diff(segment_ends(5_000 * bptt, bptt, 0, 0))
    usual = lengths > 0.75 * bptt
    n = len(lengths)
    assert abs(usual.mean() - 0.95) < 5 * math.sqrt(0.95 * 0.05 / n)
    for found, mean in ((lengths[usual], bptt), (lengths[~usual], bptt / 2)):
        assert abs(found.mean() - mean) < 5 * 5 / math.sqrt(len(found))
        # A variance has the variance 2 sd^4 / n; rounding to whole numbers adds 1/12 of its own.
        assert abs(found.var() - 25 - 1 / 12) < 5 * 25 * math.sqrt(2 / len(found))


@pytest.mark.parametrize(
    ("tokens", "columns", "rows"), [(2, 1, 1), (1, 1, 0), (7, 3, 2), (6, 3, 1), (3, 3, 0)]
)
def test_the_first_token_is_no_target(tokens: int, columns: int, rows: int) -> None:
    assert num_rows(tokens, columns) == rows


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64], ids=str)
def test_tokens_may_lie_in_a_file(tmp_path: Path, dtype: type) -> None:
    highest = min(np.iinfo(dtype).max, 2**40)
    tokens = np.random.default_rng(0).integers(0, highest, 101, dtype=dtype, endpoint=True)
    tokens.tofile(tmp_path / "tokens")
    mapped = np.memmap(tmp_path / "tokens", dtype=dtype, mode="r")
    ends = segment_ends(num_rows(101, 4), 9, 0, 0)
    for found, wanted in zip(
        column_segments(mapped, 4, ends), column_segments(tokens, 4, ends), strict=True
    ):
        assert torch.equal(found, wanted)
        found.zero_()  # its own memory, which can be written and is not the file's
    assert np.array_equal(mapped, tokens)
