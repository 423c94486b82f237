"""The task as the training loop sees it: its loss, the state that it carries, and exact resume."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.crashes import CrashError, Crashing
from torch import nn
from torch.nn import functional as F

from carousel.data.batching import Shard
from carousel.data.token_streams import num_rows, segment_ends
from carousel.nn import State
from carousel.tasks.language_modeling import training
from carousel.tasks.language_modeling.ensemble import make_network, sample_by
from carousel.tasks.language_modeling.network import Features
from carousel.tasks.language_modeling.plan import Plan
from carousel.tasks.language_modeling.training import LanguageModelingTask, Segment
from carousel.training import RunOptions, train

V = 13
PLAN = Plan(
    embedding_size=4,
    hidden_size=5,
    num_layers=2,
    tied=True,
    cutoffs=(),
    samples=0,
    embedding_dropout=0.0,
    input_dropout=0.0,
    hidden_dropout=0.0,
    output_dropout=0.0,
    weight_dropout=0.0,
    alpha=0.0,
    beta=0.0,
    bptt=7,
    vary_bptt=True,
).to_dict()
RATES = {name: 0.3 for name in PLAN if name.endswith("dropout")}
RUN = {"batch_size": 3, "seed": 5, "progress": "none"}
# Losses are sums of up to 60 terms below 10 in float32, of unit roundoff 6e-8, each with errors of
# up to 50 such roundings. A wrong term is worth 1e-2 and more.
CLOSE = {"rtol": 0.0, "atol": 60 * 10 * 50 * 2.0**-24}


def tokens(number: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, V, number).astype(np.uint16)


def task(
    given: np.ndarray | None = None,
    valid: np.ndarray | None = None,
    run: dict[str, Any] | None = None,
    *,
    kind: type[LanguageModelingTask] = LanguageModelingTask,
    boundary: int | None = None,
    source: str = "",
    **changes: Any,
) -> LanguageModelingTask:
    plan = Plan.from_dict({**PLAN, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = make_network(V, plan.members, **plan.network())
        for member in network.members:
            nn.init.normal_(member.embedding.weight, std=0.7)
    if plan.samples:
        sample_by(network, torch.arange(V), plan.samples)
    return kind(
        network,
        tokens() if given is None else given,
        tokens(0) if valid is None else valid,
        plan,
        RunOptions(**{**RUN, **(run or {})}),
        boundary=boundary,
        source=source,
        fingerprint={"data": "abc", "bptt": plan.bptt},
    )


def mean_nats(found: Features, made: LanguageModelingTask, targets: torch.Tensor) -> torch.Tensor:
    head = made.module.head
    logits = found.dropped.flatten(0, 1) @ head.weight.T + head.bias
    return F.cross_entropy(logits, targets.flatten())


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (2.0, 0.0), (0.0, 1.5), (2.0, 1.5)])
def test_the_loss_is_the_papers(alpha: float, beta: float) -> None:
    """Section 4.6 of arXiv:1708.02182: alpha on the dropped output, beta on the raw one's change.

    Both are means over a segment, added to the mean loss; the task returns sums over its tokens.
    """
    made = task(alpha=alpha, beta=beta, **RATES)
    state = None
    for number, batch in enumerate(made.batches(0, 0, Shard())):
        torch.manual_seed(number)
        total, weight = made.loss(made.module, batch)
        torch.manual_seed(number)
        found = made.module(batch.inputs, state)
        state = found.state
        dropped = alpha * (found.dropped**2).mean()
        change = beta * ((found.raw[1:] - found.raw[:-1]) ** 2).mean() if len(found.raw) > 1 else 0
        assert weight == batch.targets.numel()
        wanted = mean_nats(found, made, batch.targets) + dropped + change
        torch.testing.assert_close(total / weight, wanted, **CLOSE)
        assert not torch.allclose(found.dropped, found.raw)
    made.loss(made.module, Segment(batch.inputs[:1], batch.targets[:1], 0))[0].backward()
    assert all(parameter.grad.isfinite().all() for parameter in made.module.parameters())


def test_the_state_goes_on_within_an_epoch_and_gradients_do_not() -> None:
    made = task()
    batches = list(made.batches(0, 0, Shard()))
    made.loss(made.module, batches[0])[0].backward()
    first = made.module(batches[0].inputs).state
    carried = made.state_dict()
    assert list(carried) == ["h_0", "c_0", "h_1", "c_1"]
    assert not any(tensor.requires_grad for tensor in carried.values())
    for number, wanted in enumerate(first):
        torch.testing.assert_close(carried[f"h_{number}"], wanted.h.detach(), **CLOSE)
        torch.testing.assert_close(carried[f"c_{number}"], wanted.c.detach(), **CLOSE)
    made.module.zero_grad()
    total, weight = made.loss(made.module, batches[1])
    total.backward()
    found = [p.grad.clone() for p in made.module.parameters()]
    made.module.zero_grad()
    cut = [State(s.h.detach(), s.c.detach()) for s in first]
    wanted = mean_nats(made.module(batches[1].inputs, cut), made, batches[1].targets)
    (weight * wanted).backward()
    for gradient, parameter in zip(found, made.module.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, **CLOSE)


def test_an_epoch_begins_from_zeros_and_its_middle_does_not() -> None:
    made = task()
    fresh = next(made.batches(1, 0, Shard()))
    wanted = made.loss(made.module, fresh)[0]
    middle = next(made.batches(1, 4, Shard()))
    carried = made.loss(made.module, middle)[0]
    again = next(made.batches(1, 0, Shard()))
    assert torch.equal(again.inputs, fresh.inputs)
    assert torch.equal(made.loss(made.module, again)[0], wanted)
    made._state = None
    assert not torch.allclose(made.loss(made.module, middle)[0], carried)


def test_the_state_is_zeroed_where_a_document_begins() -> None:
    given = tokens(100)
    given[[0, 33, 40, 66, 71]] = 0  # the columns are 33 long
    made, plain = task(given, boundary=0), task(given)
    assert num_rows(100, 3) == 33
    for batch in made.batches(0, 0, Shard()):
        with torch.no_grad():
            made.loss(made.module, batch)
            reset = batch.inputs == 0
            found = plain.module(batch.inputs, plain._state, reset)
            plain._state = found.state
        assert made.state_dict().keys() == plain.state_dict().keys()
        for one, other in zip(made.state_dict().values(), plain.state_dict().values(), strict=True):
            assert torch.equal(one, other)
    begun = task(given[71:], run={"batch_size": 1})
    with torch.no_grad():
        for batch in begun.batches(0, 0, Shard()):
            begun.loss(begun.module, batch)
    for name, alone in begun.state_dict().items():  # the last document of the last column
        torch.testing.assert_close(made.state_dict()[name][:, 2], alone[:, 0], **CLOSE)


def test_shares_add_up_to_the_whole() -> None:
    whole = task(alpha=1.0, beta=1.0, run={"batch_size": 4})
    parts = [task(alpha=1.0, beta=1.0, run={"batch_size": 4}) for _ in range(2)]
    shares = [made.batches(0, 0, Shard(rank, 2)) for rank, made in enumerate(parts)]
    for batch, *of_ranks in zip(whole.batches(0, 0, Shard()), *shares, strict=True):
        total, weight = whole.loss(whole.module, batch)
        found = [made.loss(made.module, share) for made, share in zip(parts, of_ranks, strict=True)]
        assert sum(part[1] for part in found) == weight
        torch.testing.assert_close(sum(part[0] for part in found) / weight, total / weight, **CLOSE)


def test_a_rank_without_a_column_has_nothing_as_often_as_the_others_have_something() -> None:
    made = task()
    assert set(made.batches(0, 0, Shard(3, 4))) == {None}
    assert len(list(made.batches(0, 0, Shard(3, 4)))) == len(list(made.batches(0, 0, Shard(0, 4))))


def test_the_step_size_follows_the_segments_length() -> None:
    made = task()
    batches = list(made.batches(0, 0, Shard()))
    assert [made.rate_factor(batch) for batch in batches] == [len(b.inputs) / 7 for b in batches]
    assert len({made.rate_factor(batch) for batch in batches}) > 2
    assert made.rate_factor(None) == made.rate_factor(batches[-1])  # of the last one yielded


def test_an_epoch_has_the_segments_of_its_number() -> None:
    made = task()
    for epoch in range(3):
        ends = segment_ends(num_rows(200, 3), 7, 5, epoch)
        batches = list(made.batches(epoch, 0, Shard()))
        assert np.cumsum([len(batch.inputs) for batch in batches]).tolist() == ends.tolist()
        assert [batch.first for batch in batches] == [0, *ends[:-1]]
        rest = list(made.batches(epoch, 3, Shard()))
        assert all(map(torch.equal, [b.inputs for b in rest], [b.inputs for b in batches[3:]]))
        assert [batch.first for batch in rest] == ends[2:-1].tolist()
    plain = task(vary_bptt=False)
    assert plain.batches_per_epoch() == math.ceil(66 / 7)
    assert {len(batch.inputs) for batch in plain.batches(1, 0, Shard())} == {7, 66 % 7}


class Counting(nn.Module):
    """Stands for a network: carries how many tokens it read, and gives each target as its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.head = self
        self.vocabulary = 9
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, inputs: torch.Tensor, state: Any, reset: Any) -> Features:
        before = 0 if state is None else int(state[0].h[0, 0, 0])
        assert before == sum(shape[0] for shape in self.shapes)
        self.shapes.append(tuple(inputs.shape))
        h = torch.full((1, inputs.shape[1], 1), float(before + len(inputs)))
        x = inputs[..., None].float()
        return Features(x, x, [State(h, h)])

    def losses(self, features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return targets.float()


@pytest.mark.parametrize(
    ("number", "columns"), [(2, 1), (300, 1), (511, 1), (520, 2), (4_097, 16), (9_000, 16)]
)
def test_validation_counts_every_token_once(number: int, columns: int) -> None:
    valid = np.arange(number).astype(np.uint16)
    counting = Counting()
    rows = (number - 1) // columns
    # Whole numbers, below 2^53 in their sum, which float64 adds without an error.
    assert task(valid=valid).validate(counting) == {"nats": (rows * columns + 1) / 2}
    assert {shape[1] for shape in counting.shapes} == {columns}
    assert sum(shape[0] for shape in counting.shapes) == rows
    assert all(shape[0] == 256 for shape in counting.shapes[:-1])


def test_validation_equals_one_pass_from_the_first_token_to_the_last() -> None:
    """Where a document begins at the head of each column, columns are no other text."""
    valid = tokens(3 * 280 + 1, seed=1)
    valid[[0, 17, 280, 560, 700]] = 0
    made = task(valid=valid, boundary=0, **RATES)
    made.module.eval()
    whole = torch.from_numpy(valid.astype(np.int64))[:, None]
    with torch.no_grad():
        found = made.module(whole[:-1], None, whole[:-1] == 0)
        wanted = mean_nats(found, made, whole[1:])
        scores = made.validate(made.module)
        assert made.validate(made.module) == scores
    assert made.metric in scores
    torch.testing.assert_close(torch.tensor(scores["nats"]), wanted, **CLOSE)


def test_validation_does_not_touch_the_training_state() -> None:
    made = task(valid=tokens(600))
    made.loss(made.module, next(made.batches(0, 0, Shard())))
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    with torch.no_grad():
        made.validate(made.module.eval())
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in before.items())


def test_there_is_a_score_only_where_there_is_something_to_predict() -> None:
    assert [task(valid=tokens(number)).metric for number in (0, 1, 2)] == ["", "", "nats"]
    assert len(task(valid=tokens(training.MOST_VALIDATED + 9)).valid) == 250_001


def test_the_state_can_be_taken_out_and_put_back() -> None:
    one, other = task(), task()
    batches = list(one.batches(0, 0, Shard()))
    assert one.state_dict() == {}
    other.load_state_dict({})
    assert other.state_dict() == {}
    one.loss(one.module, batches[0])
    other.load_state_dict({name: tensor.clone() for name, tensor in one.state_dict().items()})
    for batch in batches[1:3]:
        found, wanted = one.loss(one.module, batch), other.loss(other.module, batch)
        assert torch.equal(found[0], wanted[0])


def test_a_segment_is_described_by_its_place() -> None:
    made = task(source="a book")
    first = 0
    for batch in made.batches(0, 0, Shard()):
        assert made.describe(batch) == (
            f"tokens {first + 1} to {first + len(batch.inputs)} of each of 3 columns of 66, in a "
            "book"
        )
        first += len(batch.inputs)
    assert task().describe(batch).endswith("columns of 66")


def test_a_segment_of_any_epoch_can_be_described() -> None:
    """Epochs are cut differently: one may have more segments than the first."""
    made = task()
    for epoch in range(20):
        for batch in made.batches(epoch, 0, Shard()):
            made.describe(batch)


def test_each_epoch_is_validated_once() -> None:
    made = task(valid=tokens(50, seed=1))
    run = RunOptions(**RUN, max_epochs=6, schedule="constant")
    assert len(train(made, run).history.scores("nats")) == 6


def test_the_fingerprint_is_plain_and_whole() -> None:
    found = json.loads(json.dumps(task().fingerprint()))
    assert found == {"task": "language-modeling", "data": "abc", "bptt": 7}


class CrashingTask(Crashing, LanguageModelingTask):
    pass


class Forgetful(CrashingTask):
    """Its state is not saved."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}


def trained(
    folder: Path | None, *, crash: int = 0, kind: type[CrashingTask] = CrashingTask, **changes: Any
):
    """The weights after a run, or after what is left of it."""
    run = {
        "max_steps": 24,
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "average": 0.9,
        "validate_every": 5,
        **changes.pop("run", {}),
    }
    if folder is not None:
        run |= {"checkpoint": str(folder), "checkpoint_every": 3, "resume": True}
    made = task(valid=tokens(60, seed=1), run=run, kind=kind, alpha=2.0, beta=1.0, **changes)
    made.crash_at = crash
    result = train(made, RunOptions(**RUN, **run))
    return {name: t.clone() for name, t in made.module.state_dict().items()}, result.best_score


@pytest.mark.parametrize(
    ("changes", "crashes"),
    [
        # An epoch has about 10 segments, a checkpoint comes every 3 steps.
        (RATES, (2, 8, 12, 23)),
        ({**RATES, "tied": False, "boundary": 3}, (8,)),
        ({**RATES, "samples": 4}, (8,)),
        ({**RATES, "members": 2, "samples": 4}, (8, 23)),
        ({"tied": False, "cutoffs": [6], "hidden_size": 8, "run": {"optimizer": "adamw"}}, (8,)),
        ({"num_layers": 1, "vary_bptt": False, "run": {"momentum": 0.5, "average": 0.0}}, (8,)),
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
    tied = changes.get("tied", True)
    first = "members.0." if "members" in changes else ""
    output = whole.get(f"{first}head.weight", torch.zeros(0))
    assert tied == torch.equal(whole[f"{first}embedding.weight"], output)


def test_without_its_state_a_run_would_not_end_the_same(tmp_path: Path) -> None:
    whole, _ = trained(None, kind=Forgetful)
    with pytest.raises(CrashError):
        trained(tmp_path, crash=8, kind=Forgetful)
    again, _ = trained(tmp_path, kind=Forgetful)
    assert not torch.equal(whole["embedding.weight"], again["embedding.weight"])
