"""The recogniser as a user meets it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tests.tasks.speech_recognition.small_recordings import (
    NOISE,
    QUICK,
    SMALL,
    sentences,
    spoken,
)

import carousel
from carousel.data.recordings import Recordings
from carousel.errors import DataError, ModelError, OptionError, OutputError
from carousel.tasks import resampling
from carousel.tasks.speech_recognition import (
    ListeningOptions,
    RecognitionOptions,
    Recognizer,
    Transcript,
    fitting,
)
from carousel.tasks.speech_recognition.data import marks_of
from carousel.tasks.speech_recognition.report import BASELINE_NAME
from carousel.training import RunOptions

Rows = list[dict[str, Any]]
LITTLE = {**SMALL, "ngram": 0}  # n-grams take long to weigh
# Beside others a recording is summed in another order: under 100 terms, each rounded by 2^-24, and
# multiplied by under 100 at the end.
CLOSE = 100 * 100 * 2.0**-24


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling takes most of the time, and is proved in test_scores."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """A hundred recordings of nobody known; tests must leave them as they are."""
    return spoken(tmp_path_factory.mktemp("spoken"), sentences(100))


@pytest.fixture(scope="module")
def small(rows: Rows) -> Recognizer:
    """One recogniser for all tests, which must leave it as it is."""
    torch.set_num_threads(1)  # as within tests: sums over more threads are rounded otherwise
    return fit(rows[:30])


@pytest.fixture(scope="module")
def taught(rows: Rows) -> Recognizer:
    """One that streams, and has learned to read the tones; likewise."""
    torch.set_num_threads(1)
    options = {**SMALL, "hidden_size": 48, "channels": 24, "streaming": True, "ngram": 2}
    run = RunOptions(
        max_steps=120,
        batch_size=8,
        learning_rate=2e-2,
        average=0.9,
        validate_every=120,
        progress="none",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_SCORERS", (0.6,))
        patch.setattr(fitting, "_BONUSES", (1.0,))
        return Recognizer(**options, holdout=0.0).fit(rows[:80], run=run)


def fit(data: Any, run: RunOptions = QUICK, *, valid: Any = None, **options: Any) -> Recognizer:
    return Recognizer(**{**LITTLE, **options}).fit(data, valid=valid, run=run)


def same(one: Recognizer, other: Recognizer) -> bool:
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def assert_same(found: Transcript, wanted: Transcript) -> None:
    """But for the rounding of its numbers."""
    assert (found.text, found.seconds) == (wanted.text, wanted.seconds)
    assert found.score == pytest.approx(wanted.score, rel=CLOSE, abs=CLOSE)
    for one, other in zip(found.words, wanted.words, strict=True):
        assert (one.text, one.begin, one.end) == (other.text, other.begin, other.end)
        assert one.confidence == pytest.approx(other.confidence, abs=CLOSE)


def test_it_learns_what_tones_say(taught: Recognizer, rows: Rows) -> None:
    report = taught.evaluate(rows[80:])
    assert report.recordings == 20
    assert report.word_errors.value < 20
    assert report.word_errors.high < report.wer[BASELINE_NAME].low
    assert report.verdict.startswith("This model makes fewer errors")
    assert report.notes == ()


def test_words_have_their_times_in_their_order(taught: Recognizer, rows: Rows) -> None:
    for row in rows[80:84]:
        found = taught.transcribe(row["audio"])
        assert found.text == str(found) == " ".join(word.text for word in found.words)
        assert found.seconds == pytest.approx(soundfile.info(row["audio"]).duration, abs=0.01)
        edges = [time for word in found.words for time in (word.begin, word.end)]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] <= found.seconds
        assert all(word.begin < word.end and 0 < word.confidence <= 1 for word in found.words)
        assert found.confidence == min(word.confidence for word in found.words)


def test_silence_has_no_words(taught: Recognizer, small: Recognizer) -> None:
    """Neither the silence between words that it knows, nor no sound at all."""
    noise = (NOISE * np.random.default_rng(8).standard_normal(8_000)).astype(np.float32)
    found = taught.transcribe(noise, rate=8_000)
    assert (found.text, found.words, found.confidence) == ("", (), 1.0)
    assert found.seconds == pytest.approx(1.0)
    stream = taught.stream(8_000)
    assert str(stream.feed(noise)) == ""
    assert stream.finish().text == ""
    for model in (taught, small):
        none = model.transcribe(np.zeros(0, np.float32), rate=8_000)
        assert none == Transcript("", (), 0.0, 0.0)


def test_a_stream_says_what_a_file_does(taught: Recognizer, rows: Rows) -> None:
    for row in rows[80:84]:
        samples, rate = soundfile.read(row["audio"], dtype="int16")
        stream, finals = taught.stream(rate), []
        for begin in range(0, len(samples), 800):
            finals.append(stream.feed(samples[begin : begin + 800]).final.split())
        found, wanted = stream.finish(), taught.transcribe(row["audio"])
        assert_same(found, wanted)
        assert all(found.text.split()[: len(final)] == final for final in finals)
    assert taught.latency_seconds == pytest.approx(0.1825)


def test_a_file_and_its_samples_say_the_same(taught: Recognizer, rows: Rows) -> None:
    path = rows[81]["audio"]
    samples, rate = soundfile.read(path, dtype="int16")
    found = taught.transcribe(path)
    assert found.words
    assert taught.transcribe(Path(path)) == found
    assert taught.transcribe(samples, rate=rate) == found
    assert taught.transcribe(samples[:, None] / 32768, rate=rate) == found


def test_many_files_say_what_each_says_alone(taught: Recognizer, rows: Rows) -> None:
    told: list[tuple[int, int]] = []
    paths = [row["audio"] for row in rows[80:86]]
    mixed = [*paths[:3], *map(Path, paths[3:])]
    found = taught.transcripts(mixed, progress=lambda *numbers: told.append(numbers))
    for one, path in zip(found, paths, strict=True):
        assert_same(one, taught.transcribe(path))
    assert told == [(6, 6)]
    assert taught.transcripts([]) == []


def test_options_of_the_search_are_given_once(taught: Recognizer, rows: Rows) -> None:
    path, listening = rows[80]["audio"], ListeningOptions(beam=8, best=2, word_bonus=0.5)
    values = {"beam": 8, "best": 2, "word_bonus": 0.5}
    found = taught.transcribe(path, listening=listening)
    assert found == taught.transcribe(path, **values)
    assert [found] == taught.transcripts([path], **values)
    assert found.score != taught.transcribe(path, beam=8).score
    for use in (
        lambda: taught.transcribe(path, listening=listening, beam=3),
        lambda: taught.transcripts([path], listening=listening, beam=3),
        lambda: taught.stream(8_000, listening=listening, beam=3),
        lambda: taught.evaluate(rows[80:82], listening=listening, beam=3),
    ):
        with pytest.raises(OptionError, match="not both"):
            use()
    with pytest.raises(OptionError, match="did you mean 'beam'"):
        taught.transcribe(path, beams=3)


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda m, path: m.transcribe(path, rate=8_000), OptionError, "says its rate itself"),
        (lambda m, path: m.transcribe(np.zeros(9)), DataError, "give rate, say rate=16000"),
        (lambda m, path: m.transcribe([0.1, 0.2]), DataError, "as a NumPy array, got list"),
        (lambda m, path: m.transcribe([path]), DataError, "one by one, or to transcripts"),
        (lambda m, path: m.transcripts(path), DataError, r"expected a list of files, .* \[file\]"),
        (lambda m, path: m.transcripts([path + "x"]), DataError, "wavx: there is no such file"),
        (lambda m, path: m.transcribe(path, best=17), OptionError, "at most the beam, 16, got 17"),
        (lambda m, path: m.stream(8_000), ModelError, r"reads both ways .*streaming=True"),
    ],
)
def test_what_cannot_be_heard_is_refused(
    use: Callable[[Recognizer, str], object],
    error: type[Exception],
    words: str,
    small: Recognizer,
    rows: Rows,
) -> None:
    with pytest.raises(error, match=words):
        use(small, rows[0]["audio"])


@pytest.mark.parametrize("kind", ["taught", "small"])
def test_a_loaded_model_is_the_saved_one(
    kind: str, rows: Rows, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Recognizer = request.getfixturevalue(kind)
    assert model.save(tmp_path / "m") == tmp_path / "m"
    paths, data = [row["audio"] for row in rows[80:84]], rows[80:84]
    said, report = model.transcripts(paths, best=2), model.evaluate(data, beam=8).to_dict()
    del report["seconds"]
    for loaded in (Recognizer.load(tmp_path / "m"), carousel.load(str(tmp_path / "m"))):
        assert isinstance(loaded, Recognizer)
        assert same(loaded, model)
        assert loaded.options == model.options
        assert loaded.card == model.card
        assert not any(module.training for module in loaded.network.modules())
        assert loaded.transcripts(paths, best=2) == said
        found = loaded.evaluate(data, beam=8).to_dict()
        del found["seconds"]
        assert found == report
        assert [r.step for r in loaded.history] == [r.step for r in model.history]
    loaded.save(tmp_path / "again")
    for path in (tmp_path / "m").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    "options",
    [
        {"lexicon": False, "num_layers": 2, "residual": False, "subsampling": 3},
        {"features": "mfcc", "cepstra": 6, "scaling": "recording", "lowercase": True},
    ],
    ids=str,
)
def test_options_survive_saving(options: dict[str, Any], rows: Rows, tmp_path: Path) -> None:
    model = fit(rows[:12], **options)
    loaded = Recognizer.load(model.save(tmp_path / "m"))
    assert loaded.options == model.options == RecognitionOptions(**{**LITTLE, **options})
    assert loaded._ready("look").plan == model._ready("look").plan
    assert loaded.transcribe(rows[0]["audio"]) == model.transcribe(rows[0]["audio"])


def test_loading_leaves_the_callers_random_numbers_alone(small: Recognizer, tmp_path: Path) -> None:
    small.save(tmp_path / "m")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Recognizer.load(tmp_path / "m")
    assert torch.equal(torch.rand(3), wanted)


def test_an_existing_folder_stays(small: Recognizer, taught: Recognizer, tmp_path: Path) -> None:
    folder = small.save(tmp_path / "m")
    with pytest.raises(OutputError, match="exists already"):
        taught.save(folder)
    assert not Recognizer.load(folder).options.streaming
    taught.save(folder, force=True)
    assert Recognizer.load(folder).options.streaming


def test_a_model_of_another_task_is_not_loaded(small: Recognizer, tmp_path: Path) -> None:
    folder = small.save(tmp_path / "m")
    with pytest.raises(ModelError, match="for language-modeling, got one for speech-recognition"):
        carousel.LanguageModel.load(folder)


def test_fit_returns_the_model_which_can_be_fitted_again(rows: Rows) -> None:
    model = Recognizer(**LITTLE)
    assert model.fit(rows[:12], run=QUICK) is model
    assert model.fit(rows[:14], run=QUICK)._ready("look").about["recordings"] == 14
    with pytest.raises(DataError, match="expected recordings, got none"):
        model.fit([], run=QUICK)
    assert model._ready("look").about["recordings"] == 14  # what failed took nothing away


def test_of_what_was_fitted_to_the_holdout_is_scored(
    small: Recognizer, rows: Rows, tmp_path: Path
) -> None:
    """However it is given; for which the names and texts have to be the same."""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:30]))
    marks = small._ready("look").seen.marks
    held = [row for row in rows[:30] if marks_of(Recordings.read([row]))[0] not in marks]
    told: list[tuple[int, int]] = []
    wanted = small.evaluate(held, progress=lambda *numbers: told.append(numbers))
    assert told == [(3, 3)]
    assert wanted.recordings == 3
    for data in (rows[:30], tmp_path / "a.jsonl", str(tmp_path / "a.jsonl")):
        report = small.evaluate(data)
        assert report.word_errors == wanted.word_errors
        assert report.scope.startswith("3 recordings of ")
        assert report.scope.endswith(" that fitting has not heard")
        assert report.notes == ()
        assert report.audio_seconds == wanted.audio_seconds


def test_where_nothing_was_held_out_nothing_is_scored(rows: Rows) -> None:
    model = fit(rows[:12], holdout=0.0)
    with pytest.raises(DataError, match="no recording to score: the model has heard all of them"):
        model.evaluate(rows[:12])
    # As a part they are another set.
    report = model.evaluate(rows[:3])
    assert any(note.startswith("3 of 3 recordings (100.0%) are of sp") for note in report.notes)


def test_what_a_report_of_other_recordings_must_say(
    small: Recognizer, rows: Rows, tmp_path: Path
) -> None:
    marks = small._ready("look").seen.marks
    seen = [row for row in rows[:30] if marks_of(Recordings.read([row]))[0] in marks]
    assert len(seen) == 27
    report = small.evaluate([*seen[:2], *rows[30:33]])
    assert report.scope == "5 recordings of a list of 5 recordings"
    assert len(report.notes) == 1
    assert "2 of 5 recordings (40.0%) are of speakers" in report.notes[0]
    [note] = small.evaluate([{**rows[30], "text": "xyz ab x"}, rows[31]]).notes
    assert "characters that training never had (xyz)" in note
    missing = {**rows[30], "audio": str(tmp_path / "nowhere.wav")}
    with pytest.raises(DataError, match=r"nowhere\.wav: there is no such file"):
        small.evaluate([missing, rows[31]])
    report = small.evaluate([missing, rows[31], {**rows[32], "text": ""}], skip_broken=True)
    assert report.recordings == 1
    for reason in ("empty transcript", "missing audio"):
        assert any(f"left out: {reason}" in note for note in report.notes)


def test_options_are_given_once() -> None:
    options = RecognitionOptions(**LITTLE)
    assert Recognizer(options).options == Recognizer(**LITTLE).options == options
    with pytest.raises(OptionError, match="not both"):
        Recognizer(options, num_layers=2)
    with pytest.raises(OptionError, match="did you mean 'num_layers'"):
        Recognizer(num_layer=2)
    with pytest.raises(OptionError, match="expected RecognitionOptions, or single options"):
        Recognizer(LITTLE)


def test_a_run_is_described_by_its_own_options(rows: Rows) -> None:
    with pytest.raises(OptionError, match="run expects RunOptions, such as"):
        inspect.unwrap(Recognizer.fit)(Recognizer(**LITTLE), rows, run={"max_steps": 3})


def test_a_part_of_the_recordings_and_others_are_not_both_validation(rows: Rows) -> None:
    for model in (
        Recognizer(**LITTLE, validation=0.2),
        Recognizer(RecognitionOptions(**LITTLE, validation=0.2)),
    ):
        with pytest.raises(OptionError, match=r"'validation' takes a part .* 'valid' gives others"):
            model.fit(rows[:20], valid=rows[20:], run=QUICK)


def test_nothing_can_be_done_before_fitting(rows: Rows, tmp_path: Path) -> None:
    for use in (
        lambda m: m.evaluate(rows),
        lambda m: m.transcribe(rows[0]["audio"]),
        lambda m: m.transcripts([rows[0]["audio"]]),
        lambda m: m.stream(8_000),
        lambda m: m.latency_seconds,
        lambda m: m.save(tmp_path / "never"),
        lambda m: m.card,
        lambda m: m.network,
    ):
        with pytest.raises(ModelError, match="call fit first, or load a model"):
            use(Recognizer())
    assert list(tmp_path.iterdir()) == []
