"""Arrays as text inside a page: rounded to as many bits as asked, deflated, base64.

Knows nothing of layers or of HTML. ``page_files/blocks.js`` reads what this writes.

A block is a deflated run of little-endian bytes: for each row its lowest value and its step, both
float32 (unless all rows share a fixed range, or values are whole), then planes of bytes, the high
ones first, since they compress well and the low ones hardly.

Shape letters: R rows, C columns.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE = 32  # bits of float32, which is kept as it is
BITS = (7, 8, 10, 12, 16, WHOLE)  # that a value may have
_LEVEL = 6  # of deflate; 9 takes three times as long and gains a hundredth

_Array = NDArray[np.float32]
_Exact = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """One array as text, and how to read it.

    Attributes:
        text: base64.
        head: what the reader must know: rows, columns, bits, whether rows hold differences, and the
            fixed range where there is one.
        bounds: (R,) the largest error of each row's values, or (1,) where all rows share one.
    """

    text: str
    head: Mapping[str, object]
    bounds: _Exact


def encoded(
    values: _Array, bits: int, fixed: tuple[float, float] | None = None, smooth: bool = True
) -> Block:
    """Returns a matrix as text, its rows rounded to whole steps where ``bits`` are below 32.

        fixed range:   x ≈ low + (q + 1/2) s,   s = (high - low) / 2^bits
        by row:        x ≈ low + q s,           s = (high - low) / (2^bits - 1)

    The first lies inside the open range, as a gate does; the second has both ends of the row. The
    error is at most s/2, and what float32 loses of the largest number of the row.

    Args:
        values: (R, C), finite where bits are below 32.
        bits: of one value, one of ``BITS``.
        fixed: the range that all values lie in; None for each row's own.
        smooth: whether a row may be written as differences, where that is shorter: good for values
            that move slowly along it.

    Returns:
        The block; reading it again gives ``decoded(block)``.
    """
    assert bits in BITS, bits
    assert values.ndim == 2, values.shape
    R, C = values.shape
    head: dict[str, object] = {"rows": R, "columns": C, "bits": bits}
    if bits == WHOLE:
        raw = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
        content = np.ascontiguousarray(raw.T[::-1]).tobytes()
        return Block(_text(content), head, np.zeros(1))
    exact = values.astype(np.float64)
    assert np.isfinite(exact).all(), "only whole values may be infinite or not a number"
    low, step, middle = _scale(exact, bits, fixed)
    levels = np.rint((exact - low) / np.where(step > 0, step, 1.0) - middle)
    whole = np.clip(levels, 0, 2**bits - 1).astype(np.uint32)
    if smooth and C > 1:
        moved = np.diff(whole, axis=1, prepend=np.uint32(0)).astype(np.uint32) % (1 << bits)
        high = max(bits - 8, 0)
        if _entropy(moved >> high) < _entropy(whole >> high):
            whole, head["differences"] = moved, True
    content = _planes(whole.ravel(), bits)
    if fixed is None:
        content = low.astype("<f4").tobytes() + step.astype("<f4").tobytes() + content
    else:
        low, step = low[:1], step[:1]
        head["low"], head["step"] = float(low[0, 0]), float(step[0, 0])
    # Low and step were rounded to float32, and so is what is read: 4 roundings of 2^-24.
    # Near 0, where float32 has fewer digits, they are of 2^-122.
    largest = np.maximum(np.maximum(np.abs(low), np.abs(low + step * 2**bits)), 2.0**-100)
    return Block(_text(content), head, (step / 2 + largest * 2.0**-22)[:, 0])


def decoded(block: Block) -> _Array:
    """Returns what a page reads from a block: the specification of ``blocks.js``."""
    R, C = _number(block.head["rows"]), _number(block.head["columns"])
    bits = _number(block.head["bits"])
    content = np.frombuffer(zlib.decompress(base64.b64decode(block.text)), np.uint8)
    if bits == WHOLE:
        raw = np.ascontiguousarray(content.reshape(4, -1)[::-1].T)
        return raw.view("<f4").reshape(R, C).astype(np.float32)
    middle = 0.5 if "low" in block.head else 0.0
    if "low" in block.head:
        low = np.full((R, 1), block.head["low"])
        step = np.full((R, 1), block.head["step"])
    else:
        scale = content[: 8 * R].view("<f4").astype(np.float64)
        low, step = scale[:R, None], scale[R:, None]
        content = content[8 * R :]
    levels = _levels(content, R * C, bits).reshape(R, C)
    if block.head.get("differences"):
        levels = np.cumsum(levels, axis=1) % (1 << bits)
    return (low + (levels + middle) * step).astype(np.float32)


def encoded_recurrence(
    values: _Array, gain: _Array, added: _Exact, start: _Array, bits: int, backwards: bool
) -> Block | None:
    """Returns rows that nearly follow a recurrence as text: only what is left over is kept.

        p_t = a_t x̂_{t-1} + b_t,   x̂_t = p_t + r_t s,   r_t = round((x_t - p_t) / s),   s = 2^-bits

    x̂ is what the reader has, so that errors do not add up: each is at most s/2, and what float32
    loses. Where a and b were rounded to as many bits, r is a few units, which take hardly any room.

    Args:
        values: x, (R, C), finite.
        gain: a, (R, C), as the reader has it.
        added: b, (R, C), likewise; in float64, as the reader computes it.
        start: x before the first step, (R,).
        bits: of one value, below 32.
        backwards: whether the recurrence runs from the last column to the first.

    Returns:
        The block, or None where the rest is as large as the values: they follow another rule.
    """
    R, C = values.shape
    step = 2.0**-bits
    rest, most = np.zeros((R, C), dtype=np.int64), 1 << 16
    seen = start.astype(np.float64)
    for t in range(C)[::-1] if backwards else range(C):
        expected = gain[:, t].astype(np.float64) * seen + added[:, t]
        rest[:, t] = np.clip(np.rint((values[:, t] - expected) / step), -most, most)
        seen = (expected + rest[:, t] * step).astype(np.float32).astype(np.float64)
    # 0, -1, 1, -2, ... as 0, 1, 2, 3, ..., so that small ones have no high bits.
    levels = np.where(rest < 0, -2 * rest - 1, 2 * rest)
    if levels.max(initial=0) >= 1 << 16 or (levels.size and levels.mean() >= 1 << bits):
        return None
    largest = float(np.abs(values).max(initial=2.0**-100))
    bound = step / 2 + largest * 2.0**-22
    head = {"rows": R, "columns": C, "bits": 16, "rest": step, "bound": bound}
    content = _planes(levels.ravel().astype(np.uint32), 16)
    return Block(_text(content), head, np.array([bound]))


def decoded_recurrence(
    block: Block, gain: _Array, added: _Exact, start: _Array, backwards: bool
) -> _Array:
    """Returns what a page reads from ``encoded_recurrence``, with the same arguments."""
    R, C = _number(block.head["rows"]), _number(block.head["columns"])
    step = block.head["rest"]
    content = np.frombuffer(zlib.decompress(base64.b64decode(block.text)), np.uint8)
    levels = _levels(content, R * C, 16).reshape(R, C)
    rest = np.where(levels % 2, -(levels + 1) // 2, levels // 2)
    found = np.empty((R, C), dtype=np.float32)
    seen = start.astype(np.float64)
    for t in range(C)[::-1] if backwards else range(C):
        expected = gain[:, t].astype(np.float64) * seen + added[:, t]
        found[:, t] = expected + rest[:, t] * step
        seen = found[:, t].astype(np.float64)
    return found


def _scale(
    exact: _Exact, bits: int, fixed: tuple[float, float] | None
) -> tuple[_Exact, _Exact, float]:
    """Returns low (R, 1), step (R, 1) and the place of a value between two steps."""
    R = len(exact)
    if fixed is not None:
        reach = fixed[1] - fixed[0]
        return np.full((R, 1), fixed[0]), np.full((R, 1), reach / 2**bits), 0.5
    low = exact.min(axis=1, keepdims=True, initial=np.inf)
    high = exact.max(axis=1, keepdims=True, initial=-np.inf)
    empty = exact.shape[1] == 0
    low = np.zeros((R, 1)) if empty else low.astype(np.float32).astype(np.float64)
    step = np.zeros((R, 1)) if empty else (high - low) / (2**bits - 1)
    # What the reader has is the float32, so that is what values are rounded with.
    return low, step.astype(np.float32).astype(np.float64), 0.0


def _planes(levels: NDArray[np.uint32], bits: int) -> bytes:
    """Returns the high 8 bits of all numbers, then their low bits, several in a byte."""
    low_bits = max(bits - 8, 0)
    high = (levels >> low_bits).astype(np.uint8).tobytes()
    if low_bits == 0:
        return high
    per_byte = 8 // low_bits
    low = (levels & ((1 << low_bits) - 1)).astype(np.uint8)
    low = np.pad(low, (0, -len(low) % per_byte)).reshape(-1, per_byte)
    shifts = np.arange(per_byte, dtype=np.uint8) * low_bits
    return high + np.bitwise_or.reduce(low << shifts, axis=1).astype(np.uint8).tobytes()


def _levels(content: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.int64]:
    """Returns the numbers that ``_planes`` wrote."""
    low_bits = max(bits - 8, 0)
    levels = content[:count].astype(np.int64) << low_bits
    if low_bits:
        shifts = np.arange(8 // low_bits, dtype=np.uint8) * low_bits
        low = (content[count:, None] >> shifts) & ((1 << low_bits) - 1)
        levels |= low.ravel()[:count]
    return levels


def _entropy(numbers: NDArray[Any]) -> float:
    """Returns the bits that one of these bytes needs, if each were coded by itself."""
    counts = np.bincount(numbers.ravel(), minlength=256)
    shares = counts[counts > 0] / max(numbers.size, 1)
    return float(-(shares * np.log2(shares)).sum())


def _text(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, _LEVEL)).decode("ascii")


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
