"""What the loop computes, when it stops, and what it refuses."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from carousel.data.batching import Shard
from carousel.errors import CheckpointError, DataError, NonFiniteError, OptionError
from carousel.training import RunOptions, train
from carousel.training.learner import make_optimizer
from carousel.training.randomness import seed_everything
from carousel.training.schedule import rate_factor
from training.small_task import Example, SmallTask


def run_options(**values: Any) -> RunOptions:
    return RunOptions(**{"max_steps": 12, "progress": "none", **values})


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def plain_loop(task: SmallTask, run: RunOptions) -> None:
    """What the loop should compute, written out: no validation, no average, fp32."""
    run = run.complete()
    assert run.max_steps is not None
    assert run.learning_rate is not None
    optimizer = make_optimizer(list(task.module.parameters()), run)
    step, epoch = 0, 0
    while step < run.max_steps:
        batches = task.batches(epoch, 0, Shard())
        while step < run.max_steps:
            seed_everything(run.seed, "step", step, 0)
            batch = next(batches, None)
            if batch is None:
                break
            optimizer.zero_grad()
            total, weight = task.loss(task.module, batch)
            (total / weight).backward()
            if run.clip_norm:
                nn.utils.clip_grad_norm_(task.module.parameters(), run.clip_norm)
            factor = rate_factor(run.schedule, run.warmup, (step + 0.5) / run.max_steps)
            for group in optimizer.param_groups:
                group["lr"] = run.learning_rate * factor * task.rate_factor(batch)
            optimizer.step()
            step += 1
        epoch += 1


class Uneven(SmallTask):
    def rate_factor(self, batch: Example | None) -> float:
        return 1.0 if batch is None else len(batch[0]) / 4


@pytest.mark.parametrize("kind", [SmallTask, Uneven])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.1},
        {"optimizer": "adam", "schedule": "linear", "warmup": 0.5, "clip_norm": 0.1},
        {"schedule": "constant", "warmup": 0.0, "clip_norm": 0.0, "batch_size": 5, "seed": 3},
    ],
)
def test_the_loop_equals_the_plain_one(values: dict[str, Any], kind: type[SmallTask]) -> None:
    run = run_options(**values)
    ours, plain = kind(run, metric=""), kind(run)
    train(ours, run)
    plain_loop(plain, run)
    for name, weight in plain.module.state_dict().items():
        # One division of the loss against one product of it, over 12 steps of unit roundoff 6e-8.
        torch.testing.assert_close(
            ours.module.state_dict()[name], weight, rtol=1e-4, atol=1e-6, msg=name
        )


def test_the_average_is_the_ramped_one() -> None:
    seen: list[Tensor] = []
    run = run_options(average=0.3, max_steps=6)

    class Watched(SmallTask):
        def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, float]:
            seen.append(self.module.head.weight.detach().clone())
            return super().loss(module, batch)

    task = Watched(run, metric="")
    last = SmallTask(run_options(max_steps=6), metric="")
    train(task, run)
    train(last, last.run)
    after = [*seen[1:], last.module.head.weight.detach()]  # the weights after each update
    expected = after[0]
    for n, weight in enumerate(after[1:], start=1):
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(task.module.head.weight.detach(), expected, rtol=1e-5, atol=1e-7)


def test_the_best_weights_are_kept() -> None:
    kept: dict[int, Tensor] = {}
    scores = {4: 3.0, 8: 1.0, 12: float("nan"), 16: 2.0}

    class Scripted(SmallTask):
        def validate(self, module: nn.Module) -> dict[str, float]:
            assert not module.training
            assert not torch.is_grad_enabled()
            kept[4 * (len(kept) + 1)] = module.head.weight.detach().clone()
            return {"mse": scores[4 * len(kept)], "other": 0.0}

    run = run_options(max_steps=16, validate_every=4, learning_rate=0.1)
    task = Scripted(run)
    result = train(task, run)
    assert torch.equal(task.module.head.weight, kept[8])
    assert not torch.equal(kept[8], kept[16])
    assert (result.best_step, result.best_score) == (8, 1.0)
    assert result.metrics == {"mse": 2.0, "other": 0.0}
    assert [step for step, _ in result.history.scores("mse")] == [4, 8, 12, 16]
    assert not task.module.training


def test_patience_counts_validations_without_a_better_score() -> None:
    class Scripted(SmallTask):
        scores = iter([5.0, 4.0, 4.0, 4.5, 3.0, 3.5, 3.5, 3.5])

        def validate(self, module: nn.Module) -> dict[str, float]:
            return {"mse": next(self.scores)}

    run = run_options(max_steps=1000, validate_every=2, patience=3)
    result = train(Scripted(run), run)
    assert (result.stop_reason, result.steps, result.best_step) == ("patience", 16, 10)


def test_validation_follows_each_epoch_where_nothing_else_is_said() -> None:
    class Unknown(SmallTask):
        def batches_per_epoch(self) -> None:
            return None

    for kind in (SmallTask, Unknown):
        run = run_options(max_steps=12)  # an epoch has 5 batches
        result = train(kind(run), run)
        assert [step for step, _ in result.history.scores("mse")] == [5, 10, 12]


def test_epochs_are_counted_whole() -> None:
    run = run_options(max_steps=None, max_epochs=3)
    result = train(SmallTask(run), run)
    assert (result.steps, result.epochs, result.stop_reason) == (15, 3, "max_epochs")


def test_a_budget_in_minutes_follows_the_clock() -> None:
    clock = Clock()

    def pass_time(call: int) -> None:
        clock.now += 6.0

    run = run_options(max_steps=None, max_minutes=1.0, log_every=1, schedule="linear", warmup=0.5)
    task = SmallTask(run, metric="", before_step=pass_time)
    result = train(task, run, clock=clock)
    assert (result.stop_reason, result.steps, result.seconds) == ("max_minutes", 10, 60.0)
    # Each step takes a tenth of the budget and its rate is that of its beginning.
    tenths = [record.learning_rate / 1e-3 for record in result.history]
    assert tenths == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2])
    assert [record.throughput for record in result.history] == pytest.approx(
        [8 / 6, 8 / 6, 8 / 6, 8 / 6, 5 / 6] * 2
    )


def test_a_budget_in_minutes_counts_earlier_parts(tmp_path: Path) -> None:
    clock = Clock()

    def pass_time(call: int) -> None:
        clock.now += 6.0
        if call == 5:
            raise KeyError("stop here")

    run = run_options(
        max_steps=None, max_minutes=1.0, checkpoint=str(tmp_path), checkpoint_every=2, resume=True
    )
    with pytest.raises(KeyError):
        train(SmallTask(run, before_step=pass_time), run, clock=clock)
    clock.now += 100_000.0  # the time between the two parts is nobody's
    second = SmallTask(run, before_step=lambda call: pass_time(call + 100))
    result = train(second, run, clock=clock)
    # Saved after step 4, whose beginning was at 18 seconds.
    assert second.calls == 7
    assert result.steps == 11


def test_the_first_budget_used_up_ends_the_run() -> None:
    for values, reason in [
        ({"max_steps": 4, "max_epochs": 1}, "max_steps"),
        ({"max_steps": 40, "max_epochs": 1}, "max_epochs"),
        ({"max_steps": 40, "max_minutes": 1e-9}, "max_minutes"),
    ]:
        run = run_options(**values)
        assert train(SmallTask(run), run).stop_reason == reason


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, with_checkpoint: bool) -> None:
    kept = {"checkpoint": str(tmp_path), "checkpoint_every": 2} if with_checkpoint else {}
    run = run_options(max_steps=100, validate_every=1000, **kept)
    seen: list[dict[str, Tensor]] = []

    class Watched(SmallTask):
        def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, float]:
            seen.append({n: t.clone() for n, t in module.state_dict().items()})
            self.last = batch
            return super().loss(module, batch)

    task = Watched(run, poison=17)
    with pytest.raises(NonFiniteError) as caught:
        train(task, run)
    message = str(caught.value)
    assert 17 in task.last[0].tolist()
    assert f"step {len(seen)}: expected a finite loss, got nan" in message
    assert f"examples {task.last[0].tolist()}" in message
    for name, weight in task.module.state_dict().items():
        assert torch.equal(weight, seen[-1][name])
    if not with_checkpoint:
        assert "nothing was saved" in message
        return
    good = (len(seen) - 1) // 2 * 2
    assert f"the checkpoint of step {good} is in {tmp_path}" in message
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    again = run_options(max_steps=100, validate_every=1000, resume=True, **kept)
    with pytest.raises(NonFiniteError, match=f"step {len(seen)}: expected a finite loss"):
        train(SmallTask(again, poison=17), again)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


class Power(torch.autograd.Function):
    """The identity, with a gradient that is not finite from a certain call on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, broken: bool) -> Tensor:
        ctx.broken = broken
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return (grad * math.inf if ctx.broken else grad), None


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    class Broken(SmallTask):
        def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, float]:
            total, weight = super().loss(module, batch)
            self.before = [p.detach().clone() for p in module.parameters()]
            return Power.apply(total, self.calls == 4), weight

    run = run_options()
    task = Broken(run)
    with pytest.raises(NonFiniteError, match=r"step 4: expected a finite gradient.*examples \["):
        train(task, run)
    for before, parameter in zip(task.before, task.module.parameters(), strict=True):
        assert torch.equal(before, parameter)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    class Breaking(SmallTask):
        def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, float]:
            if self.calls == 2:
                with torch.no_grad():
                    module.head.unused.fill_(math.inf)
            return super().loss(module, batch)

    run = run_options(checkpoint=str(tmp_path), checkpoint_every=1)
    task = Breaking(run, metric="")
    task.module.head.unused = nn.Parameter(torch.zeros(2))
    with pytest.raises(NonFiniteError, match=r"head\.unused.*checkpoint of step 2"):
        train(task, run)


def test_a_batch_of_weight_nothing_teaches_nothing() -> None:
    class Masked(SmallTask):
        def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, Tensor]:
            total, _ = super().loss(module, batch)
            return 0.0 * total, torch.tensor(0.0)

    run = run_options(max_steps=3, optimizer="sgd", log_every=1)
    task = Masked(run, metric="")
    before = {n: t.clone() for n, t in task.module.state_dict().items()}
    result = train(task, run)
    assert [record.loss for record in result.history] == [None, None, None]
    for name, weight in task.module.state_dict().items():
        assert torch.equal(before[name], weight)


def test_bf16_covers_the_loss_and_not_the_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real LSTM has no bf16 on many processors, so the choice is watched and not its effect.
    seen: list[tuple[str, bool]] = []

    class Watched(SmallTask):
        def loss(self, module: nn.Module, batch: Example) -> tuple[Tensor, float]:
            seen.append(("loss", torch.is_autocast_enabled("cpu")))
            with torch.autocast("cpu", enabled=False):
                return super().loss(module, batch)

        def validate(self, module: nn.Module) -> dict[str, float]:
            seen.append(("validate", torch.is_autocast_enabled("cpu")))
            return super().validate(module)

    monkeypatch.setattr("carousel.training.loop.check_precision", lambda precision, device: None)
    for precision in ("bf16", "fp32"):
        run = run_options(max_steps=2, precision=precision)
        train(Watched(run), run)
        assert seen == [("loss", precision == "bf16")] * 2 + [("validate", False)]
        seen.clear()


def test_data_without_a_batch_is_refused() -> None:
    run = run_options()
    with pytest.raises(DataError, match="at least one batch"):
        train(SmallTask(run, num_examples=0, metric=""), run)


def test_no_budget_is_refused() -> None:
    run = RunOptions()
    with pytest.raises(OptionError, match="max_minutes"):
        train(SmallTask(run), run)


@pytest.mark.parametrize("name", ["patience", "validate_every"])
def test_options_that_would_do_nothing_are_refused(name: str) -> None:
    run = run_options(**{name: 3})
    with pytest.raises(OptionError, match=f"{name}.*validation data"):
        train(SmallTask(run, metric=""), run)


def test_the_callers_random_numbers_are_left_alone() -> None:
    def draw() -> tuple[float, float, float]:
        return float(torch.rand(())), float(np.random.rand()), random.random()

    expected = draw()
    torch.manual_seed(20130101)
    np.random.seed(20130101)
    random.seed(20130101)
    run = run_options()
    train(SmallTask(run), run)
    assert draw() == expected


def test_validation_does_not_disturb_training() -> None:
    class AlwaysBetter(SmallTask):
        def validate(self, module: nn.Module) -> dict[str, float]:
            return {**super().validate(module), "calls": -float(self.calls)}

    weights = []
    for metric, every in (("", None), ("calls", 1), ("calls", 2)):
        run = run_options(validate_every=every)
        task = AlwaysBetter(run, metric=metric)
        train(task, run)
        weights.append(task.module.head.weight)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_validation_draws_the_same_whatever_training_drew() -> None:
    class Drawing(SmallTask):
        def validate(self, module: nn.Module) -> dict[str, float]:
            return {"mse": float(torch.rand(()))}

    scores = []
    for dropout in (0.0, 0.2):
        run = run_options(validate_every=3)
        scores.append(train(Drawing(run, dropout=dropout), run).history.scores("mse"))
    assert scores[0] == scores[1]
    assert len({score for _, score in scores[0]}) == 4


def test_a_checkpoint_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_options(checkpoint=str(tmp_path), resume=True)
    train(SmallTask(run), run)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CheckpointError, match="Permission denied"):
        train(SmallTask(run), run)
