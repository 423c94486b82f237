"""Signals and features for tests of what changes them."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * hertz * times).astype(np.float32)


def some_features(frames: int, size: int, seed: int = 2) -> np.ndarray:
    return generator(seed).uniform(1, 2, (frames, size)).astype(np.float32)
