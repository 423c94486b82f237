"""Manifests: every form says the same, and what is none is refused by its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.manifests import Entry, read_manifest
from carousel.errors import DataError, OptionError

SIGNS = "ab,;\"' \u2028é漢"  # of which none ends a line or a TAB's cell
WORD = st.text(SIGNS, min_size=1, max_size=6).map(str.strip).filter(bool)
TIMES = st.tuples(st.floats(0, 1e4), st.floats(1e-3, 1e4)).map(lambda t: (t[0], t[0] + t[1]))
ROWS = st.lists(
    st.tuples(WORD, st.text(SIGNS, max_size=9), st.one_of(st.none(), TIMES), WORD),
    min_size=1,
    max_size=6,
)
FORMS = ("list", ".csv", ".tsv", ".jsonl", ".ndjson", "kaldi")
FOLDER: dict[str, str] = {
    "wav.scp": "r1 a.wav\nr2 b c.wav\n",
    "segments": "u1 r1 0.5 1.5\n\nu2 r1 2 -1\nu3 r2 0 3\n",
    "text": "u2 one  two \nu1\nu3 three\n",
    "utt2spk": "u1 s\nu2 t\nu3 s\n",
}


def read(data: Any, **options: Any) -> list[Entry]:
    return read_manifest(data, **{"audio": "audio", "text": "text", "encoding": "utf-8"} | options)[
        0
    ]


def refused(data: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(data, **options)
    return str(caught.value)


def kaldi_folder(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def given_as(form: str, records: list[dict[str, Any]], folder: Path, zipped: bool) -> Any:
    """The same records as a list, a table, JSON lines or a Kaldi folder."""
    if form == "list":
        return records
    if form == "kaldi":
        # Times stand between blanks there, and utterances have names.
        return kaldi_folder(
            folder / "k",
            {
                "wav.scp": "".join(f"r{k} {each['audio']}\n" for k, each in enumerate(records)),
                "text": "".join(f"{each['name']} {each['text']}\n" for each in records),
                "segments": "".join(
                    f"{each['name']} r{k} {each['start'] or 0} {each['end'] or -1}\n"
                    for k, each in enumerate(records)
                ),
                "utt2spk": "".join(f"{each['name']} {each['speaker']}\n" for each in records),
            },
        )
    if form in (".csv", ".tsv"):
        cells = [["" if x is None else str(x) for x in each.values()] for each in records]
        table = io.StringIO()
        if form == ".csv":
            csv.writer(table, lineterminator="\r\n").writerows([list(records[0]), *cells])
        else:
            table.writelines("\t".join(row) + "\n" for row in [list(records[0]), *cells])
        content = table.getvalue()
    else:
        content = "\n\n".join(json.dumps(each, ensure_ascii=False) for each in records)
    path = folder / ("m" + form + ".gz" * zipped)
    raw = content.encode("utf-8-sig")
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    return str(path)


@given(rows=ROWS, form=st.sampled_from(FORMS), zipped=st.booleans())
def test_every_form_says_the_same(
    rows: list[Any], form: str, zipped: bool, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("m")
    records = [
        {
            "other": "x",
            "text": text,
            "audio": f"{audio}.wav",
            "start": None if times is None else times[0],
            "name": f"n{k}",
            "end": None if times is None else times[1],
            "speaker": speaker,
        }
        for k, (audio, text, times, speaker) in enumerate(rows)
    ]
    found = read(given_as(form, records, folder, zipped))
    beside = {"list": Path(), "kaldi": folder / "k"}.get(form, folder)
    for k, (entry, record) in enumerate(zip(found, records, strict=True)):
        times = (record["start"], record["end"])
        if form == "kaldi" and times[0] is None:
            times = (0.0, None)
        assert entry.audio == str(beside / record["audio"])
        assert entry.text == " ".join(record["text"].split())
        for said, meant in zip((entry.start, entry.end), times, strict=True):
            assert math.isnan(said) if meant is None else said == meant
        assert (entry.speaker, entry.name) == (record["speaker"], record["name"])
        step = 2 if "j" in form else 1  # JSON lines have blank ones between them here
        assert entry.line == k * step + 1 + (form in (".csv", ".tsv"))


def test_paths_are_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "m.tsv"
    given = ["./a.wav", "x/../b.wav", "~/c.wav", str(tmp_path / "d.wav"), " e.wav "]
    path.write_text("audio\ttext\n" + "".join(f"{name}\tt\n" for name in given))
    inner = str(tmp_path / "inner") + os.sep
    meant = [
        f"{inner}a.wav",
        os.path.join(f"{inner}x", "..", "b.wav"),
        str(tmp_path / "home" / "c.wav"),
        str(tmp_path / "d.wav"),
        f"{inner}e.wav",
    ]
    assert [entry.audio for entry in read(path)] == meant
    assert [entry.audio for entry in read(tmp_path / "*" / "m.tsv")] == meant
    assert [entry.audio for entry in read([("a.wav", ""), (Path("x", "b.wav"), "")])] == [
        "a.wav",
        os.path.join("x", "b.wav"),
    ]


def test_lines_and_quotes_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "m.CSV"
    path.write_text(
        '\n"text", audio\n"two\nlines, ""said"" ",a.wav\n,\nit\'s \t a  "b",b.wav\n,c.wav'
    )
    found = read(path)
    assert [entry.text for entry in found] == ['two lines, "said"', 'it\'s a "b"', ""]
    assert [entry.line for entry in found] == [3, 6, 7]
    assert [entry.name for entry in found] == ["", "", ""]
    table = tmp_path / "m.tsv"
    table.write_text('audio\ttext\na.wav\t"open, not closed\n\nb.wav\t""\n')
    found = read(table)
    assert [(entry.text, entry.line) for entry in found] == [('"open, not closed', 2), ('""', 4)]
    for separator in ";\t":
        path.write_text(f'audio{separator}text\na.wav{separator}"b,{separator}c"\n')
        assert [entry.text for entry in read(path)] == [" ".join(f"b,{separator}c".split())]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("name,Satz,end\nc.wav,Grüße,2\n".encode("latin-1"))
    (found,) = read(path, audio="name", text="Satz", encoding="latin-1")
    assert (found.audio, found.text, found.name) == (str(tmp_path / "c.wav"), "Grüße", "")
    assert math.isnan(found.start)
    assert found.end == 2
    data = [{"f": "a.wav", "t": "x", "start": np.float32(0.5), "end": "1", "speaker": 7, "name": 8}]
    assert read(data, audio="f", text="t") == [Entry("a.wav", "x", 0.5, 1.0, "7", "8", 1)]
    with pytest.raises(OptionError, match="two columns, audio and text, got 'x' for both"):
        read(path, audio="x", text="x")
    with pytest.raises(OptionError, match="no encoding 'utf8x'"):
        read(path, encoding="utf8x")


def test_what_the_manifest_is_called(tmp_path: Path) -> None:
    options: dict[str, str] = {"audio": "audio", "text": "text", "encoding": "utf-8"}
    assert read_manifest([("a.wav", "")], **options)[1] == "a list of 1 recording"
    assert read_manifest([("a.wav", "")] * 2, **options)[1] == "a list of 2 recordings"
    folder = kaldi_folder(tmp_path / "k", FOLDER)
    assert read_manifest(folder, **options)[1] == str(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.csv",
            "Audio,text\n",
            "line 1: there is no column 'audio'; did you mean 'Audio'. known",
        ),
        ("a.tsv", "\naudio,text\n", "line 2: there is no column 'audio'.* told by audio and text"),
        ("a.csv", "audio,text,audio\n", "line 1: the header names the column 'audio' twice"),
        ("a.csv", "end,audio,text,end\n", "line 1: the header names the column 'end' twice"),
        ("a.csv", "audio,text\n\na\n", "line 3: expected 2 fields as in the header, got 1; in a"),
        ("a.csv", "audio,text\na,b,c\n", "line 2: .* got 3; in a CSV file put quotes around"),
        ("a.tsv", "audio\ttext\na\tb\t\n", "line 2: .* got 3; .* TSV file leave out TABs"),
        ("a.csv", 'audio,text\nx,y\na,"b\nc,d\n', "line 3: expected each quote .* to be closed"),
        ("a.csv", 'audio,text\na,"b" c\n', "line 2: expected each quote that opens .* twice"),
        (
            "a.csv",
            "audio,text\n ,b\n",
            "line 2, column 'audio': expected the path .* got none; give",
        ),
        ("a.csv", "audio,text\n", "expected recordings, got none; give at least one"),
        ("a.csv", "", "the file is empty"),
        ("a.csv", "\n\n", "expected recordings, got none"),
        ("a.jsonl", "\n", "expected recordings, got none"),
        (
            "a.jsonl",
            '{"audio": "a", "text": ""}\n[1]',
            r"line 2: expected a JSON object .*\(\[1\]\)",
        ),
        (
            "a.jsonl",
            '{"audio": "a"',
            "line 1: expected a JSON object .*character.* or name the file",
        ),
        ("a.jsonl", "[" * 100_000, "line 1: expected a JSON object"),
        ("a.jsonl", '{"audio": "a", "txt": ""}', "no field 'text'; did you mean 'txt'.* name the"),
        ("a.jsonl", '{"audio": "a", "text": 3}', "line 1, column 'text': expected text, got 3"),
        ("a.jsonl", '{"audio": null, "text": ""}', "column 'audio': expected text, got None"),
        ("a.jsonl", '{"audio": "a", "text": "\\ud800"}', "column 'text': .*surrogate"),
        ("a.jsonl", '{"audio": "a", "text": "", "speaker": [1]}', "column 'speaker': .* got .1"),
        (
            "a.txt",
            "a b\n",
            "expected a name that ends in .tsv, .csv, .jsonl, .ndjson .* got 'a.txt'",
        ),
    ],
)
def test_files_that_are_no_manifests(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    message = refused(path)
    assert message.startswith(str(path))
    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("x", "", "column 'start': expected seconds, a number from 0 on, got 'x'; write it as"),
        ("1,5", "", "column 'start': expected seconds, .* got '1,5'"),
        ("-0.1", "", "column 'start': .* got '-0.1'"),
        ("nan", "", "column 'start': .* got 'nan'"),
        ("", "inf", "column 'end': .* got 'inf'"),
        ("2", "2.0", "column 'end': expected an end behind the start, got 2.0 and 2; both"),
        ("", "0", "column 'end': expected an end behind the start, got 0 and 0; both"),
    ],
)
def test_times_that_are_none(tmp_path: Path, start: str, end: str, words: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f'audio,text,start,end\na,b,1,2\na,b,"{start}","{end}"\n')
    message = refused(path)
    assert message.startswith(f"{path}, line 3, ")
    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            3,
            r"expected a path or a list of recordings, got int; give a manifest by its path, or \[",
        ),
        ([], "a list of 0 recordings: expected recordings, got none"),
        (["a.tsv"], r"index 0: expected a pair \(audio, text\) or a dict, got 'a.tsv'; a manifest"),
        ([("a", "b"), ("a", "b", 1.0)], "index 1: expected a pair"),
        ([{"audio": "a"}], "index 0: there is no field 'text'"),
        ([{1: "a", "text": ""}], "index 0: there is no field 'audio'; known: 1, text; name"),
        ([("a", "b"), ("", "c")], "index 1, column 'audio': expected the path of an audio file"),
        ([("a\0", "c")], "index 0, column 'audio': expected text, got a NUL character"),
        ([(b"a", "c")], "index 0, column 'audio': expected text, got b'a'"),
        ([{"audio": "a", "text": "", "start": True}], "column 'start': .* got True"),
        ([{"audio": "a", "text": "", "end": math.nan}], "column 'end': .* got nan"),
        ([{"audio": "a", "text": "", "end": 10**400}], "column 'end': expected seconds"),
        ([{"audio": "a", "text": "", "start": [1]}], r"column 'start': .* got \[1\]"),
        ([{"audio": "a", "text": "", "name": False}], "column 'name': expected text, got False"),
        (
            [{"audio": "a", "text": "", "name": name} for name in ("x", "y", "", "", "x")],
            "index 4: two recordings are named 'x', the first at index 0; rename one",
        ),
    ],
)
def test_other_data_is_refused(data: Any, words: str) -> None:
    message = refused(data)
    assert re.search(words, message), message


def test_names_are_given_once(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("audio,text,name\na,b,x\na,b,\na,b,\na,b,x\n")
    assert re.search("line 5: two recordings are named 'x', the first on line 2;", refused(path))


def test_kaldi_folders(tmp_path: Path) -> None:
    folder = kaldi_folder(tmp_path / "k", FOLDER)
    found = read(str(folder))
    assert [entry.name for entry in found] == ["u2", "u1", "u3"]  # as in text
    assert [entry.audio for entry in found] == [
        str(folder / each) for each in ("a.wav", "a.wav", "b c.wav")
    ]
    assert [entry.text for entry in found] == ["one two", "", "three"]
    assert [entry.start for entry in found] == [2, 0.5, 0]
    assert math.isnan(found[0].end)
    assert [entry.end for entry in found[1:]] == [1.5, 3]
    assert [entry.speaker for entry in found] == ["t", "s", "s"]
    assert [entry.line for entry in found] == [1, 2, 3]
    plain = kaldi_folder(tmp_path / "p", {"wav.scp": "u1 /a.wav\n", "text": "u1 one\n"})
    (entry,) = read(plain)
    assert (entry.audio, entry.text, entry.speaker) == (str(Path(plain, "/a.wav")), "one", "")
    assert math.isnan(entry.start)
    assert math.isnan(entry.end)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("wav.scp", None, "k: expected a Kaldi folder with the files wav.scp and text, got no wav"),
        ("text", None, "got no text; write it, or give another kind of manifest by its own path"),
        ("text", "u1 a\nu2 b\n", "segments, line 4: .* both files, but .*text lacks 'u3'; add"),
        ("text", FOLDER["text"] + "u4 x\n", "text, line 4: .*segments lacks 'u4'; add it there or"),
        ("text", FOLDER["text"] + "u1 x\n", "text, line 4: 'u1' stands here and on line 2; rename"),
        ("text", "", "text: the file is empty"),
        ("text", "\n", "segments, line 1: .* lacks 'u1'"),
        ("utt2spk", "u1 s\nu3 s\n", "text, line 1: .*utt2spk lacks 'u2'"),
        ("utt2spk", FOLDER["utt2spk"] + "u5 s\n", "utt2spk, line 4: .*text lacks 'u5'"),
        ("wav.scp", "r1 a.wav\n", "segments, line 4: there is no recording 'r2' in .*wav.scp; add"),
        (
            "wav.scp",
            "r1 a.wav\nr2 sph2pipe b |\n",
            "wav.scp, line 2: .* got a command, 'sph2pipe b",
        ),
        (
            "wav.scp",
            "r1 a.ark:17\nr2 b\n",
            "wav.scp, line 1: .* got a place in an archive, 'a.ark:",
        ),
        (
            "wav.scp",
            "r1 a.wav\nr2\n",
            "wav.scp, line 2: expected the path of an audio file, got none",
        ),
        (
            "segments",
            "u1 r1 1 2 1\nu2 r1 3 4\nu3 r2 0 1\n",
            "segments, line 1: .* 4 fields.* got 5",
        ),
        ("segments", "u1 r1 2 1\nu2 r1 3 4\nu3 r2 0 1\n", "line 1, column 'end': .* got 1 and 2"),
        ("segments", "u1 r1 x 1\nu2 r1 3 4\nu3 r2 0 1\n", "line 1, column 'start': .* got 'x'"),
        ("segments", None, "text, line 1: .*wav.scp lacks 'u2'"),
    ],
)
def test_broken_kaldi_folders(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    folder = kaldi_folder(tmp_path / "k", FOLDER)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    message = refused(folder)
    assert message.startswith(str(folder))
    assert re.search(words, message), message


def test_a_recording_that_no_text_names_is_refused(tmp_path: Path) -> None:
    files = {"wav.scp": "u1 a.wav\nu2 b.wav\n", "text": "u2 x\n"}
    message = refused(kaldi_folder(tmp_path / "k", files))
    assert re.search("wav.scp, line 1: expected the same utterances .*text lacks 'u1'", message)


def test_other_places_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("audio,text\na,b\n")
    assert "expected one file, got 2 (a.csv, ...); join" in refused(tmp_path / "*.csv")
    assert "there is no such file; check the path" in refused(tmp_path / "c.csv")
    assert "there is no such file" in refused("")
