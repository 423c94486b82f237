"""What is known of the future: each row finds its place, and what is missing is named."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.tasks.forecasting.small_data import ALL_COVARIATES, START, rich_frame, split

from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting.ahead import read_ahead
from carousel.tasks.forecasting.data import read_panel
from carousel.tasks.forecasting.options import ForecastingOptions

OPTIONS = ForecastingOptions(horizon=4, **ALL_COVARIATES)
WHOLE = rich_frame(length=30)
PAST, FUTURE = split(WHOLE)
HOUR = datetime.timedelta(hours=1)


def ahead(
    future: Any, past: Any = PAST, options: ForecastingOptions = OPTIONS
) -> np.ndarray | None:
    panel = read_panel(past, options)
    return read_ahead(future, panel, options, panel.covariates)


# price, not a holiday, a holiday
WANTED = [
    [[1000 * s + k, float(k % 5 != 0), float(k % 5 == 0)] for k in range(26, 30)] for s in (1, 2)
]


def test_rows_are_laid_behind_their_series() -> None:
    found = ahead(FUTURE)
    assert found is not None
    assert found.tolist() == WANTED


OTHER_FUTURES = {
    "in another order": FUTURE.sample(fraction=1.0, shuffle=True, seed=1),
    "with rows before": WHOLE.select(FUTURE.columns),
    "with the past's other columns": WHOLE,
    "with rows after": rich_frame(length=40).select(FUTURE.columns),
    "with other series": pl.concat([FUTURE, FUTURE.with_columns(unique_id=pl.lit("c"))]),
    "with rows between": pl.concat(
        [
            FUTURE,
            FUTURE.with_columns(pl.col("ds") + datetime.timedelta(minutes=20), price=pl.lit(-1.0)),
        ]
    ),
    "with empty cells elsewhere": pl.concat(
        [FUTURE, FUTURE.with_columns(pl.col("ds") + 9 * HOUR, price=None)]
    ),
    "of pandas": FUTURE.to_pandas(),
    "of pyarrow": FUTURE.to_arrow(),
    "lazy": FUTURE.lazy(),
}


@pytest.mark.parametrize("name", OTHER_FUTURES)
def test_what_else_the_rows_hold_does_not_matter(name: str) -> None:
    found = ahead(OTHER_FUTURES[name])
    assert found is not None
    assert found.tolist() == WANTED


@pytest.mark.parametrize("suffix", ["csv", "parquet", "tsv"])
def test_files_may_follow_frames_and_frames_files(suffix: str, tmp_path: Path) -> None:
    for name, rows in (("past", PAST), ("future", FUTURE)):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "parquet":
            rows.write_parquet(path)
        else:
            rows.write_csv(path, separator="," if suffix == "csv" else "\t")
    past, future = (tmp_path / f"{name}.{suffix}" for name in ("past", "future"))
    for given in ((future, past), (future, PAST), (FUTURE, past), (str(future), str(past))):
        found = ahead(*given)
        assert found is not None
        assert found.tolist() == WANTED


def test_numbers_that_name_series_are_the_same_in_every_spelling(tmp_path: Path) -> None:
    number = pl.col("unique_id").replace_strict({"a": 7, "b": 12})
    past, future = (rows.with_columns(number) for rows in (PAST, FUTURE))
    future.write_csv(tmp_path / "future.csv")
    for given in (
        future,
        future.with_columns(pl.col("unique_id").cast(pl.Float64)),
        future.with_columns(pl.col("unique_id").cast(pl.String)),
        tmp_path / "future.csv",
    ):
        found = ahead(given, past)
        assert found is not None
        assert found.tolist() == WANTED


def test_one_series_needs_no_name() -> None:
    past, future = (
        rows.filter(pl.col("unique_id") == "a").drop("unique_id") for rows in (PAST, FUTURE)
    )
    found = ahead(future, past)
    assert found is not None
    assert found.tolist() == WANTED[:1]
    with pytest.raises(DataError, match=r"expected the column 'unique_id'.*add it"):
        ahead(future)
    with pytest.raises(DataError, match=r"expected no column 'unique_id'.*leave it out"):
        ahead(FUTURE, past)


def test_series_of_unequal_ends_each_have_their_own_future() -> None:
    short = pl.int_range(pl.len()).over("unique_id") < 20
    past = PAST.filter((pl.col("unique_id") == "b") | short)
    found = ahead(WHOLE.select(FUTURE.columns), past)
    assert found is not None
    assert found[:, :, 0].tolist() == [[1020, 1021, 1022, 1023], [2026, 2027, 2028, 2029]]
    with pytest.raises(DataError, match="'a' has no row for 2024-01-01 20:00:00"):
        ahead(FUTURE, past)


@pytest.mark.parametrize("step", ["1d", "1w", "1mo", "1q"])
def test_days_and_months_go_on_by_the_calendar(step: str) -> None:
    stamps = pl.datetime_range(START, datetime.datetime(2040, 1, 1), step, eager=True)[:30]
    whole = WHOLE.with_columns(ds=pl.concat([stamps, stamps]))
    past, future = split(whole)
    found = ahead(future, past)
    assert found is not None
    assert found.tolist() == WANTED


def test_step_numbers_go_on_by_one() -> None:
    numbered = WHOLE.with_columns(ds=pl.int_range(pl.len()).over("unique_id") + 1)
    past, future = split(numbered)
    found = ahead(future, past)
    assert found is not None
    assert found.tolist() == WANTED
    for given in ((FUTURE, past), (future, PAST)):
        with pytest.raises(DataError, match="dates or times in both, or step numbers") as caught:
            ahead(*given)
        assert caught.value.column == "ds"


@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize(
    "last",
    [
        "2024-06-01T00:00",
        "2024-03-31T00:00",
        "2024-10-26T22:45",
        "2024-10-26T23:00",
        "2024-10-27T00:00",
        "2024-10-27T00:30",
        "2024-10-27T00:45",
        "2024-10-27T01:00",
        "2024-10-27T01:15",
    ],
)
def test_stamps_of_a_named_zone_are_read_on_its_clock(last: str, minutes: int) -> None:
    """Berlin's clock is put forward in March and back in October, where 02:00 comes twice."""
    instants = np.datetime64(last) + np.arange(-25, 5) * np.timedelta64(minutes, "m")
    shown = (
        pl.Series("ds", instants.astype("datetime64[us]"))
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("Europe/Berlin")
    )
    naive = shown.dt.replace_time_zone(None)
    options = ForecastingOptions(horizon=4, time_zone="Europe/Berlin", **ALL_COVARIATES)
    for column in (naive, naive.dt.to_string("%Y-%m-%d %H:%M")):
        past, future = split(WHOLE.with_columns(ds=pl.concat([column, column])))
        found = ahead(future, past, options)
        assert found is not None
        assert found.tolist() == WANTED
    past, future = split(WHOLE.with_columns(ds=pl.concat([shown, shown])))
    found = ahead(future, past)
    assert found is not None
    assert found.tolist() == WANTED


def test_a_zone_on_one_side_alone_is_refused() -> None:
    zoned = WHOLE.with_columns(pl.col("ds").dt.replace_time_zone("Europe/Berlin"))
    offsets = zoned.with_columns(pl.col("ds").dt.to_string("%Y-%m-%dT%H:%M:%S%:z"))
    past, future = split(zoned)
    for given in ((FUTURE, past), (future, PAST), (split(offsets)[1], PAST)):
        with pytest.raises(DataError, match="offset from UTC in both, or in neither") as caught:
            ahead(*given)
        assert caught.value.column == "ds"
    utc = zoned.with_columns(pl.col("ds").dt.convert_time_zone("UTC"))
    for given in ((future, past), (split(offsets)[1], past), (split(utc)[1], past)):
        found = ahead(*given)
        assert found is not None
        assert found.tolist() == WANTED


def write_future(rows: pl.DataFrame, folder: Path) -> Path:
    rows.write_csv(folder / "future.csv")
    return folder / "future.csv"


def refusal(rows: pl.DataFrame, folder: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        ahead(write_future(rows, folder))
    assert caught.value.source == str(folder / "future.csv")
    return caught.value


def test_a_row_that_is_missing_is_named(tmp_path: Path) -> None:
    row = pl.int_range(pl.len())
    error = refusal(FUTURE.filter(row != 6), tmp_path)
    assert "series 'b' has no row for 2024-01-02 04:00:00" in str(error)
    assert "give what is known ahead for every row of the horizon" in str(error)
    error = refusal(FUTURE.filter(pl.col("unique_id") == "a"), tmp_path)
    assert "series 'b' has no row for 2024-01-02 02:00:00" in str(error)


@pytest.mark.parametrize("column", ["price", "holiday"])
def test_an_empty_cell_is_named_with_line_and_column(column: str, tmp_path: Path) -> None:
    row = pl.int_range(pl.len())
    holed = FUTURE.with_columns(pl.when(row == 5).then(None).otherwise(column).alias(column))
    error = refusal(holed, tmp_path)
    assert (error.line, error.column) == (7, column)
    assert "series 'b' has an empty cell" in str(error)
    with pytest.raises(DataError, match=rf"column '{column}': row 5: .*empty cell"):
        ahead(holed)


def test_a_row_that_stands_twice_is_refused(tmp_path: Path) -> None:
    twice = pl.concat([FUTURE, FUTURE[2:3].with_columns(price=pl.lit(5.0))])
    error = refusal(twice, tmp_path)
    assert (error.line, error.column) == (10, "ds")
    words = "series 'a' has the time stamp 2024-01-02 04:00:00 twice (first in line 4); keep one"
    assert words in str(error)
    # A row of the past that stands twice is nobody's.
    past = WHOLE.select(FUTURE.columns)
    assert ahead(pl.concat([past, past[:1]])) is not None


@pytest.mark.parametrize("column", ["price", "ds"])
def test_a_column_that_is_missing_is_named(column: str, tmp_path: Path) -> None:
    option = {"price": "known_covariates", "ds": "time_column"}[column]
    error = refusal(FUTURE.drop(column), tmp_path)
    assert f"there is no column '{column}'" in str(error)
    assert option in str(error)


@pytest.mark.parametrize(
    ("column", "word", "message"),
    [
        ("price", "dear", "expected a number, got 'dear'"),
        ("price", "inf", "infinite"),
        ("ds", "tomorrow", "'tomorrow'"),
        ("unique_id", "", "name of the series is missing"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    column: str, word: str, message: str, tmp_path: Path
) -> None:
    row = pl.int_range(pl.len())
    text = FUTURE.with_columns(pl.all().cast(pl.String))
    spoilt = text.with_columns(pl.when(row == 2).then(pl.lit(word)).otherwise(column).alias(column))
    error = refusal(spoilt, tmp_path)
    assert (error.line, error.column) == (4, column)
    assert message in str(error)


def test_what_is_needed_is_asked_for_and_what_is_not_refused() -> None:
    words = "the next 4 rows of price, holiday (known_covariates)"
    with pytest.raises(OptionError, match=re.escape(words)):
        ahead(None)
    plain = ForecastingOptions(horizon=4)
    with pytest.raises(OptionError, match=r"no covariates that are known ahead.*leave it out"):
        ahead(FUTURE, PAST, plain)
    assert ahead(None, PAST, plain) is None
    with pytest.raises(DataError, match="no such file"):
        ahead("absent.csv")
    with pytest.raises(DataError, match="got list"):
        ahead([1, 2])
    with pytest.raises(DataError, match="no rows"):
        ahead(FUTURE[:0])
