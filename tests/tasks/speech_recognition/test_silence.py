"""Silence, which a recogniser hears in training so that it hears no words in it later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tasks.speech_recognition.small_recordings import spoken

from carousel.data.acoustic_features import AcousticFeatures
from carousel.data.recordings import Recordings
from carousel.tasks.speech_recognition import training
from carousel.tasks.speech_recognition.augmentation import Augmentation, made_noise
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.training import make_batch
from carousel.tasks.speech_recognition.utterances import Frontend, Utterances

FEATURES = AcousticFeatures(rate=8_000, bins=12)
ROWS = np.arange(6)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Utterances:
    rows = spoken(tmp_path_factory.mktemp("sound"), ["ab", "a", "b a", "ba", "aab", "bb"])
    return Utterances.read(Recordings.read(rows), FEATURES)


def frontend(made: Utterances, scaling: str = "recording") -> Frontend:
    return Frontend(made.features, made.size, 0, scaling, made.all_moments())


def batch(made: Utterances, **others: object) -> training.Batch:
    symbols = Symbols.of(made.recordings.texts)
    given = {"subsampling": 2, "augmentation": Augmentation.none(), **others}
    return make_batch(made, frontend(made), symbols, ROWS, **given)  # type: ignore[arg-type]


def test_in_silence_nothing_is_said(heard: Utterances, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SILENT", 1.0)
    made = batch(heard)
    assert made.symbol_lengths.tolist() == [0] * len(ROWS)
    assert made.lengths.tolist() == heard.lengths.tolist()
    plain = batch(heard, augmentation=None)
    assert not any(
        np.allclose(made.frames[:, k], plain.frames[:, k], atol=0.1) for k in range(len(ROWS))
    )


def test_about_so_many_are_silent_and_others_each_epoch(heard: Utterances) -> None:
    silent = np.array(
        [batch(heard, epoch=epoch).symbol_lengths.numpy() == 0 for epoch in range(400)]
    )
    # Of 2,400 draws at 5 % the deviation is 0.44 %; this is four and a half times as much.
    assert silent.mean() == pytest.approx(training.SILENT, abs=0.02)
    assert (silent.sum(0) > 0).all()


def test_what_is_not_changed_at_random_is_never_silent(heard: Utterances) -> None:
    for epoch in range(60):
        assert (batch(heard, augmentation=None, epoch=epoch).symbol_lengths > 0).all()


def test_silence_is_still_or_noise_and_follows_from_its_generator(heard: Utterances) -> None:
    scale = frontend(heard)
    found = [heard.silence(0, scale, np.random.default_rng(seed)) for seed in range(40)]
    again = heard.silence(0, scale, np.random.default_rng(7))
    np.testing.assert_array_equal(again, found[7])
    still = sum(not x.any() for x in found)
    assert 2 < still < 20  # of 40 at one in four: 10, with a deviation of 2.7
    noise = np.concatenate([x for x in found if x.any()])
    assert noise.std() == pytest.approx(1.0, abs=0.05)


def test_ready_features_have_a_silence_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, (3 + np.random.default_rng(0).standard_normal((500, 4))).astype(np.float32))
    made = Utterances.read(Recordings.read([(str(path), "a")]), None)
    scale = frontend(made, "running")
    x = made.silence(0, scale, np.random.default_rng(1))
    assert x.shape == (500, 4)
    assert x.mean(0) == pytest.approx(np.zeros(4), abs=0.3)


@pytest.mark.parametrize("color", ["white", "pink"])
def test_noise_of_any_length(color: str) -> None:
    for number in (0, 1, 2, 1_001):
        noise = made_noise(number, np.random.default_rng(0), color)  # type: ignore[arg-type]
        assert noise.shape == (number,)
        assert np.isfinite(noise).all()
