"""Layers of every kind, and a program that exports each: ``python tests/onnx_layers.py FOLDER``.

PyTorch's exporter cannot look through the shape checks that tests run under, so the files are
written by a process without them, which then makes sure that the layers are what they were.
"""

from __future__ import annotations

import logging
import sys
from typing import NamedTuple

import torch

import carousel

INPUT_SIZE, HIDDEN_SIZE = 3, 5


class Case(NamedTuple):
    """What a layer is told, and what its file takes besides."""

    options: dict
    inputs: dict = {}  # noqa: RUF012  # nobody writes to it
    dtype: torch.dtype = torch.float32
    scanned: bool = False  # whether it is beyond an LSTM node

    def layer(self) -> carousel.LSTM:
        """The same layer in every process."""
        torch.manual_seed(7)
        layer = carousel.LSTM(INPUT_SIZE, HIDDEN_SIZE, **self.options)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.rand(parameter.shape) * 2 - 1)
        return layer.to(self.dtype)


CASES = {
    "plain": Case({}),
    "deep": Case({"num_layers": 3, "bidirectional": True, "batch_first": True}, {"lengths": True}),
    "half": Case({"bias": False}, dtype=torch.float16),
    "peepholes": Case({"peepholes": True, "bidirectional": True}, {"lengths": True}),
    "coupled": Case({"peepholes": True, "coupled": True, "num_layers": 2, "bias": False}),
    "in training": Case({"num_layers": 2, "dropout": 0.5, "recurrent_dropout": 0.5}),
    "double": Case({}, dtype=torch.float64, scanned=True),
    "projection": Case({"proj_size": 2, "num_layers": 2}, {"lengths": True}, scanned=True),
    "everything": Case(
        {
            "peepholes": True,
            "cell_clip": 0.3,
            "zoneout_h": 0.2,
            "zoneout_c": 0.1,
            "bidirectional": True,
            "batch_first": True,
        },
        {"lengths": True, "reset": True},
        scanned=True,
    ),
}


def write(folder: str) -> None:
    """Writes NAME.onnx for every case."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    for name, case in CASES.items():
        layer = case.layer()
        before = torch.get_rng_state()
        carousel.export_onnx(layer, f"{folder}/{name}.onnx", **case.inputs)
        assert torch.equal(torch.get_rng_state(), before)
        assert layer.training
        assert log.level == level
        wanted = case.layer()
        assert all(map(torch.equal, layer.parameters(), wanted.parameters()))


if __name__ == "__main__":
    write(sys.argv[1])
