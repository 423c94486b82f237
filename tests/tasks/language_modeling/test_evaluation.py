"""The nats of a text: against a loop that takes one step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tests.tasks.language_modeling.small_texts import random_tokens, small_network
from torch import Tensor

from carousel.nn import State
from carousel.tasks.language_modeling import evaluation
from carousel.tasks.language_modeling.evaluation import Adapter, initial_state, token_nats
from carousel.tasks.language_modeling.network import LanguageNetwork

# The softmax is taken in single precision: a few roundings of 6e-8 of scores of about 10.
CLOSE = {"rel": 1e-5, "abs": 1e-5}

DOCUMENTS = [random_tokens(n, seed=n)[1:] for n in (20, 1, 0, 7, 60, 25, 2, 2, 30, 13, 0, 5)] * 2
MANY = np.concatenate([[0], *[[*document, 0] for document in DOCUMENTS]]).astype(np.uint16)


@torch.no_grad()
def by_hand(network: LanguageNetwork, tokens: np.ndarray) -> list[float]:
    """One token at a time, from a state of zeros."""
    state, found = None, []
    for now, then in zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True):
        features = network(torch.tensor([[now]]), state)
        state = features.state
        found.append(-network.head.logits(features.dropped[0]).log_softmax(1)[0, then].item())
    return found


def by_documents(network: LanguageNetwork) -> list[float]:
    """Each document by itself, between its begin and its end."""
    found: list[float] = []
    for document in DOCUMENTS:
        found += by_hand(network, np.concatenate([[0], document, [0]]))
    return found


class Plain:
    """An adapter that learns nothing."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.sizes: list[int] = []

    def losses(
        self, network: LanguageNetwork, inputs: Tensor, targets: Tensor, state: Sequence[State]
    ) -> tuple[Tensor, list[State]]:
        self.sizes.append(len(inputs))
        with torch.no_grad():
            found = network(inputs, state)
            return network.head.losses(found.dropped[:, 0], targets), found.state


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"cutoffs": (4,)}, {"num_layers": 1}])
def test_one_document_is_a_loop_over_its_tokens(options: dict[str, object]) -> None:
    network = small_network(**options)
    tokens = random_tokens(270)
    found = token_nats(network, tokens, boundary=None)
    assert found.dtype == np.float64
    assert found.shape == (270,)
    assert found.tolist() == pytest.approx(by_hand(network, tokens), **CLOSE)


def test_a_boundary_inside_one_document_is_a_token_as_any() -> None:
    network = small_network()
    found = token_nats(network, MANY, boundary=None)
    assert found.tolist() == pytest.approx(by_hand(network, MANY), **CLOSE)


def test_documents_beside_each_other_are_each_by_itself() -> None:
    network = small_network()
    found = token_nats(network, MANY, boundary=0)
    assert len(found) == len(MANY) - 1
    assert found.tolist() == pytest.approx(by_documents(network), **CLOSE)


def test_a_single_document_with_a_boundary() -> None:
    network = small_network()
    tokens = np.array([0, *random_tokens(50)[1:], 0])
    assert token_nats(network, tokens, boundary=0).tolist() == pytest.approx(
        by_hand(network, tokens), **CLOSE
    )
    assert len(token_nats(network, tokens[:2], boundary=0)) == 1


def test_the_last_document_may_be_cut() -> None:
    network = small_network()
    found = token_nats(network, MANY[:-4], boundary=0)
    assert found.tolist() == pytest.approx(by_documents(network)[:-4], **CLOSE)


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (7, 3), (1000, 100)])
@pytest.mark.parametrize("boundary", [None, 0])
def test_how_much_is_read_at_once_does_not_matter(
    steps: int, rows: int, boundary: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network()
    wanted = token_nats(network, MANY, boundary=boundary)
    monkeypatch.setattr(evaluation, "_STEPS", steps)
    monkeypatch.setattr(evaluation, "_ROWS", rows)
    told: list[int] = []
    found = token_nats(network, MANY, boundary=boundary, progress=told.append)
    assert found == pytest.approx(wanted, **CLOSE)
    assert sum(told) == len(MANY) - 1


@pytest.mark.parametrize("steps", [1, 5, 64, 10_000])
@pytest.mark.parametrize("boundary", [None, 0])
def test_an_adapter_that_learns_nothing_changes_nothing(steps: int, boundary: int | None) -> None:
    network, plain = small_network(), Plain(steps)
    assert isinstance(plain, Adapter)
    told: list[int] = []
    found = token_nats(network, MANY, boundary=boundary, adapter=plain, progress=told.append)
    assert found == pytest.approx(token_nats(network, MANY, boundary=boundary), **CLOSE)
    assert sum(told) == sum(plain.sizes) == len(MANY) - 1
    assert max(plain.sizes) <= steps


def test_the_first_state_is_zero() -> None:
    state = initial_state(small_network(tied=True), batch=3)
    assert [tuple(s.h.shape) for s in state] == [(1, 3, 6), (1, 3, 5)]
    assert not any(part.any() for s in state for part in s)
    assert state[0].h.data_ptr() != state[0].c.data_ptr()
