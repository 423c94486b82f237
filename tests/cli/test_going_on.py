"""Forecasts from the rows that a saved model knows, and carrying it forward over new ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.cli.small_models import saved_model
from tests.tasks.forecasting.small_data import csv_lines, write_csv

from carousel.cli import forecasts, main
from carousel.errors import OutputError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved_model(tmp_path, csv_lines())


def answer(model: Path, *words: str) -> pl.DataFrame:
    out = model.parent / "answer.csv"
    assert main(["predict", str(model), *words, "--out", str(out), "--force"]) == 0
    return pl.read_csv(out)


def test_without_rows_it_goes_on_from_those_it_knows(model: Path) -> None:
    assert answer(model).equals(answer(model, str(model.parent / "data.csv")))


def test_new_rows_carry_the_saved_model_forward(model: Path) -> None:
    lines = csv_lines(100)
    whole = write_csv(model.parent / "whole.csv", lines)
    new = write_csv(model.parent / "new.csv", [lines[0], *lines[81:]])
    expected = answer(model, str(whole))
    assert answer(model, str(new), "--update").equals(expected)
    assert answer(model).equals(expected)  # the folder was renewed


def test_rows_that_do_not_follow_leave_the_model_as_it_was(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = answer(model)
    assert main(["predict", str(model), str(model.parent / "data.csv"), "--update"]) == 2
    assert "behind it only" in capsys.readouterr().err
    assert answer(model).equals(before)


def test_an_update_needs_rows(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(model), "--update"]) == 2
    assert "--update needs the new rows" in capsys.readouterr().err


def test_an_answer_that_is_lost_leaves_the_update_to_be_given_again(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = csv_lines(100)
    new = write_csv(model.parent / "new.csv", [lines[0], *lines[81:]])
    before = answer(model)

    def full(*_: object) -> None:
        raise OutputError("answer.csv: cannot be written, the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(forecasts, "write_atomically", full)
        words = ["predict", str(model), str(new), "--update", "--out", str(model.parent / "o.csv")]
        assert main(words) == 2
    assert answer(model).equals(before)
    assert not answer(model, str(new), "--update").equals(before)
