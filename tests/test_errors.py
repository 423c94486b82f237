"""Errors that teach: what each exception is, and what its message says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from carousel import errors


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.OptionError, ValueError),
        (errors.ShapeError, ValueError),
        (errors.ShapeError, RuntimeError),
        (errors.DataError, ValueError),
        (errors.ModelError, ValueError),
        (errors.CheckpointError, ValueError),
        (errors.OutputError, OSError),
        (errors.MissingDependencyError, ImportError),
        (errors.NonFiniteError, ArithmeticError),
    ],
)
def test_an_error_is_the_builtin_a_caller_expects(
    error: type[Exception], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin, match="said plainly"):
        raise error("said plainly")


def test_there_is_one_tree() -> None:
    ours = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, Exception)
    ]
    assert len(ours) > 5
    assert all(issubclass(kind, errors.CarouselError) for kind in ours)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({}, "not a number"),
        ({"source": "a.csv"}, "a.csv: not a number"),
        ({"source": Path("a.csv"), "line": 7}, "a.csv, line 7: not a number"),
        ({"source": "a.csv", "line": 7, "column": "y"}, "a.csv, line 7, column 'y': not a number"),
        ({"column": "y"}, "column 'y': not a number"),
    ],
)
def test_a_data_error_names_the_place(place: dict, message: str) -> None:
    error = errors.DataError("not a number", **place)
    assert str(error) == message
    assert (error.line, error.column) == (place.get("line"), place.get("column"))


def test_an_interruption_carries_its_signal() -> None:
    error = errors.TrainingInterruptedError("saved, then left", 15)
    assert error.signal_number == 15
    assert str(error) == "saved, then left"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("horzion", "horizon"), ("HORIZON", "horizon"), ("Contxt", "context"), ("zzz", None)],
)
def test_nearest(name: str, expected: str | None) -> None:
    assert errors.nearest(name, ["horizon", "context", "season"]) == expected


def test_nearest_keeps_the_known_spelling() -> None:
    assert errors.nearest("adamw", ["AdamW", "SGD"]) == "AdamW"


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    assert errors.unknown_name("column", "temprature", ["temperature", "wind"]) == (
        "there is no column 'temprature'; did you mean 'temperature'? known: temperature, wind"
    )
    assert errors.unknown_name("column", "zzz", iter(["wind"])).endswith("'zzz'; known: wind")
    assert errors.unknown_name("sample", "x", []).endswith("known: none")
