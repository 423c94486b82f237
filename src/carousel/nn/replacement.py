"""Every ``torch.nn.LSTM`` of a model becomes this package's layer, in place, and back.

The object stays and its class changes, as ``torch.nn.utils.parametrize`` does it. Whatever points
at the layer or hangs on it therefore stays as it was: names, ties, hooks, parameters, wrappers.
Knows nothing of engines but their names.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar, cast

import torch
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from carousel.engines.selection import check_name
from carousel.nn.lstm import LSTM

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)


class ReplacedLSTM(LSTM, torch.nn.LSTM):  # type: ignore[misc]  # forward takes more, by name
    """A ``torch.nn.LSTM`` that runs as ``carousel.LSTM``; ``replace_lstm`` makes it.

    Also a ``torch.nn.LSTM``, and a real subclass: models ask ``isinstance`` to initialise weights
    and to know what a state looks like, and nothing registers a class as a virtual subclass of one
    whose metaclass is ``type``.

    Args:
        args: as ``torch.nn.LSTM`` takes them.
        engine: as ``carousel.LSTM`` takes it.
        kwargs: as ``torch.nn.LSTM`` takes them.
    """

    def __init__(self, *args: Any, engine: str = "auto", **kwargs: Any) -> None:
        torch.nn.LSTM.__init__(self, *args, **kwargs)
        vars(self).update(_own_attributes(self, check_name(engine)))


def replace_lstm(model: ModuleT, engine: str = "auto") -> ModuleT:
    """Makes every ``torch.nn.LSTM`` in a model run as ``carousel.LSTM``, in place.

    Each layer stays the object that it is, with its parameters, hooks, parametrizations, training
    mode and every attribute; only its class changes. Optimizers, tied weights, indices, references
    and wrappers (``DistributedDataParallel``, ``DataParallel``) need no word of it. The layer is
    then a ``carousel.LSTM`` (``lengths``, ``reset``, ``trace``, ``engine``) and still a
    ``torch.nn.LSTM`` to ``isinstance``. ``restore_lstm`` is the way back.

    ``torch.compile`` stops at every ``torch.nn.LSTM``, so at these too, and runs them as they are;
    with ``torch._dynamo.config.allow_rnn = True`` it goes through them without a break.
    ``torch.jit.script``, ``torch.fx.symbolic_trace`` and PyTorch's dynamic quantization know
    PyTorch's layers only: they come before, or after ``restore_lstm``.

    Left alone, with a warning that names them: subclasses of ``torch.nn.LSTM``, whose methods may
    count on how it works inside; layers that carry an attribute of their own where our layer has
    one, such as another ``forward``; scripted and quantized layers. ``torch.nn.GRU``,
    ``torch.nn.RNN`` and ``torch.nn.LSTMCell`` are left alone without a word.

    Args:
        model: any module; it may itself be a ``torch.nn.LSTM``.
        engine: "auto" for the first that can, or the name of one. Layers replaced before take it
            too.

    Returns:
        The model, the same object.

    Raises:
        OptionError: for an unknown engine.
        TypeError: for something that is no module.
    """
    check_name(engine)
    left_alone: list[str] = []
    found = False
    for name, layer in _modules(model):
        if isinstance(layer, ReplacedLSTM):
            layer.preferred_engine = engine
            found = True
        elif (refusal := _refusal(layer)) is not None:
            left_alone.append(f"{name or 'the model itself'} {refusal}")
        elif isinstance(layer, torch.nn.LSTM):
            own = _own_attributes(layer, engine)
            _change_class(layer, ReplacedLSTM)
            vars(layer).update(own)
            found = True
    if left_alone:
        warnings.warn(f"replace_lstm left alone: {'; '.join(left_alone)}", stacklevel=2)
    elif not found:
        warnings.warn(
            "replace_lstm: expected a torch.nn.LSTM in the model, found none; nothing was changed",
            stacklevel=2,
        )
    return model


def restore_lstm(model: ModuleT) -> ModuleT:
    """Takes back what ``replace_lstm`` did: the same objects are ``torch.nn.LSTM`` again.

    Layers that were made as ``carousel.LSTM`` stay what they are; see ``to_torch``.

    Args:
        model: any module; it may itself be a replaced layer.

    Returns:
        The model, the same object.

    Raises:
        TypeError: for something that is no module.
    """
    for place, layer in _modules(model):
        if not isinstance(layer, ReplacedLSTM):
            continue
        kind = type_before_parametrizations(layer)
        if kind is not ReplacedLSTM:
            warnings.warn(
                f"restore_lstm left alone: {place or 'the model itself'} is a {kind.__name__}, so "
                f"something else changed its class after replace_lstm; take that back first",
                stacklevel=2,
            )
        else:
            for name in _own_attributes(_bare(), "auto"):
                vars(layer).pop(name, None)
            _change_class(layer, torch.nn.LSTM)
            layer._init_flat_weights()
    return model


def _modules(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    return list(model.named_modules())


def _refusal(layer: torch.nn.Module) -> str | None:
    """Returns why a layer that looks like ``torch.nn.LSTM`` is left alone, or None."""
    kind = type_before_parametrizations(layer)
    if isinstance(layer, torch.jit.ScriptModule):
        scripted = getattr(layer, "original_name", None) == "LSTM"
        return "is scripted, its code is compiled already" if scripted else None
    if kind.__name__ == "LSTM" and kind.__module__.startswith("torch.ao."):
        return "is quantized, it has other weights"
    if not isinstance(layer, torch.nn.LSTM):
        return None
    if kind is not torch.nn.LSTM:
        return f"is a {kind.__name__}, a subclass that may count on how torch.nn.LSTM works inside"
    plain, ours = _bare(), LSTM(1, 1, device="meta")
    # Weights are no clash: weight_norm keeps the one that it computed among the attributes.
    expected = {*vars(plain), *ours._parameters}
    for name in vars(layer):
        if name not in expected and hasattr(ours, name):
            return f"has a {name!r} of its own, where carousel.LSTM has another"
    return None


def _bare() -> torch.nn.LSTM:
    """Returns an LSTM without memory, to ask what every ``torch.nn.LSTM`` has."""
    return torch.nn.LSTM(1, 1, device="meta")


def _own_attributes(layer: torch.nn.LSTM, engine: str) -> dict[str, Any]:
    """Returns the attributes that a ``carousel.LSTM`` like this layer has beyond PyTorch's."""
    like = LSTM(
        layer.input_size,
        layer.hidden_size,
        int(layer.num_layers),
        bool(layer.bias),
        bool(layer.batch_first),
        bidirectional=bool(layer.bidirectional),
        proj_size=layer.proj_size,
        device="meta",
        engine=engine,
    )
    plain = vars(_bare())
    return {name: value for name, value in vars(like).items() if name not in plain}


def _change_class(layer: torch.nn.Module, to: type[torch.nn.LSTM]) -> None:
    if is_parametrized(layer):
        # parametrize has put the layer into a class of its own, which holds the properties that
        # stand for the weights: the same class is made again, on the new one.
        kind = type(layer)
        kept = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
        layer.__class__ = cast(Any, type(f"Parametrized{to.__name__}", (to,), kept))
    else:
        layer.__class__ = to
