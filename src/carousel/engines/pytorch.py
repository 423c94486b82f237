"""PyTorch's own kernel behind the contract: cuDNN on CUDA, oneDNN or ATen on the CPU.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.parameter import Parameter
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carousel.engines.contract import (
    CellVariant,
    EngineOptions,
    EngineResult,
    LayerWeights,
    State,
)
from carousel.engines.reference import ReferenceEngine
from carousel.engines.watching import forward_mode, transformed


class PyTorchEngine:
    """The kernel of ``torch.nn.LSTM``: the whole stack in one call; no resets and no trace."""

    name = "pytorch"
    summary = "PyTorch's own kernel, cuDNN on CUDA and oneDNN or ATen on the CPU: the plain cell"

    def unavailable(self) -> str | None:
        """Returns None: the kernel is part of every PyTorch."""
        return None

    def supports(
        self, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
    ) -> str | None:
        """Returns why PyTorch's kernel cannot run this call, or None where it can."""
        if options.trace:
            return "PyTorch's kernel keeps its gates to itself, so it cannot trace"
        if options.reset is not None:
            return "PyTorch's kernel cannot reset the state inside a sequence"
        if options.variant != CellVariant() or options.masks is not None:
            return "PyTorch's kernel knows the textbook's cell only, no variant of it"
        if weights[0].weight_peephole is not None:
            return "PyTorch's kernel has no peepholes"
        if options.lengths is not None and (inputs.is_meta or options.lengths.is_meta):
            return "PyTorch's kernel must pack by length, and on the meta device there is nothing"
        if transformed():
            return "PyTorch's kernel has no rule for torch.func transforms"
        if forward_mode():
            return "PyTorch's kernel has no forward-mode derivative"
        on_cpu = inputs.device.type == "cpu"
        if on_cpu and torch.compiler.is_compiling() and torch.is_grad_enabled():
            return "PyTorch's oneDNN kernel has no backward under torch.compile"
        if on_cpu and torch.is_autocast_enabled("cpu"):
            return _autocast_on_cpu(weights)
        return None

    def run(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        """Runs the whole stack over time; the contract is ``Engine.run``'s."""
        if inputs.shape[0] == 0:  # PyTorch refuses no steps; there is nothing to be fast at
            return ReferenceEngine().run(inputs, state, weights, options)
        if weights[0].weight_hr is not None and inputs.device.type == "cpu":
            _spend_projection_warning()
        if options.lengths is None:
            return self._run_even(inputs, state, weights, options)
        return self._run_ragged(inputs, state, weights, options)

    def _run_even(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        # cuDNN refuses a state with gaps, which every other engine takes.
        initial = state.h.contiguous(), state.c.contiguous()
        with _unheard_of_loose_weights(weights):
            outputs, h, c = torch.lstm(inputs, initial, *_kernel_arguments(weights, options), False)
        return EngineResult(outputs, State(h, c))

    def _run_ragged(
        self,
        inputs: Float[Tensor, "T B I"],
        state: State,
        weights: tuple[LayerWeights, ...],
        options: EngineOptions,
    ) -> EngineResult:
        """Packs the sequences, which is PyTorch's only way to run unequal lengths."""
        assert options.lengths is not None
        T, B, _ = inputs.shape
        lengths = options.lengths.to("cpu", torch.int64)
        if B == 0 or int(lengths.max()) == 0:
            return ReferenceEngine().run(inputs, state, weights, options)
        if int(lengths.min()) == T:  # nothing is ragged, and packing costs oneDNN's kernel
            return self._run_even(inputs, state, weights, options)
        rows = None
        if int(lengths.min()) == 0:  # packing refuses sequences of no steps
            rows = lengths.nonzero()[:, 0]
            lengths = lengths[rows]
            rows = rows.to(inputs.device)
            inputs = inputs[:, rows]
        initial = state if rows is None else State(state.h[:, rows], state.c[:, rows])
        # Rows that are in order already must stay in it: for a PackedSequence that came in, dropout
        # then meets the same numbers in the same places as in torch.nn.LSTM.
        in_order = bool((lengths[1:] <= lengths[:-1]).all())
        packed = pack_padded_sequence(inputs, lengths, enforce_sorted=in_order)
        if packed.sorted_indices is not None:
            initial = State(*(part[:, packed.sorted_indices] for part in initial))
        with _unheard_of_loose_weights(weights):
            data, h, c = torch.lstm(
                packed.data,
                packed.batch_sizes,
                (initial.h.contiguous(), initial.c.contiguous()),
                *_kernel_arguments(weights, options),
            )
        if packed.unsorted_indices is not None:
            h, c = h[:, packed.unsorted_indices], c[:, packed.unsorted_indices]
        outputs, _ = pad_packed_sequence(PackedSequence(data, *packed[1:]), total_length=T)
        if rows is None:
            return EngineResult(outputs, State(h, c))
        empty = outputs.new_zeros(T, B, outputs.shape[-1])
        final = State(state.h.index_copy(1, rows, h), state.c.index_copy(1, rows, c))
        return EngineResult(empty.index_copy(1, rows, outputs), final)


def _kernel_arguments(
    weights: tuple[LayerWeights, ...], options: EngineOptions
) -> tuple[list[Tensor], bool, int, float, bool, bool]:
    """Returns the arguments that both forms of ``torch.lstm`` share, in its order."""
    flat = [part for layer in weights for part in layer if part is not None]
    layers = len(weights) // (2 if options.bidirectional else 1)
    # cuDNN can differentiate only what ran in "training"; dropout is decided by its probability.
    train = options.dropout > 0 or torch.is_grad_enabled()
    has_biases = weights[0].bias_ih is not None
    return flat, has_biases, layers, options.dropout, train, options.bidirectional


def _autocast_on_cpu(weights: tuple[LayerWeights, ...]) -> str | None:
    """Returns why the kernel cannot run under autocast on this CPU, or None where it can."""
    if weights[0].weight_hr is not None:  # runs through ATen, which needs no special instructions
        return None
    half = torch.get_autocast_dtype("cpu") == torch.float16
    able = torch.ops.mkldnn._is_mkldnn_fp16_supported if half else _bf16_supported
    return None if able() else "oneDNN cannot run a low-precision LSTM on this CPU"


def _bf16_supported() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _unheard_of_loose_weights(
    weights: tuple[LayerWeights, ...],
) -> contextlib.AbstractContextManager[object]:
    """Keeps PyTorch from advising to lay out weights that are made anew for each call.

    cuDNN wants them in one block and copies them into one, which dropout of weights costs. The
    advice stays for parameters, whose layout is the user's.
    """
    recurrent = weights[0].weight_hh
    if not recurrent.is_cuda or type(recurrent) is Parameter or torch.compiler.is_compiling():
        return contextlib.nullcontext()
    own = recurrent.untyped_storage().data_ptr()
    if own == weights[0].weight_ih.untyped_storage().data_ptr():  # parameters, detached
        return contextlib.nullcontext()
    return _without_advice()


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous")
        yield


@functools.cache
def _spend_projection_warning() -> None:
    """Has PyTorch say now, unheard, what it says once: that oneDNN runs no projections.

    The user asked for a projection and gets one; the warning offers nothing that they could do.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = torch.zeros(1, 1, 1), torch.zeros(1, 1, 2)
        weights = [torch.zeros(8, 1), torch.zeros(8, 1), torch.zeros(1, 2)]
        torch.lstm(one, (one, two), weights, False, 1, 0.0, False, False, False)
