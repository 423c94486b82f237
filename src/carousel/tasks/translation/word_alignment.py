"""Which source word each word of a translation comes from, and a lexicon made of that.

Knows words and signs, nothing of tokens or networks. A target word comes from one source word of
its pair, or from the null word, which stands in front of every source:

    p(i | j) = p0                                        i = 0, the null word
             = (1 − p0) · exp(−λ·|i/S − j/T|) / Z_j      i = 1 … S; Z_j sums the exp over these
    p(i | j, w_j) ∝ p(i | j) · t(w_j | v_i)

Variational Bayes finds t from c(v, w), how often w is expected to come from v. Plain expectation
maximisation would let a rare source word collect the words of the few sentences it stands in;
what the digamma function ψ takes from small counts prevents that:

    t(w | v) = exp(ψ(c(v, w) + α) − ψ(Σ_w' (c(v, w') + α)))      w' that v ever stands opposite to

Letters: N pairs; S, T words of a source and of its target; i, j their places, from 1; v, w a
source and a target word; M pairs of words that stand opposite to each other somewhere; G target
words of some sentence pairs, and C cells, one for each of these and i from 0.

Reference: Brown, Della Pietra, Della Pietra and Mercer 1993, "The Mathematics of Statistical
    Machine Translation", https://aclanthology.org/J93-2003, Model 1; the prior is that of Dyer,
    Chahuneau and Smith 2013, "A Simple, Fast, and Effective Reparameterization of IBM Model 2",
    https://aclanthology.org/N13-1073, section 2, with their p0 and first λ, which stays; ψ after
    Riley and Gildea 2012, "Improving the IBM Alignment Models Using Variational Bayes",
    https://aclanthology.org/P12-2060.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int, Int32

from carousel.errors import ModelError

_NULL = 0.08  # p0
_TENSION = 4.0  # λ
_ALPHA = 0.01  # α
_CELLS = 1 << 20  # worked on at once, which bounds the memory beside 4 bytes for every cell
_TIE = 1e-9  # two numbers that differ by less than this share may differ by rounding alone
_HUGGING = frozenset(",.!?;:")
_JOINERS = "\u200c\u200d"  # invisible, between letters of Persian or Hindi


def words_of(text: str) -> list[str]:
    """Returns the words and signs of a text, in order.

    A word is a run of letters with their marks, digits and underscores, in which single
    apostrophes and hyphens may stand; a sign is any other character that is not a space.
    """
    return _pattern().findall(text)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Returns where each of ``words_of`` begins and ends, in characters of the text."""
    return [found.span() for found in _pattern().finditer(text)]


@functools.cache
def _pattern() -> re.Pattern[str]:
    # \w leaves out the marks, without which words of Hindi, or of decomposed letters, fall apart.
    # Planes 0, 1 and 14 have them; as ranges, since a set of single ones takes long to search.
    codes = itertools.chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0))
    found = [code for code in codes if unicodedata.category(chr(code))[0] == "M"]
    firsts = [code for code, before in zip(found, [0, *found], strict=False) if code != before + 1]
    lasts = [code for code, after in zip(found, [*found[1:], 0], strict=True) if code != after - 1]
    marks = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(firsts, lasts, strict=True))
    run = rf"\w[\w{marks}{_JOINERS}]*"
    return re.compile(rf"{run}(?:['’‐‑-]{run})*|[^\w\s]")


@dataclass(frozen=True, eq=False)
class Lexicon:
    """For each source word the most probable target word.

    Args:
        best: casefolded source words, each with a target word in its own writing.
    """

    best: Mapping[str, str]

    def translate(self, text: str) -> str:
        """Returns a text word by word, in the order of the source.

        A word that is not in the lexicon is copied. A blank divides two words, except in front of
        one of ``, . ! ? ; :`` and where the source has none beside a sign that stays the same, as
        in brackets or 3.14. The first letter is a capital where that of the source is.
        """
        written: list[str] = []
        end, kept = 0, False
        for start, stop in word_spans(text):
            word = text[start:stop]
            found = self.best.get(word.casefold(), word)
            kept_before, kept = kept, found == word and not word[0].isalnum()
            joined = found in _HUGGING or (start == end and (kept or kept_before))
            if written and not joined:
                written.append(" ")
            written.append(found)
            end = stop
        return _capitalised_like(text, "".join(written))

    def to_json(self) -> str:
        """Returns the lexicon as one JSON object, from which ``from_json`` makes it again."""
        return json.dumps(dict(self.best), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Lexicon:
        """Returns the lexicon that ``to_json`` wrote; ModelError where it is damaged."""
        try:
            best = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(f"something else ({error})") from None
        if not isinstance(best, dict):
            raise _damaged(repr(best)[:40])
        for word, other in best.items():
            if not isinstance(other, str):
                raise _damaged(f"{repr(other)[:40]} for {word!r}")
        return cls(best)


@dataclass(frozen=True, eq=False)
class WordAlignment:
    """What ``align_words`` found.

    Args:
        lexicon: made of all pairs.
        links: N arrays (T,), for each target word the number of the source word that it most
            probably comes from, from 0, as ``words_of`` numbers them; -1 for the null word.
    """

    lexicon: Lexicon
    links: list[np.ndarray]


def align_words(
    sources: Sequence[str], targets: Sequence[str], *, iterations: int = 5
) -> WordAlignment:
    """Finds which word comes from which, by nothing but what stands opposite to what.

    Words are compared without their case. The lexicon gives for v the w of the largest c(v, w),
    among equals the rarer one, which says more, and then the first by alphabet; w is written as it
    most often is behind the first word of a text, or else anywhere. Origins of a word that are
    equally probable: the null word, then the first source word. Numbers within 1e-9 of each other
    count as equal. The same texts give the same result, however they are worked on.

    Takes memory for 4 bytes · Σ(S + 1)·T, and time for ``iterations`` + 2 runs over these cells.

    Args:
        sources: N texts; where one has no word, all of its target words come from the null word.
        targets: N texts, each the translation of the source at its place; may have no word.
        iterations: estimates of t, at least 1.
    """
    assert len(sources) == len(targets), (len(sources), len(targets))
    assert iterations >= 1, iterations
    written = [words_of(text) for text in targets]
    corpus = _corpus(_folded(map(words_of, sources)), _folded(written))
    t = _fitted(corpus, iterations)
    lexicon = _lexicon(corpus, _expected_counts(corpus, t), _writings(written))
    origins = [_origins(cells, posterior) for _, cells, posterior in _posteriors(corpus, t)]
    flat, ends = np.concatenate(origins), np.cumsum(corpus.T).tolist()
    return WordAlignment(lexicon, [flat[a:b] for a, b in itertools.pairwise([0, *ends])])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Corpus:
    """The sentence pairs as whole numbers.

    Attributes:
        source_words: the different source words, ascending; the first is "", the null word.
        target_words: the different target words, ascending.
        target_counts: how often each of these stands in the corpus.
        S: words of each source, without the null word.
        T: words of each target.
        source: of the pairs of words that stand opposite to each other the place of v in
            ``source_words``; ascending, and where it is the same ``target`` ascends.
        target: and that of w in ``target_words``.
        parts: which sentence pairs to work on at once, and for each of their cells (C,) which of
            the M pairs of words it is.
    """

    source_words: list[str]
    target_words: list[str]
    target_counts: Int[np.ndarray, " W"]
    S: Int[np.ndarray, " N"]
    T: Int[np.ndarray, " N"]
    source: Int[np.ndarray, " M"]
    target: Int[np.ndarray, " M"]
    parts: list[tuple[slice, np.ndarray]]


class _Cells:
    """Every target word of some sentence pairs with each i of its pair, side by side from i = 0.

    Attributes:
        pair: (G,) the sentence pair of each target word.
        starts: (G,) the first cell of each target word.
        i: (C,) place of the source word, 0 for the null word.
    """

    def __init__(self, S: Int[np.ndarray, " N"], T: Int[np.ndarray, " N"]) -> None:
        self._S, self._T = S, T
        self.pair = np.repeat(np.arange(len(S)), T)
        self._widths = S[self.pair] + 1
        self.starts = np.cumsum(self._widths) - self._widths
        self.i = np.arange(self._widths.sum()) - self.spread(self.starts)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Returns the values of the target words, (G,), in each of their cells, (C,)."""
        return np.repeat(values, self._widths)

    def prior(self) -> Float64[np.ndarray, " C"]:
        """Returns p(i | j)."""
        S, T = self._S[self.pair], self._T[self.pair]
        j = np.arange(len(self.pair)) - (np.cumsum(self._T) - self._T)[self.pair] + 1
        # |i/S − j/T|, divided last, so that places which are equally far off are so exactly.
        off = np.abs(self.i * self.spread(T) - self.spread(j * S))
        weight = np.exp(-_TENSION * off / self.spread(np.maximum(S * T, 1)))
        weight[self.starts] = 0
        total = np.add.reduceat(weight, self.starts)
        total[S == 0] = 1
        prior = weight * self.spread((1 - _NULL) / total)
        prior[self.starts] = _NULL
        return prior


def _corpus(sources: list[list[str]], targets: list[list[str]]) -> _Corpus:
    source_words, source_ids = _numbered([["", *words] for words in sources])
    target_words, target_ids = _numbered(targets)
    S = np.array([len(words) for words in sources], np.int64)
    T = np.array([len(words) for words in targets], np.int64)
    source_starts = np.cumsum(S + 1) - (S + 1)
    target_starts = np.concatenate([[0], np.cumsum(T)])
    found, places, parts = [], [], _parts(S, T)
    for part in parts:
        cells = _Cells(S[part], T[part])
        v = source_ids[cells.spread(source_starts[part][cells.pair]) + cells.i]
        w = cells.spread(target_ids[target_starts[part.start] : target_starts[part.stop]])
        keys, place = np.unique(v * len(target_words) + w, return_inverse=True)
        found.append(keys)
        places.append(place.astype(np.int32))
    keys = np.unique(np.concatenate(found))
    for number, own in enumerate(found):
        places[number] = np.searchsorted(keys, own).astype(np.int32)[places[number]]
    source, target = np.divmod(keys, max(len(target_words), 1))
    return _Corpus(
        source_words=source_words,
        target_words=target_words,
        target_counts=np.bincount(target_ids, minlength=len(target_words)),
        S=S,
        T=T,
        source=source,
        target=target,
        parts=list(zip(parts, places, strict=True)),
    )


def _numbered(sentences: list[list[str]]) -> tuple[list[str], np.ndarray]:
    """Returns the different words, ascending, and the place among them of each word in turn."""
    words = list(itertools.chain.from_iterable(sentences))
    different = sorted(set(words))
    places = {word: place for place, word in enumerate(different)}
    return different, np.fromiter(map(places.__getitem__, words), np.int64, len(words))


def _parts(S: np.ndarray, T: np.ndarray) -> list[slice]:
    """Returns the sentence pairs cut into parts of ``_CELLS`` cells, give or take one pair."""
    number = np.cumsum((S + 1) * T) // _CELLS
    cuts = np.flatnonzero(np.diff(number)) + 1
    return [slice(a, b) for a, b in itertools.pairwise([0, *cuts.tolist(), len(S)])]


def _posteriors(
    corpus: _Corpus, t: Float64[np.ndarray, " M"]
) -> Iterator[tuple[np.ndarray, _Cells, np.ndarray]]:
    """Yields for each part which pair of words each cell is, (C,), the cells, and p(i | j, w_j)."""
    for part, index in corpus.parts:
        cells = _Cells(corpus.S[part], corpus.T[part])
        joint = cells.prior() * t[index]
        yield index, cells, joint / cells.spread(np.add.reduceat(joint, cells.starts))


def _expected_counts(corpus: _Corpus, t: Float64[np.ndarray, " M"]) -> Float64[np.ndarray, " M"]:
    """Returns c(v, w)."""
    counts = np.zeros_like(t)
    for index, _, posterior in _posteriors(corpus, t):
        # One after the other, unlike a sum of sums: the parts leave no trace in the rounding.
        np.add.at(counts, index.astype(np.intp), posterior)
    return counts


def _fitted(corpus: _Corpus, iterations: int) -> Float64[np.ndarray, " M"]:
    """Returns t(w | v) after some iterations; before them all are equal."""
    t = np.ones(len(corpus.source))
    for _ in range(iterations):
        counts = _expected_counts(corpus, t) + _ALPHA
        # A source word that stands opposite to nothing has a total of 0, which is never looked up.
        total = np.bincount(corpus.source, counts)
        t = np.exp(_digamma(counts) - _digamma(total)[corpus.source])
    return t


def _digamma(values: np.ndarray) -> np.ndarray:
    return torch.digamma(torch.from_numpy(values)).numpy()


def _origins(cells: _Cells, posterior: np.ndarray) -> Int32[np.ndarray, " G"]:
    """Returns the most probable i of each target word, less 1."""
    top = np.maximum.reduceat(posterior, cells.starts)
    likely = posterior >= (1 - _TIE) * cells.spread(top)
    first = np.minimum.reduceat(np.where(likely, cells.i, len(posterior)), cells.starts)
    return (first - 1).astype(np.int32)


def _lexicon(
    corpus: _Corpus, counts: Float64[np.ndarray, " M"], writings: Mapping[str, str]
) -> Lexicon:
    starts = np.flatnonzero(np.diff(corpus.source, prepend=-1))
    sizes = np.diff(starts, append=len(counts))
    top = np.repeat(np.maximum.reduceat(counts, starts), sizes)
    tied = np.flatnonzero((counts >= (1 - _TIE) * top) & (corpus.source > 0))
    source, target = corpus.source[tied], corpus.target[tied]
    order = np.lexsort((target, corpus.target_counts[target], source))
    source, first = np.unique(source[order], return_index=True)
    pairs = zip(source.tolist(), target[order][first].tolist(), strict=True)
    return Lexicon({corpus.source_words[v]: writings[corpus.target_words[w]] for v, w in pairs})


def _writings(sentences: list[list[str]]) -> dict[str, str]:
    """Returns for each casefolded word its most common writing, the first by code among equals.

    The first word of a sentence counts only for words that stand nowhere else: it has a capital
    for another reason.
    """
    behind: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    for words in sentences:
        first = next((place for place, word in enumerate(words) if word[0].isalnum()), 0)
        behind.update(words[first + 1 :])
        anywhere.update(words)
    best: dict[str, str] = {}
    for word in sorted(anywhere, key=lambda word: (-behind[word], -anywhere[word], word)):
        best.setdefault(word.casefold(), word)
    return best


def _folded(sentences: Iterator[list[str]] | list[list[str]]) -> list[list[str]]:
    return [[word.casefold() for word in words] for words in sentences]


def _capitalised_like(source: str, text: str) -> str:
    letter = next((c for c in source if c.isalpha()), "")
    place = next((place for place, c in enumerate(text) if c.isalpha()), None)
    if place is None or not (letter.isupper() or letter.istitle()):
        return text
    return text[:place] + text[place].title() + text[place + 1 :]


def _damaged(got: str) -> ModelError:
    return ModelError(
        f"expected the lexicon as an object of texts to texts, got {got}; take it from a copy, or "
        "train again"
    )
