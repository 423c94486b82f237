"""The decoder beside loops over each row alone: its steps, its rows, its memory, its gradients.

Shape letters: T steps of the target, S positions of the source, B sentences, R rows of each,
N = B·R, V subwords, E embedding size, H hidden size, L layers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.translation.sentence_loops import NO_MASKS, Masks, begin, write
from tests.tasks.translation.small_networks import (
    RATES,
    E,
    H,
    V,
    assert_same,
    mask,
    numbers,
    randomized,
    weight_mask,
)
from torch import Tensor, nn

from carousel.nn import State
from carousel.nn.attention import SCORES, Memory
from carousel.tasks.translation.decoder import Decoded, Decoder, DecoderState

T, S, B = 5, 4, 3
LENGTHS = [4, 1, 3]
OUTPUT = 0.25  # rate of the output's dropout, another than those of RATES
FEEDING = pytest.mark.parametrize("feeding", [False, True])


class Problem(NamedTuple):
    """What a decoder is given: tokens (T, N), and of each sentence summary and memory."""

    tokens: Tensor
    summary: Tensor  # (B, 2M)
    values: Tensor  # (S, B, M)
    lengths: list[int]

    def memory(self, made: Decoder) -> Memory:
        return made.attention.memory(self.values, self.lengths)


def decoder(
    layers: int = 2, *, residual: bool = True, feeding: bool = False, memory: int = H, **options
) -> Decoder:
    made = Decoder(
        nn.Embedding(V, E),
        hidden_size=H,
        memory_size=memory,
        num_layers=layers,
        residual=residual,
        input_feeding=feeding,
        **options,
    )
    return randomized(made)


def problem(
    rows: int = 1, *, steps: int = T, lengths: list[int] = LENGTHS, memory: int = H
) -> Problem:
    """Draws a problem in which sentences have several rows, one beside the other."""
    summary = torch.randn(len(lengths), 2 * memory, dtype=torch.float64, requires_grad=True)
    values = torch.randn(
        max(lengths), len(lengths), memory, dtype=torch.float64, requires_grad=True
    )
    return Problem(torch.randint(V, (steps, len(lengths) * rows)), summary, values, lengths)


def outputs(found: Decoded) -> dict[str, Tensor]:
    named = {"features": found.features, "weights": found.weights}
    for number, (h, c) in enumerate(found.state.layers):
        named |= {f"h {number}": h, f"c {number}": c}
    return named if found.state.fed is None else named | {"fed": found.state.fed}


def all_of(made: Decoder, asked: Problem, found: Decoded) -> dict[str, Tensor]:
    leaves = {"summary": asked.summary, "values": asked.values, **dict(made.named_parameters())}
    return numbers(outputs(found), leaves)


def at_once(made: Decoder, asked: Problem) -> dict[str, Tensor]:
    return all_of(made, asked, made(asked.tokens, made.begin(asked.summary), asked.memory(made)))


def by_loops(made: Decoder, asked: Problem, masks: list[Masks] | None = None) -> dict[str, Tensor]:
    """The same of each row alone, with its sentence's own positions."""
    rows = asked.tokens.shape[1] // len(asked.lengths)
    found = []
    for row, tokens in enumerate(asked.tokens.unbind(1)):
        sentence = row // rows
        memory = asked.values[: asked.lengths[sentence], sentence]
        standing = begin(made, asked.summary[sentence])
        own = masks[row] if masks else NO_MASKS
        found.append(write(made, tokens.tolist(), standing, memory, own))
    features, weights, standings = zip(*found, strict=True)
    width = len(asked.values)
    padded = [nn.functional.pad(w, (0, width - w.shape[1])) for w in weights]
    layers = []
    for number in range(len(made.layers)):
        h, c = zip(*(standing.layers[number] for standing in standings), strict=True)
        layers.append(State(torch.stack(h)[None], torch.stack(c)[None]))
    fed = torch.stack([standing.fed for standing in standings])[None]
    state = DecoderState(layers, fed if made.input_feeding else None)
    together = Decoded(torch.stack(features, 1), state, torch.stack(padded, 1))
    return all_of(made, asked, together)


@FEEDING
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_numbers_and_gradients_are_those_of_loops(
    layers: int, residual: bool, feeding: bool
) -> None:
    made, asked = decoder(layers, residual=residual, feeding=feeding), problem()
    found = at_once(made, asked)
    assert found["features"].shape == (T, B, E)
    assert found["weights"].shape == (T, B, S)
    assert ("fed" in found) is feeding
    assert_same(found, by_loops(made, asked))


@FEEDING
@pytest.mark.parametrize("memory", [1, H - 1, 2 * H])
def test_a_memory_may_be_of_another_size(memory: int, feeding: bool) -> None:
    made, asked = decoder(feeding=feeding, memory=memory), problem(memory=memory)
    assert_same(at_once(made, asked), by_loops(made, asked))


@FEEDING
@pytest.mark.parametrize("score", SCORES)
def test_each_score_of_attention_is_that_of_loops(score: str, feeding: bool) -> None:
    made, asked = decoder(attention=score, feeding=feeding), problem(rows=2)
    state = made.begin(asked.summary).select(torch.arange(B).repeat_interleave(2))
    found = made(asked.tokens, state, asked.memory(made))
    assert_same(all_of(made, asked, found), by_loops(made, asked))


@FEEDING
@pytest.mark.parametrize("cuts", [(1, 2, 3, 4), (3,), (1, 3)], ids=str)
def test_steps_with_their_state_are_the_whole(cuts: tuple[int, ...], feeding: bool) -> None:
    made, asked = decoder(feeding=feeding), problem()
    memory, state = asked.memory(made), made.begin(asked.summary)
    pieces = []
    for first, end in pairwise((0, *cuts, T)):
        pieces.append(made(asked.tokens[first:end], state, memory))
        state = pieces[-1].state
    features = torch.cat([piece.features for piece in pieces])
    weights = torch.cat([piece.weights for piece in pieces])
    found = all_of(made, asked, Decoded(features, state, weights))
    assert_same(found, at_once(made, asked))


@FEEDING
@pytest.mark.parametrize(("rows", "lengths"), [(2, LENGTHS), (3, LENGTHS), (4, [3])], ids=str)
def test_rows_of_a_sentence_share_its_memory(rows: int, lengths: list[int], feeding: bool) -> None:
    """What comes of it, and every gradient, are those of a memory copied for each row."""
    made, asked = decoder(feeding=feeding), problem(rows, lengths=lengths)
    owners = torch.arange(len(lengths)).repeat_interleave(rows)
    state, memory = made.begin(asked.summary).select(owners), asked.memory(made)
    shared = all_of(made, asked, made(asked.tokens, state, memory))
    copied = all_of(made, asked, made(asked.tokens, state, memory.select(owners)))
    assert_same(shared, copied)
    assert shared["features"].shape == (T, len(lengths) * rows, E)


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(SCORES),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_a_row_is_written_as_it_is_alone(
    lengths: list[int], rows: int, steps: int, score: str, feeding: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    made = decoder(attention=score, feeding=feeding)
    asked = problem(rows, steps=steps, lengths=lengths)
    owners = torch.arange(len(lengths)).repeat_interleave(rows)
    begun, memory = made.begin(asked.summary).select(owners), asked.memory(made)
    together = made(asked.tokens, begun, memory)
    for row, sentence in enumerate(owners.tolist()):
        only = torch.tensor([row])
        own = made.attention.memory(asked.values[: lengths[sentence], [sentence]])
        alone = made(asked.tokens[:, only], begun.select(only), own)
        state = together.state.select(only)
        weights = together.weights[:, only, : lengths[sentence]]
        found = Decoded(together.features[:, only], state, weights)
        assert_same(outputs(found), outputs(alone))
        assert (together.weights[:, row, lengths[sentence] :] == 0).all()


@FEEDING
def test_dropout_is_locked_over_all_steps(feeding: bool) -> None:
    """The masks are drawn here in the order of their use, and serve the loops at every step."""
    rates = {**RATES, "output_dropout": OUTPUT}
    if feeding:  # each step would draw weights of its own, which the options refuse
        del rates["weight_dropout"]
    made, asked = decoder(feeding=feeding, **rates), problem(2)
    N = 2 * B
    state = made.begin(asked.summary).select(torch.arange(B).repeat_interleave(2))
    torch.manual_seed(5)
    found = all_of(made, asked, made(asked.tokens, state, asked.memory(made)))
    torch.manual_seed(5)
    words = mask(RATES["word_dropout"], V, 1)
    first = mask(RATES["input_dropout"], N, E)
    hidden = [mask(RATES["hidden_dropout"], N, H) for _ in made.layers]
    output = mask(OUTPUT, N, E)
    rate = rates.get("weight_dropout")
    weights = [[weight_mask(rate, 4 * H, H) if rate else None] for _ in made.layers]
    masks = [
        Masks(words, first[row], [layer[row] for layer in hidden], output[row], weights)
        for row in range(N)
    ]
    assert_same(found, by_loops(made, asked, masks))


@FEEDING
def test_nothing_is_dropped_or_drawn_in_evaluation(feeding: bool) -> None:
    rates = {**RATES, "output_dropout": OUTPUT}
    made, plain = decoder(feeding=feeding, **rates).eval(), decoder(feeding=feeding)
    plain.load_state_dict(made.state_dict())
    asked = problem()
    before = torch.get_rng_state()
    found, wanted = at_once(made, asked), at_once(plain, asked)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert torch.equal(torch.get_rng_state(), before)


@FEEDING
@pytest.mark.parametrize("rows", [[2, 0, 1], [1, 1, 1, 0, 0, 2], [2]], ids=str)
def test_selected_rows_go_on_where_they_stood(rows: list[int], feeding: bool) -> None:
    made, asked = decoder(feeding=feeding), problem()
    memory = asked.memory(made)
    middle = made(asked.tokens[:2], made.begin(asked.summary), memory).state
    chosen = torch.tensor(rows)
    found = made(asked.tokens[2:, chosen], middle.select(chosen), memory.select(chosen))
    whole = made(asked.tokens, made.begin(asked.summary), memory)
    ended = whole.state.select(chosen)
    wanted = Decoded(whole.features[2:, chosen], ended, whole.weights[2:, chosen])
    assert_same(outputs(found), outputs(wanted))
    for place, row in enumerate(rows):  # select itself, by what it is for
        for one, other in zip(ended.layers, whole.state.layers, strict=True):
            assert torch.equal(one.h[0, place], other.h[0, row])
            assert torch.equal(one.c[0, place], other.c[0, row])


@FEEDING
def test_layers_run_once_over_all_steps_unless_one_feeds_the_next(feeding: bool) -> None:
    made, asked, seen = decoder(feeding=feeding), problem(), []
    for layer in made.layers:
        layer.register_forward_hook(lambda layer, given, _: seen.append(len(given[0])))
    at_once(made, asked)
    assert seen == ([1] * (2 * T) if feeding else [T] * 2)


@FEEDING
def test_a_step_does_not_know_the_steps_behind_it(feeding: bool) -> None:
    made, asked = decoder(3, feeding=feeding), problem()
    other = asked._replace(tokens=torch.cat([asked.tokens[:3], (asked.tokens[3:] + 1) % V]))
    one, two = at_once(made, asked), at_once(made, other)
    for name in ("features", "weights"):
        assert torch.equal(one[name][:3], two[name][:3])
        assert not torch.equal(one[name][3], two[name][3])


@FEEDING
def test_layers_have_their_sizes_and_options(feeding: bool) -> None:
    made = decoder(3, feeding=feeding, weight_dropout=0.35, engine="reference")
    width = 2 * E if feeding else E
    assert [layer.input_size for layer in made.layers] == [width, 2 * H, 2 * H]
    for layer in made.layers:
        assert layer.hidden_size == H
        assert (layer.weight_dropout, layer.forget_bias) == (0.35, 1.0)
        assert layer.preferred_engine == "reference"
    begun = made.begin(torch.zeros(4, 2 * H, dtype=torch.float64))
    assert [tuple(part.shape) for state in begun.layers for part in state] == [(1, 4, H)] * 6
    if feeding:
        assert begun.fed.shape == (1, 4, E)
        assert not begun.fed.any()
    else:
        assert begun.fed is None
