"""What figures of whole layers show: saturation, half-lives, and gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.inspection.drawn_figures import drawn
from tests.inspection.small_inspections import layer, rich, seen, text_axis

from carousel.inspection.contents import GradientFlow, LayerValues
from carousel.inspection.curves import LOWEST_GAIN
from carousel.inspection.gradient_flow import curve
from carousel.inspection.inspection import Inspection


def one_layer(values: LayerValues) -> Inspection:
    return Inspection(title="", axes={"text": text_axis()}, layers={"l0": values})


def test_a_point_of_saturation_is_a_unit() -> None:
    found = seen()
    figure = drawn(found, draw="saturation")
    for axes, gate in zip(figure.axes, "fio", strict=True):
        assert axes.get_title().endswith(f"gate {gate}")
        for name, points in zip(found.layers, axes.collections, strict=True):
            values = getattr(found.layers[name], gate)
            assert points.get_label() == name
            shares = np.stack([(values > 0.9).mean(0), (values < 0.1).mean(0)], 1)
            # Shares of 53 steps in float32.
            assert np.allclose(points.get_offsets(), shares, rtol=0, atol=2**-23)
            assert shares.sum(1).max() <= 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(found.layers)


def test_one_layer_may_be_alone() -> None:
    for figure in ("saturation", "half-lives"):
        axes = drawn(seen(), draw=figure, layer="lstm.l0_reverse").axes[0]
        shown = [text.get_text() for text in axes.figure.legends[0].get_texts()]
        assert [words.split(":")[0] for words in shown] == ["lstm.l0_reverse"]


def test_half_lives_are_a_share_of_units_that_falls() -> None:
    values = layer(text_axis(), 10)
    # Units that lose half in 1 to 9 steps, and one that loses nothing.
    f = np.append(0.5 ** (1 / np.arange(1.0, 10.0)), 1.0)
    found = one_layer(replace(values, f=np.broadcast_to(f, values.f.shape).astype(np.float32)))
    axes = drawn(found, draw="half-lives").axes[0]
    line = axes.lines[0]
    x, y = line.get_xdata(), line.get_ydata()
    # ln f has an error of 2^-24 / f, and a half-life of up to 9 steps the square of that in ln 2.
    assert x[1:-1] == pytest.approx(np.arange(1, 10), rel=2**-20)
    assert y == pytest.approx([1, *np.arange(0.9, 0.05, -0.1), 0.1])
    assert x[-1] == axes.get_xlim()[1]
    assert axes.lines[1].get_xdata()[0] == len(text_axis())
    assert axes.get_xscale() == "log"


def test_a_layer_that_forgets_nothing_is_a_line_at_the_top() -> None:
    values = layer(text_axis())
    found = one_layer(replace(values, f=np.ones_like(values.f)))
    line = drawn(found, draw="half-lives").axes[0].lines[0]
    assert set(line.get_ydata()) == {1}


def test_the_curve_of_gradients_is_the_mean_over_all_ends() -> None:
    found = seen().with_gradients(count=3)
    axes = drawn(found, draw="gradients").axes[0]
    thick = {line.get_label(): line for line in axes.lines if line.get_linewidth() > 1}
    thin = [line for line in axes.lines if line.get_linewidth() < 0.5]
    assert len(thin) == 2 * 2 * 3
    for flow in found.flows:
        for letter in "hc":
            line = thick[f"{flow.layer}: ∂{letter}/∂{letter}"]
            distance, mean = curve(flow, letter)
            assert np.array_equal(line.get_xdata(), distance)
            assert np.array_equal(line.get_ydata(), mean)
    assert len({str(line.get_linestyle()) for line in thick.values()}) == 4


@pytest.mark.parametrize("reverse", [False, True])
def test_single_ends_are_drawn_by_their_distance(reverse: bool) -> None:
    T, end = 6, 2
    distance = end - np.arange(T) if not reverse else np.arange(T) - end
    gains = np.where(distance >= 0, 0.5**distance, np.nan).astype(np.float32)
    flow = GradientFlow(layer="l0", ends=np.array([end]), of_h=gains[None])
    found = replace(one_layer(layer(text_axis())), flows=[flow])
    thin, thick, _ = drawn(found, draw="gradients").axes[0].lines
    expected = 0.5 ** np.arange(4 if reverse else 3)
    for line in (thin, thick):
        assert np.array_equal(line.get_xdata(), np.arange(len(expected)))
        assert np.allclose(line.get_ydata(), expected, rtol=2**-22, atol=0)


def test_a_gradient_that_is_gone_is_not_seen() -> None:
    gains = np.array([[0.0, 0.0, 1e-30, 1.0]], np.float32)
    flow = GradientFlow(layer="l0", ends=np.array([3]), of_h=gains)
    found = replace(one_layer(layer(text_axis())), flows=[flow])
    axes = drawn(found, draw="gradients").axes[0]
    assert axes.lines[1].get_ydata() == pytest.approx([1, 1e-30, 0, 0], abs=0)
    assert axes.get_ylim()[0] == LOWEST_GAIN


def test_another_model_stands_beside() -> None:
    axes = drawn(rich().with_gradients(), draw="gradients").axes[0]
    names = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert names == ["encoder.l0: ∂h/∂h", "encoder.l0: ∂c/∂c", "plain RNN: ∂h/∂h"]
