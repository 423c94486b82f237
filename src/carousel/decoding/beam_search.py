"""The most likely sequences of a step function, by beam search over a batch of sentences.

Knows only the step function and how its state is reordered: no model, and no text.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from carousel.errors import DataError, OptionError, ShapeError
from carousel.options import option, options


@options
class BeamOptions:
    """Options of a beam search: how many hypotheses it follows, and how it ranks those that ended.

    Raises:
        OptionError: for a value out of its range, ``best`` above ``beam``, or an unknown name.
    """

    beam: int = option(
        default=5,
        help="how many hypotheses of a sentence are followed; 1 always takes the most likely token",
        unit="hypotheses",
        low=1,
        high=1_000,
    )
    length_penalty: float = option(
        default=1.0,
        help="how strongly a score is divided by the length: more favours long ones, 0 short ones",
        low=0.0,
        high=10.0,
        source="α in arXiv:1609.08144, equation 14",
    )
    coverage_penalty: float = option(
        default=0.0,
        help="how much hypotheses lose that attend too little to parts of the source; 0 nothing",
        low=0.0,
        high=1_000.0,
        source="β in arXiv:1609.08144, equation 15",
    )
    best: int = option(
        default=1,
        help="how many of the best hypotheses are returned, at most as many as the beam has",
        unit="hypotheses",
        low=1,
    )
    no_repeat: int = option(
        default=6,
        help="no run of so many tokens comes twice in a hypothesis; 0 allows all",
        unit="tokens",
        low=0,
    )

    def __post_init__(self) -> None:
        """Refuses more results than hypotheses."""
        if self.best > self.beam:
            raise OptionError(
                f"option 'best' expects at most the beam, {self.beam}, got {self.best}; widen it"
            )


class Step(NamedTuple):
    """What a step function answers for its N rows.

    Args:
        log_probs: (N, V), of each token as the next one; -inf forbids it.
        state: of N rows, of whichever kind.
        attention: (N, S), the weights over the source; 0 for its padding and only there, as a
            position whose weights are all 0 does not count for coverage.
    """

    log_probs: Tensor
    state: Any
    attention: Tensor | None = None


@dataclass(frozen=True, eq=False)  # tensors have no equality that would serve
class Hypothesis:
    """One sequence that a beam search found.

    Args:
        tokens: without start and end.
        score: what it is ranked by; see ``beam_search``.
        log_probability: the sum over its tokens, and over its end if it ended.
        attention: (T, S), a row for each of the tokens; None where the step has none.
        ended: False where its limit, or the lack of any token that may follow, cut it.
    """

    tokens: list[int]
    score: float
    log_probability: float
    attention: Float[Tensor, "T S"] | None
    ended: bool


@torch.no_grad()
def beam_search(
    step: Callable[[Int[Tensor, " N"], Any], Step],
    state: Any,
    *,
    start: int,
    end: int,
    limits: Int[Tensor, " B"],
    reorder: Callable[[Any, Int[Tensor, " N"]], Any],
    options: BeamOptions,
    forbidden: Sequence[int] = (),
    expected: Int[Tensor, " B"] | None = None,
) -> list[list[Hypothesis]]:
    """Finds the best sequences of each sentence, whichever others are in the batch.

        score(Y) = log P(Y) / ((5 + |Y|) / 6)^α + β · Σ_i log(min(Σ_j p_ij, 1))

    Y has its end, where it has one, in all three: P, |Y| and the attention p of output j on input
    i. In each step, of all continuations of a sentence in the order of log P, those among the first
    ``beam`` that end are finished, and the first ``beam`` others go on; with a beam of 1 an end
    stops the search. Of equals the one from the earlier place in the beam comes first, then the
    one with the lower token.

    Args:
        step: takes the last tokens, (N,), and the state of N rows, and answers for each row.
        state: of B rows, one a sentence.
        start: the token that the first step takes.
        end: the token that ends a hypothesis.
        limits: the most tokens of each sentence, its end included; on the device of the step.
        reorder: returns the state of the given rows, of which some may come twice and some not.
        options: the width of the beam, and the ranking.
        forbidden: tokens that are never taken.
        expected: the most tokens that are reckoned with once ``options.best`` have ended; by
            default the limits, so that none is overlooked. It bounds the time of limits far above.

    Returns:
        For each sentence at most ``options.best``, distinct: those that ended by their score, then
        those that were cut, by theirs. One at least.

    Raises:
        DataError: for a NaN, a log-probability above 0, attention below 0, or a limit below 1.
        OptionError: for a coverage penalty without attention, or a token the step does not score.
        ShapeError: where the step answers for other rows than its own, or attends only at times.

    Reference:
        Wu et al. 2016, section 7 (arXiv:1609.08144).
    """
    if len(limits) and int(limits.min()) < 1:
        raise DataError(
            f"expected limits of at least 1 token, got {int(limits.min())} for sentence "
            f"{int(limits.argmin())}; raise it, or leave the sentence out"
        )
    usual = limits if expected is None else torch.minimum(limits, expected)
    search = _Search(limits.cpu(), usual.cpu(), end, options, list(forbidden))
    last = torch.full_like(limits, start, dtype=torch.long)
    while len(last):
        log_probs, state, attention = step(last, state)
        rows, last = search.advance(log_probs, attention)
        state = reorder(state, rows) if len(rows) else None
    return search.results()


class _Finished(NamedTuple):
    """A hypothesis, and which of all attended rows are its own."""

    hypothesis: Hypothesis
    trace: list[int]

    def attending(self, rows: Float[Tensor, "N S"]) -> Hypothesis:
        own = torch.tensor(self.trace, dtype=torch.long, device=rows.device)
        return dataclasses.replace(self.hypothesis, attention=rows[own])


class _Search:
    """Where a search stands: of each sentence still going the beam, of each sentence the pool.

    Row ``place · beam + slot`` is that of a slot of the place-th sentence still going. What has V
    or S columns stays on the device of the step; the few numbers that decide come to the CPU.
    """

    def __init__(
        self, limits: Tensor, usual: Tensor, end: int, chosen: BeamOptions, forbidden: list[int]
    ) -> None:
        self.options, self.end = chosen, end
        self.forbidden = torch.tensor(forbidden, dtype=torch.long)
        # A row has one end at most, so that twice the beam holds enough others to fill it again.
        # Greedy search keeps no second: its first end is its last.
        self.width = 2 * chosen.beam if chosen.beam > 1 else 1
        self.pools: list[list[_Finished]] = [[] for _ in limits]
        # Of each sentence still going: its number, its limit, the length penalty at the usual one,
        # and the score that a new hypothesis has to exceed, -inf until `best` have ended.
        self.sentences = torch.arange(len(limits))
        self.limits = limits
        penalties = [self._length_penalty(length) for length in usual.tolist()]
        self.longest = torch.tensor(penalties, dtype=torch.float64)
        self.worst = torch.full((len(limits),), -math.inf, dtype=torch.float64)
        # Of each row: log P, its tokens, and the attended rows it came through.
        self.total = torch.zeros(len(limits), 1)
        self.tokens = torch.empty(len(limits), 0, dtype=torch.long)
        self.trace = torch.empty(len(limits), 0, dtype=torch.long)
        self.coverage: Tensor | None = None
        self.attentions: list[Tensor] = []

    def advance(
        self, log_probs: Tensor, attention: Tensor | None
    ) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
        """Returns which rows go on, and with which token, on the device of the step."""
        self._check(log_probs, attention)
        beam, (places, slots) = self.options.beam, self.total.shape
        total, index = self._candidates(log_probs)
        own = torch.arange(places * slots).view(places, slots)
        rows, tokens = index // log_probs.shape[1] + own[:, :1], index % log_probs.shape[1]

        died = total[:, :1] == -math.inf
        self._finish(died & (self.total > -math.inf), self.total, own, ended=False)
        self._attend(attention)
        ends = tokens == self.end
        closed = ends & (total > -math.inf)
        closed[:, beam:] = False
        self._finish(closed, total, rows, ended=True)

        order = ends.byte().sort(dim=-1, stable=True).indices[:, :beam]
        total = total.masked_fill(ends, -math.inf).gather(-1, order)
        rows, tokens = rows.gather(-1, order), tokens.gather(-1, order)
        # Where fewer go on, the first stands in: a row that the step has an answer for.
        free = total == -math.inf
        rows, tokens = (torch.where(free, part[:, :1], part) for part in (rows, tokens))
        cut = self.limits == self.tokens.shape[1] + 1
        self._finish(cut[:, None] & ~free, total, rows, ended=False, last=tokens)

        # The bound: however a hypothesis goes on, its log P does not rise, its length penalty is at
        # most that of the expected length, if it gets no longer, and coverage adds nothing. So its
        # score, as log P is not above 0, will be at most (log P now) / (that penalty); rounding
        # keeps the order. Of equals the one that ended first stays: reaching it does not beat it.
        going = ~cut & (total[:, 0].double() / self.longest > self.worst)
        self.sentences, self.limits = self.sentences[going], self.limits[going]
        self.longest, self.worst, self.total = self.longest[going], self.worst[going], total[going]
        kept, last = rows[going].flatten(), tokens[going].flatten()
        self.tokens = torch.cat([self.tokens[kept], last[:, None]], 1)
        self.trace = self.trace[kept]
        there = kept.to(log_probs.device)
        if self.coverage is not None:
            self.coverage = self.coverage[there]
        return there, last.to(log_probs.device)

    def results(self) -> list[list[Hypothesis]]:
        """Returns the pools, with the attention of what is in them."""
        if not self.attentions:
            return [[found.hypothesis for found in pool] for pool in self.pools]
        rows = torch.cat(self.attentions)
        return [[found.attending(rows) for found in pool] for pool in self.pools]

    def _candidates(
        self, log_probs: Float[Tensor, "N V"]
    ) -> tuple[Float[Tensor, "P width"], Int[Tensor, "P width"]]:
        """Returns log P and slot · V + token of the first in that order, -inf where none is."""
        known = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
        sums = known + self.total.to(known).view(-1, 1)
        self._forbid(sums)
        sums = sums.view(len(self.total), -1)
        count = min(self.width, sums.shape[1])
        # topk promises nothing about equals: one more than asked for shows where it had a choice.
        highest = sums.topk(min(count + 1, sums.shape[1]))
        values, index = highest.values.cpu(), highest.indices.cpu()
        self._check_sums(values[:, 0])
        least, next_one = values[:, count - 1 : count], values[:, count:]
        tied = ((least == next_one) & (next_one > -math.inf)).any(-1)
        if tied.any():
            among = sums[tied.to(sums.device)]
            first = _first(among, least[tied].to(sums.device), count)
            index[tied, :count], values[tied, :count] = first.cpu(), among.gather(-1, first).cpu()
        index, order = index[:, :count].sort(-1)
        values, again = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
        spare = (0, self.width - count)
        return F.pad(values, spare, value=-math.inf), F.pad(index.gather(-1, again), spare)

    def _forbid(self, sums: Float[Tensor, "N V"]) -> None:
        """Makes -inf of the tokens never taken, and of those that would repeat a run."""
        sums.index_fill_(-1, self.forbidden.to(sums.device), -math.inf)
        n, length = self.options.no_repeat, self.tokens.shape[1]
        if n and length >= n:
            runs = self.tokens.unfold(1, n, 1)
            begun = (runs[:, :, :-1] == self.tokens[:, None, length - n + 1 :]).all(-1)
            rows, starts = begun.nonzero(as_tuple=True)
            repeated = runs[rows, starts, -1]
            sums[rows.to(sums.device), repeated.to(sums.device)] = -math.inf

    def _attend(self, attention: Float[Tensor, "N S"] | None) -> None:
        if attention is None:
            return
        own = torch.arange(len(attention)) + sum(map(len, self.attentions))
        self.trace = torch.cat([self.trace, own[:, None]], 1)
        self.attentions.append(attention)
        if self.options.coverage_penalty:
            exact = attention.to(torch.promote_types(attention.dtype, torch.float32))
            self.coverage = exact if self.coverage is None else self.coverage + exact

    def _finish(
        self,
        chosen: Bool[Tensor, "P K"],
        total: Float[Tensor, "P K"],
        rows: Int[Tensor, "P K"],
        *,
        ended: bool,
        last: Int[Tensor, "P K"] | None = None,
    ) -> None:
        """Adds the chosen to the pools: what their rows have, then the last token."""
        places = chosen.nonzero()[:, 0]
        if not len(places):
            return
        own = rows[chosen]
        tokens = self.tokens[own]
        if last is not None:
            tokens = torch.cat([tokens, last[chosen][:, None]], 1)
        penalty = self._length_penalty(tokens.shape[1] + ended)
        pools = [self.pools[sentence] for sentence in self.sentences[places].tolist()]
        numbers = total[chosen].tolist(), self._coverage_penalties(own), tokens.tolist()
        traces = self.trace[own, : tokens.shape[1]].tolist()
        for pool, log_probability, coverage, sequence, trace in zip(
            pools, *numbers, traces, strict=True
        ):
            score = log_probability / penalty + coverage
            found = Hypothesis(sequence, score, log_probability, None, ended)
            pool.append(_Finished(found, trace))
            # Stable: of equals the one that was there before stays before.
            pool.sort(key=lambda one: (not one.hypothesis.ended, -one.hypothesis.score))
            del pool[self.options.best :]
        if ended:
            best = self.options.best
            worst = [p[-1].hypothesis.score if len(p) == best else -math.inf for p in pools]
            self.worst[places] = torch.tensor(worst, dtype=torch.float64)

    def _length_penalty(self, length: int) -> float:
        return float(((5 + length) / 6) ** self.options.length_penalty)

    def _coverage_penalties(self, rows: Int[Tensor, " K"]) -> list[float]:
        """Returns β · Σ_i log(min(Σ_j p_ij, 1)) of each row, padding left out."""
        if self.coverage is None:
            return [0.0] * len(rows)
        sums = self.coverage[rows.to(self.coverage.device)].cpu().double()
        if not bool((sums >= 0).all()):
            raise DataError(
                f"expected attention of at least 0, got {sums.min().item():.4g} in the sum over "
                f"a hypothesis; check the model's weights"
            )
        logs = sums.masked_fill(sums == 0, 1.0).clamp(max=1.0).log()
        return [self.options.coverage_penalty * value for value in logs.sum(-1).tolist()]

    def _check(self, log_probs: Tensor, attention: Tensor | None) -> None:
        """Refuses an answer of another shape than the question, or without what is needed."""
        rows, length = self.tokens.shape
        for name, part in (("log_probs", log_probs), ("attention", attention)):
            if part is not None and (part.dim() != 2 or part.shape[0] != rows):
                raise ShapeError(
                    f"expected {name} of shape ({rows}, any), a row for each token that the step "
                    f"was given, got {tuple(part.shape)}; answer for each"
                )
        if length:
            if (attention is None) is bool(self.attentions):
                raise ShapeError("expected attention in all steps or in none; return it always")
            return
        if attention is None and self.options.coverage_penalty:
            raise OptionError(
                "option 'coverage_penalty' expects a step that returns attention, got None; return "
                "it, or set the penalty to 0"
            )
        for token in (self.end, *self.forbidden.tolist()):
            if not 0 <= token < log_probs.shape[1]:
                raise OptionError(
                    f"expected end and forbidden among the {log_probs.shape[1]} tokens that the "
                    f"step scores, got {token}; see whose vocabulary it is"
                )

    def _check_sums(self, highest: Float[Tensor, " P"]) -> None:
        """Refuses a NaN, which topk takes for the highest, and a log P that rose."""
        # Averaged probabilities may be rounded to just above 1.
        rose = highest - self.total[:, 0]
        sound = rose <= 1e-3
        if not bool(sound.all()):
            place = int((~sound).nonzero()[0, 0])
            raise DataError(
                f"expected log-probabilities, at most 0 or -inf, got {rose[place].item():.4g} for "
                f"sentence {int(self.sentences[place])}; give the log_softmax of scores, and check "
                f"the model's weights"
            )


def _first(
    sums: Float[Tensor, "P M"], least: Float[Tensor, "P 1"], count: int
) -> Int[Tensor, "P count"]:
    """Returns where the highest are, in the order of their places; of the least the first."""
    above, equal = sums > least, sums == least
    free = count - above.sum(-1, keepdim=True)
    return (above | (equal & (equal.cumsum(-1) <= free))).nonzero()[:, 1].view(-1, count)
