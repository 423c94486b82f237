"""The language model as the training loop sees it: segments of columns in, nats out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carousel.data.batching import Shard
from carousel.data.token_streams import column_segments, num_rows, segment_ends
from carousel.nn import State
from carousel.tasks.language_modeling.ensemble import Network
from carousel.tasks.language_modeling.network import document_begins
from carousel.tasks.language_modeling.plan import Plan
from carousel.tasks.language_modeling.softmax import losses_in_parts
from carousel.training import RunOptions, Task

_VALIDATION_COLUMNS = 16
_VALIDATION_STEPS = 256
MOST_VALIDATED = 250_000  # tokens; more makes validation slower and hardly steadier


class Segment(NamedTuple):
    """The next few rows of all columns.

    Attributes:
        inputs: (T, B).
        targets: (T, B), each the token behind the input; B may be 0.
        first: number of the first row in its column.
    """

    inputs: Tensor
    targets: Tensor
    first: int


class LanguageModelingTask(Task[Segment]):
    """Trains by truncated backpropagation through time, the state carried from batch to batch.

    Args:
        network: what is trained.
        tokens: (N,) of the training part.
        valid: (M,) of the part that chooses the weights; may be empty.
        plan: what the data decided.
        run: of the training run, complete.
        boundary: number of the token that documents are separated by, where the state is reset;
            None for a single document.
        source: what the data is called.
        fingerprint: of data and options.
        introduction: what the user is told.
    """

    def __init__(
        self,
        network: Network,
        tokens: np.ndarray,
        valid: np.ndarray,
        plan: Plan,
        run: RunOptions,
        *,
        boundary: int | None,
        source: str = "",
        fingerprint: Mapping[str, Any] | None = None,
        introduction: str = "",
    ) -> None:
        assert run.batch_size is not None
        self.module = network
        self.tokens, self.valid = tokens, valid[: MOST_VALIDATED + 1]
        self.plan, self.boundary = plan, boundary
        self.columns, self.seed = run.batch_size, run.seed
        self.metric = "nats" if len(valid) > 1 else ""
        self.source, self.introduction = source, introduction
        self._fingerprint = dict(fingerprint or {})
        self._state: list[State] | None = None
        self._ends = self._ends_of(0)
        self._length = plan.bptt

    def batches(self, epoch: int, start: int, shard: Shard) -> Iterator[Segment | None]:
        """Yields this rank's columns of each segment."""
        if start == 0:
            self._state = None
        self._ends = self._ends_of(epoch)
        firsts = [0, *self._ends.tolist()][start:]
        found = column_segments(self.tokens, self.columns, self._ends, start, shard)
        for first, rows in zip(firsts, found, strict=False):
            self._length = len(rows) - 1
            yield Segment(rows[:-1], rows[1:], first) if rows.shape[1] else None

    def batches_per_epoch(self) -> int:
        """Number of segments of the present epoch."""
        return len(self._ends)

    def loss(self, module: Any, batch: Segment) -> tuple[Tensor, float]:
        """Returns the nats of a segment, with what the options add, and its number of tokens.

        Of several members it is the mean, with the gradient of the sum: each learns as alone.
        """
        found = module(batch.inputs, self._state, document_begins(batch.inputs, self.boundary))
        self._state = [State(s.h.detach(), s.c.detach()) for s in found.state]
        losses = module.head.losses(found.dropped.flatten(0, 1), batch.targets.flatten())
        total, count = losses.sum(), losses.numel()
        alpha, beta = self.plan.alpha, self.plan.beta
        if alpha:
            total = total + count * alpha * found.dropped.square().mean()
        if beta and len(found.raw) > 1:
            total = total + count * beta * (found.raw[1:] - found.raw[:-1]).square().mean()
        others = self.plan.members - 1
        if others:
            total = total + others * (total - total.detach())
        return total, float(count)

    def rate_factor(self, batch: Segment | None) -> float:
        """Returns the segment's length over the usual one, arXiv:1708.02182, section 4.1."""
        length = self._length if batch is None else len(batch.inputs)
        return length / self.plan.bptt

    def validate(self, module: Any) -> dict[str, float]:
        """Returns the mean nats of the validation tokens, read in a few columns at once."""
        device = next(module.parameters()).device
        columns = min(_VALIDATION_COLUMNS, max(1, len(self.valid) // _VALIDATION_STEPS))
        rows = num_rows(len(self.valid), columns)
        ends = segment_ends(rows, _VALIDATION_STEPS, 0, 0, vary=False)
        state: list[State] | None = None
        total, count = torch.zeros((), dtype=torch.float64), 0
        for segment in column_segments(self.valid, columns, ends):
            inputs, targets = segment[:-1].to(device), segment[1:].to(device)
            found = module(inputs, state, document_begins(inputs, self.boundary))
            state = found.state
            losses = losses_in_parts(module.head, found.dropped.flatten(0, 1), targets.flatten())
            total += losses.double().sum().cpu()
            count += losses.numel()
        return {"nats": float(total / count)}

    def describe(self, batch: Segment) -> str:
        """Names the place of a segment in the text."""
        rows = num_rows(len(self.tokens), self.columns)
        last = batch.first + len(batch.inputs)
        place = f"tokens {batch.first + 1:,} to {last:,} of each of {self.columns} columns"
        return f"{place} of {rows:,}" + (f", in {self.source}" if self.source else "")

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns options and a digest of the data."""
        return {"task": "language-modeling", **self._fingerprint}

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the state of the columns, layer by layer."""
        return {
            f"{part}_{number}": tensor
            for number, state in enumerate(self._state or ())
            for part, tensor in zip("hc", state, strict=True)
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes back what ``state_dict`` returned."""
        device = next(self.module.parameters()).device
        self._state = [
            State(state[f"h_{number}"].to(device), state[f"c_{number}"].to(device))
            for number in range(len(state) // 2)
        ] or None

    def _ends_of(self, epoch: int) -> np.ndarray:
        rows = num_rows(len(self.tokens), self.columns)
        return segment_ends(rows, self.plan.bptt, self.seed, epoch, self.plan.vary_bptt)
