"""Layers and cells run step by step by ``carousel.equations``, for inspections to be held to.

Shape letters: T time, I input size, H hidden size, K = L·D states of L layers and D directions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from carousel.equations import from_packed, step
from carousel.inspection.contents import LayerValues

LETTERS = {"f": "f", "i": "i", "g": "C_tilde", "o": "o", "c": "C", "h": "h"}

Values = dict[str, Tensor]

DOUBLE = {"dtype": torch.float64}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, **DOUBLE)


def layer_by_equations(
    parameters: list[Tensor], x: Tensor, h: Tensor, c: Tensor, *, backwards: bool = False
) -> Values:
    """Every value of one layer and direction in float64, in the order of time.

    Args:
        parameters: weight_ih, weight_hh and both biases or none.
        x: (T, I).
        h, c: (H,) before the first step that is read.
        backwards: whether that is the last one.
    """
    weights = from_packed(*(part.detach().double() for part in parameters))
    before = h.double(), c.double()
    h, c = before
    found = []
    for x_t in reversed(x.double()) if backwards else x.double():
        found.append(step(x_t, h, c, weights))
        h, c = found[-1].h, found[-1].C
    if backwards:
        found.reverse()
    values = {k: torch.stack([getattr(one, name) for one in found]) for k, name in LETTERS.items()}
    return values | {"inputs": x.double(), "before_h": before[0], "before_c": before[1]}


def stack_by_equations(
    lstm: torch.nn.Module, x: Tensor, hx: tuple[Tensor, Tensor] | None = None
) -> dict[str, Values]:
    """Every value of a stack that reads one sequence, by PyTorch's suffixes.

    Args:
        lstm: a layer of the textbook's cell.
        x: (T, I).
        hx: each (K, H); zeros where it is None.
    """
    D = 2 if lstm.bidirectional else 1
    K = lstm.num_layers * D
    h_0, c_0 = (x.new_zeros(K, lstm.hidden_size),) * 2 if hx is None else hx
    found: dict[str, Values] = {}
    for layer in range(lstm.num_layers):
        sides = []
        for d, direction in enumerate(("", "_reverse")[:D]):
            k = layer * D + d
            values = layer_by_equations(lstm.all_weights[k], x, h_0[k], c_0[k], backwards=d == 1)
            found[f"l{layer}{direction}"] = values
            sides.append(values["h"])
        x = torch.cat(sides, -1)
    return found


def assert_values(layer: LayerValues, expected: Values) -> None:
    """Holds what was seen of a model in float64 to the equations in float64.

    Values are rounded to float32, by half a unit, 2^-24; what float64 rounds in sequences as short
    as these is far below 2^-40.
    """
    for name, value in expected.items():
        seen = torch.from_numpy(np.ascontiguousarray(getattr(layer, name)))
        assert seen.dtype == torch.float32
        torch.testing.assert_close(
            seen.double(),
            value.detach().double(),
            rtol=2**-24,
            atol=2**-40,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def assert_each_step(layer: LayerValues) -> None:
    """Holds each step to the equations, from the numbers that stand beside it.

    The sum before a gate has n = I + H + 2 terms and was computed in float32 or finer, within
    n·u·S of the true one, S adding the sizes of its terms and u being 2^-24; that the terms are
    rounded to float32 adds 3·u·S. Slopes of the activations are at most 1, and their own error at
    most 4u (docs/numerics.md); rounding what they give adds u. The memory and the hidden state are
    held to the gates beside them: five roundings of u for c, and for h the 4u of tanh, a rounded
    argument (u/2), two factors and a product.
    """
    assert layer.weights is not None
    W, U, b = (
        torch.from_numpy(part).double()
        for part in (layer.weights.input, layer.weights.recurrent, layer.weights.bias)
    )
    x, h, c = (
        torch.from_numpy(np.ascontiguousarray(part)).double()
        for part in (layer.inputs, layer.before("h"), layer.before("c"))
    )
    seen = {k: torch.from_numpy(getattr(layer, k).copy()).double() for k in LETTERS}
    now = step(x, h, c, from_packed(W, U, b))
    u, n = 2.0**-24, W.shape[1] + U.shape[1] + 2
    sizes = x.abs() @ W.abs().T + h.abs() @ U.abs().T + b.abs()
    slack = dict(zip("ifgo", ((n + 3) * u * sizes + 5 * u).chunk(4, -1), strict=True))
    for gate, bound in slack.items():
        assert ((seen[gate] - getattr(now, LETTERS[gate])).abs() <= bound).all(), gate
    kept, written = seen["f"] * c, seen["i"] * seen["g"]
    assert ((seen["c"] - kept - written).abs() <= 5 * u * (kept.abs() + written.abs()) + u).all()
    assert ((seen["h"] - seen["o"] * torch.tanh(seen["c"])).abs() <= 8 * u).all()
