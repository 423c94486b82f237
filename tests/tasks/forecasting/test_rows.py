"""Rows sorted into series: clocks that change, stamps that stand twice, and what is refused how."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.tasks.forecasting.small_data import write_csv

from carousel.data.answers import stamp_column, write_table
from carousel.data.clocks import Clock
from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.options import ForecastingOptions

BERLIN = ForecastingOptions(horizon=4, time_zone="Europe/Berlin")
PLAIN = ForecastingOptions(horizon=4)
HOUR = 3_600 * 10**9


def instants(first: str, step: str, count: int) -> np.ndarray:
    """Times in UTC."""
    size, unit = step.split()
    return (np.datetime64(first) + np.arange(count) * np.timedelta64(int(size), unit)).astype(
        "datetime64[us]"
    )


def in_zone(times: np.ndarray, zone: str) -> pl.Series:
    """Times in UTC as a column of a zone."""
    return pl.Series("ds", times).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)


def local_days(first: str, count: int, zone: str) -> pl.Series:
    """Local midnights as a column of their zone."""
    wall = instants(first, "1 D", count).astype("datetime64[ns]").astype(np.int64)
    return in_zone(Clock.of_zone(zone).instants(wall).astype("datetime64[ns]"), zone)


def csv(path: Path, words: Sequence[str]) -> Path:
    lines = [f"{word},{k % 7}" for k, word in enumerate(words)]
    return write_csv(path / "rows.csv", ["ds,y", *lines])


def answer(panel: Panel, count: int) -> Any:
    """The stamps that follow the first series, as the table would have them."""
    column = stamp_column(panel.future_stamps(0, count), panel.style, panel.table, "ds")
    return write_table({"ds": column}, panel.table)


def refusal(data: Any, options: ForecastingOptions = PLAIN) -> DataError:
    with pytest.raises(DataError) as caught:
        read_panel(data, options)
    return caught.value


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "Australia/Sydney"])
def test_days_of_a_zone_run_through_its_changes(zone: str, library: str) -> None:
    days = local_days("2017-09-20", 240, zone)
    frame = pl.DataFrame({"ds": days[:150], "y": np.arange(150.0)})
    given = {
        "polars": lambda: frame,
        "pandas": lambda: frame.to_pandas(),
        "pyarrow": lambda: frame.to_arrow(),
    }[library]()
    panel = read_panel(given, PLAIN)
    assert panel.frequency == Frequency("day", 1)
    assert panel.target(0).tolist() == np.arange(150.0).tolist()
    following = pl.DataFrame(answer(panel, 90))["ds"]
    assert following.to_list() == days[150:].to_list()
    assert type(answer(panel, 1)) is type(given)
    assert following.dtype == pl.DataFrame(given)["ds"].dtype


def test_a_zone_that_skips_midnight_may_be_where_a_series_begins() -> None:
    days = local_days("2017-10-15", 60, "America/Sao_Paulo")
    assert days[0].hour == 1
    panel = read_panel(pl.DataFrame({"ds": days[:50], "y": 1.0}), PLAIN)
    assert answer(panel, 10)["ds"].to_list() == days[50:].to_list()


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%d %H:%M:%S%z"])
def test_days_whose_offsets_change_keep_the_last_or_the_named_zones(
    form: str, tmp_path: Path
) -> None:
    days = local_days("2024-01-01", 420, "Europe/Berlin")
    words = days.dt.to_string(form).to_list()
    panel = read_panel(csv(tmp_path, words[:360]), PLAIN)
    assert panel.frequency == Frequency("day", 1)
    assert panel.lengths.tolist() == [360]
    assert answer(panel, 20)["ds"].to_list() == words[360:380]  # winter, as the last stamp was
    panel = read_panel(csv(tmp_path, words[:80]), BERLIN)
    assert answer(panel, 20)["ds"].to_list() == words[80:100]  # into summer time
    panel = read_panel(csv(tmp_path, words[:80]), PLAIN)
    assert answer(panel, 20)["ds"][-1] == words[99].replace("+02:00", "+01:00").replace(
        "+0200", "+0100"
    )


def test_local_midnights_written_in_utc_need_their_zone(tmp_path: Path) -> None:
    words = local_days("2024-01-01", 200, "Europe/Berlin").dt.convert_time_zone("UTC")
    path = csv(tmp_path, words.dt.to_string("%Y-%m-%dT%H:%M:%SZ").to_list())
    error = refusal(path)
    assert error.line == 93  # the first midnight of summer time, 1 April
    assert "2024-03-31T22:00:00Z" in str(error)
    assert "name the time zone with time_zone" in str(error)
    panel = read_panel(path, BERLIN)
    assert (panel.frequency, panel.lengths.tolist()) == (Frequency("day", 1), [200])
    assert answer(panel, 1)["ds"].to_list() == ["2024-07-18T22:00:00Z"]


def test_offsets_of_several_zones_count_in_utc(tmp_path: Path) -> None:
    lines = ["unique_id,ds,y"]
    for name, offset in (("a", "+01:00"), ("b", "-05:00")):
        lines += [f"{name},2024-01-{day:02}T00:00:00{offset},1" for day in range(1, 20)]
    panel = read_panel(write_csv(tmp_path / "rows.csv", lines), PLAIN)
    assert panel.lengths.tolist() == [19, 19]
    assert panel.stamp_words(1, 0) == "2024-01-01T05:00:00+00:00"


@pytest.mark.parametrize("minutes", [15, 30, 60])
@pytest.mark.parametrize(
    ("zone", "first"),
    [("Europe/Berlin", "2024-10-26T20"), ("Australia/Sydney", "2024-04-06T08")],
)
def test_local_stamps_are_read_through_autumn(
    minutes: int, zone: str, first: str, tmp_path: Path
) -> None:
    times = instants(first, f"{minutes} m", 24 * 60 // minutes)
    shown = in_zone(times, zone).dt.to_string("%Y-%m-%d %H:%M").to_list()
    assert len(set(shown)) == len(shown) - 60 // minutes
    options = ForecastingOptions(horizon=4, time_zone=zone)
    panel = read_panel(csv(tmp_path, shown), options)
    assert panel.stamps.tolist() == times.astype("datetime64[ns]").astype(np.int64).tolist()
    ahead = in_zone(times[-1:] + np.arange(1, 4) * np.timedelta64(minutes, "m"), zone)
    assert answer(panel, 3)["ds"].to_list() == ahead.dt.to_string("%Y-%m-%d %H:%M").to_list()


def test_the_answer_repeats_the_hour_as_the_question_would() -> None:
    shown = in_zone(instants("2024-10-26T12", "1 h", 16), "Europe/Berlin")
    naive = shown.dt.replace_time_zone(None)
    panel = read_panel(pl.DataFrame({"ds": naive[:12], "y": 1.0}), BERLIN)
    following = answer(panel, 4)["ds"]
    assert following.to_list() == naive[12:].to_list()
    assert [time.hour for time in following] == [2, 2, 3, 4]
    assert following.dtype == naive.dtype


def test_interleaved_series_repeat_the_hour_each_for_itself() -> None:
    shown = in_zone(instants("2024-10-26T20", "1 h", 12), "Europe/Berlin")
    naive = shown.dt.replace_time_zone(None)
    one = pl.DataFrame({"ds": naive, "y": np.arange(12.0)})
    both = pl.concat([one.with_columns(unique_id=pl.lit(name)) for name in "ab"])
    mixed = both.with_row_index().sort(pl.col("index") % 12, maintain_order=True).drop("index")
    panel = read_panel(mixed, BERLIN)
    assert panel.lengths.tolist() == [12, 12]
    assert panel.target(1).tolist() == np.arange(12.0).tolist()


def test_spring_leaves_no_gap_where_the_zone_is_known(tmp_path: Path) -> None:
    shown = in_zone(instants("2024-03-30T20", "1 h", 24), "Europe/Berlin")
    words = shown.dt.to_string("%Y-%m-%d %H:%M").to_list()
    assert read_panel(csv(tmp_path, words), BERLIN).lengths.tolist() == [24]
    assert np.isnan(read_panel(csv(tmp_path, words), PLAIN).target(0)).sum() == 1


def test_a_stamp_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    words = [f"2024-03-31 {hour:02}:00" for hour in range(24)]
    error = refusal(csv(tmp_path, words), BERLIN)
    assert (error.line, error.column) == (4, "ds")
    for part in ("2024-03-31 02:00", "does not exist in Europe/Berlin", "leave time_zone out"):
        assert part in str(error)


@pytest.mark.parametrize("minutes", [15, 60])
def test_a_repeated_hour_suggests_a_zone(minutes: int, tmp_path: Path) -> None:
    times = in_zone(instants("2024-10-26T20", f"{minutes} m", 24 * 60 // minutes), "Europe/Berlin")
    error = refusal(csv(tmp_path, times.dt.to_string("%Y-%m-%d %H:%M").to_list()))
    first = 2 + 4 * 60 // minutes  # the header, four hours, and lines counted from 1
    assert error.line == first + 60 // minutes
    assert f"2024-10-27 02:00 twice (first in line {first}); keep one, or" in str(error)
    assert "name the time zone with time_zone" in str(error)


@pytest.mark.parametrize(
    "words",
    [
        ["2024-10-27 14:00", "2024-10-27 15:00", "2024-10-27 15:00", "2024-10-27 16:00"],
        ["2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00"],
        ["2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 03:00"],
        ["2024-10-25", "2024-10-26", "2024-10-26", "2024-10-27"],
        ["2024-10-27T02:00Z", "2024-10-27T02:00Z", "2024-10-27T03:00Z"],
        ["1", "2", "2", "3"],
    ],
)
def test_other_stamps_that_stand_twice_do_not(words: list[str], tmp_path: Path) -> None:
    form = "%Y-%m-%dT%H:%M%#z" if words[0].endswith("Z") else None
    error = refusal(csv(tmp_path, words), ForecastingOptions(horizon=1, time_format=form))
    assert "twice" in str(error)
    assert "time_zone" not in str(error)


def test_an_hour_thrice_is_refused_with_the_zone_too(tmp_path: Path) -> None:
    words = [f"2024-10-27 0{hour}:00" for hour in (1, 2, 2, 2, 3)]
    error = refusal(csv(tmp_path, words), BERLIN)
    assert (error.line, "twice" in str(error)) == (5, True)
    assert "time_zone" not in str(error)


def test_a_saturday_among_business_days_is_named(tmp_path: Path) -> None:
    days = np.busday_offset("2024-01-01", np.arange(60), roll="forward").tolist()
    days = sorted([*days, datetime.date(2024, 2, 3)])
    error = refusal(csv(tmp_path, [str(day) for day in days]))
    assert error.line == 2 + days.index(datetime.date(2024, 2, 3))
    for part in ("2024-02-03", "1 business day", "it is a Saturday: leave the row out"):
        assert part in str(error)


def test_business_days_of_a_zone_go_on_from_friday_to_monday() -> None:
    wall = np.busday_offset("2023-01-02", np.arange(300), roll="forward")
    wall = wall.astype("datetime64[ns]").astype(np.int64)
    days = in_zone(
        Clock.of_zone("Europe/Berlin").instants(wall).astype("datetime64[ns]"), "Europe/Berlin"
    )
    panel = read_panel(pl.DataFrame({"ds": days[:250], "y": 1.0}), PLAIN)
    assert panel.frequency == Frequency("business day", 1)
    assert answer(panel, 50)["ds"].to_list() == days[250:].to_list()


def test_rows_of_another_zone_are_laid_on_its_own_days() -> None:
    tokyo = local_days("2024-01-01", 30, "Asia/Tokyo")
    panel = read_panel(pl.DataFrame({"ds": tokyo, "y": 1.0}), PLAIN, Frequency("day", 1))
    assert panel.lengths.tolist() == [30]


def test_pandas_objects_with_offsets_of_their_own_are_text() -> None:
    days = local_days("2024-03-20", 20, "Europe/Berlin").to_list()
    given = pd.DataFrame({"ds": pd.Series(days, dtype=object), "y": 1.0})
    panel = read_panel(given, PLAIN)
    assert panel.frequency == Frequency("day", 1)
    assert answer(panel, 1)["ds"].tolist() == ["2024-04-09 00:00:00+02:00"]


def test_the_zone_is_checked_before_any_row_is_read() -> None:
    with pytest.raises(OptionError, match="did you mean 'Europe/Berlin'"):
        ForecastingOptions(horizon=1, time_zone="Europe/Berln")


DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("stamps", "series", "words"),
    [
        ({"a": [0, 1, 2], "b": [0, 1, 2.5], "c": [0, 1.5, 3]}, "b", "between the steps"),
        ({"a": [0, 1, 2], "b": [0, 1, 90_000], "c": [0, 1.5, 3]}, "b", "is the stamp"),
        ({"a": [0, 1, 2], "b": [0, 1.5, 90_000], "c": [0, 1, 2]}, "b", "between the steps"),
        ({"a": [0, 1, 2], "b": [0, 1, 2], "c": [0, 1, 2, 90_000]}, "c", "after the largest gap"),
    ],
)
def test_the_first_wrong_series_is_named(stamps: dict, series: str, words: str) -> None:
    rows = [(name, int(day * DAY)) for name, own in stamps.items() for day in own]
    given = pl.DataFrame(rows, schema=["unique_id", "ds"], orient="row").with_columns(
        pl.col("ds").cast(pl.Datetime("ns")), y=1.0
    )
    with pytest.raises(DataError, match=f"series '{series}' .*{words}"):
        read_panel(given, PLAIN, Frequency("day", 1))


LABELS: dict[str, list] = {
    "text": ["b", "a", "b", "c"],
    "whole numbers": [7, -1, 7, 0],
    "numbers": [0.5, -0.0, 0.5, 2.0],
    "truth values": [True, False, True, False],
    "dates": [datetime.date(2024, 1, day) for day in (2, 1, 2, 3)],
    "times": [datetime.datetime(2024, 1, day) for day in (2, 1, 2, 3)],
}


@pytest.mark.parametrize("library", ["polars", "pandas", "objects", "pyarrow", "category"])
@pytest.mark.parametrize("kind", LABELS)
def test_series_are_numbered_as_they_appear(
    kind: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carousel.data.distinct._ROWS_AT_ONCE", 3)
    labels = LABELS[kind]
    column: Any = pl.Series("unique_id", labels)
    if library == "category" and kind == "text":
        column = column.cast(pl.Categorical)
    rows: Any = pl.DataFrame({"unique_id": column, "ds": [5, 5, 6, 6], "y": 1.0})
    if library == "pyarrow":
        rows = rows.to_arrow()
    elif library != "polars" and not (library == "category" and kind == "text"):
        rows = rows.to_pandas()
        if library == "objects":
            rows["unique_id"] = pd.Series(labels, dtype=object)
        elif library == "category":
            rows["unique_id"] = pd.Series(labels, dtype="category")
    own = rows["unique_id"]
    cells = own.to_pylist() if library == "pyarrow" else own.to_list()
    wanted = list(dict.fromkeys(cells))
    panel = read_panel(rows, PLAIN, Frequency("step", 1))
    assert panel.ids.tolist() == wanted
    assert [type(name) for name in panel.ids] == [type(name) for name in wanted]
    assert panel.lengths.tolist() == [cells.count(name) for name in wanted]
    assert panel.first_rows.tolist() == [cells.index(name) for name in wanted]


def test_names_of_several_types_are_several_series() -> None:
    labels = ["1", 1, "x", 2.5, datetime.date(2024, 1, 1), "1"]
    rows = pd.DataFrame({"unique_id": pd.Series(labels, dtype=object), "ds": range(6), "y": 1.0})
    panel = read_panel(rows, PLAIN, Frequency("step", 1))
    assert panel.ids.tolist() == labels[:5]
    assert panel.first_rows.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("missing", [None, "", " ", "nan"])
@pytest.mark.parametrize("library", ["polars", "pandas", "objects", "pyarrow", "csv"])
def test_a_name_that_is_missing_is_refused_where_it_stands(
    missing: str | None, library: str, tmp_path: Path
) -> None:
    labels = ["a", "b", "a", missing, "b", missing]
    rows: Any = pl.DataFrame({"unique_id": labels, "ds": [1, 1, 2, 2, 2, 3], "y": 1.0})
    if library == "csv":
        rows.write_csv(tmp_path / "rows.csv")
        error = refusal(tmp_path / "rows.csv")
        assert error.line == 5
    else:
        if library in ("pandas", "objects"):
            rows = rows.to_pandas()
        if library == "objects":
            rows["unique_id"] = pd.Series(labels, dtype=object)
        error = refusal(rows.to_arrow() if library == "pyarrow" else rows)
        assert "row 3: the name of the series is missing" in str(error)
    assert error.column == "unique_id"


def test_a_list_is_no_name() -> None:
    rows = {"ds": [1, 2, 3], "y": 1.0}
    for labels in ([["a"], ["a"], ["b"]], ["a", ["b"], None]):
        given = pd.DataFrame({"unique_id": pd.Series(labels, dtype=object), **rows})
        at = labels.index(next(label for label in labels if isinstance(label, list)))
        assert f"row {at}: expected the name of a series, got a list" in str(refusal(given))
    given = pl.DataFrame({"unique_id": [["a"], ["a"], ["b"]], **rows})
    assert "row 0: expected the name of a series, got a list" in str(refusal(given))
