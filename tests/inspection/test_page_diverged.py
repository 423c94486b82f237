"""The page of a model that diverged, in a real browser: what is not a number is said to be none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.inspection.browser import Page, one_page
from tests.inspection.recorded import TEXT, flow, planted, text_axis, traced

from carousel.inspection.contents import Contents

START = 20  # the first step that has no number


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from one_page(tmp_path_factory)


def diverged() -> Contents:
    """Both directions of a layer that reads NaN once, without weights, as a recording has it."""
    inputs = np.random.default_rng(0).normal(size=(len(TEXT), 4)).astype(np.float32)
    inputs[START, 1] = np.nan
    contents = traced(text_axis(), inputs=inputs, num_layers=1, bidirectional=True)
    layers = {name: replace(layer, weights=None) for name, layer in contents.layers.items()}
    gains = flow("lstm.l0", len(TEXT), 0.5)
    lost = replace(gains, of_h=gains.of_h * np.nan, of_c=gains.of_h * np.nan)
    return replace(contents, layers=layers, flows=[lost])


def test_no_card_has_numbers_of_what_is_none(page: Page) -> None:
    page.open(diverged())
    words = {}
    for layer, how in (("lstm.l0", "on"), ("lstm.l0_reverse", "on, backwards")):
        page.value("carousel.change({layer: given[0]})", layer)
        page.value("carousel.moveTo(3, 2)")
        said = f"not a number from step {START} {how}"
        unit = page.text("#unit-body")
        assert f"{said}.".capitalize() in unit
        means = "[...document.querySelectorAll('#unit-body dd')].map((each) => each.textContent)"
        assert page.value(means) == ["not a number"] * 6
        assert "follows nothing" in unit
        assert said.capitalize() in page.text("#followed-body")
        assert said.capitalize() in page.text("#gates-lost")
        assert page.value("document.querySelectorAll('.dots circle').length") == 0
        assert said in page.text("#layers-body")
        words[layer] = unit + page.text("#layers-body") + page.text("#followed-body")
    for text in words.values():
        assert "∞" not in text
        assert "never" not in text
        assert "0.0" not in text
        assert "NaN" not in text
    assert "not a number" in page.text("#flow-key")
    assert page.problems() == []


def test_a_cell_that_is_none_is_no_variant(page: Page) -> None:
    page.open(diverged())
    said = f"not a number from step {START} on"
    for step in (3, START, START + 5):
        page.value("carousel.moveTo(given[0], 2)", step)
        text = page.text("#step-body")
        assert "variant" not in text
        assert f"This layer is {said}, so each sum is worked out backwards" in text
        assert (f"Unit 2 is {said}." in text) == (step >= START)
        assert ("NaN" in page.text("#reading")) == (step >= START)
    page.open(planted([(3, 5)]))  # whose cells have no equation
    page.value("carousel.moveTo(4, 2)")
    assert page.text("#step-body").count("a variant") == 2


def test_what_is_none_is_hatched(page: Page) -> None:
    contents = diverged()
    page.open(contents)
    for quantity in "fc":
        page.value("carousel.change({quantity: given[0]})", quantity)
        page.value("carousel.moveTo(0, 0)")
        shares = page.value(INK, len(TEXT))
        assert min(shares[:START]) == 1
        assert 0.1 < min(shares[START:]) <= max(shares[START:]) < 0.9
        assert "hatched: not a number" in page.text("#legend")
    page.open(traced(text_axis()))
    assert "hatched" not in page.text("#legend")
    assert min(page.value(INK, len(TEXT))) == 1


# The share of each step's pixels that are painted.
INK = """(() => {
  const canvas = document.querySelector(".heat");
  const wide = canvas.width / given[0];
  return Array.from({ length: given[0] }, (_, t) => {
    const [left, right] = [Math.ceil(t * wide) + 1, Math.floor((t + 1) * wide) - 1];
    const { data } = canvas.getContext("2d").getImageData(left, 0, right - left, canvas.height);
    let painted = 0;
    for (let k = 3; k < data.length; k += 4) painted += data[k] > 0 ? 1 : 0;
    return (4 * painted) / data.length;
  });
})()"""


def test_some_units_may_be_lost_and_others_not(page: Page) -> None:
    contents = traced(text_axis(), num_layers=1)
    layer = contents.layers["lstm.l0"]
    f, c = layer.f.copy(), layer.c.copy()
    f[START:, 3] = np.nan
    c[START, 4] = np.inf
    page.open(replace(contents, layers={"lstm.l0": replace(layer, f=f, c=c)}))
    some = f"2 of 7 units: not a number from step {START} on"
    assert some in page.text("#layers-body")
    assert page.value("document.querySelectorAll('#gate-f .dots circle').length") == 6
    for unit, words in (
        (3, f"Not a number from step {START} on."),
        (4, f"Not a number at step {START}."),
        (5, None),
    ):
        page.value("carousel.moveTo(0, given[0])", unit)
        found = page.text("#unit-body")
        assert ("ot a number" in found) == (words is not None)
        assert words is None or words in found
    followers = page.text("#followed-body")
    assert "0.00" not in followers
    assert page.problems() == []


def test_a_memory_that_is_never_halved_is_not_none(page: Page) -> None:
    contents = planted([(3, 5)])
    f = contents.layers["l0"].f.copy()
    f[:, 1:] = 1
    page.open(replace(contents, layers={"l0": replace(contents.layers["l0"], f=f)}))
    for unit in (0, 1):
        page.value("carousel.moveTo(0, given[0])", unit)
        assert ("never halved" in page.text("#unit-body")) == (unit == 1)
    assert "∞" in page.text("#layers-body")  # the median
    assert "not a number" not in page.text("#layers-body")


def test_a_start_that_is_not_finite_is_what_it_was(page: Page) -> None:
    contents = traced(text_axis(), num_layers=1)
    layer = contents.layers["lstm.l0"]
    start = np.array([np.nan, np.inf, -np.inf, 1, 0, 0, 0], np.float32)
    page.open(replace(contents, layers={"lstm.l0": replace(layer, before_c=start)}))
    lines = []
    for unit in range(4):
        page.value("carousel.moveTo(0, given[0])", unit)
        lines.append(dict(line.split("\t") for line in page.value("carousel.tsv()").splitlines()))
    assert [line["c before"] for line in lines] == ["NaN", "Infinity", "-Infinity", "1"]
    assert page.problems() == []
