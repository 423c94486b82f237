"""Where results go: places that are somebody's, places that cannot be, readers that leave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_commands import QUICK, SMALL
from tests.tasks.forecasting.small_data import csv_lines, write_csv

from carousel.cli import main
from carousel.training.run_folder import RunLock


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "data.csv", csv_lines(names=("a", "b")))


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    assert main(["fit", "forecasting", str(data), "--out", str(data.parent / "m"), *QUICK]) == 0
    return data.parent / "m"


def fit(data: Path, out: object, *words: str) -> int:
    return main(["fit", "forecasting", str(data), f"--out={out}", *QUICK, *words])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("words", [[], ["--force"], ["--resume"]])
def test_a_folder_in_the_way_of_the_run_is_refused_before_any_work(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run" / "notes.txt").write_text("precious")
    assert fit(tmp_path / "absent.csv", tmp_path / "m", *words) == 2
    assert "'notes.txt'" in capsys.readouterr().err
    (tmp_path / "m.run" / "checkpoint.safetensors").write_bytes(b"of a run")
    if words == ["--force"]:
        assert fit(data, tmp_path / "m", *words) == 0
    assert (tmp_path / "m.run" / "notes.txt").read_text() == "precious"


def test_force_leaves_the_old_run_alone_until_the_data_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run" / "checkpoint.safetensors").write_bytes(b"of a run")
    assert fit(tmp_path / "absent.csv", tmp_path / "m", "--force") == 2
    assert "no such file" in capsys.readouterr().err
    assert names(tmp_path / "m.run") == ["checkpoint.safetensors"]


def test_force_begins_anew_and_is_named_where_it_helps(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run" / "checkpoint.safetensors").write_bytes(b"of a run")
    for words in ([], ["--resume"]):
        assert fit(data, tmp_path / "m", *words) == 2
        assert "--force" in capsys.readouterr().err
    assert fit(data, tmp_path / "m", "--force") == 0
    assert names(tmp_path) == ["m"]


def test_a_run_that_failed_can_be_repeated_as_advised(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(data, tmp_path / "m", "--learning-rate", "1e20") == 2
    assert "lower learning_rate" in capsys.readouterr().err
    assert fit(data, tmp_path / "m", "--learning-rate", "1e-3") == 0
    assert names(tmp_path) == ["m"]


def test_a_run_that_is_going_on_is_not_joined(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.run").mkdir()
    with RunLock(tmp_path / "m.run"):
        for words in ([], ["--resume"], ["--force"]):
            assert fit(data, tmp_path / "m", *words) == 2
            assert "another process is training" in capsys.readouterr().err


def test_home_is_meant_by_its_sign(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert fit(data, "~/m") == 0
    assert main(["predict", "~/m", str(data), "--out=~/f.csv", "--plot=~/f.svg"]) == 0
    assert names(tmp_path / "here") == []
    # Other libraries keep hidden caches there.
    shown = [name for name in names(tmp_path / "home") if not name.startswith(".")]
    assert shown == ["f.csv", "f.svg", "m"]


def test_the_folder_one_is_in_can_become_a_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path / "m")
    assert fit(data, ".", "--force") == 0
    assert names(tmp_path) == ["m"]
    assert (tmp_path / "m" / "config.json").exists()


def test_a_place_that_cannot_be_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(tmp_path / "absent.csv", tmp_path / ("x" * 250)) == 2
    assert "a shorter name" in capsys.readouterr().err
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--plot={}/q.png", "--out={}/file/q.csv"], "file/q.csv"),
        (["--plot={}/q.png", "--out={}/folder.csv"], "found a folder"),
        (["--plot={}/file/q.png"], "file/q.png"),
    ],
)
def test_every_output_is_checked_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.csv").mkdir()
    placed = [word.format(tmp_path) for word in words]
    assert main(["predict", str(tmp_path / "absent"), "rows.csv", *placed]) == 2
    assert expected in capsys.readouterr().err
    assert names(tmp_path) == ["file", "folder.csv"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--plot={}/q.bmp", "--plot expects a name ending in .png, .svg or .html"),
        ("--out={}/q.xlsx", "--out expects a name ending in .csv or .parquet"),
    ],
)
def test_a_kind_of_file_that_is_not_written_is_refused_before_the_rows_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Path, word: str, expected: str
) -> None:
    assert main(["predict", str(model), "absent.csv", word.format(tmp_path)]) == 2
    assert expected in capsys.readouterr().err


def test_further_rows_may_be_a_sample(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(data, tmp_path / "m", "--valid", "sample:wether") == 2
    assert "sample:weather" in capsys.readouterr().err


def test_json_has_no_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Path, model: Path
) -> None:
    constant = [
        line if k == 0 else line.rsplit(",", 1)[0] + ",5" for k, line in enumerate(csv_lines())
    ]
    rows = write_csv(tmp_path / "rows.csv", [line.replace("a,", "c,", 1) for line in constant])
    capsys.readouterr()
    assert main(["evaluate", str(model), str(rows), "--json"]) == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    report = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert next(iter(report["scores"].values()))["mase"] is None


def shell(command: str) -> subprocess.CompletedProcess[str]:
    command = f'carousel() {{ "{sys.executable}" -m carousel "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )


def test_who_watches_may_leave_and_the_model_is_made(data: Path, tmp_path: Path) -> None:
    words = [*SMALL, "--max-steps=30", "--progress=json", "--log-every=1"]
    out = tmp_path / "m"
    done = shell(f"carousel fit forecasting {data} --out {out} {' '.join(words)} 2>&1 | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path) == ["m"]


def test_an_error_that_nobody_reads_is_still_one() -> None:
    done = shell("carousel evaluate absent absent.csv 2>&1 | true")
    assert done.returncode == 2


def test_help_that_nobody_reads_is_no_error() -> None:
    done = shell("carousel fit forecasting --help | true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", ["info", "info --json"])
def test_a_closed_output_is_an_error_and_no_other_takes_its_place(words: str) -> None:
    done = shell(f"carousel {words} >&-")
    assert done.returncode == 2
    assert done.stderr.startswith("carousel: error: standard output: cannot be written (it is clo")
    done = shell("carousel evaluate absent absent.csv 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("words", ["info", "fit forecasting --help"])
def test_a_result_that_finds_no_room_is_an_error(words: str) -> None:
    done = shell(f"carousel {words} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("carousel: error: standard output: cannot be written")
    assert len(done.stderr.splitlines()) == 1
