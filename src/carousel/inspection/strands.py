"""Which readings ran along the same steps, so that one axis can carry them, and which from the end.

Knows nothing of how an axis is drawn.

Shape letters: T steps, F features of a step, H hidden size, K, N states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Shaped
from torch import Tensor

from carousel.inspection.reading import Reading


@dataclass(kw_only=True, eq=False)
class Strand:
    """Readings of the same steps.

    Attributes:
        members: each with whether it read them from the end; the first that ran is the first.
    """

    members: list[tuple[Reading, bool]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.members[0][0])

    @property
    def first(self) -> Reading:
        """The reading that began first."""
        return self.members[0][0]


def strands(readings: Iterable[Reading], given: Tensor | None = None) -> list[Strand]:
    """Sorts readings by the steps that they ran along.

    A reading runs along the steps of another one whose inputs or outputs it reads, from the front
    or turned round. Where nothing of that kind is seen, it is taken to run along the first steps
    that are as many as its own; but not along those of another sequence of the same module, and not
    along those of a layer whose last state it starts from, as a decoder does.

    Args:
        readings: by their first calls.
        given: (T, F) what the model was given, if that is known; a first reading of it turned round
            runs backwards.
    """
    found: list[Strand] = []
    for reading in readings:
        strand, backwards = _seen(found, reading)
        if strand is None:
            strand = next((known for known in found if _may_run_along(known, reading)), None)
        if strand is None:
            strand = Strand()
            found.append(strand)
            backwards = given is not None and _turned(given, reading.inputs) is True
        strand.members.append((reading, backwards))
    return found


def _seen(found: Iterable[Strand], reading: Reading) -> tuple[Strand | None, bool]:
    """Returns the strand with a member that this reading reads, or reads the same as."""
    inputs = reading.inputs
    for strand in found:
        for known, backwards in strand.members:
            for values in (known.inputs, known.outputs):
                turned = _turned(values, inputs)
                if turned is not None:
                    return strand, turned != backwards
    return None, False


def _turned(known: Shaped[Tensor, "T F"], values: Shaped[Tensor, "S G"]) -> bool | None:
    """Returns whether values are the known ones turned round; None where they are others."""
    if known.shape != values.shape or known.dtype != values.dtype:
        return None
    if torch.equal(known, values):
        return False
    return True if torch.equal(known.flip(0), values) else None


def _may_run_along(strand: Strand, reading: Reading) -> bool:
    return len(strand) == len(reading) and not any(
        known.path == reading.path or _goes_on_from(known, reading) for known, _ in strand.members
    )


def _goes_on_from(known: Reading, reading: Reading) -> bool:
    """Returns whether a reading starts from a memory cell that another one ended with."""
    end, start = known.after.c, reading.first.before.c
    if not reading.first.given or end.shape[-1] != start.shape[-1] or end.dtype != start.dtype:
        return False
    same = (end[:, None] == start).all(-1)  # (K, N), some of several layers may be handed on
    return bool((same & (start != 0).any(-1)).any())
