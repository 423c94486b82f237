"""``carousel predict`` with a recogniser: files or a microphone in, transcripts out.

Most of it with one whose weights are made by hand, so that it hears an "a" wherever it is loud.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.cli.standard_input import typed
from tests.cli.test_language_modeling import lines_of, refused
from tests.cli.test_waiting import Terminal, opened
from tests.tasks.language_modeling.small_texts import fitted as language_model
from tests.tasks.speech_recognition.small_recordings import WORDS
from tests.tasks.speech_recognition.test_fitted import (
    keen_recognizer,
    ready_recognizer,
    shared_features,
    shared_rows,
    small_recognizer,
)

import carousel
from carousel.cli import main
from carousel.tasks.speech_recognition import Recognizer, Transcript

RATE = 8000
NEAR = 0.045  # seconds: a step has 0.02, and looks at 0.025 around its frame

Out = pytest.CaptureFixture[str]


def loud(*spans: tuple[float, float], seconds: float) -> np.ndarray:
    """Returns samples (N,) of 16 bits, silent but for noise from and to these seconds."""
    samples = np.zeros(round(seconds * RATE), "<i2")
    rng = np.random.default_rng(1)
    for begin, end in spans:
        place = slice(round(begin * RATE), round(end * RATE))
        samples[place] = rng.integers(-9_000, 9_000, place.stop - place.start)
    return samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models ``m`` and ``keen``, and sounds in ``s``."""
    folder = tmp_path_factory.mktemp("speech")
    small_recognizer().save(folder / "m")
    keen_recognizer().save(folder / "keen")
    (folder / "s" / "inner").mkdir(parents=True)
    one, two = loud((0.3, 0.6), seconds=0.9), loud((0.5, 1.1), seconds=1.3)
    soundfile.write(folder / "s" / "one.wav", one, RATE, subtype="PCM_16")
    soundfile.write(folder / "s" / "two.FLAC", two, RATE, subtype="PCM_16", format="FLAC")
    soundfile.write(folder / "s" / "inner" / "deep.wav", one, RATE, subtype="PCM_16")
    (folder / "s" / "notes.txt").write_text("no sound")
    return folder


Predicted = Callable[..., str]


@pytest.fixture
def predicted(folder: Path, capsys: Out) -> Predicted:
    """What ``predict`` prints with the recogniser that hears what is loud."""
    return lambda *words: lines_of(capsys, "predict", str(folder / "keen"), *words)


def test_a_file_is_transcribed(folder: Path, predicted: Predicted) -> None:
    path = str(folder / "s" / "one.wav")
    assert predicted(path) == "a\n"
    wanted = carousel.load(folder / "keen").transcribe(path)
    found = json.loads(predicted(path, "--json"))
    assert found == {"audio": path, **wanted.to_dict()}
    assert found["seconds"] == pytest.approx(0.9)


def test_words_have_their_times(folder: Path, predicted: Predicted) -> None:
    for name, begin, end in (("one.wav", 0.3, 0.6), ("two.FLAC", 0.5, 1.1)):
        (line,) = predicted(str(folder / "s" / name), "--times").splitlines()
        first, last, sure, word = line.split("\t")
        assert word == "a"
        assert (float(first), float(last)) == pytest.approx((begin, end), abs=NEAR)
        assert [len(cell.split(".")[1]) for cell in (first, last, sure)] == [2, 2, 3]
        assert 0.9 < float(sure) <= 1


def test_silence_is_an_empty_line(tmp_path: Path, predicted: Predicted) -> None:
    soundfile.write(tmp_path / "x.wav", loud(seconds=0.5), RATE, subtype="PCM_16")
    assert predicted(str(tmp_path / "x.wav")) == "\n"
    assert json.loads(predicted(str(tmp_path / "x.wav"), "--json"))["words"] == []


def test_each_file_of_a_folder_has_its_line(folder: Path, predicted: Predicted) -> None:
    one, two = str(folder / "s" / "one.wav"), str(folder / "s" / "two.FLAC")
    assert predicted(str(folder / "s")) == f"{one}\ta\n{two}\ta\n"
    found = [json.loads(line) for line in predicted(str(folder / "s"), "--json").splitlines()]
    assert [each["audio"] for each in found] == [one, two]
    assert [each["seconds"] for each in found] == pytest.approx([0.9, 1.3])
    times = [line.split("\t") for line in predicted(str(folder / "s"), "--times").splitlines()]
    assert [cells[0] for cells in times] == [one, two]
    assert [cells[-1] for cells in times] == ["a", "a"]
    assert predicted(str(folder / "s" / "inner")) == "a\n"  # of a single file: no name


def test_a_list_of_files_may_come_in_on_standard_input(
    folder: Path, predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = str(folder / "s" / "one.wav"), str(folder / "s" / "two.FLAC")
    typed(monkeypatch, f"{two}\n\n  {one} \r\n{two}".encode())
    assert predicted("-") == f"{two}\ta\n{one}\ta\n{two}\ta\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no text")
def test_a_name_may_be_no_text(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    Path(os.fsdecode(name)).write_bytes((folder / "s" / "one.wav").read_bytes())
    out = tmp_path / "out.txt"
    typed(monkeypatch, name + b"\n" + name)
    lines_of(capsys, "predict", str(folder / "keen"), "-", "--out", str(out))
    assert out.read_bytes() == 2 * (name + b"\ta\n")
    typed(monkeypatch, name + b"\n" + name)
    assert lines_of(capsys, "predict", str(folder / "keen"), "-").count("caf\\udce9.wav\ta\n") == 2


def test_home_is_meant_by_its_sign(
    folder: Path, predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder / "s"))
    assert predicted("~/one.wav") == "a\n"


def test_a_file_gets_what_is_printed(
    folder: Path, tmp_path: Path, predicted: Predicted, capsys: Out
) -> None:
    out = tmp_path / "any name"
    words = ["predict", str(folder / "keen"), str(folder / "s"), "--out", str(out)]
    capsys.readouterr()
    assert main(words) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"wrote 2 transcripts to {out}\n")
    assert out.read_text(encoding="utf-8") == predicted(str(folder / "s"))
    out.write_text("mine")
    assert "--force" in refused(capsys, *words)
    assert out.read_text() == "mine"
    assert lines_of(capsys, *words, "--force") == ""
    assert out.read_text() != "mine"


def test_a_terminal_is_shown_how_much_is_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = opened(monkeypatch)
    words = ["predict", str(folder / "keen"), str(folder / "s"), "--out", str(tmp_path / "o")]
    assert main(words) == 0
    assert "2/2" in terminal.getvalue()
    assert "recordings" in terminal.getvalue()


def test_the_search_is_as_its_options_say(folder: Path, capsys: Out) -> None:
    """With the recogniser that has learned next to nothing, and so is sure of nothing."""
    path = shared_rows()[2]["audio"]
    words = ["predict", str(folder / "m"), path, "--beam", "12", "--best", "12"]
    words += ["--language-weight", "0.3", "--word-bonus=-0.5"]
    wanted = small_recognizer().transcribe(
        path, beam=12, best=12, language_weight=0.3, word_bonus=-0.5
    )
    assert wanted.others
    lines = "".join(f"{each}\n" for each in (wanted, *wanted.others))
    assert lines_of(capsys, *words) == lines

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(lines_of(capsys, *words, "--json"), parse_constant=refuse)
    assert [one["text"] for one in found["others"]] == [one.text for one in wanted.others]


def test_a_language_model_scores_the_words(folder: Path, tmp_path: Path, capsys: Out) -> None:
    text = "".join(f"{one} {other}\n" for one in WORDS for other in WORDS) * 4
    language = language_model([text], tokenizer="words", validation=0.0, holdout=0.0)
    place = str(language.save(tmp_path / "language"))
    path = shared_rows()[2]["audio"]
    told: dict[str, Any] = {"beam": 12, "best": 12, "language_weight": 2.0}
    wanted = small_recognizer().transcribe(path, language_model=place, **told)
    assert wanted.score != small_recognizer().transcribe(path, **told).score
    words = ["predict", str(folder / "m"), path, "--beam", "12", "--best", "12"]
    words += ["--language-weight", "2", "--json", "--language-model"]
    assert json.loads(lines_of(capsys, *words, place)) == {"audio": path, **wanted.to_dict()}
    assert "m: expected a model for language-modeling" in refused(capsys, *words, str(folder / "m"))
    assert "no such" in refused(capsys, *words, str(tmp_path / "nothing"))


def test_ready_features_are_transcribed(tmp_path: Path, capsys: Out) -> None:
    model = str(ready_recognizer().save(tmp_path / "m"))
    path = shared_features()[0]["audio"]
    wanted = ready_recognizer().transcribe(path)
    assert json.loads(lines_of(capsys, "predict", model, path, "--json")) == {
        "audio": path, **wanted.to_dict(),
    }  # fmt: skip
    message = refused(capsys, "predict", model, "--listen", "8000")
    assert "reads both ways and needs the whole recording; fit one with streaming=True" in message


def test_a_person_gets_each_utterance_back(folder: Path) -> None:
    """Also while the program still waits for the next sound."""
    command = [sys.executable, "-m", "carousel", "predict", str(folder / "keen")]
    command += ["--listen", str(RATE), "--json"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        stop = threading.Timer(120, process.kill)  # rather than wait for a line without end
        stop.start()
        try:
            process.stdin.write(loud((0.3, 0.6), seconds=2.2).tobytes())
            process.stdin.flush()
            first = json.loads(process.stdout.readline())
            process.stdin.write(loud((0.4, 0.8), seconds=1.0).tobytes() + b"\1")  # half a sample
            process.stdin.close()
            second = json.loads(process.stdout.readline())
            assert process.stdout.read() == b""
            assert b"Traceback" not in process.stderr.read()
            assert process.wait() == 0
        finally:
            stop.cancel()
    for found in (first, second):
        assert (found["audio"], found["text"]) == ("-", "a")
    (word,) = first["words"]
    assert 0.9 < word["confidence"] <= 1
    assert (word["begin"], word["end"]) == pytest.approx((0.3, 0.6), abs=NEAR)
    # Where the utterance ended: once 0.8 s of silence had been read, a tenth and a block later.
    assert 0.6 + 0.8 < first["seconds"] < 2.2


def piped(monkeypatch: pytest.MonkeyPatch, samples: np.ndarray, sizes: tuple[int, ...]) -> None:
    """Lets descriptor 0 give samples in pieces of so many bytes."""
    left, turns, real = samples.tobytes(), itertools.cycle(sizes), os.read

    def read(descriptor: int, length: int) -> bytes:
        nonlocal left
        if descriptor != 0:
            return real(descriptor, length)
        size = min(length, next(turns))
        piece, left = left[:size], left[size:]
        return piece

    monkeypatch.setattr(os, "read", read)


def test_what_is_heard_does_not_depend_on_the_pieces(
    predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = loud((0.3, 0.6), (2.4, 2.7), seconds=2.9)
    piped(monkeypatch, samples, (1, 777, 3, 1599))
    assert predicted("--listen", str(RATE)) == "a\na\n"
    piped(monkeypatch, samples, (1600,))
    lines = predicted("--listen", str(RATE), "--times").splitlines()
    assert [line.split("\t")[-1] for line in lines] == ["a", "a"]
    assert float(lines[0].split("\t")[0]) == pytest.approx(0.3, abs=NEAR)


def test_nothing_is_written_where_nothing_is_said(
    predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for samples in (loud(seconds=3.0), loud(seconds=0.0)):
        piped(monkeypatch, samples, (1600,))
        assert predicted("--listen", str(RATE)) == ""


def test_at_a_terminal_words_are_shown_while_they_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    piped(monkeypatch, loud((0.3, 0.6), seconds=1.0), (1600,))
    assert main(["predict", str(folder / "keen"), "--listen", str(RATE)]) == 0
    begin = "\r\x1b[K"  # to the line's beginning, and wipe it
    *partial, last = terminal.getvalue().split(begin)
    assert set(partial) == {"", "a"}
    assert last == "a\n"


class Gone(io.StringIO):
    """A reader that has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_where_the_reader_has_left_no_more_is_transcribed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = Recognizer.transcribe

    def seen(self: Recognizer, sound: str, **values: Any) -> Transcript:
        asked.append(sound)
        return real(self, sound, **values)

    monkeypatch.setattr(Recognizer, "transcribe", seen)
    monkeypatch.setattr(sys, "stdout", Gone())
    assert main(["predict", str(folder / "keen"), str(folder / "s")]) == 0
    assert asked == [str(folder / "s" / "one.wav")]
    piped(monkeypatch, loud((0.3, 0.6), (2.4, 2.7), seconds=2.9), (1600,))
    assert main(["predict", str(folder / "keen"), "--listen", str(RATE)]) == 0
    assert os.read(0, 1)  # what it did not ask for


REFUSED: list[tuple[list[str], str]] = [
    ([], "needs INPUT: an audio file, a folder of them, or - for a list of files"),
    (["missing.wav"], "missing.wav: there is no such file; check the path"),
    (["empty.wav"], "empty.wav: the file is empty"),
    (["broken.wav"], "broken.wav: libsndfile cannot read it"),
    (["f.npy"], "f.npy: libsndfile cannot read it"),
    (["nothing"], "nothing: expected a folder with audio files (.wav, .flac,"),
    (["one.wav", "--json", "--times"], "--json has the times of all words; leave --times out"),
    (["one.wav", "--json", "--out", "never"], "give one of them"),
    (["one.wav", "--plot", "p.png"], "--plot: there is no picture of a text; leave it out"),
    (["one.wav", "--beam", "0"], "'beam' expects a value, from 1 to 1000, got 0"),
    (["one.wav", "--best", "17"], "'best' expects at most the beam, 16, got 17; widen it"),
    (["one.wav", "--language-weight=-1"], "'language_weight' expects a value, from 0.0 to 100.0"),
    (["one.wav", "--word-bonus", "101"], "'word_bonus' expects a value of nats, from -100.0 to"),
    (["one.wav", "--listen", "8000"], "so that INPUT would do nothing; leave it out"),
    (["--listen", "8000", "--out", "never"], "so that --out would do nothing; leave it out"),
    (["--listen", "4000"], "'listen' expects a value of Hz, from 8000 to 192000, got 4000"),
    (["--listen", "loud"], "--listen"),
    (["one.wav", "--text", "the"], "--text is for translation, and this is a model for speech-re"),
    (["one.wav", "--length-penalty", "1"], "--length-penalty is for translation, and this is"),
    (["one.wav", "--encoding", "utf-8"], "--encoding is for translation, and this is a model fo"),
    (["one.wav", "--max-tokens", "3"], "--max-tokens is for language-modeling, and this is a mo"),
    (["one.wav", "--temperature", "1"], "--temperature is for language-modeling, and this is"),
    (["one.wav", "--seed", "1"], "--seed is for language-modeling"),
    (["one.wav", "--update"], "--update is for forecasting, and this is a model for speech-reco"),
    (["one.wav", "--future", "f.csv"], "--future is for forecasting"),
    (["one.wav", "--skip-broken"], "--skip-broken"),
    (["one.wav", "--tims"], "--times"),
    (["one.wav", "two.wav"], "two.wav"),
]


@pytest.mark.parametrize(("words", "expected"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_transcribed_is_refused(
    words: list[str],
    expected: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:
    soundfile.write(tmp_path / "one.wav", loud(seconds=0.2), RATE, subtype="PCM_16")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing of it")
    np.save(tmp_path / "f.npy", np.zeros((20, 12), np.float32))
    (tmp_path / "nothing").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, "predict", str(folder / "keen"), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_list_without_files_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    for content in (b"", b"\n \n"):
        typed(monkeypatch, content)
        message = refused(capsys, "predict", str(folder / "keen"), "-")
        assert "standard input names no file; give one a line" in message


def test_standard_input_that_is_closed_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refused(capsys, "predict", str(folder / "keen"), "-")


def test_what_was_there_stays_where_a_file_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    out = tmp_path / "out.txt"
    out.write_text("mine")
    one, gone = folder / "s" / "one.wav", tmp_path / "gone.wav"
    typed(monkeypatch, f"{one}\n{gone}\n".encode())
    words = ["predict", str(folder / "keen"), "-", "--out", str(out), "--force"]
    assert f"{gone}: there is no such file" in refused(capsys, *words)
    assert out.read_text() == "mine"


def test_only_a_streaming_model_listens(folder: Path, capsys: Out) -> None:
    message = refused(capsys, "predict", str(folder / "m"), "--listen", "8000")
    assert "reads both ways and needs the whole recording; fit one with streaming=True" in message
    assert "(--streaming)" in message
