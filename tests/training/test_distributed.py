"""Two gloo processes against one, at an equal global batch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from carousel.data.batching import Shard
from carousel.training import History, RunOptions, train
from carousel.training.distributed import joined_group
from training.small_task import SmallTask

SCRIPT = Path(__file__).with_name("small_task.py")

# 37 examples in batches of 9 leave a last batch of one, so that the second process has none.
RUN: dict[str, Any] = {
    "max_steps": 24,
    "batch_size": 9,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "average": 0.9,
    "validate_every": 6,
    "log_every": 1,
    "progress": "none",
}
# Both add up the same numbers in another order. A sum of n float32 terms is off by n·2⁻²⁴ of their
# magnitude; a gradient here sums 9 examples × 5 steps, SGD adds 24 of them up, and the recurrent
# map stretches a difference by less than 10: 45 · 2⁻²⁴ · 10 ≈ 3e-5 relative to weights near 1.
BOUND = 3e-5


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left: a run named "fine", and one named "broken" by a bad example."""
    folder = tmp_path_factory.mktemp("two")
    runs = [
        {
            "name": "fine",
            "run": {**RUN, "checkpoint": str(folder / "fine"), "checkpoint_every": 5},
            "task": {"dropout": 0.0},
        },
        {
            "name": "broken",
            "run": {**RUN, "checkpoint": str(folder / "broken"), "checkpoint_every": 1},
            "task": {"dropout": 0.0, "poison": 17},
        },
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(SCRIPT), str(folder), json.dumps(runs)],
        capture_output=True,
        text=True,
        timeout=300,  # seconds; a deadlock must end, and be seen
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::FutureWarning"},
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_give_what_one_gives(two: Path, tmp_path: Path) -> None:
    run = RunOptions(**RUN, checkpoint=str(tmp_path))
    task = SmallTask(run, dropout=0.0)
    train(task, run)
    ranks = [safetensors.torch.load_file(two / f"fine.{rank}.safetensors") for rank in range(2)]
    for name, weight in task.module.state_dict().items():
        assert torch.equal(ranks[0][name], ranks[1][name])
        torch.testing.assert_close(ranks[0][name], weight, rtol=0, atol=BOUND, msg=name)
    one, both = (History.load(folder / "history.jsonl") for folder in (tmp_path, two / "fine"))
    assert [r.step for r in both] == [r.step for r in one] == list(range(1, 25))
    for ours, theirs in zip(both, one, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=BOUND)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=BOUND)
        assert ours.learning_rate == theirs.learning_rate
        assert ours.metrics == pytest.approx(theirs.metrics, rel=BOUND)


def test_one_process_goes_on_with_what_two_began(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "fine", tmp_path / "fine")
    run = RunOptions(**RUN, checkpoint=str(tmp_path / "fine"), resume=True)
    task = SmallTask(run, dropout=0.0)
    result = train(task, run)
    left = safetensors.torch.load_file(two / "fine.0.safetensors")
    assert (result.steps, task.calls) == (24, 0)
    for name, weight in task.module.state_dict().items():
        assert torch.equal(left[name], weight)


def test_two_processes_stop_together_on_a_loss_that_is_not_finite(two: Path) -> None:
    messages = {(two / f"broken.{rank}.txt").read_text() for rank in range(2)}
    (message,) = messages  # the same on both
    step = int(message.split()[1].rstrip(":"))
    assert f"the checkpoint of step {step - 1} is in {two / 'broken'}" in message
    named = message.split("on examples [")[1].split("]")[0].split(", ")
    assert "17" in named
    assert len(named) <= 5  # only the share that is to blame
    assert not list(two.glob("broken.*.safetensors"))


def test_one_process_has_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    group = joined_group("cpu")
    assert (group.is_alone, group.is_first, group.device.type) == (True, True, "cpu")
    assert group.sums(1.5, True) == [1.5, 1]
    assert group.from_first(b"a") == b"a"
    assert group.from_all(b"a") == [b"a"]
    group.wait()


def test_a_group_that_the_caller_set_up_is_used_and_left_standing(tmp_path: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        group = joined_group("cpu")
        assert group.shard == Shard(0, 1)
        assert torch.distributed.is_initialized()
    finally:
        torch.distributed.destroy_process_group()
