"""The problems of the memory benchmark are those of the papers, and its networks equal in size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from _memory_tasks import SYMBOLS, Adding, Copying, Drawn, Problem, Reber, TemporalOrder
from _memory_training import CELLS, Reader, Recipe, gains, learn, make

RECIPE = Recipe(
    hidden_size=12,
    batch_size=8,
    learning_rate=1e-2,
    seconds=1e-6,
    lengths=(20,),
    chrono=20,
    good=0.0,
    every=1,
)
PROBLEMS: dict[str, tuple[Problem, int]] = {
    "adding": (Adding(), 20),
    "copying": (Copying(), 20),
    "order of two": (TemporalOrder(symbols=2), 100),
    "order of three": (TemporalOrder(symbols=3), 100),
    "reber": (Reber(), 0),
}


def drawn(problem: Problem, length: int, size: int = 64, seed: int = 0) -> Drawn:
    return problem.draw(np.random.default_rng(seed), size, length)


def test_the_sum_is_that_of_the_two_marked_values_one_in_either_half() -> None:
    found = drawn(Adding(), 31)
    values, marks = found.inputs.unbind(2)
    assert torch.equal(marks[:15].sum(0), torch.ones(64))
    assert torch.equal(marks[15:].sum(0), torch.ones(64))
    torch.testing.assert_close((values * marks).sum(0), found.targets)
    assert float(values.min()) >= 0
    assert float(values.max()) < 1


def test_always_saying_one_has_the_error_that_the_paper_names() -> None:
    found = drawn(Adding(), 20, size=100_000)
    # The sum of two from U(0, 1) has a variance of 1/6; of 100,000 the mean is known to 0.5 %.
    ones = torch.ones(20, 100_000, 1)
    assert float(Adding().loss(ones, found)) == pytest.approx(1 / 6, rel=0.02)


def test_what_is_shown_is_to_be_said_after_the_blanks() -> None:
    found = drawn(Copying(), 50)
    given = found.inputs.argmax(2)
    assert torch.equal(given[:10], found.targets[-10:])
    assert set(given[:10].flatten().tolist()) == set(range(1, 9))
    assert (given[-11] == 9).all()
    assert not given[10:-11].any()
    assert not given[-10:].any()
    assert not found.targets[:-10].any()


def test_forgetting_all_has_the_loss_that_the_paper_names() -> None:
    found = drawn(Copying(), 50, size=8)
    said = torch.full((70, 8, 9), -1e9)
    said[:60, :, 0] = 0
    said[60:, :, 1:] = 0
    assert float(Copying().loss(said, found)) == pytest.approx(10 * math.log(8) / 70)


@pytest.mark.parametrize("symbols", [2, 3])
def test_the_class_is_the_order_of_the_symbols(symbols: int) -> None:
    found = drawn(TemporalOrder(symbols=symbols), 100, size=512)
    steps, lengths = found.inputs.argmax(2), found.lengths
    assert lengths is not None
    assert set(lengths.tolist()) == set(range(100, 111))
    places = set()
    for row, length in enumerate(lengths.tolist()):
        text = steps[:length, row].tolist()
        assert (text[0], text[-1]) == (6, 7)
        marked = [place for place, symbol in enumerate(text) if symbol in (4, 5)]
        places |= set(marked)
        assert len(marked) == symbols
        number = int("".join(str(text[place] - 4) for place in marked), 2)
        assert number == int(found.targets[row])
    ranges = [(10, 20), (50, 60)] if symbols == 2 else [(10, 20), (33, 43), (66, 76)]
    assert places == {place for low, high in ranges for place in range(low, high + 1)}


def possible_after(text: str) -> str:
    """Walks the figure of the grammar as a table of pairs of nodes, written down anew."""
    arrows = {
        (1, "T"): 2, (1, "P"): 3, (2, "S"): 2, (2, "X"): 4, (3, "T"): 3, (3, "V"): 5,
        (4, "X"): 3, (4, "S"): 6, (5, "P"): 4, (5, "V"): 6, (6, "E"): 7,
    }  # fmt: skip
    if len(text) <= 2:
        return ("TP", "B")[len(text) - 1]
    node = 1
    for symbol in text[3:]:
        if node == 7:
            return "E"
        node = arrows[node, symbol]
    if node == 7:
        return text[1]
    return "".join(sorted(symbol for at, symbol in arrows if at == node))


def test_strings_are_of_the_embedded_grammar_and_so_is_what_may_follow() -> None:
    found = drawn(Reber(), 0, size=200)
    assert found.lengths is not None
    lengths = found.lengths.tolist()
    assert max(lengths) > 20 > 9 > min(lengths) - 1
    for row, length in enumerate(lengths):
        text = "".join(SYMBOLS[int(k)] for k in found.inputs[:length, row].argmax(1))
        for step in range(length):
            following = {SYMBOLS[k] for k in found.targets[step, row].nonzero()[:, 0].tolist()}
            assert following == set(possible_after(text[: step + 1])), text[: step + 1]
        assert not found.inputs[length:, row].any()


@pytest.mark.parametrize("name", PROBLEMS)
def test_only_the_truth_is_right(name: str) -> None:
    problem, length = PROBLEMS[name]
    found = drawn(problem, length)
    right = truth(name, found, problem.outputs)
    assert not problem.wrong(right, found).any()
    assert bool(problem.wrong(-right, found).all())


def truth(name: str, found: Drawn, outputs: int) -> Tensor:
    """Returns outputs that say what is true, as surely as can be."""
    steps, size = found.inputs.shape[:2]
    if name == "adding":
        return found.targets.expand(steps, size)[..., None].contiguous()
    if name == "copying":
        return torch.nn.functional.one_hot(found.targets, outputs).float() - 0.5
    if name == "reber":
        return found.targets - 0.5
    said = torch.nn.functional.one_hot(found.targets, outputs).float() - 0.5
    return said.expand(steps, size, outputs)


def test_equal_sequences_of_a_seed_and_others_of_another() -> None:
    for problem, length in PROBLEMS.values():
        one, same, other = (drawn(problem, length, seed=seed) for seed in (0, 0, 1))
        assert torch.equal(one.inputs, same.inputs)
        assert one.inputs.shape != other.inputs.shape or not torch.equal(one.inputs, other.inputs)


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_cells_have_as_many_parameters(name: str) -> None:
    problem, _ = PROBLEMS[name]
    recipe = Recipe(**{**vars(RECIPE), "hidden_size": 64})
    sizes = [
        sum(parameter.numel() for parameter in make(cell, problem, recipe, 0).parameters())
        for cell in CELLS
    ]
    # One more hidden unit of the plain RNN is about 1/64 of its parameters, half of which is off.
    assert max(sizes) / min(sizes) < 1.02


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_learns_tests_and_says_how_it_went(cell: str) -> None:
    words: list[str] = []
    recipe = Recipe(**{**vars(RECIPE), "seconds": 0.5})
    found = learn(cell, Adding(), recipe, 0, words.append)
    assert found.points
    assert [point.length for point in found.points] == [20] * len(found.points)
    assert 0 < found.loss < 1
    assert 0 <= found.wrong <= 1
    assert cell in words[0]


def test_lengths_grow_when_few_are_wrong_and_the_test_is_of_the_last() -> None:
    recipe = Recipe(**{**vars(RECIPE), "lengths": (5, 7, 9), "passed": 1.0, "seconds": 5.0})
    recipe = Recipe(**{**vars(recipe), "good": 10.0})
    found = learn("LSTM", Copying(), recipe, 0, lambda text: None)
    assert [point.length for point in found.points] == [5, 7, 9]


def product(matrices: Sequence[Tensor]) -> Tensor:
    found = torch.eye(len(matrices[0]))
    for matrix in matrices:
        found = matrix @ found
    return found


def test_the_gain_of_a_plain_rnn_is_that_of_the_product_of_its_jacobians() -> None:
    torch.manual_seed(0)
    layer = torch.nn.RNN(2, 5)
    network = Reader(layer, 5, 1)
    found = drawn(Adding(), 12, size=1)
    with torch.no_grad():
        h = layer(found.inputs)[0][:, 0]
        jacobians = [(1 - step**2)[:, None] * layer.weight_hh_l0 for step in h]
    for distance in (1, 4):
        expected = product(jacobians[-distance:]).square().sum().div(5).sqrt()
        # Random signs estimate the squared norm without bias; this many to a few percent.
        gain = gains(network, found, [distance], vectors=2_000)[0]
        assert gain == pytest.approx(float(expected), rel=0.1)
