"""Where a run computes, and what travels there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from carousel.errors import OptionError
from carousel.training.devices import check_precision, chosen_device, to_device


class Pair(NamedTuple):
    x: Tensor
    name: str


@dataclass(frozen=True)
class Window:
    x: Tensor
    count: int


def test_tensors_travel_and_the_rest_stays() -> None:
    here, there = torch.zeros(2), torch.device("meta")
    batch = {"a": [here, (here, "text")], "b": Pair(here, "n"), "c": Window(here, 3), "d": None}
    moved = to_device(batch, there)
    assert moved["a"][0].device == moved["a"][1][0].device == there
    assert moved["a"][1][1] == "text"
    assert isinstance(moved["b"], Pair)
    assert moved["b"].x.device == there
    assert (moved["c"].x.device, moved["c"].count) == (there, 3)
    assert moved["d"] is None
    assert here.device.type == "cpu"


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == torch.device("cpu")
    with pytest.raises(OptionError, match="found none"):
        chosen_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen_device("cpu") == torch.device("cpu")
    assert chosen_device("auto", 1) == torch.device("cuda", 1)
    assert chosen_device("cuda", 3) == torch.device("cuda", 1)


def test_a_precision_that_the_device_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", fail)
    check_precision("fp32", torch.device("cpu"))
    with pytest.raises(OptionError, match="bf16, got cpu"):
        check_precision("bf16", torch.device("cpu"))
