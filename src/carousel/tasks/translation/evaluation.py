"""An evaluation: which pairs are scored, by what, and beside which baselines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from carousel.data.extras import import_extra
from carousel.data.pairs import Pairs, plain
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError
from carousel.tasks.translation.data import cleaned, make_corpus, open_pairs
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.report import Report, make_report
from carousel.tasks.translation.search import search_words
from carousel.tasks.translation.training import corpus_nats
from carousel.tasks.translation.translating import check_sentences, searched

MODEL_NAME, WORD_BY_WORD, COPY = "this model", "word by word", "copy"


class Scored(NamedTuple):
    """What is scored.

    Attributes:
        pairs: the sentences.
        scope: what they are, in words.
        notes: what to know of them.
        seen: how many of the sources the model was fitted to.
        is_held: whether fitting held them out, and so has accepted their lengths.
    """

    pairs: Pairs
    scope: str
    notes: tuple[str, ...] = ()
    seen: int = 0
    is_held: bool = False


def pairs_to_score(fitted: Fitted, data: Any, options: TranslationOptions) -> Scored:
    """Returns the pairs that are scored.

    Of the very pairs that fitting was given those are scored that it held out, cleaned as the
    others were; of any other data all.

    Raises:
        DataError: where the model has seen all of them.
    """
    pairs = open_pairs(data, options)
    if fitted.seen.is_whole(pairs):
        usable = cleaned(pairs, options)
        rows = np.flatnonzero(~fitted.seen.knows(usable))
        if not len(rows):
            raise DataError(
                "no pair to score: the model has seen all of them; give other pairs, or fit with a "
                "holdout",
                source=pairs.name,
            )
        held = usable.take(rows)
        scope = f"{len(held):,} pairs of {pairs.name} that fitting has not seen"
        return Scored(held, scope, is_held=True)
    notes = []
    if known := int(fitted.seen.knows(pairs).sum()):
        notes.append(
            f"{known:,} of {len(pairs):,} sources ({known / len(pairs):.1%}) were in the training "
            f"or validation pairs, which flatters the model."
        )
    empty = sum(
        not (plain(one) and plain(other))
        for one, other in zip(pairs.sources, pairs.targets, strict=True)
    )
    if empty:
        notes.append(f"{empty:,} pairs have an empty side and are scored as they are.")
    return Scored(pairs, f"{len(pairs):,} pairs of {pairs.name}", tuple(notes), known)


def evaluate_pairs(
    fitted: Fitted,
    scored: Scored,
    search: BeamOptions,
    bleu_tokenizer: str,
    progress: Callable[[int, int], None] | None,
) -> Report:
    """Translates the sources and scores the translations; see ``Translator.evaluate``."""
    import_extra("sacrebleu", "text")  # whose lack should be known before the work, not behind it
    pairs, notes = scored.pairs, scored.notes
    if not scored.is_held:
        lines, target = pairs.lines.tolist(), fitted.tokenizers.target
        name = f"the translations of {pairs.name}"
        check_sentences(fitted, pairs.targets, name, lines, tokenizer=target)
        check_sentences(fitted, pairs.sources, pairs.name, lines)
    begun = time.perf_counter()
    found = searched(fitted, pairs.sources, search, None, progress)
    seconds = time.perf_counter() - begun
    nats, tokens = corpus_nats(fitted.network, make_corpus(pairs, fitted.tokenizers))
    cut = sum(not one.complete for one in found)
    if cut:
        notes += (f"{cut:,} translations did not end and were cut at their limit.",)
    return make_report(
        pairs.sources,
        pairs.targets,
        {
            MODEL_NAME: [one.text for one in found],
            WORD_BY_WORD: [fitted.lexicon.translate(text) for text in pairs.sources],
            COPY: pairs.sources,
        },
        scope=scored.scope,
        search=search_words(search),
        perplexity=math.exp(min(nats / tokens, 700.0)),
        tokens=tokens,
        seconds=seconds,
        notes=notes,
        seen=scored.seen,
        tokenizer=bleu_tokenizer,
    )
