"""Wall clocks against Python's own zones: every change, both ways, in both hemispheres."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.clocks import (
    SECOND,
    Clock,
    check_time_zone,
    is_nameless_offset,
    parse_offset,
    python_zone,
    write_offset,
)
from carousel.errors import MissingDependencyError, OptionError

# Changes in spring and autumn of both hemispheres, by half an hour, at midnight, by a whole day,
# an offset of 45 minutes, and none at all.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "UTC",
)
HOUR = 3_600 * SECOND
zones = st.sampled_from(ZONES)
# From 1970 to 2020: two data bases of zones, Python's and polars', may differ about the future.
seconds = st.lists(st.integers(0, 1_577_836_800), min_size=1, max_size=30)


def at(*words: str) -> np.ndarray:
    return np.array(words, dtype="datetime64[ns]").astype(np.int64)


@given(zone=zones, when=seconds)
def test_the_wall_time_is_what_python_says(zone: str, when: list[int]) -> None:
    found = Clock.of_zone(zone).wall(np.array(when) * SECOND) // SECOND
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    for instant, wall in zip(when, found.tolist(), strict=True):
        local = (epoch + datetime.timedelta(seconds=instant)).astimezone(zoneinfo.ZoneInfo(zone))
        assert local.replace(tzinfo=datetime.UTC).timestamp() == wall


@given(zone=zones, when=seconds)
def test_a_wall_time_is_shown_at_one_of_its_instants(zone: str, when: list[int]) -> None:
    clock, instants = Clock.of_zone(zone), np.array(when) * SECOND
    wall = clock.wall(instants)
    first, second = clock.instants(wall), clock.instants(wall, later=True)
    assert ((first == instants) | (second == instants)).all()
    assert (clock.repeats(wall) == (first < second)).all()
    assert (clock.wall(first) == wall).all()
    assert (clock.wall(second) == wall).all()
    assert not clock.skips(wall).any()


@given(zone=zones, wall=seconds)
def test_a_skipped_wall_time_stands_for_the_change(zone: str, wall: list[int]) -> None:
    clock, times = Clock.of_zone(zone), np.array(wall) * SECOND
    skipped = clock.skips(times)
    found = clock.instants(times)
    assert (clock.wall(found[~skipped]) == times[~skipped]).all()
    assert np.isin(found[skipped], clock.changes).all()
    assert (clock.wall(found[skipped]) > times[skipped]).all()
    assert (clock.wall(found[skipped] - 1) < times[skipped]).all()


@pytest.mark.parametrize(
    ("zone", "skipped", "repeated"),
    [
        ("Europe/Berlin", "2024-03-31T02:30", "2024-10-27T02:30"),
        ("America/New_York", "2024-03-10T02:30", "2024-11-03T01:30"),
        ("Australia/Sydney", "2024-10-06T02:30", "2024-04-07T02:30"),
        ("Australia/Lord_Howe", "2024-10-06T02:15", "2024-04-07T01:45"),
        ("America/Sao_Paulo", "2018-11-04T00:30", "2018-02-17T23:30"),
    ],
)
def test_the_hours_of_the_changes_are_known(zone: str, skipped: str, repeated: str) -> None:
    clock, both = Clock.of_zone(zone), at(skipped, repeated)
    assert clock.skips(both).tolist() == [True, False]
    assert clock.repeats(both).tolist() == [False, True]


@given(
    zone=zones,
    day=st.integers(0, 18_000),
    minutes=st.sampled_from([5, 15, 30, 60]),
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=3),
)
def test_rows_in_order_tell_the_two_hours_apart(
    zone: str, day: int, minutes: int, lengths: list[int]
) -> None:
    clock = Clock.of_zone(zone)
    one = [at("1980-01-01") + (day * 1_440 + minutes * np.arange(n)) * 60 * SECOND for n in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    instants = np.concatenate(one)
    begins = clock.wall(instants[offsets[:-1]])
    # A series that begins within the second of two such hours cannot be told from the first.
    if (clock.instants(begins) == instants[offsets[:-1]]).all():
        found = clock.instants_of_rows(clock.wall(instants), offsets)
        assert found.tolist() == instants.tolist()


def test_an_hour_that_stands_once_is_the_first_and_series_do_not_mix() -> None:
    clock = Clock.of_zone("Europe/Berlin")
    wall = at("2024-10-27T01", "2024-10-27T02", "2024-10-27T03")
    found = clock.instants_of_rows(np.tile(wall, 2), np.array([0, 3, 6]))
    summer = at("2024-10-26T23", "2024-10-27T00", "2024-10-27T02")
    assert found.tolist() == np.tile(summer, 2).tolist()
    within = np.concatenate([wall[1:2], wall[1:2]])
    assert clock.instants_of_rows(within, np.array([0, 1, 2])).tolist() == [summer[1]] * 2
    apart = clock.instants_of_rows(within, np.array([0, 2]))
    assert np.diff(apart).tolist() == [HOUR]


def test_stamps_with_offsets_tell_a_clock_whose_last_offset_stays() -> None:
    instants = at("2024-10-26T22", "2024-10-27T23", "2024-10-25T22")
    clock = Clock.of_offsets(instants, np.array([2, 1, 2]) * HOUR)
    assert clock is not None
    shown = clock.wall(np.append(instants, at("2025-07-01")))
    assert shown.tolist() == at("2024-10-27", "2024-10-28", "2024-10-26", "2025-07-01T01").tolist()


def test_offsets_of_several_zones_are_no_clock() -> None:
    once = at("2024-01-01")
    assert Clock.of_offsets(np.repeat(once, 2), np.array([1, 2]) * HOUR) is None
    days = np.arange(20) * 24 * HOUR
    two = np.concatenate([days, days + 6 * HOUR])
    assert Clock.of_offsets(two, np.repeat([1, -5], 20) * HOUR) is None


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC+01:00", 1.0), ("+05:30", 5.5), ("-0330", -3.5), ("Etc/GMT-2", 2.0)]
)
def test_zones_may_be_offsets(name: str, hours: float) -> None:
    assert Clock.of_zone(name).wall(at("1970-01-01")).tolist() == [hours * HOUR]
    now = datetime.datetime(2024, 1, 1, tzinfo=python_zone(name))
    assert now.utcoffset() == datetime.timedelta(hours=hours)


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("Europe/Berln", "'Europe/Berlin'"),
        ("Berlin", "'Europe/Berlin'"),
        ("new york", "'America/New_York'"),
        ("Europe", "did you mean"),
        ("../etc/passwd", "IANA name"),
        ("", "IANA name"),
    ],
)
def test_an_unknown_zone_is_answered_with_the_nearest(name: str, guess: str) -> None:
    with pytest.raises(OptionError, match="no time zone") as caught:
        check_time_zone(name)
    assert guess in str(caught.value)


def test_a_clock_of_no_zone_is_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'Europe/Berlin'"):
        Clock.of_zone("Europe/Berln")


def test_a_computer_without_a_database_of_zones_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(MissingDependencyError, match="pip install tzdata"):
        check_time_zone("Europe/Berlin")


@pytest.mark.parametrize("word", ["+02:00", "-0330", "+02", "Z", "+05:45", "-11:00"])
def test_offsets_are_written_as_they_were_read(word: str) -> None:
    assert write_offset(parse_offset(word), word) == word


def test_offsets_take_the_form_of_another() -> None:
    assert write_offset(0, "+02:00") == "+00:00"
    assert write_offset(HOUR, "Z") == "+01:00"
    assert write_offset(-7 * HOUR // 2, "+02") == "-0330"
    assert write_offset(HOUR, "+00:00:00") == "+01:00:00"


@pytest.mark.parametrize("hour", range(-15, 16))
def test_offsets_that_polars_has_a_name_for_are_told_from_others(hour: int) -> None:
    offset = f"{hour:+03}:00"
    times = pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("us", tz=offset))
    if is_nameless_offset(offset):
        with pytest.raises(pl.exceptions.ComputeError, match="time zone"):
            pl.from_arrow(times)
        return
    name = pl.DataFrame({"ds": pl.from_arrow(times)}).schema["ds"].time_zone  # type: ignore[attr-defined]
    instant = at("2024-01-01")
    assert Clock.of_zone(name).wall(instant) == Clock.of_zone(offset).wall(instant)


@pytest.mark.parametrize("zone", ["UTC+05:30", "-0330", "+00:01"])
def test_offsets_between_hours_have_no_name(zone: str) -> None:
    assert is_nameless_offset(zone)
    assert not is_nameless_offset("Asia/Kolkata")
