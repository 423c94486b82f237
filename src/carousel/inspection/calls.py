"""One row of one call of a layer or a cell: what it read, from which state, and what it said.

Batched or not, time first or batch first, padded or packed: behind this file there is one layout,
(T, ·). Knows nothing of weights.

Shape letters: T real steps of the row, B batch, I input size, H hidden size, P projection size
(H where there is none), L layers, D directions, K = L·D states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from carousel.errors import OptionError, ShapeError
from carousel.nn import LSTM, LSTMCell, State
from carousel.nn.layout import padded

LAYERS = (torch.nn.LSTM, LSTM)
CELLS = (torch.nn.LSTMCell, LSTMCell)


class Call(NamedTuple):
    """One row of one call, copied; a cell is a layer that reads one step.

    Attributes:
        inputs: (T, I).
        before: h (K, P) and c (K, H) that it started from.
        given: whether the caller handed that in.
        reset: (T,), true where the state is zeroed before a step; None where it never is.
        outputs: (T, D·P).
        after: h (K, P) and c (K, H).
        rows: B of the call.
        steps: of the call, padding counted, so T or more.
    """

    inputs: Tensor
    before: State
    given: bool
    reset: Tensor | None
    outputs: Tensor
    after: State
    rows: int
    steps: int


def row_of_call(
    module: torch.nn.Module, row: int, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
) -> Call | int:
    """Returns one row of a call, or, where the call has no such row, how many it has.

    Args:
        module: a layer or a cell, PyTorch's or ours.
        row: number of the sequence in the batch.
        args, kwargs: what it was called with.
        output: what it returned.

    Raises:
        OptionError: for a subclass that takes or returns something else.
    """
    try:
        asked = _asked(*args, **kwargs)
        found, after = output
    except (TypeError, ValueError):
        raise OptionError(_other_arguments(module)) from None
    if isinstance(module, CELLS):
        return _of_cell(module, row, asked, State(found, after))
    return _of_layer(module, row, asked, found, after)


class _Asked(NamedTuple):
    input: Any
    hx: Any
    lengths: Any
    reset: Any


def _asked(input: Any, hx: Any = None, *, lengths: Any = None, reset: Any = None) -> _Asked:
    """Sorts a call's arguments, by place or by name, as all four classes take them."""
    return _Asked(input, hx, lengths, reset)


def _of_cell(module: torch.nn.Module, row: int, asked: _Asked, after: State) -> Call | int:
    input = asked.input
    if not isinstance(input, Tensor) or not isinstance(after.c, Tensor):
        raise OptionError(_other_arguments(module))

    def one(values: Tensor) -> Tensor:
        own = values if values.dim() == 1 else values[row]
        return own.detach().clone()[None]

    rows = 1 if input.dim() == 1 else len(input)
    if row >= rows:
        return rows
    end = State(one(after.h), one(after.c))
    before = State(*(torch.zeros_like(part) for part in end))
    if asked.hx is not None:
        before = State(*(one(part) for part in asked.hx))
    return Call(one(input), before, asked.hx is not None, None, end.h, end, rows, 1)


def _of_layer(
    module: torch.nn.Module, row: int, asked: _Asked, outputs: Any, after: Any
) -> Call | int:
    input, lengths, batch_first = asked.input, asked.lengths, bool(module.batch_first)
    if isinstance(input, PackedSequence) and isinstance(outputs, PackedSequence):
        input, lengths = padded(input)
        outputs, _ = padded(outputs)
        batch_first = False
    if not isinstance(input, Tensor) or not isinstance(outputs, Tensor):
        raise OptionError(_other_arguments(module))
    batched = input.dim() == 3

    def sequence(values: Tensor) -> Tensor:
        own = values
        if batched:
            own = values[row] if batch_first else values[:, row]
        return own[:T].detach().clone()

    def state(values: Any) -> State:
        return State(*((part[:, row] if batched else part).detach().clone() for part in values))

    rows = (input.shape[0] if batch_first else input.shape[1]) if batched else 1
    if row >= rows:
        return rows
    steps = input.shape[1] if batched and batch_first else input.shape[0]
    T = steps if lengths is None else int(lengths[row])
    end = state(after)
    given = asked.hx is not None
    before = state(asked.hx) if given else State(*(torch.zeros_like(part) for part in end))
    reset = None if asked.reset is None else sequence(asked.reset)
    return Call(sequence(input), before, given, reset, sequence(outputs), end, rows, steps)


def check_row(row: int) -> None:
    """Raises a ShapeError for what is no number of a row."""
    if not isinstance(row, int) or isinstance(row, bool) or row < 0:
        raise ShapeError(f"row: expected the number of a sequence, counted from 0, got {row!r}")


def _other_arguments(module: torch.nn.Module) -> str:
    kind = type(module).__name__
    return (
        f"inspect: expected {kind} to be called with (input, hx) and to return what an LSTM does; "
        f"it takes or returns something else, so its values cannot be read. Leave it out by "
        f"layers=[...]"
    )
