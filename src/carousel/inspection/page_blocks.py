"""The numbers of a page as blocks of text: how many bits they have, and how much room there is.

Knows nothing of what the numbers are.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

import numpy as np

from carousel.inspection.contents import Array
from carousel.inspection.encoding import WHOLE, Block, encoded


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How many bits numbers have in a page.

    Attributes:
        values: of gates, candidates, cells and hidden states, 32 for exact float32.
        weights: of the weights; 0 where they are left out.
    """

    values: int
    weights: int


# The first that fits is taken, the last in any case. Sums of a step need the weights, and say more
# at 7 bits than gates do at 12 without their sums.
PRECISIONS = tuple(
    Precision(values=values, weights=weights)
    for values, weights in (
        *((32, 32), (16, 32), (16, 16), (12, 16), (12, 8), (10, 8), (8, 8), (8, 7)),
        *((12, 0), (10, 0), (8, 0)),
    )
)

Key = tuple[object, ...]  # what an array is known by, such as the names of a layer and a quantity
Known = MutableMapping[Key, Block]


class NoRoomError(Exception):
    """The blocks of a page take more room than they have."""


@dataclass
class Blocks:
    """The numbers of one page, in blocks that are numbered as they come.

    Attributes:
        room: characters that all texts may have together.
        known: blocks that were made before, by what they are known by and their bits.
        texts: of the blocks.
        bounds: of each quantity, the largest error that any of its values has.
    """

    room: float
    known: Known = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    bounds: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        key: Key,
        values: Array,
        bits: int,
        *,
        quantity: str = "",
        fixed: tuple[float, float] | None = None,
        smooth: bool = True,
    ) -> dict[str, object]:
        """Keeps a matrix and returns how it is read, with its number under ``block``.

        Args:
            key: what the matrix is known by.
            values: rows of numbers; where some are not finite, all are kept as float32.
            bits: of each.
            quantity: whose error this counts for, if it is kept in ``bounds``.
            fixed, smooth: as ``encoded`` takes them.

        Raises:
            NoRoomError: where it does not fit.
        """
        return self.keep(key, bits, lambda: rounded(values, bits, fixed, smooth), quantity)

    def keep(
        self, key: Key, bits: int, make: Callable[[], Block], quantity: str = ""
    ) -> dict[str, object]:
        """Keeps a block, which is made where it is not known yet; see ``add``."""
        if (key, bits) not in self.known:
            self.known[key, bits] = make()
        block = self.known[key, bits]
        self.room -= len(block.text)
        if self.room < 0:
            raise NoRoomError
        if quantity:
            largest = float(block.bounds.max(initial=0.0))
            self.bounds[quantity] = max(self.bounds.get(quantity, 0.0), largest)
        self.texts.append(block.text)
        return {**block.head, "block": len(self.texts) - 1}


def rounded(
    values: Array, bits: int, fixed: tuple[float, float] | None = None, smooth: bool = True
) -> Block:
    """Returns a matrix as a block; as float32 where some of its numbers are not finite."""
    finite = bits == WHOLE or bool(np.isfinite(values).all())
    return encoded(values, bits if finite else WHOLE, fixed, smooth)
