"""Error rates against counts by hand, the textbook's distance, and resampling written out."""

from __future__ import annotations

import math
import sys
from typing import Any

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import DataError, MissingDependencyError, OptionError
from carousel.tasks.resampling import RESAMPLES, SEED
from carousel.tasks.speech_recognition.scores import (
    Counts,
    aligned_words,
    alignment_lines,
    by_speaker,
    character_counts,
    commonest,
    confusions,
    error_rate,
    word_counts,
)

WORDS = st.lists(st.sampled_from(["a", "b", "ab", "é", "漢"]), max_size=7)
BLANKS = st.sampled_from([" ", "  ", "\t", "\n", "\u2003", "\u00a0 "])


def distance(one: list[str], other: list[str]) -> int:
    """Levenshtein's distance by the table of the textbook."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def made_counts(number: int = 400) -> list[Counts]:
    rng = np.random.default_rng(3)
    rows = zip(*(rng.poisson(mean, number) for mean in (8.0, 1.0, 0.5, 0.3)), strict=True)
    return [Counts(*map(int, row)) for row in rows]


def drawn_rates(errors: np.ndarray, lengths: np.ndarray) -> list[float]:
    """The sorted rates, in %, of as many draws as there are, one at a time."""
    rng = np.random.default_rng(SEED)
    draws = [rng.integers(len(errors), size=len(errors)) for _ in range(RESAMPLES)]
    return sorted(100 * errors[draw].sum() / lengths[draw].sum() for draw in draws)


def test_words_by_hand() -> None:
    found = word_counts("the cat sat on a mat now", "the bat sat has on a mat")
    assert found == Counts(hits=5, substitutions=1, deletions=1, insertions=1)
    assert (found.errors, found.length, found.rate) == (3, 7, 3 / 7)
    assert word_counts("The cat.", "the cat") == Counts(substitutions=2)


def test_characters_by_hand() -> None:
    # kitten → sitting is Levenshtein's own kind of example: two become others, one is added.
    assert character_counts("kitten", "sitting") == Counts(4, 2, 0, 1)
    assert character_counts("a cat", "acat") == Counts(4, 0, 1, 0)  # the blank
    assert character_counts(" a \t cat\n", "a cat") == Counts(5)
    assert character_counts("e\u0301", "\u00e9").errors == 2


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_where_nothing_was_said_all_is_inserted(blank: str) -> None:
    assert word_counts(blank, "two words") == Counts(insertions=2)
    assert character_counts(blank, "two words") == Counts(insertions=9)
    assert word_counts("two words", blank) == Counts(deletions=2)
    assert character_counts("two words", blank) == Counts(deletions=9)
    assert word_counts(blank, "") == character_counts("", blank) == Counts()


def test_rates_of_nothing() -> None:
    assert Counts().rate == 0
    assert Counts(insertions=1).rate == math.inf
    assert Counts(hits=1, insertions=3).rate == 3
    assert Counts(deletions=2).rate == 1


@given(reference=WORDS, hypothesis=WORDS, blank=BLANKS)
def test_errors_are_the_distance_and_the_alignment_adds_up(
    reference: list[str], hypothesis: list[str], blank: str
) -> None:
    found = word_counts(blank.join(reference), blank + blank.join(hypothesis))
    assert found.errors == distance(reference, hypothesis)
    assert found.length == len(reference)
    assert found.hits + found.substitutions + found.insertions == len(hypothesis)
    aligned = aligned_words(blank.join(reference) + blank, blank.join(hypothesis))
    assert [one for _, one, _ in aligned if one] == reference
    assert [other for *_, other in aligned if other] == hypothesis
    kinds = [kind for kind, *_ in aligned]
    assert Counts(*(kinds.count(kind) for kind in "=SDI")) == found
    for kind, one, other in aligned:
        true = {"=": one == other, "S": one != other, "D": not other, "I": not one}
        assert true[kind]
        assert one or other
    # Characters, the blanks among them tidied.
    letters, others = list(" ".join(reference)), list(" ".join(hypothesis))
    assert character_counts(blank.join(reference), " ".join(hypothesis)).errors == distance(
        letters, others
    )


def test_counts_add_up_to_jiwers_own_of_all_utterances() -> None:
    references = ["the cat sat", "on a mat", "and purred"]
    hypotheses = ["a cat sat down", "on mat", "and and purred"]
    total = sum(map(word_counts, references, hypotheses), Counts())
    assert total.rate == pytest.approx(jiwer.wer(references, hypotheses), rel=1e-12)
    total = sum(map(character_counts, references, hypotheses), Counts())
    assert total.rate == pytest.approx(jiwer.cer(references, hypotheses), rel=1e-12)
    assert Counts(1, 2, 3, 4) + Counts(10, 20, 30, 40) == Counts(11, 22, 33, 44)


def test_the_interval_is_that_of_draws_with_replacement() -> None:
    counts = made_counts()
    errors = np.array([each.errors for each in counts])
    lengths = np.array([each.length for each in counts])
    found = error_rate(counts)
    rates = drawn_rates(errors, lengths)
    assert found.value == pytest.approx(100 * errors.sum() / lengths.sum())
    # Of 1,000, 25 lie below and 25 above.
    assert (found.low, found.high) == pytest.approx((rates[25], rates[974]))
    assert found.over == "utterances"
    assert found.counts == sum(counts, Counts())
    # A ratio of means has the standard error of its residuals, of the mean length.
    residuals = errors - errors.sum() / lengths.sum() * lengths
    error = 100 * residuals.std() / math.sqrt(len(counts)) / lengths.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_speakers_are_drawn_whole() -> None:
    counts = made_counts(60)
    speakers = [f"speaker {k % 7}" for k in range(60)]
    found = error_rate(counts, speakers)
    sums = [sum(counts[k::7], Counts()) for k in range(7)]
    errors, lengths = (np.array([getattr(s, n) for s in sums]) for n in ("errors", "length"))
    rates = drawn_rates(errors, lengths)
    assert (found.low, found.high) == pytest.approx((rates[25], rates[974]))
    assert found.over == "speakers"
    assert found.value == error_rate(counts).value
    # One who is understood and one who is not: either may be drawn twice.
    apart = [Counts(hits=9, deletions=1)] * 50 + [Counts(hits=1, deletions=9)] * 50
    two = error_rate(apart, ["ann"] * 50 + ["bob"] * 50)
    assert (two.low, two.value, two.high) == pytest.approx((10, 50, 90))
    alone = error_rate(apart)
    assert 40 < alone.low < 50 < alone.high < 60


def test_a_single_named_speaker_is_no_group_and_unknown_ones_are_each_their_own() -> None:
    counts = made_counts(40)
    plain = error_rate(counts)
    assert error_rate(counts, ["ann"] * 40) == plain
    assert error_rate(counts, [""] * 40) == plain
    assert error_rate(counts, ["ann", "ann"] + [""] * 38) == plain
    mixed = error_rate(counts, ["ann", "ann", "bob", "bob"] + [""] * 36)
    blocks = [*counts[4:], counts[0] + counts[1], counts[2] + counts[3]]
    rates = drawn_rates(
        np.array([each.errors for each in blocks]), np.array([each.length for each in blocks])
    )
    assert (mixed.low, mixed.high) == pytest.approx((rates[25], rates[974]))
    assert mixed.over == "speakers"


def test_the_interval_of_little_and_of_silence() -> None:
    one = error_rate([Counts(hits=3, substitutions=1)])
    assert one.low == one.value == one.high == 25
    silence = error_rate([Counts(), Counts()])
    assert silence.low == silence.value == silence.high == 0
    noise = error_rate([Counts(insertions=1), Counts(hits=1)])
    assert (noise.low, noise.value, noise.high) == (0, 100, math.inf)


def test_nothing_random_is_taken_from_outside_or_changed() -> None:
    counts = made_counts(20)
    first = error_rate(counts)
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    assert error_rate(counts) == first
    assert (np.random.get_state()[1] == before).all()


def test_speakers_are_summed_in_their_order() -> None:
    counts = [Counts(1), Counts(2), Counts(3, 1), Counts(4)]
    found = by_speaker(counts, ["bob", "", "bob", "ann"])
    assert list(found.items()) == [("bob", Counts(4, 1)), ("", Counts(2)), ("ann", Counts(4))]
    assert by_speaker([], []) == {}


def test_words_stand_under_each_other() -> None:
    # The only shortest way: jiwer has no choice.
    assert alignment_lines("the cat sat on a mat now", "the bat sat has on a mat") == (
        "REF: the cat sat *** on a mat now\n"
        "HYP: the bat sat has on a mat ***\n"
        "         S       I            D"
    )  # fmt: skip
    assert alignment_lines("all  of\tit", "all of it") == "REF: all of it\nHYP: all of it"
    assert alignment_lines("", "") == "REF:\nHYP:"
    assert alignment_lines("", "word") == "REF: ****\nHYP: word\n     I"


def test_wide_and_combining_characters_have_their_width() -> None:
    # Two columns for 漢 and 字 each, none for the accent that is put on the letter before it.
    assert alignment_lines("漢字 end", "abcde end") == (
        "REF: 漢字  end\n"
        "HYP: abcde end\n"
        "     S"
    )  # fmt: skip
    assert alignment_lines("cafe\u0301 is", "caves is") == (
        "REF: cafe\u0301  is\n"
        "HYP: caves is\n"
        "     S"
    )  # fmt: skip
    assert alignment_lines("漢字 x", "x").splitlines()[1] == "HYP: **** x"


def test_the_commonest_errors_come_first() -> None:
    references = ["a b", "a b", "c d", "e", "", "f"]
    hypotheses = ["a x", "a x", "c y", "", "z z", "f w"]
    found = confusions(references, hypotheses)
    assert found.substitutions == [("b", "x", 2), ("d", "y", 1)]
    assert found.deletions == [("e", 1)]
    assert found.insertions == [("z", 2), ("w", 1)]
    shortest = confusions(references, hypotheses, most=1)
    assert shortest.substitutions == [("b", "x", 2)]
    assert shortest.insertions == [("z", 2)]
    # Equally common: in the order in which they were made.
    assert confusions(["q", "p"], ["1", "2"], most=1).substitutions == [("q", "1", 1)]
    nothing = confusions([], [])
    assert (nothing.substitutions, nothing.deletions, nothing.insertions) == ([], [], [])


def test_the_commonest_text() -> None:
    assert commonest(["b", "a", "c", "a"]) == "a"
    assert commonest(["b", "a", "a", "b"]) == "b"  # as often: the one that came first
    assert commonest([""]) == ""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: error_rate([]), "the counts of one utterance or more, got none; score some"),
        (lambda: error_rate([Counts()], ["a", "b"]), "one speaker for each count, got 2 for 1"),
        (lambda: error_rate([Counts()], "a"), "a list with each speaker, got a text; put"),
        (lambda: by_speaker([Counts()] * 2, ["a"]), "one speaker for each count, got 1 for 2"),
        (lambda: confusions(["a"], []), "hypothesis for each reference, got 0 for 1; give"),
        (lambda: confusions("a", ["b"]), "a list with each reference, got a text"),
        (lambda: commonest([]), "expected one text or more, got none"),
        (lambda: commonest("abc"), "a list with each text, got a text"),
    ],
)
def test_what_cannot_be_scored_is_refused(call: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        call()


def test_options_and_a_missing_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="most: expected 1 error or more of each kind, got 0"):
        confusions(["a"], ["b"], most=0)
    monkeypatch.setitem(sys.modules, "jiwer", None)
    for call in (word_counts, character_counts, aligned_words, alignment_lines):
        with pytest.raises(MissingDependencyError, match=r"'jiwer'.*carousel-lstm\[speech\]"):
            call("a", "b")


def test_plain_values() -> None:
    found = error_rate([Counts(3, 1)])
    assert found.to_dict() == {
        "value": 25.0, "low": 25.0, "high": 25.0, "over": "utterances",
        "counts": {"hits": 3, "substitutions": 1, "deletions": 0, "insertions": 0},
    }  # fmt: skip
