"""Text in blocks: what comes in cut anywhere goes out cut only where that changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

BLOCK = 1 << 17  # characters worked on at once: what this takes in memory stays small


class Holder:
    """Passes a text on up to the last place where it may be cut, and holds the rest back."""

    def __init__(self, last_cut: Callable[[str], int]) -> None:
        self._last_cut = last_cut
        self._held: list[str] = []  # joined only when passed on: a text may be one long word

    def feed(self, text: str) -> str:
        """Takes the next text; returns what may be passed on, perhaps nothing."""
        before = self._held[-1][-1] if self._held else ""
        cut = self._last_cut(before + text)
        passed = self.finish() + text[: cut - len(before)] if cut else ""
        rest = text[cut - len(before) :] if cut else text
        if rest:
            self._held.append(rest)
        return passed

    def finish(self) -> str:
        """Returns what is still held; the next text begins anew."""
        held = "".join(self._held)
        self._held.clear()
        return held


def blocks_of(pieces: Iterable[str | None], last_cut: Callable[[str], int]) -> Iterator[str]:
    """Yields the text in parts of about ``BLOCK`` or less, cut where that changes no token."""
    holder = Holder(last_cut)
    for piece in itertools.chain(pieces, [None]):
        if piece is None:
            passed = iter([holder.finish()])
        else:
            starts = range(0, len(piece), BLOCK)
            passed = (holder.feed(piece[start : start + BLOCK]) for start in starts)
        yield from filter(None, passed)
