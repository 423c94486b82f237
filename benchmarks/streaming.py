"""Words while somebody speaks: how fast, how late, and whether they are the words of the whole.

A recogniser that reads forward only is trained on strings of 3 to 7 joined digits (see
``digits.py``), and transcribes 300 others twice: each whole, and in chunks of 0.1 s as they would
come from a microphone, with partial words asked for after each. One core. ``--model FOLDER`` keeps
the model there.

    real_time_factor        seconds of computing per second of sound, median of the recordings
    latency_seconds         from a sound to the step that hears it, at the most, computing aside
    wer, wer_whole          % of the words, in chunks and whole
    wer_increase            the difference
    same_words              % of the recordings that say the same both ways
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import soundfile
import torch

from _harness import Outcome, Spread, Table, data_path, one_in, run
from _spoken_digits import NETWORK, OF_STRINGS, RATE, TEST_BELOW, digits, strings
from carousel.tasks.speech_recognition import Recognizer
from carousel.tasks.speech_recognition.scores import Counts, word_counts
from carousel.training import RunOptions

# As in digits.py, with more cells for the one direction.
OPTIONS: dict[str, Any] = {
    **NETWORK,
    **OF_STRINGS,
    "hidden_size": 256,
    "streaming": True,
    "holdout": 0.0,
}
RUN: dict[str, Any] = {"max_minutes": 15.0}
STRINGS, SCORED = 3_000, 300
CHUNK = 0.1  # seconds


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits, then transcribes each recording both ways."""
    found = digits(data_path("digits"))
    place = None if arguments.model is None else Path(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        many, few = (30, 3) if arguments.quick else (STRINGS, SCORED)
        learned = strings(
            [one for one in found if one.number >= TEST_BELOW], many, 1, Path(folder) / "training"
        )
        scored = strings(
            [one for one in found if one.number < TEST_BELOW], few, 2, Path(folder) / "test"
        )
        if place is not None and place.exists():
            model = Recognizer.load(place)
        else:
            how: dict[str, Any] = {"max_steps": 5} if arguments.quick else RUN
            model = Recognizer(**OPTIONS)
            learned, valid = one_in(10, learned)
            model.fit(learned, valid=valid, run=RunOptions(**how, progress="plain", log_every=500))
            if place is not None:
                model.save(place)
        torch.set_num_threads(1)
        factors, same = [], 0
        whole, cut = Counts(), Counts()
        for row in scored:
            text = str(model.transcribe(row["audio"]))
            samples, _ = soundfile.read(row["audio"], dtype="int16")
            begin = time.perf_counter()
            stream = model.stream(RATE)
            size = round(CHUNK * RATE)
            for start in range(0, len(samples), size):
                stream.feed(samples[start : start + size])
            streamed = str(stream.finish())
            factors.append((time.perf_counter() - begin) / (len(samples) / RATE))
            same += streamed == text
            whole += word_counts(row["text"], text)
            cut += word_counts(row["text"], streamed)
    spread = Spread.of(factors)
    columns = ["recordings", "real-time factor", "lower quartile", "upper quartile"]
    rows: list[list[float | int]] = [[len(scored), spread.median, spread.low, spread.high]]
    return Outcome(
        results={
            "real_time_factor": round(spread.median, 4),
            "latency_seconds": round(model.latency_seconds, 3),
            "wer": round(100 * cut.rate, 2),
            "wer_whole": round(100 * whole.rate, 2),
            "wer_increase": round(100 * (cut.rate - whole.rate), 2),
            "same_words": round(100 * same / len(scored), 1),
        },
        columns=columns,
        rows=rows,
        tables=[Table(title="Streaming on one core", columns=columns, rows=rows)],
        partial=bool(arguments.quick),
    )


OWN: dict[str, dict[str, Any]] = {
    "--model": {"metavar": "FOLDER", "help": "where the model is kept"}
}

if __name__ == "__main__":
    run(measure, options=OWN, libraries=("soundfile", "soxr", "kaldi-native-fbank", "jiwer"))
