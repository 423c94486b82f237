"""Utterances that tests read, and what they should be, by the library itself and by NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from carousel.data.acoustic_features import AcousticFeatures
from carousel.data.recordings import Recordings
from carousel.tasks.speech_recognition.utterances import Frontend, Utterances

RATE, BINS = 8_000, 12
FEATURES = AcousticFeatures(kind="log_mel", rate=RATE, bins=BINS)
TEXTS = ["ab", "cab", "d", "abba", "dad"]
SPEAKERS = ["s", "t", ""]
# Numbers below 100, of single precision at the end, after some roundings of double before.
CLOSE = {"rtol": 0, "atol": 100 * 4 * 2.0**-24}


def samples_of(row: dict[str, Any]) -> np.ndarray:
    samples, rate = soundfile.read(row["audio"], dtype="float32")
    assert rate == RATE
    return samples


def plain_of(row: dict[str, Any]) -> np.ndarray:
    """The features of a file, read by the library itself."""
    return FEATURES.compute(samples_of(row))


def normal(x: np.ndarray, over: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over some frames, in double precision."""
    exact = over.astype(np.float64)
    return (x.astype(np.float64) - exact.mean(0)) / exact.std(0)


def read(rows: list[dict[str, Any]], **others: Any) -> Utterances:
    return Utterances.read(Recordings.read(rows), FEATURES, **others)


def frontend(made: Utterances, scaling: str = "recording", deltas: int = 0) -> Frontend:
    return Frontend(made.features, made.size, deltas, scaling, made.all_moments())


def arrays(folder: Path, *shapes: tuple[int, int]) -> list[dict[str, Any]]:
    """Files of ready features of some shapes."""
    rng, rows = np.random.default_rng(7), []
    for number, shape in enumerate(shapes):
        path = folder / f"f{number}.npy"
        np.save(path, (3 * rng.standard_normal(shape) + 1).astype(np.float32))
        rows.append({"audio": str(path), "text": "a"})
    return rows
