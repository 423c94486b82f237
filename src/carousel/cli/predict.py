"""``carousel predict MODEL INPUT``: a model knows its task, and each task has its own answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from carousel.cli import forecasts, transcripts, translations, writing
from carousel.cli.evaluate import EncodingOptions
from carousel.cli.parameters import expanded, own_values, with_options
from carousel.cli.places import (
    FORECASTING,
    LANGUAGE_MODELING,
    SPEECH_RECOGNITION,
    TRANSLATION,
    Force,
    Json,
    ModelPath,
    OneDevice,
    Plot,
    check_place,
)
from carousel.decoding.beam_search import BeamOptions
from carousel.decoding.sampling import SamplingOptions
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.loading import task_of
from carousel.tasks.speech_recognition.recognition import ListeningOptions
from carousel.training.devices import chosen_device


@options
class LengthOptions:
    """How much a language model or a translator writes."""

    max_tokens: int | None = option(
        default=None,
        help="most tokens written; default: of a language model 500, and 0 is no end; of a "
        "translator by the length of the sentence",
        unit="tokens",
        low=0,
    )


_CLASSES: dict[str, tuple[type, ...]] = {
    FORECASTING: (forecasts.ForecastOptions,),
    LANGUAGE_MODELING: (LengthOptions, writing.WritingOptions, SamplingOptions),
    TRANSLATION: (
        LengthOptions,
        translations.TranslatingOptions,
        BeamOptions,
        EncodingOptions,
    ),
    SPEECH_RECOGNITION: (transcripts.TranscribingOptions, ListeningOptions),
}


@with_options(
    {
        "Forecasting": forecasts.ForecastOptions,
        "Text: language modeling and translation": LengthOptions,
        "Language modeling": writing.WritingOptions,
        "Language modeling: how a token is drawn": SamplingOptions,
        "Translation": translations.TranslatingOptions,
        "Translation: its file": EncodingOptions,
        "Translation: how the best is searched for": BeamOptions,
        "Speech recognition": transcripts.TranscribingOptions,
        "Speech recognition: how words are searched for": ListeningOptions,
    }
)
def predict(
    model: ModelPath,
    input: Annotated[
        str | None,
        Parameter(
            help="of a forecaster: CSV or Parquet file, or sample:NAME; default: the last rows "
            "that the model knows. Of a language model: the text to go on from. Of a translator: a "
            "file with a sentence a line, or of pairs, .tsv or .jsonl; default: standard input. Of "
            "both - for what comes in on standard input. Of a recogniser: an audio file, a folder "
            "of them, or - for a list of files on standard input",
            allow_leading_hyphen=True,
        ),
    ] = None,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(
            help="where to write: .csv or .parquet, or any name for text; default: to the terminal",
            converter=expanded,
        ),
    ] = None,
    device: OneDevice = "cpu",
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Forecast what follows the last row of every series, write on, translate, transcribe."""
    check_place(plot, force)
    check_place(out, force)
    _check_apart({"--out": out, "--plot": plot}, input, model)
    chosen_device(device)  # refused before anything is read
    task = task_of(model)
    own = own_values(task, values, _CLASSES)
    # What is out of range is refused before anything is read.
    chosen: list[Any] = [made(**given) for made, given in zip(_CLASSES[task], own, strict=True)]
    if json_ and out is not None:
        raise OptionError("--json prints to the terminal and --out writes a file; give one of them")
    if task == FORECASTING:
        forecasts.forecast(model, input, chosen[0], out, plot, device, as_json=json_)
    elif task == TRANSLATION:
        length, text, search, reading = chosen
        most, encoding = length.max_tokens, reading.encoding
        translations.translate(
            model, input, text, search, most, encoding, out, plot, device, as_json=json_
        )
    elif plot is not None:
        raise OptionError("--plot: there is no picture of a text; leave it out")
    elif task == SPEECH_RECOGNITION:
        written, listening = chosen
        transcripts.transcribe(model, input, written, listening, out, device, as_json=json_)
    else:
        length, how, sampling = chosen
        heard = ("score", "ngram_weight")  # where nothing is written
        if how.score and (idle := [name for name in values if name not in heard]):
            raise OptionError(
                f"--score writes nothing, so --{idle[0].replace('_', '-')} would do nothing; leave "
                f"one of them out"
            )
        writing.write(model, input, how, sampling, length.max_tokens, out, device, as_json=json_)


def _check_apart(places: dict[str, Path | None], input: str | None, model: Path) -> None:
    """Refuses, even by --force, files that would be written over each other or what is read."""
    written = {name: os.path.realpath(at) for name, at in places.items() if at is not None}
    if len(set(written.values())) < len(written):
        raise OptionError(f"--plot and --out both name {places['--out']}; give two names")
    given = os.path.expanduser(input or "")
    read = os.path.realpath(given) if os.path.isfile(given) else None
    for name, place in written.items():
        if place == read:
            raise OptionError(f"{name} is INPUT, which would be lost; give another name")
        if Path(place).is_relative_to(os.path.realpath(model)):
            raise OptionError(f"{name} lies in the model's folder; give another place")
