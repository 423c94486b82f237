"""Colours reach as far as values do, and no step's name is unseen."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from carousel.inspection.contents import QUANTITIES, Axis
from carousel.inspection.strips import (
    COLOUR_MAP,
    QUANTITY_WORDS,
    add_bar,
    colour_scale,
    draw_strip,
    label_steps,
    step_name,
)


def test_lightness_rises_all_along_the_colours() -> None:
    """So that a print in grey can be read: CIE's L*, of the luminance of linear sRGB."""
    rgb = matplotlib.colormaps[COLOUR_MAP](np.linspace(0, 1, 64))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(luminance) - 16  # above 8, where it is the cube root
    assert lightness[0] > 8
    assert np.diff(lightness).min() > 0.5 * (lightness[-1] - lightness[0]) / 63
    # A text's letters are white on the darker half and black on the lighter one.
    assert lightness[0] < 20
    assert lightness[-1] > 85


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_what_has_a_range_has_the_whole_of_it(quantity: str) -> None:
    scale = colour_scale(quantity, np.array([-0.4, 0.6]) if quantity in "gch" else np.array([0.4]))
    ends = {"c": (-0.6, 0.6), "g": (-1, 1), "h": (-1, 1)}.get(quantity, (0, 1))
    assert (scale.vmin, scale.vmax) == ends
    assert scale(np.array([ends[0], sum(ends) / 2, ends[1]])).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("quantity", "ch")  # h behind a projection
def test_a_few_large_values_do_not_make_all_others_one_colour(quantity: str) -> None:
    scale = colour_scale(quantity, np.array([-1.0, 0.5, 100.0]))
    assert (scale.vmin, scale.vmax) == (-100, 100)
    places = np.array([-1.0, -0.5, 0, 0.5, 1, 100])
    expected = (1 + np.arcsinh(places) / np.arcsinh(100)) / 2
    assert np.allclose(scale(places), expected, rtol=0, atol=1e-12)
    # The middle, where most values are, has more than its share of a hundredth of the colours.
    assert scale(1.0) - scale(-1.0) > 0.1


@pytest.mark.parametrize(
    ("top", "ticks"),
    [(5, [-3, -1, 0, 1, 3]), (50, [-10, -1, 0, 1, 10]), (500, [-100, -10, -1, 0, 1, 10, 100])],
)
def test_the_bar_has_numbers_that_are_read_at_once(top: float, ticks: list[float]) -> None:
    values = np.array([[-0.5, float(top)]])
    figure = Figure()
    axes = figure.add_subplot()
    image = axes.imshow(values, norm=colour_scale("c", values))
    add_bar(figure, axes, image, "memory cell c")
    bar = figure.axes[1]
    figure.canvas.draw()
    shown = [tick.get_text() for tick in bar.get_yticklabels()]
    assert shown == [f"{tick}" for tick in ticks]
    assert bar.get_ylabel() == "memory cell c"


@pytest.mark.parametrize("top", [0.3, 2.5])
def test_the_bar_of_an_even_scale_has_even_numbers(top: float) -> None:
    values = np.array([[-top, 0.1]])
    figure = Figure()
    axes = figure.add_subplot()
    add_bar(figure, axes, axes.imshow(values, norm=colour_scale("c", values)), "c")
    ticks = figure.axes[1].get_yticks()
    assert len(ticks) >= 4
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])
    assert 0 in ticks.tolist()


def test_nothing_but_zeros_is_the_middle() -> None:
    assert colour_scale("c", np.zeros(3))(0.0) == 0.5


def test_columns_that_would_be_lost_have_ranges_of_their_own() -> None:
    axes = Figure().add_subplot()
    values = np.stack([np.linspace(0, 1, 9), np.linspace(300, 100, 9), np.full(9, 7)], 1)
    values = values.astype(np.float32)
    values[4, 0] = np.nan
    axis = Axis(
        name="past",
        kind="series",
        names=list("abcdefghi"),
        values=values.astype(np.float32),
        columns=("x", "y", "z"),
    )
    draw_strip(axes, axis, range(9))
    assert axes.get_ylabel() == "each in its\nown range"
    x, y, z = (line.get_ydata() for line in axes.lines)
    assert np.array_equal(x, values[:, 0], equal_nan=True)
    assert y.tolist() == np.linspace(1, 0, 9).tolist()  # eighths have no rounding
    assert set(z) == {0.5}


def test_columns_that_can_be_read_together_share_a_scale() -> None:
    axes = Figure().add_subplot()
    values = np.stack([np.linspace(0, 1, 9), np.linspace(1, 3, 9)], 1).astype(np.float32)
    axis = Axis(name="past", kind="series", names=list("abcdefghi"), values=values)
    draw_strip(axes, axis, range(2, 9))
    assert [line.get_ydata().tolist() for line in axes.lines] == values[2:].T.tolist()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "1"]


@pytest.mark.parametrize(("count", "every"), [(40, 1), (300, 10), (2000, 100)])
def test_steps_are_numbered_at_round_places(count: int, every: int) -> None:
    axes = Figure().add_subplot()
    axis = Axis(name="text", kind="words", names=["abc"] * count, unit="word")
    label_steps(axes, axis, range(3, count), 4.0)
    assert [tick % every for tick in axes.get_xticks()] == [0] * len(axes.get_xticks())
    assert axes.get_xlim() == (2.5, count - 0.5)


def test_every_quantity_has_words() -> None:
    assert tuple(QUANTITY_WORDS) == QUANTITIES


def test_no_name_is_blank_or_long() -> None:
    assert [step_name(name) for name in (" ", "\n", "\t", "", "a")] == ["␣", "⏎", "⇥", "∅", "a"]
    assert step_name("\x1b[31m") == " [31m"
    assert len(step_name("a" * 99)) == 20


def test_a_column_whose_name_begins_with_a_dash_is_in_the_legend() -> None:
    """Matplotlib passes over labels that begin with one below."""
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    axis = Axis(name="a", kind="series", names="abcd", values=values, columns=["_low", "__high"])
    axes = Figure().add_subplot()
    draw_strip(axes, axis, range(4))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["low", "high"]
