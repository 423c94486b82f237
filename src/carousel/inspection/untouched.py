"""A module that runs as in evaluation and is afterwards as it was, whatever its forward pass does.

Knows nothing of LSTMs.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import OptionError


@contextlib.contextmanager
def untouched(module: torch.nn.Module) -> Iterator[None]:
    """Puts a module into evaluation inside the block, and everything back after it.

    Inside, nothing is recorded for gradients. Afterwards, behind an error too, these are as they
    were before: the training mode of each part, its attributes (such as a state that ``forward``
    keeps on the module), lists and dictionaries among them, its buffers, and the random generators
    of Python, NumPy and PyTorch. What ``forward`` changes inside objects of other kinds is not put
    back.

    Modes are set one by one and not by ``eval()``, which some models overwrite to do more.

    Args:
        module: any.

    Raises:
        OptionError: for a module whose parameters are not made yet.
    """
    parts = list(module.modules())
    for part in parts:
        own = itertools.chain(part._parameters.values(), part._buffers.values())
        if any(torch.nn.parameter.is_lazy(tensor) for tensor in own if tensor is not None):
            raise OptionError(
                f"inspect: expected a model with all its weights, but its {type(part).__name__} "
                f"makes them at its first call. Call the model once, then inspect it"
            )
    before = [_Before(part) for part in parts]
    tensors = itertools.chain(module.parameters(), module.buffers())
    devices = sorted({tensor.device.index for tensor in tensors if tensor.is_cuda})
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            for part in parts:
                if part.training:
                    part.training = False
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        with contextlib.ExitStack() as rest:  # all of it runs, whatever one of them raises
            for known in reversed(before):
                rest.callback(known.put_back)


class _Before:
    """What one module, without those inside it, was before it ran."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._training = module.training
        self._attributes: dict[str, Any] = dict(vars(module))
        values = self._attributes.values()
        self._lists = [(value, list(value)) for value in values if isinstance(value, list)]
        self._dicts = [(value, dict(value)) for value in values if isinstance(value, dict)]
        own = [*module._buffers.values(), *values]
        self._tensors = [
            (value, _stored(value).clone())
            for value in own
            if isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
        ]

    def put_back(self) -> None:
        own = vars(self._module)
        for name in own.keys() - self._attributes.keys():
            del own[name]
        own.update(self._attributes)
        for items, old in self._lists:
            if not _same(items, old):
                items[:] = old
        for table, entries in self._dicts:
            if list(table) != list(entries) or not _same(table.values(), entries.values()):
                table.clear()
                table.update(entries)
        if self._module.training != self._training:  # kept elsewhere by a scripted module
            self._module.training = self._training
        for tensor, value in self._tensors:
            # One that was made in inference mode may be written in no other.
            with torch.inference_mode(tensor.is_inference()), torch.no_grad():
                if not _holds(_stored(tensor), value):
                    _stored(tensor).copy_(value)


def _same(one: Any, other: Any) -> bool:
    """Returns whether two collections hold the same objects; equal ones need not be the same."""
    return len(one) == len(other) and all(map(lambda a, b: a is b, one, other))


def _stored(tensor: Tensor) -> Tensor:
    """Returns a tensor without the dimensions along which one number stands for many."""
    found = tensor.detach()
    for dimension, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and size > 1:
            found = found.narrow(dimension, 0, 1)
    return found


def _holds(tensor: Tensor, value: Tensor) -> bool:
    """Returns whether all numbers are the same, NaN among them."""
    if torch.equal(tensor, value) or not tensor.is_floating_point():
        return torch.equal(tensor, value)
    return bool(((tensor == value) | (tensor.isnan() & value.isnan())).all())
