"""The page's words in a real browser: names of any length and kind, titles, what is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.inspection.browser import Page, one_page
from tests.inspection.recorded import TEXT, text_axis, traced, with_everything, word_axis

from carousel.inspection.contents import Axis, Contents
from carousel.inspection.strips import step_name

NAME, TITLE = "track" * 40, "A very long title, of words and words, of which there are many. " * 8


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from one_page(tmp_path_factory)


def long_winded() -> Contents:
    """An inspection of which everything has a long name."""
    T = 40
    rng = np.random.default_rng(2)
    axis = Axis(
        name="axis" * 50,
        kind="words",
        names=["step" * 50] * T,
        values=rng.normal(size=(T, 3)).astype(np.float32),
        columns=["column" * 40, "b" * 200, "c"],
        tracks={NAME: np.arange(T, dtype=np.float32), "short": rng.normal(size=T)},
    )
    contents = traced(axis, inputs=axis.values, title=TITLE)
    flows = [replace(each, layer="flow" * 50) for each in with_everything().flows[1:]]
    layers = {f"{'module.' * 25}{name}": layer for name, layer in contents.layers.items()}
    return replace(contents, layers=layers, flows=flows)


# Of an element the words, their height in lines, and the title that says all of them.
MEASURED = """((css) => {
  const element = document.querySelector(css);
  const lines = element.offsetHeight / parseFloat(getComputedStyle(element).lineHeight);
  return [element.textContent, Math.round(lines), element.title];
})(given[0])"""


@pytest.mark.parametrize("width", [400, 1000, 1500])
def test_long_names_are_cut_to_a_line_or_two(page: Page, width: int) -> None:
    contents = long_winded()
    page.open(contents, size=(width, 1000))
    whole = page.value("carousel.seen(given[0])", TITLE)
    assert page.value(MEASURED, "#title .lines") == [whole, 2, whole]
    page.value("carousel.moveTo(3, 2)")
    for css, words in (
        (f"#followed-body .line[title={NAME}]", NAME),
        (f"#unit-body .line[title={NAME}], #unit-body [title^={NAME}] .line", NAME),
        ("#layers-body .line", next(iter(contents.layers))),
        ("#flow-key .line", "flow" * 50 + ":"),
        ("#step-body table .line", None),
    ):
        found, lines, title = page.value(MEASURED, css)
        assert lines == 1, css
        assert words in (None, found), css
        assert title in ("", found), css  # or of the button around it
    # The units that follow a thing stand beside it, in the card or where that scrolls to.
    beside = page.value(
        """(() => {
          const host = document.getElementById("followed-body");
          const { right } = host.getBoundingClientRect();
          return [...host.querySelectorAll("tr")].map((row) =>
            row.querySelector("button").getBoundingClientRect().right <= right);
        })()"""
    )
    assert beside
    assert all(beside)
    title = page.value("document.getElementById('step-title').title")
    assert title == "step" * 50
    assert len(page.text("#step-title")) < 120
    assert len(page.text("#reading")) < 400


def test_long_titles_of_two_inputs_are_cut_and_both_are_seen(page: Page) -> None:
    titles = [f"{which} {TITLE}".strip() for which in ("first", "second")]
    page.open(*(traced(text_axis(), title=title) for title in titles))
    for choice, count in (("both", 2), ("difference", 2), ("B", 1)):
        page.value("carousel.change({input: given[0]})", choice)
        for css, seen in (("#title .line", titles), (SHOWN_TITLES, titles[-count:])):
            found = page.value(
                "[...document.querySelectorAll(given[0])].filter((each) => each.offsetWidth)"
                ".map((each) => [each.title, each.clientHeight, each.offsetLeft])",
                css,
            )
            assert [title.removeprefix("A: ").removeprefix("B: ") for title, _, _ in found] == seen
            assert all(height < 30 for _, height, _ in found)


SHOWN_TITLES = ".pane:not([hidden]) .pane-title .line"


def test_no_name_of_a_step_is_unseen(page: Page) -> None:
    page.open(traced(Axis(name="text", names=["\u200b", "b"] * 6)))
    assert "step 0 ‘[200b]’" in page.text("#reading")
    unseen = [*"\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2060\u2800\u3164\ufeff\ufe0f\U000e0041"]
    unseen += map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
    blank = [" ", "  ", "\t", "", "\r", "\u00a0", "\u3000\u2003", "\x00", "\ud800", "\u2028"]
    plain = ["a", " the", "constructor", "toString", "❤\ufe0f", "日本", "e\u0301"]
    inside = [f"a{name}b" for name in unseen[:8]]
    # A half of a pair cannot be sent to a browser, which has it from its code.
    names = [*unseen, *blank, *plain, *inside]
    found = page.value(
        "given[0].map((codes) => carousel.seen(codes.map((each) => "
        "each < 0x10000 ? String.fromCharCode(each) : String.fromCodePoint(each)).join('')))",
        [[ord(character) for character in name] for name in names],
    )
    assert found == [step_name(name) for name in names]
    for name, words in zip(names, found, strict=True):
        assert (words == name) == (name in plain)
        assert words.strip()
    assert found[: len(unseen)] == [f"[{ord(name):04x}]" for name in unseen]
    assert step_name("\u202e" * 9) == "[202e][202e][202e]["[:19] + "…"


# The title of the picture that is saved, the room that it has, and the room that it takes.
SAVED = """
  const drawn = [];
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (words, ...place) {
    if (this.font.startsWith("600 15px")) {
      drawn.push([words, this.canvas.width - 24, this.measureText(words).width]);
    }
    fillText.call(this, words, ...place);
  };
  document.getElementById("save-picture").click();
  await frame();
  CanvasRenderingContext2D.prototype.fillText = fillText;
  return drawn;
"""


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
def test_a_saved_picture_says_what_it_shows(page: Page, long: bool) -> None:
    titles = [f"{which} title {TITLE if long else ''}".strip() for which in ("first", "second")]
    page.open(*(traced(text_axis(), title=title) for title in titles))
    first, second = ("A: first title", "B: second title")
    for choice, order, begins in (
        ("A", "number", [first]),
        ("B", "number", [second]),
        ("both", "number", [first, second]),
        ("difference", "activity", ["A − B · A: first title", second]),
    ):
        page.value(
            "carousel.change({input: given[0], order: given[1], quantity: 'h'})", choice, order
        )
        ((words, room, wide),) = page.run(SAVED)
        parts = words.split(" · ")
        assert wide <= room
        order_words = "" if order == "number" else f", by {order}"
        assert parts[-2:] == ["lstm.l0", f"hidden state h{order_words}"]
        shown = " · ".join(parts[:-2])
        assert shown.startswith(begins[0])
        if not long:
            assert shown == " · ".join(begins)
        assert all(each in shown for each in begins)
        assert (shown.count("…") == len(begins)) == long
    page.open(traced(text_axis(), title="an only one"))
    ((words, _, _),) = page.run(SAVED)
    assert words == "an only one · lstm.l0 · memory cell C"


def sought(page: Page, words: str) -> str:
    """Types words into the field and presses Enter; returns what the page says against them."""
    page.run("document.getElementById('open-jump').click();")
    assert page.text("#jump-problem") == ""
    field = page.chrome.find_element("id", "jump-to")
    field.clear()
    field.send_keys(words + "\ue007")
    problem = page.text("#jump-problem")
    assert page.value("document.getElementById('jump').open") == bool(problem)
    page.run("document.getElementById('jump').close();")
    return problem


def test_a_step_is_found_or_the_page_says_why_not(page: Page) -> None:
    page.open(traced(text_axis()))
    T, H = len(TEXT), 7

    def cell() -> tuple[int, int]:
        seen = page.value("carousel.view()")
        return seen["step"], seen["unit"]

    assert sought(page, "12") == ""
    assert cell() == (12, 0)
    assert sought(page, f"{T - 1}, {H - 1}") == ""
    assert cell() == (T - 1, H - 1)
    assert "Type a step" in sought(page, "")
    reach = f"Steps go from 0 to {T - 1}, units from 0 to {H - 1}."
    for words in ("999, 999", str(T), f"3, {H}", "999"):
        assert sought(page, words) == reach
    assert "Not in this sequence" in sought(page, "nowhere")
    assert cell() == (T - 1, H - 1)


def test_small_letters_find_capitals_and_capitals_themselves(page: Page) -> None:
    page.open(traced(text_axis()))
    for words, place in (("then", "Then"), ("Then", "Then"), ("she said", "She said"), ("S", "S")):
        page.value("carousel.moveTo(20, 0)")
        assert sought(page, words) == ""
        assert page.value("carousel.view().step") == TEXT.index(place)
    assert sought(page, "THEN") == "Not in this sequence with these capitals."
    said = page.value("document.getElementById('jump-to').title")
    assert "without a capital" in said


def test_several_words_are_found_however_their_blanks_are_written(page: Page) -> None:
    names = ["␣", "⏎", "A", "x", "␣", "y"]
    page.open(traced(Axis(name="text", kind="characters", names=names)))
    assert sought(page, "x y") == ""
    assert page.value("carousel.view().step") == 3
    page.open(traced(word_axis("der alte Hund , der nachts bellte", "target")))
    assert sought(page, "hund , der") == ""
    assert page.value("carousel.view().step") == 2
    page.open(traced(Axis(name="text", kind="words", names=["the", "␣old", "␣do", "g"])))
    assert sought(page, "old dog") == ""
    assert page.value("carousel.view().step") == 1
