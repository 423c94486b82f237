"""The page in windows of all widths: nothing sticks out, nothing overlaps, all can be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.inspection.browser import Page, one_page
from tests.inspection.recorded import series_axis, traced, with_everything
from tests.inspection.test_page_words import long_winded

from carousel.inspection.contents import Contents

NARROW = (320, 400, 600, 768, 900)
WIDE = (901, 1280, 1500, 1920, 3840)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from one_page(tmp_path_factory)


@pytest.mark.parametrize("width", [*NARROW, *WIDE])
def test_nothing_sticks_out_or_overlaps(page: Page, width: int) -> None:
    page.open(with_everything(), with_everything(), size=(width, 1000))
    for choice in ("A", "difference", "both"):
        page.value("carousel.change({input: given[0], span: [1, 4], scale: 'unit'})", choice)
        assert page.value("document.documentElement.scrollWidth") <= width
        assert page.value(STICKING) == []
        assert page.value(OVERLAPS) == []


@pytest.mark.parametrize("width", [320, 421, 600, 768, 901, 1000, 1500])
@pytest.mark.parametrize("case", ["long names", "a series"])
def test_nothing_sticks_out_whatever_it_is_called(page: Page, width: int, case: str) -> None:
    contents: Contents = long_winded() if case == "long names" else traced(series_axis())
    page.open(contents, contents, size=(width, 1000))
    for choice in ("A", "difference"):
        page.value("carousel.change({input: given[0]})", choice)
        page.value("carousel.moveTo(4, 2)")
        assert page.value("document.documentElement.scrollWidth") <= width
        assert page.value(STICKING) == []
        assert page.value(OVERLAPS) == []


@pytest.mark.parametrize("width", [*NARROW, *WIDE])
def test_a_narrow_window_has_one_column_with_the_picture_first(page: Page, width: int) -> None:
    page.open(with_everything(), size=(width, 1000))
    picture, beside, more = page.value(
        """["main > .picture", "main > aside", "main > .more"].map((css) => {
          const { left, right, top, bottom } = document.querySelector(css).getBoundingClientRect();
          return { left, right, top, bottom };
        })"""
    )
    heat = page.value("document.querySelector('.heat').getBoundingClientRect().width")
    cards = page.value(
        "[...document.querySelectorAll('.card')].filter((each) => each.offsetWidth)"
        ".map((each) => each.offsetWidth)"
    )
    if width <= 900:
        assert picture["bottom"] <= beside["top"] < beside["bottom"] <= more["top"]
        assert heat > width - 160  # but for the gutter, edges and a scroll bar
        assert min(cards) >= 260
    else:
        assert picture["right"] <= beside["left"]
        assert picture["bottom"] <= more["top"]
        assert heat > 380
        assert min(cards) >= 340


def test_dialogs_fit_into_a_narrow_window(page: Page) -> None:
    page.open(with_everything(), size=(320, 560))
    for key, name in (("?", "help"), ("/", "jump")):
        page.keys(key)
        left, right, inside, room = page.value(
            """(() => {
              const dialog = document.getElementById(given[0]);
              const { left, right } = dialog.getBoundingClientRect();
              return [left, right, dialog.scrollWidth, dialog.clientWidth];
            })()""",
            name,
        )
        assert 0 <= left < right <= 320
        assert inside <= room
        page.keys("\ue00c")


# What reaches beyond the right edge of its card or of the window, and is in nothing that scrolls by
# itself or cuts it.
STICKING = """(() => {
  const edge = (card) => {
    if (!card) return document.documentElement.clientWidth;
    return card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight);
  };
  const kept = (element, within) => {
    for (let at = element.parentElement; at && at !== within; at = at.parentElement) {
      if (getComputedStyle(at).overflowX !== "visible") return true;
    }
    return false;
  };
  return [...document.body.querySelectorAll("*")].filter((each) => {
    const card = each.parentElement.closest(".card");
    const { right } = each.getBoundingClientRect();
    return each.offsetWidth && right > edge(card) + 0.5 && !kept(each, card);
  }).map((each) => each.outerHTML.slice(0, 200));
})()"""


# Pairs of neighbours that lie on one another, of all containers that lay out controls and cards.
OVERLAPS = """(() => {
  const found = [];
  const boxes = ".controls, .control, .actions, main, .picture, .more, .cards, aside, .fields, "
    + ".law, .card-head, .below";
  for (const box of document.querySelectorAll(boxes)) {
    const inside = [...box.children].filter((each) => each.offsetWidth);
    for (let k = 0; k < inside.length; k += 1) {
      for (let m = 0; m < k; m += 1) {
        const [a, b] = [inside[k], inside[m]].map((each) => each.getBoundingClientRect());
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const tall = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && tall > 1) found.push([inside[m].outerHTML, inside[k].outerHTML]);
      }
    }
  }
  return found;
})()"""
