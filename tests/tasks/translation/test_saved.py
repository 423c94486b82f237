"""The plain values of a saved translator: whatever is no value of its place is refused by name."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.tasks.translation.small_translators import small_translator

from carousel.errors import ModelError
from carousel.tasks.translation.data import Longest
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.plan import Plan
from carousel.tasks.translation.saved import ABOUT, check_config

Change = Callable[[dict[str, Any]], object]


def config(shared: bool = True) -> dict[str, Any]:
    """Returns what a translator writes, as it is read again."""
    return json.loads(json.dumps(small_translator(shared)._ready("look").config()))


def refused(change: Change, shared: bool = True) -> str:
    values = config(shared)
    change(values)
    with pytest.raises(ModelError) as caught:
        check_config(values)
    assert str(caught.value).startswith("the model folder is damaged: expected")
    return str(caught.value)


@pytest.mark.parametrize("shared", [True, False])
def test_what_a_translator_writes_is_accepted(shared: bool) -> None:
    check_config(config(shared))


WRONG: dict[str, list[Any]] = {
    "int": [None, "8", 8.0, True, 0, -1, [8]],
    "float": [None, "0.1", True, -0.1, math.nan, [0.1]],
    "bool": [None, 1, 0, "true"],
    "str": [None, 1, ["general"], True],
}


@pytest.mark.parametrize("field", dataclasses.fields(Plan), ids=lambda field: field.name)
def test_every_value_of_the_plan_is_checked(field: dataclasses.Field[Any]) -> None:
    for value in WRONG[str(field.type)]:
        message = refused(lambda found, value=value: found["plan"].update({field.name: value}))
        assert f"'plan.{field.name}'" in message
        assert f"got {value!r}" in message
    assert f"'plan.{field.name}'" in refused(lambda found: found["plan"].pop(field.name))


def test_a_whole_number_may_be_a_rate() -> None:
    values = config()
    values["plan"]["word_dropout"] = 0
    check_config(values)


@pytest.mark.parametrize("name", ["options", "plan", "about"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_groups_of_values_are_groups(name: str, value: object) -> None:
    assert f"named values as {name!r}" in refused(lambda found: found.update({name: value}))
    assert f"named values as {name!r}" in refused(lambda found: found.pop(name))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("longest", [None, 0, -1, 2.5, "3", True]),
        ("characters", [None, 3, ["a"]]),
        ("seen", [None, 3, {}]),
    ],
)
def test_single_values_are_checked(name: str, values: list[Any]) -> None:
    for value in values:
        assert f"as {name!r}" in refused(lambda found, value=value: found.update({name: value}))
    assert f"as {name!r}" in refused(lambda found: found.pop(name))


def test_a_model_of_an_earlier_version_does_not_know_its_longest_source() -> None:
    model = small_translator()._ready("look")
    values = config()
    assert values.pop("longest_subwords") > 0
    again = Fitted.restore(values, model.tensors(), model.assets() | {"history.jsonl": b""})
    assert again.longest == Longest(words=model.longest.words, subwords=0)
    for value in (None, -1, 2.5, "3", True):
        message = refused(lambda found, value=value: found.update(longest_subwords=value))
        assert "as 'longest_subwords'" in message


def test_what_is_told_of_the_fit_is_all_there() -> None:
    assert {*ABOUT, "validation_overlap"} == set(config()["about"])
    for name in ABOUT:
        assert f"'about.{name}'" in refused(lambda found, name=name: found["about"].pop(name))


def test_whether_languages_share_a_vocabulary_is_said_and_kept_to() -> None:
    for value in (None, 1, "yes"):
        message = refused(
            lambda found, value=value: found["options"].update(shared_vocabulary=value)
        )
        assert "true or false as 'options.shared_vocabulary'" in message
    message = refused(lambda found: found["plan"].update(tied_source=True), shared=False)
    assert "expected false as 'plan.tied_source', got True" in message
