"""In which order a layer's units are drawn: by number, half-life, activity or similarity.

Knows nothing of pictures; an order lists the units from top to bottom.

Shape letters: T steps, H hidden size, N things to put in order.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from carousel.inspection.contents import LayerValues
from carousel.inspection.statistics import LayerStatistics, correlations, standardized

ORDERS = ("number", "half-life", "activity", "similarity")


def unit_orders(
    layer: LayerValues, statistics: LayerStatistics
) -> dict[str, Int[np.ndarray, " H"]]:
    """Returns the units of a layer in every order in which they can be drawn.

        number:      0 to H - 1
        half-life:   the longest memory first
        activity:    the unit that moves most first
        similarity:  units whose memory cells move alike side by side

    The last are the leaves of a clustering with the distance 1 - r of two units, r the correlation
    of their c. Equal units keep the order of their numbers, and so do the constant ones, which are
    like nothing and stand at the end of the last order.

    Args:
        layer: the values of T steps of H units.
        statistics: of the same layer.

    Returns:
        For each of ``ORDERS`` (H,) unit numbers, each once.
    """
    moving = np.flatnonzero(standardized(layer.c).any(0))
    still = np.setdiff1d(np.arange(layer.hidden_size), moving)
    leaves = leaf_order(1 - correlations(layer.c[:, moving]))
    return {
        "number": np.arange(layer.hidden_size),
        "half-life": _descending(statistics.half_life),
        "activity": _descending(statistics.activity),
        "similarity": np.concatenate([moving[leaves], still]),
    }


def leaf_order(distances: Float[np.ndarray, "N N"]) -> Int[np.ndarray, " N"]:
    """Returns things in an order that puts near ones side by side.

    Clusters are joined, from single things to one cluster of all, where two are nearest to each
    other; their distance is the mean over all pairs of their members:

        d(A ∪ B, C) = (|A| d(A, C) + |B| d(B, C)) / (|A| + |B|)

    Joined clusters are turned so that of their four ends the two nearest touch. The order is the
    same in every run; of equal distances the first counts.

    Args:
        distances: (N, N), symmetric.

    Returns:
        (N,) numbers of the things.

    Reference:
        average linkage: Sokal and Michener (1958), University of Kansas Science Bulletin 38,
        1409-1438; which ends touch: Gruvaeus and Wainer (1972), British Journal of Mathematical and
        Statistical Psychology 25, 200-206. That mutual nearest neighbours can be joined in any
        order: Murtagh (1983), doi:10.1093/comjnl/26.4.354.
    """
    N = len(distances)
    between = distances.astype(np.float64)  # of clusters, each at the place of its first member
    np.fill_diagonal(between, np.inf)
    members = {n: [n] for n in range(N)}
    while len(members) > 1:
        one, other = _nearest_pair(between, next(iter(members)))
        sizes = len(members[one]), len(members[other])
        joined = (sizes[0] * between[one] + sizes[1] * between[other]) / sum(sizes)
        between[one] = between[:, one] = joined
        between[other] = between[:, other] = np.inf
        members[one] = _touching(members[one], members.pop(other), distances)
    return np.array([n for order in members.values() for n in order], dtype=np.int64)


def _nearest_pair(between: np.ndarray, start: int) -> tuple[int, int]:
    """Returns two clusters that are nearest to each other, the smaller number first.

    From neighbour to nearest neighbour the distance only falls, so that this comes to an end.
    """
    here, there = start, int(between[start].argmin())
    while between[there].min() < between[there, here]:
        here, there = there, int(between[there].argmin())
    return min(here, there), max(here, there)


def _touching(left: list[int], right: list[int], distances: np.ndarray) -> list[int]:
    turned = [(a, b) for a in (left, left[::-1]) for b in (right, right[::-1])]
    a, b = min(turned, key=lambda pair: distances[pair[0][-1], pair[1][0]])
    return a + b


def _descending(values: np.ndarray) -> np.ndarray:
    return np.argsort(-values, kind="stable")  # NaN comes last
