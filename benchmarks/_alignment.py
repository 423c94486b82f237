"""How often the attention is strongest on the right word: against an alignment made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from carousel.tasks.translation import Translation

Links = Mapping[int, frozenset[int]]  # of each target word the source words of which each is right


def read_links(path: Path) -> dict[int, Links]:
    """Returns the alignment of each sentence by its number, from 1; the file says its format."""
    found: dict[int, Links] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        number, _, rest = line.partition(":")
        pairs = (link.split("=") for link in rest.split())
        found[int(number)] = {
            int(target): frozenset(map(int, sources.split(","))) for target, sources in pairs
        }
    return found


def share_right(found: Sequence[Translation], links: Mapping[int, Links]) -> tuple[float, int]:
    """Returns the share of the aligned words whose strongest source word is right, in %.

    Args:
        found: sentences whose targets are those that were aligned, one for each of ``links``.
        links: by hand.

    Returns:
        The share, and how many words it is of.
    """
    right = count = 0
    for one, own in zip(found, links.values(), strict=True):
        strongest = one.alignment
        assert max(own) < len(strongest), f"the words are cut otherwise: {one.words}"
        right += sum(strongest[word] in sources for word, sources in own.items())
        count += len(own)
    return 100 * right / count, count
