"""Which recordings an evaluation scores, what it says of them, and that its numbers are theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
import torch
from tests.tasks.speech_recognition.small_recordings import spoken
from tests.tasks.speech_recognition.test_fitted import (
    SPEAKERS,
    TEXTS,
    Rows,
    fitted,
    manifest,
    ready_recognizer,
    shared_features,
    shared_rows,
    small_recognizer,
)
from torch import Tensor

from carousel.data.recordings import Recordings
from carousel.errors import DataError, OptionError
from carousel.tasks import resampling
from carousel.tasks.speech_recognition import ListeningOptions, Recognizer
from carousel.tasks.speech_recognition.data import split
from carousel.tasks.speech_recognition.evaluation import recordings_to_score
from carousel.tasks.speech_recognition.network import AcousticNetwork
from carousel.tasks.speech_recognition.options import RecognitionOptions

# What the prophet says of a recording of so many characters: right of "a", "ab" and "b a".
HEARD = {1: "a", 2: "ab", 3: "b a"}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling takes most of the time, and is proved in test_scores."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def frames_of(characters: int) -> int:
    """Returns the frames of a small recording: 0.2 s, and 0.11 s for each character."""
    return 20 + 11 * characters


class Prophet(AcousticNetwork):
    """Is sure of what it says, and knows it from a recording's length alone."""

    def __init__(self, numbers: dict[int, list[int]], symbols: int, subsampling: int) -> None:
        super().__init__(
            12,
            symbols,
            channels=1,
            hidden_size=2,
            num_layers=1,
            bidirectional=True,
            subsampling=subsampling,
        )
        self.numbers = numbers

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        steps = self.steps_of(lengths)
        rare = 1e-4  # below what the search follows at all
        probability = torch.full((int(steps.max()), len(lengths), self.symbols), rare)
        for place, length in enumerate(lengths.tolist()):
            path = [0] * len(probability)
            for k, number in enumerate(self.numbers[length]):
                path[2 * k + 1] = number
            for step, number in enumerate(path):
                probability[step, place, number] = 1 - rare * (self.symbols - 1)
        return probability.log(), steps


def prophet() -> Recognizer:
    """Returns the small recogniser with another network, which says what ``HEARD`` has."""
    parts = small_recognizer()._ready("look")
    numbers = {frames_of(n): parts.symbols.encode(text).tolist() for n, text in HEARD.items()}
    network = Prophet(numbers, len(parts.symbols), parts.plan.subsampling)
    model = Recognizer(parts.options)
    model._fitted = replace(parts, network=network.eval())
    return model


def chosen(model: Recognizer, data: Any) -> tuple[Recordings, str, tuple[str, ...]]:
    return recordings_to_score(model._ready("look"), data, model.options)


def held_out(rows: Rows, **options: Any) -> list[str]:
    """Returns the names of what a fit holds out."""
    found = split(Recordings.read(rows), RecognitionOptions(**options), True)[2]
    assert found is not None
    return found.names


def other_rows(folder: Path, texts: Sequence[str] = TEXTS) -> Rows:
    """Returns recordings of speakers that no model here has heard."""
    return spoken(folder / "other", texts, speakers=["gus", "hal", "ida"])


def test_the_numbers_are_jiwers_of_what_was_heard(tmp_path: Path) -> None:
    rows = other_rows(tmp_path)
    model = prophet()
    report = model.evaluate(rows)
    hypotheses = [HEARD[len(text)] for text in TEXTS]
    commonest = model._ready("look").commonest
    for name, texts in (
        ("this model", hypotheses),
        ("most frequent sentence", [commonest] * len(TEXTS)),
    ):
        # The same fractions of whole numbers, in double precision.
        wer, cer = 100 * jiwer.wer(TEXTS, texts), 100 * jiwer.cer(TEXTS, texts)
        assert report.wer[name].value == pytest.approx(wer, rel=1e-12)
        assert report.cer[name].value == pytest.approx(cer, rel=1e-12)
    # "b" is heard as "a", and "ba" as "ab": each time a word became another.
    wrong = Counter(text for text in TEXTS if HEARD[len(text)] != text)
    assert set(wrong) == {"b", "ba"}
    assert sorted(report.confusions.substitutions) == [
        ("b", "a", wrong["b"]), ("ba", "ab", wrong["ba"]),
    ]  # fmt: skip
    assert report.exact == len(TEXTS) - wrong.total()
    assert {each.name: (each.reference, each.hypothesis) for each in report.examples} == {
        row["name"]: (row["text"], HEARD[len(row["text"])])
        for row in [row for row in rows if row["text"] in wrong][:5]
    }
    assert list(report.speakers) == ["gus", "hal", "ida"]
    assert (report.recordings, report.notes) == (24, ())
    assert report.scope == "24 recordings of a list of 24 recordings"
    # Frames are whole numbers of 0.01 s.
    seconds = sum(frames_of(len(text)) for text in TEXTS) / 100
    assert report.audio_seconds == pytest.approx(seconds, rel=1e-12)
    assert report.seconds > 0


def test_the_baseline_is_the_commonest_sentence_of_training() -> None:
    training = split(Recordings.read(shared_rows()), RecognitionOptions(), True)[0]
    counts = Counter(training.texts)
    commonest = small_recognizer()._ready("look").commonest
    assert counts[commonest] == max(counts.values())


def test_progress_and_search_are_passed_on(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = other_rows(tmp_path, TEXTS[:5])
    prophet().evaluate(rows, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    values = {"beam": 2, "language_weight": 0.5, "word_bonus": 1.0}
    model = small_recognizer()
    one = model.evaluate(rows, **values).to_dict()
    other = model.evaluate(rows, listening=ListeningOptions(**values)).to_dict()
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    with pytest.raises(OptionError, match="'beam' expects a value"):
        model.evaluate(rows, beam=0)
    with pytest.raises(OptionError, match="not both"):
        model.evaluate(rows, listening=ListeningOptions(), beam=2)


def test_of_the_very_recordings_the_holdout_is_scored() -> None:
    found, scope, notes = chosen(small_recognizer(), shared_rows())
    assert found.names == held_out(shared_rows())
    assert len(set(found.speakers)) == 1
    assert scope == "4 recordings of a list of 24 recordings that fitting has not heard"
    assert notes == ()


def test_the_very_recordings_are_known_in_whatever_list(tmp_path: Path) -> None:
    path = manifest(tmp_path / "a.tsv", shared_rows())
    found, scope, _ = chosen(small_recognizer(), path)
    assert found.names == held_out(shared_rows())
    assert scope == f"4 recordings of {path} that fitting has not heard"


def test_the_holdout_is_cleaned_as_the_others_were() -> None:
    held = held_out(shared_rows())
    rows = [*shared_rows(), {**shared_rows()[0], "text": " ", "name": "silent"}]
    for row in shared_rows():
        if row["name"] == held[0]:
            rows.append({**row, "name": "again"})
    found, _, notes = chosen(fitted(rows, ngram=0), rows)
    assert found.names == held
    assert notes == (
        "1 recordings left out: empty transcript.",
        "1 recordings left out: duplicate.",
    )


def test_what_choosing_the_weights_has_heard_is_not_held_out() -> None:
    held = set(held_out(shared_rows()))
    valid = [row for row in shared_rows() if row["name"] in held]
    model = fitted(valid=valid[:1], ngram=0)  # of whom the others are by the same speaker
    with pytest.raises(DataError, match="24 recordings: no recording to score: the model has hea"):
        chosen(model, shared_rows())


def test_other_recordings_are_scored_whole_and_known_speakers_told(tmp_path: Path) -> None:
    rows, held = shared_rows(), set(held_out(shared_rows()))
    new = other_rows(tmp_path, TEXTS[:3])
    for place, row in enumerate(new):  # a folder's names are those of another's
        row["name"] = f"new {place}"
    for data in (rows[::-1], rows[1:], [*rows, *new], rows[:6], new):
        found, scope, notes = chosen(small_recognizer(), data)
        assert found.names == [row["name"] for row in data]
        assert scope == f"{len(data)} recordings of a list of {len(data)} recordings"
        known = sum(row["speaker"] in SPEAKERS and row["name"] not in held for row in data)
        part = f"{known} of {len(data)} recordings ({known / len(data):.1%}) are of speakers that "
        assert [note.startswith(part) for note in notes] == [True] * (known > 0)
        assert (known > 0) == (data is not new)


def test_recordings_of_nobody_known_are_known_themselves(tmp_path: Path) -> None:
    rows = spoken(tmp_path / "a", TEXTS)
    model = fitted(rows, ngram=0)
    held = held_out(rows)
    assert len(held) == 2
    assert chosen(model, rows)[0].names == held
    notes = chosen(model, rows[::-1])[2]
    assert notes[0].startswith("22 of 24 recordings (91.7%)")


def test_where_all_was_heard_there_is_nothing_to_score() -> None:
    model = fitted(holdout=0.0, validation=0.0)
    with pytest.raises(DataError, match="24 recordings: no recording to score: the model has hea"):
        chosen(model, shared_rows())
    found, _, notes = chosen(model, shared_rows()[:5])  # which are not the very recordings
    assert len(found) == 5
    assert notes[0].startswith("5 of 5 recordings (100.0%)")


def test_characters_that_training_lacked_are_told(tmp_path: Path) -> None:
    rows = other_rows(tmp_path, ["a", "ab", "b a"])
    rows[0]["text"], rows[2]["text"] = "axé", "b x"
    found, _, notes = chosen(small_recognizer(), rows)
    assert found.texts == ["axé", "ab", "b x"]
    assert notes == (
        "2 transcripts have characters that training never had (xé), each of which is an error.",
    )
    report = prophet().evaluate(rows)
    assert report.notes == notes
    assert report.exact == 1


def test_characters_that_training_lacked_are_told_of_the_holdout_too() -> None:
    held = set(held_out(shared_rows()))
    rows = [{**row, "text": "a é"} if row["name"] in held else row for row in shared_rows()]
    found, _, notes = chosen(fitted(rows, ngram=0), rows)
    assert set(found.texts) == {"a é"}
    assert notes[0].startswith("4 transcripts have characters that training never had (é)")


def test_small_letters_are_scored_in_small_letters(tmp_path: Path) -> None:
    loud = [{**row, "text": row["text"].upper()} for row in shared_rows()]
    model = fitted(loud, lowercase=True, ngram=0)
    assert model._ready("look").symbols.characters == " ab"
    found, _, notes = chosen(model, loud)
    assert set(found.texts) <= set(TEXTS)
    assert notes == ()


def test_sound_and_ready_features_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match="24 recordings: expected sound, as the model was fitted to, got ready features; give",
    ):
        chosen(small_recognizer(), shared_features())
    with pytest.raises(
        DataError, match="expected ready features, as the model was fitted to, got sound; give"
    ):
        chosen(ready_recognizer(), shared_rows())
    report = ready_recognizer().evaluate(shared_features(), beam=2)
    assert report.recordings == 2  # a tenth of the 24 files, of nobody known
    assert report.audio_seconds == pytest.approx(2 * 30 * 0.01, rel=1e-12)


def test_what_is_missing_or_broken_is_named_by_its_place(tmp_path: Path) -> None:
    rows = other_rows(tmp_path, TEXTS[:3])
    gone = {**rows[0], "audio": str(tmp_path / "gone.wav"), "name": "gone"}
    with pytest.raises(
        DataError,
        match=r"gone\.wav: there is no such file; line 3 of a list of 4 recordings names it: corr",
    ):
        small_recognizer().evaluate([*rows[:2], gone, rows[2]])
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing of it")
    broken = {**rows[0], "audio": str(tmp_path / "broken.wav"), "name": "broken"}
    with pytest.raises(
        DataError, match=r"broken\.wav: .*\(line 4 of a list of 4 recordings; give --skip-broken"
    ):
        small_recognizer().evaluate([*rows, broken])


def test_what_is_missing_or_broken_can_be_left_out_and_is_counted(tmp_path: Path) -> None:
    rows = other_rows(tmp_path, TEXTS[:3])
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing of it")
    bad = [
        {**rows[0], "audio": str(tmp_path / "gone.wav"), "name": "gone"},
        {**rows[0], "audio": str(tmp_path / "broken.wav"), "name": "broken"},
        {**rows[0], "text": "", "name": "silent"},
    ]
    report = prophet().evaluate([bad[0], rows[0], bad[1], *rows[1:], bad[2]], skip_broken=True)
    assert report.recordings == 3
    assert report.exact == 3  # each has its own transcript
    assert "1 recordings left out: empty transcript." in report.notes
    assert "1 recordings left out: missing audio." in report.notes
    assert "1 recordings left out: broken audio." in report.notes


def test_whether_broken_files_stop_all_is_not_what_fitting_was_told(tmp_path: Path) -> None:
    parts = small_recognizer()._ready("look")
    model = Recognizer(parts.options)
    model._fitted = replace(parts, options=replace(parts.options, skip_broken=True))
    gone = {"audio": str(tmp_path / "gone.wav"), "text": "a"}
    with pytest.raises(DataError, match="there is no such file"):
        model.evaluate([gone])


def test_parts_of_a_long_file_are_scored_one_by_one(tmp_path: Path) -> None:
    """Of which each has its own frames, and so its own words."""
    rows = other_rows(tmp_path, ["a", "ab", "b a"])
    sounds = [soundfile.read(row["audio"], dtype="int16")[0] for row in rows]
    soundfile.write(tmp_path / "all.wav", np.concatenate(sounds), 8000, subtype="PCM_16")
    ends = np.cumsum([len(sound) for sound in sounds]) / 8000
    parts = [
        {"audio": str(tmp_path / "all.wav"), "text": row["text"], "start": start, "end": end}
        for row, start, end in zip(rows, [0.0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    ]
    report = prophet().evaluate(parts)
    assert (report.exact, report.recordings) == (3, 3)
    assert report.audio_seconds == pytest.approx(sum(map(frames_of, (1, 2, 3))) / 100, rel=1e-12)
