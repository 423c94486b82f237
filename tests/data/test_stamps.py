"""Time stamps: read from words, written alike, in every unit and zone."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import pytest

from carousel.data.clocks import Clock
from carousel.data.stamps import TimeStyle, check_time_format, format_stamps, parse_stamps
from carousel.errors import OptionError


@pytest.mark.parametrize(
    ("text_format", "word"),
    [
        ("%Y-%m-%d %H:%M:%S%z", "2024-01-31 18:00:00+0000"),
        ("%Y-%m-%d %H:%M:%S%z", "2024-01-31 18:00:00-0330"),
        ("%Y-%m-%d %H:%M:%S%:z", "2024-01-31 18:00:00+02:00"),
        ("%Y-%m-%d %H:%M:%S%#z", "2024-01-31 18:00:00+02"),
        ("%z %Y-%m-%d %H:%M", "+0000 2024-01-31 18:00"),
        ("%Y-%m-%d %H:%M UTC", "2024-01-31 18:00 UTC"),
        (None, "2024-01-31 18:00:00.000000100"),
    ],
)
def test_stamps_are_written_as_they_were_read(text_format: str | None, word: str) -> None:
    parsed = parse_stamps([word], text_format)
    assert parsed is not None
    assert not parsed.bad.any()
    stamps = parsed.values.astype("datetime64[ns]").astype("int64")
    assert format_stamps(stamps, parsed.style) == [word]


def test_the_name_of_a_zone_is_refused_before_any_row_is_read() -> None:
    with pytest.raises(OptionError, match="%z for an offset"):
        check_time_format("%Y-%m-%d %H:%M %Z")


def test_each_stamp_is_written_with_its_own_offset() -> None:
    words = ["2024-10-27 02:30:00+02:00", "2024-10-27 02:30:00+01:00", "2024-10-27 03:30:00+01:00"]
    parsed = parse_stamps(words, None)
    assert parsed is not None
    stamps = parsed.values.astype("datetime64[ns]").astype("int64")
    assert format_stamps(stamps, parsed.style) == words


def test_a_bad_word_tells_no_offset() -> None:
    parsed = parse_stamps(["2024-01-01T00:00:00+01:00", "soon", "2024-01-01T02:00:00+01:00"], None)
    assert parsed is not None
    assert parsed.bad.tolist() == [False, True, False]
    assert parsed.style.clock is not None
    assert parsed.style.clock.offsets.tolist() == [3_600 * 10**9]


def test_datetimes_of_a_zone_say_which_of_two_hours_they_are() -> None:
    style = TimeStyle("time", dtype="Datetime", time_zone="Europe/Berlin")
    stamps = np.array(["2024-10-27T00:30", "2024-10-27T01:30"], "datetime64[ns]").astype("int64")
    first, second = format_stamps(stamps, style)
    where = zoneinfo.ZoneInfo("Europe/Berlin")
    assert first == datetime.datetime(2024, 10, 27, 2, 30, tzinfo=where)
    assert (first.utcoffset(), second.utcoffset()) == tuple(
        datetime.timedelta(hours=hours) for hours in (2, 1)
    )


@pytest.mark.parametrize(
    ("style", "is_dated", "tells_utc"),
    [
        (TimeStyle("integer", "%d"), True, False),
        (TimeStyle("integer", dtype="Int64"), True, False),
        (TimeStyle("time", dtype="Date"), True, False),
        (TimeStyle("time", "%d.%m.%Y"), True, False),
        (TimeStyle("time", "%d.%m.%Y %H:%M"), False, False),
        (TimeStyle("time", "%d.%m.%Y %-I %p"), False, False),
        (TimeStyle("time", "%d.%m.%Y %R UTC"), False, True),
        (TimeStyle("time", "%Y-%m-%dT%H:%M:%SZ"), False, True),
        (TimeStyle("time", "%Y-%m-%d %H:%M%z"), False, True),
        (TimeStyle("time", dtype="Datetime"), False, False),
        (TimeStyle("time", dtype="Datetime", time_zone="UTC"), False, True),
    ],
)
def test_a_style_knows_what_its_stamps_leave_open(
    style: TimeStyle, is_dated: bool, tells_utc: bool
) -> None:
    assert (style.is_dated, style.tells_utc) == (is_dated, tells_utc)


def test_offsets_take_the_form_that_the_directive_has() -> None:
    style = TimeStyle("time", "%z %Y-%m-%d %H:%M", shown=Clock.of_zone("Europe/Berlin"))
    stamps = np.array(["2024-01-01", "2024-07-01"], "datetime64[ns]").astype("int64")
    assert format_stamps(stamps, style) == ["+0100 2024-01-01 01:00", "+0200 2024-07-01 02:00"]


@pytest.mark.parametrize(
    ("words", "summer"),
    [
        (["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"], "2024-07-01T00:00:00Z"),
        (["2024-01-01T00:00:00+01:00", "2024-01-01T01:00:00+01:00"], "2024-07-01T02:00:00+02:00"),
        (["2024-01-01T00:00:00+05:00", "2024-01-01T01:00:00+05:00"], "2024-07-01T05:00:00+05:00"),
    ],
)
def test_a_zone_sets_new_offsets_where_the_old_ones_were_its_own(
    words: list[str], summer: str
) -> None:
    parsed = parse_stamps(words, None)
    assert parsed is not None
    stamps = parsed.values.astype("datetime64[ns]").astype("int64")
    style = parsed.style.in_zone(Clock.of_zone("Europe/Berlin"), stamps)
    later = np.array(["2024-07-01"], "datetime64[ns]").astype("int64")
    assert format_stamps(np.append(stamps, later), style) == [*words, summer]
