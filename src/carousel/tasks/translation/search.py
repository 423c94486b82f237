"""The search for the best translation: what beam search asks of the networks, and in which batches.

Shape letters: S positions of the source, B sentences, N rows, of which each sentence has as many as
the beam has hypotheses, V subwords of the target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from carousel.data.ragged import Ragged
from carousel.decoding.beam_search import BeamOptions, Hypothesis, Step, beam_search
from carousel.nn.attention import Memory
from carousel.tasks.ensembles import mean_log_probs
from carousel.tasks.translation.decoder import DecoderState
from carousel.tasks.translation.network import TranslationNetwork

_SENTENCES = 64  # translated at once, at most
_ROWS = 1_280  # hypotheses of all of them
_POSITIONS = 4_000  # of the source at once, padding included
_LENGTH_RATIO, _LENGTH_SPARE = 2, 20  # a translation has at most 2 S + 20 subwords


class SearchState(NamedTuple):
    """Where a search stands.

    Attributes:
        decoders: of each member, for N rows.
        memories: of each member, for the B sentences whose rows these are, in their order.
    """

    decoders: list[DecoderState]
    memories: list[Memory]


def usual_limits(lengths: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Returns the most subwords of a translation, its end included, by the source's length."""
    return _LENGTH_RATIO * lengths + _LENGTH_SPARE


class Searcher:
    """Translates batches of sentences with a network.

    Args:
        network: in evaluation mode.
        end: number of the sentence's end in the target's vocabulary.
        options: of the search.
        most: most subwords of a translation, its end included; None for a limit by the source's
            length.
    """

    def __init__(
        self, network: TranslationNetwork, end: int, options: BeamOptions, most: int | None = None
    ) -> None:
        self.network, self.end, self.options, self.most = network, end, options, most
        self.device = next(network.parameters()).device

    def search(
        self, sources: Ragged, progress: Callable[[int, int], None] | None = None
    ) -> list[list[Hypothesis]]:
        """Returns the best hypotheses of each source, in the order of the sources.

        Args:
            sources: in subwords, each with its end.
            progress: told how many are done, and of how many.
        """
        found: list[list[Hypothesis]] = [[] for _ in range(len(sources))]
        done = 0
        for rows in batches_by_length(sources.lengths, max(1, _ROWS // self.options.beam)):
            for row, hypotheses in zip(rows, self._search(sources, rows), strict=True):
                found[row] = hypotheses
            done += len(rows)
            if progress is not None:
                progress(done, len(sources))
        return found

    @torch.inference_mode()
    def _search(self, sources: Ragged, rows: np.ndarray) -> list[list[Hypothesis]]:
        tokens, lengths = (part.to(self.device) for part in sources.padded(rows))
        read = [member.read(tokens, lengths) for member in self.network.members]
        usual = usual_limits(lengths)
        return beam_search(
            self._step,
            SearchState([one.begin for one in read], [one.memory for one in read]),
            start=self.end,
            end=self.end,
            limits=usual if self.most is None else torch.full_like(usual, self.most),
            expected=usual,
            reorder=reordered,
            options=self.options,
        )

    def _step(self, last: Int[Tensor, " N"], state: SearchState) -> Step:
        scores, weights, after = [], [], []
        for member, begin, memory in zip(
            self.network.members, state.decoders, state.memories, strict=True
        ):
            decoded = member.decoder(last[None], begin, memory)
            scores.append(member.output(decoded.features[0]))
            weights.append(decoded.weights[0])
            after.append(decoded.state)
        attention = weights[0] if len(weights) == 1 else torch.stack(weights).mean(0)
        return Step(mean_log_probs(scores), SearchState(after, state.memories), attention)


def reordered(state: SearchState, rows: Int[Tensor, " M"]) -> SearchState:
    """Returns the state of the given rows; the memory is copied only where a sentence is done.

    A beam search names the rows of one sentence behind each other, as many for each.
    """
    before = state.decoders[0].layers[0].h.shape[1]
    sentences = state.memories[0].mask.shape[1]
    owners = rows // (before // sentences)
    # The rows of a sentence all have its number; as many numbers as there are sentences left.
    left = torch.unique_consecutive(owners)
    memories = state.memories
    if len(left) < sentences:
        memories = [memory.select(left) for memory in memories]
    return SearchState([decoder.select(rows) for decoder in state.decoders], memories)


def batches_by_length(lengths: np.ndarray, most: int = _SENTENCES) -> list[np.ndarray]:
    """Returns the numbers of sentences that are translated together: those of similar length.

    Args:
        lengths: (N,) of the sources.
        most: sentences of a batch.
    """
    order = np.argsort(lengths, kind="stable")
    batches: list[np.ndarray] = []
    begin = 0
    while begin < len(order):
        some = order[begin : begin + min(most, _SENTENCES)]
        fitting = np.arange(1, len(some) + 1) * np.maximum(lengths[some], 1) <= _POSITIONS
        count = max(1, int(fitting.sum()))
        batches.append(some[:count])
        begin += count
    return batches


def search_words(options: BeamOptions) -> str:
    """Returns in words how translations were searched for."""
    usual = options.no_repeat == BeamOptions().no_repeat
    repeats = "" if usual else f", no_repeat {options.no_repeat}"
    if options.beam == 1:
        return f"greedy search{repeats}"
    words = f"beam of {options.beam}, length penalty {options.length_penalty:g}"
    if options.coverage_penalty:
        words += f", coverage penalty {options.coverage_penalty:g}"
    return words + repeats
