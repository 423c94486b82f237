"""Texts: what is read, in which order and pieces, its digest and cuts, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data import text_files
from carousel.data.texts import Extent, Piece, Texts
from carousel.errors import DataError, OptionError

ALPHABET = "ab\n\r é漢🎠\ufeff"
DOCUMENTS = st.lists(st.text(ALPHABET, max_size=12), max_size=5)
FORMS = ("list", "files", "lines", "zipped")
SIZES = st.integers(1, 7)


def given_as(form: str, documents: list[str], folder: Path) -> Any:
    """The same documents as a list, as a folder of files, or as JSON lines."""
    if form == "list":
        return documents
    if form == "files":
        for k, document in enumerate(documents):
            # One mark is dropped at a file's begin, and this is it.
            (folder / f"{k}.txt").write_bytes(("\ufeff" + document).encode())
        return folder
    lines = "".join(json.dumps({"text": document}) + "\n\n" for document in documents).encode()
    path = folder / ("d.jsonl.gz" if form == "zipped" else "d.jsonl")
    path.write_bytes(gzip.compress(lines) if form == "zipped" else lines)
    return path


def kept(documents: list[str]) -> list[str]:
    """What is to be read of documents."""
    return [re.sub("\r\n?", "\n", document) for document in documents if document]


def joined(pieces: Any) -> tuple[list[str], str]:
    """The documents that end, and what stands behind the last of them."""
    whole, rest = [], ""
    for piece in pieces:
        assert piece.text
        rest += piece.text
        if piece.ends_document:
            whole.append(rest)
            rest = ""
    return whole, rest


def sliced(documents: list[str], begin: int, end: int) -> tuple[list[str], str]:
    """What ``joined`` is to give, from slices of each document."""
    whole, rest, place = [], "", 0
    for document in documents:
        stop = place + len(document)
        part = document[max(begin - place, 0) : max(end - place, 0)]
        if part and stop <= end:
            whole.append(part)
        else:
            rest += part
        place = stop
    return whole, rest


def digest(documents: list[str], characters: int) -> str:
    whole, rest = sliced(documents, 0, characters)
    parts = [*whole, rest] if rest else whole
    return hashlib.sha256(b"\xff".join(part.encode() for part in parts)).hexdigest()


def refused(data: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        list(Texts.open(data, **options).pieces())
    return caught.value


def read(data: Any, **options: Any) -> list[str]:
    whole, rest = joined(Texts.open(data, **options).pieces())
    assert not rest
    return whole


@given(documents=DOCUMENTS, form=st.sampled_from(FORMS), size=SIZES, cuts=st.data())
def test_every_stretch_is_a_slice_of_the_joined_text(
    documents: list[str], form: str, size: int, cuts: st.DataObject, tmp_path_factory: Any
) -> None:
    expected = kept(documents)
    total = len("".join(expected))
    begin = cuts.draw(st.integers(0, total + 2))
    end = cuts.draw(st.integers(begin, total + 2))
    if not expected:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "PIECE", size)
        found = Texts.open(given_as(form, documents, tmp_path_factory.mktemp("d")))
        assert joined(found.pieces()) == (expected, "")
        assert all(len(piece.text) <= size + 1 for piece in found.pieces())
        assert joined(found.pieces(begin, end)) == sliced(expected, begin, end)
        assert joined(found.pieces(begin)) == sliced(expected, begin, total)


@given(documents=DOCUMENTS, form=st.sampled_from(FORMS), size=SIZES, cuts=st.data())
def test_digests_and_cuts_do_not_depend_on_the_pieces(
    documents: list[str], form: str, size: int, cuts: st.DataObject, tmp_path_factory: Any
) -> None:
    expected = kept(documents)
    if not expected:
        return
    whole = "".join(expected)
    total = len(whole)
    place = cuts.draw(st.integers(0, total))
    ends = [len("".join(expected[: k + 1])) for k in range(len(expected))]
    lines = [k + 1 for k, sign in enumerate(whole) if sign == "\n" and k >= place]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "PIECE", size)
        found = Texts.open(given_as(form, documents, tmp_path_factory.mktemp("d")))
        assert found.measure() == Extent(total, len(expected), digest(expected, total))
        assert found.prefix_digest(total) == found.measure().digest
        assert found.prefix_digest(place) == digest(expected, place)
        document_end = next(end for end in ends if end >= place)
        assert found.cut_at_document(place) == document_end
        assert found.cut_at_line(place) == min([document_end, *lines])
        assert found.cut_at_document(total + 1) == found.cut_at_line(total + 1) == total


def test_a_prefix_has_the_documents_ends_that_lie_inside_it() -> None:
    found = Texts.open(["ab", "", "cde"])
    sha = [hashlib.sha256(b).hexdigest() for b in (b"", b"a", b"ab", b"ab\xffcde")]
    assert [found.prefix_digest(n) for n in (0, 1, 2, 5)] == sha
    assert found.measure() == Extent(5, 2, sha[3])
    assert found.prefix_digest(5) != Texts.open(["abcde"]).measure().digest
    with pytest.raises(DataError, match="expected 6 characters or more, got 5; give the whole"):
        found.prefix_digest(6)


def test_pieces_say_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "PIECE", 2)
    path = tmp_path / "a.log"
    path.write_text("abc")
    assert list(Texts.open(path).pieces()) == [
        Piece("ab", False, str(path)),
        Piece("c", True, str(path)),
    ]
    assert list(Texts.open(["ab"]).pieces(1)) == [Piece("b", True, "")]
    names = [Texts.open(data).name for data in (path, str(path), ["a", "b"], ("a",))]
    assert names == [str(path), str(path), "a list of 2 texts", "a list of 1 text"]


def test_it_is_measured_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abc")
    found = Texts.open(path)
    first = found.measure()
    path.unlink()
    assert found.measure() is first
    with pytest.raises(DataError, match="cannot be read"):
        list(found.pieces())


def test_text_is_read_only_as_far_as_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "PIECE", 4)
    path = tmp_path / "a.txt"
    path.write_bytes(b"ab\ncdefghijklmnop\xff")
    found = Texts.open(path)
    assert joined(found.pieces(1, 5)) == ([], "b\ncd")
    assert found.cut_at_line(1) == 3
    assert Texts.open(["x", "\0"]).cut_at_document(1) == 1
    with pytest.raises(DataError, match="offset 17"):
        found.measure()


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 20])
def test_line_ends_become_one_kind(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "PIECE", size)
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n\r\r\n\xef\xbb\xbfd\r")
    assert read(path) == ["a\nb\nc\n\n\n\ufeffd\n"]
    assert read(["a\r\nb\r"]) == ["a\nb\n"]


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.MD", "a/c.text", "a.jsonl", "c.ndjson", ".h.txt", ".g/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(name) if "json" in name else name)
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"zipped"))
    (tmp_path / "e.csv").write_text("left out")
    (tmp_path / "f.txt").touch()
    expected = ["a/c.text", "a/z.MD", "a.jsonl", "b.txt", "c.ndjson", "zipped"]
    assert read(tmp_path) == read(str(tmp_path)) == expected
    assert read(tmp_path / "*.??t") == ["b.txt"]
    assert read(f"{tmp_path}/**/*.[Mt]*[Dt]") == ["a/c.text", "a/z.MD", "b.txt"]
    (tmp_path / "b[1].txt").write_text("signs of a pattern")
    assert read(tmp_path / "b[1].txt") == ["signs of a pattern"]


def test_json_lines_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text(
        '\ufeff{"text": "one\\r\\ntwo", "n": 1}\n"bare \u2028 string"\r\n\r\n{"text": ""}\n"last"'
    )
    assert read(path) == ["one\ntwo", "bare \u2028 string", "last"]
    path.write_text('{"body": "x"}')
    assert read(path, field="body") == ["x"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252", "utf-8-sig"])
def test_other_encodings_are_read(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("þé\r\nü".encode(encoding))
    for size in (1, 1 << 20):
        monkeypatch.setattr(text_files, "PIECE", size)
        assert read(path, encoding=encoding) == ["þé\nü"]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 1 << 20])
@pytest.mark.parametrize(
    ("content", "encoding", "line", "words"),
    [
        (
            b"a\r\n\rb\xe9c",
            "utf-8",
            3,
            "the byte 0xe9 .*at byte offset 5; .*--encoding latin-1.*ic",
        ),
        ("é\r".encode() + b"\xff", "utf-8", 2, "the byte 0xff .*at byte offset 3;"),
        ("é\n漢".encode()[:-1], "utf-8", 2, r"0xe6 \(unexpected end of data\) at byte offset 3;"),
        (b"ab\nc\0d", "utf-8", 2, "a NUL character at byte offset 4; is it a binary file"),
        ("a\n\0".encode("utf-16"), "utf-16", 2, "a NUL character at byte offset 6; "),
        (b"\x00\xd8a\0", "utf-16-le", 1, "in utf-16-le, got the byte 0x00 .*at byte offset 0; "),
        (b"a\x81", "cp1252", 1, "in cp1252, got the byte 0x81 .* at byte offset 1; .*utf-8"),
        ("ab".encode("utf-16-be"), "utf-16", 1, "BOM.*-le or -be"),
        (b"\n+2AE-", "utf-7", 2, r"half a surrogate pair \(U\+D801\)"),
    ],
)
def test_wrong_bytes_are_named(
    content: bytes,
    encoding: str,
    line: int,
    words: str,
    size: int,
    zipped: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / ("a.txt.gz" if zipped else "a.txt")
    path.write_bytes(gzip.compress(content) if zipped else content)
    monkeypatch.setattr(text_files, "PIECE", size)
    error = refused(path, encoding=encoding)
    assert re.search(words, str(error)), error
    assert (error.source, error.line) == (str(path), line)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ab".encode("utf-16"), "byte order mark of UTF-16: give --encoding utf-16$"),
        (b"\x89PNG\r\n\x1a\n\0\0", "0x89 .* offset 0; is it a binary file"),
        ("ab".encode("utf-16-le"), "NUL .* offset 1; .* give --encoding utf-16-le"),
    ],
)
def test_what_is_no_text_in_utf_8_is_recognised(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert re.search(words, str(refused(tmp_path)))


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("{'text': 1}", None, r"on each line, got something else \(.*\); correct the line"),
        ("[" * 100_000, None, "on each line, got something else"),
        ("[1, 2]", None, r"got something else \(\[1, 2\]\)"),
        ('{"txt": "a", "n": 1}', "text", "did you mean 'txt'. it has: txt, n; name .*--field"),
        ('{"n": 1}', "text", "no such field; it has: n; name"),
        ("{}", "text", "it has: none;"),
        ('{"text": null}', "text", "expected text, got null; delete the line, or name"),
        ('{"text": ["a"]}', "text", r'expected text, got \["a"\]'),
        ('{"text": "\\u0000"}', "text", "expected text, got a NUL character"),
        ('"\\ud83c"', None, r"got half a surrogate pair \(U\+D83C\)"),
    ],
)
def test_wrong_json_lines_are_named(
    line: str, column: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "first"}}\n\n{line}\n')
    error = refused(path)
    assert re.search(words, str(error)), error
    assert (error.source, error.line, error.column) == (str(path), 3, column)
    assert "line 1" not in str(error)


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(os.urandom(1_000).hex().encode())
    path = tmp_path / "a.txt.gz"
    spoilt = content[:500] + bytes([content[500] ^ 255]) + content[501:]
    for damaged in (content[:-20], spoilt, b"plain text"):
        path.write_bytes(damaged)
        error = refused(path)
        assert "gzip file is damaged or cut off" in str(error)
        assert error.source == str(path)
    unnamed = tmp_path / "b"
    unnamed.write_bytes(content)
    assert len(read(unnamed)[0]) == 2_000


def test_paths_without_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    for data, words in (
        (tmp_path / "a.txt", "there is no such file; check the path"),
        (tmp_path / "*.log", "the pattern fits no file; check the path"),
        (tmp_path / "empty.txt", "the file is empty"),
        (tmp_path, "the text is empty"),
        (tmp_path / "e*", "the text is empty"),
    ):
        error = refused(data)
        assert words in str(error)
        assert error.source == str(data)
    (tmp_path / "empty.txt").rename(tmp_path / "g.csv")
    for name in "abcdef":
        (tmp_path / name).touch()
    assert re.search(r"end in \.txt, .* got a, b, c, d, e, \.\.\.; for", str(refused(tmp_path)))
    (tmp_path / "none").mkdir()
    assert "got no file" in str(refused(tmp_path / "none"))
    with pytest.raises(DataError, match="there is no such file"):  # asked at once
        Texts.open("a.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    assert "got a pipe or device; save it first" in str(refused(tmp_path / "a.txt"))


@pytest.mark.parametrize("text", ["", "What?\nNo.", "long " * 2_000, "a\0b", "[a] *\r"])
def test_text_in_the_place_of_a_path_is_hinted_at(text: str) -> None:
    error = refused(text)
    assert "text itself is given as a list, [text]" in str(error)
    assert len(str(error)) < 200


@pytest.mark.parametrize("data", [[], ["", ""], ()])
def test_a_list_without_text_is_refused(data: Any) -> None:
    assert "the text is empty" in str(refused(data))
    with pytest.raises(DataError, match="the text is empty"):
        Texts.open(data).measure()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (3, "expected a path or a list of texts, got int; give text as"),
        (b"a.txt", "got bytes"),
        (["a", Path("b.txt")], "got a list of .*Path; .*many files as a folder or pattern"),
        (["a", "b\0"], "index 1: expected text, got a NUL character"),
        (["\ud800"], r"index 0: expected text, got half a surrogate pair \(U\+D800\)"),
    ],
)
def test_other_data_is_refused(data: Any, words: str) -> None:
    assert re.search(words, str(refused(data)))


def test_options_are_checked() -> None:
    for encoding, words in (
        ("utf8x", "no encoding 'utf8x' of text; did you mean utf_8"),
        ("base64", "no encoding 'base64' of text"),
        ("a\0", "no encoding"),
    ):
        with pytest.raises(OptionError, match=words):
            Texts.open(["a"], encoding=encoding)
    found = Texts.open(["abc"])
    for begin, end in ((-1, None), (2, 1), (0, -1)):
        with pytest.raises(OptionError, match="expected 0 <= begin <= end, got begin"):
            list(found.pieces(begin, end))
    with pytest.raises(OptionError):
        found.prefix_digest(-1)
    assert list(found.pieces(3)) == list(found.pieces(1, 1)) == []
