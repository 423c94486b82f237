"""The guided tour shows what the equations give: its numbers agree with each other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import _tour
import carousel
from carousel.inspection.contents import LayerValues

ROOT = Path(__file__).resolve().parent.parent
# Each number is off by half a unit of the last digit that is written.
ROUNDED = 0.5 * 10.0**-_tour.DIGITS


@pytest.fixture
def data() -> dict[str, object]:
    text = _tour.DATA.read_text("utf-8")
    assert text.startswith(_tour.BEGIN)
    return json.loads(text[len(_tour.BEGIN) : -len(_tour.END)])


def sigmoid(sums: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-sums))


def test_the_numbers_are_those_of_the_equations(data: dict[str, object]) -> None:
    for unit in data["units"].values():
        found = {name: np.array(row) for name, row in unit.items() if isinstance(row, list)}
        assert {len(row) for row in found.values()} == {len(data["text"])}
        for gate in "fio":
            assert ((found[gate] >= 0) & (found[gate] <= 1)).all()  # 1 - 1e-7 is written as 1
            # σ and tanh are no steeper than 1; float32 sums of some hundred terms are within 1e-4.
            assert np.abs(sigmoid(found[f"{gate}_sum"]) - found[gate]).max() < 1e-4
        assert np.abs(np.tanh(found["g_sum"]) - found["g"]).max() < 1e-4
        before = np.array([unit["before_c"], *unit["c"][:-1]])
        c = found["f"] * before + found["i"] * found["g"]
        # Of a product either factor is rounded: the memory is the larger one.
        assert np.abs(c - found["c"]).max() < ROUNDED * (4 + np.abs(before).max())
        h = found["o"] * np.tanh(found["c"])
        assert np.abs(h - found["h"]).max() < 4 * ROUNDED


def test_the_page_asks_for_nothing_that_is_not_there(data: dict[str, object]) -> None:
    page = (ROOT / "docs" / "tour.md").read_text("utf-8")
    places = re.findall(r'class="carousel-tour" data-unit="(\w+)" data-quantity="(\w)"', page)
    assert {quantity for _, quantity in places} == set("figcoh")
    assert {unit for unit, _ in places} <= set(data["units"])
    for name in re.findall(r'"_static/([^"]+)"', page):
        assert (ROOT / "docs" / "_static" / name).exists()


def test_numbers_are_those_of_the_inspected_unit() -> None:
    torch.manual_seed(0)
    lstm = carousel.LSTM(3, 5)
    seen = carousel.inspect(lstm, torch.randn(7, 3))
    layer: LayerValues = seen.layer("l0")
    found = _tour.numbers(layer, 2, "l0")
    assert found["c"] == pytest.approx(layer.c[:, 2].tolist(), abs=2 * ROUNDED)
    assert sigmoid(np.array(found["o_sum"])) == pytest.approx(layer.o[:, 2], abs=1e-5)


def test_the_unit_is_the_one_that_follows_best() -> None:
    torch.manual_seed(0)
    lstm = carousel.LSTM(1, 6)
    track = torch.randn(40)
    seen = carousel.inspect(lstm, track[:, None], tracks={"wave": track.numpy()})
    name, unit, correlation = _tour.best(seen, "wave")
    c = seen.layer(name).c
    expected = [np.corrcoef(c[:, k], track)[0, 1] for k in range(6)]
    assert unit == int(np.argmax(np.abs(expected)))
    assert correlation == pytest.approx(expected[unit], abs=1e-3)
