"""The characters that a recogniser writes, as numbers; 0 is CTC's blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int64

SPACE = " "


class Symbols:
    """Characters numbered from 1; the space is always one of them.

    Args:
        characters: different ones, in the order of their numbers.
    """

    def __init__(self, characters: str) -> None:
        assert len(set(characters)) == len(characters)
        assert SPACE in characters
        self.characters = characters
        self.numbers = {character: k for k, character in enumerate(characters, start=1)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> Symbols:
        """Returns those that some texts are written with."""
        return cls("".join(sorted({SPACE}.union(*texts))))

    def __len__(self) -> int:
        """Number of symbols with the blank, V."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Int64[np.ndarray, " U"]:
        """Returns the numbers of a text's characters; those that are none are left out."""
        known = (self.numbers[c] for c in text if c in self.numbers)
        return np.fromiter(known, np.int64)

    def decode(self, numbers: Sequence[int]) -> str:
        """Returns the text of some numbers, without blanks at its ends or side by side."""
        return " ".join("".join(self.characters[number - 1] for number in numbers).split())

    def unknown(self, text: str) -> str:
        """Returns the characters of a text that are no symbols, each once, in order."""
        return "".join(dict.fromkeys(c for c in text if c not in self.numbers))
