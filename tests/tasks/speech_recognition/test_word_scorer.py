"""The scorer of words against sentences scored whole, and what may be said against plain strings.

Letters: W words, V symbols with the blank.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoding.ctc_references import all_sequences, random_frames

from carousel.decoding.ctc_beam import PrefixBeamOptions, prefix_beam_search
from carousel.decoding.ctc_scorer import Scored, Scorer
from carousel.errors import DataError
from carousel.tasks.ngrams import NgramModel
from carousel.tasks.speech_recognition.language import CountedWords
from carousel.tasks.speech_recognition.word_scorer import Lexicon, WordScorer

SYMBOLS = {" ": 1, "a": 2, "b": 3, "c": 4}
V = 5
# A sentence has up to 5 terms of size 20, each taken apart into up to 4 that are put together
# again, with a few roundings of 2^-53 each.
CLOSE = 5 * 4 * 20 * 8 * 2.0**-53


@dataclasses.dataclass
class Asked:
    words: list[str]
    counted: list[int]
    order: int
    bonus: float

    @functools.cached_property
    def ngrams(self) -> NgramModel:
        """Made when it is asked for: checks of types draw at random, as a strategy must not."""
        tokens = np.array(self.counted, np.int64)
        return NgramModel.fit(tokens, len(self.words) + 1, self.order)

    @property
    def scorer(self) -> WordScorer:
        return WordScorer(Lexicon(self.words, SYMBOLS), CountedWords(self.ngrams), V, self.bonus)

    def after(self, sentence: list[str]) -> list[float]:
        """The ln P of each word and of the end after so many words; with β for the words."""
        end, before = len(self.words), self.ngrams.order - 1
        context = [*[end] * before, *map(self.words.index, sentence)]
        found = []
        for token in range(end + 1):
            asked = np.array([*context, token], np.int64)
            [value] = self.ngrams.log_probabilities(asked, first=len(context)).tolist()
            found.append(value + (self.bonus if token < end else 0.0))
        return found

    def worth(self, sentence: list[str]) -> float:
        """The sum over the words of a sentence, without its end."""
        return sum(
            self.after(sentence[:place])[self.words.index(word)]
            for place, word in enumerate(sentence)
        )


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    words = sorted(draw(st.sets(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=7)))
    counted = draw(st.lists(st.integers(0, len(words)), max_size=40))
    return Asked(words, counted, draw(st.integers(1, 3)), draw(st.sampled_from([0.0, -1.5, 2.0])))


def sentences_of(draw: st.DataObject, asked: Asked) -> list[str]:
    return draw.draw(st.lists(st.sampled_from(asked.words), max_size=4))


def followed(scorer: WordScorer, text: str) -> tuple[float, Scored]:
    """What a text was given, symbol by symbol, and the answer behind it."""
    given_so_far, answer = 0.0, scorer.start()
    for character in text:
        symbol = SYMBOLS[character]
        given_so_far += float(answer.log_scores[0, symbol])
        answer = scorer.step(answer.states, [symbol])
    return given_so_far, answer


@settings(max_examples=50)
@given(questions(), st.data())
def test_a_sentence_gets_what_its_words_and_its_end_are_worth(
    asked: Asked, data: st.DataObject
) -> None:
    sentence = sentences_of(data, asked)
    scorer = asked.scorer
    so_far, answer = followed(scorer, " ".join(sentence))
    [ending] = scorer.finish(answer.states).tolist()
    # Nothing said is no sentence of the model's.
    wanted = asked.worth(sentence) + asked.after(sentence)[-1] if sentence else 0.0
    assert so_far + ending == pytest.approx(wanted, rel=0, abs=CLOSE)


@settings(max_examples=50)
@given(questions(), st.data())
def test_what_is_said_is_words_of_the_lexicon_and_nothing_else(
    asked: Asked, data: st.DataObject
) -> None:
    scorer, text = asked.scorer, " ".join(sentences_of(data, asked))
    text = text[: data.draw(st.integers(0, len(text)))]
    _, answer = followed(scorer, text)
    begun = text.rpartition(" ")[2]
    going_on = [word for word in asked.words if word.startswith(begun)]
    allowed = {SYMBOLS[word[len(begun)]] for word in going_on if word != begun}
    if begun in asked.words:
        allowed.add(SYMBOLS[" "])
    [row] = answer.log_scores.tolist()
    assert len(row) == V
    assert {symbol for symbol, score in enumerate(row) if score > -math.inf} == allowed
    [ending] = scorer.finish(answer.states).tolist()
    assert (ending > -math.inf) is (text == "" or begun in asked.words)


@settings(max_examples=50)
@given(questions(), st.data())
def test_within_a_word_the_best_that_may_become_of_it_is_given(
    asked: Asked, data: st.DataObject
) -> None:
    text = " ".join(sentences_of(data, asked))
    text = text[: data.draw(st.integers(0, len(text)))]
    so_far, _ = followed(asked.scorer, text)
    said, _, begun = text.rpartition(" ")
    wanted = asked.worth(said.split())
    if begun:
        after = zip(asked.words, asked.after(said.split()), strict=False)
        wanted += max(value for word, value in after if word.startswith(begun))
    assert so_far == pytest.approx(wanted, rel=0, abs=CLOSE)


@settings(max_examples=50)
@given(questions(), st.data())
def test_prefixes_are_answered_the_same_together_and_alone(
    asked: Asked, data: st.DataObject
) -> None:
    """And in any order, before and after others: a scorer remembers nothing that matters."""
    scorer, states, tokens = asked.scorer, [], []
    for _ in range(data.draw(st.integers(1, 4))):
        text = " ".join(sentences_of(data, asked)) or asked.words[0]
        place = data.draw(st.integers(0, len(text) - 1))
        [state] = followed(scorer, text[:place])[1].states
        states.append(state)
        tokens.append(SYMBOLS[text[place]])
    together = scorer.step(states, tokens)
    assert together.log_scores.shape == (len(states), V)
    ends = scorer.finish(together.states)
    assert ends.shape == (len(states),)
    for number in reversed(range(len(states))):
        alone = asked.scorer.step([states[number]], [tokens[number]])
        assert torch.equal(alone.log_scores[0], together.log_scores[number])
        assert asked.scorer.finish(alone.states)[0] == ends[number]


def test_no_prefix_is_no_question() -> None:
    counted = CountedWords(NgramModel.fit(np.zeros(0, np.int64), 2, 1))
    scorer = WordScorer(Lexicon(["ab"], SYMBOLS), counted, V)
    assert isinstance(scorer, Scorer)
    assert scorer.step([], []).log_scores.shape == (0, V)
    assert scorer.finish([]).shape == (0,)


def test_an_example_by_hand() -> None:
    """Words a and ab, counted without context: a twice, ab once, the end once; β is 10.

    Of three kinds two were counted once and one twice, so the discount is 2 / (2 + 2 · 1), and
    3 · 0.5 of the 4 tokens are divided by 3.
    """
    ngrams = NgramModel.fit(np.array([2, 0, 0, 1], np.int64), 3, 1)
    a, ab, end = math.log((2 - 0.5 + 0.5) / 4), math.log(1 / 4), math.log(1 / 4)
    scorer = WordScorer(Lexicon(["ab", "a"], SYMBOLS), CountedWords(ngrams), V, 10.0)
    no = -math.inf
    first = scorer.start()
    assert first.log_scores.tolist() == [pytest.approx([no, no, a + 10, no, no])]
    second = scorer.step(first.states, [2])
    assert second.log_scores.tolist() == [pytest.approx([no, 0.0, no, ab - a, no], abs=CLOSE)]
    assert scorer.finish(second.states).tolist() == [pytest.approx(end)]
    third = scorer.step(second.states, [3])
    assert third.log_scores.tolist() == [pytest.approx([no, 0.0, no, no, no], abs=CLOSE)]
    fourth = scorer.step(third.states, [1])
    assert fourth.log_scores.tolist() == first.log_scores.tolist()
    both = scorer.finish([*first.states, *third.states, *fourth.states]).tolist()
    assert both == [0.0, pytest.approx(end), no]


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32),
    words=st.sets(st.sampled_from(["a", "b", "ab", "ba", "bb"]), min_size=1),
    counted=st.lists(st.integers(0, 1), max_size=20),
    order=st.integers(1, 3),
    weight=st.sampled_from([0.0, 0.7, 2.0]),
)
def test_the_search_finds_the_best_of_all_sentences(
    seed: int, words: set[str], counted: list[int], order: int, weight: float
) -> None:
    names = sorted(words)
    asked, width = Asked(names, counted, order, 0.5), 4
    log_probs = random_frames(seed, 5, width)
    characters = {number: character for character, number in SYMBOLS.items()}
    scores: dict[tuple[int, ...], float] = {}
    for tokens, log_probability in all_sequences(log_probs, 0).items():
        said = "".join(characters[token] for token in tokens)
        sentence = said.split(" ") if said else []
        if all(word in words for word in sentence):
            value = asked.worth(sentence) + asked.after(sentence)[-1] if sentence else 0.0
            scores[tokens] = log_probability + weight * value
    symbols = {character: number for character, number in SYMBOLS.items() if number < width}
    scorer = WordScorer(Lexicon(names, symbols), CountedWords(asked.ngrams), width, 0.5)
    options = PrefixBeamOptions(
        beam=1500,
        best=1500,
        scorer_weight=weight,
        token_threshold=0.0,
        hypothesis_threshold=math.inf,
    )
    [found] = prefix_beam_search(
        log_probs[:, None], torch.tensor([5]), options=options, scorer=scorer
    )
    finite = [one for one in found if one.score > -math.inf]
    assert {tuple(one.tokens) for one in finite} == set(scores)
    for one in finite:
        # All paths of a sentence are summed in another order, and weighted by 2 at the most.
        assert one.score == pytest.approx(scores[tuple(one.tokens)], rel=0, abs=10 * CLOSE)
    assert finite[0].score == max(one.score for one in finite)


@given(st.sets(st.text("abc", min_size=1, max_size=4), max_size=12), st.integers(0, 2**31))
def test_a_lexicon_has_a_node_of_each_beginning_with_the_best_behind_it(
    words: set[str], seed: int
) -> None:
    made = Lexicon(list(words), SYMBOLS)
    scores = np.random.default_rng(seed).standard_normal(len(words))
    best = made.best_below(scores)
    assert made.words == sorted(words)
    beginnings = {word[:length] for word in words for length in range(len(word) + 1)} | {""}
    nodes = {}
    for text in beginnings:
        node = 0
        for character in text:
            node = made.children[node][SYMBOLS[character]]
        nodes[text] = node
        behind = [scores[n] for n, word in enumerate(made.words) if word.startswith(text)]
        assert best[node] == max(behind, default=-math.inf)
        at = made.word_at.get(node)
        assert (None if at is None else made.words[at]) == (text if text in words else None)
    assert sorted(nodes.values()) == list(range(len(beginnings))) == list(range(len(best)))


def test_the_order_of_the_words_does_not_matter() -> None:
    words = ["cab", "a", "ab", "b"]
    one, other = Lexicon(words, SYMBOLS), Lexicon(words[::-1], SYMBOLS)
    assert (one.words, one.children, one.word_at) == (other.words, other.children, other.word_at)


def test_words_of_other_characters_are_refused() -> None:
    with pytest.raises(DataError, match=r"got 'abé', in which 'é' is none; leave the word out"):
        Lexicon(["ab", "abé"], SYMBOLS)
