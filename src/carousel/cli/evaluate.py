"""``carousel evaluate MODEL DATA``: a model knows its task."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from cyclopts import Parameter

from carousel.cli.parameters import own_values, with_options
from carousel.cli.places import (
    FORECASTING,
    LANGUAGE_MODELING,
    PLOT_FORMATS,
    SPEECH_RECOGNITION,
    TRANSLATION,
    AnyDevice,
    Force,
    Json,
    ModelPath,
    Plot,
    check_ending,
    check_place,
)
from carousel.cli.waiting import counted
from carousel.data.extras import import_extra
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.language_modeling.adaptation import AdaptationOptions
from carousel.tasks.loading import task_of
from carousel.tasks.speech_recognition.recognition import ListeningOptions
from carousel.tasks.translation.scores import TOKENIZERS
from carousel.training.devices import chosen_device


@options
class BacktestOptions:
    """How a forecaster is evaluated."""

    stride: int | None = option(
        default=None, help="steps between forecasts; default: the horizon", unit="steps"
    )


@options
class EncodingOptions:
    """How texts are read; by default as those of the training."""

    encoding: str | None = option(
        default=None, help="character encoding of the files; default: that of the training"
    )


@options
class FieldOptions:
    """Where in a file a language model's text stands; by default as in training."""

    field: str | None = option(default=None, help="field of a JSON line that holds the text")


@options
class PairOptions:
    """Where in a file a translator's pairs stand, by default as in training, and what BLEU counts.

    Which side is translated, ``reverse``, is the model's.

    Raises:
        OptionError: for an unknown tokenizer.
    """

    source_field: str | None = option(
        default=None, help="field of a JSON line that holds the text to translate"
    )
    target_field: str | None = option(
        default=None, help="field of a JSON line that holds the text translated to"
    )
    bleu_tokenizer: str = option(
        default="13a",
        help="what words are to BLEU: divided by blanks (13a), also at every sign (intl), Chinese "
        "(zh), single characters (char)",
        choices=TOKENIZERS,
    )


@options
class BrokenOptions:
    """What becomes of recordings that cannot be read."""

    skip_broken: bool = option(
        default=False, help="leave out, and count, recordings that are missing or cannot be read"
    )


_CLASSES: dict[str, tuple[type, ...]] = {
    FORECASTING: (BacktestOptions,),
    LANGUAGE_MODELING: (AdaptationOptions, EncodingOptions, FieldOptions),
    TRANSLATION: (BeamOptions, EncodingOptions, PairOptions),
    SPEECH_RECOGNITION: (ListeningOptions, BrokenOptions),
}
# Under which name ``evaluate`` takes the first of these as an object.
_MAIN = {
    LANGUAGE_MODELING: "adaptation",
    TRANSLATION: "search",
    SPEECH_RECOGNITION: "listening",
}
_EXTRAS = {
    FORECASTING: "forecasting",
    LANGUAGE_MODELING: "text",
    TRANSLATION: "text",
    SPEECH_RECOGNITION: "speech",
}
_COUNTED = {
    FORECASTING: "forecasts",
    LANGUAGE_MODELING: "tokens",
    TRANSLATION: "sentences",
    SPEECH_RECOGNITION: "recordings",
}


@with_options(
    {
        "Forecasting": BacktestOptions,
        "Text: language modeling and translation": EncodingOptions,
        "Language modeling": FieldOptions,
        "Language modeling: what it learns from the text": AdaptationOptions,
        "Translation": PairOptions,
        "Translation: how it is searched for": BeamOptions,
        "Speech recognition": BrokenOptions,
        "Speech recognition: how words are searched for": ListeningOptions,
    },
    without=("best",),
)
def evaluate(
    model: ModelPath,
    data: Annotated[
        str, Parameter(help="what the model is for: rows, text or pairs, as for fit; sample:NAME")
    ],
    target: Annotated[
        str | None,
        Parameter(
            help="of a translator: file with the other side of each pair, where DATA has one, in "
            "the order of the training"
        ),
    ] = None,
    /,
    *,
    device: AnyDevice = "auto",
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Score a model on data it has not seen, against what a sceptic would try first."""
    import carousel

    check_place(plot, force)
    chosen_device(device)  # refused before anything is read
    task = task_of(model)
    first, *rest = own_values(task, values, _CLASSES)
    # What is out of range is refused before anything is read.
    main, *_ = [made(**own) for made, own in zip(_CLASSES[task], (first, *rest), strict=True)]
    check_ending("--plot", plot, PLOT_FORMATS[task])
    if plot is not None:
        import_extra("matplotlib", _EXTRAS[task])  # whose lack should be known before the work
    if target is not None and task != TRANSLATION:
        raise OptionError(f"a second file is for translation, got {target!r}; leave it out")
    chosen: dict[str, Any] = {name: value for own in rest for name, value in own.items()}
    given: Any = data if target is None else (data, target)
    if task == FORECASTING:
        chosen = first
    else:
        chosen[_MAIN[task]] = main
    with counted(_COUNTED[task]) as progress:
        report = carousel.load(model).to(device).evaluate(given, **chosen, progress=progress)
    # Before the picture: what keeps that from being written keeps the scores from nobody.
    print(json.dumps(_json_values(report.to_dict()), allow_nan=False) if json_ else report)
    if plot is not None:
        report.plot(plot)


def _json_values(value: Any) -> Any:
    """Returns plain values with None where a number is none: JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {name: _json_values(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
