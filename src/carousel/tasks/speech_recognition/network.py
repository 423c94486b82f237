"""The network: frames of features in, for each a distribution over symbols and the blank out.

Shape letters: T frames, S subsampled frames, B batch, F features of a frame, C channels, H hidden
size, both directions together, V symbols with the blank, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from carousel.nn import LSTM, State
from carousel.nn.dropout import locked_dropout

BLANK = 0
CONTEXT = 2  # frames on either side of the one that a step stands at


class StreamState(NamedTuple):
    """What a network that reads in one direction carries from block to block.

    Attributes:
        frames: (K, B, F), the last ones, which belong to the context of steps to come.
        layers: of each layer h and c, (1, B, H).
    """

    frames: Tensor
    layers: list[State]


class AcousticNetwork(nn.Module):
    """Convolutional subsampling, a stack of LSTM layers, and a softmax over symbols.

        x_s = relu(conv(frames s·k - 2 … s·k + 2)),  k the subsampling
        hˡ = LSTMˡ(hˡ⁻¹) + hˡ⁻¹ for l > 1 (the sum only where ``residual``)
        log p_s = log softmax(W hᴸ_s + b)

    A sentence gives the same numbers alone and in a batch: frames past its end are zero, as those
    before its begin are.

    Args:
        features: F.
        symbols: V, of which the first is the blank.
        channels: C, of the convolution.
        hidden_size: H.
        num_layers: L.
        bidirectional: whether each layer reads both ways, with H/2 cells each; else it can stream.
        subsampling: frames for a step, k.
        residual: whether inputs are added.
        input_dropout, hidden_dropout, output_dropout, weight_dropout: rates.
        engine: of the layers, see ``carousel.nn.LSTM``.

    Reference: CTC on bidirectional LSTM layers: Graves, Mohamed and Hinton (2013),
        arXiv:1303.5778, section 3.1.
    """

    def __init__(
        self,
        features: int,
        symbols: int,
        *,
        channels: int,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        subsampling: int,
        residual: bool = True,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        output_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.features, self.symbols, self.hidden_size = features, symbols, hidden_size
        self.bidirectional, self.subsampling = bidirectional, subsampling
        self.residual = residual
        self.input_dropout, self.hidden_dropout = input_dropout, hidden_dropout
        self.output_dropout = output_dropout
        self.front = nn.Conv1d(features, channels, 2 * CONTEXT + 1, stride=subsampling)
        inputs = [channels, *[hidden_size] * (num_layers - 1)]
        self.layers: Sequence[LSTM] = nn.ModuleList(  # type: ignore[assignment]
            LSTM(
                size,
                hidden_size // 2 if bidirectional else hidden_size,
                bidirectional=bidirectional,
                weight_dropout=weight_dropout,
                forget_bias=1.0,
                engine=engine,
            )
            for size in inputs
        )
        self.output = nn.Linear(hidden_size, symbols)

    def steps_of(self, frames: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """Returns how many steps so many frames become: ⌈T / k⌉."""
        return torch.div(frames + self.subsampling - 1, self.subsampling, rounding_mode="floor")

    def forward(
        self, frames: Float[Tensor, "T B F"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "S B V"], Int[Tensor, " B"]]:
        """Reads whole sentences.

        Args:
            frames: (T, B, F); what stands past a sentence's end is not read.
            lengths: (B,) frames of each, from 0.

        Returns:
            ln p of each symbol at each step, (S, B, V), and the steps of each sentence, (B,).
        """
        real = torch.arange(len(frames), device=frames.device)[:, None] < lengths
        x = frames.masked_fill(~real.unsqueeze(2), 0.0)  # 0 times NaN would be NaN
        steps = self.steps_of(lengths)
        if len(frames) == 0:
            return x.new_zeros(0, x.shape[1], self.symbols), steps
        x = self._front(F.pad(x, (0, 0, 0, 0, CONTEXT, CONTEXT)))
        x = locked_dropout(x, self.input_dropout, self.training)
        for number, layer in enumerate(self.layers):
            out, _ = layer(x, lengths=steps)
            x = self._above(number, x, out)
        return self._scores(x), steps

    def begin(self, batch: int = 1) -> StreamState:
        """Returns the state before the first frame of a stream."""
        assert not self.bidirectional
        like = self.output.weight
        zero = like.new_zeros(1, batch, self.hidden_size)
        return StreamState(
            like.new_zeros(CONTEXT, batch, self.features),
            [State(zero, zero.clone()) for _ in self.layers],
        )

    def read(
        self, frames: Float[Tensor, "T B F"], state: StreamState, *, last: bool = False
    ) -> tuple[Float[Tensor, "S B V"], StreamState]:
        """Reads the next frames of streams.

        Args:
            frames: (T, B, F), however many.
            state: after the frames before.
            last: whether the streams end here; the steps that waited for their context come too.

        Returns:
            ln p at the steps whose context is complete, all together those of ``forward``, and the
            state to go on from.
        """
        x = torch.cat([state.frames, frames])
        if last:
            x = F.pad(x, (0, 0, 0, 0, 0, CONTEXT))
        width, step = 2 * CONTEXT + 1, self.subsampling
        count = max(0, (len(x) - width) // step + 1)
        kept = x[count * step :]
        if count == 0:
            return x.new_zeros(0, x.shape[1], self.symbols), StreamState(kept, state.layers)
        x = self._front(x)
        after: list[State] = []
        for number, layer in enumerate(self.layers):
            out, final = layer(x, state.layers[number])
            after.append(final)
            x = self._above(number, x, out)
        return self._scores(x), StreamState(kept, after)

    def _front(self, x: Tensor) -> Tensor:
        """Returns (S, B, C) of frames (T, B, F) that have their context on both sides."""
        return F.relu(self.front(x.permute(1, 2, 0))).permute(2, 0, 1)

    def _above(self, number: int, x: Tensor, out: Tensor) -> Tensor:
        """Returns what the layer above reads: the output, and the input where it is added."""
        if self.residual and number > 0:
            out = out + x
        is_last = number == len(self.layers) - 1
        rate = self.output_dropout if is_last else self.hidden_dropout
        return locked_dropout(out, rate, self.training)

    def _scores(self, x: Tensor) -> Tensor:
        return self.output(x).float().log_softmax(-1)
