"""A layer as an ONNX file: sequences and state in, outputs and state out, time and batch free.

Which operators stand in it is the matter of ``carousel.engines.onnx``.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from carousel import engines
from carousel.data.extras import import_extra
from carousel.data.storage import check_file_target, write_atomically
from carousel.engines.onnx import ONNXEngine
from carousel.errors import OptionError
from carousel.nn import LSTM, State

EXTRA = "export"
DTYPES = (torch.float32, torch.float64, torch.float16)
EXAMPLE_STEPS, EXAMPLE_BATCH = 3, 2  # above 1, which the exporter would take for a constant


def export_onnx(
    lstm: LSTM,
    path: str | Path,
    *,
    lengths: bool = False,
    reset: bool = False,
    force: bool = False,
) -> None:
    """Writes a layer, as it is in evaluation, into an ONNX file.

    The file's inputs and outputs are those of ``LSTM.forward`` and have its names and shapes:
    ``input`` (T, B, I) or, with ``batch_first``, (B, T, I), ``h_0`` (L·D, B, P) and ``c_0``
    (L·D, B, H) come in, and ``lengths`` (B,) of int64 and ``reset`` of bool, in the input's layout,
    where they are asked for; ``output`` (T, B, D·P) in the input's layout, ``h_n`` and ``c_n`` come
    out. T and B are free; T is at least 1. Every layer is one LSTM node of ONNX for both its
    directions; where such a node cannot say what the layer does (projection, ``cell_clip``,
    zoneout, resets, and float64, which ONNX Runtime does not run in it), it is a Scan a direction.
    A model that has layers in it is written by ``torch.onnx.export`` the same way.

    Args:
        lstm: the layer; it stays as it is.
        path: the file to write, whole or not at all.
        lengths: whether the file takes the real steps of each sequence.
        reset: whether the file takes where the state is zeroed.
        force: replace a file that exists.

    Raises:
        OptionError: for a dtype that ONNX Runtime does not run, or a PyTorch without ONNX
            operators.
        OutputError: where the file exists, or cannot be written.
        MissingDependencyError: where the extra ``export`` is not installed.

    Reference:
        ONNX operators LSTM and Scan, https://onnx.ai/onnx/operators.
    """
    check_file_target(path, force)
    onnx = import_extra("onnx", EXTRA)
    import_extra("onnxscript", EXTRA)  # which torch.onnx.export asks for
    missing = ONNXEngine().unavailable()
    if missing is not None:
        raise OptionError(f"export_onnx: {missing}, this is {torch.__version__}. Install a newer")
    dtype = lstm.weight_ih_l0.dtype
    if dtype not in DTYPES:
        words = ", ".join(map(str, DTYPES))
        raise OptionError(
            f"dtype: expected one of {words}, got {dtype}. Convert a copy of the layer"
        )
    example = _example(lstm, lengths=lengths, reset=reset)
    with _evaluation(lstm), _quiet(), engines.use("auto"), torch.no_grad():
        program = torch.onnx.export(
            _Call(lstm),
            kwargs={name: tensor for name, (tensor, _) in example.items()},
            input_names=list(example),
            output_names=["output", "h_n", "c_n"],
            dynamic_shapes={name: free for name, (_, free) in example.items()},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    write_atomically(path, model.SerializeToString())


class _Call(torch.nn.Module):
    """One call with each of its tensors by itself, as a graph takes and gives them."""

    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(
        self,
        input: Tensor,
        h_0: Tensor,
        c_0: Tensor,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        output, (h, c) = self.lstm(input, State(h_0, c_0), lengths=lengths, reset=reset)
        return output, h, c


def _example(lstm: LSTM, *, lengths: bool, reset: bool) -> dict[str, tuple[Tensor, dict[int, str]]]:
    """Returns a call's tensors by name, each with the names of its free dimensions."""
    weight = lstm.weight_ih_l0
    T, B = EXAMPLE_STEPS, EXAMPLE_BATCH
    states = lstm.num_layers * (2 if lstm.bidirectional else 1)
    size = (B, T) if lstm.batch_first else (T, B)
    free = {0: "batch", 1: "time"} if lstm.batch_first else {0: "time", 1: "batch"}
    width = lstm.proj_size or lstm.hidden_size
    example = {
        "input": (weight.new_zeros(*size, lstm.input_size), free),
        "h_0": (weight.new_zeros(states, B, width), {1: "batch"}),
        "c_0": (weight.new_zeros(states, B, lstm.hidden_size), {1: "batch"}),
    }
    if lengths:
        example["lengths"] = (torch.full((B,), T, device=weight.device), {0: "batch"})
    if reset:
        example["reset"] = (torch.zeros(size, dtype=torch.bool, device=weight.device), free)
    return example


@contextlib.contextmanager
def _evaluation(lstm: LSTM) -> Iterator[None]:
    """Has the layer, and what parametrizes it, in evaluation, and each as it was afterwards."""
    modes = [(module, module.training) for module in lstm.modules()]
    lstm.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the user what the exporter says of its own insides and of other libraries."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
