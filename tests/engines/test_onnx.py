"""Models that have layers in them, through torch.onnx.export; and what stands for the node.

Shape letters: T time, B batch, H hidden size.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

from carousel import engines
from carousel.engines import CellVariant, EngineOptions, LayerMasks, LayerWeights, State
from carousel.engines.onnx import ONNXEngine, _four_gates, exporting
from carousel.engines.reference import ReferenceEngine

MODEL = """
    import logging, sys, warnings
    import onnxruntime, torch, carousel

    class Tagger(torch.nn.Module):
        def __init__(self, lstm):
            super().__init__()
            self.lstm, self.head = lstm, torch.nn.Linear(8, 2)

        def forward(self, x, lengths):
            output, (h, c) = self.lstm(x, lengths=lengths)
            return self.head(output), h

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    ours = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    layers = [
        carousel.LSTM(3, 4, engine="reference", **ours),
        carousel.replace_lstm(torch.nn.LSTM(3, 4, **ours)),
    ]
    for layer in layers:
        model = Tagger(layer).eval()
        free = ({0: "batch", 1: "time"}, {0: "batch"})
        example = (torch.zeros(2, 3, 3), torch.tensor([3, 2]))
        # With gradients on: whether they are must not decide what is written.
        program = torch.onnx.export(model, example, dynamic_shapes=free, dynamo=True, verbose=False)
        proto = program.model_proto
        assert [node.op_type for node in proto.graph.node].count("LSTM") == 2
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        for lengths in ([5, 2, 0], [1]):
            x, lengths = torch.randn(len(lengths), max(lengths), 3), torch.tensor(lengths)
            found = session.run(None, {"x": x.numpy(), "lengths": lengths.numpy()})
            for mine, right in zip(found, model(x, lengths), strict=True):
                # A few dozen roundings of values below 2.
                assert (torch.from_numpy(mine) - right).abs().max() < 1e-5
    print("done")
"""


def test_a_model_is_exported_as_nodes_whatever_its_layers_prefer() -> None:
    """In a process of its own: the exporter cannot see through the tests' shape checks."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MODEL)], capture_output=True, text=True
    )
    assert done.stdout == "done\n", done.stderr


def test_outside_the_exporter_nothing_is_different() -> None:
    assert not exporting()
    names = [entry.name for entry in engines.available()]
    assert ONNXEngine.name not in names


@pytest.mark.parametrize("peepholes", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_coupled_gates_are_four_gates_with_one_negated(peepholes: bool, bias: bool) -> None:
    H, dtype = 4, torch.float64
    coupled = LayerWeights(
        torch.randn(3 * H, 3, dtype=dtype),
        torch.randn(3 * H, H, dtype=dtype),
        torch.randn(3 * H, dtype=dtype) if bias else None,
        torch.randn(3 * H, dtype=dtype) if bias else None,
        None,
        torch.randn(2 * H, dtype=dtype) if peepholes else None,
    )
    x, start = torch.randn(5, 2, 3, dtype=dtype), torch.randn(2, 1, 2, H, dtype=dtype)
    state, run = State(*start), ReferenceEngine().run
    wanted = run(x, state, (coupled,), EngineOptions(variant=CellVariant(coupled=True)))
    found = run(x, state, (_four_gates(coupled),), EngineOptions())
    # Five steps of a dozen roundings on values of a few units.
    torch.testing.assert_close(found.outputs, wanted.outputs, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.state.c, wanted.state.c, rtol=0, atol=1e-13)


def test_traces_and_random_choices_are_not_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = (LayerWeights(torch.zeros(16, 3), torch.zeros(16, 4)),)
    supports, x = ONNXEngine().supports, torch.zeros(2, 1, 3)
    assert supports(x, weights, EngineOptions()) is None
    assert "trace" in supports(x, weights, EngineOptions(trace=True))
    masks = (LayerMasks(recurrent=torch.ones(1, 4)),)
    assert ".eval()" in supports(x, weights, EngineOptions(masks=masks))
    monkeypatch.delattr(torch.onnx, "ops")
    assert "PyTorch 2.8" in supports(x, weights, EngineOptions())


def test_a_trace_inside_the_exporter_is_left_to_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("carousel.engines.selection.exporting", lambda: True)
    weights, x = (LayerWeights(torch.zeros(16, 3), torch.zeros(16, 4)),), torch.zeros(2, 1, 3)
    assert engines.choose("pytorch", x, weights, EngineOptions()) == (
        "onnx",
        "torch.onnx.export runs",
    )
    assert engines.choose("auto", x, weights, EngineOptions(trace=True)).name != "onnx"
    with engines.use("reference"):
        assert engines.choose("auto", x, weights, EngineOptions()).name == "reference"
