"""Word and character error rates by jiwer, how far chance may have moved them, and the errors.

Knows texts and who spoke, nothing of models and sound. A word is what stands between blanks; letter
case, signs and two ways to write one accent count. Utterances are counted apart, and summed.

Letters: N utterances, G groups of them that are drawn as one.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from rich.cells import cell_len

from carousel.data.extras import import_extra
from carousel.errors import DataError, OptionError
from carousel.tasks import resampling

_SIGNS = {"equal": "=", "substitute": "S", "delete": "D", "insert": "I"}
_GAP = "*"  # stands for the word that one of two aligned lines lacks, as in NIST's sclite


@dataclass(frozen=True)
class Counts:
    """How many words or characters were recognised, and how many not.

    Attributes:
        hits: those of the reference that were found.
        substitutions: those of the reference that became another.
        deletions: those of the reference that became nothing.
        insertions: those found where the reference has nothing.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Words or characters of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors / length, 0 upwards; where nothing was said, 0 without errors, else infinite."""
        return _rate(self.errors, self.length)


@dataclass(frozen=True, kw_only=True)
class ErrorRate:
    """An error rate in %, lower is better; above 100 where more was inserted than was found.

    Attributes:
        value: of all utterances together.
        low, high: 95% interval; see ``error_rate``.
        over: what the interval was drawn from, "utterances" or "speakers".
        counts: of all utterances together.
    """

    value: float
    low: float
    high: float
    over: str
    counts: Counts

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it by name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Confusions:
    """The commonest errors and how often each was made, the commonest first.

    Attributes:
        substitutions: (word of the reference, word found instead, count).
        deletions: (word of the reference, count).
        insertions: (word found, count).
    """

    substitutions: list[tuple[str, str, int]]
    deletions: list[tuple[str, int]]
    insertions: list[tuple[str, int]]


def word_counts(reference: str, hypothesis: str) -> Counts:
    """Counts the words of the shortest way from what was said to what was recognised.

        WER = (S + D + I) / (H + S + D),  the least S + D + I that there is

    Args:
        reference: what was said, one utterance; may be empty.
        hypothesis: what was recognised; may be empty.

    Raises:
        MissingDependencyError: where jiwer is not installed.

    Reference: Levenshtein 1966, "Binary codes capable of correcting deletions, insertions, and
    reversals", Soviet Physics Doklady 10(8).
    """
    return _counts(_words_compared(reference, hypothesis))


def character_counts(reference: str, hypothesis: str) -> Counts:
    """Counts characters as ``word_counts`` does words; a blank between words is one, too."""
    jiwer = import_extra("jiwer", "speech")
    return _counts(jiwer.process_characters(_tidied(reference), _tidied(hypothesis)))


def error_rate(counts: Sequence[Counts], groups: Sequence[str] | None = None) -> ErrorRate:
    """Returns the error rate of all utterances together, with its 95% interval.

        100 · (errors of all) / (length of all)

    The interval leaves out 25 of 1,000 rates at either end, each of as many utterances as there
    are, drawn from them with replacement, the same draws each time. As one speaker's utterances
    go wrong together, whole speakers are drawn where two or more are named; of few speakers, less
    than about ten, it comes out too narrow.

    Args:
        counts: of N utterances.
        groups: N speakers, "" where one is unknown, which then counts as another each time.

    Raises:
        DataError: without utterances, or for another number of speakers.

    Reference: Bisani and Ney 2004, doi:10.1109/ICASSP.2004.1326009; drawing whole speakers: Liu
    and Peng 2020, arXiv:1912.09508.
    """
    if not counts:
        raise DataError("expected the counts of one utterance or more, got none; score some")
    blocks = list(counts)
    named: set[str] = set()
    if groups is not None:
        _check_as_many("speaker", groups, "count", counts)
        named = {*groups} - {""}
    if groups is not None and len(named) > 1:
        blocks = [each for each, name in zip(counts, groups, strict=True) if not name]
        blocks += [each for name, each in by_speaker(counts, groups).items() if name]
    total = sum(counts, Counts())
    table = np.array([(each.errors, each.length) for each in blocks], np.float64)
    rates = (_rate(*(times @ table).tolist()) for times in resampling.draws(len(table)))
    low, high = resampling.interval(rates)
    return ErrorRate(
        value=100 * total.rate,
        low=100 * low,
        high=100 * high,
        over="speakers" if len(named) > 1 else "utterances",
        counts=total,
    )


def by_speaker(counts: Sequence[Counts], speakers: Sequence[str]) -> dict[str, Counts]:
    """Sums N utterances' counts for each of their speakers, in the order of their first ones.

    Raises:
        DataError: for another number of speakers than of counts.
    """
    _check_as_many("speaker", speakers, "count", counts)
    found: dict[str, Counts] = {}
    for each, speaker in zip(counts, speakers, strict=True):
        found[speaker] = found.get(speaker, Counts()) + each
    return found


def aligned_words(reference: str, hypothesis: str) -> list[tuple[str, str, str]]:
    """Returns which word became which, in the order of the utterance.

    Of several shortest ways it is the one that jiwer takes.

    Returns:
        (kind, word of the reference or "", word found or ""), where the kind is "=" for a hit, "S"
        for a substitution, "D" for a deletion, "I" for an insertion.

    Raises:
        MissingDependencyError: where jiwer is not installed.
    """
    compared = _words_compared(reference, hypothesis)
    said, heard = compared.references[0], compared.hypotheses[0]
    return [
        (_SIGNS[part.type], one, other)
        for part in compared.alignments[0]
        for one, other in itertools.zip_longest(
            said[part.ref_start_idx : part.ref_end_idx],
            heard[part.hyp_start_idx : part.hyp_end_idx],
            fillvalue="",
        )
    ]


def alignment_lines(reference: str, hypothesis: str) -> str:
    """Returns both texts with the words under each other, and below them a mark for each error.

        REF: the cat sat *** on a mat now
        HYP: the bat sat has on a mat ***
                 S       I            D

    A Chinese character is as wide as two letters. Without errors there is no third line.

    Raises:
        MissingDependencyError: where jiwer is not installed.
    """
    lines = ["REF:", "HYP:", "    "]
    for kind, one, other in aligned_words(reference, hypothesis):
        width = max(cell_len(one), cell_len(other))
        mark = "" if kind == "=" else kind
        for row, word in enumerate((one or _GAP * width, other or _GAP * width, mark)):
            lines[row] += " " + word + " " * (width - cell_len(word))
    return "\n".join(line.rstrip() for line in lines if line.strip())


def confusions(
    references: Sequence[str], hypotheses: Sequence[str], *, most: int = 10
) -> Confusions:
    """Returns the commonest errors in words; of those equally common, the first made comes first.

    Args:
        references: N texts, what was said.
        hypotheses: N texts, what was recognised.
        most: of each kind.

    Raises:
        DataError: for another number of references than of hypotheses.
        OptionError: for a ``most`` below 1.
        MissingDependencyError: where jiwer is not installed.
    """
    if most < 1:
        raise OptionError(f"most: expected 1 error or more of each kind, got {most}")
    _check_as_many("hypothesis", hypotheses, "reference", references)
    found: dict[str, Counter[tuple[str, str]]] = {sign: Counter() for sign in "=SDI"}
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        for kind, one, other in aligned_words(reference, hypothesis):
            found[kind][one, other] += 1
    return Confusions(
        substitutions=[(one, other, n) for (one, other), n in found["S"].most_common(most)],
        deletions=[(one, n) for (one, _), n in found["D"].most_common(most)],
        insertions=[(other, n) for (_, other), n in found["I"].most_common(most)],
    )


def commonest(texts: Sequence[str]) -> str:
    """Returns the text that is there most often, the first of those that are: a baseline.

    Raises:
        DataError: where there is none.
    """
    _check_list("text", texts)
    if not texts:
        raise DataError("expected one text or more, got none; give those of the training data")
    return Counter(texts).most_common(1)[0][0]


def _rate(errors: float, length: float) -> float:
    if length:
        return errors / length
    return math.inf if errors else 0.0


def _words_compared(reference: str, hypothesis: str) -> Any:
    jiwer = import_extra("jiwer", "speech")
    return jiwer.process_words(_tidied(reference), _tidied(hypothesis))


def _tidied(text: str) -> str:
    # jiwer takes a single TAB or line end for a letter, and counts every blank of a run.
    return " ".join(text.split())


def _counts(compared: Any) -> Counts:
    return Counts(compared.hits, compared.substitutions, compared.deletions, compared.insertions)


def _check_list(kind: str, values: Sequence[Any]) -> None:
    if isinstance(values, str):
        raise DataError(f"expected a list with each {kind}, got a text; put a single one in a list")


def _check_as_many(kind: str, values: Sequence[Any], other: str, others: Sequence[Any]) -> None:
    _check_list(kind, values)
    _check_list(other, others)
    if len(values) != len(others):
        raise DataError(
            f"expected one {kind} for each {other}, got {len(values):,} for {len(others):,}; "
            "give lists of the same length"
        )
