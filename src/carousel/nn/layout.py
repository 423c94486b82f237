"""From the layouts that users have to the one that engines know, (T, B, ·), and back.

Batched or not, time first or batch first, padded or packed: only this file knows. It checks every
tensor argument of ``LSTM``, so that an engine need not.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carousel.engines import State
from carousel.errors import ShapeError


class Sizes(NamedTuple):
    """What a layer's tensors must fit: I, H, P and the number of states L·D."""

    input: int
    hidden: int
    output: int  # P: of one direction's hidden state
    states: int


@dataclass(frozen=True, kw_only=True)
class Padded:
    """A plain tensor: (T, B, ·), (B, T, ·) or, without a batch, (T, ·)."""

    batched: bool
    batch_first: bool

    def sequence(self, values: Tensor) -> Tensor:
        """Returns (T, B, ·) values in the layout of the input."""
        if not self.batched:
            return values.squeeze(1)
        return values.transpose(0, 1) if self.batch_first else values

    def state(self, state: State) -> State:
        """Returns the state as PyTorch shapes it; ``batch_first`` leaves it alone, as there."""
        return state if self.batched else State(state.h.squeeze(1), state.c.squeeze(1))


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A ``PackedSequence``: rows sorted by length, the user's order kept in its indices."""

    packed: PackedSequence
    lengths: Tensor

    def sequence(self, values: Tensor) -> PackedSequence:
        """Returns (T, B, ·) values packed as the input was."""
        rows_in_order = pack_padded_sequence(values, self.lengths)
        return PackedSequence(rows_in_order.data, *self.packed[1:])

    def state(self, state: State) -> State:
        """Returns the state with its rows in the user's order."""
        return _rows(state, self.packed.unsorted_indices)


class Arguments(NamedTuple):
    """One call's tensors as an engine takes them, and the way back to the user's layout."""

    inputs: Tensor  # (T, B, I)
    state: State  # h (L·D, B, P), c (L·D, B, H)
    lengths: Tensor | None  # (B,)
    reset: Tensor | None  # (T, B)
    layout: Padded | Packed


def arguments(
    input: Tensor | PackedSequence,
    hx: tuple[Tensor, Tensor] | None,
    lengths: Tensor | Sequence[int] | None,
    reset: Tensor | None,
    *,
    batch_first: bool,
    sizes: Sizes,
    dtype: torch.dtype,
) -> Arguments:
    """Checks one call's arguments and brings them to (T, B, ·).

    Raises:
        ShapeError: for a shape, dtype or combination that does not fit, with the remedy.
    """
    if isinstance(input, PackedSequence):
        return _packed_arguments(input, hx, lengths, reset, sizes, dtype)
    if input.dim() not in (2, 3):
        raise ShapeError(
            f"input: expected 3 dimensions, {_words(batch_first, 'input_size')}, or 2 without a "
            f"batch, (time, input_size); got {input.dim()}, {tuple(input.shape)}"
        )
    _check_features(input, sizes, dtype)
    layout = Padded(batched=input.dim() == 3, batch_first=batch_first)
    if not layout.batched:
        inputs = input.unsqueeze(1)
    else:
        inputs = input.transpose(0, 1) if batch_first else input
    T, B, _ = inputs.shape
    return Arguments(
        inputs,
        _initial(hx, inputs, B, sizes, batched=layout.batched),
        None if lengths is None else _checked_lengths(lengths, T, B),
        None if reset is None else _checked_reset(reset, input, layout),
        layout,
    )


def padded(packed: PackedSequence, *, batch_first: bool = False) -> tuple[Tensor, Tensor]:
    """Returns the padded tensor that a sequence was packed from, and its lengths.

    Raises:
        ShapeError: where what was packed had no features.
    """
    if packed.data.dim() != 2:
        raise ShapeError(
            f"input: expected packed data of 2 dimensions, (steps, input_size); "
            f"got {tuple(packed.data.shape)}. Pack a tensor (time, batch, input_size)"
        )
    return pad_packed_sequence(packed, batch_first=batch_first)


def _packed_arguments(
    packed: PackedSequence,
    hx: tuple[Tensor, Tensor] | None,
    lengths: Tensor | Sequence[int] | None,
    reset: Tensor | None,
    sizes: Sizes,
    dtype: torch.dtype,
) -> Arguments:
    for name, value in (("lengths", lengths), ("reset", reset)):
        if value is not None:
            raise ShapeError(
                f"{name}: expected none beside a PackedSequence, which has its own lengths and no "
                f"padded layout; got both. Give the padded tensor with lengths instead"
            )
    inputs, own_lengths = padded(PackedSequence(packed.data, packed.batch_sizes))
    _check_features(packed.data, sizes, dtype)
    state = _initial(hx, inputs, inputs.shape[1], sizes, batched=True)
    return Arguments(
        inputs,
        _rows(state, packed.sorted_indices) if hx is not None else state,
        own_lengths,
        None,
        Packed(packed=packed, lengths=own_lengths),
    )


def _check_features(input: Tensor, sizes: Sizes, dtype: torch.dtype) -> None:
    if input.shape[-1] != sizes.input:
        raise ShapeError(
            f"input: expected input_size {sizes.input} in the last dimension, got "
            f"{input.shape[-1]} in {tuple(input.shape)}. Build the layer with "
            f"input_size={input.shape[-1]}, or check the order of the dimensions"
        )
    if input.dtype != dtype and not torch._C._is_any_autocast_enabled():
        raise ShapeError(
            f"input: expected the weights' dtype {dtype}, got {input.dtype}. Convert the input, "
            f"input.to({dtype}), or the layer, layer.to({input.dtype})"
        )


def _initial(
    hx: tuple[Tensor, Tensor] | None, inputs: Tensor, B: int, sizes: Sizes, *, batched: bool
) -> State:
    """Returns the given state, checked, as (L·D, B, ·), or zeros."""
    if hx is None:
        return State(
            inputs.new_zeros(sizes.states, B, sizes.output),
            inputs.new_zeros(sizes.states, B, sizes.hidden),
        )
    if isinstance(hx, Tensor) or len(hx) != 2:
        raise ShapeError(f"hx: expected a pair (h_0, c_0), got {type(hx).__name__}")
    for name, part, width in (("h_0", hx[0], sizes.output), ("c_0", hx[1], sizes.hidden)):
        expected = (sizes.states, B, width) if batched else (sizes.states, width)
        if tuple(part.shape) != expected:
            meaning = "layers·directions, batch, size" if batched else "layers·directions, size"
            raise ShapeError(
                f"{name}: expected shape {expected} ({meaning}; batch_first does not apply), got "
                f"{tuple(part.shape)}"
            )
        if part.device != inputs.device:
            raise ShapeError(
                f"{name}: expected the input's device {inputs.device}, got {part.device}. Move it "
                f"there with .to({str(inputs.device)!r})"
            )
        if part.dtype != inputs.dtype and not torch._C._is_any_autocast_enabled():
            raise ShapeError(
                f"{name}: expected the input's dtype {inputs.dtype}, got {part.dtype}. Convert it "
                f"with .to({inputs.dtype})"
            )
    h, c = hx
    return State(h, c) if batched else State(h.unsqueeze(1), c.unsqueeze(1))


def _checked_lengths(lengths: Tensor | Sequence[int], T: int, B: int) -> Tensor:
    if not isinstance(lengths, Tensor):
        try:
            kind = None if len(lengths) else torch.int64
            lengths = torch.as_tensor(lengths, dtype=kind, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            raise ShapeError(
                f"lengths: expected a tensor or a list of whole numbers, one a sequence, got "
                f"{lengths!r}"
            ) from None
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise ShapeError(
            f"lengths: expected whole numbers of steps, got {lengths.dtype}. Multiply fractions by "
            f"the number of steps and convert with .to(torch.int64)"
        )
    lengths = lengths.to(torch.int64)
    if tuple(lengths.shape) != (B,):
        raise ShapeError(
            f"lengths: expected one number a sequence, shape ({B},), got {tuple(lengths.shape)}"
        )
    if B and _readable(lengths):
        low, high = int(lengths.min()), int(lengths.max())
        if low < 0 or high > T:
            raise ShapeError(
                f"lengths: expected steps from 0 to the input's {T}, got {low} to {high}. "
                f"Pad the input to the longest sequence, or check the order of its dimensions"
            )
    return lengths


def _readable(lengths: Tensor) -> bool:
    """Returns whether values can be looked at; under vmap, tracing and on meta there are none."""
    if torch.compiler.is_compiling() or lengths.is_meta:
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(lengths)


def _checked_reset(reset: Tensor, input: Tensor, layout: Padded) -> Tensor:
    expected = tuple(input.shape[:-1])
    if tuple(reset.shape) != expected or reset.dtype != torch.bool:
        words = "(time,)" if not layout.batched else _words(layout.batch_first)
        raise ShapeError(
            f"reset: expected truth values in the input's layout, {words}: {expected} of "
            f"torch.bool; got {tuple(reset.shape)} of {reset.dtype}"
        )
    reset = reset.to(input.device)
    if not layout.batched:
        return reset.unsqueeze(1)
    return reset.transpose(0, 1) if layout.batch_first else reset


def _words(batch_first: bool, *last: str) -> str:
    first = ("batch", "time") if batch_first else ("time", "batch")
    return f"({', '.join([*first, *last])})"


def _rows(state: State, order: Tensor | None) -> State:
    if order is None:
        return state
    return State(state.h.index_select(1, order), state.c.index_select(1, order))
