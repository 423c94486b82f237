"""Parameters that several verbs have: a model, a device, a picture, may files be replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from carousel.cli.parameters import expanded
from carousel.data.pictures import FORMATS
from carousel.data.storage import check_file_target
from carousel.errors import OptionError

FORECASTING = "forecasting"
LANGUAGE_MODELING = "language-modeling"
TRANSLATION = "translation"
SPEECH_RECOGNITION = "speech-recognition"
PLOT_FORMATS = {
    FORECASTING: (*FORMATS, ".html"),
    LANGUAGE_MODELING: FORMATS,
    TRANSLATION: FORMATS,
    SPEECH_RECOGNITION: FORMATS,
}

ModelPath = Annotated[Path, Parameter(help="folder of a saved model", converter=expanded)]
_Devices = Literal["auto", "cpu", "cuda"]
# One sequence by itself leaves a GPU idle: each step of it waits for the one before.
OneDevice = Annotated[
    _Devices,
    Parameter(
        help="where to compute; a single text or sound is faster on the CPU; auto takes a GPU if "
        "there is one"
    ),
]
AnyDevice = Annotated[
    _Devices, Parameter(help="where to compute; auto takes a GPU if there is one")
]
Plot = Annotated[
    Path | None,
    Parameter(
        help="draw a picture: .png or .svg; of forecasts also a page, .html", converter=expanded
    ),
]
Json = Annotated[bool, Parameter(name="--json", help="print JSON", negative="")]
Force = Annotated[bool, Parameter(help="replace files that exist", negative="")]


def check_place(path: Path | None, force: bool) -> None:
    """Refuses, before any work is done, a file that could not be written at its end."""
    if path is not None:
        check_file_target(path, force=force)


def check_ending(option: str, path: Path | None, endings: tuple[str, ...]) -> None:
    """Refuses a file of a kind that is not written."""
    if path is not None and path.suffix.lower() not in endings:
        known = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
        raise OptionError(f"{option} expects a name ending in {known}, got {path.name!r}")
