"""From what a network says to words: times, confidences, and searches against all that was said."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.decoding.ctc_references import all_sequences
from tests.tasks.speech_recognition.small_recordings import SMALL, sound_of
from tests.tasks.speech_recognition.test_training import distance
from torch import Tensor

from carousel.data.feature_scaling import Moments
from carousel.data.recordings import Recordings
from carousel.decoding.ctc import CtcResult, Span
from carousel.tasks.speech_recognition import fitting
from carousel.tasks.speech_recognition.fitted import (
    Fitted,
    Seen,
    Weights,
    make_frontend,
    make_network,
)
from carousel.tasks.speech_recognition.fitting import best_weights
from carousel.tasks.speech_recognition.language import count_words, words_said
from carousel.tasks.speech_recognition.network import BLANK, AcousticNetwork
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.plan import make_plan
from carousel.tasks.speech_recognition.recognition import (
    ListeningOptions,
    Search,
    Transcript,
    Word,
    transcript_of,
)
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.utterances import Utterances, features_of

RATE = 8_000  # Hz
READY_SIZE = 6  # features of a frame that were given as such
TEXTS = ("ab bad", "cab ab dab", "dab ad", "ad ab bad")
FEW = ("a ab", "b a", "ab b", "a")
STEPS = 5
# What a search gives up is below e^-20 of the best; there are fewer than 300 prefixes.
CLOSE = 300 * math.exp(-20)


def untaught(
    texts: Sequence[str] = TEXTS,
    *,
    weights: Weights | None = None,
    is_ready: bool = False,
    remembers: bool = True,
    **options: Any,
) -> Fitted:
    """Returns a recogniser of random weights, to which all symbols are about equally likely.

    Args:
        texts: say which symbols and words there are, and which words follow which.
        weights: of words and sound.
        is_ready: whether it reads features and not sound.
        remembers: whether the layers carry anything from step to step.
        **options: in place of the small ones.
    """
    small = {name: value for name, value in SMALL.items() if not is_ready or name != "mel_filters"}
    chosen = RecognitionOptions(**{**small, **options})
    plan, _ = make_plan(chosen, hours=0.0, rate=RATE, is_ready=is_ready)
    symbols, words = Symbols.of(texts), words_said(texts)
    features = features_of(plan)
    if features is None:
        x = np.random.default_rng(5).standard_normal((80, READY_SIZE)).astype(np.float32)
    else:
        x = features.compute(sound_of("ab bad cab dab ad", RATE))
    frontend = make_frontend(plan, x.shape[1], Moments.of([x]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = make_network(plan, frontend, symbols).eval()
        randomize(network, remembers)
    even_out(network, torch.from_numpy(frontend.seen(frontend.scaled(x, None)))[:, None])
    return Fitted(
        options=chosen,
        plan=plan,
        symbols=symbols,
        frontend=frontend,
        network=network,
        words=words,
        ngrams=count_words(texts, words, chosen.ngram) if chosen.ngram else None,
        weights=weights or Weights(),
        commonest=texts[0],
        seen=Seen(digest="", marks=frozenset()),
        about={},
    )


@torch.no_grad()
def randomize(network: AcousticNetwork, remembers: bool) -> None:
    for name, value in network.named_parameters():
        # Recurrent weights are small, so that what was rounded long ago fades away.
        value.normal_(0.0, 0.15 if "weight_hh" in name else 0.5)
        if name.startswith("layers") and not remembers:
            cells = len(value) // 4
            if "weight_hh" in name:
                value.zero_()
            value[cells : 2 * cells] = -40.0 if "bias" in name else 0.0  # the forget gate is shut


@torch.no_grad()
def even_out(network: AcousticNetwork, frames: Tensor) -> None:
    """Makes all symbols equally likely over these frames, and one of them likely at each step."""
    log_probs, _ = network(frames, torch.tensor([len(frames)]))
    mean = log_probs.mean((0, 1))
    apart = log_probs - mean
    factor = 4.0 / float((apart - apart.mean(2, keepdim=True)).std())  # nats
    network.output.bias.sub_(mean).mul_(factor)
    network.output.weight.mul_(factor)


def script(said: str, symbols: Symbols) -> Tensor:
    """Returns ln p (S, V) of a network that is sure: a character a step, "-" for the blank.

    Whatever else there is, a search gives up at once.
    """
    p = torch.full((len(said), len(symbols)), 1e-12, dtype=torch.float64)
    for step, character in enumerate(said):
        p[step, symbols.numbers.get(character, BLANK)] = 1 - 1e-12 * (len(symbols) - 1)
    return p.log()


def random_steps(seed: int, symbols: Symbols) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    drawn = torch.randn(STEPS, len(symbols), generator=chance, dtype=torch.float64)
    return (0.8 * drawn).log_softmax(-1)


def searched(fitted: Fitted, log_probs: Tensor, **listening: Any) -> Transcript:
    search = Search(fitted, ListeningOptions(**{"beam": 64, **listening}))
    [found] = search.transcripts(log_probs[:, None], torch.tensor([len(log_probs)]), [0.1])
    return found


def spelled(tokens: Sequence[int], symbols: Symbols) -> str:
    return "".join(symbols.characters[token - 1] for token in tokens)


def said_in_words(fitted: Fitted, log_probs: Tensor) -> list[tuple[str, float, float]]:
    """Returns each sentence of the lexicon's words that some path says, "" with them.

    And of each ln P of the paths, and ln P of the language.
    """
    found = []
    for tokens, log_probability in all_sequences(log_probs, BLANK).items():
        text = spelled(tokens, fitted.symbols)
        if not text or all(word in fitted.words for word in text.split(" ")):
            found.append((text, log_probability, language(fitted, text)))
    return found


def language(fitted: Fitted, text: str) -> float:
    """Returns ln P of a sentence's words and of its end, each after those before; 0 for none."""
    words, end = text.split(), len(fitted.words)
    if not words or fitted.ngrams is None:
        return 0.0
    before = [end] * (fitted.ngrams.order - 1)
    stream = np.array([*before, *map(fitted.words.index, words), end])
    return float(fitted.ngrams.log_probabilities(stream, first=len(before)).sum())


def ranked(
    sentences: list[tuple[str, float, float]], weight: float, bonus: float
) -> list[tuple[str, float]]:
    """Returns all sentences (see ``said_in_words``) and their scores, the best first."""
    scores = [
        (text, found + weight * own + bonus * len(text.split())) for text, found, own in sentences
    ]
    return sorted(scores, key=lambda one: -one[1])


@pytest.mark.parametrize(
    ("weight", "bonus"), [(1.0, 0.0), (0.7, 0.4), (2.0, -1.5), (0.3, 3.0), (0.0, 0.0)]
)
@pytest.mark.parametrize("ngram", [0, 1, 2, 3])
def test_a_search_finds_the_best_sentences_of_all(ngram: int, weight: float, bonus: float) -> None:
    fitted = untaught(FEW, ngram=ngram)
    for seed in range(4):
        log_probs = random_steps(seed, fitted.symbols)
        found = searched(fitted, log_probs, best=3, language_weight=weight, word_bonus=bonus)
        wanted = ranked(said_in_words(fitted, log_probs), weight, bonus)[:3]
        assert [found.text, *(one.text for one in found.others)] == [text for text, _ in wanted]
        scores = [found.score, *(one.score for one in found.others)]
        assert scores == pytest.approx([score for _, score in wanted], rel=0, abs=CLOSE)
        assert " ".join(word.text for word in found.words) == found.text


def test_without_a_lexicon_anything_is_spelled() -> None:
    fitted = untaught(FEW, lexicon=False, ngram=0)
    texts = set()
    for seed in range(8):
        log_probs = random_steps(seed, fitted.symbols)
        found = searched(fitted, log_probs, beam=400)
        every = all_sequences(log_probs, BLANK)
        tokens = max(every, key=every.__getitem__)
        assert found.text == " ".join(spelled(tokens, fitted.symbols).split())
        assert found.score == pytest.approx(every[tokens], rel=0, abs=CLOSE)
        texts.add(found.text)
    assert any(word not in fitted.words for text in texts for word in text.split())


def test_weights_are_those_that_fitting_chose_unless_others_are_given() -> None:
    chosen = Weights(scorer=0.5, word_bonus=2.0)
    fitted = untaught(FEW, ngram=2, weights=chosen)
    for seed in range(3):
        log_probs = random_steps(seed, fitted.symbols)
        sentences = said_in_words(fitted, log_probs)
        for given_ones, weight, bonus in (
            ({}, 0.5, 2.0),
            ({"language_weight": 1.5}, 1.5, 2.0),
            ({"word_bonus": -1.0}, 0.5, -1.0),
        ):
            text, score = ranked(sentences, weight, bonus)[0]
            found = searched(fitted, log_probs, **given_ones)
            assert found.text == text
            assert found.score == pytest.approx(score, rel=0, abs=CLOSE)


def test_recordings_of_a_batch_are_searched_each_by_itself() -> None:
    fitted = untaught(FEW, ngram=2)
    each = [random_steps(seed, fitted.symbols)[:length] for seed, length in enumerate((3, 5, 0))]
    padded = torch.zeros(STEPS, 3, len(fitted.symbols), dtype=torch.float64)
    for place, one in enumerate(each):
        padded[: len(one), place] = one
    search = Search(fitted, ListeningOptions())
    found = search.transcripts(padded, torch.tensor([3, 5, 0]), [0.07, 0.1, 0.0])
    assert [one.seconds for one in found] == [0.07, 0.1, 0.0]
    for one, log_probs in zip(found, each, strict=True):
        alone = searched(fitted, log_probs, beam=16)
        assert (one.text, one.score) == (alone.text, alone.score)
    assert (found[2].text, found[2].words, found[2].score) == ("", (), 0.0)


def test_half_a_word_is_no_transcript() -> None:
    """Not even among the last of many: the lexicon has none, and JSON knows no -inf."""
    fitted = untaught(("bab a", "a"), ngram=2)
    for seed in range(4):
        found = searched(fitted, random_steps(seed, fitted.symbols), best=64)
        assert len(found.others) > 3
        for one in (found, *found.others):
            assert one.score > -math.inf
            assert {word.text for word in one.words} <= set(fitted.words)
        json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("said", "text"), [("ab ba", "ab"), ("ab -", "ab"), ("ba", "")])
def test_where_nothing_may_end_whole_words_are_kept(said: str, text: str) -> None:
    """With the sound's own score of all that was heard, since the words give none."""
    fitted = untaught(("ab bab", "bab"), ngram=2)
    log_probs = script(said, fitted.symbols)
    found = searched(fitted, log_probs, best=4)
    assert found.text == " ".join(word.text for word in found.words) == text
    tokens = fitted.symbols.encode(said.replace("-", "")).tolist()
    wanted = all_sequences(log_probs, BLANK)[tuple(tokens)]
    assert found.score == pytest.approx(wanted, rel=0, abs=CLOSE)
    assert found.others == ()


def test_texts_that_are_the_same_are_given_once_with_the_best_score() -> None:
    """Without a lexicon blanks at the ends, or side by side, are paths of their own."""
    fitted = untaught(FEW, lexicon=False, ngram=0)
    log_probs = random_steps(1, fitted.symbols)
    found = searched(fitted, log_probs, beam=400, best=400)
    wanted: dict[str, float] = {}
    for tokens, log_probability in all_sequences(log_probs, BLANK).items():
        text = " ".join(spelled(tokens, fitted.symbols).split())
        wanted[text] = max(log_probability, wanted.get(text, -math.inf))
    assert found.text == max(wanted, key=wanted.__getitem__)
    scores = {one.text: one.score for one in (found, *found.others)}
    assert len(scores) == 1 + len(found.others)
    assert scores == pytest.approx(wanted, rel=0, abs=CLOSE)
    assert [*scores.values()] == sorted(scores.values(), reverse=True)


@given(st.lists(st.integers(1, 4), max_size=14), st.integers(0, 2**32))
def test_words_are_the_runs_between_blanks(tokens: list[int], seed: int) -> None:
    symbols, random = Symbols(" abc"), np.random.default_rng(seed)
    edges = np.cumsum(random.integers(1, 4, 2 * len(tokens))).tolist()
    spans = [Span(*edge) for edge in zip(edges[::2], edges[1::2], strict=True)]
    sure = random.random(len(tokens)).tolist()
    found = transcript_of(CtcResult(tokens, spans, sure, -1.0, 0.0, -2.5), symbols, 0.02, 1_000.0)
    text = spelled(tokens, symbols)
    runs = [*re.finditer("[^ ]+", text)]
    assert [word.text for word in found.words] == [run.group() for run in runs]
    for word, run in zip(found.words, runs, strict=True):
        assert word.begin == spans[run.start()].begin * 0.02
        assert word.end == spans[run.end() - 1].end * 0.02
        assert word.confidence == min(sure[run.start() : run.end()])
    assert found.text == str(found) == " ".join(text.split())
    assert (found.score, found.seconds, found.others) == (-2.5, 1_000.0, ())
    assert found.confidence == min((word.confidence for word in found.words), default=1.0)


def test_a_word_ends_with_the_recording() -> None:
    """Whose last step reaches beyond its last frame."""
    result = CtcResult([2, 3], [Span(1, 2), Span(6, 8)], [0.9, 0.25], -1.0, 0.0, -1.0)
    found = transcript_of(result, Symbols(" ab"), 0.03, 0.23)
    assert found.words == (Word("ab", 0.03, 0.23, 0.25),)
    assert found.confidence == 0.25


def test_transcripts_are_plain_values() -> None:
    word = Word("ab", 0.03004, 1.99996, 0.123456)
    other = Transcript("ad", (), -3.000049, 2.0)
    found = Transcript("ab", (word,), -2.0, 2.00049, (other,)).to_dict()
    assert found == {
        "text": "ab",
        "confidence": 0.1235,
        "seconds": 2.0,
        "words": [{"text": "ab", "begin": 0.03, "end": 2.0, "confidence": 0.1235}],
        "others": [{"text": "ad", "score": -3.0}],
    }
    assert json.loads(json.dumps(found)) == found
    assert "others" not in other.to_dict()
    assert other.confidence == 1.0


def weighed(
    monkeypatch: pytest.MonkeyPatch, fitted: Fitted, log_probs: list[Tensor], texts: Sequence[str]
) -> tuple[Weights, int]:
    """Returns the best weights where this is heard in validation, and how much of it was."""
    rows = [{"audio": f"{row}.wav", "text": text} for row, text in enumerate(texts)]
    valid = Utterances(
        Recordings.read(rows),
        fitted.frontend.features,
        np.full(len(rows), 10),
        [None] * len(rows),
        fitted.frontend.size,
    )
    counts = []

    def read(
        network: Any, utterances: Utterances, frontend: Any, symbols: Any
    ) -> Iterator[tuple[Any, Tensor, Tensor]]:
        counts.append(len(utterances))
        order = [*range(len(utterances))][::-1]
        for begin in range(0, len(order), 3):
            part = order[begin : begin + 3]
            heard = torch.stack([log_probs[row] for row in part], 1)
            yield SimpleNamespace(rows=np.array(part)), heard, torch.full((len(part),), STEPS)

    monkeypatch.setattr(fitting, "read_all", read)
    monkeypatch.setattr(fitting, "_BEAM", 64)  # all that there is
    found = best_weights(fitted, valid)
    [count] = counts
    return found, count


ORDER = [(scorer, bonus) for scorer in (1.0, 0.6, 1.5, 0.3, 2.0) for bonus in (0.0, 1.0, 2.0, 3.0)]


def test_the_best_weights_make_the_fewest_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = untaught(FEW, ngram=2)
    log_probs = [random_steps(seed, fitted.symbols) for seed in range(8)]
    every = [said_in_words(fitted, one) for one in log_probs]
    best = {pair: [ranked(one, *pair)[0][0].split() for one in every] for pair in ORDER}
    # What one pair finds in most recordings, and something else in two.
    said = [*best[0.3, 3.0][:6], ["b", "b", "b"], ["ab", "ab", "ab"]]
    errors = {
        pair: sum(distance(*both) for both in zip(said, found, strict=True))
        for pair, found in best.items()
    }
    wanted = min(ORDER, key=errors.__getitem__)  # of equals the first
    assert errors[wanted] < errors[1.0, 0.0]
    found, count = weighed(monkeypatch, fitted, log_probs, [" ".join(words) for words in said])
    assert found == Weights(scorer=wanted[0], word_bonus=wanted[1])
    assert count == 8


def test_of_equal_weights_the_plainest_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever weights there were."""
    fitted = untaught(FEW, ngram=2, weights=Weights(scorer=2.0, word_bonus=3.0))
    steps = [script(said, fitted.symbols) for said in ("a--b-", "-ab--", "b a--")]
    found, _ = weighed(monkeypatch, fitted, steps, ["ab", "ab", "b a"])
    assert found == Weights(scorer=1.0, word_bonus=0.0)


def test_of_many_recordings_the_first_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = untaught(FEW, ngram=2)
    log_probs = [random_steps(seed, fitted.symbols) for seed in range(6)]
    texts = [ranked(said_in_words(fitted, one), 0.3, 3.0)[0][0] for one in log_probs[:3]]
    few = weighed(monkeypatch, fitted, log_probs[:3], texts)
    monkeypatch.setattr(fitting, "_MOST_WEIGHED", 3)
    assert weighed(monkeypatch, fitted, log_probs, [*texts, "b", "b", "b"]) == few == (few[0], 3)
