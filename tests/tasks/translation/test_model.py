"""The translator as a user meets it."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.translation.small_translators import (
    OTHER,
    PAIRS,
    QUICK,
    SMALL,
    fitted,
    small_translator,
    taught_translator,
    translated_by_hand,
    write_two,
)

import carousel
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, ModelError, OptionError, OutputError
from carousel.tasks import resampling
from carousel.tasks.translation import TranslationOptions, Translator
from carousel.tasks.translation.model import LINES_AT_ONCE

SOURCES = [source for source, _ in OTHER]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling takes most of the time, and is proved in test_scores."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def same(one: Translator, other: Translator) -> bool:
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def test_it_learns_what_no_copy_can() -> None:
    model = taught_translator()
    assert model.translate("the dog sat on the fox.") == "das Hündchen saß auf das Füchslein."
    report = model.evaluate(OTHER)
    assert report.bleu_score.low > report.bleu["copy"].high
    assert report.perplexity < 2


def test_fit_returns_the_model_which_can_be_fitted_again() -> None:
    model = Translator(**SMALL)
    assert model.fit(PAIRS, run=QUICK) is model
    assert same(model, small_translator())
    model.fit(PAIRS[:50], run=QUICK)
    assert model._ready("look").about["pairs"] == 50
    with pytest.raises(DataError, match="expected pairs, got none"):
        model.fit([], run=QUICK)
    assert model._ready("look").about["pairs"] == 50  # what failed took nothing away


def test_pairs_of_every_kind_give_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in PAIRS))
    rows = [json.dumps({"source": one, "target": other}) + "\n" for one, other in PAIRS]
    (tmp_path / "a.jsonl").write_text("".join(rows))
    wanted = small_translator().evaluate(PAIRS, beam=1).bleu
    for data in (str(tmp_path / "a.tsv"), tmp_path / "a.jsonl", write_two(tmp_path, PAIRS)):
        model = fitted(data)
        assert same(model, small_translator())
        assert model.evaluate(data, beam=1).bleu == wanted


@pytest.mark.parametrize("shared", [True, False])
def test_a_loaded_model_is_the_saved_one(shared: bool, tmp_path: Path) -> None:
    model = small_translator(shared)
    assert model.save(tmp_path / "m") == tmp_path / "m"
    for loaded in (Translator.load(tmp_path / "m"), carousel.load(str(tmp_path / "m"))):
        assert isinstance(loaded, Translator)
        assert same(loaded, model)
        assert loaded.options == model.options
        assert loaded.card == model.card
        assert not any(module.training for module in loaded.network.modules())
        one, other = (each.translations(SOURCES, best=2) for each in (loaded, model))
        assert [each.to_dict() for each in one] == [each.to_dict() for each in other]
        reports = [each.evaluate(PAIRS, beam=1).to_dict() for each in (loaded, model)]
        for report in reports:
            del report["seconds"]
        assert reports[0] == reports[1]
        assert [r.step for r in loaded.history.records] == [r.step for r in model.history.records]
    loaded.save(tmp_path / "again")
    assert {p.name for p in (tmp_path / "again").iterdir()} == {
        p.name for p in (tmp_path / "m").iterdir()
    }
    for path in (tmp_path / "m").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    "options",
    [
        {"members": 2, "tied": False},
        {"encoder_layers": 2, "decoder_layers": 2, "residual": False},
        {"input_feeding": True, "attention": "additive"},
        {"attention": "dot", "weight_dropout": 0.2, "tied_source": False},
        {"guided_alignment": 1.0, "label_smoothing": 0.0, "reverse": True},
    ],
    ids=str,
)
def test_options_survive_saving(options: dict[str, Any], tmp_path: Path) -> None:
    model = fitted(**options)
    loaded = Translator.load(model.save(tmp_path / "m"))
    assert loaded.options == model.options
    assert loaded._ready("look").plan == model._ready("look").plan
    one, other = (each.translations(SOURCES[:3], max_tokens=6) for each in (loaded, model))
    assert [each.to_dict() for each in one] == [each.to_dict() for each in other]


def test_a_card_that_was_edited_is_kept(tmp_path: Path) -> None:
    folder = small_translator().save(tmp_path / "m")
    (folder / "README.md").write_text("# Ours\n")
    loaded = Translator.load(folder)
    assert loaded.card == "# Ours\n"
    loaded.save(folder, force=True)
    assert (folder / "README.md").read_text() == "# Ours\n"
    assert loaded.fit(PAIRS, run=QUICK).card.startswith("# Translator\n")


def test_an_existing_folder_stays(tmp_path: Path) -> None:
    folder = small_translator().save(tmp_path / "m")
    with pytest.raises(OutputError, match="exists already"):
        small_translator(shared=False).save(folder)
    assert Translator.load(folder).tokenizers.shared
    small_translator(shared=False).save(folder, force=True)
    assert not Translator.load(folder).tokenizers.shared


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    small_translator().save(tmp_path / "m")
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Translator.load(tmp_path / "m")
    assert torch.equal(torch.rand(3), wanted)


def test_one_sentence_gives_one_text_and_several_a_list() -> None:
    model = taught_translator()
    found = [one.text for one in model.translations(SOURCES)]
    assert model.translate(SOURCES) == model.translate(tuple(SOURCES)) == found
    assert model.translate(SOURCES[0]) == found[0]
    assert model.translate([SOURCES[0]]) == found[:1]
    assert model.translate([]) == model.translations([]) == []
    assert model.translate("") == ""
    assert model.translations([SOURCES[1]])[0].source == SOURCES[1]


def test_options_of_the_search_are_given_once() -> None:
    model, search = small_translator(), BeamOptions(beam=3, best=3)
    one, other = (
        model.translations(SOURCES, search=search),
        model.translations(SOURCES, beam=3, best=3),
    )
    assert [each.to_dict() for each in one] == [each.to_dict() for each in other]
    assert max(len(each.others) for each in one) == 2  # some are the same text
    for use in (
        lambda: model.translations(SOURCES, search=search, beam=3),
        lambda: model.translate(SOURCES, search=search, beam=3),
        lambda: model.stream(SOURCES, search=search, beam=3),
        lambda: model.evaluate(PAIRS, search=search, beam=3),
    ):
        with pytest.raises(OptionError, match="not both"):
            use()


@pytest.mark.parametrize("given", [{"best": 3}, {"search": BeamOptions(best=2)}], ids=str)
def test_further_translations_are_not_thrown_away(given: dict[str, Any]) -> None:
    """Only who returns them takes the option that asks for them."""
    model = small_translator()
    for use in (
        lambda: model.translate("the cat.", **given),
        lambda: model.translate(["the cat."], **given),
        lambda: model.evaluate(PAIRS, **given),
    ):
        with pytest.raises(OptionError, match=r"'best' asks for [23] .*call translations, which"):
            use()
    taught = taught_translator()
    number = len(taught.translations(["the cat."], **given)[0].others)
    assert number == given.get("best", 2) - 1
    assert len(next(taught.stream(["the cat."], **given)).others) == number


USES = {
    "translate": lambda model, **values: model.translate("the", **values),
    "translations": lambda model, **values: model.translations(["the"], **values),
    "stream": lambda model, **values: model.stream(["the"], **values),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_tokens": 0}, "max_tokens expects a whole number from 1 to 1,000,000, got 0"),
        ({"max_tokens": 10**30}, "max_tokens expects a whole number from 1 to 1,000,000, got 1"),
        ({"beam": 0}, "'beam' expects a value of hypotheses, from 1 to 1000"),
        ({"bem": 3}, "did you mean 'beam'"),
        ({"beam": 2, "best": 3}, "'best' expects at most the beam, 2, got 3"),
        ({"length_penalty": -1}, "'length_penalty'"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_at_once(
    values: dict[str, Any], words: str, use: Any
) -> None:
    with pytest.raises(OptionError, match=words):
        use(small_translator(), **values)


@pytest.mark.parametrize("texts", ["the cat.", None, 3])
def test_what_is_no_list_of_texts_is_refused(texts: Any) -> None:
    model = small_translator()
    words = "expected a list of texts, got .*; give \\[text\\]"
    with pytest.raises(DataError, match=words):
        inspect.unwrap(Translator.translations)(model, texts)
    with pytest.raises(DataError, match=words):
        inspect.unwrap(Translator.stream)(model, texts)


def test_a_stream_yields_what_translate_returns() -> None:
    model, many = taught_translator(), SOURCES * 4
    assert len(many) > LINES_AT_ONCE
    found = list(model.stream(iter(many)))
    assert [one.source for one in found] == many
    assert [one.text for one in found] == model.translate(many)
    assert list(model.stream([])) == []
    assert [one.text == "" for one in model.stream(["", "the cat."])] == [True, False]


def test_a_list_is_always_translated_in_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("carousel.tasks.translation.model.ready_groups")
    model, many = taught_translator(), SOURCES * 4
    assert [one.text for one in model.stream(many)] == model.translate(many)


def test_a_stream_answers_before_the_next_sentence_is_there() -> None:
    answered = threading.Event()

    def typed() -> Iterator[str]:
        for text in SOURCES[:3]:
            yield text
            assert answered.wait(60)
            answered.clear()

    found = []
    for one in taught_translator().stream(typed(), beam=1):
        found.append(one.source)
        answered.set()
    assert found == SOURCES[:3]


def test_a_stream_counts_its_sentences_from_the_first() -> None:
    texts = [*["the cat."] * (LINES_AT_ONCE + 5), "a\0b"]
    stream = small_translator().stream(iter(texts), beam=1, max_tokens=1, source="in.txt")
    came = []
    words = rf"in\.txt, line {LINES_AT_ONCE + 6}: expected text, got a NUL"
    with pytest.raises(DataError, match=words):
        came.extend(one.source for one in stream)
    assert came == texts[:-1]  # what stands before the wrong one is not lost
    with pytest.raises(DataError, match=words):  # of a list at once, before it is translated
        small_translator().stream(texts, beam=1, max_tokens=1, source="in.txt")


def test_the_other_way_round() -> None:
    """One option, and the same pairs are learned and scored from right to left."""
    model = fitted(reverse=True)
    report = model.evaluate(PAIRS, beam=1)
    assert report.examples[0].reference in dict(PAIRS)
    assert translated_by_hand(report.examples[0].reference) == report.examples[0].source
    assert report.sentences == small_translator().evaluate(PAIRS, beam=1).sentences


def test_the_pairs_of_an_evaluation_may_be_written_otherwise(tmp_path: Path) -> None:
    table = "".join(f"{one}\t{other}\n" for one, other in OTHER)
    (tmp_path / "a.tsv").write_text(table, encoding="utf-16")
    model = small_translator()
    found = model.evaluate(tmp_path / "a.tsv", encoding="utf-16", beam=1)
    assert found.bleu == model.evaluate(OTHER, beam=1).bleu
    with pytest.raises(OptionError, match="no encoding 'utf-9'"):
        model.evaluate(tmp_path / "a.tsv", encoding="utf-9")
    with pytest.raises(DataError, match=r"a\.tsv, line 1: .*--encoding utf-16"):
        model.evaluate(tmp_path / "a.tsv")
    (tmp_path / "b.tsv").write_text(table, encoding="latin-1")
    western = fitted(tmp_path / "b.tsv", encoding="latin-1")
    assert western.evaluate(tmp_path / "b.tsv", beam=1).sentences > 0  # as in training


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "expected pairs, got none"),
        (5, "a path, two paths, or a list of pairs, got int"),
        ([("a", "b"), ("a", 5)], "index 1: expected text, got 5"),
        (["a.en"], "index 0: expected a pair"),
        (("a.en", "nowhere.de"), r"a\.en: there is no such file"),
        ("nowhere.tsv", r"nowhere\.tsv: there is no such file"),
        ("sample:tatoeba", "did you mean 'sample:tatoeba-en-de'"),
    ],
    ids=str,
)
def test_data_that_is_no_pairs_is_refused(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        fitted(data)
    with pytest.raises(DataError, match=words):
        small_translator().evaluate(data)
    with pytest.raises(DataError, match=words):
        Translator(**SMALL).fit(PAIRS, valid=data, run=QUICK)


def test_options_are_given_once() -> None:
    options = TranslationOptions(**SMALL)
    assert Translator(options).options == Translator(**SMALL).options == options
    with pytest.raises(OptionError, match="not both"):
        Translator(options, members=2)
    with pytest.raises(OptionError, match="did you mean 'members'"):
        Translator(member=2)
    with pytest.raises(OptionError, match="expected TranslationOptions, or single options"):
        Translator(SMALL)
    with pytest.raises(OptionError, match="run expects RunOptions, such as"):
        inspect.unwrap(Translator.fit)(Translator(**SMALL), PAIRS, run={"max_steps": 3})


def test_a_part_of_the_pairs_and_other_pairs_are_not_both_validation() -> None:
    with pytest.raises(OptionError, match=r"'validation' takes a part .* 'valid' gives others"):
        Translator(**SMALL, validation=0.1).fit(PAIRS, valid=OTHER, run=QUICK)
    with pytest.raises(OptionError, match=r"'validation' takes a part .* 'valid' gives others"):
        Translator(TranslationOptions(**SMALL, validation=0.1)).fit(PAIRS, valid=OTHER, run=QUICK)


def test_an_options_object_and_a_loaded_model_give_only_what_is_not_a_default(
    tmp_path: Path,
) -> None:
    model = Translator(TranslationOptions(**SMALL)).fit(PAIRS, valid=OTHER, run=QUICK)
    again = Translator.load(model.save(tmp_path / "model"))
    again.fit(PAIRS, valid=OTHER, run=QUICK)
    assert again.options == model.options == TranslationOptions(**SMALL)
    assert again.translate("the") == model.translate("the")


def test_nothing_can_be_done_before_fitting(tmp_path: Path) -> None:
    for use in (
        lambda m: m.evaluate(PAIRS),
        lambda m: m.translate("the"),
        lambda m: m.translations(["the"]),
        lambda m: m.stream(["the"]),
        lambda m: m.save(tmp_path / "never"),
        lambda m: m.card,
        lambda m: m.network,
        lambda m: m.tokenizers,
    ):
        with pytest.raises(ModelError, match="call fit first, or load a model"):
            use(Translator())
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_task_is_not_loaded(tmp_path: Path) -> None:
    folder = small_translator().save(tmp_path / "m")
    with pytest.raises(ModelError, match="for language-modeling, got one for translation"):
        carousel.LanguageModel.load(folder)
