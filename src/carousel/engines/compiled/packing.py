"""Packed weights, kept from call to call and renewed when a weight changes.

PyTorch counts changes of a tensor, but not those through ``.data``, NumPy or another process. So
what is kept is used again only where the weights themselves still have the fingerprint that they
had; reading them once is several times faster than packing them.

Shape letters: I input size, H hidden size, P projection size (H where there is none).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary, WeakIdRef

from carousel.engines.compiled.native import module as native

_ALIGNMENT = 16  # floats of a cache line


class Packed:
    """One layer's weights in the order in which the kernel reads them."""

    def __init__(self, memory: Tensor) -> None:
        self._memory = memory  # held, because the kernel is given its address
        self.address = -(-memory.data_ptr() // 64) * 64

    @classmethod
    def of(
        cls,
        weights: Sequence[Tensor | None],
        input_size: int,
        threads: int,
        *,
        back: bool,
        bf16: bool = False,
    ) -> Packed:
        """Packs weight_ih, weight_hh, bias_ih, bias_hh, weight_hr and weight_peephole."""
        weight_hh = weights[1]
        assert weight_hh is not None
        H, P = weight_hh.shape[0] // 4, weight_hh.shape[1]
        floats = native.packed_floats(input_size, H, P, back, bf16)
        packed = cls(weight_hh.new_empty(floats + _ALIGNMENT))
        addresses = tuple(0 if part is None else part.data_ptr() for part in weights)
        native.pack(input_size, H, P, addresses, packed.address, back, bf16, threads)
        return packed


class _Entry:
    """What was packed, and of what: the tensors' identity, place and count of changes."""

    def __init__(self, weights: Sequence[Tensor | None], bf16: bool, packed: Packed) -> None:
        self.state = _state(weights, bf16)
        self.packed = packed
        self.fingerprint: int | None = None  # None until they are used a second time


_entries: WeakIdKeyDictionary = WeakIdKeyDictionary(ref_type=WeakIdRef)
_lock = threading.Lock()


def packed_weights(
    weights: Sequence[Tensor | None], threads: int, *, cache: bool, bf16: bool = False
) -> Packed:
    """Returns the packed weights of a layer for its forward pass.

    Args:
        weights: weight_ih, weight_hh, bias_ih, bias_hh, weight_hr and weight_peephole, contiguous.
        threads: how many may work on it.
        cache: whether to keep them, and to use those that were kept. In training weights change at
            every step, so that keeping them would cost memory and save nothing.
        bf16: whether they are rounded to bf16.
    """
    weight_ih, key = weights[0], weights[1]
    assert weight_ih is not None
    if not cache:
        return Packed.of(weights, weight_ih.shape[1], threads, back=False, bf16=bf16)
    with _lock:
        entry: _Entry | None = _entries.get(key)
    if entry is not None and entry.state == _state(weights, bf16):
        fingerprint = _fingerprint(weights)
        if entry.fingerprint == fingerprint:
            return entry.packed
    else:
        fingerprint = None
    packed = Packed.of(weights, weight_ih.shape[1], threads, back=False, bf16=bf16)
    fresh = _Entry(weights, bf16, packed)
    fresh.fingerprint = fingerprint
    with _lock:
        _entries[key] = fresh
    return fresh.packed


def _state(weights: Sequence[Tensor | None], bf16: bool) -> tuple[Any, ...]:
    present = [part for part in weights if part is not None]
    places = [part.data_ptr() for part in present]
    # PyTorch counts no changes of what was made in inference mode.
    changes = [-1 if part.is_inference() else part._version for part in present]
    return native.instruction_set(), bf16, places, changes


def _fingerprint(weights: Sequence[Tensor | None]) -> int:
    return hash(
        tuple(
            native.fingerprint(part.data_ptr(), part.numel())
            for part in weights
            if part is not None
        )
    )
