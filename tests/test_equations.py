"""The textbook's step against torch.nn.LSTM and the ONNX reference evaluator, step by step."""

from __future__ import annotations

import numpy
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from carousel.equations import GateWeights, from_packed, step, to_packed

I, H, B, T = 3, 5, 2, 4  # noqa: E741
LETTERS = ("C", "h")


def packed(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    shapes = [(4 * H, I), (4 * H, H), (4 * H,), (4 * H,)]
    return tuple(torch.randn(shape, dtype=dtype) for shape in shapes)


def textbook(dtype: torch.dtype = torch.float64) -> GateWeights:
    return GateWeights(*(torch.randn(shape, dtype=dtype) for shape in 4 * [(H, H + I), (H,)]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_step_is_pytorchs(dtype: torch.dtype) -> None:
    weights = packed(dtype)
    layer = torch.nn.LSTM(I, H, dtype=dtype)
    layer.load_state_dict(dict(zip(layer.state_dict(), weights, strict=True)))
    x = torch.randn(T, B, I, dtype=dtype)
    h, C = torch.randn(B, H, dtype=dtype), torch.randn(B, H, dtype=dtype)
    for t in range(T):
        output, (h_n, c_n) = layer(x[t : t + 1], (h[None], C[None]))
        now = step(x[t], h, C, from_packed(*weights))
        # Both sum I + H + 2 terms of size about 3 once; a few units of rounding of that.
        tolerance = {"rtol": 0, "atol": 100 * torch.finfo(dtype).eps}
        torch.testing.assert_close(now.h, output[0], **tolerance)
        torch.testing.assert_close(now.h, h_n[0], **tolerance)
        torch.testing.assert_close(now.C, c_n[0], **tolerance)
        h, C = now.h.detach(), now.C.detach()


def test_each_step_is_onnxs() -> None:
    weights = textbook()
    order = "iofc"  # ONNX stacks input, output, forget, cell
    W, R, b = (
        torch.cat([part(letter) for letter in order])
        for part in (
            lambda k: getattr(weights, f"W_{k}")[:, H:],
            lambda k: getattr(weights, f"W_{k}")[:, :H],
            lambda k: getattr(weights, f"b_{k}"),
        )
    )
    h = C = torch.zeros(B, H, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    evaluator = onnx_layer()
    for t in range(T):
        feeds = {
            "X": x[t : t + 1],
            "W": W[None],
            "R": R[None],
            "B": torch.cat([b, torch.zeros_like(b)])[None],
            "h": h[None],
            "c": C[None],
        }
        _, h_n, c_n = evaluator.run(None, {name: value.numpy() for name, value in feeds.items()})
        now = step(x[t], h, C, weights)
        numpy.testing.assert_allclose(now.h, h_n[0], rtol=0, atol=1e-13)
        numpy.testing.assert_allclose(now.C, c_n[0], rtol=0, atol=1e-13)
        h, C = now.h, now.C


def onnx_layer() -> ReferenceEvaluator:
    names = ["X", "W", "R", "B", "", "h", "c"]
    node = helper.make_node("LSTM", names, ["Y", "Y_h", "Y_c"], hidden_size=H)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "one_layer",
        [value(name, TensorProto.DOUBLE, None) for name in names if name],
        [value(name, TensorProto.DOUBLE, None) for name in ("Y", "Y_h", "Y_c")],
    )
    return ReferenceEvaluator(
        helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)])
    )


def test_gates_do_what_the_page_says() -> None:
    """A gate held open or shut by its bias does the one thing that it is for."""
    open_, shut = torch.full((H,), 1e3), torch.full((H,), -1e3)
    weights = GateWeights(*(torch.zeros_like(part) for part in textbook(torch.float32)))
    C = torch.randn(B, H)
    x, h = torch.randn(B, I), torch.randn(B, H)
    keeps = step(x, h, C, weights._replace(b_f=open_, b_i=shut, b_o=open_))
    assert torch.equal(keeps.C, C)
    assert torch.equal(keeps.h, torch.tanh(C))
    erases = step(x, h, C, weights._replace(b_f=shut, b_i=shut))
    assert not erases.C.any()
    writes = step(x, h, C, weights._replace(b_f=shut, b_i=open_, b_c=open_, b_o=shut))
    assert torch.equal(writes.C, torch.ones(B, H))
    assert not writes.h.any()


def test_textbook_to_packed_and_back_is_bit_identical() -> None:
    weights = textbook(torch.float32)
    weights.b_f[:2] = torch.tensor([-0.0, 0.0])
    back = from_packed(*to_packed(weights))
    for before, after in zip(weights, back, strict=True):
        assert torch.equal(before.view(torch.int32), after.contiguous().view(torch.int32))


def test_packed_to_textbook_and_back_keeps_weights_and_the_sum_of_biases() -> None:
    weight_ih, weight_hh, bias_ih, bias_hh = packed()
    back = to_packed(from_packed(weight_ih, weight_hh, bias_ih, bias_hh))
    assert torch.equal(back.weight_ih, weight_ih)
    assert torch.equal(back.weight_hh, weight_hh)
    assert torch.equal(back.bias_ih, bias_ih + bias_hh)
    assert not back.bias_hh.any()


def test_a_layer_without_biases_has_zero_biases() -> None:
    weight_ih, weight_hh, _, _ = packed()
    weights = from_packed(weight_ih, weight_hh)
    assert not any(getattr(weights, f"b_{k}").any() for k in "fico")


def test_one_sequence_needs_no_batch() -> None:
    weights = textbook()
    x, h, C = (torch.randn(B, size, dtype=torch.float64) for size in (I, H, H))
    together = step(x, h, C, weights)
    alone = step(x[1], h[1], C[1], weights)
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one, many[1], rtol=0, atol=1e-14)


def test_gradients_flow_through_step_and_conversion() -> None:
    parts = [part.requires_grad_() for part in packed()]
    inputs = [torch.randn(B, size, dtype=torch.float64) for size in (I, H, H)]
    inputs = [part.requires_grad_() for part in inputs]

    def final(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        now = step(*tensors[:3], from_packed(*tensors[3:]))
        return tuple(getattr(now, letter) for letter in LETTERS)

    assert torch.autograd.gradcheck(final, (*inputs, *parts))
