"""Recordings: what they are called, what is removed and why, and splits that share no speaker."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.recordings import Recordings
from carousel.errors import DataError, OptionError

# Few speakers, few files, so that they share.
GROUPS = st.lists(
    st.tuples(st.sampled_from(["", "s", "t", "u", "v"]), st.sampled_from(["a", "b", "c"])),
    min_size=2,
    max_size=30,
).filter(lambda rows: len(set(map(group, rows))) > 1)


def group(row: tuple[str, str]) -> tuple[str, str]:
    """Who must stay together: a speaker's recordings, or a file's whose speaker is unknown."""
    speaker, audio = row
    return (speaker, "") if speaker else ("", audio)


def spoken(rows: list[tuple[str, str]], folder: str = "") -> Recordings:
    return Recordings.read(
        [
            {"audio": f"{folder}{audio}.wav", "text": str(k), "speaker": speaker}
            for k, (speaker, audio) in enumerate(rows)
        ]
    )


def recording(text: str = "x", audio: str = "a.wav", **others: Any) -> dict[str, Any]:
    return {"audio": audio, "text": text} | others


def groups_of(found: Recordings) -> list[tuple[str, str]]:
    return [group(row) for row in zip(found.speakers, found.audio, strict=True)]


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "name,audio,text,start,end,speaker\n"
        ",a.wav, one  two ,,,s\n"
        "x,b.c.wav,,1.25,2,\n"
        ",b.c.wav,three,1.25,,t\n"
    )
    found = Recordings.read(path)
    assert len(found) == 3
    assert found.audio == [str(tmp_path / name) for name in ("a.wav", "b.c.wav", "b.c.wav")]
    assert found.texts == ["one two", "", "three"]
    np.testing.assert_array_equal(found.starts, [math.nan, 1.25, 1.25])
    np.testing.assert_array_equal(found.ends, [math.nan, 2.0, math.nan])
    assert found.speakers == ["s", "", "t"]
    assert found.names == ["a", "x", "b.c-1.25-end"]
    assert found.lines.tolist() == [2, 3, 4]
    assert (found.source, found.removed) == (str(path), {})
    path.write_text("file,said\nä.wav,b\n", "latin-1")
    assert Recordings.read(path, audio="file", text="said", encoding="latin-1").texts == ["b"]
    with pytest.raises(DataError, match="no column 'audio'"):
        Recordings.read(path, encoding="latin-1")


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([{"end": 2}, {"start": 0}, {"end": 2.5}], ["a-0.0-2.0", "a-0.0-end", "a-0.0-2.5"]),
        ([{"start": 1, "end": 2.5}, {}, {"start": 1}], ["a-1.0-2.5", "a", "a-1.0-end"]),
        ([{}, {}, {"audio": "yes/a.wav"}, {"audio": "b.wav"}], ["a", "a-2", "a-3", "b"]),
        ([{}, {}, {"name": "a"}, {"name": "a-3"}], ["a-2", "a-4", "a", "a-3"]),
        ([{}, {"audio": "a-2.wav"}, {}, {}], ["a", "a-2", "a-3", "a-4"]),
        ([{}, {}, {"audio": "a-2.wav"}], ["a", "a-2", "a-2-2"]),
    ],
)
def test_recordings_have_names_of_their_own(rows: list[dict[str, Any]], names: list[str]) -> None:
    assert Recordings.read([recording(**row) for row in rows]).names == names


@given(
    stems=st.lists(st.sampled_from(["a", "a-2", "a-3", "a-2-2"]), min_size=1, max_size=12),
    given_names=st.lists(st.sampled_from(["a", "a-2", "a-4", "b"]), unique=True, max_size=3),
)
def test_names_differ(stems: list[str], given_names: list[str]) -> None:
    rows = [recording(audio=f"{stem}.wav") for stem in stems]
    rows += [recording(name=name) for name in given_names]
    found = Recordings.read(rows)
    assert len(set(found.names)) == len(rows)
    assert found.names[len(stems) :] == given_names
    for stem, name in zip(stems, found.names, strict=False):
        assert name.startswith(stem)


def test_each_reason_removes_its_recordings() -> None:
    rows = [
        recording(),  # stays
        recording(" \u2003"),
        recording("y"),  # the same file, whatever is said there
        recording(start=0),  # which is the whole too
        recording(start=0, end=2),  # stays
        recording(end=2),
        recording(start=1, end=2),  # stays
        recording(start=1),  # stays
        recording(audio="b.wav"),  # stays
        recording("", audio="b.wav"),  # empty comes before duplicate
    ]
    whole = Recordings.read(rows)
    found = whole.cleaned()
    assert found.lines.tolist() == [1, 5, 7, 8, 9]
    assert found.removed == {"empty transcript": 2, "duplicate": 3}
    assert found.audio == ["a.wav"] * 4 + ["b.wav"]
    assert whole.removed == {}
    # What was removed before is counted on.
    again = found.take([0, 0, 1]).cleaned()
    assert again.lines.tolist() == [1, 5]
    assert again.removed == {"empty transcript": 2, "duplicate": 4}
    with pytest.raises(DataError, match=r"all were removed \(1 empty transcript\); give record"):
        Recordings.read([recording("")]).cleaned()


def test_an_empty_recording_hides_no_other() -> None:
    found = Recordings.read([recording(""), recording("said")]).cleaned()
    assert found.texts == ["said"]


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "d.wav").mkdir()
    path = tmp_path / "m.tsv"
    path.write_text("audio\ttext\na.wav\tx\nb.wav\ty\na.wav\tz\nd.wav\tx\nb.wav\tz\n")
    whole = Recordings.read(path)
    assert whole.missing() == [1, 3, 4]
    found = whole.without_missing()
    assert found.texts == ["x", "z"]
    assert found.removed == {"missing audio": 3}
    assert found.missing() == []
    assert found.without_missing().removed == {"missing audio": 3}
    removed = whole.cleaned().without_missing().removed
    assert removed == {"empty transcript": 0, "duplicate": 2, "missing audio": 2}
    (tmp_path / "a.wav").unlink()
    with pytest.raises(
        DataError, match=r"\(5 missing audio\); check the paths, the first is .*a.w"
    ):
        whole.without_missing()


@pytest.mark.parametrize("rows", [[2, 0, 0], np.array([2, 0, 0]), []])
def test_recordings_are_taken_in_any_order(rows: Any) -> None:
    whole = Recordings.read(
        [recording(""), *[recording(str(k), f"{k}.wav", end=k + 1, speaker=k) for k in range(4)]]
    ).cleaned()
    found = whole.take(rows)
    for name in ("audio", "texts", "speakers", "names"):
        assert getattr(found, name) == [getattr(whole, name)[row] for row in rows]
    for name in ("starts", "ends", "lines"):
        expected = [getattr(whole, name)[row] for row in rows]
        np.testing.assert_array_equal(getattr(found, name), expected)
        assert getattr(found, name).dtype == getattr(whole, name).dtype
    assert (found.source, found.removed) == (whole.source, whole.removed)
    assert len(found) == len(rows)


def test_overlap_counts_what_both_have() -> None:
    here = Path("a.wav").absolute()
    train = Recordings.read(
        [
            recording("one", speaker="s"),
            recording("two", speaker="s"),
            recording("", audio="b.wav"),
            recording("three", audio="c.wav", speaker="t"),
        ]
    )
    test = Recordings.read(
        [
            recording("two", audio=str(here), speaker="t"),
            recording("two", audio="d.wav"),
            recording("three", audio="b.wav", speaker="u"),
            recording("", audio="b.wav", speaker="s"),
        ]
    )
    assert train.overlap(test) == {"speakers": 2, "audio": 2, "texts": 2}
    assert test.overlap(train) == train.overlap(test)
    assert train.overlap(train) == {"speakers": 2, "audio": 3, "texts": 3}
    assert train.take([]).overlap(test) == {"speakers": 0, "audio": 0, "texts": 0}


@given(rows=GROUPS, share=st.floats(0.01, 0.99), seed=st.integers(0, 2**40))
def test_no_speaker_is_on_both_sides_of_a_split(
    rows: list[tuple[str, str]], share: float, seed: int
) -> None:
    whole = spoken(rows)
    rest, held = whole.split_by_speaker(share, seed)
    assert not set(groups_of(rest)) & set(groups_of(held))
    assert rest.overlap(held)["speakers"] == 0
    assert sorted([*rest.lines, *held.lines]) == list(range(1, len(rows) + 1))
    for part in (rest, held):
        assert len(part)
        assert (np.diff(part.lines) > 0).all()
        assert part.source == whole.source
    # The same speakers and files in whatever order, and in another folder.
    moved = spoken(rows[::-1], "elsewhere/").split_by_speaker(share, seed)[1]
    back = sorted(len(rows) - line + 1 for line in moved.lines)
    assert back == held.lines.tolist()


@given(rows=GROUPS, share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_the_share_is_met_as_nearly_as_promised(
    rows: list[tuple[str, str]], share: float, seed: int
) -> None:
    whole = spoken(rows)
    sides = whole.split_by_speaker(share, seed)
    small = int(share <= 0.5)  # the side that is drawn
    target = min(share, 1 - share) * len(rows)
    miss = abs(len(sides[small]) - target)
    taken, others = (list(Counter(groups_of(sides[k])).values()) for k in (small, 1 - small))
    if len(taken) == 1 and taken[0] > target:  # nobody fits
        assert taken[0] <= min(others)
    elif sum(taken) <= target:
        assert miss <= min(others) / 2 + 1e-9
    else:  # somebody came last, who has the fewest recordings of those that do not fit
        last = [size for size in taken if sum(taken) - size <= target and size <= min(others)]
        assert miss <= max(last) / 2 + 1e-9


@pytest.mark.parametrize(
    ("sizes", "share", "held"),
    [
        ((50, 1), 0.99, 50),  # whichever is drawn first
        ((50, 1), 0.01, 1),
        ((50, 1), 0.5, 1),
        ((40, 40, 3), 0.02, 3),
        ((10,) * 10, 0.2, 20),
        ((10,) * 10, 0.8, 80),
        ((60, 10, 10, 10, 10), 0.2, 20),
        ((60, 10, 10, 10, 10), 0.37, 40),
        ((60, 10, 10, 10, 10), 0.34, 30),
    ],
)
def test_large_groups_do_not_spoil_the_share(sizes: Any, share: float, held: int) -> None:
    rows = [(f"s{k}", "a") for k, size in enumerate(sizes) for _ in range(size)]
    whole = spoken(rows)
    for seed in range(8):
        assert len(whole.split_by_speaker(share, seed)[1]) == held


def test_splits_differ_by_seed_and_are_checked() -> None:
    for rows in ([(f"s{k}", "a") for k in range(30)], [("", f"a{k}") for k in range(30)]):
        whole = spoken(rows)
        held = {tuple(whole.split_by_speaker(0.2, seed)[1].lines) for seed in range(9)}
        assert len(held) == 9
        assert {len(part) for part in held} == {6}
    for share in (0.0, 1.0, math.nan):
        with pytest.raises(OptionError, match="share: expected above 0 and below 1, got"):
            whole.split_by_speaker(share, 1)
    for rows in ([("s", "a"), ("s", "b")], [("", "a"), ("", "a")]):
        with pytest.raises(DataError, match=r"two speakers or more .* got 1; give more data"):
            spoken(rows).split_by_speaker(0.5, 1)
