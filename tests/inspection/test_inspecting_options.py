"""``carousel.inspect``: options that do not fit, and what its user is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import carousel
from carousel.errors import OptionError, ShapeError

T, B, I, H = 7, 3, 5, 6  # noqa: E741


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"names": "abc"}, ShapeError, f"expected {T}, one for each step of axis 'input', got 3$"),
        ({"kind": "word"}, OptionError, "did you mean 'words'"),
        ({"row": 3}, ShapeError, "one of the 3 sequences .* from 0 to 2, got 3"),
        ({"row": -1}, ShapeError, "counted from 0, got -1"),
        ({"columns": ["a"], "kind": "steps"}, OptionError, "values that they are of"),
        ({"columns": ["a"]}, ShapeError, f"expected {I} names, .* got 1"),
        ({"values": np.zeros((3, 1))}, ShapeError, rf"\(T, F\) or \(T\) .* {T} steps .*\(3, 1\)"),
        ({"tracks": {"hour": [1, 2]}}, ShapeError, r"tracks\['hour'\]: expected \(T\)"),
        ({"tracks": [1]}, OptionError, "tracks: expected a mapping from names to numbers, .* list"),
        ({"names": 20}, OptionError, f"names: expected a text, or {T} names, .* got 20"),
        ({"layers": 3}, OptionError, r"layers: expected names, such as \['lstm.l0'\], got 3"),
        ({"layers": [3]}, OptionError, r"layers: expected names, .* got \[3\]"),
        ({"values": ["a"] * T}, OptionError, "values: expected numbers, got something else"),
    ],
    ids=lambda value: "" if not isinstance(value, dict) else next(iter(value)),
)
def test_options_that_do_not_fit(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    # As users have it, without the check of every annotation that tests have.
    inspect = carousel.inspect.__wrapped__
    with pytest.raises(error, match=words):
        inspect(torch.nn.LSTM(I, H), torch.randn(T, B, I), **options)


def test_the_title() -> None:
    lstm, x = torch.nn.LSTM(I, H), torch.randn(T, B, I)
    assert carousel.inspect(lstm, x).title == "LSTM"
    assert carousel.inspect(lstm, x, title="mine").title == "mine"


class Decaying(torch.nn.Module):
    """A loop that changes the memory cell between the calls."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.cell = torch.nn.LSTMCell(I, H)
        self.decay = decay

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, c = x.new_zeros(x.shape[1], H), x.new_zeros(x.shape[1], H)
        for x_t in x:
            h, c = self.cell(x_t, (h, c))
            c = self.decay * c
        return h


def test_a_loop_that_changes_the_memory_is_warned_of() -> None:
    x = torch.randn(T, B, I)
    with pytest.warns(UserWarning, match=f"cell reads {T} sequences of a single step.*a decay"):
        seen = carousel.inspect(Decaying(0.9), x)
    assert len(seen.layers) == T
    assert len(carousel.inspect(Decaying(1.0), x).layers) == 1  # without a word


def test_axes_are_named_by_the_first_few_of_many() -> None:
    x = torch.randn(T, B, I)
    with (
        pytest.warns(UserWarning, match="single step"),
        pytest.raises(ShapeError, match=r"cell#6 1, and 1 more$"),
    ):
        carousel.inspect(Decaying(0.9), x, names="abc")


@pytest.mark.parametrize("show", ["summary", "to_dict", "to_polars"])
def test_one_layer_may_be_named_by_itself(show: str) -> None:
    seen = carousel.inspect(torch.nn.LSTM(I, H, 2), torch.randn(T, B, I))
    one, listed = getattr(seen, show)("l1"), getattr(seen, show)(["l1"])
    assert one.equals(listed) if show == "to_polars" else one == listed
    with pytest.raises(OptionError, match="no layer 'l2'"):
        getattr(seen, show)("l2")
