"""Transcribing: files and samples alike, one or many, long ones among short ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.tasks.speech_recognition.small_recordings import sound_of
from tests.tasks.speech_recognition.test_recognition import RATE, READY_SIZE, untaught

from carousel.errors import DataError, OptionError
from carousel.tasks.speech_recognition import long_audio, transcribing
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.recognition import ListeningOptions, Search, Transcript
from carousel.tasks.speech_recognition.transcribing import (
    frames_of_samples,
    transcribed,
    transcribed_files,
)

SAID = ["ab bad", "ad", "cab ab dab ad", "d", "bad cab ad", "ab", "dab cab"]
# Beside longer ones a network's sums of under 100 terms are taken in another order, each rounded by
# 2^-24, and multiplied by under 100 at the end.
CLOSE = 100 * 100 * 2.0**-24


def files(folder: Path, said: list[str] | None = None) -> list[str]:
    paths = []
    for place, text in enumerate(SAID if said is None else said):
        path = folder / f"{place}.wav"
        soundfile.write(path, sound_of(text, RATE, place), RATE, subtype="PCM_16")
        paths.append(str(path))
    return paths


def listen(fitted: Fitted, **listening: Any) -> Search:
    return Search(fitted, ListeningOptions(**listening))


def assert_same(found: Transcript, wanted: Transcript) -> None:
    """But for the rounding of its numbers."""
    assert found.text == wanted.text
    assert found.seconds == wanted.seconds
    assert found.score == pytest.approx(wanted.score, rel=CLOSE, abs=CLOSE)
    for one, other in zip(found.words, wanted.words, strict=True):
        assert (one.text, one.begin, one.end) == (other.text, other.begin, other.end)
        assert one.confidence == pytest.approx(other.confidence, abs=CLOSE)


@pytest.mark.parametrize("rate", [RATE, 11_025, 2 * RATE])
@pytest.mark.parametrize("kind", ["int16", "float32", "stereo"])
def test_samples_are_heard_as_their_file_is(kind: str, rate: int, tmp_path: Path) -> None:
    fitted, path = untaught(), tmp_path / "a.wav"
    samples = sound_of("ab ad", rate)
    if kind == "stereo":
        samples = np.stack([samples, 0.5 * samples[::-1]], 1)
    if kind == "int16":
        samples = (samples * 32767).astype(np.int16)
    soundfile.write(path, samples, rate, subtype="PCM_16" if kind == "int16" else "FLOAT")
    found = frames_of_samples(fitted, samples, rate)
    assert len(found) == 75
    assert np.array_equal(found, fitted.frontend.plain(str(path)))


def test_samples_need_a_rate_and_a_recogniser_of_sound() -> None:
    samples = sound_of("a", RATE)
    with pytest.raises(DataError, match=r"how many there are in a second; give rate, say rate=16"):
        frames_of_samples(untaught(), samples, None)
    with pytest.raises(DataError, match=r"expected the path of ready features, .* got samples"):
        frames_of_samples(untaught(is_ready=True), samples, RATE)
    with pytest.raises(OptionError, match="expected 8000 to 192000 Hz, got 4000"):
        frames_of_samples(untaught(), samples, 4_000)
    with pytest.raises(DataError, match="sample 7: expected samples in"):
        frames_of_samples(untaught(), np.where(np.arange(99) == 7, np.inf, 0.0), RATE)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lexicon": False, "ngram": 0, "subsampling": 3, "deltas": 2},
        {"streaming": True, "num_layers": 2},
        {"scaling": "recording", "features": "mfcc", "cepstra": 6},
    ],
    ids=str,
)
def test_a_recording_is_heard_alone_as_it_is_among_others(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, paths = untaught(**options), files(tmp_path)
    search = listen(fitted)
    alone = [transcribed_files(fitted, [path], search)[0] for path in paths]
    assert len({one.text for one in alone}) >= 3
    for frames in (16_000, 300, 1):  # in one batch, in some, and each in its own
        monkeypatch.setattr(transcribing, "_FRAMES_AT_ONCE", frames)
        together = transcribed_files(fitted, paths, search)
        for one, other in zip(together, alone, strict=True):
            assert_same(one, other)
    assert [one.seconds for one in alone] == pytest.approx(
        [0.2 + 0.11 * len(text) for text in SAID], abs=0.01
    )


def test_a_recording_is_scaled_by_itself() -> None:
    """Ten times as loud is the same, where features are scaled by their own moments."""
    fitted, sound = untaught(), sound_of("ab bad", RATE)
    each = [frames_of_samples(fitted, loudness * sound, RATE) for loudness in (0.1, 1.0)]
    apart = {}
    for scaling in ("recording", "speaker", "running"):
        frontend = dataclasses.replace(fitted.frontend, scaling=scaling)
        quiet, loud = (frontend.scaled(x, None) for x in each)
        apart[scaling] = np.abs(loud - quiet).max()
    # Logarithms of about 20 are rounded; that of 100 is a good part of what features vary by.
    assert apart["recording"] == apart["speaker"] < 1e-3
    assert apart["running"] > 0.3
    one, other = transcribed(fitted, each, listen(fitted))
    assert one.text == other.text


def test_files_come_in_groups_and_their_number_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, paths, told = untaught(), files(tmp_path), []
    search = listen(fitted)
    wanted = transcribed_files(fitted, paths, search)
    monkeypatch.setattr(transcribing, "_FILES_AT_ONCE", 3)
    found = transcribed_files(fitted, paths, search, lambda done, of: told.append((done, of)))
    assert told == [(3, 7), (6, 7), (7, 7)]
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


def test_long_files_stand_where_they_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, paths = untaught(lexicon=False, ngram=0), files(tmp_path)
    search, long = listen(fitted), []
    wanted = transcribed_files(fitted, paths, search)

    def heard_long(fitted: Fitted, path: str, search: Search) -> Transcript:
        long.append(path)
        return wanted[paths.index(path)]

    monkeypatch.setattr(transcribing, "LONGEST", 0.5)
    monkeypatch.setattr(transcribing, "transcribed_long", heard_long)
    found = transcribed_files(fitted, paths, search)
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    assert long == [path for path, text in zip(paths, SAID, strict=True) if len(text) > 2]
    assert transcribed_files(fitted, [paths[0]], search) == [wanted[0]]  # a long one and no other


def test_how_long_is_long_is_the_same_everywhere() -> None:
    assert transcribing.LONGEST == long_audio.LONGEST > long_audio._WINDOW > long_audio._MARGIN


def test_no_files_have_no_transcripts() -> None:
    fitted = untaught()
    assert transcribed_files(fitted, [], listen(fitted)) == []
    assert transcribed(fitted, [], listen(fitted)) == []


@pytest.mark.parametrize("options", [{}, {"streaming": True}, {"deltas": 2}], ids=str)
def test_a_sound_without_a_frame_says_nothing(options: dict[str, Any]) -> None:
    fitted = untaught(**options)
    none, some = (frames_of_samples(fitted, sound_of("ab", RATE)[:n], RATE) for n in (39, 3_000))
    assert len(none) == 0
    empty = Transcript("", (), 0.0, 0.0)
    assert transcribed(fitted, [none], listen(fitted)) == [empty]
    assert transcribed(fitted, [none, some, none], listen(fitted))[::2] == [empty, empty]


def test_the_next_best_are_given_where_they_are_asked_for() -> None:
    fitted = untaught(lexicon=False, ngram=0)
    x = frames_of_samples(fitted, sound_of("ab bad", RATE), RATE)
    [found] = transcribed(fitted, [x], listen(fitted, best=4))
    scores = [found.score, *(one.score for one in found.others)]
    assert scores == sorted(scores, reverse=True)
    assert 1 <= len(found.others) <= 3
    [alone] = transcribed(fitted, [x], listen(fitted))
    assert dataclasses.replace(found, others=()) == alone


def test_ready_features_are_read_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcribing, "LONGEST", 0.1)  # which is for sound
    fitted, random = untaught(is_ready=True, scaling="recording"), np.random.default_rng(3)
    each = [random.standard_normal((length, READY_SIZE)) for length in (60, 33)]
    paths = []
    for place, x in enumerate(each):
        paths.append(str(tmp_path / f"{place}.npy"))
        np.save(paths[-1], x)
    found = transcribed_files(fitted, paths, listen(fitted))
    wanted = transcribed(fitted, [x.astype(np.float32) for x in each], listen(fitted))
    assert found == wanted
    assert [one.seconds for one in found] == pytest.approx([0.6, 0.33])
    np.save(paths[0], each[0][:, :5])
    with pytest.raises(DataError, match=r"0\.npy: expected 6 features a frame, got 5"):
        transcribed_files(fitted, paths, listen(fitted))


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    fitted, [good] = untaught(), files(tmp_path, ["ab"])
    (tmp_path / "text.wav").write_text("no sound\n" * 20)
    np.save(tmp_path / "ready.npy", np.zeros((5, 12), np.float32))
    for name, words in (
        ("nowhere.wav", r"nowhere\.wav: there is no such file"),
        ("text.wav", r"text\.wav: libsndfile cannot read it"),
        ("ready.npy", r"ready\.npy: libsndfile cannot read it"),
    ):
        with pytest.raises(DataError, match=words):
            transcribed_files(fitted, [good, str(tmp_path / name)], listen(fitted))
    ready = untaught(is_ready=True)
    with pytest.raises(DataError, match=r"0\.wav: expected a file of features, \.npy or \.mfc"):
        transcribed_files(ready, [good], listen(ready))
