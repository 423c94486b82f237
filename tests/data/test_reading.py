"""Files and lazy frames: what is read of them, in which order, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from carousel.data.reading import Columns, read_table
from carousel.errors import DataError

ROWS = pl.DataFrame(
    {
        "unique_id": ["b", "a", "b"],
        "note": ["long", "text", "here"],
        "y": [1.0, 2.0, 3.0],
        "wind": [4, 5, 6],
    }
)
SERIES = Columns(("unique_id", "ds", "y"))
NUMBERS = Columns(("unique_id", "ds", "y"), numbers=True)


def parquet(path: Path, rows: pl.DataFrame = ROWS) -> Path:
    rows.write_parquet(path)
    return path


def spoilt(path: Path, column: str) -> Path:
    """A Parquet file of which the pages of one column cannot be read."""
    rows = ROWS.with_columns(pl.lit("?" * 500).alias(column))
    rows.write_parquet(path, compression="uncompressed", statistics=False)
    content = path.read_bytes()
    assert b"?" * 500 in content
    path.write_bytes(content.replace(b"?" * 500, b"\xff" * 500))
    return path


def test_only_what_is_wanted_is_read_and_all_names_are_known(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet")
    for data in (path, ROWS.lazy()):
        few, more = read_table(data, SERIES), read_table(data, NUMBERS)
        assert few.frame.columns == ["unique_id", "y"]
        assert more.frame.columns == ["unique_id", "y", "wind"]
        assert few.names == more.names == ROWS.columns
        assert (len(few), few.is_numeric("wind"), more.is_numeric("wind")) == (3, False, True)
        assert read_table(data).frame.to_native().equals(ROWS)
        few.require("note", "target")  # it is there, though nobody has read it
        with pytest.raises(DataError, match="did you mean 'note'"):
            few.require("notes", "target")


def test_a_column_that_nobody_wants_may_be_damaged(tmp_path: Path) -> None:
    path = spoilt(tmp_path / "t.parquet", "note")
    assert read_table(path, NUMBERS).numbers("y").tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(DataError, match="cannot be read as a table") as caught:
        read_table(path)
    assert caught.value.source == str(path)


def test_a_lazy_frame_is_worked_out_once_and_only_where_it_is_wanted() -> None:
    calls: list[str] = []

    def seen(name: str) -> Any:
        def note(column: pl.Series) -> pl.Series:
            calls.append(name)
            return column

        return pl.col(name).map_batches(note, return_dtype=ROWS.schema[name])

    table = read_table(ROWS.lazy().with_columns(*map(seen, ROWS.columns)), NUMBERS)
    table.numbers("y"), table.numbers("wind"), table.codes("unique_id")
    assert sorted(calls) == ["unique_id", "wind", "y"]


def test_a_table_without_any_wanted_column_has_its_length() -> None:
    assert len(read_table(ROWS.lazy(), Columns(("nothing",)))) == 3
    with pytest.raises(DataError, match="no rows"):
        read_table(ROWS.clear().lazy(), Columns(("nothing",)))


@pytest.mark.parametrize("how", ["folder", "pattern", "text"])
def test_parts_are_read_in_the_order_of_their_names(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, k in (("p-2", 2), ("p-0", 0), ("p-1", 1)):
        parquet(folder / f"{name}.parquet", ROWS[k : k + 1])
    (folder / "_SUCCESS").touch()
    data = {"folder": folder, "pattern": folder / "p-*.parquet", "text": f"{folder}/*.parquet"}[how]
    table = read_table(data, SERIES)
    assert table.numbers("y").tolist() == [1.0, 2.0, 3.0]
    assert table.source == str(data)


def test_a_folder_is_not_asked_for_columns_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    parquet(folder / "t.parquet")
    assert read_table(folder).names == read_table(folder / "t.parquet").names == ROWS.columns


def test_signs_of_a_pattern_may_stand_in_a_name(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows[1].parquet")
    parquet(tmp_path / "rows1.parquet", ROWS[:1])
    assert len(read_table(path)) == 3


def test_what_is_no_parts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y\n1\n")
    for data, words in (
        (tmp_path, "a folder without Parquet files"),
        (tmp_path / "*.parquet", "fits no file"),
        (tmp_path / "*.csv", "fits '.*a.csv'"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            read_table(data)
        assert caught.value.source == str(data)
    parquet(tmp_path / "a.parquet")
    parquet(tmp_path / "b.parquet", ROWS.drop("y"))
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(tmp_path)


def test_columns_without_a_name_are_left_out_of_every_file(tmp_path: Path) -> None:
    rows = ROWS.with_columns(pl.lit(1).alias(" "))
    rows.write_csv(tmp_path / "t.csv")
    for data in (tmp_path / "t.csv", parquet(tmp_path / "t.parquet", rows), rows, rows.lazy()):
        assert read_table(data, NUMBERS).names == ROWS.columns
        assert np.isin(read_table(data, NUMBERS).frame.columns, ROWS.columns).all()
