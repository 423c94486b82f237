"""A saved recogniser in parts: the same transcripts, and every damage refused in our words.

The recognisers here are shared with the other tests of reports, cards and the command line.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from tests.tasks.speech_recognition.small_recordings import QUICK, SMALL, spoken
from tests.tasks.test_model_folder import change_config

from carousel.data.recordings import Recordings
from carousel.errors import CarouselError, ModelError
from carousel.tasks.model_folder import _digest
from carousel.tasks.ngrams import NgramModel
from carousel.tasks.speech_recognition import Recognizer, fitting
from carousel.tasks.speech_recognition.data import digest_of, marks_of, split
from carousel.tasks.speech_recognition.fitted import Fitted, Seen

Damage = Callable[[Path], object]
Rows = list[dict[str, Any]]
Tensors = dict[str, torch.Tensor]
BAD = b"\xff garbage"
TEXTS = (["a", "ab", "b a", "b", "ba"] * 5)[:24]  # each speaker says four of the five
SPEAKERS = ("ann", "bob", "cid", "dan", "eve", "fay")
SCORER, BONUS = 0.6, 2.0  # the weights of the words, of which the fits here try no others


@functools.cache
def folder_of_all() -> Path:
    """Returns a folder that is there as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="carousel-recordings-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def shared_rows() -> Rows:
    """Returns 24 recordings by six speakers, four each; tests must leave them as they are."""
    return spoken(folder_of_all() / "said", TEXTS, speakers=SPEAKERS)


@functools.cache
def shared_features() -> Rows:
    """Returns 24 recordings of nobody known as ready features, five a frame; likewise."""
    rng = np.random.default_rng(3)
    rows = []
    for place, text in enumerate(TEXTS):
        path = folder_of_all() / f"f{place:03}.npy"
        np.save(path, rng.standard_normal((30, 5)).astype(np.float32))
        rows.append({"audio": str(path), "text": text})
    return rows


def fitted(data: Any = None, run: Any = QUICK, valid: Any = None, **options: Any) -> Recognizer:
    """Returns a recogniser that has been trained for a few steps, on the shared recordings."""
    with patch.multiple(fitting, _SCORERS=(SCORER,), _BONUSES=(BONUS,)):
        model = Recognizer(**{**SMALL, **options})
        return model.fit(shared_rows() if data is None else data, valid=valid, run=run)


@functools.cache
def small_recognizer() -> Recognizer:
    """Returns one recogniser for all tests, which must leave it as it is."""
    return fitted()


@functools.cache
def ready_recognizer() -> Recognizer:
    """Returns one of ready features; likewise."""
    return fitted(shared_features(), validation=0.0, mel_filters=None)


@functools.cache
def keen_recognizer() -> Recognizer:
    """Returns one that streams, and says "a" wherever all frequencies are loud; likewise.

    Its weights are made by hand: a channel for the mean of the scaled features, a memory cell that
    shows what it reads and forgets it, and an output that is sure of "a" where it is 1, else of
    the blank.
    """
    model = fitted(streaming=True, validation=0.0, holdout=0.0)
    network, cells = model.network, model.network.hidden_size
    letter = model._ready("change").symbols.numbers["a"]
    layer: Any = network.layers[0]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.front.weight[0, :, 2] = 10 / network.features
        network.front.bias[0] = -1
        layer.bias_ih_l0[:cells] = 10  # writes
        layer.bias_ih_l0[cells : 2 * cells] = -10  # forgets
        layer.weight_ih_l0[2 * cells, 0] = 3  # what it writes
        layer.bias_ih_l0[3 * cells :] = 10  # shows
        network.output.weight[letter, 0] = 20
        network.output.bias[:] = -20
        network.output.bias[0], network.output.bias[letter] = 5, -3
    return Recognizer.load(model.save(folder_of_all() / "keen"))


def manifest(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Writes a table of recordings, and returns its path."""
    columns = list(rows[0])
    lines = [columns, *([str(row[column]) for column in columns] for row in rows)]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def same(one: Recognizer, other: Recognizer) -> bool:
    """Returns whether two networks have the same weights."""
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def put(folder: Path, name: str, content: bytes) -> None:
    """Replaces a file and its digest too, as only somebody does who means it."""
    (folder / name).write_bytes(content)
    change_config(folder, files={**config_of(folder)["files"], name: _digest(content)})


def file(name: str, content: bytes) -> Damage:
    return lambda folder: put(folder, name, content)


def missing(name: str) -> Damage:
    def damage(folder: Path) -> None:
        files = config_of(folder)["files"]
        del files[name]
        change_config(folder, files=files)

    return damage


def config(**changes: object) -> Damage:
    return lambda folder: change_config(folder, **changes)


def part(name: str, **changes: object) -> Damage:
    return lambda folder: change_config(folder, **{name: {**config_of(folder)[name], **changes}})


def tensors(change: Callable[[Tensors], Tensors]) -> Damage:
    def damage(folder: Path) -> None:
        found = safetensors.torch.load((folder / "model.safetensors").read_bytes())
        put(folder, "model.safetensors", safetensors.torch.save(change(found)))

    return damage


def without(name: str) -> Damage:
    return tensors(lambda found: {key: t for key, t in found.items() if key != name})


def numbers(**arrays: np.ndarray) -> bytes:
    return safetensors.numpy.save(arrays)


def ngrams(vocabulary: int) -> bytes:
    return safetensors.numpy.save(NgramModel.fit(np.zeros(3, np.int64), vocabulary, 2).tensors())


DAMAGES: list[tuple[Damage, str]] = [
    (missing("words.json"), "lacks words.json"),
    (missing("ngrams.safetensors"), "lacks ngrams.safetensors"),
    (missing("history.jsonl"), "lacks history.jsonl"),
    (lambda f: (f / "words.json").unlink(), "words.json: cannot be read"),
    (lambda f: (f / "words.json").write_bytes(b"[]"), "words.json: damaged"),
    (lambda f: (f / "ngrams.safetensors").write_bytes(BAD), "ngrams.safetensors: damaged"),
    (lambda f: (f / "model.safetensors").write_bytes(BAD), "model.safetensors: damaged"),
    (file("words.json", BAD), "do not fit together .*UnicodeDecodeError"),
    (file("words.json", b"["), "do not fit together .*JSONDecodeError"),
    (file("words.json", b"{}"), "words in order as 'words.json', got {}"),
    (file("words.json", b'"ab"'), "words in order as 'words.json', got 'ab'"),
    (file("words.json", b'["a", 1]'), "words in order as 'words.json'"),
    (file("words.json", b'["", "a"]'), "words in order as 'words.json'"),
    (file("words.json", b'["b", "a"]'), "words in order as 'words.json'"),
    (file("words.json", b'["a", "a", "b"]'), "words in order as 'words.json'"),
    (file("words.json", b'["a", "b"]'), "counts of 2 words as 'ngrams.safetensors', got 4"),
    (file("ngrams.safetensors", ngrams(9)), "counts of 4 words as 'ngrams.safetensors', got 8"),
    (file("ngrams.safetensors", BAD), "do not fit together .*SafetensorError"),
    (file("ngrams.safetensors", numbers(x=np.zeros(2))), "n-gram model does not fit together"),
    (file("model.safetensors", BAD), "expected weights as safetensors"),
    (tensors(lambda found: {**found, "foreign": torch.zeros(2)}), "do not fit together"),
    (tensors(lambda found: {}), "do not fit together"),
    (tensors(lambda found: {n: t[:1].clone() for n, t in found.items()}), "do not fit together"),
    (without("front.weight"), "do not fit together"),
    (without("layers.0.weight_hh_l0_reverse"), "do not fit together"),
    (without("output.bias"), "do not fit together"),
    (part("plan", hidden_size=18), "do not fit together"),
    (part("plan", hidden_size=17), "do not fit together"),
    (part("plan", hidden_size="x"), "number from 1 on as 'plan.hidden_size', got 'x'"),
    (part("plan", channels=9), "do not fit together"),
    (part("plan", num_layers=2), "do not fit together"),
    (part("plan", bidirectional=False), "do not fit together"),
    (part("plan", deltas=1), "do not fit together"),
    (part("plan", deltas=-1), "number from 0 on as 'plan.deltas', got -1"),
    (part("plan", features="spectrum"), "spectrum"),
    (part("plan", features="mfcc"), "at most as many cepstra as filters, 12, got 13"),
    (part("plan", rate=1), "rate"),
    (part("plan", weight_dropout=5), "weight_dropout"),
    (part("plan", colour=1), "colour"),
    (config(plan={}), "'plan.features'"),
    (config(size=13), "those of 13 features as .moments.|size"),
    (config(characters=" abc"), "do not fit together"),
    (config(characters="ab"), "a blank too as 'characters', got 'ab'"),
    (config(moments={}), "expected the moments of features as they were saved"),
    (part("moments", count=0), "expected the moments of features as they were saved"),
    (part("moments", mean=[0.0]), "expected the moments of features as they were saved"),
    (part("moments", var=[-1.0] * 12), "expected the moments of features as they were saved"),
    (config(weights={}), "'weights.scorer'"),
    (part("weights", colour=1), "colour"),
    (part("options", colour=1), "there is no option 'colour'"),
    (part("options", hidden_size="x"), "'hidden_size' expects a whole number"),
    (part("options", streaming=True, deltas=1), "'streaming' hears nothing in advance"),
    (config(options=None), "'options'"),
    (config(seen={}), "'seen.digest'"),
    (config(about={}), "'about.source'"),
    (config(commonest=None), "'commonest'"),
    (config(format=99), "newer"),
    (config(task="weaving"), "weaving"),
]
# What the network's weights fit all the same: it would fail, or go wrong, when it listens.
LATE: list[tuple[Damage, str]] = [
    (part("plan", mel_filters=20), "size|mel_filters"),
    (part("plan", scaling="loudness"), "scaling"),
    (part("moments", mean=[0.0], var=[1.0]), "moments"),
    (part("weights", scorer=-1.0), "weights.scorer"),
    (file("words.json", '["a", "ab", "b", "ß"]'.encode()), "words.json"),
    (file("words.json", b'["a", "a b", "b", "ba"]'), "words.json"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy: saving waits for the disk each time."""
    return small_recognizer().save(tmp_path_factory.mktemp("models") / "m")


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_model_is_refused(
    damage: Damage, words: str, saved: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    damage(folder)
    with pytest.raises(ModelError, match=words):
        Recognizer.load(folder)


@pytest.mark.parametrize(("damage", "words"), LATE)
def test_what_would_fail_only_when_it_listens_is_refused_too(
    damage: Damage, words: str, saved: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    damage(folder)
    with pytest.raises(ModelError, match=words):
        Recognizer.load(folder)


def test_a_history_of_garbage_is_no_model(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "m")
    put(folder, "history.jsonl", b"[]\n")
    with pytest.raises(CarouselError, match="history"):
        Recognizer.load(folder)


def test_the_unspoilt_model_is_accepted(tmp_path: Path) -> None:
    """Else the cases above could all be refused for another reason than theirs."""
    model = small_recognizer()
    folder = model.save(tmp_path / "m")
    for name, content in model._ready("look").assets().items():
        put(folder, name, content)
    tensors(lambda found: found)(folder)
    part("plan")(folder)
    again = Recognizer.load(folder)
    assert same(again, model)
    assert not again.network.training
    files = [row["audio"] for row in shared_rows()[:4]]
    assert again.transcripts(files) == model.transcripts(files)


@pytest.mark.parametrize("model", [small_recognizer, ready_recognizer, keen_recognizer])
def test_all_that_was_saved_comes_back(model: Callable[[], Recognizer], tmp_path: Path) -> None:
    one = model()._ready("look")
    other = Recognizer.load(model().save(tmp_path / "m"))._ready("look")
    plain = json.dumps(one.config(), allow_nan=False)
    assert json.loads(plain) == json.loads(json.dumps(other.config()))
    assert (one.options, one.plan, one.words) == (other.options, other.plan, other.words)
    assert (one.weights, one.commonest, one.seen) == (other.weights, other.commonest, other.seen)
    assert one.symbols.characters == other.symbols.characters == " ab"
    assert one.assets() == other.assets()
    assert one.step_seconds == other.step_seconds == 0.02
    assert (one.frontend.features is None) == (model is ready_recognizer)
    assert (other.frontend.moments.mean == one.frontend.moments.mean).all()


def test_restoring_draws_nothing_from_the_generator(saved: Path) -> None:
    before = torch.get_rng_state()
    Recognizer.load(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_words_of_any_script_are_written_as_they_are() -> None:
    words = ["a", "é", "漢字"]
    content = replace(small_recognizer()._ready("look"), words=words).assets()["words.json"]
    assert json.loads(content) == words
    assert "漢字" in content.decode("utf-8")


def test_a_recogniser_without_ngrams_comes_back() -> None:
    found = small_recognizer()._ready("look")
    one = replace(found, ngrams=None, options=replace(found.options, ngram=0))
    assets = {**one.assets(), "history.jsonl": b""}
    other = Fitted.restore(json.loads(json.dumps(one.config())), one.tensors(), assets)
    assert other.ngrams is None
    assert other.words == ["a", "ab", "b", "ba"]
    # Its n-grams are those that its options asked for: not none, nor any where none were wanted.
    with pytest.raises(ModelError, match=r"expected 3-grams as 'ngrams\.safetensors', got 0"):
        Fitted.restore(json.loads(json.dumps(found.config())), one.tensors(), assets)
    counted = {**assets, "ngrams.safetensors": found.assets()["ngrams.safetensors"]}
    with pytest.raises(ModelError, match=r"expected 0-grams as 'ngrams\.safetensors', got 3"):
        Fitted.restore(json.loads(json.dumps(one.config())), one.tensors(), counted)


def test_what_was_heard_is_training_and_validation() -> None:
    model = small_recognizer()
    seen, whole = model._ready("look").seen, Recordings.read(shared_rows())
    training, validation, holdout = split(whole, model.options, True)
    assert validation is not None
    assert holdout is not None
    parts = [set(each.speakers) for each in (training, validation, holdout)]
    assert [len(each) for each in parts] == [4, 1, 1]
    assert set.union(*parts) == set(SPEAKERS)
    assert seen.marks == {f"speaker {name}" for name in parts[0] | parts[1]}
    assert seen.knows(holdout) == [False] * 4
    assert seen.knows(training) + seen.knows(validation) == [True] * 20
    assert seen.is_whole(whole)


def test_recordings_are_known_by_their_speaker_or_by_themselves() -> None:
    rows = [
        {"audio": "x/1.wav", "text": "a", "speaker": "ann"},
        {"audio": "x/2.wav", "text": "b", "start": 0.5, "end": 1.25},
    ]
    whole = Recordings.read(rows)
    said = hashlib.blake2b(b"b", digest_size=8).hexdigest()
    assert marks_of(whole) == ["speaker ann", f"recording 2-0.5-1.25 {said}"]
    other = Recordings.read([rows[0] | {"text": "b"}, rows[1] | {"text": "a"}])
    assert [one == two for one, two in zip(marks_of(whole), marks_of(other), strict=True)] == [
        True,
        False,
    ]
    seen = Seen(digest=digest_of(whole), marks=frozenset({"speaker ann"}))
    assert seen.knows(whole) == [True, False]
    assert seen.is_whole(Recordings.read([{**row, "audio": row["audio"][2:]} for row in rows]))
    others: list[Rows] = [
        rows[::-1],
        rows[:1],
        [rows[0], {**rows[1], "text": "c"}],
        [rows[0], {**rows[1], "end": 1.5}],
        [{**rows[0], "audio": "x/3.wav"}, rows[1]],
        [{**rows[0], "speaker": "bob"}, rows[1]],
    ]
    assert not any(seen.is_whole(Recordings.read(other)) for other in others)


def test_the_digest_of_recordings_is_that_of_all_their_values() -> None:
    """Each behind its length, so that no two lists of values read alike."""
    whole = Recordings.read([{"audio": "x.wav", "text": "é b", "start": 0.5, "name": "one"}])
    joined = b""
    for value in (b"one", "é b".encode(), b"", b"0.5", b"nan"):
        joined += len(value).to_bytes(8, "little") + value
    assert digest_of(whole) == hashlib.sha256(joined).hexdigest()
