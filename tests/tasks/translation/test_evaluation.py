"""Which pairs an evaluation scores, what it says of them, and what stands beside the model."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.translation.small_translators import (
    OTHER,
    PAIRS,
    QUICK,
    SMALL,
    Pair,
    fitted,
    small_translator,
    taught_translator,
    write_two,
)

from carousel.data.pairs import Pairs
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, OptionError
from carousel.tasks import resampling
from carousel.tasks.translation import Translator
from carousel.tasks.translation.data import make_corpus, options_to_score, split
from carousel.tasks.translation.evaluation import (
    COPY,
    MODEL_NAME,
    WORD_BY_WORD,
    Scored,
    evaluate_pairs,
    pairs_to_score,
)
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.report import make_report
from carousel.tasks.translation.training import corpus_nats

GREEDY = {"beam": 1}
BLEMISHED = [("", "leer"), *PAIRS, *PAIRS[:7]]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling takes most of the time, and is proved in test_scores."""
    monkeypatch.setattr(resampling, "RESAMPLES", 40)


def chosen(model: Translator, data: Any) -> Scored:
    return pairs_to_score(model._ready("look"), data, model.options)


def holdout(pairs: Sequence[Pair], **options: Any) -> list[Pair]:
    """Returns what a fit holds out of pairs that need no cleaning."""
    found = split(Pairs.read(list(pairs)), TranslationOptions(**options), True)[2]
    return list(zip(found.sources, found.targets, strict=True))


def together(pairs: Pairs) -> list[Pair]:
    return list(zip(pairs.sources, pairs.targets, strict=True))


def test_of_the_very_pairs_the_holdout_is_scored() -> None:
    found, scope, notes, seen, is_held = chosen(small_translator(), PAIRS)
    assert together(found) == holdout(PAIRS)
    assert is_held
    assert [PAIRS[line - 1] for line in found.lines] == together(found)
    assert scope == f"{len(found)} pairs of a list of 100 pairs that fitting has not seen"
    assert (notes, seen) == ((), 0)


def test_what_fitting_held_out_is_scored_however_long_it_is() -> None:
    model = small_translator()._ready("look")
    pairs = Pairs.read([("the cat.", "die Katze. " * 251), *OTHER])
    how = (BeamOptions(beam=1), "13a", None)
    with pytest.raises(DataError, match="expected a sentence, got 502 words"):
        evaluate_pairs(model, Scored(pairs, "pairs"), *how)
    report = evaluate_pairs(model, Scored(pairs, "pairs", is_held=True), *how)
    assert sum(band.sentences for band in report.bands) == len(pairs)


def test_the_holdout_is_cleaned_as_the_others_were() -> None:
    model = fitted(BLEMISHED)
    found, scope, notes, seen, _ = chosen(model, BLEMISHED)
    assert together(found) == holdout(PAIRS)
    assert "pairs of a list of 108 pairs that fitting has not seen" in scope
    assert (notes, seen) == ((), 0)


def test_the_very_pairs_are_known_in_whatever_file(tmp_path: Any) -> None:
    found, scope, *_ = chosen(small_translator(), write_two(tmp_path, PAIRS))
    assert together(found) == holdout(PAIRS)
    assert f"{tmp_path / 'a.en'} and {tmp_path / 'a.de'} that fitting has not seen" in scope


def test_what_choosing_the_weights_has_seen_is_not_held_out() -> None:
    held = holdout(PAIRS)
    assert len(held) > 2
    model = Translator(**SMALL).fit(PAIRS, valid=held[:2], run=QUICK)
    assert together(chosen(model, PAIRS)[0]) == held[2:]


def test_sources_that_differ_in_blanks_alone_are_held_out_together() -> None:
    first = holdout(PAIRS)[0]
    again = first[0].replace(" ", "  "), "etwas anderes."
    pairs = [*PAIRS, again]
    held = holdout(pairs)
    assert first in held
    assert again in held
    assert together(chosen(fitted(pairs), pairs)[0]) == held


def test_files_are_read_as_they_are_not_as_those_of_training(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"en": one, "de": other}) for one, other in OTHER]
    path.write_text("\n".join(lines), encoding="utf-16")
    model = small_translator()
    with pytest.raises(DataError, match="there is no field 'source'"):
        model.evaluate(path, encoding="utf-16", beam=1)
    fields = {"source_field": "en", "target_field": "de"}
    report = model.evaluate(path, encoding="utf-16", beam=1, **fields)
    assert report.bleu_score == model.evaluate(OTHER, beam=1).bleu_score
    with pytest.raises(OptionError, match="name two fields"):
        model.evaluate(path, source_field="target", beam=1)


def test_a_sample_is_read_as_a_sample() -> None:
    options = TranslationOptions(encoding="latin-1", source_field="en", max_words=7)
    found = options_to_score("sample:tatoeba-en-de", options, {})
    assert found == TranslationOptions(max_words=7)
    given = {"encoding": None, "source_field": "x", "target_field": None}
    assert options_to_score(PAIRS, options, given) == dataclasses.replace(options, source_field="x")


def test_bleu_counts_what_one_chooses() -> None:
    model = small_translator()
    usual = model.evaluate(OTHER, beam=1)
    found = model.evaluate(OTHER, beam=1, bleu_tokenizer="char")
    assert "tok:13a" in usual.bleu_score.signature
    assert all("tok:char" in score.signature for score in found.bleu.values())
    assert found.bleu["copy"].value != usual.bleu["copy"].value
    assert found.chrf_score == usual.chrf_score
    with pytest.raises(OptionError, match="no tokenizer for BLEU '13'"):
        model.evaluate(OTHER, bleu_tokenizer="13")


def test_a_reference_that_is_no_sentence_is_refused() -> None:
    pairs = [*OTHER, ("the cat.", "das " * 10_000)]
    words = rf"the translations of a list of {len(pairs)} pairs, line {len(pairs)}: expected a sent"
    with pytest.raises(DataError, match=words):
        small_translator().evaluate(pairs, beam=1)


@pytest.mark.parametrize("pairs", [OTHER, PAIRS[::-1], PAIRS[1:], [*PAIRS, OTHER[0]], PAIRS[:30]])
def test_other_pairs_are_scored_whole_and_known_sources_told(pairs: list[Pair]) -> None:
    found, scope, notes, seen, _ = chosen(small_translator(), pairs)
    assert together(found) == pairs
    assert scope == f"{len(pairs)} pairs of a list of {len(pairs)} pairs"
    learned = {one for one, _ in PAIRS} - {one for one, _ in holdout(PAIRS)}
    known = sum(one in learned for one, _ in pairs)
    part = f"{known / len(pairs):.1%}"
    wanted = f"{known} of {len(pairs)} sources ({part}) were in the training or validation pairs"
    assert [note.startswith(wanted) for note in notes] == [True] * (known > 0)
    assert (known > 0) == (pairs != OTHER)
    assert seen == known
    if pairs in (OTHER, PAIRS[1:]):
        report = small_translator().evaluate(pairs, **GREEDY)
        assert report.seen == known
        assert ("it was fitted to" in report.verdict) is (known > 0)


def test_pairs_with_an_empty_side_are_scored_and_told() -> None:
    pairs = [*OTHER, ("", "leer"), ("empty", " "), ("", "")]
    found, _, notes, seen, _ = chosen(small_translator(), pairs)
    assert together(found) == pairs
    assert (notes, seen) == (("3 pairs have an empty side and are scored as they are.",), 0)
    report = small_translator().evaluate(pairs, **GREEDY)
    assert report.sentences == len(pairs)
    assert report.bands[0].high == 0
    assert math.isfinite(report.perplexity)


def test_where_all_has_been_seen_there_is_nothing_to_score() -> None:
    model = fitted(holdout=0.0)
    with pytest.raises(DataError, match="a list of 100 pairs: no pair to score: the model has see"):
        chosen(model, PAIRS)
    found, _, notes, seen, _ = chosen(model, PAIRS[:50])  # which are not the very pairs
    assert len(found) == seen == 50
    assert notes[0].startswith("50 of 50 sources (100.0%)")


def test_what_is_no_sentence_is_named_by_its_place_in_the_data(tmp_path: Any) -> None:
    (tmp_path / "a.tsv").write_text("\nthe cat.\tdas Kätzchen.\n" + "word " * 10_000 + "\tWort\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 3: expected a sentence, got 10,000 words"):
        small_translator().evaluate(tmp_path / "a.tsv")


def test_the_report_is_that_of_the_translations_and_the_baselines() -> None:
    model = taught_translator()
    fitted_parts = model._ready("look")
    report = model.evaluate(OTHER)
    sources, references = ([pair[side] for pair in OTHER] for side in (0, 1))
    assert list(report.bleu) == [MODEL_NAME, WORD_BY_WORD, COPY]
    wanted = make_report(
        sources,
        references,
        {
            MODEL_NAME: model.translate(sources),
            WORD_BY_WORD: [fitted_parts.lexicon.translate(source) for source in sources],
            COPY: sources,
        },
        scope=report.scope,
        search=report.search,
        perplexity=report.perplexity,
        tokens=report.tokens,
        seconds=report.seconds,
        notes=report.notes,
        seen=report.seen,
    )
    assert report.to_dict() == wanted.to_dict()
    nats, tokens = corpus_nats(
        model.network, make_corpus(Pairs.read(OTHER), fitted_parts.tokenizers)
    )
    assert report.perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-9)
    assert report.tokens == tokens
    assert report.seconds > 0
    # In a language that goes word for word the words say it all; a copy says nothing.
    assert report.bleu[WORD_BY_WORD].value > 90 > 10 > report.bleu[COPY].value
    assert report.bleu_score.value > 80


def test_progress_and_search_are_passed_on() -> None:
    told: list[tuple[int, int]] = []
    report = small_translator().evaluate(
        OTHER, beam=2, length_penalty=0, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (len(OTHER), len(OTHER))
    assert report.search == "beam of 2, length penalty 0"
    assert small_translator().evaluate(OTHER, **GREEDY).search == "greedy search"


def test_translations_that_were_cut_are_told() -> None:
    model = fitted()
    bias, end = model.network.members[0].output.bias.data, model.tokenizers.target.end
    bias[end] = -1e9  # it never ends by itself
    report = model.evaluate(OTHER, **GREEDY)
    assert report.notes == (f"{len(OTHER)} translations did not end and were cut at their limit.",)
    bias[end] = 1e9  # and now at once
    report = model.evaluate(OTHER, **GREEDY)
    assert report.notes == ()
    assert {example.translation for example in report.examples} == {""}


def test_a_perplexity_beyond_all_numbers_is_still_one() -> None:
    model = fitted()
    model.network.members[0].output.bias.data[model.tokenizers.target.end] = 1e6
    search = BeamOptions(**GREEDY)
    given = Scored(Pairs.read(OTHER), "all", ("n",)), search, "13a", None
    report = evaluate_pairs(model._ready("look"), *given)
    assert 1e300 < report.perplexity < math.inf
    assert (report.scope, report.notes, report.sentences) == ("all", ("n",), len(OTHER))
