"""How far back gradients reach: from which distance on only a share of one is left.

Knows nothing of how gains are computed.

Shape letters: L distances from 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def reach(gains: Float[np.ndarray, " L"], share: float) -> int | None:
    """Returns the first distance from which on a gain stays below a share of 1.

    Args:
        gains: (L,) gains by distance, such as ``curve`` returns, without NaN.
        share: such as 0.01.

    Returns:
        Steps; None where the gain at the greatest distance is not below it yet.
    """
    above = np.flatnonzero(gains >= share)
    last = int(above[-1]) if len(above) else -1
    return None if last == len(gains) - 1 else last + 1
