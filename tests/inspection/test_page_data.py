"""What a page holds: the finest numbers that fit, and nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.inspection.recorded import TEXT, series_axis, text_axis, traced, with_everything
from tests.inspection.recorded_layers import plain

from carousel.inspection.contents import Contents
from carousel.inspection.encoding import Block, decoded, decoded_recurrence
from carousel.inspection.page_blocks import PRECISIONS, Precision
from carousel.inspection.page_data import (
    layers_below,
    lost_steps,
    numbers,
    page_data,
    shows_cell,
)

PLENTY = 10**9


def one(contents: Contents, values: int = 32, weights: int = 32) -> tuple[dict, list[str]]:
    """The only recording of a page of this precision, and its blocks."""
    precision = Precision(values=values, weights=weights)
    facts, texts = page_data([contents], PLENTY, [precision])
    return facts["recordings"][0], texts


def matrix(head: dict, texts: list[str]) -> np.ndarray:
    """What a page reads from a block."""
    return decoded(Block(texts[head["block"]], head, np.zeros(1)))


def test_the_finest_numbers_that_fit_are_taken() -> None:
    contents = traced(text_axis(TEXT * 4), hidden_size=24)
    sizes, words = [], 0
    for precision in PRECISIONS:
        facts, texts = page_data([contents], PLENTY, [precision])
        apart = ("blocks", "weights", "inputs")
        layers = {
            layer["name"]: {key: value for key, value in layer.items() if key not in apart}
            for layer in facts["recordings"][0]["layers"]
        }
        words = len(json.dumps(layers))
        sizes.append(sum(map(len, texts)))
    for room in [PLENTY, *(words + size for size in sizes), words + min(sizes) - 1, 0]:
        facts, texts = page_data([contents], room)
        fits = [k for k, size in enumerate(sizes) if words + size <= room]
        best = fits[0] if fits else len(PRECISIONS) - 1  # in any case there is a page
        assert facts["precision"] == vars(PRECISIONS[best])
        assert sum(map(len, texts)) == sizes[best]


@pytest.mark.parametrize("values", [32, 16, 12, 10, 8])
def test_values_are_within_the_bounds_that_the_page_states(values: int) -> None:
    contents = traced(text_axis(), bidirectional=True)
    precision = Precision(values=values, weights=8)
    facts, texts = page_data([contents], PLENTY, [precision])
    for found, layer in zip(
        facts["recordings"][0]["layers"], contents.layers.values(), strict=True
    ):
        heads = dict(found["blocks"])
        rest = heads.pop("c") if "rest" in heads["c"] else None
        read = {name: matrix(head, texts).T for name, head in heads.items()}
        assert (rest is None) == (values == 32)
        if rest is not None:
            block = Block(texts[rest["block"]], rest, np.zeros(1))
            added = read["i"].T.astype(np.float64) * read["g"].T
            f, start = read["f"].T, layer.before_c
            read["c"] = decoded_recurrence(block, f, added, start, layer.reverse).T
        if "h" not in read:
            read["h"] = read["o"] * np.tanh(read["c"])
        for quantity, seen in read.items():
            off = np.abs(seen - getattr(layer, quantity)).max()
            assert off <= facts["bounds"][quantity], quantity
        assert layer.weights is not None
        recurrent = matrix(found["weights"]["recurrent"], texts)
        assert np.abs(recurrent - layer.weights.recurrent).max() <= facts["bounds"]["weights"]
        np.testing.assert_array_equal(
            matrix(found["weights"]["bias"], texts)[0], layer.weights.bias
        )


def test_the_hidden_state_is_kept_only_where_it_does_not_follow() -> None:
    plain, projected = traced(text_axis()), traced(text_axis(), proj_size=3)
    assert "h" in one(plain, values=32)[0]["layers"][0]["blocks"]  # to the last bit
    assert "h" not in one(plain, values=16)[0]["layers"][0]["blocks"]
    found, texts = one(projected, values=16)
    head = found["layers"][0]["blocks"]["h"]
    assert matrix(head, texts).shape == (3, len(TEXT))
    layer = plain.layers["lstm.l0"]
    assert shows_cell(layer)
    assert not shows_cell(replace(layer, h=layer.h + np.float32(1e-4)))
    assert not shows_cell(projected.layers["lstm.l0"])


def test_inputs_that_are_a_layer_s_outputs_are_not_kept_again() -> None:
    contents = traced(text_axis(), bidirectional=True, num_layers=2)
    assert list(contents.layers) == [
        "lstm.l0",
        "lstm.l0_reverse",
        "lstm.l1",
        "lstm.l1_reverse",
    ]
    assert layers_below("lstm.l0", contents) == []
    assert layers_below("lstm.l1", contents) == [0, 1]
    assert layers_below("lstm.l1_reverse", contents) == [0, 1]
    plain = traced(text_axis(), num_layers=3)
    assert [layers_below(name, plain) for name in plain.layers] == [[], [0], [1]]
    found = one(contents)[0]["layers"]
    assert [each["inputs"].get("layers") for each in found] == [None, None, [0, 1], [0, 1]]


def test_inputs_of_a_text_are_kept_once_for_each_character() -> None:
    contents = traced(text_axis())
    found, texts = one(contents)
    inputs = found["layers"][0]["inputs"]
    assert inputs["block"]["columns"] == len(set(TEXT))
    table = matrix(inputs["block"], texts).T
    np.testing.assert_array_equal(table[inputs["rows"]], contents.layers["lstm.l0"].inputs)


def test_inputs_of_a_series_are_kept_as_they_are_and_named() -> None:
    axis = series_axis(columns=3)
    assert axis.values is not None
    contents = traced(axis, inputs=axis.values)
    found, texts = one(contents)
    inputs = found["layers"][0]["inputs"]
    assert inputs["rows"] is None
    assert inputs["names"] == ["series 0", "series 1", "series 2"]
    np.testing.assert_array_equal(matrix(inputs["block"], texts).T, axis.values)
    # The few values of a series are read off, so they are exact at any precision.
    coarse, texts = one(contents, values=8)
    np.testing.assert_array_equal(matrix(coarse["axes"][0]["values"], texts).T, axis.values)


def test_a_variant_and_a_page_without_room_have_no_weights() -> None:
    assert one(traced(text_axis(), coupled=True))[0]["layers"][0]["weights"] is None
    found = one(traced(text_axis()), weights=0)[0]["layers"][0]
    assert found["weights"] is None
    assert found["inputs"] is None


def test_a_model_that_diverged_is_kept_as_it_is() -> None:
    contents = traced(text_axis(), num_layers=1)
    layer = contents.layers["lstm.l0"]
    broken = layer.c.copy()
    broken[5:, 2] = np.nan
    contents = replace(contents, layers={"lstm.l0": replace(layer, c=broken)})
    found, texts = one(contents, values=8)
    head = found["layers"][0]["blocks"]["c"]
    assert head["bits"] == 32
    np.testing.assert_array_equal(matrix(head, texts).T, broken)
    assert found["layers"][0]["lost"][1:4] == [None, [5, len(TEXT) - 5], None]
    assert [bool(each) for each in found["layers"][0]["followed"]] == [k != 2 for k in range(7)]


def test_where_numbers_are_lost_is_known_in_the_order_of_reading() -> None:
    whole = {name: np.full((6, 3), 0.5, np.float32) for name in "figoch"}
    assert lost_steps(plain(**whole)) is None
    whole["o"][2:, 0] = np.nan
    whole["h"][3:, 0] = np.nan
    whole["c"][4, 1] = -np.inf
    layer = plain(**whole)
    assert lost_steps(layer) == [[2, 4], [4, 1], None]
    assert lost_steps(replace(layer, reverse=True)) == [[5, 4], [4, 1], None]
    # Those of a projected hidden state are not of single cells.
    assert lost_steps(plain(c=whole["f"], h=np.full((6, 2), np.nan))) is None
    assert lost_steps(plain(c=np.zeros((0, 3)))) is None


def test_all_that_json_gets_is_json() -> None:
    facts, texts = page_data([with_everything(), traced(text_axis())], PLENTY)
    again = json.loads(json.dumps(facts, allow_nan=False))
    assert again == facts
    assert len(again["recordings"]) == 2
    heads = [line for line in json.dumps(facts).split('"block": ')[1:] if line[0].isdigit()]
    assert sorted(int(head.split("}")[0].split(",")[0]) for head in heads) == list(
        range(len(texts))
    )


def test_numbers_keep_their_digits_and_infinity_is_not_nan() -> None:
    values = np.array([np.pi, 1e-20, np.inf, np.nan, -2.0, -np.inf], np.float32)
    assert numbers(values, 5) == [3.1416, 1e-20, "Infinity", None, -2.0, "-Infinity"]
    assert np.float32(numbers(values, 9)[0]) == values[0]
