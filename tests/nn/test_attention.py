"""Attention against loops over single numbers: outputs, gradients, and what must not matter."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from carousel.errors import OptionError, ShapeError
from carousel.nn import attention
from carousel.nn.attention import SCORES, Attention, Memory

T, S, B, Q, K, A = 4, 5, 3, 6, 7, 2
LENGTHS = [5, 2, 0]
# Sums of fewer than 1000 products of numbers below 8, of which the gradients have the most: each
# of them is rounded by 2^-53, and passed on by derivatives below 1.
SAME = {"rtol": 0, "atol": 1000 * 8 * 2.0**-53}
EACH = pytest.mark.parametrize("score", SCORES)


def module(score: str, **options) -> Attention:
    if score == "additive":
        options.setdefault("size", A)
    return Attention(K if score == "dot" else Q, K, score=score, **options).double()


def problem(score: str) -> tuple[Attention, Tensor, Tensor]:
    """A module, queries and values."""
    found = module(score)
    queries = torch.randn(T, B, found.query_size, dtype=torch.float64, requires_grad=True)
    return found, queries, torch.randn(S, B, K, dtype=torch.float64, requires_grad=True)


def numbers(
    found: Attention, queries: Tensor, values: Tensor, context: Tensor, weights: Tensor
) -> list[Tensor]:
    """What comes out, and the gradient of something that depends on all of it."""
    wave = torch.arange(1, 1 + context.numel(), dtype=torch.float64).sin().view(context.shape)
    loss = (context * wave).sum() + (weights * weights.detach().cos()).square().sum()
    leaves = [queries, values, *found.parameters()]
    gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    return [context, weights, *gradients]


def in_loops(found: Attention, queries: Tensor, values: Tensor, lengths: list[int]) -> list[Tensor]:
    """The definition, position by position."""

    def score(q: Tensor, m: Tensor) -> Tensor:
        if found.score == "dot":
            return sum(q[k] * m[k] for k in range(K))
        W_m, b = found.from_memory.weight, found.from_memory.bias
        if found.score == "general":
            return sum(q[j] * W_m[j, k] * m[k] for j in range(Q) for k in range(K))
        total = 0
        for a in range(A):
            W_q = found.from_query.weight
            inside = sum(W_q[a, j] * q[j] for j in range(Q))
            inside = inside + sum(W_m[a, k] * m[k] for k in range(K)) + b[a]
            total = total + found.score_vector[a] * inside.tanh()
        return total

    rows, nothing = [], torch.zeros((), dtype=torch.float64)
    for t in range(len(queries)):
        for row, length in enumerate(lengths):
            powers = [score(queries[t, row], values[s, row]).exp() for s in range(length)]
            weights = [power / sum(powers) for power in powers]
            context = sum((w * values[s, row] for s, w in enumerate(weights)), nothing.expand(K))
            rows.append((context, torch.stack(weights + [nothing] * (len(values) - length))))
    context, weights = (torch.stack(part) for part in zip(*rows, strict=True))
    shape = (len(queries), len(lengths), -1)
    return numbers(found, queries, values, context.view(shape), weights.view(shape))


def at_once(found: Attention, queries: Tensor, values: Tensor, lengths=None) -> list[Tensor]:
    memory = found.memory(values, lengths)
    return numbers(found, queries, values, *found(queries, memory))


@EACH
@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_numbers_and_gradients_are_those_of_loops(score: str, lengths: list[int] | None) -> None:
    found, queries, values = problem(score)
    expected = in_loops(found, queries, values, lengths or [S] * B)
    for given in (lengths, torch.tensor(lengths) if lengths else None):
        for one, other in zip(at_once(found, queries, values, given), expected, strict=True):
            torch.testing.assert_close(one, other, **SAME)


@EACH
@pytest.mark.parametrize("rubbish", [1e300, math.nan, math.inf])
def test_what_is_behind_the_length_never_matters(score: str, rubbish: float) -> None:
    found, queries, values = problem(score)
    expected = at_once(found, queries, values, LENGTHS)
    padding = torch.arange(S).unsqueeze(1) >= torch.tensor(LENGTHS)
    other = values.detach().masked_fill(padding.unsqueeze(2), rubbish).requires_grad_()
    assert all(map(torch.equal, at_once(found, queries, other, LENGTHS), expected))
    assert (expected[3][padding] == 0).all()
    assert (
        expected[1].transpose(1, 2).transpose(0, 1)[padding.unsqueeze(1).expand(S, T, B)] == 0
    ).all()


@EACH
def test_a_sequence_without_positions_gives_nothing(score: str) -> None:
    found, queries, values = problem(score)
    for lengths in ([0] * B, LENGTHS):
        context, weights, d_queries, d_values, *others = at_once(found, queries, values, lengths)
        for part in (context, weights, d_queries, d_values):
            assert (part[:, 2] == 0).all()
        assert all(part.isfinite().all() for part in others)
    for size in (0, S):  # no position at all, and no query at all
        few = queries if size == 0 else queries[:0]
        context, weights = found(few, found.memory(values[:size]))
        assert context.shape == (len(few), B, K)
        assert weights.shape == (len(few), B, size)
        assert (context == 0).all()


@EACH
def test_one_query_at_a_time_is_all_at_once(score: str) -> None:
    found, queries, values = problem(score)
    expected = at_once(found, queries, values, LENGTHS)
    memory = found.memory(values, LENGTHS)
    steps = [found(queries[t : t + 1], memory) for t in range(T)]
    context, weights = (torch.cat(part) for part in zip(*steps, strict=True))
    for one, other in zip(numbers(found, queries, values, context, weights), expected, strict=True):
        torch.testing.assert_close(one, other, **SAME)


@pytest.mark.parametrize("at_a_time", [0, 1, 3, 100])
def test_chunks_are_the_whole(at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found, queries, values = problem("additive")
    expected = at_once(found, queries, values, LENGTHS)
    monkeypatch.setattr(attention, "_ALIVE", at_a_time * 3 * S * B * A)
    for one, other in zip(at_once(found, queries, values, LENGTHS), expected, strict=True):
        torch.testing.assert_close(one, other, **SAME)
    with torch.no_grad():
        context, weights = found(queries, found.memory(values, LENGTHS))
    torch.testing.assert_close(context, expected[0], **SAME)
    torch.testing.assert_close(weights, expected[1], **SAME)


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor had."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.size = max(self.size, found.numel())
        return found


def test_chunks_bound_the_memory_of_the_gradient_too(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = torch.randn(40, 3, 5, requires_grad=True)
    keys = torch.randn(7, 3, 5, requires_grad=True)
    vector = torch.randn(5, requires_grad=True)
    saved: list[int] = []

    def sizes() -> tuple[int, int]:
        """Of the largest tensor that is made, and of all that are kept for the gradient."""
        saved.clear()
        keep = torch.autograd.graph.saved_tensors_hooks(
            lambda part: (saved.append(part.numel()), part)[1], lambda part: part
        )
        with Largest() as largest:
            with keep:
                scores = attention.additive_scores(queries, keys, vector)
            scores.sum().backward()
        return largest.size, sum(saved)

    whole = 40 * 7 * 3 * 5
    assert sizes()[0] == whole
    assert sizes()[1] >= whole
    monkeypatch.setattr(attention, "_ALIVE", 3 * 9 * 7 * 3 * 5)
    largest, kept = sizes()
    assert largest == 9 * 7 * 3 * 5
    assert kept < whole / 2  # the parts' arguments, of which keys and vector are one tensor


def test_weights_are_dropped_in_training_only() -> None:
    found = module("general", dropout=0.4)
    S, K = 7, 7
    values = torch.eye(S, dtype=torch.float64).unsqueeze(1).expand(S, B, K)  # context = weights
    queries = torch.randn(50, B, Q, dtype=torch.float64)
    memory = found.memory(values)
    context, weights = found(queries, memory)
    torch.testing.assert_close(weights.sum(-1), torch.ones(50, B, dtype=torch.float64), **SAME)
    dropped = context == 0
    assert 0 < dropped.sum() < dropped.numel()
    expected = torch.where(dropped, 0, weights / 0.6)
    torch.testing.assert_close(context, expected, **SAME)
    # Within five standard deviations of a mean of so many draws.
    assert abs(dropped.double().mean() - 0.4) < 5 * math.sqrt(0.24 / dropped.numel())
    assert not torch.equal(found(queries, memory)[0], context)
    found.eval()
    whole, again = found(queries, memory)
    torch.testing.assert_close(whole, weights, **SAME)
    torch.testing.assert_close(again, weights, **SAME)


@EACH
def test_selected_rows_are_those_of_another_batch(score: str) -> None:
    found, queries, values = problem(score)
    rows = torch.tensor([1, 1, 0, 2])
    memory = found.memory(values, LENGTHS)
    chosen = memory.select(rows)
    assert isinstance(chosen, Memory)
    anew = found.memory(values[:, rows], [LENGTHS[row] for row in rows.tolist()])
    context, weights = found(queries[:, rows], chosen)
    for one, other in zip(
        (*chosen[:2], context, weights),
        (*anew[:2], *found(queries[:, rows], anew)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, **SAME)
    assert torch.equal(chosen.mask, anew.mask)


@EACH
@pytest.mark.parametrize("autocast", [True, False])
def test_the_softmax_has_float32_at_the_least(score: str, autocast: bool) -> None:
    found = module(score).to(torch.float32 if autocast else torch.bfloat16)
    kind = torch.float32 if autocast else torch.bfloat16
    queries = torch.randn(T, B, found.query_size, dtype=kind, requires_grad=True)
    values = torch.randn(S, B, K, dtype=kind)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        context, weights = found(queries, found.memory(values, [5, 2, 1]))
        context.sum().backward()
    assert weights.dtype == torch.float32
    assert context.dtype == torch.bfloat16
    assert queries.grad.isfinite().all()
    # S roundings of numbers up to 1, and those of the S quotients.
    torch.testing.assert_close(weights.sum(-1), torch.ones(T, B), rtol=0, atol=2 * S * 2.0**-24)


def test_parameters_and_the_words_for_them() -> None:
    assert {name: tuple(p.shape) for name, p in module("additive").named_parameters()} == {
        "score_vector": (A,),
        "from_query.weight": (A, Q),
        "from_memory.weight": (A, K),
        "from_memory.bias": (A,),
    }
    assert Attention(Q, K, score="additive").score_vector.shape == (Q,)
    assert [tuple(p.shape) for p in Attention(Q, K).parameters()] == [(Q, K)]
    assert not list(module("dot").parameters())
    assert "6, 7, score='general', dropout=0.5" in repr(Attention(Q, K, dropout=0.5))
    assert "dropout" not in repr(Attention(Q, K))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score": "aditive"}, "no score 'aditive'; did you mean 'additive'.*known: additive, gen"),
        ({"score": "dot"}, "query_size = memory_size for 'dot', got 6 and 7; 'general' puts"),
        ({"size": 3}, "size: expected none, .* got 3 with score='general'; leave it out"),
        ({"size": 0, "score": "additive"}, "size: expected a whole number above 0, got 0"),
        ({"query_size": 0}, "query_size: expected a whole number above 0, got 0"),
        ({"memory_size": -1}, "memory_size: expected a whole number above 0, got -1"),
        ({"dropout": 1.0}, r"dropout: expected .* below 1, got 1\.0"),
        ({"dropout": -0.1}, r"dropout: .* got -0\.1"),
    ],
)
def test_options_are_checked(options: dict, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Attention(**{"query_size": Q, "memory_size": K, **options})


def test_bad_shapes_are_refused() -> None:
    found, queries, values = problem("general")
    memory = found.memory(values)
    for call, words in [
        (
            lambda: found.memory(values[0]),
            r"values: expected \(positions, batch, 7\), got \(3, 7\)",
        ),
        (lambda: found.memory(values[..., :6]), r"got \(5, 3, 6\); build the module"),
        (
            lambda: found.memory(values, [6, 1, 1]),
            "lengths: .* from 0 to the input's 5, got 1 to 6",
        ),
        (lambda: found.memory(values, [1, 1]), r"lengths: .* shape \(3,\), got \(2,\)"),
        (lambda: found(queries[:, :2], memory), r"queries: .*\(time, 3, 6\).* got \(4, 2, 6\)"),
        (lambda: found(queries[0], memory), r"got \(3, 6\); a single query is \(1, batch"),
        (lambda: found(queries[..., :5], memory), r"got \(4, 3, 5\)"),
    ]:
        with pytest.raises(ShapeError, match=words):
            call()
