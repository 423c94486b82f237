"""Beginnings of sentences, read token by token and several at a time, against whole texts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tasks.language_modeling.small_texts import fitted, small_model

from carousel.errors import ModelError
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling.sentences import SentenceReader

SENTENCES = ("the cat sat", "a mat ran far away", "sea")
# Single precision: sums over other numbers of rows at once differ by a few roundings of 6e-8.
CLOSE = 1e-5


def nats(reader: SentenceReader, sentence: str) -> list[float]:
    """Returns -ln P of each token of a sentence and of its end."""
    begun, found = reader.start(), []
    for token in reader.tokenizer.encode(sentence).tolist():
        found.append(-float(begun.log_probs[token]))
        [begun] = reader.read([begun], [token])
    return [*found, -reader.end_log_prob(begun)]


@pytest.mark.parametrize("kind", ["characters", "words"])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_line_costs_what_it_costs_within_a_text(kind: str, sentence: str) -> None:
    model = small_model(kind)
    whole = model.score(f"\n{sentence}\n").nats
    assert nats(model.sentences(), sentence) == pytest.approx(whole[1:].tolist(), abs=CLOSE)


def documents(kind: str) -> LanguageModel:
    return fitted([s for s in SENTENCES for _ in range(60)], tokenizer=kind)


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_where_no_line_ends_a_sentence_is_a_document(kind: str) -> None:
    model = documents(kind)
    for sentence in SENTENCES:
        wanted = model.score(sentence).nats.tolist()
        assert nats(model.sentences(), sentence) == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_of_documents_of_many_lines_each_line_is_a_sentence(kind: str) -> None:
    model = small_model(kind, several=True)
    for sentence in SENTENCES:
        line = model.score(f"\n{sentence}\n").nats
        end = model.score(f"\n{sentence}").nats[-1]  # of the document, in place of the line
        *wanted, last = line[1:-1].tolist()
        wanted.append(-np.logaddexp(-last, -end))
        assert nats(model.sentences(), sentence) == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_a_document_of_one_line_may_have_its_end(kind: str) -> None:
    model = fitted([f"{s}\n" for s in SENTENCES for _ in range(60)], tokenizer=kind)
    for sentence in SENTENCES:
        *wanted, last, _ = model.score(f"{sentence}\n").nats.tolist()
        end = model.score(sentence).nats[-1]
        wanted.append(-np.logaddexp(-last, -end))
        assert nats(model.sentences(), sentence) == pytest.approx(wanted, abs=CLOSE)


def test_every_beginning_has_the_probabilities_of_all_that_may_follow() -> None:
    reader = small_model().sentences()
    [begun] = reader.read([reader.start()], [5])
    for one in (reader.start(), begun):
        assert one.log_probs.dtype == np.float64
        assert np.exp(one.log_probs).sum() == pytest.approx(1)


def test_beginnings_read_together_are_those_read_alone() -> None:
    reader = small_model().sentences()
    start = reader.start()
    first, second = reader.tokenizer.encode("ts").tolist()
    [longer] = reader.read([start], [first])
    together = reader.read([longer, start, longer], [second, first, first])
    alone = [reader.read([b], [t])[0] for b, t in ((longer, second), (start, first))]
    for one, other in zip(together, alone, strict=False):
        assert one.log_probs == pytest.approx(other.log_probs, abs=CLOSE)
        assert one.state[0].h.shape == (1, 1, 8)
    assert together[2].log_probs != pytest.approx(together[0].log_probs, abs=1e-3)
    assert reader.read([], []) == []


@pytest.mark.parametrize("kind", ["characters", "words", "bytes", "subwords"])
def test_a_text_without_ends_of_sentences_is_refused(kind: str) -> None:
    text = "the cat sat on a mat and ran far away " * 40 + "\n"
    model = fitted([text], tokenizer=kind, holdout=0.0, validation=0.0)
    with pytest.raises(ModelError, match="knows no end of a sentence"):
        model.sentences()


def test_a_model_must_be_fitted() -> None:
    with pytest.raises(ModelError, match="fit"):
        LanguageModel().sentences()
