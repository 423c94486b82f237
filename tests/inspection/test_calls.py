"""One row of a call comes out of every layout as (T, ·), copied."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import carousel
from carousel.errors import ShapeError
from carousel.inspection.calls import Call, check_row, row_of_call

T, B, I, H = 5, 3, 2, 4  # noqa: E741


def heard(module: torch.nn.Module, row: int, *args: object, **kwargs: object) -> Call | int:
    with torch.no_grad():
        return row_of_call(module, row, args, kwargs, module(*args, **kwargs))


@pytest.mark.parametrize("row", range(B))
def test_every_layout_is_the_same_call(row: int) -> None:
    first = torch.nn.LSTM(I, H, batch_first=True, bidirectional=True)
    later = torch.nn.LSTM(I, H, bidirectional=True)
    ours = carousel.LSTM(I, H, bidirectional=True)
    for layer in (later, ours):
        layer.load_state_dict(first.state_dict())
    x, hx = torch.randn(T, B, I), (torch.randn(2, B, H), torch.randn(2, B, H))
    lengths = torch.tensor([4, 5, 2])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    x_first = pack_padded_sequence(x.transpose(0, 1), lengths, True, enforce_sorted=False)
    calls = [
        heard(later, row, packed, hx),
        heard(first, row, x_first, hx=hx),
        heard(ours, row, input=x, hx=hx, lengths=lengths),
        heard(ours, row, x, hx, lengths=lengths.tolist()),
        heard(later, 0, x[: lengths[row], row], tuple(part[:, row] for part in hx)),
    ]
    for call in calls:
        assert torch.equal(call.inputs, x[: lengths[row], row])
        assert torch.equal(call.before.h, hx[0][:, row])
        assert torch.equal(call.before.c, hx[1][:, row])
        assert call.given
        # The same sums in another order, of 8 terms: far below 1e-5.
        torch.testing.assert_close(call.outputs, calls[0].outputs, rtol=0, atol=1e-5)
        torch.testing.assert_close(call.after, calls[0].after, rtol=0, atol=1e-5)
    assert [(call.rows, call.steps) for call in calls] == [(3, 5)] * 4 + [(1, lengths[row])]


def test_a_call_without_a_state() -> None:
    call = heard(torch.nn.LSTM(I, H, 2), 1, torch.randn(T, B, I))
    assert not call.given
    assert [tuple(part.shape) for part in call.before] == [(2, H), (2, H)]
    assert not torch.cat(call.before).any()
    assert call.reset is None


def test_a_row_that_is_not_there() -> None:
    lstm, cell = torch.nn.LSTM(I, H, batch_first=True), torch.nn.LSTMCell(I, H)
    assert heard(lstm, B, torch.randn(B, T, I)) == B
    assert heard(lstm, 1, torch.randn(T, I)) == 1
    assert heard(lstm, 2, pack_sequence([torch.randn(3, I), torch.randn(1, I)])) == 2
    assert heard(cell, B, torch.randn(B, I)) == B
    assert heard(cell, 1, torch.randn(I)) == 1


def test_a_cell_is_one_step() -> None:
    cell, x, hx = torch.nn.LSTMCell(I, H), torch.randn(B, I), torch.randn(2, B, H)
    call = heard(cell, 2, x, tuple(hx))
    alone = heard(cell, 0, x[2], tuple(hx[:, 2]))
    for one in (call, alone):
        assert torch.equal(one.inputs, x[2:])
        assert torch.equal(torch.stack(one.before), hx[:, 2:])
        torch.testing.assert_close(one.after.h, cell(x, tuple(hx))[0][2:], rtol=0, atol=1e-5)
        assert one.outputs is one.after.h


def test_what_is_written_over_later_is_not_seen() -> None:
    lstm, x = torch.nn.LSTM(I, H), torch.ones(T, B, I)
    call = heard(lstm, 0, x)
    x.zero_()
    assert call.inputs.all()


@pytest.mark.parametrize("row", [-1, True])
def test_what_is_no_row(row: int) -> None:
    with pytest.raises(ShapeError, match="row: expected the number of a sequence"):
        check_row(row)
