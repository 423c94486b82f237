"""What is said how often: words and which follow which, counted again sentence by sentence."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.decoding.ctc_scorer import Scorer
from carousel.errors import DataError
from carousel.tasks.ngrams import NgramModel
from carousel.tasks.speech_recognition.language import CountedWords, count_words, words_said
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.word_scorer import Lexicon, WordScorer

TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "b", "cc"]), min_size=1, max_size=5).map(" ".join),
    min_size=1,
    max_size=8,
)
SYMBOLS = Symbols(" abc")


def grams(model: NgramModel, length: int) -> dict[tuple[int, ...], int]:
    """The n-grams of so many tokens and their counts, out of what a model is saved as."""
    tensors, found = model.tensors(), [()]
    for k in range(1, length + 1):
        children, last = (tensors[f"{name}.{k}"].tolist() for name in ("children", "tokens"))
        before = [gram for gram, n in zip(found, children, strict=True) for _ in range(n)]
        found = [(*gram, token) for gram, token in zip(before, last, strict=True)]
    return dict(zip(found, tensors[f"counts.{length}"].tolist(), strict=True))


def scorer_of(words: list[str], ngrams: NgramModel | None, bonus: float) -> WordScorer:
    counted = None if ngrams is None else CountedWords(ngrams)
    return WordScorer(Lexicon(words, SYMBOLS.numbers), counted, len(SYMBOLS), bonus)


def said(scorer: Scorer, text: str, symbols: Symbols = SYMBOLS) -> float:
    """What a whole text is given."""
    given_so_far, answer = 0.0, scorer.start()
    for symbol in symbols.encode(text).tolist():
        given_so_far += float(answer.log_scores[0, symbol])
        answer = scorer.step(answer.states, [symbol])
    return given_so_far + float(scorer.finish(answer.states)[0])


def test_words_are_different_and_in_order() -> None:
    assert words_said(["b a", "", "é a ab"]) == ["a", "ab", "b", "é"]
    assert words_said([]) == []


@given(TEXTS, st.integers(2, 4))
def test_every_word_and_end_is_counted_behind_what_was_said_in_its_sentence(
    texts: list[str], order: int
) -> None:
    words = words_said(texts)
    end = len(words)
    wanted: Counter[tuple[int, ...]] = Counter()
    for text in texts:
        sentence = [*[end] * (order - 1), *map(words.index, text.split()), end]
        for place in range(order - 1, len(sentence)):
            wanted[tuple(sentence[place - order + 1 : place + 1])] += 1
    model = count_words(texts, words, order)
    assert (model.vocabulary, model.order) == (len(words) + 1, order)
    found = grams(model, order)
    # Those that end in the ends that stand between two sentences are never asked for.
    asked = {gram: n for gram, n in found.items() if gram[-1] != end or gram[-2] != end}
    assert asked == wanted
    # No history reaches back into the sentence before.
    for gram in found:
        kinds = "".join("e" if token == end else "w" for token in gram)
        assert not re.search("we+w", kinds)


@given(TEXTS)
def test_without_histories_words_are_counted_one_by_one(texts: list[str]) -> None:
    words = words_said(texts)
    found = grams(count_words(texts, words, 1), 1)
    counts = Counter(word for text in texts for word in text.split())
    assert {words[token]: n for (token,), n in found.items() if token < len(words)} == counts
    assert found[len(words),] >= len(texts)


def test_what_was_said_more_often_is_likelier() -> None:
    texts = ["a b"] * 6 + ["a cc", "b a", "a b a", "cc"]
    words = words_said(texts)
    for order in (2, 3):
        scorer = scorer_of(words, count_words(texts, words, order), 0.0)
        scores = {text: said(scorer, text) for text in ("a b", "a cc", "cc a", "b b")}
        assert max(scores, key=lambda text: scores[text]) == "a b"
        assert scores["a cc"] > scores["cc a"]
        assert all(-30 < score < 0 for score in scores.values())


@given(st.lists(st.sampled_from(["a", "b", "cc"]), min_size=1, max_size=4), st.floats(-3, 3))
def test_without_counts_all_words_are_welcome_alike(sentence: list[str], bonus: float) -> None:
    scorer = scorer_of(["a", "b", "cc"], None, bonus)
    # And cost nothing, nor does the end. A few roundings of numbers below 20.
    wanted = len(sentence) * bonus
    assert said(scorer, " ".join(sentence)) == pytest.approx(wanted, rel=0, abs=50 * 20 * 2.0**-53)
    assert said(scorer, "") == 0.0
    assert said(scorer, "c") == -math.inf


def test_words_that_no_symbol_writes_are_refused() -> None:
    with pytest.raises(DataError, match="got 'bad', in which 'd' is none; leave the word out"):
        scorer_of(["ab", "bad"], None, 0.0)
