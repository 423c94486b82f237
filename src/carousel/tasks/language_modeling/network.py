"""The network: an embedding, LSTM layers with dropout that is locked in time, and a softmax.

The state is one pair of vectors for each layer; nothing else is carried from token to token.

Shape letters: T time, B batch, V vocabulary, E embedding size, D size of the last layer's output,
H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Bool, Int
from torch import Tensor, nn

from carousel.nn import LSTM, State
from carousel.nn.dropout import locked_dropout, word_dropout
from carousel.tasks.language_modeling.softmax import INITIAL, AdaptiveSoftmax, FullSoftmax


def document_begins(tokens: Int[Tensor, "T B"], boundary: int | None) -> Bool[Tensor, "T B"] | None:
    """Returns where the state is zeroed: at each boundary of documents; None where there is none.

    Not every engine can reset, and a segment often has no document's begin.
    """
    if boundary is None:
        return None
    begins = tokens == boundary
    return begins if bool(begins.any()) else None


class Features(NamedTuple):
    """What a pass over tokens gives.

    Attributes:
        dropped: (T, B, D), the last layer's output behind its dropout, which the softmax reads.
        raw: (T, B, D), before it.
        state: of each layer after the last step, h and c (1, B, ·).
    """

    dropped: Tensor
    raw: Tensor
    state: list[State]


class LanguageNetwork(nn.Module):
    """Predicts the next token.

    Args:
        vocabulary: V, number of tokens.
        embedding_size: E.
        hidden_size: H of every layer, but of the last one where ``tied``, which has E.
        num_layers: LSTM layers.
        tied: whether output weights and embedding are one matrix.
        cutoffs: first token of each group of rare ones for the adaptive softmax; none for a full
            one.
        embedding_dropout, input_dropout, hidden_dropout, output_dropout, weight_dropout: rates.
        engine: of the layers, see ``carousel.nn.LSTM``.

    Reference: Merity, Keskar and Socher (2018), arXiv:1708.02182.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        tied: bool,
        cutoffs: Sequence[int] = (),
        embedding_dropout: float = 0.0,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        output_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.embedding_dropout, self.input_dropout = embedding_dropout, input_dropout
        self.hidden_dropout, self.output_dropout = hidden_dropout, output_dropout
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        nn.init.uniform_(self.embedding.weight, -INITIAL, INITIAL)
        sizes = [hidden_size] * num_layers
        if tied:
            sizes[-1] = embedding_size
        self.features = sizes[-1]  # D
        self.layers: Sequence[LSTM] = nn.ModuleList(  # type: ignore[assignment]
            LSTM(inputs, size, weight_dropout=weight_dropout, forget_bias=1.0, engine=engine)
            for inputs, size in zip([embedding_size, *sizes], sizes, strict=False)
        )
        self.head: FullSoftmax | AdaptiveSoftmax
        if cutoffs:
            self.head = AdaptiveSoftmax(sizes[-1], vocabulary, cutoffs)
        else:
            own = self.embedding.weight if tied else None
            self.head = FullSoftmax(sizes[-1], vocabulary, own)  # type: ignore[arg-type]

    @property
    def members(self) -> list[LanguageNetwork]:
        """Itself, as an ensemble of one."""
        return [self]

    def forward(
        self,
        tokens: Int[Tensor, "T B"],
        state: Sequence[State] | None = None,
        reset: Bool[Tensor, "T B"] | None = None,
    ) -> Features:
        """Runs over tokens.

        Args:
            tokens: (T, B).
            state: of each layer before the first step; zeros where it is None.
            reset: true where a document begins, so that the state is zeroed before that step.
        """
        x = self.embedding(tokens)
        x = word_dropout(x, tokens, self.vocabulary, self.embedding_dropout, self.training)
        x = locked_dropout(x, self.input_dropout, self.training)
        after: list[State] = []
        raw = x
        for number, layer in enumerate(self.layers):
            raw, final = layer(x, None if state is None else state[number], reset=reset)
            after.append(final)
            is_last = number == len(self.layers) - 1
            rate = self.output_dropout if is_last else self.hidden_dropout
            x = locked_dropout(raw, rate, self.training)
        return Features(x, raw, after)
