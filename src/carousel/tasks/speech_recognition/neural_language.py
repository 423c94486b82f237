"""A language model of ours as what a search is told of words or characters beside the sound.

Letters: N prefixes, W words of the lexicon, V symbols with the CTC blank.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from carousel.decoding.ctc_scorer import Scored, Scorer
from carousel.errors import ModelError, OptionError
from carousel.tasks.language_modeling.model import LanguageModel
from carousel.tasks.language_modeling.sentences import Begun, SentenceReader
from carousel.tasks.speech_recognition.symbols import SPACE, Symbols
from carousel.tasks.speech_recognition.word_scorer import ROOT, Lexicon, WordScorer, most_kept


def neural_scorer(
    folder: str, lexicon: Lexicon | None, symbols: Symbols, word_bonus: float
) -> Scorer:
    """Returns the scorer that a saved language model makes.

    Args:
        folder: of a ``LanguageModel`` over words or characters.
        lexicon: the words that may be said; None for any.
        symbols: of the recogniser.
        word_bonus: what each word adds, in nats.

    Raises:
        ModelError: for what is no language model, or one that knows no end of a sentence.
        OptionError: for one whose tokens are neither, that lacks the recogniser's characters, or
            that knows words where there is no lexicon.
    """
    if not folder or "\0" in folder:
        raise OptionError(f"option 'language_model' expects a model's folder, got {folder!r}")
    model = LanguageModel.load(os.path.expanduser(folder))
    kind = model.options.tokenizer
    if kind not in ("words", "characters"):
        raise OptionError(
            f"option 'language_model' expects a model over words or characters, got one over "
            f"{kind}: {folder}; fit one with --tokenizer words"
        )
    try:
        reader = model.sentences()
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from error
    if kind == "words" and lexicon is not None:
        words = NeuralWords(reader, lexicon.words, folder)
        return WordScorer(lexicon, words, len(symbols), word_bonus)
    if kind == "words":
        raise OptionError(
            f"option 'language_model' = {folder!r} knows words, and this recogniser spells "
            f"without a lexicon; give a model over characters"
        )
    return CharacterScorer(reader, lexicon, symbols, word_bonus, folder)


class NeuralWords:
    """A language model over words as a ``WordModel`` of a lexicon's words.

    Those that the language model does not know share what it gives to unknown ones.

    Args:
        reader: of the language model.
        words: W, of the lexicon.
        name: what an error calls the language model.

    Raises:
        OptionError: where it knows none of the words.
    """

    looks_back: int | None = None

    def __init__(self, reader: SentenceReader, words: Sequence[str], name: str) -> None:
        self.size = len(words) + 1
        self._reader = reader
        self._tokens = np.array([int(reader.tokenizer.encode(word)[0]) for word in words], np.int64)
        unknown = self._tokens == reader.tokenizer.unknown
        if len(words) and unknown.all():
            raise OptionError(
                f"option 'language_model' = {name!r} knows none of the recogniser's {len(words):,} "
                f"words, such as {words[0]!r}; train it on text that is written as the transcripts "
                f"are"
            )
        self._share = np.where(unknown, -math.log(max(1, int(unknown.sum()))), 0.0)
        self._start = self._short(reader.start())
        numbers = self.size + sum(s.h.numel() + s.c.numel() for s in self._start.state)
        self._most = most_kept(numbers)
        self._kept: OrderedDict[tuple[int, ...], Begun] = OrderedDict()

    def log_probabilities(self, history: tuple[int, ...]) -> Float64[np.ndarray, " W_1"]:
        """Returns ln P of each word, and of the end, after some words."""
        known = len(history)
        while known and history[:known] not in self._kept:
            known -= 1
        begun = self._kept[history[:known]] if known else self._start
        for number in range(known, len(history)):
            [begun] = self._reader.read([begun], [int(self._tokens[history[number]])])
            begun = self._kept[history[: number + 1]] = self._short(begun)
        if history:
            self._kept.move_to_end(history)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return begun.log_probs

    def _short(self, begun: Begun) -> Begun:
        """Returns a beginning with the scores of the lexicon's words, and of the end."""
        end = self._reader.end_log_prob(begun)
        scores = np.append(begun.log_probs[self._tokens] + self._share, end)
        return begun._replace(log_probs=scores)


class _Spelled(NamedTuple):
    """Where a prefix stands: what the language model has read, and how far a word has come."""

    begun: Begun
    node: int  # of the lexicon; the root at a word's begin, and without a lexicon 1 within one
    is_empty: bool  # whether nothing has been said


class CharacterScorer:
    """Scores symbols by a language model over characters; with a lexicon only its words are said.

        ln P(character | characters before), β more for each word, and ln P(end) at the end

    Nothing said at all scores 0: silence is no sentence of the model's.

    Args:
        reader: of the language model.
        lexicon: the words that may be said; None for any.
        symbols: of the recogniser, V with the blank.
        word_bonus: β.
        name: what an error calls the language model.

    Raises:
        OptionError: where it lacks characters of the recogniser's.
    """

    def __init__(
        self,
        reader: SentenceReader,
        lexicon: Lexicon | None,
        symbols: Symbols,
        word_bonus: float,
        name: str,
    ) -> None:
        known = {c: number for number, c in enumerate(reader.tokenizer.vocabulary)}
        # Of sentences of one word it has seen no blank, and gives none a chance.
        lacking = [c for c in symbols.characters if c not in known and c != SPACE]
        if lacking:
            shown = ", ".join(map(repr, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            raise OptionError(
                f"option 'language_model' = {name!r} lacks {len(lacking)} of the recogniser's "
                f"characters: {shown}; train it on text that is written as the transcripts are"
            )
        self.lexicon, self.word_bonus = lexicon, word_bonus
        self.space = symbols.numbers[SPACE]
        self._reader = reader
        # The blank of CTC has a token here that nobody reads, as has a space that it lacks.
        self._tokens = np.array([0, *(known.get(c, 0) for c in symbols.characters)])
        self._has_space = SPACE in known
        self._start = reader.start()

    def start(self) -> Scored:
        """Answers for the empty prefix."""
        return self._scored([_Spelled(self._start, ROOT, True)])

    def step(self, states: Sequence[Any], tokens: Sequence[int]) -> Scored:
        """Answers for prefixes that are one symbol longer than those of the states."""
        read = self._reader.read(
            [spelled.begun for spelled in states], self._tokens[list(tokens)].tolist()
        )
        return self._scored(
            [
                _Spelled(begun, self._node(spelled.node, token), False)
                for begun, spelled, token in zip(read, states, tokens, strict=True)
            ]
        )

    def finish(self, states: Sequence[Any]) -> Tensor:
        """Returns what the end gives to each prefix; none ends within a word or behind a blank."""
        return torch.tensor([self._at_end(spelled) for spelled in states], dtype=torch.float64)

    def _node(self, node: int, token: int) -> int:
        if token == self.space:
            return ROOT
        return 1 if self.lexicon is None else self.lexicon.children[node][token]

    def _is_word(self, node: int) -> bool:
        return node != ROOT if self.lexicon is None else node in self.lexicon.word_at

    def _at_end(self, spelled: _Spelled) -> float:
        if spelled.is_empty:
            return 0.0
        if not self._is_word(spelled.node):
            return -math.inf
        return self._reader.end_log_prob(spelled.begun) + self.word_bonus

    def _scored(self, spelled: list[_Spelled]) -> Scored:
        rows = np.full((len(spelled), len(self._tokens)), -math.inf)
        for row, one in zip(rows, spelled, strict=True):
            given = one.begun.log_probs[self._tokens]
            if self.lexicon is None:
                row[1:] = given[1:]
                row[self.space] = -math.inf
            else:
                children = list(self.lexicon.children[one.node])
                row[children] = given[children]
            if self._has_space and self._is_word(one.node):
                row[self.space] = given[self.space] + self.word_bonus
        return Scored(torch.from_numpy(rows), spelled)
