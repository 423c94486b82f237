"""A stack of layers fed one step at a time, straight to the kernel: no look-ups, no autograd.

Shape letters: B batch, I input size, H hidden size, P projection size (H where there is none),
L layers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from carousel.engines.compiled.engine import four_gates
from carousel.engines.compiled.native import FAST_VIEWS
from carousel.engines.compiled.native import module as native
from carousel.engines.compiled.packing import Packed
from carousel.engines.contract import CellVariant, LayerWeights, State


class CompiledSteps:
    """Packed weights and the state of ``batch`` rows, both in the kernel's hands.

    Args:
        weights: one entry a layer, of one direction, float32 on the CPU.
        variant: of the cell, as in evaluation.
        state: h (L, B, P) and c (L, B, H), contiguous; every step reads and writes it in place.
    """

    def __init__(
        self, weights: tuple[LayerWeights, ...], variant: CellVariant, state: State
    ) -> None:
        threads = torch.get_num_threads()
        self._outputs = (state.h.shape[1], state.h.shape[2])
        self._steps = native.Stepper(state.h.shape[1])
        self._held: list[object] = [state]  # what the kernel has addresses of
        for k, layer in enumerate(weights):
            ready = four_gates(layer) if variant.coupled else layer
            parts = [None if part is None else part.detach().contiguous() for part in ready]
            ordered = (*parts[:4], ready.weight_hr, ready.weight_peephole)
            packed = Packed.of(ordered, layer.weight_ih.shape[1], threads, back=False)
            self._held.append(packed)
            cell = (
                layer.weight_peephole is not None,
                variant.cell_clip or 0.0,
                variant.zoneout_h,
                variant.zoneout_c,
                *(0, 0, 0),  # masks
            )
            self._steps.add(
                layer.weight_ih.shape[1],
                state.c.shape[2],
                state.h.shape[2],
                cell,
                packed.address,
                state.h[k].data_ptr(),
                state.c[k].data_ptr(),
            )

    def step(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "B P"]:
        """Feeds one step, float32 with contiguous rows; returns the top layer's h."""
        out = x.new_empty(*self._outputs)
        threads = torch.get_num_threads()
        if not (FAST_VIEWS and self._steps.feed(x, out, threads)):
            self._steps.step(x.data_ptr(), x.stride(0), out.data_ptr(), threads)
        return out
