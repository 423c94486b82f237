"""Which lines of a text a model has seen before: a sample of the training text's lines.

Of any two texts the lines with the lowest digests are a fair sample of their lines, and a line that
both have is in both samples or in none (Broder 1997, doi:10.1109/SEQUEN.1997.666900).

Letters: K lines of the sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64

from carousel.data.texts import Piece

_MOST = 16_384  # lines of a sample
_LEAST = 20  # characters of a line; shorter ones come by chance in many texts
_READ = 4_096  # characters of a line that count
_HIGHEST = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class SeenLines:
    """The different lines of a text, or a sample of them.

    Attributes:
        digests: (K,), rising.
        highest: of no line of the text is a digest up to this one missing among them.
    """

    digests: UInt64[np.ndarray, " K"]
    highest: int

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> SeenLines:
        """Reads a text."""
        found = np.zeros(0, np.uint64)
        highest = _HIGHEST
        new: list[int] = []
        for digest in map(_digest, _lines(pieces)):
            if digest <= highest:
                new.append(digest)
            if len(new) == _MOST:
                found, highest, new = *_lowest(found, new, highest), []
        return cls(*_lowest(found, new, highest))

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns arrays that ``from_tensors`` takes back."""
        return {"digests": self.digests, "highest": np.array([self.highest], np.uint64)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> SeenLines:
        """Takes back what ``tensors`` returned.

        Raises:
            ValueError: for arrays that it has not returned.
        """
        digests, [highest] = tensors["digests"], tensors["highest"].tolist()
        is_list = digests.dtype == np.uint64 and digests.ndim == 1
        in_order = is_list and bool((digests[1:] > digests[:-1]).all())
        if not in_order or (len(digests) and int(digests[-1]) > highest):
            raise ValueError("the digests of the lines are not in order")
        return cls(digests, highest)

    def overlap(self, pieces: Iterable[Piece]) -> tuple[int, int]:
        """Returns how many different lines of another text were looked up, and were in this one.

        Of a text with more lines than the sample has, these are a sample too.
        """
        other = SeenLines.of(pieces)
        both = min(self.highest, other.highest)
        own, wanted = (one.digests[one.digests <= both] for one in (self, other))
        return len(wanted), int(np.isin(wanted, own, assume_unique=True).sum())


def _lowest(known: np.ndarray, new: list[int], highest: int) -> tuple[np.ndarray, int]:
    """Returns the lowest of all digests, and up to which they are all that there are."""
    found = np.union1d(known, np.array(new, np.uint64))
    if len(found) <= _MOST:
        return found, highest
    return found[:_MOST], int(found[_MOST - 1])


def _digest(line: str) -> int:
    return int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "little")


def _lines(pieces: Iterable[Piece]) -> Iterator[str]:
    """Yields the lines that are long enough, without blanks at their ends."""
    begun = ""
    for piece in pieces:
        first, *others = piece.text.split("\n")
        lines = [(begun + first)[:_READ], *others]
        begun = "" if piece.ends_document else lines.pop()[:_READ]
        for line in lines:
            if len(cut := line[:_READ].strip()) >= _LEAST:
                yield cut
    if len(begun.strip()) >= _LEAST:  # a document that is cut there
        yield begun.strip()
