"""What a search may say: the words of a lexicon, and which of them follow which.

Knows symbols by number; letters and a blank between words become words here and nowhere else.

Letters: W words, M nodes of the lexicon's tree, V symbols with the CTC blank.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from carousel.decoding.ctc_scorer import Scored
from carousel.errors import DataError

_KEPT = 20_000  # rows and histories that are remembered,
_MOST_NUMBERS = 1 << 25  # of no more numbers than these, which are a quarter of a gigabyte,
_LEAST_KEPT = 128  # but for so many, without which a search would work them out again and again
ROOT = 0


def most_kept(numbers: int) -> int:
    """Returns how many things of so many numbers each may be remembered."""
    return max(_LEAST_KEPT, min(_KEPT, _MOST_NUMBERS // max(1, numbers)))


@runtime_checkable
class WordModel(Protocol):
    """Which words follow which, the words known by their numbers, W the end of a sentence.

    Attributes:
        looks_back: over how many words, the end that it begins with among them; None for all.
        size: W + 1.
    """

    looks_back: int | None
    size: int

    def log_probabilities(self, history: tuple[int, ...]) -> Float64[np.ndarray, " W_1"]:
        """Returns ln P of each word, and of the end, after some words, (W + 1,)."""
        ...


class _Place(NamedTuple):
    """Where a prefix stands: the words before, and the part of a word that it has of the next."""

    history: tuple[int, ...]
    node: int
    begun: bool  # whether anything has been said


class Lexicon:
    """Words as a tree of their symbols, each node with the words that go on from it.

    Args:
        words: W different ones, none of them empty.
        symbols: number of every character of theirs, and of " ".

    Raises:
        DataError: for a word with a character that no symbol stands for.
    """

    def __init__(self, words: Sequence[str], symbols: Mapping[str, int]) -> None:
        self.words = sorted(words)
        self.space = symbols[" "]
        self.children: list[dict[int, int]] = [{}]
        ranges: list[list[int]] = [[0, len(self.words)]]
        self.word_at: dict[int, int] = {}
        for number, word in enumerate(self.words):
            node = ROOT
            for character in word:
                if character not in symbols:
                    raise DataError(
                        f"expected words of the symbols that the model was trained with, got "
                        f"{word!r}, in which {character!r} is none; leave the word out"
                    )
                symbol = symbols[character]
                if symbol not in self.children[node]:
                    self.children[node][symbol] = len(self.children)
                    self.children.append({})
                    ranges.append([number, number])
                node = self.children[node][symbol]
                ranges[node][1] = number + 1  # sorted, so that a node's words are neighbours
            self.word_at[node] = number
        self._cuts = np.array(ranges, np.int64).ravel()

    def best_below(self, scores: Float64[np.ndarray, " W"]) -> Float64[np.ndarray, " M"]:
        """Returns of each node the highest score among the words that go on from it."""
        found: np.ndarray = np.maximum.reduceat(np.append(scores, -math.inf), self._cuts)[::2]
        return found.copy()  # not a view of twice as much, for it is kept


class WordScorer:
    """Scores symbols by the words that they spell: no others than the lexicon's are said.

        ln P(w | words before) + β  for each word w, and ln P(end | words before) at the end

    What a word will give at the most is given from its first symbol on and put right symbol by
    symbol, so that a search can compare hypotheses inside of words. Nothing said at all scores 0:
    silence is no sentence of the model's.

    Args:
        lexicon: its words.
        model: of the words' numbers in the lexicon; None where all words are welcome alike, and
            cost nothing.
        symbols: V.
        word_bonus: β.

    Reference: language model look-ahead in a tree of words: Ortmanns, Ney and Eiden (1996),
        doi:10.1109/ICSLP.1996.607215.
    """

    def __init__(
        self, lexicon: Lexicon, model: WordModel | None, symbols: int, word_bonus: float = 0.0
    ) -> None:
        assert model is None or model.size == len(lexicon.words) + 1
        self.lexicon, self.model = lexicon, model
        self.symbols, self.word_bonus = symbols, word_bonus
        self.end = len(lexicon.words)
        self._looks_back = 0 if model is None else model.looks_back
        histories = most_kept(self.end + len(lexicon.children))
        self._after = functools.lru_cache(histories)(self._scores_after)
        self._row = functools.lru_cache(most_kept(symbols))(self._scores_at)

    def start(self) -> Scored:
        """Answers for the empty prefix."""
        begin = _Place((self.end,) * (self._looks_back or 0), ROOT, False)
        return Scored(self._row(begin)[None], [begin])

    def step(self, states: Sequence[Any], tokens: Sequence[int]) -> Scored:
        """Answers for prefixes that are one symbol longer than those of the states."""
        places = [self._next(place, token) for place, token in zip(states, tokens, strict=True)]
        rows = [self._row(place) for place in places]
        return Scored(torch.stack(rows) if rows else torch.zeros(0, self.symbols), places)

    def finish(self, states: Sequence[Any]) -> Tensor:
        """Returns what the end gives to each prefix; none ends within a word or behind a blank."""
        return torch.tensor([self._at_end(place) for place in states], dtype=torch.float64)

    def _next(self, place: _Place, token: int) -> _Place:
        if token != self.lexicon.space:
            return _Place(place.history, self.lexicon.children[place.node][token], True)
        return _Place(self._longer(place), ROOT, True)

    def _longer(self, place: _Place) -> tuple[int, ...]:
        history = (*place.history, self.lexicon.word_at[place.node])
        return history if self._looks_back is None else history[len(history) - self._looks_back :]

    def _at_end(self, place: _Place) -> float:
        if place.node == ROOT:
            return -math.inf if place.begun else 0.0
        if place.node not in self.lexicon.word_at:
            return -math.inf
        words, below = self._after(place.history)
        given = words[self.lexicon.word_at[place.node]] - below[place.node]
        return float(given + self._after(self._longer(place))[0][self.end])

    def _scores_at(self, place: _Place) -> Tensor:
        """Returns what each symbol gives behind a prefix, (V,)."""
        row = torch.full((self.symbols,), -math.inf, dtype=torch.float64)
        words, below = self._after(place.history)
        before = 0.0 if place.node == ROOT else below[place.node]
        for symbol, node in self.lexicon.children[place.node].items():
            row[symbol] = below[node] - before
        if place.node in self.lexicon.word_at:
            row[self.lexicon.space] = words[self.lexicon.word_at[place.node]] - before
        return row

    def _scores_after(self, history: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Returns ln P of each word and the end after some words, with β; and of each node."""
        if self.model is None:
            words = np.zeros(self.end + 1)
        else:
            words = self.model.log_probabilities(history).copy()
        words[: self.end] += self.word_bonus
        return words, self.lexicon.best_below(words[: self.end])
