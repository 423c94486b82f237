"""The softmax: whole, over a sample, and in groups; what a sample costs in exactness: nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from carousel.tasks.language_modeling import softmax as softmax_module
from carousel.tasks.language_modeling.softmax import (
    INITIAL,
    AdaptiveSoftmax,
    FullSoftmax,
    inclusion_probabilities,
    losses_in_parts,
)

N, V, D = 5, 12, 3
U = 2.0**-24  # unit roundoff of float32
COUNTS = torch.tensor([900, 300, 100, 50, 20, 20, 9, 5, 3, 1, 0, 0])


def drawn() -> tuple[FullSoftmax, torch.Tensor, torch.Tensor]:
    head = FullSoftmax(D, V)
    torch.nn.init.normal_(head.weight)
    torch.nn.init.normal_(head.bias)
    return head, torch.randn(N, D), torch.tensor([0, 3, 3, 11, 7])


def with_gradients(head: torch.nn.Module, losses: torch.Tensor, x: torch.Tensor):
    """The losses and every gradient of their sum."""
    asked = [x, *head.parameters()]
    return losses.detach(), *torch.autograd.grad(losses.sum(), asked)


def test_losses_are_the_cross_entropy() -> None:
    head, x, targets = drawn()
    logits = x @ head.weight.T + head.bias
    torch.testing.assert_close(head.logits(x), logits)
    wanted = logits.double().logsumexp(1) - logits.double()[range(N), targets]
    # The scores, of D + 1 terms, are off by at most (D + 1) U their terms' sizes; ln Z by as much
    # and V + 3 roundings of its own. Terms and Z are below 30, a score left out is worth 1e-3.
    torch.testing.assert_close(
        head.losses(x, targets).double(), wanted, rtol=0, atol=30 * (2 * (D + 1) + V + 3) * U
    )


def test_initial_weights() -> None:
    head = FullSoftmax(40, 50)
    assert head.weight.abs().max() <= INITIAL == 0.1
    assert head.weight.std() > 0.05  # of a uniform distribution 0.1/√3 = 0.058
    assert not head.bias.any()


def test_tied_weights_are_one() -> None:
    embedding = torch.nn.Embedding(V, D)
    both = torch.nn.ModuleList([embedding, FullSoftmax(D, V, embedding.weight)])
    for module in (both, copy.deepcopy(both)):
        assert module[1].weight is module[0].weight
        assert [name for name, _ in module.named_parameters()] == ["0.weight", "1.bias"]


@pytest.mark.parametrize("samples", [V, V + 1, 10 * V])
def test_a_sample_of_all_tokens_is_no_sample(samples: int) -> None:
    head, x, targets = drawn()
    x.requires_grad_()
    wanted = with_gradients(head, head.losses(x, targets), x)
    head.sample_by(COUNTS, samples)
    assert torch.equal(head.inclusion, torch.ones(V))
    found = with_gradients(head, head.losses(x, targets), x)
    # As above, twice; gradients are sums over N rows of products with values below 30.
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2 * N * 30 * (2 * (D + 1) + V + 3) * U)


def test_evaluation_knows_no_sample() -> None:
    head, x, targets = drawn()
    head.eval()
    wanted = head.losses(x, targets)
    head.sample_by(COUNTS, 3)
    before = torch.get_rng_state()
    assert torch.equal(head.losses(x, targets), wanted)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(head.train().losses(x, targets), wanted)


def test_a_sample_is_no_part_of_a_model_and_goes_where_it_goes() -> None:
    head, _, _ = drawn()
    names = list(head.state_dict())
    head.sample_by(COUNTS, 3)
    assert list(head.state_dict()) == names == ["weight", "bias"]
    assert copy.deepcopy(head).inclusion is not None
    assert head.to("meta").inclusion.is_meta


@pytest.mark.parametrize("samples", [2, 5, 9])
def test_the_estimate_of_the_partition_function_is_unbiased(samples: int) -> None:
    """Its variance is Σ_{u ≠ v} exp(2 s_u) (1 - π_u) / π_u, a sum of independent terms.

    The mean of 3000 estimates is to be within five standard deviations of Z, which one in 1.7
    million is not; the seed is fixed, so this fails always or never.
    """
    head, x, targets = drawn()
    head.sample_by(COUNTS, samples)
    with torch.no_grad():
        scores = head.logits(x).double()
        own = scores[range(N), targets]
        draws = torch.stack([head.losses(x, targets).double() for _ in range(3_000)])
    estimates = (draws + own).exp()
    pi = head.inclusion.double()
    each = (2 * scores).exp() * ((1 - pi) / pi)
    each[range(N), targets] = 0
    deviation = (each.sum(1) / 3_000).sqrt()
    wanted = scores.exp().sum(1)
    rounding = 30 * (2 * (D + 1) + V + 3) * U * wanted
    assert ((estimates.mean(0) - wanted).abs() < 5 * deviation + rounding).all()
    assert (estimates.var(0) < 2 * each.sum(1)).all()
    assert (estimates.var(0) > each.sum(1) / 2).all()


def test_a_target_is_counted_once_whether_it_is_in_the_sample_or_not() -> None:
    """With no other token in the sample the estimate is the target's own term: its loss is 0."""
    head, x, _ = drawn()
    x.requires_grad_()
    targets = torch.full((N,), 4)
    for own in (1.0, 0.0):
        head.inclusion = torch.zeros(V)
        head.inclusion[4] = own
        losses, *gradients = with_gradients(head, head.losses(x, targets), x)
        assert torch.equal(losses, torch.zeros(N))
        assert not any(gradient.any() for gradient in gradients)
    # The sample is one for all rows: what is one row's target is another row's other token.
    head.inclusion = torch.zeros(V)
    head.inclusion[4] = 1.0
    targets = torch.tensor([4, 4, 1, 1, 0])
    scores = head.logits(x)
    wanted = torch.logaddexp(scores[range(N), targets], scores[:, 4]) - scores[range(N), targets]
    wanted[:2] = 0
    torch.testing.assert_close(
        head.losses(x, targets), wanted, rtol=0, atol=30 * (2 * (D + 1) + V + 3) * U
    )


def test_a_token_in_the_sample_stands_for_those_that_are_not() -> None:
    head, x, _ = drawn()
    head.inclusion = torch.zeros(V)
    head.inclusion[2] = 0.25
    scores = head.logits(x)
    targets = torch.full((N,), 1)
    heard = torch.logaddexp(scores[:, 1], scores[:, 2] - math.log(0.25)) - scores[:, 1]
    seen = {0: 0, 1: 0}
    for _ in range(40):
        losses = head.losses(x, targets)
        seen[bool(losses.any())] += 1
        if losses.any():
            tolerance = 30 * (2 * (D + 1) + V + 3) * U
            torch.testing.assert_close(losses, heard, rtol=0, atol=tolerance)
    assert all(seen.values())


@given(
    counts=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 10**9)), min_size=1, max_size=60),
    samples=st.integers(1, 70),
)
def test_inclusion_probabilities(counts: list[int], samples: int) -> None:
    found = inclusion_probabilities(torch.tensor(counts), samples).double()
    assert ((found > 0) & (found <= 1)).all()
    # Each is rounded to float32 once, from numbers with far smaller errors.
    wanted = min(samples, len(counts))
    assert abs(float(found.sum()) - wanted) <= 2 * U * wanted
    order = torch.tensor(counts).argsort()
    assert (found[order].diff() >= 0).all()
    shared = found < 1
    if shared.any():  # in proportion to the counts, and what is certain has more than its share
        scale = found / torch.tensor(counts).double().clamp(min=1)
        torch.testing.assert_close(scale[shared].max(), scale[shared].min(), rtol=4 * U, atol=0)
        assert (scale[~shared] <= scale[shared].max() * (1 + 4 * U)).all()


def test_tokens_never_seen_are_sampled_as_if_once() -> None:
    found = inclusion_probabilities(COUNTS, 4)
    assert found[9] == found[10] == found[11] > 0


@pytest.mark.parametrize("cutoffs", [(4,), (2, 7), (1, 11)], ids=str)
def test_groups_give_the_probabilities_that_they_are_trained_on(cutoffs: tuple) -> None:
    head = AdaptiveSoftmax(16, V, cutoffs)
    exact = copy.deepcopy(head).double()
    x = torch.randn(V, 16, dtype=torch.float64).float().double().requires_grad_()
    small = x.detach().float().requires_grad_()
    targets = torch.randperm(V)
    logits = exact.logits(x)
    # Sums of two log-softmaxes over at most V scores, each of 16 terms or of 4 that are sums of 16,
    # all below 10: under 200 roundings of the size 10. A wrong group is off by 0.1 and more.
    fine = {"rtol": 0.0, "atol": 200 * 10 * 2.0**-53}
    close = {"rtol": 0.0, "atol": 200 * 10 * U}
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(V, dtype=torch.float64), **fine)
    own = -logits[range(V), targets]
    torch.testing.assert_close(own, F.cross_entropy(logits, targets, reduction="none"), **fine)
    losses = head.losses(small, targets)
    torch.testing.assert_close(losses.double(), own, **close)
    torch.testing.assert_close(head.logits(small).double(), logits, **close)
    found = torch.autograd.grad(losses.sum(), [small, *head.parameters()])
    wanted = torch.autograd.grad(own.sum(), [x, *exact.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=V * close["atol"])
    # In the precision of the weights, where that is higher.
    losses = exact.losses(x, targets)
    torch.testing.assert_close(losses, -exact.logits(x)[range(V), targets], **fine)
    found = torch.autograd.grad(losses.sum(), [x, *exact.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=V * fine["atol"])


@pytest.mark.parametrize("training", [True, False])
def test_groups_are_summed_as_precisely_as_the_weights_whatever_is_around(training: bool) -> None:
    head = AdaptiveSoftmax(16, V, (2, 7)).train(training)
    rough, targets = torch.randn(V, 16).bfloat16(), torch.randperm(V)
    x = rough.float().requires_grad_()
    wanted = with_gradients(head, head.losses(x, targets), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head.groups.head(x).dtype == torch.bfloat16  # it is on
        found = head.losses(x, targets)
        of_rough = head.losses(rough, targets)
    for losses in (found, of_rough, head.losses(rough, targets), head.losses(x.double(), targets)):
        assert losses.dtype == torch.float32
        assert torch.equal(losses, wanted[0])
    for one, other in zip(with_gradients(head, found, x), wanted, strict=True):
        assert torch.equal(one, other)


def test_every_group_has_a_gradient_in_training_looked_into_or_not() -> None:
    head = AdaptiveSoftmax(16, V, (2, 7))
    tail = [*head.groups.tail.parameters()]
    x, targets = torch.randn(N, 16, requires_grad=True), torch.tensor([0, 1, 1, 0, 1])
    asked = [x, *head.parameters()]
    losses = head.eval().losses(x, targets)
    wanted = torch.autograd.grad(losses.sum(), asked, allow_unused=True)
    # Without it, those of no group would have none: this is what training adds.
    assert sum(gradient is None for gradient in wanted) == len(tail) > 0
    in_training = head.train().losses(x, targets)
    assert torch.equal(in_training, losses)
    found = torch.autograd.grad(in_training.sum(), asked)
    for parameter, one, other in zip(asked, found, wanted, strict=True):
        assert any(parameter is own for own in tail) == (other is None)
        assert torch.equal(one, torch.zeros_like(one) if other is None else other)


HEADS = {"full": lambda: FullSoftmax(16, V), "groups": lambda: AdaptiveSoftmax(16, V, (2, 7))}
heads = pytest.mark.parametrize("kind", HEADS)


@heads
def test_a_head_knows_its_vocabulary(kind: str) -> None:
    head = HEADS[kind]()
    assert head.vocabulary == V == head.logits(torch.randn(N, 16)).shape[1]


@heads
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("most", [1, V - 1, V, 2 * V + 1, 3 * V, 7 * V - 1, 7 * V, 1 << 24])
def test_losses_in_parts_are_those_of_the_whole(
    kind: str, training: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = HEADS[kind]().train(training)
    x, targets = torch.randn(7, 16), torch.tensor([0, 11, 3, 3, 7, 1, 11])
    with torch.no_grad():
        wanted = head.losses(x, targets)
    whole, sizes = head.losses, []

    def seen(features: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        sizes.append(len(features))
        return whole(features, own)

    monkeypatch.setattr(head, "losses", seen)
    monkeypatch.setattr(softmax_module, "_MOST_SCORES", most)
    with torch.no_grad():
        found = losses_in_parts(head, x, targets)
    assert sum(sizes) == 7
    assert all(size == 1 or size * V <= most for size in sizes)
    assert len(sizes) == math.ceil(7 / max(1, most // V))  # no more parts than there need be
    assert found.dtype == torch.float32
    # Sums of other orders on both sides: twice the roundings above. Rows mixed up are off by 1e-2.
    torch.testing.assert_close(found, wanted, rtol=0, atol=2 * 200 * 10 * U)


@heads
def test_no_rows_have_no_losses(kind: str) -> None:
    found = losses_in_parts(HEADS[kind](), torch.randn(0, 16), torch.zeros(0, dtype=torch.int64))
    assert (found.shape, found.dtype) == ((0,), torch.float32)


@pytest.mark.parametrize("size", [1, 3, 15])
def test_groups_of_a_narrow_layer_still_read_it(size: int) -> None:
    head = AdaptiveSoftmax(size, V, (4, 8))  # where a group has no weights, PyTorch warns
    assert all(parameter.numel() for parameter in head.parameters())
