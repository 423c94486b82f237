"""Arrays as text: what is read again is what was written, within the bound that is stated."""

from __future__ import annotations

import base64
import zlib

import hypothesis
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import strategies

from carousel.inspection.encoding import (
    BITS,
    WHOLE,
    Block,
    decoded,
    decoded_recurrence,
    encoded,
    encoded_recurrence,
)


def off(values: np.ndarray, block: Block) -> np.ndarray:
    """The largest error of each row."""
    error = np.abs(decoded(block).astype(np.float64) - values.astype(np.float64))
    return error.max(axis=1, initial=0.0)


def drawn(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Rows of quite different sizes and places."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-4, 4, (rows, 1))
    return (scale * (rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1)))).astype("f4")


@pytest.mark.parametrize("bits", [bits for bits in BITS if bits < WHOLE])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 64), (2, 0), (0, 4)], ids=str)
def test_a_value_is_off_by_half_a_step_at_the_most(bits: int, shape: tuple[int, int]) -> None:
    values = drawn(*shape)
    block = encoded(values, bits)
    assert decoded(block).shape == shape
    assert decoded(block).dtype == np.float32
    assert (off(values, block) <= block.bounds).all()
    # And the bound is no excuse: half a step of a row's own range, and roundings of float32.
    reach = np.ptp(values.astype(np.float64), axis=1) if values.size else np.zeros(shape[0])
    largest = np.abs(values).max(axis=1, initial=2.0**-99) + reach / (2**bits - 1)
    assert (block.bounds <= reach / (2**bits - 1) / 2 * 1.001 + largest * 2.0**-21).all()


@pytest.mark.parametrize("bits", [bits for bits in BITS if bits < WHOLE])
def test_gates_stay_between_0_and_1(bits: int) -> None:
    gates = np.concatenate([[0, 1e-30, 1 - 2**-24, 1], np.linspace(0, 1, 999)]).astype("f4")[None]
    block = encoded(gates, bits, fixed=(0.0, 1.0))
    assert (decoded(block) > 0).all()
    assert (decoded(block) < 1).all()
    assert off(gates, block).max() <= block.bounds[0]
    assert block.bounds[0] <= 2.0 ** -(bits + 1) + 2.0**-21


def test_both_ends_of_a_row_are_kept() -> None:
    values = drawn(6, 50)
    for bits in (8, 16):
        found = decoded(encoded(values, bits))
        np.testing.assert_allclose(found.min(1), values.min(1), rtol=1e-6)
        bound = np.abs(values).max(axis=1) * 2.0**-21
        assert (np.abs(found.max(1) - values.max(1)) <= bound).all()


def test_float32_is_kept_bit_for_bit() -> None:
    strange = np.array([[0.0, -0.0, np.inf, -np.inf, 1e-45, -3.4e38, np.pi]], np.float32)
    strange = np.concatenate([strange, np.full((1, 7), np.nan, np.float32)])
    block = encoded(strange, WHOLE)
    assert decoded(block).tobytes() == strange.tobytes()
    assert block.bounds.max() == 0


def test_constant_rows_are_exact() -> None:
    values = np.array([[0.5] * 9, [0.0] * 9, [-7.25] * 9], np.float32)
    np.testing.assert_array_equal(decoded(encoded(values, 8)), values)


def test_what_moves_slowly_is_written_as_differences_and_read_alike() -> None:
    T = 2000
    slow = np.sin(np.arange(T) / 150)[None].astype("f4")
    wild = np.random.default_rng(0).normal(size=(1, T)).astype("f4")
    assert encoded(slow, 12).head.get("differences")
    assert not encoded(wild, 12).head.get("differences")
    plain = encoded(slow, 12, smooth=False)
    assert not plain.head.get("differences")
    np.testing.assert_array_equal(decoded(plain), decoded(encoded(slow, 12)))
    assert len(encoded(slow, 12).text) < 0.8 * len(plain.text)


def test_fewer_bits_take_less_room() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (8, 500)).astype("f4")
    sizes = [len(encoded(values, bits).text) for bits in BITS]
    assert sizes == sorted(sizes)
    # 12 bits of noise cannot be pressed: 4/3 for base64, and 8 bytes for each row's scale.
    assert sizes[BITS.index(12)] <= (8 * 500 * 1.5 + 8 * 8) * 4 / 3 * 1.01 + 20


def test_the_layout_is_what_the_page_reads() -> None:
    # 2 rows by 3 columns of 12 bits: lows, steps, high bytes, then two low halves in a byte.
    levels = np.array([[0, 4095, 0x123], [0, 4095, 0xABC]])
    values = (levels / 4095).astype(np.float32)
    content = zlib.decompress(base64.b64decode(encoded(values, 12, smooth=False).text))
    assert np.frombuffer(content[:16], "<f4") == pytest.approx([0, 0, 1 / 4095, 1 / 4095])
    assert content[16:].hex(" ") == "00 ff 12 00 ff ab" + " f0 03 cf"


def test_values_that_are_not_finite_need_all_bits() -> None:
    with pytest.raises(AssertionError, match="not a number"):
        encoded(np.array([[1, np.nan]], np.float32), 16)


@hypothesis.given(
    arrays.arrays(
        np.float32,
        strategies.tuples(strategies.integers(1, 4), strategies.integers(1, 9)),
        elements=strategies.floats(-1e6, 1e6, width=32),
    ),
    strategies.sampled_from(BITS),
)
def test_any_matrix_comes_back_within_its_bounds(values: np.ndarray, bits: int) -> None:
    block = encoded(values, bits)
    assert (off(values, block) <= block.bounds).all()


@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_memory_is_kept_as_what_its_recurrence_leaves(bits: int, backwards: bool) -> None:
    rng = np.random.default_rng(bits)
    R, C = 6, 400
    f, i = rng.uniform(0.5, 1, (2, R, C)).astype("f4")
    f[0] = 0.9999  # a memory that grows
    g = rng.uniform(-1, 1, (R, C)).astype("f4")
    start = rng.normal(size=R).astype("f4")
    memory = np.empty((R, C), np.float32)
    before = start.astype(np.float64)
    for t in range(C)[::-1] if backwards else range(C):
        before = f[:, t] * before + i[:, t] * g[:, t].astype(np.float64)
        memory[:, t] = before
    gates = [decoded(encoded(gate, bits, (0.0, 1.0))) for gate in (f, i)]
    candidate = decoded(encoded(g, bits))
    added = gates[1].astype(np.float64) * candidate
    block = encoded_recurrence(memory, gates[0], added, start, bits, backwards)
    assert block is not None
    read = decoded_recurrence(block, gates[0], added, start, backwards)
    error = np.abs(read - memory.astype(np.float64)).max()
    assert error <= block.bounds[0]
    assert block.bounds[0] <= 2.0 ** -(bits + 1) + np.abs(memory).max() * 2.0**-21
    # Errors do not add up, and what is left takes less room than the values.
    assert len(block.text) < 0.6 * len(encoded(memory, bits).text)


def test_rows_that_follow_another_rule_are_not_kept_as_a_rest() -> None:
    values = np.full((1, 5), 3000.0, np.float32)
    nothing = np.zeros((1, 5), np.float32)
    start = np.zeros(1, np.float32)
    assert encoded_recurrence(values, nothing, nothing.astype(np.float64), start, 12, False) is None
    assert encoded_recurrence(nothing, nothing, nothing.astype(np.float64), start, 12, False)
