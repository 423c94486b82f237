"""``carousel predict`` with a translator: lines in, lines out, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.standard_input import typed
from tests.cli.test_language_modeling import lines_of, refused
from tests.cli.test_waiting import opened
from tests.tasks.translation.small_translators import (
    OTHER,
    PAIRS,
    QUICK,
    SMALL,
    taught_translator,
)

from carousel.cli import main, standard_output
from carousel.tasks.translation import Translator

SOURCES = [source for source, _ in OTHER[:5]]

Out = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(taught_translator().save(tmp_path_factory.mktemp("models") / "m"))


@pytest.fixture
def sentences(tmp_path: Path) -> str:
    """A file of sentences, a blank line among them."""
    lines = [*SOURCES[:2], "", *SOURCES[2:]]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "in.txt")


def written(*lines: str) -> str:
    return "".join(f"{line}\n" for line in taught_translator().translate(list(lines)))


def test_each_line_of_a_file_has_its_line(model: str, sentences: str, capsys: Out) -> None:
    wanted = written(*SOURCES[:2], "", *SOURCES[2:])
    assert lines_of(capsys, "predict", model, sentences) == wanted
    assert wanted.splitlines()[2] == ""
    Path(sentences).write_bytes(b"\xef\xbb\xbf" + "\r\n".join(SOURCES).encode())
    assert lines_of(capsys, "predict", model, sentences) == written(*SOURCES)


@pytest.mark.parametrize("words", [[], ["-"]])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_standard_input_is_divided_as_a_file(
    words: list[str],
    end: str,
    encoding: str,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:
    lines = ["the cat.", "", " \u2028", "the Ċat\u010a\x85."]  # of which a byte is a line's end
    for last in ("", end):
        typed(monkeypatch, (end.join(lines) + last).encode(encoding))
        option = [] if encoding == "utf-8" else ["--encoding", encoding]
        assert lines_of(capsys, "predict", model, *words, *option) == written(*lines)


def test_of_nothing_comes_nothing(model: str, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    typed(monkeypatch, b"")
    assert lines_of(capsys, "predict", model) == ""
    assert lines_of(capsys, "predict", model, "--text", "") == "\n"


def test_a_person_gets_each_line_back_and_a_bad_one_ends_all(model: str) -> None:
    """Also while the program still waits for the next line."""
    command = [sys.executable, "-m", "carousel", "predict", model]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, encoding="utf-8", **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for source in SOURCES[:2]:
            process.stdin.write(f"{source}\n")
            process.stdin.flush()
            assert process.stdout.readline() == written(source)
        process.stdin.write("a\0b\n")
        process.stdin.flush()
        assert process.stderr.read().startswith(
            "carousel: error: standard input, line 3: expected text in utf-8, got a NUL"
        )
        assert process.stdout.read() == ""
        assert process.wait() == 2


def test_standard_input_that_is_closed_is_refused(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed; give INPUT" in refused(capsys, "predict", model)


def test_a_text_may_be_given_as_such(model: str, capsys: Out) -> None:
    assert lines_of(capsys, "predict", model, "--text", SOURCES[0]) == written(SOURCES[0])
    text = f"{SOURCES[0]}\n{SOURCES[1]}"
    assert lines_of(capsys, "predict", model, "--text", text) == written(*SOURCES[:2])
    text = f"{SOURCES[0]}\u2028{SOURCES[1]}"  # one line, as in a file
    assert lines_of(capsys, "predict", model, "--text", text) == written(text)


def test_the_search_is_as_its_options_say(model: str, sentences: str, capsys: Out) -> None:
    words = ["--beam", "3", "--length-penalty", "0", "--max-tokens", "4", "--best", "2", "--json"]
    options = {"max_tokens": 4, "beam": 3, "length_penalty": 0, "best": 2}
    printed = lines_of(capsys, "predict", model, sentences, *words).splitlines()
    lines = Path(sentences).read_text().splitlines()
    assert len(printed) == len(lines)
    for line, shown in zip(lines, printed, strict=True):
        found = json.loads(shown)
        (wanted,) = taught_translator().translations([line], **options)
        assert (found["source"], found["text"]) == (line, wanted.text)
        assert found["alignment"] == wanted.alignment
        # How many lines are translated together moves the last digits.
        assert found["score"] == pytest.approx(wanted.score, rel=1e-4)
        assert [one["text"] for one in found["others"]] == [one.text for one in wanted.others]
    found = json.loads(lines_of(capsys, "predict", model, "--text", SOURCES[0], *words))
    (wanted,) = taught_translator().translations([SOURCES[0]], **options)
    assert found == json.loads(json.dumps(wanted.to_dict()))


def test_the_best_are_numbered_and_scored(model: str, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "one.txt").write_text(f"\n{SOURCES[0]}\n")
    words = ["--beam", "8", "--best", "3"]
    found = lines_of(capsys, "predict", model, str(tmp_path / "one.txt"), *words)
    (one,) = taught_translator().translations([SOURCES[0]], beam=8, best=3)
    lines = [f"2\t{each.score:.4f}\t{each.text}" for each in (one, *one.others)]
    assert found.splitlines() == ["1\t0.0000\t", *lines]
    assert len(lines) == 3


def test_a_file_gets_what_is_printed(
    model: str, sentences: str, tmp_path: Path, capsys: Out
) -> None:
    out = tmp_path / "any name"
    words = ["predict", model, sentences, "--out", str(out)]
    capsys.readouterr()
    assert main(words) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"wrote 6 lines to {out}\n")
    assert out.read_text(encoding="utf-8") == written(*SOURCES[:2], "", *SOURCES[2:])
    out.write_text("mine")
    assert "--force" in refused(capsys, *words)
    assert out.read_text() == "mine"
    assert lines_of(capsys, *words, "--force") == ""
    assert out.read_text() != "mine"


def test_what_came_through_a_pipe_is_not_lost_with_what_is_wrong_in_it(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    content = "".join(f"{source}\n" for source in SOURCES).encode()
    out = tmp_path / "o.txt"
    for number, wrong in enumerate((b"a\0b\n", b"\xff\n", b"the " * 10_000), start=1):
        typed(monkeypatch, content + wrong + content)
        message = refused(capsys, "predict", model, "--out", str(out), *["--force"] * (number > 1))
        assert f"wrote 5 lines to {out}\n" in message
        assert "error: standard input, line 6: " in message
        assert out.read_text(encoding="utf-8") == written(*SOURCES)
        out.write_text("old")
    typed(monkeypatch, b"\xff\n" + content)  # before which nothing came
    assert "wrote" not in refused(capsys, "predict", model, "--out", str(out), "--force")
    assert out.read_text() == "old"
    # A file is still there.
    (tmp_path / "in.txt").write_bytes(content + b"the " * 10_000)
    words = ["predict", model, str(tmp_path / "in.txt"), "--out", str(tmp_path / "p.txt")]
    assert "wrote" not in refused(capsys, *words)
    assert not (tmp_path / "p.txt").exists()


def test_who_interrupts_a_pipe_keeps_what_came(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def stream(self: object, lines: object, **given: object) -> Iterator[str]:
        yield from taught_translator().translations(SOURCES[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "stream", stream)
    out = tmp_path / "o.txt"
    typed(monkeypatch, b"")
    assert main(["predict", model, "--out", str(out)]) == 130
    assert f"wrote 2 lines to {out}\n" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == written(*SOURCES[:2])


def test_a_sentence_that_cannot_be_drawn_is_translated_all_the_same(
    model: str, tmp_path: Path, capsys: Out
) -> None:
    plot = ["--plot", str(tmp_path / "p.svg")]
    words = ["predict", model, "--text", "the cat sat. " * 80, "--max-tokens", "2", *plot]
    capsys.readouterr()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert "a picture of the attention expects 1 to 200 words" in captured.err
    out = tmp_path / "o.txt"
    assert main([*words, "--out", str(out)]) == 2
    assert out.read_text(encoding="utf-8") == captured.out
    assert not (tmp_path / "p.svg").exists()


def test_a_sentence_is_drawn(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    plot = ["--plot", str(tmp_path / "p.svg")]
    assert lines_of(capsys, "predict", model, "--text", SOURCES[0], *plot) == written(SOURCES[0])
    drawn = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert f">{SOURCES[0].split()[0]}<" in drawn
    assert "--force" in refused(capsys, "predict", model, "--text", "the", *plot)
    typed(monkeypatch, SOURCES[1].encode() + b"\n")
    lines_of(capsys, "predict", model, *plot, "--force")
    assert f">{SOURCES[1].split()[0]}<" in (tmp_path / "p.svg").read_text(encoding="utf-8")


def test_who_reads_no_more_gets_the_picture_all_the_same(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert (
            main(["predict", model, "--text", SOURCES[0], "--plot", str(tmp_path / "p.svg")]) == 0
        )
    assert (tmp_path / "p.svg").exists()


def test_characters_that_training_lacked_are_warned_of(
    model: str, sentences: str, capsys: Out
) -> None:
    unseen = "ΑΒΓΔΕΖΗΘΙΚΛ"
    Path(sentences).write_text(f"the cat.\nthe \x1bΩ.\n\n{unseen}\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", model, sentences]) == 0
    warnings = capsys.readouterr().err.splitlines()
    words = "the training sentences never had"
    assert len(warnings) == 2
    assert warnings[0].startswith(f"carousel: warning: line 2: {words} U+001B Ω; what is made of")
    assert f"line 4: {words} {' '.join(unseen[:10])} ...; what" in warnings[1]


def test_warnings_of_many_lines_are_counted(model: str, sentences: str, capsys: Out) -> None:
    Path(sentences).write_text("the Ω.\n" * 8, encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", model, sentences]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert [one.split(": ")[2] for one in warnings[:5]] == [f"line {k}" for k in range(1, 6)]
    assert warnings[5].startswith("carousel: warning: 3 more lines have characters")
    assert len(warnings) == 6


def test_a_line_that_cannot_be_is_named_by_its_file(
    model: str, sentences: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    content = "the " * 10_000 + "\nthe cat.\n"
    Path(sentences).write_text(content, encoding="utf-8")
    assert f"{sentences}, line 1: " in refused(capsys, "predict", model, sentences)
    # Of a file all is known before the first line is translated.
    Path(sentences).write_text(f"the cat.\n{content}", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", model, sentences]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{sentences}, line 2: " in captured.err
    typed(monkeypatch, content.encode())
    assert "standard input, line 1: " in refused(capsys, "predict", model)
    assert "--text, line 1: " in refused(capsys, "predict", model, "--text", content)


def test_a_terminal_is_shown_how_much_is_done(
    model: str, sentences: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = opened(monkeypatch)
    assert main(["predict", model, sentences, "--out", str(tmp_path / "o.txt")]) == 0
    assert "6/6" in terminal.getvalue()
    assert "sentences" in terminal.getvalue()


def test_another_encoding(
    model: str, sentences: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    content = "the cat.\nthe café.\n".encode("latin-1")
    Path(sentences).write_bytes(content)
    wanted = written("the cat.", "the café.")
    assert lines_of(capsys, "predict", model, sentences, "--encoding", "latin-1") == wanted
    message = refused(capsys, "predict", model, sentences)
    assert "in.txt, line 2: expected text in utf-8, got the byte 0xe9" in message
    assert f"at byte offset {content.index(0xE9)}" in message
    typed(monkeypatch, b"\xe9\nthe cat.\n")
    message = refused(capsys, "predict", model)
    assert "standard input, line 1: expected text in utf-8, got the byte 0xe9" in message
    assert "--encoding latin-1" in message
    typed(monkeypatch, b"the cat.\n\nthe caf\xe9\n")
    assert main(["predict", model]) == 2
    captured = capsys.readouterr()
    assert "standard input, line 3: expected text in utf-8, got the byte 0xe9" in captured.err
    assert captured.out == written("the cat.", "")
    typed(monkeypatch, "a".encode("utf-16")[:3])
    assert "standard input, line 1: expected text in utf-16, got the byte 0x61" in refused(
        capsys, "predict", model, "--encoding", "utf-16"
    )


def test_files_and_standard_input_are_read_as_those_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    (tmp_path / "a.tsv").write_bytes("".join(f"{a}é\t{b}\n" for a, b in PAIRS).encode("cp1252"))
    taught = Translator(**SMALL, encoding="cp1252").fit(tmp_path / "a.tsv", run=QUICK)
    model = str(taught.save(tmp_path / "m"))
    content = "the caté.\n".encode("cp1252")
    (tmp_path / "in.txt").write_bytes(content)
    wanted = f"{taught.translate('the caté.')}\n"
    assert lines_of(capsys, "predict", model, str(tmp_path / "in.txt")) == wanted
    typed(monkeypatch, content)
    assert lines_of(capsys, "predict", model) == wanted
    typed(monkeypatch, "the caté.\n".encode())
    assert lines_of(capsys, "predict", model, "--encoding", "utf-8") == wanted


def test_what_is_read_is_not_written_over(
    model: str, sentences: str, tmp_path: Path, capsys: Out
) -> None:
    before = Path(sentences).read_bytes()
    (tmp_path / "link").symlink_to(sentences)
    for place in (sentences, str(tmp_path / "link")):
        words = ["predict", model, sentences, "--out", place, "--force"]
        assert "--out is INPUT, which would be lost" in refused(capsys, *words)
    words = ["predict", model, sentences, "--out", f"{model}/config.json", "--force"]
    assert "--out lies in the model's folder" in refused(capsys, *words)
    assert Path(sentences).read_bytes() == before
    assert lines_of(capsys, "predict", model, sentences)


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii", "utf-8"])
def test_json_is_valid_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    print(standard_output.as_json({"text": "Straße 😀"}), flush=True)
    assert json.loads(content.getvalue().decode()) == {"text": "Straße 😀"}
    assert (b"\\u00df" in content.getvalue()) == (encoding != "utf-8")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["in.tsv", "in.jsonl", "in.ndjson.gz"])
def test_of_pairs_the_side_that_the_model_reads_is_translated(
    name: str, reverse: bool, tmp_path: Path, capsys: Out
) -> None:
    taught = Translator(**SMALL, reverse=reverse).fit(PAIRS, run=QUICK)
    model = str(taught.save(tmp_path / "m"))
    rows = [PAIRS[0], ("", ""), *PAIRS[1:3]]
    fields = ("source", "target")
    lines = [json.dumps(dict(zip(fields, row, strict=True))) if row[0] else "" for row in rows]
    if name.endswith(".tsv"):
        lines = ["\t".join(row) if row[0] else "" for row in rows]
    content = "\n".join(lines).encode()
    place = tmp_path / name
    place.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    translated = taught.translate([row[reverse] for row in rows])
    assert translated[1] == ""
    assert lines_of(capsys, "predict", model, str(place)) == "".join(f"{t}\n" for t in translated)


def test_a_field_and_a_column_are_named_where_they_are_missing(
    model: str, tmp_path: Path, capsys: Out
) -> None:
    place = tmp_path / "in.jsonl"
    place.write_text('{"en": "the cat."}\n{"en": "the dog.\\nthe cat."}\n')
    wanted = written("the cat.", "the dog. the cat.")
    assert lines_of(capsys, "predict", model, str(place), "--field", "en") == wanted
    message = refused(capsys, "predict", model, str(place))
    assert "in.jsonl, line 1: there is no field 'source'" in message
    assert "name the fields by --field" in message
    place.write_text('{"source": 3}')
    assert "column 'source': expected text, got 3" in refused(capsys, "predict", model, str(place))
    taught = Translator(**SMALL, reverse=True).fit(PAIRS, run=QUICK)
    other = str(taught.save(tmp_path / "other"))
    (tmp_path / "in.tsv").write_text("a\tb\nc\n")
    message = refused(capsys, "predict", other, str(tmp_path / "in.tsv"))
    assert "in.tsv, line 2: expected text in column 2, got 'c'; put a TAB" in message


def test_translations_that_were_cut_are_counted(model: str, sentences: str, capsys: Out) -> None:
    capsys.readouterr()
    one = ["--max-tokens", "1", "--beam", "1"]
    assert main(["predict", model, sentences, *one]) == 0
    words = "did not end and were cut at the limit; --max-tokens raises it"
    assert capsys.readouterr().err == f"carousel: warning: 5 translations {words}\n"
    assert main(["predict", model, "--text", SOURCES[0], *one]) == 0
    assert "warning: 1 translation did not end and was cut" in capsys.readouterr().err
    assert main(["predict", model, sentences]) == 0
    assert capsys.readouterr().err == ""


REFUSED: list[tuple[list[str], str]] = [
    (["--max-tokens", "0"], "--max-tokens 0 would write nothing; give more, or leave it out"),
    (["--max-tokens=-1"], "'max_tokens' expects a value of tokens, at least 0"),
    (["--beam", "0"], "'beam' expects a value of hypotheses, from 1 to 1000"),
    (["--beam", "1e30"], "'beam' expects a value of hypotheses, from 1 to 1000"),
    (["--max-tokens", "1e30"], "max_tokens expects a whole number from 1 to 1,000,000"),
    (["--text", "a", "--out", "p.png", "--plot", "p.png"], "--plot and --out both name p.png"),
    (["--best", "9"], "'best' expects at most the beam, 5, got 9"),
    (["--no-repeat=-1"], "'no_repeat'"),
    (["--text", "the"], "--text is the text itself, which INPUT is not for; leave one out"),
    (["--json", "--out", "never"], "give one of them"),
    (["--plot", "p.html"], "--plot expects a name ending in .png or .svg, got 'p.html'"),
    (["--plot", "p.png"], "--plot draws one sentence, got several"),
    (["--field", "en"], "--field belongs to a file of JSON lines"),
    (["--encoding", "utf-9"], "no encoding 'utf-9' of text; did you mean"),
    (["--temperature", "1"], "--temperature is for language-modeling, and this is a model for tr"),
    (["--stop", "a"], "--stop is for language-modeling"),
    (["--seed", "1"], "--seed is for language-modeling"),
    (["--score"], "--score is for language-modeling"),
    (["--update"], "--update is for forecasting, and this is a model for translation"),
    (["--future", "f.csv"], "--future is for forecasting"),
    (["--bem", "3"], "--beam"),
    (["--stride", "3"], "--stride"),
]


@pytest.mark.parametrize(("words", "expected"), REFUSED, ids=lambda value: str(value)[:30])
def test_options_are_refused(
    words: list[str],
    expected: str,
    model: str,
    sentences: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, "predict", model, sentences, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "in.txt: there is no such file"),
        (b"", "in.txt: the file is empty"),
        (b"a\0b\n", "in.txt, line 1: expected text in utf-8, got a NUL character"),
        (b"the cat.\n\n" + b"word " * 10_000, "line 3: expected a sentence, got 10,000 words"),
    ],
)
def test_what_is_no_sentences_is_refused(
    content: bytes | None, expected: str, model: str, tmp_path: Path, capsys: Out
) -> None:
    place, out = tmp_path / "in.txt", tmp_path / "out.txt"
    if content is not None:
        place.write_bytes(content)
    out.write_text("mine")
    words = ["predict", model, str(place), "--out", str(out), "--force"]
    assert expected in refused(capsys, *words)
    assert out.read_text() == "mine"


def test_there_is_one_text_and_one_sentence_to_draw(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    plot = ["--plot", str(tmp_path / "p.png")]
    for content in (b"", b"\n", b" \t\n"):
        typed(monkeypatch, content)
        assert "--plot draws one sentence, got none" in refused(capsys, "predict", model, *plot)
    assert "got none" in refused(capsys, "predict", model, "--text", "", *plot)
    message = refused(capsys, "predict", model, "--text", "a", "--encoding", "latin-1")
    assert "--text is the text itself, which --encoding is not for; leave one out" in message
    assert "there is no such file as ''" in refused(capsys, "predict", model, "")
    message = refused(capsys, "predict", model, "--text", "a \udcff b")
    assert "line 1: expected text, got half a surrogate pair" in message
    assert list(tmp_path.iterdir()) == []
