"""Several processes that train one model: who takes part, and what they agree on.

Knows nothing of models. One process alone is the case world = 1, without any communication.
"""

from __future__ import annotations

import atexit
import gc
import os

import torch
import torch.distributed as dist
from torch import Tensor, nn

from carousel.data.batching import Shard
from carousel.training.devices import chosen_device


class ProcessGroup:
    """The processes of a run, started by ``torchrun`` or alone.

    Attributes:
        shard: this process's rank and the number of processes.
        device: where this process computes.
    """

    def __init__(self, shard: Shard, device: torch.device) -> None:
        self.shard = shard
        self.device = device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, validates and reports."""
        return self.shard.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to talk to."""
        return self.shard.world == 1

    def sums(self, *values: float) -> list[float]:
        """Returns the sum of each value over all processes, in float64 (bits alike on each)."""
        if self.is_alone:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers)
        return numbers.tolist()

    def sum_gradients(self, module: nn.Module) -> None:
        """Adds the gradients of all processes up; a process without any takes part with zeros."""
        for parameter in module.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def from_first(self, data: bytes) -> bytes:
        """Returns on each process the bytes that the first one passed in."""
        if self.is_alone:
            return data
        length = torch.tensor([len(data)], device=self.device)
        dist.broadcast(length, src=0)
        box = self._bytes(int(length))
        if self.is_first:
            box.copy_(_as_tensor(data))
        dist.broadcast(box, src=0)
        return box.cpu().numpy().tobytes()

    def from_all(self, data: bytes) -> list[bytes]:
        """Returns the bytes of all processes, by rank."""
        if self.is_alone:
            return [data]
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in self._ranks()]
        dist.all_gather(lengths, torch.tensor([len(data)], device=self.device))
        longest = max(int(length) for length in lengths)
        boxes = [self._bytes(longest) for _ in self._ranks()]
        own = self._bytes(longest)
        own[: len(data)] = _as_tensor(data)
        dist.all_gather(boxes, own)
        return [
            box[: int(length)].cpu().numpy().tobytes()
            for box, length in zip(boxes, lengths, strict=True)
        ]

    def copy_from_first(self, tensors: list[Tensor]) -> None:
        """Overwrites the tensors with those of the first process."""
        if not self.is_alone:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def _ranks(self) -> range:
        return range(self.shard.world)

    def _bytes(self, length: int) -> Tensor:
        return torch.zeros(length, dtype=torch.uint8, device=self.device)

    def wait(self) -> None:
        """Returns when every process has come here."""
        if not self.is_alone:
            dist.barrier()


def joined_group(device: str) -> ProcessGroup:
    """Joins the processes that ``torchrun`` started (RANK and WORLD_SIZE in the environment).

    The backend is NCCL on GPUs and gloo on CPUs. A group that stands already is used. One that is
    set up here stands until the process ends, because PyTorch cannot safely set up a second one: a
    fast process may still find the addresses of the first.

    Args:
        device: "auto", "cpu" or "cuda".
    """
    where = chosen_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if where.type == "cuda":
        torch.cuda.set_device(where)
    launched = "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    joined = dist.is_available() and dist.is_initialized()
    if launched and not joined:
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
        atexit.register(_leave)
    if launched or joined:
        return ProcessGroup(Shard(dist.get_rank(), dist.get_world_size()), where)
    return ProcessGroup(Shard(), where)


def _leave() -> None:
    if dist.is_initialized():
        gc.collect()  # a DDP module in a circle would hold the group, whose threads must have ended
        dist.destroy_process_group()


def _as_tensor(data: bytes) -> Tensor:
    # Through a bytearray, because PyTorch warns of memory that it may not write to.
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0).byte()
