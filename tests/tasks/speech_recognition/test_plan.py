"""The plan: nothing is left open, what is given is taken, and more hours ask for more."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from carousel.errors import OptionError
from carousel.tasks.saved_values import expect_plan
from carousel.tasks.speech_recognition.network import AcousticNetwork
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.plan import READY, Plan, make_plan
from carousel.training import RunOptions

SHORT, LONG = 0.5, 0.51  # hours: the last of the one band, and the first of the other


def planned(
    hours: float = SHORT,
    *,
    rate: int = 8_000,
    is_ready: bool = False,
    optimizer: str | None = None,
    **values: Any,
) -> tuple[Plan, dict[str, Any]]:
    options = RecognitionOptions(**values)
    return make_plan(options, hours=hours, rate=rate, is_ready=is_ready, optimizer=optimizer)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("is_ready", [False, True])
@pytest.mark.parametrize("hours", [0.0, SHORT, LONG, 1_000.0])
def test_nothing_is_left_open(hours: float, is_ready: bool, streaming: bool) -> None:
    plan, run = planned(hours, is_ready=is_ready, streaming=streaming)
    assert None not in dataclasses.asdict(plan).values()
    complete = RunOptions().filled(**run).complete()
    decided = ("batch_size", "optimizer", "learning_rate", "weight_decay", "clip_norm", "average")
    assert None not in [getattr(complete, name) for name in decided]
    assert complete.max_minutes == 10
    network = AcousticNetwork(3, 5, **plan.network())
    assert len(network.layers) == plan.num_layers
    assert network.bidirectional is not streaming
    assert network.bidirectional is plan.bidirectional
    assert network.front.out_channels == plan.channels
    assert network.front.stride == (plan.subsampling,)
    assert network.output.in_features == plan.hidden_size
    for name in ("input_dropout", "hidden_dropout", "output_dropout", "residual"):
        assert getattr(network, name) == getattr(plan, name)


def test_more_hours_get_a_larger_network() -> None:
    short, long = (planned(hours)[0] for hours in (SHORT, LONG))
    assert planned(0.0)[0] == short != long == planned(1_000.0)[0]
    assert short.hidden_size < long.hidden_size
    assert short.num_layers <= long.num_layers


@pytest.mark.parametrize("hours", [SHORT, LONG])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mel_filters", 20),
        ("cepstra", 20),
        ("deltas", 1),
        ("scaling", "recording"),
        ("channels", 7),
        ("hidden_size", 6),
        ("num_layers", 5),
        ("subsampling", 3),
        ("residual", False),
        ("input_dropout", 0.0),
        ("hidden_dropout", 0.0),
        ("output_dropout", 0.125),
        ("weight_dropout", 0.125),
        ("masking", 0.0),
        ("stretching", 0.0),
        ("warping", 0.125),
        ("noise", 0.0),
    ],
)
def test_what_is_given_is_taken_and_changes_nothing_else(
    name: str, value: Any, hours: float
) -> None:
    others = {"features": "mfcc"} if name == "cepstra" else {}  # which alone have some
    plan, run = planned(hours, **{name: value}, **others)
    usual, usual_run = planned(hours, **others)
    assert plan == dataclasses.replace(usual, **{name: value}) != usual
    assert run == usual_run


def test_a_plan_has_every_option_that_makes_a_network() -> None:
    """Else one of them could be forgotten between the options and the network."""
    names = {field.name for field in dataclasses.fields(Plan)}
    others = {"audio_field", "text_field", "encoding", "skip_broken", "lowercase", "validation"}
    others |= {"holdout", "streaming", "lexicon", "ngram"}
    options = {field.name for field in dataclasses.fields(RecognitionOptions)}
    assert options == names - {"bidirectional"} | others
    heard = {"features", "rate", "mel_filters", "cepstra", "deltas", "scaling"}
    changed = {"masking", "stretching", "warping", "noise"}
    assert names - set(planned()[0].network()) == heard | changed


@pytest.mark.parametrize(
    ("values", "is_ready", "deltas", "scaling"),
    [
        ({}, False, 0, "speaker"),
        ({"features": "mfcc"}, False, 2, "speaker"),
        ({}, True, 2, "speaker"),
        ({"streaming": True}, False, 0, "running"),
        ({"streaming": True, "features": "mfcc"}, False, 0, "running"),
        ({"streaming": True}, True, 0, "running"),
        ({"features": "mfcc", "deltas": 0, "scaling": "running"}, False, 0, "running"),
        ({"deltas": 2, "scaling": "recording"}, False, 2, "recording"),
    ],
    ids=str,
)
def test_slopes_and_scale_follow_from_what_is_heard_and_when(
    values: dict[str, Any], is_ready: bool, deltas: int, scaling: str
) -> None:
    plan, _ = planned(is_ready=is_ready, **values)
    assert (plan.deltas, plan.scaling) == (deltas, scaling)


def test_ready_features_are_a_kind_of_their_own_and_get_no_noise() -> None:
    assert (planned()[0].features, planned(features="mfcc")[0].features) == ("log_mel", "mfcc")
    plan, _ = planned(is_ready=True, noise=0.0)
    assert (plan.features, plan.noise) == (READY, 0.0)
    assert planned(is_ready=True)[0] == plan
    assert planned()[0].noise > 0
    assert plan.stretching == planned()[0].stretching > 0


@pytest.mark.parametrize(
    "values",
    [
        {"features": "log_mel"},
        {"features": "mfcc", "deltas": 1},
        {"rate": 8_000},
        {"mel_filters": 40},
        {"noise": 0.5},
    ],
    ids=str,
)
def test_what_is_for_sound_is_refused_where_features_are_ready(values: dict[str, Any]) -> None:
    """Even what is the default: whoever gives it thinks that it counts."""
    name = next(iter(values))
    options = RecognitionOptions(**values)
    with pytest.raises(OptionError, match=f"option '{name}' is for sound, .*; leave it out"):
        make_plan(options, hours=SHORT, rate=8_000, is_ready=True)
    found, _ = make_plan(options, hours=SHORT, rate=8_000, is_ready=False)
    assert getattr(found, name) == values[name]


@pytest.mark.parametrize(
    ("values", "is_ready", "found"),
    [({"features": "mfcc"}, False, "mfcc"), ({}, True, "ready features")],
    ids=str,
)
def test_warping_is_of_mel_filters_alone(
    values: dict[str, Any], is_ready: bool, found: str
) -> None:
    with pytest.raises(OptionError, match=f"'warping' = 0.1 .*, got {found}; leave it out"):
        planned(is_ready=is_ready, warping=0.1, **values)
    plain, _ = planned(is_ready=is_ready, **values)
    assert plain.warping == 0
    assert planned(is_ready=is_ready, warping=0.0, **values)[0] == plain


def test_a_plan_of_an_earlier_version_warps_nothing() -> None:
    values = planned(warping=0.125)[0].to_dict()
    del values["warping"]
    expect_plan(values, Plan, from_zero=("deltas",))
    assert Plan.from_dict(values) == planned(warping=0.0)[0]


def test_what_is_heard_of_sound_has_defaults() -> None:
    for values in ({}, {"mel_filters": 40}, {"features": "log_mel"}):
        plan, _ = planned(**values)
        assert (plan.features, plan.mel_filters, plan.cepstra) == ("log_mel", 40, 13)
    assert planned(features="mfcc", cepstra=13) == planned(features="mfcc")


def test_the_rate_is_that_of_the_recordings() -> None:
    assert planned(rate=12_345)[0] == dataclasses.replace(planned()[0], rate=12_345)


def test_rates_belong_to_their_optimizer() -> None:
    usual = planned()
    assert planned(optimizer="adamw") == usual
    for other in ("sgd", "adam"):
        plan, run = planned(optimizer=other)
        assert plan == usual[0]
        assert run == {name: usual[1][name] for name in ("average", "batch_size", "max_minutes")}
        complete = RunOptions(optimizer=other).filled(**run).complete()
        plain = RunOptions(optimizer=other, max_steps=1).complete()
        for name in ("learning_rate", "weight_decay", "momentum", "clip_norm"):
            assert getattr(complete, name) == getattr(plain, name)


def test_a_given_run_outranks_the_plan() -> None:
    given = RunOptions(max_steps=5, batch_size=3, average=0.0, learning_rate=1.0)
    filled = given.filled(**planned()[1])
    assert (filled.max_steps, filled.max_minutes, filled.batch_size) == (5, None, 3)
    assert (filled.average, filled.learning_rate, filled.optimizer) == (0.0, 1.0, "adamw")
    planned()[1].clear()
    assert planned()[1]  # whoever changes one changes no other


@pytest.mark.parametrize("values", [{}, {"streaming": True, "masking": 1, "noise": 0}], ids=str)
def test_a_plan_is_plain_json(values: dict[str, Any]) -> None:
    plan, _ = planned(**values)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("unknown", [{"hidden": 3}, {}], ids=str)
def test_a_plan_of_other_names_is_refused(unknown: dict[str, int]) -> None:
    values = planned()[0].to_dict()
    if not unknown:
        del values["noise"]
    with pytest.raises(TypeError, match=r"hidden|noise"):
        Plan.from_dict({**values, **unknown})
