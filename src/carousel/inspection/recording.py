"""What each LSTM of a model reads while it runs: heard by hooks, joined where the state goes on.

Sees calls of ``torch.nn.LSTM``, ``torch.nn.LSTMCell``, ``carousel.LSTM`` and ``carousel.LSTMCell``
and nothing else. Knows nothing of axes, names of steps or pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.errors import OptionError, ShapeError, unknown_name
from carousel.inspection.calls import CELLS, LAYERS, Call, check_row, row_of_call
from carousel.inspection.reading import Piece, Reading, layer_names
from carousel.inspection.recomputing import check_recomputed, layer_on, recomputed, weights_of
from carousel.inspection.untouched import untouched
from carousel.nn import LSTM, State

_NOT_SEEN = (torch.nn.RNNBase, torch.nn.RNNCellBase, torch.jit.ScriptModule)
_QUANTIZED = ".quantized."  # in the names of the modules whose classes have integers as weights
_WRAPPED = "_orig_mod"  # what torch.compile calls the module that it wraps
_LISTED = 5  # modules that an error names


class Recording(NamedTuple):
    """What a run returned, and the sequences that LSTMs read in it, by their first calls."""

    result: Any
    readings: list[Reading]


def record(
    model: torch.nn.Module,
    run: Callable[[], Any],
    *,
    row: int = 0,
    layers: str | Sequence[str] | None = None,
) -> Recording:
    """Runs a model, and returns every value that its LSTMs computed for one row of the batch.

    The model runs in evaluation and without gradients, code that was compiled as it is written, and
    is afterwards as it was (``untouched``). Calls of one module are joined to one sequence where a
    call takes the very memory cell that an earlier one gave: a loop over a cell is a sequence, so
    is a layer that is fed in parts. A cell's call whose result nobody takes, because the next call
    starts from where it started, is left out: so loops leave out what is behind a sequence's end
    (one step there looks like any other).

    Args:
        model: with an LSTM in it.
        run: makes it run, on one batch.
        row: which sequence of the batch.
        layers: paths of modules in the model, or what they begin with; by default all.

    Returns:
        What ``run`` returned, and one reading at least.

    Raises:
        OptionError: where no LSTM was called, or one computes something else; for a name in
            ``layers`` that is nowhere.
        ShapeError: for a row that there is not.
    """
    check_row(row)
    heard = _Heard(row)
    handles = []
    with untouched(model), _as_written(model):
        try:
            for path, module in _chosen(model, layers).items():
                hook = partial(heard.hear, path)
                # In front of the user's own hooks, which may change what is returned.
                handles.append(module.register_forward_hook(hook, prepend=True, with_kwargs=True))
            result = run()
        finally:
            for handle in handles:
                handle.remove()
    for reading in heard.readings:
        if reading.discarded:
            reading.pieces.pop()
    heard.check()
    if not heard.readings:
        raise OptionError(_nothing_called(lstms(model)))
    return Recording(result, heard.readings)


def lstms(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Returns the layers and cells of a model by their paths, as it is written."""
    found: dict[str, torch.nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, LAYERS + CELLS):
            found[".".join(part for part in name.split(".") if part != _WRAPPED)] = module
    return found


def selects(chosen: Iterable[str], name: str) -> bool:
    """Returns whether a name is one of the chosen, or goes on where one of them ends."""
    return any(name == one or name.startswith((f"{one}.", f"{one}#")) for one in chosen)


class _Heard:
    """The readings of one run, while it goes on."""

    def __init__(self, row: int) -> None:
        self.readings: list[Reading] = []
        self._row = row
        self._empty = False
        self._missing: dict[str, int] = {}  # path to the rows of a call without ours
        self._layers: dict[str, tuple[dict[str, Tensor], LSTM]] = {}

    def hear(
        self,
        path: str,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        output: Any,
    ) -> None:
        """Takes in one call; a forward hook but for its first argument."""
        call = row_of_call(module, self._row, args, kwargs, output)
        if isinstance(call, int):  # a row may end before others, and then be left out
            self._missing.setdefault(path, call)
            return
        if len(call.inputs) == 0:
            self._empty = True
            return
        own = [reading for reading in self.readings if reading.path == path]
        layer = self._layer(path, module)
        reading = None if layer.bidirectional else _continued(own, call)
        start = call.before
        if reading is None:
            reading = Reading(
                path=path,
                number=len(own) + 1,
                cell=isinstance(module, CELLS),
                batch_first=bool(getattr(module, "batch_first", True)),
                layer=layer,
            )
            self.readings.append(reading)
        else:
            start = _going_on(reading, call)
        trace = recomputed(layer, call, start)
        check_recomputed(path, module, call, trace)
        reading.pieces.append(Piece(call, trace))
        reading.steps += call.steps

    def check(self) -> None:
        """Raises a ShapeError where a module was called, and never with a step of the row."""
        heard = {reading.path for reading in self.readings}
        for path, rows in self._missing.items():
            if path not in heard:
                if not rows:
                    raise ShapeError(
                        f"expected a batch with a sequence at least, but what "
                        f"{path or 'the model itself'} reads has none"
                    )
                raise ShapeError(
                    f"row: expected the number of one of the {rows} sequences that "
                    f"{path or 'the model itself'} reads, from 0 to {rows - 1}, got {self._row}. "
                    f"Choose another, or other layers by layers=[...]"
                )
        if self._empty and not heard:
            raise ShapeError(
                f"row: expected a sequence with a step at least, but number {self._row} has none. "
                f"Choose another"
            )

    def _layer(self, path: str, module: torch.nn.Module) -> LSTM:
        weights = weights_of(module)
        if path in self._layers:
            known, layer = self._layers[path]
            if all(_same_memory(known[name], weight) for name, weight in weights.items()):
                return layer
        layer = layer_on(module, weights)
        self._layers[path] = weights, layer
        return layer


def _same_memory(one: Tensor, other: Tensor) -> bool:
    """Returns whether two tensors, both held, are one; a parametrization makes new ones."""
    return one.data_ptr() == other.data_ptr() and one.stride() == other.stride()


def _continued(own: Sequence[Reading], call: Call) -> Reading | None:
    """Returns the reading of a module that a call goes on with, made ready for it."""
    if not call.given:
        return None
    for reading in reversed(own):
        if equal(reading.after.c, call.before.c):
            reading.discarded = False
            return reading
    for reading in reversed(own):
        last = reading.pieces[-1].call
        if not reading.cell or len(reading.pieces) == 1:
            continue
        if all(map(equal, last.before, call.before)):
            reading.pieces.pop()
            reading.discarded = True
            return reading
    return None


def _going_on(reading: Reading, call: Call) -> State:
    """Returns the state that a call starts from, in the digits of what was recomputed.

    The hidden state may have been changed on the way, as by a normalisation: it is then the call's.
    """
    own = State(*(part[:, 0] for part in reading.pieces[-1].trace.state))
    return own if equal(reading.after.h, call.before.h) else State(call.before.h, own.c)


def equal(one: Tensor, other: Tensor) -> bool:
    """Returns whether two tensors have one dtype and the same numbers."""
    return one.dtype == other.dtype and torch.equal(one, other)


def _chosen(
    model: torch.nn.Module, layers: str | Sequence[str] | None
) -> dict[str, torch.nn.Module]:
    """Returns the modules that are listened to, by their paths."""
    found = lstms(model)
    if not found:
        raise OptionError(_none_there(model))
    if layers is None:
        return found
    chosen = [layers] if isinstance(layers, str) else list(layers)
    if not chosen:
        raise OptionError("layers: expected the name of a layer at least, got none")
    names = {
        path: layer_names(path, module, cell=isinstance(module, CELLS))
        for path, module in found.items()
    }
    for one in chosen:
        base = one.partition("#")[0]
        if not any(selects([base], name) for own in names.values() for name in own):
            known = [name for own in names.values() for name in own]
            raise OptionError(unknown_name("layer", one, known))
    bases = [one.partition("#")[0] for one in chosen]
    return {
        path: module
        for path, module in found.items()
        if any(selects(bases, name) for name in names[path])
    }


def _none_there(model: torch.nn.Module) -> str:
    others = [
        f"{name or 'the model itself'} ({_class(module)})"
        for name, module in model.named_modules()
        if isinstance(module, _NOT_SEEN) or _is_quantized(module)
    ]
    has = f"it has {', '.join(others[:_LISTED])}" if others else "it has no recurrent layer"
    return (
        f"inspect: expected a model with a torch.nn.LSTM, torch.nn.LSTMCell, carousel.LSTM or "
        f"carousel.LSTMCell in it, found none in {_class(model)}; {has}. A GRU or plain RNN has no "
        f"memory cell; a model is inspected before it is scripted or quantized"
    )


def _is_quantized(module: torch.nn.Module) -> bool:
    kind = type(module)
    return _QUANTIZED in kind.__module__ and any(name in kind.__name__ for name in ("LSTM", "GRU"))


def _nothing_called(found: Mapping[str, torch.nn.Module]) -> str:
    names = [f"{path or 'the model itself'} ({_class(module)})" for path, module in found.items()]
    return (
        f"inspect: expected the model to call an LSTM, but while it ran none was called of "
        f"{', '.join(names)}. A call is seen where the module itself is called, self.lstm(x), not "
        f"its forward, self.lstm.forward(x), and not a function that is given its weights. Call "
        f"the module, or give an input that leads to it"
    )


def _class(module: torch.nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))


def _as_written(model: torch.nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Runs compiled code as it is written, because compiled code may pass hooks by."""
    for module in model.modules():
        if _WRAPPED in module._modules or module._compiled_call_impl is not None:
            return torch.compiler.set_stance("force_eager")
    return contextlib.nullcontext()
