"""The task as the training loop sees it: its batches, its loss, and what is learned from them."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.translation.sentence_loops import scored
from tests.tasks.translation.small_networks import (
    END,
    V,
    assert_same,
    random_sentences,
    small_corpus,
    small_task,
)
from torch import Tensor

from carousel.data.batching import Shard
from carousel.data.ragged import Ragged
from carousel.tasks.translation import training
from carousel.tasks.translation.data import Corpus
from carousel.tasks.translation.training import (
    TranslationTask,
    corpus_nats,
    make_batch,
    misplaced,
    whole_batches,
)

WHOLE = Shard()
# Scores become float32 before the softmax. A loss is a sum of up to 200 terms below 10, each with
# up to 50 roundings of 2^-24; a wrong term is worth 1e-2 and more.
CLOSE = 200 * 10 * 50 * 2.0**-24


def gradients(made: TranslationTask, total: Tensor) -> dict[str, Tensor]:
    named = dict(made.module.named_parameters())
    return dict(zip(named, torch.autograd.grad(total, [*named.values()]), strict=True))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=6),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_a_batch_asks_for_each_subword_once_behind_what_comes_before_it(
    lengths: list[tuple[int, int]], guided: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    one, other = (
        [np.array(sentence, np.int32) for sentence in random_sentences(side, V, seed)]
        for side in zip(*lengths, strict=True)
    )
    drawn = [np.sort(random.integers(0, s + 1, (t, 2)), axis=1) for s, t in lengths]
    corpus = Corpus(
        sources=Ragged.of(one),
        targets=Ragged.of(other),
        guides=Ragged.of(drawn) if guided else None,
        lines=np.arange(1, len(lengths) + 1),
        end=END,
    )
    rows = random.permutation(len(lengths))[: random.integers(1, len(lengths) + 1)]
    batch = make_batch(corpus, rows)
    assert batch.rows.tolist() == rows.tolist()
    assert batch.source.shape == (max(lengths[row][0] for row in rows), len(rows))
    assert batch.inputs.shape == (max(lengths[row][1] for row in rows), len(rows))
    assert batch.source_lengths.tolist() == [lengths[row][0] for row in rows]
    asked: dict[tuple[int, int], int] = {}
    for place, real in enumerate(batch.real.tolist()):
        step, column = divmod(real, len(rows))
        asked[column, step] = place
    assert len(asked) == len(batch.real) == len(batch.targets)
    for column, row in enumerate(rows.tolist()):
        source, target = one[row].tolist(), other[row].tolist()
        assert batch.source[: len(source), column].tolist() == source
        # The end stands before the first subword, and the last that is asked for is the end.
        assert batch.inputs[: len(target), column].tolist() == [END, *target[:-1]]
        assert sorted(step for c, step in asked if c == column) == [*range(len(target))]
        places = [asked[column, step] for step in range(len(target))]
        assert batch.targets[places].tolist() == target
        if guided:
            assert batch.guide is not None
            assert batch.guide[places].tolist() == drawn[row].tolist()
    assert guided or batch.guide is None


def loss_by_loops(made: TranslationTask, rows: list[int]) -> tuple[float, int]:
    """The loss of pairs, subword by subword, member by member, and how many subwords there are."""
    plan, corpus, total, count = made.plan, made.corpus, 0.0, 0
    for row in rows:
        source, target = corpus.sources[row].tolist(), corpus.targets[row].tolist()
        for member in made.module.members:
            scores, attention = scored(member, source, [END, *target[:-1]])
            for step, subword in enumerate(target):
                logs = [float(score) for score in scores[step] - scores[step].exp().sum().log()]
                right, spread = -logs[subword], -sum(logs) / V
                nats = (1 - plan.label_smoothing) * right + plan.label_smoothing * spread
                if plan.guided_alignment and corpus.guides is not None:
                    begin, end = corpus.guides[row][step].tolist()
                    if end > begin:
                        mass = sum(float(weight) for weight in attention[step][begin:end])
                        nats -= plan.guided_alignment * math.log(mass)
                total += nats / plan.members
        count += len(target)
    return total, count


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.3},
        {"guided_alignment": 0.7},
        {"label_smoothing": 0.1, "guided_alignment": 2.0, "members": 3},
        {"members": 2, "input_feeding": True, "attention": "additive"},
    ],
    ids=str,
)
def test_the_loss_is_that_of_loops(changes: dict[str, Any]) -> None:
    made = small_task(small_corpus(6, guided=True), **changes)
    for batch in made.batches(0, 0, WHOLE):
        assert batch is not None
        with torch.no_grad():
            total, weight = made.loss(made.module, batch)
            wanted, count = loss_by_loops(made, batch.rows.tolist())
        assert weight == count
        assert float(total) == pytest.approx(wanted, abs=CLOSE)


def test_without_an_alignment_there_is_no_loss_of_it() -> None:
    made, plain = small_task(guided_alignment=2.0), small_task()
    batch = make_batch(made.corpus, np.arange(4))
    assert batch.guide is None
    assert torch.equal(made.loss(made.module, batch)[0], plain.loss(plain.module, batch)[0])


@pytest.mark.parametrize("changes", [{}, {"input_feeding": True, "members": 2}], ids=str)
def test_a_batch_costs_what_its_pairs_cost_alone(changes: dict[str, Any]) -> None:
    """In the loss and in every gradient: padding is free, and nothing is averaged over pairs."""
    guided = {"label_smoothing": 0.1, "guided_alignment": 0.5}
    made = small_task(small_corpus(7, guided=True), **guided, **changes)
    total, weight = made.loss(made.module, make_batch(made.corpus, np.arange(7)))
    pairs = [made.loss(made.module, make_batch(made.corpus, np.array([row]))) for row in range(7)]
    assert len({pair[1] for pair in pairs}) > 2
    assert weight == sum(pair[1] for pair in pairs)
    alone = sum(pair[0] for pair in pairs)
    assert float(total.detach()) == pytest.approx(float(alone.detach()), abs=CLOSE)
    assert_same(gradients(made, total), gradients(made, alone), CLOSE)


def test_members_share_the_loss_and_learn_each_by_itself() -> None:
    made = small_task(members=3)
    batch = make_batch(made.corpus, np.arange(5))
    found = gradients(made, made.loss(made.module, batch)[0])
    for number, member in enumerate(made.module.members):
        alone = small_task()
        alone.module.members[0].load_state_dict(member.state_dict())
        own = gradients(alone, alone.loss(alone.module, batch)[0])
        one = {name: found[name.replace("members.0", f"members.{number}")] for name in own}
        assert_same(one, {name: value / 3 for name, value in own.items()}, CLOSE)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(0, 7), st.integers(0, 2**31))
def test_misplaced_attention_is_that_of_loops(positions: int, steps: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = torch.from_numpy(random.dirichlet(np.ones(positions), steps)).view(steps, positions)
    weights = drawn.requires_grad_()
    guide = torch.from_numpy(np.sort(random.integers(0, positions + 1, (steps, 2)), axis=1))
    total = misplaced(weights, guide)
    [gradient] = torch.autograd.grad(total, [weights])
    wanted, slopes = 0.0, torch.zeros_like(drawn)
    for step, (begin, end) in enumerate(guide.tolist()):
        if end > begin:
            mass = sum(weights[step, begin:end].tolist())
            wanted -= math.log(max(mass, 1e-6))
            slopes[step, begin:end] = -1 / mass if mass > 1e-6 else 0.0
    # A few roundings of 2^-53 in a mass of 1e-3 and more are a thousand times as much in its share.
    assert float(total.detach()) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    torch.testing.assert_close(gradient, slopes, rtol=1e-9, atol=1e-9)


def test_attention_that_is_nowhere_near_has_a_finite_loss_and_gradient() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1e-30, 1.0], [0.25, 0.5, 0.25]])
    weights.requires_grad_()
    guide = torch.tensor([[1, 3], [0, 2], [1, 2]])
    total = misplaced(weights, guide)
    [gradient] = torch.autograd.grad(total, [weights])
    assert float(total.detach()) == pytest.approx(2 * math.log(1e6) - math.log(0.5), rel=1e-6)
    assert gradient.tolist() == [[0.0] * 3, [0.0] * 3, [0.0, -2.0, 0.0]]
    nothing = misplaced(weights, torch.zeros(3, 2, dtype=torch.long))
    assert float(nothing.detach()) == 0.0
    assert not torch.autograd.grad(nothing, [weights])[0].any()


def nats_by_loops(made: TranslationTask, corpus: Corpus) -> tuple[float, int]:
    """-ln of the members' mean probability, sentence by sentence."""
    total, count = 0.0, 0
    for row in range(len(corpus)):
        source, target = corpus.sources[row].tolist(), corpus.targets[row].tolist()
        inputs = [END, *target[:-1]]
        each = [scored(member, source, inputs)[0].softmax(1) for member in made.module.members]
        for step, subword in enumerate(target):
            total -= math.log(sum(float(one[step, subword]) for one in each) / len(each))
        count += len(target)
    return total, count


@pytest.mark.parametrize("at_once", [9, 40, 8_000])
@pytest.mark.parametrize("members", [1, 2])
def test_validation_is_the_sum_over_sentences(
    members: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_task(valid=small_corpus(9, seed=4), members=members, label_smoothing=0.2)
    seen = []

    def batches(corpus: Corpus) -> Any:
        seen.extend(whole_batches(corpus, at_once))
        return iter(seen)

    monkeypatch.setattr(training, "whole_batches", batches)
    with torch.no_grad():
        wanted, count = nats_by_loops(made, made.valid)
    found, tokens = corpus_nats(made.module, made.valid)
    assert tokens == count
    assert found == pytest.approx(wanted, abs=CLOSE)
    assert (len(seen) == 1) is (at_once == 8_000)
    seen.clear()
    assert made.validate(made.module) == {made.metric: found / tokens}


@pytest.mark.parametrize("tokens", [1, 30, 8_000])
def test_whole_batches_have_every_pair_once_and_are_always_the_same(tokens: int) -> None:
    corpus = small_corpus(40)
    found = [batch.rows.tolist() for batch in whole_batches(corpus, tokens)]
    assert sorted(row for rows in found for row in rows) == [*range(40)]
    assert found == [batch.rows.tolist() for batch in whole_batches(corpus, tokens)]
    assert [*whole_batches(small_corpus(0), tokens)] == []


def rows_of(
    made: TranslationTask, epoch: int = 0, start: int = 0, shard: Shard = WHOLE
) -> list[list[int] | None]:
    batches = made.batches(epoch, start, shard)
    return [None if batch is None else batch.rows.tolist() for batch in batches]


def test_batches_follow_from_seed_epoch_and_start_alone() -> None:
    corpus = small_corpus(60)
    made, other = small_task(corpus), small_task(corpus, run={"seed": 6})
    epochs = [rows_of(made, epoch) for epoch in range(4)]
    for epoch, batches in enumerate(epochs):
        assert sorted(row for rows in batches for row in rows) == [*range(60)]
        for start in (0, 1, 7, len(batches) - 1, len(batches)):
            assert rows_of(made, epoch, start) == batches[start:]
    assert rows_of(small_task(corpus), 3) == epochs[3]
    assert all(one != two for one, two in itertools.pairwise(epochs))
    assert rows_of(other) != epochs[0]


@pytest.mark.parametrize("world", [2, 3, 7])
def test_ranks_share_each_batch(world: int) -> None:
    made = small_task(small_corpus(60))
    whole = rows_of(made, 1)
    shares = [rows_of(made, 1, 0, Shard(rank, world)) for rank in range(world)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [part or [] for part in parts] == [batch[rank::world] for rank in range(world)]
        assert [] not in parts
    # The last rank has no share of a batch with fewer pairs than ranks.
    assert (None in shares[-1]) is (min(map(len, whole)) < world)


def test_an_epoch_knows_how_many_batches_it_has() -> None:
    made, counts = small_task(small_corpus(60)), []
    for epoch in range(12):
        batches = made.batches(epoch, 0, WHOLE)
        next(batches)
        counts.append(1 + sum(1 for _ in batches))
        assert made.batches_per_epoch() == counts[-1]
    assert len(set(counts)) > 1


def test_the_batch_size_is_that_of_an_average_batch() -> None:
    """But for what padding takes, and up to a tenth that is left free."""
    for size in (8, 64):
        made = small_task(small_corpus(2_000, longest=12), run={"batch_size": size})
        sizes = [len(rows) for rows in rows_of(made)]
        assert 0.8 * size < sum(sizes) / len(sizes) <= size
        assert len(set(sizes)) > 3


def test_a_batch_is_described_by_its_lines() -> None:
    made = small_task(source="a book")
    few = make_batch(made.corpus, np.array([4, 0, 11]))
    assert made.describe(few) == "the pairs in lines 50, 10, 120 of a book"
    many = make_batch(made.corpus, np.arange(6))
    assert small_task().describe(many) == "the pairs in lines 10, 20, 30, 40, 50, ..."


def test_there_is_a_score_only_where_there_is_a_pair_to_score() -> None:
    assert small_task().metric == "nats"
    assert small_task(valid=small_corpus(0)).metric == ""


def test_the_fingerprint_is_plain_and_whole() -> None:
    found = json.loads(json.dumps(small_task().fingerprint()))
    assert found == {"task": "translation", "data": "abc"}
