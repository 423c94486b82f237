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
from tests.tasks.forecasting.small_data import csv_lines, rich_frame, split, write_csv

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


def known_data(folder: Path) -> tuple[Path, Path]:
    """Rows with covariates of every kind, and what is known of the four rows behind them."""
    rows = rich_frame(length=84).with_columns(pl.col("ds").dt.to_string("%Y-%m-%d %H:%M"))
    past, future = split(rows)
    past.write_csv(folder / "past.csv")
    future.write_csv(folder / "future.csv")
    return folder / "past.csv", folder / "future.csv"


def test_covariates_of_every_kind_are_fitted_and_known_ahead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    past, future = known_data(tmp_path)
    words = ["--covariates", "wind", "sky", "--known-covariates", "price", "holiday"]
    words += ["--static-covariates", "kind", "area", "--categories", "area"]
    words += ["--members", "2", "--metric", "owa", "--lags", "3", "--patch", "2", *QUICK]
    assert main(["fit", "forecasting", str(past), "--out", str(tmp_path / "m"), *words]) == 0
    fitted = carousel.load(tmp_path / "m")
    assert fitted.options.known_covariates == ("price", "holiday")
    assert (fitted.options.categories, fitted.options.members) == (("area",), 2)
    assert fitted._ready("look").covariates.levels["area"] == ("10", "20")
    assert main(["evaluate", str(tmp_path / "m"), str(past), "--json"]) == 0
    capsys.readouterr()
    predict = ["predict", str(tmp_path / "m"), str(past), "--future", str(future)]
    assert main(predict) == 0
    printed = pl.read_csv(capsys.readouterr().out.encode())
    wanted = fitted.predict(past, future=future)
    assert printed["ds"].to_list() == [f"2024-01-04 {hour:02}:00" for hour in range(8, 12)] * 2
    assert printed["y"].to_list() == pytest.approx(wanted["y"].to_list())
    drawn = ["--out", str(tmp_path / "f.parquet"), "--plot", str(tmp_path / "f.html")]
    assert main([*predict, *drawn]) == 0
    assert pl.read_parquet(tmp_path / "f.parquet")["y"].equals(wanted["y"])
    assert (tmp_path / "f.html").exists()
    # The rows before them in the same file do no harm, nor do further columns.
    rich_frame(length=84).write_csv(tmp_path / "all.csv")
    predict[-1] = str(tmp_path / "all.csv")
    capsys.readouterr()
    assert main([*predict, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["y"] for row in rows] == pytest.approx(wanted["y"].to_list())


def test_home_is_meant_by_the_sign_of_a_future_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    past, _ = known_data(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["--known-covariates", "price", *QUICK]
    assert main(["fit", "forecasting", str(past), "--out", str(tmp_path / "m"), *words]) == 0
    assert main(["predict", str(tmp_path / "m"), str(past), "--future=~/future.csv"]) == 0


def test_without_validation_every_row_trains(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where no line of history falls due before the end."""
    kept = [word for word in QUICK if not word.startswith(("--validation", "--holdout"))]
    words = ["--out", str(tmp_path / "m"), *kept, "--validation=0", "--holdout=0", "--json"]
    assert main(["fit", "forecasting", str(data), *words]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    card = (tmp_path / "m" / "README.md").read_text()
    assert "- training: 160 rows in all" in card
    assert "- validation: none; the last weights were kept" in card
    assert main(["predict", str(tmp_path / "m"), str(data)]) == 0


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "forecasting", "--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("--horizon", "--time-format", "--max-minutes", "--resume", "--out"):
        assert name in shown
    for name in ("--known-covariates", "--static-covariates", "--categories", "--members"):
        assert name in shown
    assert "--checkpoint " not in shown
    assert main(["predict", "--help"]) == 0
    assert "--future" in capsys.readouterr().out


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
