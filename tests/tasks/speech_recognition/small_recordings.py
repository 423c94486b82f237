"""Small recordings in an alphabet of tones, and options of a tiny recogniser, for all tests.

A letter is a tone of its own pitch, so that a network of a few cells learns to read within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from carousel.training import RunOptions

TONE, GAP = 0.08, 0.03  # seconds of a letter, and of the silence behind it
EDGE = 0.1  # seconds of silence at either end of a recording
LOUDNESS, NOISE = 0.3, 0.003  # amplitudes of a tone, and of what there always is

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_layers": 1,
    "channels": 8,
    "subsampling": 2,
    "mel_filters": 12,
    "input_dropout": 0.0,
    "hidden_dropout": 0.0,
    "output_dropout": 0.0,
    "masking": 0.0,
    "stretching": 0.0,
    "warping": 0.0,
    "noise": 0.0,
}
QUICK = RunOptions(max_steps=3, batch_size=4, progress="none")
WORDS = ("ab", "bad", "cab", "dab", "ad")


def sentences(number: int, seed: int = 0, words: Sequence[str] = WORDS) -> list[str]:
    """Returns sentences of one to three words, of which some come more than once."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words, rng.integers(1, 4))) for _ in range(number)]


def pitch(character: str) -> float:
    """Returns the frequency of a letter, Hz, 300 to 3,400; neighbours in the alphabet are apart."""
    place = 7 * ord(character) % 26
    return float(300 * (3400 / 300) ** (place / 25))


def sound_of(text: str, rate: int = 8000, seed: int = 0) -> np.ndarray:
    """Returns a text as samples (N,) of float32; a blank is as long as a letter, and silent."""
    tone, gap, edge = (round(seconds * rate) for seconds in (TONE, GAP, EDGE))
    time = np.arange(tone) / rate
    parts = [np.zeros(edge)]
    for character in text:
        loudness = 0.0 if character == " " else LOUDNESS
        parts += [loudness * np.hanning(tone) * np.sin(2 * np.pi * pitch(character) * time)]
        parts += [np.zeros(gap)]
    samples = np.concatenate([*parts, np.zeros(edge)])
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    return (samples + NOISE * noise).astype(np.float32)


def spoken(
    folder: Path, texts: Sequence[str], rate: int = 8000, speakers: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Writes a sound file of each text; of a folder's files, no two are the same.

    Args:
        folder: is made if it is not there; what it has already stays.
        texts: what is said.
        rate: Hz.
        speakers: who speak in turn; None for nobody known.

    Returns:
        Of each file a row of a manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = len(list(folder.glob("*.wav")))
    rows = []
    for place, text in enumerate(texts):
        name = f"r{first + place:03}"
        path = folder / f"{name}.wav"
        soundfile.write(path, sound_of(text, rate, first + place), rate, subtype="PCM_16")
        speaker = speakers[place % len(speakers)] if speakers else ""
        rows.append({"audio": str(path), "text": text, "speaker": speaker, "name": name})
    return rows
