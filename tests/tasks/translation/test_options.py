"""Options of a translator: what is refused, by its name, and what is kept."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from carousel.data.tokenizers import Subwords
from carousel.errors import OptionError
from carousel.nn.attention import SCORES
from carousel.options import from_dict, to_dict
from carousel.tasks.translation.options import SUBWORDS, TranslationOptions


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (
            {"source_field": "en", "target_field": "en"},
            ("'source_field'", "'target_field'", "'en'"),
        ),
        ({"target_field": "source"}, ("'source_field'", "'target_field'", "'source'")),
        ({"tied_source": True, "shared_vocabulary": False}, ("'tied_source'", "one vocabulary")),
        ({"validation": 0.5, "holdout": 0.5}, ("'validation'", "'holdout'", "0.5 + 0.5")),
    ],
    ids=str,
)
def test_conflicts_are_refused_with_their_names(
    values: dict[str, Any], names: tuple[str, ...]
) -> None:
    with pytest.raises(OptionError) as caught:
        TranslationOptions(**values)
    assert all(name in str(caught.value) for name in names), caught.value


@pytest.mark.parametrize(
    "values",
    [
        {"source_field": "target", "target_field": "source"},
        {"hidden_size": 2},
        {"tied_source": False, "shared_vocabulary": False},
        {"tied_source": True},
        {"validation": 0.5, "holdout": 0.49},
        {"validation": 0.0, "holdout": 0.0},
        {"vocabulary_size": SUBWORDS},
        {"max_ratio": 1},
        {"attention": "additive", "input_feeding": True, "members": 16},
    ],
    ids=str,
)
def test_what_goes_together_is_taken(values: dict[str, Any]) -> None:
    made = TranslationOptions(**values)
    assert {name: getattr(made, name) for name in values} == values
    assert from_dict(TranslationOptions, json.loads(json.dumps(to_dict(made)))) == made


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"atention": "dot"}, "did you mean 'attention'"),
        ({"attention": "generall"}, "did you mean 'general'"),
        ({"max_words": 0}, "'max_words' .*at least 1"),
        ({"max_ratio": 0.9}, r"'max_ratio' .*from 1\.0 to 1000"),
        ({"max_ratio": float("inf")}, r"'max_ratio' .*from 1\.0 to 1000"),
        ({"validation": 0.6}, "'validation' .*from 0.0 to 0.5"),
        ({"holdout": -0.1}, "'holdout' .*from 0.0 to 0.5"),
        ({"vocabulary_size": SUBWORDS - 1}, "'vocabulary_size' .*from 257 to 1000000, got 256"),
        ({"vocabulary_size": 10**30}, "'vocabulary_size' .*from 257 to 1000000, got 1"),
        ({"hidden_size": 0}, "'hidden_size' .*from 1 to 8192"),
        ({"embedding_size": 100_000}, "'embedding_size' .*from 1 to 8192"),
        ({"hidden_size": 8.0}, "'hidden_size' expects a whole number"),
        ({"encoder_layers": 17}, "'encoder_layers' .*from 1 to 16"),
        ({"decoder_layers": 0}, "'decoder_layers' .*from 1 to 16"),
        ({"word_dropout": 0.95}, "'word_dropout' .*from 0.0 to 0.9"),
        ({"label_smoothing": float("nan")}, "'label_smoothing' .*from 0.0 to 0.9"),
        ({"guided_alignment": -1}, "'guided_alignment' .*from 0.0 to 10"),
        ({"members": 0}, "'members' .*from 1 to 16"),
        ({"tied": 1}, "'tied' expects true or false"),
        ({"reverse": "yes"}, "'reverse' expects true or false"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        TranslationOptions(**values)


def test_the_least_and_the_choices_are_those_of_their_makers() -> None:
    assert Subwords.least == SUBWORDS
    fields = {field.name: field for field in dataclasses.fields(TranslationOptions)}
    assert set(fields["attention"].metadata["choices"]) == set(SCORES)


def test_every_option_has_help_and_the_defaults_can_be_written() -> None:
    fields = dataclasses.fields(TranslationOptions)
    assert all(field.metadata["help"] for field in fields)
    assert from_dict(TranslationOptions, to_dict(TranslationOptions())) == TranslationOptions()
