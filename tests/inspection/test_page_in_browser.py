"""The page in a real browser: it does what it says."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np
import pytest
from tests.inspection.browser import Page, one_page
from tests.inspection.recorded import (
    TEXT,
    planted,
    series_axis,
    spectrogram_axis,
    text_axis,
    traced,
    with_everything,
)
from tests.inspection.test_page import EVIL

from _browser import resize
from carousel.inspection.contents import QUANTITIES, Axis


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from one_page(tmp_path_factory)


def test_hovering_shows_a_cell_and_a_click_keeps_it(page: Page) -> None:
    from selenium.webdriver import ActionChains

    contents = traced(text_axis())
    page.open(contents)
    stage = page.chrome.find_element("css selector", ".stage")
    width, height = stage.size["width"], stage.size["height"]
    T, H = len(TEXT), 7

    def point(step: int, row: int) -> ActionChains:
        x = (step + 0.5) * width / T - width / 2
        y = (row + 0.5) * height / H - height / 2
        return ActionChains(page.chrome).move_to_element_with_offset(stage, round(x), round(y))

    point(10, 2).perform()
    seen = page.value("carousel.view()")
    assert (seen["step"], seen["unit"], seen["pinned"]) == (10, 2, False)
    reading = page.text("#reading")
    assert "step 10" in reading
    assert "unit 2" in reading
    assert "memory cell" in reading
    assert f"{contents.layers['lstm.l0'].c[10, 2]:.4f}".lstrip("-") in reading
    for letter in "figoc":  # each in its equation
        assert f"{abs(getattr(contents.layers['lstm.l0'], letter)[10, 2]):.4f}" in page.text(
            f"#step-body [data-quantity={letter}] .numbers"
        )
    point(20, 5).click().perform()
    point(30, 1).perform()
    seen = page.value("carousel.view()")
    assert (seen["step"], seen["unit"], seen["pinned"]) == (20, 5, True)
    assert page.text("#step-title").startswith("Unit 5 at step 20")
    page.keys("\ue00c")  # Escape
    point(31, 1).perform()
    assert page.value("carousel.view()")["step"] == 31


def test_keys_do_what_the_page_says(page: Page) -> None:
    page.open(traced(text_axis()))
    start = page.value("carousel.view()")
    assert (start["step"], start["unit"], start["quantity"]) == (0, 0, "c")
    page.keys("\ue014", "\ue014", "\ue015")  # right, right, down
    seen = page.value("carousel.view()")
    assert (seen["step"], seen["unit"]) == (2, 1)
    assert "step 2" in page.value("document.getElementById('spoken').textContent")
    for k, quantity in enumerate(QUANTITIES):
        page.keys(str(k + 1))
        assert page.value("carousel.view().quantity") == quantity
    assert page.value("document.querySelector('#quantity input:checked').value") == "h"
    page.keys("]")
    assert page.value("carousel.view().layer") == "lstm.l1"
    page.keys("[", "s")
    assert page.value("carousel.view().layer") == "lstm.l0"
    assert page.value("carousel.view().order") == "half-life"
    page.keys("+", "+")
    wide = page.value("document.querySelector('.spacer').offsetWidth")
    assert wide > page.value("document.querySelector('.scroller').clientWidth") * 1.5
    page.keys("0")
    fits = page.value("document.querySelector('.spacer').offsetWidth")
    assert fits <= page.value("document.querySelector('.scroller').clientWidth")
    page.keys("/")
    page.keys("why", "\ue007")
    assert page.value("carousel.view().step") == TEXT.index("why")
    page.keys("?")
    assert page.value("document.getElementById('help').open") is True
    page.keys("\ue00c")
    assert page.value("document.getElementById('help').open") is False
    assert page.problems() == []


def test_units_that_are_on_together_are_found_again(page: Page) -> None:
    spans = [(10, 14), (33, 40), (50, 51)]
    page.open(planted(spans))
    page.value("carousel.change({span: [10, 14], threshold: 1})")
    assert "2 of 8 units" in page.text("#search-body")
    assert page.value("carousel.view().found") == [2, 5]
    places = page.value("carousel.places('l0', 'c', [10, 14])")
    assert places["units"] == [2, 5]
    assert [(each["first"], each["last"]) for each in places["places"]] == [(33, 40), (50, 51)]
    assert all((each["same"], each["more"]) == (2, 0) for each in places["places"])
    page.run("document.querySelector('.place').click();")
    assert page.value("carousel.view().step") == 33
    # Longer than the span: off just outside is asked for, and is not so.
    page.value("carousel.change({span: [11, 13], alone: true})")
    assert page.value("carousel.view().found") == []
    page.value("carousel.change({span: [10, 14]})")
    assert page.value("carousel.view().found") == [2, 5]
    page.value("carousel.change({above: false, alone: false, threshold: 0.4})")
    assert page.value("carousel.view().found") == [0, 1, 3, 4, 6, 7]


def test_a_drag_over_the_sequence_chooses_a_span(page: Page) -> None:
    from selenium.webdriver import ActionChains

    page.open(planted([(10, 14)]))
    strip = page.chrome.find_element("css selector", ".strip")
    box = page.value(
        "(() => { const b = document.querySelector('.scroller'); return [b.clientWidth]; })()"
    )
    cell = box[0] / 60

    def along(step: float) -> int:
        return round(64 + (step + 0.5) * cell - strip.size["width"] / 2)

    (
        ActionChains(page.chrome)
        .move_to_element_with_offset(strip, along(10), 0)
        .click_and_hold()
        .move_to_element_with_offset(strip, along(12), 0)
        .move_to_element_with_offset(strip, along(14), 0)
        .release()
        .perform()
    )
    assert page.value("carousel.view().span") == [10, 14]
    page.run("document.getElementById('clear-span').click();")
    assert page.value("carousel.view().span") is None
    assert "Drag over the sequence" in page.text("#search-body")


def test_two_inputs_and_their_difference(page: Page) -> None:
    first, second = traced(text_axis()), traced(text_axis("She said nothing."))
    page.open(first, second)
    a, b = (each.layers["lstm.l0"] for each in (first, second))
    assert page.value("carousel.value('lstm.l0', 'c', 12, 3, 1)") == float(b.c[12, 3])
    page.value("carousel.change({input: 'difference', quantity: 'h'})")
    page.value("carousel.moveTo(12, 3)")
    rows = list(csv.reader(io.StringIO(page.value("carousel.csv()"))))
    assert len(rows) == 1 + len(b)  # up to the shorter
    shown = np.array([[float(x) for x in row[3:]] for row in rows[1:]], np.float32)
    np.testing.assert_allclose(shown, a.h[: len(b)] - b.h, atol=2e-7)
    words = page.text("#step-body")
    assert "A − B" in words
    page.value("carousel.change({input: 'both'})")
    assert (
        page.value("[...document.querySelectorAll('.pane')].filter((p) => !p.hidden).length") == 2
    )
    assert page.problems() == []


def test_saved_values_are_the_float32_of_the_layer(page: Page) -> None:
    contents = traced(text_axis(), num_layers=1)
    page.open(contents)
    page.value("carousel.change({quantity: 'g', order: 'activity'})")
    rows = list(csv.reader(io.StringIO(page.value("carousel.csv()"))))
    units = [int(name.removeprefix("unit ")) for name in rows[0][3:]]
    assert units == page.value("carousel.order()")
    assert [row[2] for row in rows[1:]] == list(TEXT)
    shown = np.array([[float(x) for x in row[3:]] for row in rows[1:]], np.float32)
    np.testing.assert_array_equal(shown, contents.layers["lstm.l0"].g[:, units])


def test_a_step_s_numbers_are_copied_as_exact_as_they_are(page: Page) -> None:
    contents = traced(text_axis())
    page.open(contents)
    page.value("carousel.moveTo(7, 4)")
    lines = dict(line.split("\t") for line in page.value("carousel.tsv()").splitlines())
    layer = contents.layers["lstm.l0"]
    for letter in QUANTITIES:
        assert np.float32(lines[letter]) == getattr(layer, letter)[7, 4]
    assert float(lines["f sum"]) == pytest.approx(
        sum(float(lines[f"f {part}"]) for part in ("recurrent", "input", "bias")), abs=1e-7
    )
    assert lines["name"] == TEXT[7]


def test_files_are_saved(page: Page) -> None:
    page.open(traced(text_axis()))
    for button, ending, begins in (
        ("save-picture", ".png", b"\x89PNG"),
        ("save-values", ".csv", b"\xef\xbb\xbfinput,step,name,unit 0"),
    ):
        path = page.folder / f"lstm.l0-c{ending}"
        page.chrome.find_element("id", button).click()  # a person's, or the second is not let
        for _ in range(100):
            if path.exists():
                break
            page.run("await new Promise((resolve) => setTimeout(resolve, 50));")
        assert path.read_bytes().startswith(begins)


def test_gradients_attention_and_attributions_are_shown_where_there_are_some(page: Page) -> None:
    page.open(with_everything())
    assert page.value("document.getElementById('attention-card').hidden") is False
    assert page.value("document.getElementById('flow-content').hidden") is False
    assert "plain RNN" in page.text("#flow-key")
    assert page.value("document.querySelectorAll('#flow-curve polyline').length") == 2
    back = len(with_everything().axes["target"]) - 1
    assert f"{0.9**back:.3g} after {back} steps" in page.text("#flow-key")
    assert f"{0.5**back:.3g} after {back} steps" in page.text("#flow-key")
    assert "together" in page.text("#attribution-words")
    weights = with_everything().attentions[0].weights
    for row, column in ((0, 0), (4, 7), (10, 9)):
        said = page.value(POINTED, row, column, *weights.shape)
        assert f"step {row} " in said
        assert f"step {column} " in said
        assert f"{weights[row, column]:.3f}" in said
    page.value("carousel.change({layer: 'decoder.lstm.l1'})")
    assert page.problems() == []
    page.open(traced(text_axis()))
    assert page.value("document.getElementById('attention-card').hidden") is True
    assert page.value("document.getElementById('flow-empty').hidden") is False
    assert page.value("document.getElementById('attribution-control').hidden") is True
    assert page.problems() == []


# What the page says of a cell of the attention, whose names stand above and to the left.
POINTED = """(async () => {
  const [row, column, rows, columns] = given;
  const canvas = document.querySelector("#attention-map canvas");
  const box = canvas.getBoundingClientRect();
  const said = () => document.querySelector("#attention-map output").textContent;
  const point = (x, y) => {
    const place = { clientX: box.left + x, clientY: box.top + y };
    canvas.dispatchEvent(new PointerEvent("pointermove", place));
    return said();
  };
  let [left, top] = [0, 0];
  while (left < box.width && !/attends/.test(point(left, box.height - 2))) left += 1;
  while (top < box.height && !/attends/.test(point(box.width - 2, top))) top += 1;
  return point(
    left + ((column + 0.5) * (box.width - left)) / columns,
    top + ((row + 0.5) * (box.height - top)) / rows,
  );
})()"""


def test_the_policy_holds_in_the_browser(page: Page) -> None:
    page.open(traced(text_axis()))
    page.run(
        """
        const script = document.createElement("script");
        script.textContent = "window.pwned = 1;";
        document.body.append(script);
        await fetch("http://127.0.0.1:9/").catch(() => null);
        const image = new Image();
        image.src = "http://127.0.0.1:9/a.png";
        await frame();
        """
    )
    assert page.value("window.pwned") is None
    refused = page.value("window.problems")
    assert {"script-src-elem", "connect-src", "img-src"} <= set(refused)


CASES = {
    "series": lambda: traced(series_axis()),
    "one line": lambda: traced(series_axis(columns=1)),
    "many lines": lambda: traced(series_axis(columns=9)),
    "spectrogram": lambda: traced(spectrogram_axis(), bidirectional=True),
    "projection": lambda: traced(text_axis(), proj_size=3),
    "variant": lambda: traced(text_axis(), cell_clip=0.1),
    "one step": lambda: traced(text_axis("a"), hidden_size=1),
    "no step": lambda: traced(text_axis("")),
    "evil": lambda: traced(
        Axis(name=EVIL, kind="words", names=[EVIL, "\n", " ", ""] * 3), title=EVIL
    ),
    "steps": lambda: traced(Axis(name="input", names=[str(t) for t in range(30)])),
}


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_sequence_and_cell_is_shown(page: Page, case: str) -> None:
    contents = CASES[case]()
    page.open(contents)
    for quantity in QUANTITIES:
        page.value("carousel.change({quantity: given[0]})", quantity)
        page.value("carousel.moveTo(0, 0)")
        page.value("carousel.moveTo(1e9, 1e9)")
    page.value("carousel.change({scale: 'unit', span: [0, 3]})")
    for layer in contents.layers:
        page.value("carousel.change({layer: given[0]})", layer)
    assert page.value("window.pwned") is None
    assert page.problems() == []
    assert page.value("performance.getEntriesByType('resource').length") == 0


def test_the_picture_fits_again_when_its_room_changes(page: Page) -> None:
    page.open(traced(text_axis()))
    for width in (1400, 1000):
        resize(page.chrome, (width, 1000))
        page.run("await frame(); await frame();")
        room, cells, heat, line = page.value(
            """(() => {
              const width = (css) => document.querySelector(css).getBoundingClientRect().width;
              const room = document.querySelector(".scroller").clientWidth;
              return [room, width(".spacer"), width(".heat"), width(".unit-line")];
            })()"""
        )
        assert room - 1 <= cells <= room
        assert heat == room
        assert line == room + 64  # the gutter
