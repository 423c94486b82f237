"""export_onnx: the files, run by ONNX Runtime, give the layer's numbers for any time and batch.

Shape letters: T time, B batch, I input size, H hidden size, P projection size, L layers,
D directions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import carousel
from carousel import engines
from carousel.errors import MissingDependencyError, OptionError, OutputError
from onnx_layers import CASES, HIDDEN_SIZE, INPUT_SIZE

TESTS = Path(__file__).parent.parent
# Shapes that the file was not written with; no steps among the lengths, one step, one sequence.
CALLS = [[4, 2], [1, 7, 0, 3], [1], [0, 6]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    command = [sys.executable, "-W", "error", str(TESTS / "onnx_layers.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def call(name: str, lengths: list[int]) -> dict[str, Tensor]:
    """One call's tensors, by the names of the file's inputs."""
    case = CASES[name]
    layer = case.layer()
    states = layer.num_layers * (2 if layer.bidirectional else 1)
    T, B = max(lengths), len(lengths)
    size = (B, T) if layer.batch_first else (T, B)
    tensors = {
        "input": torch.randn(*size, INPUT_SIZE, dtype=case.dtype),
        "h_0": torch.randn(states, B, layer.proj_size or HIDDEN_SIZE, dtype=case.dtype),
        "c_0": torch.randn(states, B, HIDDEN_SIZE, dtype=case.dtype),
    }
    if case.inputs.get("lengths"):
        tensors["lengths"] = torch.tensor(lengths)
    if case.inputs.get("reset"):
        tensors["reset"] = torch.rand(size) < 0.3
    return tensors


def wanted(name: str, tensors: dict[str, Tensor]) -> list[Tensor]:
    """What the reference engine computes in evaluation, in float32 at least."""
    layer = CASES[name].layer().eval()
    if layer.weight_ih_l0.dtype == torch.float16:
        layer = layer.float()
        tensors = {key: value.float() for key, value in tensors.items()}
    extra = {key: tensors[key] for key in ("lengths", "reset") if key in tensors}
    with torch.no_grad(), engines.use("reference"):
        output, state = layer(tensors["input"], (tensors["h_0"], tensors["c_0"]), **extra)
    return [output, *state]


def allowance(name: str) -> float:
    """How far two correct runs may be apart.

    A step sums I + H products and 4 more terms of size up to about 2 (weights and gates are below
    1, states a few units), each rounded once, and passes on through at most T steps and L layers
    at a rate below 1: T L (I + H + 4) 2u each, twice for two runs. ONNX Runtime computes float16
    in float32 and rounds what goes out, values below 4, to 11 bits.
    """
    case = CASES[name]
    if case.dtype == torch.float16:
        return 4 * 2.0**-11
    layers = case.options.get("num_layers", 1)
    return 2 * 7 * layers * (INPUT_SIZE + HIDDEN_SIZE + 4) * torch.finfo(case.dtype).eps


@pytest.mark.parametrize("lengths", CALLS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_gives_the_layers_numbers(folder: Path, name: str, lengths: list[int]) -> None:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
    tensors = call(name, lengths)
    found = session.run(None, {key: value.numpy() for key, value in tensors.items()})
    for mine, right in zip(found, wanted(name, tensors), strict=True):
        assert mine.shape == tuple(right.shape)
        torch.testing.assert_close(
            torch.from_numpy(mine).to(right.dtype), right, rtol=0, atol=allowance(name)
        )


@pytest.mark.parametrize("name", CASES)
def test_the_file_says_what_goes_in_and_out(folder: Path, name: str) -> None:
    case, model = CASES[name], onnx.load(folder / f"{name}.onnx")
    layer = case.layer()
    L, D, H = layer.num_layers, 2 if layer.bidirectional else 1, HIDDEN_SIZE
    P = layer.proj_size or H
    size = ["batch", "time"] if layer.batch_first else ["time", "batch"]
    states = {"h": [L * D, "batch", P], "c": [L * D, "batch", H]}
    inputs = {"input": [*size, INPUT_SIZE], "h_0": states["h"], "c_0": states["c"]}
    inputs |= {"lengths": ["batch"]} if "lengths" in case.inputs else {}
    inputs |= {"reset": size} if "reset" in case.inputs else {}
    outputs = {"output": [*size, D * P], "h_n": states["h"], "c_n": states["c"]}
    assert shapes(model.graph.input) == inputs
    assert shapes(model.graph.output) == outputs
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LSTM") == (0 if case.scanned else L)
    assert kinds.count("Scan") == (L * D if case.scanned else 0)


def shapes(values) -> dict[str, list[int | str]]:
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in values
    }


def test_the_tests_can_tell_a_wrong_file(folder: Path) -> None:
    """A weight of many, off by a thousandth, is outside the allowance."""
    tensors = call("plain", [4, 2])
    layer = CASES["plain"].layer()
    right = wanted("plain", tensors)[0]
    with torch.no_grad():
        layer.weight_hh_l0[7, 1] += 1e-3
        wrong, _ = layer(tensors["input"], (tensors["h_0"], tensors["c_0"]))
    assert (wrong - right).abs().max() > allowance("plain")


def test_a_file_that_exists_stays_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "layer.onnx"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"exists already; give --force \(force=True\)"):
        carousel.export_onnx(carousel.LSTM(3, 4), path)
    assert path.read_text() == "mine"


def test_a_dtype_that_no_runtime_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"dtype: expected one of .*got torch.bfloat16"):
        carousel.export_onnx(carousel.LSTM(3, 4, dtype=torch.bfloat16), tmp_path / "layer.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("library", ["onnx", "onnxscript"])
def test_a_missing_library_is_named_with_its_extra(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"{library}.*carousel-lstm\[export\]"):
        carousel.export_onnx(carousel.LSTM(3, 4), tmp_path / "layer.onnx")


def test_a_pytorch_without_onnx_operators_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.onnx, "ops")
    with pytest.raises(OptionError, match=r"operators of ONNX need PyTorch 2.8, this is 2"):
        carousel.export_onnx(carousel.LSTM(3, 4), tmp_path / "layer.onnx")
