"""The training loop, readable top to bottom. Knows a Task protocol and no task."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from carousel.errors import DataError, NonFiniteError, OptionError
from carousel.training.allocation import freed_memory_kept
from carousel.training.counters import Counters, Timer
from carousel.training.devices import check_precision, to_device
from carousel.training.distributed import ProcessGroup, joined_group
from carousel.training.history import History
from carousel.training.keeping import RunKeeper
from carousel.training.learner import Learner
from carousel.training.options import RunOptions
from carousel.training.progress import Moment, NoProgress, Progress, make_progress
from carousel.training.randomness import callers_randomness_kept, seed_everything
from carousel.training.schedule import rate_factor
from carousel.training.signals import StopSignals
from carousel.training.task import Task

EXHAUSTED = object()  # what the data gives after its last batch


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a run came to; the weights are in the task's module.

    Args:
        steps: updates made.
        epochs: passes over the data finished.
        seconds: of training, earlier parts of a resumed run included.
        stop_reason: the option that ended the run, such as "max_steps" or "patience".
        best_score: lowest validation score, whose weights were kept; None without validation.
        best_step: when it was reached.
        metrics: of the last validation.
        history: what happened.
    """

    steps: int
    epochs: int
    seconds: float
    stop_reason: str
    best_score: float | None
    best_step: int | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: History = field(default_factory=History)


def train(
    task: Task[Any],
    options: RunOptions,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingResult:
    """Trains ``task.module`` and leaves the weights to keep in it, in evaluation mode.

    Args:
        task: what is trained, on what, to what end.
        options: how.
        progress: where to report; by default what ``options.progress`` says.
        clock: seconds since any fixed moment; the budget in minutes follows it.

    Raises:
        OptionError: if there is no budget, or an option has nothing to work on.
        DataError: if the data holds no batch.
        OutputError: if the checkpoint cannot be written, or the folder holds another run.
        CheckpointError: if the checkpoint is damaged or of another run.
        NonFiniteError: if a loss or gradient is not finite; before the weights are touched.
        TrainingInterruptedError: on SIGINT or SIGTERM, after saving.
    """
    options = options.complete()
    _refuse_idle_options(task, options)
    group = joined_group(options.device)
    with (
        callers_randomness_kept(),
        freed_memory_kept(),
        StopSignals() as signals,
        _reporting(progress, options, group) as shown,
    ):
        return _Run(task, options, group, signals, shown, clock).train()


class _Run:
    """One run of the loop: its parts, and the few steps that need several of them."""

    def __init__(
        self,
        task: Task[Any],
        options: RunOptions,
        group: ProcessGroup,
        signals: StopSignals,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self.task = task
        self.options = options
        self.group = group
        self.signals = signals
        self.progress = progress
        self.clock = clock
        check_precision(options.precision, group.device)
        task.module.to(group.device)
        task.module.train()
        self.forward = _forward(task, group)
        self.learner = Learner(task.module, options)
        self.keeper = RunKeeper(task, options, self.learner, group)
        self.counters = Counters()
        self.timer = Timer(clock, 0.0)
        self.learning_rate = 0.0
        self.grad_norm = 0.0

    def train(self) -> TrainingResult:
        with self.keeper.keeping():
            self.begin()
            return self.steps()

    def begin(self) -> None:
        self.counters = self.keeper.begin()
        self.timer = Timer(self.clock, self.counters.elapsed)
        if self.task.introduction:
            self.progress.note(self.task.introduction)
        if self.counters.step > 0:
            self.progress.note(f"goes on after step {self.counters.step}")

    def steps(self) -> TrainingResult:
        counters, options = self.counters, self.options
        batches = self.batches()
        while True:
            seed_everything(options.seed, "step", counters.step, self.group.shard.rank)
            batch = next(batches, EXHAUSTED)
            everyone_exhausted, ragged, interrupted = self.agree(batch)
            if interrupted:
                raise self.keeper.interrupted(counters, self.signals.received or signal.SIGTERM)
            if reason := counters.stop_reason(options):
                break
            if everyone_exhausted:
                self.end_epoch()
                batches = self.batches()
                continue

            share = None if batch is EXHAUSTED else to_device(batch, self.group.device)
            total, weight = self.gradients(share, ragged)
            self.learning_rate = self.scheduled_rate() * self.task.rate_factor(share)
            self.learner.update(self.learning_rate, self.grad_norm)
            counters.count_update(total, weight)

            self.report(validate=self.is_validation_due())
            if self.keeper.is_due(counters):
                self.keeper.save(counters)
        return self.finish(reason)

    def batches(self) -> Iterator[Any]:
        counters = self.counters
        return iter(self.task.batches(counters.epoch, counters.position, self.group.shard))

    def agree(self, batch: Any) -> tuple[bool, bool, bool]:
        """Settles among all processes what the next step is, and what time it is.

        Returns:
            everyone_exhausted: no process has a batch left in this epoch.
            ragged: some process has no share of this batch.
            interrupted: some process got a signal.
        """
        first = self.group.is_first
        exhausted, empty, interrupted, elapsed = self.group.sums(
            batch is EXHAUSTED,
            batch is None or batch is EXHAUSTED,
            self.signals.received > 0,
            self.timer.elapsed() if first else 0.0,
        )
        self.counters.elapsed = elapsed
        return exhausted == self.group.shard.world, empty > 0, interrupted > 0

    def gradients(self, share: Any, ragged: bool) -> tuple[float, float]:
        """Leaves the gradient of the global batch's mean loss in the parameters.

            gradient = Σ_ranks ∇total_rank / Σ_ranks weight_rank

        DDP averages over ranks while it runs backward, so each total is multiplied by their
        number. Where a rank has no share it cannot run backward, and all ranks add up by hand.

        Returns:
            The global batch's summed loss and its weight.

        Raises:
            NonFiniteError: on every rank, if the loss or the gradient is not finite.
        """
        group, model = self.group, self.task.module
        by_hand = ragged and not group.is_alone
        alone = by_hand or group.is_alone
        self.learner.optimizer.zero_grad(set_to_none=True)
        with self.forward.no_sync() if by_hand else contextlib.nullcontext():
            loss: Tensor | None = None
            own_total, own_weight = 0.0, 0.0
            if share is not None:
                with self.autocast():
                    loss, weight = self.forward(share)
                own_total, own_weight = float(loss.detach()), float(weight)
            total, weight = group.sums(own_total, own_weight)
            if not math.isfinite(total):
                raise self.non_finite("loss", total, share, to_blame=not math.isfinite(own_total))
            if loss is not None:
                # A batch of weight 0 has nothing to teach; its gradient is 0 and not 0 / 0.
                (loss * ((1 if alone else group.shard.world) / (weight or 1.0))).backward()
        if by_hand:
            group.sum_gradients(model)
        self.grad_norm = self.learner.gradient_norm()
        if not math.isfinite(self.grad_norm):
            raise self.non_finite("gradient", self.grad_norm, share, to_blame=share is not None)
        return total, weight

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        enabled = self.options.precision == "bf16"
        return torch.autocast(self.group.device.type, dtype=torch.bfloat16, enabled=enabled)

    def scheduled_rate(self) -> float:
        """Returns the step size as of the middle of the step.

        At either end of the step, a schedule that starts or ends at 0 would waste a step.
        """
        options, counters = self.options, self.counters
        used = counters.used(options, self.task.batches_per_epoch(), counters.elapsed, ahead=0.5)
        assert options.learning_rate is not None, "options.complete() comes first"
        return options.learning_rate * rate_factor(options.schedule, options.warmup, used)

    def is_validation_due(self) -> bool:
        every, step = self.options.validate_every, self.counters.step
        if not self.task.metric:
            return False
        if every is None:
            due = self.counters.position == self.task.batches_per_epoch()
        else:
            due = step % every == 0
        return due or step == self.options.max_steps

    def end_epoch(self) -> None:
        counters = self.counters
        if counters.position == 0:
            raise DataError(
                "expected at least one batch of training data, found none; "
                "give more data or ask for smaller examples"
            )
        unvalidated = counters.validated_step != counters.step
        if self.task.metric and self.options.validate_every is None and unvalidated:
            self.report(validate=True)
        counters.epoch += 1
        counters.position = 0

    def report(self, validate: bool, is_last: bool = False) -> None:
        """Shows the step; writes a line of history if one is due, with scores if asked for."""
        counters, options = self.counters, self.options
        elapsed = self.timer.elapsed()
        record = counters.record(elapsed, self.learning_rate, self.grad_norm)
        is_line = validate or is_last or counters.step % options.log_every == 0
        if validate:
            record = dataclasses.replace(record, metrics=self.validate())
        if is_line:
            self.keeper.add(record)
            counters.begin_line(self.timer.elapsed())
        used = counters.used(options, self.task.batches_per_epoch(), elapsed)
        self.progress.show(Moment(record=record, used=used, is_line=is_line))

    def validate(self) -> Mapping[str, float]:
        """Scores the weights that would be kept, remembers them if they are the best."""
        module = self.learner.candidate
        metrics: Mapping[str, float] = {}
        if self.group.is_first:
            seed_everything(self.options.seed, "validation", self.counters.step)
            module.eval()
            with torch.no_grad():
                metrics = self.task.validate(module)
            module.train()
        metrics = json.loads(self.group.from_first(json.dumps(metrics).encode()))
        assert self.task.metric in metrics, f"validate() gives no {self.task.metric!r}"
        if self.counters.count_score(metrics[self.task.metric]):
            self.learner.keep_best()
        return metrics

    def finish(self, reason: str) -> TrainingResult:
        counters = self.counters
        if self.task.metric and counters.validated_step != counters.step:
            self.report(validate=True)
        elif counters.weight_sum > 0:
            self.report(validate=False, is_last=True)
        self.keeper.save(counters)
        self.learner.finish()
        # Buffers, such as running means, differ between processes; the first one's are kept.
        self.group.copy_from_first(list(self.task.module.state_dict().values()))
        return TrainingResult(
            steps=counters.step,
            epochs=counters.epoch,
            seconds=counters.elapsed,
            stop_reason=reason,
            best_score=counters.best_score,
            best_step=counters.best_step,
            metrics=self.keeper.history.last_metrics(),
            history=self.keeper.history,
        )

    def non_finite(self, what: str, value: float, share: Any, to_blame: bool) -> NonFiniteError:
        """Returns the error that names step and batch; all processes must come here."""
        described = self.task.describe(share).encode() if to_blame else b""
        names = [name.decode() for name in self.group.from_all(described) if name]
        return NonFiniteError(
            f"step {self.counters.step + 1}: expected a finite {what}, got {value}, on "
            f"{' and '.join(names)}; the weights were not changed; {self.keeper.whereabouts()}; "
            "look at these examples, or lower learning_rate or clip_norm"
        )


class _Loss(nn.Module):
    """The task's loss as a module, so that DDP sees every forward pass and the task no DDP."""

    def __init__(self, task: Task[Any]) -> None:
        super().__init__()
        self.task = task
        self.module = task.module

    def forward(self, batch: Any) -> tuple[Tensor, Tensor | float]:
        return self.task.loss(self.module, batch)


def _forward(task: Task[Any], group: ProcessGroup) -> Any:
    loss = _Loss(task)
    if group.is_alone:
        return loss
    devices = [group.device.index] if group.device.type == "cuda" else None
    # Buffers are not exchanged in the forward pass, because a rank without a share has none.
    # The option has a new name since PyTorch 2.13, and the old one warns.
    known = inspect.signature(DistributedDataParallel).parameters
    exchange = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    settings: dict[str, Any] = {exchange: False, "device_ids": devices}
    return DistributedDataParallel(loss, **settings)


def _refuse_idle_options(task: Task[Any], options: RunOptions) -> None:
    for name in ("patience", "validate_every"):
        if getattr(options, name) and not task.metric:
            raise OptionError(
                f"option {name!r} needs validation data to score, got none; give some or leave "
                f"{name!r} out"
            )


@contextlib.contextmanager
def _reporting(
    progress: Progress | None, options: RunOptions, group: ProcessGroup
) -> Iterator[Progress]:
    if not group.is_first:
        shown: Progress = NoProgress()
    else:
        shown = make_progress(options.progress) if progress is None else progress
    try:
        yield shown
    finally:
        shown.close()
