"""Speech recognition from the command line: fit and evaluate; bad input writes nothing."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.cli.test_language_modeling import lines_of, refused
from tests.cli.test_waiting import opened
from tests.tasks.language_modeling.small_texts import small_model
from tests.tasks.speech_recognition.small_recordings import SMALL, spoken
from tests.tasks.speech_recognition.test_fitted import (
    BONUS,
    SCORER,
    Rows,
    fitted,
    manifest,
    ready_recognizer,
    same,
    shared_features,
    shared_rows,
    small_recognizer,
)

import carousel
from carousel.cli import main
from carousel.tasks import resampling
from carousel.tasks.speech_recognition import Recognizer, fitting

SIZES = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
QUICK = [*SIZES, "--max-steps=3", "--batch-size=4", "--progress=none"]
SAMPLE = "sample:spoken-digits"

Out = pytest.CaptureFixture[str]


def fit(out: Path, *words: str) -> int:
    quick = [one for one in QUICK if one.split("=")[0] not in words]
    return main(["fit", "speech-recognition", *words, "--out", str(out), *quick])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings as ``a.tsv``, others by other speakers as ``b.tsv``, and the model ``m``."""
    folder = tmp_path_factory.mktemp("speech")
    manifest(folder / "a.tsv", shared_rows())
    texts = ["a", "ab", "b a", "b", "ba", "a"]
    manifest(folder / "b.tsv", spoken(folder / "b", texts, speakers=["gus", "hal"]))
    small_recognizer().save(folder / "m")
    return folder


@pytest.fixture(autouse=True)
def little_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and resampling take most of the time, and are proved elsewhere."""
    monkeypatch.setattr(fitting, "_SCORERS", (SCORER,))
    monkeypatch.setattr(fitting, "_BONUSES", (BONUS,))
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def test_fit_says_what_came_of_it(folder: Path, tmp_path: Path, capsys: Out) -> None:
    data = str(folder / "a.tsv")
    capsys.readouterr()
    assert fit(tmp_path / "m", data) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"saved {tmp_path / 'm'} after 3 steps")
    assert f"next: carousel evaluate {tmp_path / 'm'} {data}\n" in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        "README.md", "config.json", "history.jsonl", "model.safetensors", "ngrams.safetensors",
        "words.json",
    }  # fmt: skip
    model = carousel.load(tmp_path / "m")
    assert isinstance(model, Recognizer)
    assert same(model, small_recognizer())
    words = ["fit", "speech-recognition", data, "--out", str(tmp_path / "n"), *QUICK, "--ngram=0"]
    found = json.loads(lines_of(capsys, *words, "--json"))
    assert (found["model"], found["steps"]) == (str(tmp_path / "n"), 3)


def test_every_option_of_the_classes_reaches_them(tmp_path: Path) -> None:
    given = [*shared_rows(), {"audio": "gone.wav", "text": "a", "speaker": "gus"}]
    rows = [
        {"wav": row["audio"], "said": row["text"].upper(), "speaker": row["speaker"]}
        for row in given
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode("utf-16")))
    words = ["--audio-field=wav", "--text-field", "said", "--encoding", "utf-16", "--lowercase"]
    words += ["--skip-broken", "--streaming", "--features", "mfcc", "--cepstra", "7"]
    words += ["--rate", "16000", "--subsampling", "3", "--residual=false", "--no-lexicon"]
    words += ["--ngram", "0", "--validation", "0", "--holdout", "0.2", "--seed", "7"]
    assert fit(tmp_path / "m", str(tmp_path / "a.jsonl.gz"), *words) == 0
    model = carousel.load(tmp_path / "m")
    options, parts = model.options, model._ready("look")
    assert (options.audio_field, options.text_field, options.encoding) == ("wav", "said", "utf-16")
    assert (options.lowercase, options.skip_broken, options.streaming) == (True, True, True)
    assert (options.residual, options.lexicon, options.ngram) == (False, False, 0)
    assert (options.validation, options.holdout) == (0.0, 0.2)
    assert (parts.plan.features, parts.plan.cepstra, parts.plan.rate) == ("mfcc", 7, 16_000)
    assert (parts.plan.subsampling, parts.plan.bidirectional) == (3, False)
    assert parts.symbols.characters == " ab"
    assert "| run: seed | 7 |" in model.card
    assert "- 25 recordings; left out: 1 missing audio\n" in model.card


def test_the_sample_is_fitted_and_its_holdout_scored(tmp_path: Path, capsys: Out) -> None:
    assert fit(tmp_path / "m", SAMPLE, "--validation", "0", "--ngram", "0") == 0
    card = carousel.load(tmp_path / "m").card
    assert f"- source: {SAMPLE} (Free Spoken Digit Dataset" in card
    assert "CC-BY-SA-4.0)\n- 600 recordings; left out: none\n" in card
    assert "- training: 500 recordings, " in card
    assert "minutes by 5 speakers\n" in card
    assert "- the words: eight, five, four, nine, one, seven, six, three, two, zero\n" in card
    words = ["evaluate", str(tmp_path / "m"), SAMPLE, "--beam", "1", "--json"]
    found = json.loads(lines_of(capsys, *words))
    assert found["recordings"] == 100
    assert found["scope"] == f"100 recordings of {SAMPLE} that fitting has not heard"
    assert len(found["speakers"]) == 1
    assert list(found["systems"]) == ["this model", "most frequent sentence"]
    # Ten digits, said equally often: who always says one of them is right in a tenth.
    assert found["systems"]["most frequent sentence"]["wer"]["value"] == pytest.approx(90)


def test_further_recordings_may_choose_the_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert fit(tmp_path / "m", str(folder / "a.tsv"), "--valid=~/b.tsv") == 0
    card = Recognizer.load(tmp_path / "m").card
    assert f"- validation: 6 recordings of {folder / 'b.tsv'}, which chose the weights\n" in card
    assert "- training: 20 recordings, " in card


Make = Callable[[Path], str]


def good(folder: Path) -> str:
    return manifest(folder / "a.tsv", shared_rows())


def table(*rows: str, name: str = "a.tsv", header: str = "audio\ttext") -> Make:
    def make(folder: Path) -> str:
        (folder / name).write_bytes("".join(f"{row}\n" for row in (header, *rows)).encode("latin1"))
        return str(folder / name)

    return make


def changed(change: Callable[[Rows], Rows]) -> Make:
    """Writes the recordings, of which copies have been changed."""
    return lambda folder: manifest(folder / "a.tsv", change([{**row} for row in shared_rows()]))


def with_file(name: str, content: bytes) -> Make:
    """Writes the recordings, and one more that has this content."""

    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        more = {"audio": name, "text": "a", "speaker": "ann", "name": "one more"}
        return manifest(folder / "a.tsv", [*shared_rows(), more])

    return make


def with_features(folder: Path) -> str:
    np.save(folder / "x.npy", np.zeros((20, 12), np.float32))
    more = {"audio": "x.npy", "text": "a", "speaker": "ann", "name": "one more"}
    return manifest(folder / "a.tsv", [*shared_rows(), more])


def all_texts(text: str) -> Make:
    return changed(lambda rows: [{**row, "text": text} for row in rows])


FIT_CASES: dict[str, tuple[Make, list[str], list[str]]] = {
    "absent": (lambda folder: str(folder / "a.tsv"), [], ["a.tsv: there is no such file"]),
    "blank": (table(header=""), [], ["a.tsv", "expected recordings, got none"]),
    "header alone": (table(), [], ["a.tsv", "expected recordings, got none; give at least one"]),
    "no header": (table(header="x.wav\ta"), [], ["a.tsv, line 1: there is no column 'audio'"]),
    "misspelt column": (
        table("x.wav\ta", header="audi\ttext"),
        [],
        ["a.tsv, line 1: there is no column 'audio'; did you mean 'audi'?"],
    ),
    "no such column": (good, ["--audio-field", "wav"], ["a.tsv, line 1: there is no column 'wav'"]),
    "missing field": (table("x.wav"), [], ["line 2: expected 2 fields as in the header, got 1"]),
    "no path": (table("\ta"), [], ["line 2, column 'audio': expected the path of an audio file"]),
    "times that are none": (
        table("x.wav\ta\t2\t1", header="audio\ttext\tstart\tend"),
        [],
        ["a.tsv, line 2, column 'end': expected an end behind the start, got 1 and 2"],
    ),
    "text in place of a time": (
        table("x.wav\ta\tsoon", header="audio\ttext\tstart"),
        [],
        ["a.tsv, line 2, column 'start': expected seconds, a number from 0 on, got 'soon'"],
    ),
    "one name for two": (
        table("x.wav\ta\tn", "y.wav\tb\tn", header="audio\ttext\tname"),
        [],
        ["a.tsv, line 3: two recordings are named 'n', the first on line 2"],
    ),
    "wrong encoding": (table("x.wav\té"), [], ["a.tsv, line 2", "0xe9", "--encoding latin-1"]),
    "no JSON": (table(name="a.jsonl"), [], ["a.jsonl, line 1: expected a JSON object on each l"]),
    "another kind of file": (table(name="a.txt"), [], ["expected a name that ends in .tsv, .csv"]),
    "missing audio": (
        table("gone.wav\ta"),
        [],
        ["gone.wav: there is no such file; line 2 of", "give --skip-broken to go on without"],
    ),
    "all audio missing": (
        table("gone.wav\ta", "two.wav\tb"),
        ["--skip-broken"],
        ["all were removed (2 missing audio)", "check the paths"],
    ),
    "broken audio": (with_file("x.wav", b"RIFF not"), [], ["x.wav: libsndfile cannot read it"]),
    "empty audio": (with_file("x.wav", b""), [], ["x.wav: the file is empty"]),
    "sound and features": (
        with_features,
        [],
        ["expected sound or ready features throughout, got both", "x.npy", "divide them"],
    ),
    "no transcript": (all_texts(""), [], ["all were removed (24 empty transcript)"]),
    "endless transcripts": (all_texts("ab" * 40), [], ["long enough for their transcripts"]),
    "too few": (changed(lambda rows: rows[:9]), [], ["expected 10 recordings or more to train"]),
    "one speaker": (
        changed(lambda rows: [{**row, "speaker": "ann"} for row in rows]),
        [],
        ["expected two speakers or more to split", "got 1"],
    ),
    "unknown option": (good, ["--featurs", "mfcc"], ["--features"]),
    "option of another task": (good, ["--horizon", "3"], ["--horizon"]),
    "unknown choice": (good, ["--features", "mel"], ["'mel'", "log_mel, mfcc"]),
    "unknown encoding": (good, ["--encoding", "utf-9"], ["utf-9", "did you mean"]),
    "low rate": (good, ["--rate", "4000"], ["'rate' expects a value of Hz, from 8000 to 48000"]),
    "odd number of cells": (good, ["--hidden-size", "7"], ["'hidden_size'", "even", "give 8"]),
    "nothing left": (good, ["--validation=0.5", "--holdout=0.5"], ["leave nothing to train on"]),
    "one column for both": (good, ["--audio-field", "text"], ["'audio_field' and 'text_field'"]),
    "n-grams without words": (good, ["--no-lexicon"], ["'ngram'", "--ngram 0"]),
    "a stream that knows what comes": (
        good,
        ["--streaming", "--deltas", "1"],
        ["'streaming' hears nothing in advance", "'deltas' = 1", "leave one of them out"],
    ),
    "a stream scaled by its speaker": (
        good,
        ["--streaming", "--scaling", "speaker"],
        ["'streaming' hears nothing in advance", "'speaker'", "leave one of them out"],
    ),
    "filters without a frequency": (good, ["--mel-filters", "128"], ["128 at 8,000 Hz"]),
    "absent validation": (good, ["--valid", "gone.tsv"], ["gone.tsv: there is no such file"]),
    "two kinds of validation": (
        good,
        ["--valid", "gone.tsv", "--validation", "0.1"],
        ["'validation'", "'valid'", "leave one of them out"],
    ),
    "no such sample": (lambda folder: "sample:digits", [], [f"did you mean {SAMPLE!r}"]),
    "sample of another task": (lambda folder: "sample:weather", [], ["no sample for speech-reco"]),
}


@pytest.mark.parametrize("name", FIT_CASES)
def test_fit_refuses(name: str, tmp_path: Path, capsys: Out) -> None:
    make, options, expected = FIT_CASES[name]
    data = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    given = {word.split("=")[0] for word in options if word.startswith("--")}
    quick = [word for word in QUICK if word.split("=")[0] not in given]
    words = ["fit", "speech-recognition", data, "--out", str(tmp_path / "m"), *quick, *options]
    message = refused(capsys, *words)
    for expectation in expected:
        assert expectation in message, message
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_existing_model_stays_without_force(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    words = ["fit", "speech-recognition", str(folder / "a.tsv"), "--out", str(copy), *QUICK]
    words += ["--validation=0", "--holdout=0"]
    assert "--force" in refused(capsys, *words)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    lines_of(capsys, *words, "--force")
    assert "- training: 24 recordings, " in carousel.load(copy).card


def test_evaluate_prints_the_report(folder: Path, capsys: Out) -> None:
    model, data = str(folder / "m"), str(folder / "a.tsv")
    wanted = carousel.load(model).evaluate(data, beam=4, language_weight=0.5, word_bonus=1.0)
    words = ["evaluate", model, data, "--beam", "4", "--language-weight", "0.5"]
    words += ["--word-bonus", "1"]
    found = json.loads(lines_of(capsys, *words, "--json"))
    assert found.pop("seconds") > 0
    plain = json.loads(json.dumps(wanted.to_dict()))
    assert found == {name: value for name, value in plain.items() if name != "seconds"}
    assert found["scope"] == f"4 recordings of {data} that fitting has not heard"
    printed = lines_of(capsys, *words)
    assert printed.startswith(f"{wanted.scope}\n")
    assert printed.endswith(f"{wanted.verdict}\n")


def test_evaluate_leaves_out_what_it_is_told_to(folder: Path, tmp_path: Path, capsys: Out) -> None:
    rows = [{"audio": row["audio"], "text": row["text"]} for row in shared_rows()[:3]]
    data = manifest(tmp_path / "c.tsv", [*rows, {"audio": "gone.wav", "text": "a"}])
    words = ["evaluate", str(folder / "m"), data]
    message = refused(capsys, *words)
    assert f"{tmp_path / 'gone.wav'}: there is no such file; line 5 of {data} names it" in message
    assert "--skip-broken" in message
    found = json.loads(lines_of(capsys, *words, "--skip-broken", "--json"))
    assert found["recordings"] == 3
    assert "1 recordings left out: missing audio." in found["notes"]


def test_evaluate_draws(folder: Path, tmp_path: Path, capsys: Out) -> None:
    words = ["evaluate", str(folder / "m"), str(folder / "b.tsv"), "--beam", "1", "--plot"]
    for name in ("p.png", "p.svg"):
        lines_of(capsys, *words, str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 3_000
    assert ">hal<" in (tmp_path / "p.svg").read_text(encoding="utf-8")
    before = (tmp_path / "p.png").read_bytes()
    assert "--force" in refused(capsys, *words, str(tmp_path / "p.png"))
    assert (tmp_path / "p.png").read_bytes() == before
    lines_of(capsys, *words, str(tmp_path / "p.png"), "--force")


def test_at_a_terminal_evaluate_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = opened(monkeypatch)
    assert main(["evaluate", str(folder / "m"), str(folder / "b.tsv"), "--beam", "1"]) == 0
    assert "6/6" in terminal.getvalue()
    assert "recordings" in terminal.getvalue()


def test_evaluate_refuses(folder: Path, tmp_path: Path, capsys: Out) -> None:
    model, data = str(folder / "m"), str(folder / "b.tsv")
    plot = ["--plot", str(tmp_path / "p.png")]
    features = manifest(tmp_path / "f.tsv", shared_features()[:2])
    before = sorted(tmp_path.iterdir())
    for words, expected in [
        ([data, "--best", "2"], "--best"),
        ([data, "--beam", "0"], "'beam' expects a value, from 1 to 1000, got 0"),
        ([data, "--language-weight=-1"], "'language_weight' expects a value"),
        ([data, "--length-penalty", "1"], "--length-penalty is for translation, and this is a m"),
        ([data, "--stride", "2"], "--stride is for forecasting, and this is a model for speech-r"),
        ([data, "--cache"], "--cache is for language-modeling, and this is a model for speech-re"),
        ([data, "--field", "x"], "--field is for language-modeling"),
        ([data, "--encoding", "utf-8"], "--encoding is for language-modeling"),
        ([data, "--times"], "--times"),
        ([data, "second.tsv"], "a second file is for translation, got 'second.tsv'; leave it out"),
        (["nowhere.tsv"], "nowhere.tsv: there is no such file"),
        (["sample:weather"], "no sample for speech-recognition 'sample:weather'"),
        ([shared_rows()[0]["audio"]], "r000.wav"),  # which is no list of recordings
        ([features], "expected sound, as the model was fitted to, got ready features; give the o"),
    ]:
        assert expected in refused(capsys, "evaluate", model, *words, *plot), words
    html = ["--plot", str(tmp_path / "p.html")]
    assert "ending in .png or .svg" in refused(capsys, "evaluate", model, data, *html)
    assert sorted(tmp_path.iterdir()) == before


def test_what_was_all_heard_is_refused(folder: Path, tmp_path: Path, capsys: Out) -> None:
    model = str(fitted(holdout=0.0, validation=0.0).save(tmp_path / "m"))
    message = refused(capsys, "evaluate", model, str(folder / "a.tsv"))
    assert "the model has heard all of them" in message


def test_options_of_speech_recognition_are_refused_for_other_tasks(
    tmp_path: Path, capsys: Out
) -> None:
    model = str(small_model().save(tmp_path / "m"))
    words = "is for speech-recognition, and this is a model for language-modeling"
    for option in (["--skip-broken"], ["--language-weight", "1"], ["--word-bonus", "1"]):
        assert f"{option[0]} {words}" in refused(capsys, "evaluate", model, "a.txt", *option)
    for option in (["--times"], ["--listen", "8000"], ["--word-bonus", "1"]):
        assert f"{option[0]} {words}" in refused(capsys, "predict", model, "the", *option)


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    (copy / "words.json").write_text("[]")
    for verb in ("evaluate", "predict"):
        assert "words.json: damaged" in refused(capsys, verb, str(copy), str(folder / "b.tsv"))


def test_ready_features_are_scored(tmp_path: Path, capsys: Out) -> None:
    model = str(ready_recognizer().save(tmp_path / "m"))
    data = manifest(tmp_path / "f.tsv", shared_features())
    found = json.loads(lines_of(capsys, "evaluate", model, data, "--beam", "1", "--json"))
    assert found["scope"] == f"2 recordings of {data} that fitting has not heard"
