"""Lengths and resets: a ragged batch is its sequences run alone, documents are separate runs."""

from __future__ import annotations

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import carousel.nn
from carousel.errors import ShapeError
from carousel.nn import LSTM
from carousel.nn.layout import _checked_lengths
from layer_runs import Problem, numbers, problem
from numerical_bounds import violations

ENGINES = ["pytorch", "reference"]


@st.composite
def ragged(draw: st.DrawFn) -> tuple[Problem, torch.Tensor]:
    T, B = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    options = {
        "num_layers": draw(st.integers(1, 2)),
        "bidirectional": draw(st.booleans()),
        "proj_size": draw(st.sampled_from([0, 2])),
    }
    return problem(T, B, 2, 3, **options), torch.tensor(lengths)


def separately(given_: Problem, engine: str, lengths: torch.Tensor) -> dict[str, torch.Tensor]:
    """Runs each sequence alone, without lengths, and puts the numbers together."""
    found = {
        "output": torch.zeros_like(given_.cotangents[0]),
        "d input": torch.zeros_like(given_.inputs),
        # A sequence of no steps passes its state, and the state's gradient, through.
        "h_n": given_.h_0.clone(),
        "c_n": given_.c_0.clone(),
        "d h_0": given_.cotangents[1].clone(),
        "d c_0": given_.cotangents[2].clone(),
    }
    found |= {f"d {name}": torch.zeros_like(p) for name, p in given_.parameters.items()}
    for row, length in enumerate(lengths.tolist()):
        if length == 0:
            continue
        one = given_.alone(row, slice(0, length))
        for name, value in numbers(one.ours(engine), one).items():
            if name in ("output", "d input"):
                found[name][:length, row] = value[:, 0]
            elif name in ("h_n", "c_n", "d h_0", "d c_0"):
                found[name][:, row] = value[:, 0]
            else:
                found[name] += value
    return found


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40)
@given(case=ragged())
def test_a_ragged_batch_is_its_sequences_alone(engine: str, case: tuple) -> None:
    given_, lengths = case
    together = numbers(given_.ours(engine), given_, lengths=lengths)
    alone = separately(given_, engine, lengths)
    assert not violations(given_.analysed(lengths=lengths), together, alone)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=30)
@given(case=ragged(), content=st.sampled_from([float("nan"), float("inf"), 1e30]))
def test_padding_is_never_read(engine: str, case: tuple, content: float) -> None:
    given_, lengths = case
    past = torch.arange(len(given_.inputs))[:, None] >= lengths
    clean = numbers(given_.ours(engine), given_, lengths=lengths)
    given_.inputs[past] = content
    dirty = numbers(given_.ours(engine), given_, lengths=lengths)
    for name, value in clean.items():
        assert torch.equal(dirty[name], value), name
    assert not dirty["output"][past].any()
    assert not dirty["d input"][past].any()


@st.composite
def with_resets(draw: st.DrawFn) -> tuple[Problem, torch.Tensor, torch.Tensor]:
    given_, lengths = draw(ragged())
    T, B, _ = given_.inputs.shape
    reset = torch.tensor(draw(st.lists(st.booleans(), min_size=T * B, max_size=T * B)))
    return given_, lengths, reset.reshape(T, B)


def document_by_document(
    given_: Problem, lengths: torch.Tensor, reset: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Runs each stretch between two resets as a sequence of its own, in either direction."""
    layer = given_.ours("reference")
    D = 2 if layer.bidirectional else 1
    forward = torch.arange(given_.h_0.shape[0]) % D == 0
    output = torch.zeros_like(given_.cotangents[0])
    h_n, c_n = given_.h_0.clone(), given_.c_0.clone()
    for row, length in enumerate(lengths.tolist()):
        if length == 0:
            continue
        cuts = [t for t in range(1, length) if reset[t, row]]
        starts, ends = [0, *cuts], [*cuts, length]
        for start, end in zip(starts, ends, strict=True):
            enters = torch.zeros_like(forward)
            if start == 0 and not reset[0, row]:
                enters |= forward
            if end == length:
                enters |= ~forward
            states = [
                part[:, row : row + 1] * enters[:, None, None] for part in (given_.h_0, given_.c_0)
            ]
            values, (h, c) = layer(given_.inputs[start:end, row : row + 1], tuple(states))
            output[start:end, row] = values[:, 0].detach()
            if end == length:
                h_n[forward, row] = h[forward, 0].detach()
                c_n[forward, row] = c[forward, 0].detach()
            if start == 0:
                h_n[~forward, row] = h[~forward, 0].detach()
                c_n[~forward, row] = c[~forward, 0].detach()
    return {"output": output, "h_n": h_n, "c_n": c_n}


@settings(max_examples=60)
@given(case=with_resets())
def test_resets_are_boundaries_that_no_direction_crosses(case: tuple) -> None:
    given_, lengths, reset = case
    together = numbers(given_.ours("reference"), given_, lengths=lengths, reset=reset)
    apart = document_by_document(given_, lengths, reset)
    # The analysis carries its own gradient through resets, so gradients are compared as well.
    assert not violations(given_.analysed(lengths=lengths, reset=reset), together, apart)


def test_no_gradient_crosses_a_reset() -> None:
    given_ = problem(6, 1, 2, 3, num_layers=2, bidirectional=True)
    layer = given_.ours("reference")
    inputs = given_.inputs.clone().requires_grad_()
    reset = torch.zeros(6, 1, dtype=torch.bool)
    reset[3] = True
    output, _ = layer(inputs, reset=reset)
    (gradient,) = torch.autograd.grad(output[:3].sum(), inputs)
    assert gradient[:3].abs().min() > 0
    assert not gradient[3:].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_lengths_come_as_list_or_any_whole_number_type(engine: str) -> None:
    given_ = problem(4, 3, 2, 3)
    layer = given_.ours(engine)
    expected, _ = layer(given_.inputs, lengths=torch.tensor([4, 0, 2]))
    for lengths in ([4, 0, 2], (4, 0, 2), torch.tensor([4, 0, 2], dtype=torch.int32)):
        output, _ = layer(given_.inputs, lengths=lengths)
        assert torch.equal(output, expected)
    assert not expected[:, 1].any()
    assert not expected[2:, 2].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_full_lengths_are_no_lengths(engine: str) -> None:
    given_ = problem(4, 3, 2, 3, bidirectional=True)
    full = numbers(given_.ours(engine), given_, lengths=[4, 4, 4])
    assert not violations(given_.analysed(), full, numbers(given_.ours(engine), given_))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_sequence_empty(engine: str) -> None:
    given_ = problem(4, 2, 2, 3, bidirectional=True, proj_size=2)
    found = numbers(given_.ours(engine), given_, lengths=[0, 0])
    assert not found["output"].any()
    assert torch.equal(found["h_n"], given_.h_0)
    assert torch.equal(found["d c_0"], given_.cotangents[2])
    assert not found["d weight_ih_l0"].any()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("sizes", [(0, 2), (3, 0), (0, 0)])
def test_no_steps_and_no_sequences(engine: str, sizes: tuple[int, int]) -> None:
    T, B = sizes
    given_ = problem(3, 2, 2, 3, num_layers=2, bidirectional=True, proj_size=2)
    layer = given_.ours(engine)
    inputs = torch.zeros(T, B, 2, dtype=torch.float64)
    hx = (given_.h_0[:, :B], given_.c_0[:, :B])
    for lengths in (None, [T] * B):
        output, state = layer(inputs, hx, lengths=lengths)
        assert output.shape == (T, B, 4)
        assert all(map(torch.equal, state, hx))
        output.sum().backward()  # a batch with nothing in it must not stop a training loop
    assert not layer.weight_ih_l0.grad.any()


def test_resets_follow_the_inputs_layout() -> None:
    given_ = problem(5, 3, 2, 4, bidirectional=True)
    reset = torch.rand(5, 3) < 0.4
    assert reset.any()
    expected, _ = given_.ours("auto")(given_.inputs, reset=reset)
    batch_first = given_.ours("auto", batch_first=True)
    output, _ = batch_first(given_.inputs.transpose(0, 1), reset=reset.T)
    assert torch.equal(output.transpose(0, 1), expected)
    for row in range(3):
        output, _ = given_.ours("auto")(given_.inputs[:, row], reset=reset[:, row])
        torch.testing.assert_close(output, expected[:, row], rtol=0, atol=1e-14)


def test_lengths_without_a_batch() -> None:
    layer = carousel.nn.LSTM(2, 3)
    inputs = torch.randn(4, 2)
    output, state = layer(inputs, lengths=[2])
    expected, expected_state = layer(inputs[:2])
    torch.testing.assert_close(output[:2], expected)
    torch.testing.assert_close(state, expected_state)
    assert not output[2:].any()


def test_lengths_of_every_kind_and_on_the_meta_device() -> None:
    layer, x = LSTM(5, 18), torch.randn(4, 3, 5)
    expected = layer(x, lengths=torch.tensor([4, 2, 0]))[0]
    assert torch.equal(layer(x, lengths=torch.tensor([4, 2, 0], dtype=torch.uint16))[0], expected)
    with torch.device("meta"):
        assert torch.equal(layer(x, lengths=[4, 2, 0])[0], expected)
    with pytest.raises(ShapeError, match="lengths: expected a tensor or a list"):
        inspect.unwrap(_checked_lengths)([4, "two", 0], 4, 3)  # past the tests' own check
