"""Streams outlive their readers, and say so where a result was lost."""

from __future__ import annotations

import errno
import io
import os

import pytest

from carousel.data.streams import LastingStream
from carousel.errors import OutputError


class Failing(io.StringIO):
    """Fails from the second text on."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def write(self, text: str) -> int:
        if self.getvalue():
            raise OSError(self.code, os.strerror(self.code))
        return super().write(text)


@pytest.mark.parametrize("expendable", [True, False])
def test_a_reader_may_leave(expendable: bool) -> None:
    stream = LastingStream(Failing(errno.EPIPE), expendable=expendable)
    for word in ("one", "two", "three"):
        assert stream.write(word) == len(word)
        stream.flush()
    assert stream.getvalue() == "one"


def test_a_full_disk_is_an_error_where_a_result_is_lost() -> None:
    progress = LastingStream(Failing(errno.ENOSPC))
    result = LastingStream(Failing(errno.ENOSPC), "standard output", expendable=False)
    for stream in (progress, result):
        stream.write("one")
    progress.write("two")
    with pytest.raises(OutputError, match=r"standard output: .*No space left"):
        result.write("two")


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("latin-1", "für 3–4 😀\n", b"f\xfcr 3\\u20134 \\ud83d\\ude00\n"),
        ("cp1252", "Ł – Ã", b"\\u0141 \x96 \xc3"),
        ("cp437", "Ł – ü Ã", b"\\u0141 \\u2013 \x81 \\u00c3"),
        ("ascii", '"ü"', b'"\\u00fc"'),
        ("utf-8", "ü\udce9", b"\xc3\xbc\\udce9"),
    ],
)
def test_what_an_encoding_lacks_is_written_as_its_number(
    encoding: str, text: str, written: bytes
) -> None:
    content = io.BytesIO()
    stream = LastingStream(
        io.TextIOWrapper(content, encoding=encoding, newline="\n"), expendable=False
    )
    stream.write("abc\n")
    assert not stream.escaped
    assert stream.write(text) == len(text)
    stream.flush()
    assert content.getvalue() == b"abc\n" + written
    assert stream.escaped
    assert not stream.failed


def test_a_failed_stream_leads_nowhere_in_the_end() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        stream = LastingStream(pipe)
        stream.write("text")
        stream.flush()
        assert stream.failed
        stream.silence()
    # Without it, closing the pipe would have failed at the text that waits in it.
