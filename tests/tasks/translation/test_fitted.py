"""A saved translator in parts: the same translations, and every damage refused in our words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from tests.tasks.test_model_folder import change_config
from tests.tasks.translation.small_translators import OTHER, PAIRS, fitted, small_translator

from carousel.data.pairs import Pairs
from carousel.data.tokenizers import train_tokenizer
from carousel.errors import CarouselError, ModelError
from carousel.tasks.model_folder import _digest
from carousel.tasks.translation import Translator
from carousel.tasks.translation.data import digest_of, marks_of, split
from carousel.tasks.translation.fitted import Seen

Damage = Callable[[Path], object]
Tensors = dict[str, torch.Tensor]
SOURCES = [source for source, _ in OTHER[:6]]
BAD = b"\xff garbage"


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


def tokenizer(kind: str, **limits: int) -> bytes:
    return train_tokenizer(kind, ["the cat sat on the mat"], **limits).to_json().encode()


def numbers(**arrays: np.ndarray) -> bytes:
    return safetensors.numpy.save(arrays)


DAMAGES: list[tuple[Damage, str]] = [
    (missing("tokenizer.json"), "lacks tokenizer.json"),
    (missing("lexicon.json"), "lacks lexicon.json"),
    (missing("seen.safetensors"), "lacks seen.safetensors"),
    (missing("history.jsonl"), "lacks history.jsonl"),
    (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json: cannot be read"),
    (lambda f: (f / "lexicon.json").write_bytes(b"{}"), "lexicon.json: damaged"),
    (lambda f: (f / "model.safetensors").write_bytes(BAD), "model.safetensors: damaged"),
    (file("tokenizer.json", BAD), "do not fit together .*UnicodeDecodeError"),
    (file("tokenizer.json", b"[]"), "expected a tokenizer as it was saved, got a damaged one"),
    (file("tokenizer.json", b'{"kind": "letters"}'), "a damaged one"),
    (file("tokenizer.json", tokenizer("bytes")), "subwords as 'tokenizer.json', got 'bytes'"),
    (file("tokenizer.json", tokenizer("subwords", size=259)), "do not fit .*embedding"),
    (file("lexicon.json", BAD), "do not fit together .*UnicodeDecodeError"),
    (file("lexicon.json", b"{"), "expected the lexicon as an object"),
    (file("lexicon.json", b'{"a": 1}'), "expected the lexicon .* got 1 for 'a'"),
    (file("seen.safetensors", BAD), "do not fit together .*SafetensorError"),
    (file("seen.safetensors", numbers(x=np.zeros(2, np.uint64))), "do not fit .*'sources'"),
    (file("seen.safetensors", numbers(sources=np.zeros(2))), "as 'seen.safetensors', got 'float"),
    (
        file("seen.safetensors", numbers(sources=np.zeros((2, 2), np.uint64))),
        "'seen.safetensors', got 'uint64 \\(2, 2\\)",
    ),
    (file("model.safetensors", BAD), "expected weights as safetensors"),
    (tensors(lambda found: {**found, "foreign": torch.zeros(2)}), "do not fit together"),
    (tensors(lambda found: {}), "do not fit together"),
    (
        tensors(lambda found: {name: t[:1].clone() for name, t in found.items()}),
        "do not fit together",
    ),
    (without("members.0.output.bias"), "do not fit together"),
    (without("members.0.encoder.embedding.weight"), "do not fit together"),
    (part("plan", hidden_size=10), "do not fit together"),
    (part("plan", hidden_size=9), "do not fit together"),
    (part("plan", hidden_size=10**30), "do not fit together"),
    (part("plan", hidden_size="x"), "number from 1 on as 'plan.hidden_size', got 'x'"),
    (part("plan", embedding_size=9), "do not fit together"),
    (part("plan", encoder_layers=2), "do not fit together"),
    (part("plan", decoder_layers=2), "do not fit together"),
    (part("plan", members=2), "do not fit together"),
    (part("plan", input_feeding=True), "do not fit together"),
    (part("plan", attention="dot"), "do not fit together"),
    (part("plan", attention="scalar"), "no score 'scalar'"),
    (part("plan", tied=False), "do not fit together"),
    (part("plan", tied_source=False), "do not fit together"),
    (part("plan", weight_dropout=5), "weight_dropout"),
    (part("plan", colour=1), "colour"),
    (config(plan={}), "'plan.embedding_size'"),
    (part("options", colour=1), "there is no option 'colour'"),
    (part("options", hidden_size="x"), "'hidden_size' expects a whole number"),
    (part("options", shared_vocabulary=False), "'plan.tied_source'"),
    (config(options=None), "'options'"),
    (config(about={}), "'about.source'"),
    (config(longest=0), "'longest'"),
    (config(characters=None), "'characters'"),
    (config(seen=3), "'seen'"),
    (config(format=99), "newer"),
    (config(task="weaving"), "weaving"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_model_is_refused(damage: Damage, words: str, tmp_path: Path) -> None:
    folder = small_translator().save(tmp_path / "m")
    damage(folder)
    with pytest.raises(ModelError, match=words):
        Translator.load(folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (missing("source-tokenizer.json"), "lacks source-tokenizer.json"),
        (missing("target-tokenizer.json"), "lacks target-tokenizer.json"),
        (
            file("target-tokenizer.json", tokenizer("bytes")),
            "subwords as 'target-tokenizer.json', got 'bytes'",
        ),
        (part("options", shared_vocabulary=True), "lacks tokenizer.json"),
    ],
)
def test_two_tokenizers_are_told_apart(damage: Damage, words: str, tmp_path: Path) -> None:
    folder = small_translator(shared=False).save(tmp_path / "m")
    damage(folder)
    with pytest.raises(ModelError, match=words):
        Translator.load(folder)


@pytest.mark.parametrize("options", [{"tied": False}, {"tied_source": False}])
def test_weights_that_a_changed_plan_would_pass_over_are_refused(
    options: dict[str, bool], tmp_path: Path
) -> None:
    folder = fitted(**options).save(tmp_path / "m")
    part("plan", **dict.fromkeys(options, True))(folder)
    with pytest.raises(ModelError, match=r"expected nothing, being tied to members\.0\..* as 'mem"):
        Translator.load(folder)


def test_a_history_of_garbage_is_no_model(tmp_path: Path) -> None:
    folder = small_translator().save(tmp_path / "m")
    put(folder, "history.jsonl", b"[]\n")
    with pytest.raises(CarouselError, match="history"):
        Translator.load(folder)


@pytest.mark.parametrize("shared", [True, False])
def test_the_unspoilt_model_is_accepted(shared: bool, tmp_path: Path) -> None:
    """Else the cases above could all be refused for another reason than theirs."""
    model = small_translator(shared)
    folder = model.save(tmp_path / "m")
    for name, content in model._ready("look").assets().items():
        put(folder, name, content)
    tensors(lambda found: found)(folder)
    part("plan")(folder)
    assert Translator.load(folder).translate(SOURCES) == model.translate(SOURCES)


def names_of(model: Translator) -> set[str]:
    return set(model._ready("look").tensors())


def test_tied_matrices_are_stored_once(tmp_path: Path) -> None:
    model = small_translator()
    first = "members.0.encoder.embedding.weight"
    every = set(model.network.state_dict())
    assert names_of(model) == every - {
        "members.0.decoder.embedding.weight",
        "members.0.output.weight",
    }
    stored = safetensors.torch.load((model.save(tmp_path / "m") / "model.safetensors").read_bytes())
    assert set(stored) == names_of(model)
    assert torch.equal(stored[first], model.network.state_dict()[first])
    (member,) = Translator.load(tmp_path / "m").network.members
    assert member.output.weight is member.decoder.embedding.weight
    assert member.encoder.embedding is member.decoder.embedding


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({"tied": False}, {"decoder.embedding.weight"}),
        ({"tied_source": False}, {"output.weight"}),
        ({"tied": False, "tied_source": False}, set()),
        ({"shared_vocabulary": False}, {"output.weight"}),
    ],
)
def test_only_what_is_tied_is_left_out(options: dict[str, bool], left_out: set[str]) -> None:
    model = fitted(**options, members=2)
    every = set(model.network.state_dict())
    assert names_of(model) == every - {f"members.{k}.{n}" for k in range(2) for n in left_out}


def test_what_was_seen_is_training_and_validation() -> None:
    model = small_translator()
    seen, whole = model._ready("look").seen, Pairs.read(PAIRS)
    assert seen.digest == digest_of(whole)
    training, validation, holdout = split(whole, model.options, True)
    assert len(holdout) > 0 < len(validation)
    assert seen.sources.tolist() == sorted(marks_of([*training.sources, *validation.sources]))
    assert seen.knows(holdout).tolist() == [False] * len(holdout)
    assert seen.knows(validation).all()
    assert seen.knows(training).all()


def test_pairs_are_known_by_their_sources_and_the_whole_by_all_of_it() -> None:
    pairs = Pairs.read([("a b", "x"), ("c", "y")])
    seen = Seen(digest=digest_of(pairs), sources=np.sort(marks_of(["a b", "d"])))
    assert seen.is_whole(Pairs.read([("a b", "x"), ("c", "y")]))
    assert not seen.is_whole(Pairs.read([("c", "y"), ("a b", "x")]))
    assert not seen.is_whole(Pairs.read([("a b", "x")]))
    others = Pairs.read([(" a  b", "other"), ("ab", "x"), ("c", "y"), ("d", "")])
    assert seen.knows(others).tolist() == [True, False, False, True]
