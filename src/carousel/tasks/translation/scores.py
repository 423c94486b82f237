"""BLEU and chrF as sacreBLEU counts them, and how far chance may have moved them.

Knows texts, nothing of models and tokens. Letter case counts.

Letters: N sentences, K counts of a sentence, M of them chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from carousel.data.extras import import_extra
from carousel.errors import DataError, OptionError, unknown_name
from carousel.tasks import resampling

TOKENIZERS = ("13a", "intl", "zh", "char")  # those that need nothing fetched or installed


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of 0 to 100, higher is better.

    Attributes:
        value: of all sentences together.
        low, high: 95% interval over sentences, by resampling; see ``Counts.score``.
        signature: how it was counted, as sacreBLEU prints it.
    """

    value: float
    low: float
    high: float
    signature: str

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it by name."""
        return asdict(self)


class Counts:
    """What sacreBLEU counts of each sentence, of which a score of any of them is a sum away.

    Args:
        metric: ``BLEU`` or ``CHRF`` of sacreBLEU.
        translations: N texts.
        references: N texts.

    Raises:
        DataError: for another number of translations than of references, or none.
    """

    def __init__(self, metric: Any, translations: Sequence[str], references: Sequence[str]) -> None:
        _check(translations, references)
        self._metric = metric
        # sacreBLEU's paired tests call this one and the one below of a metric from outside, too.
        counts = metric._extract_corpus_statistics(list(translations), [list(references)])
        self._counts: Int64[np.ndarray, "N K"] = np.array(counts, np.int64)

    def value(self, chosen: Int64[np.ndarray, " M"] | None = None) -> float:
        """Returns the score of all sentences together, or of those with the chosen numbers."""
        counts = self._counts if chosen is None else self._counts[chosen]
        return self._value(counts.sum(0))

    def of_each(self) -> list[float]:
        """Returns the score of each sentence by itself."""
        return [self._value(counts) for counts in self._counts]

    def score(self) -> Score:
        """Returns the score of all sentences with its 95% interval.

        The interval leaves out 25 of 1,000 scores at either end, each of as many sentences as
        there are, drawn from them with replacement. The draws are those of sacreBLEU's own
        bootstrap, and half the interval's width is its "±". That bootstrap itself would hold every
        draw in memory, 72 kB a sentence, and read its seed from the environment.

        Reference: Koehn 2004, "Statistical significance tests for machine translation
        evaluation", EMNLP, https://aclanthology.org/W04-3250.
        """
        low, high = resampling.interval(self._resampled())
        metric = self._metric
        metric.n_bootstrap, metric.seed = resampling.RESAMPLES, str(resampling.SEED)
        return Score(
            value=self.value(),
            low=low,
            high=high,
            signature=str(self._metric.get_signature()),
        )

    def _resampled(self) -> Iterator[float]:
        # Whole numbers below 2⁵³ are exact, and only floats are multiplied by a fast library.
        counts = self._counts.astype(np.float64)
        for times in resampling.draws(len(counts)):
            yield self._value((times @ counts).astype(np.int64))

    def _value(self, sums: Int64[np.ndarray, " K"]) -> float:
        # As Python's own numbers, with which sacreBLEU counts in double precision.
        return float(self._metric._compute_score_from_stats(sums.tolist()).score)


def check_tokenizer(tokenizer: str) -> None:
    """Refuses what is none of ``TOKENIZERS``."""
    if tokenizer not in TOKENIZERS:
        raise OptionError(unknown_name("tokenizer for BLEU", tokenizer, TOKENIZERS))


def count_bleu(
    translations: Sequence[str], references: Sequence[str], *, tokenizer: str = "13a"
) -> Counts:
    """Counts what BLEU needs: how many runs of words the references have.

        BLEU = 100 · min(1, exp(1 − r / c)) · (p_1 · p_2 · p_3 · p_4)^(1/4)

    with c words translated, r in the references, and p_n the part of the translations' runs of n
    words that their references have, too. Where none of n has, a half of one counts, then a
    quarter; where no translation has four words, BLEU is 0.

    Args:
        translations: N texts, as a reader would get them: not tokenized.
        references: N texts.
        tokenizer: what words are: "13a" for languages that write spaces, "intl" to split at
            Unicode's signs, "zh" for Chinese, "char" for single characters.

    Returns:
        The counts of each sentence.

    Raises:
        DataError: for another number of translations than of references, or none.
        OptionError: for an unknown tokenizer.
        MissingDependencyError: where sacreBLEU is not installed.

    Reference: Papineni et al. 2002, doi:10.3115/1073083.1073135; the tokenizers and the smoothing
    are those of Post 2018, arXiv:1804.08771.
    """
    check_tokenizer(tokenizer)
    # "force" keeps sacreBLEU from logging a warning; a report has a note of its own instead.
    metric = import_extra("sacrebleu", "text").BLEU(tokenize=tokenizer, force=True)
    return Counts(metric, translations, references)


def count_chrf(translations: Sequence[str], references: Sequence[str]) -> Counts:
    """Counts what chrF2 needs: how many runs of characters are the references'.

        chrF = 100 · (1 + β²) · P · R / (β² · P + R),  β = 2

    with P the part of the translations' runs of n characters, blanks left out, that their
    references have, R the part of the references' that the translations have, both averaged over
    n = 1 to 6.

    Args:
        translations: N texts.
        references: N texts.

    Returns:
        The counts of each sentence.

    Raises:
        DataError: for another number of translations than of references, or none.
        MissingDependencyError: where sacreBLEU is not installed.

    Reference: Popović 2015, doi:10.18653/v1/W15-3049.
    """
    return Counts(import_extra("sacrebleu", "text").CHRF(), translations, references)


def _check(translations: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(translations, str) or isinstance(references, str):
        raise DataError(
            "expected a list of translations and a list of references, got a text; "
            "put a single sentence in a list"
        )
    if len(translations) != len(references) or not references:
        raise DataError(
            f"expected one reference for each translation, and at least one, got "
            f"{len(translations):,} translations and {len(references):,} references; "
            f"give lists of the same length"
        )
