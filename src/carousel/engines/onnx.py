"""The layer as ONNX operators, while ``torch.onnx.export`` runs: LSTM nodes, and Scan for the rest.

Computes nothing: what it returns are the exporter's stand-ins for values. Time and batch stay free.
ONNX's LSTM node knows the textbook's cell, peepholes and lengths; ``input_forget`` and ``clip`` are
not used, see ``_four_gates`` and ``_node_cannot``.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions, G = 4H rows of packed gates.

Reference:
    ONNX operators LSTM (version 14) and Scan (version 16).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from carousel.engines.contract import EngineOptions, EngineResult, LayerWeights, State
from carousel.engines.variants import variant_step

LSTM_VERSION = 14  # the first with ``layout``; 22 only adds bfloat16
NODE_DTYPES = (torch.float32, torch.float16)  # ONNX Runtime's LSTM node knows no float64

DIRECTIONS = {1: "forward", 2: "bidirectional"}


def exporting() -> bool:
    """Returns whether ``torch.onnx.export(dynamo=True)`` is looking, and no one computes."""
    return torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export()


class ONNXEngine:
    """ONNX operators in place of a computation; runs only inside ``torch.onnx.export``."""

    name = "onnx"
    summary = "ONNX operators in place of a computation, inside torch.onnx.export only"

    def unavailable(self) -> str | None:
        """Returns why there are no ONNX operators in this PyTorch, or None where there are."""
        return None if hasattr(torch.onnx, "ops") else "operators of ONNX need PyTorch 2.8"

    def supports(
        self, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
    ) -> str | None:
        """Returns why this call cannot be exported, or None where it can."""
        if options.trace:
            return "a trace cannot be exported to ONNX"
        if options.masks is not None:
            return "random choices of training cannot be exported to ONNX; call .eval() first"
        return self.unavailable()

    def run(
        self,
        inputs: Tensor,
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        """Writes the whole stack; the contract is ``Engine.run``'s, but T is at least 1."""
        layer_of = _scan if _node_cannot(inputs, weights[0], options) else _node
        directions = 2 if options.bidirectional else 1
        finals: list[State] = []
        for first in range(0, len(weights), directions):
            if first and options.dropout:
                inputs = torch.dropout(inputs, options.dropout, True)
            here = slice(first, first + directions)
            initial = State(state.h[here], state.c[here])
            inputs, final = layer_of(inputs, initial, weights[here], options)
            finals.append(final)
        return EngineResult(inputs, State(*(torch.cat(part) for part in zip(*finals, strict=True))))


def _node_cannot(inputs: Tensor, weights: LayerWeights, options: EngineOptions) -> bool:
    """Returns whether the call is beyond ONNX's LSTM node.

    Its ``clip`` bounds the sums before the activation, not the memory cell, so it is no
    ``cell_clip``.
    """
    variant = options.variant
    return (
        options.reset is not None
        or weights.weight_hr is not None
        or variant.cell_clip is not None
        or bool(variant.zoneout_h or variant.zoneout_c)
        or inputs.dtype not in NODE_DTYPES
    )


def _node(
    inputs: Tensor, initial: State, weights: Sequence[LayerWeights], options: EngineOptions
) -> tuple[Tensor, State]:
    """Writes one layer, in its one or two directions, as one LSTM node."""
    T, B, _ = inputs.shape
    D, H = len(weights), initial.c.shape[-1]
    if options.variant.coupled:
        weights = [_four_gates(direction) for direction in weights]
    bias = peephole = lengths = None
    if weights[0].bias_ih is not None:
        bias = torch.stack(
            [torch.cat([_iofc(side.bias_ih), _iofc(side.bias_hh)]) for side in weights]
        )
    if weights[0].weight_peephole is not None:
        peephole = torch.stack([_iof(side.weight_peephole) for side in weights])
    if options.lengths is not None:
        lengths = options.lengths.to(torch.int32)
    outputs, h, c = torch.onnx.ops.symbolic_multi_out(
        "LSTM",
        [
            inputs,
            torch.stack([_iofc(side.weight_ih) for side in weights]),
            torch.stack([_iofc(side.weight_hh) for side in weights]),
            bias,
            lengths,
            initial.h,
            initial.c,
            peephole,
        ],
        {"hidden_size": H, "direction": DIRECTIONS[D]},
        dtypes=[inputs.dtype] * 3,
        shapes=[(T, D, B, H), (D, B, H), (D, B, H)],
        version=LSTM_VERSION,
    )
    if lengths is not None:
        # ONNX does not say what remains of a sequence of no steps; ONNX Runtime gives zeros.
        empty = (lengths == 0)[:, None]
        h, c = torch.where(empty, initial.h, h), torch.where(empty, initial.c, c)
    return outputs.transpose(1, 2).reshape(T, B, D * H), State(h, c)


def _iofc(packed: Tensor | None) -> Tensor:
    """Returns gates packed i, f, g, o in ONNX's order, i, o, f, c."""
    assert packed is not None
    i, f, g, o = _gates(packed, 4)
    return torch.cat([i, o, f, g])


def _iof(packed: Tensor | None) -> Tensor:
    """Returns peepholes packed i, f, o in ONNX's order, i, o, f."""
    assert packed is not None
    i, f, o = _gates(packed, 3)
    return torch.cat([i, o, f])


def _gates(packed: Tensor, count: int) -> list[Tensor]:
    """Returns each gate's rows; slices, because the exporter folds no node of several outputs."""
    H = packed.shape[0] // count
    return [packed[k * H : (k + 1) * H] for k in range(count)]


def _four_gates(weights: LayerWeights) -> LayerWeights:
    """Returns coupled gates as four.

    1 - σ(f_pre) = σ(-f_pre), so that the input gate has the forget gate's weights, negated. Every
    runtime computes that, while ``input_forget`` is left out by some.
    """
    fgo = (weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh)
    packed = [None if p is None else torch.cat([-_gates(p, 3)[0], p]) for p in fgo]
    peephole = weights.weight_peephole
    if peephole is not None:
        peephole = torch.cat([-_gates(peephole, 2)[0], peephole])
    assert packed[0] is not None
    assert packed[1] is not None
    return LayerWeights(packed[0], packed[1], packed[2], packed[3], None, peephole)


def _scan(
    inputs: Tensor, initial: State, weights: Sequence[LayerWeights], options: EngineOptions
) -> tuple[Tensor, State]:
    """Writes one layer as one Scan over time a direction, around the reference's own step."""
    T = inputs.shape[0]
    ones = torch.ones_like(inputs[..., :1], dtype=torch.bool)
    real = ones
    if options.lengths is not None:
        steps = torch.arange(T, device=inputs.device)
        real = (steps[:, None] < options.lengths.to(inputs.device)).unsqueeze(-1)
        inputs = torch.where(real, inputs, 0)
    kept = ones
    if options.reset is not None:
        kept = ~options.reset.unsqueeze(-1) | ~real
    outputs, finals = [], []
    for k, side in enumerate(weights):
        backwards = k == 1
        # The reverse direction comes to step t over the boundary between t + 1 and t.
        crossed = torch.cat([kept[1:], ones[:1]]) if backwards else kept
        start = State(initial.h[k], initial.c[k])
        values, final = _one_scan(inputs, start, side, real, crossed, options, backwards)
        outputs.append(values)
        finals.append(final)
    state = State(*(torch.stack(part) for part in zip(*finals, strict=True)))
    return torch.cat(outputs, dim=-1), state


def _one_scan(
    inputs: Tensor,
    initial: State,
    weights: LayerWeights,
    real: Tensor,
    kept: Tensor,
    options: EngineOptions,
    backwards: bool,
) -> tuple[Tensor, State]:
    from torch._higher_order_ops.scan import scan

    variant = options.variant

    def body(
        carried: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        from_input, real_now, kept_now = now
        h, c = (torch.where(kept_now, part, 0) for part in carried)
        pre = from_input + linear(h, weights.weight_hh, weights.bias_hh)
        new = variant_step(pre, State(h, c), weights, variant)
        # Two tensors for h, because a body must not give out one value twice.
        after = torch.where(real_now, new.h, h), torch.where(real_now, new.c, c)
        return after, torch.where(real_now, new.h, 0)

    from_input = linear(inputs, weights.weight_ih, weights.bias_ih)
    (h, c), outputs = scan(body, tuple(initial), (from_input, real, kept), reverse=backwards)
    return outputs, State(h, c)
