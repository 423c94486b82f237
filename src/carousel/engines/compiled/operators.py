"""The layer as PyTorch operators: ``torch.ops.carousel.lstm_layer`` and its backward pass.

Operators, and not only a Python function, because ``torch.compile`` and ``torch.export`` keep an
operator whole, and find out from its fake version what it returns. Where nobody but autograd is
watching an autograd function does the same with less work in between. A second derivative runs
through the reference engine, which PyTorch differentiates.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), U = H rounded up to the kernel's blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from carousel.engines.compiled import kernel
from carousel.engines.compiled.kernel import Gradients, Kept, Layer
from carousel.engines.contract import EngineOptions, LayerMasks, LayerWeights, State
from carousel.engines.reference import run_direction
from carousel.engines.watching import nobody_watches
from carousel.errors import ShapeError

_ARGUMENTS = (
    "Tensor x, Tensor h0, Tensor c0, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, "
    "Tensor? bias_hh, Tensor? weight_hr, Tensor? weight_peephole, Tensor? lengths, Tensor? reset, "
    "Tensor? recurrent_mask, Tensor? zoneout_h_mask, Tensor? zoneout_c_mask, bool reverse, "
    "float cell_clip, float zoneout_h, float zoneout_c, bool bf16"
)
_COUNT = len(Layer._fields)
_Grads = tuple[Tensor | None, Tensor | None, Tensor | None]  # of the output, h_n and c_n
_FLOATS = 9  # the first of them are what may have a gradient
_CONSTANTS = 5  # the last of them are no tensors

torch.library.define(
    "carousel::lstm_layer", f"({_ARGUMENTS}, bool keep) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
torch.library.define(
    "carousel::lstm_layer_backward",
    f"(Tensor? grad_out, Tensor? grad_h_n, Tensor? grad_c_n, Tensor out, Tensor gates, "
    f"Tensor cells, {_ARGUMENTS}, bool wants_x, bool wants_weights) -> "
    f"(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)


def lstm_layer(layer: Layer, *, keep: bool) -> tuple[Tensor, Tensor, Tensor, Kept]:
    """Runs one layer in one direction as an operator.

    Returns:
        The output (T, B, P), h_n (B, P), c_n (B, H), and what was kept; empty where ``keep`` is
        false.
    """
    out, h_n, c_n, gates, cells = torch.ops.carousel.lstm_layer(*layer, keep)
    return out, h_n, c_n, Kept(gates, cells)


def differentiable_layer(layer: Layer) -> tuple[Tensor, Tensor, Tensor, Kept]:
    """Runs one layer in one direction under autograd, without going through the dispatcher.

    Returns:
        As ``lstm_layer`` with ``keep``.
    """
    out, h_n, c_n, gates, cells = _LayerFunction.apply(*layer)
    return out, h_n, c_n, Kept(gates, cells)


@torch.library.impl("carousel::lstm_layer", "cpu")
def _forward(*arguments: Any) -> tuple[Tensor, ...]:
    layer, keep = Layer(*arguments[:_COUNT]), arguments[_COUNT]
    kernel.check(layer)
    T, B, _, _, P = layer.shape
    out = layer.x.new_empty(T, B, P)
    h_n, c_n, kept = kernel.forward(layer, out, keep=keep)
    return out, h_n, c_n, *(kept or (layer.x.new_empty(0), layer.x.new_empty(0)))


@torch.library.register_fake("carousel::lstm_layer")
def _fake_forward(*arguments: Any) -> tuple[Tensor, ...]:
    layer, keep = Layer(*arguments[:_COUNT]), arguments[_COUNT]
    T, B, _, H, P = layer.shape
    empty, U = layer.x.new_empty, kernel.kept_width(H)
    kept = (empty(T, B, 4 * U), empty(T, B, U)) if keep else (empty(0), empty(0))
    return empty(T, B, P), empty(B, P), empty(B, H), *kept


@torch.library.impl("carousel::lstm_layer_backward", "cpu")
def _backward(
    grad_out: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
    out: Tensor,
    gates: Tensor,
    cells: Tensor,
    *rest: Any,
) -> tuple[Tensor, ...]:
    layer, (wants_x, wants_weights) = Layer(*rest[:_COUNT]), rest[_COUNT:]
    kernel.check(layer)
    gradients = kernel.backward(
        layer,
        out,
        Kept(gates, cells),
        (grad_out, grad_h_n, grad_c_n),
        wants_x=wants_x,
        wants_weights=wants_weights,
    )
    return tuple(layer.x.new_empty(0) if part is None else part for part in gradients)


@torch.library.register_fake("carousel::lstm_layer_backward")
def _fake_backward(
    grad_out: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
    out: Tensor,
    gates: Tensor,
    cells: Tensor,
    *rest: Any,
) -> tuple[Tensor, ...]:
    layer, (wants_x, wants_weights) = Layer(*rest[:_COUNT]), rest[_COUNT:]
    T, B, I, H, P = layer.shape  # noqa: E741
    empty = layer.x.new_empty
    return (
        empty(T, B, I) if wants_x else empty(0),
        empty(B, P),
        empty(B, H),
        empty(4 * H, I) if wants_weights else empty(0),
        empty(4 * H, P) if wants_weights else empty(0),
        empty(4 * H) if wants_weights else empty(0),
        empty(P, H) if wants_weights and layer.weight_hr is not None else empty(0),
        empty(3 * H) if wants_weights and layer.weight_peephole is not None else empty(0),
    )


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    layer = Layer(*inputs[:_COUNT])
    ctx.constants = inputs[_COUNT - _CONSTANTS : _COUNT]
    out, _, _, gates, cells = output
    ctx.mark_non_differentiable(gates, cells)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*layer[: _COUNT - _CONSTANTS], out, gates, cells)


def _differentiate(
    ctx: Any,
    grad_out: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
    *_: Tensor | None,
) -> tuple[Tensor | None, ...]:
    return _gradients(ctx, (grad_out, grad_h_n, grad_c_n), _through_the_operator)


def _gradients(
    ctx: Any, grads: _Grads, run: Callable[[Layer, Tensor, Kept, _Grads, bool, bool], Gradients]
) -> tuple[Tensor | None, ...]:
    *tensors, out, gates, cells = ctx.saved_tensors
    layer = Layer(*tensors, *ctx.constants)
    nothing = (None,) * (_COUNT + 1 - _FLOATS)
    if all(grad is None for grad in grads):
        return (None,) * (_COUNT + 1)
    if gates.numel() == 0 or torch.is_grad_enabled():
        return *_through_reference(layer, grads, ctx.needs_input_grad[:_FLOATS]), *nothing
    for saved in (*layer[:_FLOATS], out, gates, cells):
        if saved is not None and saved.dtype != torch.float32:
            raise ShapeError(
                f"backward: expected what was saved as float32, got {saved.dtype}. A hook for "
                f"saved tensors must return them as it was given them"
            )
    wants_weights = any(ctx.needs_input_grad[3:_FLOATS])
    kept = Kept(gates.contiguous(), cells.contiguous())
    out = kernel.rows(out)
    g = run(layer, out, kept, grads, ctx.needs_input_grad[0], wants_weights)
    # Each bias has a gradient of its own, though they are equal: callers may change them in place.
    other = g.bias.clone() if g.bias is not None and ctx.needs_input_grad[6] else None
    gradients = (g.x, g.h0, g.c0, g.weight_ih, g.weight_hh, g.bias, other, g.weight_hr)
    wanted = (
        grad if need else None
        for grad, need in zip(
            (*gradients, g.weight_peephole), ctx.needs_input_grad[:_FLOATS], strict=True
        )
    )
    return *wanted, *nothing


def _through_the_operator(
    layer: Layer, out: Tensor, kept: Kept, grads: _Grads, wants_x: bool, wants_weights: bool
) -> Gradients:
    return Gradients(
        *torch.ops.carousel.lstm_layer_backward(*grads, out, *kept, *layer, wants_x, wants_weights)
    )


def _straight(
    layer: Layer, out: Tensor, kept: Kept, grads: _Grads, wants_x: bool, wants_weights: bool
) -> Gradients:
    return kernel.backward(layer, out, kept, grads, wants_x=wants_x, wants_weights=wants_weights)


torch.library.register_autograd(
    "carousel::lstm_layer", _differentiate, setup_context=_keep_for_backward
)


class _LayerFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        layer = Layer(*arguments)
        T, B, _, _, P = layer.shape
        out = layer.x.new_empty(T, B, P)
        h_n, c_n, kept = kernel.forward(layer, out, keep=True)
        assert kept is not None
        output = out, h_n, c_n, *kept
        _keep_for_backward(ctx, arguments, output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plain = nobody_watches() and all(
            grad is None or (type(grad) is Tensor and not grad.is_neg()) for grad in grads
        )
        run = _straight if plain else _through_the_operator
        return _gradients(ctx, grads[:3], run)[:_COUNT]  # type: ignore[arg-type]


def _through_reference(
    layer: Layer, grads: Sequence[Tensor | None], needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Returns the same gradients as the kernel, on the graph, so that they have gradients too."""
    arguments: tuple[Any, ...] = layer[:_FLOATS]
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        values, final = run_direction(
            layer.x,
            State(layer.h0, layer.c0),
            LayerWeights(*layer.weights),  # type: ignore[arg-type]
            EngineOptions(lengths=layer.lengths, reset=layer.reset, variant=layer.variant),
            LayerMasks(layer.recurrent_mask, layer.zoneout_h_mask, layer.zoneout_c_mask),
            backwards=layer.reverse,
        )
        outputs = (values.h, final.h, final.c)
        given = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None]
        wanted = [a for a, need in zip(arguments, needed, strict=True) if need]
        found = torch.autograd.grad(
            [o for o, _ in given],
            wanted,
            [g for _, g in given],
            create_graph=create_graph,
            allow_unused=True,
        )
    by_argument = iter(found)
    return tuple(next(by_argument) if need else None for need in needed)
