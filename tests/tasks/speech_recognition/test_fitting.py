"""A fit from its recordings to its parts: what it hears, what it says, what it leaves alone."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tests.crashes import CrashError, Crashing
from tests.tasks.speech_recognition.small_recordings import (
    QUICK,
    SMALL,
    sentences,
    sound_of,
    spoken,
)

from carousel.data.recordings import Recordings
from carousel.errors import CheckpointError, DataError, OptionError
from carousel.tasks.speech_recognition import Recognizer, fitting
from carousel.tasks.speech_recognition.data import marks_of, split
from carousel.tasks.speech_recognition.fitted import Fitted, Weights
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.speech_recognition.training import RecognitionTask
from carousel.tasks.speech_recognition.utterances import Utterances
from carousel.training import RunOptions
from carousel.training.progress import NoProgress

Rows = list[dict[str, Any]]
ALL = {"validation": 0.0, "holdout": 0.0}  # all recordings train
LITTLE = {**SMALL, "ngram": 0}  # n-grams take long to weigh


class Notes(NoProgress):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Thirty recordings of nobody known; tests must leave them as they are."""
    return spoken(tmp_path_factory.mktemp("spoken"), sentences(30))


@pytest.fixture(scope="module")
def plain(rows: Rows) -> Recognizer:
    """One recogniser of them, for all tests, which must leave it as it is."""
    torch.set_num_threads(1)  # as within tests: sums over more threads are rounded otherwise
    return fit(rows)


def fit(data: Any, run: RunOptions = QUICK, *, valid: Any = None, **options: Any) -> Recognizer:
    return Recognizer(**{**LITTLE, **options}).fit(data, valid=valid, run=run)


def introduced(data: Any, *, valid: Any = None, **options: Any) -> tuple[str, Fitted]:
    """Fits, and returns what was said before the first step, and what came of it."""
    notes = Notes()
    model = Recognizer(**{**LITTLE, **options})
    model.fit(data, valid=valid, run=QUICK, progress=notes)
    return notes.texts[0], model._ready("look")


def parts(rows: Rows) -> tuple[Recordings, Recordings, Recordings]:
    training, validation, holdout = split(Recordings.read(rows), RecognitionOptions(), True)
    assert validation is not None
    assert holdout is not None
    return training, validation, holdout


def same(one: Recognizer | Fitted, other: Recognizer | Fitted) -> bool:
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def changed(rows: Rows, part: Recordings, **values: Any) -> Rows:
    """Returns all recordings, those of a part with other values."""
    return [{**row, **values} if row["name"] in part.names else row for row in rows]


def broken(path: Path) -> str:
    path.write_text("no sound\n" * 20)
    return str(path)


def frames_of(recordings: Recordings) -> int:
    return sum((soundfile.info(path).frames + 40) // 80 for path in recordings.audio)


def test_the_data_is_told_before_the_first_step(rows: Rows) -> None:
    said, found = introduced(rows)
    training, validation, holdout = parts(rows)
    assert (len(training), len(validation), len(holdout)) == (24, 3, 3)
    words = {word for text in training.texts for word in text.split()}
    parameters = sum(p.numel() for p in found.network.parameters())
    assert said.splitlines() == [
        "30 recordings of a list of 30 recordings",
        f"24 for training, {frames_of(training) * 0.01 / 60:.1f} minutes; "
        "3 for validation, 3 held out",
        f"5 characters, {len(words)} different words; {parameters:,} parameters",
    ]


def test_speakers_are_counted_and_none_is_in_two_parts(tmp_path: Path) -> None:
    rows = spoken(tmp_path, sentences(20), speakers=["s", "t", "u", "v", "w"])
    said, found = introduced(rows)
    assert "12 for training, " in said
    assert " minutes by 3 speakers; 4 for validation, 4 held out" in said
    assert "warning" not in said
    assert found.about["training_speakers"] == 3
    assert found.about["validation"].startswith("4 recordings by 1 other speaker")
    assert len(found.seen.marks) == 4
    assert found.seen.marks < {f"speaker {speaker}" for speaker in "stuvw"}


def test_what_was_left_out_is_counted(rows: Rows, tmp_path: Path) -> None:
    [short] = spoken(tmp_path, ["ab"])
    blemished = [
        {"audio": rows[20]["audio"], "text": " "},
        *rows[:14],
        {"audio": rows[3]["audio"], "text": "ad"},
        {"audio": str(tmp_path / "nowhere.wav"), "text": "ab"},
        {"audio": broken(tmp_path / "broken.wav"), "text": "ab"},
        {**short, "text": "ab " * 40, "name": "short"},
    ]
    said, found = introduced(blemished, skip_broken=True, **ALL)
    assert said.splitlines()[0] == (
        "19 recordings of a list of 19 recordings; left out: 1 empty transcript, 1 duplicate, "
        "1 missing audio, 1 broken audio, 1 transcript too long for its audio"
    )
    assert "14 for training, " in said
    assert [*found.about["removed"].values()] == [1] * 5
    assert (found.about["recordings"], found.about["training_recordings"]) == (19, 14)
    assert same(found, fit(rows[:14], **ALL))  # as if they had not been there


def test_of_the_validation_part_too_only_what_was_heard_is_told(rows: Rows, tmp_path: Path) -> None:
    _, validation, _ = parts(rows)
    path = tmp_path / Path(validation.audio[0]).name  # by which it is in the same part
    part = validation.take([0])
    said, found = introduced(changed(rows, part, audio=broken(path)), skip_broken=True)
    assert "; 2 for validation, " in said
    assert found.about["validation"].startswith("2 recordings, which chose")


def test_clipped_recordings_are_warned_of(rows: Rows, tmp_path: Path) -> None:
    samples, rate = soundfile.read(rows[4]["audio"])
    soundfile.write(tmp_path / "loud.wav", np.clip(9 * samples, -1, 1), rate)
    loud = {**rows[4], "audio": str(tmp_path / "loud.wav")}
    said, _ = introduced([*rows[:4], loud, *rows[5:14]], **ALL)
    assert said.splitlines()[-1].startswith("warning: 1 file is clipped, ")


def test_what_cannot_be_read_is_refused_by_name(rows: Rows, tmp_path: Path) -> None:
    gone, path = tmp_path / "nowhere.wav", tmp_path / "broken.wav"
    with pytest.raises(DataError, match=r"nowhere\.wav: there is no such file; line 13 of a list"):
        fit([*rows[:12], {"audio": str(gone), "text": "ab"}])
    bad = {"audio": broken(path), "text": "ab"}
    with pytest.raises(DataError, match=r"broken\.wav: libsndfile cannot read it"):
        fit([*rows[:12], bad], **ALL)
    # What is wrong beyond its header is found when it is heard.
    soundfile.write(path, np.full(4_000, np.nan, np.float32), 8_000, subtype="FLOAT")
    words = r"broken\.wav: at 0\.000 s: expected samples .* \(line 13 of a list .*--skip-broken"
    with pytest.raises(DataError, match=words):
        fit([*rows[:12], bad], **ALL)


def test_further_recordings_choose_the_weights(rows: Rows) -> None:
    said, found = introduced(rows[:20], valid=rows[20:])
    assert "18 for training, " in said
    assert "; 10 for validation, 2 held out" in said
    assert "warning" not in said
    words = "10 recordings of a list of 10 recordings, which chose the weights"
    assert found.about["validation"] == words
    assert found.about["validation_score"] > 0
    assert set(marks_of(Recordings.read(rows[20:]))) < found.seen.marks


def test_what_validates_and_trains_is_warned_of(rows: Rows) -> None:
    names = split(Recordings.read(rows[:20]), RecognitionOptions(), False)[0].names
    heard = [row for row in rows[:20] if row["name"] in names]
    said, _ = introduced(rows[:20], valid=[*rows[20:], *heard[:3]])
    assert "warning: 0 speakers and 3 files are in training and in validation, which fl" in said
    one = [{**row, "speaker": "st"[k % 2]} for k, row in enumerate(rows[:15])]
    other = [{**row, "speaker": "tuv"[k % 3]} for k, row in enumerate(rows[15:])]
    said, _ = introduced(one, valid=other, holdout=0.0)
    assert "warning: 1 speaker" in said
    assert " and 0 files are in training and in validation" in said


def test_further_recordings_are_cleaned_too(rows: Rows) -> None:
    again = {"audio": rows[25]["audio"], "text": "ab"}
    said, found = introduced(rows[:20], valid=[*rows[20:], again])
    assert "; 10 for validation, " in said
    assert found.about["removed"]["duplicate"] == 0  # which are those of the others
    with pytest.raises(DataError, match=r"all were removed \(1 empty transcript\)"):
        introduced(rows[:20], valid=[{**rows[20], "text": ""}])


def test_without_validation_the_last_weights_stay(rows: Rows) -> None:
    said, found = introduced(rows, validation=0.0)
    assert "27 for training, " in said
    assert "; 0 for validation, 3 held out" in said
    assert found.about["validation"] == "none; the last weights were kept"
    assert (found.about["validation_score"], found.about["best_step"]) == (None, None)


@pytest.mark.parametrize(
    ("number", "options", "words"),
    [
        (9, ALL, "expected 10 recordings or more to train on, got 9 of 9; give more, or a smaller"),
        (11, {}, "expected 10 recordings or more to train on, got 9 of 11"),
        (1, {}, "two speakers or more to split, or two files of unknown speakers"),
        (0, {}, "expected recordings, got none"),
    ],
)
def test_too_few_recordings_are_refused(
    number: int, options: dict[str, float], words: str, rows: Rows
) -> None:
    with pytest.raises(DataError, match=words):
        fit(rows[:number], **options)


def test_recordings_of_no_use_are_refused(rows: Rows) -> None:
    with pytest.raises(DataError, match=r"all were removed \(20 empty transcript\)"):
        fit([{**row, "text": ""} for row in rows[:20]])
    with pytest.raises(DataError, match="long enough for their transcripts, got none"):
        fit([{**row, "text": "ab " * 200} for row in rows[:12]], **ALL)


def test_ten_recordings_are_enough(rows: Rows) -> None:
    for number, options in ((10, ALL), (12, {})):
        model = fit(rows[:number], **options)
        assert model._ready("look").about["training_recordings"] == 10


def test_the_same_seed_gives_the_same_weights(rows: Rows, plain: Recognizer) -> None:
    torch.manual_seed(123)
    assert same(fit(rows), plain)
    other = fit(rows, dataclasses.replace(QUICK, seed=1))
    assert not same(other, plain)
    # It does not move the holdout.
    assert other._ready("look").seen == plain._ready("look").seen


def test_fitting_leaves_the_callers_random_numbers_alone(rows: Rows) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    fit(rows[:12], input_dropout=0.2, weight_dropout=0.1, noise=1.0, **ALL)
    assert torch.equal(torch.rand(3), wanted)


def test_a_fitted_network_is_ready_to_be_used(plain: Recognizer) -> None:
    network = plain.network
    assert not any(module.training for module in network.modules())
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    assert all(p.grad is None for p in network.parameters())


def test_the_holdout_is_never_heard(rows: Rows, plain: Recognizer, tmp_path: Path) -> None:
    """Neither its sound nor its text changes anything; nor does the folder."""
    _, _, holdout = parts(rows)
    moved = []
    for row in changed(rows, holdout, text="zz ab"):
        path = tmp_path / Path(row["audio"]).name
        shutil.copy(row["audio"], path)
        if row["name"] in holdout.names:
            soundfile.write(path, sound_of("cab cab dab", seed=99), 8_000)
        moved.append({**row, "audio": str(path)})
    one, other = (each._ready("look") for each in (fit(moved), plain))
    assert same(one, other)
    assert one.symbols.characters == other.symbols.characters
    assert one.words == other.words
    assert one.frontend.moments.to_dict() == other.frontend.moments.to_dict()


def test_validation_recordings_do_not_train(rows: Rows, plain: Recognizer) -> None:
    training, validation, _ = parts(rows)
    spoilt = fit(changed(rows, validation, text="ab"))
    assert same(spoilt, plain)
    assert spoilt.history.scores("nats") != plain.history.scores("nats")
    assert not same(fit(changed(rows, training, text="ab")), plain)


def test_what_is_kept_is_of_the_training_recordings(rows: Rows, plain: Recognizer) -> None:
    found, (training, validation, _) = plain._ready("look"), parts(rows)
    assert found.symbols.characters == "".join(sorted({*" ".join(training.texts)}))
    assert found.words == sorted({*" ".join(training.texts).split()})
    counts = Counter(training.texts)
    assert counts[found.commonest] == max(counts.values())
    assert found.seen.marks == {*marks_of(training), *marks_of(validation)}
    assert len(found.seen.marks) == len(training) + len(validation) == 27
    assert found.about["source"] == "a list of 30 recordings"
    assert found.about["steps"] == found.about["run"]["max_steps"] == 3
    assert found.about["stop_reason"] == "max_steps"
    assert (found.plan.rate, found.plan.bidirectional, found.ngrams) == (8_000, True, None)
    assert found.frontend.moments.count == frames_of(training)


def test_weights_are_chosen_where_there_are_n_grams_and_recordings(
    rows: Rows, plain: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def chosen(fitted: Fitted, valid: Utterances) -> Weights:
        asked.append((fitted.weights, valid.recordings.names, fitted.network.training))
        return Weights(scorer=0.6, word_bonus=2.0)

    monkeypatch.setattr(fitting, "best_weights", chosen)
    found = fit(rows, ngram=2)._ready("look")
    assert found.weights == Weights(scorer=0.6, word_bonus=2.0)
    assert found.ngrams is not None
    assert found.ngrams.order == 2
    assert found.ngrams.vocabulary == len(found.words) + 1
    assert asked == [(Weights(), parts(rows)[1].names, False)]
    assert fit(rows, ngram=2, validation=0.0)._ready("look").weights == Weights()
    assert plain._ready("look").weights == Weights()
    assert len(asked) == 1


def test_the_lowest_rate_is_taken_or_the_one_that_is_given(tmp_path: Path) -> None:
    texts = sentences(5)
    rows = [*spoken(tmp_path, texts, rate=16_000), *spoken(tmp_path, texts, rate=11_025)]
    for options, rate in (({}, 11_025), ({"rate": 22_050}, 22_050)):
        assert fit(rows, **options, **ALL)._ready("look").plan.rate == rate
    high = spoken(tmp_path / "high", sentences(10), rate=32_000)
    assert fit(high, **ALL)._ready("look").plan.rate == 16_000


def test_ready_features_are_learned_from(rows: Rows, tmp_path: Path) -> None:
    random, ready = np.random.default_rng(3), []
    for k in range(20):
        path = tmp_path / f"{k}.npy"
        np.save(path, random.standard_normal((75, 6)))
        ready.append({"audio": str(path), "text": "ab ad"})
    own = {"masking": 1.0, "stretching": 0.1, "mel_filters": None}
    said, found = introduced(ready, **own)
    assert "16 for training, 0.2 minutes; 2 for validation, 2 held out" in said
    assert found.frontend.features is None
    assert (found.frontend.size, found.frontend.width) == (6, 18)  # with slopes and theirs
    assert found.step_seconds == pytest.approx(0.02)
    for sound in ({"noise": 0.5}, {"mel_filters": 12}, {"rate": 8_000}, {"features": "mfcc"}):
        with pytest.raises(OptionError, match=f"option '{next(iter(sound))}' is for sound, and"):
            fit(ready, **{**own, **sound})
    with pytest.raises(DataError, match="expected sound or ready features throughout, got both"):
        fit([*rows[:10], *ready])
    np.save(tmp_path / "0.npy", random.standard_normal((75, 7)))
    with pytest.raises(DataError, match=r"\.npy: expected [67] features a frame, got [67] in 75"):
        fit(ready, **own, **ALL)


def test_options_that_do_not_go_together_are_refused(rows: Rows) -> None:
    with pytest.raises(OptionError, match="'patience' needs validation data"):
        fit(rows[:10], dataclasses.replace(QUICK, patience=3), **ALL)
    with pytest.raises(OptionError, match="expected filters that each hold a frequency, got 128"):
        fit(rows[:10], mel_filters=128, **ALL)


class CrashingTask(Crashing, RecognitionTask):
    pass


@pytest.mark.parametrize("streaming", [False, True])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    streaming: bool, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "RecognitionTask", CrashingTask)
    rates = {f"{place}_dropout": 0.2 for place in ("input", "hidden", "output", "weight")}
    changing = {**rates, "noise": 0.5, "masking": 1.0, "stretching": 0.1, "streaming": streaming}
    changing["warping"] = 0.1
    # 13 recordings train, in about 4 batches.
    run = RunOptions(max_steps=8, batch_size=4, validate_every=3, average=0.9, progress="none")
    whole = fit(rows[:14], run, holdout=0.0, **changing)
    folder = str(tmp_path / "run")
    kept = dataclasses.replace(run, checkpoint=folder, checkpoint_every=2, resume=True)
    monkeypatch.setattr(CrashingTask, "crash_at", 6)
    with pytest.raises(CrashError):
        fit(rows[:14], kept, holdout=0.0, **changing)
    monkeypatch.setattr(CrashingTask, "crash_at", 0)
    again = fit(rows[:14], kept, holdout=0.0, **changing)
    assert same(again, whole)
    assert [line.step for line in again.history] == [3, 6, 8]
    assert again.history.scores("nats") == whole.history.scores("nats")


def test_a_run_goes_on_only_with_its_own_recordings(rows: Rows, tmp_path: Path) -> None:
    kept = {"batch_size": 4, "progress": "none", "checkpoint": str(tmp_path / "run")}
    model = fit(rows[:14], RunOptions(max_steps=2, **kept))
    again = RunOptions(max_steps=2, resume=True, **kept)
    with pytest.raises(CheckpointError, match="another run: data was"):
        fit(rows[13::-1], again)
    with pytest.raises(CheckpointError, match="validation data was"):
        fit(rows[:14], again, valid=rows[20:])
    with pytest.raises(CheckpointError, match="hidden_size was 16, is 8"):
        fit(rows[:14], again, hidden_size=8)
    assert same(fit(rows[:14], again), model)
