"""What each unit follows: its correlation with the inputs, the position and whatever else is known.

Knows nothing of what the things mean; where they come from is written on the axis.

Shape letters: T steps, F features drawn, H hidden size (P of h behind a projection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from carousel.errors import OptionError, unknown_name
from carousel.inspection.contents import QUANTITIES, Axis, LayerValues
from carousel.inspection.statistics import standardized

POSITION = "position"
FEWEST = 3  # steps; any two points lie on a line


@dataclass(frozen=True, kw_only=True)
class Following:
    """How closely each unit follows one thing.

    Attributes:
        name: of the thing: a column of the axis' values, a track, or "position".
        correlation: (H,) from -1 to 1; 0 for a unit that is constant.
    """

    name: str
    correlation: Float[np.ndarray, " H"]


@dataclass(frozen=True, kw_only=True)
class Follower:
    """One unit that follows one thing.

    Attributes:
        name: of the thing.
        unit: number of the unit.
        correlation: of the two, from -1 to 1.
    """

    name: str
    unit: int
    correlation: float


def followed(layer: LayerValues, axis: Axis, quantity: str = "c") -> list[Following]:
    """Returns the correlation of every unit with each thing that it may follow.

        r_h = Σ_t (v_th - v̄_h)(x_t - x̄) / √(Σ_t (v_th - v̄_h)² Σ_t (x_t - x̄)²)

    over the steps at which the thing x is a number. For a thing that is 0 or 1, such as whether a
    quote is open, this is the point-biserial correlation. The things are the columns of the axis'
    values, its tracks, and the position from 0 to T - 1, counted along the axis in either
    direction. Those that are constant, or a number at less than three steps, are left out.

    A correlation is of this sequence only: two things that both change slowly have one by chance,
    and among many units the best always looks good. Look at it in another sequence.

    Args:
        layer: the values of T steps of H units.
        axis: the sequence that the layer read, with T steps.
        quantity: which of the layer's values, one of ``QUANTITIES``; of "h" behind a projection
            there are P units.

    Returns:
        One for each thing, in the order above.

    Raises:
        OptionError: for an unknown quantity, or another axis than the layer's.

    Reference:
        Pearson (1895), doi:10.1098/rspl.1895.0041; correlation by chance: Yule (1926),
        doi:10.2307/2341482. Units that follow quotes, brackets and the position in a line:
        Karpathy, Johnson and Fei-Fei (2015), arXiv:1506.02078, section 4.
    """
    if quantity not in QUANTITIES:
        raise OptionError(unknown_name("quantity", quantity, QUANTITIES))
    if axis.name != layer.axis or len(axis) != len(layer):
        raise OptionError(
            f"axis: expected {layer.axis!r} with {len(layer)} steps, which the layer read, got "
            f"{axis.name!r} with {len(axis)}"
        )
    values = getattr(layer, quantity)
    units: dict[bytes, np.ndarray] = {}  # standardised over some steps, which most things share
    found = []
    for name, thing in things(axis):
        real = np.isfinite(thing)
        z = standardized(thing[real, None])[:, 0]
        if real.sum() < FEWEST or not z.any():
            continue
        steps = real.tobytes()
        if steps not in units:
            units[steps] = standardized(values[real])
        correlation = np.clip(z @ units[steps], -1, 1).astype(np.float32)
        found.append(Following(name=name, correlation=correlation))
    return found


def things(axis: Axis) -> list[tuple[str, Float[np.ndarray, " T"]]]:
    """Returns what a unit may follow along an axis, by name.

    A track of the axis that is called "position" takes the place of the number of the step.

    Args:
        axis: with T steps.

    Returns:
        Name and (T,) numbers, NaN where they are not defined.
    """
    found = []
    if axis.values is not None:
        names = axis.columns or [f"value {k}" for k in range(axis.values.shape[1])]
        found += list(zip(names, axis.values.T, strict=True))
    found += list(axis.tracks.items())
    if POSITION not in axis.tracks:
        found.append((POSITION, np.arange(len(axis), dtype=np.float64)))
    return found


def best_units(followings: Sequence[Following], n: int = 3) -> list[Follower]:
    """Returns, of each thing, the units that follow it most closely.

    Args:
        followings: of one layer.
        n: units of each thing, at the most.

    Returns:
        All of them, those with the correlation farthest from 0 first.

    Raises:
        OptionError: for n below 1.
    """
    if n < 1:
        raise OptionError(f"n: expected a number of units from 1 on, got {n}")
    found = [
        Follower(name=one.name, unit=int(unit), correlation=float(one.correlation[unit]))
        for one in followings
        for unit in np.argsort(-np.abs(one.correlation), kind="stable")[:n]
    ]
    return sorted(found, key=lambda one: -abs(one.correlation))
