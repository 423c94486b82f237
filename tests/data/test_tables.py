"""Tables from files and from frames of every library, and the stamps they hold."""

from __future__ import annotations

import datetime
import decimal
import gzip
import zoneinfo
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from carousel.data.answers import stamp_column, write_table
from carousel.data.reading import read_table
from carousel.data.stamps import format_stamps
from carousel.errors import DataError

HOUR = 3_600_000_000_000


def stamps_of(texts: list[str], text_format: str | None = None) -> tuple[np.ndarray, list[str]]:
    """Reads text stamps and writes them back."""
    table = read_table(pl.DataFrame({"ds": texts}))
    stamps, style = table.stamps("ds", text_format)
    return stamps, format_stamps(stamps, style)


@pytest.mark.parametrize(
    "text",
    [
        "2013-01-31",
        "2013-01-31 18:00",
        "2013-01-31T18:00",
        "2013-01-31 18:00:05",
        "2013-01-31T18:00:05",
        "2013-01-31T18:00:05Z",
        "2013/01/31",
        "2013/01/31 18:00",
        "20130131",
        "2013-01",
    ],
)
def test_iso_stamps_are_read_and_written_back_alike(text: str) -> None:
    stamps, written = stamps_of([text])
    wanted = text.replace("/", "-").removesuffix("Z")
    wanted = "2013-01-31" if wanted == "20130131" else wanted
    assert stamps[0] == np.datetime64(wanted, "ns").astype(np.int64)
    assert written == [text]


def test_a_given_format_is_used() -> None:
    stamps, written = stamps_of(["31.01.2013", "01.02.2013"], "%d.%m.%Y")
    assert np.diff(stamps) == [24 * HOUR]
    assert written == ["31.01.2013", "01.02.2013"]


def test_an_offset_is_counted_in_utc() -> None:
    stamps, written = stamps_of(["2013-01-31T18:00:00+02:00"])
    assert stamps[0] == np.datetime64("2013-01-31T16:00", "ns").astype(np.int64)
    assert written == ["2013-01-31T18:00:00+02:00"]


def test_offsets_that_change_are_kept_and_the_last_one_stays() -> None:
    words = ["2013-03-31T01:00:00+01:00", "2013-03-31T03:00:00+02:00"]
    table = read_table(pl.DataFrame({"ds": words}))
    stamps, style = table.stamps("ds", None)
    assert np.diff(stamps) == [HOUR]
    winter = np.datetime64("2014-01-01", "ns").astype(np.int64)
    assert format_stamps(np.append(stamps, winter), style) == [*words, "2014-01-01T02:00:00+02:00"]


def test_offsets_of_several_zones_are_written_in_utc() -> None:
    _, written = stamps_of(["2013-03-31T01:00:00+01:00", "2013-03-31T00:00:00+00:00"])
    assert written == ["2013-03-31T00:00:00+00:00"] * 2


def test_a_named_zone_sets_the_offsets_of_new_stamps() -> None:
    words = ["2013-01-31T01:00:00+0100", "2013-01-31T02:00:00+0100"]
    table = read_table(pl.DataFrame({"ds": words}))
    stamps, style = table.stamps("ds", None, "Europe/Berlin")
    assert not style.is_local
    summer = np.datetime64("2013-07-01", "ns").astype(np.int64)
    assert format_stamps(np.append(stamps, summer), style) == [*words, "2013-07-01T02:00:00+0200"]


@pytest.mark.parametrize("library", ["polars", "pandas", "text"])
def test_stamps_without_an_offset_are_local_where_a_zone_is_named(library: str) -> None:
    first = datetime.datetime(2024, 10, 27, 2)
    frame = pl.DataFrame({"ds": [first, first, first + datetime.timedelta(hours=1)]})
    given = {
        "polars": lambda: frame,
        "pandas": lambda: frame.to_pandas(),
        "text": lambda: frame.select(pl.col("ds").dt.to_string("%Y-%m-%d %H:%M")),
    }[library]()
    table = read_table(given)
    stamps, style = table.stamps("ds", None, "Europe/Berlin")
    assert style.is_local
    assert style.clock is not None
    instants = style.clock.instants_of_rows(stamps, np.array([0, 3]))
    assert np.diff(instants).tolist() == [HOUR, HOUR]
    assert instants[0] == np.datetime64("2024-10-27T00", "ns").astype(np.int64)
    back = write_table({"ds": stamp_column(instants, style, table, "ds")}, table)
    assert pl.DataFrame(back).equals(pl.DataFrame(given))


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([1, 2], "step numbers"),
        (["1", "2"], "step numbers"),
        ([datetime.date(2024, 1, 1)], "dates without a time of day"),
        (["2024-01-01"], "dates without a time of day"),
        (["2024-01"], "dates without a time of day"),
    ],
)
def test_a_zone_that_changes_nothing_is_refused(stamps: list, words: str) -> None:
    table = read_table(pl.DataFrame({"ds": stamps}))
    with pytest.raises(DataError, match=f"of no use to {words}.*leave it out") as caught:
        table.stamps("ds", None, "Europe/Berlin")
    assert caught.value.column == "ds"


def test_columns_may_have_an_offset_for_a_zone() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    given = pd.DataFrame({"ds": [pd.Timestamp("2024-01-01", tz=zone)]})
    table = read_table(given)
    stamps, style = table.stamps("ds", None)
    assert stamps.tolist() == [np.datetime64("2023-12-31T19:00", "ns").astype(np.int64)]
    assert format_stamps(stamps, style) == [datetime.datetime(2024, 1, 1, tzinfo=zone)]
    back = write_table({"ds": stamp_column(stamps, style, table, "ds")}, table)
    pd.testing.assert_frame_equal(back, given)


def test_a_column_of_an_unknown_zone_is_refused() -> None:
    stamps = pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("us", tz="Mars/Base"))
    table = read_table(pa.table({"ds": stamps}))
    with pytest.raises(DataError, match=r"zone 'Mars/Base'.*IANA name") as caught:
        table.stamps("ds", None)
    assert caught.value.column == "ds"


def test_whole_numbers_are_steps() -> None:
    stamps, written = stamps_of(["1", "2", "10"])
    assert stamps.tolist() == [1, 2, 10]
    assert written == ["1", "2", "10"]


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow", "lazy"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "Etc/GMT-2"])
def test_frames_of_every_library_keep_their_stamps(library: str, zone: str | None) -> None:
    local = zoneinfo.ZoneInfo(zone) if zone else None
    first = datetime.datetime(2013, 7, 1, 2, tzinfo=local)
    frame = pl.DataFrame({"ds": [first, first + datetime.timedelta(hours=1)], "y": [1.0, None]})
    given = {
        "polars": lambda: frame,
        "pandas": lambda: frame.to_pandas(),
        "pyarrow": lambda: frame.to_arrow(),
        "lazy": lambda: frame.lazy(),
    }[library]()
    table = read_table(given)
    stamps, style = table.stamps("ds", None)
    wanted = np.datetime64("2013-07-01T00" if zone else "2013-07-01T02", "ns").astype(np.int64)
    assert stamps.tolist() == [wanted, wanted + HOUR]
    assert np.array_equal(table.numbers("y"), [1.0, np.nan], equal_nan=True)
    back = write_table({"ds": format_stamps(stamps, style), "x": [1.5, 2.5]}, table)
    assert type(back).__module__.split(".")[0] == ("polars" if library == "lazy" else library)
    again, _ = read_table(back).stamps("ds", None)
    assert again.tolist() == stamps.tolist()


def test_dates_stay_dates() -> None:
    table = read_table(pl.DataFrame({"ds": [datetime.date(2013, 1, 1)]}))
    stamps, style = table.stamps("ds", None)
    assert format_stamps(stamps, style) == [datetime.date(2013, 1, 1)]


def test_pandas_columns_of_objects_are_read() -> None:
    table = read_table(pd.DataFrame({"y": pd.Series([1, None, "2.5", "NA"], dtype=object)}))
    assert np.array_equal(table.numbers("y"), [1, np.nan, 2.5, np.nan], equal_nan=True)
    bad = read_table(pd.DataFrame({"y": pd.Series([1, "warm"], dtype=object)}))
    with pytest.raises(DataError, match=r"row 1.*'warm'"):
        bad.numbers("y")


@pytest.mark.parametrize("word", ["", "NA", "na", "N/A", "#N/A", "NaN", "null", "None", "-", "?"])
def test_words_for_missing(word: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"x,y\n1,{word}\n2,3\n")
    assert np.array_equal(read_table(path).numbers("y"), [np.nan, 3.0], equal_nan=True)


def test_files_of_each_kind_read_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", "y"], "y": [1.25, None]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    frame.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    for name in ("t.csv", "t.tsv", "t.parquet", "t.csv.gz"):
        table = read_table(tmp_path / name)
        assert table.names == ["a", "y"]
        assert table.labels("a").tolist() == ["x", "y"]
        assert np.array_equal(table.numbers("y"), [1.25, np.nan], equal_nan=True)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_header_tells_the_separator_and_may_have_a_byte_order_mark(
    separator: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a{separator}y\nx{separator}1.5\n", encoding="utf-8-sig")
    table = read_table(path)
    assert table.names == ["a", "y"]
    assert table.numbers("y").tolist() == [1.5]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\nx,1\nx,2\nx,three\n")
    with pytest.raises(DataError) as caught:
        read_table(path).numbers("y")
    assert (caught.value.line, caught.value.column) == (4, "y")
    assert caught.value.source == str(path)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="got list"):
        read_table([1, 2, 3])
    with pytest.raises(DataError, match="no rows"):
        read_table(pl.DataFrame({"y": []}))


def test_columns_of_numbers_are_told_from_others(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c,d\nx,1,NA,1\ny,NA,NA,2\nz,3,NA,oops\n")
    table = read_table(path)
    assert [table.is_numeric(name) for name in "abcd"] == [False, True, False, True]


CELLS = {
    "truth values": ([True, False, None], ["true", "false", None]),
    "whole numbers": ([7, -12, None], ["7", "-12", None]),
    "numbers": ([7.0, 0.5, None], ["7", "0.5", None]),
    "words": ([" red", "7.0", "NA"], ["red", "7", None]),
    "words of truth": (["True", "FALSE", "?"], ["true", "false", None]),
    "versions": (["1.10", "1.0.0", "x.0"], ["1.10", "1.0.0", "x.0"]),
    "nothing": ([None, None, None], [None, None, None]),
}


@pytest.mark.parametrize("name", CELLS)
def test_words_are_the_same_in_every_kind_of_table(name: str, tmp_path: Path) -> None:
    cells, wanted = CELLS[name]
    frame = pl.DataFrame({"k": [1, 2, 3], "x": cells})
    frame.write_csv(tmp_path / "polars.csv")
    frame.to_pandas().to_csv(tmp_path / "pandas.csv", index=False)
    frame.write_parquet(tmp_path / "t.parquet")
    objects = pd.DataFrame({"x": pd.Series(cells, dtype=object)})
    tables = [frame, frame.to_pandas(), frame.to_arrow(), objects]
    for given in (*tables, *(tmp_path / n for n in ("polars.csv", "pandas.csv", "t.parquet"))):
        assert read_table(given).words("x").tolist() == wanted


@pytest.mark.parametrize(
    ("kind", "cells", "wanted"),
    [
        ("string", ["a", pd.NA], ["a", None]),
        ("Int64", [7, pd.NA], ["7", None]),
        ("boolean", [True, pd.NA], ["true", None]),
        ("category", ["a", None], ["a", None]),
        (object, ["a", pd.NaT], ["a", None]),
        (object, ["a", np.nan], ["a", None]),
    ],
)
def test_words_of_pandas_know_what_is_missing(
    kind: object, cells: list, wanted: list[str | None]
) -> None:
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=kind)})  # type: ignore[call-overload]
    assert read_table(frame).words("x").tolist() == wanted


def test_objects_that_are_all_numbers_are_numbers() -> None:
    cells = {
        "numbers": [1, 2.5, None],
        "exact": [decimal.Decimal("1.5"), None, 2],
        "truths": [True, False, None],
        "mixed": [1, "warm", None],
        "none": [None, None, None],
    }
    frame = pd.DataFrame({name: pd.Series(c, dtype=object) for name, c in cells.items()})
    table = read_table(frame)
    assert [name for name in cells if table.is_numeric(name)] == ["numbers", "exact"]
    assert np.array_equal(table.numbers("exact"), [1.5, np.nan, 2.0], equal_nan=True)


def refusal(path: Path, text: str | bytes, read: str = "y") -> DataError:
    """Returns how a file of this text is refused when it is read or its numbers are."""
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    with pytest.raises(DataError) as caught:
        read_table(path).numbers(read)
    return caught.value


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_lines_are_right_behind_quoted_newlines_and_blank_lines(name: str, tmp_path: Path) -> None:
    rows = "".join(f'x,"two\nlines",{k}\n' for k in range(20))
    assert refusal(tmp_path / name, f"a,b,y\n{rows}x,b,three\n").line == 42
    assert refusal(tmp_path / name, "\na,y\nx,1\n\n   \nx,three\n").line == 6


def test_blank_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\nx,1\n\nx,2\n  \n\n")
    assert read_table(path).numbers("y").tolist() == [1.0, 2.0]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    assert "'y' twice" in str(refusal(tmp_path / "t.csv", "a,y,y\nx,1,2\n"))


def test_a_column_without_a_name_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",a,y,\n0,x,1,\n1,x,2,\n")
    table = read_table(path)
    assert table.names == ["a", "y"]
    assert table.numbers("y").tolist() == [1.0, 2.0]


def test_the_separator_is_told_by_the_header_not_by_decimal_commas(tmp_path: Path) -> None:
    error = refusal(tmp_path / "t.csv", "a;ds;y\nx;2024-01-01;1\nx;2024-01-02;1,5\n")
    assert error.line == 3
    assert "'1,5'" in str(error)
    assert "point" in str(error)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a,y\nx,1\nx,1,5\n", 3, ["expected 2 cells", "got 3", "quotes"]),
        ("# made today\na,y\nx,1\n", 2, ["above the line that names the columns"]),
        ("a,y\nx,1\nZürich,2\n".encode("latin-1"), 3, ["UTF-8"]),
        ("a,y\nx,1\n".encode("utf-16"), None, ["save the file as UTF-8"]),
        ("a,y\nx,1\n".encode("utf-16-le"), None, ["save the file as UTF-8"]),
    ],
)
def test_what_is_no_csv_is_refused_with_line_and_remedy(
    text: str | bytes, line: int | None, words: list[str], tmp_path: Path
) -> None:
    error = refusal(tmp_path / "t.csv", text)
    assert error.line == line
    for word in words:
        assert word in str(error)


FRAMES = {
    "pd.NA as a name": (pd.DataFrame({"y": pd.Series(["a", pd.NA], dtype=object)}), "missing"),
    "NaN as a name": (pd.DataFrame({"y": pd.Series(["a", np.nan], dtype=object)}), "missing"),
    "tuples as names": (pd.DataFrame({"y": [(1, 2), (3, 4)]}), "got a tuple"),
    "lists as names": (pl.DataFrame({"y": [[1], [2]]}), "got a list"),
    "a name twice": (pd.DataFrame([[1, 2]], columns=["y", "y"]), "twice"),
    "names of two levels": (
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("y", 1), ("y", 2)])),
        "flatten",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_cannot_be_used_is_refused(name: str) -> None:
    frame, words = FRAMES[name]
    with pytest.raises(DataError, match=words):
        read_table(frame).labels("y")


def test_columns_named_by_numbers_are_named_by_their_digits() -> None:
    table = read_table(pd.DataFrame({0: ["a"], 1: [2.0]}))
    assert table.names == ["0", "1"]
    with pytest.raises(DataError, match="known: 0, 1"):
        table.require("ds", "time_column")


def test_objects_may_be_missing_or_too_large() -> None:
    table = read_table(pd.DataFrame({"y": pd.Series([1, pd.NA, None], dtype=object)}))
    assert np.array_equal(table.numbers("y"), [1, np.nan, np.nan], equal_nan=True)
    huge = read_table(pd.DataFrame({"y": pd.Series([1, 10**400], dtype=object)}))
    with pytest.raises(DataError, match=r"row 1.*too large"):
        huge.numbers("y")


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "pandas on pyarrow"])
@pytest.mark.parametrize("hours", [5.5, -3.5, 15])
def test_offsets_that_no_zone_is_named_by_are_refused(library: str, hours: float) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    given = pd.DataFrame({"ds": [pd.Timestamp("2024-01-01", tz=zone)]})
    arrow = pa.Table.from_pandas(given)
    of = {"pandas": given, "pyarrow": arrow}.get(library)
    table = read_table(arrow.to_pandas(types_mapper=pd.ArrowDtype) if of is None else of)
    with pytest.raises(DataError, match=r"convert the column to UTC.*IANA") as caught:
        table.stamps("ds", None)
    assert caught.value.column == "ds"


@pytest.mark.parametrize("dictionary", [False, True])
def test_stamps_may_be_text_in_a_table_of_pyarrow(dictionary: bool) -> None:
    words = pa.array(["2024-01-01", "2024-01-02"])
    table = read_table(pa.table({"ds": words.dictionary_encode() if dictionary else words}))
    stamps, style = table.stamps("ds", None)
    assert np.diff(stamps) == [24 * HOUR]
    assert format_stamps(stamps, style) == words.to_pylist()


@pytest.mark.parametrize("freq", ["D", "M", "h"])
def test_periods_are_refused_with_the_remedy(freq: str) -> None:
    table = read_table(pd.DataFrame({"ds": pd.period_range("2024-01", periods=3, freq=freq)}))
    with pytest.raises(DataError, match=r"got periods.*\.dt\.to_timestamp\(\)") as caught:
        table.stamps("ds", None)
    assert caught.value.column == "ds"


FAR_STEPS = {
    "unsigned": pl.Series([1, 2**63 + 5], dtype=pl.UInt64),
    "the last of 64 bits": pl.Series([1, 2**63 - 1]),
    "the first of 64 bits": pl.Series([1, -(2**63)]),
    "one beyond": pl.Series([1, 3 * 10**18 + 1]),
    "of 128 bits": pl.Series([1, 2**70], dtype=pl.Int128),
    "float": pl.Series([1.0, 1e19]),
    "infinite": pl.Series([1.0, float("inf")]),
    # The first hundred words decide that they are steps.
    "text": pl.Series([*(str(step) for step in range(100)), str(2**63 - 1)]),
}


@pytest.mark.parametrize("name", FAR_STEPS)
def test_step_numbers_that_could_overflow_are_refused(name: str) -> None:
    frame = pl.DataFrame({"ds": FAR_STEPS[name]})
    givens: list[object] = [frame]
    if name != "of 128 bits":  # which no other library has
        givens += [frame.to_pandas(), frame.to_arrow()]
    for given in givens:
        with pytest.raises(DataError, match=rf"row {len(frame) - 1}: the step number") as caught:
            read_table(given).stamps("ds", None)
        assert caught.value.column == "ds"


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Int128, pl.Float32, pl.Float64])
@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
def test_whole_numbers_of_every_type_are_steps(dtype: pl.DataType, library: str) -> None:
    if dtype == pl.Int128 and library != "polars":
        pytest.skip("no other library has them")
    frame = pl.DataFrame({"ds": pl.Series([0, 1, 3]).cast(dtype)})
    given = {
        "polars": lambda: frame,
        "pandas": lambda: frame.to_pandas(),
        "pyarrow": lambda: frame.to_arrow(),
    }[library]()
    table = read_table(given)
    stamps, style = table.stamps("ds", None)
    assert (stamps.tolist(), stamps.dtype, style.kind) == ([0, 1, 3], np.int64, "integer")
    back = write_table({"ds": stamp_column(stamps + 4, style, table, "ds")}, table)
    assert pl.DataFrame(back).equals(frame + 4)


def test_nanoseconds_since_1970_may_be_steps() -> None:
    times = np.array(["2024-01-01", "2065-01-01"], "datetime64[ns]").astype(np.int64)
    stamps, _ = read_table(pd.DataFrame({"ds": times})).stamps("ds", None)
    assert stamps.tolist() == times.tolist()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([0.0, 0.5], "row 1: expected a whole number, as steps are, got 0.5"),
        ([0.0, float("nan")], "row 1: the time stamp is missing"),
        (["0.0", "1.0"], "row 0: .*'0.0'.*write step numbers as whole numbers"),
        (["0", "1.5"], "row 1: .*'1.5'.*write step numbers as whole numbers"),
        ([*map(str, range(100)), "1.5"], "row 100: expected a whole step number, got '1.5'"),
    ],
)
def test_steps_that_are_not_whole_are_refused(cells: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_table(pl.DataFrame({"ds": cells})).stamps("ds", None)


def test_numbers_may_be_dates_in_a_form_that_is_given() -> None:
    table = read_table(pl.DataFrame({"ds": [2013.01, 2013.02]}))
    stamps, style = table.stamps("ds", "%Y.%d")
    assert (np.diff(stamps).tolist(), style.kind) == ([24 * HOUR], "time")
