"""Features made ready for a network: their slopes, and a scale of mean 0 and variance 1.

Knows nothing of how the features were computed. The scale is measured over the training data, and
applied as it is, or followed by a stream that hears another voice.

Letters: T frames, F features of a frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from carousel.errors import DataError, ModelError, OptionError

_RESOLUTION = float(np.finfo(np.float32).eps)


def with_deltas(
    x: Float32[np.ndarray, "T F"], order: int = 2, window: int = 2
) -> Float32[np.ndarray, "T F*({order}+1)"]:
    """Returns the features, behind them their slopes, the slopes of these, and so on.

        Δx_t = Σ_j j · x_{t+j} / Σ_j j²,   j from -window to window

    Of higher orders it is the same sum over the one before, all over the features with their first
    and last frame repeated, as Kaldi does (HTK repeats the slopes, and differs at the edges).

    Args:
        x: (T, F).
        order: of the last slope; 0 returns the features alone.
        window: frames on each side of one.

    Raises:
        OptionError: for an order below 0 or a window below 1.

    Reference:
        Young et al., The HTK Book (2006), section 5.9; ``DeltaFeatures`` in Kaldi's
        feat/feature-functions.cc. First: Furui 1986, doi:10.1109/TASSP.1986.1164788.
    """
    if order < 0 or window < 1:
        raise OptionError(
            f"expected an order of 0 or more over a window of 1 frame or more, got order {order}, "
            f"window {window}"
        )
    T, exact = len(x), x.astype(np.float64)
    slope = np.arange(-window, window + 1, dtype=np.float64)
    slope /= (slope**2).sum()
    parts, weights = [x], np.ones(1)
    for _ in range(order):
        weights = np.convolve(weights, slope)
        reach = len(weights) // 2
        part = np.zeros(x.shape)
        for offset, weight in zip(range(-reach, reach + 1), weights, strict=True):
            # The weights' sum is 0; without x_t a constant has slopes of 0, not of its rounding.
            part += weight * (exact[np.clip(np.arange(T) + offset, 0, T - 1)] - exact)
        parts.append(part.astype(np.float32))
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of each feature over some frames.

    Args:
        count: of the frames, 1 or more.
        mean: (F,).
        var: (F,) mean squared distance from the mean.

    Reference:
        Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115, for joining two.
    """

    count: int
    mean: Float64[np.ndarray, " F"]
    var: Float64[np.ndarray, " F"]

    def __post_init__(self) -> None:
        assert self.count >= 1
        assert (self.var >= 0).all()

    @classmethod
    def of(cls, recordings: Iterable[np.ndarray]) -> Moments:
        """Measures features (T, F), recording by recording; one without a frame adds nothing.

        Raises:
            DataError: where there is no frame at all, or their sizes differ.
        """
        found: Moments | None = None
        for x in recordings:
            if len(x):
                exact = x.astype(np.float64)
                those = cls(len(x), exact.mean(0), exact.var(0))
                found = those if found is None else found.merged(those)
        if found is None:
            raise DataError("expected frames of features, got none; give a recording at least")
        return found

    def merged(self, other: Moments) -> Moments:
        """Returns the moments of the frames of both.

        Raises:
            DataError: where their sizes differ.
        """
        if len(self.mean) != len(other.mean):
            raise DataError(
                f"expected {len(self.mean)} features a frame, as in what came before, got "
                f"{len(other.mean)}; compute all recordings alike"
            )
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        within = (1 - share) * self.var + share * other.var
        return Moments(count, self.mean + share * apart, within + share * (1 - share) * apart**2)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {"count": self.count, "mean": self.mean.tolist(), "var": self.var.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Moments:
        """Takes back what ``to_dict`` returned.

        Raises:
            ModelError: for anything else.
        """
        try:
            count = int(values["count"])
            mean, var = (np.array(values[name], np.float64) for name in ("mean", "var"))
            whole = mean.ndim == 1 and mean.shape == var.shape and count >= 1
            if not (whole and np.isfinite(mean).all() and np.isfinite(var).all() and min(var) >= 0):
                raise ValueError("they contradict each other")
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"expected the moments of features as they were saved, got damaged ones "
                f"({type(error).__name__}: {error}); take them from a copy, or train again"
            ) from error
        return cls(count, mean, var)


def scaled(x: Float32[np.ndarray, "T F"], moments: Moments) -> Float32[np.ndarray, "T F"]:
    """Returns features that have mean 0 and variance 1 where they are distributed as measured.

        (x - mean) / √var

    A feature that was constant is 0: the network has learned nothing of it.

    Args:
        x: (T, F).
        moments: of the training data.
    """
    inverse = _inverse_deviation(moments.mean, moments.var)
    return ((x - moments.mean) * inverse).astype(np.float32)


class RunningScale:
    """Scales a stream by moments that begin as the training data's and take in each frame heard.

        n_t = weight + t,   mean_t = (weight · mean + Σ x) / n_t,   x_1 ... x_t among the sums
        y_t = (x_t - mean_t) / √var_t,   var_t = (weight · (var + mean²) + Σ x²) / n_t - mean_t²

    Each frame depends on those before it and on itself alone, and no bit of it on how the stream
    is cut: a whole utterance may come at once. A feature that was constant in training stays 0.

    Args:
        moments: of the training data.
        weight: how many frames they count as, above 0; the higher, the slower it follows.

    Raises:
        OptionError: for a weight out of its range.
    """

    def __init__(self, moments: Moments, weight: float) -> None:
        if not 0 < weight < math.inf:
            raise OptionError(
                f"weight: expected above 0 frames and finite, got {weight}; to keep to the "
                "training data's moments use scaled"
            )
        self._moments, self._weight = moments, weight
        self._varied = _inverse_deviation(moments.mean, moments.var) > 0
        self._heard = 0
        # Sums of the distances from the training data's mean, near which they lose no digits, and
        # of their squares.
        self._sums = np.zeros((2, len(moments.mean)))

    def feed(self, x: Float32[np.ndarray, "T F"]) -> Float32[np.ndarray, "T F"]:
        """Returns the next frames, (T, F), 0 or more, scaled."""
        T = len(x)
        apart = x - self._moments.mean
        # cumsum adds one by one: begun from the sums so far, it rounds as if never interrupted.
        terms = np.stack([apart, apart**2], axis=1)
        sums = np.cumsum(np.concatenate([self._sums[None], terms]), axis=0)
        self._sums = sums[-1]
        counts = self._weight + np.arange(self._heard + 1, self._heard + T + 1)[:, None]
        self._heard += T
        shift = sums[1:, 0] / counts
        var = (self._weight * self._moments.var + sums[1:, 1]) / counts - shift**2
        inverse = _inverse_deviation(self._moments.mean + shift, var)
        return ((apart - shift) * inverse * self._varied).astype(np.float32)


def _inverse_deviation(mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    """Returns 1 / √var, and 0 for what single precision cannot tell from its mean."""
    deviation = np.sqrt(np.maximum(var, 0))
    varies = deviation > _RESOLUTION * np.abs(mean)
    return varies / np.where(varies, deviation, 1)
