"""Calendar features: where a stamp lies in the day, week and year of the wall clock."""

from __future__ import annotations

import numpy as np
import pytest

from carousel.data.clocks import Clock
from carousel.tasks.forecasting.calendar import calendar_cycles, calendar_features
from carousel.tasks.forecasting.frequency import DAY, Frequency

CYCLES = ("day", "week", "year")


def at(*words: str) -> np.ndarray:
    return np.array(words, dtype="datetime64[ns]").astype(np.int64)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_features_follow_the_clock_on_the_wall(zone: str) -> None:
    clock = Clock.of_zone(zone)
    wall = at("2024-01-15T07", "2024-07-15T07", "2024-03-31T07", "2024-10-27T07", "2024-12-31T23")
    instants = clock.instants(wall)
    assert np.array_equal(
        calendar_features(instants, CYCLES, clock), calendar_features(wall, CYCLES)
    )
    same_hour = calendar_features(instants[:4], ("day",), clock)
    assert (same_hour == same_hour[0]).all()
    assert not np.allclose(calendar_features(instants[:2], ("day",)), same_hour[:2])


def test_a_monday_begins_at_local_midnight() -> None:
    clock = Clock.of_zone("Asia/Kathmandu")
    monday = clock.instants(at("2024-01-01"))
    assert calendar_features(monday, ("day", "week", "year"), clock)[0] == pytest.approx(
        [0, 1, 0, 1, 0, 1], abs=1e-6
    )


def test_the_29th_of_february_lengthens_its_year() -> None:
    before, after = calendar_features(at("2024-02-29", "2023-12-31"), ("year",))
    part = np.arctan2([before[0], after[0]], [before[1], after[1]]) / (2 * np.pi) % 1
    assert part == pytest.approx([59 / 366, 364 / 365], abs=1e-6)


@pytest.mark.parametrize(
    ("frequency", "cycles"),
    [
        (Frequency("nanosecond", DAY // 24), ("day", "week", "year")),
        (Frequency("day", 1), ("week", "year")),
        (Frequency("business day", 1), ("week", "year")),
        (Frequency("business day", 5), ("year",)),
        (Frequency("day", 7), ("year",)),
        (Frequency("month", 3), ("year",)),
        (Frequency("month", 12), ()),
        (Frequency("step", 1), ()),
    ],
)
def test_cycles_are_longer_than_two_steps(frequency: Frequency, cycles: tuple[str, ...]) -> None:
    assert calendar_cycles(frequency, 3_000 * DAY) == cycles
