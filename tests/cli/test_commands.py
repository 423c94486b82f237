"""The verbs as a person or a script uses them."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.tasks.forecasting.small_data import csv_lines, write_csv

import carousel
from carousel.cli import main

SIZES = {"horizon": 4, "context": 12, "holdout": 8, "validation": 4, "hidden-size": 4}
SMALL = [f"--{name}={value}" for name, value in SIZES.items()]
QUICK = [*SMALL, "--max-steps", "4", "--progress", "none"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "data.csv", csv_lines(names=("a", "b")))


@pytest.fixture
def model(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["fit", "forecasting", str(data), "--out", str(tmp_path / "m"), *QUICK]) == 0
    capsys.readouterr()
    return tmp_path / "m"


def test_fit_evaluate_predict(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(model), str(data), "--plot", str(tmp_path / "b.png")]) == 0
    table = capsys.readouterr().out
    assert "seasonal naive" in table
    assert "best baseline" in table
    assert (tmp_path / "b.png").stat().st_size > 10_000
    assert main(["predict", str(model), str(data), "--plot", str(tmp_path / "f.svg")]) == 0
    printed = pl.read_csv(capsys.readouterr().out.encode())
    assert printed.columns[:3] == ["unique_id", "ds", "y"]
    assert printed["ds"].to_list()[:2] == ["2024-01-04 08:00", "2024-01-04 09:00"]
    assert (tmp_path / "f.svg").stat().st_size > 1_000


def test_pages_are_written_beside_what_is_printed(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(model), str(data), "--plot", str(tmp_path / "r.html")]) == 0
    verdict = capsys.readouterr().out.strip().splitlines()[-1]
    assert html.escape(verdict) in (tmp_path / "r.html").read_text("utf-8")
    assert main(["predict", str(model), str(data), "--plot", str(tmp_path / "f.html")]) == 0
    assert "2024-01-04 08:00" in (tmp_path / "f.html").read_text("utf-8")


def test_files_hold_what_is_printed(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(model), str(data)]) == 0
    printed = pl.read_csv(capsys.readouterr().out.encode())
    for name in ("f.csv", "f.parquet"):
        assert main(["predict", str(model), str(data), "--out", str(tmp_path / name)]) == 0
        assert capsys.readouterr().out == ""
    assert pl.read_csv(tmp_path / "f.csv").equals(printed)
    assert pl.read_parquet(tmp_path / "f.parquet").equals(printed)


def test_json_is_json(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(model), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_windows"] == 4
    assert main(["predict", str(model), str(data), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 8
    assert main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["versions"]["carousel"] == carousel.__version__
    assert {engine["name"] for engine in info["engines"]} >= {"pytorch", "reference"}


def test_fit_shows_the_frequency_and_progress_on_stderr(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "m"), *SMALL, "--max-steps", "4", "--json"]
    words += ["--progress", "json", "--log-every", "1"]
    assert main(["fit", "forecasting", str(data), *words]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["steps"] == 4
    events = [json.loads(line) for line in captured.err.splitlines()]
    assert any("one every 1 hour" in event.get("text", "") for event in events)
    assert [event["step"] for event in events if event["event"] == "progress"] == [1, 2, 3, 4]


def test_every_option_of_the_classes_reaches_them(data: Path, tmp_path: Path) -> None:
    words = ["--quantiles", "0.2", "0.8", "--empty-covariates", "--seed", "7", "--season", "6"]
    assert (
        main(["fit", "forecasting", str(data), "--out", str(tmp_path / "m"), *QUICK, *words]) == 0
    )
    fitted = carousel.load(tmp_path / "m")
    assert fitted.options.quantiles == (0.2, 0.5, 0.8)
    assert (fitted.options.covariates, fitted.options.season) == ((), 6)
    assert "| run: seed | 7 |" in fitted.card


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "forecasting", "--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("--horizon", "--time-format", "--max-minutes", "--resume", "--out"):
        assert name in shown
    assert "--checkpoint " not in shown


def start(data: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    """Starts a fit that takes long, and returns once its first checkpoint is there."""
    command = [sys.executable, "-m", "carousel", "fit", "forecasting", str(data)]
    command += ["--out", str(out), *SMALL, "--max-steps", "500", "--checkpoint-every", "5"]
    command += ["--log-every", "1", "--progress", "json", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line).get("step", 0) >= 20:
            return process
    raise AssertionError(f"the fit ended early with {process.wait()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fit_keeps_its_run_and_goes_on(
    number: signal.Signals, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m"
    process = start(data, out)
    process.send_signal(number)
    _, message = process.communicate()
    assert process.returncode == 128 + number, message
    assert "resume" in message
    assert "Traceback" not in message
    assert not out.exists()
    assert (tmp_path / "m.run" / "checkpoint.safetensors").exists()
    again = ["fit", "forecasting", str(data), "--out", str(out), *SMALL, "--progress", "none"]
    assert main([*again, "--max-steps", "500"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*again, "--max-steps", "400", "--resume"]) == 2
    assert "max_steps" in capsys.readouterr().err
    assert main([*again, "--max-steps", "500", "--resume", "--checkpoint-every", "5"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "m"]


def test_two_processes_save_one_model(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "carousel", "fit", "forecasting", str(data), "--out", str(tmp_path / "m")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *QUICK], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "m"]
    assert len(carousel.load(tmp_path / "m").predict(data)) == 8


def test_a_reader_that_leaves_early_is_no_error(model: Path, data: Path) -> None:
    command = f'"{sys.executable}" -m carousel predict "{model}" "{data}" | head -1'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("unique_id,ds,y")
