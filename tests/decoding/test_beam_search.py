"""Beam search against plain loops of the same definition, and against all sequences there are."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from carousel.decoding.beam_search import BeamOptions, Hypothesis, Step, beam_search
from carousel.errors import DataError, OptionError, ShapeError

CODES = 61  # a hypothesis is told from nearly all others by its code


def after(code: Any, token: Any) -> Any:
    return (code * 7 + token + 1) % CODES


class Tables:
    """A model whose answers hang on the sentence and on all tokens so far.

    Args:
        coarse: steps of 1/4, so that ties are frequent; sums of them are exact.
        gaps: the share of tokens that may not follow.
    """

    def __init__(
        self, seed: int, B: int, V: int, *, coarse: bool = False, gaps: float = 0.0, S: int = 3
    ) -> None:
        chance = torch.Generator().manual_seed(seed)
        scores = 2 * torch.randn(B, CODES, V, generator=chance, dtype=torch.float64)
        self.log_probs = scores.round().clamp(max=0) / 4 if coarse else scores.log_softmax(-1)
        self.log_probs[torch.rand(B, CODES, V, generator=chance) < gaps] = -math.inf
        weights = torch.randn(B, CODES, S, generator=chance, dtype=torch.float64)
        weights[::2, :, -1] = -math.inf  # padding
        self.attention = weights.softmax(-1)
        self.V, self.end = V, V // 2
        self.asked: list[list[int]] = []

    def step(self, last: Tensor, state: tuple[Tensor, Tensor]) -> Step:
        sentences, codes = state
        codes = after(codes, last)
        self.asked.append(sentences.tolist())
        attention = self.attention[sentences, codes]
        return Step(self.log_probs[sentences, codes], (sentences, codes), attention)

    def search(
        self, limits: list[int], forbidden: tuple[int, ...] = (), first: int = 0, **chosen: Any
    ) -> list[list[Hypothesis]]:
        """Searches as many sentences as there are limits, from the given one on."""
        sentences = torch.arange(first, first + len(limits))
        return beam_search(
            self.step,
            (sentences, torch.zeros_like(sentences)),
            start=self.V,  # it need not be a token that is scored
            end=self.end,
            limits=torch.tensor(limits, dtype=torch.long),
            reorder=lambda state, rows: tuple(part[rows] for part in state),
            options=BeamOptions(**chosen),
            forbidden=forbidden,
        )


class Live(NamedTuple):
    total: float
    tokens: list[int]
    code: int  # after all tokens but the last
    attended: list[list[float]]


NEW = Live(0.0, [], 0, [])


class Ranked(NamedTuple):
    score: float
    tokens: list[int]
    total: float
    attended: list[list[float]]
    ended: bool


def ranked(one: Live, end: int, chosen: BeamOptions) -> Ranked:
    sums = [sum(column) for column in zip(*one.attended, strict=True)]
    coverage = sum(math.log(min(weight, 1.0)) for weight in sums if weight > 0)
    penalty = ((5 + len(one.tokens)) / 6) ** chosen.length_penalty
    score = one.total / penalty + chosen.coverage_penalty * coverage
    ended = one.tokens[-1:] == [end]
    T = len(one.tokens) - ended
    return Ranked(score, one.tokens[:T], one.total, one.attended[:T], ended)


def place(one: Ranked | Hypothesis) -> tuple[bool, float]:
    return not one.ended, -one.score


def repeats(tokens: list[int], n: int) -> bool:
    runs = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return n > 0 and len({*runs}) < len(runs)


def reference(
    tables: Tables, sentence: int, limit: int, chosen: BeamOptions, forbidden: tuple[int, ...] = ()
) -> tuple[list[Ranked], list[list[Live]]]:
    """One sentence, to its limit: all that ended and the last that did not, and who lived when."""
    scores, weights = tables.log_probs[sentence].tolist(), tables.attention[sentence].tolist()
    lives, ended = [[NEW]], []
    while lives[-1] and len(lives) <= limit:
        candidates = []
        for slot, (total, tokens, code, attended) in enumerate(lives[-1]):
            code = after(code, tokens[-1] if tokens else tables.V)
            for token, value in enumerate(scores[code]):
                if token in forbidden or repeats([*tokens, token], chosen.no_repeat):
                    continue
                one = Live(total + value, [*tokens, token], code, [*attended, weights[code]])
                if one.total > -math.inf:
                    candidates.append((-one.total, slot, token, one))
        if not candidates:
            break
        best = [one for *_, one in sorted(candidates, key=lambda one: one[:3])]
        ended += [one for one in best[: chosen.beam] if one.tokens[-1] == tables.end]
        others = [one for one in best if one.tokens[-1] != tables.end]
        if chosen.beam == 1:
            others = [one for one in others if one is best[0]]
        lives.append(others[: chosen.beam])
    found = [ranked(one, tables.end, chosen) for one in (*ended, *lives[-1])]
    return sorted(found, key=place), lives


def same(found: list[Hypothesis], expected: list[Ranked]) -> None:
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for one, other in zip(found, expected, strict=True):
        # log P is the same sum in the same order. The coverage has a few logarithms and sums, each
        # rounded once: far less than 100 roundings of 2^-53.
        assert one.log_probability == other.total
        assert one.ended is other.ended
        assert one.score == pytest.approx(other.score, rel=100 * 2**-53, abs=100 * 2**-53)
        assert one.attention.tolist() == other.attended


Search = tuple[Tables, list[int], tuple[int, ...], dict[str, Any]]


@st.composite
def searches(draw: st.DrawFn) -> Search:
    """Tables, limits, forbidden tokens, options."""
    coarse, beam = draw(st.booleans()), draw(st.integers(1, 5))
    V, limits = draw(st.integers(1, 6)), draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    gaps, seed = draw(st.sampled_from([0.0, 0.3, 0.8])), draw(st.integers(0, 2**32))
    tables = Tables(seed, len(limits), V, coarse=coarse, gaps=gaps)
    chosen = {
        "beam": beam,
        "best": draw(st.integers(1, beam)),
        "length_penalty": draw(st.sampled_from([0.0, 0.6, 1.0, 2.5])),
        # With ties, the rounding of logarithms would decide which is the better.
        "coverage_penalty": 0.0 if coarse else draw(st.sampled_from([0.0, 0.2, 2.0])),
        "no_repeat": draw(st.integers(0, 3)),
    }
    return tables, limits, tuple(draw(st.lists(st.integers(0, V - 1), max_size=2))), chosen


@settings(max_examples=300)
@given(searches())
def test_the_hypotheses_are_those_of_the_reference(drawn: Search) -> None:
    tables, limits, forbidden, chosen = drawn
    before = tables.log_probs.clone()
    found = tables.search(limits, forbidden, **chosen)
    for sentence, (limit, pool) in enumerate(zip(limits, found, strict=True)):
        # The reference never stops early, so that all that did not change has the bound to thank.
        expected, _ = reference(tables, sentence, limit, BeamOptions(**chosen), forbidden)
        same(pool, expected[: chosen["best"]])
        assert pool
        assert pool == sorted(pool, key=place)
        assert len({(*one.tokens, one.ended) for one in pool}) == len(pool)
    assert tables.log_probs.equal(before)


@settings(max_examples=200)
@given(searches())
def test_a_sentence_has_the_same_result_in_each_batch(drawn: Search) -> None:
    tables, limits, forbidden, chosen = drawn
    together = tables.search(limits, forbidden, **chosen)
    for sentence, limit in enumerate(limits):
        [alone] = tables.search([limit], forbidden, first=sentence, **chosen)
        for one, other in zip(together[sentence], alone, strict=True):
            assert (one.tokens, one.ended) == (other.tokens, other.ended)
            assert (one.score, one.log_probability) == (other.score, other.log_probability)
            assert torch.equal(one.attention, other.attention)


def continuations(tables: Tables, sentence: int, live: Live, limit: int) -> Iterator[Live]:
    """All that end, and all that reach the limit without."""
    if len(live.tokens) == limit or live.tokens[-1:] == [tables.end]:
        yield live
        return
    code = after(live.code, live.tokens[-1] if live.tokens else tables.V)
    rows = [*live.attended, tables.attention[sentence, code].tolist()]
    for token, value in enumerate(tables.log_probs[sentence, code].tolist()):
        one = Live(live.total + value, [*live.tokens, token], code, rows)
        yield from continuations(tables, sentence, one, limit)


@pytest.mark.parametrize("best", [1, 2])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_it_stops_once_nothing_can_be_better(best: int, alpha: float, beta: float) -> None:
    chosen = BeamOptions(beam=3, best=best, length_penalty=alpha, coverage_penalty=beta)
    limit, early = 6, 0
    for seed in range(5):
        tables = Tables(seed, 4, 3)
        found = tables.search([limit] * 4, **vars(chosen))
        steps = Counter(itertools.chain.from_iterable({*asked} for asked in tables.asked))
        for sentence, pool in enumerate(found):
            ranking, lives = reference(tables, sentence, limit, chosen)
            stopped = steps[sentence]
            if stopped < limit:
                early += bool(lives[stopped])
                for live in lives[stopped]:
                    for one in continuations(tables, sentence, live, limit):
                        assert ranked(one, tables.end, chosen).score <= pool[-1].score
            known = [one for one in ranking if one.ended and len(one.tokens) + 1 < stopped]
            if len(known) >= best:
                bound = lives[stopped - 1][0].total / ((5 + limit) / 6) ** alpha
                assert bound > known[best - 1].score
    assert early >= 5


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize(("V", "limit"), [(2, 5), (3, 4), (4, 1)])
def test_a_beam_as_wide_as_the_search_finds_the_best_of_all(
    V: int, limit: int, alpha: float, beta: float
) -> None:
    chosen = BeamOptions(beam=V**limit, best=2, length_penalty=alpha, coverage_penalty=beta)
    tables = Tables(V, 3, V)
    for sentence, pool in enumerate(tables.search([limit] * 3, **vars(chosen))):
        found = continuations(tables, sentence, NEW, limit)
        every = sorted((ranked(one, tables.end, chosen) for one in found), key=place)
        same(pool, every[:2])


def test_lengths_that_nobody_expects_are_not_waited_for() -> None:
    """One that ended at once has -1; one that never ends loses 0.01 a token."""

    def steps(expected: list[int] | None) -> int:
        asked = 0

        def step(last: Tensor, state: None) -> Step:
            nonlocal asked
            asked += 1
            scores = torch.tensor([[-0.01, -1.0 if asked == 1 else -math.inf]])
            return Step(scores.expand(len(last), -1), state)

        ((found,),) = beam_search(
            step,
            None,
            start=0,
            end=1,
            limits=torch.tensor([500]),
            reorder=lambda state, rows: state,
            options=BeamOptions(beam=2, no_repeat=0),
            expected=None if expected is None else torch.tensor(expected),
        )
        assert (found.tokens, found.ended, found.score) == ([], True, -1.0)
        return asked

    assert steps(None) == 500  # as -5 / ((5 + 500) / 6) is still above -1
    assert 250 <= steps([10]) <= 252  # -2.5 / ((5 + 10) / 6)
    assert steps([501]) == 500  # no more than the limit


def test_a_beam_of_one_takes_the_most_likely_token() -> None:
    tables = Tables(0, 20, 5)
    limits = [*range(1, 21)]
    for sentence, [found] in enumerate(
        tables.search(limits, beam=1, length_penalty=2.0, no_repeat=0)
    ):
        code, token, tokens = 0, tables.V, []
        while token != tables.end and len(tokens) < limits[sentence]:
            code = after(code, token)
            token = int(tables.log_probs[sentence, code].argmax())
            tokens.append(token)
        assert found.ended is (token == tables.end)
        assert found.tokens == tokens[: len(tokens) - found.ended]


def test_the_batch_shrinks() -> None:
    tables = Tables(0, 3, 6)
    tables.log_probs[0, :, tables.end] = 0.0
    tables.log_probs[1:, :, tables.end] = -math.inf
    tables.search([9, 4, 6], beam=2)
    assert tables.asked == [[0, 1, 2], *[[1, 1, 2, 2]] * 3, *[[2, 2]] * 2]
    assert tables.search([]) == []


def test_of_equals_the_first_come_first() -> None:
    tables = Tables(0, 1, 50)
    tables.log_probs[:] = -1.0
    tables.log_probs[0, after(0, 50), 3] = -math.inf
    [found] = tables.search([2], beam=4, best=4, length_penalty=0.0)
    assert [one.tokens for one in found] == [[0, 0], [0, 1], [0, 2], [0, 3]]
    # The end, token 25, is among the first only where nothing else is.
    [found] = tables.search([2], (*range(25),), beam=4, best=4, length_penalty=0.0)
    assert [one.tokens for one in found] == [[], [26], [26, 26], [26, 27]]


def test_where_nothing_may_follow_the_best_so_far_is_returned() -> None:
    tables = Tables(1, 2, 4)
    tables.log_probs[0, after(0, 4)] = -math.inf
    tables.log_probs[1, :, tables.end] = -math.inf
    [[empty], found] = tables.search([5, 5], beam=3, best=2, no_repeat=1, coverage_penalty=0.2)
    assert (empty.tokens, empty.score, empty.ended) == ([], 0.0, False)
    assert empty.attention.shape == (0, 3)
    assert [sorted(one.tokens) for one in found] == [[0, 1, 3]] * 2
    assert [one.ended for one in found] == [False] * 2
    assert found[0].score > found[1].score


def constant(log_probs: list[list[float]], attention: list[list[float]] | None = None) -> Any:
    """A step that answers each of two sentences the same in each row."""

    def step(last: Tensor, state: None) -> Step:
        scores, weights = (
            None if rows is None else torch.tensor(rows).repeat_interleave(len(last) // 2, 0)
            for rows in (log_probs, attention)
        )
        return Step(scores, None, weights)

    return step


def ask(step: Any, **changed: Any) -> list[list[Hypothesis]]:
    arguments: dict[str, Any] = {"start": 0, "end": 1, "limits": torch.tensor([3, 3])} | changed
    chosen = arguments.pop("options", BeamOptions(beam=2))
    return beam_search(step, None, reorder=lambda state, rows: state, options=chosen, **arguments)


def test_padding_does_not_count_for_coverage() -> None:
    chosen = BeamOptions(beam=1, coverage_penalty=0.5, length_penalty=0.0)
    rows = [[-3.0, -1.0]] * 2
    weights = [[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]]
    found = ask(constant(rows, weights), options=chosen)
    # One product and one sum of single precision numbers, and logarithms of exact ones.
    assert found[0][0].score == pytest.approx(-1 + 0.5 * math.log(0.25 * 0.75), rel=1e-6)
    assert found[1][0].score == -1.0


def test_half_precision_is_summed_in_single() -> None:
    tables = Tables(3, 2, 6)
    tables.log_probs = tables.log_probs.bfloat16()
    half = tables.search([8, 8], beam=3)
    tables.log_probs = tables.log_probs.float()
    for [one], [other] in zip(half, tables.search([8, 8], beam=3), strict=True):
        assert (one.tokens, one.score) == (other.tokens, other.score)


def test_scores_may_have_gradients_and_no_attention() -> None:
    row = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    [[found], _] = ask(lambda last, state: Step(row.expand(len(last), 2), None))
    assert (found.tokens, found.log_probability, found.attention) == ([], -2.0, None)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([math.nan, -1.0, -2.0], "got nan for sentence 1"),
        ([-2.0, -1.0, math.nan], "got nan for sentence 1"),
        ([-2.0, math.inf, -3.0], "got inf for sentence 1"),
        ([-2.0, 3.5, -3.0], "at most 0 or -inf, got 3.5 for sentence 1; give the log_softmax"),
    ],
)
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_unsound_scores_are_refused(bad: list[float], message: str, beam: int) -> None:
    with pytest.raises(DataError, match=message):
        ask(constant([[-1.0, -2.0, -3.0], bad]), options=BeamOptions(beam=beam))


def test_unsound_attention_is_refused() -> None:
    chosen = BeamOptions(coverage_penalty=0.1)
    for bad in (math.nan, -0.5):
        with pytest.raises(DataError, match="expected attention of at least 0, got"):
            ask(constant([[-1.0, -0.5]] * 2, [[0.5, 0.5], [0.5, bad]]), options=chosen)


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"log_probs of shape \(2, any\), .*, got \(3, 2\)"):
        ask(constant([[-1.0, -0.5]] * 3))
    with pytest.raises(ShapeError, match=r"attention of shape \(2, any\), .*, got \(1, 2\)"):
        ask(constant([[-1.0, -0.5]] * 2, [[0.5, 0.5]]))


@pytest.mark.parametrize("answers", [[True, False], [False, True]])
def test_attention_now_and_then_is_refused(answers: list[bool]) -> None:
    there = iter(answers)

    def step(last: Tensor, state: None) -> Step:
        weights = torch.ones(len(last), 1) if next(there) else None
        return Step(torch.full((len(last), 3), -1.0), None, weights)

    with pytest.raises(ShapeError, match="in all steps or in none"):
        ask(step)


def test_impossible_questions_are_refused() -> None:
    step = constant([[-1.0, -0.5]] * 2)
    with pytest.raises(OptionError, match="'coverage_penalty' expects a step that returns attent"):
        ask(step, options=BeamOptions(coverage_penalty=0.1))
    for changed in ({"end": 2}, {"end": -1}, {"forbidden": [0, 2]}):
        with pytest.raises(OptionError, match="among the 2 tokens that the step scores, got"):
            ask(step, **changed)
    with pytest.raises(DataError, match="at least 1 token, got 0 for sentence 1"):
        ask(step, limits=torch.tensor([3, 0]))


def test_options_out_of_range_are_refused() -> None:
    bad = {
        "best": 6,
        "beam": 0,
        "length_penalty": math.inf,
        "coverage_penalty": -1,
        "no_repeat": -1,
    }
    for name, value in bad.items():
        with pytest.raises(OptionError, match=name):
            BeamOptions(**{name: value})
