"""Where a run stands, in plain numbers that a checkpoint can hold exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from carousel.training.history import Record
from carousel.training.options import RunOptions
from carousel.training.schedule import SECONDS_PER_MINUTE, used_budget


@dataclass
class Counters:
    """Where a run stands.

    Args:
        step: updates made.
        epoch: passes over the data finished.
        position: global batches of this epoch used.
        elapsed: seconds of training, as all processes agree.
        lines: lines of history written.
        best_score: lowest validation score so far.
        best_step: when it was reached; None before any.
        stale_validations: validations since then.
        validated_step: when the last validation was; None before any.
        loss_sum: loss summed since the last line of history.
        weight_sum: weight summed since the last line of history.
        line_elapsed: seconds at the last line of history.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    elapsed: float = 0.0
    lines: int = 0
    best_score: float | None = None
    best_step: int | None = None
    stale_validations: int = 0
    validated_step: int | None = None
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    line_elapsed: float = 0.0

    def count_update(self, total: float, weight: float) -> None:
        """Counts one update and its loss."""
        self.step += 1
        self.position += 1
        self.loss_sum += total
        self.weight_sum += weight

    def count_score(self, score: float) -> bool:
        """Counts one validation; returns whether it is the best so far (NaN never is)."""
        self.validated_step = self.step
        if (self.best_score is None or score < self.best_score) and not math.isnan(score):
            self.best_score, self.best_step, self.stale_validations = score, self.step, 0
            return True
        self.stale_validations += 1
        return False

    def record(self, elapsed: float, learning_rate: float, grad_norm: float) -> Record:
        """Returns the numbers since the last line of history."""
        seconds = elapsed - self.line_elapsed
        return Record(
            step=self.step,
            epoch=self.epoch,
            loss=self.loss_sum / self.weight_sum if self.weight_sum > 0 else None,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            throughput=self.weight_sum / seconds if seconds > 0 else 0.0,
            elapsed=elapsed,
        )

    def begin_line(self, elapsed: float) -> None:
        """Begins to sum for the next line of history."""
        self.lines += 1
        self.loss_sum = self.weight_sum = 0.0
        self.line_elapsed = elapsed

    def used(
        self, options: RunOptions, batches_per_epoch: int | None, elapsed: float, ahead: float = 0.0
    ) -> float:
        """Returns the part of the budget that is used ``ahead`` steps from here, [0, 1]."""
        part = (self.position + ahead) / batches_per_epoch if batches_per_epoch else 0.0
        return used_budget(
            options, step=self.step + ahead, seconds=elapsed, epochs=self.epoch + min(part, 1.0)
        )

    def stop_reason(self, options: RunOptions) -> str | None:
        """Returns the option that ends the run now, or None."""
        if options.max_steps is not None and self.step >= options.max_steps:
            return "max_steps"
        if options.max_epochs is not None and self.epoch >= options.max_epochs:
            return "max_epochs"
        if 0 < options.patience <= self.stale_validations:
            return "patience"
        minutes = options.max_minutes
        if minutes is not None and self.elapsed >= minutes * SECONDS_PER_MINUTE:
            return "max_minutes"
        return None


class Timer:
    """Seconds of training, earlier parts of a resumed run included.

    Args:
        clock: seconds since any fixed moment.
        before: seconds of the earlier parts.
    """

    def __init__(self, clock: Callable[[], float], before: float) -> None:
        self.clock = clock
        self.origin = clock() - before

    def elapsed(self) -> float:
        """Returns the seconds so far."""
        return self.clock() - self.origin
