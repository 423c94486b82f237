"""Which figures there are, and that what does nothing, or is not there, is refused in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from tests.inspection.recorded_layers import plain
from tests.inspection.small_inspections import (
    layer,
    rich,
    seen,
    series_axis,
    sound_axis,
    text_axis,
)

from carousel.errors import OptionError, OutputError
from carousel.inspection.figures import FIGURES, FigureOptions, draw_figure
from carousel.inspection.inspection import Inspection
from carousel.inspection.orders import ORDERS
from carousel.inspection.unit_figure import MOST_STEPS

BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml"}
AXES = {"text": text_axis, "series": series_axis, "sound": sound_axis}
# Options that each figure needs or takes, on every inspection of one axis.
TAKEN: list[dict[str, Any]] = [
    {},
    {"quantity": "f", "order": "similarity", "layer": "lstm.l0_reverse", "steps": (3, 17)},
    {"unit": 3},
    {"unit": 0, "quantity": "h", "steps": (2, 9)},
    {"draw": "saturation"},
    {"draw": "half-lives", "layer": "lstm.l0"},
]


@pytest.mark.parametrize("taken", TAKEN, ids=range(len(TAKEN)))
@pytest.mark.parametrize("axis", AXES)
def test_every_figure_of_every_sequence_is_drawn(
    axis: str, taken: dict[str, Any], tmp_path: Path
) -> None:
    ending = ".svg" if "layer" in taken else ".png"
    path = tmp_path / f"a{ending}"
    assert draw_figure(seen(AXES[axis]()), path, FigureOptions(**taken)) == path
    assert path.read_bytes().startswith(BEGINS[ending])


@pytest.mark.parametrize("figure", ["gradients", "attention", "attribution"])
def test_what_was_asked_for_is_drawn(figure: str, tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    draw_figure(rich().with_gradients(), path, FigureOptions(draw=figure))
    assert path.read_bytes().startswith(BEGINS[".svg"])


def test_settings_of_matplotlib_are_left_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    seen().plot(tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before


def test_orders_and_figures_are_those_that_there_are() -> None:
    for name in ORDERS:
        assert FigureOptions(order=name).figure == "heat-map"
    assert FigureOptions(unit=1).figure == "unit"
    for name in FIGURES:
        given = {"unit": 1} if name == "unit" else {}
        assert FigureOptions(draw=name, **given).figure == name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"draw": "heatmap"}, "did you mean 'heat-map'"),
        ({"quantity": "x"}, "known: f, i, g, o, c, h"),
        ({"order": "life"}, "did you mean 'half-life'"),
        ({"unit": -1}, "at least 0, got -1"),
        ({"draw": "unit"}, "needs option 'unit'"),
        ({"draw": "saturation", "quantity": "c"}, "'quantity' does nothing .* heat-map or unit"),
        ({"draw": "heat-map", "unit": 1}, "'unit' does nothing .* draw unit"),
        ({"unit": 1, "order": "number"}, "'order' does nothing .* draw heat-map"),
        ({"draw": "attention", "layer": "l0"}, "'layer' does nothing"),
        ({"draw": "gradients", "steps": (0, 3)}, "'steps' does nothing"),
        ({"steps": (5,)}, "a begin and a later end, such as 0 and 200, got 5"),
        ({"steps": (5, 5)}, "got 5 5"),
        ({"steps": (1, 2, 3)}, "got 1 2 3"),
        ({"step": (1, 2)}, "did you mean 'steps'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_seen(
    values: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        FigureOptions(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"layer": "encoder.l1"}, "no layer 'encoder.l1'; did you mean 'encoder.l0'"),
        ({"unit": 6}, "from 0 to 5 in layer 'encoder.l0', got 6"),
        ({"unit": 8, "layer": "decoder.l0"}, "from 0 to 7 in layer 'decoder.l0'"),
        ({"unit": 3, "layer": "decoder.l0", "quantity": "h"}, "from 0 to 2 in layer"),
        ({"steps": (0, 6)}, "an end of 5 at most, as long as axis 'source' is, got 6"),
        ({"steps": (0, 6), "draw": "attribution"}, "an end of 5 at most"),
        (
            {"quantity": "h", "layer": "decoder.l0", "order": "half-life"},
            "a projection to 3 numbers",
        ),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_is_written(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(OptionError, match=words):
        rich().plot(path, **values)
    with pytest.raises(OptionError, match=words):
        FigureOptions(**values).check_names(rich())
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("attention", "this model does not attend"),
        ("gradients", r"with_gradients\(\), or --flow"),
        ("attribution", "explain='both'"),
    ],
)
def test_what_was_not_looked_at_is_not_drawn(figure: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=words):
        seen().plot(tmp_path / "a.png", draw=figure)
    assert list(tmp_path.iterdir()) == []


def test_gradients_of_a_layer_that_has_none_are_not_drawn(tmp_path: Path) -> None:
    found = seen().with_gradients()
    one = replace(found, flows=[flow for flow in found.flows if flow.layer == "lstm.l0"])
    one.plot(tmp_path / "a.png", draw="gradients", layer="lstm.l0")
    with pytest.raises(OptionError, match="no gradients to draw"):
        one.plot(tmp_path / "b.png", draw="gradients", layer="lstm.l0_reverse")


def test_other_models_gradients_stand_beside_every_layer() -> None:
    found = rich().with_gradients()
    for name, expected in ((None, ["encoder.l0", "plain RNN"]), ("decoder.l0", ["plain RNN"])):
        chosen = FigureOptions(draw="gradients", layer=name)
        assert [flow.layer for flow in chosen.flows(found)] == expected


def test_a_sequence_of_no_steps_is_not_drawn(tmp_path: Path) -> None:
    axis = text_axis("")
    empty = Inspection(title="", axes={"text": axis}, layers={"l0": layer(axis)})
    none = Inspection(title="", axes={"text": axis}, layers={})
    for one in (empty, none):
        with pytest.raises(OptionError, match="nothing to draw"):
            one.plot(tmp_path / "a.png")


def test_a_text_of_many_pages_is_not_one_figure(tmp_path: Path) -> None:
    axis = text_axis("a" * (MOST_STEPS + 1))
    values = plain(c=np.zeros((len(axis), 1)))
    long = Inspection(title="", axes={"text": axis}, layers={"l0": values})
    with pytest.raises(OptionError, match=r"at most 4,000 steps, got 4,001; .* 0 to 4000"):
        long.plot(tmp_path / "a.png", unit=0)
    long.plot(tmp_path / "a.png", unit=0, steps=(0, 80))


def test_a_figure_of_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.png or \.svg"):
        seen().plot(tmp_path / "a.pdf")
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="found a folder"):
        seen().plot(tmp_path / "a.png")
