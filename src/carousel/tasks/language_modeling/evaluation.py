"""How many nats each token of a text costs: every one once, in order, the state carried.

Shape letters: N tokens, T time, B batch, D size of the last layer's output.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from carousel.nn import State
from carousel.tasks.language_modeling.ensemble import Network
from carousel.tasks.language_modeling.network import document_begins
from carousel.tasks.language_modeling.softmax import losses_in_parts

_STEPS = 256  # tokens that the network reads in one call
_ROWS = 16  # documents read beside each other


@runtime_checkable
class Adapter(Protocol):
    """What changes predictions while a text is read: dynamic evaluation, or a cache."""

    steps: int  # tokens read between two changes

    def losses(
        self, network: Network, inputs: Tensor, targets: Tensor, state: Sequence[State]
    ) -> tuple[Tensor, list[State]]:
        """Returns the nats of each target (T,) of inputs (T, 1), and the state behind them.

        What it learns from the targets may change only the predictions of later calls.
        """
        ...


def token_nats(
    network: Network,
    tokens: np.ndarray,
    *,
    boundary: int | None,
    adapter: Adapter | None = None,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Returns -ln P of every token but the first, given all before it in its document.

    Args:
        network: in evaluation mode.
        tokens: (N + 1,).
        boundary: the token that documents are separated by, at which the state is zeroed; None
            where the text is one document.
        adapter: what changes predictions on the way; it sees the tokens strictly in order.
        progress: told the number of tokens after each call of the network.

    Returns:
        (N,) float64, in nats.
    """
    if adapter is not None:
        return _adapted(network, tokens, boundary, adapter, progress)
    if boundary is None:
        return _rows(network, tokens, np.array([0, len(tokens) - 1]), None, progress)
    begins = np.flatnonzero(tokens[:-1] == boundary)
    # Documents know nothing of each other, so that several rows of them can be read at once.
    wanted = np.linspace(0, len(tokens) - 1, min(_ROWS, len(begins)) + 1)[1:-1]
    inner = begins[np.searchsorted(begins, wanted).clip(max=len(begins) - 1)]
    edges = np.unique(np.concatenate([[0], inner, [len(tokens) - 1]]))
    return _rows(network, tokens, edges, boundary, progress)


@torch.no_grad()
def _rows(
    network: Network,
    tokens: np.ndarray,
    edges: np.ndarray,
    boundary: int | None,
    progress: Callable[[int], None] | None,
) -> np.ndarray:
    """Reads the stretches between edges beside each other."""
    device = next(network.parameters()).device
    lengths = np.diff(edges)
    found = np.zeros(len(tokens) - 1)
    state: list[State] | None = None
    for first in range(0, int(lengths.max()), _STEPS):
        steps = first + np.arange(min(_STEPS, int(lengths.max()) - first))
        there = steps[:, None] < lengths[None, :]
        place = np.minimum(edges[None, :-1] + steps[:, None], len(tokens) - 2)
        inputs = torch.from_numpy(tokens[place].astype(np.int64)).to(device)
        targets = torch.from_numpy(tokens[place + 1].astype(np.int64)).to(device)
        features = network(inputs, state, document_begins(inputs, boundary))
        state = features.state
        losses = losses_in_parts(network.head, features.dropped.flatten(0, 1), targets.flatten())
        nats = losses.double().cpu().numpy().reshape(there.shape)
        found[place[there]] = nats[there]
        if progress is not None:
            progress(int(there.sum()))
    return found


def _adapted(
    network: Network,
    tokens: np.ndarray,
    boundary: int | None,
    adapter: Adapter,
    progress: Callable[[int], None] | None,
) -> np.ndarray:
    device = next(network.parameters()).device
    state = initial_state(network)
    # In one array: small ones, kept between the large ones that come and go, would keep the memory
    # of those from being used again.
    found = np.zeros(len(tokens) - 1)
    for first in range(0, len(tokens) - 1, adapter.steps):
        some = torch.from_numpy(tokens[first : first + adapter.steps + 1].astype(np.int64))
        some = some.to(device)
        nats: list[Tensor] = []
        # A document begins with a state of zeros; what was learned from others stays.
        for begin, end in _stretches(some[:-1], boundary):
            if boundary is not None and int(some[begin]) == boundary:
                state = initial_state(network)
            inputs, targets = some[begin:end, None], some[begin + 1 : end + 1]
            losses, state = adapter.losses(network, inputs, targets, state)
            nats.append(losses)
        found[first : first + len(some) - 1] = torch.cat(nats).double().cpu().numpy()
        if progress is not None:
            progress(len(some) - 1)
    return found


def _stretches(inputs: Tensor, boundary: int | None) -> list[tuple[int, int]]:
    """Returns the ranges of inputs that lie in one document each."""
    begins = [] if boundary is None else (inputs == boundary).nonzero()[:, 0].tolist()
    edges = sorted({0, *begins, len(inputs)})
    return list(itertools.pairwise(edges))


def initial_state(network: Network, batch: int = 1) -> list[State]:
    """Returns the state before a document: zeros for each layer."""
    like = next(network.parameters())
    zeros = [like.new_zeros(1, batch, layer.hidden_size) for layer in network.layers]
    return [State(h, h.clone()) for h in zeros]
