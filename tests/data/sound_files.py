"""Sounds, written to files of all kinds, and what is said of those that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from carousel.data.audio import read_audio
from carousel.errors import DataError

WRITTEN = {".opus": "OGG", ".aif": "AIFF", ".sph": "NIST"}  # what soundfile calls these endings


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (frames, channels) if channels > 1 else frames
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def tone(hertz: float, rate: int, frames: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz / rate * np.arange(frames))).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = 16000, **options: Any) -> Path:
    form = WRITTEN.get(path.suffix)
    soundfile.write(path, samples, rate, **({"format": form} if form else {}), **options)
    return path


def refused(path: Path, rate: int = 16000, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_audio(path, rate, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")
