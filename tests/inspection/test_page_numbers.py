"""The page's numbers in a real browser: they are the equations', and the picture shows them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.inspection.browser import Page, one_page
from tests.inspection.equation_runs import LETTERS
from tests.inspection.recorded import exact_step, text_axis, traced
from tests.inspection.recorded_layers import textbook

from carousel.inspection import page as page_module
from carousel.inspection.contents import Contents, LayerValues
from carousel.inspection.page_blocks import Precision

# Of float32 sums of a few terms of size 1, against float64.
ROUNDING = 3e-6


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from one_page(tmp_path_factory)


def cells(contents: Contents, name: str) -> list[tuple[int, int]]:
    """Some steps and units of a layer, both ends among them."""
    layer = contents.layers[name]
    rng = np.random.default_rng(1)
    T, H = layer.c.shape
    ends = [(0, 0), (T - 1, H - 1), (0, H - 1), (T - 1, 0)]
    return ends + [(int(rng.integers(T)), int(rng.integers(H))) for _ in range(6)]


@pytest.mark.parametrize(
    ("values", "weights"), [(32, 32), (16, 16), (12, 8), (8, 8), (8, 0)], ids=str
)
def test_the_numbers_are_those_of_the_equations(
    page: Page, monkeypatch: pytest.MonkeyPatch, values: int, weights: int
) -> None:
    precision = Precision(values=values, weights=weights)
    monkeypatch.setattr(page_module, "PRECISIONS", (precision,))
    contents = traced(text_axis(), bidirectional=True)
    page.open(contents)
    assert page.value("carousel.precision") == vars(precision)
    bounds = page.value("carousel.bounds")
    asked = [(name, t, unit) for name in contents.layers for t, unit in cells(contents, name)]
    answers = page.value("Promise.all(given[0].map((each) => carousel.equation(...each)))", asked)
    for (name, t, unit), found in zip(asked, answers, strict=True):
        layer = contents.layers[name]
        exact = exact_step(layer, t)
        for letter, attribute in LETTERS.items():
            shown = found[letter]
            # What the engine computed is itself float32.
            wanted = float(getattr(exact, attribute)[unit])
            assert abs(shown["value"] - wanted) <= shown["bound"] + ROUNDING, (name, letter)
            recorded = float(getattr(layer, letter)[t, unit])
            assert abs(shown["value"] - recorded) <= shown["bound"] + 1e-9
            assert shown["value"] == recorded or values < 32
            assert shown["bound"] <= bounds[letter] * (1 + 1e-9)
        for letter in "ifgo":
            assert 0 < found[letter]["value"] < 1 or letter == "g"
            if not weights:
                assert "recurrent" not in found[letter]
                continue
            off = found[letter]["off"] + ROUNDING
            for part, number in exact_parts(layer, letter, t, unit).items():
                assert abs(found[letter][part] - number) <= off, (name, letter, part)
    assert page.problems() == []


def exact_parts(layer: LayerValues, gate: str, t: int, unit: int) -> dict[str, float]:
    """Returns the parts of a gate's sum in float64: W h + V x + b."""
    letter = "c" if gate == "g" else gate
    W = getattr(textbook(layer), f"W_{letter}")[unit]
    bias = float(getattr(textbook(layer), f"b_{letter}")[unit])
    h = torch.as_tensor(layer.before("h")[t]).double()
    x = torch.as_tensor(layer.inputs[t]).double()
    recurrent, read = float(W[: len(h)] @ h), float(W[len(h) :] @ x)
    return {"recurrent": recurrent, "input": read, "bias": bias, "sum": recurrent + read + bias}


def test_without_weights_the_sum_is_the_gate_s_own(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "PRECISIONS", (Precision(values=32, weights=0),))
    contents = traced(text_axis())
    page.open(contents)
    found = page.value("carousel.equation('lstm.l1', 9, 3)")
    layer = contents.layers["lstm.l1"]
    assert found["f"]["sum"] == pytest.approx(
        float(torch.logit(torch.tensor(layer.f[9, 3]).double())), abs=1e-9
    )
    assert found["g"]["sum"] == pytest.approx(float(np.arctanh(float(layer.g[9, 3]))), abs=1e-9)
    page.value("carousel.moveTo(9, 3)")
    assert "worked out backwards" in page.text("#step-body")


def test_the_largest_parts_of_a_sum_add_up_to_it(page: Page) -> None:
    contents = traced(text_axis())
    layer = contents.layers["lstm.l1"]
    page.open(contents)
    found = page.value("carousel.largest('lstm.l1', 'o', 20, 4)")
    assert len(found) == 7 + 7
    sums = page.value("carousel.equation('lstm.l1', 20, 4)")["o"]
    assert sum(each["product"] for each in found) + sums["bias"] == pytest.approx(sums["sum"])
    assert layer.weights is not None
    of_h = [each for each in found if each["from"] == "h"]
    row = 3 * 7 + 4  # gates are packed i, f, g, o
    for each in of_h:
        assert each["weight"] == float(layer.weights.recurrent[row, each["k"]])
        assert each["value"] == float(layer.h[19, each["k"]])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_shows_the_values(page: Page, theme: str) -> None:
    contents = traced(text_axis(), num_layers=1)
    page.open(contents, theme=theme)
    for quantity in ("f", "c"):
        page.value("carousel.change({quantity: given[0], order: 'half-life'})", quantity)
        seen = page.value(PIXELS, contents.layers["lstm.l0"].c.shape[0], 7)
        values = getattr(contents.layers["lstm.l0"], quantity).astype(np.float64)
        order = page.value("carousel.order()")
        assert sorted(order) == list(range(7))
        shades = page.value("carousel.shades()")["sequential" if quantity == "f" else "diverging"]
        high = 1.0 if quantity == "f" else np.abs(values).max()
        low = 0.0 if quantity == "f" else -high
        wanted = coloured(values, shades, low, high)[:, order].T
        # The cursor's own lines cover one row and one column.
        same = np.array(seen) == wanted
        assert same[1:, 1:].all()


def coloured(
    values: np.ndarray, shades: list[int], low: float | np.ndarray, high: float | np.ndarray
) -> np.ndarray:
    """Returns the colours, red lowest, of values that a range of shades shows."""
    level = np.clip(np.floor((values - low) / (high - low) * 256), 0, 255).astype(int)
    return np.array(shades)[level] & 0xFFFFFF


def test_a_picture_that_waits_for_other_values_keeps_its_own_shades(page: Page) -> None:
    contents = traced(text_axis())
    page.open(contents)
    layer = contents.layers["lstm.l0"]
    T, H = layer.c.shape
    seen = page.run(f"{WAITING} const waiting = {PIXELS}; {READ} return waiting;", T, H)
    largest = np.abs(layer.c.astype(np.float64)).max(0)
    shades = page.value("carousel.shades()")
    wanted = coloured(layer.c.astype(np.float64), shades["diverging"], -largest, largest).T
    assert (np.array(seen) == wanted)[1:, 1:].all()
    seen = page.value(PIXELS, T, H)
    values = layer.o.astype(np.float64)
    wanted = coloured(values, shades["sequential"], 0.0, values.max(0)).T
    assert (np.array(seen) == wanted)[1:, 1:].all()


# Another layer's gate is asked for, and for a frame its values are not there yet; then the layer
# that was shown before is asked for the same gate.
WAITING = """
  const { arrayBuffer } = Response.prototype;
  let read;
  const asked = new Promise((resolve) => { read = resolve; });
  Response.prototype.arrayBuffer = async function () {
    await asked;
    return arrayBuffer.call(this);
  };
  carousel.change({ layer: "lstm.l1", scale: "unit" });
  carousel.change({ quantity: "o" });
  await frame();
"""
READ = """
  read();
  Response.prototype.arrayBuffer = arrayBuffer;
  carousel.change({ layer: "lstm.l0" });
  await frame();
"""


# The colour in the middle of each cell, a little off it, row by row.
PIXELS = """(() => {
  const canvas = document.querySelector(".heat");
  const [T, H] = given;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const rows = [];
  for (let row = 0; row < H; row += 1) {
    rows.push([]);
    for (let t = 0; t < T; t += 1) {
      const x = Math.floor(((t + 0.5) * canvas.width) / T);
      const y = Math.floor((row + 0.5) * (canvas.height / H));
      const k = 4 * (y * canvas.width + x);
      rows[row].push(data[k] | (data[k + 1] << 8) | (data[k + 2] << 16));
    }
  }
  return rows;
})()"""


def test_shades_can_be_read_in_grey(page: Page) -> None:
    page.open(traced(text_axis()))
    for _ in range(2):
        for shades in page.value("carousel.shades()").values():
            packed = np.array(shades)
            rgb = np.stack([(packed >> shift) & 255 for shift in (0, 8, 16)]) / 255
            linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
            luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear
            rises = np.diff(luminance) * np.sign(luminance[-1] - luminance[0])
            assert rises.min() > -0.002  # eight bits a colour leave so much
            assert (luminance[8:] != luminance[:-8]).all()
            assert abs(luminance[-1] - luminance[0]) > 0.5
        page.keys("t")


def test_a_browser_without_its_own_base64_reads_the_same(page: Page) -> None:
    contents = traced(text_axis())
    script = {"source": "delete Uint8Array.fromBase64;"}
    added = page.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    try:
        page.open(contents)
        assert page.value("typeof Uint8Array.fromBase64") == "undefined"
        found = page.value("carousel.value('lstm.l1', 'c', 11, 2)")
    finally:
        page.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert found == float(contents.layers["lstm.l1"].c[11, 2])
