"""An inspection is its contents, and each way to look at it is the one that it names."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from tests.inspection.small_inspections import TEXT, layer, rich, seen, text_axis

from carousel.errors import OptionError, OutputError
from carousel.inspection.contents import Contents
from carousel.inspection.figures import FigureOptions
from carousel.inspection.following import followed
from carousel.inspection.gradient_flow import gradient_flow
from carousel.inspection.inspection import Inspection
from carousel.inspection.page import page_bytes
from carousel.inspection.statistics import LayerStatistics, layer_statistics


def same(one: LayerStatistics, two: LayerStatistics) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("half_life", "keep", "write", "read", "shown", "activity", "dead")
    )


def test_it_holds_what_contents_hold() -> None:
    assert {field.name for field in fields(Inspection)} == {
        field.name for field in fields(Contents)
    }
    assert isinstance(seen(), Contents)


def test_printing_is_the_summary() -> None:
    assert str(rich()) == rich().summary()
    assert f"{seen()}".startswith("a $small$ model\ntext: ")


def test_numbers_are_those_of_the_layer_and_of_the_first_where_none_is_named() -> None:
    found = seen()
    first, second = (layer_statistics(values) for values in found.layers.values())
    assert not same(first, second)
    assert same(found.statistics(), first)
    assert same(found.statistics("lstm.l0_reverse"), second)
    for name in (None, "lstm.l0_reverse"):
        values = found.layer(name or "lstm.l0")
        expected = followed(values, found.axis("text"), "h")
        for one, other in zip(found.followed(name, "h"), expected, strict=True):
            assert one.name == other.name
            assert np.array_equal(one.correlation, other.correlation)
    with pytest.raises(OptionError, match=r"did you mean 'lstm.l0'"):
        found.statistics("lstm.l1")
    with pytest.raises(OptionError, match="quantity"):
        found.followed(quantity="y")


def test_gradients_are_added_and_those_of_other_models_stay() -> None:
    found = rich().with_gradients([4, 2])
    assert [flow.layer for flow in found.flows] == ["encoder.l0", "plain RNN"]
    expected = gradient_flow("encoder.l0", rich().layers["encoder.l0"], [4, 2])
    assert np.array_equal(found.flows[0].of_c, expected.of_c, equal_nan=True)
    again = found.with_gradients(count=1)  # in place of those that are there
    assert [flow.layer for flow in again.flows] == ["encoder.l0", "plain RNN"]
    assert len(again.flows[0].ends) == 1
    assert isinstance(again, Inspection)


def test_gradients_of_variants_alone_are_refused() -> None:
    axis = text_axis()
    variant = replace(seen(), layers={"l0": layer(axis, 8, P=3)})
    with pytest.raises(OptionError, match="no layer here has its cell"):
        variant.with_gradients()


def test_a_page_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.html"
    assert seen().save_page(path) == path
    assert path.read_bytes() == page_bytes(seen())
    with pytest.raises(OutputError, match="exists already"):
        seen().save_page(path)
    other = seen(text_axis(TEXT[::-1]))
    assert seen().save_page(str(path), other, force=True) == path
    assert path.read_bytes() == page_bytes(seen(), other)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.html"]


def test_a_page_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name in ("a.htm", "a", "a.png"):
        with pytest.raises(OptionError, match=r"ends in \.html"):
            seen().save_page(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_takes_options_one_by_one_or_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    assert seen().plot(str(path), quantity="f", order="number") == path
    text = path.read_text("utf-8")
    assert "Forget gate f of 6 units, in the order of their numbers" in text
    chosen = FigureOptions(quantity="f", order="number")
    seen().plot(tmp_path / "c.svg", chosen)
    assert "Forget gate f" in (tmp_path / "c.svg").read_text("utf-8")
    with pytest.raises(OptionError, match="not both"):
        seen().plot(tmp_path / "d.svg", chosen, quantity="f")
