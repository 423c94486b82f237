"""Options of a language model: what is refused, by both names, and what is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from carousel.errors import OptionError
from carousel.options import from_dict, to_dict
from carousel.tasks.language_modeling.options import LanguageModelingOptions


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"vocabulary_size": 500}, ("vocabulary_size", "tokenizer 'characters'")),
        (
            {"vocabulary_size": 500, "tokenizer": "bytes"},
            ("vocabulary_size", "tokenizer 'bytes'"),
        ),
        ({"min_count": 2}, ("min_count", "tokenizer 'characters'")),
        ({"min_count": 1}, ("min_count", "tokenizer 'characters'")),
        ({"min_count": 1, "tokenizer": "bytes"}, ("min_count", "tokenizer 'bytes'")),
        ({"min_count": 2, "tokenizer": "subwords"}, ("min_count", "tokenizer 'subwords'")),
        ({"min_count": 1, "tokenizer": "subwords"}, ("min_count", "tokenizer 'subwords'")),
        ({"tied": True, "softmax": "adaptive", "tokenizer": "words"}, ("'tied'", "softmax")),
        ({"softmax": "adaptive"}, ("'softmax'", "characters are not", "give 'sampled'")),
        (
            {"softmax": "adaptive", "tokenizer": "bytes"},
            ("'softmax'", "bytes are not", "give 'sampled'"),
        ),
        (
            {"softmax": "adaptive", "tokenizer": "subwords"},
            ("'softmax'", "subwords are not", "give 'sampled'"),
        ),
        ({"samples": 9, "softmax": "full"}, ("'samples'", "softmax 'sampled', got 'full'")),
        (
            {"samples": 9, "softmax": "adaptive", "tokenizer": "words"},
            ("'samples'", "softmax 'sampled', got 'adaptive'"),
        ),
        ({"validation": 0.5, "holdout": 0.5}, ("'validation'", "'holdout'", "0.5")),
    ],
    ids=str,
)
def test_conflicts_are_refused_with_both_names(
    values: dict[str, Any], names: tuple[str, ...]
) -> None:
    with pytest.raises(OptionError) as caught:
        LanguageModelingOptions(**values)
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    "values",
    [
        {"vocabulary_size": 500, "tokenizer": "words", "min_count": 3},
        {"vocabulary_size": 4, "tokenizer": "words", "min_count": 1},
        {"vocabulary_size": 500, "tokenizer": "subwords"},
        {"vocabulary_size": 257, "tokenizer": "subwords"},
        {"tied": False, "softmax": "adaptive", "tokenizer": "words"},
        {"softmax": "sampled", "tokenizer": "subwords"},
        {"tied": True, "softmax": "sampled", "samples": 9},
        {"samples": 9},
        {"validation": 0.5, "holdout": 0.49},
        {"validation": 0.0, "holdout": 0.0},
    ],
    ids=str,
)
def test_what_goes_together_is_taken(values: dict[str, Any]) -> None:
    made = LanguageModelingOptions(**values)
    assert {name: getattr(made, name) for name in values} == values
    assert from_dict(LanguageModelingOptions, to_dict(made)) == made


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tokenizer": "word"}, "did you mean 'words'"),
        ({"softmax": "adaptiv"}, "did you mean 'adaptive'"),
        ({"hidden": 3}, "hidden"),
        ({"hidden_size": 0}, "'hidden_size' .*at least 1"),
        ({"num_layers": 17}, "'num_layers' .*from 1 to 16"),
        ({"bptt": 1}, "'bptt' .*from 2 to"),
        ({"samples": 0}, "'samples' .*at least 1"),
        ({"tokenizer": "words", "vocabulary_size": 2}, "'vocabulary_size' .*at least 4"),
        (
            {"tokenizer": "subwords", "vocabulary_size": 256},
            "'vocabulary_size' .*at least 257 for subwords.*got 256",
        ),
        ({"tokenizer": "subwords", "vocabulary_size": 3}, "'vocabulary_size' .*at least 4"),
        ({"tokenizer": "words", "min_count": 0}, "'min_count' .*at least 1"),
        ({"weight_dropout": 0.95}, "'weight_dropout' .*from 0.0 to 0.9"),
        ({"input_dropout": float("nan")}, "'input_dropout' .*from 0.0 to 0.9"),
        ({"activation_regularization": -1}, "'activation_regularization' .*at least 0"),
        ({"validation": 0.6}, "'validation' .*from 0.0 to 0.5"),
        ({"holdout": -0.1}, "'holdout' .*from 0.0 to 0.5"),
        ({"tied": 1}, "'tied' expects true or false"),
        ({"vary_bptt": "yes"}, "'vary_bptt' expects true or false"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        LanguageModelingOptions(**values)


@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "words", "subwords"])
def test_the_text_decides_what_is_rare_unless_told(tokenizer: str) -> None:
    assert LanguageModelingOptions(tokenizer=tokenizer).min_count is None
    assert LanguageModelingOptions(tokenizer=tokenizer, min_count=None).min_count is None


def test_every_option_has_help_and_the_defaults_can_be_written() -> None:
    fields = dataclasses.fields(LanguageModelingOptions)
    assert all(field.metadata["help"] for field in fields)
    assert from_dict(LanguageModelingOptions, to_dict(LanguageModelingOptions())) == (
        LanguageModelingOptions()
    )
