"""LSTMCell against torch.nn.LSTMCell and against the textbook."""

from __future__ import annotations

import pytest
import torch

from carousel.equations import from_packed, step
from carousel.errors import OptionError, ShapeError
from carousel.nn import LSTMCell, State

I, H, B = 3, 5, 2  # noqa: E741
SAME = {"rtol": 0, "atol": 1e-14}


def pair(**options) -> tuple[LSTMCell, torch.nn.LSTMCell]:
    torch.manual_seed(3)
    ours = LSTMCell(I, H, dtype=torch.float64, **options)
    torch.manual_seed(3)
    return ours, torch.nn.LSTMCell(I, H, dtype=torch.float64, **options)


def tensors(*batch: int) -> list[torch.Tensor]:
    return [torch.randn(*batch, size, dtype=torch.float64) for size in (I, H, H)]


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_pytorchs_and_load_both_ways(bias: bool) -> None:
    ours, theirs = pair(bias=bias)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert ours.bias_ih is None or bias
    other = torch.nn.LSTMCell(I, H, bias=bias, dtype=torch.float64)
    theirs.load_state_dict(other.state_dict())
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.weight_hh, other.weight_hh)
    theirs.load_state_dict(ours.state_dict())
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(B,), ()])
@pytest.mark.parametrize("given_state", [True, False])
def test_numbers_and_gradients_are_pytorchs(
    bias: bool, batch: tuple[int, ...], given_state: bool
) -> None:
    found = []
    x, h, c = tensors(*batch)
    for cell in pair(bias=bias):
        inputs = [part.clone().requires_grad_() for part in (x, h, c)]
        h_1, c_1 = cell(inputs[0], (inputs[1], inputs[2]) if given_state else None)
        (h_1.square().sum() + c_1.sum()).backward()
        gradients = [part.grad for part in (inputs if given_state else inputs[:1])]
        found.append([h_1, c_1, *gradients, *(p.grad for p in cell.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **SAME)
    assert found[0][0].shape == (*batch, H)


@pytest.mark.parametrize("batch", [(B,), ()])
def test_trace_is_the_textbooks_step(batch: tuple[int, ...]) -> None:
    cell, _ = pair()
    x, h, c = tensors(*batch)
    values = cell.trace(x, (h, c))
    now = step(x, h, c, from_packed(*cell.parameters()))
    expected = (now.i, now.f, now.C_tilde, now.o, now.C, now.h)
    for value, other in zip(values, expected, strict=True):
        torch.testing.assert_close(value, other, **SAME)
    state = cell(x, (h, c))
    assert isinstance(state, State)
    torch.testing.assert_close(state.h, values.h, **SAME)
    torch.testing.assert_close(state.c, values.c, **SAME)
    without = cell.trace(x)
    torch.testing.assert_close(without.h, cell(x).h, **SAME)


def test_bad_shapes_are_refused() -> None:
    cell, _ = pair()
    x, h, c = tensors(B)
    for call, hx, message in [
        (x[..., :2], None, r"input: expected \(batch, 3\) or \(3,\), got \(2, 2\)"),
        (x[None], None, r"got \(1, 2, 3\)"),
        (x, (h[:1], c), r"h_0: expected shape \(2, 5\).* got \(1, 5\)"),
        (x, (h, c[:, :4]), r"c_0: expected shape \(2, 5\).* got \(2, 4\)"),
        (x[0], (h, c), r"h_0: expected shape \(5,\).* got \(2, 5\)"),
        (x, (h,), r"hx: expected a pair"),
    ]:
        for method in (cell.forward, cell.trace):
            with pytest.raises((ShapeError, TypeError)) as caught:
                method(call, hx)
            if isinstance(caught.value, ShapeError):
                assert caught.match(message)
            else:
                assert len(hx) != 2  # the annotation has it already
    with pytest.raises(OptionError, match="hidden_size"):
        LSTMCell(3, 0)
