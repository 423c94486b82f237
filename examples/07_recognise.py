"""Learn to recognise words from recordings, and see when each was said; the words are whistled."""

import tempfile
from pathlib import Path

import numpy as np
import soundfile

import carousel

RATE = 8_000
words = {"up": (500, 900), "down": (900, 500), "high": (1_200, 1_200), "low": (350, 350)}
random = np.random.default_rng(0)


def whistled(text: str) -> np.ndarray:
    """Returns the samples of some words, a quarter of a second each."""
    parts = []
    for word in text.split():
        pitch = np.linspace(*words[word], RATE // 4) * random.uniform(0.95, 1.05)
        parts += [np.sin(2 * np.pi * np.cumsum(pitch) / RATE), np.zeros(RATE // 10)]
    sound = np.concatenate([np.zeros(RATE // 5), *parts])
    return 0.3 * sound + 0.003 * random.standard_normal(len(sound))


with tempfile.TemporaryDirectory() as folder:
    recordings = []
    for number in range(120):
        text = " ".join(random.choice(list(words), size=random.integers(1, 4)))
        path = Path(folder) / f"{number:03d}.wav"
        soundfile.write(path, whistled(text), RATE)
        recordings.append((str(path), text))
    # The defaults are made for people, who are harder to understand.
    options = {"hidden_size": 48, "channels": 48, "num_layers": 1, "masking": 0.0, "noise": 0.0}
    run = carousel.RunOptions(max_steps=300, learning_rate=5e-3, progress="none")
    model = carousel.Recognizer(**options).fit(recordings, run=run)
    print(model.evaluate(recordings))  # the held-out recordings, beside the most frequent sentence
    soundfile.write(Path(folder) / "new.wav", whistled("low up down"), RATE)
    found = model.transcribe(Path(folder) / "new.wav")
    for word in found.words:
        print(f"{word.begin:.2f} s to {word.end:.2f} s  {word.text}  sure to {word.confidence:.2f}")
