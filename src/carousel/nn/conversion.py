"""Our layer as PyTorch's, on the same parameters.

The other way about is ``replacement``'s.
"""

from __future__ import annotations

import torch

from carousel.errors import OptionError
from carousel.nn.lstm import LSTM

# What ``torch.nn.LSTM`` lacks: the option, and the value at which it changes nothing.
VARIANTS: dict[str, object] = {
    "peepholes": False,
    "coupled": False,
    "cell_clip": None,
    "recurrent_dropout": 0.0,
    "weight_dropout": 0.0,
    "zoneout_h": 0.0,
    "zoneout_c": 0.0,
}


def to_torch(lstm: LSTM) -> torch.nn.LSTM:
    """Makes a ``torch.nn.LSTM`` on the very parameters of a layer.

    What trains or loads one of the two is seen by the other. The layer stays what it is; its hooks
    stay with it. A layer that ``replace_lstm`` made goes back by ``restore_lstm``.

    Args:
        lstm: the layer.

    Returns:
        A new ``torch.nn.LSTM`` with the same options, training mode and parameters.

    Raises:
        OptionError: for a variant of the cell, which PyTorch's layer has not; for weights that are
            computed and not parameters.
    """
    for name, plain in VARIANTS.items():
        value = getattr(lstm, name)
        if value != plain:
            raise OptionError(
                f"{name}: torch.nn.LSTM has no such option, so expected {plain!r}, got {value!r}. "
                f"Keep the carousel.LSTM"
            )
    theirs = torch.nn.LSTM(
        lstm.input_size,
        lstm.hidden_size,
        lstm.num_layers,
        lstm.bias,
        lstm.batch_first,
        bidirectional=lstm.bidirectional,
        proj_size=lstm.proj_size,
        device="meta",
    )
    theirs.dropout = lstm.dropout  # not in the constructor, which warns where it does nothing
    own = dict(lstm.named_parameters(recurse=False))
    for name, _ in list(theirs.named_parameters()):
        if name not in own:
            raise OptionError(
                f"{name}: expected a parameter, but it is computed from others by a "
                f"parametrization or weight_norm. Remove that first"
            )
        setattr(theirs, name, own[name])
    theirs._init_flat_weights()
    return theirs.train(lstm.training)
