"""What the loop asks of a task; the loop knows nothing else of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from carousel.data.batching import Shard

Batch = TypeVar("Batch")


@runtime_checkable
class Task(Protocol[Batch]):
    """A module, its data and its loss. Derive from it: what has a body here is optional.

    The task is made with the same ``RunOptions`` as the loop and takes ``batch_size`` and ``seed``
    from there. Before every step the loop sets the global random generators of torch, NumPy and
    Python from (seed, step, rank), so dropout and the like need no care; a random generator of the
    task's own would not be resumed.

    Attributes:
        module: what is trained. Its buffers are those of rank 0 in the end.
        metric: the entry of ``validate``'s result that decides which weights are best; lower is
            better (return the negative of a score). Empty: the last weights are kept.
        introduction: what the user is told before the first step, such as what was found in the
            data; empty for nothing.
    """

    module: nn.Module
    metric: str = ""
    introduction: str = ""

    def batches(self, epoch: int, start: int, shard: Shard) -> Iterator[Batch | None]:
        """Yields this rank's share of the global batches ``start``, ``start + 1``, … of an epoch.

        Must be a function of (the run's seed, epoch, start, shard) alone: a resumed run calls it
        with the position where it was stopped. Yields None where the share is empty, so that
        every rank yields as often as the others.
        """
        ...

    def loss(self, module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | float]:
        """Returns the loss of a batch as a sum, and what to divide it by.

        Args:
            module: the one to run, on its device.
            batch: one share, its tensors already on that device.

        Returns:
            total: scalar tensor, **summed** over the share's items.
            weight: number of items, or their summed weights; the loop divides the totals of all
                ranks by the weights of all ranks.
        """
        ...

    def rate_factor(self, batch: Batch | None) -> float:
        """Returns what the step size is multiplied by for this batch, the same on every rank.

        ``batch`` is None where this rank has no share.
        """
        return 1.0

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Returns scores on the validation data by name; called in evaluation mode, no gradients.

        Runs on rank 0 only and must do the same whenever it is called with the same weights.
        """
        return {}

    def describe(self, batch: Batch) -> str:
        """Returns words by which a person finds this batch in the data."""
        return "a batch that the task does not describe"

    def fingerprint(self) -> str | Mapping[str, Any]:
        """Returns what tells this task, its data and its options from others, for the checkpoint.

        A mapping of names to JSON values lets the refusal of a foreign checkpoint name what
        differs; a text can only be equal or not.
        """
        ...

    def batches_per_epoch(self) -> int | None:
        """Returns the number of global batches in an epoch; None where it is not known ahead.

        Only a schedule over ``max_epochs`` asks; unknown, it moves once an epoch.
        """
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """Returns what the task carries from one batch to the next (on this rank)."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes back what ``state_dict`` returned."""
        return None
