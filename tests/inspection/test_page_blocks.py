"""Blocks of a page: numbered, each made once, and no more of them than there is room for."""

from __future__ import annotations

import numpy as np
import pytest

from carousel.inspection.encoding import decoded
from carousel.inspection.page_blocks import PRECISIONS, Blocks, NoRoomError, rounded

NOISE = np.random.default_rng(0).normal(size=(9, 99)).astype("f4")


def test_there_is_an_end_where_there_is_no_room() -> None:
    needed = len(rounded(NOISE, 16).text)
    blocks = Blocks(2 * needed)
    assert blocks.add(("a",), NOISE, 16)["block"] == 0
    assert blocks.add(("b",), NOISE, 16)["block"] == 1
    with pytest.raises(NoRoomError):
        blocks.add(("c",), NOISE[:1, :1], 16)


def test_a_matrix_is_rounded_once_for_each_number_of_bits() -> None:
    made = []

    def make() -> object:
        made.append(1)
        return rounded(NOISE, 8)

    known: dict = {}
    for _ in range(3):
        blocks = Blocks(10**6, known)
        blocks.keep(("a",), 8, make)  # type: ignore[arg-type]
        assert len(blocks.texts) == 1
    assert len(made) == 1
    assert Blocks(10**6, known).add(("a",), NOISE, 12)["bits"] == 12


def test_the_largest_error_of_a_quantity_is_known() -> None:
    blocks = Blocks(10**6)
    for k, values in enumerate((NOISE, 10 * NOISE, NOISE[:2])):
        blocks.add((k,), values, 8, quantity="c")
    off = np.abs(decoded(rounded(10 * NOISE, 8)) - 10 * NOISE).max()
    assert off <= blocks.bounds["c"] == rounded(10 * NOISE, 8).bounds.max()


def test_what_is_not_finite_is_kept_as_it_is() -> None:
    values = np.array([[1.0, np.nan, np.inf]], np.float32)
    np.testing.assert_array_equal(decoded(rounded(values, 8)), values)


def test_precisions_go_from_fine_to_coarse() -> None:
    for parts in (True, False):
        found = [each for each in PRECISIONS if bool(each.weights) == parts]
        pairs = [(each.values, each.weights) for each in found]
        assert pairs == sorted(pairs, reverse=True)
