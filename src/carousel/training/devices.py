"""Where a run computes, and how its tensors get there."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from carousel.errors import OptionError, unknown_name

DEVICES = ("auto", "cpu", "cuda")


def chosen_device(name: str, local_rank: int = 0) -> torch.device:
    """Returns the device that "auto", "cpu" or "cuda" means on this machine.

    Args:
        name: the option's value.
        local_rank: of this process on its machine, which gets the GPU of that number.

    Raises:
        OptionError: for "cuda" where PyTorch sees no GPU, and for another name.
    """
    if name not in DEVICES:
        raise OptionError(unknown_name("device", str(name), DEVICES))
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise OptionError(
            "option 'device' expects an NVIDIA GPU that PyTorch can use for 'cuda', found none; "
            "give 'cpu' or 'auto'"
        )
    return torch.device("cuda", local_rank % torch.cuda.device_count())


def check_precision(precision: str, device: torch.device) -> None:
    """Refuses a number format in which this device cannot run an LSTM.

    PyTorch's own LSTM fails in bf16 on processors without AVX-512, deep inside its first step.

    Raises:
        OptionError: for "bf16" where it cannot run.
    """
    if precision != "bf16":
        return
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16), torch.no_grad():
            torch.nn.LSTM(2, 2, device=device)(torch.zeros(1, 1, 2, device=device))
    except RuntimeError as error:
        raise OptionError(
            f"option 'precision' expects a device that can run an LSTM in bf16, got {device}, "
            "which cannot; leave the option out"
        ) from error


def to_device(batch: Any, device: torch.device) -> Any:
    """Returns the batch with its tensors on ``device``; what is no tensor stays as it is.

    Looks into tuples (named ones too), lists, dictionaries and dataclasses.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(item, device) for item in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(to_device(item, device) for item in batch)
    if isinstance(batch, dict):
        return {name: to_device(item, device) for name, item in batch.items()}
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        fields = {
            field.name: to_device(getattr(batch, field.name), device)
            for field in dataclasses.fields(batch)
            if field.init
        }
        return dataclasses.replace(batch, **fields)
    return batch
