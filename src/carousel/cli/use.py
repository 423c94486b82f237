"""``carousel evaluate MODEL DATA`` and ``carousel predict MODEL INPUT``."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from carousel.cli.parameters import expanded
from carousel.data.storage import check_file_target, write_atomically
from carousel.errors import OptionError

ModelPath = Annotated[Path, Parameter(help="folder of a saved model", converter=expanded)]
Data = Annotated[str, Parameter(help="CSV or Parquet file, or sample:NAME")]
Plot = Annotated[
    Path | None, Parameter(help="draw a picture: .png, .svg, or a page: .html", converter=expanded)
]
Json = Annotated[bool, Parameter(name="--json", help="print JSON", negative="")]
Force = Annotated[bool, Parameter(help="replace files that exist", negative="")]
TABLE_FORMATS = (".csv", ".parquet")
PLOT_FORMATS = (".png", ".svg", ".html")


def evaluate(
    model: ModelPath,
    data: Data,
    /,
    *,
    stride: Annotated[
        int | None, Parameter(help="steps between forecasts; default: the horizon")
    ] = None,
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Score a model on rows it has not seen, against the forecasts a sceptic would ask for."""
    import carousel

    _check_output("--plot", plot, PLOT_FORMATS, force)
    report = carousel.load(model).evaluate(data, stride=stride)
    if plot is not None:
        report.plot(plot)
    print(json.dumps(_json_values(report.to_dict()), allow_nan=False) if json_ else report)


def predict(
    model: ModelPath,
    input: Annotated[
        str | None,
        Parameter(
            help="CSV or Parquet file, or sample:NAME; default: the last rows that the model knows"
        ),
    ] = None,
    /,
    *,
    update: Annotated[
        bool,
        Parameter(
            help="INPUT has the rows behind those that the model knows: carry it forward over them "
            "and save it, without training",
            negative="",
        ),
    ] = False,
    future: Annotated[
        str | None,
        Parameter(
            help="CSV or Parquet file with the rows to forecast and what is known of them, "
            "for a model with known covariates",
            converter=expanded,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(
            help="where to write: .csv or .parquet; default: CSV to the terminal",
            converter=expanded,
        ),
    ] = None,
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Forecast what comes behind the last row of every series."""
    import carousel

    _check_output("--out", out, TABLE_FORMATS, force)
    _check_output("--plot", plot, PLOT_FORMATS, force)
    if json_ and out is not None:
        raise OptionError("--json prints to the terminal and --out writes a file; give one of them")
    if update and input is None:
        raise OptionError("--update needs the new rows; give them as INPUT")
    forecaster = carousel.load(model)
    if update:
        forecaster.update(input)
    frame = forecaster.predict(None if update else input, future=future, plot=plot)
    if out is not None:
        write_atomically(out, _table_bytes(frame, out.suffix.lower()))
        print(f"wrote {len(frame):,} rows to {out}", file=sys.stderr)
    elif json_:
        print(frame.write_json())
    else:
        sys.stdout.write(frame.write_csv())
    if update:  # after the answer: an update whose answer was lost can be given again
        print(end="", flush=True)
        forecaster.save(model, force=True)
        print(f"carried {model} forward over {input}", file=sys.stderr)


def _table_bytes(frame: Any, kind: str) -> bytes:
    import io

    if kind == ".csv":
        text: str = frame.write_csv()
        return text.encode()
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def _check_output(option: str, path: Path | None, endings: tuple[str, ...], force: bool) -> None:
    """Refuses, before any work is done, a file that could not be written at its end."""
    if path is None:
        return
    if path.suffix.lower() not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise OptionError(f"{option} expects a name ending in {known}, got {path.name!r}")
    check_file_target(path, force=force)


def _json_values(value: Any) -> Any:
    """Returns plain values with None where a number is none: JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {name: _json_values(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
