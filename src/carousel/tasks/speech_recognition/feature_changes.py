"""Features of an utterance changed at random: longer or shorter, of another voice, in part hidden.

Knows nothing of samples. Each function depends on its arguments and the generator alone and does
not write into the features; what it leaves unchanged may come back as the same array.

Letters: T frames, F features of a frame.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64

from carousel.errors import OptionError

SLOWEST, FASTEST = 0.5, 2.0  # beyond an octave it is no longer speech that anybody would say
MOST_WARPING = 0.3  # children's formants lie a fifth above men's, on average
_BENT = 0.6  # of the highest frequency, above which a warped scale bends back to reach it


def stretched(x: Float32[np.ndarray, "T F"], factor: float) -> Float32[np.ndarray, "S F"]:
    """Returns features of an utterance that takes longer or less long; the pitch stays.

    Between two frames lie their weighted means, before the first frame and behind the last these
    two themselves.

    Args:
        x: (T, F).
        factor: 0.5 to 2; above 1 is longer.

    Returns:
        (S, F) with S = T · factor, rounded, and at least 1 where T is.

    Raises:
        OptionError: for a factor out of its range.
    """
    check_within("factor", factor, SLOWEST, FASTEST)
    frames = len(x)
    wanted = max(round(frames * factor), min(frames, 1))
    if wanted == frames:
        return x
    # Frame k covers the time from k to k + 1: its middle is what is kept in place.
    place = ((np.arange(wanted) + 0.5) * (frames / wanted) - 0.5).clip(0, frames - 1)
    before = place.astype(np.int64)
    behind = np.minimum(before + 1, frames - 1)
    weight = (place - before).astype(np.float32)[:, None]
    return (1 - weight) * x[before] + weight * x[behind]


def warped(
    x: Float32[np.ndarray, "T F"], factor: float, middles: Float64[np.ndarray, " F"]
) -> Float32[np.ndarray, "T F"]:
    """Returns log mel features as of a voice whose formants lie higher or lower.

        f' = factor · f   for f ≤ b,  b = 0.6 · highest · min(factor, 1) / factor

    and above b the straight line that leads to the highest frequency, which stays. What was heard
    at f is then heard at f'; between two filters lie their weighted means.

    Args:
        x: (T, F), of mel filters side by side.
        factor: 0.7 to 1.3; above 1 is higher, as by a shorter vocal tract.
        middles: (F,) Hz, of the filters, rising; the last is the highest frequency.

    Raises:
        OptionError: for a factor out of its range.

    Reference: Jaitly and Hinton 2013, "Vocal tract length perturbation (VTLP) improves speech
    recognition", ICML workshop on deep learning for audio; here the features are moved,
    where they move the filters.
    """
    check_within("factor", factor, 1 - MOST_WARPING, 1 + MOST_WARPING)
    if factor == 1 or x.shape[1] < 2:
        return x
    highest = float(middles[-1])
    bend = _BENT * highest * min(factor, 1) / factor
    heard_at = np.interp(middles, [0, factor * bend, highest], [0, bend, highest])
    place = np.interp(heard_at, middles, np.arange(len(middles)))
    before = np.minimum(place.astype(np.int64), len(middles) - 2)
    weight = (place - before).astype(np.float32)
    return (1 - weight) * x[:, before] + weight * x[:, before + 1]


def masked(
    x: Float32[np.ndarray, "T F"],
    rng: np.random.Generator,
    *,
    time_masks: int,
    time_width: int,
    time_share: float,
    frequency_masks: int,
    frequency_width: int,
    fill: float = 0.0,
) -> Float32[np.ndarray, "T F"]:
    """Hides some runs of frames and some bands of features; they may overlap.

        w ~ U{0, ..., min(width, ⌊share · T⌋)},  begin ~ U{0, ..., T − w}

    for each run of frames, and without a share for each band of features.

    Args:
        x: (T, F), log mel bins side by side. Differences between frames are best taken afterwards.
        rng: draws widths and places.
        time_masks: number of runs.
        time_width: most frames of a run.
        time_share: most of all frames that one run may take, 0 to 1.
        frequency_masks: number of bands.
        frequency_width: most features of a band.
        fill: what stands there instead; 0 is the mean of normalised features.

    Raises:
        OptionError: for a negative number, or a share out of its range.

    Reference: Park et al. 2019, "SpecAugment", arXiv:1904.08779, section 2, without its time
    warping, and with a begin that lets the last frame and feature be hidden, too.
    """
    for name, number in (
        ("time_masks", time_masks),
        ("time_width", time_width),
        ("frequency_masks", frequency_masks),
        ("frequency_width", frequency_width),
    ):
        check_within(name, number, 0)
    check_within("time_share", time_share, 0, 1)
    found = x.copy()
    longest = min(time_width, math.floor(time_share * len(x)))
    for rows, masks, widest in (
        (found, time_masks, longest),
        (found.T, frequency_masks, min(frequency_width, x.shape[1])),
    ):
        for _ in range(masks):
            width = int(rng.integers(widest + 1))
            begin = int(rng.integers(len(rows) - width + 1))
            rows[begin : begin + width] = fill
    return found


def check_within(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuses a value out of its range.

    Raises:
        OptionError: names it.
    """
    if not low <= value <= high or math.isinf(value):
        between = f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"
        raise OptionError(f"{name}: expected {between}, got {value}")
