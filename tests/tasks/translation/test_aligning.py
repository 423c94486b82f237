"""Given translations read beside their sources: as the search read them when it wrote them."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
from tests.tasks.translation.small_translators import (
    OTHER,
    fitted,
    small_translator,
    taught_translator,
)

from carousel.data.pairs import Pairs
from carousel.errors import DataError
from carousel.tasks.translation import Translator, aligning
from carousel.tasks.translation import model as model_module
from carousel.tasks.translation.aligning import aligned
from carousel.tasks.translation.data import make_corpus
from carousel.tasks.translation.training import corpus_nats, whole_batches

SOURCES, TARGETS = ([pair[side] for pair in OTHER] for side in (0, 1))


def test_what_was_written_is_read_alike() -> None:
    model = taught_translator()
    written = model.translations(SOURCES)
    assert all(one.complete for one in written)
    read = model.align(SOURCES, [one.text for one in written])
    for one, other in zip(read, written, strict=True):
        assert (one.source, one.text, one.complete) == (other.source, other.text, True)
        assert (one.words, one.source_words) == (other.words, other.source_words)
        # The sums of a row's attention and of ln P, in single precision.
        assert one.attention == pytest.approx(other.attention, abs=1e-4)
        assert one.log_probability == pytest.approx(other.log_probability, rel=1e-4, abs=1e-5)
        assert one.score == one.log_probability
        assert (one.unseen, one.others) == (other.unseen, [])


@pytest.mark.parametrize("options", [{"members": 2}, {"input_feeding": True}], ids=str)
def test_networks_of_every_kind_read_what_they_wrote(options: dict[str, Any]) -> None:
    """What an untrained network writes need be no text: only what is text can be read again."""
    model = fitted(**options)
    sources = ["the cat sat.", "the dog.", ""]
    targets = ["das Kätzchen saß auf.", "das", ""]
    found = aligned(model._ready("look"), sources, targets)
    assert [one.words for one in found] == [["das", "Kätzchen", "saß", "auf", "."], ["das"], []]
    assert [one.source_words for one in found[1:]] == [["the", "dog", "."], []]
    for source, target, one in zip(sources, targets, found, strict=True):
        corpus = make_corpus(Pairs.read([(source, target)]), model.tokenizers)
        nats, _ = corpus_nats(model.network, corpus)
        assert one.log_probability == pytest.approx(-nats, rel=1e-5)
        assert one.attention.shape == (len(one.words), len(one.source_words))
        assert ((one.attention >= 0) & (one.attention <= 1 + 1e-6)).all()
    assert found[2].text == ""


def test_the_order_stays_and_no_pair_hangs_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_translator()
    alone = [model.align([one], [other])[0] for one, other in OTHER]
    small = functools.partial(whole_batches, tokens=60)
    monkeypatch.setattr(aligning, "whole_batches", small)
    for together in (model.align(SOURCES, TARGETS), model.align(iter(SOURCES), tuple(TARGETS))):
        assert [one.source for one in together] == SOURCES
        assert [one.text for one in together] == TARGETS
        for one, other in zip(together, alone, strict=True):
            assert one.attention == pytest.approx(other.attention, abs=1e-5)
            assert one.log_probability == pytest.approx(other.log_probability, rel=1e-5)


def test_words_of_a_known_language_are_where_they_come_from() -> None:
    found = taught_translator().align(SOURCES, TARGETS)
    right = sum(a == b for one in found for a, b in enumerate(one.alignment))
    total = sum(len(one.alignment) for one in found)
    assert right > 0.9 * total > 50


def test_unseen_characters_are_told_of_the_sources() -> None:
    (one,) = small_translator().align(["the Ω cat."], ["das Ψ."])
    assert one.unseen == "Ω"


@pytest.mark.parametrize(
    ("sources", "targets", "words"),
    [
        (["a", "b"], ["a"], "got 2 sentences and 1 translations; give as many"),
        ([], [], "expected pairs, got none"),
        (["a"], [None], "index 0: expected text, got None"),
        (["a", "b\0"], ["a", "b"], "index 1: expected text, got a NUL character"),
        ("abc", ["a", "b", "c"], r"expected a list of texts, got 'abc'; give \[text\]"),
        (["a", "b", "c"], "abc", r"expected a list of texts, got 'abc'; give \[text\]"),
        (3, ["a"], "expected a list of texts, got 3"),
        (["a", "a " * 600], ["a", "b"], "sentences, line 2: expected a sentence, got 600 words"),
        (["a"], ["a " * 600], "translations, line 1: expected a sentence, got 600 words"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused(
    sources: Any, targets: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "aligned", inspect.unwrap(aligned))
    align = inspect.unwrap(Translator.align)
    with pytest.raises(DataError, match=words):
        align(small_translator(), sources, targets)
