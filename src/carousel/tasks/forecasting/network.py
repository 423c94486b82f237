"""The network: an LSTM reads the past, another walks the horizon, a head says quantiles.

The decoder reads only what is known at the origin, never its own forecasts, so the whole horizon
comes out at once (MQ-RNN, arXiv:1711.11053). Both LSTMs read several rows in one step, a patch (as
PatchTST does, arXiv:2211.14730, section 3.1): a day of hours is one step, and two weeks are
fourteen, so that a memory need not reach further. What is linear goes past them on a highway
(LSTNet, arXiv:1703.07015, section 3.6).

Letters: T context, B windows, K horizon, H hidden, Q quantiles, E, F and G features, P patch.
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
        patch: P rows of the horizon that one input speaks of.
    """

    def __init__(
        self, num_features: int, hidden_size: int, quantiles: tuple[float, ...], patch: int = 1
    ) -> None:
        super().__init__()
        self.median = quantiles.index(0.5)
        self.shape = (patch, len(quantiles))
        self.inner = nn.Linear(num_features, hidden_size)
        self.outer = nn.Linear(hidden_size, patch * len(quantiles))

    def forward(self, features: Tensor) -> Tensor:
        """Maps (…, num_features) to quantiles (…, P, Q), ascending, relative to 0."""
        raw = self.outer(torch.relu(self.inner(features))).unflatten(-1, self.shape)
        middle = raw[..., self.median : self.median + 1]
        steps = functional.softplus(raw)
        above = middle + steps[..., self.median + 1 :].cumsum(-1)
        below = middle - steps[..., : self.median].flip(-1).cumsum(-1).flip(-1)
        return torch.cat([below, middle, above], dim=-1)


class Member(nn.Module):
    """Encoder, decoder, head and highway; forecasts are relative to the window's anchor.

    Args:
        num_past_features: F.
        num_future_features: G.
        num_static_features: E.
        context: T.
        horizon: K.
        quantiles: ascending, 0.5 among them.
        patch: P, rows that the encoder reads in one step; of the decoder's, at most the horizon.
        hidden_size: H of both LSTMs.
        num_layers: of the encoder.
        dropout: share of hidden values dropped in training, between layers and before the head.
    """

    def __init__(
        self,
        num_past_features: int,
        num_future_features: int,
        num_static_features: int,
        *,
        context: int,
        horizon: int,
        quantiles: tuple[float, ...],
        patch: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.past_patch, self.future_patch = patch, min(patch, horizon)
        self.embed_past = nn.Linear(patch * num_past_features + num_static_features, hidden_size)
        self.embed_future = nn.Linear(
            self.future_patch * num_future_features + num_static_features, hidden_size
        )
        between = dropout if num_layers > 1 else 0.0
        self.encoder = LSTM(hidden_size, hidden_size, num_layers, dropout=between)
        self.decoder = LSTM(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = QuantileHead(2 * hidden_size, hidden_size, quantiles, self.future_patch)
        self.highway = nn.Linear(context, horizon)
        nn.init.zeros_(self.highway.weight)
        nn.init.zeros_(self.highway.bias)

    def forward(self, past: Tensor, future: Tensor, static: Tensor, anchor: Tensor) -> Tensor:
        """Returns the scaled quantiles of the horizon, (K, B, Q); see ``Window`` for the inputs."""
        linear = self.highway(past[..., 0].T).T
        _, memory = self.encoder(self.embed_past(_patches(past, self.past_patch, static)))
        last = State(memory.h[-1:], memory.c[-1:])
        steps, _ = self.decoder(
            self.embed_future(_patches(future, self.future_patch, static, fill_end=True)), last
        )
        summary = last.h.expand(len(steps), -1, -1)
        said = self.head(self.dropout(torch.cat([steps, summary], dim=-1)))
        by_row = said.transpose(1, 2).flatten(0, 1)[: self.horizon]
        return (anchor + linear)[..., None] + by_row


class ForecastingNetwork(nn.Module):
    """Several members that learn side by side and forecast together.

    In training each member gets windows of its own, a part of the batch; a forecast is the mean of
    theirs, quantile by quantile (arXiv:1612.01474, there of distributions).

    Args:
        members: how many.
        *sizes: and
        **options: of each member.
    """

    def __init__(self, members: int, *sizes: int, **options: object) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            Member(*sizes, **options)  # type: ignore[arg-type]
            for _ in range(members)
        )

    def forward(self, window: Window) -> Tensor:
        """Returns the scaled quantiles of the horizon, (K, B, Q)."""
        inputs = (window.past, window.future, window.static, window.anchor)
        if not self.training or len(self.members) == 1:
            return torch.stack([member(*inputs) for member in self.members]).mean(0)
        shares = zip(*(part.tensor_split(len(self.members), dim=1) for part in inputs), strict=True)
        found = [member(*share) for member, share in zip(self.members, shares, strict=True)]
        return torch.cat(found, dim=1)


def _patches(rows: Tensor, size: int, static: Tensor, *, fill_end: bool = False) -> Tensor:
    """Returns (L, B, F) rows as (⌈L/P⌉, B, P·F + E), filled with zeros at the begin or the end."""
    missing = -len(rows) % size
    filled = functional.pad(
        rows, (0, 0, 0, 0, 0, missing) if fill_end else (0, 0, 0, 0, missing, 0)
    )
    joined = filled.unflatten(0, (-1, size)).transpose(1, 2).flatten(2)
    return torch.cat([joined, static.expand(len(joined), -1, -1)], dim=-1)
