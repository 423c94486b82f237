"""How cuDNN wants an LSTM's parameters: one block of memory.

Without it every call on CUDA copies the weights and warns. Knows nothing of other devices.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.parameter import Parameter


class HasWeights(Protocol):
    """What ``flatten_weights`` reads of a layer."""

    input_size: int
    hidden_size: int
    num_layers: int
    batch_first: bool
    bidirectional: bool
    proj_size: int

    @property
    def all_weights(self) -> list[list[Parameter]]: ...


def flatten_weights(layer: HasWeights) -> None:
    """Moves the parameters, in place, into one block in cuDNN's order; their values stay.

    Does nothing unless all are on CUDA, of one dtype that cuDNN runs, and none shares its memory.
    """
    groups = layer.all_weights
    weights: list[Tensor] = [weight for group in groups for weight in group]
    if not all(type(weight) is Parameter and weight.is_cuda for weight in weights):
        return
    if len({weight.dtype for weight in weights}) > 1:
        return
    if not all(torch.backends.cudnn.is_acceptable(weight) for weight in weights):
        return
    if len({weight.data_ptr() for weight in weights}) < len(weights):
        return
    import torch.backends.cudnn.rnn as cudnn_rnn

    with torch.cuda.device_of(weights[0]), torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            weights,
            len(groups[0]),
            layer.input_size,
            cudnn_rnn.get_cudnn_mode("LSTM"),
            layer.hidden_size,
            layer.proj_size,
            layer.num_layers,
            layer.batch_first,
            layer.bidirectional,
        )
