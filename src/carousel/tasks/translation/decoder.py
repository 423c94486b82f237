"""The decoder: LSTM layers that write a sentence, the lowest of which attends to the source.

Shape letters: T steps of the target, S positions of the source, B sentences, N = B·R rows, of which
each sentence has R (1 in training, the hypotheses of a beam in a search), E embedding size, H
hidden size, M size of the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from carousel.nn import LSTM, State
from carousel.nn.attention import Attention, Memory
from carousel.nn.dropout import locked_mask, word_dropout


class DecoderState(NamedTuple):
    """What is carried from step to step.

    Attributes:
        layers: of each layer h and c, (1, N, H).
        fed: (1, N, E), the last step's features; None without input feeding.
    """

    layers: list[State]
    fed: Tensor | None

    def select(self, rows: Int[Tensor, " M"]) -> DecoderState:
        """Returns the state of some rows, each as often as it is asked for."""
        return DecoderState(
            [State(s.h.index_select(1, rows), s.c.index_select(1, rows)) for s in self.layers],
            None if self.fed is None else self.fed.index_select(1, rows),
        )


class Decoded(NamedTuple):
    """What a pass over a target gives.

    Attributes:
        features: (T, N, E), behind their dropout, which the softmax reads.
        state: after the last step.
        weights: (T, N, S), of the attention.
    """

    features: Tensor
    state: DecoderState
    weights: Tensor


class _Masks(NamedTuple):
    """Dropout that is locked over a whole target, in however many passes it is read."""

    input: Tensor | None
    hidden: list[Tensor | None]
    output: Tensor | None


class Decoder(nn.Module):
    """Writes with attention.

        h¹_t = LSTM¹(y_{t-1} [, ŷ_{t-1}]),   a_t = attention(h¹_t, memory)
        hˡ_t = LSTMˡ([hˡ⁻¹_t, a_t]) + hˡ⁻¹_t   for l > 1 (the sum only where ``residual``)
        ŷ_t = tanh(W [hᴸ_t, a_t] + b)

    No step of it needs the attention of the step before, so that whole sequences go through each
    layer at once; with input feeding ŷ_{t-1} is part of the input, and they cannot.

    Args:
        embedding: of the target's subwords, (V, E).
        hidden_size: H, of every layer.
        memory_size: M, of each position of the memory.
        num_layers: L.
        residual: whether inputs are added.
        attention: how queries are compared, see ``carousel.nn.attention.Attention``.
        input_feeding: whether the lowest layer reads the last step's features.
        word_dropout, input_dropout, hidden_dropout, output_dropout, weight_dropout: rates.
        engine: of the layers, see ``carousel.nn.LSTM``.

    Reference: attention in the lowest layer, for all above it: Wu et al. (2016), arXiv:1609.08144,
        section 3; ŷ and input feeding: Luong, Pham and Manning (2015), arXiv:1508.04025, equation 5
        and section 3.3.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        hidden_size: int,
        memory_size: int,
        num_layers: int,
        residual: bool,
        attention: str = "general",
        input_feeding: bool = False,
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        output_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.embedding, self.residual = embedding, residual
        self.input_feeding, self.hidden_size = input_feeding, hidden_size
        self.word_dropout, self.input_dropout = word_dropout, input_dropout
        self.hidden_dropout, self.output_dropout = hidden_dropout, output_dropout
        width = embedding.embedding_dim
        inputs = [
            width * (2 if input_feeding else 1),
            *[hidden_size + memory_size] * (num_layers - 1),
        ]
        self.layers: Sequence[LSTM] = nn.ModuleList(  # type: ignore[assignment]
            LSTM(size, hidden_size, weight_dropout=weight_dropout, forget_bias=1.0, engine=engine)
            for size in inputs
        )
        self.attention = Attention(hidden_size, memory_size, score=attention)
        self.bridge = nn.Linear(2 * memory_size, 2 * num_layers * hidden_size)
        self.combine = nn.Linear(hidden_size + memory_size, width)

    def begin(self, summary: Tensor) -> DecoderState:
        """Returns the state before the first step, from the encoder's summary (B, 2M)."""
        parts = self.bridge(summary).unflatten(1, (2, len(self.layers), self.hidden_size))
        h, c = parts.permute(1, 2, 0, 3)  # (L, B, H) each
        layers = [State(torch.tanh(h[n : n + 1]), c[n : n + 1].contiguous()) for n in range(len(h))]
        fed = summary.new_zeros(1, len(summary), self.embedding.embedding_dim)
        return DecoderState(layers, fed if self.input_feeding else None)

    def forward(self, tokens: Int[Tensor, "T N"], state: DecoderState, memory: Memory) -> Decoded:
        """Reads targets, each from the step before the first word on.

        Args:
            tokens: (T, N), one step at least; the rows of a sentence stand beside each other.
            state: of N rows.
            memory: of B sentences.
        """
        x = self.embedding(tokens)
        known = self.embedding.num_embeddings
        x = word_dropout(x, tokens, known, self.word_dropout, self.training)
        masks = self._masks(x)
        x = _masked(x, masks.input)
        if not self.input_feeding:
            return self._pass(x, state, memory, masks)
        found: list[Decoded] = []
        for step in x.split(1):
            assert state.fed is not None
            found.append(self._pass(torch.cat([step, state.fed], 2), state, memory, masks))
            state = found[-1].state
        features, _, weights = zip(*found, strict=True)
        return Decoded(torch.cat(features), state, torch.cat(weights))

    def _pass(self, x: Tensor, state: DecoderState, memory: Memory, masks: _Masks) -> Decoded:
        after: list[State] = []
        context = weights = x
        for number, layer in enumerate(self.layers):
            given = x if number == 0 else torch.cat([x, context], 2)
            out, final = layer(given, state.layers[number])
            after.append(final)
            if self.residual and number > 0:
                out = out + x
            x = _masked(out, masks.hidden[number])
            if number == 0:
                context, weights = self._attend(x, memory)
        features = torch.tanh(self.combine(torch.cat([x, context], 2)))
        fed = features[-1:] if self.input_feeding else None
        return Decoded(_masked(features, masks.output), DecoderState(after, fed), weights)

    def _attend(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Returns context (T, N, M) and weights (T, N, S); rows of a sentence share its memory."""
        T, N, _ = queries.shape
        B = memory.mask.shape[1]
        if N == B:
            context, weights = self.attention(queries, memory)
            return context, weights
        rows = N // B
        # Rows become further queries of their sentence: its memory is not copied for each.
        asked = queries.view(T, B, rows, -1).transpose(1, 2).reshape(T * rows, B, -1)
        answers = self.attention(asked, memory)
        context, weights = (
            part.view(T, rows, B, -1).transpose(1, 2).reshape(T, N, -1) for part in answers
        )
        return context, weights

    def _masks(self, x: Tensor) -> _Masks:
        wide = x.new_empty(1, x.shape[1], 1).expand(-1, -1, self.hidden_size)
        return _Masks(
            locked_mask(x, self.input_dropout, self.training),
            [locked_mask(wide, self.hidden_dropout, self.training) for _ in self.layers],
            locked_mask(x, self.output_dropout, self.training),
        )


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
