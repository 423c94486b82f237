"""The Free Spoken Digit Dataset: single digits, and strings of digits joined from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEST_BELOW = 5  # the official split: indices below are the test
RATE = 8_000
# The network of digits.py, and but for its cells that of streaming.py.
NETWORK: dict[str, Any] = {
    "subsampling": 4,
    "hidden_size": 192,
    "num_layers": 3,
    "channels": 128,
    "input_dropout": 0.1,
    "hidden_dropout": 0.2,
    "output_dropout": 0.2,
}
OF_STRINGS = {"masking": 0.8, "noise": 0.2}


class Digit(NamedTuple):
    """One recording."""

    audio: str
    text: str
    speaker: str
    number: int

    @property
    def row(self) -> dict[str, str]:
        """What a recogniser is given."""
        return {"audio": self.audio, "text": self.text, "speaker": self.speaker}


def digits(folder: Path) -> list[Digit]:
    """Returns all recordings, sorted by name."""
    found = []
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        found.append(Digit(str(path), WORDS[int(digit)], speaker, int(index)))
    return found


def strings(given: list[Digit], number: int, seed: int, folder: Path) -> list[dict[str, str]]:
    """Joins 3 to 7 recordings of one speaker at a time, and writes them as files.

    Args:
        given: what is joined.
        number: of strings.
        seed: of the choice.
        folder: where the files go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    speakers = sorted({one.speaker for one in given})
    found = []
    for place in range(number):
        speaker = speakers[place % len(speakers)]
        own = [one for one in given if one.speaker == speaker]
        chosen = [own[k] for k in rng.integers(len(own), size=int(rng.integers(3, 8)))]
        path = folder / f"{place:05d}-{speaker}.wav"
        samples = [soundfile.read(one.audio, dtype="int16")[0] for one in chosen]
        soundfile.write(path, np.concatenate(samples), RATE, subtype="PCM_16")
        text = " ".join(one.text for one in chosen)
        found.append({"audio": str(path), "text": text, "speaker": speaker})
    return found
