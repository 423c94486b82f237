"""A frame has every value once, at its layer, step and unit, and null where there is none."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from tests.inspection.small_inspections import TEXT, layer, rich, seen, series_axis, text_axis

import carousel.nn
from carousel.errors import MissingDependencyError, OptionError, ShapeError
from carousel.inspection.contents import QUANTITIES
from carousel.inspection.frames import contents_frame, trace_frame
from carousel.inspection.inspection import Inspection

T, B, I, H = 5, 3, 4, 6  # noqa: E741


def rows(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame of either kind, None where there is nothing."""
    if isinstance(frame, pl.DataFrame):
        return frame.to_dicts()
    return [
        {name: None if value != value else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_every_value_of_an_inspection_is_there_once(library: str) -> None:
    found = rows(contents_frame(seen(), library))
    expected = [
        {"layer": name, "step": t, "name": TEXT[t], "unit": h}
        | {
            letter: pytest.approx(getattr(values, letter)[t, h], rel=0, abs=0)
            for letter in QUANTITIES
        }
        for name, values in seen().layers.items()
        for t in range(len(TEXT))
        for h in range(6)
    ]
    assert list(found[0]) == list(expected[0])
    assert found == expected


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_units_behind_a_projection_have_no_hidden_value(library: str) -> None:
    frame = contents_frame(rich(), library, ["decoder.l0"])
    values = rich().layers["decoder.l0"]
    found = rows(frame)
    assert len(found) == 4 * 8
    for row in found:
        t, h = row["step"], row["unit"]
        assert row["c"] == values.c[t, h]
        assert row["h"] == (values.h[t, h] if h < 3 else None)


def test_layers_have_their_own_axes_and_sizes() -> None:
    frame = rich().to_polars()
    assert isinstance(frame, pl.DataFrame)
    counted = frame.group_by("layer", maintain_order=True).len()
    assert counted.rows() == [("encoder.l0", 5 * 6), ("decoder.l0", 4 * 8)]
    names = frame.filter(pl.col("unit") == 0)["name"].to_list()
    assert names == ["Where", "is", "my", "dog", "?", "Wo", "ist", "mein", "$Hund$"]
    assert frame.schema["f"] == pl.Float32
    assert frame.schema["layer"] == frame.schema["name"] == pl.String
    assert rich().to_polars(["encoder.l0"]).equals(frame.head(30))


def test_a_frame_of_pandas_is_one() -> None:
    frame = rich().to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.equals(pd.RangeIndex(30 + 32))
    assert frame.groupby("layer", sort=False)["f"].mean().to_list() == pytest.approx(
        # float32 sums of at most 32 numbers below 1
        [float(values.f.mean()) for values in rich().layers.values()], rel=32 * 2**-23
    )  # fmt: skip


def test_nothing_is_an_empty_frame() -> None:
    axis = text_axis("")
    frame = Inspection(title="", axes={"text": axis}, layers={"l0": layer(axis)}).to_polars()
    assert frame.shape == (0, 10)
    assert seen().to_pandas([]).shape == (0, 10)


def test_unknown_names_and_missing_libraries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"no layer 'lstm.l1'; did you mean 'lstm.l0'"):
        seen().to_polars(["lstm.l1"])
    with pytest.raises(OptionError, match="did you mean 'polars'"):
        contents_frame(seen(), "polar")
    monkeypatch.setattr(
        "importlib.import_module",
        lambda name: builtins.__import__("there_is_no_such_library"),
    )
    with pytest.raises(MissingDependencyError, match=r"carousel-lstm\[inspect\]"):
        seen(series_axis()).to_polars()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("P", [0, 2])
@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_every_value_of_a_trace_is_there_once(library: str, P: int, batch_first: bool) -> None:
    lstm = carousel.nn.LSTM(
        I, H, 2, bidirectional=True, proj_size=P, batch_first=batch_first, dtype=torch.float64
    )
    x = torch.randn((B, T, I) if batch_first else (T, B, I), dtype=torch.float64)
    trace = lstm.trace(x)
    found = rows(trace_frame(trace, library, batch_first=batch_first))
    assert len(found) == 4 * B * T * H
    assert [row["layer"] for row in found[:: B * T * H]] == list(trace)
    places = [(row["layer"], row["sequence"], row["step"], row["unit"]) for row in found]
    assert len(set(places)) == len(found)
    for row in found[::7]:  # no divisor of any size, so that all places have their turn
        t, b, h = row["step"], row["sequence"], row["unit"]
        for letter in QUANTITIES:
            values = getattr(trace[row["layer"]], letter).detach()
            one = values[b, t] if batch_first else values[t, b]
            assert row[letter] == (float(one[h]) if h < len(one) else None)


def test_a_trace_without_a_batch_is_sequence_0() -> None:
    trace = carousel.nn.LSTM(I, H).trace(torch.randn(T, I))
    frame = trace_frame(trace, "polars")
    assert frame["sequence"].unique().to_list() == [0]
    assert np.array_equal(frame["c"].to_numpy().reshape(T, H), trace["l0"].c.detach().numpy())


def test_bfloat16_is_told_in_float32() -> None:
    trace = carousel.nn.LSTM(I, H, dtype=torch.bfloat16).trace(torch.randn(T, I).bfloat16())
    frame = trace_frame(trace, "polars")
    assert frame.schema["f"] == pl.Float32
    assert frame["f"].to_list() == trace["l0"].f.float().flatten().tolist()


@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_steps_past_an_end_are_left_out(kind: Any) -> None:
    lengths = [5, 0, 2]
    lstm = carousel.nn.LSTM(I, H)
    trace = lstm.trace(torch.randn(T, B, I), lengths=lengths)
    frame = trace_frame(trace, "polars", lengths=kind(lengths))
    counted = frame.group_by("sequence", maintain_order=True).len()
    assert counted.rows() == [(0, 5 * H), (2, 2 * H)]
    assert frame["f"].min() > 0  # past an end it would be 0
    assert len(trace_frame(trace, "polars")) == B * T * H


def test_a_trace_of_another_layout_is_refused() -> None:
    trace = carousel.nn.LSTM(I, H).trace(torch.randn(T, B, I))
    with pytest.raises(ShapeError, match="give batch_first=False"):
        trace_frame(trace, "polars", batch_first=True)
    with pytest.raises(ShapeError, match="each of the 3 sequences of a batch, got 2"):
        trace_frame(trace, "polars", lengths=[1, 2])
    alone = carousel.nn.LSTM(I, H).trace(torch.randn(T, I))
    with pytest.raises(ShapeError, match="has no batch, leave them out"):
        trace_frame(alone, "polars", lengths=[2])
