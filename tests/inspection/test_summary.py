"""What the terminal says of layers: every number against the arrays that it is of."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.inspection.small_inspections import layer, rich, seen, series_axis, text_axis

from carousel.errors import OptionError
from carousel.inspection.contents import Attribution, GradientFlow
from carousel.inspection.gradient_flow import curve
from carousel.inspection.inspection import Inspection
from carousel.inspection.statistics import layer_statistics
from carousel.inspection.summary import summary_text, summary_values

CODES = re.compile("\x1b\\[[0-9;]*m")


def fact(text: str, name: str) -> str:
    """What stands behind a name in the first layer that has it."""
    return next(
        line.strip().removeprefix(name).strip()
        for line in text.splitlines()
        if line.strip().startswith(name)
    )


def test_gates_are_told_as_shares_of_all_units_and_steps() -> None:
    found = seen()
    for name, values in found.layers.items():
        text = summary_text(found, [name])
        for gate, words in (("f", "forget f"), ("i", "input i"), ("o", "output o")):
            array = getattr(values, gate)
            low, high, mean = fact(text, words).split()
            assert low == f"{(array < 0.1).mean():.1%}"
            assert high == f"{(array > 0.9).mean():.1%}"
            assert mean == f"{array.mean():.3f}"


def test_half_lives_and_budgets_are_told() -> None:
    text = seen().summary()
    found = seen().statistics()
    lives = found.half_life
    best = int(np.argmax(lives))
    assert fact(text, "half-life").startswith(
        f"median {np.median(lives):.3g} steps; longest unit {best} ({lives[best]:.3g}), unit"
    )
    assert fact(text, "memory") == (
        f"a step keeps {found.keep.mean():.1%}, writes {found.write.mean():.3f}, shows "
        f"{found.shown.mean():.1%}"
    )
    assert fact(text, "dead units") == f"{found.dead.sum()} of 6"


def test_dead_units_and_copies_are_named() -> None:
    values = layer(text_axis(), 16)
    o = values.o.copy()
    o[:, 2:] = o[:, 1:2]
    c = values.c.copy()
    c[:, 2:] = c[:, 1:2]  # units 2 to 15 are copies of unit 1
    o[:, 0] = 0
    found = Inspection(
        title="", axes={"text": text_axis()}, layers={"l0": replace(values, o=o, c=c)}
    )
    text = found.summary()
    assert fact(text, "dead units") == "1 of 16: 0"
    copies = [f"{unit} of 1" for unit in range(2, 14)]
    assert fact(text, "duplicates") == f"14 of 16: {', '.join(copies)} and 2 more"


def test_what_units_follow_is_told_the_closest_first() -> None:
    found = seen(series_axis())
    told = re.findall(r"([^;]+): unit (\d+) \(r = ([-+.\d]+)\)", fact(found.summary(), "follows"))
    correlations = {one.name: one.correlation for one in found.followed()}
    assert told
    for name, unit, r in told:
        own = correlations[name.strip()]
        assert int(unit) == np.argmax(np.abs(own))
        assert r == f"{own[int(unit)]:+.2f}"
    assert len({unit for _, unit, _ in told}) == len(told)  # none twice
    sizes = [abs(float(r)) for _, _, r in told]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= 0.3


def test_a_layer_says_what_it_reads_and_from_where() -> None:
    lines = seen().summary().splitlines()
    assert lines[0] == "a $small$ model"
    assert lines[1] == "text: 53 characters"
    assert "lstm.l0: 6 units, reads text" in lines
    assert "lstm.l0_reverse: 6 units, reads text, from the end" in lines


def test_how_far_gradients_reach_is_told() -> None:
    gains = (0.5 ** np.arange(9, -1, -1)).astype(np.float32)[None]
    steady = np.full((1, 10), 0.75, np.float32)
    flows = [
        GradientFlow(layer="lstm.l0", ends=np.array([9]), of_h=steady, of_c=gains),
        GradientFlow(layer="plain RNN", ends=np.array([9]), of_h=steady),
    ]
    text = seen(flows=flows).summary()
    # 0.5^1 is a half, which is not less than half; 0.5^7 < 0.01 < 0.5^6
    assert fact(text, "gradients") == (
        "∂c/∂c: less than half from 2 steps back, less than a hundredth from 7 steps back"
    )
    assert fact(text, "plain RNN") == (
        "∂h/∂h: more than half over all 9 steps, more than a hundredth over all 9 steps"
    )
    assert "to compare with" in text
    assert "to compare with" not in seen().summary()


def test_what_the_input_did_is_told_the_largest_share_first() -> None:
    lines = rich().summary().splitlines()
    index = lines.index("what the input did for it")
    assert lines[index + 1] == (
        "  log-probability of 'Wo', by occlusion: 'Where' at 0 (-1), 'is' at 1 (-0.75), "
        "'my' at 2 (-0.5)"
    )
    many = [replace(rich().attributions[0], name=f"number {k}") for k in range(10)]
    assert replace(rich(), attributions=many).summary().endswith("\n  and 2 more")
    nothing = Attribution(
        name="x", method="occlusion", axis="source", values=np.zeros(5, np.float32)
    )
    assert replace(rich(), attributions=[nothing]).summary().endswith("x, by occlusion: nothing")


def test_colours_add_codes_and_nothing_else() -> None:
    plain, coloured = rich().summary(), rich().summary(color=True)
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    assert CODES.sub("", coloured) == plain
    assert coloured.count("\x1b[0m") * 2 == coloured.count("\x1b")


def test_words_of_a_user_give_the_terminal_no_order() -> None:
    axis = replace(text_axis("ab\x1b[31m"), name="text")
    found = Inspection(title="\x1b[2J", axes={"text": axis}, layers={"l0": layer(axis)})
    assert "\x1b" not in found.summary()


def test_only_the_wanted_layers_are_told() -> None:
    assert "lstm.l0_reverse" not in seen().summary(["lstm.l0"])
    assert list(summary_values(seen(), ["lstm.l0_reverse"])["layers"]) == ["lstm.l0_reverse"]
    for told in (summary_text, summary_values):
        with pytest.raises(OptionError, match=r"did you mean 'lstm.l0'"):
            told(seen(), ["lstm.l1"])


def test_values_are_json_and_the_same_numbers() -> None:
    found = rich().with_gradients()
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["axes"]["source"] == {"kind": "words", "steps": 5, "unit": "word"}
    for name, own in values["layers"].items():
        statistics = layer_statistics(found.layers[name])
        assert own["units"] == found.layers[name].hidden_size
        assert np.array_equal(np.float32(own["half_life"]), statistics.half_life)
        assert np.array_equal(
            np.float32(own["saturation_low"]["f"]), statistics.saturation_low["f"]
        )
        assert own["dead"] == statistics.dead.tolist()
        assert {one["name"] for one in own["follows"]} == {one.name for one in found.followed(name)}
    flow = found.flows[0]
    assert [one["layer"] for one in values["gradients"]] == ["encoder.l0", "plain RNN"]
    assert np.array_equal(np.float32(values["gradients"][0]["gain_of_c"]), curve(flow, "c")[1])
    assert "gain_of_c" not in values["gradients"][1]
    assert values["attributions"][0]["total"] is None
    assert values["attributions"][0]["shares"] == rich().attributions[0].values.tolist()


def test_infinity_is_none() -> None:
    values = layer(text_axis())
    kept = replace(values, f=np.ones_like(values.f))
    found = Inspection(title="", axes={"text": text_axis()}, layers={"l0": kept})
    assert found.to_dict()["layers"]["l0"]["half_life"] == [None] * 6
    assert fact(found.summary(), "half-life").startswith("median for ever; longest unit 0 (for")


def test_a_sequence_of_no_steps_has_no_numbers() -> None:
    axis = text_axis("")
    found = Inspection(title="x", axes={"text": axis}, layers={"l0": layer(axis)})
    assert found.summary().splitlines()[-1] == "  no steps"
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_is_no_number_is_named_by_its_step() -> None:
    found = seen()
    values = layer(text_axis())
    values.f[7:] = np.nan
    found = replace(found, layers={**found.layers, "lstm.l0": values})
    text = found.summary("lstm.l0")
    assert fact(text, "values").startswith("not a number from step 7 on: the model has diverged")
    assert "half-life" not in text
    assert "nan" not in text
    assert "half-life" in found.summary("lstm.l0_reverse")
    assert found.to_dict("lstm.l0")["layers"]["lstm.l0"]["half_life"] == [None] * 6
    words = "the values of lstm.l0 are none from step 7 on"
    broken = replace(found, layers={"lstm.l0": replace(values, weights=None)})
    with pytest.raises(OptionError, match=words):
        broken.with_gradients()
