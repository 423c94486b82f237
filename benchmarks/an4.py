"""CMU AN4, spelled letters, numbers and commands: errors of a recogniser that this machine trained.

948 recordings as cepstra (13 of 40 mel filters, 100 frames a second), of 74 speakers, of whom some
are taken out to choose weights and the language model's share on; the official test, 130
recordings of 10 other speakers, is transcribed once. ``--model FOLDER`` keeps the model there, and
goes on with its training where it was interrupted; ``--validation`` scores the development
speakers and writes nothing.

    wer, cer                % of 773 words and 2,565 characters; ESPnet: Transformer 7.4 and 3.6,
                            BLSTM with CTC 12.6 by character, both from waveforms
    wer_low, wer_high       95 % interval, by speaker
    wer_without_language    the same model without n-grams, with its lexicon
    minutes                 of training
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from _harness import Outcome, Table, data_path, run
from carousel.tasks.speech_recognition import Recognizer
from carousel.training import RunOptions

# For an hour, a larger network than the usual one, and more of all that keeps it from learning by
# heart: after 20 minutes on one core both have the same errors on the development speakers (6.0 and
# 5.7 % of the words), but the nats of the usual one, 6.3, then grow, and these have 4.7.
OPTIONS: dict[str, Any] = {
    "holdout": 0.0,
    "validation": 0.1,
    "num_layers": 3,
    "input_dropout": 0.2,
    "hidden_dropout": 0.3,
    "output_dropout": 0.3,
    "masking": 1.0,
}
RUN: dict[str, Any] = {"max_minutes": 60.0}


def measure(arguments: argparse.Namespace) -> Outcome:
    """Fits, and scores once."""
    folder = data_path("an4")
    training, test = (recordings(folder, part) for part in ("train", "test"))
    if arguments.quick:
        training, test = training[:100], test[:10]
    place = None if arguments.model is None else Path(arguments.model)
    if place is not None and place.exists():
        model = Recognizer.load(place)
    else:
        how: dict[str, Any] = {"max_steps": 5} if arguments.quick else dict(RUN)
        if place is not None:
            how |= {"checkpoint": f"{place}.run", "resume": True}
        model = Recognizer(**OPTIONS)
        model.fit(
            training, run=RunOptions(**how, seed=arguments.seed, progress="plain", log_every=500)
        )
        if place is not None:
            model.save(place)
    scored = _development(model, training) if arguments.validation else test
    report = model.evaluate(scored)
    print(report, flush=True)
    plain = model.evaluate(scored, language_weight=0.0)
    columns = ["speaker", "words", "errors"]
    rows: list[list[str | int]] = [
        [name, counts.length, counts.errors] for name, counts in report.speakers.items()
    ]
    errors = report.word_errors
    return Outcome(
        results={
            "wer": round(errors.value, 2),
            "cer": round(report.character_errors.value, 2),
            "wer_low": round(errors.low, 2),
            "wer_high": round(errors.high, 2),
            "wer_without_language": round(plain.word_errors.value, 2),
            "minutes": round(model.history.records[-1].elapsed / 60, 1),
        },
        columns=columns,
        rows=rows,
        tables=[Table(title="Errors by speaker", columns=columns, rows=rows)],
        partial=bool(arguments.quick or arguments.validation),
    )


def recordings(folder: Path, part: str) -> list[dict[str, str]]:
    """Returns the recordings of an official part, with speakers and transcripts."""
    files = (folder / "etc" / f"an4_{part}.fileids").read_text().split()
    lines = (folder / "etc" / f"an4_{part}.transcription").read_text().splitlines()
    found = []
    for file, line in zip(files, lines, strict=True):
        text, name = line.rsplit("(", 1)
        assert file.endswith(name.rstrip(") ")), (file, name)
        words = [word for word in text.split() if not word.startswith("<")]
        audio = str(folder / "feat" / f"{file}.mfc")
        found.append({"audio": audio, "text": " ".join(words), "speaker": file.split("/")[-2]})
    return found


def _development(model: Recognizer, training: list[dict[str, str]]) -> list[dict[str, str]]:
    """Returns the recordings that chose the weights."""
    from carousel.tasks.speech_recognition.data import open_recordings, split, usable

    options = model.options
    _, held, _ = split(usable(open_recordings(training, options), options), options, True)
    assert held is not None
    speakers = set(held.speakers)
    return [one for one in training if one["speaker"] in speakers]


OWN: dict[str, dict[str, Any]] = {
    "--seed": {"type": int, "default": 0, "help": "of the run"},
    "--model": {"metavar": "FOLDER", "help": "where the model is kept"},
    "--validation": {"action": "store_true", "help": "score development speakers; writes nothing"},
}

if __name__ == "__main__":
    run(measure, options=OWN, libraries=("kaldi-native-fbank", "jiwer"))
