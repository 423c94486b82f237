"""What a layer can be told, checked: sizes, flags, probabilities, the cell's variants.

Knows nothing of tensors; what a call is given is ``layout``'s matter.
"""

from __future__ import annotations

import math
import numbers
import warnings

import torch

from carousel.engines.selection import AUTO
from carousel.errors import OptionError

# What a layer does not mention of itself; first what PyTorch's mentions, in its order.
DEFAULTS = {
    "proj_size": 0,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0,
    "bidirectional": False,
    "peepholes": False,
    "coupled": False,
    "cell_clip": None,
    "recurrent_dropout": 0,
    "weight_dropout": 0,
    "zoneout_h": 0,
    "zoneout_c": 0,
    "initialization": "pytorch",
    "forget_bias": None,
    "chrono": None,
}


def check_sizes(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> None:
    """Raises a TypeError or an OptionError for a size that cannot be."""
    named = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
    for name, value in {**named, "proj_size": proj_size}.items():
        if not isinstance(value, int):
            raise TypeError(f"{name}: expected a whole number, got {type(value).__name__}")
    for name, value in named.items():
        if value <= 0:
            raise OptionError(f"{name}: expected a whole number above 0, got {value}")
    if not 0 <= proj_size < hidden_size:
        raise OptionError(
            f"proj_size: expected from 0 (no projection) to below hidden_size {hidden_size}, got "
            f"{proj_size}"
        )


def check_flags(**flags: bool) -> None:
    """Raises a TypeError for a flag that is neither true nor false."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected true or false, got {type(value).__name__}")


def check_dropout(dropout: float, num_layers: int) -> None:
    """Raises an OptionError for dropout that is no probability, and warns where it does nothing."""
    if not is_number(dropout) or not 0 <= dropout <= 1:
        raise OptionError(
            f"dropout: expected the probability of zeroing an element, from 0 to 1, got {dropout!r}"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"dropout={dropout} does nothing with num_layers=1: it acts between layers, on the "
            f"outputs of all but the last",
            stacklevel=3,
        )


def check_variant(
    cell_clip: float | None,
    recurrent_dropout: float,
    weight_dropout: float,
    zoneout_h: float,
    zoneout_c: float,
) -> None:
    """Raises an OptionError for a bound or a probability that no cell can have."""
    if cell_clip is not None and not (is_number(cell_clip) and 0 < cell_clip < math.inf):
        raise OptionError(
            f"cell_clip: expected the largest size of a memory cell's value, a number above 0, got "
            f"{cell_clip!r}. None is for no bound"
        )
    rates = {"recurrent_dropout": recurrent_dropout, "weight_dropout": weight_dropout}
    rates["zoneout_h"] = zoneout_h
    for name, rate in {**rates, "zoneout_c": zoneout_c}.items():
        if not is_number(rate) or not 0 <= rate < 1:
            raise OptionError(
                f"{name}: expected a probability from 0 to below 1, got {rate!r}. At 1 nothing of "
                f"the layer's own state would ever be read or written"
            )


def described(layer: torch.nn.Module, *, engine: str) -> str:
    """Returns a layer's sizes and every option that is not the default, as they are written."""
    words = [f"{layer.input_size}, {layer.hidden_size}"]
    words += [
        f"{name}={getattr(layer, name)!r}"
        for name, default in DEFAULTS.items()
        if getattr(layer, name) != default
    ]
    return ", ".join(words if engine == AUTO else [*words, f"engine={engine!r}"])


def is_number(value: object) -> bool:
    """Returns whether a value is a real number; ``True`` is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
