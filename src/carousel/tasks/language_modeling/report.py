"""What an evaluation found: perplexity in every unit that others report, and the baselines'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carousel.tasks.printed import ruled

_LN2 = math.log(2)
_SEEN_SHARE = 0.05  # of the lines, above which a reader is warned; a few recur in any text,
_FEW_LINES = 5  # and of so few nothing is said


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How well a model predicts a text.

        perplexity = exp(nats / tokens),   bits per character = nats / (characters · ln 2)

    Attributes:
        nats: of the whole text, the ends of documents included where the model predicts them.
        tokens, characters, bytes, words: how many it has.
    """

    nats: float
    tokens: int
    characters: int
    bytes: int
    words: int

    @property
    def perplexity(self) -> float:
        """Of a token; comparable between models of one tokenizer only."""
        return _exp(self.nats / self.tokens)

    @property
    def nats_per_token(self) -> float:
        """The loss that training minimises."""
        return self.nats / self.tokens

    @property
    def nats_per_character(self) -> float:
        """Comparable between all tokenizers that know every text."""
        return self.nats / self.characters

    @property
    def bits_per_character(self) -> float:
        """The same in bits."""
        return self.nats_per_character / _LN2

    @property
    def bits_per_byte(self) -> float:
        """The same for a byte of UTF-8."""
        return self.nats / self.bytes / _LN2

    @property
    def word_perplexity(self) -> float:
        """Of a word, line ends counted as words, whatever the tokens are."""
        return _exp(self.nats / max(self.words, 1))

    def to_dict(self) -> dict[str, float]:
        """Returns all of them by name."""
        return {
            "perplexity": self.perplexity,
            "nats_per_token": self.nats_per_token,
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "word_perplexity": self.word_perplexity,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Scores of the model and of what a sceptic would try first.

    Attributes:
        scores: by name; the model comes first.
        nats: of every token, by the same names, each (N,) float32.
        counted: tokens of the training text that the n-gram model counts, and
        trained: how many there are.
        tokenizer: what a token is.
        scope: which text was scored.
        documents: in it.
        unknown: words that the model does not know, which flatters its perplexity.
        vocabulary: V.
        adaptation: what the model learned from on the way, in words; "" for nothing.
        lines: different ones of the text that were looked up among those of training, and
        seen_lines: how many of them stand there.
        ngram_weight: share of the n-grams in the model's predictions, and
        network: what it has without them, adapting as it does; None where the share is 0.
    """

    scores: Mapping[str, Scores]
    nats: Mapping[str, np.ndarray]
    counted: int
    trained: int
    tokenizer: str
    scope: str
    documents: int
    unknown: int
    vocabulary: int
    adaptation: str = ""
    lines: int = 0
    seen_lines: int = 0
    ngram_weight: float = 0.0
    network: Scores | None = None

    @property
    def model(self) -> Scores:
        """The model's own."""
        return next(iter(self.scores.values()))

    @property
    def perplexity(self) -> float:
        """The model's, of a token."""
        return self.model.perplexity

    @property
    def best_baseline(self) -> str:
        """Name of the baseline with the lowest perplexity."""
        return min(list(self.scores)[1:], key=lambda name: self.scores[name].nats)

    @property
    def verdict(self) -> str:
        """One plain sentence: whether the model is worth its while on this text."""
        base = self.best_baseline
        ours, theirs = self.model, self.scores[base]
        compared = (
            f"{ours.bits_per_character:.3f} bits per character against "
            f"{theirs.bits_per_character:.3f}"
        )
        if ours.nats < theirs.nats:
            return f"This model predicts the text better than the {base}: {compared}."
        return (
            f"This model does not beat the {base}: {compared}. Train it longer, or on more text; "
            f"until then the {base} is the better model of this text."
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know beside the numbers."""
        found = []
        if self.seen_lines >= _FEW_LINES and self.seen_lines > _SEEN_SHARE * self.lines:
            found.append(
                f"Warning: of {self.lines:,} different lines that were looked up, "
                f"{self.seen_lines:,} ({self.seen_lines / self.lines:.0%}) stand in the training "
                f"or validation text too, which flatters all numbers here."
            )
        if self.unknown:
            share = self.unknown / max(self.model.words, 1)
            words = f"{self.unknown:,} word{'s are' if self.unknown > 1 else ' is'}"
            found.append(
                f"{words} unknown to the model ({share:.1%}) and scored as one "
                f"word, <unk>: numbers per character, byte or word compare only with models of the "
                f"same vocabulary."
            )
        if self.tokenizer == "words":
            found.append(
                "Words say nothing of the blanks between them: bits per character and byte leave "
                "out what those would cost."
            )
        if self.counted < self.trained:
            found.append(
                f"The n-gram models count the last {self.counted:,} of {self.trained:,} training "
                f"tokens, while the network may have read all of them."
            )
        if self.network is not None:
            found.append(
                f"The n-grams have a share of {self.ngram_weight:g} in the model's predictions; "
                f"without them it has {self.network.nats_per_token:.4f} nats a token, "
                f"{self.network.bits_per_character:.4f} bits a character."
            )
        if self.adaptation:
            found.append(
                f"The model adapts while it reads ({self.adaptation}); every token was predicted "
                f"before it was learned from. The baselines do not adapt."
            )
        return found

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the table that is printed."""
        header = ["model", "perplexity", "nats/token", "bits/char", "bits/byte", "word perplexity"]
        rows = [
            [
                name,
                f"{s.perplexity:.4g}" if s.perplexity < 1e4 else f"{s.perplexity:.3e}",
                f"{s.nats_per_token:.4f}",
                f"{s.bits_per_character:.4f}",
                f"{s.bits_per_byte:.4f}",
                f"{s.word_perplexity:.1f}" if s.word_perplexity < 1e6 else "over 1,000,000",
            ]
            for name, s in self.scores.items()
        ]
        return header, rows

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the single tokens as plain values."""
        return {
            "scores": {name: s.to_dict() for name, s in self.scores.items()},
            "verdict": self.verdict,
            "notes": self.notes,
            "scope": self.scope,
            "tokenizer": self.tokenizer,
            "vocabulary": self.vocabulary,
            "tokens": self.model.tokens,
            "characters": self.model.characters,
            "bytes": self.model.bytes,
            "words": self.model.words,
            "documents": self.documents,
            "unknown": self.unknown,
            "adaptation": self.adaptation,
            "lines": self.lines,
            "seen_lines": self.seen_lines,
            "ngram_weight": self.ngram_weight,
            "network": None if self.network is None else self.network.to_dict(),
        }

    def __str__(self) -> str:
        """What was scored, the table, what to know beside it, and the verdict."""
        return "\n".join([self.scope, "", *ruled(*self.table()), "", *self.notes, self.verdict])

    def plot(self, path: str | Path) -> Path:
        """Draws how well the text is predicted from its begin to its end; PNG or SVG."""
        from carousel.tasks.language_modeling.plots import draw_report

        return draw_report(self, Path(path))


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
