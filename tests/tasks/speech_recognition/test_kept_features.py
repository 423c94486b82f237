"""What is kept of recordings, so that files are read and features computed once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tasks.speech_recognition.small_recordings import spoken
from tests.tasks.speech_recognition.small_utterances import (
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

from carousel.data.audio import read_audio
from carousel.tasks.speech_recognition import utterances as utterances_module
from carousel.tasks.speech_recognition.augmentation import Augmentation, speed
from carousel.tasks.speech_recognition.utterances import plain_features


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return spoken(tmp_path_factory.mktemp("sound"), TEXTS, RATE, SPEAKERS)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened from here on, one by one."""
    paths: list[str] = []

    def counted(path: str, rate: int, **others: Any) -> np.ndarray:
        paths.append(path)
        return read_audio(path, rate, **others)

    monkeypatch.setattr(utterances_module, "read_audio", counted)
    return paths


@pytest.mark.parametrize("kept", ["all", "none", "the first"])
def test_files_are_read_once_where_memory_allows(
    rows: list[dict[str, Any]], kept: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [plain_of(row) for row in rows]
    most = {"all": 1 << 30, "none": 0, "the first": wanted[0].nbytes}[kept]
    monkeypatch.setattr(utterances_module, "_KEPT_BYTES", most)
    made = read(rows)
    for _ in range(3):
        for number, x in enumerate(wanted):
            found = made.frames(number, frontend(made))
            np.testing.assert_allclose(found, normal(x, x), **CLOSE)
            found[:] = 7.0  # which is the caller's own, and no part of what is kept
    times = [opened.count(row["audio"]) for row in rows]
    # Once to know them, and then where they are not kept.
    assert times == {"all": [1] * 5, "none": [4] * 5, "the first": [1, 4, 4, 4, 4]}[kept]
    opened.clear()
    noise = dataclasses.replace(Augmentation.none(), noise_share=1)
    for _ in range(2):  # samples are kept beside features
        made.frames(0, frontend(made), noise, np.random.default_rng(0))
    assert len(opened) == (1 if kept == "all" else 2)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_features_at_each_speed_are_computed_once(
    rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """They are those of the samples at that speed, and noise is none of what is kept."""
    made = read(rows)
    played = dataclasses.replace(Augmentation.none(), speeds=(factor,))
    noise = dataclasses.replace(played, noise_share=1)
    wanted = FEATURES.compute(speed(samples_of(rows[1]), factor))

    def frames(number: int, changes: Augmentation) -> np.ndarray:
        given = made.take(np.array([2, 1]))  # keeps what the others keep
        return given.frames(1, frontend(made), changes, np.random.default_rng(number))

    first, loud = frames(0, played), frames(0, noise)
    np.testing.assert_allclose(first, normal(wanted, wanted), **CLOSE)
    assert not np.allclose(loud, first, atol=0.1)
    assert not np.array_equal(loud, frames(1, noise))

    def unexpected(*_: Any) -> Any:
        raise AssertionError("computed twice")

    monkeypatch.setattr(type(FEATURES), "compute", unexpected)
    assert np.array_equal(frames(2, played), first)
    with pytest.raises(AssertionError, match="computed twice"):
        frames(3, noise)


def test_a_part_of_ready_features_does_not_keep_the_whole_file(tmp_path: Path) -> None:
    [row] = arrays(tmp_path, (40, 3))
    part = plain_features(None, row["audio"], 0.1, 0.2, 3)
    assert np.array_equal(part, np.load(row["audio"])[10:20])
    assert part.base is None


@pytest.mark.parametrize(("changes", "number"), [({}, 2), ({"noise_share": 0.5}, 1)])
def test_samples_are_kept_where_they_are_used_again(
    rows: list[dict[str, Any]], opened: list[str], changes: dict[str, Any], number: int
) -> None:
    """For a second speed the file is read again, where nothing but the speeds is ever changed."""
    made = read(rows)
    opened.clear()
    both = dataclasses.replace(Augmentation.none(), speeds=(0.9, 1.1), **changes)
    for seed in range(20):
        made.frames(1, frontend(made), both, np.random.default_rng(seed))
    assert len(opened) == number


def test_features_that_gain_would_change_are_not_kept(
    rows: list[dict[str, Any]], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read(rows, keeps=False)
    opened.clear()
    louder = dataclasses.replace(Augmentation.none(), gain=6)
    wanted = plain_of(rows[0])
    monkeypatch.setattr(utterances_module, "_KEPT_BYTES", samples_of(rows[0]).nbytes)
    found = [
        made.frames(0, frontend(made), louder, np.random.default_rng(seed)) for seed in range(3)
    ]
    assert len(opened) == 1  # for whose samples there is room
    assert all(len(x) == len(wanted) for x in found)
