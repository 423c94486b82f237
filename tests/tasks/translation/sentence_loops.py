"""The encoder and the decoder for one sentence, in loops over steps, layers and positions.

Written from their docstrings and from ``carousel.equations``. What dropout multiplies by is given.

Shape letters: S positions of the source, T steps of the target, E embedding size, H hidden size,
V subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from carousel import equations
from carousel.nn import LSTM, Attention
from carousel.tasks.translation.decoder import Decoder
from carousel.tasks.translation.encoder import Encoder
from carousel.tasks.translation.network import Member


class Masks(NamedTuple):
    """What dropout multiplies by, for one sentence; None for 1."""

    words: Tensor | None = None  # (V, 1)
    input: Tensor | None = None  # (E,)
    hidden: Sequence[Tensor | None] = (None,) * 9  # of each layer (H,)
    output: Tensor | None = None  # (E,)
    weights: Sequence[Sequence[Tensor | None]] = ((None, None),) * 9  # by layer and direction


NO_MASKS = Masks()


class Standing(NamedTuple):
    """Where a decoder stands: of each layer h and c, and ŷ of the step before."""

    layers: list[tuple[Tensor, Tensor]]
    fed: Tensor


def times(value: Tensor, mask: Tensor | None) -> Tensor:
    return value if mask is None else value * mask


def steps(
    layer: LSTM,
    xs: Sequence[Tensor],
    h: Tensor,
    c: Tensor,
    suffix: str = "l0",
    mask: Tensor | None = None,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Returns h of each step, and the last h and c."""
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_ih, w_hh, b_ih, b_hh = (getattr(layer, f"{kind}_{suffix}") for kind in kinds)
    weights = equations.from_packed(w_ih, times(w_hh, mask), b_ih, b_hh)
    found = []
    for x in xs:
        done = equations.step(x, h, c, weights)
        h, c = done.h, done.C
        found.append(h)
    return found, h, c


def read(encoder: Encoder, tokens: Sequence[int], masks: Masks = NO_MASKS) -> tuple[Tensor, Tensor]:
    """Returns the values (S, H) and the summary (2H,) of a sentence."""
    table = times(encoder.embedding(torch.arange(encoder.embedding.num_embeddings)), masks.words)
    xs = [times(table[token], masks.input) for token in tokens]
    for number, layer in enumerate(encoder.layers):
        zero = table.new_zeros(layer.hidden_size)
        ahead_mask, back_mask = masks.weights[number]
        ahead, h, c = steps(layer, xs, zero, zero, "l0", ahead_mask)
        back, h_back, c_back = steps(layer, xs[::-1], zero, zero, "l0_reverse", back_mask)
        outs = [torch.cat(both) for both in zip(ahead, back[::-1], strict=True)]
        if encoder.residual and number > 0:
            outs = [out + x for out, x in zip(outs, xs, strict=True)]
        xs = [times(out, masks.hidden[number]) for out in outs]
    return torch.stack(xs), torch.cat([h, h_back, c, c_back])


def begin(decoder: Decoder, summary: Tensor) -> Standing:
    """Returns where a decoder begins: h of each layer, then c of each, from the summary (2H,)."""
    L, made = len(decoder.layers), decoder.bridge.weight @ summary + decoder.bridge.bias
    parts = made.split(decoder.hidden_size)
    layers = [(parts[number].tanh(), parts[L + number]) for number in range(L)]
    return Standing(layers, summary.new_zeros(decoder.embedding.embedding_dim))


def attend(attention: Attention, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the context (H,), and the weights (S,) of the positions of a memory (S, H)."""

    def score(m: Tensor) -> Tensor:
        if attention.score == "dot":
            return query @ m
        projected = attention.from_memory.weight @ m
        if attention.score == "general":
            return query @ projected
        inside = attention.from_query.weight @ query + projected + attention.from_memory.bias
        return attention.score_vector @ inside.tanh()

    powers = [score(m).exp() for m in memory]
    weights = torch.stack([power / sum(powers) for power in powers])
    return sum(w * m for w, m in zip(weights, memory, strict=True)), weights


def write(
    decoder: Decoder,
    tokens: Sequence[int],
    standing: Standing,
    memory: Tensor,
    masks: Masks = NO_MASKS,
) -> tuple[Tensor, Tensor, Standing]:
    """Returns features (T, E), weights (T, S), and where the decoder stands after the last step.

    Args:
        decoder: whose weights are taken.
        tokens: T of them.
        standing: before the first step.
        memory: (S, H), of real positions alone.
        masks: of dropout, the same at every step.
    """
    table = times(decoder.embedding(torch.arange(decoder.embedding.num_embeddings)), masks.words)
    layers, fed = list(standing.layers), standing.fed
    features, attended = [], []
    context = weights = memory[0]  # until the lowest layer has attended
    for token in tokens:
        x = times(table[token], masks.input)
        if decoder.input_feeding:
            x = torch.cat([x, fed])
        for number, layer in enumerate(decoder.layers):
            given = torch.cat([x, context]) if number else x
            [out], *after = steps(layer, [given], *layers[number], "l0", masks.weights[number][0])
            layers[number] = (after[0], after[1])
            if decoder.residual and number > 0:
                out = out + x
            x = times(out, masks.hidden[number])
            if number == 0:
                context, weights = attend(decoder.attention, x, memory)
        fed = torch.tanh(decoder.combine.weight @ torch.cat([x, context]) + decoder.combine.bias)
        features.append(times(fed, masks.output))
        attended.append(weights)
    return torch.stack(features), torch.stack(attended), Standing(layers, fed)


def scored(member: Member, source: Sequence[int], inputs: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Returns scores (T, V) of the subwords behind each input, and the attention (T, S)."""
    values, summary = read(member.encoder, source)
    features, weights, _ = write(member.decoder, inputs, begin(member.decoder, summary), values)
    return features @ member.output.weight.T + member.output.bias, weights
