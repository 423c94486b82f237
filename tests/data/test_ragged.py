"""Sequences of unequal length: back as they came, and side by side as a plain loop pads them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.ragged import Ragged

SEQUENCES = st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=6)


def made(sequences: list[list[int]]) -> Ragged:
    return Ragged.of(np.array(one, np.int32) for one in sequences)


@given(sequences=SEQUENCES)
def test_each_comes_back_as_it_was(sequences: list[list[int]]) -> None:
    ragged = made(sequences)
    assert len(ragged) == len(sequences)
    assert [ragged[number].tolist() for number in range(len(ragged))] == sequences
    assert ragged.lengths.tolist() == [len(one) for one in sequences]
    assert ragged.values.dtype == np.int32


@given(sequences=SEQUENCES, fill=st.integers(-3, 3), rows=st.data())
def test_rows_are_padded_like_a_plain_loop(
    sequences: list[list[int]], fill: int, rows: st.DataObject
) -> None:
    numbers = st.integers(0, len(sequences) - 1)
    chosen = rows.draw(st.lists(numbers, min_size=1, max_size=7))
    found, lengths = made(sequences).padded(np.array(chosen), fill)
    longest = max(len(sequences[row]) for row in chosen)
    wanted = [sequences[row] + [fill] * (longest - len(sequences[row])) for row in chosen]
    assert found.shape == (longest, len(chosen))
    assert found.T.tolist() == wanted
    assert lengths.tolist() == [len(sequences[row]) for row in chosen]
    assert (found.dtype, lengths.dtype) == (torch.int64, torch.int64)


def test_an_item_may_be_several_numbers() -> None:
    parts = [np.arange(6).reshape(3, 2), np.zeros((0, 2), np.int64), np.array([[9, 8]])]
    found, lengths = Ragged.of(parts).padded(np.array([2, 0, 1]), -1)
    assert found.transpose(0, 1).tolist() == [
        [[9, 8], [-1, -1], [-1, -1]],
        [[0, 1], [2, 3], [4, 5]],
        [[-1, -1]] * 3,
    ]
    assert lengths.tolist() == [1, 3, 0]
    nothing, lengths = Ragged.of(parts[1:2]).padded(np.array([0, 0]))
    assert nothing.shape == (0, 2, 2)
    assert lengths.tolist() == [0, 0]


def test_of_no_sequence_there_are_none() -> None:
    nothing = Ragged.of([])
    assert len(nothing) == 0
    assert nothing.lengths.tolist() == []


def test_what_was_padded_is_a_copy() -> None:
    ragged = made([[1, 2], [3]])
    found, _ = ragged.padded(np.array([0, 1]))
    found.zero_()
    assert ragged[0].tolist() == [1, 2]


def test_ends_are_those_of_the_values() -> None:
    with pytest.raises(AssertionError):
        Ragged(np.zeros(3, np.int32), np.array([1, 2]))
    with pytest.raises(AssertionError):
        Ragged(np.zeros(3, np.int32), np.zeros(0, np.int64))
