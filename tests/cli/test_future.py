"""What is known ahead: the file it stands in, and what is refused of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.small_models import saved_model
from tests.cli.test_bad_input import Spoil, replaced
from tests.tasks.forecasting.small_data import csv_lines, write_csv

from carousel.cli import main

KNOWN = ["--known-covariates", "price", "holiday"]


def known_lines(begin: int, end: int, target: bool = True) -> list[str]:
    """Rows ``begin`` to ``end`` of a series with a price and a holiday that are known ahead."""
    head = "unique_id,ds,y,price,holiday" if target else "unique_id,ds,price,holiday"
    lines = [head]
    for k, line in enumerate(csv_lines(end)[1:]):
        name, stamp, value = line.split(",")
        cells = [name, stamp, *([value] if target else []), str(k % 7), str(k % 5 == 0).lower()]
        lines += [",".join(cells)] if k >= begin else []
    return lines


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that knows nothing ahead."""
    return saved_model(tmp_path_factory.mktemp("saved"), csv_lines())


@pytest.fixture(scope="module")
def foreseeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("foreseeing"), known_lines(0, 80), *KNOWN)


FUTURES: dict[str, tuple[Spoil, list[str]]] = {
    "a row missing": (lambda lines: lines[:-1], ["series 'a' has no row for 2024-01-04 11:00"]),
    "all rows missing": (lambda lines: lines[:1], ["header and no rows"]),
    "rows too late": (
        lambda lines: [line.replace("2024-01-04", "2024-01-05") for line in lines],
        ["series 'a' has no row for 2024-01-04 08:00", "every row of the horizon"],
    ),
    "an empty cell": (
        replaced(3, "a,2024-01-04 09:00,,false"),
        ["line 3, column 'price'", "empty cell", "give what is known"],
    ),
    "an empty word": (
        replaced(4, "a,2024-01-04 10:00,3,"),
        ["line 4, column 'holiday'", "empty cell"],
    ),
    "a word for a number": (
        replaced(4, "a,2024-01-04 10:00,dear,true"),
        ["line 4, column 'price'", "expected a number, got 'dear'"],
    ),
    "a stamp that is none": (
        replaced(4, "a,tomorrow,3,true"),
        ["line 4, column 'ds'", "'tomorrow'"],
    ),
    "a row twice": (
        lambda lines: [*lines, lines[2]],
        ["line 6, column 'ds'", "twice (first in line 3)", "keep one"],
    ),
    "a column missing": (
        lambda lines: [line.rsplit(",", 1)[0] for line in lines],
        ["no column 'holiday'", "known_covariates"],
    ),
    "a series missing": (
        lambda lines: [line.replace("a,", "b,", 1) for line in lines],
        ["series 'a' has no row for 2024-01-04 08:00"],
    ),
    "no names of series": (
        lambda lines: [line.split(",", 1)[1] for line in lines],
        ["expected the column 'unique_id'", "add it"],
    ),
    "step numbers": (
        lambda lines: [lines[0], *[f"a,{k},1,true" for k in range(80, 84)]],
        ["column 'ds'", "dates or times in both"],
    ),
}


@pytest.mark.parametrize("name", FUTURES)
def test_a_future_that_cannot_be_used_is_refused(
    name: str, foreseeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = FUTURES[name]
    data = write_csv(tmp_path / "data.csv", known_lines(0, 80))
    good = known_lines(80, 84, target=False)
    future = write_csv(tmp_path / "future.csv", spoil(good))
    words = ["predict", str(foreseeing), str(data), f"--future={future}"]
    assert main([*words, "--out", str(tmp_path / "f.csv")]) == 2
    captured = capsys.readouterr()
    for part in ("future.csv", *expected):
        assert part in captured.err, captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not (tmp_path / "f.csv").exists()
    write_csv(future, good)
    assert main(words) == 0


def test_a_future_is_asked_for_where_it_is_needed_and_only_there(
    foreseeing: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", known_lines(0, 80))
    assert main(["predict", str(foreseeing), str(data)]) == 2
    message = capsys.readouterr().err
    for part in ("next 4 rows of price, holiday", "give them with future"):
        assert part in message
    assert main(["predict", str(foreseeing), str(data), "--future", "absent.csv"]) == 2
    message = capsys.readouterr().err
    assert "absent.csv" in message
    assert "no such file" in message
    plain = write_csv(tmp_path / "plain.csv", csv_lines())
    assert main(["predict", str(model), str(plain), "--future", str(data)]) == 2
    assert "leave it out, or fit with known_covariates" in capsys.readouterr().err
    assert main(["predict", str(model), str(plain), "--futur", str(data)]) == 2
    assert "--future" in capsys.readouterr().err


def test_columns_other_than_in_fitting_are_refused(
    foreseeing: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(tmp_path / "data.csv", known_lines(0, 80))
    for verb in ("predict", "evaluate"):
        assert main([verb, str(model), str(data)]) == 2
        message = capsys.readouterr().err
        assert "data.csv, column 'price': the model was fitted without this column" in message
        assert "leave it out" in message
    plain = write_csv(tmp_path / "plain.csv", csv_lines())
    for verb in ("predict", "evaluate"):
        assert main([verb, str(foreseeing), str(plain)]) == 2
        assert "plain.csv: there is no column 'price'" in capsys.readouterr().err
