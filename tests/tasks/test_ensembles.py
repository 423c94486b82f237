"""The mean of several networks' probabilities, against loops in double precision."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.tasks.ensembles import mean_log_probs

# Logarithms of float32 of a size up to 100, after up to 20 roundings.
CLOSE_LOGS = {"rtol": 0, "atol": 100 * 20 * 2.0**-24}


@given(
    st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            st.lists(
                st.lists(st.floats(-50, 50, width=32), min_size=columns, max_size=columns),
                min_size=3,
                max_size=3,
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_the_mean_of_probabilities_is_that_of_loops(scores: list[list[list[float]]]) -> None:
    found = mean_log_probs([torch.tensor(one) for one in scores])
    for row in range(3):
        sums = [sum(math.exp(score) for score in one[row]) for one in scores]
        for column in range(len(scores[0][0])):
            each = [math.exp(one[row][column]) / n for one, n in zip(scores, sums, strict=True)]
            wanted = torch.tensor(math.log(sum(each) / len(each)))
            torch.testing.assert_close(found[row, column], wanted, **CLOSE_LOGS)


def test_the_mean_of_probabilities_holds_where_members_are_sure_of_different_things() -> None:
    sure = torch.tensor([[1e4, 0.0, -1e4]])
    found = mean_log_probs([sure, sure.flip(1)])
    wanted = torch.tensor([[math.log(0.5), -1e4, math.log(0.5)]])
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    assert torch.equal(mean_log_probs([sure]), sure.log_softmax(-1))


def test_half_precision_is_averaged_in_single() -> None:
    scores = [torch.randn(4, 11).bfloat16() for _ in range(2)]
    found = mean_log_probs(scores)
    assert found.dtype == torch.float32
    assert torch.equal(found, mean_log_probs([one.float() for one in scores]))
