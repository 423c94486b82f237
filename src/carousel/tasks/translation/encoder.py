"""The encoder: a stack of bidirectional LSTM layers that reads a whole sentence.

Shape letters: S positions of the source, B batch, E embedding size, H hidden size of one direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from carousel.nn import LSTM
from carousel.nn.dropout import locked_dropout, word_dropout


class Encoded(NamedTuple):
    """What the encoder knows of some sentences.

    Attributes:
        values: (S, B, 2H), of each position; 0 past a sentence's end.
        summary: (B, 4H), the last layer's final h and c, of both directions.
    """

    values: Tensor
    summary: Tensor


class Encoder(nn.Module):
    """Reads sentences in both directions.

        hˡ = BiLSTMˡ(hˡ⁻¹) + hˡ⁻¹ for l > 1 (the sum only where ``residual``)

    Args:
        embedding: of the source's subwords, (V, E).
        hidden_size: H.
        num_layers: of them.
        residual: whether inputs are added.
        word_dropout, input_dropout, hidden_dropout, weight_dropout: rates.
        engine: of the layers, see ``carousel.nn.LSTM``.

    Reference: bidirectional reading: Bahdanau, Cho and Bengio (2015), arXiv:1409.0473, section 3.2;
        residual stacks: Wu et al. (2016), arXiv:1609.08144, section 3.1.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        hidden_size: int,
        num_layers: int,
        residual: bool,
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.embedding, self.residual = embedding, residual
        self.word_dropout, self.input_dropout = word_dropout, input_dropout
        self.hidden_dropout = hidden_dropout
        inputs = [embedding.embedding_dim, *[2 * hidden_size] * (num_layers - 1)]
        self.layers: Sequence[LSTM] = nn.ModuleList(  # type: ignore[assignment]
            LSTM(
                size,
                hidden_size,
                bidirectional=True,
                weight_dropout=weight_dropout,
                forget_bias=1.0,
                engine=engine,
            )
            for size in inputs
        )

    def forward(self, tokens: Int[Tensor, "S B"], lengths: Int[Tensor, " B"]) -> Encoded:
        """Reads sentences of the given lengths; what stands behind them is not read."""
        x = self.embedding(tokens)
        known = self.embedding.num_embeddings
        x = word_dropout(x, tokens, known, self.word_dropout, self.training)
        x = locked_dropout(x, self.input_dropout, self.training)
        for number, layer in enumerate(self.layers):
            out, final = layer(x, lengths=lengths)
            if self.residual and number > 0:
                out = out + x
            x = locked_dropout(out, self.hidden_dropout, self.training)
        # (2, B, H) of each becomes (B, 2H).
        h, c = (part.transpose(0, 1).flatten(1) for part in final)
        return Encoded(x, torch.cat([h, c], 1))
