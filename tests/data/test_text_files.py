"""The lines of a single file: each of them, and nothing but them."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data import text_files
from carousel.data.text_files import file_lines, text_lines
from carousel.errors import DataError

LINE = st.text("ab \t\u2028\x85\x0b\x1cé漢🎠\ufeff", max_size=5)  # of which none ends a line


@given(
    lines=st.lists(LINE, min_size=1, max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    ended=st.booleans(),
    zipped=st.booleans(),
    size=st.integers(1, 9),
)
def test_lines_are_read_as_they_are(
    lines: list[str], end: str, ended: bool, zipped: bool, size: int, tmp_path_factory: Any
) -> None:
    text = "\ufeff" + end.join(lines) + (end if ended or not lines[-1] else "")
    content = text.encode()
    path = tmp_path_factory.mktemp("f") / ("a.en.gz" if zipped else "a.en")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "PIECE", size)
        assert file_lines(path, "utf-8") == lines
        assert file_lines(str(path), "utf-8") == lines


def test_blank_lines_are_lines_and_the_end_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content, wanted in [
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"\n\na\n", ["", "", "a"]),
        (b"a\r\rb\r\n", ["a", "", "b"]),
    ]:
        path.write_bytes(content)
        assert file_lines(path, "utf-8") == wanted, content


@given(st.text(st.sampled_from("ab\n\r\u2028\x85\x0b"), min_size=1))
def test_a_text_has_the_lines_of_a_file_that_holds_it(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes(text.encode())
        assert text_lines(text) == file_lines(path, "utf-8")


def test_a_text_of_nothing_has_no_line() -> None:
    assert text_lines("") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.de").write_bytes("Käse\r\nBrötchen\n".encode(encoding))
    assert file_lines(tmp_path / "a.de", encoding) == ["Käse", "Brötchen"]


def test_what_is_not_one_file_of_text_is_refused(tmp_path: Path) -> None:
    def refused(path: Path | str) -> str:
        with pytest.raises(DataError) as caught:
            file_lines(path, "utf-8")
        return str(caught.value)

    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("a\n")
    several = "expected one file, got 2 (a.txt, ...); join them first"
    assert refused(tmp_path) == f"{tmp_path}: {several}"
    assert refused(f"{tmp_path}/*.txt") == f"{tmp_path}/*.txt: {several}"
    assert file_lines(f"{tmp_path}/a*", "utf-8") == ["a"]
    assert "c.txt: there is no such file" in refused(tmp_path / "c.txt")
    for content in (b"", "\ufeff".encode(), gzip.compress(b"")):
        (tmp_path / "a.txt").write_bytes(content)
        assert refused(tmp_path / "a.txt") == f"{tmp_path / 'a.txt'}: the file is empty"
    (tmp_path / "a.txt").write_bytes(b"ab\ncd\xe9\n")
    message = refused(tmp_path / "a.txt")
    assert "a.txt, line 2: expected text in utf-8, got the byte 0xe9" in message
    assert "at byte offset 5" in message
    (tmp_path / "a.txt").write_bytes(b"ab\n\0\n")
    assert "line 2: expected text in utf-8, got a NUL character" in refused(tmp_path / "a.txt")
