"""Translation from the command line: fit and evaluate, and bad input, which writes nothing."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.cli.small_models import saved_model
from tests.cli.test_language_modeling import lines_of, refused
from tests.cli.test_waiting import opened
from tests.tasks.forecasting.small_data import csv_lines
from tests.tasks.language_modeling.small_texts import small_model
from tests.tasks.translation.small_translators import (
    OTHER,
    PAIRS,
    Pair,
    small_translator,
    write_two,
)

import carousel
from carousel.cli import main
from carousel.errors import OutputError
from carousel.tasks import resampling
from carousel.tasks.translation import Translator
from carousel.tasks.translation.report import Report

SIZES = {"embedding-size": 8, "hidden-size": 8, "encoder-layers": 1, "decoder-layers": 1}
SIZES |= {"vocabulary-size": 300, "guided-alignment": 0.0}
SMALL = [f"--{name}={value}" for name, value in SIZES.items()]
QUICK = [*SMALL, "--max-steps", "3", "--batch-size", "8", "--progress", "none"]
SAMPLE = "sample:tatoeba-en-de"

Out = pytest.CaptureFixture[str]


def table(pairs: list[Pair]) -> str:
    return "".join(f"{one}\t{other}\n" for one, other in pairs)


def fit(out: Path, *words: str) -> int:
    return main(["fit", "translation", *words, "--out", str(out), *QUICK])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs as ``a.tsv``, others as ``b.tsv``, ``b.en``, ``b.de``, and the model ``m``."""
    folder = tmp_path_factory.mktemp("translation")
    (folder / "a.tsv").write_text(table(PAIRS), encoding="utf-8")
    (folder / "b.tsv").write_text(table(OTHER), encoding="utf-8")
    write_two(folder, OTHER, "b")
    small_translator().save(folder / "m")
    return folder


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling takes most of the time, and is proved in test_scores."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def same(one: Translator, other: Translator) -> bool:
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def test_fit_says_what_came_of_it(folder: Path, tmp_path: Path, capsys: Out) -> None:
    capsys.readouterr()
    one, other = write_two(tmp_path, PAIRS)
    assert fit(tmp_path / "m", one, other) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"saved {tmp_path / 'm'} after 3 steps")
    assert f"next: carousel evaluate {tmp_path / 'm'} {one} {other}\n" in captured.err
    assert fit(tmp_path / "m", one, other, "--holdout", "0", "--force") == 0
    said = capsys.readouterr().err
    assert f"next: carousel evaluate {tmp_path / 'm'} SOURCE TARGET, new to the model\n" in said
    assert fit(tmp_path / "m", one, other, "--holdout", "0", "--reverse", "--force") == 0
    said = capsys.readouterr().err
    assert f"next: carousel evaluate {tmp_path / 'm'} TARGET SOURCE, new to the model\n" in said
    table_path = tmp_path / "a b.tsv"
    table_path.write_text(table(PAIRS), encoding="utf-8")
    assert fit(tmp_path / "m", str(table_path), "--force") == 0
    assert f"next: carousel evaluate {tmp_path / 'm'} '{table_path}'\n" in capsys.readouterr().err
    table_path.unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.de", "a.en", "m"]
    assert {path.name for path in (tmp_path / "m").iterdir()} == {
        "README.md", "config.json", "history.jsonl", "lexicon.json", "model.safetensors",
        "seen.safetensors", "tokenizer.json",
    }  # fmt: skip
    words = ["fit", "translation", str(folder / "a.tsv"), "--out", str(tmp_path / "n"), *QUICK]
    found = json.loads(lines_of(capsys, *words, "--json"))
    assert (found["model"], found["steps"]) == (str(tmp_path / "n"), 3)
    assert same(Translator.load(tmp_path / "m"), small_translator())
    assert same(Translator.load(tmp_path / "n"), small_translator())


def test_json_lines_give_the_same_model(tmp_path: Path) -> None:
    rows = [json.dumps({"en": one, "de": other}) + "\n" for one, other in PAIRS]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("".join(rows).encode()))
    fields = ["--source-field", "en", "--target-field=de"]
    assert fit(tmp_path / "m", str(tmp_path / "a.jsonl.gz"), *fields) == 0
    assert same(Translator.load(tmp_path / "m"), small_translator())


def test_every_option_of_the_classes_reaches_them(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(table(PAIRS), encoding="latin-1")
    words = ["--reverse", "--encoding", "latin-1", "--no-shared-vocabulary", "--members", "2"]
    words += ["--tied=false", "--no-residual", "--attention", "additive", "--input-feeding"]
    words += ["--label-smoothing", "0.5", "--holdout", "0.1", "--seed", "7", "--max-words", "9"]
    assert fit(tmp_path / "m", str(tmp_path / "a.tsv"), *words) == 0
    model = carousel.load(tmp_path / "m")
    options = model.options
    assert (options.reverse, options.encoding, options.members) == (True, "latin-1", 2)
    assert (options.tied, options.residual, options.shared_vocabulary) == (False, False, False)
    assert (options.attention, options.input_feeding) == ("additive", True)
    assert (options.label_smoothing, options.holdout, options.max_words) == (0.5, 0.1, 9)
    assert "| run: seed | 7 |" in model.card
    assert model.translations(["das Kätzchen."])[0].unseen == ""


def test_the_sample_is_fitted_and_its_holdout_scored(tmp_path: Path, capsys: Out) -> None:
    assert fit(tmp_path / "m", SAMPLE, "--holdout", "0.005", "--validation", "0.005") == 0
    card = carousel.load(tmp_path / "m").card
    assert f"- source: {SAMPLE} (tatoeba.org, in the selection of" in card
    assert "(France))\n- 9,205 sentence pairs; left out: " in card
    words = ["evaluate", str(tmp_path / "m"), SAMPLE, "--beam", "1", "--json"]
    found = json.loads(lines_of(capsys, *words))
    about = carousel.load(tmp_path / "m")._ready("look").about
    assert found["sentences"] == about["holdout_pairs"]
    assert (
        found["scope"] == f"{about['holdout_pairs']:,} pairs of {SAMPLE} that fitting has not seen"
    )
    assert list(found["systems"]) == ["this model", "word by word", "copy"]


def test_further_pairs_are_one_file_or_two(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, two = str(folder / "a.tsv"), [str(folder / "b.en"), str(folder / "b.de")]
    assert fit(tmp_path / "one", data, "--valid", str(folder / "b.tsv")) == 0
    assert fit(tmp_path / "two", data, "--valid", *two) == 0
    one, other = (Translator.load(tmp_path / name) for name in ("one", "two"))
    assert same(one, other)
    assert f"- validation: 25 pairs of {folder / 'b.tsv'}, which chose the weights" in one.card
    assert f"- validation: 25 pairs of {two[0]} and {two[1]}, which chose" in other.card
    monkeypatch.setenv("HOME", str(folder))
    assert fit(tmp_path / "home", data, "--valid=~/b.tsv") == 0


def test_blank_lines_are_left_out_and_leave_the_others_aligned(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "a.tsv").write_text("\n" + table(PAIRS).replace("\n", "\n\n", 3), encoding="utf-8")
    assert fit(tmp_path / "t", str(tmp_path / "a.tsv")) == 0
    assert same(Translator.load(tmp_path / "t"), small_translator())
    pairs = [PAIRS[0], ("", ""), *PAIRS[1:], ("", "ein Satz.")]
    assert fit(tmp_path / "m", *write_two(tmp_path, pairs)) == 0
    model = Translator.load(tmp_path / "m")
    assert same(model, small_translator())
    assert "- 102 sentence pairs; left out: 2 empty\n" in model.card
    found = lines_of(capsys, "evaluate", str(tmp_path / "m"), *write_two(tmp_path, pairs), "--json")
    assert json.loads(found)["sentences"] == model._ready("look").about["holdout_pairs"]


Make = Callable[[Path], list[str]]


def one_file(content: bytes | str, name: str = "a.tsv") -> Make:
    def make(folder: Path) -> list[str]:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        return [str(folder / name)]

    return make


def two_files(sources: str, targets: str) -> Make:
    return lambda folder: [
        *one_file(sources, "a.en")(folder),
        *one_file(targets, "a.de")(folder),
    ]


GOOD = one_file(table(PAIRS))
WRONG_BYTE = table(PAIRS[:3]).encode() + b"na\xefve\tnaiv\n"
FIT_CASES: dict[str, tuple[Make, list[str], list[str]]] = {
    "absent": (lambda folder: [str(folder / "a.tsv")], [], ["a.tsv", "no such file"]),
    "empty": (one_file(""), [], ["a.tsv", "empty"]),
    "blank": (one_file("\n\n"), [], ["a.tsv", "expected pairs, got none"]),
    "no pair has two sides": (one_file("a\t\n\tb\n"), [], ["a.tsv", "removed (2 empty)"]),
    "no TAB": (
        one_file(table(PAIRS) + "the cat.\n"),
        [],
        ["a.tsv, line 101", "two columns with a TAB", "'the cat.'", "two aligned files"],
    ),
    "too few": (one_file(table(PAIRS[:9])), [], ["a.tsv", "10 pairs or more", "of 9"]),
    "unequal": (
        two_files("a\nb\nc\n", "a\nb\n"),
        [],
        ["got 3 in", "a.en and 2 in", "a.de", "line k of one belongs to line k of the other"],
    ),
    "one of two is absent": (
        lambda folder: [*one_file("a\n", "a.en")(folder), str(folder / "b.de")],
        [],
        ["b.de: there is no such file"],
    ),
    "wrong encoding": (
        one_file(WRONG_BYTE),
        [],
        ["a.tsv, line 4", f"byte offset {WRONG_BYTE.index(0xEF)}", "0xef", "--encoding latin-1"],
    ),
    "UTF-16": (one_file(table(PAIRS).encode("utf-16")), [], ["a.tsv", "--encoding utf-16"]),
    "binary": (one_file(b"\x7fELF\x02\0\0"), [], ["a.tsv", "NUL", "byte offset 5"]),
    "broken gzip": (one_file(b"\x1f\x8bx"), [], ["a.tsv", "gzip", "damaged"]),
    "no JSON": (one_file('{"source": "a"\n', "a.jsonl"), [], ["a.jsonl, line 1", "JSON object"]),
    "no such field": (
        one_file('{"source": "a", "target": "b"}\n{"sauce": "a", "target": "b"}\n', "a.jsonl"),
        [],
        ["a.jsonl, line 2", "did you mean 'sauce'"],
    ),
    "unknown option": (GOOD, ["--atention", "dot"], ["--attention"]),
    "option of another task": (GOOD, ["--horizon", "3"], ["--horizon"]),
    "unknown choice": (GOOD, ["--attention", "dott"], ["dott", "'dot'"]),
    "unknown encoding": (GOOD, ["--encoding", "utf-9"], ["utf-9", "did you mean"]),
    "dot of two sizes": (
        GOOD,
        ["--hidden-size", "7", "--attention", "dot"],
        ["'encoder_size'", "got 7 and 4", "'general'"],
    ),
    "small vocabulary": (GOOD, ["--vocabulary-size", "100"], ["'vocabulary_size'", "257"]),
    "nothing left": (GOOD, ["--validation", "0.5", "--holdout", "0.5"], ["nothing to train"]),
    "dropout that cannot be": (
        GOOD,
        ["--input-feeding", "--weight-dropout", "0.1"],
        ["'weight_dropout'", "'input_feeding'", "leave one of them out"],
    ),
    "three validation files": (
        GOOD,
        ["--valid", "a", "b", "c"],
        ["--valid expects one file of pairs, or two aligned ones", "'c'"],
    ),
    "no validation file": (GOOD, ["--valid"], ["--valid"]),
    "absent validation file": (GOOD, ["--valid", "b.tsv"], ["b.tsv", "no such file"]),
    "two kinds of validation": (
        GOOD,
        ["--valid", "b.tsv", "--validation", "0.1"],
        ["'validation'", "'valid'", "leave one of them out"],
    ),
    "no such sample": (lambda folder: ["sample:tatoeba"], [], [f"did you mean {SAMPLE!r}"]),
    "sample of another task": (lambda folder: ["sample:weather"], [], ["no sample for translati"]),
}


@pytest.mark.parametrize("name", FIT_CASES)
def test_fit_refuses(name: str, tmp_path: Path, capsys: Out) -> None:
    make, options, expected = FIT_CASES[name]
    data = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    given = {word for word in options if word.startswith("--")}
    quick = [word for word in QUICK if word.split("=")[0] not in given]
    words = ["fit", "translation", *data, "--out", str(tmp_path / "m"), *quick, *options]
    message = refused(capsys, *words)
    for expectation in expected:
        assert expectation in message, message
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_existing_model_stays_without_force(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    words = ["fit", "translation", str(folder / "b.tsv"), "--out", str(copy), *QUICK]
    assert "--force" in refused(capsys, *words)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    lines_of(capsys, *words, "--force")
    assert carousel.load(copy)._ready("look").about["pairs"] == 25


def test_evaluate_prints_the_report(folder: Path, capsys: Out) -> None:
    model, data = str(folder / "m"), str(folder / "a.tsv")
    wanted = carousel.load(model).evaluate(data, beam=2, length_penalty=0.5)
    words = ["evaluate", model, data, "--beam", "2", "--length-penalty", "0.5"]
    found = json.loads(lines_of(capsys, *words, "--json"))
    seconds = found.pop("seconds")
    assert seconds > 0
    assert found == {k: v for k, v in wanted.to_dict().items() if k != "seconds"}
    printed = lines_of(capsys, *words)
    assert printed.startswith(f"{wanted.scope}\n")
    assert printed.endswith(f"{wanted.verdict}\n")
    assert "Translated with beam of 2, length penalty 0.5.\n" in printed


def test_a_report_is_printed_in_any_encoding(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="latin-1"))
    capsys.readouterr()
    assert main(["evaluate", str(folder / "m"), str(folder / "a.tsv"), "--beam", "1"]) == 0
    assert b"\\u2013" in content.getvalue()
    assert capsys.readouterr().err.endswith(
        "carousel: warning: standard output is latin-1, and what that lacks was written as \\u and "
        "a number; set PYTHONIOENCODING=utf-8\n"
    )


def test_evaluate_takes_two_aligned_files(folder: Path, capsys: Out) -> None:
    words = ["--beam", "1", "--json"]
    two = [str(folder / "b.en"), str(folder / "b.de")]
    found = json.loads(lines_of(capsys, "evaluate", str(folder / "m"), *two, *words))
    one = json.loads(lines_of(capsys, "evaluate", str(folder / "m"), str(folder / "b.tsv"), *words))
    assert found["systems"] == one["systems"]
    assert found["scope"] == f"25 pairs of {two[0]} and {two[1]}"


def test_evaluate_says_where_pairs_stand_and_what_words_are(
    folder: Path, tmp_path: Path, capsys: Out
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"en": one, "de": other}) for one, other in OTHER))
    words = ["evaluate", str(folder / "m"), str(path), "--beam", "1", "--json"]
    assert "there is no field 'source'" in refused(capsys, *words)
    words += ["--source-field", "en", "--target-field", "de", "--bleu-tokenizer", "char"]
    found = json.loads(lines_of(capsys, *words))
    assert "tok:char" in found["systems"]["this model"]["bleu"]["signature"]
    assert found["sentences"] == len(OTHER)
    assert "bleu_tokenizer: " in refused(capsys, *words[:-1], "chars")


def test_evaluate_draws(folder: Path, tmp_path: Path, capsys: Out) -> None:
    words = ["evaluate", str(folder / "m"), str(folder / "b.tsv"), "--beam", "1", "--plot"]
    for name in ("p.png", "p.svg"):
        lines_of(capsys, *words, str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 5_000
    before = (tmp_path / "p.png").read_bytes()
    assert "--force" in refused(capsys, *words, str(tmp_path / "p.png"))
    assert (tmp_path / "p.png").read_bytes() == before
    lines_of(capsys, *words, str(tmp_path / "p.png"), "--force")


def test_a_picture_that_cannot_be_written_costs_no_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def fails(self: Report, path: Path) -> Path:
        raise OutputError("the disk is full")

    monkeypatch.setattr(Report, "plot", fails)
    words = ["evaluate", str(folder / "m"), str(folder / "b.tsv"), "--beam", "1"]
    capsys.readouterr()
    assert main([*words, "--plot", str(tmp_path / "p.png")]) == 2
    captured = capsys.readouterr()
    assert "Perplexity of a target token" in captured.out
    assert "the disk is full" in captured.err


def test_at_a_terminal_evaluate_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = opened(monkeypatch)
    assert main(["evaluate", str(folder / "m"), str(folder / "b.tsv"), "--beam", "1"]) == 0
    assert "25/25" in terminal.getvalue()
    assert "sentences" in terminal.getvalue()


def test_evaluate_refuses(folder: Path, tmp_path: Path, capsys: Out) -> None:
    model, data = str(folder / "m"), str(folder / "b.tsv")
    plot = ["--plot", str(tmp_path / "p.png")]
    long = one_file("a\tb\n" + "word " * 10_000 + "\tb\n", "long.tsv")(tmp_path)
    before = sorted(tmp_path.iterdir())
    for words, expected in [
        ([data, "--best", "2"], "--best"),
        ([data, "--beam", "0"], "'beam' expects a value of hypotheses, from 1 to 1000"),
        ([data, "--stride", "2"], "--stride is for forecasting, and this is a model for transl"),
        ([data, "--cache"], "--cache is for language-modeling, and this is a model for transla"),
        ([data, "--field", "x"], "--field is for language-modeling"),
        ([data, "--max-tokens", "3"], "--max-tokens"),
        ([data, "--encoding", "utf-9"], "no encoding 'utf-9'"),
        ([data, "--encoding", "utf-16"], "b.tsv"),
        ([data, "nowhere.de"], "nowhere.de: there is no such file"),
        ([str(folder / "b.en"), data, "third"], "third"),
        ([str(folder / "b.en"), str(folder / "a.tsv")], "got 25 in"),
        ([str(folder / "b.en")], "b.en, line 1: expected two columns with a TAB"),
        (["sample:weather"], "no sample for translation"),
        (long, "long.tsv, line 2: expected a sentence, got 10,000 words"),
    ]:
        assert expected in refused(capsys, "evaluate", model, *words, *plot), words
    html = ["--plot", str(tmp_path / "p.html")]
    assert "ending in .png or .svg" in refused(capsys, "evaluate", model, data, *html)
    assert sorted(tmp_path.iterdir()) == before


def test_what_was_all_seen_is_refused(folder: Path, tmp_path: Path, capsys: Out) -> None:
    data = str(folder / "b.tsv")
    assert fit(tmp_path / "m", data, "--holdout", "0") == 0
    assert "the model has seen all of them" in refused(
        capsys, "evaluate", str(tmp_path / "m"), data
    )


def test_a_second_file_and_options_of_translation_are_refused_for_other_tasks(
    folder: Path, tmp_path: Path, capsys: Out
) -> None:
    text = str(small_model().save(tmp_path / "text"))
    rows = str(saved_model(tmp_path, csv_lines()))
    for model, data in ((text, str(folder / "b.en")), (rows, str(tmp_path / "data.csv"))):
        message = refused(capsys, "evaluate", model, data, str(folder / "b.de"))
        assert "a second file is for translation, got" in message
        message = refused(capsys, "evaluate", model, data, "--beam", "3")
        assert "--beam is for translation, and this is a model for" in message
        message = refused(capsys, "predict", model, data, "--text", "the")
        assert "--text is for translation, and this is a model for" in message


def test_a_damaged_model_is_refused(folder: Path, tmp_path: Path, capsys: Out) -> None:
    copy = shutil.copytree(folder / "m", tmp_path / "m")
    (copy / "lexicon.json").write_text("{}")
    for words in (["evaluate", str(copy), str(folder / "b.tsv")], ["predict", str(copy), "-"]):
        assert "lexicon.json: damaged" in refused(capsys, *words)
