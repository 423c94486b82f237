"""The step between rows: inferred, counted in, continued."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.forecasting.frequency import Frequency, infer_frequency, other_frequency


def stamps(*words: str) -> np.ndarray:
    return np.array(words, dtype="datetime64[ns]").astype(np.int64)


def steps(first: str, step: str, count: int) -> np.ndarray:
    begin = np.datetime64(first)
    size, unit = step.split()
    dates = begin + np.arange(count) * np.timedelta64(int(size), unit)
    return dates.astype("datetime64[ns]").astype(np.int64)


def infer(values: np.ndarray) -> Frequency:
    found = infer_frequency(values, np.array([0, len(values)]), integer=False)
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
        (stamps("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"), "1 month", 12),
    ],
)
def test_regular_stamps(values: np.ndarray, words: str, season: int) -> None:
    found = infer(values)
    assert (str(found), found.season) == (words, season)
    assert found.positions(values).tolist() == list(range(len(values)))
    assert found.stamps(int(values[0]), np.arange(len(values))).tolist() == values.tolist()


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
    following = found.stamps(int(values[0]), np.array([positions[-1] + 1]))
    assert following == stamps("2024-04-22")


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
    found = Frequency("month", 1, month_end=True).stamps(int(stamps("2024-01-31")[0]), np.arange(4))
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
    unit=st.sampled_from(["step", "nanosecond", "business day", "month"]),
    count=st.integers(1, 30),
    day=st.integers(0, 20_000),
    length=st.integers(2, 40),
)
def test_positions_undo_stamps(unit: str, count: int, day: int, length: int) -> None:
    first = np.datetime64(day, "D")
    if unit == "business day":
        first = np.busday_offset(first, 0, roll="forward")
    frequency = Frequency(unit, count)  # type: ignore[arg-type]
    begin = int(first.astype("datetime64[ns]").astype(np.int64))
    values = frequency.stamps(begin, np.arange(length))
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
