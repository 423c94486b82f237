"""Short runs of the training loop: what is learned from a toy language, and exact resume."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.crashes import CrashError, Crashing
from tests.tasks.translation.small_networks import (
    END,
    PLAN,
    RATES,
    RUN,
    V,
    random_sentences,
    small_corpus,
    small_task,
)

from carousel.data.batching import Shard
from carousel.data.ragged import Ragged
from carousel.tasks.translation.data import Corpus
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.plan import Plan
from carousel.tasks.translation.training import (
    TranslationTask,
    corpus_nats,
    make_batch,
    misplaced,
)
from carousel.training import RunOptions, train

LEARNING = {
    "max_steps": 120,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "seed": 1,
    "progress": "none",
}


def mirrored(number: int, seed: int) -> Corpus:
    """Returns sentences of 2 to 5 subwords, ends included, which are translated by reversing."""
    lengths = np.random.default_rng(seed).integers(2, 6, number).tolist()
    sources = random_sentences(lengths, V, seed)
    targets = [[*source[-2::-1], END] for source in sources]
    guides = []
    for source in sources:
        last = len(source) - 1  # where the end stands, which comes from nowhere
        guides.append([[last - 1 - step, last - step] for step in range(last)] + [[0, 0]])
    return Corpus(
        sources=Ragged.of(np.array(one, np.int32) for one in sources),
        targets=Ragged.of(np.array(one, np.int32) for one in targets),
        guides=Ragged.of(np.array(one) for one in guides),
        lines=np.arange(1, number + 1),
        end=END,
    )


@functools.cache
def learned(**changes: Any) -> tuple[TranslationNetwork, float, float]:
    """A network after a short run, and its nats of a subword on new sentences before and after.

    Its users must leave it as it is.
    """
    sizes = {"embedding_size": 12, "hidden_size": 24, "encoder_size": 12}
    sizes |= {"encoder_layers": 1, "decoder_layers": 1}
    plan = Plan.from_dict({**PLAN, **sizes, **changes})
    torch.manual_seed(4)
    network = TranslationNetwork(plan.members, V, V, **plan.network())
    new, run = mirrored(50, seed=2), RunOptions(**LEARNING)

    def nats() -> float:
        total, tokens = corpus_nats(network, new)
        return total / tokens

    before = nats()
    result = train(TranslationTask(network, mirrored(300, seed=1), new, plan, run), run)
    assert not network.training
    assert result.best_score == pytest.approx(nats(), rel=1e-6)
    return network, before, nats()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"input_feeding": True, "attention": "additive"},
        {"members": 2, "tied_source": True, "attention": "dot"},
    ],
    ids=str,
)
def test_a_toy_language_is_learned(changes: dict[str, Any]) -> None:
    """From about the nats of a guess to fewer than can be had without reading the source.

    That would leave open which of 4 lengths a sentence has, of 2.5 subwords in the mean and its
    end, and which of 8 each of them is.
    """
    _, before, after = learned(**changes)
    assert before > 0.9 * math.log(V)
    assert after < 0.75 * (math.log(4) + 2.5 * math.log(V - 1)) / 3.5


def test_attention_learns_the_alignment_that_it_is_given() -> None:
    held_out = mirrored(50, seed=2)
    batch = make_batch(held_out, np.arange(50))
    given = (batch.guide[:, 1] > batch.guide[:, 0]).sum()
    mean = {}
    for weight in (0.0, 1.0):
        network, _, _ = learned(**({"guided_alignment": weight} if weight else {}))
        with torch.no_grad():
            [(_, attention)] = network(*batch[:3], batch.real)
        mean[weight] = float(misplaced(attention, batch.guide) / given)
    # Of the attention more than nine tenths lie where they should, in the geometric mean.
    assert mean[1.0] < -math.log(0.9)
    assert mean[1.0] < mean[0.0] / 2


def test_each_epoch_is_validated_once() -> None:
    """Though epochs differ in how many batches they have."""
    run = {"max_epochs": 5, "schedule": "constant"}
    made = small_task(small_corpus(24), run=run)
    result = train(made, RunOptions(**RUN, **run))
    assert len(result.history.scores("nats")) == result.epochs == 5
    counts = {len([*made.batches(epoch, 0, Shard())]) for epoch in range(5)}
    assert len(counts) > 1


def test_without_validation_pairs_the_last_weights_are_kept() -> None:
    made = small_task(valid=small_corpus(0))
    before = {name: value.clone() for name, value in made.module.state_dict().items()}
    result = train(made, RunOptions(**RUN, max_steps=3))
    assert result.best_score is None
    assert any(not torch.equal(before[n], v) for n, v in made.module.state_dict().items())


class CrashingTask(Crashing, TranslationTask):
    pass


def trained(folder: Path | None, *, crash: int = 0, **changes: Any) -> tuple[dict, float | None]:
    """The weights after a run, or after what is left of it, and its best score."""
    run = {
        "max_steps": 16,
        "learning_rate": 0.01,
        "average": 0.9,
        "validate_every": 5,
        **changes.pop("run", {}),
    }
    if folder is not None:
        run |= {"checkpoint": str(folder), "checkpoint_every": 3, "resume": True}
    made = small_task(small_corpus(28, guided=True), run=run, kind=CrashingTask, **changes)
    made.crash_at = crash
    result = train(made, RunOptions(**RUN, **run))
    assert result.steps == 16
    assert result.epochs >= 1
    return {name: t.clone() for name, t in made.module.state_dict().items()}, result.best_score


@pytest.mark.parametrize(
    ("changes", "crashes"),
    [
        # An epoch has about 8 batches, a checkpoint comes every 3 steps.
        ({**RATES, "output_dropout": 0.25, "label_smoothing": 0.1}, (2, 8, 15)),
        ({"guided_alignment": 0.5, "members": 2, "tied": False}, (11,)),
        ({"input_feeding": True, "hidden_dropout": 0.3, "run": {"optimizer": "sgd"}}, (8,)),
    ],
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, changes: dict[str, Any], crashes: tuple[int, ...]
) -> None:
    whole, score = trained(None, **changes)
    for crash in crashes:
        folder = tmp_path / str(crash)
        with pytest.raises(CrashError):
            trained(folder, crash=crash, **changes)
        again, same_score = trained(folder, **changes)
        assert score == same_score
        assert whole.keys() == again.keys()
        for name, weight in whole.items():
            assert torch.equal(weight, again[name]), name
