"""The n-gram model: against the paper's equations in dictionaries, and its sums."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.errors import DataError, ModelError, OptionError, ShapeError
from carousel.tasks import ngrams
from carousel.tasks.ngrams import NgramModel, discounts_of

Gram = tuple[int, ...]


class Paper:
    """Chen and Goodman 1999, section 3, in dictionaries: slow and clear.

    N1, N2 and N3 of a context are its continuations that were counted once, twice, and more often.
    """

    def __init__(self, text: list[int], vocabulary: int, order: int) -> None:
        self.vocabulary, self.order = vocabulary, order
        raw = {
            k: Counter(tuple(text[t : t + k]) for t in range(len(text) - k + 1))
            for k in range(1, order + 1)
        }
        self.count: dict[int, dict[Gram, int]] = {order: raw[order]}
        for k in range(1, order):
            before = defaultdict(set)
            for gram in raw[k + 1]:
                before[gram[1:]].add(gram[0])
            self.count[k] = {gram: len(tokens) for gram, tokens in before.items()}
        self.discount = {k: self._discounts(list(c.values())) for k, c in self.count.items()}

    @staticmethod
    def _discounts(counts: list[int]) -> tuple[float, float, float]:
        n1, n2, n3, n4 = (counts.count(c) for c in (1, 2, 3, 4))
        if n1 == 0 or n2 == 0:
            return 0.5, 0.5, 0.5
        y = n1 / (n1 + 2 * n2)
        if n3 == 0 or n4 == 0:
            return y, y, y
        d1, d2, d3 = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        return (d1, d2, d3) if 0 < d1 < 1 and 0 < d2 < 2 and 0 < d3 < 3 else (y, y, y)

    def probability(self, token: int, context: Gram) -> float:
        context = context[max(0, len(context) - self.order + 1) :]
        below = self.probability(token, context[1:]) if context else 1 / self.vocabulary
        k = len(context) + 1
        d1, d2, d3 = self.discount[k]
        after = [c for gram, c in self.count[k].items() if gram[:-1] == context]
        if not after:
            return below
        n1, n2, n3 = after.count(1), after.count(2), sum(c >= 3 for c in after)
        count = self.count[k].get((*context, token), 0)
        d = (0.0, d1, d2, d3)[min(count, 3)]
        gamma = (d1 * n1 + d2 * n2 + d3 * n3) / sum(after)
        return max(count - d, 0) / sum(after) + gamma * below

    def log_probabilities(self, text: list[int], first: int) -> list[float]:
        return [math.log(self.probability(text[t], (*text[:t],))) for t in range(first, len(text))]


def close(wanted: list[float]) -> object:
    """Ten orders of a few roundings of 1.1e-16 each, and the logarithm of a number above 1e-9."""
    return pytest.approx(wanted, rel=1e-12, abs=1e-12)


def after(model: NgramModel, context: list[int]) -> np.ndarray:
    """The probability of every token of the vocabulary after a context, (V,)."""
    texts = np.array([[*context, w] for w in range(model.vocabulary)], dtype=np.int64)
    return np.exp([model.log_probabilities(text, len(context))[0] for text in texts])


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """A text, its vocabulary and an order."""
    vocabulary = draw(st.integers(1, 7))
    # Squared, so that some tokens are frequent and some never occur.
    token = st.integers(0, vocabulary**2 - 1).map(math.isqrt)
    return draw(st.lists(token, max_size=60)), vocabulary, draw(st.integers(1, 5))


@given(corpora(), st.data())
def test_probabilities_are_those_of_the_paper(
    corpus: tuple[list[int], int, int], data: st.DataObject
) -> None:
    text, vocabulary, order = corpus
    model, paper = NgramModel.fit(np.array(text, np.int64), vocabulary, order), Paper(*corpus)
    other = data.draw(st.lists(st.integers(0, vocabulary - 1), max_size=20))
    for tokens in (text, other):
        found = model.log_probabilities(np.array(tokens, np.int64), first=0)
        assert found.dtype == np.float64
        assert found.tolist() == close(paper.log_probabilities(tokens, 0))


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_every_discount_is_estimated_and_agrees(order: int) -> None:
    """Short texts fall back nearly always; here the tokens are as uneven as words are."""
    random = np.random.default_rng(order)
    text = np.minimum(random.zipf(1.6, 700), 40) - 1
    paper = Paper(text.tolist(), 40, order)
    assert any(len(set(three)) == 3 for three in paper.discount.values())
    model = NgramModel.fit(text, 40, order)
    scored = np.concatenate([text[:60], random.integers(0, 40, 20)])
    assert model.log_probabilities(scored, 3).tolist() == close(
        paper.log_probabilities(scored.tolist(), 3)
    )


@settings(max_examples=50)
@given(corpora(), st.data())
def test_probabilities_sum_to_one_after_every_context(
    corpus: tuple[list[int], int, int], data: st.DataObject
) -> None:
    """Seen: cut from the text. Partly seen: with another first token. Unseen: anything."""
    text, vocabulary, order = corpus
    model = NgramModel.fit(np.array(text, np.int64), vocabulary, order)
    at = data.draw(st.integers(0, len(text)))
    seen = text[max(0, at - order + 1) : at]
    other = st.integers(0, vocabulary - 1)
    partly = [data.draw(other), *seen[1:]]
    unseen = data.draw(st.lists(other, max_size=order + 1))
    for context in ([], seen, partly, unseen):
        p = after(model, context)
        assert (p > 0).all()
        assert p.sum() == pytest.approx(1, rel=0, abs=1e-9)


@given(corpora(), st.lists(st.integers(0, 3), max_size=8))
def test_a_text_is_followed_token_by_token(
    corpus: tuple[list[int], int, int], text: list[int]
) -> None:
    """All next tokens at once, from where a text stands, are those that each costs by itself."""
    tokens, vocabulary, order = corpus
    model = NgramModel.fit(np.array(tokens, np.int64), vocabulary, order)
    text = [token % vocabulary for token in text]
    place = model.begin()
    for number in range(len(text) + 1):
        found = model.next_probabilities(place)
        np.testing.assert_allclose(found, after(model, text[:number]), rtol=1e-12)
        assert len(place) <= order
        if number < len(text):
            place = model.after(place, text[number])


@given(corpora(), st.lists(st.integers(0, 6), max_size=20), st.integers(0, 6))
def test_what_stands_before_a_boundary_is_no_context(
    corpus: tuple[list[int], int, int], text: list[int], boundary: int
) -> None:
    """Each document costs what it costs by itself, its begin being known."""
    tokens, vocabulary, order = corpus
    model = NgramModel.fit(np.array(tokens, np.int64), vocabulary, order)
    boundary %= vocabulary
    text = [boundary, *(token % vocabulary for token in text)]
    found = model.log_probabilities(np.array(text), boundary=boundary)
    begins = [place for place, token in enumerate(text) if token == boundary]
    wanted = []
    for begin, end in itertools.pairwise([*begins, len(text)]):
        # The next boundary, too, which is the end of this one.
        wanted += model.log_probabilities(np.array(text[begin : end + 1])).tolist()
    assert found.tolist() == close(wanted)


def test_a_unigram_by_hand() -> None:
    """There is one count of 1, of 2 and of 3, none of 4, so D = 1/3: 3 · 1/3 is shared by 4."""
    model = NgramModel.fit(np.array([0, 1, 0, 2, 1, 0]), 4, 1)
    wanted = np.array([3 - 1 / 3 + 1 / 4, 2 - 1 / 3 + 1 / 4, 1 - 1 / 3 + 1 / 4, 1 / 4]) / 6
    assert after(model, []) == pytest.approx(wanted)
    assert after(model, [2, 3]) == pytest.approx(wanted)


def test_a_bigram_by_hand() -> None:
    """Of 0 1 0 2 0 1: 01 twice, 10, 02 and 20 once; before 0 stand 2 tokens, before 1 and 2 one.

    Bigrams: n1 = 3, n2 = 1, so Y = 3/5. Unigrams: n1 = 2, n2 = 1, so Y = 1/2, of 4 in all.
    """
    model = NgramModel.fit(np.array([0, 1, 0, 2, 0, 1]), 3, 2)
    unigram = np.array([2 - 1 / 2 + 1 / 2, 1 - 1 / 2 + 1 / 2, 1 - 1 / 2 + 1 / 2]) / 4
    assert after(model, []) == pytest.approx(unigram)
    seen = np.array([0, 2 - 3 / 5, 1 - 3 / 5])
    assert after(model, [0]) == pytest.approx((seen + 6 / 5 * unigram) / 3)


COUNTS_OF_COUNTS = [
    ((4, 2, 1, 1), (0.5, 1.25, 1.0)),  # Y = 4/8: 1 − 1·2/4, 2 − 1.5·1/2, 3 − 2·1/1
    ((4, 2, 1, 1, 7), (0.5, 1.25, 1.0)),  # larger counts do not matter
    ((4, 2, 1, 0), (0.5, 0.5, 0.5)),
    ((4, 2, 0, 3), (0.5, 0.5, 0.5)),
    ((4, 2, 3, 1), (0.5, 0.5, 0.5)),  # D2 = 2 − 1.5·3/2 is below 0
    ((4, 2, 1, 2), (0.5, 0.5, 0.5)),  # D3+ = 3 − 2·2/1 is below 0
    ((4, 0, 1, 1), (0.5, 0.5, 0.5)),
    ((6, 0), (0.5, 0.5, 0.5)),  # Y would be 1, and leave nothing of a count of 1
    ((0, 3, 1, 1), (0.5, 0.5, 0.5)),  # Y would be 0
    ((), (0.5, 0.5, 0.5)),
    ((3, 1), (0.6, 0.6, 0.6)),
]


@pytest.mark.parametrize(("n", "wanted"), COUNTS_OF_COUNTS)
def test_discounts(n: tuple[int, ...], wanted: tuple[float, ...]) -> None:
    counts = np.repeat(np.arange(len(n) + 1), [2, *n])
    assert discounts_of(counts).tolist() == pytest.approx([0, *wanted])
    assert discounts_of(counts.astype(np.uint8)).tolist() == pytest.approx([0, *wanted])


DEGENERATE = {
    "empty": ([], 3),
    "one token": ([2], 3),
    "shorter than the order": ([0, 1, 0], 2),
    "one token repeated": ([1] * 30, 3),
    "all different": (list(range(20)), 20),
    "vocabulary of 1": ([0] * 9, 1),
    "empty vocabulary of 1": ([], 1),
}


@pytest.mark.parametrize("order", range(1, 9))
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_texts(name: str, order: int) -> None:
    text, vocabulary = DEGENERATE[name]
    model = NgramModel.fit(np.array(text, np.int64), vocabulary, order)
    assert (model.order, model.vocabulary) == (order, vocabulary)
    for context in ([], text[:1], text[: order - 1], [vocabulary - 1] * order):
        p = after(model, context)
        assert (p > 0).all()
        assert p.sum() == pytest.approx(1, rel=0, abs=1e-9)
    found = model.log_probabilities(np.array(text, np.int64), first=0)
    wanted = Paper(text, vocabulary, order).log_probabilities(text, 0)
    assert found.tolist() == close(wanted)
    if not text:
        assert after(model, [0]) == pytest.approx(1 / vocabulary)


def test_eight_tokens_of_ten_million_do_not_collide() -> None:
    """Nine of them would need 210 bits; the last and the first ids are those that would wrap."""
    vocabulary = 10_000_000
    text = np.random.default_rng(0).choice([0, 1, vocabulary - 2, vocabulary - 1], 120)
    model, paper = NgramModel.fit(text, vocabulary, 8), Paper(text.tolist(), vocabulary, 8)
    found = model.log_probabilities(text)
    assert found.tolist() == close(paper.log_probabilities(text.tolist(), 1))


def test_scoring_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    text, other = random.integers(0, 5, 300), random.integers(0, 5, 50, dtype=np.uint8)
    model = NgramModel.fit(text, 5, 4)
    whole = model.log_probabilities(other, first=0)
    assert model.log_probabilities(other).tolist() == whole[1:].tolist()
    assert model.log_probabilities(other, first=17).tolist() == whole[17:].tolist()
    monkeypatch.setattr(ngrams, "_CHUNK", 2)
    assert model.log_probabilities(other, first=0).tolist() == whole.tolist()
    assert model.log_probabilities(other, first=50).shape == (0,)
    assert model.log_probabilities(other, first=99).shape == (0,)


@settings(max_examples=30)
@given(corpora())
def test_a_saved_model_gives_identical_numbers(corpus: tuple[list[int], int, int]) -> None:
    text, vocabulary, order = corpus
    model = NgramModel.fit(np.array(text, np.int64), vocabulary, order)
    saved = safetensors.numpy.save(model.tensors())
    loaded = NgramModel.from_tensors(safetensors.numpy.load(saved))
    assert (loaded.order, loaded.vocabulary) == (order, vocabulary)
    tokens = np.arange(50) ** 2 % vocabulary
    for scored in (tokens, np.array(text, np.int64)):
        assert np.array_equal(model.log_probabilities(scored), loaded.log_probabilities(scored))
    assert safetensors.numpy.save(loaded.tensors()) == saved


def test_what_is_saved_is_small() -> None:
    text = np.random.default_rng(0).integers(0, 300, 5000)
    tensors = NgramModel.fit(text, 300, 3).tensors()
    assert {n: t.dtype.name for n, t in tensors.items() if n[-1] in "13"} == {
        "tokens.1": "uint16", "children.1": "uint16", "counts.1": "uint8",
        "tokens.3": "uint16", "children.3": "uint8", "counts.3": "uint8",
    }  # fmt: skip


def test_counts_of_a_text_larger_than_memory() -> None:
    """They may be saved by other means, and need 64 bits."""
    tensors = NgramModel.fit(np.array([0, 1, 1]), 3, 1).tensors()
    model = NgramModel.from_tensors({**tensors, "counts.1": np.array([1, 2**33], np.uint64)})
    assert model.tensors()["counts.1"].dtype == np.uint64
    wanted = np.array([0.5 + 1 / 3, 2**33 - 0.5 + 1 / 3, 1 / 3]) / (2**33 + 1)
    assert after(model, []) == pytest.approx(wanted)


def whole(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


# Of the text 0 1 1 0: unigrams 0 and 1; bigrams 01, 10 and 11.
MISFITS: dict[str, dict[str, np.ndarray | None]] = {
    "nothing": dict.fromkeys(
        ["vocabulary", *(f"{name}.{k}" for name in ngrams._NAMES for k in (1, 2))]
    ),
    "no vocabulary": {"vocabulary": None},
    "two vocabularies": {"vocabulary": whole(2, 2)},
    "vocabulary of 0": {"vocabulary": whole(0)},
    "vocabulary too large": {"vocabulary": whole(2**63 - 1)},
    "missing": {"counts.2": None},
    "too many": {"counts.3": whole(1)},
    "unigrams only": dict.fromkeys(["tokens.1", "children.1", "counts.1"]),
    "not whole": {"counts.1": np.array([1.0, 2.0])},
    "not a vector": {"counts.1": np.array([[1, 2]])},
    "more counts": {"counts.2": whole(1, 1, 1, 1)},
    "more parents": {"children.2": whole(1, 2, 0)},
    "more children": {"children.2": whole(2, 2)},
    "children that wrap": {"children.2": np.array([2**64 - 1, 4], dtype=np.uint64)},
    "children whose sum wraps": {"children.2": whole(2**63 - 1, 4)},
    "negative children": {"children.2": whole(-1, 4)},
    "negative count": {"counts.2": whole(1, -1, 1)},
    "count too large": {"counts.2": whole(1, 2**63 - 1, 1)},
    "token of another vocabulary": {"tokens.1": whole(0, 2)},
    "negative token": {"tokens.2": whole(1, -1, 1)},
    "twice the same": {"tokens.2": whole(1, 1, 1)},
    "not sorted": {"tokens.2": whole(1, 1, 0)},
}


@pytest.mark.parametrize("name", MISFITS)
def test_arrays_that_do_not_fit_together_are_refused(name: str) -> None:
    tensors = NgramModel.fit(np.array([0, 1, 1, 0]), 2, 2).tensors()
    assert tensors["children.2"].tolist() == [1, 2]
    changed: dict[str, np.ndarray | None] = {**tensors, **MISFITS[name]}
    with pytest.raises(ModelError, match="does not fit together"):
        NgramModel.from_tensors({n: t for n, t in changed.items() if t is not None})


def test_what_cannot_be_counted_or_scored_is_refused() -> None:
    text = np.array([0, 1, 2])
    with pytest.raises(OptionError, match="order of 1 or more"):
        NgramModel.fit(text, 3, 0)
    with pytest.raises(OptionError, match="vocabulary of 1 token"):
        NgramModel.fit(text[:0], 0, 1)
    with pytest.raises(OptionError, match=r"below 2\^63"):
        NgramModel.fit(text, 2**62, 2)
    model = NgramModel.fit(text, 3, 2)
    with pytest.raises(OptionError, match="first of 0 or more"):
        model.log_probabilities(text, first=-1)
    for tokens in (text / 2, text[None], text > 1):
        with pytest.raises(ShapeError, match="vector of token ids"):
            NgramModel.fit(tokens, 3, 2)
        with pytest.raises(ShapeError, match="vector of token ids"):
            model.log_probabilities(tokens)
    for tokens in (text - 1, text + 1, np.array([2**64 - 1], np.uint64)):
        with pytest.raises(DataError, match="from 0 to 2"):
            NgramModel.fit(tokens, 3, 2)
        with pytest.raises(DataError, match="from 0 to 2"):
            model.log_probabilities(tokens)
