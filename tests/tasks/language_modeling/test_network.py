"""The network beside one put together from PyTorch's own parts, and its state from call to call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from carousel.nn import State
from carousel.nn.masks import bernoulli, drawn_rate
from carousel.tasks.language_modeling.network import Features, LanguageNetwork
from carousel.tasks.language_modeling.softmax import INITIAL, AdaptiveSoftmax, FullSoftmax
from variant_runs import CLOSE

T, B, V, E, H = 6, 3, 11, 4, 5  # as small as what CLOSE was derived for
RATES = {
    "embedding_dropout": 0.2,
    "input_dropout": 0.3,
    "hidden_dropout": 0.4,
    "output_dropout": 0.25,
    "weight_dropout": 0.35,
}


def network(**changes: Any) -> LanguageNetwork:
    sizes = {"embedding_size": E, "hidden_size": H, "num_layers": 2, "tied": False}
    made = LanguageNetwork(V, **{**sizes, **changes}).double()
    for parameter in made.parameters():  # far from 0, so that nothing is small by chance
        nn.init.normal_(parameter, std=0.5)
    return made


def drawn(made: LanguageNetwork) -> tuple[torch.Tensor, list[State]]:
    state = [
        State(*(torch.randn(1, B, layer.hidden_size, dtype=torch.float64) for _ in range(2)))
        for layer in made.layers
    ]
    return torch.randint(V, (T, B)), state


class Composed(nn.Module):
    """The same network from PyTorch's embedding, layers and linear map, with masks if given."""

    def __init__(self, ours: LanguageNetwork, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.layers = nn.ModuleList(
            nn.LSTM(layer.input_size, layer.hidden_size) for layer in ours.layers
        )
        self.head = nn.Linear(ours.layers[-1].hidden_size, V)
        if tied:
            self.head.weight = self.embedding.weight
        self.double().load_state_dict(ours.state_dict())

    def forward(self, tokens: torch.Tensor, state: list[State]):
        x, after = self.embedding(tokens), []
        for layer, entering in zip(self.layers, state, strict=True):
            x, final = layer(x, entering)
            after.append(final)
        return self.head(x), x, after


def numbers(module: nn.Module, logits: torch.Tensor, raw: torch.Tensor, after: list) -> dict:
    """Everything that a call gives, and every gradient of a sum of squares of all of it."""
    module.zero_grad()
    found = {"logits": logits, "raw": raw}
    found |= {
        f"{n} {part}": x for n, s in enumerate(after) for part, x in zip("hc", s, strict=True)
    }
    sum(value.square().sum() for value in found.values()).backward()
    found |= {f"d {name}": p.grad for name, p in module.named_parameters()}
    return {name: value.detach().clone() for name, value in found.items()}


def ours_numbers(made: LanguageNetwork, found: Features) -> dict[str, torch.Tensor]:
    logits = made.head.logits(found.dropped.flatten(0, 1)).unflatten(0, found.dropped.shape[:2])
    return numbers(made, logits, found.raw, found.state)


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        # The gradients are of squares, whose sums are up to 100 and not of the size 1.
        size = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(
            found[name], value, rtol=0, atol=CLOSE["atol"] * size, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("tied", [False, True])
def test_it_is_what_pytorchs_parts_compute(tied: bool, layers: int) -> None:
    ours = network(tied=tied, num_layers=layers)
    theirs = Composed(ours, tied)
    tokens, state = drawn(ours)
    found = ours(tokens, state)
    assert torch.equal(found.dropped, found.raw)
    assert_close(ours_numbers(ours, found), numbers(theirs, *theirs(tokens, state)))


@pytest.mark.parametrize("tied", [False, True])
def test_dropout_is_where_the_paper_has_it(tied: bool) -> None:
    """The masks are drawn here in the order of their use, and put into PyTorch's functions."""
    ours = network(tied=tied, **RATES)
    tokens, state = drawn(ours)
    torch.manual_seed(8)
    features = ours(tokens, state)
    found = ours_numbers(ours, features)
    torch.manual_seed(8)

    def mask(rate: str, *shape: int) -> torch.Tensor:
        return torch.dropout(torch.ones(shape, dtype=torch.float64), RATES[rate], True)

    x = nn.functional.embedding(tokens, ours.embedding.weight * mask("embedding_dropout", V, 1))
    x = x * mask("input_dropout", 1, B, E)
    after, raw = [], x
    for layer, entering in zip(ours.layers, state, strict=True):
        own = dict(layer.named_parameters())
        kept = ~bernoulli(RATES["weight_dropout"], 1, own["weight_hh_l0"])[0]
        own["weight_hh_l0"] = own["weight_hh_l0"] * kept / (1 - drawn_rate(RATES["weight_dropout"]))
        weights = [own[f"{kind}_l0"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        raw, *final = torch.lstm(x, tuple(entering), weights, True, 1, 0.0, True, False, False)
        after.append(final)
        rate = "output_dropout" if layer is ours.layers[-1] else "hidden_dropout"
        x = raw * mask(rate, 1, B, raw.shape[2])
    logits = nn.functional.linear(x, ours.head.weight, ours.head.bias)
    assert_close(found, numbers(ours, logits, raw, after))
    torch.testing.assert_close(features.dropped, x, **CLOSE)
    assert not torch.equal(features.dropped, features.raw)


def test_nothing_is_dropped_or_drawn_in_evaluation() -> None:
    ours, plain = network(**RATES).eval(), network()
    plain.load_state_dict(ours.state_dict())
    tokens, state = drawn(ours)
    before = torch.get_rng_state()
    found, wanted = ours(tokens, state), plain(tokens, state)
    assert torch.equal(found.dropped, wanted.dropped)
    assert torch.equal(found.dropped, found.raw)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cuts", [(3,), (1, 2, 5), (0, 6)], ids=str)
def test_pieces_with_their_state_are_the_whole(cuts: tuple[int, ...]) -> None:
    ours = network()
    tokens, state = drawn(ours)
    whole = ours_numbers(ours, ours(tokens, state))
    pieces = []
    for begin, end in zip((0, *cuts), (*cuts, T), strict=True):
        pieces.append(ours(tokens[begin:end], state))
        state = pieces[-1].state
    together = Features(
        torch.cat([piece.dropped for piece in pieces]),
        torch.cat([piece.raw for piece in pieces]),
        state,
    )
    assert_close(ours_numbers(ours, together), whole)


def test_no_state_is_a_state_of_zeros() -> None:
    ours = network()
    tokens, state = drawn(ours)
    zeros = [State(torch.zeros_like(s.h), torch.zeros_like(s.c)) for s in state]
    found, wanted = ours(tokens), ours(tokens, zeros)
    assert torch.equal(found.raw, wanted.raw)
    assert not torch.allclose(found.raw, ours(tokens, state).raw)


def test_documents_behind_a_reset_know_nothing_of_those_before() -> None:
    ours = network()
    tokens, state = drawn(ours)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[2, 0] = reset[0, 1] = reset[5, 1] = True
    found = ours(tokens, state, reset)
    for column, begins in ((0, (0, 2)), (1, (0, 5)), (2, (0,))):
        for begin, end in zip(begins, (*begins[1:], T), strict=True):
            own = [State(s.h[:, column : column + 1], s.c[:, column : column + 1]) for s in state]
            alone = ours(
                tokens[begin:end, column : column + 1], None if reset[begin, column] else own
            )
            torch.testing.assert_close(
                found.raw[begin:end, column], alone.raw[:, 0], **CLOSE, msg=f"{column}, {begin}"
            )
        for ended, wanted in zip(found.state, alone.state, strict=True):
            torch.testing.assert_close(ended.h[:, column], wanted.h[:, 0], **CLOSE)
            torch.testing.assert_close(ended.c[:, column], wanted.c[:, 0], **CLOSE)


@pytest.mark.parametrize(
    ("tied", "layers", "sizes"),
    [
        (False, 1, [(E, H)]),
        (True, 1, [(E, E)]),
        (False, 3, [(E, H), (H, H), (H, H)]),
        (True, 3, [(E, H), (H, H), (H, E)]),
    ],
)
def test_sizes_of_the_layers(tied: bool, layers: int, sizes: list[tuple[int, int]]) -> None:
    made = network(tied=tied, num_layers=layers)
    assert [(layer.input_size, layer.hidden_size) for layer in made.layers] == sizes
    assert isinstance(made.head, FullSoftmax)
    assert (made.head.weight is made.embedding.weight) == tied
    assert ("head.weight" in dict(made.named_parameters())) != tied


def test_gradients_of_tied_weights_add_up() -> None:
    sizes = {"embedding_size": E, "hidden_size": E, "num_layers": 1}
    tied, apart = (network(**sizes, tied=tied) for tied in (True, False))
    apart.load_state_dict(tied.state_dict())
    tokens, state = drawn(tied)
    found = ours_numbers(tied, tied(tokens, state))
    wanted = ours_numbers(apart, apart(tokens, state))
    wanted["d embedding.weight"] += wanted.pop("d head.weight")
    assert_close(found, wanted)


def test_initial_weights() -> None:
    made = LanguageNetwork(50, embedding_size=40, hidden_size=5, num_layers=2, tied=False)
    assert made.embedding.weight.abs().max() <= INITIAL
    assert made.embedding.weight.std() > 0.05  # of a uniform distribution 0.1/√3 = 0.058
    assert all(layer.forget_bias == 1.0 for layer in made.layers)


def test_groups_read_the_last_layer() -> None:
    made = network(hidden_size=16, cutoffs=(4, 8))
    assert isinstance(made.head, AdaptiveSoftmax)
    tokens, state = drawn(made)
    logits = made.head.logits(made(tokens, state).dropped.flatten(0, 1))
    assert logits.shape == (T * B, V)
    # A softmax in float64 over V scores: a few roundings of 1.1e-16.
    torch.testing.assert_close(
        logits.exp().sum(1), torch.ones_like(logits[:, 0]), rtol=0, atol=1e-14
    )


def test_options_reach_the_layers() -> None:
    made = network(**RATES, engine="reference")
    assert all(layer.weight_dropout == 0.35 for layer in made.layers)
    assert all(layer.preferred_engine == "reference" for layer in made.layers)
