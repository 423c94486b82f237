"""The parameters of a stack by name and shape: PyTorch's, and what the cell's variants change.

Shape letters: H hidden size, P projection size (H where there is none), L layers, D directions.
"""

from __future__ import annotations


def suffixes(num_layers: int, bidirectional: bool) -> list[str]:
    """Returns what names of parameters end in, such as "l0_reverse", in PyTorch's order."""
    directions = ("", "_reverse") if bidirectional else ("",)
    return [f"l{layer}{direction}" for layer in range(num_layers) for direction in directions]


def shapes(
    width: int,
    hidden_size: int,
    proj_size: int,
    *,
    bias: bool,
    coupled: bool = False,
    peepholes: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each kind of parameter of one layer and direction, in PyTorch's order.

    Args:
        width: features that the layer reads.
        hidden_size: H.
        proj_size: P, 0 for no projection.
        bias: whether the gates have biases.
        coupled: whether i = 1 - f, so that the input gate has no weights.
        peepholes: whether the gates, all but g, see the memory cell.
    """
    H, P = hidden_size, proj_size or hidden_size
    gates = 3 if coupled else 4
    rows = gates * H
    found: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, P)}
    if bias:
        found |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if proj_size:
        found["weight_hr"] = (P, H)
    if peepholes:
        found["weight_peephole"] = ((gates - 1) * H,)
    return found
