"""A saved model in parts: damaged in every way it is refused, with words of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tests.tasks.language_modeling.small_texts import DOCUMENTS, OTHER, TEXT, fitted, small_model
from tests.tasks.test_model_folder import change_config

from carousel.data.texts import Texts
from carousel.errors import CarouselError, ModelError
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling.fitted import Seen
from carousel.tasks.model_folder import _digest

Damage = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_model().save(tmp_path / "m")


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def put(folder: Path, name: str, content: bytes) -> None:
    """Replaces a file and its digest too, as only somebody does who means it."""
    (folder / name).write_bytes(content)
    change_config(folder, files={**config_of(folder)["files"], name: _digest(content)})


def leave_out(folder: Path, name: str) -> None:
    files = config_of(folder)["files"]
    del files[name]
    change_config(folder, files=files)


def plan(**changes: object) -> Damage:
    return lambda folder: change_config(folder, plan={**config_of(folder)["plan"], **changes})


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    def damage(folder: Path) -> None:
        found = safetensors.torch.load((folder / "model.safetensors").read_bytes())
        put(folder, "model.safetensors", safetensors.torch.save(change(found)))

    return damage


def file(name: str, content: bytes) -> Damage:
    return lambda folder: put(folder, name, content)


def missing(name: str) -> Damage:
    return lambda folder: leave_out(folder, name)


def config(**changes: object) -> Damage:
    return lambda folder: change_config(folder, **changes)


def other_tokenizer(folder: Path) -> None:
    put(folder, "tokenizer.json", small_model("bytes").tokenizer.to_json().encode())


def other_ngrams(folder: Path) -> None:
    assets = small_model("words")._ready("damage").assets()
    put(folder, "ngrams.safetensors", assets["ngrams.safetensors"])


def without_statistics(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: t for name, t in found.items() if not name.startswith("statistics.")}


def misshapen_statistics(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: t[:2].clone() if n.startswith("statistics.") else t for n, t in found.items()}


BAD = b"\xff garbage"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (missing("tokenizer.json"), "lacks tokenizer.json"),
        (missing("ngrams.safetensors"), "lacks ngrams.safetensors"),
        (missing("history.jsonl"), "lacks history.jsonl"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json: cannot be read"),
        (lambda f: (f / "tokenizer.json").write_bytes(b"{}"), "tokenizer.json: damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(BAD), "model.safetensors: damaged"),
        (file("tokenizer.json", BAD), "do not fit together|is damaged"),
        (file("tokenizer.json", b"[]"), "a damaged one"),
        (file("tokenizer.json", b"{}"), "a damaged one"),
        (file("tokenizer.json", b'{"kind": "letters"}'), "a damaged one"),
        (file("tokenizer.json", b'{"kind": "characters", "characters": "ba"}'), "not in order"),
        (other_tokenizer, "do not fit together|is damaged"),
        (file("ngrams.safetensors", BAD), "do not fit together|is damaged"),
        (file("ngrams.safetensors", b""), "do not fit together|is damaged"),
        (
            file("ngrams.safetensors", safetensors.torch.save({"7-gram": torch.ones(2)})),
            "do not fit together|is damaged",
        ),
        (
            file("ngrams.safetensors", safetensors.torch.save({"7-gram/x": torch.ones(2)})),
            "n-gram model does not fit together",
        ),
        (file("model.safetensors", BAD), "expected weights as safetensors"),
        (
            tensors(lambda found: {**found, "foreign": torch.zeros(2)}),
            "do not fit together|is damaged",
        ),
        (
            tensors(lambda found: {"embedding.weight": torch.zeros(2, 2)}),
            "do not fit together|is damaged",
        ),
        (tensors(lambda found: {}), "do not fit together|is damaged"),
        (plan(hidden_size="x"), "do not fit together|is damaged"),
        (plan(output_dropout="x"), "do not fit together|is damaged"),
        (plan(bptt="x"), "do not fit together|is damaged"),
        (plan(tied="x"), "do not fit together|is damaged"),
        (plan(hidden_size=-1), "number from 1 on as 'plan.hidden_size', got -1"),
        (plan(hidden_size=0), "from 1 on .* got 0"),
        (plan(hidden_size=9), "do not fit together|is damaged"),
        (plan(hidden_size=None), "do not fit together|is damaged"),
        (plan(hidden_size=2.5), "do not fit together|is damaged"),
        (plan(hidden_size=10**30), "do not fit together|is damaged"),
        (plan(embedding_size="x"), "do not fit together|is damaged"),
        (plan(embedding_size=-1), "do not fit together|is damaged"),
        (plan(num_layers="x"), "do not fit together|is damaged"),
        (plan(num_layers=2), "do not fit together|is damaged"),
        (plan(cutoffs=5), "do not fit together|is damaged"),
        (plan(cutoffs=["x"]), "do not fit together|is damaged"),
        (plan(cutoffs=[3, 2]), "do not fit together|is damaged"),
        (plan(weight_dropout=5), "weight_dropout"),
        (plan(colour=1), "colour"),
        (config(plan=None), "do not fit together|is damaged"),
        (config(plan=[1]), "do not fit together|is damaged"),
        (config(plan={}), "do not fit together|is damaged"),
        (config(options={"colour": 1}), "there is no option 'colour'"),
        (config(options={"hidden_size": "x"}), "'hidden_size' expects a whole number"),
        (config(options=[1]), "do not fit together|is damaged"),
        (config(options=None), "do not fit together|is damaged"),
        (config(seen=[]), "do not fit together|is damaged"),
        (config(seen={"characters": "x", "digest": "y"}), "do not fit together|is damaged"),
        (config(about=[]), "do not fit together|is damaged"),
        (config(seen={}), "do not fit together|is damaged"),
        (config(format=99), "newer"),
        (config(task="weaving"), "weaving"),
    ],
)
def test_a_damaged_model_is_refused(damage: Damage, words: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=words):
        LanguageModel.load(folder)


@pytest.mark.parametrize(
    "damage",
    [
        plan(num_layers=0),
        plan(num_layers=-1),
        config(seen={"characters": -1, "digest": "y"}),
        config(several="no"),
        config(about={}),
        tensors(without_statistics),
        tensors(misshapen_statistics),
        file("ngrams.safetensors", safetensors.torch.save({})),
        other_ngrams,
    ],
)
def test_damage_that_shows_only_later_is_refused(damage: Damage, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ModelError):
        LanguageModel.load(folder)


def test_a_history_of_garbage_is_no_model(folder: Path) -> None:
    put(folder, "history.jsonl", b"[]\n")
    with pytest.raises(CarouselError, match="history"):
        LanguageModel.load(folder)


def test_the_unspoilt_model_is_accepted(folder: Path) -> None:
    """Else the cases above could all be refused for another reason than theirs."""
    put(folder, "tokenizer.json", small_model().tokenizer.to_json().encode())
    tensors(lambda found: found)(folder)
    plan()(folder)
    assert LanguageModel.load(folder).evaluate([TEXT]).model == small_model().evaluate([TEXT]).model


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    model = fitted([TEXT], tied=True)
    names = set(model._ready("look").tensors())
    assert "embedding.weight" in names
    assert "head.weight" not in names
    loaded = LanguageModel.load(model.save(tmp_path / "m"))
    assert loaded.network.head.weight is loaded.network.embedding.weight


def test_statistics_are_finite_and_one_for_each_parameter() -> None:
    found = small_model()._ready("look").statistics
    wanted = set()
    for name, parameter in small_model().network.named_parameters():
        wanted |= {f"{name}.rows"} | ({f"{name}.columns"} if parameter.ndim == 2 else set())
    assert set(found) == wanted
    assert all(torch.isfinite(t).all() and (t >= 0).all() for t in found.values())


def test_what_was_seen_is_known_by_its_characters() -> None:
    texts = Texts.open([TEXT])
    seen = Seen(characters=100, digest=texts.prefix_digest(100))
    assert seen.begin_of_unseen(texts) == 100
    assert seen.begin_of_unseen(Texts.open([TEXT[:101]])) == 100
    assert seen.begin_of_unseen(Texts.open([TEXT[:99]])) == 0
    assert seen.begin_of_unseen(Texts.open(["x" + TEXT])) == 0
    assert seen.begin_of_unseen(Texts.open([OTHER])) == 0
    # The same characters in documents of other lengths are another text.
    assert seen.begin_of_unseen(Texts.open([TEXT[:50], TEXT[50:]])) == 0


def test_ends_of_documents_are_predicted_where_training_had_several() -> None:
    one, many = small_model()._ready("look"), small_model(several=True)._ready("look")
    assert (one.several, one.boundary) == (False, None)
    assert (many.several, many.boundary) == (True, 0)
    assert many.seen.characters in {len("".join(DOCUMENTS[:k])) for k in range(20)}
