"""The search beside the whole network run anew for each token, and beside all sequences there are.

Shape letters: S positions of the source, T steps of the target, N rows, V subwords of the target.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.translation.small_networks import (
    END,
    assert_same,
    random_sentences,
    small_network,
)
from torch import Tensor

from carousel.data.ragged import Ragged
from carousel.decoding.beam_search import BeamOptions, Hypothesis
from carousel.tasks.translation import search
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.search import (
    Searcher,
    SearchState,
    batches_by_length,
    reordered,
    search_words,
    usual_limits,
)

SOURCES = random_sentences([4, 1, 6, 2, 6, 3, 7, 4])
# Scores become float32 before the softmax: sums of up to 40 logarithms of up to 8 each, with a few
# roundings of 2^-24.
CLOSE = {"abs": 40 * 8 * 4 * 2.0**-24}


def network(members: int = 1, *, ends: float = 0.5, **changes: Any) -> TranslationNetwork:
    """A network with scores far from each other, among them that of the end as high as asked."""
    made = small_network(members, std=1.0, **changes)
    for member in made.members:
        member.output.bias.data[END] = ends
    return made


def searched(
    made: TranslationNetwork,
    sources: list[list[int]] = SOURCES,
    most: int | None = 9,
    **chosen: Any,
) -> list[list[Hypothesis]]:
    given_to = Ragged.of(np.array(source, np.int32) for source in sources)
    options = BeamOptions(**{"no_repeat": 0, **chosen})
    return Searcher(made, END, options, most).search(given_to)


@torch.no_grad()
def forced(made: TranslationNetwork, source: list[int], tokens: list[int]) -> tuple[Tensor, Tensor]:
    """Log-probabilities (T + 1, V) behind each of the tokens, and attention (T + 1, S)."""
    inputs = torch.tensor([END, *tokens])[:, None]
    arguments = torch.tensor(source)[:, None], torch.tensor([len(source)]), inputs
    found = made(*arguments, torch.arange(len(inputs)))
    probabilities = torch.stack([scores.softmax(1) for scores, _ in found])
    return probabilities.mean(0).log(), torch.stack([weights for _, weights in found]).mean(0)


# By seed and bias of the end such that sentences end at different times; the tests look.
VARIANTS = pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0, "ends": 3.0},
        {"seed": 3, "ends": 2.0, "members": 2, "input_feeding": True, "attention": "additive"},
        {"seed": 11, "ends": 2.0, "encoder_layers": 1, "decoder_layers": 1, "attention": "dot"}
        | {"tied": False},
    ],
    ids=["plain", "members", "one layer"],
)


@VARIANTS
def test_a_greedy_search_takes_the_most_likely_subword(changes: dict[str, Any]) -> None:
    made, limit = network(**changes), 9
    lengths = set()
    for source, [found] in zip(SOURCES, searched(made, most=limit, beam=1), strict=True):
        tokens: list[int] = []
        while END not in tokens and len(tokens) < limit:
            logs, _ = forced(made, source, tokens)
            tokens.append(int(logs[-1].argmax()))
        assert found.ended is (tokens[-1] == END)
        assert found.tokens == tokens[: len(tokens) - found.ended]
        lengths.add(len(tokens))
    assert len(lengths) > 2  # or nothing was seen of sentences that end at different times


@VARIANTS
@pytest.mark.parametrize("beam", [1, 4])
def test_a_sentence_is_translated_as_it_is_alone(beam: int, changes: dict[str, Any]) -> None:
    made = network(**changes)
    chosen = {"beam": beam, "best": beam, "length_penalty": 1.0, "coverage_penalty": 0.1}
    alone = [searched(made, [source], **chosen)[0] for source in SOURCES]
    order = np.random.default_rng(1).permutation(len(SOURCES)).tolist()
    shuffled = searched(made, [SOURCES[row] for row in order], **chosen)
    together = searched(made, **chosen)
    assert len({len(pool[0].tokens) for pool in alone}) > 2
    for place, row in enumerate(order):
        for pool in (together[row], shuffled[place]):
            assert [one.tokens for one in pool] == [one.tokens for one in alone[row]]
            assert [one.ended for one in pool] == [one.ended for one in alone[row]]
            for one, other in zip(pool, alone[row], strict=True):
                assert one.score == pytest.approx(other.score, **CLOSE)


@pytest.mark.parametrize("at_once", [1, 3, 5])
def test_it_does_not_matter_how_many_are_searched_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = network()
    wanted = searched(made, beam=3)
    monkeypatch.setattr(search, "_SENTENCES", at_once)
    found = searched(made, beam=3)
    assert [each[0].tokens for each in found] == [each[0].tokens for each in wanted]


@VARIANTS
def test_numbers_of_a_hypothesis_are_those_of_the_network(changes: dict[str, Any]) -> None:
    """Its probability and its attention, over its own sentence and nothing of another."""
    made = network(**changes)
    for source, pool in zip(SOURCES, searched(made, beam=4, best=3), strict=True):
        assert pool
        for one in pool:
            logs, attention = forced(made, source, one.tokens)
            taken = [*one.tokens, END][: len(one.tokens) + one.ended]
            wanted = sum(float(logs[step, token]) for step, token in enumerate(taken))
            assert one.log_probability == pytest.approx(wanted, **CLOSE)
            assert one.attention is not None
            assert one.attention.shape[0] == len(one.tokens)
            own = one.attention[:, : len(source)]
            assert_same({"attention": own}, {"attention": attention[: len(one.tokens)]})
            assert not one.attention[:, len(source) :].any()


@torch.no_grad()
def cut_sequences(
    made: TranslationNetwork, source: list[int], few: int, limit: int
) -> Iterator[tuple[list[int], list[float], list[list[float]]]]:
    """Yields all that end within the limit, and all that are cut by it.

    Each without its end, with ln P and the attention of each of its subwords, the end included.
    """
    others = [token for token in range(few) if token != END]
    full = [*itertools.product(others, repeat=limit)]
    inputs = torch.tensor([[END, *tokens[:-1]] for tokens in full]).t()
    copies = torch.tensor(source)[:, None].expand(-1, len(full))
    lengths = torch.full((len(full),), len(source))
    found = made(copies, lengths, inputs, torch.arange(inputs.numel()))
    probabilities = torch.stack([scores.softmax(1) for scores, _ in found]).mean(0)
    logs = probabilities.log().view(limit, len(full), few).tolist()
    weights = torch.stack([weights for _, weights in found]).mean(0)
    attention = weights.view(limit, len(full), len(source)).tolist()
    for row, tokens in enumerate(full):
        for length in range(limit + 1):
            if any(token != others[0] for token in tokens[length:]):
                continue  # each beginning comes once, with one of all that it could go on with
            taken = [*tokens[:length], END][:limit]
            own = [logs[step][row][token] for step, token in enumerate(taken)]
            rows = [attention[step][row] for step in range(len(taken))]
            yield list(tokens[:length]), own, rows


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_as_wide_as_the_search_finds_the_best_of_all(
    alpha: float, beta: float, members: int
) -> None:
    few, limit = 4, 4
    made = network(members, target=few)
    sources = SOURCES[:4]
    chosen = {"beam": few**limit, "best": 2, "length_penalty": alpha, "coverage_penalty": beta}
    found = searched(made, sources, most=limit, **chosen)
    for source, pool in zip(sources, found, strict=True):
        every = []
        for tokens, logs, attention in cut_sequences(made, source, few, limit):
            total = sum(logs)
            sums = [sum(column) for column in zip(*attention, strict=True)]
            coverage = sum(math.log(min(weight, 1.0)) for weight in sums)
            score = total / ((5 + len(logs)) / 6) ** alpha + beta * coverage
            every.append((len(tokens) == limit, -score, tokens))
        wanted = sorted(every)[:2]
        assert [(not one.ended, one.tokens) for one in pool] == [(w[0], w[2]) for w in wanted]
        for one, (_, score, _) in zip(pool, wanted, strict=True):
            assert one.score == pytest.approx(-score, **CLOSE)


@VARIANTS
def test_rows_keep_their_memory_while_sentences_end(changes: dict[str, Any]) -> None:
    """Three sentences in rows of two, of which the middle one and then the first are done."""
    made, sources = network(**changes), SOURCES[2:5]
    searcher = Searcher(made, END, BeamOptions(), None)
    tokens, lengths = Ragged.of(np.array(one) for one in sources).padded(np.arange(3))
    with torch.no_grad():
        read = [member.read(tokens, lengths) for member in made.members]
    state = SearchState([one.begin for one in read], [one.memory for one in read])
    rows = [(sentence, [END]) for sentence in range(3)]
    plan = [  # which rows go on, and with which token
        ([0, 0, 1, 1, 2, 2], [1, 3, 4, 5, 6, 7]),
        ([1, 0, 3, 3, 4, 5], [8, 7, 6, 5, 4, 3]),
        ([1, 1, 5, 4], [0, 1, 3, 4]),
        ([0, 1, 3, 2], [5, 6, 7, 8]),
        ([3, 2], [1, 0]),
        ([0, 1], [3, 4]),
    ]
    for kept, following in plan:
        last = torch.tensor([tokens[-1] for _, tokens in rows])
        with torch.no_grad():
            step = searcher._step(last, state)
        for row, (sentence, inputs) in enumerate(rows):
            logs, attention = forced(made, sources[sentence], inputs[1:])
            torch.testing.assert_close(step.log_probs[row].double(), logs[-1], rtol=0, atol=1e-5)
            own = step.attention[row, : len(sources[sentence])]
            assert_same({"attention": own}, {"attention": attention[-1]})
        before, after = len(state.memories[0].mask[0]), len({rows[row][0] for row in kept})
        former, state = step.state.memories, reordered(step.state, torch.tensor(kept))
        rows = [
            (rows[row][0], [*rows[row][1], token])
            for row, token in zip(kept, following, strict=True)
        ]
        assert len(state.memories[0].mask[0]) == after
        copied = [one is not two for one, two in zip(state.memories, former, strict=True)]
        assert copied == [after < before] * len(made.members)


@given(st.lists(st.integers(0, 5_000), max_size=300))
def test_batches_by_length_have_each_sentence_once(lengths: list[int]) -> None:
    batches = batches_by_length(np.array(lengths, np.int64))
    assert sorted(row for batch in batches for row in batch.tolist()) == [*range(len(lengths))]
    sizes = [[max(1, lengths[row]) for row in batch] for batch in batches]
    assert list(itertools.chain(*sizes)) == sorted(max(1, length) for length in lengths)
    for number, own in enumerate(sizes):
        assert 1 <= len(own) <= 64
        assert len(own) == 1 or len(own) * max(own) <= 4_000
        if number + 1 < len(sizes):  # the next would not have fitted
            wider = [*own, sizes[number + 1][0]]
            assert len(wider) > 64 or len(wider) * max(wider) > 4_000


@given(st.lists(st.integers(1, 9), min_size=1, max_size=200))
def test_sentences_of_equal_length_stay_in_their_order(lengths: list[int]) -> None:
    order = np.concatenate(batches_by_length(np.array(lengths, np.int64))).tolist()
    assert order == sorted(range(len(lengths)), key=lambda row: lengths[row])


def test_limits_follow_the_source() -> None:
    assert usual_limits(torch.tensor([1, 7])).tolist() == [22, 34]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 1.4])
def test_a_limit_far_away_costs_nothing_and_finds_the_same(length_penalty: float) -> None:
    def found(most: int | None) -> tuple[list[list[int]], int]:
        made, steps = network(ends=6.0), []
        made.members[0].decoder.register_forward_hook(lambda *_: steps.append(1))
        pools = searched(made, most=most, beam=5, length_penalty=length_penalty)
        assert all(one.ended for [one] in pools)
        return [one.tokens for [one] in pools], len(steps)

    usual = found(None)
    assert usual[1] < 20  # the least of the usual limits, so that none of them cut
    assert found(1_000) == usual


def test_fewer_sentences_are_translated_at_once_where_many_hypotheses_are_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def noted(lengths: np.ndarray, most: int) -> list[np.ndarray]:
        asked.append(most)
        return batches_by_length(lengths, most)

    monkeypatch.setattr(search, "batches_by_length", noted)
    for beam in (1, 20, 640, 1_000):
        searched(network(), beam=beam)
    assert asked == [1_280, 64, 2, 1]
    assert [len(one) for one in batches_by_length(np.full(5, 3), 2)] == [2, 2, 1]
    assert [len(one) for one in batches_by_length(np.full(70, 3), 1_280)] == [64, 6]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_translation_has_no_more_subwords_than_it_may(most: int, beam: int) -> None:
    """Neither where it ended, its end included, nor where it was cut."""
    found = searched(network(ends=-100.0), most=most, beam=beam)
    assert all(len(one.tokens) == most for [one] in found)
    assert not any(one.ended for [one] in found)
    for [one] in searched(network(), most=most, beam=beam):
        assert len(one.tokens) + one.ended <= most


def test_without_a_limit_it_is_that_of_the_source() -> None:
    found = searched(network(ends=-100.0), most=None, beam=1)
    lengths = [len(source) for source in SOURCES]
    assert [len(one.tokens) for [one] in found] == [2 * length + 20 for length in lengths]


def test_how_many_are_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SENTENCES", 3)
    seen: list[tuple[int, int]] = []
    given_to = Ragged.of(np.array(source) for source in SOURCES)
    searcher = Searcher(network(), END, BeamOptions(beam=1), 3)
    searcher.search(given_to, lambda done, of: seen.append((done, of)))
    assert seen == [(3, 8), (6, 8), (8, 8)]
    assert searched(network(), []) == []


def test_a_search_leaves_network_and_randomness_alone() -> None:
    made = network(hidden_dropout=0.3, word_dropout=0.3)
    weights = {name: value.clone() for name, value in made.state_dict().items()}
    before = torch.get_rng_state()
    found = searched(made)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(made.state_dict()[name], value) for name, value in weights.items())
    assert not any(one.attention.requires_grad for [one] in found)
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"beam": 1}, "greedy search"),
        ({"beam": 1, "no_repeat": 3}, "greedy search, no_repeat 3"),
        ({}, "beam of 5, length penalty 1"),
        ({"no_repeat": 0}, "beam of 5, length penalty 1, no_repeat 0"),
        (
            {"beam": 8, "length_penalty": 1.0, "coverage_penalty": 0.25},
            "beam of 8, length penalty 1, coverage penalty 0.25",
        ),
    ],
    ids=str,
)
def test_a_search_is_told_in_words(chosen: dict[str, Any], words: str) -> None:
    assert search_words(BeamOptions(**chosen)) == words
