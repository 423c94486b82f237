"""Recordings as the network sees them: read, scaled, changed and kept, against NumPy by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.tasks.speech_recognition.small_recordings import spoken
from tests.tasks.speech_recognition.small_utterances import (
    BINS,
    CLOSE,
    FEATURES,
    RATE,
    SPEAKERS,
    TEXTS,
    arrays,
    frontend,
    normal,
    plain_of,
    read,
    samples_of,
)

from carousel.data.acoustic_features import AcousticFeatures
from carousel.data.feature_scaling import Moments, with_deltas
from carousel.data.recordings import Recordings
from carousel.errors import DataError
from carousel.tasks.speech_recognition.augmentation import Augmentation
from carousel.tasks.speech_recognition.feature_changes import warped
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.plan import Plan, make_plan
from carousel.tasks.speech_recognition.utterances import (
    BROKEN,
    RUNNING_WEIGHT,
    Utterances,
    augmentation_of,
    features_of,
)

MASKS = {"time_masks": 2, "frequency_masks": 2, "frequency_width": 3}


def followed(x: np.ndarray, all_frames: np.ndarray) -> np.ndarray:
    """A running scale frame by frame, begun from all frames as if so many had been heard."""
    exact, past = x.astype(np.float64), all_frames.astype(np.float64)
    mean, square = past.mean(0), (past**2).mean(0)
    found = []
    for t, frame in enumerate(exact, start=1):
        heard = exact[:t]
        n = RUNNING_WEIGHT + t
        now = (RUNNING_WEIGHT * mean + heard.sum(0)) / n
        var = (RUNNING_WEIGHT * square + (heard**2).sum(0)) / n - now**2
        found.append((frame - now) / np.sqrt(var))
    return np.stack(found)


def planned(is_ready: bool = False, **values: Any) -> Plan:
    options = RecognitionOptions(**values)
    return make_plan(options, hours=0.1, rate=RATE, is_ready=is_ready)[0]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return spoken(tmp_path_factory.mktemp("sound"), TEXTS, RATE, SPEAKERS)


def test_features_are_those_of_the_files(rows: list[dict[str, Any]]) -> None:
    made = read(rows)
    wanted = [plain_of(row) for row in rows]
    assert len(made) == len(rows)
    assert made.size == BINS
    assert made.lengths.tolist() == [len(x) for x in wanted]
    assert made.recordings.texts == TEXTS
    assert made.recordings.removed == {}
    whole = frontend(made)
    assert whole.width == BINS
    assert whole.frame_seconds == 0.01
    for row, x in zip(rows, wanted, strict=True):
        assert np.array_equal(whole.plain(row["audio"]), x)


def test_each_recording_is_scaled_by_itself(rows: list[dict[str, Any]]) -> None:
    made = read(rows)
    for number, row in enumerate(rows):
        x = plain_of(row)
        found = made.frames(number, frontend(made, "recording"))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, normal(x, x), **CLOSE)


def test_speakers_are_scaled_by_all_that_they_said(rows: list[dict[str, Any]]) -> None:
    """Who is unknown is scaled by the recording: two of them need not be one."""
    more = [*rows, {**rows[2], "start": 0.1, "name": "again"}]
    made = read(more)
    plain = [made.frames(row, frontend(made)) for row in range(len(more))]  # which keeps them
    xs = [plain_of(row) for row in rows]
    over = {"s": np.concatenate([xs[0], xs[3]]), "t": np.concatenate([xs[1], xs[4]])}
    for number, row in enumerate(rows):
        wanted = normal(xs[number], over.get(row["speaker"], xs[number]))
        found = made.frames(number, frontend(made, "speaker"))
        np.testing.assert_allclose(found, wanted, **CLOSE)
    assert not np.allclose(made.frames(0, frontend(made, "speaker")), plain[0], atol=0.01)
    # Whoever takes some of them takes what is known of their speakers with them.
    some = made.take(np.array([4, 0]))
    assert some.recordings.texts == [TEXTS[4], TEXTS[0]]
    assert some.lengths.tolist() == [len(xs[4]), len(xs[0])]
    for number, row in enumerate([4, 0]):
        wanted = normal(xs[row], over[rows[row]["speaker"]])
        np.testing.assert_allclose(some.frames(number, frontend(made, "speaker")), wanted, **CLOSE)


def test_a_running_scale_hears_nothing_in_advance(rows: list[dict[str, Any]]) -> None:
    made = read(rows)
    all_frames = np.concatenate([plain_of(row) for row in rows])
    for number, row in enumerate(rows):
        found = made.frames(number, frontend(made, "running"))
        np.testing.assert_allclose(found, followed(plain_of(row), all_frames), **CLOSE)


def test_the_moments_are_those_of_all_frames(rows: list[dict[str, Any]]) -> None:
    exact = np.concatenate([plain_of(row) for row in rows]).astype(np.float64)
    found = read(rows).all_moments()
    assert found.count == len(exact)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-10)
    np.testing.assert_allclose(found.var, exact.var(0), rtol=1e-10)


def test_parts_of_files_are_read_by_their_times(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    audio = rows[3]["audio"]  # 0.64 s
    samples, _ = soundfile.read(audio, dtype="float32")
    times = [{"start": 0.1, "end": 0.32}, {"start": 0.2}, {"end": 0.25}, {}]
    places = [slice(800, 2560), slice(1600, None), slice(0, 2000), slice(None)]
    made = read([{"audio": audio, "text": "a", **time} for time in times])
    for number, place in enumerate(places):
        x = FEATURES.compute(samples[place])
        assert made.lengths[number] == len(x)
        np.testing.assert_allclose(made.frames(number, frontend(made)), normal(x, x), **CLOSE)
    with pytest.raises(DataError, match=r"expected 0 to 0\.64 s.*line 1 of a list of 1 recording"):
        read([{"audio": audio, "text": "a", "start": 0.7}])
    [ready] = arrays(tmp_path, (50, 3))
    parts = [{**ready, **time} for time in times]
    given = np.load(ready["audio"])
    found = Utterances.read(Recordings.read(parts), None)
    for number, place in enumerate([slice(10, 32), slice(20, None), slice(0, 25), slice(None)]):
        x = given[place]
        assert found.lengths[number] == len(x)
        np.testing.assert_allclose(found.frames(number, frontend(found)), normal(x, x), **CLOSE)


@pytest.mark.parametrize(
    ("time", "got"),
    [
        ({"start": 0.7}, r"0\.7 to 0\.5 s"),
        ({"start": 0.5}, r"0\.5 to 0\.5 s"),
        ({"start": 0.52, "end": 0.55}, r"0\.52 to 0\.55 s"),
        ({"start": 0.1, "end": 0.62}, r"0\.1 to 0\.62 s"),
        ({"end": 30}, r"0 to 30 s"),
    ],
    ids=str,
)
def test_parts_of_ready_features_end_with_the_file(
    time: dict[str, float], got: str, tmp_path: Path
) -> None:
    """But for the tenth of a second that times are rounded by, as of sound."""
    [ready] = arrays(tmp_path, (50, 3))
    x = np.load(ready["audio"])[40:]
    made = Utterances.read(Recordings.read([{**ready, "start": 0.4, "end": 0.6}]), None)
    np.testing.assert_allclose(made.frames(0, frontend(made)), normal(x, x), **CLOSE)
    words = rf"f0\.npy: .*which ends at 0\.5 s, got {got}; .* \(line 1 of a list of 1"
    with pytest.raises(DataError, match=words):
        Utterances.read(Recordings.read([{**ready, **time}]), None)


def test_what_cannot_be_read_is_named_or_left_out(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"this is no sound" * 9)
    bad = {"audio": str(broken), "text": "a"}
    words = r"broken\.wav: .*libsndfile.* \(line 2 of a list of 3 recordings; give --skip-broken"
    with pytest.raises(DataError, match=words):
        read([rows[0], bad, rows[1]])
    made = read([rows[0], bad, rows[1]], skip_broken=True)
    assert made.recordings.texts == TEXTS[:2]
    assert made.recordings.removed == {BROKEN: 1}
    assert made.recordings.lines.tolist() == [1, 3]
    assert made.lengths.tolist() == read(rows[:2]).lengths.tolist()
    x = plain_of(rows[1])
    np.testing.assert_allclose(made.frames(1, frontend(made)), normal(x, x), **CLOSE)
    with pytest.raises(DataError, match="none of 2 can be read; check the paths"):
        read([bad, {**bad, "start": 1}], skip_broken=True)


def test_ready_features_are_taken_as_they_are(tmp_path: Path) -> None:
    ready = arrays(tmp_path, (20, 3), (1, 3), (7, 3))
    made = Utterances.read(Recordings.read(ready), None)
    assert made.size == 3
    assert made.lengths.tolist() == [20, 1, 7]
    whole = frontend(made, "recording", deltas=2)
    assert (whole.width, whole.frame_seconds) == (9, 0.01)
    for number, row in enumerate(ready):
        x = np.load(row["audio"])
        found = made.frames(number, whole)
        assert found.shape == (len(x), 9)
        # A single frame is its own mean, and varies in nothing.
        wanted = normal(x, x) if len(x) > 1 else 0 * x
        np.testing.assert_allclose(found[:, :3], wanted, **CLOSE)
    other = [*ready, {"audio": str(tmp_path / "other.npy"), "text": "a"}]
    np.save(tmp_path / "other.npy", np.zeros((4, 5), np.float32))
    with pytest.raises(DataError, match=r"expected 3 features.* 5 .*\(line 4 of a list of 4 rec"):
        Utterances.read(Recordings.read(other), None)
    with pytest.raises(DataError, match=r"expected 4 features a frame, got 3 .*\(line 1 of"):
        Utterances.read(Recordings.read(ready), None, size=4)
    found = Utterances.read(Recordings.read(other), None, skip_broken=True)
    assert found.recordings.removed == {BROKEN: 1}


@pytest.mark.parametrize("scaling", ["speaker", "recording", "running"])
def test_a_sound_too_short_for_a_frame_has_none(
    rows: list[dict[str, Any]], scaling: str, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(30, 0.1, np.float32), RATE)
    short = {"audio": str(path), "text": "a", "speaker": "s"}
    made = read([short, rows[0]])
    assert made.lengths.tolist() == [0, len(plain_of(rows[0]))]
    whole = frontend(made, scaling, deltas=2)
    assert whole.moments.count == made.lengths[1]
    rng = np.random.default_rng(0)
    for changes in ((), (Augmentation(**MASKS), rng)):
        assert made.frames(0, whole, *changes).shape == (0, 3 * BINS)
    with pytest.raises(DataError, match="expected sound, got recordings too short for a single"):
        read([{**short, "speaker": scaling}]).all_moments()


def test_slopes_are_those_of_what_is_scaled(rows: list[dict[str, Any]]) -> None:
    made = read(rows)
    plain = made.frames(1, frontend(made, "speaker"))
    for deltas in (1, 2):
        found = made.frames(1, frontend(made, "speaker", deltas))
        assert found.shape == (len(plain), BINS * (1 + deltas))
        assert np.array_equal(found, with_deltas(plain, deltas))


def test_sound_is_changed_before_it_is_scaled_and_hidden_behind(rows: list[dict[str, Any]]) -> None:
    made = read(rows)
    changes = Augmentation(speeds=(0.9, 1.1), noise_share=1, gain=6, stretch=0.1, **MASKS)
    for scaling in ("speaker", "recording", "running"):
        found = made.frames(3, frontend(made, scaling, 1), changes, np.random.default_rng(5))
        rng = np.random.default_rng(5)
        x = FEATURES.compute(changes.drawn(rng).applied(samples_of(rows[3]), rng))
        xs = [plain_of(row) for row in rows]
        over = np.concatenate([xs[0], xs[3]]) if scaling == "speaker" else x
        scaled = followed(x, np.concatenate(xs)) if scaling == "running" else normal(x, over)
        wanted = with_deltas(changes.features(scaled.astype(np.float32), rng), 1)
        np.testing.assert_allclose(found, wanted, **CLOSE)
        again = made.frames(3, frontend(made, scaling, 1), changes, np.random.default_rng(5))
        assert np.array_equal(found, again)
    plain = made.frames(3, frontend(made))
    same = made.frames(3, frontend(made), Augmentation.none(), np.random.default_rng(5))
    assert np.array_equal(plain, same)


def test_ready_features_are_no_sound_and_only_stretched_and_hidden(tmp_path: Path) -> None:
    made = Utterances.read(Recordings.read(arrays(tmp_path, (40, 3))), None)
    played = Augmentation(
        speeds=(2.0,), noise_share=1, gain=6, stretch=0, time_masks=0, frequency_masks=0
    )
    plain = made.frames(0, frontend(made))
    assert np.array_equal(made.frames(0, frontend(made), played, np.random.default_rng(0)), plain)
    stretched = dataclasses.replace(played, stretch=0.4)
    found = made.frames(0, frontend(made), stretched, np.random.default_rng(0))
    assert np.array_equal(found, stretched.features(plain, np.random.default_rng(0)))
    assert len(found) != len(plain)


def test_a_recording_is_warped_once_it_is_scaled(rows: list[dict[str, Any]]) -> None:
    made = read(rows)
    shifted = dataclasses.replace(Augmentation.none(), warp=0.2)
    plain = made.frames(0, frontend(made))
    found = made.frames(0, frontend(made), shifted, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    shifted.drawn(rng)  # what happens to the samples, which is nothing
    factor = 1 + rng.uniform(-0.2, 0.2)
    np.testing.assert_allclose(found, warped(plain, factor, FEATURES.middles), **CLOSE)
    assert np.abs(found - plain).max() > 0.01


@pytest.mark.parametrize(
    ("values", "is_ready", "size", "wanted"),
    [
        ({}, False, 40, {"frequency_masks": 1, "frequency_width": 8}),
        ({"stretching": 0.0625}, False, 40, {"speeds": (0.9375, 1.0, 1.0625)}),
        ({"stretching": 0.25}, False, 40, {"speeds": (0.75, 0.875, 1.0, 1.125, 1.25)}),
        ({"stretching": 0.0}, False, 40, {"speeds": (1.0,), "stretch": 0.0}),
        ({"warping": 0.125}, False, 40, {"warp": 0.125}),
        ({}, False, 40, {"warp": 0.0}),
        ({"features": "mfcc"}, False, 13, {"warp": 0.0}),
        ({"masking": 0.0}, False, 40, {"time_masks": 0, "frequency_masks": 0}),
        ({"masking": 2.0}, False, 80, {"time_masks": 4, "frequency_masks": 4}),
        ({}, False, 80, {"frequency_width": 15}),  # as many of them as the paper's
        ({"noise": 0.75}, False, 40, {"noise_share": 0.75}),
        ({"features": "mfcc"}, False, 13, {"time_masks": 1, "frequency_masks": 0}),
        ({"scaling": "running"}, False, 40, {"gain": 6.0}),
        ({"scaling": "recording"}, False, 40, {"gain": 0.0}),
        ({"streaming": True}, False, 40, {"gain": 6.0}),
        ({}, True, 40, {"speeds": (1.0,), "noise_share": 0.0, "stretch": 0.1}),
        ({"streaming": True}, True, 40, {"gain": 0.0, "frequency_masks": 0, "time_masks": 1}),
    ],
    ids=str,
)
def test_what_is_changed_follows_from_the_plan(
    values: dict[str, Any], is_ready: bool, size: int, wanted: dict[str, Any]
) -> None:
    usual = {"speeds": (0.9, 1.0, 1.1), "noise_share": 0.3, "gain": 0.0, "stretch": 0.0}
    found = augmentation_of(planned(is_ready, **values), size)
    wanted = wanted if is_ready else {**usual, **wanted}
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_what_is_computed_follows_from_the_plan() -> None:
    assert features_of(planned(is_ready=True)) is None
    found = features_of(planned(mel_filters=30))
    assert found == AcousticFeatures(kind="log_mel", rate=RATE, bins=30)
    found = features_of(planned(features="mfcc", mel_filters=30, cepstra=9))
    assert found == AcousticFeatures(kind="mfcc", rate=RATE, bins=30, cepstra=9)


def test_nothing_is_known_of_who_was_never_heard(rows: list[dict[str, Any]]) -> None:
    """A frontend alone scales by the sound itself, and nothing by what training was like."""
    made = read(rows)
    whole = frontend(made, "speaker")
    x = plain_of(rows[0])
    np.testing.assert_allclose(whole.scaled(x, None), normal(x, x), **CLOSE)
    own = Moments.of([plain_of(rows[1])])
    np.testing.assert_allclose(whole.scaled(x, own), normal(x, plain_of(rows[1])), **CLOSE)
