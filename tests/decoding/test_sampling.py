"""Sampling against a plain reference of each filter, and draws against the distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.decoding.sampling import Sampler, SamplingOptions
from carousel.errors import DataError, OptionError, ShapeError


def sampler(seed: int = 0, **chosen: Any) -> Sampler:
    return Sampler(SamplingOptions(**chosen), torch.Generator().manual_seed(seed))


def reference(
    logits: list[float],
    seen: list[int],
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
) -> np.ndarray:
    """One row, in plain loops; equal scores come in the order of their numbers."""
    scores = list(logits)
    for token in set(seen):
        better = scores[token] > 0
        scores[token] *= 1 / repetition_penalty if better else repetition_penalty
    order = sorted(range(len(scores)), key=lambda token: (-scores[token], token))
    if temperature == 0:
        return np.eye(len(scores))[order[0]]
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    for token in order[top_k or len(order) :]:
        weights[token] = 0.0
    total, before = sum(weights), 0.0
    for place, token in enumerate(order):
        before, weight = before + weights[token], weights[token]
        if place and before - weight >= top_p * total:
            weights[token] = 0.0
    return np.array(weights) / sum(weights)


# Steps of 1/4: ties are frequent, and 0 is among them. -inf forbids.
scores = st.integers(-20, 20).map(lambda k: k / 4) | st.just(-math.inf)
rows = st.lists(scores, min_size=1, max_size=12).filter(lambda row: max(row) > -math.inf)


@given(
    row=rows,
    seen=st.lists(st.integers(0, 11), max_size=5),
    temperature=st.sampled_from([0.0, 0.25, 1.0, 1.5]),
    top_k=st.integers(0, 14),
    # No share of small multiples of exp(k/4) is these, so that rounding decides nothing.
    top_p=st.sampled_from([0.0, 0.3123457, 0.7654321, 0.9512345, 1.0]),
    penalty=st.sampled_from([1.0, 1.25, 2.0]),
)
def test_the_distribution_is_that_of_the_reference(
    row: list[float], seen: list[int], temperature: float, top_k: int, top_p: float, penalty: float
) -> None:
    seen = [token % len(row) for token in seen]
    chosen: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": penalty,
    }
    found = sampler(**chosen).distribution(
        torch.tensor([row, row], dtype=torch.float64), torch.tensor([seen, seen]).long()
    )
    # A dozen sums and an exp of double precision: 100 units in the last place are plenty.
    wanted = np.stack([reference(row, seen, **chosen)] * 2)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=100 * 2.0**-52, atol=0)


@pytest.mark.parametrize("k", range(1, 9))
def test_of_equal_scores_exactly_k_survive(k: int) -> None:
    row = torch.tensor([[1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 0.0, -math.inf]])
    kept = sampler(top_k=k).distribution(row)[0].nonzero().flatten().tolist()
    assert kept == sorted([1, 4, 0, 2, 3, 5, 6][:k])


@pytest.mark.parametrize(("p", "kept"), [(0.0, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.76, 3)])
def test_as_few_survive_as_have_the_share(p: float, kept: int) -> None:
    row = torch.tensor([[0.125, 0.5, 0.25, 0.125]], dtype=torch.float64).log2() * math.log(2)
    # A hair less, because the logarithm of a half is rounded.
    found = sampler(top_p=p and p - 1e-9).distribution(row)
    assert int((found > 0).sum()) == kept
    torch.testing.assert_close(found.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_the_penalty_follows_the_sign_and_counts_a_token_once() -> None:
    row = torch.tensor([[2.0, -1.0, 0.0, 3.0, -math.inf]])
    found = sampler(repetition_penalty=2.0).distribution(row, torch.tensor([[0, 1, 0, 2, 4]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, -2.0, 0.0, 3.0, -math.inf]]).softmax(-1))


def test_nothing_seen_is_no_penalty() -> None:
    row = torch.tensor([[2.0, -1.0]])
    drawer = sampler(repetition_penalty=2.0)
    assert drawer.distribution(row).equal(row.softmax(-1))
    assert drawer.distribution(row, torch.zeros(1, 0, dtype=torch.int32)).equal(row.softmax(-1))


def test_a_penalty_forbids_nothing_by_overflow() -> None:
    row = torch.tensor([[-3e38, -3.1e38]])
    found = sampler(repetition_penalty=9.0).distribution(row, torch.tensor([[0, 1]]))
    assert found.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(
    "chosen",
    [{}, {"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.8}, {"top_k": 6, "top_p": 0.9}],
)
def test_draws_are_as_frequent_as_they_should_be(chosen: dict[str, Any]) -> None:
    row = torch.linspace(-2, 2, 9)[torch.randperm(9)].log_softmax(-1).clone()
    row[4] = -math.inf
    drawer, draws = sampler(**chosen), 20_000
    found = torch.bincount(drawer.sample(row.expand(draws, 9)), minlength=9).double()
    expected = drawer.distribution(row[None])[0].double() * draws
    possible = expected > 0
    assert not found[~possible].any()
    statistic = float(((found - expected)[possible] ** 2 / expected[possible]).sum())
    # Chi-square with n degrees of freedom exceeds n + 2·sqrt(n·x) + 2·x with a probability of at
    # most exp(-x) (Laurent and Massart 2000, lemma 1): here one in a million.
    n, x = int(possible.sum()) - 1, math.log(1e6)
    assert statistic < n + 2 * math.sqrt(n * x) + 2 * x


def test_a_sequence_of_draws_is_as_frequent_as_a_batch() -> None:
    row = torch.tensor([[0.0, math.log(3.0)]])
    drawer, draws = sampler(), 2_000
    ones = sum(int(drawer.sample(row)) for _ in range(draws))
    # Hoeffding: |mean - 3/4| > e has a probability of at most 2·exp(-2·draws·e²), one in a million.
    assert abs(ones / draws - 0.75) < math.sqrt(math.log(2e6) / (2 * draws))


def test_a_seed_gives_the_same_sequence() -> None:
    rows = torch.randn(3, 66)
    first, again, other = sampler(1), sampler(1), sampler(2)
    drawn = [[one.sample(rows).tolist() for _ in range(20)] for one in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_temperature_zero_takes_the_first_of_the_most_likely() -> None:
    rows = torch.tensor([[1.0, 3.0, 3.0], [-math.inf, -5.0, -6.0], [-1e38, -2e38, -1e38]])
    drawer = sampler(temperature=0.0, top_k=2, top_p=0.5)
    before = drawer.generator.get_state()
    assert drawer.sample(rows).tolist() == [1, 1, 0]
    assert drawer.distribution(rows).tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert drawer.generator.get_state().equal(before)
    repeated = sampler(temperature=0.0, repetition_penalty=2.0).sample(
        rows, torch.tensor([[1]] * 3)
    )
    assert repeated.tolist() == [2, 2, 0]


@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 1e-3, 1.0, 100.0])
def test_extreme_scores_and_temperatures_are_survived(temperature: float) -> None:
    rows = torch.tensor([[3e38, 1.0, -3e38], [3e38, 2e38, -math.inf], [-1e-30, -3e38, -3e38]])
    drawer = sampler(temperature=temperature)
    assert drawer.distribution(rows).tolist() == [[1.0, 0.0, 0.0]] * 3
    assert drawer.sample(rows).tolist() == [0, 0, 0]


def test_high_temperature_evens_out() -> None:
    found = sampler(temperature=100.0).distribution(torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.01, 0.02, 0.03]]).softmax(-1))


def test_what_is_forbidden_is_never_drawn() -> None:
    rows = torch.full((5_000, 40), -math.inf)
    rows[:, [7, 20]] = 0.0
    assert {*sampler().sample(rows).tolist()} == {7, 20}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_of_half_precision_are_summed_in_single(dtype: torch.dtype) -> None:
    rows = torch.randn(2, 9).to(dtype)
    assert sampler(top_k=3).distribution(rows).dtype == torch.float32
    torch.testing.assert_close(sampler().distribution(rows), rows.float().softmax(-1))


def test_the_scores_stay_as_they_were() -> None:
    rows = torch.randn(2, 9)
    kept = rows.clone()
    chosen = sampler(temperature=0.5, top_k=4, top_p=0.5, repetition_penalty=2.0)
    chosen.sample(rows, torch.tensor([[0, 1], [2, 3]]))
    assert rows.equal(kept)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([math.nan, 1.0, 2.0, 0.0], "got nan in row 1"),
        ([2.0, 1.0, math.nan, 0.0], "got nan in row 1"),
        ([2.0, 1.0, math.inf, 0.0], "got inf in row 1"),
        ([-math.inf] * 4, "got only -inf, which forbids every token, in row 1"),
    ],
)
@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"temperature": 0.0},
        {"temperature": 2.0},
        {"top_k": 1},
        {"top_k": 2},
        {"top_p": 0.1},
        {"repetition_penalty": 2.0},
    ],
)
def test_unsound_scores_are_refused(bad: list[float], message: str, chosen: dict[str, Any]) -> None:
    rows, seen = torch.tensor([[0.0] * 4, bad]), torch.tensor([[0], [2]])
    for ask in (sampler(**chosen).sample, sampler(**chosen).distribution):
        with pytest.raises(DataError, match=message):
            ask(rows, seen)


@pytest.mark.parametrize(
    "chosen",
    [
        {"temperature": -0.1},
        {"temperature": 1e-50},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_p": 1.1},
        {"top_p": -0.1},
        {"repetition_penalty": 0.9},
    ],
)
def test_options_out_of_range_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(chosen))):
        SamplingOptions(**chosen)


def test_scores_without_a_batch_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected scores of shape \(B, V\), got \(3,\)"):
        # Past the annotation, which would refuse it too, but only in tests.
        sampler()._scores(torch.zeros(3), None)
