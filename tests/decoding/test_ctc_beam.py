"""CTC beam search against all paths there are, and against plain loops of the same definition."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.decoding.ctc_references import (
    Ranked,
    TableScorer,
    all_sequences,
    plain_prefix_beam_search,
    random_frames,
    ranked,
)
from torch import Tensor

from carousel.decoding.ctc import CtcResult, force_align, log_likelihood
from carousel.decoding.ctc_beam import (
    PrefixBeamOptions,
    StreamingPrefixBeam,
    prefix_beam_search,
)
from carousel.errors import DataError, OptionError, ShapeError

ALL = {"token_threshold": 0.0, "hypothesis_threshold": math.inf}  # no threshold cuts anything
# Numbers are below 1000, those of 20 frames and their scores. Each frame rounds a dozen times, by
# 2^-53 each, and there are two sums to compare.
CLOSE = 2 * 20 * 12 * 1000 * 2.0**-53


class Asked(NamedTuple):
    log_probs: Tensor
    blank: int
    scorer: TableScorer | None
    options: PrefixBeamOptions

    def search(self) -> list[CtcResult]:
        lengths = torch.tensor([len(self.log_probs)])
        [found] = prefix_beam_search(
            self.log_probs[:, None],
            lengths,
            options=self.options,
            scorer=self.scorer,
            blank=self.blank,
        )
        return found

    def stream(self) -> StreamingPrefixBeam:
        return StreamingPrefixBeam(self.options, scorer=self.scorer, blank=self.blank)


@st.composite
def questions(draw: st.DrawFn, *, frames: int, narrow: bool) -> Asked:
    T, V = draw(st.integers(0, frames)), draw(st.integers(1, 3 + narrow))
    seed, gaps = draw(st.integers(0, 2**32)), draw(st.sampled_from([0.0, 0.2, 0.6]))
    scorer = TableScorer(seed, V, gaps=draw(st.sampled_from([0.0, 0.4])))
    chosen: dict[str, Any] = {
        "scorer_weight": draw(st.sampled_from([0.0, 0.5, 2.0])),
        "token_bonus": draw(st.sampled_from([-0.5, 0.0, 1.5])),
        "beam": 200,
        **ALL,
    }
    if narrow:
        chosen["beam"] = draw(st.integers(1, 6))
        chosen["token_threshold"] = draw(st.sampled_from([0.0, 0.0123, 0.2345, 1.0]))
        chosen["hypothesis_threshold"] = draw(st.sampled_from([0.9876, 5.4321, math.inf]))
    chosen["best"] = chosen["beam"]
    return Asked(
        random_frames(seed, T, V, gaps=gaps),
        draw(st.integers(0, V - 1)),
        scorer if draw(st.booleans()) else None,
        PrefixBeamOptions(**chosen),
    )


def same(found: list[CtcResult], expected: list[Ranked]) -> None:
    """Of all that a reference found, those that the scorer lets end come first."""
    assert [tuple(one.tokens) for one in found] == [one.tokens for one in expected]
    for one, other in zip(found, expected, strict=True):
        for name in ("log_probability", "scorer_score", "score"):
            wanted = getattr(other, name)
            assert getattr(one, name) == pytest.approx(wanted, rel=0, abs=CLOSE)


@given(questions(frames=5, narrow=False))
def test_a_beam_as_wide_as_the_search_finds_all_there_is(asked: Asked) -> None:
    log_probs, blank, scorer, chosen = asked
    every = []
    for tokens, log_probability in all_sequences(log_probs, blank).items():
        before = ranked(tokens, log_probability, scorer, chosen, ended=False)
        if before.score > -math.inf:
            after = ranked(tokens, log_probability, scorer, chosen, ended=True)
            every.append((-after.score, -before.score, after))
    if not every:
        with pytest.raises(DataError, match="expected a scorer that allows something of what fr"):
            asked.search()
        return
    same(asked.search(), [one for _, _, one in sorted(every, key=lambda one: one[:2])])


@settings(max_examples=200)
@given(questions(frames=12, narrow=True))
def test_a_narrow_beam_finds_what_plain_loops_find(asked: Asked) -> None:
    expected, beams = plain_prefix_beam_search(*asked)
    if not all(beams):
        with pytest.raises(DataError, match=f"of what frame {beams.index([]) - 1} allows, got"):
            asked.search()
        return
    found = asked.search()
    same(found, expected)
    assert len({tuple(one.tokens) for one in found}) == len(found)
    for one in found:
        # What fell out of the beam on the way is lost.
        exact = log_likelihood(asked.log_probs, one.tokens, asked.blank)
        assert one.log_probability <= exact + CLOSE


def test_a_prefix_that_comes_back_finds_its_children() -> None:
    chosen, back = PrefixBeamOptions(beam=6, best=6, **ALL), 0
    for seed in range(60):
        asked = Asked(random_frames(seed, 12, 3), 0, None, chosen)
        expected, beams = plain_prefix_beam_search(*asked)
        same(asked.search(), expected)
        for t in range(2, len(beams)):
            ever = {prefix for beam in beams[: t - 1] for prefix in beam}
            again = {*beams[t]} & (ever - {*beams[t - 1]})
            stayed = {*beams[t]} & {*beams[t - 1]} - {()}
            back += bool(again & {prefix[:-1] for prefix in stayed})
    # Else the comparison would not have shown it.
    assert back >= 5


@given(questions(frames=12, narrow=True))
def test_frames_and_confidences_are_those_of_the_alignment(asked: Asked) -> None:
    for one in found_by(asked):
        spans = force_align(asked.log_probs, one.tokens, asked.blank)
        assert one.spans == spans
        p = asked.log_probs.exp()
        assert len(one.confidences) == len(one.tokens)
        for token, (begin, end), confidence in zip(one.tokens, spans, one.confidences, strict=True):
            # Two ways to round an exponential.
            peak = max(p[begin:end, token].tolist())
            assert confidence == pytest.approx(peak, rel=4 * 2.0**-52)


def found_by(asked: Asked) -> list[CtcResult]:
    """The results, of a question that has some."""
    _, beams = plain_prefix_beam_search(*asked)
    assume(all(beams))
    return asked.search()


@given(questions(frames=12, narrow=True), st.lists(st.integers(0, 12), max_size=5))
def test_no_cut_changes_a_bit(asked: Asked, cuts: list[int]) -> None:
    whole = found_by(asked)
    stream, shared = asked.stream(), []
    T = len(asked.log_probs)
    places = sorted(min(cut, T) for cut in cuts)
    for begin, end in zip([0, *places], [*places, T], strict=True):
        stream.feed(asked.log_probs[begin:end])
        # Looking changes nothing, the last word neither.
        now, stable, best = stream.finish(), stream.stable(), stream.partial()
        assert all(one.tokens[: len(stable)] == stable for one in now)
        assert best[: len(stable)] == stable
        assert best in [one.tokens for one in now]
        assert stable[: len(shared)] == shared
        shared = stable
    assert stream.finish() == whole
    # What all share is shared by two of them that differ as early as any.
    every = [one.tokens for one in whole]
    assert all(shared == one[: len(shared)] for one in every)
    longer = {tuple(one[: len(shared) + 1]) for one in every}
    assert len(longer) > 1 or shared == every[0]


@given(questions(frames=12, narrow=True))
def test_what_is_stable_never_changes(asked: Asked) -> None:
    whole, stream = found_by(asked), asked.stream()
    for frame in asked.log_probs:
        stream.feed(frame[None])
        stable = stream.stable()
        assert all(one.tokens[: len(stable)] == stable for one in whole)


def test_something_becomes_stable_and_the_best_is_told() -> None:
    p = torch.tensor([[0.01, 0.98, 0.01], [0.98, 0.01, 0.01], [0.5, 0.01, 0.49], [0.1, 0.1, 0.8]])
    stream = StreamingPrefixBeam(PrefixBeamOptions(hypothesis_threshold=3.0))
    assert stream.partial() == stream.stable() == []
    told = []
    for frame in p.log():
        stream.feed(frame[None])
        told.append((stream.partial(), stream.stable()))
    assert told == [([1], [1]), ([1], [1]), ([1], [1]), ([1, 2], [1])]
    assert stream.finish()[0].tokens == [1, 2]


@settings(max_examples=50)
@given(
    st.lists(questions(frames=9, narrow=True), min_size=1, max_size=4),
    st.sampled_from([math.nan, 7.0, 0.0]),
)
def test_neighbours_and_padding_change_nothing(several: list[Asked], padding: float) -> None:
    V = several[0].log_probs.shape[1]
    several = [one for one in several if one.log_probs.shape[1] == V]
    first = several[0]
    several = [first._replace(log_probs=one.log_probs) for one in several]
    alone = [found_by(one) for one in several]
    batch = torch.full((11, len(several), V), padding, dtype=torch.float64)
    for sentence, one in enumerate(several):
        batch[: len(one.log_probs), sentence] = one.log_probs
    lengths = torch.tensor([len(one.log_probs) for one in several])
    together = prefix_beam_search(
        batch, lengths, options=first.options, scorer=first.scorer, blank=first.blank
    )
    assert together == alone


def decode(
    rows: list[list[float]], scorer: TableScorer | None = None, **chosen: Any
) -> list[CtcResult]:
    """Decodes probabilities; all results."""
    chosen = {"beam": 50, "best": 50, **ALL, **chosen}
    log_probs = torch.tensor(rows, dtype=torch.float64).log()
    return Asked(log_probs, 0, scorer, PrefixBeamOptions(**chosen)).search()


def test_many_paths_outweigh_the_best_one() -> None:
    [one, other] = decode([[0.6, 0.4], [0.6, 0.4]])
    assert (one.tokens, other.tokens) == ([1], [])
    assert math.exp(one.log_probability) == pytest.approx(0.64, rel=CLOSE)
    assert math.exp(other.log_probability) == pytest.approx(0.36, rel=CLOSE)


def test_a_repeated_token_needs_a_blank_between() -> None:
    assert [one.tokens for one in decode([[0.0, 1.0]] * 3)] == [[1]]
    assert [one.tokens for one in decode([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])] == [[1, 1]]


def test_silence_says_nothing() -> None:
    log_probs = torch.tensor([0.999, 5e-4, 5e-4]).log().expand(50, 2, 3)
    long, none = prefix_beam_search(log_probs, torch.tensor([50, 0]), options=PrefixBeamOptions())
    assert (long[0].tokens, long[0].spans, long[0].confidences) == ([], [], [])
    assert none == [CtcResult([], [], [], 0.0, 0.0, 0.0)]
    assert prefix_beam_search(log_probs[:0], torch.tensor([0, 0]), options=PrefixBeamOptions()) == [
        none,
        none,
    ]
    lengths = torch.zeros(0, dtype=torch.long)
    assert prefix_beam_search(log_probs[:, :0], lengths, options=PrefixBeamOptions()) == []
    assert StreamingPrefixBeam(PrefixBeamOptions(), blank=2).finish() == none


def test_a_vocabulary_of_the_blank_alone() -> None:
    [found] = decode([[1.0]] * 3, TableScorer(0, 1))
    assert (found.tokens, found.log_probability) == ([], 0.0)


def test_of_equals_the_first_come_first() -> None:
    rows = [[1 / 4, 1 / 4, 1 / 4, 1 / 4]]
    assert [one.tokens for one in decode(rows)] == [[], [1], [2], [3]]
    assert [one.tokens for one in decode(rows, beam=2, best=2)] == [[], [1]]
    # A single token has three paths, the empty one and two tokens have one.
    assert [one.tokens for one in decode(rows * 2, beam=4, best=4)] == [[1], [2], [3], []]


def test_unlikely_tokens_are_not_tried_but_the_most_likely_one_is() -> None:
    rows = [[0.5, 0.4, 0.1]]
    assert [one.tokens for one in decode(rows, token_threshold=0.2)] == [[], [1]]
    assert [one.tokens for one in decode(rows, token_threshold=0.05)] == [[], [1], [2]]
    assert [one.tokens for one in decode([[0.2, 0.4, 0.4]], token_threshold=0.9)] == [
        [1],
        [2],
        [],
    ]


def test_hypotheses_far_below_the_best_are_given_up() -> None:
    rows = [[0.7, 0.2, 0.1]]
    assert [one.tokens for one in decode(rows, hypothesis_threshold=1.5)] == [[], [1]]
    assert [one.tokens for one in decode(rows, hypothesis_threshold=1.0)] == [[]]
    assert len(decode(rows, hypothesis_threshold=2.0)) == 3


def test_the_bonus_makes_it_longer() -> None:
    rows = [[0.6, 0.4]] * 4
    assert [len(decode(rows, token_bonus=bonus)[0].tokens) for bonus in (-5, 0, 5)] == [0, 1, 2]


class Lexicon(TableScorer):
    """A scorer that allows the words 1 2 and 2 only, and an end where the last one is whole."""

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.rows, self.ends = torch.zeros(3, 3), torch.tensor([0.0, -math.inf, 0.0])
        self.rows[1, 1] = -math.inf

    def code(self, prefix: tuple[int, ...]) -> int:
        return prefix[-1] if prefix else 0


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_lexicon_limits_what_is_said(weight: float) -> None:
    rows = [[0.2, 0.7, 0.1], [0.2, 0.6, 0.2], [0.2, 0.5, 0.3]]
    assert decode(rows)[0].tokens == [1]
    found = decode(rows, Lexicon(), scorer_weight=weight)
    whole = [one.tokens for one in found if one.score > -math.inf]
    assert whole[0] == [1, 2]
    assert sorted(whole) == [[], [1, 2], [2], [2, 1, 2], [2, 2]]
    # In the middle of a word: last, and marked.
    rest = found[len(whole) :]
    assert [one.tokens for one in rest] == [[1], [2, 1], [1, 2, 1]]
    assert {one.scorer_score for one in rest} == {-math.inf}
    # A beam of 1 has nothing else; it is not left without an answer.
    [only] = decode(rows[:1], Lexicon(), beam=1, best=1, scorer_weight=weight)
    assert (only.tokens, only.score) == ([1], -math.inf)
    assert only.log_probability == pytest.approx(math.log(0.7), rel=CLOSE)


def test_where_the_scorer_forbids_all_it_is_said() -> None:
    rows = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    with pytest.raises(DataError, match=r"what frame 2 allows, got -inf for all of it; give the b"):
        decode(rows, Lexicon())


def test_memory_may_be_filled_anew_and_any_precision_is_taken() -> None:
    log_probs = random_frames(0, 8, 4)
    asked = Asked(log_probs, 0, None, PrefixBeamOptions(best=4, **ALL))
    stream, chunk = asked.stream(), torch.empty(2, 4, dtype=torch.float64)
    for begin in range(0, 8, 2):
        chunk.copy_(log_probs[begin : begin + 2])
        stream.feed(chunk)
        chunk.fill_(math.nan)
    assert stream.finish() == asked.search()
    half = log_probs.bfloat16().requires_grad_()
    exact = asked._replace(log_probs=half.detach().double())
    assert asked._replace(log_probs=half).search() == exact.search()


def test_unsound_frames_are_refused_by_their_number() -> None:
    stream = StreamingPrefixBeam(PrefixBeamOptions())
    stream.feed(torch.full((5, 3), -1.0))
    with pytest.raises(DataError, match="got nan in frame 6; give"):
        stream.feed(torch.tensor([[-1.0, -1.0, -1.0], [-1.0, math.nan, -1.0]]))
    log_probs = torch.full((3, 2, 3), -1.0)
    log_probs[2, 1] = math.nan
    with pytest.raises(DataError, match="got nan in frame 2 of sentence 1; give"):
        prefix_beam_search(log_probs, torch.tensor([3, 3]), options=PrefixBeamOptions())


def test_another_number_of_tokens_is_refused() -> None:
    stream = StreamingPrefixBeam(PrefixBeamOptions())
    stream.feed(torch.full((0, 3), -1.0))
    with pytest.raises(ShapeError, match=r"expected 3 tokens, .*, got 4; see"):
        stream.feed(torch.full((2, 4), -1.0))
    stream = StreamingPrefixBeam(PrefixBeamOptions(), scorer=TableScorer(0, 5))
    with pytest.raises(ShapeError, match=r"expected 5 tokens, .*, got 4; see"):
        stream.feed(torch.full((2, 4), -1.0))


def test_a_blank_that_is_no_token_is_refused() -> None:
    with pytest.raises(OptionError, match="expected a blank of 0 or more, got -1"):
        StreamingPrefixBeam(PrefixBeamOptions(), blank=-1)
    with pytest.raises(OptionError, match="a blank among the 4 tokens that are scored, got 4"):
        StreamingPrefixBeam(PrefixBeamOptions(), blank=4).feed(torch.full((2, 4), -1.0))


def test_options_out_of_range_are_refused() -> None:
    bad = {
        "beam": 0,
        "best": 17,
        "scorer_weight": -0.1,
        "token_bonus": math.inf,
        "token_threshold": 1.1,
        "hypothesis_threshold": -1.0,
    }
    for name, value in bad.items():
        with pytest.raises(OptionError, match=name):
            PrefixBeamOptions(**{name: value})
