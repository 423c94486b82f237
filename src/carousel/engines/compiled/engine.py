"""The compiled engine: stacks and directions on top of the kernel's one layer.

A layer goes straight to the kernel, under autograd as one of its functions; where PyTorch watches,
through the operator ``carousel::lstm_layer``, which ``torch.compile`` and ``torch.export`` know.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions, U = H rounded up to the kernel's blocks.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.parameter import Parameter

from carousel.engines.compiled import kernel
from carousel.engines.compiled.kernel import Kept, Layer
from carousel.engines.compiled.native import available
from carousel.engines.compiled.native import module as native
from carousel.engines.compiled.operators import differentiable_layer, lstm_layer
from carousel.engines.contract import (
    EngineOptions,
    EngineResult,
    LayerMasks,
    LayerTrace,
    LayerWeights,
    State,
)
from carousel.engines.reference import ReferenceEngine
from carousel.engines.watching import forward_mode, nobody_watches, transformed

_NO_MASKS = LayerMasks()


class CompiledEngine:
    """The kernel of csrc/ on the CPU: every variant, lengths, resets and traces, in float32.

    Under autocast to bf16, and where the processor has the instructions, the factors of products
    are bf16 in layers of 64 units and more that do not project; all else stays float32.
    """

    name = "compiled"

    @property
    def summary(self) -> str:
        """What it runs on, with the instruction set in use."""
        bf16 = ", products of bf16 under autocast" if native.supports_bf16(1, 1, 1) else ""
        return f"our own kernel on the CPU, {native.instruction_set()}{bf16}: every variant"

    def unavailable(self) -> str | None:
        """Returns why there is no kernel in this installation, or None where there is one."""
        if available:
            return None
        return (
            "the kernel was not built: no C++ compiler was found when carousel was installed. "
            "Install one (GCC 9, Clang 10 or newer) and install carousel again"
        )

    def supports(
        self, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
    ) -> str | None:
        """Returns why the kernel cannot run this call, or None where it can."""
        if options.lengths is not None and options.lengths.is_meta:
            return "lengths on the meta device have no values"
        if inputs.device.type != "cpu" or weights[0].weight_hh.device.type != "cpu":
            return "the compiled kernel runs on the CPU only"
        autocast = torch.is_autocast_enabled("cpu")
        if weights[0].weight_hh.dtype != torch.float32 or (
            inputs.dtype != torch.float32 and not autocast
        ):
            return "the compiled kernel computes in float32 only"
        if transformed():
            return "the compiled kernel has no rule for torch.func transforms"
        if forward_mode():
            return "the compiled kernel has no forward-mode derivative"
        if options.trace and _wants_gradients(inputs, weights):
            return "the compiled kernel has no gradients through a trace"
        return None

    def run(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        """Runs the whole stack over time; the contract is ``Engine.run``'s."""
        if inputs.shape[0] == 0 or inputs.shape[1] == 0:  # there is nothing to be fast at
            return ReferenceEngine().run(inputs, state, weights, options)
        if not torch.is_autocast_enabled("cpu"):
            return self._run(inputs, state, weights, options)
        # Autocast asks for its type's range of results. Products are of bf16 where the processor
        # has them; state, gates and sums stay float32.
        low = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            whole = State(state.h.float(), state.c.float())
            bf16 = low == torch.bfloat16
            result = self._run(inputs.float(), whole, weights, options, bf16)
            return EngineResult(
                result.outputs.to(low),
                State(result.state.h.to(low), result.state.c.to(low)),
                result.trace,
            )

    def _run(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
        bf16: bool = False,
    ) -> EngineResult:
        directions = 2 if options.bidirectional else 1
        gradients = _wants_gradients(inputs, weights, state)
        keep = options.trace or gradients
        if _is_watched(inputs, state, weights):
            run = _operator
        else:
            run = _differentiable if gradients else _direct
        finals: list[State] = []
        traces: list[LayerTrace] = []
        for first in range(0, len(weights), directions):
            if first and options.dropout:
                inputs = torch.dropout(inputs, options.dropout, True)
            layers = [
                _layer(inputs, State(state.h[k], state.c[k]), weights[k], options, k, k > first)
                for k in range(first, first + directions)
            ]
            if bf16:
                layers = [layer._replace(bf16=kernel.gains_by_bf16(layer)) for layer in layers]
            outputs, ends, kept = run(layers, keep)
            finals += ends
            if options.trace:
                for layer, part, values in zip(
                    layers, outputs.chunk(directions, -1), kept, strict=True
                ):
                    traces.append(_trace(layer, part, values))
            inputs = outputs
        if len(finals) == 1:
            final = State(finals[0].h.unsqueeze(0), finals[0].c.unsqueeze(0))
        else:
            final = State(*(torch.stack(list(parts)) for parts in zip(*finals, strict=True)))
        return EngineResult(inputs, final, tuple(traces) if options.trace else None)


def _wants_gradients(
    inputs: Tensor, weights: tuple[LayerWeights, ...], state: State | None = None
) -> bool:
    if not torch.is_grad_enabled():
        return False
    if inputs.requires_grad or (
        state is not None and (state.h.requires_grad or state.c.requires_grad)
    ):
        return True
    return any(part is not None and part.requires_grad for layer in weights for part in layer)


def _is_watched(inputs: Tensor, state: State, weights: tuple[LayerWeights, ...]) -> bool:
    """Returns whether PyTorch traces or intercepts calls, or a tensor is none of the plain kind."""
    if not nobody_watches():
        return True
    plain = (Tensor, Parameter)
    for parts in ((inputs, *state), *weights):
        for part in parts:
            if part is None:
                continue
            # Memory may hold the negative of the values, or there may be none for zeros.
            if type(part) not in plain or part.is_neg() or part._is_zerotensor():
                return True
    return False


def _layer(
    inputs: Tensor,
    initial: State,
    weights: LayerWeights,
    options: EngineOptions,
    k: int,
    reverse: bool,
) -> Layer:
    variant = options.variant
    masks = options.masks[k] if options.masks is not None else _NO_MASKS
    return Layer(
        inputs,
        initial.h,
        initial.c,
        *(four_gates(weights) if variant.coupled else weights),
        options.lengths,
        options.reset,
        masks.recurrent,
        masks.zoneout_h,
        masks.zoneout_c,
        reverse,
        variant.cell_clip or 0.0,
        variant.zoneout_h,
        variant.zoneout_c,
    )


def four_gates(weights: LayerWeights) -> LayerWeights:
    """Returns the weights of all gates where the input gate is coupled to the forget gate.

    i = 1 - σ(s) = σ(-s): the coupled gate is a gate of its own with the negative weights, and needs
    nothing of the kernel.
    """
    H = weights.weight_hh.shape[0] // 3
    first = LayerWeights(
        *(None if part is None else torch.cat([-part[:H], part]) for part in weights[:4])  # type: ignore[arg-type]
    )
    peephole = weights.weight_peephole
    return first._replace(
        weight_hr=weights.weight_hr,
        weight_peephole=None if peephole is None else torch.cat([-peephole[:H], peephole]),
    )


_Run = tuple[Tensor, list[State], list[Kept]]


def _direct(layers: list[Layer], keep: bool) -> _Run:
    T, B, _, _, P = layers[0].shape
    outputs = layers[0].x.new_empty(T, B, P * len(layers))
    finals: list[State] = []
    kept: list[Kept] = []
    for n, layer in enumerate(layers):
        part = outputs if len(layers) == 1 else outputs[..., n * P : (n + 1) * P]
        h, c, values = kernel.forward(layer, part, keep=keep)
        finals.append(State(h, c))
        if values is not None:
            kept.append(values)
    return outputs, finals, kept


def _differentiable(layers: list[Layer], keep: bool) -> _Run:
    assert keep
    return _joined([differentiable_layer(layer) for layer in layers])


def _operator(layers: list[Layer], keep: bool) -> _Run:
    return _joined([lstm_layer(layer, keep=keep) for layer in layers])


def _joined(runs: list[tuple[Tensor, Tensor, Tensor, Kept]]) -> _Run:
    outputs = runs[0][0] if len(runs) == 1 else torch.cat([run[0] for run in runs], dim=-1)
    return outputs, [State(run[1], run[2]) for run in runs], [run[3] for run in runs]


def _trace(layer: Layer, outputs: Tensor, kept: Kept) -> LayerTrace:
    """Returns what was kept as the contract has it, 0 past a sequence's end."""
    T, B, _, H, _ = layer.shape
    lanes = native.lanes()
    # A row holds, block of units by block, the four gates of the block.
    gates = kept.gates.view(T, B, -1, 4, lanes).transpose(2, 3).reshape(T, B, 4, -1)[..., :H]
    cells = kept.cells[..., :H]
    if layer.lengths is not None:
        real = (torch.arange(T, device=outputs.device)[:, None] < layer.lengths)[..., None]
        gates, cells = torch.where(real[..., None], gates, 0), torch.where(real, cells, 0)
    i, f, g, o = gates.unbind(2)
    return LayerTrace(i, f, g, o, cells.contiguous(), outputs)
