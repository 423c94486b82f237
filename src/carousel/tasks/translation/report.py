"""What an evaluation found: BLEU and chrF of the model and of what a sceptic would try first."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carousel.data.pictures import shortened
from carousel.errors import DataError
from carousel.tasks.printed import ruled
from carousel.tasks.translation.scores import Counts, Score, count_bleu, count_chrf

_BANDS = ((0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, None))  # words of a source
_EXAMPLES = 5
_LONGEST_TEXT = 200  # characters of an example that are printed
# Intervals by resampling are far too narrow for a handful of sentences; of one they have no width.
_LEAST = 20
_MOST_SEEN = 0.05  # of the sentences that training had too: more is no test
_BY_BLANKS = ("13a", "intl")  # tokenizers that need blanks between words
# How the names of letters begin, in Unicode, that are written without blanks between words.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_LOOKED_AT = 1_000  # references that tell the script


@dataclass(frozen=True, kw_only=True)
class LengthBand:
    """Scores of the sentences whose source has so many words.

    Attributes:
        low: fewest words between blanks.
        high: most; None where there is no end.
        sentences: how many there are.
        bleu, chrf: of these together.
    """

    low: int
    high: int | None
    sentences: int
    bleu: float
    chrf: float

    @property
    def name(self) -> str:
        """How many words, as it is printed."""
        if self.high is None:
            return f"{self.low} or more"
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One sentence, and its chrF by itself."""

    source: str
    reference: str
    translation: str
    chrf: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Scores of the model and of what a sceptic would try first.

    Attributes:
        bleu: by name of the system; the model comes first.
        chrf: by the same names.
        bands: the model's scores by length of the source.
        examples: the model's translations from the worst to the best by chrF, evenly spread.
        sentences: how many were translated.
        scope: which they were.
        search: how translations were looked for, in words.
        perplexity: of a token of the references, to the model.
        tokens: how many those have.
        seconds: that the model took to translate.
        notes: what a reader must know beside the numbers.
        seen: how many of the sources the model was fitted to.
    """

    bleu: Mapping[str, Score]
    chrf: Mapping[str, Score]
    bands: tuple[LengthBand, ...]
    examples: tuple[Example, ...]
    sentences: int
    scope: str
    search: str
    perplexity: float
    tokens: int
    seconds: float
    notes: tuple[str, ...] = ()
    seen: int = 0

    def __post_init__(self) -> None:
        assert len(self.bleu) > 1, "a model without a baseline says nothing"
        assert list(self.bleu) == list(self.chrf)

    @property
    def bleu_score(self) -> Score:
        """The model's BLEU."""
        return next(iter(self.bleu.values()))

    @property
    def chrf_score(self) -> Score:
        """The model's chrF."""
        return next(iter(self.chrf.values()))

    @property
    def best_baseline(self) -> str:
        """Name of the baseline with the highest BLEU; between equal ones chrF decides."""
        names = list(self.bleu)[1:]
        return max(names, key=lambda name: (self.bleu[name].value, self.chrf[name].value))

    @property
    def verdict(self) -> str:
        """Says plainly whether the model translates better than every baseline.

        It does by a score where its 95% interval lies above that of the best baseline by that
        score. Intervals may overlap and the difference be real all the same: the model gets no
        benefit of the doubt.
        """
        if self.sentences < _LEAST:
            number = f"{self.sentences} sentence{'s' if self.sentences > 1 else ''}"
            return (
                f"Whether this model translates better than the baselines cannot be told from "
                f"{number}: give {_LEAST} or more."
            )
        if self.seen > _MOST_SEEN * self.sentences:
            return (
                f"Whether this model translates better than the baselines cannot be told, because "
                f"it was fitted to {self.seen:,} of these {self.sentences:,} sources: give pairs "
                f"that are new to it."
            )
        by_bleu, bleu = _contest("BLEU", self.bleu)
        by_chrf, chrf = _contest("chrF", self.chrf)
        sides, numbers = {by_bleu, by_chrf}, f"{bleu}; {chrf}"
        if sides == {1}:
            return f"This model translates better than every baseline: {numbers}."
        if sides == {1, -1}:
            better, worse = ("BLEU", "chrF") if by_bleu > 0 else ("chrF", "BLEU")
            return (
                f"This model is better than every baseline by {better}, but not by {worse}: "
                f"{numbers}. Train it longer, or on more pairs."
            )
        if -1 in sides:
            return (
                f"This model does NOT beat the best baseline: {numbers}. Train it longer, or on "
                f"more pairs."
            )
        return (
            f"Whether this model translates better than every baseline cannot be told, because "
            f"95% intervals overlap: {numbers}. Evaluate it on more sentences, train it longer, or "
            f"on more pairs."
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the table that is printed."""
        header = ["system", "BLEU", "95% interval", "chrF", "95% interval"]
        rows = [[name, *_cells(self.bleu[name]), *_cells(self.chrf[name])] for name in self.bleu]
        return header, rows

    def length_table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the model's scores by length of the source."""
        header = ["words of the source", "sentences", "BLEU", "chrF"]
        rows = [
            [band.name, f"{band.sentences:,}", f"{band.bleu:.1f}", f"{band.chrf:.1f}"]
            for band in self.bands
        ]
        return header, rows

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "systems": {
                name: {"bleu": self.bleu[name].to_dict(), "chrf": self.chrf[name].to_dict()}
                for name in self.bleu
            },
            "best_baseline": self.best_baseline,
            "verdict": self.verdict,
            "bands": [asdict(band) for band in self.bands],
            "examples": [asdict(example) for example in self.examples],
            "sentences": self.sentences,
            "scope": self.scope,
            "search": self.search,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "notes": list(self.notes),
            "seen": self.seen,
        }

    def __str__(self) -> str:
        """What was scored, the tables, how, what to know beside it, examples, and the verdict."""
        rate = f", {self.sentences / self.seconds:,.1f} a second" if self.seconds > 0 else ""
        return "\n".join(
            [
                self.scope,
                "",
                *ruled(*self.table()),
                "",
                *ruled(*self.length_table()),
                "",
                f"Perplexity of a target token: {self.perplexity:.4g} ({self.tokens:,} tokens).",
                f"Translated with {self.search}.",
                f"Sentences: {self.sentences:,} in {self.seconds:,.1f} s{rate}.",
                f"BLEU: {self.bleu_score.signature}",
                f"chrF: {self.chrf_score.signature}",
                *self.notes,
                "",
                "Examples, from the worst to the best:",
                *[line for example in self.examples for line in _lines(example)],
                "",
                self.verdict,
            ]
        )

    def plot(self, path: str | Path) -> Path:
        """Draws BLEU by length of the source, beside the baselines'; PNG or SVG."""
        from carousel.tasks.translation.plots import draw_report

        return draw_report(self, Path(path))


def make_report(
    sources: Sequence[str],
    references: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    *,
    scope: str,
    search: str,
    perplexity: float,
    tokens: int,
    seconds: float,
    notes: Sequence[str] = (),
    seen: int = 0,
    tokenizer: str = "13a",
) -> Report:
    """Scores the model and the baselines on the same sentences.

    Args:
        sources: N sentences.
        references: N, what a person translated them to.
        systems: by name the N translations of each: the model first, then at least one baseline.
        scope, search, perplexity, tokens, seconds, notes, seen: see ``Report``.
        tokenizer: what words are to BLEU; see ``scores.count_bleu``.

    Raises:
        DataError: for lists of unequal length, or empty ones.
        OptionError: for an unknown tokenizer.
        MissingDependencyError: where sacreBLEU is not installed.
    """
    if len(sources) != len(references):
        raise DataError(
            f"expected one reference for each source, got {len(sources):,} sources and "
            f"{len(references):,} references; give lists of the same length"
        )
    bleu = {
        name: count_bleu(texts, references, tokenizer=tokenizer) for name, texts in systems.items()
    }
    chrf = {name: count_chrf(texts, references) for name, texts in systems.items()}
    model = next(iter(systems))
    return Report(
        bleu={name: counts.score() for name, counts in bleu.items()},
        chrf={name: counts.score() for name, counts in chrf.items()},
        bands=_bands(sources, bleu[model], chrf[model]),
        examples=_examples(sources, references, systems[model], chrf[model].of_each()),
        sentences=len(sources),
        scope=scope,
        search=search,
        perplexity=perplexity,
        tokens=tokens,
        seconds=seconds,
        notes=(*notes, *_tokenized(references), *_unspaced(references, tokenizer)),
        seen=seen,
    )


def _bands(sources: Sequence[str], bleu: Counts, chrf: Counts) -> tuple[LengthBand, ...]:
    words = np.array([len(source.split()) for source in sources])
    found = []
    for low, high in _BANDS:
        chosen = np.flatnonzero((words >= low) & (words <= (np.inf if high is None else high)))
        if len(chosen):
            found.append(
                LengthBand(
                    low=low,
                    high=high,
                    sentences=len(chosen),
                    bleu=bleu.value(chosen),
                    chrf=chrf.value(chosen),
                )
            )
    return tuple(found)


def _examples(
    sources: Sequence[str],
    references: Sequence[str],
    translations: Sequence[str],
    values: Sequence[float],
) -> tuple[Example, ...]:
    """Returns the worst, the best and some between at even ranks, no source twice."""
    first: dict[str, int] = {}
    for number, source in enumerate(sources):
        first.setdefault(source, number)
    ranked = sorted(first.values(), key=lambda number: values[number])
    steps = min(_EXAMPLES, len(ranked)) - 1
    chosen = [ranked[k * (len(ranked) - 1) // max(steps, 1)] for k in range(steps + 1)]
    return tuple(
        Example(
            source=sources[n], reference=references[n], translation=translations[n], chrf=values[n]
        )
        for n in chosen
    )


def _tokenized(references: Sequence[str]) -> list[str]:
    """Returns a note where the texts seem to be tokenized already."""
    apart = sum(text.rstrip().endswith(" .") for text in references)
    if 2 * apart <= len(references):
        return []
    return [
        f"{apart:,} of {len(references):,} references end in a full stop with a blank before it, "
        f"as tokenized text does: BLEU of tokenized text does not compare with other people's."
    ]


def _unspaced(references: Sequence[str], tokenizer: str) -> list[str]:
    """Returns a note where BLEU takes for words what is divided by blanks, and there are none."""
    some = references[:_LOOKED_AT]
    if tokenizer not in _BY_BLANKS or 2 * sum(map(_is_unspaced, some)) <= len(some):
        return []
    return [
        "The references are in a script that writes no blanks between words, without which BLEU "
        "finds hardly any: choose --bleu-tokenizer (bleu_tokenizer=) zh for Chinese, char for any, "
        "or read chrF."
    ]


def _is_unspaced(text: str) -> bool:
    letters = [sign for sign in text if sign.isalpha()]
    known = sum(unicodedata.name(sign, "").startswith(_UNSPACED) for sign in letters)
    return 2 * known > len(letters)


def _contest(unit: str, scores: Mapping[str, Score]) -> tuple[int, str]:
    """Returns whether the model beats the best baseline, and both scores in words.

    1 says that it does, −1 that the baseline beats it, 0 that their intervals overlap.
    """
    model, *baselines = scores
    best = max(baselines, key=lambda name: scores[name].value)
    ours, theirs = scores[model], scores[best]
    side = int(ours.low > theirs.high) - int(ours.high < theirs.low)
    (value, interval), (other, other_interval) = _cells(ours), _cells(theirs)
    return (
        side,
        f"{unit} {value} (95% interval {interval}) against {other} ({other_interval}) for {best}",
    )


def _cells(score: Score) -> tuple[str, str]:
    return f"{score.value:.1f}", f"{score.low:.1f}–{score.high:.1f}"


def _lines(example: Example) -> list[str]:
    return [
        f"  chrF {example.chrf:.1f}",
        f"    source       {shortened(example.source, _LONGEST_TEXT)}",
        f"    reference    {shortened(example.reference, _LONGEST_TEXT)}",
        f"    translation  {shortened(example.translation, _LONGEST_TEXT)}",
    ]
