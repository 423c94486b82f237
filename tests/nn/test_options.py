"""What a layer cannot be told it refuses, by name and with what it got."""

from __future__ import annotations

import math

import pytest

from carousel.errors import OptionError
from carousel.nn import LSTM
from carousel.nn.options import DEFAULTS, check_variant, is_number


@pytest.mark.parametrize("name", ["recurrent_dropout", "weight_dropout", "zoneout_h", "zoneout_c"])
@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan, True])
def test_a_rate_is_a_probability_below_one(name: str, rate: float) -> None:
    with pytest.raises(OptionError, match=rf"{name}: expected a probability .*got {rate}"):
        LSTM(3, 4, **{name: rate})
    LSTM(3, 4, **{name: 0.999})
    LSTM(3, 4, **{name: 0})


@pytest.mark.parametrize("clip", [0, -1.0, math.inf, math.nan, True])
def test_a_clip_is_a_bound(clip: float) -> None:
    with pytest.raises(OptionError, match=rf"cell_clip: expected .*got {clip}. None is for no"):
        LSTM(3, 4, cell_clip=clip)
    assert LSTM(3, 4, cell_clip=3).cell_clip == 3


@pytest.mark.parametrize("name", ["peepholes", "coupled"])
def test_flags_are_true_or_false(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        LSTM(3, 4, **{name: 1})


@pytest.mark.parametrize("value", ["0.5", None, 1j])
def test_words_are_no_numbers(value: object) -> None:
    assert not is_number(value)
    unchecked = check_variant.__wrapped__  # around the tests' own check of types
    for place, name in enumerate(["recurrent_dropout", "weight_dropout", "zoneout_h", "zoneout_c"]):
        rates: list[object] = [0.0] * 4
        rates[place] = value
        with pytest.raises(OptionError, match=f"^{name}: expected a probability"):
            unchecked(None, *rates)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initialization": "ortogonal"}, "no initialization 'ortogonal'; did you mean 'orthogon"),
        ({"forget_bias": math.inf}, "forget_bias: expected a finite number, got inf"),
        ({"chrono": 2}, "chrono: expected the longest memory in steps, a number above 2, got 2"),
        ({"chrono": True}, "chrono: expected the longest memory"),
        ({"chrono": 9, "forget_bias": 1}, "chrono: expected it or forget_bias.*=1.* and chrono=9"),
        ({"forget_bias": 1, "bias": False}, "forget_bias: expected a module with biases"),
        ({"chrono": 9, "bias": False}, "chrono: expected a module with biases"),
    ],
    ids=str,
)
def test_initial_values_that_cannot_be_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LSTM(3, 4, **options)


def test_every_option_that_is_not_the_default_is_shown() -> None:
    told = {
        "num_layers": 2,
        "peepholes": True,
        "coupled": True,
        "cell_clip": 2.5,
        "recurrent_dropout": 0.25,
        "weight_dropout": 0.375,
        "zoneout_h": 0.125,
        "zoneout_c": 0.5,
        "initialization": "orthogonal",
        "forget_bias": 1.0,
    }
    words = ", ".join(f"{name}={value!r}" for name, value in told.items())
    assert repr(LSTM(3, 4, **told)) == f"LSTM(3, 4, {words})"
    assert repr(LSTM(3, 4, chrono=9, engine="reference")) == (
        "LSTM(3, 4, chrono=9, engine='reference')"
    )
    assert repr(LSTM(3, 4)) == "LSTM(3, 4)"
    layer = LSTM(3, 4)
    assert all(getattr(layer, name) == default for name, default in DEFAULTS.items())
