"""Time stamps as numbers, and back to the way they were written.

A stamp is an int64: nanoseconds since 1970-01-01, or a plain step number. Letters: N stamps.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from carousel.data.extras import import_extra
from carousel.errors import OptionError

TIME_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y-%m",
)
# What 64 bits of nanoseconds around 1970 can count, in whole years.
FIRST_YEAR, LAST_YEAR = 1677, 2262
STEP_NUMBER = r"^[+-]?\d{1,7}$"
# How far the wall clock is from UTC: the directives of a form, and how each writes UTC itself.
_UTC_WORDS = {"%#z": "Z", "%z": "+0000", "%:z": "+00:00", "%::z": "+00:00:00", "%:::z": "+00"}
_OFFSET_DIRECTIVE = re.compile("|".join(_UTC_WORDS))
_OFFSET = r"(Z|[+-]\d{2}(?::?\d{2})?)$"
_FINER_THAN_A_MICROSECOND = r"\.\d{7,}"


@dataclass(frozen=True)
class TimeStyle:
    """How the time stamps of a table were written, so that new ones are written alike.

    Attributes:
        kind: "time" for dates and times, "integer" for plain step numbers.
        text_format: the strptime format where the stamps were text, else None.
        dtype: the narwhals dtype's name where they were not text ("Datetime", "Date", "Int64").
        time_zone: name of the zone of a Datetime column, or None.
        offset: what every text ends with where all are the same way off UTC, such as "+02:00";
            None writes UTC.
    """

    kind: str
    text_format: str | None = None
    dtype: str | None = None
    time_zone: str | None = None
    offset: str | None = None


class ParsedStamps(NamedTuple):
    """Words read as time stamps.

    Attributes:
        values: (N,) datetime64 in micro- or nanoseconds, or int64 steps; no meaning where bad.
        bad: (N,) true where a word does not parse.
        expected: what was expected of each word.
        style: how they are written.
    """

    values: np.ndarray
    bad: np.ndarray
    expected: str
    style: TimeStyle


def parse_stamps(words: Sequence[str], text_format: str | None) -> ParsedStamps | None:
    """Reads words as step numbers or, in one form for all, as times.

    Args:
        words: N of them, stripped.
        text_format: strptime form; None tries step numbers and ``TIME_FORMATS`` on the first.

    Returns:
        The stamps, or None where no known form fits.
    """
    pl = import_extra("polars", "forecasting")
    text = pl.Series(list(words), dtype=pl.String)
    if text_format is None and bool(text.head(100).str.contains(STEP_NUMBER).all()):
        steps = text.cast(pl.Int64, strict=False)
        bad = steps.is_null().to_numpy()
        values = steps.fill_null(0).to_numpy().astype(np.int64)
        return ParsedStamps(values, bad, "a step number", TimeStyle("integer", "%d"))
    form = text_format or _guessed_format(text)
    if form is None:
        return None
    times = _to_times(text, form)
    unit = times.dtype.time_unit
    values = times.to_physical().fill_null(0).to_numpy().astype(f"datetime64[{unit}]")
    bad = times.is_null().to_numpy()
    style = TimeStyle("time", form, offset=_common_offset(text, form))
    return ParsedStamps(values, bad, f"a time stamp of the form {form}", style)


def format_stamps(stamps: np.ndarray, style: TimeStyle) -> list[Any]:
    """Returns time stamps the way the table had them: text, date, datetime or whole number.

    Args:
        stamps: (N,) int64, as ``Table.stamps`` returns them.
        style: from the same call.
    """
    if style.kind == "integer":
        return [str(step) for step in stamps] if style.text_format else stamps.tolist()
    pl = import_extra("polars", "forecasting")
    times = pl.Series(stamps).cast(pl.Datetime("ns"))
    if style.text_format is not None:
        if style.offset is not None:
            times = times + _distance(style.offset)
        form = _OFFSET_DIRECTIVE.sub(
            lambda found: style.offset or _UTC_WORDS[found.group()], style.text_format
        )
        return times.dt.to_string(form).to_list()
    if style.dtype == "Date":
        return times.cast(pl.Date).to_list()
    if style.time_zone is not None:
        times = times.dt.replace_time_zone("UTC").dt.convert_time_zone(style.time_zone)
    if np.any(stamps % 1_000):  # Python's datetime would cut them off
        return times.dt.to_string("%Y-%m-%d %H:%M:%S%.f").to_list()
    return times.dt.cast_time_unit("us").to_list()


def check_time_format(text_format: str) -> None:
    """Refuses a strptime form without a directive, before any row is read."""
    if "%" not in text_format:
        raise OptionError(
            f"time_format expects a strptime format like %Y-%m-%d, got {text_format!r}"
        )
    if "%Z" in text_format:
        raise OptionError(
            f"time_format cannot read %Z, because the name of a zone does not say how far it is "
            f"from UTC; write the name itself in its place, or %z for an offset, got "
            f"{text_format!r}"
        )


def _guessed_format(text: Any) -> str | None:
    """Returns the first known format that fits most of the first stamps."""
    head = text.head(100)
    for form in TIME_FORMATS:
        if _to_times(head, form).null_count() < len(head) / 2:
            return form
    return None


def _to_times(text: Any, form: str) -> Any:
    """Returns text as times in UTC or wall clock, null where it does not parse."""
    if form == "%Y-%m":  # a bare month needs a day before any parser takes it for a date
        text, form = text + "-01", "%Y-%m-%d"
    zone = "UTC" if _OFFSET_DIRECTIVE.search(form) else None
    # Nanoseconds reach from 1677 to 2262 only, so they are read where the text has them.
    unit = "ns" if text.str.contains(_FINER_THAN_A_MICROSECOND).any() else "us"
    return text.str.to_datetime(form, strict=False, time_unit=unit, time_zone=zone)


def _common_offset(text: Any, form: str) -> str | None:
    """Returns the offset from UTC that every stamp ends with, None where they differ."""
    if not re.search(f"(?:{_OFFSET_DIRECTIVE.pattern})$", form):
        return None
    found = text.str.extract(_OFFSET).unique().to_list()
    return found[0] if len(found) == 1 else None


def _distance(offset: str) -> datetime.timedelta:
    """Returns how far "+02:00", "+0200", "+02" or "Z" is from UTC."""
    if offset == "Z":
        return datetime.timedelta()
    digits = offset[1:].replace(":", "").ljust(4, "0")
    size = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -size if offset[0] == "-" else size
