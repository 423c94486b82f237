"""The language model as a user meets it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tasks.language_modeling.small_texts import (
    DOCUMENTS,
    KINDS,
    OTHER,
    QUICK,
    SMALL,
    TEXT,
    fitted,
    small_model,
)

import carousel
from carousel.errors import CheckpointError, DataError, ModelError, OptionError, OutputError
from carousel.tasks.language_modeling import (
    AdaptationOptions,
    LanguageModel,
    LanguageModelingOptions,
)
from carousel.training import RunOptions


def weights(model: LanguageModel) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def same(one: LanguageModel, other: LanguageModel) -> bool:
    found = weights(other)
    return all(torch.equal(tensor, found[name]) for name, tensor in weights(one).items())


def test_it_learns_what_a_unigram_cannot() -> None:
    text = "abcdefgh" * 150
    run = RunOptions(max_steps=120, batch_size=8, learning_rate=0.02, progress="none")
    model = LanguageModel(**SMALL, output_dropout=0.0).fit([text], run=run)
    report = model.evaluate([text])
    assert report.perplexity < 0.5 * report.scores["unigram"].perplexity
    follows = model.generate("abc", max_tokens=8, temperature=0.0)
    assert follows == "defghabc"


def test_the_same_seed_gives_the_same_weights() -> None:
    torch.manual_seed(123)
    assert same(fitted([TEXT]), small_model())
    seeded = RunOptions(max_steps=4, batch_size=4, progress="none", seed=1)
    assert not same(LanguageModel(**SMALL).fit([TEXT], run=seeded), small_model())


def test_fitting_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    fitted([TEXT], tokenizer="words", embedding_dropout=0.3, softmax="sampled", samples=4)
    assert torch.equal(torch.rand(3), wanted)


def test_a_fitted_network_is_ready_to_be_used() -> None:
    network = small_model().network
    assert not any(module.training for module in network.modules())
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def test_the_holdout_is_never_read() -> None:
    seen = small_model()._ready("look").seen.characters
    spoilt = fitted([TEXT[:seen] + "t" * (len(TEXT) - seen)])
    assert same(spoilt, small_model())
    assert spoilt.tokenizer.vocabulary == small_model().tokenizer.vocabulary


def test_validation_text_does_not_train() -> None:
    about = small_model()._ready("look").about
    begin, end = about["training_characters"], len(TEXT) - about["holdout_characters"]
    spoilt = TEXT[:begin] + TEXT[begin:end][::-1] + TEXT[end:]
    run = RunOptions(max_steps=4, batch_size=4, progress="none", validate_every=4)
    one = LanguageModel(**SMALL).fit([TEXT], run=run)
    assert same(one, LanguageModel(**SMALL).fit([spoilt], run=run))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("several", [False, True])
def test_the_holdout_is_what_is_scored_of_the_text_that_was_fitted_on(
    kind: str, several: bool
) -> None:
    model, data = small_model(kind, several), DOCUMENTS if several else [TEXT]
    begin = model._ready("look").seen.characters
    size = sum(map(len, data))
    report = model.evaluate(data)
    assert report.model.characters == size - begin
    assert f"behind the {begin:,} that fitting has seen" in report.scope
    rest = ["".join(data)[begin:]]
    if not several:
        assert model.evaluate(rest).model == report.model
    # So is the rest of a text that has grown since; of another text all is.
    grown = model.evaluate([*data[:-1], data[-1] + "the cat\n"])
    assert grown.model.characters == size - begin + 8
    assert model.evaluate([OTHER]).model.characters == len(OTHER)
    assert "behind" not in model.evaluate([OTHER]).scope
    assert model.evaluate(["the" + data[0], *data[1:]]).model.characters == size + 3


def test_documents_are_scored_each_by_itself() -> None:
    model = small_model(several=True)
    together = model.evaluate([OTHER, TEXT])
    apart = [model.evaluate([text]).model.nats for text in (OTHER, TEXT)]
    # Single precision: the rows of a matrix product are rounded by how many there are.
    assert together.model.nats == pytest.approx(sum(apart), rel=1e-5)
    assert together.documents == 2
    assert together.model.tokens == len(OTHER) + len(TEXT) + 2


def test_baselines_are_those_of_the_training_text() -> None:
    report = small_model().evaluate([OTHER])
    assert list(report.scores) == ["this model", "7-gram", "unigram"]
    training = TEXT[: small_model()._ready("look").about["training_characters"]]
    counts = {c: training.count(c) for c in set(OTHER)}
    share = [counts[c] / len(training) for c in OTHER]
    # Smoothing moves less than the discounts, 3 of the counts, of which the least is above 40.
    assert report.scores["unigram"].nats == pytest.approx(-np.log(share).sum(), rel=0.05)
    assert report.scores["7-gram"].nats < report.scores["unigram"].nats


def test_what_was_all_seen_is_refused() -> None:
    for holdout in ([TEXT], DOCUMENTS):
        model = fitted(holdout, holdout=0.0)
        with pytest.raises(DataError, match="no text to score: the model has seen all of it"):
            model.evaluate(holdout)


def test_the_part_that_was_seen_is_refused_by_itself() -> None:
    seen = small_model()._ready("look").seen.characters
    with pytest.raises(DataError, match="no text to score"):
        small_model().evaluate([TEXT[:seen]])


def test_of_a_text_without_holdout_that_has_grown_the_rest_is_scored() -> None:
    model = fitted([TEXT], holdout=0.0)
    assert model.evaluate([TEXT + "the cat\n"]).model.characters == 8


def test_validation_text_of_ones_own() -> None:
    model = LanguageModel(**SMALL).fit([TEXT], valid=[OTHER], run=QUICK)
    about = model._ready("look").about
    assert about["training_characters"] == len(TEXT) - about["holdout_characters"]
    assert model.history.scores("nats")
    with pytest.raises(DataError, match="no 'Q'"):
        LanguageModel(**SMALL).fit([TEXT], valid=["Q"], run=QUICK)


def test_validation_text_without_a_token_is_refused() -> None:
    with pytest.raises(DataError, match="words"):
        LanguageModel(**SMALL, tokenizer="words").fit([TEXT], valid=["  \t"], run=QUICK)


def test_files_of_every_kind_give_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "c.jsonl").write_text(json.dumps({"body": TEXT}))
    for name in ("a.txt", "b.txt.gz", "c.jsonl"):
        model = fitted(tmp_path / name, field="body")
        assert same(model, small_model())
        wanted = small_model().evaluate([TEXT]).model
        assert model.evaluate(str(tmp_path / name)).model == wanted
        assert model._ready("look").about["source"] == str(tmp_path / name)
    (tmp_path / "many").mkdir()
    lines = [json.dumps(document) + "\n" for document in DOCUMENTS]
    (tmp_path / "many" / "x.jsonl").write_text("".join(lines[:7]))
    (tmp_path / "many" / "y.jsonl").write_text("".join(lines[7:]))
    model = fitted(tmp_path / "many")
    assert same(model, small_model(several=True))
    assert model.evaluate(DOCUMENTS).model == small_model(several=True).evaluate(DOCUMENTS).model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("several", [False, True])
def test_a_loaded_model_is_the_saved_one(kind: str, several: bool, tmp_path: Path) -> None:
    model, data = small_model(kind, several), DOCUMENTS if several else [TEXT]
    assert model.save(tmp_path / "m") == tmp_path / "m"
    for loaded in (LanguageModel.load(tmp_path / "m"), carousel.load(str(tmp_path / "m"))):
        assert isinstance(loaded, LanguageModel)
        assert same(loaded, model)
        assert loaded.options == model.options
        assert loaded.card == model.card
        assert loaded.evaluate(data).to_dict() == model.evaluate(data).to_dict()
        assert (
            loaded.evaluate([OTHER], cache=True).model == model.evaluate([OTHER], cache=True).model
        )
        assert loaded.score(OTHER).nats.tolist() == model.score(OTHER).nats.tolist()
        wanted = model.generate("the", max_tokens=20, seed=4)
        assert loaded.generate("the", max_tokens=20, seed=4) == wanted
        assert [r.step for r in loaded.history.records] == [r.step for r in model.history.records]
    loaded.save(tmp_path / "again")
    for path in (tmp_path / "m").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    "options",
    [
        {"tied": True},
        {"tokenizer": "words", "softmax": "adaptive"},
        {"tokenizer": "words", "softmax": "sampled", "samples": 3, "num_layers": 2},
        {"tokenizer": "words", "min_count": 30, "vocabulary_size": 9},
        {"weight_dropout": 0.3, "vary_bptt": False, "activation_regularization": 1.0},
    ],
)
def test_options_survive_saving(options: dict[str, object], tmp_path: Path) -> None:
    model = fitted([TEXT], **options)
    model.evaluate([TEXT], dynamic=True)
    model.save(tmp_path / "m")
    loaded = LanguageModel.load(tmp_path / "m")
    assert loaded.options == model.options
    for values in ({}, {"dynamic": True, "dynamic_rate": 1e-4}):
        assert loaded.evaluate([TEXT], **values).model == model.evaluate([TEXT], **values).model


def test_a_card_that_was_edited_is_kept(tmp_path: Path) -> None:
    small_model().save(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("# Ours\n")
    loaded = LanguageModel.load(tmp_path / "m")
    assert loaded.card == "# Ours\n"
    loaded.save(tmp_path / "m", force=True)
    assert (tmp_path / "m" / "README.md").read_text() == "# Ours\n"
    assert loaded.fit([TEXT], run=QUICK).card.startswith("# Language model over characters")


def test_an_existing_folder_stays(tmp_path: Path) -> None:
    small_model().save(tmp_path / "m")
    with pytest.raises(OutputError, match="exists already"):
        small_model("words").save(tmp_path / "m")
    assert LanguageModel.load(tmp_path / "m").tokenizer.kind == "characters"
    small_model("words").save(tmp_path / "m", force=True)
    assert LanguageModel.load(tmp_path / "m").tokenizer.kind == "words"


def test_options_are_given_once() -> None:
    options = LanguageModelingOptions(**SMALL)
    assert LanguageModel(options).options == LanguageModel(**SMALL).options == options
    with pytest.raises(OptionError, match="not both"):
        LanguageModel(options, tokenizer="words")
    with pytest.raises(OptionError, match="did you mean 'tokenizer'"):
        LanguageModel(tokeniser="words")
    with pytest.raises(OptionError, match="not both"):
        small_model().evaluate([TEXT], adaptation=AdaptationOptions(cache=True), cache=True)
    given = small_model().evaluate([TEXT], adaptation=AdaptationOptions(cache=True))
    assert given.model == small_model().evaluate([TEXT], cache=True).model


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tokenizer": "characters", "vocabulary_size": 100}, "for words and subwords"),
        ({"tokenizer": "bytes", "min_count": 2}, "'min_count' is for words"),
        ({"tied": True, "softmax": "adaptive"}, "'tied' needs softmax 'full' or 'sampled'"),
        ({"samples": 5, "softmax": "full"}, "'samples' needs softmax 'sampled'"),
        ({"validation": 0.5, "holdout": 0.5}, "leave nothing to train on"),
        ({"tokenizer": "letters"}, "letters"),
        ({"encoding": "utf-9"}, "no encoding 'utf-9' of text; did you mean"),
        ({"tokenizer": "words", "vocabulary_size": 3}, "at least 4, got 3"),
        ({"tokenizer": "subwords", "vocabulary_size": 100}, "at least 257 .* got 100"),
    ],
)
def test_impossible_options_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        fitted([TEXT], **values)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "empty"),
        ([""], "empty"),
        (["a"], "too short"),
        (["a" * 100], "repeats one token"),
        (5, "a path or a list of texts, got int"),
        ([TEXT, 5], "a list of int"),
        (TEXT, "text itself is given as a list"),
        ("nowhere.txt", "nowhere.txt: there is no such file"),
        (["a\0b" * 10], "NUL"),
        (["\udcff" * 10], "half a surrogate"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(data: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fitted(data)
    if words not in ("too short", "repeats one token"):
        with pytest.raises(DataError, match=words):
            small_model().evaluate(data)


def test_more_columns_than_tokens_are_refused() -> None:
    run = RunOptions(max_steps=2, batch_size=2_000, progress="none")
    with pytest.raises(OptionError, match="batch_size expects at most one column for each of the"):
        LanguageModel(**SMALL).fit([TEXT], run=run)


@pytest.mark.parametrize("text", ["abc" * 3, "ab\n" * 7, "ab"])
@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_the_shortest_texts(text: str, kind: str) -> None:
    run = RunOptions(max_steps=2, progress="none")
    model = LanguageModel(**SMALL, tokenizer=kind, validation=0.0, holdout=0.0).fit([text], run=run)
    for values in ({}, {"dynamic": True}, {"cache": True}):
        assert np.isfinite(model.evaluate(["ba"], **values).model.nats)
    assert model.generate("a", max_tokens=3)


def test_nothing_can_be_done_before_fitting() -> None:
    for use in (
        lambda m: m.evaluate([TEXT]),
        lambda m: m.score("a"),
        lambda m: m.generate("a"),
        lambda m: m.save("never"),
        lambda m: m.card,
        lambda m: m.network,
        lambda m: m.tokenizer,
    ):
        with pytest.raises(ModelError, match="call fit first, or load a model"):
            use(LanguageModel())
    assert not Path("never").exists()


def test_a_model_can_be_fitted_again() -> None:
    model = fitted([TEXT], tokenizer="words")
    assert model.fit(DOCUMENTS, run=QUICK) is model
    assert model.evaluate(DOCUMENTS).documents >= 1
    with pytest.raises(DataError):
        model.fit([""], run=QUICK)
    assert model.evaluate(DOCUMENTS).documents >= 1  # what failed took nothing away


def test_of_words_the_perplexity_is_that_of_a_word() -> None:
    report = small_model("words").evaluate([OTHER])
    assert report.model.tokens == report.model.words == len(OTHER.split()) + OTHER.count("\n")
    assert report.model.word_perplexity == report.perplexity


def test_a_character_costs_the_same_in_bytes_and_characters_of_ascii() -> None:
    for kind in ("characters", "bytes"):
        report = small_model(kind).evaluate([OTHER])
        assert report.model.tokens == report.model.characters == report.model.bytes == len(OTHER)
        assert report.model.nats_per_token == report.model.nats_per_character


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    small_model().save(tmp_path / "m")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    LanguageModel.load(tmp_path / "m")
    assert torch.equal(torch.rand(3), wanted)


def test_the_text_of_an_evaluation_may_be_written_otherwise(tmp_path: Path) -> None:
    wanted = small_model().evaluate([OTHER]).model
    (tmp_path / "a.txt").write_text(OTHER, encoding="utf-16")
    assert small_model().evaluate(tmp_path / "a.txt", encoding="utf-16").model == wanted
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": OTHER}))
    assert small_model().evaluate(tmp_path / "a.jsonl", field="body").model == wanted
    with pytest.raises(OptionError, match="no encoding 'utf-9'"):
        small_model().evaluate(tmp_path / "a.txt", encoding="utf-9")


def test_a_part_of_the_text_and_another_text_are_not_both_validation() -> None:
    with pytest.raises(OptionError, match=r"'validation' takes a part .* 'valid' gives another"):
        LanguageModel(**SMALL, validation=0.1).fit([TEXT], valid=[OTHER], run=QUICK)


def test_a_run_goes_on_only_with_its_own_validation_text(tmp_path: Path) -> None:
    kept = {"batch_size": 4, "progress": "none", "checkpoint": str(tmp_path / "run")}
    first = RunOptions(max_steps=2, **kept)
    LanguageModel(**SMALL).fit([TEXT], valid=[OTHER], run=first)
    again = RunOptions(max_steps=3, resume=True, **kept)
    with pytest.raises(CheckpointError, match="validation data"):
        LanguageModel(**SMALL).fit([TEXT], valid=[OTHER * 2], run=again)
