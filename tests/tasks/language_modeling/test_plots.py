"""What the picture of an evaluation shows, read from the axes before they become a file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.tasks.language_modeling.test_report import made

from carousel.errors import OptionError, OutputError
from carousel.tasks.language_modeling import Report


def of_length(number: int) -> Report:
    """Returns a report whose tokens cost more and more."""
    report = made()
    nats = {name: np.linspace(0, k + 1, number) for k, name in enumerate(report.scores)}
    return replace(report, nats=nats)


@pytest.mark.parametrize("ending", ["png", "svg", "SVG", "PNG"])
@pytest.mark.parametrize("number", [1, 5_000])
def test_pictures_of_any_size_are_drawn(ending: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"x.{ending}"
    assert of_length(number).plot(path) == path
    begins = {"png": b"\x89PNG", "svg": b"<?xml"}
    assert path.read_bytes().startswith(begins[ending.lower()])
    assert of_length(number).plot(str(path)) == path  # over the one that is there


@pytest.mark.parametrize("number", [1, 7, 120, 121, 1_000])
def test_curves_are_means_of_stretches(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    save = Figure.savefig

    def seen(figure: Figure, *args: object, **values: object) -> None:
        drawn.append(figure.axes[0])
        save(figure, *args, **values)

    monkeypatch.setattr(Figure, "savefig", seen)
    report = of_length(number)
    report.plot(tmp_path / "x.svg")
    (axes,) = drawn
    assert [line.get_label().split(":")[0] for line in axes.lines] == list(report.scores)
    assert axes.lines[0].get_label() == f"this model: {50 / 40 / math.log(2):.3f}"
    for line, nats in zip(axes.lines, report.nats.values(), strict=True):
        ends = line.get_xdata().tolist()
        assert ends[-1] == number
        assert len(ends) == min(number, 120)
        for begin, end, value in zip([0, *ends], ends, line.get_ydata(), strict=False):
            # The mean of at most nine numbers of about 1, in double precision.
            assert value == pytest.approx(nats[begin:end].mean() / math.log(2), abs=1e-13)


def test_a_token_that_is_impossible_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Warnings are errors here."""
    report = of_length(200)
    report.nats["this model"][50] = np.inf
    assert report.plot(tmp_path / "x.png").exists()


def test_nothing_of_matplotlibs_settings_is_changed(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    of_length(10).plot(tmp_path / "x.svg")
    assert dict(matplotlib.rcParams) == before


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    for name in ("x.html", "x.pdf", "x"):
        with pytest.raises(OptionError, match=rf"\.png or \.svg, got '{name}'"):
            of_length(10).plot(tmp_path / name)
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match="found a folder"):
        of_length(10).plot(tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
