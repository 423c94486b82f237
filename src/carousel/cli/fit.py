"""``carousel fit TASK DATA --out MODEL``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from carousel.cli.parameters import check_overlap, expanded, split_values, with_options
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.model_folder import check_model_target
from carousel.training.options import RunOptions
from carousel.training.run_folder import check_run_folder, forget_run

check_overlap(ForecastingOptions, RunOptions)

fit = App(name="fit", help="Train a model and save it as a folder.", help_format="plaintext")


@fit.command(name="forecasting")
@with_options(
    {"Forecast": ForecastingOptions, "Training": RunOptions}, without=("checkpoint", "restart")
)
def fit_forecasting(
    data: Annotated[str, Parameter(help="CSV or Parquet file in long form, or sample:weather")],
    /,
    *,
    out: Annotated[Path, Parameter(help="folder to save the model in", converter=expanded)],
    valid: Annotated[
        str | None,
        Parameter(
            help="further rows that choose when to stop; default: the last rows", converter=expanded
        ),
    ] = None,
    force: Annotated[
        bool, Parameter(help="replace the model, and forget an interrupted run", negative="")
    ] = False,
    json_: Annotated[
        bool, Parameter(name="--json", help="print the result as JSON", negative="")
    ] = False,
    **values: Any,
) -> None:
    """Train a forecaster for many series of one frequency.

    An interrupted run is kept beside OUT; go on with --resume.
    """
    from carousel.tasks.forecasting import Forecaster

    # Of several processes one writes.
    is_first = os.environ.get("RANK", "0") == "0"
    kept = run_folder(out)
    if is_first:
        check_model_target(out, force=force)
        check_run_folder(kept)
    forecast, training = split_values(values, ForecastingOptions, RunOptions)
    restart = force and not training.get("resume", False)
    run = RunOptions(**training, checkpoint=str(kept), restart=restart)
    model = Forecaster(**forecast)
    model.fit(data, valid=valid, run=run)
    if not is_first:
        return
    model.save(out, force=force)
    forget_run(kept)
    last = model.history.records[-1]
    if json_:
        print(json.dumps({"model": str(out), "steps": last.step, "seconds": last.elapsed}))
    else:
        print(f"saved {out} after {last.step:,} steps, {last.elapsed / 60:.1f} minutes")
        print(f"next: carousel evaluate {out} {data}", file=sys.stderr)


def run_folder(out: Path) -> Path:
    """Returns where the run that makes ``out`` is kept until it is done."""
    real = out.resolve()  # "." has no name of its own
    return real.with_name(real.name + ".run")
