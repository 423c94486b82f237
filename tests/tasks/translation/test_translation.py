"""A translation: where its words come from, against plain loops, and as plain values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.translation.small_translators import PAIRS

from carousel.data.pairs import Pairs
from carousel.decoding.beam_search import Hypothesis
from carousel.errors import OptionError
from carousel.tasks.translation.data import encode, learn_tokenizers, words_of_tokens
from carousel.tasks.translation.translation import (
    Translation,
    empty_translation,
    make_translation,
    word_attention,
)

OWN = learn_tokenizers(Pairs.read([*PAIRS, *[("what?!", "was?!")] * 100]), 320, True)


def hypothesis(
    text: str, source: np.ndarray, *, padding: int = 0, score: float = -1.5
) -> Hypothesis:
    """Returns a hypothesis that is this text, with attention drawn at random."""
    tokens = encode(OWN.target, [text])[0][:-1]
    drawn = np.random.default_rng(len(text)).random((len(tokens), len(source)))
    attention = np.pad(drawn / drawn.sum(1, keepdims=True), ((0, 0), (0, padding)))
    return Hypothesis(
        tokens.tolist(), score, 2 * score, torch.from_numpy(attention).float(), ended=True
    )


def made(source: str, *texts: str, padding: int = 0) -> Translation:
    tokens = encode(OWN.source, [source])[0]
    found = [
        hypothesis(text, tokens, padding=padding, score=-1.5 - number)
        for number, text in enumerate(texts)
    ]
    return make_translation(source, tokens, found, OWN, unseen="q", best=len(texts))


@given(
    source=st.lists(st.integers(-1, 3), min_size=1, max_size=6).map(sorted),
    target=st.lists(st.integers(0, 3), max_size=6).map(sorted),
)
def test_attention_of_words_is_that_of_a_plain_loop(source: list[int], target: list[int]) -> None:
    weights = np.random.default_rng(3).random((len(target), len(source))).astype(np.float32)
    # Each word has a subword of its own, but for those of the source that nothing was read of.
    numbers = sorted(set(target))
    target = [numbers.index(word) for word in target]
    found = word_attention(weights, np.array(source), np.array(target, np.int64), 4, len(numbers))
    assert found.shape == (len(numbers), 4)
    for word in range(len(numbers)):
        own = [step for step, owner in enumerate(target) if owner == word]
        for place in range(4):
            sums = [sum(weights[t, s] for s, w in enumerate(source) if w == place) for t in own]
            assert found[word, place] == pytest.approx(sum(sums) / len(own), rel=1e-5)


def test_ends_are_attended_to_but_are_no_words() -> None:
    weights = np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]], np.float32)
    found = word_attention(weights, np.array([0, 0, -1]), np.array([0, -1]), 1, 1)
    assert found.tolist() == [[pytest.approx(0.7)]]


def test_signs_that_are_one_subword_have_one_attention() -> None:
    weights = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    source, target = np.array([0, 1]), np.array([0, 3])
    found = word_attention(weights, source, target, 2, 4)
    assert found.tolist() == [[0.75, 0.25], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    assert word_attention(weights, source, target, 2, 5)[4].tolist() == [0, 0]
    assert word_attention(np.zeros((0, 2), np.float32), source, target[:0], 2, 0).shape == (0, 2)
    # As it comes about: the two signs stand together so often that they became one.
    assert "?!" in OWN.target.vocabulary
    one = made("what?!", "was?!")
    assert one.words == ["was", "?", "!"]
    assert one.attention[1].tolist() == one.attention[2].tolist()
    assert one.attention[1].sum() > 0


def test_a_translation_is_made_of_the_best_hypothesis() -> None:
    one = made("the  cat sat.", "das Kätzchen saß.", "das Kätzchen.", padding=3)
    assert (one.source, one.text, str(one)) == ("the  cat sat.", *["das Kätzchen saß."] * 2)
    assert one.source_words == ["the", "cat", "sat", "."]
    assert one.words == ["das", "Kätzchen", "saß", "."]
    assert (one.score, one.log_probability, one.complete) == (-1.5, -3.0, True)
    assert one.unseen == "q"
    (other,) = one.others
    assert (other.text, other.score, other.others) == ("das Kätzchen.", -2.5, [])
    assert other.words == ["das", "Kätzchen", "."]
    assert other.attention.shape == (3, 4)
    # All is given away to words, but for what the end and single blanks had; padding has none.
    tokens = encode(OWN.source, ["the  cat sat."])[0]
    weights = hypothesis("das Kätzchen saß.", tokens).attention
    assert weights is not None
    nothing = words_of_tokens(OWN.source, tokens)[1] == -1
    owner = words_of_tokens(OWN.target, encode(OWN.target, [one.text])[0][:-1])[1]
    lost = [weights.numpy()[owner == word][:, nothing].sum(1).mean() for word in range(4)]
    assert min(lost) > 0
    assert one.attention.sum(1) == pytest.approx(1 - np.array(lost), rel=1e-5)


def test_each_word_comes_from_what_it_attended_to_most() -> None:
    one = made("the cat sat on the fox.", "das Kätzchen saß auf das Füchslein.")
    wanted = []
    for row in one.attention:
        place = 0
        for number, weight in enumerate(row):
            place = number if weight > row[place] else place
        wanted.append(place)
    assert one.alignment == wanted
    assert len(set(wanted)) > 1
    assert all(type(number) is int for number in one.alignment)


def test_a_translation_is_json() -> None:
    one = made("the cat sat.", "das Kätzchen saß.", "was?!", "")
    found = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert found["attention"] == [[round(float(x), 4) for x in row] for row in one.attention]
    assert found["alignment"] == one.alignment
    names = {field.name for field in dataclasses.fields(one)} - {"attention", "others"}
    assert {name: found[name] for name in names} == {name: getattr(one, name) for name in names}
    assert set(found) == {*names, "attention", "alignment", "others"}
    assert found["others"] == [
        {"text": "was?!", "score": -2.5, "log_probability": -5.0, "complete": True},
        {"text": "", "score": -3.5, "log_probability": -7.0, "complete": True},
    ]


@pytest.mark.parametrize("source", ["", " \t"])
def test_nothing_is_translated_to_nothing(source: str) -> None:
    one = empty_translation(source)
    assert (one.source, one.text, one.complete) == (source, "", True)
    assert (one.words, one.source_words, one.alignment, one.others) == ([], [], [], [])
    assert json.loads(json.dumps(one.to_dict()))["attention"] == []


def test_a_translation_without_words_is_aligned_to_none() -> None:
    one = made("the cat.", "")
    assert (one.text, one.words, one.alignment) == ("", [], [])
    assert one.attention.shape == (0, 3)


def test_what_a_model_writes_amiss_is_still_a_line_of_text() -> None:
    source = encode(OWN.source, ["the cat."])[0]
    vocabulary = [OWN.target.bytes_after(token, 0) for token in range(len(OWN.target))]
    tokens = [vocabulary.index(part) for part in (b"\n", b"a", b"\xff", b"\t", b"\n", b"b", b" ")]
    attention = torch.full((len(tokens), len(source)), 1 / len(source))
    one = make_translation("the cat.", source, [Hypothesis(tokens, -1, -1, attention, False)], OWN)
    assert one.text == "a\ufffd b"
    assert one.words == ["a", "\ufffd", "b"]
    assert not one.complete
    assert len(one.alignment) == 3


def test_the_picture_has_the_words(tmp_path: Path) -> None:
    one = made("the cat sat.", "das Kätzchen saß.")
    path = one.plot(tmp_path / "a.svg")
    drawn = path.read_text(encoding="utf-8")
    for word in ("the", "cat", "das", "Kätzchen"):
        assert f">{word}<" in drawn
    with pytest.raises(OptionError, match=r"\.png or \.svg"):
        one.plot(str(tmp_path / "a.pdf"))
    for empty in (empty_translation(""), made("the cat.", "")):
        with pytest.raises(OptionError, match="has no words, so that there is nothing to draw"):
            empty.plot(tmp_path / "b.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
