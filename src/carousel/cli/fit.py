"""``carousel fit TASK DATA --out MODEL``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from carousel.cli.parameters import check_overlap, split_values, with_options
from carousel.data.storage import check_target
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.model_folder import CONFIG
from carousel.training.options import RunOptions

check_overlap(ForecastingOptions, RunOptions)

fit = App(name="fit", help="Train a model and save it as a folder.", help_format="plaintext")


@fit.command(name="forecasting")
@with_options({"Forecast": ForecastingOptions, "Training": RunOptions}, without=("checkpoint",))
def fit_forecasting(
    data: Annotated[str, Parameter(help="CSV or Parquet file in long form, or sample:weather")],
    /,
    *,
    out: Annotated[Path, Parameter(help="folder to save the model in")],
    valid: Annotated[
        Path | None, Parameter(help="further rows that choose when to stop; default: the last rows")
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

    check_target(out, force=force, marker=CONFIG)
    forecast, training = split_values(values, ForecastingOptions, RunOptions)
    kept = run_folder(out)
    run = RunOptions(**training, checkpoint=str(kept))
    is_first = os.environ.get("RANK", "0") == "0"
    if force and not run.resume and is_first:
        forget_run(kept)
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
    return out.with_name(out.name + ".run")


def forget_run(folder: Path) -> None:
    """Deletes the folder of a run that is done or given up."""
    shutil.rmtree(folder, ignore_errors=True)
