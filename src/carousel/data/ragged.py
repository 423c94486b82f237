"""Sequences of unequal length in one block of memory, and batches of them padded to the longest.

Knows nothing of what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ragged:
    """N sequences of whole numbers, one behind the other.

    Args:
        values: (M, ...) of all sequences.
        ends: (N,) where each ends among them; sequence k begins where the one before it ends.
    """

    values: np.ndarray
    ends: Int64[np.ndarray, " N"]

    def __post_init__(self) -> None:
        assert len(self.values) == (self.ends[-1] if len(self.ends) else 0)

    @classmethod
    def of(cls, sequences: Iterable[np.ndarray]) -> Ragged:
        """Joins sequences that stand each by itself; without any, of none."""
        parts = list(sequences)
        values = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        return cls(values, np.cumsum([len(part) for part in parts], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> np.ndarray:
        begin = int(self.ends[number - 1]) if number else 0
        return self.values[begin : int(self.ends[number])]

    @property
    def lengths(self) -> Int64[np.ndarray, " N"]:
        """(N,) of the sequences."""
        return np.diff(self.ends, prepend=0)

    def padded(
        self, rows: np.ndarray, fill: int = 0
    ) -> tuple[Int[Tensor, "T B ..."], Int[Tensor, " B"]]:
        """Returns some sequences side by side, as long as the longest of them.

        Args:
            rows: (B,) numbers of sequences, one at least.
            fill: what stands behind the end of a sequence.

        Returns:
            (T, B, ...) int64, and the lengths (B,).
        """
        begins = np.where(rows > 0, self.ends[rows - 1], 0)
        lengths = self.ends[rows] - begins
        steps = np.arange(int(lengths.max()))[:, None]
        there = steps < lengths
        place = np.where(there, begins + steps, 0)
        found = self.values[place].astype(np.int64)
        found[~there] = fill
        return torch.from_numpy(found), torch.from_numpy(lengths)
