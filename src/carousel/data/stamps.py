"""Time stamps as numbers, and back to the way they were written.

A stamp is an int64: nanoseconds since 1970-01-01, or a plain step number. Stamps that say how far
they are from UTC, or that are read in a zone, count from 1970 in UTC; others on their own clock.

Letters: N stamps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from carousel.data.clocks import Clock, parse_offset, python_zone, write_offset
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
# Steps lie at most 6·10**18 apart, so that differences, and a forecast as long as its series, stay
# within 64 bits; nanoseconds since 1970 taken for steps reach to 2065.
LAST_STEP = 3 * 10**18
STEP_NUMBER = r"^[+-]?\d{1,7}$"
# How far the wall clock is from UTC: the directives of a form, and how each writes UTC itself.
_UTC_WORDS = {"%#z": "Z", "%z": "+0000", "%:z": "+00:00", "%::z": "+00:00:00", "%:::z": "+00"}
_OFFSET_DIRECTIVE = re.compile("|".join(_UTC_WORDS))
_OFFSET = r"(Z|[+-]\d{2}(?::?\d{2})?)$"
# What a form without any of these cannot tell is the time of day.
_HOUR_DIRECTIVE = re.compile(r"%[-_0]?[HIklcrsRTX+]")
_SAYS_UTC = re.compile(r"(?<!%)Z$|UTC|GMT")
_FINER_THAN_A_MICROSECOND = r"\.\d{7,}"


@dataclass(frozen=True)
class TimeStyle:
    """How the time stamps of a table were written, so that new ones are written alike.

    Attributes:
        kind: "time" for dates and times, "integer" for plain step numbers.
        text_format: the strptime format where the stamps were text, else None.
        dtype: the narwhals dtype's name where they were not text ("Datetime", "Date", "Int64").
        time_zone: name of the zone of a Datetime column, or None.
        offset: one of the offsets from UTC that the texts end with, such as "+02:00", whose form
            all take; None where they end with none.
        clock: the wall clock that the stamps follow; None where they are that clock's own.
        shown: the wall clock that what is written shows; None for UTC or no clock at all.
        is_local: True where the stamps were written as ``clock`` shows them, without an offset.
    """

    kind: str
    text_format: str | None = None
    dtype: str | None = None
    time_zone: str | None = None
    offset: str | None = None
    clock: Clock | None = None
    shown: Clock | None = None
    is_local: bool = False

    @property
    def is_dated(self) -> bool:
        """Says whether the stamps are days, months or step numbers, without a time of day."""
        if self.text_format is not None:
            return _HOUR_DIRECTIVE.search(self.text_format) is None
        return self.dtype != "Datetime"

    @property
    def tells_utc(self) -> bool:
        """Says whether each stamp itself says how far it is from UTC."""
        form = self.text_format or ""
        return self.time_zone is not None or bool(
            _OFFSET_DIRECTIVE.search(form) or _SAYS_UTC.search(form)
        )

    def in_zone(self, clock: Clock, stamps: np.ndarray) -> TimeStyle:
        """Returns the style of stamps (N,) that are known to follow the clock of a zone.

        New stamps are written as they were: on that clock, or in UTC and the like where the offsets
        in the text are not its own.
        """
        if not self.tells_utc:
            return replace(self, clock=clock, shown=clock, is_local=True)
        own = self.shown
        agrees = own is not None and bool((own.ahead(stamps) == clock.ahead(stamps)).all())
        return replace(self, clock=clock, shown=clock if agrees else own)


class ParsedStamps(NamedTuple):
    """Words read as time stamps.

    Attributes:
        values: (N,) datetime64 in micro- or nanoseconds, or int64 steps; no meaning where bad.
        bad: (N,) true where a word does not parse.
        expected: what was expected of each word.
        style: how they are written; its clock is what their offsets from UTC tell.
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
        return ParsedStamps(values, bad, "a whole step number", TimeStyle("integer", "%d"))
    form = text_format or _guessed_format(text)
    if form is None:
        return None
    times = _to_times(text, form)
    unit = times.dtype.time_unit
    values = times.to_physical().fill_null(0).to_numpy().astype(f"datetime64[{unit}]")
    bad = times.is_null().to_numpy()
    offset, clock = _offset_and_clock(text, form, values, bad)
    style = TimeStyle("time", form, offset=offset, clock=clock, shown=clock)
    return ParsedStamps(values, bad, f"a time stamp of the form {form}", style)


def format_stamps(stamps: np.ndarray, style: TimeStyle) -> list[Any]:
    """Returns time stamps the way the table had them: text, date, datetime or whole number.

    Args:
        stamps: (N,) int64, as ``Table.stamps`` returns them.
        style: from the same call.
    """
    if style.kind == "integer":
        return [str(step) for step in stamps] if style.text_format else stamps.tolist()
    if style.text_format is not None:
        return _to_text(stamps, style.text_format, style)
    pl = import_extra("polars", "forecasting")
    zone = None if style.time_zone is None else Clock.of_zone(style.time_zone)
    clock = style.shown if zone is None else zone
    shown = pl.Series(stamps if clock is None else clock.wall(stamps)).cast(pl.Datetime("ns"))
    if style.dtype == "Date":
        return shown.cast(pl.Date).to_list()
    if np.any(stamps % 1_000):  # Python's datetime would cut them off
        return shown.dt.to_string("%Y-%m-%d %H:%M:%S%.f").to_list()
    times = shown.dt.cast_time_unit("us").to_list()
    if style.time_zone is None:
        return times
    where = python_zone(style.time_zone)
    assert zone is not None
    again = (zone.instants(zone.wall(stamps)) != stamps).tolist()  # the second of two such hours
    return [
        time.replace(tzinfo=where, fold=int(second))
        for time, second in zip(times, again, strict=True)
    ]


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


def _offset_and_clock(
    text: Any, form: str, times: np.ndarray, bad: np.ndarray
) -> tuple[str | None, Clock | None]:
    """Returns one of the offsets from UTC that texts end with, and the clock that all of them tell.

    Both are None where the form has none at its end; the clock also where they are several zones'.
    """
    if not re.search(f"(?:{_OFFSET_DIRECTIVE.pattern})$", form):
        return None, None
    pl = import_extra("polars", "forecasting")
    found = text.filter(~bad).str.extract(_OFFSET)
    words = found.unique(maintain_order=True).drop_nulls().to_list()
    if not words:
        return None, None
    ahead = found.replace_strict(
        words, [parse_offset(word) for word in words], default=0, return_dtype=pl.Int64
    )
    instants = times[~bad].astype("datetime64[ns]").astype(np.int64)
    offset = next((word for word in words if word != "Z"), "Z")
    return offset, Clock.of_offsets(instants, ahead.to_numpy())


def _to_text(stamps: np.ndarray, form: str, style: TimeStyle) -> list[str]:
    """Returns time stamps written in a strptime form, each with its own offset from UTC."""
    pl = import_extra("polars", "forecasting")
    directive = _OFFSET_DIRECTIVE.search(form)
    ahead = np.zeros_like(stamps) if style.shown is None else style.shown.ahead(stamps)
    shown = pl.Series(stamps + ahead).cast(pl.Datetime("ns"))
    if directive is None:
        return shown.dt.to_string(form).to_list()
    written = np.empty(len(stamps), dtype=object)
    for distance in np.unique(ahead).tolist():
        word = _UTC_WORDS[directive.group()]
        if distance != 0 or style.offset is not None:
            word = write_offset(distance, style.offset or word)
        rows = np.flatnonzero(ahead == distance)
        there = _OFFSET_DIRECTIVE.sub(word, form)
        written[rows] = shown.gather(rows).dt.to_string(there).to_list()
    return written.tolist()
