"""From a manifest to parts: what is read, cleaned, split, long enough and known again."""

from __future__ import annotations

import itertools
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.speech_recognition.small_recordings import spoken

from carousel.data import samples as samples_module
from carousel.data.recordings import Recordings
from carousel.errors import DataError, OptionError
from carousel.tasks.speech_recognition.data import (
    TOO_LONG,
    clipping_warning,
    common_rate,
    digest_of,
    fits,
    is_ready,
    marks_of,
    open_recordings,
    options_for,
    split,
    total_seconds,
    usable,
)
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.utterances import Utterances

SAMPLE = "sample:spoken-digits"


def options(**values: Any) -> RecognitionOptions:
    return RecognitionOptions(**values)


def silent(number: int, speakers: int, each: int = 1) -> Recordings:
    """Recordings by so many speakers, or files of nobody known, that exist in name only."""
    rows = [
        {
            "audio": f"f{k}.wav",
            "text": str(k),
            "speaker": f"s{k // each}" if k // each < speakers else "",
        }
        for k in range(number)
    ]
    return Recordings.read(rows)


def heard(texts: list[str], lengths: list[int]) -> Utterances:
    """Utterances of so many frames, of which none is ever asked for."""
    rows = [(f"{k}.wav", text) for k, text in enumerate(texts)]
    found = np.array(lengths, np.int64)
    return Utterances(Recordings.read(rows), None, found, [None] * len(rows), 3)


def test_what_is_given_outranks_what_a_sample_says(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"lowercase": True, "hidden_size": 32}
    asked = []

    def sample_options(name: str, task: str) -> dict[str, Any]:
        asked.append((name, task))
        return own

    monkeypatch.setattr(samples_module, "sample_options", sample_options)
    assert options_for(SAMPLE, {"hidden_size": 8}) == options(lowercase=True, hidden_size=8)
    assert asked == [(SAMPLE, "speech-recognition")]
    assert options_for("a.tsv", {"hidden_size": 8}) == options(hidden_size=8)
    assert options_for([("a.wav", "a")], {}) == options()
    with pytest.raises(OptionError, match="did you mean 'streaming'"):
        options_for(SAMPLE, {"streeming": True})


def test_a_sample_is_called_by_its_name_and_can_be_used() -> None:
    found = open_recordings(SAMPLE, options())
    assert found.source == SAMPLE
    assert usable(found, options()).texts == found.texts
    assert (is_ready(found), common_rate(found, False)) == (False, 8_000)
    with pytest.raises(DataError, match="there is no sample for speech-recognition 'sample:spo"):
        open_recordings("sample:spoken", options())


def test_columns_encoding_and_letters_are_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file,said\na.wav,ÄB c\nb.wav,DÉ\n", "latin-1")
    asked = {"audio_field": "file", "text_field": "said", "encoding": "latin-1"}
    assert open_recordings(str(path), options(**asked)).texts == ["ÄB c", "DÉ"]
    found = open_recordings(str(path), options(lowercase=True, **asked))
    assert found.texts == ["äb c", "dé"]
    assert found.audio == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    assert found.source == str(path)
    with pytest.raises(DataError, match="no column 'audio'"):
        open_recordings(str(path), options(encoding="latin-1"))


def test_missing_files_are_refused_by_name_or_left_out(tmp_path: Path) -> None:
    rows = spoken(tmp_path, ["ab", "", "ba"])
    gone = {"audio": str(tmp_path / "gone.wav"), "text": "x"}
    again = {**rows[0], "name": "again"}
    whole = Recordings.read([rows[0], rows[1], gone, again, rows[2]])
    words = r"gone\.wav: there is no such file; line 3 of a list of 5 .*give --skip-broken"
    with pytest.raises(DataError, match=words):
        usable(whole, options())
    found = usable(whole, options(skip_broken=True))
    assert found.texts == ["ab", "ba"]
    assert found.removed == {"empty transcript": 1, "duplicate": 1, "missing audio": 1}
    there = usable(whole.take([0, 1, 3, 4]), options())
    assert there.texts == ["ab", "ba"]
    assert there.removed == {"empty transcript": 1, "duplicate": 1}
    # What is not said is not missed.
    assert usable(Recordings.read([rows[0], {**gone, "text": ""}]), options()).texts == ["ab"]
    with pytest.raises(DataError, match=r"all were removed \(1 missing audio\); check the paths"):
        usable(Recordings.read([gone]), options(skip_broken=True))


@pytest.mark.parametrize(
    ("names", "ready"),
    [
        (["a.npy", "b.npy"], True),
        (["a.MFC", "b.npy"], True),
        (["a.wav", "b.flac"], False),
        (["npy", "a.npy.wav"], False),
    ],
    ids=str,
)
def test_ready_features_are_known_by_their_endings(names: list[str], ready: bool) -> None:
    assert is_ready(Recordings.read([(name, "a") for name in names])) is ready


def test_sound_and_ready_features_do_not_mix() -> None:
    found = Recordings.read([("a.wav", "a"), ("b.wav", "b"), ("c.npy", "c")])
    with pytest.raises(DataError, match=r"got both: c\.npy and a\.wav; divide them"):
        is_ready(found)


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [([8_000, 16_000], 8_000), ([44_100, 22_050], 16_000), ([16_000], 16_000)],
    ids=str,
)
def test_the_rate_is_the_lowest_and_no_higher_than_speech_needs(
    rates: list[int], wanted: int, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = []
    for rate in rates:
        rows += spoken(tmp_path, ["a"], rate)
    assert common_rate(Recordings.read(rows), False) == wanted


def test_a_rate_that_cannot_be_read_is_passed_over_where_that_is_wished(tmp_path: Path) -> None:
    rows = spoken(tmp_path, ["a", "b"], 12_000)
    Path(rows[0]["audio"]).write_bytes(b"this is no sound" * 9)
    found = Recordings.read(rows)
    with pytest.raises(DataError, match=r"r000\.wav: .*libsndfile"):
        common_rate(found, False)
    assert common_rate(found, True) == 12_000
    with pytest.raises(DataError, match="none of the files can be read; check the paths"):
        common_rate(found.take([0]), True)
    soundfile.write(rows[0]["audio"], np.zeros(100), 4_000)
    with pytest.raises(DataError, match="expected 8000 to 192000 Hz, got 4000"):
        common_rate(found, False)


@pytest.mark.parametrize("validates", [True, False])
@pytest.mark.parametrize(
    ("validation", "holdout"), [(0.1, 0.1), (0.2, 0.0), (0.0, 0.3), (0.5, 0.4), (0.0, 0.0)]
)
def test_parts_have_the_shares_asked_for_and_no_speaker_in_common(
    validation: float, holdout: float, validates: bool
) -> None:
    """Both are shares of all recordings: 20 speakers of 5, and 50 of nobody known."""
    found = silent(150, 20, each=5)
    parts = split(found, options(validation=validation, holdout=holdout), validates)
    wanted = [validation * validates, holdout]
    sizes = [0 if part is None else len(part) for part in parts]
    for size, share in zip(sizes[1:], wanted, strict=True):
        assert abs(size - 150 * share) <= 5 / 2  # half of what a speaker has
    assert [part is None for part in parts] == [False, not wanted[0], not wanted[1]]
    there = [part for part in parts if part is not None]
    assert sorted(itertools.chain(*(part.names for part in there))) == sorted(found.names)
    for part in there:
        rows = [found.names.index(name) for name in part.names]
        assert rows == sorted(rows)
    for one, other in itertools.combinations(there, 2):
        assert one.overlap(other) == {"speakers": 0, "audio": 0, "texts": 0}


def test_what_is_held_out_does_not_hang_on_the_order_or_the_validation() -> None:
    found = silent(100, 40, each=2)
    held = [
        split(data, options(validation=validation, holdout=0.2), validates)[2]
        for data in (found, found.take(range(99, -1, -1)))
        for validation, validates in ((0.1, True), (0.3, True), (0.3, False), (0.0, True))
    ]
    assert all(one is not None and {*one.names} == {*held[0].names} for one in held)
    # Nor is what is left for validation drawn as what was held out.
    training, valid, _ = split(found, options(validation=0.2, holdout=0.2), True)
    again = split(found, options(validation=0.2, holdout=0.0), True)[1]
    assert {*valid.names} != {*held[0].names}
    assert {*again.names} != {*held[0].names}
    assert abs(len(training) - 60) <= 1  # half of what a speaker has


def test_one_speaker_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="expected two speakers or more to split"):
        split(silent(9, 1, each=9), options(), True)
    assert len(split(silent(9, 1, each=9), options(holdout=0.0, validation=0.0), True)[0]) == 9


@given(
    st.lists(st.tuples(st.text("abé ", max_size=6), st.integers(0, 20)), min_size=1, max_size=8),
    st.integers(1, 4),
)
def test_there_is_a_step_for_every_symbol_and_between_equal_ones(
    rows: list[tuple[str, int]], subsampling: int
) -> None:
    made = heard([text for text, _ in rows], [length for _, length in rows])
    made.recordings.removed["before"] = 3
    kept = []
    for row, text in enumerate(made.recordings.texts):
        # é is no symbol, and is left out; what has no frame at all can teach nothing.
        known = text.replace("é", "")
        between = sum(one == other for one, other in itertools.pairwise(known))
        if math.ceil(rows[row][1] / subsampling) >= max(1, len(known) + between):
            kept.append(row)
    symbols = Symbols("ab ")
    if not kept:
        with pytest.raises(DataError, match=r"long enough for their transcripts, got none.*smalle"):
            fits(made, symbols, subsampling)
        return
    found = fits(made, symbols, subsampling)
    assert found.recordings.names == [made.recordings.names[row] for row in kept]
    assert found.lengths.tolist() == [rows[row][1] for row in kept]
    left_out = len(rows) - len(kept)
    counts = {TOO_LONG: left_out} if left_out else {}
    assert found.recordings.removed == {"before": 3, **counts}
    assert made.recordings.removed == {"before": 3}
    assert (found is made) is (left_out == 0)


def test_recordings_are_known_again_wherever_they_lie() -> None:
    def made(*rows: dict[str, Any], folder: str = "here") -> str:
        return digest_of(
            Recordings.read([{**row, "audio": f"{folder}/{row['audio']}"} for row in rows])
        )

    one, two = {"audio": "a.wav", "text": "x"}, {"audio": "b.wav", "text": "y"}
    first = made(one, two)
    assert first == made(one, two, folder="there/and/elsewhere")
    assert first == made({**one, "name": "a"}, {**two, "text": " y "})
    others = [
        made(one),
        made(two, one),
        made(one, two, two),
        made(one, {**two, "text": "z"}),
        made(one, {**two, "text": "Y"}),
        made(one, {**two, "name": "c"}),
        made({**one, "start": 0.0, "name": "a"}, two),
        made({**one, "end": 1.0, "name": "a"}, two),
        made({**one, "start": 0.5, "end": 1.0, "name": "a"}, two),
        made({**one, "start": 0.5, "end": 1.5, "name": "a"}, two),
        made({**one, "speaker": "s"}, two),
        made(one, {**two, "speaker": "s"}),
        made(one, {**two, "speaker": "t"}),
        made({**one, "name": "ax", "text": "x"}, two),
        made({**one, "name": "a", "text": "xx"}, two),
    ]
    assert len({first, *others}) == 1 + len(others)


def test_speakers_are_known_again_else_the_recordings() -> None:
    rows = [
        {"audio": "a.wav", "text": "x", "speaker": "s"},
        {"audio": "b.wav", "text": "y"},
        {"audio": "c.wav", "text": "z", "speaker": "s"},
        {"audio": "d.wav", "text": "z", "speaker": "b"},
    ]
    found = marks_of(Recordings.read(rows))
    assert found[0] == found[2]
    assert len(set(found)) == 3  # who is called as a recording is another
    assert [mark.split()[1] for mark in found] == ["s", "b", "s", "b"]
    # Of recordings whose speakers are unknown, those of the same name may be others.
    there = {"audio": "elsewhere/b.wav", "text": "y"}
    assert marks_of(Recordings.read([there])) == [found[1]]
    others = [{**there, "text": "Y"}, {**there, "text": "yy"}, {**there, "name": "c"}]
    assert len({found[1], *marks_of(Recordings.read(others))}) == 4
    # But a speaker is the same whatever is said.
    assert marks_of(Recordings.read([{**rows[1], "speaker": "s"}])) == [found[0]]


def test_frames_take_their_time() -> None:
    assert total_seconds([3, 4], 0.01) == pytest.approx(0.07)
    assert total_seconds(np.array([100, 50], np.int64), 0.01) == pytest.approx(1.5)
    assert total_seconds([], 0.01) == 0.0


def test_no_sound_is_opened_where_only_names_are_asked_for() -> None:
    found = silent(10, 5, each=2)
    assert not any(map(os.path.exists, found.audio))
    assert len(digest_of(found)) == 64
    assert len(marks_of(found)) == 10


def test_clipped_recordings_are_warned_of(tmp_path: Path) -> None:
    rows = spoken(tmp_path, ["ab", "ad", "ab"])
    assert clipping_warning(Recordings.read(rows)) == ""
    for row, gain in zip(rows[1:], (6, 8), strict=True):  # of tones of 0.3
        samples, rate = soundfile.read(row["audio"])
        soundfile.write(row["audio"], np.clip(gain * samples, -1, 1), rate)
    said = clipping_warning(Recordings.read(rows))
    found = re.match(r"warning: 2 files are clipped, (\d+\.\d)% of the samples of (\S+): ", said)
    assert found is not None
    assert found[2] == rows[2]["audio"]
    assert 1 < float(found[1]) < 50
    assert "1 file is clipped" in clipping_warning(Recordings.read(rows[:2]))
    quiet = [{**row, "start": 0.0, "end": 0.1} for row in rows]
    assert clipping_warning(Recordings.read(quiet)) == ""
