"""CTC prefix beam search: the sequence that most paths say, chunk by chunk, with a scorer's word.

Knows only log-probabilities and a scorer's steps: no model, no words, and no text.

Letters: T frames, B sentences, V tokens with the blank, N hypotheses of a beam, C tokens that are
tried in a frame, K of something chosen.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from carousel.decoding.ctc import CtcResult, aligned, checked_frames, confidences, sentences
from carousel.decoding.ctc_scorer import PrefixScores, Scorer, weighted
from carousel.errors import DataError, OptionError, ShapeError
from carousel.options import option, options


@options
class PrefixBeamOptions:
    """Options of a CTC prefix beam search: what it follows, and how it ranks it.

    Raises:
        OptionError: for a value out of its range, ``best`` above ``beam``, or an unknown name.
    """

    beam: int = option(
        default=16,
        help="how many hypotheses of a sentence are followed",
        unit="hypotheses",
        low=1,
    )
    best: int = option(
        default=1,
        help="how many of the best hypotheses are returned, at most as many as the beam has",
        unit="hypotheses",
        low=1,
    )
    scorer_weight: float = option(
        default=1.0,
        help="how much the scorer counts, where there is one; with 0 it only forbids",
        low=0.0,
        high=1_000.0,
        source="α in arXiv:1408.2873, section 2.2",
    )
    token_bonus: float = option(
        default=0.0,
        help="what each token of a hypothesis adds to its score; above 0 for longer ones",
        unit="nats",
        low=-1_000.0,
        high=1_000.0,
        source="β in arXiv:1408.2873, section 2.2, there for each word",
    )
    token_threshold: float = option(
        default=1e-3,
        help="a token less likely than this in a frame makes no new hypotheses there, unless it "
        "is the most likely one; 0 tries all",
        low=0.0,
        high=1.0,
    )
    hypothesis_threshold: float = option(
        default=20.0,
        help="a hypothesis whose score is further below the best is given up; inf for none",
        unit="nats",
        low=0.0,
    )

    def __post_init__(self) -> None:
        """Refuses more results than hypotheses."""
        if self.best > self.beam:
            raise OptionError(
                f"option 'best' expects at most the beam, {self.beam}, got {self.best}; widen it"
            )


def prefix_beam_search(
    log_probs: Float[Tensor, "T B V"],
    lengths: Int[Tensor, " B"],
    *,
    options: PrefixBeamOptions,
    scorer: Scorer | None = None,
    blank: int = 0,
) -> list[list[CtcResult]]:
    """Finds the best sequences of each sentence; see ``StreamingPrefixBeam``.

    Args:
        log_probs: of each token in each frame; -inf forbids it. Padding may hold anything.
        lengths: in frames, 0 or more.
        options: the width of the beam, and the ranking.
        scorer: what else is known about the tokens.
        blank: the token that is the blank.

    Returns:
        For each sentence at most ``options.best``, distinct, by their score. One at least.

    Raises:
        DataError: for a NaN, a log-probability above 0, a frame that forbids all tokens, a length
            out of range, a score that is NaN or inf, or a scorer that forbids all that the frames
            allow.
        OptionError: for a blank that is no token.
        ShapeError: where the shapes are not (T, B, V) and (B,), or the scorer answers in others.

    Reference:
        Hannun et al. 2014, algorithm 1 (arXiv:1408.2873); Graves 2012 (arXiv:1211.3711).
    """
    found = []
    for frames in sentences(log_probs, lengths, blank):
        search = StreamingPrefixBeam(options, scorer=scorer, blank=blank)
        search.feed(torch.from_numpy(frames))
        found.append(search.finish())
    return found


class StreamingPrefixBeam:
    """A CTC prefix beam search that is fed a sentence in chunks; the cuts change no bit of it.

        score(Y) = log P(Y) + α · scorer(Y) + β · |Y|

    log P(Y) sums over the paths that say Y and whose every beginning says what was in the beam
    then: all paths, where the beam is wide and the thresholds are 0 and inf. In each frame the
    hypotheses and their continuations by one token are ranked by the score, and the first ``beam``
    go on. Of equals those that were there before come first, in their order; then new ones, by the
    place of what they continue, then by their token.

    Memory grows with the frames, at a few kilobytes each: finish where the speaker pauses.

    Args:
        options: the width of the beam, and the ranking.
        scorer: what else is known about the tokens.
        blank: the token that is the blank.

    Raises:
        DataError, ShapeError: for what the scorer answers, see ``prefix_beam_search``.
        OptionError: for a blank that is no token.
    """

    def __init__(
        self, options: PrefixBeamOptions, *, scorer: Scorer | None = None, blank: int = 0
    ) -> None:
        if blank < 0:
            raise OptionError(f"expected a blank of 0 or more, got {blank}; give its number")
        self.options, self.blank = options, blank
        threshold = options.token_threshold
        self._least = math.log(threshold) if threshold else -math.inf
        self._scores = (
            None if scorer is None else PrefixScores(scorer, options.scorer_weight, options.beam)
        )
        self._tree = _Tree()
        self._beam = _Beam.of_the_empty_prefix(blank)
        self._frames: list[np.ndarray] = []
        self._count = 0

    def feed(self, log_probs: Float[Tensor, "T V"]) -> None:
        """Takes the next frames of the sentence, 0 or more.

        Raises:
            DataError, OptionError, ShapeError: see ``prefix_beam_search``.
        """
        # A copy, because the caller may fill the same memory with the next chunk.
        frames = checked_frames(log_probs, self.blank, first=self._count).copy()
        known = self._frames[0] if self._frames else frames
        V = known.shape[1] if self._scores is None else self._scores.rows.shape[1]
        if frames.shape[1] != V:
            raise ShapeError(
                f"expected {V} tokens, as many as the scorer or the frames before have, got "
                f"{frames.shape[1]}; see whose vocabulary it is"
            )
        self._frames.append(frames)
        tried = frames >= np.minimum(frames.max(1, keepdims=True), self._least)
        tried[:, self.blank] = False
        for frame, those in zip(frames, tried, strict=True):
            self._advance(frame, np.flatnonzero(those))
            self._count += 1

    def partial(self) -> list[int]:
        """Returns the tokens of the best hypothesis so far, as if more were to come."""
        return self._tree.tokens(int(self._beam.nodes[0]))

    def stable(self) -> list[int]:
        """Returns the first tokens that all hypotheses share: every later result has them."""
        return self._tree.shared(self._beam.nodes.tolist())

    def finish(self) -> list[CtcResult]:
        """Returns the results, as if the sentence ended here; more frames may follow all the same.

        Returns:
            At most ``options.best``, distinct, by their score, of equals the one that was better
            before its end. Those that the scorer forbids to end come last, with a score of -inf,
            in the order from before. One at least.

        Raises:
            DataError, ShapeError: for what the scorer answers, see ``prefix_beam_search``.
        """
        beam = self._beam
        log_probability = np.logaddexp(beam.log_blank, beam.log_token)
        given = np.zeros(len(beam.nodes)) if self._scores is None else self._scores.finished()
        score = log_probability + self._ranking(given)
        frames = np.concatenate(self._frames) if self._frames else np.zeros((0, self.blank + 1))
        results = []
        for place in np.argsort(-score, kind="stable")[: self.options.best].tolist():
            tokens = self._tree.tokens(int(beam.nodes[place]))
            spans = aligned(frames, tokens, self.blank)
            numbers = [float(part[place]) for part in (log_probability, given, score)]
            results.append(CtcResult(tokens, spans, confidences(frames, tokens, spans), *numbers))
        return results

    def _advance(self, frame: Float[np.ndarray, " V"], tokens: Int[np.ndarray, " C"]) -> None:
        """Takes a frame, in which these tokens may make new hypotheses."""
        beam, bonus = self._beam, self.options.token_bonus
        N, C = len(beam.nodes), len(tokens)
        log_blank, log_token, log_new = _continued(beam, frame, tokens, self.blank)
        ranking = self._ranking(np.zeros(N) if self._scores is None else self._scores.sums)
        kept = np.logaddexp(log_blank, log_token) + ranking
        added = log_new + (ranking + bonus)[:, None]
        if self._scores is not None:
            added += self._scores.following(tokens)
        scores = np.concatenate([kept, added.ravel()])
        order = _first(scores, self.options.beam, self.options.hypothesis_threshold)
        if not len(order):
            raise DataError(
                f"expected a scorer that allows something of what frame {self._count} allows, got "
                f"-inf for all of it; give the blank a probability, or widen the beam"
            )
        fresh = order >= N
        rows, columns = np.divmod(order[fresh] - N, max(C, 1))
        sources = order.copy()
        sources[fresh] = rows
        self._beam = beam.taken(sources, log_blank, log_token)
        if len(rows):
            parents, lasts = beam.nodes[rows], tokens[columns]
            nodes = [*map(self._tree.child, parents.tolist(), lasts.tolist())]
            self._beam.replace(fresh, nodes, parents, lasts, log_new[rows, columns])
        if self._scores is not None:
            self._scores.follow(sources, fresh, tokens[columns])

    def _ranking(self, given: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """Returns what is added to log P: α · scorer + β · length."""
        bonus = self.options.token_bonus * self._beam.lengths
        return weighted(given, self.options.scorer_weight) + bonus


class _Tree:
    """The prefixes that were ever in the beam: the number of each, 0 for the empty one.

    A prefix that comes back has the number it had, so that its children, which may have stayed,
    are its children again. A child's number is above its parent's.
    """

    def __init__(self) -> None:
        self.parents, self.lasts = [-1], [-1]
        self.numbers: dict[tuple[int, int], int] = {}

    def child(self, parent: int, token: int) -> int:
        """Returns the number of a prefix and one token more."""
        number = self.numbers.setdefault((parent, token), len(self.parents))
        if number == len(self.parents):
            self.parents.append(parent)
            self.lasts.append(token)
        return number

    def tokens(self, node: int) -> list[int]:
        found = []
        while node:
            found.append(self.lasts[node])
            node = self.parents[node]
        return found[::-1]

    def shared(self, nodes: Sequence[int]) -> list[int]:
        """Returns the tokens that all these prefixes begin with."""
        common = nodes[0]
        for node in nodes:
            # Of two different ones the one of the higher number is no ancestor of the other.
            while node != common:
                node, common = min(node, common), self.parents[max(node, common)]
        return self.tokens(common)


@dataclass
class _Beam:
    """The hypotheses, the best first.

    Args:
        nodes: their numbers in the tree.
        parents: the numbers of their parents, -1 for that of the empty prefix.
        lasts: their last tokens, the blank for the empty prefix, which no token repeats.
        lengths: in tokens.
        log_blank: log P of their paths that end in a blank.
        log_token: log P of their paths that end in their last token.
    """

    nodes: Int[np.ndarray, " N"]
    parents: Int[np.ndarray, " N"]
    lasts: Int[np.ndarray, " N"]
    lengths: Int[np.ndarray, " N"]
    log_blank: Float[np.ndarray, " N"]
    log_token: Float[np.ndarray, " N"]

    @classmethod
    def of_the_empty_prefix(cls, blank: int) -> _Beam:
        nodes, parents, lasts, lengths = (np.array([number]) for number in (0, -1, blank, 0))
        return cls(nodes, parents, lasts, lengths, np.zeros(1), np.full(1, -math.inf))

    def taken(
        self,
        sources: Int[np.ndarray, " K"],
        log_blank: Float[np.ndarray, " N"],
        log_token: Float[np.ndarray, " N"],
    ) -> _Beam:
        """Returns the hypotheses of these places, with the log P of the next frame."""
        kept = (self.nodes, self.parents, self.lasts, self.lengths, log_blank, log_token)
        return _Beam(*(part[sources] for part in kept))

    def replace(
        self,
        fresh: Bool[np.ndarray, " N"],
        nodes: list[int],
        parents: Int[np.ndarray, " K"],
        lasts: Int[np.ndarray, " K"],
        log_token: Float[np.ndarray, " K"],
    ) -> None:
        """Puts children where their parents were taken."""
        self.nodes[fresh], self.parents[fresh], self.lasts[fresh] = nodes, parents, lasts
        self.lengths[fresh] += 1
        self.log_blank[fresh], self.log_token[fresh] = -math.inf, log_token


def _continued(
    beam: _Beam, frame: Float[np.ndarray, " V"], tokens: Int[np.ndarray, " C"], blank: int
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, "N C"]]:
    """Returns log P after a frame.

    Returns:
        log_blank: of each hypothesis, of the paths that end in a blank.
        log_token: of each hypothesis, of the paths that end in its last token.
        log_new: of each hypothesis continued by each token; -inf where that is in the beam too.
    """
    total = np.logaddexp(beam.log_blank, beam.log_token)
    log_blank = total + frame[blank]
    log_token = beam.log_token + frame[beam.lasts]
    # The paths of a parent in the beam that say its child's token now say the child. After the
    # same token only those with a blank between do.
    child, parent = np.nonzero(beam.parents[:, None] == beam.nodes)
    last = beam.lasts[child]
    before = np.where(last == beam.lasts[parent], beam.log_blank[parent], total[parent])
    log_token[child] = np.logaddexp(log_token[child], before + frame[last])

    column = np.full(len(frame), -1)
    column[tokens] = np.arange(len(tokens))
    log_new = total[:, None] + frame[tokens]
    again = np.flatnonzero(column[beam.lasts] >= 0)
    repeated = beam.lasts[again]
    log_new[again, column[repeated]] = beam.log_blank[again] + frame[repeated]
    there = column[last] >= 0
    log_new[parent[there], column[last[there]]] = -math.inf
    return log_blank, log_token, log_new


def _first(scores: Float[np.ndarray, " M"], count: int, margin: float) -> Int[np.ndarray, " K"]:
    """Returns where the highest are, the best first, of equals the first; never one of -inf."""
    # The lowest of all numbers is above -inf.
    least = max(float(scores.max()) - margin, -sys.float_info.max)
    places = np.flatnonzero(scores >= least)
    if len(places) > count:
        # Sorting all would take longer than the rest of the search.
        values = scores[places]
        places = places[values >= np.partition(values, -count)[-count]]
    return places[np.argsort(-scores[places], kind="stable")[:count]]
