"""Sentences to be translated: their order, the empty ones, and what is no sentence."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from tests.tasks.translation.small_translators import (
    fitted,
    small_pairs,
    small_translator,
    taught_translator,
    translated_by_hand,
)

from carousel.data.pairs import plain
from carousel.decoding.beam_search import BeamOptions, Hypothesis
from carousel.errors import DataError, OptionError
from carousel.tasks.translation import Translation
from carousel.tasks.translation import translating as module
from carousel.tasks.translation.data import encode
from carousel.tasks.translation.search import Searcher
from carousel.tasks.translation.translating import (
    check_limit,
    check_sentences,
    translated,
    unseen_characters,
)
from carousel.tasks.translation.translation import make_translation

NEW = [source for source, _ in small_pairs(450, seed=1)[400:]]


def found(texts: list[str], max_tokens: int | None = None, **options: Any) -> list[Translation]:
    fitted = taught_translator()._ready("look")
    return translated(fitted, texts, BeamOptions(**options), max_tokens, None)


def texts_of(translations: list[Translation]) -> list[str]:
    return [one.text for one in translations]


def test_what_was_learned_is_translated() -> None:
    """Sentences that training had not, from the shortest to the longest and back."""
    texts = sorted(NEW, key=len)
    texts += texts[::-1]
    right = sum(
        one.text == translated_by_hand(text) for one, text in zip(found(texts), texts, strict=True)
    )
    assert right > 0.9 * len(texts)


def test_the_order_stays_and_no_sentence_hangs_on_the_others() -> None:
    texts = [NEW[3], "", NEW[4], NEW[0], " \t", NEW[4], NEW[1]]
    together = found(texts)
    assert [one.source for one in together] == texts
    alone = [found([text])[0] for text in texts]
    assert texts_of(together) == texts_of(alone)
    for one, other in zip(together, alone, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.attention == pytest.approx(other.attention, abs=1e-4)
    assert texts_of([together[1], together[4]]) == ["", ""]
    assert together[1].complete


@pytest.mark.parametrize("texts", [[], [""], ["", " \n", "\u2003"]])
def test_where_there_is_nothing_to_translate_nothing_is_searched(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, "Searcher")
    assert texts_of(found(texts)) == [""] * len(texts)


def test_words_are_aligned_with_where_they_come_from() -> None:
    right = total = 0
    for one in found(NEW):
        if one.text == translated_by_hand(one.source):
            right += sum(a == b for a, b in enumerate(one.alignment))
            total += len(one.alignment)
    assert right > 0.9 * total > 100


def test_progress_counts_the_sentences_that_have_words() -> None:
    told: list[tuple[int, int]] = []
    translated(
        small_translator()._ready("look"),
        [*NEW, "", " "],
        BeamOptions(beam=1),
        1,
        lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (len(NEW), len(NEW))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_characters_that_training_lacked_are_told() -> None:
    assert unseen_characters("the Zoë, the zoo Ö", "theo, ") == "ZëzÖ"
    assert unseen_characters("", "abc") == ""
    # Blanks are all read alike, whichever the training had.
    assert unseen_characters("a\u2003b\ta b", "ab") == ""
    translations = found(["the cat.", "the Ω cat 漢Ω.", ""])
    assert [one.unseen for one in translations] == ["", "Ω漢", ""]
    # They are those of the sources: the other side's do not count.
    assert found(["das Kätzchen."])[0].unseen == "Käz"


def test_a_limit_cuts_a_translation() -> None:
    whole = found(["the cat sat on the fox."])[0]
    assert whole.complete
    tokens = encode(taught_translator().tokenizers.target, [whole.text])[0]
    target = taught_translator().tokenizers.target
    for limit in range(1, len(tokens) + 2):
        cut = found(["the cat sat on the fox."], max_tokens=limit, beam=1)[0]
        assert cut.text == plain(target.decode(tokens[:limit]))
        assert cut.complete == (limit >= len(tokens))  # its end is one of them


@pytest.mark.parametrize("limit", [0, -1, 10**6 + 1, True, 2.0, "3"])
def test_limits_that_are_none_are_refused(limit: Any) -> None:
    with pytest.raises(
        OptionError, match="max_tokens expects a whole number from 1 to 1,000,000, got"
    ):
        check_limit(limit)
    with pytest.raises(OptionError, match="max_tokens expects"):
        inspect.unwrap(translated)(
            small_translator()._ready("look"), ["the"], BeamOptions(), limit, None
        )
    for fine in (None, 1, 10**6):
        check_limit(fine)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("word " * 10_000, "expected a sentence, got 10,000 words; the model has learned from"),
        ("a\0b", "expected text, got a NUL character in it; delete it"),
        ("a\ud83db", r"expected text, got half a surrogate pair \(U\+D83D\) in it; delete it"),
        (None, "expected text, got None; give a string"),
        (3, "expected text, got 3; give a string"),
        (b"the cat", "expected text, got b'the cat'; give a string"),
        (["the"], r"expected text, got \['the'\]; give a string"),
    ],
    ids=["long", "NUL", "surrogate", "none", "number", "bytes", "list"],
)
def test_what_is_no_sentence_is_refused_with_its_number(text: Any, words: str) -> None:
    model = small_translator()._ready("look")
    texts = ["the", "", text, "cat"]
    with pytest.raises(DataError, match=words) as caught:
        inspect.unwrap(translated)(model, texts, BeamOptions(), None, None)
    assert caught.value.line == 3
    assert str(caught.value).startswith("the sentences to translate, line 3: ")
    with pytest.raises(DataError, match=words) as caught:
        inspect.unwrap(check_sentences)(model, texts, "in.txt", range(65, 69))
    assert caught.value.line == 67
    assert str(caught.value).startswith("in.txt, line 67: ")


def test_a_sentence_somewhat_longer_than_all_of_training_is_translated() -> None:
    model = small_translator()._ready("look")
    text = "the cat " * 20
    assert len(text.split()) > model.longest.words
    (one,) = translated(model, [text], BeamOptions(beam=1), 3, None)
    assert len(one.source_words) == 40


def test_the_best_are_in_order_and_different() -> None:
    (one,) = found(["the dog ran."], beam=8, best=3)
    every = [one, *one.others]
    assert len(every) == len({each.text for each in every}) == 3
    scores = [each.score for each in every]
    assert scores == sorted(scores, reverse=True)
    assert [each.source for each in every] == [one.source] * 3
    assert found(["the dog ran."], beam=8)[0].text == one.text
    assert found(["the dog ran."], beam=8)[0].others == []


def test_a_text_that_is_written_in_two_ways_comes_once() -> None:
    own = small_translator().tokenizers
    single = {own.target.bytes_after(token, 0): token for token in range(len(own.target))}
    words = [" das", " Hund", " dasx"]
    ways = [own.target.encode(words[0]).tolist(), [single[bytes([b])] for b in b" das"]]
    ways += [own.target.encode(word).tolist() for word in words[1:]]
    assert ways[0] != ways[1]
    source = own.source.encode(" the")
    hypotheses = [
        Hypothesis(way, -float(n), -float(n), torch.ones(len(way), len(source)), True)
        for n, way in enumerate(ways)
    ]
    one = make_translation("the", source, hypotheses, own, best=2)
    assert [(each.text, each.score) for each in (one, *one.others)] == [("das", 0), ("Hund", -2)]
    assert [each["complete"] for each in one.to_dict()["others"]] == [True]
    three = make_translation("the", source, hypotheses, own, best=4)
    assert [each.text for each in three.others] == ["Hund", "dasx"]
    assert make_translation("the", source, hypotheses, own).others == []


def test_as_many_as_are_wanted_come_though_texts_come_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search keeps its whole beam, of which what is the same text is left out."""
    asked: list[int] = []

    class Asked(Searcher):
        def __init__(self, network: Any, end: int, options: BeamOptions, most: Any) -> None:
            asked.append(options.best)
            super().__init__(network, end, options, most)

    monkeypatch.setattr(module, "Searcher", Asked)
    found(["the dog ran."], beam=6, best=2)
    found(["the dog ran."], beam=6)
    assert asked == [6, 1]


def test_members_translate_together() -> None:
    pair, single = fitted(members=2), small_translator()
    text = "the cat sat."
    for model in (pair, single):
        (one,) = model.translations([text], max_tokens=5)
        assert one.attention.shape == (len(one.words), 4)
    weights = [member.output.weight for member in pair.network.members]
    assert not weights[0].equal(weights[1])
