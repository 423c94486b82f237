"""History in memory and as JSON lines."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from carousel.errors import DataError, OutputError
from carousel.training.history import History, HistoryFile, Record


def record(step: int, **metrics: float) -> Record:
    return Record(
        step=step,
        epoch=step // 3,
        loss=None if step == 2 else 0.1 + step,
        learning_rate=1e-3,
        grad_norm=0.5,
        throughput=100.0,
        elapsed=1.5 * step,
        metrics=metrics,
    )


RECORDS = [record(1), record(2, mse=2.0), record(3), record(4, mse=float("nan"), mae=1.0)]


def test_it_is_saved_and_loaded_exactly(tmp_path: Path) -> None:
    History(RECORDS).save(tmp_path / "history.jsonl")
    loaded = History.load(tmp_path / "history.jsonl")
    assert loaded.records[:3] == RECORDS[:3]
    assert loaded.last_metrics()["mae"] == 1.0
    assert math.isnan(loaded.last_metrics()["mse"])


def test_the_file_is_json_for_strict_readers(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    History(RECORDS).save(tmp_path / "history.jsonl")
    for line in (tmp_path / "history.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = HistoryFile(tmp_path)
    file.begin(0)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"history\.jsonl.*No space left"):
        file.sync()


def test_scores_are_found_by_name() -> None:
    assert History(RECORDS).scores("mae") == [(4, 1.0)]
    assert [step for step, _ in History(RECORDS).scores("mse")] == [2, 4]


def test_lines_are_appended_and_cut_back(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path)
    assert len(file.begin(0)) == 0
    for line in RECORDS[:3]:
        file.append(line)
    file.sync()
    with (tmp_path / "history.jsonl").open("ab") as half:
        half.write(b'{"step": 5, "ep')
    again = HistoryFile(tmp_path)
    assert again.begin(2).records == RECORDS[:2]
    again.append(RECORDS[2])
    assert History.load(tmp_path / "history.jsonl").records == RECORDS[:3]
    assert len(HistoryFile(tmp_path).begin(0)) == 0


def test_without_a_folder_nothing_is_written() -> None:
    file = HistoryFile(None)
    file.begin(0)
    file.append(RECORDS[0])
    file.sync()
    assert file.path is None


@pytest.mark.parametrize("line", ["not json", '{"step": 1}', "[]", '{"stp": 1}'])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history.jsonl"
    History(RECORDS[:1]).save(path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"history\.jsonl, line 2: "):
        History.load(path)
