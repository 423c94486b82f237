"""The network: an encoder, a decoder that attends to it, and a softmax over the target's subwords.

Shape letters: S positions of the source, T steps of the target, B batch, N real steps of all
targets, V subwords of the target, M members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from carousel.nn.attention import Memory
from carousel.tasks.translation.decoder import Decoded, Decoder, DecoderState
from carousel.tasks.translation.encoder import Encoder


class Source(NamedTuple):
    """What one member keeps of some sentences that it has read."""

    memory: Memory
    begin: DecoderState


class ScaledEmbedding(nn.Embedding):
    """Subwords as vectors from N(0, 1/E), read √E times as long.

    Tied to the output, such vectors give scores of about unit variance; read, numbers of about unit
    variance, without which the layers behind them take an epoch more to find what they are for.

    Reference: Vaswani et al. (2017), arXiv:1706.03762, section 3.4.
    """

    def reset_parameters(self) -> None:
        """Draws the vectors anew."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the vectors of some subwords, (..., E)."""
        return super().forward(tokens) * self.embedding_dim**0.5


class Member(nn.Module):
    """One encoder and decoder.

    Args:
        source_vocabulary: subwords of the source.
        target_vocabulary: V.
        embedding_size: E, of either.
        hidden_size: H, of each layer of the decoder.
        encoder_size: of each direction of the encoder.
        encoder_layers, decoder_layers: of each.
        residual, attention, input_feeding: see ``TranslationOptions``.
        tied: whether the target's embedding is the output's matrix too.
        tied_source: whether source and target share one embedding.
        word_dropout, input_dropout, hidden_dropout, output_dropout, weight_dropout: rates.
        engine: of the layers.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        embedding_size: int,
        hidden_size: int,
        encoder_size: int,
        encoder_layers: int,
        decoder_layers: int,
        residual: bool,
        attention: str,
        input_feeding: bool,
        tied: bool,
        tied_source: bool,
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        output_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        target = ScaledEmbedding(target_vocabulary, embedding_size)
        source = target if tied_source else ScaledEmbedding(source_vocabulary, embedding_size)
        shared = {
            "residual": residual,
            "word_dropout": word_dropout,
            "input_dropout": input_dropout,
            "hidden_dropout": hidden_dropout,
            "weight_dropout": weight_dropout,
            "engine": engine,
        }
        self.encoder = Encoder(
            source,
            hidden_size=encoder_size,
            num_layers=encoder_layers,
            **shared,  # type: ignore[arg-type]
        )
        self.decoder = Decoder(
            target,
            hidden_size=hidden_size,
            memory_size=2 * encoder_size,
            num_layers=decoder_layers,
            attention=attention,
            input_feeding=input_feeding,
            output_dropout=output_dropout,
            **shared,  # type: ignore[arg-type]
        )
        self.output = nn.Linear(embedding_size, target_vocabulary)
        nn.init.zeros_(self.output.bias)
        if tied:
            self.output.weight = target.weight
        else:
            nn.init.normal_(self.output.weight, std=embedding_size**-0.5)

    def read(self, tokens: Int[Tensor, "S B"], lengths: Int[Tensor, " B"]) -> Source:
        """Returns what the decoder needs of some sources."""
        encoded = self.encoder(tokens, lengths)
        memory = self.decoder.attention.memory(encoded.values, lengths)
        return Source(memory, self.decoder.begin(encoded.summary))

    def forward(
        self,
        source: Int[Tensor, "S B"],
        source_lengths: Int[Tensor, " B"],
        inputs: Int[Tensor, "T B"],
    ) -> Decoded:
        """Reads sources, and targets given to it; see ``Decoder``."""
        read = self.read(source, source_lengths)
        found: Decoded = self.decoder(inputs, read.begin, read.memory)
        return found


class TranslationNetwork(nn.Module):
    """Members that learn side by side and translate together: their probabilities are averaged.

    Args:
        members: how many.
        *vocabularies: and
        **options: of each, see ``Member``.
    """

    def __init__(self, members: int, *vocabularies: int, **options: object) -> None:
        super().__init__()
        self.members: Sequence[Member] = nn.ModuleList(  # type: ignore[assignment]
            Member(*vocabularies, **options)  # type: ignore[arg-type]
            for _ in range(members)
        )

    def forward(
        self,
        source: Int[Tensor, "S B"],
        source_lengths: Int[Tensor, " B"],
        inputs: Int[Tensor, "T B"],
        real: Int[Tensor, " N"],
    ) -> list[tuple[Float[Tensor, "N V"], Float[Tensor, "N S"]]]:
        """Returns each member's scores of the next subword, and what it attended to.

        Args:
            source: (S, B).
            source_lengths: (B,).
            inputs: (T, B), targets behind their begin.
            real: (N,) which of the T·B steps, row by row, are no padding: only those are scored.
        """
        found = []
        for member in self.members:
            decoded = member(source, source_lengths, inputs)
            features = decoded.features.flatten(0, 1).index_select(0, real)
            weights = decoded.weights.flatten(0, 1).index_select(0, real)
            found.append((member.output(features), weights))
        return found
