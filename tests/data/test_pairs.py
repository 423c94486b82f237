"""Pairs: what is read from where, what is removed and why, and splits that share no source."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.pairs import Pairs, one_side
from carousel.errors import DataError, OptionError

SIGNS = 'ab \u2028\x85é漢🎠\ufeff"'  # of which none ends a line of a file
TEXT = st.text(SIGNS, max_size=6)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)
FORMS = ("list", "lists", "two files", "table", "objects")


def given_as(form: str, pairs: list[tuple[str, str]], folder: Path, zipped: bool) -> Any:
    """The same pairs as a list, as two files, as a table, or as JSON lines."""
    if form in ("list", "lists"):
        return pairs if form == "list" else tuple(list(pair) for pair in pairs)

    def written(name: str, lines: list[str]) -> str:
        content = "".join(line + "\n" for line in lines).encode("utf-8-sig")
        path = folder / (name + ".gz" * zipped)
        path.write_bytes(gzip.compress(content) if zipped else content)
        return str(path)

    if form == "two files":
        return [written(f"{k}.txt", [pair[k] for pair in pairs]) for k in range(2)]
    if form == "table":
        return written("a.tsv", [f"{one}\t{other}\tmore\tof it" for one, other in pairs])
    objects = [{"n": 1, "target": other, "source": one} for one, other in pairs]
    return written("a.jsonl", [json.dumps(each, ensure_ascii=False) for each in objects])


def together(pairs: Pairs) -> list[tuple[str, str]]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


def refused(data: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        Pairs.read(data, **options)
    return str(caught.value)


@given(pairs=PAIRS, form=st.sampled_from(FORMS), zipped=st.booleans())
def test_pairs_are_read_as_they_are(
    pairs: list[tuple[str, str]], form: str, zipped: bool, tmp_path_factory: Any
) -> None:
    found = Pairs.read(given_as(form, pairs, tmp_path_factory.mktemp("p"), zipped))
    assert together(found) == pairs
    assert found.lines.tolist() == list(range(1, len(pairs) + 1))
    assert len(found) == len(pairs)
    assert found.removed == {}


def test_names_lines_and_ends(tmp_path: Path) -> None:
    table, lines = tmp_path / "t.txt", tmp_path / "t.ndjson"
    table.write_bytes(b"\na\tb\r\n\n\t\nc\td\te")
    found = Pairs.read(table)
    assert together(found) == [("a", "b"), ("", ""), ("c", "d")]
    assert found.lines.tolist() == [2, 4, 5]
    assert found.name == str(table)
    lines.write_text(' \n{"en": "a", "de": "b"}\n\n{"en": "c\\nd", "de": ""}')
    found = Pairs.read(str(lines), source="en", target="de")
    assert together(found) == [("a", "b"), ("c\nd", "")]
    assert found.lines.tolist() == [2, 4]
    one, other = tmp_path / "a.de", tmp_path / "a.en"
    one.write_bytes("ä\n\nb\n".encode("latin-1"))
    other.write_bytes(b"x\n\n")
    message = refused((one, other), encoding="latin-1")
    assert f"got 3 in {one} and 2 in {other}; line k" in message
    other.write_bytes(b"x\n\ny")  # without an end of its last line
    found = Pairs.read((one, str(other)), encoding="latin-1")
    assert together(found) == [("ä", "x"), ("", ""), ("b", "y")]
    assert found.name == f"{one} and {other}"
    assert Pairs.read([("a", "b")]).name == "a list of 1 pair"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.tsv",
            b"a\tb\nc d\n",
            r"line 2: expected two columns with a TAB .* got 'c d'; give two",
        ),
        ("a.txt", b"a b\n", "line 1: expected two columns"),
        ("a.tsv", b"", "the file is empty"),
        ("a.tsv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("a.tsv", b"\n\n", "expected pairs, got none"),
        ("a.jsonl", b"\n \n", "expected pairs, got none"),
        ("a.tsv", b"a\tb\n\xff\tc\n", r"line 2: expected text in utf-8, got the byte 0xff"),
        ("a.jsonl", b'{"source": "a", "target": "b"}\n{', "line 2: expected a JSON object .*name"),
        ("a.jsonl", b'["a", "b"]', r'line 1: expected a JSON object .*\(\["a", "b"\]\)'),
        ("a.jsonl", b"[" * 100_000, "line 1: expected a JSON object"),
        ("a.jsonl", b'{"sauce": "a", "target": "b"}', "line 1: .*'source'; did you mean 'sauce'"),
        ("a.jsonl", b'{"source": "a"}', "no field 'target'.* known: source; name the fields by"),
        ("a.jsonl", b'{"source": "a", "target": 3}', "column 'target': expected text, got 3"),
        ("a.jsonl", b'{"source": "\\ud800", "target": ""}', "column 'source': .*surrogate"),
    ],
)
def test_files_that_are_not_pairs_are_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(str(path))
    assert re.search(words, message)


@pytest.mark.parametrize("name", ["corpus", "corpus/p*", "corpus/pairs.jsonl"])
def test_a_folder_or_pattern_is_read_as_the_file_that_it_means(tmp_path: Path, name: str) -> None:
    (tmp_path / "corpus").mkdir()
    path = tmp_path / "corpus" / "pairs.jsonl"
    path.write_text('{"source":\t"a", "target": "b"}\n')
    assert together(Pairs.read(tmp_path / name)) == [("a", "b")]
    assert one_side(tmp_path / name, field="target", column=1, encoding="utf-8") == ["b"]
    path.write_text("{}\n")
    assert f"{path}, line 1: there is no field 'source'" in refused(tmp_path / name)


def test_lines_of_blanks_alone_are_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\n   \n\n\t\nc\td\n")
    found = Pairs.read(tmp_path / "a.tsv")
    assert together(found) == [("a", "b"), ("", ""), ("c", "d")]
    assert found.lines.tolist() == [1, 4, 5]


def test_other_places_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("a\tb\n")
    assert "expected one file, got 2 (a.txt, ...); join" in refused(tmp_path)
    assert "expected one file, got 2" in refused((tmp_path / "*.txt", tmp_path / "a.txt"))
    assert "there is no such file" in refused((tmp_path / "a.txt", tmp_path / "c.txt"))
    assert together(Pairs.read(tmp_path / "a*")) == [("a", "b")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (3, "expected a path, two paths, or a list of pairs, got int; give two"),
        ([], "a list of 0 pairs: expected pairs, got none"),
        (["a.txt"], r"index 0: expected a pair \(source, target\), got 'a.txt'; two aligned"),
        ([("a", "b"), ("a", "b", "c")], "a list of 2 pairs, index 1: expected a pair"),
        ([("a", "b"), ("a", None)], "index 1: expected text, got None"),
        ([("a", "b\0")], "index 0: expected text, got a NUL character in it; delete it"),
    ],
)
def test_other_data_is_refused(data: Any, words: str) -> None:
    assert re.search(words, refused(data))


def test_reading_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no encoding 'utf8x'"):
        Pairs.read(tmp_path, encoding="utf8x")
    with pytest.raises(OptionError, match="two fields, source and target, got 'a' for both"):
        Pairs.read(tmp_path, source="a", target="a")


def test_each_reason_removes_its_pairs() -> None:
    pairs = [
        ("a b", "c d"),  # stays
        ("", "c"),
        ("a", " \u2003 "),
        ("a b", "c d"),
        ("a " * 6, "c " * 5),
        ("a " * 5, "c"),  # (5 + 1) / (1 + 1) = 3, which is the ratio: stays
        ("a", "c " * 6),  # too long comes before badly matched
        ("a", "c c c c c"),  # stays, the other way round
        (" a\u2003b", "c d "),  # the same but for blanks
        ("a b", "c e"),  # another text: stays
        ("", ""),
    ]
    found = Pairs.read(pairs).cleaned(longest=5, ratio=3)
    assert found.lines.tolist() == [1, 6, 8, 10]
    assert together(found) == [pairs[k - 1] for k in (1, 6, 8, 10)]
    assert found.removed == {"empty": 3, "too long": 2, "badly matched": 0, "duplicate": 2}
    again = found.cleaned(ratio=2.9)
    assert again.lines.tolist() == [1, 10]
    # What was removed before is counted on.
    assert again.removed == {"empty": 3, "too long": 2, "badly matched": 2, "duplicate": 2}
    assert len(found) == 4
    assert len(Pairs.read([("a " * 200, "漢")]).cleaned(ratio=math.inf)) == 1
    # A side may be too long without a blank in it.
    letters = Pairs.read([("漢" * 100, "字"), ("漢" * 101, "字"), ("字", "漢" * 101)])
    assert letters.cleaned(longest=5).lines.tolist() == [1]
    assert letters.cleaned(longest=5).removed["too long"] == 2


@given(pairs=PAIRS, longest=st.integers(1, 3), ratio=st.floats(1, 3))
def test_what_is_kept_and_removed_is_all(
    pairs: list[tuple[str, str]], longest: int, ratio: float
) -> None:
    pairs = [*pairs, ("a", "a")]  # which no option removes
    whole = Pairs.read(pairs)
    found = whole.cleaned(longest=longest, ratio=ratio)
    assert len(found) + sum(found.removed.values()) == len(pairs)
    assert together(found) == [pairs[line - 1] for line in found.lines]
    assert len(set(together(found))) == len(found)
    assert (np.diff(found.lines) > 0).all()
    twice = found.cleaned(longest=longest, ratio=ratio)
    assert together(twice) == together(found)
    assert twice.removed == found.removed
    assert whole.removed == {}


def test_cleaning_is_checked() -> None:
    found = Pairs.read([("a b", "c"), ("", "d")])
    for options, words in (
        ({"longest": 0}, "longest: expected 1 word or more, got 0"),
        ({"ratio": 0.5}, r"ratio: expected 1 or more, .* got 0\.5"),
        ({"ratio": math.nan}, "got nan"),
    ):
        with pytest.raises(OptionError, match=words):
            found.cleaned(**options)
    with pytest.raises(DataError, match=r"all were removed \(1 empty, 1 too long\); check"):
        found.cleaned(longest=1)


@pytest.mark.parametrize("rows", [[2, 0, 0], np.array([2, 0, 0]), []])
def test_pairs_are_taken_in_any_order(rows: Any) -> None:
    whole = Pairs.read([("", "x"), ("a", "b"), ("c", "d"), ("e", "f")]).cleaned()
    found = whole.take(rows)
    assert together(found) == [together(whole)[row] for row in rows]
    assert found.lines.tolist() == [whole.lines[row] for row in rows]
    assert found.lines.dtype == np.int64
    assert (found.name, found.removed) == (whole.name, whole.removed)


def test_overlap_counts_the_others_pairs() -> None:
    train = Pairs.read([("a", "x"), ("a", "y"), ("b", "x")])
    test = Pairs.read([("a", "x"), ("a", "x"), ("a", "z"), ("x", "a"), ("b", "y")])
    assert train.overlap(test) == {"sources": 4, "pairs": 2}
    assert test.overlap(train) == {"sources": 3, "pairs": 1}
    assert train.overlap(train) == {"sources": 3, "pairs": 3}
    blanks = Pairs.read([("a ", " x"), ("\u2003b", "z")])
    assert train.overlap(blanks) == {"sources": 2, "pairs": 1}
    assert blanks.overlap(train) == {"sources": 3, "pairs": 1}


@given(
    pairs=st.lists(st.tuples(st.text("abc", max_size=2), TEXT), min_size=2, max_size=40).filter(
        lambda pairs: len({one for one, _ in pairs}) > 1
    ),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
def test_no_source_is_on_both_sides_of_a_split(
    pairs: list[tuple[str, str]], share: float, seed: int
) -> None:
    whole = Pairs.read(pairs)
    rest, held = whole.split_by_source(share, seed)
    assert rest.overlap(held) == {"sources": 0, "pairs": 0}
    assert sorted([*rest.lines, *held.lines]) == list(range(1, len(pairs) + 1))
    for part in (rest, held):
        assert len(part)
        assert (np.diff(part.lines) > 0).all()
        assert together(part) == [pairs[line - 1] for line in part.lines]
        assert part.name == whole.name
    commonest = max(Counter(whole.sources).values())
    assert abs(len(held) - share * len(pairs)) <= commonest
    # The same sources, in whatever order they come.
    backwards = Pairs.read(pairs[::-1]).split_by_source(share, seed)[1]
    assert set(backwards.sources) == set(held.sources)


def test_splits_differ_by_seed_and_are_checked() -> None:
    whole = Pairs.read([(str(k), "x") for k in range(30)])
    held = {tuple(whole.split_by_source(0.2, seed)[1].sources) for seed in range(9)}
    assert len(held) == 9
    assert {len(part) for part in held} == {6}
    for share in (0.0, 1.0, math.nan):
        with pytest.raises(OptionError, match="share: expected above 0 and below 1, got"):
            whole.split_by_source(share, 1)
    with pytest.raises(DataError, match="two different sources or more to split, got 1; give"):
        Pairs.read([("a", "b"), ("a", "c")]).split_by_source(0.5, 1)
