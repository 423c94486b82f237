"""What all tasks' inspections share: a network watched at work, and one of its numbers explained.

Knows nothing of texts, series or sounds.

Letters: T steps, B copies of an input, F features of a step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from carousel.errors import OptionError
from carousel.inspection.attribution import integrated_gradients, occlusion
from carousel.inspection.contents import Attribution, Axis, LayerValues
from carousel.inspection.recording import record
from carousel.options import option

Chosen = TypeVar("Chosen", bound=nn.Module)

EXPLAINED = ("nothing", "gradients", "occlusion", "both")


def explain_option(what: str) -> Any:
    """Declares the option ``explain`` of a task.

    Args:
        what: is explained, one phrase.
    """
    return option(
        default="nothing",
        help=f"{what}: by integrated gradients, by leaving out one step after the other, or both",
        choices=EXPLAINED,
        source="integrated gradients: arXiv:1703.01365; occlusion: arXiv:1311.2901, section 4.2",
    )


def check_explained(explain: str, **given: Any) -> None:
    """Refuses options that say what is explained where nothing is.

    Args:
        explain: as ``explain_option`` takes it.
        **given: those options by name; None where it was left out.
    """
    idle = [name for name, value in given.items() if value is not None]
    if idle and explain == "nothing":
        raise OptionError(
            f"option {idle[0]!r} says what is explained, and explain is 'nothing'; leave it out, "
            f"or give explain='both'"
        )


class Watched(NamedTuple):
    """What a network returned, and what was seen of its layers meanwhile; see ``Contents``."""

    result: Any
    layers: dict[str, LayerValues]


def watched(network: nn.Module, run: Callable[[], Any], axis_of: Callable[[str], str]) -> Watched:
    """Runs a network on a batch of one, in evaluation and without gradients.

    Args:
        network: with LSTM layers.
        run: makes it run, or a part of it.
        axis_of: from the path of a layer in the network to the axis that it reads.
    """
    result, readings = record(network, run)
    layers = {
        name: layer
        for reading in readings
        for name, layer in reading.layers(axis_of(reading.path)).items()
    }
    return Watched(result, layers)


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """A number that a model said, whose reasons are sought in its input.

    Attributes:
        name: of the number.
        axis: whose first T steps the input is.
        number: from copies of the input, (B, T, F), to the number of each, (B,).
        inputs: (T, F).
        baseline: (T, F), an input that says nothing; None for zeros.
    """

    name: str
    axis: Axis
    number: Callable[[Tensor], Tensor]
    inputs: Float[Tensor, "T F"]
    baseline: Float[Tensor, "T F"] | None = None


def attributions(explain: str, questions: Iterable[Question]) -> list[Attribution]:
    """Answers questions; steps behind the input of one have no share in it.

    Args:
        explain: as ``explain_option`` takes it.
        questions: none where nothing is explained.
    """
    found = []
    for question in questions:
        given = question.number, question.inputs, question.baseline
        if explain in ("gradients", "both"):
            shares, total = integrated_gradients(*given)
            found.append(_attribution(question, "integrated gradients", shares, total))
        if explain in ("occlusion", "both"):
            found.append(_attribution(question, "occlusion", occlusion(*given)))
    return found


@contextlib.contextmanager
def standing_in(module: nn.Module, value: Tensor) -> Iterator[None]:
    """Has the next call of a module inside the block return a tensor in place of its output.

    So a network is run on embeddings that no token has, whatever it does with them.

    Args:
        module: such as an embedding; one that is called again gives its own output again.
        value: what it returns.
    """
    called = False

    def replaced(module: nn.Module, inputs: Any, output: Any) -> Tensor:
        nonlocal called
        called = True
        handle.remove()
        return value

    handle = module.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()
    assert called, "the module was not called, so that nothing was replaced"


def chosen_member(members: Sequence[Chosen], number: int) -> Chosen:
    """Returns one of a network's members.

    Raises:
        OptionError: for a number that none has.
    """
    if number >= len(members):
        one = "0, for one network answers"
        several = (
            f"the number of one of the {len(members)} networks that answer together, from 0 to "
            f"{len(members) - 1}"
        )
        raise OptionError(f"member expects {one if len(members) == 1 else several}, got {number}")
    return members[number]


def member_words(count: int, number: int) -> str:
    """Returns ", network 1 of 3" for the title of what one of several saw; of a single one ""."""
    return f", network {number} of {count}" if count > 1 else ""


def _attribution(
    question: Question, method: str, shares: np.ndarray, total: float = float("nan")
) -> Attribution:
    values = np.zeros(len(question.axis), np.float32)
    values[: len(shares)] = shares
    return Attribution(
        name=question.name, method=method, axis=question.axis.name, values=values, total=total
    )
