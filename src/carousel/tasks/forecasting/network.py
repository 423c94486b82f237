"""The network: an LSTM reads the past, another walks the horizon, a head says quantiles.

The decoder reads only what is known at the origin (calendar, last season), never its own forecasts,
so the whole horizon comes out at once (MQ-RNN, arXiv:1711.11053).

Letters: T context, B windows, K horizon, H hidden, Q quantiles, F and G features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from carousel.nn import LSTM, State
from carousel.tasks.forecasting.windows import Window


class QuantileHead(nn.Module):
    """Turns features into quantiles that cannot cross.

        q_median = m,   q_j = q_{j∓1} ∓ softplus(s_j)   outwards from the median

    Args:
        num_features: of the input.
        hidden_size: of the layer in between.
        quantiles: ascending, 0.5 among them.
    """

    def __init__(self, num_features: int, hidden_size: int, quantiles: tuple[float, ...]) -> None:
        super().__init__()
        self.median = quantiles.index(0.5)
        self.inner = nn.Linear(num_features, hidden_size)
        self.outer = nn.Linear(hidden_size, len(quantiles))

    def forward(self, features: Tensor) -> Tensor:
        """Maps (…, num_features) to quantiles (…, Q), ascending, relative to 0."""
        raw = self.outer(torch.relu(self.inner(features)))
        middle = raw[..., self.median : self.median + 1]
        steps = functional.softplus(raw)
        above = middle + steps[..., self.median + 1 :].cumsum(-1)
        below = middle - steps[..., : self.median].flip(-1).cumsum(-1).flip(-1)
        return torch.cat([below, middle, above], dim=-1)


class ForecastingNetwork(nn.Module):
    """Encoder, decoder and head; forecasts are relative to the last value before the origin.

    Args:
        num_past_features: F.
        num_future_features: G.
        quantiles: ascending, 0.5 among them.
        hidden_size: H of both LSTMs.
        num_layers: of the encoder.
        dropout: share of hidden values dropped in training, between layers and before the head.
    """

    def __init__(
        self,
        num_past_features: int,
        num_future_features: int,
        *,
        quantiles: tuple[float, ...],
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        self.encoder = LSTM(num_past_features, hidden_size, num_layers, dropout=between)
        self.decoder = LSTM(num_future_features, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = QuantileHead(2 * hidden_size, hidden_size, quantiles)

    def forward(self, window: Window) -> Tensor:
        """Returns the scaled quantiles of the horizon, (K, B, Q)."""
        _, memory = self.encoder(window.past)
        last = State(memory.h[-1:], memory.c[-1:])
        steps, _ = self.decoder(window.future, last)
        summary = last.h.expand(len(steps), -1, -1)
        features = self.dropout(torch.cat([steps, summary], dim=-1))
        return window.anchor[:, None] + self.head(features)
