"""What pictures of translation show, read from the axes before they become a file."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.tasks.translation.test_report import made

from carousel.errors import OptionError, OutputError, ShapeError
from carousel.tasks.translation.plots import draw_alignment, draw_report

BEGINS = {"png": b"\x89PNG", "svg": b"<?xml"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved."""
    found: list[Figure] = []
    save = Figure.savefig

    def seen(figure: Figure, *args: Any, **values: Any) -> None:
        found.append(figure)
        save(figure, *args, **values)

    monkeypatch.setattr(Figure, "savefig", seen)
    return found


def words_of(path: Path) -> list[str]:
    """Returns the texts of an SVG, in the order in which they are drawn."""
    text = path.read_text("utf-8")
    return [html.unescape(t) for t in re.findall(r"<text[^>]*>([^<]*)</text>", text)]


def made_weights(rows: int, columns: int) -> np.ndarray:
    """Returns attention of which the sentence's end has a part, as it is shown without its end."""
    rng = np.random.default_rng(3)
    return rng.dirichlet(np.ones(columns + 1), rows)[:, :-1].astype(np.float32)


@pytest.mark.parametrize("ending", ["png", "svg", "SVG", "PNG"])
def test_a_report_is_drawn(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"x.{ending}"
    assert made().plot(path) == path
    assert path.read_bytes().startswith(BEGINS[ending.lower()])
    assert made().plot(str(path)) == path  # over the one that is there


def test_bars_are_the_bands_and_lines_all_sentences(tmp_path: Path, drawn: list[Figure]) -> None:
    report = made()
    draw_report(report, tmp_path / "x.svg")
    (axes,) = drawn[0].axes
    assert [bar.get_height() for bar in axes.patches] == [band.bleu for band in report.bands]
    assert [text.get_text() for text in axes.texts] == [
        "1\nsentence", "1,200\nsentences", "33\nsentences",
    ]  # fmt: skip
    assert [line.get_ydata()[0] for line in axes.lines] == [30.0, 5.0, 1.0]
    assert len({line.get_linestyle() for line in axes.lines}) == 3
    # The words above the highest bar need room.
    assert axes.get_ylim()[1] > 31.25 * 1.15
    words = words_of(tmp_path / "x.svg")
    for word in ("0", "6–10", "31 or more", "1,200", "words of the source", "BLEU",
                 "this model: 30.0", "word by word: 5.0", "copy: 1.0"):  # fmt: skip
        assert word in words


def test_a_report_without_any_match_is_drawn(tmp_path: Path) -> None:
    """Warnings are errors here."""
    nothing = (0.0, 0.0, 0.0)
    report = made(nothing, nothing, nothing, nothing, bands=made().bands[:1])
    assert report.plot(tmp_path / "x.png").exists()


@pytest.mark.parametrize("ending", ["png", "svg", "PNG", "SVG"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (12, 2)])
def test_alignments_of_any_size_are_drawn(
    ending: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "new" / f"x.{ending}"
    words = ["word"] * shape[1], ["Wort"] * shape[0]
    for given in (path, str(path)):  # the second over the first
        assert draw_alignment(made_weights(*shape), *words, given) == path
    assert path.read_bytes().startswith(BEGINS[ending.lower()])


def test_weights_stand_where_their_words_stand(tmp_path: Path, drawn: list[Figure]) -> None:
    weights = made_weights(2, 3)
    source, target = ["the", "green", "house"], ["la", "casa"]
    draw_alignment(weights, source, target, tmp_path / "x.svg", title="the green house")
    axes, bar = drawn[0].axes
    (image,) = axes.images
    assert (image.get_array() == weights).all()
    assert image.get_clim() == (0, 1)
    assert image.origin == "upper"
    assert bar.get_ylim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == source
    assert [label.get_text() for label in axes.get_yticklabels()] == target
    assert axes.get_xticks().tolist() == [0, 1, 2]
    assert axes.get_yticks().tolist() == [0, 1]
    assert axes.xaxis.get_ticks_position() == "top"
    words = words_of(tmp_path / "x.svg")
    assert [word for word in words if word in source] == source
    assert [word for word in words if word in target] == target
    assert "the green house" in words


def test_words_are_never_read_as_formulas_or_tags(tmp_path: Path) -> None:
    source = ["costs", "$5", "and", "$6", r"$\bad{$", "<b>&amp;", "_x", "", "\\$"]
    path = draw_alignment(
        made_weights(1, 9), source, ["two\nli\x00nes"], tmp_path / "x.svg", title="$5 and $6"
    )
    words = words_of(path)
    assert [word for word in words if word in source] == [word for word in source if word]
    assert "two li nes" in words
    assert "$5 and $6" in words


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_scripts_that_the_font_lacks_and_long_words_are_no_reason_to_stop(
    ending: str, tmp_path: Path
) -> None:
    """Warnings are errors here."""
    source = ["東京", "हिन्दी", "W" * 300, "東" * 300]
    path = tmp_path / f"x.{ending}"
    draw_alignment(made_weights(1, 4), source, ["W" * 300], path, title="W" * 300)
    if ending == "svg":
        words = words_of(path)
        assert words[:5] == ["東京", "हिन्दी", "W" * 19 + "…", "東" * 19 + "…", "W" * 19 + "…"]
        assert max(map(len, words)) < 100  # the title is cut too


def test_a_picture_grows_to_a_page_and_then_its_labels_shrink(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    numbers = (2, 10, 30, 60, 200)
    for number in numbers:
        words = [f"word{n}" for n in range(number)]
        draw_alignment(made_weights(number, number), words, words, tmp_path / "x.svg")
    sizes = [round(float(figure.get_size_inches().min()), 6) for figure in drawn]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
    assert max(figure.get_size_inches().max() for figure in drawn) <= 11.0 + 1e-9
    for axis in ("xaxis", "yaxis"):
        points = [
            getattr(figure.axes[0], axis).get_ticklabels()[0].get_fontsize() for figure in drawn
        ]
        assert points[:4] == pytest.approx([9.0] * 4, abs=0.5)
        # As many labels as there are words must fit into the page's 11 inches of 72 points.
        assert 2 < points[4] < 11 * 72 / 200
    assert len(words_of(tmp_path / "x.svg")) == 2 * 200 + 6  # and the colour bar's


def test_too_many_words_and_none_are_refused(tmp_path: Path) -> None:
    for rows, columns, words in (
        (1, 201, "1 to 200 words on each side, got 201 in the source"),
        (201, 1, "1 to 200 words on each side, got 201 in the translation"),
        (0, 0, "1 to 200 words on each side, got 0 in the source"),
        (0, 3, "1 to 200 words on each side, got 0 in the translation"),
    ):
        with pytest.raises(OptionError, match=words):
            draw_alignment(
                np.zeros((rows, columns), np.float32), ["w"] * columns, ["w"] * rows,
                tmp_path / "x.png",
            )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_weights_of_other_words_are_refused(tmp_path: Path) -> None:
    for source, target in ((["a"], ["b", "c"]), (["a", "b", "c"], ["d"]), (["a"] * 2, ["b"] * 3)):
        with pytest.raises(ShapeError, match=r"got \(2, 3\); give the words"):
            draw_alignment(made_weights(2, 3), source, target, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    def draw_both(name: str) -> list[Any]:
        return [
            lambda: made().plot(tmp_path / name),
            lambda: draw_alignment(made_weights(1, 1), ["a"], ["b"], tmp_path / name),
        ]

    for name in ("x.html", "x.pdf", "x"):
        for draw in draw_both(name):
            with pytest.raises(OptionError, match=rf"\.png or \.svg, got '{name}'"):
                draw()
    (tmp_path / "x.png").mkdir()
    for draw in draw_both("x.png"):
        with pytest.raises(OutputError, match="found a folder"):
            draw()
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_what_was_there_stays_where_drawing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("while saving")

    path = tmp_path / "x.svg"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(RuntimeError, match="while saving"):
        made().plot(path)
    with pytest.raises(RuntimeError, match="while saving"):
        draw_alignment(made_weights(1, 1), ["a"], ["b"], path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
