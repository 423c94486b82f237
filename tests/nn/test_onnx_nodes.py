"""ONNX's own tests of its LSTM node, run on our layer.

Their weights come gate by gate in the order i, o, f, c, their peepholes in the order i, o, f.

Shape letters: T time, B batch, I input size, H hidden size, D directions.
"""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx.backend.test.case import node as onnx_cases
from onnx.backend.test.case.node import lstm as _  # noqa: F401  # puts its cases on the list
from torch import Tensor

import carousel.nn

CASES = {case.name: case for case in onnx_cases._NodeTestCases if case.name.startswith("test_lstm")}
INPUTS = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
OUTPUTS = ["Y", "Y_h", "Y_c"]


def ifgo(rows: Tensor) -> Tensor:
    """Returns gates packed i, o, f, c in PyTorch's order i, f, g, o."""
    i, o, f, c = rows.chunk(4)
    return torch.cat([i, f, c, o])


def layer_of(node: onnx.NodeProto, given: dict[str, Tensor], engine: str) -> carousel.nn.LSTM:
    """Our layer with a node's weights; a reverse node is the second direction of two."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert set(attributes) <= {"hidden_size", "direction", "layout"}
    sides = ["_reverse"] if attributes.get("direction") == b"reverse" else ["", "_reverse"]
    layer = carousel.nn.LSTM(
        given["W"].shape[-1],
        attributes["hidden_size"],
        batch_first=attributes.get("layout") == 1,
        bidirectional=attributes.get("direction") in (b"reverse", b"bidirectional"),
        peepholes="P" in given,
        engine=engine,
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        for d, side in enumerate(sides[: len(given["W"])]):
            getattr(layer, f"weight_ih_l0{side}").copy_(ifgo(given["W"][d]))
            getattr(layer, f"weight_hh_l0{side}").copy_(ifgo(given["R"][d]))
            if "B" in given:
                for kind, part in zip(("ih", "hh"), given["B"][d].chunk(2), strict=True):
                    getattr(layer, f"bias_{kind}_l0{side}").copy_(ifgo(part))
            if "P" in given:
                i, o, f = given["P"][d].chunk(3)
                getattr(layer, f"weight_peephole_l0{side}").copy_(torch.cat([i, f, o]))
    return layer


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_node(name: str, engine: str) -> None:
    case = CASES[name]
    node = case.model.graph.node[0]
    wanted_names = [kind for kind, used in zip(OUTPUTS, node.output, strict=False) if used]
    assert wanted_names
    for given_arrays, wanted_arrays in case.data_sets:
        values = iter(map(torch.from_numpy, given_arrays))
        given = {kind: next(values) for kind, used in zip(INPUTS, node.input, strict=False) if used}
        layer = layer_of(node, given, engine)
        state = (given["initial_h"], given["initial_c"]) if "initial_h" in given else None
        # ONNX lays the states of a batch out like its sequences, PyTorch does not.
        turned = (lambda part: part.transpose(0, 1)) if layer.batch_first else (lambda part: part)
        with torch.no_grad():
            output, (h, c) = layer(given["X"], state, lengths=given.get("sequence_lens"))
        D, H = len(h), layer.hidden_size
        found = {
            "Y": output.unflatten(-1, (D, H)) if layer.batch_first else None,
            "Y_h": turned(h[D - len(given["W"]) :]),
            "Y_c": turned(c[D - len(given["W"]) :]),
        }
        for kind, wanted in zip(wanted_names, wanted_arrays, strict=True):
            torch.testing.assert_close(
                found[kind], torch.from_numpy(wanted), rtol=case.rtol, atol=case.atol
            )


def test_every_case_is_there() -> None:
    """So that a new version of onnx cannot take a case away unseen."""
    kinds = ["defaults", "with_initial_bias", "with_peepholes", "batchwise", "reverse"]
    assert set(CASES) >= {f"test_lstm_{kind}" for kind in [*kinds, "bidirectional"]}
