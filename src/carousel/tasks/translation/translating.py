"""From sentences to their translations: checked, searched for together, made text again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from carousel.data import text_files
from carousel.data.pairs import plain
from carousel.data.tokenizers import Tokenizer
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, OptionError
from carousel.tasks.translation.data import check_length, encode
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.search import Searcher
from carousel.tasks.translation.translation import (
    Translation,
    empty_translation,
    make_translation,
)

LINES_AT_ONCE = 64
_MOST = 1_000_000  # subwords of a translation
SENTENCES = "the sentences to translate"


def translated(
    fitted: Fitted,
    texts: Sequence[str],
    search: BeamOptions,
    max_tokens: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[Translation]:
    """Translates sentences; see ``Translator.translate``.

    Args:
        fitted: the trained translator.
        texts: sentences.
        search: how translations are searched for.
        max_tokens: most subwords of a translation, its end among them; None for a limit by the
            source's length.
        progress: told how many are done, and of how many.

    Raises:
        DataError: for what is no text, or far longer than a sentence; names its number.
        OptionError: for a limit that is none.
    """
    check_limit(max_tokens)
    check_sentences(fitted, texts, SENTENCES)
    return searched(fitted, texts, search, max_tokens, progress)


def searched(
    fitted: Fitted,
    texts: Sequence[str],
    search: BeamOptions,
    max_tokens: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[Translation]:
    """Does what ``translated`` does, with sentences and a limit that are checked."""
    rows = [row for row, text in enumerate(texts) if plain(text)]
    found = [empty_translation(text) for text in texts]
    if rows:
        sources = encode(fitted.tokenizers.source, [texts[row] for row in rows])
        # One text may come in other subwords again: to have enough, the whole beam is kept.
        kept = search if search.best == 1 else dataclasses.replace(search, best=search.beam)
        searcher = Searcher(fitted.network, fitted.tokenizers.target.end, kept, max_tokens)
        for place, (row, hypotheses) in enumerate(
            zip(rows, searcher.search(sources, progress), strict=True)
        ):
            found[row] = make_translation(
                texts[row],
                sources[place],
                hypotheses,
                fitted.tokenizers,
                unseen_characters(texts[row], fitted.characters),
                search.best,
            )
    return found


def good_part(
    fitted: Fitted, texts: Sequence[str], source: str, first: int
) -> tuple[Sequence[str], DataError | None]:
    """Returns the texts before the first that cannot be translated, and what is wrong with that.

    Args:
        fitted: the trained translator.
        texts: some lines.
        source: what they are lines of.
        first: the number of the first of them.
    """
    for place, text in enumerate(texts):
        try:
            check_sentences(fitted, [text], source, [first + place])
        except DataError as error:
            return texts[:place], error
    return texts, None


def check_sentences(
    fitted: Fitted,
    texts: Iterable[Any],
    source: str,
    lines: Iterable[int] | None = None,
    *,
    tokenizer: Tokenizer | None = None,
) -> None:
    """Refuses the first of some texts that is no sentence to this model.

    Args:
        fitted: the trained translator.
        texts: to translate, or translations.
        source: what they are called in a message.
        lines: their numbers there; by default from 1 on.
        tokenizer: of their language; by default the source's.
    """
    tokenizer = fitted.tokenizers.source if tokenizer is None else tokenizer
    numbers = itertools.count(1) if lines is None else lines
    for number, text in zip(numbers, texts, strict=False):
        place: dict[str, Any] = {"source": source, "line": number}
        if not isinstance(text, str):
            raise DataError(f"expected text, got {repr(text)[:40]}; give a string", **place)
        if wrong := text_files.unreadable_signs(text):
            raise DataError(f"expected text, got {wrong} in it; delete it", **place)
        check_length(text, tokenizer, fitted.longest, **place)


def check_limit(max_tokens: Any) -> None:
    """Refuses a limit of a translation's length that is none."""
    if max_tokens is None:
        return
    if type(max_tokens) is not int or not 1 <= max_tokens <= _MOST:
        raise OptionError(
            f"max_tokens expects a whole number from 1 to {_MOST:,}, got {max_tokens!r}"
        )


def unseen_characters(text: str, known: str) -> str:
    """Returns the characters of a text that are not among the known ones, each once, in order.

    Blanks are none of them: whichever divide the words, all are read alike.
    """
    signs = "".join(text.split())
    return "".join(dict.fromkeys(sign for sign in signs if sign not in known))
