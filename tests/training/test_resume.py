"""A run that was stopped in any way ends bit for bit as one that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tests.crashes import CrashError
from torch import Tensor, nn

from carousel.data.batching import Shard
from carousel.errors import CheckpointError, OutputError
from carousel.training import RunOptions, TrainingResult, checkpoint, train
from training.small_task import SmallTask, start

# Averages, Adam's moments, early stopping that strikes, validation out of step with checkpoints.
SETTINGS: dict[str, Any] = {
    "max_steps": 40,
    "learning_rate": 0.02,
    "average": 0.9,
    "validate_every": 4,
    "patience": 9,
    "warmup": 0.1,
    "log_every": 3,
    "progress": "none",
}


def crash_at(step: int) -> Any:
    def before_step(call: int) -> None:
        if call == step:
            raise CrashError

    return before_step


def trained(
    settings: dict[str, Any], folder: Path | None = None, **task: Any
) -> tuple[dict[str, Tensor], TrainingResult]:
    if folder is not None:
        settings = {"checkpoint_every": 3, **settings, "checkpoint": str(folder), "resume": True}
    run = RunOptions(**settings)
    small = SmallTask(run, **task)
    result = train(small, run)
    return dict(small.module.state_dict()), result


def lines(result: TrainingResult) -> list[dict[str, Any]]:
    """The history without what the clock decides."""
    plain = [record.to_dict() for record in result.history]
    return [{k: v for k, v in r.items() if k not in ("throughput", "elapsed")} for r in plain]


def assert_same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name].view(torch.uint8), other[name].view(torch.uint8)), name


@pytest.mark.parametrize(
    ("change", "crashes"),
    [
        ({}, (1, 2, 3, 4, 5, 6, 11)),  # an epoch has 5 batches, a checkpoint comes every 3 steps
        ({"validate_every": None}, (5, 6, 7)),
        ({"optimizer": "sgd", "average": 0.0, "schedule": "linear"}, (8,)),
        ({"optimizer": "adam", "clip_norm": 0.0, "schedule": "constant"}, (8,)),
        ({"max_steps": None, "max_epochs": 5, "patience": 2, "checkpoint_every": 1}, (6, 9)),
    ],
)
def test_a_crash_at_any_step_changes_nothing(
    tmp_path: Path, change: dict[str, Any], crashes: tuple[int, ...]
) -> None:
    settings = {**SETTINGS, **change}
    whole, whole_result = trained(
        {k: v for k, v in settings.items() if not k.startswith("checkpoint")}
    )
    for crash in crashes:
        folder = tmp_path / str(crash)
        with pytest.raises(CrashError):
            trained(settings, folder, before_step=crash_at(crash))
        again, result = trained(settings, folder)
        assert_same_bits(whole, again)
        assert lines(result) == lines(whole_result)
        assert (result.stop_reason, result.best_step, result.best_score, result.epochs) == (
            whole_result.stop_reason,
            whole_result.best_step,
            whole_result.best_score,
            whole_result.epochs,
        )


def test_crashes_upon_crashes_change_nothing(tmp_path: Path) -> None:
    whole, _ = trained(SETTINGS)
    for _ in range(6):  # each gets four steps further, of which three are saved
        with pytest.raises(CrashError):
            trained(SETTINGS, tmp_path, before_step=crash_at(5))
    assert saved_counters(tmp_path)["step"] == 18
    assert_same_bits(whole, trained(SETTINGS, tmp_path)[0])


def saved_counters(folder: Path) -> dict[str, Any]:
    with safetensors.safe_open(folder / checkpoint.CHECKPOINT_FILE, "pt") as file:
        return json.loads(file.metadata()["document"])["counters"]


def test_dropout_and_data_order_matter_here() -> None:
    # Without this, a resume that forgot them would pass the tests above.
    plain, _ = trained(SETTINGS)
    other, _ = trained({**SETTINGS, "seed": 1})
    still, _ = trained(SETTINGS, dropout=0.0)
    assert not torch.equal(plain["head.weight"], other["head.weight"])
    assert not torch.equal(plain["head.weight"], still["head.weight"])


def test_three_kills_at_random_steps_change_nothing(tmp_path: Path) -> None:
    settings = {**SETTINGS, "max_steps": 300, "patience": 0, "log_every": 1}
    whole, _ = trained(settings)
    kept = tmp_path / "kept"
    values = {
        "name": "unfinished",
        "run": {**settings, "checkpoint": str(kept), "checkpoint_every": 7, "resume": True},
        "task": {"pause": 0.004},  # so that there is time to be killed in
    }
    killed_at = 0
    for _ in range(3):
        target = killed_at + random.Random().randint(8, 40)
        process = start(tmp_path, [values])
        history = kept / "history.jsonl"
        while process.is_alive():
            killed_at = len(history.read_bytes().splitlines()) if history.exists() else 0
            if killed_at >= target:
                process.kill()
                break
            time.sleep(0.001)
        process.join()
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "stderr").read_text()
    again, result = trained(settings, kept)
    assert_same_bits(whole, again)
    assert result.steps == 300
    assert [record.step for record in result.history] == list(range(1, 301))


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_crash_while_saving_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    whole, _ = trained(SETTINGS)
    real, left = getattr(os, call), iter(range(5 if call == "fsync" else 3))

    def crashing(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise CrashError
        return real(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(os, call, crashing)
        with pytest.raises(CrashError):
            trained(SETTINGS, tmp_path)
    (tmp_path / ".checkpoint.safetensors.0123abcd.partial").write_bytes(b"half")
    assert_same_bits(whole, trained(SETTINGS, tmp_path)[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.safetensors", "history.jsonl"]


def test_half_a_line_of_history_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(CrashError):
        trained(SETTINGS, tmp_path, before_step=crash_at(11))
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"step": 11, "epo')
    _, result = trained(SETTINGS, tmp_path)
    assert lines(result) == lines(trained(SETTINGS)[1])


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    first, result = trained(SETTINGS, tmp_path)
    again, same = trained(SETTINGS, tmp_path, before_step=crash_at(1))
    assert_same_bits(first, again)
    assert lines(same) == lines(result)
    assert (same.stop_reason, same.metrics) == (result.stop_reason, result.metrics)


def test_checkpoints_do_not_change_the_run(tmp_path: Path) -> None:
    assert_same_bits(trained(SETTINGS)[0], trained(SETTINGS, tmp_path)[0])


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    trained(SETTINGS, tmp_path)
    run = RunOptions(**SETTINGS, checkpoint=str(tmp_path))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(OutputError, match="--resume"):
        train(SmallTask(run), run)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "task", "words"),
    [
        ({"learning_rate": 0.03}, {}, "option learning_rate was 0.02, is 0.03"),
        ({"seed": 5}, {}, "option seed was 0, is 5"),
        ({"schedule": "linear"}, {}, "option schedule was 'cosine', is 'linear'"),
        ({}, {"num_examples": 38}, "num_examples was 37, is 38"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    tmp_path: Path, change: dict[str, Any], task: dict[str, Any], words: str
) -> None:
    trained(SETTINGS, tmp_path)
    with pytest.raises(CheckpointError, match=words):
        trained({**SETTINGS, **change}, tmp_path, **task)


def test_options_that_do_not_decide_the_weights_may_change(tmp_path: Path) -> None:
    with pytest.raises(CrashError):
        trained(SETTINGS, tmp_path, before_step=crash_at(11))
    again, _ = trained({**SETTINGS, "checkpoint_every": 5, "log_every": 1}, tmp_path)
    assert_same_bits(trained(SETTINGS)[0], again)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    trained(SETTINGS, tmp_path)
    run = RunOptions(**SETTINGS, checkpoint=str(tmp_path), resume=True)
    task = SmallTask(run)
    task.module.head = nn.Linear(8, 2)
    with pytest.raises(CheckpointError, match=r"(?s)another model.*head\.weight"):
        train(task, run)


class CarryingTask(SmallTask):
    """Carries a running sum of the inputs from batch to batch, and trains on it."""

    def __init__(self, run: RunOptions, **named: Any) -> None:
        super().__init__(run, **named)
        self.carried = torch.zeros(3)

    def loss(self, module: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, float]:
        numbers, x, y = batch
        self.carried = 0.9 * self.carried + x.mean((0, 1))
        return super().loss(module, (numbers, x + self.carried, y))

    def state_dict(self) -> dict[str, Tensor]:
        return {"carried": self.carried}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.carried = state["carried"]


def test_what_a_task_carries_is_kept(tmp_path: Path) -> None:
    plain = RunOptions(**SETTINGS)
    kept = RunOptions(**SETTINGS, checkpoint=str(tmp_path), checkpoint_every=3, resume=True)
    whole = CarryingTask(plain)
    train(whole, plain)
    with pytest.raises(CrashError):
        train(CarryingTask(kept, before_step=crash_at(12)), kept)
    again = CarryingTask(kept)
    train(again, kept)
    assert_same_bits(dict(whole.module.state_dict()), dict(again.module.state_dict()))
    assert torch.equal(whole.carried, again.carried)


def test_state_carried_by_one_process_does_not_suit_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunOptions(**SETTINGS, checkpoint=str(tmp_path), resume=True)
    train(CarryingTask(run), run)
    monkeypatch.setattr("carousel.training.distributed.ProcessGroup.is_alone", True)
    monkeypatch.setattr("carousel.training.distributed.Shard", lambda: Shard(0, 2))
    with pytest.raises(CheckpointError, match="expected 1, got 2"):
        train(CarryingTask(run), run)
