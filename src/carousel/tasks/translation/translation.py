"""A translation and where each of its words comes from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from carousel.data.pairs import plain
from carousel.decoding.beam_search import Hypothesis
from carousel.errors import OptionError
from carousel.tasks.translation.data import Tokenizers, words_of_tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Translation:
    """One sentence's translation.

    Attributes:
        source: the sentence.
        text: its translation.
        score: what it was ranked by; see ``carousel.decoding.beam_search``.
        log_probability: ln P of the translation given the source, in nats.
        complete: False where a limit on its length cut it.
        source_words: words and signs of the source.
        words: words and signs of the translation.
        attention: for each word of the translation what part of the attention each word of the
            source had; (words, source words). A row may sum to less than 1: the sentence's end is
            attended to as well, and is no word.
        unseen: characters that the training's sources did not have.
        others: further translations, those that are complete before those that are not, each by
            falling score; no text comes twice.
    """

    source: str
    text: str
    score: float
    log_probability: float
    complete: bool
    source_words: list[str]
    words: list[str]
    attention: Float[np.ndarray, "words source_words"]
    unseen: str = ""
    others: list[Translation] = field(default_factory=list)

    @property
    def alignment(self) -> list[int]:
        """For each word of the translation the number of the source word attended to most."""
        if not self.source_words:
            return [-1] * len(self.words)
        return [int(number) for number in self.attention.argmax(1)]

    def plot(self, path: str | Path) -> Path:
        """Draws which source word each word was written from; PNG or SVG.

        Raises:
            OptionError: for another ending, an empty translation, or a sentence too long for a
                picture.
            OutputError: where the file cannot be written.
        """
        from carousel.tasks.translation.plots import draw_alignment

        if not self.words:
            raise OptionError("the translation has no words, so that there is nothing to draw")
        return draw_alignment(self.attention, self.source_words, self.words, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "source": self.source,
            "text": self.text,
            "score": self.score,
            "log_probability": self.log_probability,
            "complete": self.complete,
            "source_words": self.source_words,
            "words": self.words,
            "alignment": self.alignment,
            "attention": [[round(float(x), 4) for x in row] for row in self.attention],
            "unseen": self.unseen,
            "others": [
                {
                    "text": one.text,
                    "score": one.score,
                    "log_probability": one.log_probability,
                    "complete": one.complete,
                }
                for one in self.others
            ],
        }

    def __str__(self) -> str:
        return self.text


def empty_translation(source: str) -> Translation:
    """Returns the translation of a sentence without words."""
    nothing = np.zeros((0, 0), np.float32)
    return Translation(
        source=source,
        text="",
        score=0.0,
        log_probability=0.0,
        complete=True,
        source_words=[],
        words=[],
        attention=nothing,
    )


def make_translation(
    source: str,
    source_tokens: np.ndarray,
    hypotheses: list[Hypothesis],
    tokenizers: Tokenizers,
    unseen: str = "",
    best: int = 1,
) -> Translation:
    """Makes text of what a search found; of hypotheses with the same text the first one counts.

    Args:
        source: the sentence.
        source_tokens: (S,) its subwords, the end among them.
        hypotheses: the best first.
        tokenizers: of both languages.
        unseen: characters of the source that training did not have.
        best: most translations that are kept.
    """
    source_words, source_owner = words_of_tokens(tokenizers.source, source_tokens)
    found: dict[str, Translation] = {}
    for hypothesis in hypotheses:
        if len(found) == best:
            break
        tokens = np.array(hypothesis.tokens, np.int64)
        text = plain(tokenizers.target.decode(tokens))
        if text in found:
            continue
        words, owner = words_of_tokens(tokenizers.target, tokens)
        assert hypothesis.attention is not None
        weights = hypothesis.attention.float().cpu().numpy()[: len(tokens), : len(source_tokens)]
        found[text] = Translation(
            source=source,
            text=text,
            score=hypothesis.score,
            log_probability=hypothesis.log_probability,
            complete=hypothesis.ended,
            source_words=source_words,
            words=words,
            attention=word_attention(weights, source_owner, owner, len(source_words), len(words)),
            unseen=unseen,
        )
    first, *others = found.values()
    return dataclasses.replace(first, others=others)


def word_attention(
    weights: Float[np.ndarray, "T S"],
    source_owner: np.ndarray,
    target_owner: np.ndarray,
    num_source: int,
    num_target: int,
) -> Float[np.ndarray, "words source_words"]:
    """Returns the attention of words from that of subwords.

    The attention to a word is the sum over its subwords; that of a word is the mean over its own.
    A sign that shares its subword with the next one, as in "?!", has that one's attention.

    Args:
        weights: (T, S), of subwords.
        source_owner: (S,) the word of each subword of the source, -1 for none.
        target_owner: (T,) of the target.
        num_source: words of the source.
        num_target: words of the target.
    """
    columns = (source_owner[:, None] == np.arange(num_source)).astype(weights.dtype)
    rows = (target_owner[:, None] == np.arange(num_target)).astype(weights.dtype)
    counts = rows.sum(0)
    found = (rows.T @ weights @ columns) / np.maximum(counts, 1)[:, None]
    for word in range(num_target - 2, -1, -1):
        if counts[word] == 0:
            found[word] = found[word + 1]
    return found
