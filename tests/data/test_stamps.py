"""Time stamps: read from words, written alike, in every unit and zone."""

from __future__ import annotations

import pytest

from carousel.data.stamps import check_time_format, format_stamps, parse_stamps
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
