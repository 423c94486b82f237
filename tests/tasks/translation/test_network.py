"""The network beside loops over each pair alone; its shared matrices, members and probabilities.

Shape letters: S positions of the source, T steps of the target, B pairs, N real steps, V subwords.
"""

from __future__ import annotations

import pytest
import torch
from tests.tasks.translation.sentence_loops import scored
from tests.tasks.translation.small_networks import (
    END,
    RATES,
    SIZES,
    V_SOURCE,
    E,
    V,
    assert_same,
    numbers,
    random_sentences,
    side_by_side,
    small_network,
)
from torch import Tensor
from torch.nn.functional import pad

from carousel.nn.attention import SCORES
from carousel.tasks.translation.network import (
    Member,
    ScaledEmbedding,
    TranslationNetwork,
)

SOURCES = random_sentences([4, 2, 5], V)  # known to either vocabulary
INPUTS = [[END, *target[:-1]] for target in random_sentences([3, 5, 1], V, seed=1)]
LONGEST, B = 5, 3
# Which steps are no padding, row by row: step t of pair b has the number t·B + b.
REAL = [t * B + b for t in range(LONGEST) for b in range(B) if t < len(INPUTS[b])]
EITHER = [(True, False), (False, False), (True, True), (False, True)]  # tied, tied_source


def asked(real: list[int] = REAL) -> tuple[Tensor, ...]:
    """What the network is given; behind the ends stands anything."""
    return *side_by_side(SOURCES, V), side_by_side(INPUTS, V)[0], torch.tensor(real)


def network(members: int = 1, *, tied_source: bool = False, **changes) -> TranslationNetwork:
    source = V if tied_source else V_SOURCE
    return small_network(members, source, tied_source=tied_source, **changes)


def all_of(made: TranslationNetwork, found: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    named = {}
    for number, (scores, weights) in enumerate(found):
        named |= {f"scores {number}": scores, f"weights {number}": weights}
    return numbers(named, dict(made.named_parameters()))


def by_loops(made: TranslationNetwork) -> list[tuple[Tensor, Tensor]]:
    """Scores and weights of the real steps, each pair by itself."""
    found = []
    for member in made.members:
        pairs = [scored(member, *pair) for pair in zip(SOURCES, INPUTS, strict=True)]
        scores = [pairs[place % B][0][place // B] for place in REAL]
        weights = [pairs[place % B][1][place // B] for place in REAL]
        wide = [pad(one, (0, LONGEST - len(one))) for one in weights]
        found.append((torch.stack(scores), torch.stack(wide)))
    return found


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_scores_and_gradients_are_those_of_loops_over_each_pair(score: str, feeding: bool) -> None:
    made = network(attention=score, input_feeding=feeding)
    found = all_of(made, made(*asked()))
    assert found["scores 0"].shape == (len(REAL), V)
    assert found["weights 0"].shape == (len(REAL), LONGEST)
    assert_same(found, all_of(made, by_loops(made)))


@pytest.mark.parametrize(("tied", "tied_source"), EITHER)
def test_one_matrix_learns_from_all_its_uses(tied: bool, tied_source: bool) -> None:
    made = network(tied=tied, tied_source=tied_source)
    [member] = made.members
    source, target = member.encoder.embedding.weight, member.decoder.embedding.weight
    assert (source is target) is tied_source
    assert (member.output.weight is target) is tied
    names = [name for name, _ in made.named_parameters()]
    assert sum("embedding" in name or name.endswith("output.weight") for name in names) == (
        3 - tied - tied_source
    )
    assert_same(all_of(made, made(*asked())), all_of(made, by_loops(made)))


@pytest.mark.parametrize("members", [1, 2, 3])
def test_members_are_networks_of_their_own(members: int) -> None:
    made = network(members, hidden_size=4)
    found = all_of(made, made(*asked()))
    assert_same(found, all_of(made, by_loops(made)))
    assert len(made(*asked())) == members
    for number, member in enumerate(made.members):
        alone = network(hidden_size=4)
        alone.members[0].load_state_dict(member.state_dict())
        [(scores, weights)] = alone(*asked())
        assert torch.equal(found[f"scores {number}"], scores)
        assert torch.equal(found[f"weights {number}"], weights)


@pytest.mark.parametrize("chosen", [REAL[::-1], REAL[2:5], [REAL[0]] * 2], ids=str)
def test_the_steps_asked_for_are_scored(chosen: list[int]) -> None:
    made = network(2)
    arguments = asked()
    whole = made(*arguments)
    some = made(*arguments[:3], torch.tensor(chosen))
    rows = torch.tensor([REAL.index(place) for place in chosen])
    for found, wanted in zip(some, whole, strict=True):
        for one, other in zip(found, wanted, strict=True):
            assert_same({"rows": one}, {"rows": other[rows]})


def test_padding_is_neither_read_nor_scored() -> None:
    made = network()
    results = []
    for seed in range(2):
        torch.manual_seed(seed)
        given_to = asked()
        results.append((given_to, all_of(made, made(*given_to))))
    (first, one), (second, two) = results
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[2], second[2])
    assert all(torch.equal(one[name], value) for name, value in two.items())


def test_only_softmax_and_attention_of_real_steps_are_returned() -> None:
    """The attention of a step sums to 1 over its own source, whatever is beside it."""
    [(_, weights)] = network()(*asked())
    lengths = torch.tensor([len(SOURCES[place % B]) for place in REAL])
    inside = torch.arange(LONGEST) < lengths[:, None]
    assert (weights[~inside] == 0).all()
    assert_same({"sums": weights.sum(1)}, {"sums": torch.ones(len(REAL), dtype=torch.float64)})


def test_a_read_source_serves_the_decoder() -> None:
    """In two calls, as a search makes them, and in one, as training does."""
    [member] = network(input_feeding=True).members
    sources, lengths, inputs, _ = asked()
    source = member.read(sources, lengths)
    found = member.decoder(inputs, source.begin, source.memory)
    wanted = member(sources, lengths, inputs)
    assert torch.equal(found.features, wanted.features)
    assert torch.equal(found.weights, wanted.weights)


@pytest.mark.parametrize("feeding", [False, True])
def test_bf16_is_near_and_trains(feeding: bool) -> None:
    made = network(input_feeding=feeding).float()
    [(wanted, _)] = made(*asked())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        [(scores, weights)] = made(*asked())
    assert weights.dtype == torch.float32
    # Each number is rounded to 2^-9 of itself, and a score comes through some 50 such roundings.
    assert (scores.float() - wanted).abs().max() < 50 * 2.0**-9 * wanted.abs().max()
    scores.float().square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(("tied", "tied_source"), EITHER)
def test_initial_weights(tied: bool, tied_source: bool) -> None:
    options = {**SIZES, "embedding_size": 16, "tied": tied, "tied_source": tied_source}
    made = TranslationNetwork(2, 400, 400, **options)
    for member in made.members:
        for table in (member.encoder.embedding, member.decoder.embedding, member.output):
            # Of 6400 draws the deviation is known to 1/√12800 = 0.9 %; this is five times as much.
            assert float(table.weight.detach().std()) == pytest.approx(16**-0.5, rel=0.045)
        assert not member.output.bias.any()
    one, other = (dict(member.named_parameters()) for member in made.members)
    for name, value in one.items():
        assert name == "output.bias" or not torch.equal(value, other[name]), name


def test_sizes_and_rates_reach_their_places() -> None:
    rates = {**RATES, "output_dropout": 0.25}
    sizes = {**SIZES, "encoder_layers": 1, "decoder_layers": 3, "residual": False}
    member = Member(V_SOURCE, V, **{**sizes, "engine": "reference", **rates})
    encoder, decoder = member.encoder, member.decoder
    assert encoder.embedding.weight.shape == (V_SOURCE, E)
    assert decoder.embedding.weight.shape == member.output.weight.shape == (V, E)
    assert (len(encoder.layers), len(decoder.layers)) == (1, 3)
    assert decoder.output_dropout == 0.25
    for part in (encoder, decoder):
        assert not part.residual
        for name in ("word_dropout", "input_dropout", "hidden_dropout"):
            assert getattr(part, name) == RATES[name]
        for layer in part.layers:
            assert layer.weight_dropout == RATES["weight_dropout"]
            assert layer.preferred_engine == "reference"


def test_vectors_are_read_with_unit_variance_and_compared_as_they_are() -> None:
    torch.manual_seed(0)
    made = ScaledEmbedding(50, 64)
    tokens = torch.tensor([[3, 49], [0, 3]])
    torch.testing.assert_close(made(tokens), 8 * made.weight[tokens], rtol=0, atol=0)
    assert abs(float(made(torch.arange(50)).detach().std()) - 1) < 0.05
    made(tokens).sum().backward()
    assert made.weight.grad is not None
    assert made.weight.grad[3].tolist() == [16.0] * 64
    assert made.weight.grad[1].tolist() == [0.0] * 64
