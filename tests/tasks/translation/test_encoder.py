"""The encoder beside loops over each sentence alone: numbers, gradients, and what is not read.

Shape letters: S positions, B sentences, V subwords, E embedding size, H hidden size.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.translation.sentence_loops import Masks, read
from tests.tasks.translation.small_networks import (
    RATES,
    E,
    H,
    assert_same,
    mask,
    numbers,
    random_sentences,
    randomized,
    side_by_side,
    weight_mask,
)
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from carousel.tasks.translation.encoder import Encoded, Encoder

V = 11
LENGTHS = [4, 7, 1]
SENTENCES = random_sentences(LENGTHS)
B = len(LENGTHS)


def encoder(layers: int = 2, *, residual: bool = True, width: int = E, **options) -> Encoder:
    made = Encoder(
        nn.Embedding(V, width), hidden_size=H // 2, num_layers=layers, residual=residual, **options
    )
    return randomized(made)


def all_of(made: Encoder, found: Encoded) -> dict[str, Tensor]:
    return numbers(found._asdict(), dict(made.named_parameters()))


def by_loops(
    made: Encoder, sentences: list[list[int]], masks: list[Masks] | None = None
) -> Encoded:
    masks = masks or [Masks()] * len(sentences)
    rows = [read(made, *one) for one in zip(sentences, masks, strict=True)]
    values, summaries = zip(*rows, strict=True)
    return Encoded(pad_sequence(values), torch.stack(summaries))


# With inputs as wide as the layers nothing but the formula keeps the lowest from being added to.
@pytest.mark.parametrize("width", [E, H])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_numbers_and_gradients_are_those_of_loops_over_each_sentence(
    layers: int, residual: bool, width: int
) -> None:
    made = encoder(layers, residual=residual, width=width)
    found = made(*side_by_side(SENTENCES))
    assert found.values.shape == (7, B, H)
    assert found.summary.shape == (B, 2 * H)
    assert_same(all_of(made, found), all_of(made, by_loops(made, SENTENCES)))


def test_it_is_what_pytorchs_layer_makes_of_each_sentence() -> None:
    made = encoder(layers=1)
    theirs = nn.LSTM(E, H // 2, bidirectional=True).double()
    theirs.load_state_dict(made.layers[0].state_dict())
    found = made(*side_by_side(SENTENCES))
    for column, sentence in enumerate(SENTENCES):
        out, (h, c) = theirs(made.embedding(torch.tensor(sentence)))
        wanted = Encoded(out, torch.cat([h[0], h[1], c[0], c[1]]))
        own = Encoded(found.values[: len(sentence), column], found.summary[column])
        assert_same(own._asdict(), wanted._asdict())


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_a_sentence_is_read_as_it_is_alone(
    lengths: list[int], layers: int, residual: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    made = encoder(layers, residual=residual)
    sentences = random_sentences(lengths, V, seed)
    together = made(*side_by_side(sentences))
    assert together.values.shape == (max(lengths), len(lengths), H)
    alone = [made(torch.tensor(one)[:, None], torch.tensor([len(one)])) for one in sentences]
    wanted = Encoded(
        pad_sequence([one.values[:, 0] for one in alone]), torch.cat([one.summary for one in alone])
    )
    assert_same(together._asdict(), wanted._asdict())


@pytest.mark.parametrize("training", [False, True])
def test_what_stands_behind_an_end_changes_nothing(training: bool) -> None:
    made = encoder(3, **RATES).train(training)
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        tokens, lengths = side_by_side(SENTENCES)
        torch.manual_seed(9)
        found.append((tokens, all_of(made, made(tokens, lengths))))
    (tokens, first), *others = found
    for garbage, numbers_found in others:
        assert not torch.equal(garbage, tokens)
        for name, value in first.items():
            assert torch.equal(numbers_found[name], value), name
    padding = torch.arange(7)[:, None] >= torch.tensor(LENGTHS)
    assert (first["values"][padding] == 0).all()
    assert (first["values"][~padding] != 0).any(-1).all()


def test_a_subword_that_stands_only_behind_ends_learns_nothing() -> None:
    made = encoder()
    tokens = torch.tensor([[1, 2], [3, 4], [5, 0]])
    gradient = all_of(made, made(tokens, torch.tensor([3, 1])))["d embedding.weight"]
    read_ones = (gradient != 0).any(1).nonzero()[:, 0]
    assert read_ones.tolist() == [1, 2, 3, 5]


def test_dropout_is_locked_over_a_sentence_and_of_the_recurrent_weights() -> None:
    """The masks are drawn here in the order of their use."""
    made = encoder(2, **RATES)
    tokens, lengths = side_by_side(SENTENCES)
    torch.manual_seed(7)
    found = all_of(made, made(tokens, lengths))
    torch.manual_seed(7)
    words = mask(RATES["word_dropout"], V, 1)
    first = mask(RATES["input_dropout"], B, E)
    weights, hidden = [], []
    for _ in made.layers:
        weights.append([weight_mask(RATES["weight_dropout"], 2 * H, H // 2) for _ in range(2)])
        hidden.append(mask(RATES["hidden_dropout"], B, H))
    masks = [
        Masks(words, first[row], [layer[row] for layer in hidden], None, weights)
        for row in range(B)
    ]
    assert_same(found, all_of(made, by_loops(made, SENTENCES, masks)))


def test_nothing_is_dropped_or_drawn_in_evaluation() -> None:
    made, plain = encoder(**RATES).eval(), encoder()
    plain.load_state_dict(made.state_dict())
    given_to = side_by_side(SENTENCES)
    before = torch.get_rng_state()
    found, wanted = made(*given_to), plain(*given_to)
    assert all(map(torch.equal, found, wanted))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rate", RATES)
def test_each_rate_has_its_effect_in_training_alone(rate: str) -> None:
    made = encoder(2, **{rate: 0.5})
    given_to = side_by_side(SENTENCES)
    dropped, again = made(*given_to), made(*given_to)
    assert not torch.equal(dropped.values, again.values)
    assert torch.equal(made.eval()(*given_to).values, made(*given_to).values)


def test_layers_have_their_sizes_and_options() -> None:
    made = encoder(3, weight_dropout=0.35, engine="reference")
    assert [layer.input_size for layer in made.layers] == [E, H, H]
    for layer in made.layers:
        assert layer.bidirectional
        assert layer.hidden_size == H // 2
        assert (layer.weight_dropout, layer.forget_bias) == (0.35, 1.0)
        assert layer.preferred_engine == "reference"
