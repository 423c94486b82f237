"""LSTM against torch.nn.LSTM: outputs, states and all gradients, on every engine, both dtypes.

What may differ is bounded by the analysis of docs/numerics.md; there is no other tolerance.
"""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from layer_runs import Problem, numbers, problem
from numerical_bounds import UNIT_ROUNDOFF, violations

DTYPES = [torch.float32, torch.float64]
ENGINES = ["pytorch", "reference"]
SIZES = [(5, 3, 3, 7), (1, 1, 1, 2), (6, 2, 5, 3)]  # T, B, I, H
STACKS = [
    {"num_layers": layers, "bidirectional": both, "proj_size": projection, "bias": bias}
    for layers, both, projection, bias in itertools.product(
        (1, 2, 3), (False, True), (0, 1), (True, False)
    )
]


# torch.nn.LSTM warns, once in a process, that oneDNN runs no projections; ours is told to be quiet.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def packed_numbers(layer: torch.nn.LSTM, given: Problem, lengths: torch.Tensor) -> dict:
    """Runs torch.nn.LSTM on ragged sequences in its own way, as if it took lengths."""

    def forward(inputs: torch.Tensor, hx: tuple) -> tuple:
        packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
        output, state = torch.nn.LSTM.forward(layer, packed, hx)
        return pad_packed_sequence(output, total_length=len(inputs))[0], state

    return numbers(Called(layer, forward), given)


class Called(torch.nn.Module):
    """A layer under its own parameters' names, called in another way."""

    def __init__(self, layer: torch.nn.Module, call) -> None:
        super().__init__()
        self._parameters = layer._parameters
        self.call = call

    def forward(self, *args, **kwargs):
        return self.call(*args, **kwargs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", STACKS, ids=lambda o: "-".join(map(str, o.values())))
def test_the_grid(options: dict, dtype: torch.dtype) -> None:
    for T, B, I, H in SIZES:  # noqa: E741
        given = problem(T, B, I, H, dtype=dtype, **options)
        ours = [numbers(given.ours(engine), given) for engine in ENGINES]
        theirs = numbers(given.theirs(), given)
        assert not violations(given.analysed(), theirs, *ours)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", STACKS[::5], ids=lambda o: "-".join(map(str, o.values())))
def test_ragged_sequences(options: dict, dtype: torch.dtype) -> None:
    given = problem(6, 4, 3, 5, dtype=dtype, **options)
    lengths = torch.tensor([3, 6, 1, 3])
    ours = [numbers(given.ours(engine), given, lengths=lengths) for engine in ENGINES]
    theirs = packed_numbers(given.theirs(), given, lengths)
    assert not violations(given.analysed(lengths=lengths), theirs, *ours)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_sequences(engine: str, dtype: torch.dtype, enforce_sorted: bool) -> None:
    given = problem(6, 3, 3, 5, dtype=dtype, num_layers=2, bidirectional=True)
    lengths = torch.tensor([6, 3, 2] if enforce_sorted else [2, 6, 3])

    def through_packing(layer: torch.nn.Module) -> dict:
        def forward(inputs: torch.Tensor, hx: tuple) -> tuple:
            packed = pack_padded_sequence(inputs, lengths, enforce_sorted=enforce_sorted)
            output, state = layer(packed, hx)
            assert isinstance(output, PackedSequence)
            for mine, given_ in zip(output[1:], packed[1:], strict=True):
                assert mine is given_ or torch.equal(mine, given_)
            return pad_packed_sequence(output, total_length=len(inputs))[0], state

        return numbers(Called(layer, forward), given)

    ours, theirs = through_packing(given.ours(engine)), through_packing(given.theirs())
    assert not violations(given.analysed(lengths=lengths), theirs, ours)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("projection", [0, 2])
def test_batch_first_and_no_batch(engine: str, projection: int) -> None:
    options = {"num_layers": 2, "bidirectional": True, "proj_size": projection}
    given = problem(4, 3, 2, 5, **options)
    found = given.analysed()

    def batch_first(layer: torch.nn.Module) -> dict:
        def forward(inputs: torch.Tensor, hx: tuple) -> tuple:
            output, state = layer(inputs.transpose(0, 1), hx)
            return output.transpose(0, 1), state

        return numbers(Called(layer, forward), given)

    ours, theirs = (
        batch_first(layer)
        for layer in (given.ours(engine, batch_first=True), given.theirs(batch_first=True))
    )
    assert not violations(found, theirs, ours)

    def without_batch(layer: torch.nn.Module) -> dict:
        def forward(inputs: torch.Tensor, hx: tuple) -> tuple:
            output, state = layer(inputs[:, 0], tuple(part[:, 0] for part in hx))
            assert output.dim() == state[0].dim() == state[1].dim() == 2
            return output[:, None], tuple(part[:, None] for part in state)

        return numbers(Called(layer, forward), alone)

    alone = given.alone(0, slice(None))
    ours, theirs = without_batch(given.ours(engine)), without_batch(given.theirs())
    assert not violations(alone.analysed(), theirs, ours)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_initial_state_is_zeros(engine: str) -> None:
    given = problem(4, 3, 2, 5, num_layers=2, bidirectional=True, proj_size=2)
    layer = given.ours(engine)
    zeros = (torch.zeros_like(given.h_0), torch.zeros_like(given.c_0))
    output, state = layer(given.inputs)
    expected, expected_state = layer(given.inputs, zeros)
    assert torch.equal(output, expected)
    assert all(map(torch.equal, state, expected_state))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_low_precision(engine: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    # The unit roundoff of 11 and of 8 significant bits.
    monkeypatch.setitem(UNIT_ROUNDOFF, dtype, {torch.float16: 2.0**-11}.get(dtype, 2.0**-8))
    given = problem(2, 2, 2, 3, dtype=dtype)
    ours, theirs = numbers(given.ours(engine), given), numbers(given.theirs(), given)
    assert ours["output"].dtype == dtype
    assert not violations(given.analysed(), theirs, ours)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("projection", [0, 2])
def test_dropout_draws_what_pytorch_draws(packed: bool, projection: int) -> None:
    given = problem(5, 4, 3, 6, num_layers=3, dropout=0.4, bidirectional=True, proj_size=projection)
    inputs = given.inputs
    if packed:  # equal lengths, because among these a sort may choose any order
        inputs = pack_padded_sequence(inputs, torch.tensor([3, 5, 3, 1]), enforce_sorted=False)
    outputs = []
    for layer in (given.theirs(), given.ours("pytorch")):
        torch.manual_seed(7)
        output, (h_n, c_n) = layer(inputs)
        outputs.append((output.data, h_n, c_n))
    assert all(map(torch.equal, *outputs))
    if packed:
        return
    plain = given.ours("reference")
    torch.manual_seed(7)
    output, _ = plain(inputs)
    # The masks are the same; a different one would move outputs by their own size.
    torch.testing.assert_close(output, outputs[0][0], rtol=0, atol=1e-12)
    assert not torch.allclose(output, plain.eval()(inputs)[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_dropout_of_everything_leaves_the_last_layer_its_biases(engine: str) -> None:
    given = problem(3, 2, 3, 4, num_layers=2, dropout=1.0)
    output, _ = given.ours(engine)(given.inputs)
    other, _ = given.ours(engine)(given.inputs + 1)
    assert torch.equal(output, other)


def test_projections_bring_no_warning() -> None:
    # PyTorch says it once in a process, so only a new one can show that it is not heard.
    code = "import torch, carousel.nn; carousel.nn.LSTM(3, 4, proj_size=2)(torch.zeros(2, 1, 3))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
