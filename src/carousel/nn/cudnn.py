"""How cuDNN wants an LSTM's parameters: one block of memory.

Without it every call on CUDA copies the weights and warns. Knows nothing of other devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.parameter import Parameter


def flatten_weights(
    groups: Sequence[Sequence[Tensor]],
    *,
    input_size: int,
    hidden_size: int,
    proj_size: int,
    num_layers: int,
    bidirectional: bool,
) -> None:
    """Moves the parameters, in place, into one block in cuDNN's order; their values stay.

    Does nothing unless all are on CUDA, of one dtype that cuDNN runs, and none shares its memory.

    Args:
        groups: the parameters of each layer and direction, in PyTorch's order.
        input_size: I.
        hidden_size: H.
        proj_size: P, 0 for no projection.
        num_layers: L.
        bidirectional: whether D is 2.
    """
    weights = [weight for group in groups for weight in group]
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
            input_size,
            cudnn_rnn.get_cudnn_mode("LSTM"),
            hidden_size,
            proj_size,
            num_layers,
            False,  # batch_first, which does not matter to weights
            bidirectional,
        )
