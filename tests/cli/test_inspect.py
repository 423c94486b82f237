"""``carousel inspect``: what a model of each task does with an input, and bad input in time."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
from tests.cli.small_models import saved_model
from tests.cli.standard_input import typed
from tests.cli.test_language_modeling import lines_of, refused
from tests.cli.test_waiting import Terminal
from tests.tasks.forecasting.small_data import csv_lines
from tests.tasks.language_modeling.small_texts import TEXT, small_model
from tests.tasks.speech_recognition.test_fitted import shared_rows, small_recognizer
from tests.tasks.translation.small_translators import PAIRS, small_translator

import carousel
from carousel.cli import main
from carousel.inspection.inspection import Inspection
from carousel.inspection.page import page_bytes

Out = pytest.CaptureFixture[str]

TASKS = ("forecasting", "language-modeling", "translation", "speech-recognition")
BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml"}


@dataclass(frozen=True)
class Case:
    """A saved model of a task, and two inputs for it."""

    model: str
    input: str
    other: str

    def seen(self, input: str | None = None, **values: Any) -> Inspection:
        """What the verb is to show."""
        found: Inspection = carousel.load(self.model).inspect(input or self.input, **values)
        return found


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("models")
    saved_model(folder, csv_lines())
    (folder / "other.csv").write_text("\n".join(csv_lines()[:60]) + "\n")
    small_model().save(folder / "text")
    small_translator().save(folder / "pairs")
    small_recognizer().save(folder / "sound")
    rows = shared_rows()
    return {
        "forecasting": Case(str(folder / "m"), str(folder / "data.csv"), str(folder / "other.csv")),
        "language-modeling": Case(str(folder / "text"), TEXT[:40], TEXT[40:70]),
        "translation": Case(str(folder / "pairs"), PAIRS[0][0], PAIRS[1][0]),
        "speech-recognition": Case(str(folder / "sound"), rows[0]["audio"], rows[1]["audio"]),
    }


@pytest.fixture
def text(cases: dict[str, Case]) -> Case:
    return cases["language-modeling"]


@pytest.mark.parametrize("task", TASKS)
def test_the_summary_is_printed_and_what_else_there_is(
    task: str, cases: dict[str, Case], capsys: Out
) -> None:
    case = cases[task]
    capsys.readouterr()
    assert main(["inspect", case.model, case.input]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{case.seen().summary()}\n"
    assert captured.err == (
        "carousel: --out PAGE.html writes a page that shows every value, --plot FIGURE.png a "
        "figure\n"
    )


@pytest.mark.parametrize("task", TASKS)
def test_everything_is_written_where_it_is_asked_for(
    task: str, cases: dict[str, Case], tmp_path: Path, capsys: Out
) -> None:
    case = cases[task]
    words = [f"--{name}={tmp_path / file}" for name, file in (
        ("out", "a.html"), ("plot", "a.svg"), ("csv", "a.csv")
    )]  # fmt: skip
    capsys.readouterr()
    assert main(["inspect", case.model, case.input, "--against", case.other, *words]) == 0
    captured = capsys.readouterr()
    found = case.seen()
    assert captured.out == f"{found.summary()}\n"
    assert (tmp_path / "a.html").read_bytes() == page_bytes(found, case.seen(case.other))
    assert (tmp_path / "a.svg").read_bytes().startswith(BEGINS[".svg"])
    frame = found.to_polars()
    read = pl.read_csv(tmp_path / "a.csv", schema=frame.schema)
    # Ends of line and blanks are names here, which a reader may take for nothing.
    assert read.drop("name").equals(frame.drop("name"))
    told = captured.err.splitlines()
    assert told == [
        f"wrote the page {tmp_path / 'a.html'}",
        f"wrote the figure {tmp_path / 'a.svg'}",
        f"wrote {len(frame):,} rows to {tmp_path / 'a.csv'}",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.html", "a.svg"]


@pytest.mark.parametrize("task", TASKS)
def test_json_is_the_numbers(task: str, cases: dict[str, Case], capsys: Out) -> None:
    case = cases[task]
    printed = json.loads(lines_of(capsys, "inspect", case.model, case.input, "--json", "--flow"))
    assert printed == case.seen().with_gradients().to_dict()
    assert {one["layer"] for one in printed["gradients"]} == set(printed["layers"])


def test_the_rows_that_a_forecaster_knows_need_no_input(
    cases: dict[str, Case], capsys: Out
) -> None:
    case = cases["forecasting"]
    told = lines_of(capsys, "inspect", case.model)
    assert told == f"{carousel.load(case.model).inspect().summary()}\n"


@pytest.mark.parametrize("task", ["language-modeling", "translation"])
def test_a_text_may_come_from_standard_input(
    task: str, cases: dict[str, Case], capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases[task]
    for end in ("", "\n"):  # as echo ends a line
        for mark in ("", "\ufeff"):
            typed(monkeypatch, (mark + case.input + end).encode())
            assert lines_of(capsys, "inspect", case.model, "-") == f"{case.seen().summary()}\n"
    typed(monkeypatch, b"the caf\xe9\n")
    message = refused(capsys, "inspect", case.model, "-")
    assert "standard input, line 1: expected text in utf-8, got the byte 0xe9" in message
    monkeypatch.setattr("sys.stdin", None)
    assert "standard input is closed" in refused(capsys, "inspect", case.model, "-")


def test_one_layer_is_one_layer_everywhere(text: Case, tmp_path: Path, capsys: Out) -> None:
    found = text.seen()
    name = next(iter(found.layers))
    words = ["--layer", name, f"--csv={tmp_path / 'a.csv'}", f"--plot={tmp_path / 'a.svg'}"]
    told = lines_of(capsys, "inspect", text.model, text.input, *words, "--draw", "saturation")
    assert told == f"{found.summary([name])}\n"
    assert set(pl.read_csv(tmp_path / "a.csv")["layer"]) == {name}
    # Attention is of no layer, and what is printed is.
    lines_of(capsys, "inspect", text.model, text.input, "--layer", name, "--json")


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ([], "Memory cell c of 8 units, longest half-life on top"),
        (["--quantity=f", "--order=number"], "Forget gate f of 8 units, in the order of their"),
        (["--unit=3", "--quantity=h", "--steps", "2", "20"], "Hidden state h of unit 3"),
        (["--draw=half-lives"], "How long the memory cells keep what they hold"),
        (["--draw=gradients", "--flow"], "How far back gradients reach"),
        (["--draw=attribution", "--explain=occlusion"], "log-probability of"),
    ],
)
def test_the_figure_is_the_one_that_was_asked_for(
    words: list[str], title: str, text: Case, tmp_path: Path, capsys: Out
) -> None:
    lines_of(capsys, "inspect", text.model, text.input, f"--plot={tmp_path / 'a.svg'}", *words)
    assert title in (tmp_path / "a.svg").read_text("utf-8")


def test_attention_is_drawn_of_a_translator(
    cases: dict[str, Case], tmp_path: Path, capsys: Out
) -> None:
    case = cases["translation"]
    words = [f"--plot={tmp_path / 'a.png'}", "--draw=attention", "--layer"]
    lines_of(capsys, "inspect", case.model, case.input, *words, next(iter(case.seen().layers)))
    assert (tmp_path / "a.png").read_bytes().startswith(BEGINS[".png"])


@pytest.mark.parametrize(
    ("task", "values"),
    [
        ("forecasting", {"ahead": 2, "series": "a"}),
        ("language-modeling", {"step": 3, "max_tokens": 9}),
        ("translation", {"step": 0, "target": "das"}),
        ("speech-recognition", {"step": 2, "start": 0.05}),
    ],
    ids=TASKS,
)
def test_options_of_a_task_reach_its_model(
    task: str, values: dict[str, Any], cases: dict[str, Case], capsys: Out
) -> None:
    case, values = cases[task], {"explain": "both", **values}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    told = json.loads(lines_of(capsys, "inspect", case.model, case.input, "--json", *words))
    assert told == case.seen(**values).to_dict()
    assert len(told["attributions"]) == 2


def test_a_terminal_is_told_in_colours_that_its_user_may_refuse(
    text: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = text.seen().summary()
    for environment, coloured in (
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        terminal = Terminal()
        monkeypatch.setattr("sys.stdout", terminal)
        assert main(["inspect", text.model, text.input]) == 0
        shown = terminal.getvalue()
        assert ("\x1b" in shown) == coloured
        assert re.sub("\x1b\\[[0-9;]*m", "", shown) == f"{plain}\n"


NEVER: dict[str, tuple[list[str], str]] = {
    "unknown quantity": (["--plot=a.png", "--quantity=x"], "known: f, i, g, o, c, h"),
    "unknown order": (["--plot=a.png", "--order=life"], "did you mean 'half-life'"),
    "unknown figure": (["--plot=a.png", "--draw=heatmap"], "did you mean 'heat-map'"),
    "a unit below none": (["--plot=a.png", "--unit=-1"], "at least 0"),
    "no number": (["--plot=a.png", "--unit=three"], "three"),
    "one end of steps": (["--plot=a.png", "--steps", "3"], "a begin and a later end"),
    "an order of one unit": (["--plot=a.png", "--unit=1", "--order=number"], "'order' does noth"),
    "a figure that is not drawn": (["--quantity=f"], "--plot FIGURE.png, or leave --quantity out"),
    "gradients without any": (["--plot=a.png", "--draw=gradients"], "give --flow too"),
    "attribution without any": (["--plot=a.png", "--draw=attribution"], "give --explain too"),
    "a page that is none": (["--out=a.png"], "--out expects a name ending in .html, got 'a.png'"),
    "a figure that is none": (["--plot=a.html"], "--plot expects a name ending in .png or .svg"),
    "a table that is none": (["--csv=a.parquet"], "--csv expects a name ending in .csv, got"),
    "against nothing": (["--against=x"], "give --out PAGE.html"),
    "an option of another task": (["--ahead=1"], "is for forecasting"),
    "a target of another task": (["--target=x"], "is for translation"),
    "nothing to explain": (["--step=1"], "leave it out, or give explain='both'"),
    "an option that is not": (["--quantty=f"], "--quantity"),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(
    name: str, text: Case, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, expected = NEVER[name]
    with mock.patch("carousel.load", side_effect=AssertionError("loaded")):
        assert expected in refused(capsys, "inspect", text.model, text.input, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--out=a.html", "--plot=a.png", "--csv=a.csv"])
def test_what_is_there_is_replaced_only_by_force(
    option: str, text: Case, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / option.split("=")[1]
    place.write_text("mine")
    with mock.patch("carousel.load", side_effect=AssertionError("loaded")):
        assert "--force" in refused(capsys, "inspect", text.model, text.input, option)
    assert place.read_text() == "mine"
    lines_of(capsys, "inspect", text.model, text.input, option, "--force")
    assert place.read_bytes() != b"mine"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--layer=l9"], "there is no layer 'l9'"),
        (["--plot=a.png", "--layer=l9"], "there is no layer 'l9'"),
        (["--plot=a.png", "--unit=8"], "from 0 to 7 in layer"),
        (["--plot=a.png", "--steps", "0", "41"], "an end of 40 at most"),
        (["--plot=a.png", "--draw=attention"], "does not attend"),
    ],
)
@pytest.mark.parametrize("explained", [False, True])
def test_what_is_not_there_is_refused_before_anything_slow(
    words: list[str],
    expected: str,
    explained: bool,
    text: Case,
    tmp_path: Path,
    capsys: Out,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*words, "--out=a.html", "--flow", *["--explain=both"] * explained]
    slow = [
        "carousel.inspection.inspection.gradient_flow",
        "carousel.tasks.inspected.integrated_gradients",
        "carousel.tasks.inspected.occlusion",
    ]
    with mock.patch(slow[0]) as one, mock.patch(slow[1]) as two, mock.patch(slow[2]) as three:
        assert expected in refused(capsys, "inspect", text.model, text.input, *words)
    assert not any(mocked.called for mocked in (one, two, three))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", TASKS[1:])
def test_what_needs_an_input_says_which(task: str, cases: dict[str, Case], capsys: Out) -> None:
    message = refused(capsys, "inspect", cases[task].model)
    assert f"inspect with a model for {task} needs INPUT: " in message


def test_a_second_input_is_one_that_can_be_read(
    cases: dict[str, Case], tmp_path: Path, capsys: Out
) -> None:
    page = f"--out={tmp_path / 'a.html'}"
    case = cases["translation"]
    words = ["inspect", case.model, "-", "--against", "-", page]
    assert "standard input can be read once" in refused(capsys, *words)
    words = ["inspect", case.model, case.input, "--against", case.other, "--target", "das", page]
    assert "--against would need its own" in refused(capsys, *words)
    case = cases["forecasting"]
    words = ["inspect", case.model, case.input, "--against", str(tmp_path / "no.csv"), page]
    assert "no such file" in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_refused(tmp_path: Path, capsys: Out) -> None:
    assert "no such model" in refused(capsys, "inspect", str(tmp_path / "m"), "x")
    assert main(["inspect"]) == 2
    assert "see: carousel inspect --help" in capsys.readouterr().err


def test_help_names_what_is_drawn(capsys: Out) -> None:
    told = lines_of(capsys, "inspect", "--help")
    for words in ("--against", "--flow", "heat-map", "half-lives", "--explain", "--max-tokens"):
        assert words in told


def test_the_printed_numbers_are_those_of_the_gates(text: Case, capsys: Out) -> None:
    """The one number by hand, from the trace of the layer itself."""
    told = json.loads(lines_of(capsys, "inspect", text.model, text.input, "--json"))
    found = text.seen()
    for name, values in told["layers"].items():
        f = found.layers[name].f
        assert f.min() > 0
        assert f.max() < 1
        half_life = np.log(2) / -np.log(f.astype(np.float64)).mean(0)
        # A mean of 40 logarithms in float64, said in float32.
        assert values["half_life"] == pytest.approx(half_life.tolist(), rel=2**-23)


def test_the_numbers_are_there_where_a_file_cannot_be_written(
    text: Case, tmp_path: Path, capsys: Out
) -> None:
    capsys.readouterr()
    with mock.patch("carousel.cli.inspect.write_atomically", side_effect=KeyboardInterrupt):
        assert main(["inspect", text.model, text.input, "--csv", str(tmp_path / "a.csv")]) == 130
    captured = capsys.readouterr()
    assert captured.out == f"{text.seen().summary()}\n"
    assert captured.err == "carousel: interrupted; no file is left half written\n"
