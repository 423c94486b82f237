"""Bad input: exit code 2, a message that names place and remedy, and nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.small_models import SMALL, saved_model
from tests.tasks.forecasting.small_data import csv_lines, write_csv
from tests.tasks.test_model_folder import change_config

from carousel.cli import main, program

Spoil = Callable[[list[str]], list[str]]


def replaced(line: int, text: str) -> Spoil:
    """Puts ``text`` on a line, counted from 1 as editors do."""
    return lambda lines: [*lines[: line - 1], text, *lines[line:]]


CASES: dict[str, tuple[Spoil, list[str], list[str]]] = {
    "no header": (lambda lines: lines[1:], [], ["line 1", "name the columns"]),
    "header only": (lambda lines: lines[:1], [], ["no rows"]),
    "column missing": (lambda lines: lines, ["--target", "Y1"], ["'Y1'", "did you mean 'y'"]),
    "time column missing": (lambda lines: lines, ["--time-column", "dss"], ["did you mean 'ds'"]),
    "id column misspelt": (
        lambda lines: ["uniqueid,ds,y", *lines[1:]],
        [],
        ["'unique_id'", "did you mean 'uniqueid'"],
    ),
    "covariate missing": (
        lambda lines: lines,
        ["--covariates", "windy"],
        ["'windy'", "covariates"],
    ),
    "text in a number column": (
        replaced(7, "a,2024-01-01 05:00,warm"),
        [],
        ["line 7", "'y'", "expected a number, got 'warm'"],
    ),
    "decimal comma": (replaced(7, 'a,2024-01-01 05:00,"1,5"'), [], ["line 7", "'1,5'", "point"]),
    "stamp that does not parse": (
        replaced(9, "a,yesterday,1.0"),
        [],
        ["line 9", "'ds'", "'yesterday'"],
    ),
    "stamp that is no date": (replaced(9, "a,2024-13-45 00:00,1.0"), [], ["line 9", "2024-13-45"]),
    "stamp of no known form": (
        lambda lines: [lines[0], *[line.replace("2024-01", "Jan 24") for line in lines[1:]]],
        [],
        ["line 2", "time_format"],
    ),
    "stamp missing": (replaced(9, "a,,1.0"), [], ["line 9", "'ds'"]),
    "stamp twice": (
        replaced(10, "a,2024-01-01 07:00,1.0"),
        [],
        ["line 10", "twice", "2024-01-01 07:00", "line 9"],
    ),
    "out of order": (
        lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]],
        [],
        ["line 7", "out of order", "sort the rows by ds"],
    ),
    "between the steps": (
        replaced(10, "a,2024-01-01 08:20,1.0"),
        [],
        ["line 10", "1 hour", "between"],
    ),
    "far away": (
        lambda lines: [*lines, "a,2224-01-01 00:00,1.0"],
        [],
        ["line 82", "2224-01-01 00:00", "right?"],
    ),
    "beyond all calendars": (
        lambda lines: [*lines, "a,2924-01-01 00:00,1.0"],
        [],
        ["line 82", "2924", "2261"],
    ),
    "too short": (
        lambda lines: lines[:14],
        [],
        ["series 'a'", "too short", "13 rows", "at least 14", "give a smaller horizon"],
    ),
    "one row": (lambda lines: lines[:2], [], ["single row"]),
    "all values missing": (
        lambda lines: [lines[0], *[line.rsplit(",", 1)[0] + ",NA" for line in lines[1:]]],
        [],
        ["'a'", "missing"],
    ),
    "constant": (
        lambda lines: [lines[0], *[line.rsplit(",", 1)[0] + ",5" for line in lines[1:]]],
        [],
        ["constant", "right column"],
    ),
    "infinite": (replaced(8, "a,2024-01-01 06:00,inf"), [], ["line 8", "'y'", "infinite"]),
    "infinitely negative": (replaced(8, "a,2024-01-01 06:00,-inf"), [], ["line 8", "infinite"]),
    "series without a name": (replaced(8, ",2024-01-01 06:00,1"), [], ["line 8", "'unique_id'"]),
    "mixed frequencies": (
        lambda lines: lines + [f"b,2024-01-{day:02d} 00:00,{day}" for day in range(1, 31)],
        [],
        ["mixed frequencies", "1 hour", "'b'", "1 day"],
    ),
    "ragged line": (replaced(8, "a,2024-01-01 06:00,1,2,3,4"), [], ["table"]),
    "unknown option": (lambda lines: lines, ["--hiden-size", "3"], ["--hidden-size"]),
    "option out of range": (lambda lines: lines, ["--dropout", "2"], ["dropout", "0.95"]),
    "option of another type": (lambda lines: lines, ["--num-layers", "two"], ["num-layers", "two"]),
    "no choice of that name": (lambda lines: lines, ["--optimizer", "adm"], ["adm", "'adam'"]),
    "impossible combination": (lambda lines: lines, ["--momentum", "0.9"], ["momentum", "sgd"]),
    "seed beyond the generators": (lambda lines: lines, ["--seed", f"{2**70}"], ["'seed'"]),
    "covariate with two roles": (
        lambda lines: lines,
        ["--covariates", "x", "--known-covariates", "x"],
        ["'x' stands twice", "name it once"],
    ),
    "target as a covariate": (
        lambda lines: lines,
        ["--static-covariates", "y"],
        ["'y' cannot be a covariate", "role already"],
    ),
    "category that is no covariate": (
        lambda lines: lines,
        ["--categories", "y"],
        ["'y' is named neither", "name it there too"],
    ),
    "known covariate missing": (
        lambda lines: lines,
        ["--known-covariates", "yy"],
        ["data.csv", "'yy'", "did you mean 'y'", "known_covariates"],
    ),
    "text in a known covariate": (
        lambda lines: replaced(7, "a,2024-01-01 05:00,1,dear")(
            [lines[0] + ",price", *[line + ",2" for line in lines[1:]]]
        ),
        ["--known-covariates", "price"],
        ["data.csv, line 7, column 'price'", "expected a number, got 'dear'"],
    ),
    "static covariate that changes": (
        lambda lines: replaced(7, "a,2024-01-01 05:00,1,mill")(
            [lines[0] + ",kind", *[line + ",shop" for line in lines[1:]]]
        ),
        ["--static-covariates", "kind"],
        ["data.csv, line 7, column 'kind'", "series 'a'", "never changes"],
    ),
    "too many levels": (
        lambda lines: [
            lines[0] + ",note",
            *[f"{line},w{k}" for k, line in enumerate(lines[1:] + csv_lines(40, ("b",))[1:])],
        ],
        ["--covariates", "note"],
        ["data.csv, column 'note'", "at most 100 levels, got 120", "leave the column out"],
    ),
    "value without a logarithm": (
        replaced(7, "a,2024-01-01 05:00,-1"),
        ["--transform", "log"],
        ["data.csv, line 7, column 'y'", "above 0", "got -1", "transform none"],
    ),
    "no metric of that name": (lambda lines: lines, ["--metric", "mse"], ["mse", "'mase'"]),
    "no member": (lambda lines: lines, ["--members", "0"], ["members", "from 1 to 64"]),
    "one column with two roles": (lambda lines: lines, ["--target", "ds"], ["three different"]),
}


@pytest.mark.parametrize("name", CASES)
def test_fit_refuses(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, arguments, expected = CASES[name]
    data = write_csv(tmp_path / "data.csv", spoil(csv_lines()))
    before = data.read_bytes()
    code = main(["fit", "forecasting", str(data), "--out", str(tmp_path / "m"), *SMALL, *arguments])
    message = capsys.readouterr().err
    assert code == 2, message
    for words in expected:
        assert words in message, message
    assert "Traceback" not in message
    assert data.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv"]


def test_fit_refuses_to_wait_for_scores_that_nothing_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", csv_lines())
    unscored = [*SMALL[: SMALL.index("--validation")], *SMALL[SMALL.index("--validation") + 2 :]]
    words = ["--out", str(tmp_path / "m"), *unscored, "--validation", "0"]
    for name in ("patience", "validate-every"):
        assert main(["fit", "forecasting", str(data), *words, f"--{name}", "3"]) == 2
        message = capsys.readouterr().err
        assert f"{name.replace('-', '_')!r} needs validation data" in message
        assert "leave" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv"]


def test_the_unspoilt_data_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else the cases above could all be refused for another reason than theirs."""
    data = write_csv(tmp_path / "data.csv", csv_lines())
    assert main(["fit", "forecasting", str(data), "--out", str(tmp_path / "m"), *SMALL]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "m"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("absent.csv", None, "no such file"),
        ("empty.csv", b"", "empty"),
        ("picture.png", b"\x89PNG", ".csv"),
        ("latin.csv", "unique_id,ds,y\nZürich,2024-01-01,1\n".encode("latin-1"), "table"),
        ("broken.parquet", b"PAR1nonsense", "table"),
        ("broken.csv.gz", b"\x1f\x8bnonsense", "table"),
    ],
)
def test_fit_refuses_the_file(
    name: str,
    content: bytes | None,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code = main(["fit", "forecasting", str(path), "--out", str(tmp_path / "m"), *SMALL])
    message = capsys.readouterr().err
    assert code == 2, message
    assert name in message
    assert expected in message
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_too_little_memory_is_bad_input(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raised(error: Exception) -> None:
        raise error

    monkeypatch.setattr(program, "build", lambda: lambda words, **how: raised(error))
    assert main(["info"]) == 2
    assert "this needs more memory than there is; give less at a time" in capsys.readouterr().err
    monkeypatch.setattr(program, "build", lambda: lambda words, **how: raised(RuntimeError("ours")))
    with pytest.raises(RuntimeError, match="ours"):
        main(["info"])


def test_unknown_words_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    for words, nearest in [
        (["evaluat"], "evaluate"),
        (["fit", "forcasting"], "forecasting"),
        (["fit", "forecasting", "sample:wether", "--out", "m", "--horizon", "3"], "sample:weather"),
        (["info", "--jsn"], "--json"),
    ]:
        assert main(words) == 2
        assert nearest in capsys.readouterr().err
    assert not Path("m").exists()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("saved"), csv_lines())


def test_an_output_that_exists_is_refused_and_kept(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", csv_lines())
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert main(["fit", "forecasting", str(data), "--out", str(model), *SMALL]) == 2
    assert "--force" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    existing = tmp_path / "forecast.csv"
    existing.write_text("mine")
    assert main(["predict", str(model), str(data), "--out", str(existing)]) == 2
    assert "--force" in capsys.readouterr().err
    assert existing.read_text() == "mine"
    assert main(["predict", str(model), str(data), "--out", str(existing), "--force"]) == 0
    assert existing.read_text().startswith("unique_id,ds,y,")


def test_force_does_not_replace_a_folder_of_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", csv_lines())
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"mine")
    code = main(["fit", "forecasting", str(data), "--out", str(photos), "--force", *SMALL])
    assert code == 2
    assert "something else" in capsys.readouterr().err
    assert (photos / "holiday.jpg").read_bytes() == b"mine"


def change_part(folder: Path, part: str, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())[part]
    change_config(folder, **{part: {**values, **changes}})


STRAY = {"mean": [], "std": [1.0]}
ENDLESS = {"mean": [float("nan")], "std": []}


def leave_out(folder: Path, name: str) -> None:
    files = json.loads((folder / "config.json").read_text())["files"]
    del files[name]
    change_config(folder, files=files)


def spoil_weights(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 0xFF
    (folder / "model.safetensors").write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda f: shutil.rmtree(f), "no such model"),
        (lambda f: (shutil.rmtree(f), f.write_text("x")), "a model is a folder"),
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (lambda f: (f / "config.json").write_text("{"), "damaged"),
        (lambda f: (f / "config.json").write_text('{"a": 1}'), "not written by carousel"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
        (spoil_weights, "damaged"),
        (lambda f: (f / "series.json").write_text("{}"), "damaged"),
        (lambda f: change_config(f, format=99), "newer"),
        (lambda f: change_config(f, task="weaving"), "'weaving'"),
        (lambda f: change_config(f, files={}), "damaged"),
        (lambda f: change_config(f, options={"horizon": 4, "colour": "red"}), "colour"),
        (lambda f: change_config(f, options=[1]), "'options'"),
        (lambda f: change_config(f, options=None), "'options'"),
        (lambda f: change_part(f, "plan", context="12"), "'plan.context'"),
        (lambda f: change_part(f, "plan", season=0), "'plan.season'"),
        (lambda f: change_part(f, "frequency", count=0), "'frequency.count'"),
        (lambda f: change_part(f, "frequency", unit="moon"), "'frequency.unit'"),
        (lambda f: change_config(f, cycles=["moon"]), "'cycles'"),
        (lambda f: change_part(f, "plan", least=0), "'plan.least'"),
        (lambda f: change_part(f, "plan", patch=None), "'plan.patch'"),
        (lambda f: change_part(f, "plan", lags=[]), "'plan.lags'"),
        (lambda f: change_part(f, "plan", lags=[1, 0]), "'plan.lags'"),
        (lambda f: change_part(f, "plan", anchor=0), "'plan.anchor'"),
        (lambda f: change_part(f, "plan", log="no"), "'plan.log'"),
        (lambda f: change_part(f, "plan", colour=1), "do not fit together"),
        (lambda f: change_part(f, "plan", patch=9), "do not fit together"),
        (lambda f: change_config(f, covariates=["wind"]), "'covariates'"),
        (lambda f: change_part(f, "covariates", past=None), "'covariates.past'"),
        (lambda f: change_part(f, "covariates", known=[1]), "'covariates.known'"),
        (lambda f: change_part(f, "covariates", levels=["a"]), "'covariates.levels'"),
        (lambda f: change_part(f, "covariates", past=["wind"]), "'scalers.moving.mean'"),
        (lambda f: change_part(f, "scalers", moving=None), "'scalers.moving.mean'"),
        (lambda f: change_part(f, "scalers", moving=STRAY), "'scalers.moving.std'"),
        (lambda f: change_part(f, "scalers", static=ENDLESS), "'scalers.static.mean'"),
        (lambda f: leave_out(f, "history.jsonl"), "history.jsonl"),
        (lambda f: leave_out(f, "series.json"), "series.json"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(
    damage: Callable[[Path], object],
    expected: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    data = write_csv(tmp_path / "data.csv", csv_lines())
    damage(copy)
    for verb in ("evaluate", "predict"):
        assert main([verb, str(copy), str(data)]) == 2
        message = capsys.readouterr().err
        assert expected in message, message
        assert "Traceback" not in message


def test_rows_that_do_not_fit_the_model_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daily = [line.replace("2024-01-01 ", "2024-01-").replace(":00", "") for line in csv_lines(23)]
    daily[1:] = [f"a,2024-01-{k:02d},{k % 5}" for k in range(1, 24)]
    for lines, expected in [
        (daily, "every 1 hour"),
        ([line.replace("ds", "time") for line in csv_lines()], "'ds'"),
        (csv_lines()[:60], "no row to evaluate on"),
    ]:
        data = write_csv(tmp_path / "rows.csv", lines)
        assert main(["evaluate", str(model), str(data)]) == 2
        assert expected in capsys.readouterr().err
    recent = csv_lines()
    recent[-12:] = [line.rsplit(",", 1)[0] + "," for line in recent[-12:]]
    assert main(["predict", str(model), str(write_csv(tmp_path / "rows.csv", recent))]) == 2
    assert "'a'" in capsys.readouterr().err


def test_a_picture_of_an_unknown_kind_is_refused_before_any_work(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", csv_lines())
    for verb in ("evaluate", "predict"):
        assert main([verb, str(model), str(data), "--plot", str(tmp_path / "p.bmp")]) == 2
        assert ".png" in capsys.readouterr().err
    assert main(["predict", str(model), str(data), "--out", str(tmp_path / "f.xlsx")]) == 2
    assert ".parquet" in capsys.readouterr().err
