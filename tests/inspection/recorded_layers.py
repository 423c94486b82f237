"""Layers as a recording leaves them: run by the textbook's equations, or made of plain arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from carousel.equations import GateWeights, Step, from_packed, step
from carousel.inspection.contents import CellWeights, LayerValues


def recorded(
    T: int,
    H: int = 4,
    I: int = 3,  # noqa: E741
    *,
    reverse: bool = False,
    seed: int = 0,
) -> LayerValues:
    """A layer that has read random inputs from a random state, computed in float64."""
    rng = np.random.default_rng([seed, T, H, I])

    def numbers(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    weights = CellWeights(input=numbers(4 * H, I), recurrent=numbers(4 * H, H), bias=numbers(4 * H))
    empty = np.empty((T, H), dtype=np.float32)
    layer = LayerValues(
        axis="text",
        reverse=reverse,
        **dict.fromkeys("figoch", empty),
        inputs=numbers(T, I),
        before_h=numbers(H),
        before_c=numbers(H),
        weights=weights,
    )
    read = steps(layer)
    order = read[::-1] if reverse else read
    values = {
        name: np.array([getattr(one, letter).numpy() for one in order]).reshape(T, H)
        for name, letter in zip("figoch", ("f", "i", "C_tilde", "o", "C", "h"), strict=True)
    }
    return replace(layer, **{name: value.astype(np.float32) for name, value in values.items()})


def steps(layer: LayerValues) -> list[Step]:
    """Every step of the layer in the order in which it read, in float64."""
    found = []
    h, c = double(layer.before_h), double(layer.before_c)
    for x in inputs(layer):
        found.append(step(x, h, c, textbook(layer)))
        h, c = found[-1].h, found[-1].C
    return found


def inputs(layer: LayerValues) -> Tensor:
    """What the layer read, in the order in which it read it."""
    return double(layer.inputs[::-1].copy() if layer.reverse else layer.inputs)


def textbook(layer: LayerValues) -> GateWeights:
    """The textbook's weights of a layer, in float64."""
    assert layer.weights is not None
    own = layer.weights
    return from_packed(double(own.input), double(own.recurrent), double(own.bias))


def plain(**values: np.ndarray) -> LayerValues:
    """A layer with some quantities, (T, H), and 0.5 for what is not given."""
    shape = next(iter(values.values())).shape
    given = {name: np.full(shape, 0.5, np.float32) for name in "figoch"}
    given |= {name: value.astype(np.float32) for name, value in values.items()}
    return LayerValues(
        axis="text",
        **given,
        inputs=np.zeros((shape[0], 1), np.float32),
        before_h=np.zeros(given["h"].shape[1], np.float32),
        before_c=np.zeros(shape[1], np.float32),
    )


def double(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values).double()
