"""What heat maps and attention show, read from the axes before they become a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.inspection.drawn_figures import drawn, labels
from tests.inspection.small_inspections import (
    TEXT,
    WORDS,
    rich,
    seen,
    series_axis,
    sound_axis,
    text_axis,
)

from carousel.inspection.contents import QUANTITIES
from carousel.inspection.orders import ORDERS, unit_orders
from carousel.inspection.statistics import layer_statistics


def image(axes: Any) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


SHOWN = [(quantity, "similarity") for quantity in QUANTITIES]
SHOWN += [("f", order) for order in ORDERS if order != "similarity"]


@pytest.mark.parametrize(("quantity", "order"), SHOWN)
def test_a_row_is_a_unit_and_a_column_a_step(quantity: str, order: str) -> None:
    found = seen()
    values = found.layers["lstm.l0_reverse"]
    figure = drawn(found, quantity=quantity, order=order, layer="lstm.l0_reverse", steps=(4, 30))
    axes = figure.axes[0]
    units = unit_orders(values, layer_statistics(values))[order]
    assert np.array_equal(image(axes), getattr(values, quantity)[4:30].T[units])
    assert labels(axes.yaxis) == [str(unit) for unit in units]
    assert axes.images[0].get_extent() == [3.5, 29.5, 5.5, -0.5]
    assert axes.images[0].get_clim() == ((0, 1) if quantity in "fio" else pytest.approx(
        (-axes.images[0].get_clim()[1], axes.images[0].get_clim()[1])
    ))  # fmt: skip


def test_the_longest_half_life_is_on_top_where_nothing_is_said() -> None:
    figure = drawn(seen())
    lives = seen().statistics().half_life
    shown = [lives[int(unit)] for unit in labels(figure.axes[0].yaxis)]
    assert shown == sorted(shown, reverse=True)
    title = figure.axes[0].get_title("left")
    assert title == (
        "Memory cell c of 6 units, longest half-life on top\nlayer lstm.l0 of a $small$ model"
    )


def test_characters_stand_on_top_and_are_seen() -> None:
    axes = drawn(seen()).axes[0]
    assert "".join(labels(axes.xaxis)) == TEXT.replace(" ", "␣").replace("\n", "⏎").replace(
        "\t", "⇥"
    )
    assert list(axes.get_xticks()) == list(range(len(TEXT)))
    assert not any(tick.get_parse_math() for tick in axes.get_xticklabels())


def test_of_a_long_text_the_steps_are_numbered() -> None:
    axes = drawn(seen(text_axis("a quick fox " * 30))).axes[0]
    ticks = axes.get_xticks()
    assert list(ticks) == list(range(0, 360, 20))
    assert labels(axes.xaxis) == [str(int(tick)) for tick in ticks]
    assert axes.get_xlabel() == "text (character, counted from 0)"


def test_a_series_is_drawn_above_and_its_times_below() -> None:
    axis = series_axis()
    above, axes, _ = drawn(seen(axis), steps=(2, 28)).axes
    assert axis.values is not None
    for line, values in zip(above.lines, axis.values.T, strict=True):
        assert np.array_equal(line.get_xdata(), np.arange(2, 28))
        assert np.array_equal(line.get_ydata(), values[2:28], equal_nan=True)
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["load", "a $x$ price"]
    assert above.get_xlim() == axes.get_xlim() == (1.5, 27.5)
    shown = labels(axes.xaxis)
    assert shown[0] == "2024-01-01 02:00"
    assert set(shown) <= set(axis.names)


def test_a_sound_is_drawn_above_with_its_lowest_band_below() -> None:
    axis = sound_axis()
    above, axes, _ = drawn(seen(axis)).axes
    assert axis.values is not None
    assert np.array_equal(image(above), axis.values.T)
    assert above.images[0].origin == "lower"
    assert above.get_xlim() == axes.get_xlim()


def test_numbers_of_a_projection_are_no_units() -> None:
    figure = drawn(rich(), layer="decoder.l0", quantity="h")
    assert np.array_equal(image(figure.axes[0]), rich().layers["decoder.l0"].h.T)
    assert "of 3 numbers of the projection" in figure.axes[0].get_title("left")


def test_attention_has_a_row_for_each_query() -> None:
    axes = drawn(rich(), draw="attention").axes[0]
    assert np.array_equal(image(axes), rich().attentions[0].weights)
    assert labels(axes.xaxis) == WORDS
    assert labels(axes.yaxis) == ["Wo", "ist", "mein", "$Hund$"]
    assert axes.images[0].get_clim() == (0, 1)
