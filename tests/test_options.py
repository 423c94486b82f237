"""Options that refuse: each wrong value is named, with what was expected."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import OptionError
from carousel.options import from_dict, option, options, to_dict


@options
class Kettle:
    """What a test needs of options."""

    litres: float = option(help="how much it holds", unit="litres", low=0.1, high=5)
    spouts: int = option(default=1, help="how many spouts", low=1)
    colour: str = option(default="red", help="its colour", choices=("red", "blue"))
    whistles: bool = option(default=True, help="whether it whistles")
    lid: float | None = option(default=None, help="width of the lid", low=0)
    marks: tuple[float, ...] = option(default=(0.1, 0.9), help="levels", low=0, high=1)


def test_the_defaults_hold() -> None:
    assert to_dict(Kettle(litres=1.5)) == {
        "litres": 1.5,
        "spouts": 1,
        "colour": "red",
        "whistles": True,
        "lid": None,
        "marks": [0.1, 0.9],
    }


def test_a_whole_number_is_a_number() -> None:
    made = Kettle(litres=2, lid=1, marks=[0, 1])
    assert [type(v) for v in (made.litres, made.lid, *made.marks)] == [float] * 4
    assert made.marks == (0.0, 1.0)


@options
class Shelf:
    """Options of which one is a folder."""

    folder: str | os.PathLike[str] | None = option(default=None, help="where it stands")
    name: str = option(default="", help="what it is called")


def test_a_path_is_text() -> None:
    place = Path("a") / "b"
    made = Shelf(folder=place)
    assert made.folder == str(place)
    assert type(made.folder) is str
    assert Shelf(folder="c").folder == "c"
    with pytest.raises(OptionError, match="'folder' expects text, got 3"):
        Shelf(folder=cast(Any, 3))
    with pytest.raises(OptionError, match="'name' expects text, got "):  # which is no folder
        Shelf(name=cast(Any, place))


def test_they_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Kettle(litres=1.0).litres = 2.0


def test_they_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        Kettle(1.0)


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"litre": 1.0}, "no option 'litre'; did you mean 'litres'"),
        ({}, "'litres' must be given: how much it holds"),
        ({"litres": "1"}, "a number of litres, from 0.1 to 5, got '1'"),
        ({"litres": True}, "expects a number"),
        ({"litres": None}, "expects a number"),
        ({"litres": 0.0}, "from 0.1 to 5, got 0.0"),
        ({"litres": 5.1}, "from 0.1 to 5, got 5.1"),
        ({"litres": math.nan}, "got nan"),
        ({"litres": math.inf}, "got inf"),
        ({"litres": 1.0, "spouts": 0}, "at least 1, got 0"),
        ({"litres": 1.0, "spouts": 1.5}, "a whole number, at least 1, got 1.5"),
        ({"litres": 1.0, "spouts": True}, "expects a whole number"),
        ({"litres": 1.0, "colour": "bleu"}, "colour: .*'bleu'; did you mean 'blue'"),
        ({"litres": 1.0, "whistles": 1}, "expects true or false, got 1"),
        ({"litres": 1.0, "lid": -1.0}, "at least 0, got -1.0"),
        ({"litres": 1.0, "marks": 0.5}, "expects a list"),
        ({"litres": 1.0, "marks": "0.5"}, "expects a list"),
        ({"litres": 1.0, "marks": (0.5, 2.0)}, "from 0 to 1, got 2.0"),
        ({"litres": 1.0, "marks": (0.5, "x")}, "expects a number.*got 'x'"),
    ],
)
def test_it_refuses(given_values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Kettle(**given_values)


@given(
    litres=st.floats(0.1, 5),
    spouts=st.integers(1, 99),
    lid=st.none() | st.floats(0, 9),
    marks=st.lists(st.floats(0, 1), max_size=4).map(tuple),
)
def test_they_survive_json(
    litres: float, spouts: int, lid: float | None, marks: tuple[float, ...]
) -> None:
    made = Kettle(litres=litres, spouts=spouts, lid=lid, marks=marks)
    assert from_dict(Kettle, json.loads(json.dumps(to_dict(made)))) == made


def test_plain_values_are_refused_as_the_constructor_refuses() -> None:
    with pytest.raises(OptionError, match="did you mean 'spouts'"):
        from_dict(Kettle, {"litres": 1.0, "spuots": 2})


def test_its_own_checks_still_run() -> None:
    @options
    class Pair:
        low: int = option(default=0, help="lower end")
        high: int = option(default=1, help="upper end")

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise OptionError("low must not exceed high")

    assert Pair(low=1, high=1).low == 1
    with pytest.raises(OptionError, match="must not exceed"):
        Pair(low=2, high=1)
