"""The layer on a GPU: cuDNN's numbers in cuDNN's layout, and the CPU's where cuDNN has no cell.

A warning is an error here as everywhere, PyTorch's of weights that are not in one block among them.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from tests.cuda.nearness import CLOSE, CLOSE_GRADIENTS, SAME, assert_all_near, assert_near
from tests.nn.test_lstm_numbers import Called, packed_numbers
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import carousel
from carousel.engines import LayerWeights
from layer_runs import Problem, numbers, problem

DEVICE = "cuda"
T, B, I, H = 12, 5, 6, 8  # noqa: E741
LENGTHS = torch.tensor([7, 12, 1, 12, 3])
STACKS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "two layers": {"num_layers": 2},
    "no biases": {"num_layers": 2, "bias": False},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "projection": {"num_layers": 2, "proj_size": 3},
    "projection, both directions": {"proj_size": 3, "bidirectional": True},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "peepholes": {"peepholes": True},
    "coupled": {"coupled": True},
    "clipped": {"cell_clip": 0.3},
    "zoneout": {"zoneout_h": 0.2, "zoneout_c": 0.4},
    "all": {"peepholes": True, "coupled": True, "cell_clip": 0.5, "zoneout_c": 0.1, "proj_size": 3},
}
DRAWN: dict[str, dict[str, Any]] = {
    "weights": {"weight_dropout": 0.4},
    "recurrent": {"recurrent_dropout": 0.4},
    "zoneout": {"zoneout_h": 0.4, "zoneout_c": 0.4},
    "layers": {"dropout": 0.4},
}


def drawn(**options: Any) -> Problem:
    return problem(T, B, I, H, dtype=torch.float32, **options)


def moved(given: Problem) -> Problem:
    parts = {name: getattr(given, name).to(DEVICE) for name in ("inputs", "h_0", "c_0")}
    cotangents = tuple(part.to(DEVICE) for part in given.cotangents)
    return dataclasses.replace(given, cotangents=cotangents, **parts)


def is_one_block(layer: torch.nn.Module) -> bool:
    return len({p.untyped_storage().data_ptr() for p in layer.parameters()}) == 1


@pytest.mark.parametrize("name", STACKS)
def test_numbers_and_gradients_are_those_of_pytorchs_layer(name: str) -> None:
    given = drawn(**STACKS[name])
    there = moved(given)
    ours, theirs = given.ours("auto").to(DEVICE), given.theirs().to(DEVICE)
    assert ours.engine.name == "pytorch"
    found = numbers(ours, there)
    assert all(value.device.type == DEVICE for value in found.values())
    assert_all_near(found, numbers(theirs, there), SAME)
    assert_all_near(found, numbers(given.ours("auto"), given), CLOSE_GRADIENTS)
    with torch.no_grad():  # where nothing is kept for a gradient
        output, state = ours(there.inputs, (there.h_0, there.c_0))
    assert_near(output, found["output"], SAME)
    assert_near(state.c, found["c_n"], SAME)


@pytest.mark.parametrize("name", STACKS)
def test_unequal_lengths_are_those_of_pytorchs_packed_sequences(name: str) -> None:
    given = drawn(**STACKS[name])
    there = moved(given)
    ours, theirs = given.ours("auto").to(DEVICE), given.theirs().to(DEVICE)
    wanted = packed_numbers(theirs, there, LENGTHS)
    for lengths in (LENGTHS, LENGTHS.to(DEVICE), LENGTHS.tolist()):
        assert_all_near(numbers(ours, there, lengths=lengths), wanted, SAME)
    assert_all_near(wanted, numbers(given.ours("auto"), given, lengths=LENGTHS), CLOSE_GRADIENTS)

    def packed(inputs: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        output, state = ours(pack_padded_sequence(inputs, LENGTHS, enforce_sorted=False), hx)
        return pad_packed_sequence(output, total_length=len(inputs))[0], state

    assert_all_near(numbers(Called(ours, packed), there), wanted, SAME)


def test_a_sequence_without_steps_and_resets_are_taken() -> None:
    given = drawn(num_layers=2, bidirectional=True)
    there = moved(given)
    lengths = torch.tensor([0, 12, 5, 0, 1])
    reset = torch.rand(T, B) < 0.2
    for call in ({"lengths": lengths}, {"reset": reset}, {"lengths": lengths, "reset": reset}):
        onto = {name: value.to(DEVICE) for name, value in call.items()}
        found = numbers(given.ours("auto").to(DEVICE), there, **onto)
        assert_all_near(found, numbers(given.ours("auto"), given, **call), CLOSE)


def test_batch_first_and_no_batch() -> None:
    given = drawn(num_layers=2)
    there = moved(given)
    wanted = numbers(given.theirs().to(DEVICE), there)
    first = given.ours("auto", batch_first=True).to(DEVICE)

    def batch_first(inputs: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        output, state = first(inputs.transpose(0, 1), hx)
        return output.transpose(0, 1), state

    assert_all_near(numbers(Called(first, batch_first), there), wanted, SAME)
    output, state = given.ours("auto").to(DEVICE)(
        there.inputs[:, 0], (there.h_0[:, 0], there.c_0[:, 0])
    )
    assert_near(output, wanted["output"][:, 0], CLOSE)
    assert_near(state.h, wanted["h_n"][:, 0], CLOSE)


def test_double_precision_has_all_its_digits() -> None:
    given = problem(T, B, I, H, dtype=torch.float64, num_layers=2, bidirectional=True)
    found = numbers(given.ours("auto").to(DEVICE), moved(given))
    assert_all_near(found, numbers(given.ours("auto"), given), 1e-12)


@pytest.mark.parametrize("name", STACKS)
def test_weights_lie_in_one_block_wherever_they_come_from(name: str) -> None:
    """Else cuDNN copies them at every call, and PyTorch warns."""
    given = drawn(**STACKS[name])
    there = moved(given)
    wanted = numbers(given.ours("auto").to(DEVICE), there)
    layer = given.ours("auto").to(DEVICE)
    there_and_back = given.ours("auto").to(DEVICE).to("cpu").to(DEVICE)
    loaded = carousel.LSTM(I, H, device=DEVICE, **STACKS[name])
    loaded.load_state_dict(given.parameters)
    from_theirs = carousel.LSTM(I, H, device=DEVICE, **STACKS[name])
    from_theirs.load_state_dict(given.theirs().to(DEVICE).state_dict())
    inside = copy.deepcopy(torch.nn.ModuleList([layer]))[0]
    for one in (layer, there_and_back, loaded, from_theirs, copy.deepcopy(layer), inside):
        assert is_one_block(one)
        assert_all_near(numbers(one, there), wanted, SAME)
    assert is_one_block(layer)  # a copy takes nothing from it
    theirs = given.theirs().to(DEVICE)
    theirs.load_state_dict(layer.state_dict())
    assert_all_near(numbers(theirs, there), wanted, SAME)


def test_a_state_with_gaps_is_taken() -> None:
    given = drawn(num_layers=2)
    there = moved(given)
    layer = given.ours("auto").to(DEVICE)
    wanted = numbers(layer, there)

    def gaps(inputs: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        return layer(inputs, tuple(torch.stack([part, part], -1)[..., 0] for part in hx))

    assert_all_near(numbers(Called(layer, gaps), there), wanted, SAME)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_the_numbers_of_the_cpu(name: str) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    size = {key: value for key, value in VARIANTS[name].items() if key == "proj_size"}
    given = drawn(**options, **size)
    layer = carousel.LSTM(I, H, **options, **VARIANTS[name]).eval()
    reset = torch.rand(T, B) < 0.2
    wanted = numbers(layer, given)
    ragged = numbers(layer, given, lengths=LENGTHS, reset=reset)
    there = moved(given)
    layer.to(DEVICE)
    assert layer.engine.name == "reference"
    assert_all_near(numbers(layer, there), wanted, CLOSE)
    found = numbers(layer, there, lengths=LENGTHS.to(DEVICE), reset=reset.to(DEVICE))
    assert_all_near(found, ragged, CLOSE)


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_drawn_is_drawn_on_the_gpu(name: str) -> None:
    layer = carousel.LSTM(I, H, 2, **DRAWN[name]).to(DEVICE)
    given = moved(drawn(num_layers=2))
    for lengths in (None, LENGTHS):
        torch.manual_seed(1)
        found = numbers(layer, given, lengths=lengths)
        if name != "layers":  # cuDNN's own dropout goes on from call to call, whatever the seed
            torch.manual_seed(1)
            assert_all_near(numbers(layer, given, lengths=lengths), found, SAME)
        torch.manual_seed(2)
        other = numbers(layer, given, lengths=lengths)
        assert not torch.equal(found["output"], other["output"])
        assert all(bool(value.isfinite().all()) for value in found.values())


def test_dropped_weights_are_the_weights_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def dropped(weights: tuple[LayerWeights, ...], rate: float) -> tuple[LayerWeights, ...]:
        generator = torch.Generator().manual_seed(3)
        kept = [
            torch.rand(one.weight_hh.shape, generator=generator).to(one.weight_hh) >= rate
            for one in weights
        ]
        return tuple(
            one._replace(weight_hh=one.weight_hh * own / (1 - rate))
            for one, own in zip(weights, kept, strict=True)
        )

    monkeypatch.setattr("carousel.nn.lstm.drop_weights", dropped)
    given = drawn(num_layers=2)
    layer = given.ours("auto", weight_dropout=0.4)
    wanted = numbers(layer, given)
    assert_all_near(numbers(layer.to(DEVICE), moved(given)), wanted, CLOSE)


@pytest.mark.parametrize("options", [{}, {"proj_size": 3}, VARIANTS["all"]], ids=str)
def test_steps_and_traces_are_the_whole_sequence(options: dict[str, Any]) -> None:
    layer = carousel.LSTM(I, H, 2, **options).to(DEVICE).eval()
    x = torch.randn(T, B, I, device=DEVICE)
    with torch.no_grad():
        output, state = layer(x)
        trace = layer.trace(x)
    stepper = layer.stepper(B)
    assert_near(torch.stack([stepper.step(one) for one in x]), output, CLOSE)
    for one, other in zip(stepper.state, state, strict=True):
        assert_near(one, other, CLOSE)
    assert_near(trace.output, output, CLOSE)
    assert_near(trace.state.c, state.c, CLOSE)
    assert trace["l0"].f.device.type == DEVICE
    stepper.reset(torch.arange(B, device=DEVICE) < 2)
    assert not bool(stepper.state.h[:, :2].any())
    assert_near(stepper.state.h[:, 2:], state.h[:, 2:], CLOSE)


def test_one_plain_layer_steps_without_gradients() -> None:
    """The shortest way to the CPU's kernel is not taken with tensors that are elsewhere."""
    layer = carousel.LSTM(I, H).to(DEVICE)
    x = torch.randn(T, B, I, device=DEVICE)
    wanted, _ = layer(x)
    state, found = None, []
    with torch.no_grad():
        for one in x.split(1):
            output, state = layer(one, state)
            found.append(output)
    assert_near(torch.cat(found), wanted, CLOSE)
