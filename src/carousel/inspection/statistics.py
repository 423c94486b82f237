"""What each unit of a layer did over a sequence: saturated gates, half-lives, budgets, duplicates.

Knows nothing of weights, of what was read, or of the order of time: counts and means over steps.

Shape letters: T steps, H hidden size, N columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from carousel.inspection.contents import LayerValues

GATES = ("f", "i", "o")
LOW, HIGH = 0.1, 0.9  # Karpathy, Johnson and Fei-Fei (2015), section 4
DEAD = 0.01  # of the width 2 that h can have; our choice
DUPLICATE = 0.99  # of |correlation|; our choice

# Numbers in float32 that are the same but for a few roundings of 2^-24 each.
_SAME = 2.0**-21


@dataclass(frozen=True, kw_only=True)
class LayerStatistics:
    """What each of the H units of one layer and direction did over a sequence.

    Means over no steps are NaN, and so is what is computed of a unit with values that are no
    numbers, as of a model that has diverged; it is neither dead nor a duplicate.

    Attributes:
        saturation_low: gate f, i, o to (H,), the share of steps with the gate below 0.1.
        saturation_high: the same above 0.9. A forget gate that is always high remembers, one that
            is always low is a unit of a feed-forward network.
        half_life: (H,) steps after which the forget gate alone has halved what is in the memory,
            ln 2 / (-mean_t ln f_t); infinite where f is 1 throughout.
        keep: (H,) mean_t f_t, the share of the memory that a step leaves there.
        write: (H,) mean_t i_t · abs(g_t), what a step adds to the memory, up to its sign.
        read: (H,) mean_t o_t, how far the output gate is open.
        shown: (H,) Σ_t o_t · abs(tanh c_t) / Σ_t abs(tanh c_t), the share of what was in the memory
            that was seen outside; 0 where there was nothing.
        activity: (H,) √(mean_t (s_t - s_{t-1})²) of s = o ⋆ tanh(c), which is h but for a
            projection: how much a unit has to say from one step to the next; 0 of a single step.
        dead: (H,) whether s stayed within a band of 0.01, so that nobody learns anything from it.
        duplicate_of: (H,) the first unit before whose s has a correlation with this one's of 0.99
            or more, or of -0.99 or less; -1 where there is none, where either is dead, and in
            sequences of less than three steps. Short sequences have duplicates by chance.

    Reference:
        saturation: Karpathy, Johnson and Fei-Fei (2015), arXiv:1506.02078, section 4. Half-life:
        a constant f keeps f^n after n steps, an exponential decay with the time scale -1/ln f:
        Mahto, Vo, Turek and Huth (2021), arXiv:2009.12727; near 1 that is the 1/(1 - f) of Tallec
        and Ollivier (2018), arXiv:1804.11188, section 1. Of a gate that changes the memory keeps
        Π f_t, whose logarithm a step is the mean of ln f_t. The budgets are the terms of the
        textbook's equations; the bounds of dead and duplicate units are ours.
    """

    saturation_low: Mapping[str, Float[np.ndarray, " H"]]
    saturation_high: Mapping[str, Float[np.ndarray, " H"]]
    half_life: Float[np.ndarray, " H"]
    keep: Float[np.ndarray, " H"]
    write: Float[np.ndarray, " H"]
    read: Float[np.ndarray, " H"]
    shown: Float[np.ndarray, " H"]
    activity: Float[np.ndarray, " H"]
    dead: Bool[np.ndarray, " H"]
    duplicate_of: Int[np.ndarray, " H"]


def layer_statistics(layer: LayerValues) -> LayerStatistics:
    """Returns what each unit of a layer did; the formulas stand at ``LayerStatistics``.

    Args:
        layer: the values of T steps of H units, in either direction.
    """
    f, i, g, o, c = (getattr(layer, name).astype(np.float64) for name in "figoc")
    bent = np.tanh(c)
    inside, shown = np.abs(bent), o * bent
    dead = _dead(shown)
    gates = {"f": f, "i": i, "o": o}
    return LayerStatistics(
        saturation_low={name: _share(gates[name], gates[name] < LOW) for name in GATES},
        saturation_high={name: _share(gates[name], gates[name] > HIGH) for name in GATES},
        half_life=half_lives(f),
        keep=_single(_mean(f)),
        write=_single(_mean(i * np.abs(g))),
        read=_single(_mean(o)),
        shown=_single(_ratio((o * inside).sum(0), inside.sum(0))),
        activity=_single(_activity(shown)),
        dead=dead,
        duplicate_of=_duplicates(shown, dead),
    )


def half_lives(f: Float[np.ndarray, "T H"]) -> Float[np.ndarray, " H"]:
    """Returns ln 2 / (-mean_t ln f_t) of each unit's forget gate; see ``LayerStatistics``.

    Args:
        f: (T, H).
    """
    with np.errstate(divide="ignore"):  # f = 0 gives a half-life of 0, f = 1 an infinite one
        found = math.log(2) / -_mean(np.log(f.astype(np.float64)))
    return _single(np.abs(found))  # infinity without the sign of -0.0


def standardized(values: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "T N"]:
    """Returns columns whose products are correlations: of mean 0 and of length 1.

        z_tn = (v_tn - mean_t v_tn) / √(Σ_t (v_tn - mean_t v_tn)²)

    A column that is constant but for roundings of float32, or that is not finite, becomes 0: it has
    no correlation with anything.

    Args:
        values: (T, N).

    Returns:
        (T, N) in float64.
    """
    if not len(values):
        return values.astype(np.float64)
    with np.errstate(invalid="ignore"):  # ∞ - ∞
        spread = np.ptp(values.astype(np.float64), axis=0)
    varies = np.isfinite(spread) & (spread > _SAME * np.abs(values).max(0))
    found = np.where(varies, values, 0).astype(np.float64)
    found -= found.mean(0)
    length = np.sqrt((found**2).sum(0))
    return found / np.where(varies, length, 1)


def correlations(values: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "N N"]:
    """Returns Pearson's correlation of each column with each, 0 where one of them is constant.

    Args:
        values: (T, N).

    Returns:
        (N, N) in float64, from -1 to 1.
    """
    z = standardized(values)
    return np.clip(z.T @ z, -1, 1)


def _share(gate: np.ndarray, is_so: np.ndarray) -> np.ndarray:
    """Returns the share of steps at which something is so of a gate, NaN where it is no number."""
    return _single(_mean(np.where(np.isnan(gate), np.nan, is_so)))


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the steps, NaN of none, for which NumPy would warn."""
    return values.mean(0) if len(values) else np.full(values.shape[1], np.nan)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # Of nothing there is no share, and it counts as 0; what is no number stays so.
    return np.where(whole == 0, 0, part) / np.where(whole == 0, 1, whole)


def _activity(shown: np.ndarray) -> np.ndarray:
    if len(shown) < 2:
        return np.zeros(shown.shape[1])
    return np.sqrt((np.diff(shown, axis=0) ** 2).mean(0))


def _dead(shown: np.ndarray) -> np.ndarray:
    # Of a single step nobody knows whether a unit would have moved.
    if len(shown) < 2:
        return np.zeros(shown.shape[1], dtype=bool)
    return np.ptp(shown, axis=0) < DEAD


def _duplicates(shown: np.ndarray, dead: np.ndarray) -> np.ndarray:
    if len(shown) < 3:  # any two points lie on a line
        return np.full(shown.shape[1], -1)
    same = np.abs(correlations(shown)) >= DUPLICATE
    same &= ~dead & ~dead[:, None]
    before = np.tril(same, -1)  # of the unit of the row, those with a smaller number
    return np.where(before.any(1), before.argmax(1), -1)


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
