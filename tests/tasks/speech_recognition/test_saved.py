"""The plain values of a saved recogniser: whatever is no value of its place is refused by name."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.tasks.speech_recognition.test_fitted import (
    keen_recognizer,
    ready_recognizer,
    small_recognizer,
)

from carousel.errors import ModelError
from carousel.tasks.speech_recognition import Recognizer
from carousel.tasks.speech_recognition.plan import Plan
from carousel.tasks.speech_recognition.saved import ABOUT, check_config

Change = Callable[[dict[str, Any]], object]


def config(model: Callable[[], Recognizer] = small_recognizer) -> dict[str, Any]:
    """Returns what a recogniser writes, as it is read again."""
    return json.loads(json.dumps(model()._ready("look").config()))


def refused(change: Change) -> str:
    values = config()
    change(values)
    with pytest.raises(ModelError) as caught:
        check_config(values)
    assert str(caught.value).startswith("the model folder is damaged: expected")
    return str(caught.value)


@pytest.mark.parametrize("model", [small_recognizer, ready_recognizer, keen_recognizer])
def test_what_a_recogniser_writes_is_accepted(model: Callable[[], Recognizer]) -> None:
    check_config(config(model))


WRONG: dict[str, list[Any]] = {
    "int": [None, "8", 8.0, True, -1, [8]],
    "float": [None, "0.1", True, -0.1, math.nan, [0.1]],
    "bool": [None, 1, 0, "true"],
    "str": [None, 1, ["mfcc"], True],
}


@pytest.mark.parametrize("field", dataclasses.fields(Plan), ids=lambda field: field.name)
def test_every_value_of_the_plan_is_checked(field: dataclasses.Field[Any]) -> None:
    for value in WRONG[str(field.type)]:
        message = refused(lambda found, value=value: found["plan"].update({field.name: value}))
        assert f"'plan.{field.name}'" in message
        assert f"got {value!r}" in message
    if field.default is dataclasses.MISSING:  # else it came with a later version
        assert f"'plan.{field.name}'" in refused(lambda found: found["plan"].pop(field.name))


def test_only_of_slopes_there_may_be_none() -> None:
    values = config()
    assert values["plan"]["deltas"] == 0
    for field in dataclasses.fields(Plan):
        if str(field.type) == "int" and field.name != "deltas":
            name = field.name
            message = refused(lambda found, name=name: found["plan"].update({name: 0}))
            assert f"expected a number from 1 on as 'plan.{name}', got 0" in message


def test_a_whole_number_may_be_a_rate() -> None:
    values = config()
    values["plan"]["hidden_dropout"] = 0
    values["weights"].update(scorer=1, word_bonus=-2)
    check_config(values)


@pytest.mark.parametrize("name", ["options", "plan", "about", "moments", "weights", "seen"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_groups_of_values_are_groups(name: str, value: object) -> None:
    assert f"named values as {name!r}" in refused(lambda found: found.update({name: value}))
    assert f"named values as {name!r}" in refused(lambda found: found.pop(name))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", [None, 0, -1, 2.5, "3", True]),
        ("characters", [None, 3, ["a", " "], "", "ab", "a ba"]),
        ("commonest", [None, 3, ["a"]]),
    ],
)
def test_single_values_are_checked(name: str, values: list[Any]) -> None:
    for value in values:
        assert f"as {name!r}" in refused(lambda found, value=value: found.update({name: value}))
    assert f"as {name!r}" in refused(lambda found: found.pop(name))


@pytest.mark.parametrize(
    ("group", "name", "values"),
    [
        ("weights", "scorer", [None, "1", True, math.nan, math.inf, [1]]),
        ("weights", "word_bonus", [None, "1", False, math.nan, -math.inf]),
        ("seen", "digest", [None, 3, ["a"]]),
        ("seen", "marks", [None, "speaker ann", {"speaker ann": 1}, [1], ["speaker ann", None]]),
    ],
)
def test_values_within_groups_are_checked(group: str, name: str, values: list[Any]) -> None:
    for value in values:
        message = refused(lambda found, value=value: found[group].update({name: value}))
        assert f"as '{group}.{name}'" in message
    assert f"as '{group}.{name}'" in refused(lambda found: found[group].pop(name))


def test_what_is_told_of_the_fit_is_all_there() -> None:
    assert set(ABOUT) == set(config()["about"])
    for name in ABOUT:
        assert f"'about.{name}'" in refused(lambda found, name=name: found["about"].pop(name))
