"""Answers: columns of the question's library and types, so that the two can be joined."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from carousel.data.answers import repeated_rows, stamp_column, write_table
from carousel.data.reading import read_table

TIMES = [datetime.datetime(2024, 1, day) for day in (1, 2)]
DATES = [time.date() for time in TIMES]


def answer(frame: Any) -> Any:
    """Returns the column "a" repeated and the stamps of "ds" themselves, as an answer would."""
    table = read_table(frame)
    stamps, style = table.stamps("ds", None)
    columns = {
        "a": repeated_rows(table, "a", np.array([1, 1])),
        "ds": stamp_column(stamps, style, table, "ds"),
        "y": [1.0, 2.0],
    }
    return write_table(columns, table)


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Datetime("ms"),
        pl.Datetime("us"),
        pl.Datetime("ns"),
        pl.Datetime("ms", "Europe/Berlin"),
        pl.Date(),
        pl.String(),
    ],
)
@pytest.mark.parametrize("label", [pl.Int8(), pl.Categorical(), pl.Enum(["1", "2"])])
def test_polars_types_are_kept(dtype: pl.DataType, label: pl.DataType) -> None:
    names = pl.Series(["1", "2"]).cast(label)
    stamps = pl.Series(DATES).cast(dtype)
    back = answer(pl.DataFrame({"a": names, "ds": stamps}))
    assert back.schema["a"] == names.dtype
    assert back["a"].cast(pl.String).to_list() == ["2", "2"]
    assert back["ds"].equals(stamps)
    assert back["ds"].dtype == stamps.dtype


@pytest.mark.parametrize(
    "stamps",
    [
        pd.Series(TIMES).astype("datetime64[s]"),
        pd.Series(TIMES).astype("datetime64[ns]") + pd.Timedelta(100, "ns"),
        pd.Series(TIMES).dt.tz_localize("Europe/Berlin"),
        pd.Series(TIMES).dt.tz_localize("America/New_York"),
        pd.Series(TIMES).astype("datetime64[s]").dt.tz_localize("Etc/GMT+5"),
        pd.Series(TIMES).dt.tz_localize(datetime.timezone(datetime.timedelta(hours=-3))),
        pd.Series(TIMES).dt.tz_localize("dateutil/America/New_York"),
        pd.Series(DATES, dtype=object),
        pd.Series(TIMES).astype("timestamp[ms][pyarrow]"),
        pd.Series(["2024-01-01", "2024-01-02"], dtype=object),
        pd.Series([126, 127], dtype="int8"),
    ],
    ids=lambda stamps: str(stamps.dtype),
)
def test_pandas_types_are_kept(stamps: pd.Series) -> None:
    names = pd.Series(["1", "2"], index=[7, 9]).astype("category")
    frame = pd.DataFrame({"a": names, "ds": stamps.set_axis([7, 9])})
    back = answer(frame)
    assert back["a"].dtype == names.dtype
    assert back["a"].tolist() == ["2", "2"]
    pd.testing.assert_series_equal(back["ds"], stamps, check_names=False)
    assert back["y"].tolist() == [1.0, 2.0]


def test_pyarrow_types_are_kept() -> None:
    frame = pa.table(
        {"a": pa.array(["1", "2"]).dictionary_encode(), "ds": pa.array(TIMES, pa.timestamp("ms"))}
    )
    back = answer(frame)
    assert back.schema.field("a").type == frame.schema.field("a").type
    assert back.schema.field("ds").type == frame.schema.field("ds").type
    assert back["ds"].to_pylist() == TIMES


def test_step_numbers_that_outgrow_their_type_are_widened() -> None:
    for frame in (pl.DataFrame({"t": [127]}, schema={"t": pl.Int8}), pd.DataFrame({"t": [127]})):
        table = read_table(frame if isinstance(frame, pl.DataFrame) else frame.astype("int8"))
        _, style = table.stamps("t", None)
        assert stamp_column(np.array([128, 129]), style, table, "t").to_list() == [128, 129]


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
def test_a_named_zone_leaves_a_column_in_its_own(library: str) -> None:
    frame = pl.DataFrame({"ds": TIMES}).with_columns(pl.col("ds").dt.replace_time_zone("UTC"))
    given = {"polars": frame, "pandas": frame.to_pandas(), "pyarrow": frame.to_arrow()}[library]
    table = read_table(given)
    stamps, style = table.stamps("ds", None, "Europe/Berlin")
    back = write_table({"ds": stamp_column(stamps, style, table, "ds")}, table)
    assert pl.DataFrame(back).equals(frame)


def test_stamps_of_a_fixed_offset_take_the_name_that_another_library_has_for_it() -> None:
    given = pd.DataFrame({"ds": pd.Series(TIMES).dt.tz_localize("+02:00")})
    stamps, style = read_table(given).stamps("ds", None)
    kept = read_table(pl.from_pandas(given))
    column = stamp_column(stamps, style, kept, "ds").to_native()
    assert column.dtype == pl.Datetime("us", "Etc/GMT-2")
    assert column.dt.replace_time_zone(None).to_list() == TIMES
