"""``carousel fit TASK DATA --out MODEL``."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from carousel.cli.parameters import check_overlap, expanded, split_values, with_options
from carousel.errors import OptionError
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.model_folder import check_model_target
from carousel.tasks.speech_recognition.options import RecognitionOptions
from carousel.tasks.translation.options import TranslationOptions
from carousel.training.options import RunOptions
from carousel.training.run_folder import check_run_folder, forget_run

check_overlap(ForecastingOptions, RunOptions)
check_overlap(LanguageModelingOptions, RunOptions)
check_overlap(TranslationOptions, RunOptions)
check_overlap(RecognitionOptions, RunOptions)

fit = App(name="fit", help="Train a model and save it as a folder.", help_format="plaintext")

Out = Annotated[Path, Parameter(help="folder to save the model in", converter=expanded)]
Force = Annotated[
    bool, Parameter(help="replace the model, and forget an interrupted run", negative="")
]
Json = Annotated[bool, Parameter(name="--json", help="print the result as JSON", negative="")]
KEPT = ("checkpoint", "restart")  # which --out and --force decide


@fit.command(name="forecasting")
@with_options({"Forecast": ForecastingOptions, "Training": RunOptions}, without=KEPT)
def fit_forecasting(
    data: Annotated[str, Parameter(help="CSV or Parquet file in long form, or sample:weather")],
    /,
    *,
    out: Out,
    valid: Annotated[
        str | None,
        Parameter(
            help="further rows that choose the weights; default: the last rows", converter=expanded
        ),
    ] = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Train a forecaster for many series of one frequency.

    An interrupted run is kept beside OUT; go on with --resume.
    """
    from carousel.tasks.forecasting import Forecaster

    _fit(Forecaster, ForecastingOptions, data, valid, out, values, force=force, as_json=json_)


@fit.command(name="language-modeling")
@with_options({"Language model": LanguageModelingOptions, "Training": RunOptions}, without=KEPT)
def fit_language_modeling(
    data: Annotated[
        str,
        Parameter(
            help="text file, JSON lines (either with .gz too), folder or pattern, or "
            "sample:shakespeare"
        ),
    ],
    /,
    *,
    out: Out,
    valid: Annotated[
        str | None,
        Parameter(
            help="further text that chooses the weights; default: what lies before the holdout",
            converter=expanded,
        ),
    ] = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Train a language model of a text: characters, bytes, words or subwords.

    An interrupted run is kept beside OUT; go on with --resume.
    """
    from carousel.tasks.language_modeling import LanguageModel

    _fit(
        LanguageModel, LanguageModelingOptions, data, valid, out, values, force=force, as_json=json_
    )


@fit.command(name="translation")
@with_options({"Translator": TranslationOptions, "Training": RunOptions}, without=KEPT)
def fit_translation(
    data: Annotated[
        str,
        Parameter(
            help="sentence pairs: a table with a TAB between source and target, JSON lines, or "
            "sample:tatoeba-en-de; or the file with the sources (any file with .gz too)"
        ),
    ],
    target: Annotated[
        str | None,
        Parameter(help="the file with the other side of each pair, line by line; see --reverse"),
    ] = None,
    /,
    *,
    out: Out,
    valid: Annotated[
        list[str] | None,
        Parameter(
            help="further pairs that choose the weights, one file or two; default: a part of DATA",
            consume_multiple=True,
            negative="",
        ),
    ] = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Train a translator of sentence pairs in any two languages.

    An interrupted run is kept beside OUT; go on with --resume.
    """
    from carousel.tasks.translation import Translator

    if valid is not None and len(valid) not in (1, 2):
        raise OptionError(f"--valid expects one file of pairs, or two aligned ones, got {valid}")
    further = None if valid is None else tuple(os.path.expanduser(path) for path in valid)
    _fit(
        Translator,
        TranslationOptions,
        data if target is None else (data, target),
        further if further is None or len(further) == 2 else further[0],
        out,
        values,
        force=force,
        as_json=json_,
    )


@fit.command(name="speech-recognition")
@with_options({"Recogniser": RecognitionOptions, "Training": RunOptions}, without=KEPT)
def fit_speech_recognition(
    data: Annotated[
        str,
        Parameter(
            help="manifest: a table (.tsv, .csv) or JSON lines with the columns audio and text, "
            "and start, end, speaker where there are any; a Kaldi data folder; or "
            "sample:spoken-digits"
        ),
    ],
    /,
    *,
    out: Out,
    valid: Annotated[
        str | None,
        Parameter(
            help="further recordings that choose the weights; default: a part of DATA",
            converter=expanded,
        ),
    ] = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Train a recogniser of speech, of recordings and what was said in them.

    An interrupted run is kept beside OUT; go on with --resume.
    """
    from carousel.tasks.speech_recognition import Recognizer

    _fit(Recognizer, RecognitionOptions, data, valid, out, values, force=force, as_json=json_)


def _fit(
    task: Callable[..., Any],
    options: type,
    data: str | tuple[str, str],
    valid: str | tuple[str, ...] | None,
    out: Path,
    values: Mapping[str, Any],
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Fits a model of any task and saves it; of several processes the first one writes."""
    is_first = os.environ.get("RANK", "0") == "0"
    kept = run_folder(out)
    if is_first:
        check_model_target(out, force=force)
        check_run_folder(kept)
    own, training = split_values(values, options, RunOptions)
    restart = force and not training.get("resume", False)
    run = RunOptions(**training, checkpoint=str(kept), restart=restart)
    model = task(**own)
    model.fit(data, valid=valid, run=run)
    if not is_first:
        return
    model.save(out, force=force)
    forget_run(kept)
    last = model.history.records[-1]
    if as_json:
        print(json.dumps({"model": str(out), "steps": last.step, "seconds": last.elapsed}))
    else:
        print(f"saved {out} after {last.step:,} steps, {last.elapsed / 60:.1f} minutes")
        print(f"next: {_next_command(out, data, model.options)}", file=sys.stderr)


def _next_command(out: Path, data: str | tuple[str, str], options: Any) -> str:
    """Returns the command that evaluates a model: on what it held out, if it did."""
    given = (data,) if isinstance(data, str) else data
    if options.holdout == 0:
        words = shlex.join(["carousel", "evaluate", str(out)])
        new = "DATA"
        if len(given) > 1:  # which keep the order that they had
            new = "TARGET SOURCE" if options.reverse else "SOURCE TARGET"
        return f"{words} {new}, new to the model"
    return shlex.join(["carousel", "evaluate", str(out), *given])


def run_folder(out: Path) -> Path:
    """Returns where the run that makes ``out`` is kept until it is done."""
    real = out.resolve()  # "." has no name of its own
    return real.with_name(real.name + ".run")
