"""Language models of ours as scorers, against what they say of whole sentences."""

from __future__ import annotations

import functools
import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.language_modeling.small_texts import fitted
from tests.tasks.speech_recognition.small_recordings import sound_of
from tests.tasks.speech_recognition.test_language import said
from tests.tasks.speech_recognition.test_recognition import RATE, TEXTS, searched, untaught

from carousel.errors import ModelError, OptionError
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.speech_recognition import Recognizer, neural_language
from carousel.tasks.speech_recognition.neural_language import NeuralWords, neural_scorer
from carousel.tasks.speech_recognition.recognition import ListeningOptions, Search
from carousel.tasks.speech_recognition.streaming import RecognitionStream
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.word_scorer import Lexicon

SYMBOLS = Symbols(" abcd")
given_to = functools.partial(said, symbols=SYMBOLS)
WORDS = ["ab", "ad", "bad", "cab", "dab"]
SENTENCES = ("ab", "ab bad", "dab ad cab ab")
BONUS = 0.7
# Single precision: a few roundings of 6e-8 for each of some twenty numbers of size 10.
CLOSE = 1e-4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageModel]:
    """Small models over lines of the words, each saved under its kind; "cab" is rare."""
    lines = [" ".join(pair) for pair in itertools.product(WORDS, repeat=2) if "cab" not in pair]
    text = "".join(f"{line}\n" for line in lines) * 6 + "cab ab\n"
    folder = tmp_path_factory.mktemp("language models")
    found = {}
    for kind in ("characters", "words", "subwords"):
        found[kind] = fitted([text], tokenizer=kind, validation=0.0, holdout=0.0)
        found[kind].save(folder / kind)
    return {"folder": folder, **found}  # type: ignore[dict-item]


@pytest.fixture
def folder(models: dict[str, Any]) -> Path:
    place: Path = models["folder"]
    return place


@pytest.mark.parametrize("has_lexicon", [True, False])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_characters_give_a_sentence_its_probability(
    models: dict[str, LanguageModel], folder: Path, has_lexicon: bool, sentence: str
) -> None:
    lexicon = Lexicon(WORDS, SYMBOLS.numbers) if has_lexicon else None
    scorer = neural_scorer(str(folder / "characters"), lexicon, SYMBOLS, BONUS)
    wanted = -models["characters"].score(f"\n{sentence}\n").nats[1:].sum()
    wanted += BONUS * len(sentence.split())
    assert given_to(scorer, sentence) == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_words_give_a_sentence_its_probability(
    models: dict[str, LanguageModel], folder: Path, sentence: str
) -> None:
    lexicon = Lexicon([*WORDS, "da"], SYMBOLS.numbers)
    scorer = neural_scorer(str(folder / "words"), lexicon, SYMBOLS, BONUS)
    wanted = -models["words"].score(f"\n{sentence}\n").nats[1:].sum()
    # Which came once, and shares what unknown words have with "da", which never came.
    wanted -= sentence.split().count("cab") * math.log(2)
    wanted += BONUS * len(sentence.split())
    assert given_to(scorer, sentence) == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_nothing_said_costs_nothing_and_no_sentence_ends_within_a_word(
    folder: Path, kind: str
) -> None:
    scorer = neural_scorer(str(folder / kind), Lexicon(WORDS, SYMBOLS.numbers), SYMBOLS, BONUS)
    assert given_to(scorer, "") == 0
    for text in ("ba", "ab ", "ab ba"):
        assert given_to(scorer, text) == -math.inf
    first = scorer.start().log_scores[0]
    possible = [SYMBOLS.numbers[c] for c in "abcd"]
    assert torch.isfinite(first[possible]).all()
    assert first[SYMBOLS.numbers[" "]] == -math.inf


def test_without_a_lexicon_anything_is_spelled_but_two_blanks(folder: Path) -> None:
    scorer = neural_scorer(str(folder / "characters"), None, SYMBOLS, 0.0)
    assert math.isfinite(given_to(scorer, "bbc dda"))
    assert given_to(scorer, "ab ") == -math.inf
    for text in (" ab", "ab  ab"):
        assert given_to(scorer, text) == -math.inf


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_prefixes_are_scored_together_as_alone(folder: Path, kind: str) -> None:
    scorer = neural_scorer(str(folder / kind), Lexicon(WORDS, SYMBOLS.numbers), SYMBOLS, 0.0)
    [a, b, d] = SYMBOLS.encode("abd").tolist()
    start = scorer.start()
    both = scorer.step([start.states[0], start.states[0]], [a, d])
    longer = scorer.step([both.states[1], both.states[0]], [a, b])
    alone = scorer.step(scorer.step(start.states, [a]).states, [b])
    assert longer.log_scores[1] == pytest.approx(alone.log_scores[0], abs=CLOSE)
    assert scorer.step([], []).log_scores.shape == (0, len(SYMBOLS))


def test_what_does_not_fit_is_refused(
    models: dict[str, LanguageModel], folder: Path, tmp_path: Path
) -> None:
    lexicon = Lexicon(WORDS, SYMBOLS.numbers)
    with pytest.raises(OptionError, match="over words or characters, got one over subwords"):
        neural_scorer(str(folder / "subwords"), lexicon, SYMBOLS, 0.0)
    with pytest.raises(OptionError, match="spells without a lexicon; give a model over char"):
        neural_scorer(str(folder / "words"), None, SYMBOLS, 0.0)
    capital = Symbols(" ABCDEFé")
    with pytest.raises(OptionError, match="lacks 7 of the recogniser's characters: 'A', 'B'"):
        neural_scorer(str(folder / "characters"), None, capital, 0.0)
    with pytest.raises(OptionError, match="knows none of the recogniser's 1 words, such as 'AB'"):
        neural_scorer(str(folder / "words"), Lexicon(["AB"], capital.numbers), capital, 0.0)
    with pytest.raises(ModelError):
        neural_scorer(str(tmp_path), lexicon, SYMBOLS, 0.0)


@pytest.mark.parametrize(
    ("kind", "has_lexicon"), [("characters", True), ("characters", False), ("words", True)]
)
def test_a_search_ranks_by_sound_and_language_together(
    models: dict[str, LanguageModel], folder: Path, kind: str, has_lexicon: bool
) -> None:
    recognizer = untaught(TEXTS, lexicon=has_lexicon, ngram=2 if has_lexicon else 0)
    # "ab" and "ad", between which the sound cannot tell.
    p = torch.full((2, len(recognizer.symbols)), 1e-9, dtype=torch.float64)
    p[0, recognizer.symbols.numbers["a"]] = 1.0
    p[1, [recognizer.symbols.numbers[c] for c in "bd"]] = 0.5
    log_probs = (p / p.sum(1, keepdim=True)).log()
    told = {"language_model": str(folder / kind), "language_weight": 2.0, "best": 2}
    found = searched(recognizer, log_probs, **told)
    costs = {text: models[kind].score(f"\n{text}\n").nats[1:].sum() for text in ("ab", "ad")}
    assert found.text == min(costs, key=costs.__getitem__)
    [other] = [one for one in found.others if one.text in costs]
    gap = 2.0 * abs(costs["ab"] - costs["ad"])
    assert found.score - other.score == pytest.approx(gap, abs=1e-3)


def test_a_stream_says_what_the_whole_says(folder: Path) -> None:
    listening = ListeningOptions(language_model=str(folder / "characters"))
    fitted = untaught(streaming=True)
    search = Search(fitted, listening)
    samples = sound_of("ab bad cab", RATE)
    texts = []
    for size in (len(samples), 777):
        stream = RecognitionStream(fitted, RATE, search)
        for first in range(0, len(samples), size):
            stream.feed(samples[first : first + size])
        texts.append(stream.finish())
    assert texts[0] == texts[1]


def test_a_model_of_single_words_gives_a_blank_no_chance(tmp_path: Path) -> None:
    model = fitted(["".join(f"{word}\n" for word in WORDS) * 20])
    place = str(model.save(tmp_path / "m"))
    for lexicon in (None, Lexicon(WORDS, SYMBOLS.numbers)):
        scorer = neural_scorer(place, lexicon, SYMBOLS, 0.0)
        wanted = -model.score("\nbad\n").nats[1:].sum()
        assert given_to(scorer, "bad") == pytest.approx(wanted, abs=CLOSE)
        assert given_to(scorer, "bad ab") == -math.inf


def test_what_was_forgotten_is_read_again(
    models: dict[str, LanguageModel], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural_language, "most_kept", lambda numbers: 1)
    words = NeuralWords(models["words"].sentences(), WORDS, "m")
    first = words.log_probabilities((0, 1, 2)).copy()
    words.log_probabilities((3,))
    assert len(words._kept) == 1
    assert words.log_probabilities((0, 1, 2)) == pytest.approx(first, abs=CLOSE)


def test_a_language_model_that_took_the_place_of_another_is_read(tmp_path: Path) -> None:
    recognizer, known = Recognizer(), untaught()
    listening = ListeningOptions(language_model=str(tmp_path / "m"))
    found = []
    for line in ("ab bad\n", "dab ad cab\n"):
        model = fitted([line * 30], tokenizer="words", validation=0.0, holdout=0.0)
        model.save(tmp_path / "m", force=True)
        search = recognizer._search(known, listening)
        assert recognizer._search(known, listening) is search
        assert search.scorer is not None
        found.append(search.scorer.start().log_scores)
    assert not torch.equal(*found)


@pytest.mark.parametrize("place", ["", "a\0b", "~nobody-of-this-name/m"])
def test_a_folder_that_cannot_be_is_refused(place: str) -> None:
    with pytest.raises((OptionError, ModelError)):
        Search(untaught(), ListeningOptions(language_model=place))


def test_a_recogniser_keeps_its_last_search(folder: Path) -> None:
    recognizer = Recognizer()
    recognizer._fitted = untaught()
    told = {"language_model": str(folder / "words")}
    samples = sound_of("ab bad", RATE)
    first = recognizer.transcribe(samples, rate=RATE, **told)
    kept = recognizer._last
    assert recognizer.transcribe(samples, rate=RATE, **told) == first
    assert recognizer._last is kept
    again = pickle.loads(pickle.dumps(recognizer))  # the search, which is not pickled, is made anew
    assert again.transcribe(samples, rate=RATE) == recognizer.transcribe(samples, rate=RATE)
    assert recognizer._last is not kept
