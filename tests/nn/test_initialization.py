"""Initial values have the distributions and the structure that their papers say."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.utils import parametrizations

from carousel.errors import OptionError
from carousel.nn import LSTM, LSTMCell
from carousel.nn.initialization import chrono_, forget_bias_, initialize_, orthogonal_, uniform_

I, H, P = 5, 8, 3  # noqa: E741
DOUBLE = {"dtype": torch.float64}
# Householder's QR of an 8 x 8 matrix is orthogonal to a few hundred u.
ORTHOGONAL = {"rtol": 0.0, "atol": 1e-13}

MODULES = {
    "ours": lambda **o: LSTM(I, H, 2, bidirectional=True, proj_size=P, **o),
    "coupled": lambda **o: LSTM(I, H, 2, coupled=True, peepholes=True, **o),
    "pytorch's": lambda **o: torch.nn.LSTM(I, H, 2, bidirectional=True, **o),
    "our cell": lambda **o: LSTMCell(I, H, **o),
    "pytorch's cell": lambda **o: torch.nn.LSTMCell(I, H, **o),
}


def parts(module: torch.nn.Module, kind: str) -> list[dict[str, torch.Tensor]]:
    """The gates of one kind of weight, by letter, for each layer and direction."""
    letters = "fgo" if getattr(module, "coupled", False) else "ifgo"
    return [
        dict(zip(letters, value.detach().split(H), strict=True))
        for name, value in module.named_parameters()
        if name.startswith(kind)
    ]


@pytest.fixture(params=list(MODULES))
def module(request: pytest.FixtureRequest) -> torch.nn.Module:
    return MODULES[request.param](**DOUBLE)


def test_forget_bias_is_the_sum_and_leaves_the_rest(module: torch.nn.Module) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert forget_bias_(module, 0.1) is module
    for kind, expected in (("bias_ih", 0.1), ("bias_hh", 0.0)):
        for gates in parts(module, kind):
            assert (gates["f"] == expected).all()
    for name, value in module.state_dict().items():
        if "bias" in name:
            place = -3 * H
            value[place : place + H] = before[name][place : place + H]
        assert torch.equal(value, before[name])


def test_a_cell_starts_out_remembering() -> None:
    layer = LSTM(I, H, initialization="orthogonal", forget_bias=1.0)
    values = layer.trace(torch.zeros(1, 1, I))["l0"]
    assert torch.allclose(values.f, torch.full((1, 1, H), 1 / (1 + math.exp(-1))))
    assert torch.equal(values.i, torch.full((1, 1, H), 0.5))


def test_chrono_spreads_memories_evenly_up_to_the_longest(module: torch.nn.Module) -> None:
    assert chrono_(module, 100) is module
    for first, second in zip(parts(module, "bias_ih"), parts(module, "bias_hh"), strict=True):
        memory = 1 + first["f"].exp()
        assert memory.min() >= 2
        assert memory.max() <= 100
        assert memory.unique().numel() == H
        assert not second["f"].any()
        if "i" in first:
            assert torch.equal(first["i"], -first["f"])
            assert not second["i"].any()
        assert second["o"].any()


def test_chrono_is_log_uniform() -> None:
    """Kolmogorov's statistic of 20 000 uniform numbers is below 2/√n but for once in 1500."""
    layer = chrono_(LSTM(1, 20_000, proj_size=1), 50)
    memory = layer.bias_ih_l0.detach().double().split(20_000)[1].exp().sort().values
    uniform = (memory - 1) / 48
    steps = torch.arange(1, 20_001).double() / 20_000
    assert (uniform - steps).abs().max() < 2 / math.sqrt(20_000)


def test_coupled_gates_get_what_uncoupled_gates_get() -> None:
    """With coupled gates i = 1 - f = σ(-f_pre): the paper's b_i = -b_f needs no bias of its own."""
    coupled = chrono_(orthogonal_(LSTM(I, H, coupled=True)), 30)
    values = coupled.trace(torch.zeros(1, 1, I))["l0"]
    b_f = parts(coupled, "bias_ih")[0]["f"]
    assert b_f.min() >= 0
    torch.testing.assert_close(values.i[0, 0], torch.sigmoid(-b_f), rtol=0, atol=1e-6)


@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal_is_one_matrix_a_gate(module: torch.nn.Module, gain: float) -> None:
    assert orthogonal_(module, gain) is module
    seen = []
    for gates in parts(module, "weight_hh"):
        for W in gates.values():
            width = W.shape[1]
            identity = torch.eye(width, **DOUBLE)
            torch.testing.assert_close(W.T @ W, gain**2 * identity, **ORTHOGONAL)
            assert not any(torch.equal(W, other) for other in seen)
            seen.append(W)
    for name, value in module.named_parameters():
        if "weight_hr" in name:
            torch.testing.assert_close(value @ value.T, torch.eye(P, **DOUBLE), **ORTHOGONAL)
        if "bias" in name or "peephole" in name:
            assert not value.any()


def test_input_matrices_are_glorots_for_one_gate() -> None:
    """The largest of n uniform numbers is below (1 - 20/n) a once in e²⁰ times."""
    layer = orthogonal_(LSTM(30, 40))
    bound = math.sqrt(6 / (30 + 40))
    for W in layer.weight_ih_l0.detach().split(40):
        assert W.abs().max() <= bound
        assert W.abs().max() > (1 - 20 / W.numel()) * bound
        assert W.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_uniform_is_what_pytorchs_layer_starts_from() -> None:
    torch.manual_seed(4)
    expected = torch.nn.LSTM(I, H, 2)
    layer = orthogonal_(LSTM(I, H, 2))
    torch.manual_seed(4)
    assert uniform_(layer) is layer
    assert all(map(torch.equal, layer.parameters(), expected.parameters()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_the_rounded_draw(dtype: torch.dtype) -> None:
    torch.manual_seed(4)
    exact = LSTM(I, H, initialization="orthogonal", chrono=20)
    torch.manual_seed(4)
    half = LSTM(I, H, dtype=dtype, initialization="orthogonal", chrono=20)
    assert torch.equal(half.bias_ih_l0, exact.bias_ih_l0.to(dtype))
    first, expected = half.weight_hh_l0.float(), exact.weight_hh_l0
    torch.testing.assert_close(first[:H].T @ first[:H], torch.eye(H), rtol=0, atol=0.1)
    assert half.weight_hh_l0.dtype == dtype
    assert first.shape == expected.shape


def test_the_constructor_and_reset_parameters_do_the_same() -> None:
    told = {"initialization": "orthogonal", "chrono": 40.0, "peepholes": True}
    torch.manual_seed(6)
    layer = LSTM(I, H, **told)
    torch.manual_seed(6)
    by_hand = initialize_(LSTM(I, H, peepholes=True, device="meta").to_empty(device="cpu"),
                          "orthogonal", chrono=40.0)  # fmt: skip
    assert all(map(torch.equal, layer.parameters(), by_hand.parameters()))
    torch.manual_seed(6)
    layer.reset_parameters()
    assert all(map(torch.equal, layer.parameters(), by_hand.parameters()))
    layer.forget_bias, layer.chrono = 2.0, None
    layer.reset_parameters()
    assert (layer.bias_ih_l0[H : 2 * H] == 2).all()


@pytest.mark.parametrize(
    "initialise", [uniform_, orthogonal_, forget_bias_, lambda m: chrono_(m, 9)]
)
def test_other_modules_are_refused(initialise) -> None:
    for module in (torch.nn.GRU(2, 3), torch.nn.Linear(2, 3), torch.nn.Sequential(LSTM(2, 3))):
        with pytest.raises(TypeError, match=r"module: expected an LSTM or an LSTMCell, got"):
            initialise(module)


@pytest.mark.parametrize("initialise", [forget_bias_, lambda m: chrono_(m, 9)])
@pytest.mark.parametrize("make", [LSTM, torch.nn.LSTM, torch.nn.LSTMCell])
def test_without_biases_there_is_nothing_to_set(initialise, make) -> None:
    with pytest.raises(OptionError, match=r"expected a module with biases, got bias=False"):
        initialise(make(2, 3, bias=False))
    orthogonal_(make(2, 3, bias=False))


def test_values_out_of_range_are_refused() -> None:
    layer = LSTM(2, 3)
    for initialise, value, message in [
        (orthogonal_, 0.0, "gain: expected a number above 0"),
        (forget_bias_, math.nan, "forget_bias: expected a finite number"),
        (chrono_, 2, "chrono: expected the longest memory"),
    ]:
        with pytest.raises(OptionError, match=message):
            initialise(layer, value)


def test_weights_that_are_computed_are_refused_and_not_ignored() -> None:
    layer = parametrizations.orthogonal(torch.nn.LSTM(4, 1), "weight_hh_l0")
    with pytest.raises(OptionError, match="weight_hh_l0: expected a parameter"):
        orthogonal_(layer)


def test_a_change_is_seen_by_who_counts_versions() -> None:
    """An engine keeps packed weights until a weight's version changes."""
    layer = LSTM(2, 3)
    for initialise in (uniform_, orthogonal_, forget_bias_, lambda m: chrono_(m, 9)):
        before = layer.bias_ih_l0._version
        initialise(layer)
        assert layer.bias_ih_l0._version > before
    assert all(p.grad is None and p.requires_grad and p.is_leaf for p in layer.parameters())


@pytest.mark.parametrize("name", MODULES)
def test_meta_modules_have_no_values_to_set(name: str) -> None:
    module = MODULES[name](device="meta")
    initialize_(module, "orthogonal", forget_bias=1.0)
    chrono_(module, 9)
    assert all(p.is_meta for p in module.parameters())
