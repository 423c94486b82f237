"""A trace holds what it says: activated gates, the carousel's equation, the layer's own output."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import carousel.nn
from carousel.equations import from_packed, step
from carousel.errors import OptionError
from layer_runs import problem

T, B, I, H = 5, 3, 4, 6  # noqa: E741
NAMES = ["l0", "l0_reverse", "l1", "l1_reverse"]


def layer(**options) -> carousel.nn.LSTM:
    return carousel.nn.LSTM(I, H, 2, bidirectional=True, dtype=torch.float64, **options)


def test_gates_are_activated_values() -> None:
    # Large inputs, so that sums before the activation would leave the range at once.
    trace = layer().trace(5 * torch.randn(T, B, I, dtype=torch.float64))
    for values in trace.values():
        for gate in (values.i, values.f, values.o):
            assert gate.min() > 0
            assert gate.max() < 1
        assert -1 < values.g.min() < 0 < values.g.max() < 1


def test_the_memory_is_written_kept_and_erased_as_the_gates_say() -> None:
    lstm = layer()
    x = torch.randn(T, B, I, dtype=torch.float64)
    trace = lstm.trace(x)
    for name, values in trace.items():
        order = range(T - 1, -1, -1) if name.endswith("_reverse") else range(T)
        c = torch.zeros(B, H, dtype=torch.float64)
        for t in order:
            c = values.f[t] * c + values.i[t] * values.g[t]
            assert torch.equal(values.c[t], c)
            assert torch.equal(values.h[t], values.o[t] * torch.tanh(c))
            c = values.c[t]


def test_every_value_is_the_textbooks() -> None:
    lstm = layer()
    x = torch.randn(T, B, I, dtype=torch.float64)
    trace = lstm.trace(x)
    inputs = {
        "l0": x,
        "l0_reverse": x,
        "l1": torch.cat([trace["l0"].h, trace["l0_reverse"].h], -1),
    }
    inputs["l1_reverse"] = inputs["l1"]
    for name, parameters in zip(NAMES, lstm.all_weights, strict=True):
        weights = from_packed(*parameters)
        h = C = torch.zeros(B, H, dtype=torch.float64)
        order = range(T - 1, -1, -1) if name.endswith("_reverse") else range(T)
        for t in order:
            now = step(inputs[name][t], h, C, weights)
            seen = trace[name]
            pairs = [(seen.f, now.f), (seen.i, now.i), (seen.g, now.C_tilde)]
            pairs += [(seen.o, now.o), (seen.c, now.C), (seen.h, now.h)]
            for value, expected in pairs:
                torch.testing.assert_close(value[t], expected, rtol=0, atol=1e-13)
            h, C = now.h, now.C


def test_output_and_state_are_the_plain_calls() -> None:
    given = problem(T, B, I, H, num_layers=2, bidirectional=True, proj_size=2)
    lstm = given.ours("auto")
    hx = (given.h_0, given.c_0)
    trace = lstm.trace(given.inputs, hx, lengths=[5, 2, 0])
    output, state = lstm(given.inputs, hx, lengths=[5, 2, 0])
    torch.testing.assert_close(trace.output, output, rtol=0, atol=1e-13)
    torch.testing.assert_close(trace.state, state, rtol=0, atol=1e-13)
    last = torch.cat([trace["l1"].h, trace["l1_reverse"].h], -1)
    assert torch.equal(last, trace.output)
    assert trace["l0"].h.shape == (T, B, 2)
    assert trace["l0"].c.shape == (T, B, H)


def test_past_the_end_everything_is_zero() -> None:
    lengths = torch.tensor([5, 2, 0])
    past = torch.arange(T)[:, None] >= lengths
    trace = layer().trace(torch.randn(T, B, I, dtype=torch.float64), lengths=lengths)
    for name, values in trace.to_dict().items():
        assert not values[past].any(), name
        assert values[~past].all(), name


def test_a_reset_erases_the_memory() -> None:
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[3] = True
    values = layer().trace(torch.randn(T, B, I, dtype=torch.float64), reset=reset)
    forward, reverse = values["l0"], values["l0_reverse"]
    assert torch.equal(forward.c[3], forward.i[3] * forward.g[3])
    assert torch.equal(reverse.c[2], reverse.i[2] * reverse.g[2])
    assert not torch.equal(reverse.c[3], reverse.i[3] * reverse.g[3])


def test_names() -> None:
    trace = layer().trace(torch.zeros(T, B, I, dtype=torch.float64))
    assert list(trace) == NAMES
    assert list(trace.to_dict()) == [f"{name}.{letter}" for name in NAMES for letter in "ifgoch"]
    assert trace.to_dict()["l0_reverse.f"] is trace["l0_reverse"].f
    assert [name.removeprefix("weight_ih_") for name, _ in layer().named_parameters()][::4] == NAMES
    with pytest.raises(OptionError, match="did you mean 'l1_reverse'"):
        trace["l1_revers"]


def test_values_have_the_layout_of_the_output() -> None:
    given = problem(T, B, I, H)
    expected = given.ours("auto").trace(given.inputs)
    first = given.ours("auto", batch_first=True).trace(given.inputs.transpose(0, 1))
    alone = given.ours("auto").trace(given.inputs[:, 0])
    assert first.output.shape == (B, T, H)
    for name, values in expected.to_dict().items():
        assert torch.equal(first.to_dict()[name].transpose(0, 1), values)
        torch.testing.assert_close(alone.to_dict()[name], values[:, 0], rtol=0, atol=1e-14)


def test_a_packed_sequence_is_traced_padded_and_in_its_own_order() -> None:
    given = problem(T, B, I, H, bidirectional=True)
    lengths = torch.tensor([2, 5, 3])
    hx = (given.h_0, given.c_0)
    packed = pack_padded_sequence(given.inputs, lengths, enforce_sorted=False)
    trace = given.ours("auto").trace(packed, hx)
    expected = given.ours("auto").trace(given.inputs, hx, lengths=lengths)
    assert torch.equal(trace.output, expected.output)
    assert all(map(torch.equal, trace.state, expected.state))
    for name, values in expected.to_dict().items():
        assert torch.equal(trace.to_dict()[name], values)


def test_values_carry_gradients() -> None:
    lstm = layer()
    lstm.trace(torch.randn(T, B, I, dtype=torch.float64))["l1"].f.sum().backward()
    assert lstm.weight_ih_l0.grad.any()
