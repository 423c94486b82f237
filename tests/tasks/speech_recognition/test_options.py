"""Options of a recogniser and of listening: what is refused, by its name, and what is kept."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from tests.tasks.speech_recognition.test_recognition import FEW, untaught

from carousel.data.acoustic_features import AcousticFeatures
from carousel.errors import OptionError
from carousel.options import from_dict, to_dict
from carousel.tasks.speech_recognition.options import KINDS, RecognitionOptions
from carousel.tasks.speech_recognition.recognition import ListeningOptions, Search


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"audio_field": "x", "text_field": "x"}, ("'audio_field'", "'text_field'", "'x'")),
        ({"text_field": "audio"}, ("'audio_field'", "'text_field'", "'audio'")),
        ({"hidden_size": 7}, ("'hidden_size'", "even", "got 7", "give 8")),
        ({"validation": 0.5, "holdout": 0.5}, ("'validation'", "'holdout'", "0.5 + 0.5")),
        (
            {"streaming": True, "scaling": "speaker"},
            ("'streaming'", "'scaling'", "'speaker'", "leave one"),
        ),
        (
            {"streaming": True, "scaling": "recording"},
            ("'streaming'", "'scaling'", "'recording'", "leave one"),
        ),
        ({"streaming": True, "deltas": 1}, ("'streaming'", "'deltas' = 1", "leave one")),
        ({"cepstra": 13}, ("'cepstra' = 13", "'mfcc'", "got None", "--features mfcc")),
        (
            {"cepstra": 20, "features": "log_mel"},
            ("'cepstra' = 20", "'mfcc'", "got 'log_mel'", "--features mfcc"),
        ),
        ({"lexicon": False}, ("'ngram'", "'lexicon'", "--ngram 0", "--no-lexicon")),
        ({"lexicon": False, "ngram": 1}, ("'ngram'", "'lexicon'", "--ngram 0")),
    ],
    ids=str,
)
def test_conflicts_are_refused_with_their_names(
    values: dict[str, Any], names: tuple[str, ...]
) -> None:
    with pytest.raises(OptionError) as caught:
        RecognitionOptions(**values)
    assert all(name in str(caught.value) for name in names), caught.value


@pytest.mark.parametrize(
    "values",
    [
        {"audio_field": "text", "text_field": "audio"},
        {"hidden_size": 2},
        {"validation": 0.5, "holdout": 0.49},
        {"validation": 0.0, "holdout": 0.0},
        {"streaming": True, "scaling": "running", "deltas": 0},
        {"streaming": True, "features": "mfcc"},
        {"scaling": "running", "deltas": 2},
        {"lexicon": False, "ngram": 0},
        {"lexicon": True, "ngram": 0},
        {"rate": 8_000, "subsampling": 4, "features": "mfcc", "cepstra": 20},
        {"masking": 4, "stretching": 0.5, "warping": 0.3, "noise": 1},
    ],
    ids=str,
)
def test_what_goes_together_is_taken(values: dict[str, Any]) -> None:
    made = RecognitionOptions(**values)
    assert {name: getattr(made, name) for name in values} == values
    assert from_dict(RecognitionOptions, json.loads(json.dumps(to_dict(made)))) == made


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"streeming": True}, "did you mean 'streaming'"),
        ({"features": "logmel"}, "did you mean 'log_mel'"),
        ({"scaling": "speakers"}, "did you mean 'speaker'"),
        ({"rate": 7_999}, "'rate' .*of Hz, from 8000 to 48000, got 7999"),
        ({"rate": 48_001}, "'rate' .*from 8000 to 48000"),
        ({"mel_filters": 7}, "'mel_filters' .*from 8 to 128"),
        ({"cepstra": 41}, "'cepstra' .*from 5 to 40"),
        ({"deltas": 3}, "'deltas' .*from 0 to 2"),
        ({"validation": 0.6}, "'validation' .*from 0.0 to 0.5"),
        ({"holdout": -0.1}, "'holdout' .*from 0.0 to 0.5"),
        ({"channels": 0}, "'channels' .*at least 1"),
        ({"hidden_size": 1}, "'hidden_size' .*at least 2"),
        ({"hidden_size": 8.0}, "'hidden_size' expects a whole number"),
        ({"num_layers": 17}, "'num_layers' .*from 1 to 16"),
        ({"subsampling": 5}, "'subsampling' .*from 1 to 4"),
        ({"subsampling": 0}, "'subsampling' .*from 1 to 4"),
        ({"input_dropout": 0.95}, "'input_dropout' .*from 0.0 to 0.9"),
        ({"weight_dropout": float("nan")}, "'weight_dropout' .*from 0.0 to 0.9"),
        ({"masking": 4.5}, "'masking' .*from 0.0 to 4.0"),
        ({"stretching": 0.6}, "'stretching' .*from 0.0 to 0.5"),
        ({"warping": 0.4}, "'warping' .*from 0.0 to 0.3"),
        ({"noise": 1.1}, "'noise' .*from 0.0 to 1.0"),
        ({"ngram": 7}, "'ngram' .*from 0 to 6"),
        ({"lowercase": 1}, "'lowercase' expects true or false"),
        ({"streaming": "yes"}, "'streaming' expects true or false"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        RecognitionOptions(**values)


def test_the_kinds_of_features_are_those_that_are_computed() -> None:
    fields = {field.name: field for field in dataclasses.fields(AcousticFeatures)}
    assert set(fields["kind"].metadata["choices"]) == set(KINDS)
    for kind in KINDS:
        assert AcousticFeatures(kind=kind).kind == kind


def test_every_option_has_help_and_the_defaults_can_be_written() -> None:
    fields = dataclasses.fields(RecognitionOptions)
    assert all(field.metadata["help"] for field in fields)
    assert from_dict(RecognitionOptions, to_dict(RecognitionOptions())) == RecognitionOptions()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"beam": 0}, "'beam' expects a value, from 1"),
        ({"best": 0}, "'best' expects a value, from 1"),
        ({"language_weight": -0.1}, "'language_weight' expects a value, from 0"),
        ({"word_bonus": 101.0}, "'word_bonus' expects a value of nats, from -100"),
        ({"beams": 5}, "did you mean 'beam'"),
    ],
    ids=str,
)
def test_listening_options_out_of_range_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        ListeningOptions(**wrong)


@pytest.mark.parametrize(
    ("lexicon", "told", "words"),
    [
        (False, {"language_weight": 1.0}, "'language_weight' weighs a lexicon's words, .* has non"),
        (False, {"word_bonus": -1.0}, "'word_bonus' weighs a lexicon's words, .*leave it out"),
        (True, {"word_bonus": 2.0, "language_weight": 0.0}, "'language_weight' = 0 leaves out, go"),
        (
            True,
            {"language_model": "m", "language_weight": 0.0},
            "'language_model' would count",
        ),
    ],
    ids=str,
)
def test_what_would_weigh_nothing_is_refused(
    lexicon: bool, told: dict[str, Any], words: str
) -> None:
    fitted = untaught(FEW, lexicon=lexicon, ngram=0)
    with pytest.raises(OptionError, match=words):
        Search(fitted, ListeningOptions(**told))
    idle = {name: 0.0 if isinstance(value, float) else None for name, value in told.items()}
    Search(fitted, ListeningOptions(**idle))


def test_more_results_than_are_followed_are_refused() -> None:
    with pytest.raises(OptionError, match="'best' expects at most the beam, 16, got 17"):
        Search(untaught(), ListeningOptions(best=17))
