"""The network beside a plain one of PyTorch's layers for each sentence alone; and its streams.

Shape letters: T frames, S steps, B sentences, V symbols.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.translation.small_networks import assert_same, numbers, randomized
from torch import Tensor, nn

from carousel.tasks.speech_recognition import network as network_module
from carousel.tasks.speech_recognition.network import AcousticNetwork

FEATURES, V, CHANNELS, HIDDEN = 3, 5, 4, 6
WIDTH, REACH = 5, 2  # frames that a step sees, and how many of them on either side
LENGTHS = [7, 0, 1, 11, 4, 2]
SIZES = {
    "channels": CHANNELS,
    "hidden_size": HIDDEN,
    "num_layers": 2,
    "bidirectional": True,
    "subsampling": 2,
    "residual": True,
}
# Of each dropout another rate, so that one in the place of another is seen.
RATES = {"input_dropout": 0.2, "hidden_dropout": 0.3, "output_dropout": 0.4}
# Scores become float32 before the softmax: below 100 in size, with up to 20 roundings of 2^-24.
CLOSE_LOGS = 100 * 20 * 2.0**-24
# A gradient is a sum of up to 200 of what comes of these, of size 10 and with up to 50 roundings;
# it is compared relative to the largest of its tensor where that is above 1.
CLOSE = 200 * 10 * 50 * 2.0**-24


class Plain(nn.Module):
    """The same out of PyTorch's modules, under the same names, for one sentence by itself."""

    def __init__(
        self, *, num_layers: int, bidirectional: bool, subsampling: int, residual: bool
    ) -> None:
        super().__init__()
        self.step, self.residual = subsampling, residual
        self.front = nn.Conv1d(FEATURES, CHANNELS, WIDTH)
        size = HIDDEN // 2 if bidirectional else HIDDEN
        self.layers = nn.ModuleList(
            nn.LSTM(CHANNELS if number == 0 else HIDDEN, size, bidirectional=bidirectional)
            for number in range(num_layers)
        )
        self.output = nn.Linear(HIDDEN, V)

    def forward(self, frames: Tensor) -> Tensor:
        """Returns ln p, (S, V), of frames (T, F)."""
        if len(frames) == 0:
            return torch.zeros(0, V)
        nothing = frames.new_zeros(REACH, FEATURES)
        around = torch.cat([nothing, frames, nothing])
        seen = [around[first : first + WIDTH] for first in range(0, len(frames), self.step)]
        assert self.front.bias is not None
        summed = [(self.front.weight * window.T).sum((1, 2)) + self.front.bias for window in seen]
        x = torch.stack(summed).clamp(min=0)
        for number, layer in enumerate(self.layers):
            out, _ = layer(x)
            x = out + x if self.residual and number > 0 else out
        return self.output(x).float().log_softmax(-1)


def small(**changes: Any) -> AcousticNetwork:
    """A network in double precision with weights that all matter, in evaluation mode."""
    return randomized(AcousticNetwork(FEATURES, V, **{**SIZES, **changes})).eval()


def pair(**changes: Any) -> tuple[AcousticNetwork, Plain]:
    """A network, and the plain one with its weights."""
    made = small(**changes)
    names = ("num_layers", "bidirectional", "subsampling", "residual")
    plain = Plain(**{name: {**SIZES, **changes}[name] for name in names}).double()
    plain.load_state_dict(made.state_dict())
    return made, plain


def noise(frames: int, batch: int) -> Tensor:
    return torch.randn(frames, batch, FEATURES, dtype=torch.float64)


def assert_close(found: Tensor, wanted: Tensor) -> None:
    # Where there is no step the double precision of the frames is left.
    torch.testing.assert_close(found, wanted, rtol=0, atol=CLOSE_LOGS, check_dtype=False)


@pytest.mark.parametrize("subsampling", [1, 2, 3, 4])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("num_layers", "residual"), [(1, True), (3, True), (2, False)])
def test_sentences_get_what_plain_layers_give_each_alone(
    num_layers: int, residual: bool, bidirectional: bool, subsampling: int
) -> None:
    made, plain = pair(
        num_layers=num_layers,
        residual=residual,
        bidirectional=bidirectional,
        subsampling=subsampling,
    )
    frames = noise(max(LENGTHS), len(LENGTHS))  # which goes on behind the ends
    log_probs, steps = made(frames, torch.tensor(LENGTHS))
    assert steps.tolist() == [len(range(0, length, subsampling)) for length in LENGTHS]
    assert log_probs.shape == (max(steps.tolist()), len(LENGTHS), V)
    assert log_probs.dtype == torch.float32
    found = {str(b): log_probs[:count, b] for b, count in enumerate(steps.tolist())}
    wanted = {str(b): plain(frames[:length, b]) for b, length in enumerate(LENGTHS)}
    for name, value in wanted.items():
        assert_close(found[name].detach(), value.detach())
    assert_same(
        numbers(found, dict(made.named_parameters())),
        numbers(wanted, dict(plain.named_parameters())),
        CLOSE,
    )


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    more=st.integers(0, 4),
    subsampling=st.integers(1, 4),
    bidirectional=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_sentence_is_heard_as_it_is_alone(
    lengths: list[int], more: int, subsampling: int, bidirectional: bool, seed: int
) -> None:
    """Among others, and with more padding than any of them needs."""
    torch.manual_seed(seed)
    made, plain = pair(subsampling=subsampling, bidirectional=bidirectional)
    frames = 100 * noise(max(lengths) + more, len(lengths))
    for b, length in enumerate(lengths):
        frames[:length, b] /= 100
    with torch.no_grad():
        log_probs, steps = made(frames, torch.tensor(lengths))
        for b, (length, count) in enumerate(zip(lengths, steps.tolist(), strict=True)):
            assert_close(log_probs[:count, b], plain(frames[:length, b]))
            alone, own = made(frames[:length, b : b + 1], torch.tensor([length]))
            assert_close(log_probs[:count, b], alone[:, 0])
            assert own.tolist() == [count]


@pytest.mark.parametrize("other", [1e6, math.inf, math.nan])
def test_what_stands_behind_a_sentence_is_not_read(other: float) -> None:
    made, lengths = small(), torch.tensor(LENGTHS)
    clean = noise(max(LENGTHS), len(LENGTHS))
    for b, length in enumerate(LENGTHS):
        clean[length:, b] = 0.0
    dirty = clean.clone()
    for b, length in enumerate(LENGTHS):
        dirty[length:, b] = other
    with torch.no_grad():
        (wanted, steps), (found, _) = made(clean, lengths), made(dirty, lengths)
    for b, count in enumerate(steps.tolist()):
        assert torch.equal(found[:count, b], wanted[:count, b])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(1, 4))
def test_a_step_stands_at_every_so_manieth_frame(lengths: list[int], subsampling: int) -> None:
    made = AcousticNetwork(FEATURES, V, **{**SIZES, "subsampling": subsampling})
    for kind in (torch.int64, torch.int32):
        found = made.steps_of(torch.tensor(lengths, dtype=kind))
        assert found.tolist() == [len(range(0, length, subsampling)) for length in lengths]


@pytest.mark.parametrize("frames", [0, 3])
def test_where_there_is_no_frame_there_is_no_step(frames: int) -> None:
    log_probs, steps = small()(noise(frames, 2), torch.tensor([0, 0]))
    assert steps.tolist() == [0, 0]
    assert log_probs.shape == ((frames + 1) // 2, 2, V)


@settings(max_examples=40)
@given(
    cuts=st.lists(st.integers(0, 9), max_size=6),
    subsampling=st.integers(1, 4),
    num_layers=st.integers(1, 3),
    residual=st.booleans(),
    is_marked=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_streams_are_heard_as_wholes_however_they_are_cut(
    cuts: list[int],
    subsampling: int,
    num_layers: int,
    residual: bool,
    is_marked: bool,
    seed: int,
) -> None:
    """The end comes with the last frames, or behind them."""
    torch.manual_seed(seed)
    made = small(
        bidirectional=False, subsampling=subsampling, num_layers=num_layers, residual=residual
    )
    T = sum(cuts)
    frames = noise(T, 2)
    with torch.no_grad():
        wanted, steps = made(frames, torch.tensor([T, T]))
        state, parts, heard = made.begin(2), [], 0
        pieces = cuts if is_marked and cuts else [*cuts, 0]
        for number, length in enumerate(pieces):
            is_last = number == len(pieces) - 1
            part, state = made.read(frames[heard : heard + length], state, last=is_last)
            parts.append(part)
            heard += length
            # No step is held back that has its context, and no more is kept than a step sees.
            if not is_last:
                places = range(0, T, subsampling)
                ready = [place for place in places if place + REACH < heard]
                assert sum(map(len, parts)) == len(ready)
                assert len(state.frames) < WIDTH
    found = torch.cat(parts)
    assert steps.tolist() == [len(found)] * 2
    assert_close(found, wanted)


def test_a_stream_is_what_plain_layers_hear_of_it() -> None:
    made, plain = pair(bidirectional=False, subsampling=3)
    frames = noise(14, 1)
    with torch.no_grad():
        first, state = made.read(frames[:9], made.begin())
        rest, _ = made.read(frames[9:], state, last=True)
        assert_close(torch.cat([first, rest])[:, 0], plain(frames[:, 0]))


def test_a_state_can_be_gone_on_from_more_than_once() -> None:
    made = small(bidirectional=False)
    frames = noise(20, 1)
    with torch.no_grad():
        _, state = made.read(frames[:9], made.begin())
        before = [state.frames.clone(), *(part.clone() for one in state.layers for part in one)]
        one, after = made.read(frames[9:], state, last=True)
        made.read(noise(8, 1), state)
        other, again = made.read(frames[9:], state, last=True)
    assert torch.equal(one, other)
    now = [state.frames, *(part for layer in state.layers for part in layer)]
    assert all(torch.equal(x, y) for x, y in zip(before, now, strict=True))
    assert torch.equal(after.layers[-1].h, again.layers[-1].h)


def test_a_stream_begins_at_zero_in_the_networks_precision() -> None:
    made = AcousticNetwork(FEATURES, V, **{**SIZES, "bidirectional": False, "num_layers": 3})
    for kind in (torch.float32, torch.float64):
        state = made.to(kind).begin(4)
        assert state.frames.shape == (REACH, 4, FEATURES)
        assert [one.h.shape for one in state.layers] == [(1, 4, HIDDEN)] * 3
        for part in (state.frames, *(part for one in state.layers for part in one)):
            assert part.dtype == kind
            assert not part.any()


def test_who_reads_both_ways_cannot_stream() -> None:
    with pytest.raises(AssertionError):
        small(bidirectional=True).begin()


@pytest.mark.parametrize(("num_layers", "hidden"), [(1, 0), (2, 1), (4, 3)])
def test_each_dropout_has_its_place(
    num_layers: int, hidden: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, bool, int]] = []

    def recorded(x: Tensor, rate: float, training: bool) -> Tensor:
        seen.append((rate, training, x.shape[2]))
        return x

    monkeypatch.setattr(network_module, "locked_dropout", recorded)
    made = small(num_layers=num_layers, weight_dropout=0.35, engine="reference", **RATES)
    for training in (True, False):
        seen.clear()
        made.train(training)(noise(5, 2), torch.tensor([5, 3]))
        between = [(0.3, training, HIDDEN)] * hidden
        assert seen == [(0.2, training, CHANNELS), *between, (0.4, training, HIDDEN)]
    for layer in made.layers:
        assert layer.weight_dropout == 0.35
        assert layer.preferred_engine == "reference"


@pytest.mark.parametrize("name", [*RATES, "weight_dropout"])
def test_dropout_works_in_training_alone(name: str) -> None:
    made = small(**{name: 0.5})
    arguments = noise(9, 3), torch.tensor([9, 4, 6])
    with torch.no_grad():
        one, other = (made.eval()(*arguments)[0] for _ in range(2))
        assert torch.equal(one, other)
        one, other = (made.train()(*arguments)[0] for _ in range(2))
        assert not torch.equal(one, other)


def test_every_step_is_a_distribution() -> None:
    made = small().float()
    with torch.no_grad():
        log_probs, _ = made(noise(12, 3).float(), torch.tensor([12, 5, 0]))
    assert log_probs.dtype == torch.float32
    # V exponentials are added, each with a few roundings.
    torch.testing.assert_close(
        log_probs.exp().sum(-1), torch.ones(6, 3), rtol=0, atol=20 * V * 2.0**-24
    )


def test_layers_begin_by_remembering() -> None:
    made, cells = AcousticNetwork(FEATURES, V, **SIZES), HIDDEN // 2
    for layer in made.layers:
        for suffix in ("l0", "l0_reverse"):
            bias = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
            assert bias[cells : 2 * cells].tolist() == [1.0] * cells
            assert bias[:cells].tolist() != [1.0] * cells
