"""Every value as a long frame of polars or pandas: of an inspection, or of a layer's trace.

Knows nothing of what the values mean.

Shape letters: T time, B batch, H hidden size, P projection size (H where there is none), D
directions, N rows of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carousel.data.extras import import_extra
from carousel.errors import OptionError, ShapeError, unknown_name
from carousel.inspection.contents import QUANTITIES, Contents
from carousel.nn.trace import Trace

LIBRARIES = ("polars", "pandas")

Codes = NDArray[np.intp]
Words = tuple[Codes, Sequence[str]]  # (N,) which of some words each row has


def contents_frame(
    contents: Contents, library: str, layers: str | Sequence[str] | None = None
) -> Any:
    """Returns every value of some layers, a row for each layer, step and unit.

    The columns are ``layer, step, name, unit, f, i, g, o, c, h``, where ``name`` is what the step
    is called and a step is counted from 0. A layer with a projection has fewer hidden values than
    units: ``h`` of those beyond is null (NaN in pandas).

    Args:
        contents: what was seen.
        library: ``"polars"`` or ``"pandas"``.
        layers: names of those wanted; by default all.

    Raises:
        OptionError: for a library or a layer that is not there.
        MissingDependencyError: where the library is not installed.
    """
    names = contents.layer_names(layers)
    chosen = [contents.layer(name) for name in names]
    values, steps, units, of_layer, of_step = [], [], [], [], []
    words: list[str] = []
    for number, layer in enumerate(chosen):
        shape = (len(layer), layer.hidden_size)
        step, unit = (part.ravel() for part in np.indices(shape))
        steps.append(step)
        units.append(unit)
        of_layer.append(np.full(len(step), number))
        of_step.append(step + len(words))
        words += contents.axis(layer.axis).names
        values.append([_flat(getattr(layer, letter), layer.hidden_size) for letter in QUANTITIES])
    columns: dict[str, NDArray[Any] | Words] = {
        "layer": (_joined(of_layer), names),
        "step": _joined(steps),
        "name": (_joined(of_step), words),
        "unit": _joined(units),
    }
    return _frame(library, {**columns, **_quantities(values)})


def trace_frame(
    trace: Trace,
    library: str,
    *,
    batch_first: bool = False,
    lengths: Tensor | Sequence[int] | None = None,
) -> Any:
    """Returns every value of ``lstm.trace(x)``, a row for each layer, sequence, step and unit.

        frame = trace_frame(lstm.trace(x), "polars")

    The columns are ``layer, sequence, step, unit, f, i, g, o, c, h``; the sequence is 0 where there
    is no batch. ``h`` is null (NaN in pandas) for the units that a projection leaves without one.

    Args:
        trace: of one call.
        library: ``"polars"`` or ``"pandas"``.
        batch_first: whether the layer was made so, which values of an equal number of steps and
            sequences do not tell.
        lengths: (B,) of the sequences, as they were given to the layer: steps past an end, whose
            values are 0, are left out. By default all are there.

    Raises:
        OptionError: for another library.
        ShapeError: where the trace is laid out otherwise, or there are not B lengths.
        MissingDependencyError: where the library is not installed.
    """
    batch = _batch(trace, batch_first)
    if lengths is not None and (len(lengths) != batch or trace.output.dim() == 2):
        raise ShapeError(
            f"lengths expect one for each of the {batch} sequences of a batch, got {len(lengths)}"
            + ("; this trace has no batch, leave them out" if trace.output.dim() == 2 else "")
        )
    values, steps, units, sequences, of_layer = [], [], [], [], []
    for number, layer in enumerate(trace.values()):
        arrays = {letter: _array(getattr(layer, letter), batch_first) for letter in QUANTITIES}
        total, _, hidden = arrays["c"].shape
        sequence, step, unit = (part.ravel() for part in np.indices((batch, total, hidden)))
        kept = np.full(len(step), True)
        if lengths is not None:
            kept = step < np.asarray(torch.as_tensor(lengths).cpu())[sequence]
        steps.append(step[kept])
        units.append(unit[kept])
        sequences.append(sequence[kept])
        of_layer.append(np.full(int(kept.sum()), number))
        values.append([_flat(arrays[letter], hidden)[kept] for letter in QUANTITIES])
    columns: dict[str, NDArray[Any] | Words] = {
        "layer": (_joined(of_layer), list(trace)),
        "sequence": _joined(sequences),
        "step": _joined(steps),
        "unit": _joined(units),
    }
    return _frame(library, {**columns, **_quantities(values)})


def _batch(trace: Trace, batch_first: bool) -> int:
    """Returns B, 1 where there is no batch, and refuses a layout that cannot be the trace's."""
    if trace.output.dim() == 2:
        return 1
    found = trace.output.shape[0 if batch_first else 1]
    expected = trace.state.h.shape[1]
    if found != expected:
        raise ShapeError(
            f"a trace of {expected} sequences has values of {tuple(trace.output.shape)}, which "
            f"batch_first={batch_first} does not fit; give batch_first={not batch_first}"
        )
    return int(found)


def _array(values: Tensor, batch_first: bool) -> NDArray[Any]:
    """Returns values as (T, B, ·)."""
    # NumPy has no bfloat16.
    kind = torch.promote_types(values.dtype, torch.float32)
    plain: NDArray[Any] = values.detach().cpu().to(kind).numpy()
    if plain.ndim == 2:
        return plain[:, None]
    return plain.swapaxes(0, 1) if batch_first else plain


def _flat(values: NDArray[Any], hidden: int) -> NDArray[Any]:
    """Returns (T, P) as (T·H,) and (T, B, P) as (B·T·H,), NaN for the units from P on."""
    if values.ndim == 3:
        values = values.swapaxes(0, 1)
    missing = hidden - values.shape[-1]
    room = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
    padded = np.pad(values, room, constant_values=np.nan) if missing else values
    flat: NDArray[Any] = padded.ravel()
    return flat


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, np.intp)


def _quantities(values: Sequence[Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Returns a column for each letter from the (N,) values of each letter of each layer."""
    return {letter: _joined([of[n] for of in values]) for n, letter in enumerate(QUANTITIES)}


def _frame(library: str, columns: dict[str, NDArray[Any] | Words]) -> Any:
    if library not in LIBRARIES:
        raise OptionError(unknown_name("library of frames", library, LIBRARIES))
    if library == "pandas":
        pandas = import_extra("pandas", None)
        return pandas.DataFrame(
            {
                name: value
                if isinstance(value, np.ndarray)
                else pandas.Series(list(value[1]), dtype="str").take(value[0]).array
                for name, value in columns.items()
            }
        )
    polars = import_extra("polars", "inspect")
    frame = polars.DataFrame(
        {
            name: value
            if isinstance(value, np.ndarray)
            else polars.Series(list(value[1]), dtype=polars.String).gather(value[0])
            for name, value in columns.items()
        }
    )
    # polars keeps NaN and null apart, and what is not there is null to it.
    return frame.with_columns(polars.col("h").fill_nan(None))
