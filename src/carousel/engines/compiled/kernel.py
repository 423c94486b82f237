"""One layer in one direction on tensors: from tensors to the addresses that the kernel takes.

Checks what would otherwise be a wild write, allocates, and keeps packed weights. Knows nothing of
autograd or of stacks of layers.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), G = 4H rows of packed gates, K = 3H peepholes, U = H rounded up to the kernel's blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from carousel.engines.compiled.native import module as native
from carousel.engines.compiled.packing import Packed, packed_weights
from carousel.engines.contract import CellVariant
from carousel.errors import ShapeError


class Kept(NamedTuple):
    """What a forward pass keeps for the backward pass and for a trace, in the kernel's order."""

    gates: Tensor  # (T, B, 4U)
    cells: Tensor  # (T, B, U)


class Layer(NamedTuple):
    """The arguments of one layer in one direction; the tensors are those of the contract."""

    x: Tensor  # (T, B, I)
    h0: Tensor  # (B, P)
    c0: Tensor  # (B, H)
    weight_ih: Tensor  # (G, I)
    weight_hh: Tensor  # (G, P)
    bias_ih: Tensor | None = None  # (G,)
    bias_hh: Tensor | None = None
    weight_hr: Tensor | None = None  # (P, H)
    weight_peephole: Tensor | None = None  # (K,)
    lengths: Tensor | None = None  # (B,)
    reset: Tensor | None = None  # (T, B)
    recurrent_mask: Tensor | None = None  # (B, P)
    zoneout_h_mask: Tensor | None = None  # (T, B, P)
    zoneout_c_mask: Tensor | None = None  # (T, B, H)
    reverse: bool = False
    cell_clip: float = 0.0  # 0 for none
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0
    bf16: bool = False  # whether products are of numbers rounded to bf16; sums are float32

    @property
    def shape(self) -> tuple[Any, Any, Any, Any, Any]:
        """T, B, I, H, P: integers, symbolic ones while PyTorch traces."""
        T, B, I = self.x.shape  # noqa: E741 - the input size, as everywhere
        return T, B, I, self.weight_hh.shape[0] // 4, self.weight_hh.shape[1]

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """The weights in the kernel's order."""
        return (
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            self.weight_hr,
            self.weight_peephole,
        )

    @property
    def variant(self) -> CellVariant:
        """What makes the cell differ from the textbook's."""
        return CellVariant(
            cell_clip=self.cell_clip or None, zoneout_h=self.zoneout_h, zoneout_c=self.zoneout_c
        )


_LENGTHS = Layer._fields.index("lengths")


def kept_width(hidden: Any) -> Any:
    """Returns U: the hidden units in a row of what is kept, the same for every instruction set."""
    return -(-hidden // 16) * 16


def forward(
    layer: Layer, out: Tensor, *, keep: bool, packed: Packed | None = None
) -> tuple[Tensor, Tensor, Kept | None]:
    """Runs the layer.

    Args:
        layer: its arguments; every tensor on the CPU, floats of float32.
        out: (T, B, P), written; its last dimension is contiguous.
        keep: whether a backward pass or a trace will follow.
        packed: the weights, packed; None to look them up.

    Returns:
        h_n (B, P) and c_n (B, H), and what is kept.
    """
    ready = _ready(layer)
    shape = T, B, _, H, P = ready.shape
    threads = torch.get_num_threads()
    empty = ready.x.new_empty  # whatever PyTorch's default type and device are
    h_n, c_n = empty(B, P), empty(B, H)
    if packed is None and not keep and T == 1 and B <= FEW_ROWS and _is_textbook(ready):
        _single_step(ready, out, h_n, c_n, threads)
        return h_n, c_n, None
    if packed is None:
        packed = packed_weights(ready.weights, threads, cache=not keep, bf16=ready.bf16)
    kept = None
    if keep:
        U = kept_width(H)
        # Whatever the kernel does not write is 0, so that what is kept depends on the call alone.
        make = empty if ready.lengths is None else ready.x.new_zeros
        kept = Kept(make(T, B, 4 * U), make(T, B, U))
        written = -(-H // native.lanes()) * native.lanes()
        if written < U:
            kept.gates[..., 4 * written :].zero_()
            kept.cells[..., written:].zero_()
    native.forward(
        shape,
        _sequence(ready),
        _variant(ready),
        packed.address,
        out.data_ptr(),
        out.stride(0),
        out.stride(1),
        h_n.data_ptr(),
        c_n.data_ptr(),
        0 if kept is None else kept.gates.data_ptr(),
        0 if kept is None else kept.cells.data_ptr(),
        threads,
    )
    return h_n, c_n, kept


# A single step of so few rows reads the weights as they are: packing them costs more than it saves.
FEW_ROWS = 2
FLOATS_FOR_A_TEAM = 1 << 15  # of weights; below, waking other threads takes longer than the step


def gains_by_bf16(layer: Layer) -> bool:
    """Returns whether the processor has products of bf16 for a layer, and they are worth it."""
    _, _, I, H, P = layer.shape  # noqa: E741
    return H >= _LEAST_FOR_BF16 and native.supports_bf16(I, H, P)


_LEAST_FOR_BF16 = 64  # units; below, rounding to bf16 takes longer than the products gain


def _is_textbook(layer: Layer) -> bool:
    """Returns whether there is nothing but weights and states."""
    plain = all(part is None for part in layer[_LENGTHS - 2 : _LENGTHS + 5])
    return plain and not (layer.cell_clip or layer.zoneout_h or layer.zoneout_c or layer.bf16)


def _single_step(layer: Layer, out: Tensor, h_n: Tensor, c_n: Tensor, threads: int) -> None:
    weights = layer.weights
    native.single_step(
        layer.shape,
        tuple(_address(part) for part in weights),
        layer.x.data_ptr(),
        layer.x.stride(1),
        layer.h0.data_ptr(),
        layer.c0.data_ptr(),
        h_n.data_ptr(),
        c_n.data_ptr(),
        threads if layer.weight_hh.numel() >= FLOATS_FOR_A_TEAM else 1,
    )
    out[0].copy_(h_n)


def plain_forward(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Runs the textbook's cell without projection, with as little around the kernel as can be.

    Args:
        x: (T, B, I), T and B above 0; its last dimension contiguous; like all others float32 on
            the CPU. Nothing is checked here.
        h0: (B, H), contiguous; None for zeros, as is ``c0``.
        c0: (B, H), contiguous.
        w_ih: (G, I), contiguous, as are the others.
        w_hh: (G, H).
        b_ih: (G,) or None, as is ``b_hh``.
        b_hh: (G,).

    Returns:
        The output (T, B, H), h_n (1, B, H) and c_n (1, B, H).
    """
    T, B, I = x.shape  # noqa: E741
    H = w_hh.shape[1]
    threads = torch.get_num_threads()
    empty = x.new_empty
    out, h_n, c_n = empty(T, B, H), empty(1, B, H), empty(1, B, H)
    h0 = x.new_zeros(B, H) if h0 is None else h0
    c0 = x.new_zeros(B, H) if c0 is None else c0
    packed = packed_weights((w_ih, w_hh, b_ih, b_hh, None, None), threads, cache=True)
    native.forward(
        (T, B, I, H, H),
        (False, x.data_ptr(), x.stride(0), x.stride(1), h0.data_ptr(), c0.data_ptr(), 0, 0, False),
        (),
        packed.address,
        out.data_ptr(),
        B * H,
        H,
        h_n.data_ptr(),
        c_n.data_ptr(),
        0,
        0,
        threads,
    )
    return out, h_n, c_n


class Gradients(NamedTuple):
    """The gradients of a layer's arguments; None where they were not wanted or there is no such."""

    x: Tensor | None
    h0: Tensor
    c0: Tensor
    weight_ih: Tensor | None
    weight_hh: Tensor | None
    bias: Tensor | None  # of either bias
    weight_hr: Tensor | None
    weight_peephole: Tensor | None


def backward(
    layer: Layer,
    out: Tensor,
    kept: Kept,
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
    *,
    wants_x: bool,
    wants_weights: bool,
) -> Gradients:
    """Computes the gradients of a layer.

    Args:
        layer: as ``forward`` had it.
        out: (T, B, P), as ``forward`` wrote it.
        kept: as ``forward`` returned it; not changed.
        grads: the gradients of the output (T, B, P), of h_n (B, P) and of c_n (B, H); None for 0.
        wants_x: whether the gradient of the input is wanted.
        wants_weights: whether those of the weights are.
    """
    ready = _ready(layer)
    T, B, I, H, P = ready.shape  # noqa: E741
    threads = torch.get_num_threads()
    grad_out = None if grads[0] is None else rows(grads[0])
    grad_h, grad_c = (None if grad is None else grad.contiguous() for grad in grads[1:])
    empty = layer.x.new_empty
    result = Gradients(
        empty(T, B, I) if wants_x else None,
        empty(B, P),
        empty(B, H),
        empty(4 * H, I) if wants_weights else None,
        empty(4 * H, P) if wants_weights else None,
        empty(4 * H) if wants_weights else None,
        empty(P, H) if wants_weights and layer.weight_hr is not None else None,
        empty(3 * H) if wants_weights and layer.weight_peephole is not None else None,
    )
    weights = ready.weights if wants_x else (None, *ready.weights[1:])
    packed = Packed.of(weights, I, threads, back=True, bf16=ready.bf16)
    native.backward(
        ready.shape,
        _sequence(ready),
        _variant(ready),
        packed.address,
        out.data_ptr(),
        out.stride(0),
        out.stride(1),
        kept.gates.data_ptr(),
        kept.cells.data_ptr(),
        (
            _address(grad_out),
            0 if grad_out is None else grad_out.stride(0),
            0 if grad_out is None else grad_out.stride(1),
            _address(grad_h),
            _address(grad_c),
        ),
        tuple(_address(part) for part in result),
        threads,
    )
    return result


def check(layer: Layer) -> None:
    """Refuses what the kernel would misread; for callers that skipped the checks of ``LSTM``.

    Raises:
        ShapeError: for a tensor of the wrong shape, dtype or device, or lengths out of range.
    """
    T, B, I, H, P = layer.shape  # noqa: E741
    G = 4 * H
    expected: dict[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]]] = {
        "x": ((T, B, I), (torch.float32,)),
        "h0": ((B, P), (torch.float32,)),
        "c0": ((B, H), (torch.float32,)),
        "weight_ih": ((G, I), (torch.float32,)),
        "weight_hh": ((G, P), (torch.float32,)),
        "bias_ih": ((G,), (torch.float32,)),
        "bias_hh": ((G,), (torch.float32,)),
        "weight_hr": ((P, H), (torch.float32,)),
        "weight_peephole": ((3 * H,), (torch.float32,)),
        "lengths": ((B,), (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)),
        "reset": ((T, B), (torch.bool,)),
        "recurrent_mask": ((B, P), (torch.float32,)),
        "zoneout_h_mask": ((T, B, P), (torch.bool,)),
        "zoneout_c_mask": ((T, B, H), (torch.bool,)),
    }
    for name, (shape, dtypes) in expected.items():
        value = getattr(layer, name)
        if value is None:
            continue
        if tuple(value.shape) != shape or value.dtype not in dtypes or value.device.type != "cpu":
            raise ShapeError(
                f"{name}: expected {shape} of {dtypes[0]} on the CPU, got {tuple(value.shape)} of "
                f"{value.dtype} on {value.device}. Call carousel.LSTM, which brings arguments into "
                f"shape"
            )
    if (layer.weight_hr is None) != (P == H):
        raise ShapeError(f"weight_hr: expected ({P}, {H}), which weight_hh asks for, got none")
    if layer.lengths is not None and B > 0:
        low, high = int(layer.lengths.min()), int(layer.lengths.max())
        if low < 0 or high > T:
            raise ShapeError(f"lengths: expected from 0 to {T} steps, got from {low} to {high}")


def _ready(layer: Layer) -> Layer:
    """Returns the layer with every tensor in the memory order that the kernel reads."""
    ready = [
        part if not isinstance(part, Tensor) or part.is_contiguous() else part.contiguous()
        for part in layer
    ]
    ready[0] = rows(layer.x)
    if layer.lengths is not None:
        ready[_LENGTHS] = layer.lengths.to("cpu", torch.int64).contiguous()
    return Layer(*ready)  # type: ignore[arg-type]


def rows(values: Tensor) -> Tensor:
    """Returns values (T, B, ·) whose last dimension is contiguous; the others may be strided."""
    return values if values.stride(-1) == 1 or values.shape[-1] == 1 else values.contiguous()


def _address(value: Tensor | None) -> int:
    return 0 if value is None else value.data_ptr()


def _sequence(layer: Layer) -> tuple[int | bool, ...]:
    return (
        layer.reverse,
        layer.x.data_ptr(),
        layer.x.stride(0),
        layer.x.stride(1),
        layer.h0.data_ptr(),
        layer.c0.data_ptr(),
        _address(layer.lengths),
        _address(layer.reset),
        layer.bf16,
    )


def _variant(layer: Layer) -> tuple[int | float | bool, ...]:
    return (
        layer.weight_peephole is not None,
        layer.cell_clip,
        layer.zoneout_h,
        layer.zoneout_c,
        _address(layer.zoneout_h_mask),
        _address(layer.zoneout_c_mask),
        _address(layer.recurrent_mask),
    )
