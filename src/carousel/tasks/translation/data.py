"""From sentence pairs to the subwords of training, validation and holdout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

from carousel.data.pairs import Pairs, plain
from carousel.data.ragged import Ragged
from carousel.data.samples import is_sample, sample_path, with_sample
from carousel.data.tokenizers import Tokenizer, train_tokenizer
from carousel.errors import DataError
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.word_alignment import word_spans

TASK = "translation"
_SUBWORDS = 5  # of a word, at the most, on average
_LETTERS = 20  # of a subword, likewise
READING = ("encoding", "source_field", "target_field")  # options of how files are read
_SPLIT = 0  # seed: which pairs are held out does not hang on the run's


@dataclass(frozen=True, kw_only=True)
class Tokenizers:
    """What makes subwords of either language; one and the same where they are shared.

    A sentence is read with a blank before its first word and one between words, so that a word's
    subwords are the same wherever it stands.
    """

    source: Tokenizer
    target: Tokenizer

    @property
    def shared(self) -> bool:
        """Whether both languages have one vocabulary."""
        return self.source is self.target


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """N sentence pairs in subwords.

    Attributes:
        sources: each with the sentence's end.
        targets: each with the sentence's end.
        guides: for each step of the targets begin and end of the place in the source, or None.
        lines: (N,) where each pair stood in the data, from 1.
        end: number of the sentence's end in the target's vocabulary.
    """

    sources: Ragged
    targets: Ragged
    guides: Ragged | None
    lines: Int64[np.ndarray, " N"]
    end: int

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def lengths(self) -> Int64[np.ndarray, "N 2"]:
        """(N, 2) of source and target, ends included."""
        return np.stack([self.sources.lengths, self.targets.lengths], 1)


@dataclass(frozen=True, kw_only=True)
class Longest:
    """How long the sentences of training were, of either side.

    Attributes:
        words: of the one with most, between blanks.
        subwords: of the one with most, its end aside; 0 where it is not known.
    """

    words: int
    subwords: int


def options_for(data: Any, given: dict[str, Any]) -> TranslationOptions:
    """Returns the options for this data: what was given outranks what a sample says of itself."""
    return TranslationOptions(**with_sample(data, TASK, given))


def options_to_score(
    data: Any, options: TranslationOptions, given: Mapping[str, Any]
) -> TranslationOptions:
    """Returns the options by which pairs to score are read.

    Args:
        data: a sample is read as it says of itself, and all else as the training pairs were.
        options: of the training.
        given: values of ``READING`` that outrank these; None for none.
    """
    usual = options_for(data, {}) if is_sample(data) else options
    reading = {name: getattr(usual, name) for name in READING}
    reading |= {name: value for name, value in given.items() if value is not None}
    return replace(options, **reading)


def open_pairs(data: Any, options: TranslationOptions) -> Pairs:
    """Reads the pairs that are to be translated from source to target; see ``Pairs.read``."""
    place = str(sample_path(data, TASK)) if is_sample(data) else data
    pairs = Pairs.read(
        place, source=options.source_field, target=options.target_field, encoding=options.encoding
    )
    name = data if is_sample(data) else pairs.name
    sides = (pairs.sources, pairs.targets)
    one, other = reversed(sides) if options.reverse else sides
    return Pairs(one, other, pairs.lines, name)


def cleaned(pairs: Pairs, options: TranslationOptions) -> Pairs:
    """Returns the pairs that a model can learn from, as the options say."""
    return pairs.cleaned(longest=options.max_words, ratio=options.max_ratio)


def split(pairs: Pairs, options: TranslationOptions, validates: bool) -> tuple[Pairs, Pairs, Pairs]:
    """Returns training, validation and holdout; no source is in two of them.

    Args:
        pairs: cleaned.
        options: say how much goes where.
        validates: whether a part of these pairs chooses the weights.
    """
    holdout = validation = pairs.take([])
    share = options.validation if validates else 0.0
    if options.holdout:
        pairs, holdout = pairs.split_by_source(options.holdout, _SPLIT)
    if share:
        pairs, validation = pairs.split_by_source(share / (1 - options.holdout), _SPLIT + 1)
    return pairs, validation, holdout


def with_blank(text: str) -> str:
    """Returns a sentence as the tokenizer reads it; nothing where it has no word."""
    text = plain(text)
    return f" {text}" if text else ""


def learn_tokenizers(pairs: Pairs, size: int, shared: bool) -> Tokenizers:
    """Learns subwords from the training pairs.

    Args:
        pairs: of the training part.
        size: most subwords of a vocabulary.
        shared: whether both sides are one vocabulary.
    """

    def learned(*sides: Sequence[str]) -> Tokenizer:
        pieces = (piece for side in sides for text in side for piece in (with_blank(text), None))
        return train_tokenizer("subwords", pieces, size=size)

    if shared:
        both = learned(pairs.sources, pairs.targets)
        return Tokenizers(source=both, target=both)
    return Tokenizers(source=learned(pairs.sources), target=learned(pairs.targets))


def encode(tokenizer: Tokenizer, texts: Iterable[str]) -> Ragged:
    """Returns sentences as subwords, each with its end."""
    end = np.array([tokenizer.end], np.int32)
    found = tokenizer.encode_all([with_blank(text) for text in texts])
    return Ragged.of(np.concatenate([ids, end]) for ids in found)


def make_corpus(
    pairs: Pairs, tokenizers: Tokenizers, links: Mapping[int, np.ndarray] | None = None
) -> Corpus:
    """Encodes pairs.

    Args:
        pairs: of any part.
        tokenizers: of both sides.
        links: for guided training the word alignment of some pairs, see ``align_words``, by their
            places; the others are not guided.
    """
    sources = encode(tokenizers.source, pairs.sources)
    targets = encode(tokenizers.target, pairs.targets)
    guides = None
    if links is not None:
        found: list[np.ndarray] = []
        for row in range(len(pairs)):
            if (link := links.get(row)) is None:
                found.append(np.zeros((len(targets[row]), 2), np.int64))
                continue
            _, source_words = words_of_tokens(tokenizers.source, sources[row])
            _, target_words = words_of_tokens(tokenizers.target, targets[row])
            found.append(guide_of(source_words, target_words, link))
        guides = Ragged.of(found)
    return Corpus(
        sources=sources,
        targets=targets,
        guides=guides,
        lines=pairs.lines,
        end=tokenizers.target.end,
    )


def words_of_tokens(
    tokenizer: Tokenizer, tokens: np.ndarray
) -> tuple[list[str], Int64[np.ndarray, " T"]]:
    """Returns the words of a sentence, and for each of its subwords which of them it belongs to.

    A subword belongs to the word that its last byte stands in; -1 for none, as the sentence's end
    does. Words are those of ``words_of``; what is no UTF-8, as a model may write it, is U+FFFD.
    """
    parts = [tokenizer.bytes_after(int(token), 0) for token in tokens]
    # Each byte that is no text becomes one sign, so that signs and bytes can be counted together.
    text = b"".join(parts).decode("utf-8", "surrogateescape")
    sizes = [len(sign.encode("utf-8", "surrogateescape")) for sign in text]
    byte_of = np.cumsum([0, *sizes])
    owner = np.full(int(byte_of[-1]) + 1, -1)
    words = []
    for number, (begin, end) in enumerate(word_spans(text)):
        owner[byte_of[begin] : byte_of[end]] = number
        words.append(text[begin:end].encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    lengths = np.array([len(part) for part in parts], np.int64)
    last = np.cumsum(lengths) - 1
    return words, np.where(lengths > 0, owner[last], -1)


def guide_of(
    source_words: np.ndarray, target_words: np.ndarray, links: np.ndarray
) -> Int64[np.ndarray, "T 2"]:
    """Returns for each subword of the target where in the source its word's counterpart stands.

    Args:
        source_words: (S,) which word each subword of the source belongs to.
        target_words: (T,) of the target.
        links: of each target word the number of its source word, -1 for none.

    Returns:
        (T, 2), begin and end among the source's subwords; equal where there is no counterpart.
    """
    guide = np.zeros((len(target_words), 2), np.int64)
    begins = {int(word): place for place, word in reversed(list(enumerate(source_words)))}
    counts = np.bincount(source_words[source_words >= 0], minlength=1)
    for step, word in enumerate(target_words):
        link = int(links[word]) if word >= 0 else -1
        if link in begins and link >= 0:
            guide[step] = begins[link], begins[link] + counts[link]
    return guide


def digest_of(pairs: Pairs) -> str:
    """Returns what tells these pairs, in this order, from others."""
    found = hashlib.sha256()
    for pair in zip(pairs.sources, pairs.targets, strict=True):
        for text in pair:
            data = text.encode()
            found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def marks_of(texts: Iterable[str]) -> UInt64[np.ndarray, " N"]:
    """Returns a number for each sentence, by which it is known again, blanks aside."""
    found = [hashlib.blake2b(plain(text).encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(found), "<u8").astype(np.uint64)


def check_length(text: str, tokenizer: Tokenizer, longest: Longest, **place: Any) -> None:
    """Refuses a sentence that is no sentence to this model.

    Its words are counted; where it writes few blanks or is strange to the tokenizer, its subwords.

    Args:
        text: to translate.
        tokenizer: of its language.
        longest: how long the sentences of training were.
        **place: ``source`` and ``line`` for the message.
    """
    words, most = len(text.split()), max(5 * longest.words, 500)
    most_subwords = max(5 * longest.subwords, _SUBWORDS * most)
    if words > most:
        counted = f"{words:,} words"
    elif len(text) > _LETTERS * most_subwords:  # also where it takes long to make subwords of it
        counted = f"{len(text):,} characters"
    elif len(with_blank(text).encode()) <= most_subwords:  # a subword has a byte at least
        return
    elif (subwords := len(tokenizer.encode(with_blank(text)))) > most_subwords:
        counted = f"{subwords:,} subwords"
    else:
        return
    known = f"{longest.words:,} words"
    if longest.subwords and words <= most:
        known += f" and {longest.subwords:,} subwords"
    raise DataError(
        f"expected a sentence, got {counted}; the model has learned from sentences of up to "
        f"{known}: give one sentence a line",
        **place,
    )
