"""The bootstrap: how far chance may have moved a score, by drawing sentences or speakers anew.

Knows nothing of what is scored. The draws are those of sacreBLEU's own bootstrap with its default
seed, so that its signature says what was done.

Letters: N things that are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int64

RESAMPLES = 1_000
SEED = 12_345


def draws(number: int) -> Iterator[Int64[np.ndarray, " N"]]:
    """Yields for each of 1,000 draws of N out of N, with replacement, how often each came."""
    generator = np.random.default_rng(SEED)
    for _ in range(RESAMPLES):
        yield np.bincount(generator.integers(number, size=number), minlength=number)


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Returns the 95% interval of the draws' scores: 25 of 1,000 are left out at either end."""
    found = sorted(values)
    tail = len(found) // 40
    return found[tail], found[-1 - tail]
