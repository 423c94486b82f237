"""BLEU and chrF against cases counted by hand, and against sacreBLEU called by itself."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
import sacrebleu

from carousel.errors import DataError, MissingDependencyError, OptionError
from carousel.tasks.resampling import RESAMPLES, SEED
from carousel.tasks.translation.scores import (
    TOKENIZERS,
    Score,
    count_bleu,
    count_chrf,
)

MAT = "the cat sat on the mat"


def bleu(translations: list[str], references: list[str], *, tokenizer: str = "13a") -> Score:
    return count_bleu(translations, references, tokenizer=tokenizer).score()


def chrf(translations: list[str], references: list[str]) -> Score:
    return count_chrf(translations, references).score()


def made_texts(number: int = 40, same: float = 0.8) -> tuple[list[str], list[str]]:
    """Returns translations that have that part of the words of references, and those."""
    rng = np.random.default_rng(5)
    words = np.array([f"w{k}" for k in range(60)])
    translations, references = [], []
    for n in range(number):
        reference = rng.choice(words, size=3 + 2 * (n % 12))
        other = np.where(rng.random(len(reference)) < same, reference, rng.choice(words))
        references.append(" ".join(reference))
        translations.append(" ".join(other))
    return translations, references


def test_bleu_of_one_sentence_by_hand() -> None:
    # the, cat, sat, on, mat of 6; the cat, cat sat, sat on of 5; two of 4; one of 3.
    found = bleu(["the cat sat on a mat"], [MAT])
    assert found.value == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))
    # All that is there is right, but two words of six are missing.
    assert bleu(["the cat sat on"], [MAT]).value == pytest.approx(100 * math.exp(1 - 6 / 4))
    assert bleu([MAT], [MAT]).value == pytest.approx(100)
    assert bleu(["nothing of it"], [MAT]).value == 0


def test_bleu_counts_all_sentences_together() -> None:
    found = bleu(["the cat sat on a mat", "the cat sat on"], [MAT, MAT])
    precisions = 9 / 10 * 6 / 8 * 4 / 6 * 2 / 4
    assert found.value == pytest.approx(100 * math.exp(1 - 12 / 10) * precisions ** (1 / 4))


def test_bleu_counts_a_word_as_often_as_the_reference_has_it() -> None:
    """The example of Papineni et al. 2002, section 2.1; smoothed: 1/2, 1/4, 1/8 of a match."""
    found = bleu(["the the the the the the the"], ["the cat is on the mat"])
    precisions = 2 / 7 * (1 / 2 / 6) * (1 / 4 / 5) * (1 / 8 / 4)
    assert found.value == pytest.approx(100 * precisions ** (1 / 4))


def test_bleu_minds_letter_case_and_splits_signs_off() -> None:
    capital = 5 / 6 * 4 / 5 * 3 / 4 * 2 / 3
    assert bleu(["The cat sat on the mat"], [MAT]).value == pytest.approx(100 * capital**0.25)
    assert bleu(["No, it is 1,5 m!"], ["No , it is 1,5 m !"]).value == pytest.approx(100)


def test_chrf_of_one_sentence_by_hand() -> None:
    # Of a, b, ab all are right: P = 1. Of a, b, c two are there, of ab, bc one: R = 7/12.
    precision, recall = 1, (2 / 3 + 1 / 2) / 2
    expected = 100 * 5 * precision * recall / (4 * precision + recall)
    assert chrf(["ab"], ["abc"]).value == pytest.approx(expected)
    assert chrf(["a b c"], ["abc"]).value == pytest.approx(100)  # blanks do not count
    assert chrf(["xyz"], ["abc"]).value == 0
    assert chrf(["ABC"], ["abc"]).value == 0


@pytest.mark.parametrize("number", [1, 2, 40])
def test_values_and_signatures_are_sacrebleus(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    translations, references = made_texts(number)
    for ours, metric in (
        (bleu(translations, references), sacrebleu.BLEU()),
        (chrf(translations, references), sacrebleu.CHRF()),
    ):
        theirs = metric.corpus_score(translations, [references], n_bootstrap=RESAMPLES)
        assert ours.value == pytest.approx(theirs.score, rel=1e-12)
        assert ours.signature == str(metric.get_signature())
        assert f"|bs:{RESAMPLES}|seed:{SEED}|case:mixed|" in ours.signature
        # Their "±" is half the width; they add and divide in single precision.
        assert (ours.high - ours.low) / 2 == pytest.approx(theirs._ci, abs=1e-4)


@pytest.mark.parametrize("score", [bleu, chrf])
def test_the_interval_lies_around_the_value_and_narrows_with_more_sentences(
    score: Callable[..., Score],
) -> None:
    translations, references = made_texts()
    few = score(translations, references)
    assert 0 < few.low < few.value < few.high < 100
    many = score(translations * 16, references * 16)
    assert many.value == pytest.approx(few.value)
    # By the square root of 16; the width from 1,000 draws is known to some 3 %.
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("score", [bleu, chrf])
def test_one_sentence_has_an_interval_without_width(
    score: Callable[..., Score],
) -> None:
    found = score(["the cat sat on a mat"], [MAT])
    assert 0 < found.low == found.value == found.high < 100


@pytest.mark.parametrize("score", [bleu, chrf])
def test_nothing_random_is_taken_from_outside_or_changed(
    score: Callable[..., Score], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = made_texts()
    first = score(*texts)
    np.random.seed(7)
    before = np.random.get_state()  # Python's own the type checker draws from
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    assert score(*texts) == first
    after = np.random.get_state()
    assert (before[1] == after[1]).all()
    assert before[2:] == after[2:]


def test_a_part_of_the_sentences_is_scored_as_if_it_were_all() -> None:
    translations, references = made_texts()
    chosen = np.array([3, 4, 17, 39])
    some = [translations[n] for n in chosen], [[references[n] for n in chosen]]
    counts = count_bleu(translations, references)
    assert counts.value(chosen) == pytest.approx(sacrebleu.corpus_bleu(*some).score)
    assert counts.value() == counts.score().value != counts.value(chosen)
    counts = count_chrf(translations, references)
    assert counts.value(chosen) == pytest.approx(sacrebleu.corpus_chrf(*some).score)
    assert counts.of_each() == pytest.approx(
        [
            sacrebleu.sentence_chrf(translation, [reference]).score
            for translation, reference in zip(translations, references, strict=True)
        ]
    )


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_each_tokenizer_is_sacrebleus(tokenizer: str) -> None:
    translations = ["他今天去了商店,买了3.5公斤米。", "It’s “all” well—that ends well…"]
    references = ["他昨天去了商店,买了3.5公斤的米。", "It’s all “well”—that ends so…"]
    found = bleu(translations, references, tokenizer=tokenizer)
    theirs = sacrebleu.corpus_bleu(translations, [references], tokenize=tokenizer)
    assert found.value == pytest.approx(theirs.score)
    assert f"|tok:{tokenizer}|" in found.signature


def test_tokenizers_differ() -> None:
    text, reference = ["他今天去了商店。"], ["他昨天去了商店。"]
    found = {name: bleu(text, reference, tokenizer=name).value for name in TOKENIZERS}
    assert found["zh"] == found["char"] > found["13a"] == 0


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    texts = ["all of this was tokenized ."] * 100
    bleu(texts, texts)
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "sacrebleu"):
        sacrebleu.corpus_bleu(texts, [texts])
    assert caplog.records  # so that there was something to keep silent


def test_what_cannot_be_scored_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for score in (bleu, chrf):
        with pytest.raises(DataError, match="got 2 translations and 1 references"):
            score(["a", "b"], ["a"])
        with pytest.raises(DataError, match="at least one, got 0 translations"):
            score([], [])
        with pytest.raises(DataError, match="put a single sentence in a list"):
            score("a cat", "a dog")
    with pytest.raises(OptionError, match="no tokenizer for BLEU 'intel'; did you mean 'intl'"):
        bleu(["a"], ["a"], tokenizer="intel")
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    for score in (bleu, chrf):
        with pytest.raises(MissingDependencyError, match=r"'sacrebleu'.*carousel-lstm\[text\]"):
            score(["a"], ["a"])


def test_plain_values() -> None:
    found = bleu(["the cat sat on a mat"], [MAT])
    assert found.to_dict() == {
        "value": found.value, "low": found.low, "high": found.high, "signature": found.signature,
    }  # fmt: skip
