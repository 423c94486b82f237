"""A run's folder: the checkpoint and the history in it, written by rank 0, read by all."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from carousel.data.storage import remove_partials
from carousel.errors import CheckpointError, NonFiniteError, OutputError, TrainingInterruptedError
from carousel.training.checkpoint import (
    BEGIN_ANEW,
    CHECKPOINT_FILE,
    check_same_run,
    named_fingerprint,
    read_checkpoint,
    save_checkpoint,
)
from carousel.training.counters import Counters
from carousel.training.distributed import ProcessGroup
from carousel.training.history import History, HistoryFile, Record
from carousel.training.learner import Learner
from carousel.training.options import RunOptions
from carousel.training.run_folder import RunLock, remove_if_empty, remove_run_files
from carousel.training.schedule import SECONDS_PER_MINUTE
from carousel.training.task import Task

DEFAULT_MINUTES = 1.0  # between checkpoints, where the options do not say


class RunKeeper:
    """Saves a run and takes it up again; without a folder it keeps the history in memory only.

    Args:
        task: may carry state from batch to batch.
        options: complete ones.
        learner: whose tensors are kept.
        group: the processes of the run.
    """

    def __init__(
        self, task: Task[Any], options: RunOptions, learner: Learner, group: ProcessGroup
    ) -> None:
        self.task = task
        self.options = options
        self.learner = learner
        self.group = group
        folder = options.checkpoint
        self.path = None if folder is None else Path(folder).expanduser() / CHECKPOINT_FILE
        self.history_file = HistoryFile(
            self.path.parent if self.path is not None and group.is_first else None
        )
        self.history = History()
        self.saved_step: int | None = None
        self.saved_elapsed = 0.0

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Holds the folder for this run alone, from ``begin`` to the run's end, whatever that is.

        A run that fails before anything but its beginning was saved leaves nothing: there is
        nothing to go on with, and it would only stand in the next one's way.

        Raises:
            OutputError: if another process trains in the folder, or it cannot be made.
        """
        if self.path is None or not self.group.is_first:
            yield
            return
        folder = self.path.parent
        was_there = folder.exists()
        self._make_folder()
        try:
            with RunLock(folder):
                try:
                    yield
                except BaseException:
                    if self.saved_step == 0:
                        remove_run_files(folder)
                    raise
        finally:
            if not was_there:
                remove_if_empty(folder)

    def begin(self) -> Counters:
        """Takes up the run in the folder, or begins one.

        A new run is saved at once, so that a folder that cannot be written is known early.

        Raises:
            OutputError: if the folder holds a run and neither ``resume`` nor ``restart`` is set, or
                cannot be written.
            CheckpointError: if the checkpoint is damaged or of another run.
        """
        counters = Counters()
        if self.path is None:
            return counters
        data = self._read()
        if data:
            counters = self._restore(data)
        if self.group.is_first:
            remove_partials(self.path)
        self.history = self.history_file.begin(counters.lines)
        if not data:
            self.save(counters)
        return counters

    def is_due(self, counters: Counters) -> bool:
        """Returns whether it is time to save."""
        if self.path is None or self.saved_step == counters.step:
            return False
        steps, minutes = self.options.checkpoint_every, self.options.checkpoint_minutes
        if steps is None and minutes is None:
            minutes = DEFAULT_MINUTES
        if steps is not None and counters.step % steps == 0:
            return True
        waited = counters.elapsed - self.saved_elapsed
        return minutes is not None and waited >= minutes * SECONDS_PER_MINUTE

    def save(self, counters: Counters) -> None:
        """Saves the run, if it has a folder; every process must come here.

        Raises:
            NonFiniteError: if a weight is not finite: the last checkpoint is better.
            OutputError: if it cannot be written; the last checkpoint is untouched.
        """
        if self.path is None:
            return
        carried = self.group.from_all(_packed(self.task.state_dict()))
        for name, weight in self.learner.names_and_weights():
            if not bool(torch.isfinite(weight).all()):
                raise NonFiniteError(
                    f"step {counters.step}: expected finite weights, got some in {name!r} that are "
                    f"not; {self.whereabouts()}; a lower learning_rate may help"
                )
        if self.group.is_first:
            tensors = self.learner.tensors()
            for rank, state in enumerate(carried):
                unpacked = safetensors.torch.load(state)
                tensors |= {f"task/{rank}/{name}": tensor for name, tensor in unpacked.items()}
            self.history_file.sync()
            save_checkpoint(self.path, tensors, self._document(counters))
        self.saved_step, self.saved_elapsed = counters.step, counters.elapsed
        # torchrun ends the other processes when one leaves; rank 0 must have finished writing.
        self.group.wait()

    def add(self, record: Record) -> None:
        """Adds a line to the history."""
        self.history.records.append(record)
        self.history_file.append(record)

    def whereabouts(self) -> str:
        """Returns where the last good checkpoint is, in words."""
        if self.path is None:
            return "nothing was saved, because the run had no 'checkpoint' folder"
        if not self.saved_step:
            return "nothing was kept, because no step was saved yet"
        return f"the checkpoint of step {self.saved_step} is in {self.path.parent}"

    def interrupted(self, counters: Counters, number: int) -> TrainingInterruptedError:
        """Saves the run and returns the error to leave with."""
        self.save(counters)
        remedy = "; go on with --resume (resume=True)" if self.saved_step else ""
        return TrainingInterruptedError(
            f"stopped by {signal.Signals(number).name} after step {counters.step}; "
            f"{self.whereabouts()}{remedy}",
            number,
        )

    def _read(self) -> bytes:
        """Returns the checkpoint's bytes, read by rank 0 alone; none where there is no run."""
        assert self.path is not None
        data = b""
        if self.group.is_first and self.path.exists() and not self.options.restart:
            if not self.options.resume:
                raise OutputError(
                    f"{self.path}: this folder holds a run already; give --resume (resume=True) to "
                    f"go on with it, or {BEGIN_ANEW}"
                )
            try:
                data = self.path.read_bytes()
            except OSError as error:
                raise CheckpointError(
                    f"{self.path}: expected a checkpoint that can be read, got {error.strerror}; "
                    "check its permissions"
                ) from error
            if not data:
                raise CheckpointError(
                    f"{self.path}: expected a checkpoint, found an empty file; "
                    f"take it from a backup, or give {BEGIN_ANEW}"
                )
        return self.group.from_first(data)

    def _restore(self, data: bytes) -> Counters:
        assert self.path is not None
        tensors, document = read_checkpoint(data, self.path)
        check_same_run(
            self.path,
            document,
            named_fingerprint(self.task.fingerprint()),
            self.options.deciding(),
        )
        try:
            self.learner.load_tensors(tensors)
        except (RuntimeError, KeyError) as error:
            raise CheckpointError(
                f"{self.path}: belongs to another model: {error}; give what that run was given, "
                f"or {BEGIN_ANEW}"
            ) from error
        self._restore_carried(tensors, document["world"])
        counters = Counters(**document["counters"])
        self.saved_step, self.saved_elapsed = counters.step, counters.elapsed
        return counters

    def _restore_carried(self, tensors: dict[str, Tensor], world: int) -> None:
        carried = {name for name in tensors if name.startswith("task/")}
        shard = self.group.shard
        if carried and world != shard.world:
            raise CheckpointError(
                f"{self.path}: this task carries state from batch to batch, so it goes on with as "
                f"many processes as it had: expected {world}, got {shard.world}"
            )
        prefix = f"task/{shard.rank}/"
        own = {n.removeprefix(prefix): tensors[n] for n in carried if n.startswith(prefix)}
        if own:
            self.task.load_state_dict(own)

    def _document(self, counters: Counters) -> dict[str, Any]:
        return {
            "counters": dataclasses.asdict(counters),
            "options": self.options.deciding(),
            "fingerprint": named_fingerprint(self.task.fingerprint()),
            "world": self.group.shard.world,
        }

    def _make_folder(self) -> None:
        assert self.path is not None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.path.parent}: the checkpoint folder cannot be made ({error.strerror}); "
                "choose another one"
            ) from error


def _packed(state: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    )
