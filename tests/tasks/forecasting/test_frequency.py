"""The step between rows: inferred, counted in, continued."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.clocks import Clock
from carousel.tasks.forecasting.frequency import DAY, Frequency, infer_frequency, other_frequency


def stamps(*words: str) -> np.ndarray:
    return np.array(words, dtype="datetime64[ns]").astype(np.int64)


def steps(first: str, step: str, count: int) -> np.ndarray:
    begin = np.datetime64(first)
    size, unit = step.split()
    dates = begin + np.arange(count) * np.timedelta64(int(size), unit)
    return dates.astype("datetime64[ns]").astype(np.int64)


def infer(values: np.ndarray, clock: Clock | None = None) -> Frequency:
    found = infer_frequency(values, np.array([0, len(values)]), integer=False, clock=clock)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("values", "words", "season"),
    [
        (steps("2024-01-01T00", "1 h", 50), "1 hour", 24),
        (steps("2024-01-01T00:00", "15 m", 50), "15 minutes", 96),
        (steps("2024-01-01T00:00", "30 m", 50), "30 minutes", 48),
        (steps("2024-01-01T00:00:00", "10 s", 50), "10 seconds", 8_640),
        (steps("2024-01-01T00:00:00", "1 s", 50), "1 second", 86_400),
        (steps("2024-01-01T00:00:00", "1 ms", 50), "1 millisecond", 1),
        (steps("2024-01-01T00:00:00", "10 us", 50), "10 microseconds", 1),
        (steps("2024-01-01", "1 D", 50), "1 day", 7),
        (steps("2024-01-01", "7 D", 50), "1 week", 1),
        (steps("2020-01", "1 M", 30), "1 month", 12),
        (steps("2020-01", "3 M", 12), "3 months", 4),
        (steps("2000", "1 Y", 12), "12 months", 1),
        (steps("2024-01-01T00:00", "36 h", 50), "36 hours", 1),
        (steps("2023-12-31", "7 D", 200), "1 week", 1),
        (steps("2024-01-03", "14 D", 50), "2 weeks", 1),
        (steps("2024-01-01", "28 D", 50), "4 weeks", 1),
        (steps("2024-01-01", "30 D", 50), "30 days", 1),
        (steps("2000-01-01", "365 D", 50), "365 days", 1),
        (steps("2001-04", "3 M", 40), "3 months", 4),
        (steps("2001-07", "6 M", 40), "6 months", 2),
        (stamps("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"), "1 month", 12),
        (stamps("2023-03-31", "2023-06-30", "2023-09-30", "2023-12-31"), "3 months", 4),
        (stamps(*(f"{year}-12-31" for year in range(1990, 2024))), "12 months", 1),
        (stamps("2023-02-28", "2024-02-29", "2025-02-28", "2026-02-28"), "12 months", 1),
    ],
)
def test_regular_stamps(values: np.ndarray, words: str, season: int) -> None:
    found = infer(values)
    assert (str(found), found.season) == (words, season)
    assert found.positions(values).tolist() == list(range(len(values)))
    assert found.stamps(values, np.arange(len(values))).tolist() == values.tolist()


def test_gaps_do_not_change_the_step() -> None:
    values = np.delete(steps("2024-01-01T00", "1 h", 50), [3, 4, 17, 30, 31, 32])
    found = infer(values)
    assert str(found) == "1 hour"
    assert found.positions(values)[3] == 5


def test_business_days_skip_weekends_and_leave_holidays_as_gaps() -> None:
    days = np.arange(np.datetime64("2024-03-25"), np.datetime64("2024-04-20"))
    days = days[np.is_busday(days)]
    trading = days[days != np.datetime64("2024-03-29")]  # Good Friday
    values = trading.astype("datetime64[ns]").astype(np.int64)
    found = infer(values)
    assert (str(found), found.season) == ("1 business day", 5)
    positions = found.positions(values)
    assert positions[:6].tolist() == [0, 1, 2, 3, 5, 6]
    following = found.stamps(values, np.array([positions[-1] + 1]))
    assert following == stamps("2024-04-22")


def business_days(first: str, count: int) -> np.ndarray:
    days = np.busday_offset(np.datetime64(first), np.arange(count), roll="forward")
    return days.astype("datetime64[ns]").astype(np.int64)


def test_twenty_years_of_an_exchange_are_business_days() -> None:
    values = business_days("2004-01-02", 5_200)
    holiday = np.random.default_rng(0).random(len(values)) < 0.04
    holiday[5_000:5_006] = True  # a week of closed doors and more
    holiday[[0, -1]] = False
    found = infer(values[~holiday])
    assert found == Frequency("business day", 1)
    assert found.positions(values[~holiday]).tolist() == np.flatnonzero(~holiday).tolist()
    after = found.stamps(values[~holiday], np.arange(5_200, 5_210))
    assert after.tolist() == business_days("2004-01-02", 5_210)[5_200:].tolist()


def test_a_stray_saturday_is_no_business_day_and_hides_none() -> None:
    values = business_days("2024-01-01", 60)
    saturday = stamps("2024-02-03")
    both = np.sort(np.concatenate([values, saturday]))
    found = infer(both)
    assert found == Frequency("business day", 1)
    assert both[found.positions(both) < 0].tolist() == saturday.tolist()


def test_one_series_with_weekends_makes_days_of_all() -> None:
    shares, coin = business_days("2024-01-01", 500), steps("2024-01-01", "1 D", 20)
    both = np.concatenate([shares, coin])
    found = infer_frequency(both, np.array([0, 500, 520]), integer=False)
    assert found == Frequency("day", 1)


def test_business_hours_are_hours_with_gaps() -> None:
    days = business_days("2024-01-01", 30)
    values = (days[:, None] + np.arange(9, 17) * DAY // 24).reshape(-1)
    found = infer(values)
    assert (str(found), found.season) == ("1 hour", 24)
    assert found.positions(values)[[7, 8, 40]].tolist() == [7, 24, 168]


def test_a_sunday_makes_days_of_business_days() -> None:
    values = steps("2024-01-01", "1 D", 14)
    assert str(infer(values)) == "1 day"


def test_stamps_between_the_steps_have_no_position() -> None:
    hourly = Frequency("nanosecond", 3_600_000_000_000)
    assert hourly.positions(stamps("2024-01-01T00", "2024-01-01T01:20")).tolist() == [0, -1]
    monthly = Frequency("month", 1)
    assert monthly.positions(stamps("2024-01-15", "2024-02-15", "2024-03-16")).tolist() == [
        0,
        1,
        -1,
    ]
    business = Frequency("business day", 1)
    assert business.positions(stamps("2024-03-01", "2024-03-02")).tolist() == [0, -1]


def test_month_ends_follow_the_calendar() -> None:
    found = Frequency("month", 1, month_end=True).stamps(stamps("2024-01-31"), np.arange(4))
    assert found.tolist() == stamps("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30").tolist()


def test_whole_numbers() -> None:
    found = infer_frequency(np.array([1, 3, 5, 1, 3]), np.array([0, 3, 5]), integer=True)
    assert found == Frequency("step", 2)
    assert found.positions(np.array([1, 5, 6])).tolist() == [0, 2, -1]


def test_single_rows_tell_nothing() -> None:
    assert infer_frequency(np.array([5, 9]), np.array([0, 1, 2]), integer=True) is None


def test_another_frequency_is_found_and_gaps_are_not() -> None:
    hourly, daily = steps("2024-01-01T00", "1 h", 50), steps("2024-01-01", "1 D", 10)
    gaps = np.delete(hourly, slice(5, 40))
    both = np.concatenate([hourly, gaps, daily])
    offsets = np.cumsum([0, len(hourly), len(gaps), len(daily)])
    frequency = infer_frequency(both, offsets, integer=False)
    assert frequency is not None
    found = other_frequency(both, offsets, frequency)
    assert found is not None
    assert (found[0], str(found[1])) == (2, "1 day")
    assert other_frequency(both[: offsets[2]], offsets[:3], frequency) is None


@given(
    unit=st.sampled_from(["step", "nanosecond", "day", "business day", "month"]),
    count=st.integers(1, 30),
    day=st.integers(0, 20_000),
    length=st.integers(2, 40),
)
def test_positions_undo_stamps(unit: str, count: int, day: int, length: int) -> None:
    first = np.datetime64(day, "D")
    if unit == "business day":
        first = np.busday_offset(first, 0, roll="forward")
    frequency = Frequency(unit, count)  # type: ignore[arg-type]
    begin = first.astype("datetime64[ns]").astype(np.int64)
    values = frequency.stamps(np.array([begin]), np.arange(length))
    assert (np.diff(values) > 0).all()
    assert frequency.positions(values).tolist() == list(range(length))


def test_each_series_may_keep_to_its_own_day_of_the_month() -> None:
    first = steps("2024-01", "1 M", 12)
    both = np.concatenate([first, first + 14 * 86_400 * 10**9])
    assert infer_frequency(both, np.array([0, 12, 24]), integer=False) == Frequency("month", 1)


def test_scattered_gaps_are_no_other_frequency() -> None:
    days = steps("2024-01-01", "1 D", 60)
    both = np.concatenate([days, days[[0, 2, 4, 9, 17, 30, 41]]])
    assert other_frequency(both, np.array([0, 60, 67]), infer(days)) is None


@pytest.mark.parametrize("first", ["2023-01", "2023-02", "2023-04", "2024-02"])
@pytest.mark.parametrize("day", [1, 15, 28, 29, 30, 31])
def test_a_day_that_months_lack_gives_way_to_their_last(first: str, day: int) -> None:
    months = np.datetime64(first) + np.arange(30)
    last = (months + 1).astype("datetime64[D]") - 1
    days = np.minimum(months.astype("datetime64[D]") + (day - 1), last)
    values = days.astype("datetime64[ns]").astype(np.int64)
    found = infer(values[:18])
    assert str(found) == "1 month"
    assert found.positions(values[:18]).tolist() == list(range(18))
    assert found.stamps(values[:18], np.arange(30)).tolist() == values.tolist()


def test_a_wrong_stamp_among_months_is_the_one_without_a_position() -> None:
    values = steps("2020-01", "1 M", 30)
    values[[0, 7]] += 3 * DAY
    found = infer(values)
    assert found == Frequency("month", 1)
    assert np.flatnonzero(found.positions(values) < 0).tolist() == [0, 7]


# Both hemispheres, a change at midnight, by half an hour, and a day that a zone has left out.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Beirut",
    "Australia/Sydney",
    "Australia/Lord_Howe",
)


@given(
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(["day", "business day", "month"]),
    count=st.integers(1, 3),
    day=st.integers(5_000, 18_000),
    minute=st.sampled_from([0, 0, 30, 150, 720, 1_380]),
    length=st.integers(2, 400),
)
def test_steps_of_days_keep_to_the_wall_clock(
    zone: str, unit: str, count: int, day: int, minute: int, length: int
) -> None:
    clock, frequency = Clock.of_zone(zone), Frequency(unit, count)  # type: ignore[arg-type]
    first = np.busday_offset(np.datetime64(day, "D"), 0, roll="forward")
    wall = first.astype("datetime64[ns]").astype(np.int64) + np.array([minute]) * 60 * 10**9
    begin = clock.instants(wall)
    # A day that begins late says nothing of when the others begin, but for midnight.
    if minute > 0 and clock.skips(wall)[0]:
        return
    values = frequency.stamps(begin, np.arange(length), clock)
    assert (np.diff(values) > 0).all()
    assert frequency.positions(values, clock).tolist() == list(range(length))
    alone = frequency.stamps(wall, np.arange(length))  # what a clock without changes would show
    shown = clock.wall(values)
    assert (shown[~clock.skips(alone)] == alone[~clock.skips(alone)]).all()


def test_days_of_23_and_25_hours_are_days() -> None:
    clock = Clock.of_zone("Europe/Berlin")
    values = clock.instants(steps("2023-01-01", "1 D", 700))
    assert set((np.diff(values) // (DAY // 24)).tolist()) == {23, 24, 25}
    found = infer(values, clock)
    assert found == Frequency("day", 1)
    assert found.positions(values, clock).tolist() == list(range(700))
    assert infer(values[:2], clock) == found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (steps("2023-01-02", "7 D", 100), "1 week"),
        (business_days("2023-01-02", 300), "1 business day"),
        (steps("2023-01", "1 M", 30), "1 month"),
        (steps("2023-01", "3 M", 12), "3 months"),
        (steps("2023-01-31", "1 D", 1), None),
    ],
)
def test_longer_steps_are_inferred_on_the_wall_clock(values: np.ndarray, words: str | None) -> None:
    clock = Clock.of_zone("America/New_York")
    instants = clock.instants(values)
    span = np.array([0, len(instants)])
    found = infer_frequency(instants, span, integer=False, clock=clock)
    assert (None if found is None else str(found)) == words
    if found is not None:
        assert found.positions(instants, clock).tolist() == list(range(len(instants)))


@pytest.mark.parametrize(("step", "words"), [("1 h", "1 hour"), ("24 h", "24 hours")])
def test_lengths_of_time_run_through_the_changes_of_a_clock(step: str, words: str) -> None:
    clock = Clock.of_zone("Europe/Berlin")
    values = steps("2024-01-01T12", step, 9_000 if step == "1 h" else 400)
    found = infer(values, clock)
    assert (found.unit, str(found)) == ("nanosecond", words)
    assert found.positions(values, clock).tolist() == list(range(len(values)))
    assert found.season == (24 if step == "1 h" else 7)


def test_another_frequency_is_found_on_the_wall_clock() -> None:
    clock = Clock.of_zone("Europe/Berlin")
    daily, weekly = (clock.instants(steps("2024-03-01", step, 60)) for step in ("1 D", "7 D"))
    both, offsets = np.concatenate([daily, daily, weekly]), np.array([0, 60, 120, 180])
    found = other_frequency(both, offsets, Frequency("day", 1), clock)
    assert found == (2, Frequency("day", 7))


ZONES = [None, "Europe/Berlin", "America/Havana"]  # Havana skips midnight
A_SERIES = st.tuples(st.integers(0, 20_000), st.lists(st.integers(1, 5), max_size=12))


@given(
    unit=st.sampled_from(["step", "nanosecond", "day", "business day", "month"]),
    count=st.integers(1, 3),
    month_end=st.booleans(),
    zone=st.sampled_from(ZONES),
    series=st.lists(A_SERIES, min_size=1, max_size=6),
    wrong=st.integers(0, 80),
)
def test_many_series_are_counted_as_one_after_the_other(
    unit: str,
    count: int,
    month_end: bool,
    zone: str | None,
    series: list[tuple[int, list[int]]],
    wrong: int,
) -> None:
    frequency = Frequency(unit, count, month_end and unit == "month")  # type: ignore[arg-type]
    clock = None if zone is None else Clock.of_zone(zone)
    parts = []
    for day, gaps in series:
        first = np.busday_offset(np.datetime64(day, "D"), 0, roll="forward")
        begin = first.astype("datetime64[ns]").astype(np.int64) + day % 24 * 3_600 * 10**9
        begin = begin if clock is None else clock.instants(np.array([begin]))[0]
        parts.append(frequency.stamps(np.array([begin]), np.cumsum([0, *gaps]), clock))
    offsets = np.cumsum([0, *map(len, parts)])
    stamps = np.concatenate(parts)
    stamps[wrong % len(stamps)] += 1  # on no step, or where all the others are on none
    parts = np.split(stamps, offsets[1:-1])
    alone = [frequency.positions(own, clock) for own in parts]
    assert frequency.positions(stamps, clock, offsets).tolist() == np.concatenate(alone).tolist()
    lengths, first = np.arange(len(parts)) + 2, np.arange(len(parts)) % 3
    grid = frequency.grid(stamps, offsets, lengths, clock, first)
    wanted = [
        frequency.stamps(own, begin + np.arange(length), clock)
        for own, length, begin in zip(parts, lengths, first, strict=True)
    ]
    assert grid.tolist() == np.concatenate(wanted).tolist()


def test_the_first_of_many_series_at_another_step_is_found() -> None:
    daily, weekly = steps("2024-01-01", "1 D", 8), steps("2024-01-01", "7 D", 4)
    # Three rows tell nothing, and a series' last row is no step before the next one's first.
    parts = [daily, weekly[:3], daily[[0, 2, 5, 6]], weekly, weekly - 7 * DAY, daily[:1]]
    offsets = np.cumsum([0, *map(len, parts)])
    found = other_frequency(np.concatenate(parts), offsets, Frequency("day", 1))
    assert found == (3, Frequency("day", 7))
