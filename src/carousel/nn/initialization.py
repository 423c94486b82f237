"""Initial values of an LSTM's parameters, each function in place and named after what it sets.

They work on ``carousel.LSTM``, ``carousel.LSTMCell``, ``torch.nn.LSTM`` and ``torch.nn.LSTMCell``,
on every layer and direction, and can follow one another: a later one overwrites what both set. The
equations know the sum of the two biases only, so a value goes into ``bias_ih`` and ``bias_hh`` is
set to 0 beside it.

Shape letters: I input size, H hidden size, P projection size (H where there is none).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.parameter import Parameter

from carousel.errors import OptionError, unknown_name
from carousel.nn.cell import LSTMCell
from carousel.nn.options import is_number

METHODS = ("pytorch", "orthogonal")

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)


def uniform_(module: ModuleT) -> ModuleT:
    """Draws every parameter from U(-1/√H, 1/√H), in PyTorch's order: ``torch.nn.LSTM``'s own way.

    Args:
        module: an LSTM or a cell.

    Returns:
        The module.

    Raises:
        TypeError: for a module that is neither.
    """
    bound = 1.0 / math.sqrt(_hidden_size(module))
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, -bound, bound)
    return module


@torch.no_grad()
def orthogonal_(module: ModuleT, gain: float = 1.0) -> ModuleT:
    """Draws orthogonal recurrent matrices, one a gate, and Glorot's input matrices.

        W_hkᵀ W_hk = gain² I    for each gate k, W_hk (H, P)
        W_ik ~ U(-a, a),   a = √(6 / (I + H))

    An orthogonal matrix keeps the length of what it multiplies, step after step. A projection
    (P, H) gets orthonormal rows. Biases and peepholes are set to 0; ``forget_bias_`` or
    ``chrono_`` may follow.

    Args:
        module: an LSTM or a cell.
        gain: factor of the recurrent matrices.

    Returns:
        The module.

    Raises:
        OptionError: for a gain that is not above 0, or parametrized weights.
        TypeError: for a module that is neither an LSTM nor a cell.

    Reference:
        Saxe, McClelland and Ganguli (2014), arXiv:1312.6120; the normalized initialization of
        Glorot and Bengio (2010), proceedings.mlr.press/v9/glorot10a.
    """
    if not is_number(gain) or not 0 < gain < math.inf:
        raise OptionError(f"gain: expected a number above 0, got {gain!r}")
    for layer in _layers(module):
        for gate in _gates(module, layer["weight_ih"]):
            torch.nn.init.xavier_uniform_(gate)
        for gate in _gates(module, layer["weight_hh"]):
            _orthogonal(gate, gain)
        if "weight_hr" in layer:
            _orthogonal(layer["weight_hr"], 1.0)
        for kind in ("bias_ih", "bias_hh", "weight_peephole"):
            if kind in layer:
                layer[kind].zero_()
    return module


@torch.no_grad()
def forget_bias_(module: ModuleT, value: float = 1.0) -> ModuleT:
    """Sets the bias of every forget gate, so that memory is kept until the layer learns to drop it.

        b_f = value;   f ≈ σ(value) at first, 0.73 for 1

    With coupled gates i = 1 - f follows. Other biases stay as they are.

    Args:
        module: an LSTM or a cell, with biases.
        value: of the bias, the sum of ``bias_ih`` and ``bias_hh``.

    Returns:
        The module.

    Raises:
        OptionError: for a value that is not finite, a module without biases, or parametrized ones.
        TypeError: for a module that is neither an LSTM nor a cell.

    Reference:
        Gers, Schmidhuber and Cummins (2000), doi:10.1162/089976600300015015; 1 is of Jozefowicz,
        Zaremba and Sutskever (2015), proceedings.mlr.press/v37/jozefowicz15.
    """
    _check_biases(value, None)
    for layer in _layers(module, with_bias="forget_bias"):
        _set(_forget(module, layer), value)
    return module


@torch.no_grad()
def chrono_(module: ModuleT, longest: float) -> ModuleT:
    """Draws the biases of forget and input gates for memories that last up to a number of steps.

        b_f ~ log U(1, T_max - 1),   b_i = -b_f

    A memory lasts about 1 / (1 - f) = 1 + exp(b_f) steps, which this spreads evenly over 2 to
    T_max. With coupled gates i = 1 - f is b_i = -b_f by itself. Other biases stay as they are.

    Args:
        module: an LSTM or a cell, with biases.
        longest: T_max, the longest memory expected, in steps; above 2.

    Returns:
        The module.

    Raises:
        OptionError: for a number of steps that is not above 2, a module without biases, or
            parametrized ones.
        TypeError: for a module that is neither an LSTM nor a cell.

    Reference:
        Tallec and Ollivier (2018), arXiv:1804.11188.
    """
    _check_biases(None, longest)
    for layer in _layers(module, with_bias="chrono"):
        ours = _forget(module, layer)
        drawn = torch.empty_like(ours[0], dtype=_exact(ours[0])).uniform_(1, longest - 1).log_()
        _set(ours, drawn)
        if len(_gates(module, layer["bias_ih"])) == 4:
            _set((_gates(module, layer["bias_ih"])[0], _gates(module, layer["bias_hh"])[0]), -drawn)
    return module


def initialize_(
    module: ModuleT,
    method: str = "pytorch",
    forget_bias: float | None = None,
    chrono: float | None = None,
) -> ModuleT:
    """Sets every parameter, as the options of ``carousel.LSTM`` with these names say.

    Args:
        module: an LSTM or a cell.
        method: "pytorch" for ``uniform_``, "orthogonal" for ``orthogonal_``.
        forget_bias: for ``forget_bias_``, afterwards; None to leave it.
        chrono: for ``chrono_``, afterwards; None to leave it.

    Returns:
        The module.

    Raises:
        OptionError: for an unknown method, and as the functions say.
        TypeError: for a module that is neither an LSTM nor a cell.
    """
    if method not in METHODS:
        raise OptionError(unknown_name("initialization", method, METHODS))
    _check_biases(forget_bias, chrono)
    (orthogonal_ if method == "orthogonal" else uniform_)(module)
    if forget_bias is not None:
        forget_bias_(module, forget_bias)
    if chrono is not None:
        chrono_(module, chrono)
    return module


def _check_biases(forget_bias: float | None, chrono: float | None) -> None:
    if forget_bias is not None and chrono is not None:
        raise OptionError(
            f"chrono: expected it or forget_bias, both set the forget gates' biases; got "
            f"forget_bias={forget_bias} and chrono={chrono}"
        )
    if forget_bias is not None and not (is_number(forget_bias) and math.isfinite(forget_bias)):
        raise OptionError(f"forget_bias: expected a finite number, got {forget_bias!r}")
    if chrono is not None and not (is_number(chrono) and 2 < chrono < math.inf):
        raise OptionError(
            f"chrono: expected the longest memory in steps, a number above 2, got {chrono!r}"
        )


def _hidden_size(module: torch.nn.Module) -> int:
    if not isinstance(module, (LSTMCell, torch.nn.LSTMCell)) and _mode(module) != "LSTM":
        raise TypeError(f"module: expected an LSTM or an LSTMCell, got {type(module).__name__}")
    return int(module.hidden_size)  # type: ignore[arg-type]


def _mode(module: torch.nn.Module) -> object:
    return getattr(module, "mode", None)  # which carousel.LSTM and torch.nn.LSTM have


def _layers(module: torch.nn.Module, *, with_bias: str = "") -> Iterator[dict[str, Parameter]]:
    """Yields the parameters of each layer and direction by kind.

    Raises:
        OptionError: where a parameter is computed from others, or where biases are missing for the
            function ``with_bias``.
    """
    _hidden_size(module)
    suffixes = [""]
    if _mode(module) == "LSTM":
        directions = ("", "_reverse") if module.bidirectional else ("",)
        layers = range(int(module.num_layers))  # type: ignore[arg-type]
        suffixes = [f"_l{layer}{direction}" for layer in layers for direction in directions]
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole")
    for suffix in suffixes:
        found = {kind: getattr(module, kind + suffix, None) for kind in kinds}
        for kind, value in found.items():
            if value is not None and not isinstance(value, Parameter):
                raise OptionError(
                    f"{kind}{suffix}: expected a parameter, got a tensor that is computed from "
                    f"others. Initialise the layer before it is parametrized"
                )
        if with_bias and found["bias_ih"] is None:
            raise OptionError(f"{with_bias}: expected a module with biases, got bias=False")
        yield {kind: value for kind, value in found.items() if isinstance(value, Parameter)}


def _gates(module: torch.nn.Module, packed: Tensor) -> tuple[Tensor, ...]:
    """Returns each gate's rows, i, f, g, o or, where gates are coupled, f, g, o."""
    return packed.detach().split(_hidden_size(module))


def _forget(module: torch.nn.Module, layer: dict[str, Parameter]) -> tuple[Tensor, Tensor]:
    """Returns the forget gate's two biases."""
    both = (_gates(module, layer["bias_ih"]), _gates(module, layer["bias_hh"]))
    return both[0][-3], both[1][-3]


def _set(biases: tuple[Tensor, Tensor], value: Tensor | float) -> None:
    """Gives two biases a sum."""
    biases[0].copy_(value) if isinstance(value, Tensor) else biases[0].fill_(value)
    biases[1].zero_()


def _orthogonal(matrix: Tensor, gain: float) -> None:
    # No QR factorization is there for half precision.
    torch.nn.init.orthogonal_(drawn := torch.empty_like(matrix, dtype=_exact(matrix)), gain)
    matrix.copy_(drawn)


def _exact(tensor: Tensor) -> torch.dtype:
    """Returns the type to compute in: the tensor's own where it is wide enough."""
    return torch.promote_types(tensor.dtype, torch.float32)
