"""What ``carousel predict`` does with a forecaster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from carousel.cli.places import FORECASTING, PLOT_FORMATS, check_ending
from carousel.cli.waiting import counted
from carousel.data.storage import write_atomically
from carousel.errors import OptionError
from carousel.options import option, options

_TABLE_FORMATS = (".csv", ".parquet")


@options
class ForecastOptions:
    """What a forecast starts from."""

    update: bool = option(
        default=False,
        help="INPUT has the rows behind those that the model knows: carry it forward over them and "
        "save it, without training",
    )
    future: str | None = option(
        default=None,
        help="CSV or Parquet file with the rows to forecast and what is known of them, for a model "
        "with known covariates",
    )


def forecast(
    model: Path,
    input: str | None,
    chosen: ForecastOptions,
    out: Path | None,
    plot: Path | None,
    device: str,
    *,
    as_json: bool,
) -> None:
    """Forecasts what comes behind the last row of every series."""
    import carousel

    check_ending("--out", out, _TABLE_FORMATS)
    check_ending("--plot", plot, PLOT_FORMATS[FORECASTING])
    if chosen.update and input is None:
        raise OptionError("--update needs the new rows; give them as INPUT")
    future = None if chosen.future is None else str(Path(chosen.future).expanduser())
    forecaster = carousel.load(model).to(device)
    if chosen.update:
        forecaster.update(input)
    rows = None if chosen.update else input
    with counted("forecasts") as progress:
        frame = forecaster.predict(rows, future=future, plot=plot, progress=progress)
    if out is not None:
        write_atomically(out, _table_bytes(frame, out.suffix.lower()))
        print(f"wrote {len(frame):,} rows to {out}", file=sys.stderr)
    elif as_json:
        print(frame.write_json())
    else:
        sys.stdout.write(frame.write_csv())
    if chosen.update:  # after the answer: an update whose answer was lost can be given again
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
