"""Small networks, sentences and tasks, and how numbers are compared, for tests of translation.

Shape letters: S positions of the source, B sentences, T steps of the target, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from carousel.data.ragged import Ragged
from carousel.nn.masks import bernoulli, drawn_rate
from carousel.tasks.translation.data import Corpus
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.plan import Plan
from carousel.tasks.translation.training import TranslationTask
from carousel.training import RunOptions

V_SOURCE, V, E, H, END = 11, 9, 5, 6, 2
SIZES = {
    "embedding_size": E,
    "hidden_size": H,
    "encoder_size": H // 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "residual": True,
    "attention": "general",
    "input_feeding": False,
    "tied": True,
    "tied_source": False,
}
# Of each dropout another rate, so that one in the place of another is seen.
RATES = {
    "word_dropout": 0.2,
    "input_dropout": 0.3,
    "hidden_dropout": 0.4,
    "weight_dropout": 0.35,
}
PLAN = {
    **SIZES,
    "word_dropout": 0.0,
    "input_dropout": 0.0,
    "hidden_dropout": 0.0,
    "output_dropout": 0.0,
    "weight_dropout": 0.0,
    "label_smoothing": 0.0,
    "guided_alignment": 0.0,
    "members": 1,
}
RUN = {"batch_size": 4, "seed": 5, "progress": "none"}
# In float64, for the sizes of these tests: a number comes through at most 3 layers of 8 steps in
# each of encoder and decoder, forth and back, with under 60 roundings at sums of at most 30 terms
# of size 1; each is worth 2^-53 of the number. A wrong or missing term is of size 1e-3 and more.
CLOSE = 2 * 2 * 3 * 8 * 60 * 30 * 2.0**-53

Module = TypeVar("Module", bound=nn.Module)


def randomized(module: Module, std: float = 0.5) -> Module:
    """Returns the module in double precision, with weights that all matter."""
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.normal_(0.0, std)
    return module


def small_network(
    members: int = 1,
    source: int = V_SOURCE,
    target: int = V,
    seed: int = 3,
    std: float = 0.5,
    **changes: Any,
) -> TranslationNetwork:
    """Returns a network of two layers on either side, in evaluation mode and double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = TranslationNetwork(members, source, target, **{**SIZES, **changes})
        return randomized(made, std).eval()


def random_sentences(
    lengths: Sequence[int], vocabulary: int = V_SOURCE, seed: int = 0
) -> list[list[int]]:
    """Returns sentences of so many subwords, of which the last and no other is END."""
    random = np.random.default_rng(seed)
    drawn = [(END + random.integers(1, vocabulary, length)) % vocabulary for length in lengths]
    return [[*one[:-1].tolist(), END] for one in drawn]


def side_by_side(
    sentences: Sequence[Sequence[int]], vocabulary: int = V_SOURCE
) -> tuple[Tensor, Tensor]:
    """Returns (S, B) with anything behind the ends, and the lengths."""
    tokens = torch.randint(vocabulary, (max(map(len, sentences)), len(sentences)))
    for column, sentence in enumerate(sentences):
        tokens[: len(sentence), column] = torch.tensor(sentence)
    return tokens, torch.tensor([len(sentence) for sentence in sentences])


def small_corpus(
    number: int = 12,
    *,
    longest: int = 7,
    guided: bool = False,
    seed: int = 0,
    source: int = V_SOURCE,
    target: int = V,
) -> Corpus:
    """Returns pairs of 1 to so many subwords, ends included, which stood in every tenth line."""
    random = np.random.default_rng(seed)

    def side(vocabulary: int) -> Ragged:
        lengths = random.integers(1, longest + 1, number)
        found = random_sentences(lengths.tolist(), vocabulary, int(random.integers(2**31)))
        return Ragged.of(np.array(one, np.int32) for one in found)

    sources, targets = side(source), side(target)
    guides = None
    if guided:  # from anywhere to anywhere behind it; about one in seven is empty
        drawn = [
            random.integers(0, sources.lengths[row] + 1, (targets.lengths[row], 2))
            for row in range(number)
        ]
        guides = Ragged.of(np.sort(one, axis=1) for one in drawn)
    lines = 10 * np.arange(1, number + 1)
    return Corpus(sources=sources, targets=targets, guides=guides, lines=lines, end=END)


def small_task(
    corpus: Corpus | None = None,
    valid: Corpus | None = None,
    run: Mapping[str, Any] | None = None,
    *,
    kind: type[TranslationTask] = TranslationTask,
    source: str = "",
    **changes: Any,
) -> TranslationTask:
    """Returns a task with a network whose weights all matter, in double precision."""
    plan = Plan.from_dict({**PLAN, **changes})
    return kind(
        small_network(plan.members, **plan.network()),
        small_corpus() if corpus is None else corpus,
        small_corpus(5, seed=1) if valid is None else valid,
        plan,
        RunOptions(**{**RUN, **(run or {})}),
        source=source,
        fingerprint={"data": "abc"},
    )


def mask(rate: float, *shape: int) -> Tensor:
    """Draws what dropout multiplies by; there is something to see, as not all of it is the same."""
    drawn = torch.dropout(torch.ones(shape, dtype=torch.float64), rate, True)
    assert 0 < int((drawn == 0).sum()) < drawn.numel()
    return drawn


def weight_mask(rate: float, *shape: int) -> Tensor:
    """Draws what recurrent weights are multiplied by, likewise."""
    dropped = bernoulli(rate, 1, torch.empty(shape))[0]
    assert 0 < int(dropped.sum()) < dropped.numel()
    return (~dropped).double() / (1 - drawn_rate(rate))


def numbers(outputs: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the outputs, and the gradients of a sum in which each of their numbers counts."""
    total = torch.zeros((), dtype=torch.float64)
    for value in outputs.values():
        wave = torch.arange(1, 1 + value.numel(), dtype=torch.float64).sin()
        total = total + (value * wave.view(value.shape)).sum()
    gradients = torch.autograd.grad(
        total, [*leaves.values()], retain_graph=True, materialize_grads=True
    )
    found = {name: value.detach() for name, value in outputs.items()}
    return found | {f"d {name}": g for name, g in zip(leaves, gradients, strict=True)}


def assert_same(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], close: float = CLOSE
) -> None:
    """Compares all numbers, each with the largest of its tensor where that is above 1."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        size = max(1.0, float(value.detach().abs().max())) if value.numel() else 1.0
        torch.testing.assert_close(
            found[name], value, rtol=0, atol=close * size, msg=lambda m, n=name: f"{n}: {m}"
        )
