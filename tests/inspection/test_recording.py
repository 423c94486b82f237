"""Hooks hear every call, calls are joined where the state goes on, and the unheard is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.inspection.equation_runs import (
    DOUBLE,
    assert_each_step,
    assert_values,
    draw,
    layer_by_equations,
)

import carousel
from carousel.errors import OptionError, ShapeError
from carousel.inspection.recording import record, selects

T, B, I, H = 6, 3, 4, 5  # noqa: E741


class Loop(torch.nn.Module):
    """A loop over one cell; what is done to the state between the steps is the test's."""

    def __init__(self, between: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
        super().__init__()
        self.cell = torch.nn.LSTMCell(I, H, **DOUBLE)
        self.between = between

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state = x.new_zeros(x.shape[1], H), x.new_zeros(x.shape[1], H)
        for t, x_t in enumerate(x):
            state = self.between(t, self.cell(x_t, state), state)
        return state

    def expected(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        zeros = torch.zeros(H, **DOUBLE)
        return layer_by_equations(list(self.cell.parameters()), x, zeros, zeros)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_steps_behind_the_end_of_a_masked_loop_are_left_out(row: int) -> None:
    lengths = torch.tensor([2, 6, 4])

    def masked(t: int, new: tuple, old: tuple) -> tuple:
        real = (t < lengths)[:, None]
        return tuple(torch.where(real, n, o) for n, o in zip(new, old, strict=True))

    model, x = Loop(masked), draw(T, B, I)
    (reading,) = record(model, lambda: model(x), row=row).readings
    length = int(lengths[row])
    assert len(reading) == length
    (layer,) = reading.layers("input").values()
    assert_values(layer, model.expected(x[:length, row]))
    assert_each_step(layer)


def test_rows_that_end_leave_the_batch() -> None:
    model, x = Loop(lambda t, new, old: new), draw(T, B, I)
    sizes = [3, 3, 2, 2, 1, 1]

    def run() -> None:
        state = x.new_zeros(B, H), x.new_zeros(B, H)
        for x_t, size in zip(x, sizes, strict=True):
            state = model.cell(x_t[:size], tuple(part[:size] for part in state))

    for row, length in enumerate([6, 4, 2]):
        (reading,) = record(model, run, row=row).readings
        (layer,) = reading.layers("input").values()
        assert_values(layer, model.expected(x[:length, row]))
    with pytest.raises(ShapeError, match="one of the 3 sequences that cell reads, from 0 to 2"):
        record(model, run, row=3)


def test_a_hidden_state_that_is_changed_on_the_way() -> None:
    """The memory goes on, so that it is one sequence; its step is not the textbook's any more."""
    model = Loop(lambda t, new, old: (0.5 * new[0], new[1]))
    x = draw(T, B, I)
    (reading,) = record(model, lambda: model(x), row=1).readings
    (layer,) = reading.layers("input").values()
    assert layer.weights is None
    h, c = torch.zeros(2, H, **DOUBLE)
    for t in range(T):
        now = layer_by_equations(list(model.cell.parameters()), x[t : t + 1, 1], h, c)
        assert torch.equal(torch.from_numpy(layer.c[t]), now["c"][0].float())
        h, c = 0.5 * now["h"][0], now["c"][0]


def test_two_streams_of_one_layer_in_turn() -> None:
    lstm = torch.nn.LSTM(I, H, **DOUBLE)
    streams, states = draw(2, T, B, I), [None, None]

    def run() -> None:
        for t in range(T):
            for k in range(2):
                _, states[k] = lstm(streams[k, t : t + 1], states[k])

    found = record(lstm, run, row=2).readings
    assert [one.number for one in found] == [1, 2]
    for reading, x in zip(found, streams, strict=True):
        assert torch.equal(reading.inputs, x[:, 2])


def test_parts_of_two_directions_stand_by_themselves() -> None:
    lstm, x = torch.nn.LSTM(I, H, bidirectional=True), torch.randn(T, B, I)

    def run() -> None:
        _, state = lstm(x[:2])
        lstm(x[2:], state)

    assert [(one.name, len(one)) for one in record(lstm, run).readings] == [("", 2), ("#2", 4)]


def test_what_the_run_returned() -> None:
    lstm, x = torch.nn.LSTM(I, H), torch.randn(T, B, I)
    with torch.no_grad():
        expected = lstm(x)[0]
    assert torch.equal(record(lstm, lambda: lstm(x)).result[0], expected)


def test_output_that_the_users_hook_changes() -> None:
    """The layer is held to its own output, and the layer above to what it is given."""
    model = torch.nn.Sequential(torch.nn.LSTM(I, H), torch.nn.LSTM(H, H))
    model[0].register_forward_hook(lambda module, args, output: 2 * output[0])
    x = torch.randn(T, B, I)
    first, second = record(model, lambda: model(x)).readings
    assert torch.equal(second.inputs, 2 * first.outputs)


def test_compiled_models_run_as_they_are_written() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(I, I), torch.nn.LSTM(I, H))
    x = torch.randn(T, B, I)
    expected = carousel.inspect(model, x)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    for one in (compiled, torch.nn.Sequential(compiled)):
        seen = carousel.inspect(one, x)
        assert [name[-4:] for name in seen.layers] == ["1.l0"] or "0.1.l0" in seen.layers
        assert all("_orig_mod" not in name for name in seen.layers)
    assert carousel.inspect(compiled, x).title == "Sequential"
    assert list(carousel.inspect(compiled, x).layers) == list(expected.layers)


def test_weights_that_are_put_in_for_a_call() -> None:
    lstm, x = torch.nn.LSTM(I, H), torch.randn(T, B, I)
    others = {name: value + 1 for name, value in lstm.named_parameters()}
    run = lambda: torch.func.functional_call(lstm, others, (x,))  # noqa: E731
    (reading,) = record(lstm, run).readings
    assert torch.equal(reading.layer.weight_hh_l0, others["weight_hh_l0"])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (torch.nn.GRU(I, H), r"found none in GRU; it has the model itself \(GRU\)"),
        (torch.nn.Sequential(torch.nn.Linear(I, H)), "in Sequential; it has no recurrent layer"),
        (torch.nn.ModuleDict({"a": torch.nn.RNNCell(I, H)}), r"it has a \(RNNCell\)"),
    ],
    ids=["GRU", "none", "a cell"],
)
def test_models_without_an_lstm(model: torch.nn.Module, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        record(model, lambda: None)


def test_calls_that_no_hook_hears() -> None:
    class Direct(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.LSTM(I, H)
            self.spare = torch.nn.LSTMCell(I, H)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.encoder.forward(x)[0]

    words = r"none was called of encoder \(LSTM\), spare \(LSTMCell\).*not its forward"
    with pytest.raises(OptionError, match=words):
        carousel.inspect(Direct(), torch.randn(T, B, I))


def test_selects() -> None:
    assert selects(["a"], "a")
    assert selects(["b", "a"], "a.l0")
    assert selects(["a"], "a#2.l0")
    assert not selects(["a"], "ab.l0")
    assert not selects(["a.l0"], "a")


def test_quantized_models_are_named() -> None:
    class Dynamic(torch.nn.Module):
        """Stands for what quantization makes of a layer, which differs from version to version."""

    Dynamic.__name__ = "LSTM"
    Dynamic.__module__ = "torch.ao.nn.quantized.dynamic.modules.rnn"
    with pytest.raises(OptionError, match=r"it has 0 \(LSTM\)\. .* before it is scripted or quan"):
        record(torch.nn.Sequential(Dynamic()), lambda: None)


def test_a_batch_of_nothing() -> None:
    layer = torch.nn.LSTM(I, H)
    with pytest.raises(ShapeError, match="expected a batch with a sequence at least, but what the"):
        record(layer, lambda: layer(torch.zeros(T, 0, I)))
