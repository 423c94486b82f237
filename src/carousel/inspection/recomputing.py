"""Every gate of a call, computed again on the very weights of a module and held against its output.

PyTorch's kernels keep their gates to themselves, so they are computed a second time, by
``carousel.LSTM.trace``; what comes out must be what the module said. Knows nothing of hooks.

Shape letters: T steps, I input size, H hidden size, P projection size (H where there is none),
L layers, D directions, K = L·D states.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import OptionError
from carousel.inspection.calls import CELLS, Call
from carousel.inspection.contents import Array, CellWeights, LayerValues
from carousel.nn import LSTM, State, Trace
from carousel.nn.parameters import shapes, suffixes

_UNIT = 2.0**-24  # unit roundoff of float32, in which values are kept
_TENSOR_FLOAT = 2.0**-11  # of the factors that CUDA may make of float32
_ACTIVATION_ERROR = 4  # of σ and tanh, in units of roundoff; docs/numerics.md


def weights_of(module: Any) -> dict[str, Tensor]:
    """Returns a module's weights under the names that ``carousel.LSTM`` has for them.

    They are looked up by name, so that what a parametrization computes is seen.

    Args:
        module: a layer or a cell, PyTorch's or ours.
    """
    if isinstance(module, CELLS):
        kinds = shapes(module.input_size, module.hidden_size, 0, bias=bool(module.bias))
        return {f"{kind}_l0": getattr(module, kind).detach() for kind in kinds}
    kinds = shapes(
        module.input_size,
        module.hidden_size,
        module.proj_size,
        bias=bool(module.bias),
        coupled=getattr(module, "coupled", False),
        peepholes=getattr(module, "peepholes", False),
    )
    names = suffixes(int(module.num_layers), bool(module.bidirectional))
    return {
        f"{kind}_{suffix}": getattr(module, f"{kind}_{suffix}").detach()
        for suffix in names
        for kind in kinds
    }


def layer_on(module: Any, weights: dict[str, Tensor]) -> LSTM:
    """Makes a ``carousel.LSTM`` that computes what a module does, on its weights.

    Nothing is copied but weights of less than 32 bits, which are made float32: gates then follow
    the equations more closely than the module itself does.

    Args:
        module: a layer or a cell, PyTorch's or ours, as in evaluation.
        weights: of it, as ``weights_of`` returns them.
    """
    kind = next(iter(weights.values())).dtype
    layer = _empty_layer(module, torch.float64 if kind == torch.float64 else torch.float32)
    for name, weight in weights.items():
        old = layer._parameters.pop(name)
        assert old is not None
        if old.shape != weight.shape:
            raise OptionError(
                f"inspect: expected {name} of {type(module).__name__} as {tuple(old.shape)}, got "
                f"{tuple(weight.shape)}, so it is another cell. Leave it out by layers=[...]"
            )
        vars(layer)[name] = weight.to(old.dtype)
    return layer.eval()


def _empty_layer(module: Any, dtype: torch.dtype) -> LSTM:
    """Returns a layer with a module's options and without memory for weights."""
    options = {}
    if isinstance(module, LSTM):
        names = ("peepholes", "coupled", "cell_clip", "zoneout_h", "zoneout_c")
        options = {name: getattr(module, name) for name in names}
    return LSTM(
        module.input_size,
        module.hidden_size,
        int(getattr(module, "num_layers", 1)),
        bool(module.bias),
        bidirectional=bool(getattr(module, "bidirectional", False)),
        proj_size=getattr(module, "proj_size", 0),
        device="meta",
        dtype=dtype,
        **options,
    )


def recomputed(layer: LSTM, call: Call, start: State) -> Trace:
    """Computes every value of a call again.

    Args:
        layer: on the weights of the module that was called.
        call: T steps, one or more.
        start: h (K, P) and c (K, H) before the first step.

    Returns:
        Values of (T, 1, ·), outside of any autocast.
    """
    like = layer.weight_ih_l0
    with torch.autocast(like.device.type, enabled=False):
        before = start.h[:, None].to(like.dtype), start.c[:, None].to(like.dtype)
        reset = None if call.reset is None else call.reset[:, None]
        return layer.trace(call.inputs[:, None].to(like.dtype), before, reset=reset)


def check_recomputed(name: str, module: torch.nn.Module, call: Call, trace: Trace) -> None:
    """Refuses a module whose output is not what an LSTM says on its weights.

        |y - ŷ| ≤ √u · max(1, max |y|),   y in the output, h and c

    Half the digits of the coarsest dtype that took part must agree (u is its unit roundoff: 2^-24
    for float32, 2^-53, 2^-11 and 2^-8 for float64, float16 and bfloat16; 2^-11 for float32 on CUDA,
    which may round the factors of products). That is far more than rounding leaves open over some
    hundreds of steps, unless weights make its errors grow, and far less than another equation does.

    Args:
        name: of the module in the model.
        module: for its class.
        call: what it was asked and said.
        trace: the same, recomputed.

    Raises:
        OptionError: naming the module, the difference and the bound.
    """
    took_part = (call.inputs, *call.before, call.outputs, *call.after)
    root = math.sqrt(max([_roundoff(tensor) for tensor in took_part] + _autocast(call.outputs)))
    said = (call.outputs, *call.after)
    found = (trace.output[:, 0], *(part[:, 0] for part in trace.state))
    for real, ours in zip(said, found, strict=True):
        if real.shape != ours.shape:
            raise OptionError(_other_equations(name, module, f"has shape {tuple(real.shape)}"))
        real = real.to(ours.dtype)
        if not real.numel() or float((real - ours).abs().max()) <= root:  # nearly always
            continue
        # A model that says NaN has an LSTM that computes NaN.
        real, ours = real.nan_to_num(torch.inf), ours.nan_to_num(torch.inf)
        bound = root * max(1.0, float(real.abs().nan_to_num(0, 0).max()))
        worst = float(torch.where(real == ours, 0, (real - ours).abs()).max())
        if not worst <= bound:
            problem = (
                f"differs by {worst:.2g} from what the equations of an LSTM give on its weights, "
                f"where {bound:.2g} is allowed, half the digits of its dtype"
            )
            raise OptionError(_other_equations(name, module, problem))


def _roundoff(tensor: Tensor) -> float:
    if tensor.is_cuda and tensor.dtype == torch.float32:
        return _TENSOR_FLOAT
    return torch.finfo(tensor.dtype).eps / 2


def _autocast(tensor: Tensor) -> list[float]:
    """Returns the roundoff of what autocast computes in, where it is on for a tensor's device."""
    kind = tensor.device.type
    if not torch.is_autocast_enabled(kind):
        return []
    return [torch.finfo(torch.get_autocast_dtype(kind)).eps / 2]


def _other_equations(name: str, module: torch.nn.Module, problem: str) -> str:
    return (
        f"inspect: the output of {name or 'the model itself'} ({type(module).__name__}) {problem}. "
        f"A subclass that computes something else cannot be shown: leave it out by layers=[...]. "
        f"If it is an LSTM, its weights make rounding errors grow (inspect model.double()), or a "
        f"global hook changes what it says (remove it)"
    )


def cell_weights(layer: LSTM, suffix: str) -> CellWeights | None:
    """Returns the weights of one layer and direction, None where its gates are not the textbook's.

    Args:
        layer: a stack.
        suffix: such as "l0_reverse".
    """
    if layer.coupled or layer.peepholes or layer.proj_size:
        return None
    recurrent = array(getattr(layer, f"weight_hh_{suffix}"))
    bias = np.zeros(len(recurrent), np.float32)
    if layer.bias:
        both = (getattr(layer, f"bias_{side}_{suffix}").double() for side in ("ih", "hh"))
        bias = array(sum(both, torch.zeros((), dtype=torch.float64)))
    return CellWeights(
        input=array(getattr(layer, f"weight_ih_{suffix}")), recurrent=recurrent, bias=bias
    )


def array(values: Tensor) -> Array:
    """Returns a tensor as an array of float32 of its own, wherever it is."""
    return values.detach().to("cpu", torch.float32, copy=True).contiguous().numpy()


def follows_textbook(values: LayerValues, weights: CellWeights) -> bool:
    """Returns whether each step is what the textbook's equations give on these weights.

        s = W x_t + U h_{t-1} + b;   i, f, o = σ(s), g = tanh(s);
        c_t = f ⋆ c_{t-1} + i ⋆ g;   h_t = o ⋆ tanh(c_t)

    Rounding is allowed for and nothing else. With n = I + H + 2 terms a sum is computed twice, in
    any order, each time within n·u·S of the true one, where S adds the sizes of its terms; that the
    terms themselves are kept in float32 adds 3·u·S. No slope of σ or tanh is above 1.

    Args:
        values: of one layer and direction.
        weights: of it.
    """
    x, h, c = values.inputs, values.before("h"), torch.from_numpy(values.before("c"))
    W, U, b = weights.input, weights.recurrent, weights.bias
    # NumPy's product and not PyTorch's, which a setting makes one of rounded factors.
    sums = torch.from_numpy(x @ W.T + h @ U.T + b)
    sizes = torch.from_numpy(abs(x) @ abs(W).T + abs(h) @ abs(U).T + abs(b))
    n = W.shape[1] + U.shape[1] + 2
    bound = (2 * n + 3) * _UNIT * sizes + 2 * (_ACTIVATION_ERROR + 1) * _UNIT
    found = {letter: torch.from_numpy(getattr(values, letter)) for letter in "ifgoch"}
    own = dict(zip("ifgo", sums.chunk(4, dim=-1), strict=True))
    for letter, slack in zip("ifgo", bound.chunk(4, dim=-1), strict=True):
        expected = torch.tanh(own[letter]) if letter == "g" else torch.sigmoid(own[letter])
        if not _within(found[letter], expected, slack):
            return False
    # Five roundings here and there, of c's two terms, of their factors and of their sum.
    kept, written = found["f"] * c, found["i"] * found["g"]
    slack = 10 * _UNIT * (kept.abs() + written.abs()) + _UNIT
    if not _within(found["c"], kept + written, slack):
        return False
    shown = torch.tanh(found["c"])  # whose argument was rounded, |c| sech²(c) < 1/2
    slack = torch.full_like(shown, 2 * (_ACTIVATION_ERROR + 3) * _UNIT)
    return _within(found["h"], found["o"] * shown, slack)


def _within(found: Tensor, expected: Tensor, slack: Tensor) -> bool:
    return bool(((found - expected).abs() <= slack).all())
