"""``carousel fit TASK DATA --out MODEL``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from carousel.cli.parameters import check_overlap, expanded, split_values, with_options
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.model_folder import check_model_target
from carousel.training.options import RunOptions
from carousel.training.run_folder import check_run_folder, forget_run

check_overlap(ForecastingOptions, RunOptions)
check_overlap(LanguageModelingOptions, RunOptions)

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
            help="further rows that choose when to stop; default: the last rows", converter=expanded
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
            help="further text that chooses when to stop; default: what lies before the holdout",
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


def _fit(
    task: Callable[..., Any],
    options: type,
    data: str,
    valid: str | None,
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
        print(f"next: carousel evaluate {out} {data}", file=sys.stderr)


def run_folder(out: Path) -> Path:
    """Returns where the run that makes ``out`` is kept until it is done."""
    real = out.resolve()  # "." has no name of its own
    return real.with_name(real.name + ".run")
