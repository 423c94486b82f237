"""Parameters made from options classes: all of them, and only what was given."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from cyclopts import App

from carousel.cli.parameters import (
    check_overlap,
    own_values,
    split_values,
    with_options,
)
from carousel.errors import OptionError
from carousel.options import option, options


@options
class Sowing:
    depth: int = option(help="how deep", unit="mm", low=1)
    seeds: tuple[str, ...] | None = option(default=None, help="which seeds")
    rows: tuple[float, ...] = option(default=(1.0, 2.5), help="where the rows are")


@options
class Watering:
    often: bool = option(default=False, help="water often")
    method: str = option(default="can", help="what with", choices=("can", "hose"))
    every: int = option(default=0, help="how often", unit="days", source="Columella, book 11")


def parsed(*words: str) -> dict[str, Any]:
    app = App(result_action="return_value")

    @app.default
    @with_options({"Sowing": Sowing, "Watering": Watering}, without=("method",))
    def garden(**values: Any) -> dict[str, Any]:
        return values

    found: dict[str, Any] = app(list(words), exit_on_error=False, print_error=False)
    return found


def test_only_what_is_given_arrives() -> None:
    assert parsed("--depth", "3") == {"depth": 3}
    assert parsed("--depth", "3", "--often") == {"depth": 3, "often": True}


def test_lists_take_many_words_or_none() -> None:
    given = parsed("--seeds", "pea", "bean", "--depth", "3", "--rows", "1", "4.5")
    assert given == {"depth": 3, "seeds": ("pea", "bean"), "rows": (1.0, 4.5)}
    assert parsed("--depth", "3", "--empty-seeds")["seeds"] == ()


def test_what_is_left_out_is_unknown() -> None:
    with pytest.raises(Exception, match="method"):
        parsed("--depth", "3", "--method", "hose")


def test_values_are_dealt_to_their_classes() -> None:
    values = {"depth": 3, "often": True}
    assert split_values(values, Sowing, Watering) == [{"depth": 3}, {"often": True}]


@options
class Harvest:
    often: bool = option(default=False, help="pick often")


def test_values_of_another_task_are_refused_and_those_of_both_taken() -> None:
    classes = {"field": (Sowing,), "pot": (Watering,), "bush": (Harvest, Sowing)}
    assert own_values("field", {"depth": 3}, classes) == [{"depth": 3}]
    assert own_values("pot", {"often": True}, classes) == [{"often": True}]
    assert own_values("bush", {"depth": 3}, classes) == [{}, {"depth": 3}]
    with pytest.raises(OptionError, match="--often is for pot, and this is a model for field; lea"):
        own_values("field", {"depth": 3, "often": True}, classes)
    with pytest.raises(OptionError, match="--method is for pot, and this is a model for bush"):
        own_values("bush", {"often": True, "method": "can"}, classes)


def test_two_classes_with_a_name_in_common_are_refused() -> None:
    check_overlap(Sowing, Watering)
    with pytest.raises(OptionError, match="depth"):
        check_overlap(Sowing, Sowing)


@options
class Digging:
    depth: int = option(default=30, help="how far down", unit="cm", low=10)
    spade: bool = option(default=True, help="with a spade")


@options
class Measuring:
    depth: float = option(default=1.0, help="where to look")


def test_a_name_that_two_classes_have_is_one_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(result_action="return_value", help_format="plaintext")

    @app.default
    @with_options({"Sowing": Sowing, "Digging": Digging, "Harvest": Harvest, "Pot": Watering})
    def garden(**values: Any) -> dict[str, Any]:
        return values

    names = list(inspect.signature(garden).parameters)
    assert names == ["depth", "seeds", "rows", "spade", "often", "method", "every"]
    given = app(["--depth", "12", "--often"], exit_on_error=False, print_error=False)
    assert given == {"depth": 12, "often": True}
    # Both get it, and each has its own range.
    assert split_values(given, Sowing, Digging, Harvest) == [
        {"depth": 12}, {"depth": 12}, {"often": True},
    ]  # fmt: skip
    app(["--help"], exit_on_error=False)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "how deep (in mm); Digging: how far down (in cm; default 30)" in shown
    assert "pick often; Pot: water often" in shown
    heading = {
        name: [group.name for group in parameter.annotation.__metadata__[0].group]
        for name, parameter in inspect.signature(garden).parameters.items()
    }
    assert heading["depth"] == ["Sowing"]  # the first that has it
    assert heading["often"] == ["Harvest"]


def test_a_name_that_is_left_out_is_left_out_of_all() -> None:
    extend = with_options({"Sowing": Sowing, "Digging": Digging}, without=("depth", "rows"))
    found = extend(lambda **values: None)
    assert list(inspect.signature(found).parameters) == ["seeds", "spade"]


def test_one_name_of_two_types_is_a_mistake_in_the_program() -> None:
    extend = with_options({"Sowing": Sowing, "Measuring": Measuring})
    with pytest.raises(AssertionError):
        extend(lambda **values: None)


def test_help_tells_unit_choices_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(result_action="return_value", help_format="plaintext")
    app.default(with_options({"Sowing": Sowing, "Watering": Watering})(lambda **values: None))
    app(["--help"], exit_on_error=False)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "how deep (in mm)" in shown
    assert "where the rows are (default 1 2.5)" in shown
    assert "what with (one of can, hose; default can)" in shown
    assert "how often (in days; default 0; Columella, book 11)" in shown
    assert "water often (" not in shown
    assert {field.name for field in dataclasses.fields(Sowing)} == {"depth", "seeds", "rows"}
