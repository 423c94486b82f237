"""Word alignment: against the papers' equations in dictionaries, and languages made up to order."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import ModelError
from carousel.tasks.translation import word_alignment
from carousel.tasks.translation.word_alignment import (
    Lexicon,
    WordAlignment,
    align_words,
    word_spans,
    words_of,
)

Counts = dict[tuple[str, str], float]
TIE = 1 - 1e-9
NULL = ""


def digamma(x: float) -> float:
    """The recurrence, then the asymptotic series, whose next term is below 1e-12 from 20 on."""
    below = 0.0
    while x < 20:
        below += 1 / x
        x += 1
    return math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6) - below


class Papers:
    """The equations at the head of the module in dictionaries: slow and clear."""

    def __init__(self, sources: list[str], targets: list[str], iterations: int) -> None:
        texts = zip(sources, targets, strict=True)
        self.pairs = [([NULL, *source.split()], target.split()) for source, target in texts]
        self.t: Counts = defaultdict(lambda: 1.0)
        for _ in range(iterations):
            self.t = self._from_counts(self.counts())

    @staticmethod
    def _from_counts(counts: Counts) -> Counts:
        total: dict[str, float] = defaultdict(float)
        for (v, _), count in counts.items():
            total[v] += count + 0.01
        return {
            (v, w): math.exp(digamma(count + 0.01) - digamma(total[v]))
            for (v, w), count in counts.items()
        }

    def posterior(self, source: list[str], target: list[str], j: int) -> list[float]:
        S, T = len(source) - 1, len(target)
        near = [math.exp(-4 * abs(i / S - (j + 1) / T)) for i in range(1, S + 1)]
        prior = [0.08, *(0.92 * each / sum(near) for each in near)]
        joint = [p * self.t[v, target[j]] for p, v in zip(prior, source, strict=True)]
        return [p / sum(joint) for p in joint]

    def counts(self) -> Counts:
        counts: Counts = defaultdict(float)
        for source, target in self.pairs:
            for j, w in enumerate(target):
                for v, p in zip(source, self.posterior(source, target, j), strict=True):
                    counts[v, w] += p
        return counts

    def links(self) -> list[list[int]]:
        found = []
        for source, target in self.pairs:
            all_p = [self.posterior(source, target, j) for j in range(len(target))]
            found.append([next(i for i, x in enumerate(p) if x >= TIE * max(p)) - 1 for p in all_p])
        return found

    def lexicon(self) -> dict[str, str]:
        counts, rows = self.counts(), defaultdict(list)
        often = Counter(w for _, target in self.pairs for w in target)
        for (v, w), count in counts.items():
            if v != NULL:
                rows[v].append((count, w))
        best = {}
        for v, row in rows.items():
            likely = [w for count, w in row if count >= TIE * max(row)[0]]
            best[v] = min(likely, key=lambda w: (often[w], w))
        return best


def probabilities(sources: list[str], targets: list[str], iterations: int) -> Counts:
    """t(w | v) by its words."""
    corpus = word_alignment._corpus([s.split() for s in sources], [t.split() for t in targets])
    v = [corpus.source_words[place] for place in corpus.source]
    w = [corpus.target_words[place] for place in corpus.target]
    t = word_alignment._fitted(corpus, iterations).tolist()
    return dict(zip(zip(v, w, strict=True), t, strict=True))


def links_of(found: WordAlignment) -> list[list[int]]:
    assert all(links.dtype == np.int32 for links in found.links)
    return [links.tolist() for links in found.links]


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Sources of a, b, ... and targets of u, v, ..., any of them without a word."""
    number = draw(st.integers(0, 5))
    sentences = [
        st.lists(st.sampled_from(words), max_size=5).map(" ".join) for words in ("abcd", "uvwx")
    ]
    one, other = (draw(st.lists(each, min_size=number, max_size=number)) for each in sentences)
    return one, other


def made_up(
    pairs: int, *, seed: int, filler: str = ""
) -> tuple[list[str], list[str], list[list[int]]]:
    """Sentences of 5 to 8 different words and their translations, with the origins.

    Word sN is tN. Each two neighbours may change places, and ``filler`` stands anywhere.
    """
    random = np.random.default_rng(seed)
    sources, targets, origins = [], [], []
    for _ in range(pairs):
        words = random.choice(40, random.integers(5, 9), replace=False).tolist()
        order = list(range(len(words)))
        for k in range(0, len(words) - 1, 2):
            if random.random() < 0.5:
                order[k : k + 2] = order[k + 1], order[k]
        target = [f"t{words[k]}" for k in order]
        if filler:
            place = int(random.integers(0, len(words) + 1))
            target.insert(place, filler)
            order.insert(place, -1)
        sources.append(" ".join(f"s{word}" for word in words))
        targets.append(" ".join(target))
        origins.append(order)
    return sources, targets, origins


@given(corpora(), st.integers(1, 3))
def test_agrees_with_the_papers(corpus: tuple[list[str], list[str]], iterations: int) -> None:
    papers = Papers(*corpus, iterations)
    # Each estimate makes an error in c(v, w) up to 25 times as large, and it begins at 1e-15.
    assert probabilities(*corpus, iterations) == pytest.approx(dict(papers.t), rel=1e-8, abs=0)
    found = align_words(*corpus, iterations=iterations)
    assert links_of(found) == papers.links()
    assert found.lexicon.best == papers.lexicon()


@pytest.mark.parametrize("iterations", [1, 5])
def test_longer_sentences_agree_too(iterations: int) -> None:
    sources, targets, _ = made_up(12, seed=0, filler="uh")
    papers = Papers(sources, targets, iterations)
    found = align_words(sources, targets, iterations=iterations)
    wanted = pytest.approx(papers.t, rel=1e-6, abs=0)
    assert probabilities(sources, targets, iterations) == wanted
    assert links_of(found) == papers.links()
    assert found.lexicon.best == papers.lexicon()


def test_one_estimate_by_hand() -> None:
    """Of "a" — "x" and "a b" — "x y": on the diagonal q of what is not the null word's, or 1 - q.

    The other place of the second pair is half a sentence off.
    """
    q = 1 / (1 + math.exp(-4 / 2))
    counts = {
        (NULL, "x"): 0.08 + 0.08, ("a", "x"): 0.92 + 0.92 * q, ("b", "x"): 0.92 * (1 - q),
        (NULL, "y"): 0.08, ("a", "y"): 0.92 * (1 - q), ("b", "y"): 0.92 * q,
    }  # fmt: skip
    total = {NULL: 0.24 + 0.02, "a": 1.84 + 0.02, "b": 0.92 + 0.02}
    wanted = {
        (v, w): math.exp(digamma(c + 0.01) - digamma(total[v])) for (v, w), c in counts.items()
    }
    assert probabilities(["a", "a b"], ["x", "x y"], 1) == pytest.approx(wanted, rel=1e-10)


def test_a_language_of_one_word_for_each_is_found_whole() -> None:
    sources, targets, origins = made_up(300, seed=1)
    found = align_words(sources, targets)
    assert found.lexicon.best == {f"s{word}": f"t{word}" for word in range(40)}
    assert links_of(found) == origins
    assert found.lexicon.translate("s3 s1 S39, s40!") == "t3 t1 t39, s40!"


def test_a_word_that_belongs_to_none_comes_from_the_null_word() -> None:
    sources, targets, origins = made_up(300, seed=2, filler="uh")
    found = align_words(sources, targets)
    assert found.lexicon.best == {f"s{word}": f"t{word}" for word in range(40)}
    assert links_of(found) == origins


def test_a_rare_word_does_not_collect_the_others() -> None:
    """Seen once, in a sentence of words that are known from others."""
    sources, targets, _ = made_up(100, seed=3)
    found = align_words([*sources, "s1 s2 rare s3 s4"], [*targets, "t1 t2 selten t3 t4"])
    assert found.lexicon.best["rare"] == "selten"
    assert links_of(found)[-1] == [0, 1, 2, 3, 4]


def test_sentences_without_words() -> None:
    found = align_words(["", "a", " ", "a"], ["x y", "", "", "x"])
    assert links_of(found) == [[-1, -1], [], [], [0]]
    assert found.lexicon.best == {"a": "x"}
    for texts in ([], ["", "\n"]):
        nothing = align_words(texts, texts)
        assert links_of(nothing) == [[] for _ in texts]
        assert nothing.lexicon.best == {}
    unseen = align_words(["a"], [""])
    assert unseen.lexicon.translate("a") == "a"


def test_ties() -> None:
    """1/3 and 2/3 are equally far from 1/2; x and y are alike in everything."""
    found = align_words(["a a a", "b"], ["z z", "y x"])
    assert links_of(found)[0] == [0, 2]
    assert found.lexicon.best["b"] == "x"


def test_the_lexicon_takes_the_larger_count_then_the_rarer_word() -> None:
    corpus = word_alignment._corpus([["a"], ["b"]], [["x", "y"], ["x"]])
    words = {word: word for word in corpus.target_words}
    places = list(zip(corpus.source.tolist(), corpus.target.tolist(), strict=True))
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    for counts, wanted in [
        ([9, 9, 0.5, 0.5, 0.1], "y"),
        ([9, 9, 0.5 + 1e-12, 0.5, 0.1], "y"),
        ([9, 9, 0.5 + 1e-6, 0.5, 0.1], "x"),
        ([9, 9, 0.4, 0.5, 0.1], "y"),
    ]:
        best = word_alignment._lexicon(corpus, np.array(counts, np.float64), words).best
        assert best == {"a": wanted, "b": "x"}


@pytest.mark.parametrize("cells", [1, 7, 60])
def test_working_in_parts_gives_the_same(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets, _ = made_up(30, seed=4, filler="uh")
    for place in (0, 10, 30):
        sources.insert(place, "")
        targets.insert(place, "t1 t2")
        sources.insert(place, "s1 s2")
        targets.insert(place, "")
    whole, wanted = align_words(sources, targets), probabilities(sources, targets, 5)
    monkeypatch.setattr(word_alignment, "_CELLS", cells)
    corpus = word_alignment._corpus([s.split() for s in sources], [t.split() for t in targets])
    assert len(corpus.parts) > 10
    parts = align_words(sources, targets)
    assert links_of(parts) == links_of(whole)
    assert parts.lexicon.best == whole.lexicon.best
    assert probabilities(sources, targets, 5) == pytest.approx(wanted, rel=1e-9, abs=0)


def test_the_same_texts_give_the_same_result() -> None:
    sources, targets, _ = made_up(20, seed=5)
    one, other = align_words(sources, targets), align_words(sources, targets)
    assert links_of(one) == links_of(other)
    assert one.lexicon.to_json() == other.lexicon.to_json()
    assert list(one.lexicon.best) == sorted(one.lexicon.best)


def test_misuse() -> None:
    with pytest.raises(AssertionError):
        align_words(["a"], [])
    with pytest.raises(AssertionError):
        align_words(["a"], ["b"], iterations=0)


def test_case_does_not_divide_words() -> None:
    sources = ["The house", "A HOUSE", "the house", "the tree", "a tree"]
    targets = ["Das Haus", "Ein HAUS", "das Haus", "das Baum", "Ein Baum"]
    lexicon = align_words(sources, targets).lexicon
    assert set(lexicon.best) == {"the", "house", "a", "tree"}
    assert lexicon.best["house"] == "Haus"
    assert lexicon.translate("tHe hOUSE") == "das Haus"


WRITINGS = {
    "behind the first word": ("gehen", ["Gehen wir", "Gehen sie", "Gehen ich", "wir gehen"]),
    "the first word behind signs": ("gehen", ["„Gehen wir", "¿Gehen sie", "wir gehen"]),
    "at the beginning only": ("Ach", ["Ach ja", "Ach so", "ach nein"]),
    "equally often": ("AB", ["x ab", "x AB", "x Ab"]),
    "more common anywhere": ("ab", ["x ab", "x AB", "ab x"]),
    "a sign": ("!", ["ja !", "!"]),
}


@pytest.mark.parametrize("name", WRITINGS)
def test_writings(name: str) -> None:
    wanted, texts = WRITINGS[name]
    found = word_alignment._writings([words_of(text) for text in texts])
    assert found[wanted.casefold()] == wanted


WORDS = {
    "Don't stop, e-mail me!": ["Don't", "stop", ",", "e-mail", "me", "!"],
    "l’eau d'Aix-en-Provence": ["l’eau", "d'Aix-en-Provence"],
    "'quoted' -x- a--b": ["'", "quoted", "'", "-", "x", "-", "a", "-", "-", "b"],
    "3.14 (x_1)...": ["3", ".", "14", "(", "x_1", ")", ".", ".", "."],
    "हिन्दी में": ["हिन्दी", "में"],
    "cafe\u0301 noir": ["cafe\u0301", "noir"],
    "a\u00a0b\u3000c\n": ["a", "b", "c"],
    "\U0001e922\U0001e944\U0001e923 x": ["\U0001e922\U0001e944\U0001e923", "x"],  # Adlam
    "你好，世界": ["你好", "，", "世界"],
    "": [],
}


@pytest.mark.parametrize("text", WORDS)
def test_words(text: str) -> None:
    assert words_of(text) == WORDS[text]


@given(st.text())
def test_nothing_but_spaces_is_left_out_of_the_words(text: str) -> None:
    spans = word_spans(text)
    assert words_of(text) == [text[start:stop] for start, stop in spans]
    assert all(start < stop for start, stop in spans)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
    assert "".join(words_of(text)) == "".join(text.split())


LEXICON = Lexicon(
    {
        "the": "die", "house": "Haus", "i": "ich", "is": "ist", "strasse": "road", "hi": "¡hola",
        "don't": "nicht", "or": "/", ".": ".", "，": ",", "$": "Dollar",
    }
)  # fmt: skip

TRANSLATIONS = {
    "the house is here": "die Haus ist here",  # unknown words are copied as they are
    "The HOUSE": "Die Haus",
    "the House , is it ? Is : ; !": "die Haus, ist it? ist:;!",
    "I don't": "Ich nicht",
    "i": "ich",
    "Straße": "Road",  # casefolded, ß is ss
    "the，house": "die, Haus",  # a sign that changes divides as any other word
    "the (house) is": "die (Haus) ist",
    "the ( house ) is": "die ( Haus ) ist",
    "is 3.14 or 1,000": "ist 3.14 / 1,000",
    "“The house”": "“Die Haus”",
    "3 The": "3 Die",
    "Hi": "¡Hola",
    "$5": "Dollar 5",
    ", the": ", die",
    "The": "Die",
    "  the \n house  ": "die Haus",
    "": "",
    "?": "?",
}


@pytest.mark.parametrize("text", TRANSLATIONS)
def test_translations(text: str) -> None:
    assert LEXICON.translate(text) == TRANSLATIONS[text]


def test_a_capital_stays_where_the_text_begins_with_a_number() -> None:
    assert Lexicon({"x": "1", "y": "ab"}).translate("X y") == "1 Ab"
    assert Lexicon({"x": "1", "y": "2"}).translate("X y") == "1 2"


def test_a_saved_lexicon_is_the_same() -> None:
    loaded = Lexicon.from_json(LEXICON.to_json())
    assert loaded.best == LEXICON.best
    assert loaded.to_json() == LEXICON.to_json()
    assert json.loads(LEXICON.to_json()) == LEXICON.best
    assert Lexicon.from_json(Lexicon({}).to_json()).best == {}


DAMAGES = ["", "{", "[]", "null", '"a"', '{"a": 1}', '{"a": null}', '{"a": "b", "c": ["d"]}']


@pytest.mark.parametrize(
    "text", [*DAMAGES, LEXICON.to_json()[:-1], pytest.param("[" * 100_000, id="deep")]
)
def test_a_damaged_lexicon_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"expected the lexicon as an object of texts to texts"):
        Lexicon.from_json(text)
