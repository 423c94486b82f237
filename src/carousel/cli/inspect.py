"""``carousel inspect MODEL INPUT``: what gates and memory of a saved model do with an input."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from carousel.cli import standard_output
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
    check_ending,
    check_place,
)
from carousel.cli.standard_input import incoming_text
from carousel.data.extras import import_extra
from carousel.data.pictures import FORMATS
from carousel.data.storage import write_atomically
from carousel.errors import OptionError
from carousel.inspection.figures import FIGURES, FigureOptions
from carousel.inspection.inspection import PAGE_FORMATS, Inspection
from carousel.options import option, options
from carousel.tasks.forecasting.inspecting import SeriesInspectionOptions
from carousel.tasks.language_modeling.inspecting import TextInspectionOptions
from carousel.tasks.loading import task_of
from carousel.tasks.speech_recognition.inspecting import SoundInspectionOptions
from carousel.tasks.translation.inspecting import SentenceInspectionOptions
from carousel.training.devices import chosen_device

_EXTRA = "inspect"
_NOTHING = "nothing"  # is explained
_EXPLAINING = ("explain", "step", "ahead")  # options that say nothing where nothing is
_INPUTS = {
    LANGUAGE_MODELING: "the text, or - for standard input",
    TRANSLATION: "the sentence, or - for standard input",
    SPEECH_RECOGNITION: "an audio file",
}


@options
class KnownOptions:
    """What is known of the rows to forecast."""

    future: str | None = option(
        default=None,
        help="CSV or Parquet file with the rows to forecast and what is known of them, for a model "
        "with known covariates",
    )


_CLASSES: dict[str, tuple[type, ...]] = {
    FORECASTING: (FigureOptions, SeriesInspectionOptions, KnownOptions),
    LANGUAGE_MODELING: (FigureOptions, TextInspectionOptions),
    TRANSLATION: (FigureOptions, SentenceInspectionOptions),
    SPEECH_RECOGNITION: (FigureOptions, SoundInspectionOptions),
}


@with_options(
    {
        "The figure": FigureOptions,
        "Forecasting": SeriesInspectionOptions,
        "Forecasting: known rows": KnownOptions,
        "Language modeling": TextInspectionOptions,
        "Translation": SentenceInspectionOptions,
        "Speech recognition": SoundInspectionOptions,
    },
    without=("layer",),
)
def inspect(
    model: ModelPath,
    input: Annotated[
        str | None,
        Parameter(
            help="of a forecaster: CSV or Parquet file, or sample:NAME; default: the rows that the "
            "model knows. Of a language model: a text. Of a translator: a sentence. Of both - for "
            "what comes in on standard input. Of a recogniser: an audio file",
            allow_leading_hyphen=True,
        ),
    ] = None,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(
            help="write a page that shows everything, .html, to look at in a browser",
            converter=expanded,
        ),
    ] = None,
    against: Annotated[
        str | None,
        Parameter(
            help="a second input, which stands beside the first on the page",
            allow_leading_hyphen=True,
        ),
    ] = None,
    plot: Annotated[
        Path | None, Parameter(help="draw a figure: .png or .svg", converter=expanded)
    ] = None,
    csv: Annotated[
        Path | None,
        Parameter(
            help="write every value, a row for each layer, step and unit: .csv", converter=expanded
        ),
    ] = None,
    layer: Annotated[
        str | None,
        Parameter(help="only this layer in what is printed, in the figure and in --csv"),
    ] = None,
    flow: Annotated[
        bool,
        Parameter(help="compute how far back gradients reach in each layer", negative=""),
    ] = False,
    device: OneDevice = "cpu",
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """See the gates, the memory and the gradients of a model while it reads an input."""
    import carousel

    for place in (out, plot, csv):
        check_place(place, force)
    chosen_device(device)  # refused before anything is read
    task = task_of(model)
    check_ending("--out", out, PAGE_FORMATS)
    check_ending("--plot", plot, FORMATS)
    check_ending("--csv", csv, (".csv",))
    figure, *rest = own_values(task, values, _CLASSES)
    asked = {name: value for own in rest for name, value in own.items()}
    if "future" in asked:
        asked["future"] = os.path.expanduser(asked["future"])
    for made, own in zip(_CLASSES[task][1:], rest, strict=True):
        made(**own)  # what is out of range is refused before anything is read
    chosen = _figure(plot, layer, figure, flow, asked)
    if against is not None:
        _check_against(out, input, against, asked)
    if csv is not None:
        import_extra("polars", _EXTRA)
    given = _given(task, input, "INPUT")
    second = None if against is None else _given(task, against, "--against")
    loaded = carousel.load(model).to(device)
    names = None if layer is None else [layer]
    if asked.get("explain", _NOTHING) != _NOTHING and (names or figure):
        # Explaining takes long; a layer or a unit that is not there is said before it.
        quick = {name: value for name, value in asked.items() if name not in _EXPLAINING}
        _check_names(loaded.inspect(given, **quick), names, chosen)
    seen: Inspection = loaded.inspect(given, **asked)
    _check_names(seen, names, chosen)
    other: Inspection | None = None if second is None else loaded.inspect(second, **asked)
    if flow:
        seen = seen.with_gradients()
        other = None if other is None else other.with_gradients()
    if chosen is not None:
        chosen.check(seen)  # before the page, so that all is written or nothing
    # Before the files: what a full disk or an interruption keeps from them, it keeps not from this.
    if json_:
        print(standard_output.as_json(seen.to_dict(names), allow_nan=False))
    else:
        print(seen.summary(names, color=_takes_color()))
    if out is not None:
        seen.save_page(out, other, force=True)
        print(f"wrote the page {out}", file=sys.stderr)
    if plot is not None and chosen is not None:
        seen.plot(plot, chosen)
        print(f"wrote the figure {plot}", file=sys.stderr)
    if csv is not None:
        frame = seen.to_polars(names)
        write_atomically(csv, frame.write_csv().encode())
        print(f"wrote {len(frame):,} rows to {csv}", file=sys.stderr)
    if out is None and plot is None and csv is None and not json_:
        print(
            "carousel: --out PAGE.html writes a page that shows every value, --plot FIGURE.png a "
            "figure",
            file=sys.stderr,
        )


def _figure(
    plot: Path | None,
    layer: str | None,
    values: Mapping[str, Any],
    flow: bool,
    asked: Mapping[str, Any],
) -> FigureOptions | None:
    """Returns which figure is drawn, if one is and all can be there that it needs."""
    if plot is None and values:
        name = next(iter(values)).replace("_", "-")
        raise OptionError(
            f"--{name} is about the figure; give --plot FIGURE.png, or leave --{name} out"
        )
    if plot is None:
        return None
    chosen = FigureOptions(**values)
    if chosen.figure == "gradients" and not flow:
        raise OptionError("--draw gradients needs gradients; give --flow too")
    if chosen.figure == "attribution" and asked.get("explain", _NOTHING) == _NOTHING:
        raise OptionError("--draw attribution needs one; give --explain too, such as occlusion")
    import_extra("matplotlib", _EXTRA)
    if layer is not None and "layer" in FIGURES[chosen.figure]:
        chosen = FigureOptions(**values, layer=layer)
    return chosen


def _check_against(
    out: Path | None, input: str | None, against: str, asked: Mapping[str, Any]
) -> None:
    if out is None:
        raise OptionError(
            "--against stands beside INPUT on the page; give --out PAGE.html, or leave it out"
        )
    if input == against == "-":
        raise OptionError("standard input can be read once; give one of both inputs itself")
    if "target" in asked:
        raise OptionError(
            "--target is the translation of INPUT, and --against would need its own; leave one out"
        )


def _check_names(
    seen: Inspection, names: Sequence[str] | None, chosen: FigureOptions | None
) -> None:
    for name in names or ():
        seen.layer(name)
    if chosen is not None:
        chosen.check_names(seen)


def _given(task: str, input: str | None, name: str) -> str | None:
    """Returns an input as the model takes it."""
    if input is None:
        if task == FORECASTING:
            return None
        raise OptionError(f"inspect with a model for {task} needs {name}: {_INPUTS[task]}")
    if task in (LANGUAGE_MODELING, TRANSLATION):
        if input != "-":
            return input
        # Which ends the line, and is no part of the text.
        return incoming_text("give INPUT itself").removesuffix("\n")
    return os.path.expanduser(input)


def _takes_color() -> bool:
    """Says whether standard output is a terminal that shows colours, and its user wants them."""
    # https://no-color.org
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()
