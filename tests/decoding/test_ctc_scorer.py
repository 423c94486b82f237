"""What a scorer is asked and when, and which answers are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.decoding.ctc_references import TableScorer, Tokens, random_frames

from carousel.decoding.ctc_beam import PrefixBeamOptions, StreamingPrefixBeam
from carousel.decoding.ctc_scorer import PrefixScores, Scored, Scorer
from carousel.errors import DataError, ShapeError


def test_a_scorer_is_known_by_its_methods() -> None:
    assert isinstance(TableScorer(0, 3), Scorer)
    assert not isinstance(PrefixBeamOptions(), Scorer)


@given(seed=st.integers(0, 2**32), beam=st.integers(1, 5), weight=st.sampled_from([0.0, 0.5, 2.0]))
def test_the_sums_and_rows_are_those_of_the_prefixes(seed: int, beam: int, weight: float) -> None:
    chance, V = np.random.default_rng(seed), 4
    scorer = TableScorer(seed, V)
    scores, prefixes = PrefixScores(scorer, weight, beam), [()]
    for _ in range(6):
        # Any choice of places and of children will do, also none: the beam decides elsewhere.
        candidates = [(place, token) for place in range(len(prefixes)) for token in range(-1, V)]
        count = min(beam, int(chance.integers(1, 1 + len(candidates))))
        drawn = [candidates[i] for i in chance.permutation(len(candidates))[:count]]
        fresh = np.array([token >= 0 for _, token in drawn])
        tokens = np.array([token for _, token in drawn if token >= 0], dtype=np.int64)
        scores.follow(np.array([place for place, _ in drawn]), fresh, tokens)
        prefixes = [prefixes[at] + ((token,) if token >= 0 else ()) for at, token in drawn]
        # The same sums in the same order.
        assert scores.sums.tolist() == [scorer.sum(prefix) for prefix in prefixes]
        assert scores.states == prefixes
        wanted = weight * torch.stack([scorer.rows[scorer.code(prefix)] for prefix in prefixes])
        assert scores.following(np.array([3, 1])).tolist() == wanted[:, [3, 1]].tolist()
        ends = [scorer.sum(prefix) + scorer.end(prefix) for prefix in prefixes]
        assert scores.finished().tolist() == ends


def test_it_is_asked_once_for_each_prefix_that_enters_the_beam() -> None:
    scorer = TableScorer(1, 3)
    chosen = PrefixBeamOptions(beam=100, token_threshold=0.0, hypothesis_threshold=math.inf)
    search = StreamingPrefixBeam(chosen, scorer=scorer)
    entered: list[Tokens] = []
    for frame in random_frames(1, 4, 3):
        search.feed(frame[None])
        search.finish()
        entered += scorer.asked.pop()
        assert scorer.asked == []
    # Nothing falls out of so wide a beam: all sequences of 1 to 4 of two tokens, but those that
    # would need more frames.
    assert len(entered) == len({*entered})
    assert {(1,), (2,), (1, 2, 1, 2), (1, 1)} <= {*entered}
    assert (1, 1, 1) not in entered


def test_it_is_not_asked_where_nothing_enters() -> None:
    scorer = TableScorer(1, 2)
    search = StreamingPrefixBeam(PrefixBeamOptions(), scorer=scorer)
    search.feed(torch.tensor([[-1e-9, -20.0]]).expand(5, 2))
    assert scorer.asked == []


def test_a_weight_of_0_leaves_what_is_forbidden() -> None:
    scorer = TableScorer(3, 4, gaps=0.5)
    found = PrefixScores(scorer, 0.0, 2).following(np.arange(4))
    wanted = [[-math.inf if value == -math.inf else 0.0 for value in scorer.rows[0].tolist()]]
    assert found.tolist() == wanted
    assert {*wanted[0]} == {0.0, -math.inf}


class Wrong(TableScorer):
    """A scorer some of whose answers are replaced."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(0, 3)
        self.answers = answers

    def start(self) -> Scored:
        return self.answers.get("start", super().start())

    def step(self, states: Sequence[Tokens], tokens: Sequence[int]) -> Scored:
        return self.answers.get("step", super().step(states, tokens))

    def finish(self, states: Sequence[Tokens]) -> torch.Tensor:
        return self.answers.get("finish", super().finish(states))


def ask(scorer: TableScorer) -> None:
    """Asks for all three: two new prefixes in the first frame, three with the empty one."""
    search = StreamingPrefixBeam(PrefixBeamOptions(), scorer=scorer)
    search.feed(torch.full((1, 3), -1.0))
    search.finish()


def test_what_is_right_is_not_refused() -> None:
    ask(Wrong())


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"start": Scored(torch.zeros(3), [()])}, r"of shape \(1, any\), got \(3,\)"),
        ({"start": Scored(torch.zeros(2, 3), [()])}, r"of shape \(1, any\), got \(2, 3\)"),
        ({"start": Scored(torch.zeros(1, 3), [])}, "states for 1 prefixes, got 0"),
        ({"step": Scored(torch.zeros(1, 3), [(), ()])}, r"of shape \(2, 3\), got \(1, 3\)"),
        ({"step": Scored(torch.zeros(2, 4), [(), ()])}, r"of shape \(2, 3\), got \(2, 4\)"),
        ({"step": Scored(torch.zeros(2, 3), [()])}, "states for 2 prefixes, got 1"),
        ({"finish": torch.zeros(2)}, r"of shape \(3\), got \(2,\)"),
        ({"finish": torch.zeros(3, 1)}, r"of shape \(3\), got \(3, 1\)"),
    ],
)
def test_answers_of_another_shape_are_refused(answers: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ask(Wrong(**answers))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_unsound_answers_are_refused(bad: float) -> None:
    def rows(count: int) -> torch.Tensor:
        found = torch.zeros(count, 3)
        found[-1, 2] = bad
        return found

    for answers in (
        {"start": Scored(rows(1), [()])},
        {"step": Scored(rows(2), [(), ()])},
        {"finish": torch.tensor([0.0, bad, 0.0])},
    ):
        with pytest.raises(DataError, match=f"finite, or -inf for what it forbids, got {bad}; ch"):
            ask(Wrong(**answers))


def test_scores_of_any_precision_with_gradients_are_taken() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        scorer = TableScorer(0, 3)
        scorer.rows = scorer.rows.to(dtype).requires_grad_()
        scorer.ends = scorer.ends.to(dtype).requires_grad_()
        ask(scorer)
