"""What units follow, against NumPy's correlation over the steps that count."""

from __future__ import annotations

import numpy as np
import pytest
from tests.inspection.recorded_layers import plain, recorded

from carousel.errors import OptionError
from carousel.inspection.contents import Axis
from carousel.inspection.following import best_units, followed

T, H = 50, 5
# A rounding to float32 of numbers up to 1; the sums of T products before are in float64.
ROUNDED = {"rtol": 0, "atol": 2.0**-24}


def axis(T: int, **options) -> Axis:
    return Axis(name="text", names=[str(t) for t in range(T)], **options)


def pearson(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.astype(np.float64), other.astype(np.float64))[0, 1])


@pytest.mark.parametrize("quantity", ["f", "i", "g", "o", "c", "h"])
@pytest.mark.parametrize("reverse", [False, True])
def test_correlations_are_pearsons_over_the_steps_that_are_numbers(
    quantity: str, reverse: bool
) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(T, 2)).astype(np.float32)
    values[[3, 8], 1] = np.nan
    open_quote = (rng.uniform(size=T) > 0.6).astype(np.float32)
    hour = rng.normal(100, 1, T).astype(np.float32)
    hour[:7] = np.nan
    layer = recorded(T, H, reverse=reverse)
    seen = axis(
        T, values=values, columns=("load", "wind"), tracks={"quote": open_quote, "hour": hour}
    )
    found = followed(layer, seen, quantity)
    things = {
        "load": values[:, 0],
        "wind": values[:, 1],
        "quote": open_quote,
        "hour": hour,
        "position": np.arange(T),
    }
    assert [one.name for one in found] == list(things)
    for one in found:
        thing = things[one.name]
        real = ~np.isnan(thing)
        for h in range(H):
            expected = pearson(thing[real], getattr(layer, quantity)[real, h])
            np.testing.assert_allclose(one.correlation[h], expected, err_msg=one.name, **ROUNDED)


def test_a_unit_that_follows_a_thing_is_found() -> None:
    rng = np.random.default_rng(0)
    quote = (rng.uniform(size=T) > 0.5).astype(np.float32)
    c = rng.normal(size=(T, H))
    c[:, 3] = 2 * quote - 1
    c[:, 1] = np.arange(T, 0, -1)
    found = best_units(followed(plain(c=c), axis(T, tracks={"quote": quote})), 1)
    assert {(one.name, one.unit, round(one.correlation, 6)) for one in found} == {
        ("quote", 3, 1.0),
        ("position", 1, -1.0),
    }


def test_what_is_constant_or_hardly_there_is_left_out() -> None:
    values = np.full((T, 3), np.nan, np.float32)
    values[:, 0] = 4.2
    values[:2, 1] = [1, 2]
    values[:3, 2] = [1, 2, 4]
    still = np.ones(T, np.float32)
    still[9] = np.inf
    found = followed(recorded(T, H), axis(T, values=values, tracks={"still": still}))
    assert [one.name for one in found] == ["value 2", "position"]


def test_a_constant_unit_follows_nothing() -> None:
    c = np.random.default_rng(0).normal(size=(T, 2))
    c[:, 0] = 7
    (found,) = followed(plain(c=c), axis(T))
    assert found.correlation[0] == 0
    assert found.correlation[1] != 0


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_few_steps_say_nothing(steps: int) -> None:
    track = np.arange(steps, dtype=np.float32)
    assert followed(recorded(steps, H), axis(steps, tracks={"hour": track})) == []


def test_a_track_can_say_what_the_position_is() -> None:
    place = np.random.default_rng(0).normal(size=T).astype(np.float32)
    layer = recorded(T, H)
    (found,) = followed(layer, axis(T, tracks={"position": place}))
    np.testing.assert_allclose(found.correlation[0], pearson(place, layer.c[:, 0]), **ROUNDED)


def test_hidden_values_behind_a_projection() -> None:
    h = np.random.default_rng(0).normal(size=(T, 2))
    layer = plain(c=np.zeros((T, H)), h=h)
    (found,) = followed(layer, axis(T), "h")
    assert found.correlation.shape == (2,)


def test_best_units_are_sorted_by_how_closely_they_follow() -> None:
    layer = recorded(T, H)
    followings = followed(layer, axis(T, tracks={"hour": np.sin(np.arange(T)).astype(np.float32)}))
    found = best_units(followings, 2)
    assert sorted(one.name for one in found) == ["hour", "hour", "position", "position"]
    sizes = [abs(one.correlation) for one in found]
    assert sizes == sorted(sizes, reverse=True)
    for following in followings:
        largest = np.sort(np.abs(following.correlation))[::-1][:2]
        own = [one for one in found if one.name == following.name]
        assert [abs(one.correlation) for one in own] == list(largest)
        assert all(one.correlation == following.correlation[one.unit] for one in own)
    assert len(best_units(followings, 99)) == 2 * H
    with pytest.raises(OptionError, match="n: expected a number of units from 1 on, got 0"):
        best_units(followings, 0)


def test_what_does_not_fit_is_refused() -> None:
    layer = recorded(T, H)
    with pytest.raises(OptionError, match="no quantity 'C'; did you mean 'c'"):
        followed(layer, axis(T), "C")
    with pytest.raises(OptionError, match=r"expected 'text' with 50 steps.* got 'text' with 49"):
        followed(layer, axis(T - 1))
    with pytest.raises(OptionError, match="got 'source' with 50"):
        followed(layer, Axis(name="source", names=[""] * T))
