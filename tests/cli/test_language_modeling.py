"""Language modelling from the command line: its verbs, and bad input, which writes nothing."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.small_models import saved_model
from tests.cli.test_waiting import Terminal
from tests.tasks.forecasting.small_data import csv_lines
from tests.tasks.language_modeling.small_texts import DOCUMENTS, OTHER, TEXT
from tests.tasks.test_model_folder import change_config

import carousel
from carousel.cli import main

SMALL = ["--hidden-size", "8", "--embedding-size", "8", "--num-layers", "1", "--bptt", "16"]
QUICK = [*SMALL, "--max-steps", "3", "--batch-size", "4", "--progress", "none"]

Out = pytest.CaptureFixture[str]


def fit(data: Path | str, out: Path, *options: str) -> int:
    return main(["fit", "language-modeling", str(data), "--out", str(out), *QUICK, *options])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text ``a.txt``, the model ``m`` of its characters and ``w`` of its words."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "a.txt").write_text(TEXT)
    assert fit(folder / "a.txt", folder / "m") == 0
    assert fit(folder / "a.txt", folder / "w", "--tokenizer", "words") == 0
    return folder


def lines_of(capsys: Out, *words: str) -> str:
    capsys.readouterr()
    assert main([*words]) == 0
    return capsys.readouterr().out


def refused(capsys: Out, *words: str) -> str:
    capsys.readouterr()
    code = main([*words])
    captured = capsys.readouterr()
    assert code == 2, captured
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return captured.err


def test_fit_says_what_came_of_it(folder: Path, tmp_path: Path, capsys: Out) -> None:
    capsys.readouterr()
    assert fit(folder / "a.txt", tmp_path / "m") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"saved {tmp_path / 'm'} after 3 steps")
    assert f"next: carousel evaluate {tmp_path / 'm'} {folder / 'a.txt'}" in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    words = ["fit", "language-modeling", str(folder / "a.txt"), "--out", str(tmp_path / "n")]
    found = json.loads(lines_of(capsys, *words, *QUICK, "--json"))
    assert (found["model"], found["steps"]) == (str(tmp_path / "n"), 3)
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert names == {
        "README.md", "config.json", "history.jsonl", "lines.safetensors", "model.safetensors",
        "ngrams.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_every_option_of_the_classes_reaches_them(tmp_path: Path) -> None:
    lines = [json.dumps({"body": document}) + "\n" for document in DOCUMENTS]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode("utf-16")))
    (tmp_path / "v.jsonl").write_bytes(lines[0].encode("utf-16"))
    words = ["--tokenizer", "words", "--field", "body", "--encoding", "utf-16", "--vary-bptt=false"]
    words += ["--vocabulary-size", "9", "--min-count", "2", "--tied", "--softmax", "sampled"]
    words += ["--samples", "4", "--holdout", "0.1", "--seed", "7", "--valid"]
    assert fit(tmp_path / "a.jsonl.gz", tmp_path / "m", *words, str(tmp_path / "v.jsonl")) == 0
    model = carousel.load(tmp_path / "m")
    assert (model.options.tokenizer, model.options.field) == ("words", "body")
    assert (model.options.tied, model.options.vary_bptt, model.options.samples) == (True, False, 4)
    assert len(model.tokenizer) == 9
    assert "| run: seed | 7 |" in model.card
    assert "v.jsonl, which chose the weights" in model.card


def test_evaluate_prints_the_report(folder: Path, tmp_path: Path, capsys: Out) -> None:
    model, data = str(folder / "m"), str(folder / "a.txt")
    report = carousel.load(model).evaluate(data)
    assert lines_of(capsys, "evaluate", model, data) == f"{report}\n"
    found = json.loads(lines_of(capsys, "evaluate", model, data, "--json"))
    assert found == report.to_dict()
    words = ["--cache", "--cache-weight", "0.2", "--dynamic", "--dynamic-rate", "0.001"]
    found = json.loads(lines_of(capsys, "evaluate", model, data, *words, "--json"))
    adapted = carousel.load(model).evaluate(
        data, cache=True, cache_weight=0.2, dynamic=True, dynamic_rate=0.001
    )
    assert found == adapted.to_dict()
    for name in ("p.png", "p.svg"):
        lines_of(capsys, "evaluate", model, data, "--plot", str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 5_000
    assert "--force" in refused(capsys, "evaluate", model, data, "--plot", str(tmp_path / "p.png"))
    lines_of(capsys, "evaluate", model, data, "--plot", str(tmp_path / "p.png"), "--force")


@pytest.mark.parametrize("value", ["1.5", "2.9", "1e-3", "nan", "inf", "two"])
def test_no_fraction_is_rounded_to_a_whole_number(
    value: str, folder: Path, tmp_path: Path, capsys: Out
) -> None:
    words = ["fit", "language-modeling", str(folder / "a.txt"), "--out", str(tmp_path / "x")]
    assert main([*words, f"--members={value}"]) == 2
    said = capsys.readouterr().err
    assert "--members" in said
    assert "Traceback" not in said
    assert not (tmp_path / "x").exists()


def test_a_whole_number_may_be_written_as_one_does(folder: Path, capsys: Out) -> None:
    words = ["predict", str(folder / "m"), "the", "--json", "--max-tokens"]
    assert lines_of(capsys, *words, "1e1") == lines_of(capsys, *words, "10")


def test_predict_takes_a_share_of_n_grams(folder: Path, capsys: Out) -> None:
    words = ["predict", str(folder / "m"), "the cat", "--score", "--json"]
    plain, mixed = (
        json.loads(lines_of(capsys, *words, *more)) for more in ([], ["--ngram-weight", "0.4"])
    )
    model = carousel.load(folder / "m")
    assert plain["total"] == pytest.approx(model.score("the cat").total)
    model.ngram_weight = 0.4
    assert mixed["total"] == pytest.approx(model.score("the cat").total) != plain["total"]


def test_json_has_no_infinity(folder: Path, capsys: Out) -> None:
    words = ["--cache", "--cache-weight", "1", "--cache-size", "1", "--json"]
    found = lines_of(capsys, "evaluate", str(folder / "m"), str(folder / "a.txt"), *words)
    assert json.loads(found)["scores"]["this model"]["perplexity"] is None
    assert "Infinity" not in found


def test_at_a_terminal_evaluate_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(["evaluate", str(folder / "m"), str(folder / "a.txt")]) == 0
    assert "tokens" in terminal.getvalue()
    assert "perplexity" in capsys.readouterr().out


def test_predict_writes_on(folder: Path, tmp_path: Path, capsys: Out) -> None:
    path, model = str(folder / "m"), carousel.load(folder / "m")
    wanted = "the cat" + model.generate("the cat", max_tokens=30, seed=5, temperature=0.5)
    words = [
        "predict",
        path,
        "the cat",
        "--max-tokens",
        "30",
        "--seed",
        "5",
        "--temperature",
        "0.5",
    ]
    assert lines_of(capsys, *words) == wanted + "\n"
    found = json.loads(lines_of(capsys, *words, "--json"))
    assert found == {"prompt": "the cat", "text": wanted[7:]}
    assert lines_of(capsys, *words, "--out", str(tmp_path / "any name")) == ""
    assert (tmp_path / "any name").read_text() == wanted + "\n"
    assert "--force" in refused(capsys, *words, "--out", str(tmp_path / "any name"))
    assert lines_of(capsys, *words, "--out", str(tmp_path / "any name"), "--force") == ""
    words[-1] = "6"
    assert lines_of(capsys, *words) != wanted + "\n"


def test_predict_needs_no_prompt_and_stops(folder: Path, capsys: Out) -> None:
    path, model = str(folder / "m"), carousel.load(folder / "m")
    whole = model.generate("", max_tokens=500)
    assert lines_of(capsys, "predict", path) == whole + "\n"
    stops = [whole[100:104], whole[60:63]]
    wanted = model.generate("", stop=stops)
    assert len(wanted) <= 60
    assert lines_of(capsys, "predict", path, "--stop", *stops) == wanted + "\n"


def test_predict_scores(folder: Path, tmp_path: Path, capsys: Out) -> None:
    path, scored = str(folder / "m"), carousel.load(folder / "m").score("the cat")
    assert lines_of(capsys, "predict", path, "the cat", "--score") == f"{scored}\n"
    found = json.loads(lines_of(capsys, "predict", path, "the cat", "--score", "--json"))
    assert found == scored.to_dict()
    words = ["predict", path, "the cat", "--score", "--out", str(tmp_path / "s.txt")]
    assert lines_of(capsys, *words) == ""
    assert (tmp_path / "s.txt").read_text() == f"{scored}\n"
    assert "expected a text to score" in refused(capsys, "predict", path, "--score")


@pytest.mark.parametrize("words", [["--stop", "a"], ["--max-tokens", "3"], ["--top-k", "3"]])
def test_options_of_writing_are_refused_where_nothing_is_written(
    words: list[str], folder: Path, capsys: Out
) -> None:
    assert "--score" in refused(capsys, "predict", str(folder / "m"), "the", "--score", *words)


Make = Callable[[Path], object]


def text(content: str, encoding: str = "utf-8") -> Make:
    return lambda path: path.write_bytes(content.encode(encoding))


def images(path: Path) -> None:
    path.mkdir()
    (path / "a.jpg").write_bytes(b"x")


FIT_CASES: dict[str, tuple[Make, list[str], list[str]]] = {
    "absent": (lambda path: None, [], ["a.txt", "no such file"]),
    "empty": (text(""), [], ["a.txt", "empty"]),
    "one symbol": (text("a" * 500), [], ["a.txt", "repeats one token, 'a'"]),
    "one character": (text("a"), [], ["a.txt", "too short"]),
    "one word": (text("one " * 50), ["--tokenizer", "words"], ["repeats one token, 'one'"]),
    "white space": (text(" \t " * 50), ["--tokenizer", "words"], ["empty"]),
    "no frequent word": (
        text("one two three " * 3),
        ["--tokenizer", "words", "--min-count", "9"],
        ["9 times or more", "lower min_count"],
    ),
    "wrong encoding": (
        text("abc\n" * 30 + "\xe9t\xe9\n", "latin-1"),
        [],
        ["a.txt, line 31", "byte offset 120", "0xe9", "--encoding latin-1"],
    ),
    "UTF-16": (text(TEXT, "utf-16"), [], ["byte offset 0", "--encoding utf-16"]),
    "binary": (
        lambda path: path.write_bytes(b"\x7fELF\x02\x01\x01\0\0\0" * 9),
        [],
        ["a.txt", "NUL", "binary file", "byte offset 7"],
    ),
    "broken gzip": (lambda path: path.write_bytes(b"\x1f\x8bx"), [], ["gzip", "damaged"]),
    "folder without text": (images, [], ["a.jpg", "expected a folder of files that end in"]),
    "empty folder": (lambda path: path.mkdir(), [], ["no file"]),
    "one symbol, as bytes": (text("a" * 600), ["--tokenizer", "bytes"], ["a.txt", "repeats one"]),
    "unknown option": (text(TEXT), ["--tokeniser", "words"], ["--tokenizer"]),
    "option of another task": (text(TEXT), ["--horizon", "3"], ["--horizon"]),
    "unknown choice": (text(TEXT), ["--tokenizer", "letters"], ["letters", "characters"]),
    "unknown encoding": (text(TEXT), ["--encoding", "utf-9"], ["utf-9", "did you mean"]),
    "vocabulary of characters": (
        text(TEXT),
        ["--vocabulary-size", "100"],
        ["'vocabulary_size' is for words and subwords"],
    ),
    "vocabulary of one": (
        text(TEXT),
        ["--tokenizer", "words", "--vocabulary-size", "1"],
        ["vocabulary_size", "at least 4, got 1"],
    ),
    "nothing left": (text(TEXT), ["--validation", "0.5", "--holdout", "0.5"], ["nothing to train"]),
    "validation text that is absent": (text(TEXT), ["--valid", "b.txt"], ["b.txt", "no such file"]),
    "too many columns": (text("ab"), ["--validation", "0", "--holdout", "0"], ["batch_size"]),
    "no such sample": (text(TEXT), [], ["did you mean 'sample:shakespeare'"]),
}


@pytest.mark.parametrize("name", FIT_CASES)
def test_fit_refuses(name: str, tmp_path: Path, capsys: Out) -> None:
    make, options, expected = FIT_CASES[name]
    make(tmp_path / "a.txt")
    before = sorted(tmp_path.rglob("*"))
    data = "sample:shakespere" if name == "no such sample" else str(tmp_path / "a.txt")
    words = ["fit", "language-modeling", data, "--out", str(tmp_path / "m"), *QUICK, *options]
    message = refused(capsys, *words)
    for expectation in expected:
        assert expectation in message, message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_field_that_is_missing_is_named(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "ab"}\n{"txt": "ab"}\n')
    words = ["fit", "language-modeling", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "m")]
    message = refused(capsys, *words, *QUICK)
    assert "a.jsonl, line 2, column 'text'" in message
    assert "did you mean 'txt'" in message
    assert not (tmp_path / "m").exists()


def test_an_existing_model_stays_without_force(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    words = ["fit", "language-modeling", str(folder / "a.txt"), "--out", str(copy), *QUICK]
    assert "--force" in refused(capsys, *words)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    lines_of(capsys, *words, "--force", "--tokenizer", "bytes")
    assert carousel.load(copy).tokenizer.kind == "bytes"
    (copy / "mine.txt").write_text("mine")
    assert "something else" in refused(capsys, *words, "--force")
    assert (copy / "mine.txt").read_text() == "mine"


def test_data_that_evaluate_cannot_score(folder: Path, tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "a.txt").write_text(OTHER + "Quince\n")
    model = str(folder / "m")
    message = refused(capsys, "evaluate", model, str(tmp_path / "a.txt"))
    assert f"{tmp_path / 'a.txt'}, line 21: the model knows no 'Q' (U+0051)" in message
    (tmp_path / "b.txt").write_text(" \n")
    assert "no such file" in refused(capsys, "evaluate", model, str(tmp_path / "c.txt"))
    (tmp_path / "c.txt").write_text("")
    assert "empty" in refused(capsys, "evaluate", model, str(tmp_path / "c.txt"))
    assert "no sample" in refused(capsys, "evaluate", model, "sample:weather")
    plot = ["--plot", str(tmp_path / "p.png")]
    refused(capsys, "evaluate", model, str(tmp_path / "a.txt"), *plot)
    assert not (tmp_path / "p.png").exists()


def test_what_was_all_seen_is_refused(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    assert fit(tmp_path / "a.txt", tmp_path / "m", "--holdout", "0") == 0
    message = refused(capsys, "evaluate", str(tmp_path / "m"), str(tmp_path / "a.txt"))
    assert "the model has seen all of it" in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["the Quay"], "the prompt, line 1: the model knows no 'Q'"),
        (["the", "--stop", ""], "stop expects strings that are not empty"),
        (["the", "--max-tokens=-1"], "'max_tokens' expects a value of tokens, at least 0"),
        (["the", "--temperature", "-1"], "temperature"),
        (["the", "--top-p", "2"], "top_p"),
        (["the", "--seed", "-1"], "seed"),
        (["the", "--temprature", "1"], "--temperature"),
        (["the", "--json", "--out", "never"], "give one of them"),
        (["the", "--plot", "p.png"], "no picture of a text"),
        (["the", "--update"], "--update is for forecasting, and this is a model for language-mode"),
        (["the", "--future", "f.csv"], "--future is for forecasting"),
        (["the", "--dynamic"], "--dynamic"),
    ],
)
def test_predict_refuses(
    words: list[str],
    expected: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Out,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in refused(capsys, "predict", str(folder / "m"), *words)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_refuses_what_is_not_its_own(folder: Path, tmp_path: Path, capsys: Out) -> None:
    model, data = str(folder / "m"), str(folder / "a.txt")
    for words, expected in [
        (["--stride", "2"], "--stride is for forecasting, and this is a model for language-model"),
        (["--dynamic-rate", "0.1"], "'dynamic_rate' belongs to 'dynamic', which is off"),
        (["--cache", "--cache-weight", "2"], "cache_weight"),
        (["--plot", str(tmp_path / "p.html")], "expects a name ending in .png or .svg"),
        (["--temperature", "1"], "--temperature"),
    ]:
        assert expected in refused(capsys, "evaluate", model, data, *words)
    assert list(tmp_path.iterdir()) == []


def test_options_of_language_models_are_refused_for_forecasters(
    tmp_path: Path, capsys: Out
) -> None:
    model = str(saved_model(tmp_path, csv_lines()))
    data = str(tmp_path / "data.csv")
    words = "is for language-modeling, and this is a model for forecasting"
    assert f"--cache {words}" in refused(capsys, "evaluate", model, data, "--cache")
    for option in (["--temperature", "1"], ["--stop", "a"], ["--score"], ["--seed", "0"]):
        assert f"{option[0]} {words}" in refused(capsys, "predict", model, data, *option)


def test_words_that_are_unknown_are_scored_and_told(
    folder: Path, tmp_path: Path, capsys: Out
) -> None:
    (tmp_path / "a.txt").write_text("the dog sat\n")
    found = lines_of(capsys, "evaluate", str(folder / "w"), str(tmp_path / "a.txt"))
    assert "1 word is unknown to the model (25.0%)" in found


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    (copy / "tokenizer.json").write_text("{}")
    for verb in ("evaluate", "predict"):
        assert "tokenizer.json: damaged" in refused(capsys, verb, str(copy), "the")


@pytest.mark.parametrize(
    "words",
    [
        ["--no-vary-bptt"],
        ["--vary-bptt=false"],
    ],
)
def test_what_is_on_by_default_can_be_turned_off(
    words: list[str], folder: Path, tmp_path: Path
) -> None:
    assert fit(folder / "a.txt", tmp_path / "m", *words) == 0
    assert carousel.load(tmp_path / "m").options.vary_bptt is False


def test_a_task_that_is_unknown_has_no_pictures(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    change_config(copy, task="weaving")
    words = ["evaluate", str(copy), "the", "--plot", str(tmp_path / "p.png")]
    assert "weaving" in refused(capsys, *words)


def test_a_prompt_that_is_no_unicode_is_refused(folder: Path, tmp_path: Path, capsys: Out) -> None:
    words = ["predict", str(folder / "w"), "the \udcff", "--out", str(tmp_path / "o.txt")]
    assert "Unicode" in refused(capsys, *words)
