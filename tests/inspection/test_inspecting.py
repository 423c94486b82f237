"""carousel.inspect: any model with an LSTM, and the numbers are the textbook's at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.inspection.equation_runs import (
    DOUBLE,
    assert_each_step,
    assert_values,
    draw,
    layer_by_equations,
    stack_by_equations,
)
from torch.nn.utils.rnn import pack_padded_sequence

import carousel
from carousel.errors import OptionError, ShapeError
from carousel.inspection.gradient_flow import gradient_flow
from carousel.inspection.inspection import Inspection

T, B, I, H = 7, 3, 5, 6  # noqa: E741

STACKS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "stacked": {"num_layers": 3},
    "both directions": {"num_layers": 2, "bidirectional": True},
    "batch first": {"num_layers": 2, "batch_first": True},
    "no biases": {"bias": False, "bidirectional": True},
    "dropout": {"num_layers": 2, "dropout": 0.7},
}


@pytest.mark.parametrize("kind", [torch.nn.LSTM, carousel.LSTM], ids=["torch", "ours"])
@pytest.mark.parametrize("name", STACKS)
def test_a_layer_in_every_layout(name: str, kind: type[torch.nn.Module]) -> None:
    lstm = kind(I, H, **STACKS[name], **DOUBLE)
    x = draw(B, T, I) if lstm.batch_first else draw(T, B, I)
    K = lstm.num_layers * (2 if lstm.bidirectional else 1)
    hx = draw(K, B, H), draw(K, B, H)
    for row in range(B):
        own = x[row] if lstm.batch_first else x[:, row]
        expected = stack_by_equations(lstm, own, tuple(part[:, row] for part in hx))
        seen = carousel.inspect(lstm, x, hx, row=row)
        assert list(seen.layers) == list(expected)
        for suffix, values in expected.items():
            assert_values(seen.layers[suffix], values)
            assert_each_step(seen.layers[suffix])
            assert seen.layers[suffix].reverse == suffix.endswith("_reverse")
    assert list(seen.axes) == ["input"]
    assert seen.axes["input"].names == [str(t) for t in range(T)]


def test_a_sequence_without_a_batch() -> None:
    lstm = torch.nn.LSTM(I, H, batch_first=True, **DOUBLE)
    x, hx = draw(T, I), (draw(1, H), draw(1, H))
    seen = carousel.inspect(lstm, x, hx)
    assert_values(seen.layers["l0"], stack_by_equations(lstm, x, hx)["l0"])
    with pytest.raises(ShapeError, match="one of the 1 sequences"):
        carousel.inspect(lstm, x, hx, row=1)


@pytest.mark.parametrize("lengths", [[7, 4, 2], [2, 7, 4], [1, 1, 7]], ids=str)
def test_a_packed_sequence_ends_where_it_ends(lengths: list[int]) -> None:
    lstm = torch.nn.LSTM(I, H, 2, bidirectional=True, **DOUBLE)
    x, hx = draw(T, B, I), (draw(4, B, H), draw(4, B, H))
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    for row, length in enumerate(lengths):
        own = tuple(part[:, row] for part in hx)
        expected = stack_by_equations(lstm, x[:length, row], own)
        seen = carousel.inspect(lstm, packed, hx, row=row)
        assert len(seen.axes["input"]) == length
        for suffix, values in expected.items():
            assert_values(seen.layers[suffix], values)


def test_lengths_of_our_layer() -> None:
    lstm = carousel.LSTM(I, H, 2, bidirectional=True, batch_first=True, **DOUBLE)
    x = draw(B, T, I)
    seen = carousel.inspect(lstm, x, lengths=[7, 3, 0], row=1, names="abc")
    for suffix, values in stack_by_equations(lstm, x[1, :3]).items():
        assert_values(seen.layers[suffix], values)
    with pytest.raises(ShapeError, match="number 2 has none"):
        carousel.inspect(lstm, x, lengths=[7, 3, 0], row=2)


class Cells(torch.nn.Module):
    """Two layers of cells in a loop, as people write them, and a bias that is not there."""

    def __init__(self, kind: type[torch.nn.Module]) -> None:
        super().__init__()
        self.first = kind(I, H, **DOUBLE)
        self.second = kind(H, 4, bias=False, **DOUBLE)

    def forward(self, x: torch.Tensor, hx: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        below, above = hx, None
        for x_t in x:
            below = self.first(x_t, below)
            above = self.second(below[0], above)
        assert above is not None
        return above[0]


@pytest.mark.parametrize("kind", [torch.nn.LSTMCell, carousel.LSTMCell], ids=["torch", "ours"])
@pytest.mark.parametrize("row", [0, 2, None])
def test_a_loop_over_cells_is_a_sequence(kind: type[torch.nn.Module], row: int | None) -> None:
    model = Cells(kind)
    shape = (B,) if row is not None else ()
    x, hx = draw(T, *shape, I), (draw(*shape, H), draw(*shape, H))
    seen = carousel.inspect(model, x, hx, row=row or 0, names="letters")
    assert list(seen.layers) == ["first", "second"]
    own = x if row is None else x[:, row]
    state = [part if row is None else part[row] for part in hx]
    weights = list(model.first.parameters())
    expected = layer_by_equations(weights, own, *state)
    assert_values(seen.layers["first"], expected)
    zeros = torch.zeros(4, **DOUBLE)
    above = layer_by_equations(list(model.second.parameters()), expected["h"], zeros, zeros)
    assert_values(seen.layers["second"], above)
    for layer in seen.layers.values():
        assert_each_step(layer)
    assert "".join(seen.axes["input"].names) == "letters"


class TwoWays(torch.nn.Module):
    """A second direction made by hand, of a cell, and a layer that reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = torch.nn.LSTMCell(I, H, **DOUBLE)
        self.back = torch.nn.LSTMCell(I, H, **DOUBLE)
        self.above = torch.nn.LSTM(2 * H, H, **DOUBLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ahead, back = [], []
        state = other = None
        for t in range(len(x)):
            state = self.ahead(x[t], state)
            other = self.back(x[-1 - t], other)
            ahead.append(state[0])
            back.insert(0, other[0])
        both = torch.cat([torch.stack(ahead), torch.stack(back)], -1)
        return self.above(both)[0]


def test_a_second_direction_made_by_hand_is_turned_round() -> None:
    model = TwoWays()
    x, zeros = draw(T, B, I), torch.zeros(H, **DOUBLE)
    seen = carousel.inspect(model, x, row=1)
    reverse = {name: layer.reverse for name, layer in seen.layers.items()}
    assert reverse == {"ahead": False, "back": True, "above.l0": False}
    assert list(seen.axes) == ["input"]
    weights = list(model.back.parameters())
    expected = layer_by_equations(weights, x[:, 1], zeros, zeros, backwards=True)
    assert_values(seen.layers["back"], expected)
    for layer in seen.layers.values():
        assert_each_step(layer)


def test_a_model_that_reads_its_input_backwards() -> None:
    class Backwards(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(I, H, batch_first=True, bidirectional=True, **DOUBLE)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x.flip(1))[0].flip(1)

    model, x = Backwards(), draw(B, T, I)
    seen = carousel.inspect(model, x, row=2)
    assert np.array_equal(seen.axes["input"].values, x[2].float())
    assert [layer.reverse for layer in seen.layers.values()] == [True, False]
    for suffix, values in stack_by_equations(model.lstm, x[2].flip(0)).items():
        turned = {k: v if k.startswith("before") else v.flip(0) for k, v in values.items()}
        assert_values(seen.layers[f"lstm.{suffix}"], turned)
        assert_each_step(seen.layers[f"lstm.{suffix}"])


class Translating(torch.nn.Module):
    """An encoder, and a decoder of cells that starts from its state and says as many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(10, I, **DOUBLE)
        self.encoder = torch.nn.LSTM(I, H, 2, **DOUBLE)
        self.decoder = torch.nn.LSTMCell(H, H, **DOUBLE)

    def forward(self, tokens: torch.Tensor, steps: int) -> torch.Tensor:
        outputs, (h, c) = self.encoder(self.embedding(tokens))
        state = h[-1], c[-1]
        for _ in range(steps):
            state = self.decoder(outputs.mean(0), state)
        return state[0]


@pytest.mark.parametrize("steps", [4, T])
def test_encoder_and_decoder_have_an_axis_each(steps: int) -> None:
    model, tokens = Translating(), torch.randint(10, (T, B))
    seen = carousel.inspect(model, tokens, steps, names="letters", row=1)
    axes = {name: layer.axis for name, layer in seen.layers.items()}
    assert axes == {"encoder.l0": "encoder", "encoder.l1": "encoder", "decoder": "decoder"}
    assert {name: len(axis) for name, axis in seen.axes.items()} == {"encoder": T, "decoder": steps}
    assert "".join(seen.axes["encoder"].names) == "letters"
    with torch.no_grad():
        expected = stack_by_equations(model.encoder, model.embedding(tokens)[:, 1])
        mean = model.encoder(model.embedding(tokens))[0].mean(0)[1]
    decoder = layer_by_equations(
        list(model.decoder.parameters()),
        mean.expand(steps, -1),
        expected["l1"]["h"][-1],
        expected["l1"]["c"][-1],
    )
    assert_values(seen.layers["decoder"], decoder)
    words = {"decoder": ["A"] * steps, "encoder": range(T)}
    named = carousel.inspect(model, tokens, steps, names=words)
    assert named.axes["decoder"].names == ["A"] * steps
    with pytest.raises(ShapeError, match=rf"expected {T}, .* got 2.*encoder {T}, decoder {steps}"):
        carousel.inspect(model, tokens, steps, names=["a", "b"])
    with pytest.raises(OptionError, match="did you mean 'decoder'"):
        carousel.inspect(model, tokens, steps, names={"decodr": "abc"})


class Fed(torch.nn.Module):
    """A layer that is called twice; the state goes on, or does not."""

    def __init__(self, go_on: bool) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(I, H, 2, **DOUBLE)
        self.go_on = go_on

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, state = self.lstm(x[:3])
        second, _ = self.lstm(x[3:], state if self.go_on else None)
        return torch.cat([first, second])


def test_parts_of_a_sequence_are_joined() -> None:
    model, x = Fed(go_on=True), draw(T, B, I)
    seen = carousel.inspect(model, x, row=1)
    for suffix, values in stack_by_equations(model.lstm, x[:, 1]).items():
        assert_values(seen.layers[f"lstm.{suffix}"], values)
        assert_each_step(seen.layers[f"lstm.{suffix}"])
    assert len(seen.layers) == 2


@pytest.mark.parametrize("steps", [6, 7])
def test_other_sequences_of_a_layer_stand_by_themselves(steps: int) -> None:
    model, x = Fed(go_on=False), draw(steps, B, I)  # of 6 steps both parts are as long
    seen = carousel.inspect(model, x, row=1)
    assert {name: layer.axis for name, layer in seen.layers.items()} == {
        "lstm.l0": "lstm",
        "lstm.l1": "lstm",
        "lstm#2.l0": "lstm#2",
        "lstm#2.l1": "lstm#2",
    }
    for name, part in (("lstm", x[:3, 1]), ("lstm#2", x[3:, 1])):
        for suffix, values in stack_by_equations(model.lstm, part).items():
            assert_values(seen.layers[f"{name}.{suffix}"], values)
    only = carousel.inspect(model, x, row=1, layers="lstm#2", names="abcd"[: steps - 3])
    assert list(only.layers) == ["lstm#2.l0", "lstm#2.l1"]
    assert list(only.axes) == ["input"]


def test_layers_are_chosen_by_name_or_beginning() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.LSTM(I, H, 2), "ab": torch.nn.LSTMCell(I, H)})
    model.forward = lambda x: (model["a"](x), model["ab"](x[0]))  # type: ignore[method-assign]
    x = torch.randn(1, B, I)

    def names(*layers: str) -> list[str]:
        return list(carousel.inspect(model, x, layers=list(layers)).layers)

    assert names("a") == ["a.l0", "a.l1"]
    assert names("a.l1") == ["a.l1"]
    assert names("ab", "a.l0") == ["a.l0", "ab"]
    with pytest.raises(OptionError, match=r"did you mean 'a\.l1'"):
        names("a.l11")
    with pytest.raises(OptionError, match="while the model ran, there is no layer 'a#2'"):
        names("a#2")
    with pytest.raises(OptionError, match="the name of a layer at least, got none"):
        names()


def test_the_axis_of_a_series() -> None:
    lstm, x = torch.nn.LSTM(2, H, batch_first=True), torch.randn(B, T, 2)
    axis = carousel.inspect(lstm, x, row=1).axes["input"]
    assert axis.kind == "series"
    assert axis.columns == ["feature 0", "feature 1"]
    assert np.array_equal(axis.values, x[1].numpy())
    tracks = {"hour": np.arange(T)}
    own = np.linspace(0, 1, T)
    axis = carousel.inspect(
        lstm, x, values=own, columns=["load"], tracks=tracks, title="A", kind="series"
    ).axes["input"]
    assert np.array_equal(axis.values, own.astype(np.float32)[:, None])
    assert axis.columns == ["load"]
    assert axis.tracks["hour"].tolist() == list(range(T))
    axis = carousel.inspect(lstm, x, names="abcdefg").axes["input"]
    assert (axis.kind, axis.unit, axis.values) == ("characters", "character", None)
    axis = carousel.inspect(lstm, x, kind="words", names=["w"] * T).axes["input"]
    assert (axis.kind, axis.unit, axis.values) == ("words", "word", None)


def test_many_features_are_a_spectrogram_or_nothing() -> None:
    lstm, x = torch.nn.LSTM(17, H), torch.randn(T, B, 17)
    assert carousel.inspect(lstm, x).axes["input"].values is None
    axis = carousel.inspect(lstm, x, row=2, kind="spectrogram").axes["input"]
    assert np.array_equal(axis.values, x[:, 2].numpy())
    with pytest.raises(OptionError, match="a series needs numbers"):
        carousel.inspect(lstm, x, kind="series")


def test_as_many_steps_as_sequences() -> None:
    """Which dimension of the argument is time is then seen from what the layer read."""
    x = torch.randn(3, 3, 2)
    for batch_first in (False, True):
        lstm = torch.nn.LSTM(2, H, batch_first=batch_first)
        expected = x[1] if batch_first else x[:, 1]
        seen = carousel.inspect(lstm, x, row=1)
        assert np.array_equal(seen.axes["input"].values, expected.numpy())


def test_a_number_a_step() -> None:
    class Univariate(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(1, H, batch_first=True)

        def forward(self, y: torch.Tensor) -> torch.Tensor:
            return self.lstm(y.unsqueeze(-1))[0]

    y = torch.randn(B, T)
    axis = carousel.inspect(Univariate(), y=y, row=2).axes["input"]
    assert axis.columns == ["value"]
    assert np.array_equal(axis.values, y[2, :, None].numpy())


def test_gradient_flows_of_all_layers() -> None:
    lstm, x = torch.nn.LSTM(I, H, 2, bidirectional=True), torch.randn(T, B, I)
    assert carousel.inspect(lstm, x).flows == ()
    seen = carousel.inspect(lstm, x, flow=True)
    assert [flow.layer for flow in seen.flows] == list(seen.layers)
    for flow in seen.flows:
        expected = gradient_flow(flow.layer, seen.layers[flow.layer])
        assert np.array_equal(flow.of_c, expected.of_c, equal_nan=True)
    with pytest.raises(OptionError, match="flow: expected a layer of the textbook's cell"):
        carousel.inspect(carousel.LSTM(I, H, peepholes=True), x, flow=True)


def test_something_that_can_inspect_itself_is_asked() -> None:
    class Task:
        def inspect(self, text: str, **options: object) -> Inspection:
            self.asked = text, options
            return answer

    class Module(torch.nn.LSTM):
        def inspect(self) -> None:
            raise AssertionError("a module is inspected from outside")

    task, answer = Task(), carousel.inspect(torch.nn.LSTM(I, H), torch.randn(T, I))
    asked = {"explain": "both", "title": "T", "layers": "a", "flow": True}
    assert carousel.inspect(task, "text", **asked) is answer
    assert task.asked == ("text", asked)
    carousel.inspect(task, "text")
    assert task.asked == ("text", {})
    assert list(carousel.inspect(Module(I, H), torch.randn(T, I)).layers) == ["l0"]
    for thing in ("text", Task):
        with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module"):
            carousel.inspect(thing, "text")
