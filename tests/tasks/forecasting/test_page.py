"""The page as a browser would read it: balanced, self-contained, and every word escaped."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.forecasting.small_backtests import made_backtest
from tests.tasks.forecasting.test_plots import forecast

from carousel.tasks.forecasting.evaluation import Backtest
from carousel.tasks.forecasting.page import MOST_ROWS
from carousel.tasks.forecasting.panels import COLOURS, FAINT, INK

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = '<script>alert("1")</script>&amp;\'"><img src=x onerror=a>'


class Reader(HTMLParser):
    """Keeps elements, attributes and words, and refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.count: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for _, attribute, value in self.attributes if attribute == name]


def read(path: Path) -> tuple[Reader, str]:
    text = path.read_text("utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader, text


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, str]:
    """The page of three series."""
    return page(made_backtest("abc"), tmp_path_factory.mktemp("page"))


def page(tested: Backtest, folder: Path) -> tuple[Reader, str]:
    return read(tested.report().plot(folder / "x.html"))


@pytest.mark.parametrize("kind", ["report", "forecast"])
@pytest.mark.parametrize(
    "names", [[EVIL], [f"{EVIL}{k}" for k in range(MOST_ROWS + 50)]], ids=["one", "many"]
)
def test_any_page_is_balanced_and_self_contained(
    kind: str, names: list[str], tmp_path: Path
) -> None:
    tested = made_backtest(names, origins=2, target=EVIL)
    found = (
        page(tested, tmp_path) if kind == "report" else read(forecast(tested, tmp_path / "f.html"))
    )
    reader, text = found
    assert text.startswith("<!DOCTYPE html>")
    assert reader.count["script"] == reader.count["img"] == reader.count["link"] == 0
    assert "onerror" not in {name for _, name, _ in reader.attributes}
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    assert any(EVIL in words for words in reader.words)
    assert len(text.encode()) < 600_000
    assert any("default-src 'none'" in value for value in reader.values("content"))


def test_identifiers_are_the_pages_own_and_lead_somewhere(usual: tuple[Reader, str]) -> None:
    reader, text = usual
    known = reader.values("id")
    assert len(known) == len(set(known)) > 5
    used = {value[1:] for value in reader.values("href")} | set(
        re.findall(r"url\(#([^)]+)\)", text)
    )
    assert used == set(known)


def test_the_page_says_what_the_report_says(tmp_path: Path) -> None:
    tested = made_backtest("abc", origins=9, noise=0.3)
    tested.actual[:, tested.series == 2] = np.nan
    report = tested.report()
    reader, _ = page(tested, tmp_path)
    words = " ".join(reader.words)
    for sentence in [report.verdict, report.scope, *report.notes]:
        assert sentence in words
    header, rows = report.table()
    assert reader.rows[: 1 + len(rows)] == [header, *rows]
    steps = [row for row in reader.rows if row[0] == "2"]
    assert f"{report.scaled_by_step['random walk'][1]:.3f}" in steps[0]
    series = {row[0]: row for row in reader.rows if row[0] in "abc"}
    mase = report.by_series[0]["this model"]
    assert series["a"][1:4] == ["9", "36", f"{mase:.3f}"]
    assert series["c"][1:4] == ["9", "0", "–"]
    assert reader.count["svg"] == 3 + 4
    assert len(reader.values("aria-label")) == 7


def test_every_colour_of_a_picture_is_the_pages(usual: tuple[Reader, str]) -> None:
    """So that a dark page has dark pictures: no colour is left that only suits white ground."""
    _, text = usual
    pictures = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}", pictures) == []
    assert "var(--ink)" in pictures
    style = text[text.index("<style>") : text.index("</style>")]
    light, dark = style.split("prefers-color-scheme: dark")
    for colour in (INK, FAINT, *COLOURS):
        assert colour in light
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", text)) <= set(
        re.findall(r"(--[a-z0-9-]+):", light)
    )
    assert "--ground" in dark


def test_long_tables_are_cut_and_counted(tmp_path: Path) -> None:
    names = [f"s{k}" for k in range(MOST_ROWS + 50)]
    tested = made_backtest(names, origins=1)
    reader, text = page(tested, tmp_path)
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 50} series" in text
    shown = [row[0] for row in reader.rows if row[0] in set(names)]
    worst = sorted(tested.report().by_series, key=lambda row: -row["this model"])
    assert shown == [row["series"] for row in worst[:MOST_ROWS]]
    reader, text = read(forecast(tested, tmp_path / "f.html"))
    assert f"The first {MOST_ROWS} of {4 * (MOST_ROWS + 50):,} rows" in text
    assert sum(row[0] in set(names) for row in reader.rows) == MOST_ROWS


def test_a_forecasts_numbers_are_in_its_page(tmp_path: Path) -> None:
    tested = made_backtest("ab")
    reader, _ = read(forecast(tested, tmp_path / "f.html"))
    assert reader.rows[0] == ["series", "time", "y", "y_q0.025", "y_q0.1", "y_q0.9", "y_q0.975"]
    last = np.flatnonzero(tested.series == 0)[-1]
    point = tested.quantiles[0, last]
    wanted = [f"{point[q]:.4g}" for q in (2, 0, 1, 3, 4)]
    assert reader.rows[1] == ["a", "2024-01-03 16:00:00", *wanted]


def test_the_same_report_gives_the_same_page(usual: tuple[Reader, str], tmp_path: Path) -> None:
    assert page(made_backtest("abc"), tmp_path)[1] == usual[1]


def test_words_that_look_like_a_tags_inside_are_left_alone(tmp_path: Path) -> None:
    name = 'id="x" url(#y) : #0072b2 1.23456'
    reader, _ = page(made_backtest([name[:20], name[15:], "b"]), tmp_path)
    labels = [words for words in reader.words if words.strip() in (name[:20], name[15:])]
    assert len(labels) == 2 + 2  # in the table, and beside the marks of the picture
