"""``carousel evaluate MODEL DATA`` and ``carousel predict MODEL INPUT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from carousel.data.storage import write_atomically
from carousel.errors import OptionError, OutputError

ModelPath = Annotated[Path, Parameter(help="folder of a saved model")]
Data = Annotated[str, Parameter(help="CSV or Parquet file, or sample:NAME")]
Plot = Annotated[Path | None, Parameter(help="draw a picture: .png or .svg")]
Json = Annotated[bool, Parameter(name="--json", help="print JSON", negative="")]
Force = Annotated[bool, Parameter(help="replace files that exist", negative="")]
TABLE_FORMATS = (".csv", ".parquet")


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

    _check_new(plot, force)
    report = carousel.load(model).evaluate(data, stride=stride)
    if plot is not None:
        report.plot(plot)
    print(json.dumps(report.to_dict()) if json_ else report)


def predict(
    model: ModelPath,
    input: Data,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(help="where to write: .csv or .parquet; default: CSV to the terminal"),
    ] = None,
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Forecast what comes behind the last row of every series."""
    import carousel

    _check_new(out, force)
    _check_new(plot, force)
    if out is not None and out.suffix.lower() not in TABLE_FORMATS:
        raise OptionError(f"--out expects a name ending in .csv or .parquet, got {out.name!r}")
    if json_ and out is not None:
        raise OptionError("--json prints to the terminal and --out writes a file; give one of them")
    loaded = carousel.load(model)
    frame = loaded.predict(input)
    if plot is not None:
        loaded.plot(input, plot)
    if out is not None:
        write_atomically(out, _table_bytes(frame, out.suffix.lower()))
        print(f"wrote {len(frame):,} rows to {out}", file=sys.stderr)
    elif json_:
        print(frame.write_json())
    else:
        sys.stdout.write(frame.write_csv())


def _table_bytes(frame: Any, kind: str) -> bytes:
    import io

    if kind == ".csv":
        text: str = frame.write_csv()
        return text.encode()
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def _check_new(path: Path | None, force: bool) -> None:
    """Refuses to write over a file, before any work is done."""
    if path is not None and path.exists() and not force:
        raise OutputError(f"{path}: exists already; give --force to replace it, or another name")
