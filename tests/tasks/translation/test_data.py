"""From pairs to subwords: what is read, split, numbered and known again, against plain loops."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.translation.small_translators import OTHER, PAIRS, write_two

from carousel.data import samples as samples_module
from carousel.data.pairs import Pairs, plain
from carousel.errors import DataError
from carousel.tasks.translation.data import (
    Longest,
    Tokenizers,
    check_length,
    cleaned,
    digest_of,
    encode,
    guide_of,
    learn_tokenizers,
    make_corpus,
    marks_of,
    open_pairs,
    options_for,
    split,
    with_blank,
    words_of_tokens,
)
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.word_alignment import align_words, words_of

SAMPLE = "sample:tatoeba-en-de"
RICH = "Käse, naïve 🎠🎠 e\u0301te\u0301 हिन्दी can't 3.14 «漢字»?! a\u200db don’t—x"
OWN = learn_tokenizers(Pairs.read([(RICH, RICH)] * 9 + PAIRS), 400, True)
# Anything but half surrogates, and often what is in words or between them.
TEXT = st.text(st.sampled_from(RICH + "\t\u2003\x1c") | st.characters(exclude_categories=["Cs"]))


def options(**values: Any) -> TranslationOptions:
    return TranslationOptions(**values)


def together(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


def token_of(data: bytes) -> int:
    """Returns the number of the subword that is these bytes."""
    known = [OWN.target.bytes_after(token, 0) for token in range(len(OWN.target))]
    return known.index(data)


def test_what_is_given_outranks_what_a_sample_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_for(SAMPLE, {"max_words": 7}) == options(max_words=7)
    assert options_for("a.tsv", {"reverse": True}) == options(reverse=True)
    own = {"max_words": 9, "reverse": True}
    monkeypatch.setattr(samples_module, "sample_options", lambda name, task: own)
    assert options_for(SAMPLE, {"max_words": 7}) == options(max_words=7, reverse=True)
    assert options_for([("a", "b")], {}) == options()


def test_pairs_of_every_kind_are_the_same(tmp_path: Path) -> None:
    table = "".join(f"{one}\t{other}\n" for one, other in PAIRS)
    objects = "".join(json.dumps({"en": one, "de": other}) + "\n" for one, other in PAIRS)
    (tmp_path / "a.tsv").write_text(table, encoding="utf-8")
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(table.encode("utf-16")))
    (tmp_path / "c.jsonl").write_text(objects)
    two = write_two(tmp_path, PAIRS)
    for data, name, values in [
        (PAIRS, "a list of 100 pairs", {}),
        (tmp_path / "a.tsv", str(tmp_path / "a.tsv"), {}),
        (str(tmp_path / "b.tsv.gz"), str(tmp_path / "b.tsv.gz"), {"encoding": "utf-16"}),
        (
            tmp_path / "c.jsonl",
            str(tmp_path / "c.jsonl"),
            {"source_field": "en", "target_field": "de"},
        ),
        (two, " and ".join(two), {}),
    ]:
        found = open_pairs(data, options(**values))
        assert together(found) == PAIRS
        assert found.name == name
        assert found.lines.tolist() == list(range(1, 101))
        back = open_pairs(data, options(**values, reverse=True))
        assert together(back) == [(other, one) for one, other in PAIRS]
        assert (back.name, back.lines.tolist()) == (found.name, found.lines.tolist())


def test_the_sample_is_read_by_its_name() -> None:
    found = open_pairs(SAMPLE, options())
    assert found.name == SAMPLE
    assert len(found) == 9_205
    assert ("I see.", "Ich verstehe.") in together(found)
    with pytest.raises(DataError, match="did you mean 'sample:tatoeba-en-de'"):
        open_pairs("sample:tatoeba-de-en", options())
    with pytest.raises(DataError, match="no sample for translation 'sample:weather'"):
        options_for("sample:weather", {})


def test_pairs_are_cleaned_as_the_options_say() -> None:
    pairs = Pairs.read([("a b c", "d e"), ("a", "b c"), ("a b", "d e"), ("a", ""), ("a b", "d e")])
    found = cleaned(pairs, options(max_words=2, max_ratio=1.4))
    assert found.lines.tolist() == [3]
    assert found.removed == {"empty": 1, "too long": 1, "badly matched": 1, "duplicate": 1}
    assert cleaned(pairs, options()).lines.tolist() == [1, 2, 3]


@given(
    pairs=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.text("xyz", max_size=2)), min_size=4, max_size=40
    ).filter(lambda pairs: len({one for one, _ in pairs}) > 3),
    holdout=st.sampled_from([0.0, 0.05, 0.3]),
    validation=st.sampled_from([0.0, 0.05, 0.5]),
    validates=st.booleans(),
)
def test_no_source_is_in_two_parts(
    pairs: list[tuple[str, str]], holdout: float, validation: float, validates: bool
) -> None:
    whole = Pairs.read(pairs)
    parts = split(whole, options(holdout=holdout, validation=validation), validates)
    assert sorted(line for part in parts for line in part.lines) == list(range(1, len(pairs) + 1))
    sources = [set(part.sources) for part in parts]
    assert sum(map(len, sources)) == len(set().union(*sources))
    assert [len(part) > 0 for part in parts] == [True, bool(validates and validation), holdout > 0]
    for part in parts:
        assert together(part) == [pairs[line - 1] for line in part.lines]
        assert part.name == whole.name


def test_parts_have_their_shares_of_all() -> None:
    whole = Pairs.read([(str(k), "x") for k in range(200)])
    training, validation, holdout = split(whole, options(holdout=0.1, validation=0.25), True)
    assert (len(training), len(validation), len(holdout)) == (130, 50, 20)
    # What is held out does not hang on the rest.
    for validates, other in ((False, 0.25), (True, 0.0), (True, 0.5)):
        again = split(whole, options(holdout=0.1, validation=other), validates)[2]
        assert again.lines.tolist() == holdout.lines.tolist()
    apart = split(whole, options(holdout=0.1, validation=0.1), True)
    assert set(apart[1].sources) != set(apart[2].sources)


def test_too_few_sources_cannot_be_split() -> None:
    with pytest.raises(DataError, match="two different sources or more to split, got 1"):
        split(Pairs.read([("a", "b"), ("a", "c")]), options(), True)


def test_blanks_around_words_are_one_in_front_of_each() -> None:
    assert plain(" \ta\u2003 b\n") == "a b"
    assert with_blank(" \ta\u2003 b\n") == " a b"
    assert plain(" \t") == with_blank("\n ") == ""


@pytest.mark.parametrize("shared", [True, False])
def test_subwords_are_learned_from_either_side_or_both(shared: bool) -> None:
    pairs = Pairs.read([("weave", "spinnen"), ("weave", "spinnen")] * 5)
    found = learn_tokenizers(pairs, 300, shared)
    assert found.shared is shared
    assert (found.source is found.target) is shared
    assert (" weave" in found.source.vocabulary, " spinnen" in found.target.vocabulary) == (
        True,
        True,
    )
    assert (" spinnen" in found.source.vocabulary) is shared
    assert (" weave" in found.target.vocabulary) is shared
    assert {found.source.kind, found.target.kind} == {"subwords"}


def test_a_vocabulary_has_its_size_and_no_subword_goes_over_a_word() -> None:
    pairs = Pairs.read([("ab", "ab"), ("ba", "ba")] * 50)
    small = learn_tokenizers(pairs, 258, True)
    assert len(small.source) == 258
    large = learn_tokenizers(pairs, 10_000, True)
    assert set(large.source.vocabulary[257:]) <= {" a", " b", "ab", "ba", " ab", " ba"}


def test_a_word_has_the_same_subwords_wherever_it_stands() -> None:
    first, last = encode(OWN.source, ["cat the"])[0], encode(OWN.source, ["the cat"])[0]
    cat = encode(OWN.source, ["cat"])[0][:-1].tolist()
    assert first[: len(cat)].tolist() == last[-1 - len(cat) : -1].tolist() == cat


@given(texts=st.lists(TEXT, max_size=4))
def test_sentences_are_encoded_each_with_its_end(texts: list[str]) -> None:
    found = encode(OWN.source, texts)
    assert len(found) == len(texts)
    for number, text in enumerate(texts):
        *tokens, end = found[number].tolist()
        assert end == OWN.source.end
        assert end not in tokens
        assert OWN.source.decode(tokens) == with_blank(text)


def test_a_corpus_is_its_pairs_in_subwords() -> None:
    pairs = Pairs.read([("", ""), *OTHER]).take([3, 0, 1])
    own = Tokenizers(source=OWN.source, target=learn_tokenizers(pairs, 300, False).target)
    corpus = make_corpus(pairs, own)
    assert len(corpus) == 3
    assert corpus.guides is None
    assert corpus.lines.tolist() == [4, 1, 2]
    assert corpus.end == own.target.end
    for row, (one, other) in enumerate(together(pairs)):
        assert corpus.sources[row].tolist() == encode(own.source, [one])[0].tolist()
        assert corpus.targets[row].tolist() == encode(own.target, [other])[0].tolist()
    wanted = [[len(corpus.sources[row]), len(corpus.targets[row])] for row in range(3)]
    assert corpus.lengths.tolist() == wanted
    assert wanted[1] == [1, 1]


def test_guides_lead_to_the_words_that_are_linked() -> None:
    pairs = Pairs.read(PAIRS)
    links = align_words(pairs.sources, pairs.targets).links
    corpus = make_corpus(pairs, OWN, dict(enumerate(links)))
    assert corpus.guides is not None
    assert corpus.guides.lengths.tolist() == corpus.targets.lengths.tolist()
    linked = 0
    for row, (source, target) in enumerate(PAIRS):
        words, owner = words_of_tokens(OWN.target, corpus.targets[row])
        assert words == words_of(target)
        for step, (begin, end) in enumerate(corpus.guides[row].tolist()):
            text = OWN.source.decode(corpus.sources[row][begin:end]).strip()
            if begin == end:
                continue
            # The small language goes word for word.
            assert text == words_of(source)[owner[step]]
            linked += 1
        assert corpus.guides[row][-1].tolist() == [0, 0]  # of the end
    assert linked > 0.9 * (corpus.targets.lengths - 1).sum()
    some = make_corpus(pairs, OWN, {2: links[2]}).guides
    assert some is not None
    assert some[2].tolist() == corpus.guides[2].tolist()
    assert some[1].tolist() == [[0, 0]] * len(corpus.targets[1])


def owners_by_hand(parts: list[bytes]) -> tuple[list[str], list[int]]:
    """Walks through the bytes of subwords one by one; they are UTF-8."""
    data = b"".join(parts)
    text = data.decode()
    words, owner_of = words_of(text), []
    place = 0
    for number, word in enumerate(words):
        begin = text.index(word, place)
        owner_of += [-1] * len(text[place:begin].encode()) + [number] * len(word.encode())
        place = begin + len(word)
    owner_of += [-1] * len(text[place:].encode())
    found, end = [], 0
    for part in parts:
        end += len(part)
        found.append(owner_of[end - 1] if part else -1)
    return words, found


@given(text=TEXT)
def test_words_of_subwords_are_the_words_of_the_text(text: str) -> None:
    tokens = encode(OWN.source, [text])[0]
    words, owner = words_of_tokens(OWN.source, tokens)
    assert words == words_of(text)
    parts = [OWN.source.bytes_after(token, 0) for token in tokens.tolist()]
    assert (words, owner.tolist()) == owners_by_hand(parts)


def test_letters_of_several_bytes_belong_to_their_word() -> None:
    for text, wanted in [
        ("Käse", ["Käse"]),
        ("🎠🎠 x", ["🎠", "🎠", "x"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("हिन्दी", ["हिन्दी"]),
        ("can't 3.14", ["can't", "3", ".", "14"]),
    ]:
        tokens = np.array([token_of(bytes([byte])) for byte in text.encode()])
        words, owner = words_of_tokens(OWN.target, tokens)
        assert words == wanted
        assert [bytes(text.encode()[k] for k in np.flatnonzero(owner == n)).decode()
                for n in range(len(words))] == wanted  # fmt: skip


def test_what_is_no_text_is_a_sign_for_each_byte() -> None:
    parts = [b"a", b"\xff", b"b", b" ", b"\xf0", b"\x9f", b"\xc3", b"\xa4"]
    tokens = np.array([0, *map(token_of, parts), 0])
    words, owner = words_of_tokens(OWN.target, tokens)
    assert words == ["a", "\ufffd", "b", "\ufffd", "\ufffd", "ä"]
    assert owner.tolist() == [-1, 0, 1, 2, -1, 3, 4, 5, 5, -1]


@given(tokens=st.lists(st.integers(0, len(OWN.target) - 1), max_size=12))
def test_whatever_a_model_writes_has_its_words(tokens: list[int]) -> None:
    words, owner = words_of_tokens(OWN.target, np.array(tokens, np.int64))
    data = b"".join(OWN.target.bytes_after(token, 0) for token in tokens)
    text = "".join(data.decode("utf-8", "surrogateescape").split())
    signs = "".join("\ufffd" if "\udc80" <= sign <= "\udcff" else sign for sign in text)
    assert "".join(words) == signs
    owned = owner[owner >= 0].tolist()
    assert owned == sorted(owned)
    assert set(owned) <= set(range(len(words)))
    assert len(owner) == len(tokens)
    assert "\ufffd" in signs or words == words_of(OWN.target.decode(tokens))


def test_no_subword_has_no_word() -> None:
    words, owner = words_of_tokens(OWN.target, np.zeros(0, np.int64))
    assert (words, owner.tolist()) == ([], [])
    words, owner = words_of_tokens(OWN.target, np.array([OWN.target.end]))
    assert (words, owner.tolist()) == ([], [-1])


@given(
    source=st.lists(st.integers(0, 3), max_size=5),
    target=st.lists(st.integers(0, 3), max_size=5),
    ends=st.booleans(),
    draws=st.data(),
)
def test_guides_are_those_of_a_plain_loop(
    source: list[int], target: list[int], ends: bool, draws: st.DataObject
) -> None:
    """Each number is how many subwords a word has; one has none where a sign hides in another."""
    words = [[w for w, count in enumerate(side) for _ in range(count)] for side in (source, target)]
    source_words, target_words = (np.array(side + [-1] * ends, np.int64) for side in words)
    origin = st.integers(-1, len(source) - 1)
    links = draws.draw(st.lists(origin, min_size=len(target), max_size=len(target)))
    wanted = []
    for word in target_words:
        places = [k for k, own in enumerate(source_words) if word >= 0 and own == links[word] >= 0]
        wanted.append([places[0], places[-1] + 1] if places else [0, 0])
    found = guide_of(source_words, target_words, np.array(links, np.int32))
    assert found.tolist() == wanted
    assert found.shape == (len(target_words), 2)


def test_a_digest_tells_pairs_and_their_order_apart() -> None:
    texts = [[("a", "b"), ("c", "d")], [("c", "d"), ("a", "b")], [("a", "b")], [("ab", "")]]
    texts += [[("", "ab")], [("b", "a"), ("c", "d")], [("a", "b"), ("c", "d"), ("", "")]]
    digests = [digest_of(Pairs.read(pairs)) for pairs in texts]
    assert len(set(digests)) == len(texts)
    moved = Pairs(["a", "c"], ["b", "d"], np.array([5, 9]), "elsewhere", {"empty": 3})
    assert digest_of(moved) == digests[0]


def test_a_sentence_is_known_again_whatever_its_blanks() -> None:
    marks = marks_of(["a b", " a\u2003b\n", "ab", "", " ", "A b"])
    assert marks.dtype == np.uint64
    assert marks[0] == marks[1]
    assert marks[3] == marks[4]
    assert len(set(marks.tolist())) == 4
    assert marks_of([]).shape == (0,)
    assert len(set(marks_of(str(k) for k in range(5_000)).tolist())) == 5_000


@pytest.mark.parametrize(("longest", "most"), [(1, 500), (100, 500), (101, 505), (200, 1_000)])
def test_what_is_far_longer_than_a_sentence_is_refused(longest: int, most: int) -> None:
    known = Longest(words=longest, subwords=0)
    check_length("a " * most, OWN.source, known)
    with pytest.raises(DataError) as caught:
        check_length("a " * (most + 1), OWN.source, known, source="a.en", line=7)
    message = f"a.en, line 7: expected a sentence, got {most + 1:,} words; the model has learned"
    assert str(caught.value).startswith(message)
    assert f"up to {longest:,} words: give one sentence a line" in str(caught.value)


@pytest.mark.parametrize(("subwords", "most"), [(0, 2_500), (500, 2_500), (501, 2_505)])
def test_a_sentence_without_blanks_is_measured_by_its_subwords(subwords: int, most: int) -> None:
    known = Longest(words=7, subwords=subwords)
    blank = 1  # which is written before the first word
    assert [len(OWN.source.encode(f" {'猫' * n}")) for n in (1, 9)] == [blank + 3, blank + 27]
    most_letters = (most - blank) // 3
    check_length("猫" * most_letters, OWN.source, known)
    found = f"{blank + 3 * (most_letters + 1):,} subwords"
    with pytest.raises(DataError, match=f"line 3: expected a sentence, got {found}; .* 7 words"):
        check_length("猫" * (most_letters + 1), OWN.source, known, source="a.txt", line=3)
    with pytest.raises(DataError, match=f"got {20 * most + 1:,} characters"):
        check_length("x" * (20 * most + 1), OWN.source, known)
    # Many letters may be few subwords.
    known_word = RICH.split()[0]
    assert len(OWN.source.encode(known_word)) < 5
    check_length(known_word * 500, OWN.source, known)
    check_length(" " * 10 * most, OWN.source, known)
