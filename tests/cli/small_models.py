"""A small forecaster that the tests of the command line save and use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.tasks.forecasting.small_data import write_csv

from carousel.cli import main

SMALL = [
    "--horizon",
    "4",
    "--context",
    "12",
    "--holdout",
    "4",
    "--validation",
    "4",
    "--max-steps",
    "2",
    "--progress",
    "none",
]


def saved_model(folder: Path, lines: Sequence[str], *options: str) -> Path:
    """Fits on the lines of a CSV file, ``data.csv`` in the folder; returns the model beside it."""
    data = write_csv(folder / "data.csv", lines)
    words = ["fit", "forecasting", str(data), "--out", str(folder / "m"), *SMALL, *options]
    assert main(words) == 0
    return folder / "m"
