"""One unit over its sequence: every character once, in its value's colour."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.inspection.drawn_figures import drawn
from tests.inspection.small_inspections import TEXT, layer, rich, seen, series_axis, text_axis

from carousel.inspection.contents import Axis
from carousel.inspection.unit_figure import set_in_cells


def words(*names: str) -> Axis:
    return Axis(name="text", kind="words", names=names)


def test_characters_stand_side_by_side_and_lines_break_where_the_text_does() -> None:
    cells = set_in_cells(text_axis("ab\n\nc"), range(5))
    assert [cell.name for cell in cells] == ["a", "b", "⏎", "⏎", "c"]
    assert [(cell.line, cell.begin) for cell in cells] == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]


def test_words_are_apart_and_never_cut_by_the_end_of_a_line() -> None:
    names = ["a", "bcd"] * 30
    cells = set_in_cells(words(*names), range(60))
    for one, two in itertools.pairwise(cells):
        if one.line == two.line:
            assert two.begin == one.begin + one.width + 1
        else:
            assert (two.line, two.begin) == (one.line + 1, 0)
            assert one.begin + one.width + 1 + two.width > 80
    assert max(cell.begin + cell.width for cell in cells) <= 80
    assert cells[-1].line == 2


def test_wide_letters_have_two_cells_and_long_words_are_cut() -> None:
    cells = set_in_cells(words("日本", "a" * 100, ""), range(3))
    assert [cell.width for cell in cells] == [4, 24, 1]
    assert [cell.begin for cell in cells] == [0, 5, 30]


def test_a_part_is_set_by_itself() -> None:
    assert [cell.step for cell in set_in_cells(text_axis("abcdef"), range(2, 4))] == [2, 3]
    assert set_in_cells(text_axis("abcdef"), range(2, 4))[0].begin == 0


@pytest.mark.parametrize("quantity", ["c", "f"])
def test_each_character_has_the_colour_of_its_value(quantity: str) -> None:
    found = seen()
    figure = drawn(found, unit=2, quantity=quantity, layer="lstm.l0_reverse")
    axes = figure.axes[0]
    image = axes.images[0]
    values = getattr(found.layers["lstm.l0_reverse"], quantity)[:, 2]
    cells = set_in_cells(found.axes["text"], range(len(TEXT)))
    assert len(axes.texts) == len(TEXT)
    for text, cell, value in zip(axes.texts, cells, values, strict=True):
        assert text.get_text() == cell.name
        assert not text.get_parse_math()
        assert text.get_position() == (cell.begin, cell.line)
        assert image.get_array()[cell.line, cell.begin] == value
        # Letters are read on their ground: white on what is dark.
        assert text.get_color() == ("white" if image.norm(value) < 0.5 else "black")
    assert image.get_array().mask.sum() == image.get_array().size - len(TEXT)


def test_the_title_says_what_the_unit_is() -> None:
    own = seen(series_axis()).layers["lstm.l0"].c[:, 3]
    axis = replace(series_axis(), tracks={"a $tide$": (1 - 2 * own).astype(np.float32)})
    found = seen(axis)
    life = found.statistics().half_life
    title = drawn(found, unit=3).axes[0].get_title("left")
    assert "(r\u00a0=\u00a0-1.00)" in title  # on one line
    assert title.replace("\n", " ").replace("\u00a0", " ") == (
        f"Memory cell c of unit 3: half-life {life[3]:.3g} steps, follows a $tide$ (r = -1.00) "
        "layer lstm.l0 of a $small$ model"
    )
    for unit in range(6):
        plain = all(abs(one.correlation[unit]) < 0.5 for one in found.followed(quantity="o"))
        title = drawn(found, unit=unit, quantity="o").axes[0].get_title("left")
        assert ("follows" in title) != plain


def test_a_unit_over_a_series_is_a_curve_below_it() -> None:
    above, axes = drawn(seen(series_axis()), unit=4, quantity="o", steps=(3, 20)).axes
    line = axes.lines[0]
    assert np.array_equal(line.get_xdata(), np.arange(3, 20))
    expected = seen(series_axis()).layers["lstm.l0"].o[3:20, 4]
    assert np.array_equal(line.get_ydata(), expected)
    assert above.get_xlim() == axes.get_xlim()


def test_a_number_of_a_projection_has_no_half_life() -> None:
    figure = drawn(rich(), layer="decoder.l0", quantity="h", unit=2)
    assert figure.axes[0].get_title("left").splitlines()[0] == "Hidden state h of unit 2"


def test_a_unit_that_is_no_number_says_so(tmp_path: Path) -> None:
    values = layer(text_axis())
    values.c[5:, 2] = np.nan
    values.f[5:, 2] = np.nan
    broken = replace(seen(), layers={"lstm.l0": values})
    broken.plot(tmp_path / "a.svg", unit=2)
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert "not a number from step 5 on" in text
    assert "never forgets" not in text
