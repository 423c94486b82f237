"""Attention: what a decoder's states find in the states of an encoder.

Knows nothing of encoders, decoders or beams; a memory is projected once and asked many times.

Shape letters: T queries of a sequence, S positions of the memory, B batch, Q query size, K memory
size, A size of a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.parameter import Parameter
from torch.utils.checkpoint import checkpoint

from carousel.errors import OptionError, ShapeError, unknown_name
from carousel.nn.layout import Sizes, arguments
from carousel.nn.options import is_number

SCORES = ("additive", "general", "dot")

_ALIVE = 1 << 24  # numbers of (T, S, B, A) that additive scores hold at a time, about


class Memory(NamedTuple):
    """What a decoder attends to, as ``Attention.memory`` makes it."""

    values: Float[Tensor, "S B K"]  # 0 where they are not real
    keys: Float[Tensor, "S B A"]  # what queries are compared with
    mask: Bool[Tensor, "S B"]  # true is real

    def select(self, rows: Int[Tensor, " N"]) -> Memory:
        """Returns the memory of some sequences of the batch, each as often as it is asked for.

        Args:
            rows: (N,) numbers from 0 to below B, such as a beam search's.

        Returns:
            A memory with N in the place of B.
        """
        return Memory(*(part.index_select(1, rows) for part in self))


class Attention(torch.nn.Module):
    """Reads from a memory, for each query, what scores best against it.

        w_ts = softmax_s(score(q_t, m_s)) over the real s,   context_t = Σ_s w_ts m_s

        additive:  score(q, m) = v · tanh(W q + U m + b)
        general:   score(q, m) = q · W m
        dot:       score(q, m) = q · m   (not divided by √K, as in the paper)

    The softmax is taken in float32 at the least, under autocast too. Matrices start as those of
    ``torch.nn.Linear``, v from U(-1/√A, 1/√A).

    Args:
        query_size: Q, features of a query.
        memory_size: K, features of a position of the memory.
        score: "additive", "general" or "dot"; the last one needs K = Q.
        size: A of additive scores, Q where it is None; others have none.
        dropout: probability from 0 to below 1, on the weights, in training.

    Raises:
        OptionError: for an unknown score, or a number that is out of its range or without use.

    Reference:
        additive: Bahdanau, Cho and Bengio (2015), arXiv:1409.0473, appendix A.1.2; general and dot:
        Luong, Pham and Manning (2015), arXiv:1508.04025, section 3.1.
    """

    score_vector: Parameter | None

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        *,
        score: str = "general",
        size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if score not in SCORES:
            raise OptionError(unknown_name("score", score, SCORES))
        if size is not None and score != "additive":
            raise OptionError(
                f"size: expected none, which only additive scores have, got {size} with "
                f"score={score!r}; leave it out"
            )
        named = {"query_size": query_size, "memory_size": memory_size, "size": size}
        for name, value in named.items():
            if value is not None and value <= 0:
                raise OptionError(f"{name}: expected a whole number above 0, got {value}")
        if score == "dot" and query_size != memory_size:
            raise OptionError(
                f"score: expected query_size = memory_size for 'dot', got {query_size} and "
                f"{memory_size}; 'general' puts a matrix between them"
            )
        if not is_number(dropout) or not 0 <= dropout < 1:
            raise OptionError(
                f"dropout: expected the probability of zeroing a weight, from 0 to below 1, got "
                f"{dropout!r}"
            )
        self.query_size, self.memory_size = query_size, memory_size
        self.score, self.dropout = score, float(dropout)
        self.size = (size or query_size) if score == "additive" else query_size  # A
        self.from_query: torch.nn.Module = torch.nn.Identity()
        self.from_memory: torch.nn.Module = torch.nn.Identity()
        if score != "dot":
            # The bias b is added to the memory, where it is added once for all queries.
            is_additive = score == "additive"
            self.from_memory = torch.nn.Linear(memory_size, self.size, bias=is_additive)
        if score == "additive":
            self.from_query = torch.nn.Linear(query_size, self.size, bias=False)
            bound = self.size**-0.5
            self.score_vector = Parameter(torch.empty(self.size).uniform_(-bound, bound))
        else:
            self.register_parameter("score_vector", None)

    def memory(self, values: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Memory:
        """Projects what is attended to, once for all queries.

        Args:
            values: (S, B, K), such as the outputs of an encoder.
            lengths: (B,) whole numbers from 0 to S, the real positions of each sequence; None where
                all are real. What the values hold past them is never read.

        Raises:
            ShapeError: for a tensor that does not fit.
        """
        if values.dim() != 3 or values.shape[-1] != self.memory_size:
            raise ShapeError(
                f"values: expected (positions, batch, {self.memory_size}), got "
                f"{tuple(values.shape)}; build the module with the last as memory_size, or check "
                "the order of the dimensions"
            )
        S, B, K = values.shape
        if lengths is None:
            mask = torch.ones(S, B, dtype=torch.bool, device=values.device)
            return Memory(values, self.from_memory(values), mask)
        # The lengths are checked as a layer's are.
        given = arguments(
            values,
            None,
            lengths,
            None,
            batch_first=False,
            sizes=Sizes(K, 0, 0, 0),
            dtype=values.dtype,
        )
        assert given.lengths is not None
        positions = torch.arange(S, device=values.device)
        mask = positions.unsqueeze(1) < given.lengths.to(values.device)
        values = values.masked_fill(~mask.unsqueeze(2), 0)  # 0 times NaN would be NaN
        return Memory(values, self.from_memory(values), mask)

    def forward(
        self, queries: Tensor, memory: Memory
    ) -> tuple[Float[Tensor, "T B K"], Float[Tensor, "T B S"]]:
        """Asks the memory, with whole sequences of queries at once.

        Args:
            queries: (T, B, Q).
            memory: of B sequences.

        Returns:
            The context (T, B, K), and the weights (T, B, S) before any dropout, in float32 or
            float64: 0 where the memory is not real, with a sum of 1 over S. Of a sequence that has
            no real position both are 0.

        Raises:
            ShapeError: for queries that do not fit.
        """
        B = memory.mask.shape[1]
        if queries.dim() != 3 or tuple(queries.shape[1:]) != (B, self.query_size):
            raise ShapeError(
                f"queries: expected (time, {B}, {self.query_size}), the batch of the memory and "
                f"query_size, got {tuple(queries.shape)}; a single query is (1, batch, query_size)"
            )
        scores = self._scores(queries, memory.keys)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        real = memory.mask.t().unsqueeze(1)  # (B, 1, S)
        # Not -inf: of a row that has nothing else the softmax, and its gradient, would be NaN.
        masked = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        weights = masked.softmax(-1) * real  # (B, T, S)
        kept = torch.dropout(weights, self.dropout, self.training) if self.dropout else weights
        context = kept.to(memory.values.dtype) @ memory.values.transpose(0, 1)
        return context.transpose(0, 1), weights.transpose(0, 1)

    def extra_repr(self) -> str:
        """Returns the sizes, the score and the dropout where there is some."""
        words = f"{self.query_size}, {self.memory_size}, score={self.score!r}"
        return words + (f", dropout={self.dropout}" if self.dropout else "")

    def _scores(
        self, queries: Float[Tensor, "T B Q"], keys: Float[Tensor, "S B A"]
    ) -> Float[Tensor, "B T S"]:
        if self.score_vector is None:
            return queries.transpose(0, 1) @ keys.permute(1, 2, 0)
        scores = additive_scores(self.from_query(queries), keys, self.score_vector)
        return scores.permute(2, 0, 1)


def additive_scores(
    queries: Float[Tensor, "T B A"], keys: Float[Tensor, "S B A"], vector: Float[Tensor, " A"]
) -> Float[Tensor, "T S B"]:
    """Returns v · tanh(q_t + k_s), with the memory for some queries at a time.

    Of the T·S·B·A numbers in the tanh about 16 million are alive at a time, or those of one query
    if they are more. Where that is not all of them, the gradient computes them again.

    Args:
        queries: (T, B, A), projected.
        keys: (S, B, A), projected.
        vector: (A,).
    """
    # Three of them: the gradient holds the tanh, its own, and that of the sum inside.
    at_once = max(1, _ALIVE // max(1, 3 * keys.numel()))
    if len(queries) <= at_once:
        return _few_scores(queries, keys, vector)
    parts = queries.split(at_once)
    if not torch.is_grad_enabled():
        return torch.cat([_few_scores(part, keys, vector) for part in parts])
    return torch.cat(
        [
            checkpoint(
                _few_scores, part, keys, vector, use_reentrant=False, preserve_rng_state=False
            )
            for part in parts
        ]
    )


def _few_scores(
    queries: Float[Tensor, "T B A"], keys: Float[Tensor, "S B A"], vector: Float[Tensor, " A"]
) -> Float[Tensor, "T S B"]:
    # In this order of dimensions the sum is contiguous, and the product makes no copy of it.
    return (queries.unsqueeze(1) + keys).tanh_() @ vector
