"""CTC in plain loops: all paths of a small sentence, a scorer, and a prefix beam search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.decoding.ctc_scorer import Scored

Tokens = tuple[int, ...]
CODES = 61  # a prefix is told from nearly all others by its code


def random_frames(seed: int, T: int, V: int, *, gaps: float = 0.0) -> Tensor:
    """Returns (T, V) log-probabilities, a share of them -inf, but not all of a frame."""
    chance = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(T, V, generator=chance, dtype=torch.float64)
    forbidden = torch.rand(T, V, generator=chance) < gaps
    forbidden.scatter_(1, torch.randint(V, (T, 1), generator=chance), False)
    return scores.masked_fill(forbidden, -math.inf).log_softmax(-1)


def said_by(path: Sequence[int], blank: int) -> Tokens:
    return tuple(token for token, _ in itertools.groupby(path) if token != blank)


def all_paths(log_probs: Tensor, blank: int) -> dict[Tokens, list[tuple[float, Tokens]]]:
    """Returns of each sequence the possible paths that say it, each with its probability."""
    frames, found = log_probs.tolist(), {}
    V = log_probs.shape[1]
    for path in itertools.product(range(V), repeat=len(frames)):
        p = math.exp(math.fsum(frame[token] for frame, token in zip(frames, path, strict=True)))
        if p > 0:
            found.setdefault(said_by(path, blank), []).append((p, path))
    return found


def all_sequences(log_probs: Tensor, blank: int) -> dict[Tokens, float]:
    """Returns the log-probability of each sequence that some path says."""
    return {
        tokens: math.log(math.fsum(p for p, _ in paths))
        for tokens, paths in all_paths(log_probs, blank).items()
    }


class TableScorer:
    """A scorer whose answers hang on the whole prefix, which is its state.

    Args:
        gaps: the share of tokens that may not follow, and of prefixes that may not end.
    """

    def __init__(self, seed: int, V: int, *, gaps: float = 0.0) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.rows = torch.randn(CODES, V, generator=chance, dtype=torch.float64)
        self.ends = torch.randn(CODES, generator=chance, dtype=torch.float64)
        for part in (self.rows, self.ends):
            part[torch.rand(part.shape, generator=chance) < gaps] = -math.inf
        self.asked: list[list[Tokens]] = []

    def code(self, prefix: Tokens) -> int:
        code = 0
        for token in prefix:
            code = (code * 7 + token + 1) % CODES
        return code

    def start(self) -> Scored:
        return Scored(self.rows[:1], [()])

    def step(self, states: Sequence[Tokens], tokens: Sequence[int]) -> Scored:
        prefixes = [(*state, token) for state, token in zip(states, tokens, strict=True)]
        self.asked.append(prefixes)
        return Scored(self.rows[[self.code(prefix) for prefix in prefixes]], prefixes)

    def finish(self, states: Sequence[Tokens]) -> Tensor:
        return self.ends[[self.code(state) for state in states]]

    def sum(self, tokens: Tokens) -> float:
        """Returns what the tokens have, without an end."""
        rows = (self.rows[self.code(tokens[:place])] for place in range(len(tokens)))
        return sum((float(row[token]) for row, token in zip(rows, tokens, strict=True)), 0.0)

    def end(self, tokens: Tokens) -> float:
        return float(self.ends[self.code(tokens)])


class Ranked(NamedTuple):
    tokens: Tokens
    log_probability: float
    scorer_score: float
    score: float


def ranked(
    tokens: Tokens, log_probability: float, scorer: TableScorer | None, chosen: Any, *, ended: bool
) -> Ranked:
    """Returns a prefix with its score; -inf where the scorer forbids it, whatever its weight."""
    given = 0.0
    if scorer is not None:
        given = scorer.sum(tokens) + (scorer.end(tokens) if ended else 0.0)
    forbidden = given == -math.inf
    weighted = -math.inf if forbidden else chosen.scorer_weight * given
    score = log_probability + weighted + chosen.token_bonus * len(tokens)
    return Ranked(tokens, log_probability, given, score)


def plain_prefix_beam_search(
    log_probs: Tensor, blank: int, scorer: TableScorer | None, chosen: Any
) -> tuple[list[Ranked], list[list[Tokens]]]:
    """Returns all that is in the last beam, the best first, and of each frame what was in its."""
    beam: dict[Tokens, tuple[float, float]] = {(): (0.0, -math.inf)}
    beams = [[*beam]]
    for frame in log_probs.tolist():
        threshold = chosen.token_threshold
        least = min(max(frame), math.log(threshold)) if threshold else -math.inf
        ends: dict[Tokens, list[float]] = {prefix: [-math.inf, -math.inf] for prefix in beam}
        for prefix, (in_blank, in_token) in beam.items():
            total = float(np.logaddexp(in_blank, in_token))
            ends[prefix][0] = total + frame[blank]
            if prefix:
                repeated = in_token + frame[prefix[-1]]
                ends[prefix][1] = float(np.logaddexp(ends[prefix][1], repeated))
            for token, value in enumerate(frame):
                longer = (*prefix, token)
                if token != blank and (longer in beam or value >= least):
                    before = in_blank if prefix[-1:] == (token,) else total
                    there = ends.setdefault(longer, [-math.inf, -math.inf])
                    there[1] = float(np.logaddexp(there[1], before + value))
        found = [
            ranked(prefix, float(np.logaddexp(*both)), scorer, chosen, ended=False)
            for prefix, both in ends.items()
        ]
        # Stable, so that of equals those that were there before come first.
        found.sort(key=lambda one: -one.score)
        floor = found[0].score - chosen.hypothesis_threshold
        kept = [one.tokens for one in found if one.score > -math.inf and one.score >= floor]
        beam = {tokens: (ends[tokens][0], ends[tokens][1]) for tokens in kept[: chosen.beam]}
        beams.append([*beam])
        if not beam:
            break
    last = [
        ranked(tokens, float(np.logaddexp(*both)), scorer, chosen, ended=True)
        for tokens, both in beam.items()
    ]
    return sorted(last, key=lambda one: -one.score), beams
