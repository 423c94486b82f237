"""A forecaster seen at work: against its layers' own traces, its forecasts, and the rows read."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.forecasting.small_data import (
    ALL_COVARIATES,
    QUICK,
    SMALL,
    START,
    frame,
    rich_frame,
    split,
)
from tests.tasks.traced_layers import assert_traced

from carousel.errors import DataError, ModelError, OptionError
from carousel.inspection.inspection import Inspection
from carousel.tasks.forecasting import Forecaster
from carousel.tasks.forecasting.layer_steps import BEFORE
from carousel.tasks.forecasting.network import Member, _patches
from carousel.tasks.forecasting.windows import Window

# Single precision: a layer of 6 units on 12 steps, in sums of under 30 terms; a few roundings of
# 6e-8 each, which no such recurrence makes a hundred times as large.
CLOSE = 1e-5
CONTEXT, HORIZON = SMALL["context"], SMALL["horizon"]


@functools.cache
def small_model(patch: int = 1, **options: Any) -> Forecaster:
    """Returns one forecaster for all tests, which must leave it as it is."""
    return Forecaster(**{**SMALL, "patch": patch, **options}).fit(frame(), run=QUICK)


def last_window(model: Forecaster, data: pl.DataFrame, s: int = 0) -> Window:
    fitted = model._ready("look")
    panel = fitted.read(data)
    windows = fitted.windows(panel, panel.lengths)
    return windows.cut(torch.tensor([s]), torch.from_numpy(panel.lengths[s : s + 1]))


def assert_seen(model: Forecaster, found: Inspection, window: Window, number: int = 0) -> None:
    """Every value of a member is what its layers say of themselves."""
    member = model._ready("look").network.members[number]
    assert isinstance(member, Member)
    past = member.embed_past(_patches(window.past, member.past_patch, window.static))
    future = _patches(window.future, member.future_patch, window.static, fill_end=True)
    encoder = member.encoder.trace(past)
    begin = encoder.state.h[-1:].contiguous(), encoder.state.c[-1:].contiguous()
    decoder = member.decoder.trace(member.embed_future(future), begin)
    traces = {f"members.{number}.encoder.{name}": part for name, part in encoder.items()}
    traces |= {f"members.{number}.decoder.l0": decoder["l0"]}
    assert list(found.layers) == list(traces)
    for name, trace in traces.items():
        layer = found.layers[name]
        assert layer.axis == ("past" if "encoder" in name else "horizon")
        assert_traced(layer, trace, CLOSE)
    assert found.layers[f"members.{number}.decoder.l0"].before_c == pytest.approx(
        begin[1][0, 0].detach().numpy(), abs=CLOSE
    )


@pytest.mark.parametrize("patch", [1, 5, 6])
@pytest.mark.parametrize("name", ["a", "b"])
def test_values_are_those_of_the_layers(patch: int, name: str) -> None:
    model = small_model(patch, num_layers=2)
    found = model.inspect(frame(), series=name)
    assert_seen(model, found, last_window(model, frame(), "ab".index(name)))
    assert found.title == f"forecaster, series {name} up to 2024-01-04 07:00:00"


def test_the_past_is_what_the_data_has() -> None:
    rows = frame().with_columns(y=pl.when(pl.int_range(pl.len()) == 75).then(None).otherwise("y"))
    past = small_model().inspect(rows).axes["past"]
    own = rows.filter(pl.col("unique_id") == "a").tail(CONTEXT)
    assert (past.kind, past.unit, past.columns) == ("series", "hour", ("y", "wind"))
    assert past.names == [str(stamp) for stamp in own["ds"]]
    assert past.values is not None
    wanted = own.select("y", "wind").to_numpy().astype(np.float32)
    assert np.array_equal(past.values, wanted, equal_nan=True)
    assert np.isnan(past.values).sum() == 1


def test_rows_that_are_read_together_are_one_step() -> None:
    """Of 12 rows in fives the first step has two."""
    past = small_model(5).inspect(frame()).axes["past"]
    own = frame(["a"]).tail(CONTEXT)
    y = own["y"].to_numpy()
    assert past.unit == "step of 5 rows"
    assert past.values is not None
    wanted = [y[:2].mean(), y[2:7].mean(), y[7:].mean()]
    assert past.values[:, 0] == pytest.approx(wanted, rel=1e-6)
    assert past.names == [str(own["ds"][place]) for place in (0, 2, 7)]


@pytest.mark.parametrize("patch", [1, 3])
def test_what_lies_before_a_series_is_none_of_it(patch: int) -> None:
    model = small_model(patch)
    short = frame(["new"], 8)
    found = model.inspect(short)
    past, before = found.axes["past"], (CONTEXT - 8) // patch
    assert past.values is not None
    assert past.names[:before] == [BEFORE] * before
    assert past.names[before] == str(START)
    assert np.isnan(past.values[:before]).all()
    if patch == 1:
        assert past.values[before:, 0] == pytest.approx(short["y"].to_numpy(), rel=1e-6)
    else:  # the second step has a row that is before it, and two that are there
        assert past.values[before, 0] == pytest.approx(short["y"][:2].mean(), rel=1e-6)
    assert_seen(model, found, last_window(model, short))


@pytest.mark.parametrize("options", [{}, {"members": 2}, {"transform": "log"}], ids=str)
def test_the_horizon_is_the_forecast(options: dict[str, Any]) -> None:
    model = small_model(**options)
    ahead = model.inspect(frame(), series="b").axes["horizon"]
    forecast = model.predict(frame()).filter(pl.col("unique_id") == "b")
    assert ahead.kind == "series"
    assert ahead.columns[0] == "y"
    assert sorted(ahead.columns) == sorted(set(forecast.columns) - {"unique_id", "ds"})
    assert ahead.names == [str(stamp) for stamp in forecast["ds"]]
    assert ahead.values is not None
    wanted = forecast.select(ahead.columns).to_numpy()
    assert ahead.values == pytest.approx(wanted, rel=1e-5)


def test_of_a_horizon_in_patches_each_step_has_the_mean() -> None:
    model = small_model(3)
    ahead = model.inspect(frame()).axes["horizon"]
    y = model.predict(frame())["y"].to_numpy()[:HORIZON]
    assert ahead.values is not None
    assert ahead.values[:, 0] == pytest.approx([y[:3].mean(), y[3]], rel=1e-5)
    assert ahead.names == [str(START + datetime.timedelta(hours=hours)) for hours in (80, 83)]


def test_covariates_of_every_kind_are_seen() -> None:
    rows, known = split(rich_frame())
    options = {**SMALL, **ALL_COVARIATES, "patch": 1, "holdout": 4}
    model = Forecaster(**options).fit(rows, run=QUICK)
    found = model.inspect(rows, future=known, series="b", explain="gradients")
    past, ahead = found.axes["past"], found.axes["horizon"]
    assert past.columns == (
        "y", "wind", "sky=blue", "sky=grey", "price", "holiday=false", "holiday=true"
    )  # fmt: skip
    own = rows.filter(pl.col("unique_id") == "b").tail(CONTEXT)
    assert past.values is not None
    assert past.values[:, 3].tolist() == [float(sky == "grey") for sky in own["sky"]]
    assert past.values[:, 4] == pytest.approx(own["price"].to_numpy())
    assert ahead.columns[-3:] == ("price", "holiday=false", "holiday=true")
    assert ahead.values is not None
    wanted = known.filter(pl.col("unique_id") == "b")
    assert ahead.values[:, -3] == pytest.approx(wanted["price"].to_numpy())
    assert np.isfinite(found.attributions[0].values).all()
    with pytest.raises(OptionError, match="next 4 rows of price, holiday"):
        model.inspect(rows)


@pytest.mark.parametrize("patch", [1, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"members": 2}, {"transform": "log"}, {"dropout": 0.0, "num_layers": 2}],
    ids=str,
)
def test_a_forecast_is_explained(patch: int, options: dict[str, Any]) -> None:
    model = small_model(patch, **options)
    fitted, window = model._ready("look"), last_window(model, frame())
    panel = fitted.read(frame())
    windows = fitted.windows(panel, panel.lengths)

    def forecast(changed: slice) -> float:
        """The median of the third row, where the past is level in some rows."""
        past = window.past.clone()
        past[changed, :, [0, 2]] = 0.0  # of target and wind; the masks stay
        with torch.no_grad():
            scaled = fitted.network(window._replace(past=past))
        found = windows.values(scaled[2:3], window.center, window.scale)
        return float(found[0, 0, fitted.options.quantiles.index(0.5)])

    found = model.inspect(frame(), explain="both", ahead=3)
    gradients, occlusion = found.attributions
    stamp = START + datetime.timedelta(hours=82)
    assert gradients.name == occlusion.name == f"forecast for {stamp}"
    assert gradients.axis == occlusion.axis == "past"
    said = forecast(slice(0, 0))
    assert said == pytest.approx(model.predict(frame())["y"][2], rel=1e-6)
    assert gradients.total == pytest.approx(said - forecast(slice(None)), abs=CLOSE)
    # 64 points of a function with the kinks of a rectifier: each is a jump of the derivative, of
    # less than 0.1, which the sum places within 1/64 of the way and so counts wrongly for 1/64.
    assert gradients.values.sum() == pytest.approx(gradients.total, abs=0.1 / 64**2 + CLOSE)
    missing = -CONTEXT % patch
    for step in range(len(occlusion.values)):
        rows = slice(max(0, patch * step - missing), patch * (step + 1) - missing)
        wanted = said - forecast(rows)
        assert occlusion.values[step] == pytest.approx(wanted, abs=CLOSE)
    assert (occlusion.values != 0).any()


def test_without_a_number_the_first_row_is_explained() -> None:
    model = small_model()
    one = model.inspect(frame(), explain="occlusion").attributions[0]
    assert one.name == f"forecast for {START + datetime.timedelta(hours=80)}"
    again = model.inspect(frame(), explain="occlusion", ahead=1).attributions[0]
    assert np.array_equal(one.values, again.values)


def test_of_several_networks_one_is_seen() -> None:
    model = small_model(members=2)
    window = last_window(model, frame())
    for number in (0, 1):
        found = model.inspect(frame(), member=number)
        assert found.title.startswith(f"forecaster, network {number} of 2, series ")
        assert_seen(model, found, window, number)
    with pytest.raises(OptionError, match=r"one of the 2 networks .* from 0 to 1, got 2"):
        model.inspect(frame(), member=2)


def test_the_rows_that_a_model_knows_are_seen_without_data() -> None:
    model = small_model()
    found, again = model.inspect(series="b"), model.inspect(frame(), series="b")
    assert found.axes["past"].names == again.axes["past"].names
    for name, layer in found.layers.items():
        assert layer.c == pytest.approx(again.layers[name].c, abs=CLOSE)


def test_tracks_follow_the_calendar() -> None:
    rows = frame(step=datetime.timedelta(days=1))
    model = Forecaster(**{**SMALL, "patch": 1}).fit(rows, run=QUICK)
    found = model.inspect(rows)
    for name, length in (("past", CONTEXT), ("horizon", HORIZON)):
        axis = found.axes[name]
        begin = {"past": 80 - CONTEXT, "horizon": 80}[name]
        days = [START + datetime.timedelta(days=begin + k) for k in range(length)]
        angle = 2 * np.pi * np.array([day.weekday() for day in days]) / 7
        # A week of days; four of them are none, and an hour of the day is always the same one.
        wanted = {"day of the week, sin": np.sin(angle), "day of the week, cos": np.cos(angle)}
        assert list(axis.tracks) == (list(wanted) if name == "past" else [])
        for track, values in axis.tracks.items():
            assert values == pytest.approx(wanted[track], abs=1e-6)


def test_tracks_of_numbered_steps_follow_the_season() -> None:
    rows = frame().with_columns(ds=pl.int_range(pl.len()).over("unique_id"))
    model = Forecaster(**{**SMALL, "patch": 2}).fit(rows, run=QUICK)
    past = model.inspect(rows).axes["past"]
    assert past.unit == "step of 2 rows"
    assert past.names == [str(80 - CONTEXT + k) for k in range(0, CONTEXT, 2)]
    angle = 2 * np.pi * (80 - CONTEXT + np.arange(0, CONTEXT, 2)) / 6
    assert list(past.tracks) == ["season of 6, sin", "season of 6, cos"]
    assert past.tracks["season of 6, sin"] == pytest.approx(np.sin(angle), abs=1e-6)
    assert past.tracks["season of 6, cos"] == pytest.approx(np.cos(angle), abs=1e-6)


def test_before_a_series_there_is_no_calendar() -> None:
    rows = frame(step=datetime.timedelta(days=1))
    model = Forecaster(**{**SMALL, "patch": 1}).fit(rows, run=QUICK)
    tracks = model.inspect(frame(["new"], 8, datetime.timedelta(days=1))).axes["past"].tracks
    assert list(tracks) == ["day of the week, sin", "day of the week, cos"]
    for track in tracks.values():
        assert np.isnan(track).tolist() == [True] * 4 + [False] * 8


def test_flows_are_there_where_they_are_asked_for() -> None:
    assert list(small_model().inspect(frame()).flows) == []
    found = small_model().inspect(frame(), flow=True)
    assert [flow.layer for flow in found.flows] == list(found.layers)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"series": "aa"}, "no series 'aa'; did you mean 'a'. known: a, b$"),
        ({"series": "zzz"}, "no series 'zzz'; known: a, b$"),
        ({"explain": "both", "ahead": 5}, "a row of the horizon, from 1 to 4, got 5"),
        ({"ahead": 1}, "'ahead' says what is explained"),
        ({"member": 1}, "expects 0, for one network answers"),
        ({"future": frame()}, "no covariates that are known ahead"),
        ({"serie": "a"}, "did you mean 'series'"),
    ],
    ids=str,
)
def test_what_cannot_be_inspected_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        small_model().inspect(frame(), **values)


def test_of_many_series_a_message_names_some() -> None:
    names = [f"s{number}" for number in range(15)]
    with pytest.raises(OptionError, match=r"did you mean 's14'\? known: s0, .*, s9 and 5 more|s1"):
        small_model().inspect(frame(names), series="s144")


def test_a_series_without_values_is_refused() -> None:
    late = pl.int_range(pl.len()).over("unique_id") >= 80 - CONTEXT
    rows = frame().with_columns(
        y=pl.when(late & (pl.col("unique_id") == "b")).then(None).otherwise("y")
    )
    with pytest.raises(DataError, match="series 'b' has no value in its last 12 steps"):
        small_model().inspect(rows, series="b")
    assert len(small_model().inspect(rows, series="a").axes["past"]) == CONTEXT


def test_without_a_fit_there_is_nothing_to_inspect() -> None:
    with pytest.raises(ModelError, match="nothing to inspect yet"):
        Forecaster(horizon=2).inspect(frame())
