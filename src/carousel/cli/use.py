"""``carousel evaluate MODEL DATA`` and ``carousel predict MODEL INPUT``: a model knows its task."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from carousel.cli.parameters import expanded, split_values, with_options
from carousel.cli.waiting import counted
from carousel.data.storage import check_file_target, write_atomically
from carousel.decoding.sampling import SamplingOptions
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.language_modeling.adaptation import AdaptationOptions
from carousel.tasks.loading import task_of

FORECASTING, LANGUAGE_MODELING = "forecasting", "language-modeling"
TABLE_FORMATS = (".csv", ".parquet")
PLOT_FORMATS = {FORECASTING: (".png", ".svg", ".html"), LANGUAGE_MODELING: (".png", ".svg")}

ModelPath = Annotated[Path, Parameter(help="folder of a saved model", converter=expanded)]
Plot = Annotated[
    Path | None,
    Parameter(
        help="draw a picture: .png or .svg; of forecasts also a page, .html", converter=expanded
    ),
]
Json = Annotated[bool, Parameter(name="--json", help="print JSON", negative="")]
Force = Annotated[bool, Parameter(help="replace files that exist", negative="")]


@options
class BacktestOptions:
    """How a forecaster is evaluated."""

    stride: int | None = option(
        default=None, help="steps between forecasts; default: the horizon", unit="steps"
    )


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


@options
class ReadingOptions:
    """How the text of a language model's evaluation is read; by default as that of its training."""

    encoding: str | None = option(default=None, help="character encoding of the files")
    field: str | None = option(default=None, help="field of a JSON line that holds the text")


@options
class WritingOptions:
    """How much a language model writes."""

    max_tokens: int = option(
        default=500, help="most tokens written; 0 for no end", unit="tokens", low=0
    )
    stop: tuple[str, ...] = option(default=(), help="texts at which to stop")
    seed: int = option(default=0, help="decides every draw", low=0, high=2**63 - 1)
    score: bool = option(
        default=False, help="write nothing; say how likely INPUT is, token by token"
    )


@with_options(
    {
        "Forecasting": BacktestOptions,
        "Language modeling": ReadingOptions,
        "Language modeling: what it learns from the text": AdaptationOptions,
    }
)
def evaluate(
    model: ModelPath,
    data: Annotated[
        str, Parameter(help="what the model is for: rows or text, as for fit; or sample:NAME")
    ],
    /,
    *,
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Score a model on data it has not seen, against what a sceptic would try first."""
    import carousel

    _check_place(plot, force)
    task = task_of(model)
    own = _own_values(
        task,
        values,
        {FORECASTING: (BacktestOptions,), LANGUAGE_MODELING: (ReadingOptions, AdaptationOptions)},
    )
    _check_ending("--plot", plot, PLOT_FORMATS[task])
    if task == LANGUAGE_MODELING:
        with counted("tokens") as progress:
            report = carousel.load(model).evaluate(
                data, adaptation=AdaptationOptions(**own[1]), **own[0], progress=progress
            )
    else:
        with counted("forecasts") as progress:
            report = carousel.load(model).evaluate(data, **own[0], progress=progress)
    if plot is not None:
        report.plot(plot)
    print(json.dumps(_json_values(report.to_dict()), allow_nan=False) if json_ else report)


@with_options(
    {
        "Forecasting": ForecastOptions,
        "Language modeling": WritingOptions,
        "Language modeling: how a token is drawn": SamplingOptions,
    }
)
def predict(
    model: ModelPath,
    input: Annotated[
        str | None,
        Parameter(
            help="of a forecaster: CSV or Parquet file, or sample:NAME; default: the last rows "
            "that the model knows. Of a language model: the text to go on from, or - for what "
            "comes in on standard input",
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
    plot: Plot = None,
    force: Force = False,
    json_: Json = False,
    **values: Any,
) -> None:
    """Forecast what comes behind the last row of every series, or write on from a text."""
    _check_place(plot, force)
    _check_place(out, force)
    task = task_of(model)
    own = _own_values(
        task,
        values,
        {FORECASTING: (ForecastOptions,), LANGUAGE_MODELING: (WritingOptions, SamplingOptions)},
    )
    if json_ and out is not None:
        raise OptionError("--json prints to the terminal and --out writes a file; give one of them")
    if task == LANGUAGE_MODELING:
        if plot is not None:
            raise OptionError("--plot: there is no picture of a text; leave it out")
        writing, sampling = WritingOptions(**own[0]), SamplingOptions(**own[1])
        idle = [name for values in own for name in values if name != "score"]
        if writing.score and idle:
            raise OptionError(
                f"--score writes nothing, so --{idle[0].replace('_', '-')} would do nothing; leave "
                f"one of them out"
            )
        if writing.max_tokens == 0 and (out is not None or json_):
            raise OptionError("--max-tokens 0 has no end, which only a terminal or pipe can take")
        prompt = sys.stdin.read() if input == "-" else input or ""
        _write(model, prompt, writing, sampling, out, as_json=json_)
    else:
        _check_ending("--out", out, TABLE_FORMATS)
        _check_ending("--plot", plot, PLOT_FORMATS[FORECASTING])
        _forecast(model, input, ForecastOptions(**own[0]), out, plot, as_json=json_)


def _forecast(
    model: Path,
    input: str | None,
    chosen: ForecastOptions,
    out: Path | None,
    plot: Path | None,
    *,
    as_json: bool,
) -> None:
    import carousel

    if chosen.update and input is None:
        raise OptionError("--update needs the new rows; give them as INPUT")
    future = None if chosen.future is None else str(Path(chosen.future).expanduser())
    forecaster = carousel.load(model)
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


def _write(
    model: Path,
    prompt: str,
    writing: WritingOptions,
    sampling: SamplingOptions,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    import carousel

    language_model = carousel.load(model)
    if writing.score:
        scored = language_model.score(prompt)
        text = json.dumps(scored.to_dict()) if as_json else str(scored)
        if out is None:
            print(text)
        else:
            write_atomically(out, f"{text}\n".encode())
        return
    pieces = language_model.stream(
        prompt,
        max_tokens=writing.max_tokens or None,
        stop=writing.stop,
        seed=writing.seed,
        options=sampling,
    )
    if as_json:
        print(json.dumps({"prompt": prompt, "text": "".join(pieces)}, ensure_ascii=False))
    elif out is not None:
        text = prompt + "".join(pieces)
        write_atomically(out, f"{text}\n".encode())
        print(f"wrote {len(text):,} characters to {out}", file=sys.stderr)
    else:
        print(prompt, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
            if getattr(sys.stdout, "failed", False):  # the reader has left, and there may be no end
                return
        print()


def _own_values(
    task: str, values: Mapping[str, Any], classes: Mapping[str, tuple[type, ...]]
) -> list[dict[str, Any]]:
    """Returns the values of each options class of a task, and refuses those of another task."""
    own = {f.name for cls in classes[task] for f in dataclasses.fields(cls)}
    for other, theirs in classes.items():
        names = {field.name for cls in theirs for field in dataclasses.fields(cls)}
        if foreign := [name for name in values if name in names - own]:
            raise OptionError(
                f"--{foreign[0].replace('_', '-')} is for {other}, and this is a model for {task}; "
                f"leave it out"
            )
    return split_values(values, *classes[task])


def _table_bytes(frame: Any, kind: str) -> bytes:
    import io

    if kind == ".csv":
        text: str = frame.write_csv()
        return text.encode()
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def _check_place(path: Path | None, force: bool) -> None:
    """Refuses, before any work is done, a file that could not be written at its end."""
    if path is not None:
        check_file_target(path, force=force)


def _check_ending(option: str, path: Path | None, endings: tuple[str, ...]) -> None:
    """Refuses a file of a kind that is not written."""
    if path is not None and path.suffix.lower() not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise OptionError(f"{option} expects a name ending in {known}, got {path.name!r}")


def _json_values(value: Any) -> Any:
    """Returns plain values with None where a number is none: JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {name: _json_values(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
