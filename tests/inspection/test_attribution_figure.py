"""What inputs did: bars of a few explained numbers, a map of many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tests.inspection.drawn_figures import drawn, labels
from tests.inspection.small_inspections import WORDS, rich, seen, sound_axis

from carousel.inspection.attribution_figure import MOST_BARS
from carousel.inspection.contents import Attribution


def test_a_bar_is_the_share_of_a_step() -> None:
    found = rich()
    panels = drawn(found, draw="attribution").axes
    assert len(panels) == len(found.attributions) <= MOST_BARS
    for axes, one in zip(panels, found.attributions, strict=True):
        assert [bar.get_height() for bar in axes.patches] == list(one.values)
        assert labels(axes.xaxis) == WORDS
        assert axes.get_title("left").startswith(f"{one.name}, by occlusion")
        lowered = {bar.get_facecolor() for bar in axes.patches if bar.get_height() < 0}
        raised = {bar.get_facecolor() for bar in axes.patches if bar.get_height() >= 0}
        assert len(lowered) == 1
        assert lowered.isdisjoint(raised)


def test_a_total_is_told_where_there_is_one() -> None:
    found = rich()
    one = replace(found.attributions[0], method="integrated gradients", total=-1.25)
    axes = drawn(replace(found, attributions=[one]), draw="attribution").axes[0]
    assert axes.get_title("left").splitlines()[0].endswith("integrated gradients: -1.25 in all")


def test_many_numbers_are_rows_of_a_map() -> None:
    found = rich()
    many = [
        Attribution(
            name=f"number {k}",
            method=method,
            axis="source",
            values=np.linspace(-k, 1, len(WORDS), dtype=np.float32),
        )
        for method in ("occlusion", "integrated gradients")
        for k in range(MOST_BARS + 1)
    ]
    figure = drawn(replace(found, attributions=many), draw="attribution", steps=(1, 4))
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 2
    for axes, group in zip(maps, (many[: MOST_BARS + 1], many[MOST_BARS + 1 :]), strict=True):
        shown = np.stack([one.values[1:4] for one in group])
        assert np.array_equal(axes.images[0].get_array(), shown)
        top = np.abs(shown).max()
        assert axes.images[0].get_clim() == (-top, top)
        assert labels(axes.yaxis) == [one.name for one in group]
        assert group[0].method in axes.get_title("left")


def test_a_sound_is_drawn_above_its_shares() -> None:
    axis = sound_axis()
    share = Attribution(
        name="'a' at 0.40 s",
        method="occlusion",
        axis="recording",
        values=np.linspace(0, 1, len(axis), dtype=np.float32),
    )
    above, axes = drawn(seen(axis, attributions=[share]), draw="attribution").axes
    assert len(above.images) == 1
    assert len(axes.patches) == len(axis)
    assert above.get_xlim() == axes.get_xlim()
