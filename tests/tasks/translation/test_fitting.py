"""A fit from its pairs to its parts: what it reads, what it says, what it leaves alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.translation.small_translators import (
    OTHER,
    PAIRS,
    QUICK,
    SMALL,
    fitted,
    small_translator,
)

from carousel.data.pairs import Pairs
from carousel.errors import CheckpointError, DataError, OptionError
from carousel.tasks.translation import Translator
from carousel.tasks.translation import fitting as fitting_module
from carousel.tasks.translation.data import Corpus, encode, make_corpus, marks_of, split
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.word_alignment import WordAlignment, align_words
from carousel.training import RunOptions
from carousel.training.progress import NoProgress

BLEMISHED = [("", "leer"), ("a " * 30, "b " * 30), ("the cat", "das " * 12), *PAIRS, *PAIRS[:7]]


class Notes(NoProgress):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def introduced(data: Any = PAIRS, valid: Any = None, **options: Any) -> tuple[str, Fitted]:
    """Fits, and returns what was said before the first step, and what came of it."""
    notes = Notes()
    model = Translator(**{**SMALL, **options}).fit(data, valid=valid, run=QUICK, progress=notes)
    return notes.texts[0], model._ready("look")


def parts() -> tuple[Pairs, Pairs, Pairs]:
    return split(Pairs.read(PAIRS), TranslationOptions(), True)


def same(one: Translator, other: Translator) -> bool:
    found = other.network.state_dict()
    return all(torch.equal(t, found[name]) for name, t in one.network.state_dict().items())


def test_the_data_is_told_before_the_first_step() -> None:
    said, found = introduced()
    assert said.splitlines()[0] == "100 pairs of a list of 100 pairs"
    training, validation, holdout = map(len, parts())
    assert f"{training} for training, {validation} for validation, {holdout} held out" in said
    parameters = sum(p.numel() for p in found.network.parameters())
    assert f"{len(found.tokenizers.source)} subwords, " in said
    assert f"{parameters:,} parameters" in said
    assert "warning" not in said
    tokens = found.about["training_tokens"]
    assert f" {tokens / training / 2:.1f} in a sentence" in said


def test_what_was_left_out_is_counted() -> None:
    said, found = introduced(BLEMISHED, max_words=20)
    assert "110 pairs of a list of 110 pairs; left out: 1 empty, 1 too long, 1 badly" in said
    assert "1 badly matched, 7 duplicate" in said
    assert found.about["pairs"] == 110
    wanted = {"empty": 1, "too long": 1, "badly matched": 1, "duplicate": 7}
    assert found.about["removed"] == wanted
    counts = [found.about[f"{part}_pairs"] for part in ("training", "holdout")]
    assert sum(counts) + len(parts()[1]) == 100


def test_two_vocabularies_are_both_counted() -> None:
    said, found = introduced(shared_vocabulary=False, vocabulary_size=None)
    sizes = sorted(map(len, (found.tokenizers.source, found.tokenizers.target)))
    assert sizes[0] != sizes[1]
    assert f"{sizes[0]} and {sizes[1]} subwords" in said


def test_further_pairs_choose_the_weights() -> None:
    said, found = introduced(valid=OTHER)
    assert f"{100 - found.about['holdout_pairs']} for training, {len(OTHER)} for valid" in said
    assert "warning" not in said
    name = f"a list of {len(OTHER)} pairs"
    assert found.about["validation"] == f"{len(OTHER)} pairs of {name}, which chose the weights"
    assert found.about["validation_score"] > 0
    assert set(marks_of([one for one, _ in OTHER])) <= set(found.seen.sources)


def test_further_pairs_that_are_training_pairs_are_warned_of() -> None:
    training, _, holdout = parts()
    whole = list(zip(training.sources, training.targets, strict=True))
    valid = [*OTHER, *whole[:3], (training.sources[5], "etwas anderes.")]
    said, _ = introduced(valid=valid)
    assert "warning: 4 sources of the validation pairs are in training too (3 with their" in said
    held = list(zip(holdout.sources, holdout.targets, strict=True))
    said, found = introduced(valid=held)
    assert "warning" not in said
    # What chooses the weights is held out no more.
    assert f"{len(held)} for validation, 0 held out" in said
    assert found.about["holdout_pairs"] == 0


def test_of_very_many_pairs_a_part_is_guided(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned: list[list[str]] = []
    corpora: list[Corpus] = []

    def counted(sources: list[str], targets: list[str]) -> WordAlignment:
        aligned.append(sources)
        return align_words(sources, targets)

    def made(*given: Any) -> Corpus:
        corpora.append(make_corpus(*given))
        return corpora[-1]

    monkeypatch.setattr(fitting_module, "align_words", counted)
    monkeypatch.setattr(fitting_module, "make_corpus", made)
    training = parts()[0]
    monkeypatch.setattr(fitting_module, "_GUIDED", 30)
    assert fitted(guided_alignment=0.5).history.records[-1].step == 3
    assert len(training) == 90
    assert aligned == [training.sources[::3]]
    guides = corpora[0].guides
    assert guides is not None
    guided = [bool((np.diff(guide, axis=1) > 0).any()) for guide in guides]
    assert guided == [row % 3 == 0 for row in range(len(training))]


def test_further_pairs_are_cleaned_too() -> None:
    valid = [*OTHER, ("", ""), *OTHER]
    said, found = introduced(valid=valid)
    assert f"{len(OTHER)} for validation" in said
    left_out = f"1 empty, {len(OTHER)} duplicate"
    assert said.splitlines()[1] == (
        f"{len(valid)} pairs of a list of {len(valid)} pairs; left out: {left_out}"
    )
    assert f"pairs (left out: {left_out}), which chose the weights" in found.about["validation"]
    with pytest.raises(DataError, match=r"a list of 1 pair: .*all were removed \(1 empty\)"):
        introduced(valid=[("", "x")])
    assert found.about["removed"]["empty"] == 0  # which are those of the training pairs


def test_a_sample_given_for_validation_is_read_as_a_sample(tmp_path: Path) -> None:
    content = "".join(f"{one}\t{other}\n" for one, other in PAIRS)
    (tmp_path / "a.tsv").write_bytes(content.encode("utf-16"))
    model = Translator(**SMALL, encoding="utf-16")
    model.fit(tmp_path / "a.tsv", valid="sample:tatoeba-en-de", run=QUICK)
    assert "of sample:tatoeba-en-de" in model._ready("look").about["validation"]


def test_of_many_validation_pairs_some_from_all_over_are_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting_module, "MOST_VALIDATED", 4)
    _, found = introduced(valid=OTHER)
    assert found.about["validation"].endswith(", 4 of which, evenly spread, chose the weights")
    count = len(OTHER)
    spread = [OTHER[place] for place in (0, count // 4, count // 2, 3 * count // 4)]
    assert spread != OTHER[:4]
    _, few = introduced(valid=spread)
    assert found.about["validation_score"] == few.about["validation_score"]
    # They are all known, scored or not.
    assert set(marks_of([one for one, _ in OTHER])) <= set(found.seen.sources)


def test_without_validation_the_last_weights_stay() -> None:
    said, found = introduced(validation=0.0)
    assert " 0 for validation" in said
    assert found.about["validation"] == "none; the last weights were kept"
    assert (found.about["validation_score"], found.about["best_step"]) == (None, None)


@pytest.mark.parametrize(
    ("pairs", "options", "words"),
    [
        (PAIRS[:9], {"validation": 0.0, "holdout": 0.0}, "10 pairs or more .* got 9 of 9"),
        (PAIRS[:11], {}, "10 pairs or more to train on, got 9 of 11"),
        (PAIRS[:19], {"validation": 0.25, "holdout": 0.25}, "got 9 of 19; give more, or a smaller"),
        (PAIRS[:1], {}, "two different sources or more"),
        ([("a", "b")] * 50, {"holdout": 0.0, "validation": 0.0}, "10 pairs or more .* 1 of 50"),
        ([("", "b")] * 50, {}, r"all were removed \(50 empty\)"),
        ([], {}, "expected pairs, got none"),
    ],
)
def test_too_few_pairs_are_refused(pairs: Any, options: dict[str, float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        fitted(pairs, **options)


def test_ten_pairs_are_enough() -> None:
    for pairs, options in ((PAIRS[:10], {"validation": 0.0, "holdout": 0.0}), (PAIRS[:12], {})):
        assert fitted(pairs, **options)._ready("look").about["training_pairs"] == 10


def test_the_same_seed_gives_the_same_weights() -> None:
    torch.manual_seed(123)
    assert same(fitted(), small_translator())
    seeded = dataclasses.replace(QUICK, seed=1)
    assert not same(fitted(run=seeded), small_translator())


def test_the_seed_of_a_run_does_not_move_the_holdout() -> None:
    seeded = fitted(run=dataclasses.replace(QUICK, seed=1))
    seen = [model._ready("look").seen.sources.tolist() for model in (seeded, small_translator())]
    assert seen[0] == seen[1]


def test_fitting_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    fitted(members=2, weight_dropout=0.1)
    assert torch.equal(torch.rand(3), wanted)


def test_a_fitted_network_is_ready_to_be_used() -> None:
    network = small_translator().network
    assert not any(module.training for module in network.modules())
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    assert all(p.grad is None for p in network.parameters())


def spoilt(part: Pairs) -> list[tuple[str, str]]:
    """Returns all pairs, those of a part with other targets."""
    lines = set(part.lines.tolist())
    return [
        (one, "xyz " * 3 if line in lines else other)
        for line, (one, other) in enumerate(PAIRS, start=1)
    ]


def test_the_holdout_is_never_read() -> None:
    model = fitted(spoilt(parts()[2]))
    assert same(model, small_translator())
    one, other = (each._ready("look") for each in (model, small_translator()))
    assert one.tokenizers.source.vocabulary == other.tokenizers.source.vocabulary
    assert one.lexicon.best == other.lexicon.best


def test_validation_pairs_do_not_train() -> None:
    run = dataclasses.replace(QUICK, validate_every=3)
    assert same(fitted(run=run), fitted(spoilt(parts()[1]), run=run))
    assert not same(fitted(run=run), fitted(spoilt(parts()[0]), run=run))


def test_what_is_kept_is_of_the_training_pairs() -> None:
    found, (training, *_) = small_translator()._ready("look"), parts()
    assert found.characters == "".join(sorted(set("".join(training.sources))))
    sides = training.sources, training.targets
    assert found.longest.words == max(len(text.split()) for side in sides for text in side)
    encoded = [encode(found.tokenizers.source, side).lengths for side in sides]
    assert found.longest.subwords == np.concatenate(encoded).max() - 1
    assert found.lexicon.best == align_words(training.sources, training.targets).lexicon.best
    assert found.about["source"] == "a list of 100 pairs"
    assert found.about["steps"] == 3
    assert found.about["stop_reason"] == "max_steps"
    assert found.about["run"]["max_steps"] == 3
    assert found.about["run"]["learning_rate"] is not None


def test_of_very_many_pairs_a_part_makes_the_lexicon(monkeypatch: pytest.MonkeyPatch) -> None:
    training = parts()[0]
    monkeypatch.setattr(fitting_module, "_ALIGNED", 5)
    some = training.take(range(0, len(training), 18))
    assert len(some) == 5 == len(training) / 18
    wanted = align_words(some.sources, some.targets).lexicon.best
    assert wanted != align_words(training.sources, training.targets).lexicon.best
    model = fitted()
    assert model._ready("look").lexicon.best == wanted
    assert same(model, small_translator())
    # Guides are for more pairs.
    whole = fitted(guided_alignment=1.0)
    monkeypatch.undo()
    assert same(whole, fitted(guided_alignment=1.0))


def test_the_other_way_round_source_and_target_change_places() -> None:
    back = fitted([(other, one) for one, other in PAIRS])
    model = fitted(reverse=True)
    found, wanted = model._ready("look"), back._ready("look")
    assert same(model, back)
    assert found.lexicon.best == wanted.lexicon.best
    assert found.characters == wanted.characters
    assert found.seen.digest == wanted.seen.digest


def test_a_guide_changes_what_is_learned() -> None:
    assert not same(fitted(guided_alignment=1.0), fitted(guided_alignment=0.0))


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(OptionError, match=r"'weight_dropout' .*'input_feeding'"):
        fitted(input_feeding=True, weight_dropout=0.1)
    with pytest.raises(OptionError, match="'patience' needs validation data"):
        fitted(run=dataclasses.replace(QUICK, patience=3), validation=0.0)


def test_a_run_goes_on_only_with_its_own_pairs(tmp_path: Any) -> None:
    kept = {"batch_size": 8, "progress": "none", "checkpoint": str(tmp_path / "run")}
    model = fitted(run=RunOptions(max_steps=2, **kept))
    again = RunOptions(max_steps=2, resume=True, **kept)
    with pytest.raises(CheckpointError, match="data"):
        fitted(PAIRS[::-1], run=again)
    with pytest.raises(CheckpointError, match="validation data"):
        Translator(**SMALL).fit(PAIRS, valid=OTHER, run=again)
    assert same(fitted(run=again), model)
