"""What a CTC beam search may be told of its tokens besides the frames: a scorer of prefixes.

Knows tokens by their number only: whether a scorer counts n-grams, runs an LSTM or looks into a
lexicon is its own affair.

Letters: N prefixes, V tokens with the blank, C tokens that are tried, K of something chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from carousel.errors import DataError, ShapeError


class Scored(NamedTuple):
    """What a scorer answers for N prefixes.

    Args:
        log_scores: (N, V), of each token as the next one: any numbers, as log-probabilities are;
            -inf forbids it. The blank's is not used.
        states: of each prefix what the scorer wants to be given again with it.
    """

    log_scores: Tensor
    states: Sequence[Any]


@runtime_checkable
class Scorer(Protocol):
    """What else is known about the tokens: a language model, a lexicon, or both.

    It must answer the same for a prefix whenever it is asked, and remember nothing but what is in
    the states: those of different prefixes and sentences come in any order.
    """

    def start(self) -> Scored:
        """Answers for the empty prefix, N = 1."""
        ...

    def step(self, states: Sequence[Any], tokens: Sequence[int]) -> Scored:
        """Answers for N prefixes, each one that it answered for before and one token more.

        Args:
            states: of the shorter prefixes; the same may come several times.
            tokens: the last of each prefix, none of them forbidden after the shorter one.
        """
        ...

    def finish(self, states: Sequence[Any]) -> Tensor:
        """Returns how well each of N prefixes may end there, (N,); -inf where it may not."""
        ...


class PrefixScores:
    """The scorer's side of a beam: of each hypothesis its sum, its state, and its row.

    The row has the scores of what may follow. It lies in a slot that it keeps, because copying V
    numbers of each hypothesis in each frame would take longer than the search.

    Args:
        scorer: asked once for each hypothesis that enters the beam.
        weight: what its scores are multiplied by; 0 leaves only what it forbids.
        beam: the most hypotheses there are at once.
    """

    def __init__(self, scorer: Scorer, weight: float, beam: int) -> None:
        self.scorer, self.weight = scorer, weight
        first, self.states = _answer(scorer.start(), 1, None)
        self.rows = np.full((beam, first.shape[1]), -math.inf)
        self.rows[0] = first
        self.slots = np.zeros(1, dtype=np.int64)
        self.sums = np.zeros(1)

    def following(self, tokens: Int[np.ndarray, " C"]) -> Float[np.ndarray, "N C"]:
        """Returns the weighted scores of the tokens after each hypothesis."""
        return weighted(self.rows[self.slots[:, None], tokens], self.weight)

    def follow(
        self,
        sources: Int[np.ndarray, " N"],
        fresh: Bool[np.ndarray, " N"],
        tokens: Int[np.ndarray, " K"],
    ) -> None:
        """Follows the beam by a frame.

        Args:
            sources: of each hypothesis its place before, or that of its parent.
            fresh: whether it is a child.
            tokens: by which each child continues its parent.
        """
        self.slots, self.sums = self.slots[sources], self.sums[sources]
        self.states = [self.states[source] for source in sources.tolist()]
        if not len(tokens):
            return
        self.sums[fresh] += self.rows[self.slots[fresh], tokens]
        children = np.flatnonzero(fresh).tolist()
        parents = [self.states[child] for child in children]
        scored = self.scorer.step(parents, tokens.tolist())
        rows, states = _answer(scored, len(children), self.rows.shape[1])
        for child, state in zip(children, states, strict=True):
            self.states[child] = state
        free = np.ones(len(self.rows), dtype=np.bool_)
        free[self.slots[~fresh]] = False
        self.slots[fresh] = np.flatnonzero(free)[: len(children)]
        self.rows[self.slots[fresh]] = rows

    def finished(self) -> Float[np.ndarray, " N"]:
        """Returns the sums with the scores of the end."""
        ends = _sound(self.scorer.finish(self.states), (len(self.states),))
        sums: np.ndarray = self.sums + ends
        return sums


def weighted(scores: Float[np.ndarray, "*N"], weight: float) -> Float[np.ndarray, "*N"]:
    """Returns the scores times the weight; what is forbidden stays so with a weight of 0 too."""
    return scores * weight if weight else np.where(scores == -math.inf, scores, 0.0)


def _answer(
    scored: Scored, count: int, width: int | None
) -> tuple[Float[np.ndarray, "N V"], list[Any]]:
    """Returns the rows and the states of as many prefixes as were asked for, or refuses them."""
    if len(scored.states) != count:
        raise ShapeError(
            f"expected a scorer's states for {count} prefixes, got {len(scored.states)}; answer "
            f"for each"
        )
    return _sound(scored.log_scores, (count, width)), list(scored.states)


def _sound(scores: Tensor, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns a scorer's scores in double precision; None stands for any number."""
    sizes = zip(scores.shape, shape, strict=False)
    if scores.dim() != len(shape) or any(known not in (size, None) for size, known in sizes):
        wanted = ", ".join("any" if known is None else str(known) for known in shape)
        raise ShapeError(
            f"expected a scorer's scores of shape ({wanted}), got {tuple(scores.shape)}; answer "
            f"for each prefix, with as many tokens each time"
        )
    found: np.ndarray = scores.detach().cpu().double().numpy()
    # Written so that a NaN is unsound.
    if not (found < math.inf).all():
        bad = found[~(found < math.inf)][0]
        raise DataError(
            f"expected a scorer's scores that are finite, or -inf for what it forbids, got "
            f"{bad}; check its weights"
        )
    return found
