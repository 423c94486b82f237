"""Dynamic evaluation and the cache: against the papers' equations, slowly and step by step."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from tests.tasks.language_modeling.small_texts import (
    TEXT,
    fitted,
    random_tokens,
    small_model,
    small_network,
)
from torch import Tensor

from carousel.errors import OptionError
from carousel.tasks.language_modeling.adaptation import (
    Adaptation,
    AdaptationOptions,
    _root,
    gradient_statistics,
)
from carousel.tasks.language_modeling.evaluation import initial_state, token_nats
from carousel.tasks.language_modeling.network import LanguageNetwork

# The softmax is taken in single precision, with roundings of 6e-8 of scores of about 10, whose
# gradients, over some 40 updates, are all that the two computations differ by.
CLOSE = {"rel": 1e-4, "abs": 1e-5}

DYNAMIC = AdaptationOptions(dynamic=True, dynamic_rate=0.003, dynamic_decay=0.05, dynamic_steps=4)
CACHE = AdaptationOptions(cache=True, cache_size=20, cache_flatness=0.8, cache_weight=0.3)
BOTH = AdaptationOptions(
    dynamic=True, dynamic_rate=0.003, dynamic_steps=4, cache=True, cache_weight=0.3
)


@pytest.fixture(scope="module")
def network() -> LanguageNetwork:
    return small_network()


@pytest.fixture(scope="module")
def statistics(network: LanguageNetwork) -> dict[str, Tensor]:
    return gradient_statistics(network, random_tokens(400, seed=5), 5)


def weights(network: LanguageNetwork) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def adapted(
    network: LanguageNetwork,
    tokens: np.ndarray,
    options: AdaptationOptions,
    statistics: dict[str, Tensor],
    boundary: int | None = None,
) -> np.ndarray:
    """The nats with adaptation; the network is afterwards what it was."""
    adapter = Adaptation(options, statistics)
    before = weights(network)
    if adapter.updates is None:
        found = token_nats(network, tokens, boundary=boundary, adapter=adapter)
    else:
        with adapter.updates.on(network):
            found = token_nats(network, tokens, boundary=boundary, adapter=adapter)
            assert options.dynamic_rate == 0 or not torch.equal(
                network.embedding.weight, before["embedding.weight"]
            )
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert all(p.grad is None for p in network.parameters())
    return found


def krause(
    network: LanguageNetwork,
    tokens: np.ndarray,
    statistics: dict[str, Tensor],
    rate: float,
    decay: float,
    steps: int,
) -> list[float]:
    """Krause 2018, section 4: g is the trained weights, RMS_g of their gradients in training."""
    moving = copy.deepcopy(network)
    g = weights(network)
    rms = {}
    for name, value in g.items():
        rows = statistics[f"{name}.rows"].tolist()
        if value.ndim == 1:
            rms[name] = torch.tensor([math.sqrt(r) for r in rows], dtype=torch.float64)
        else:
            columns = statistics[f"{name}.columns"].tolist()
            mean = sum(rows) / len(rows)
            squares = [[r * c / mean for c in columns] for r in rows]
            rms[name] = torch.tensor(squares, dtype=torch.float64).sqrt()
    average = sum(r.mean() for r in rms.values()) / len(rms)
    state, found = initial_state(moving), []
    for first in range(0, len(tokens) - 1, steps):
        segment = torch.from_numpy(tokens[first : first + steps + 1].astype(np.int64))
        features = moving(segment[:-1, None], state)
        log_p = moving.head.logits(features.dropped[:, 0]).log_softmax(1)
        nats = -log_p[torch.arange(len(segment) - 1), segment[1:]]
        found += nats.tolist()
        gradients = torch.autograd.grad(nats.mean(), list(moving.parameters()))
        state = [type(s)(s.h.detach(), s.c.detach()) for s in features.state]
        with torch.no_grad():
            for (name, theta), gradient in zip(moving.named_parameters(), gradients, strict=True):
                norm = rms[name] / average  # equation 7
                if decay:
                    norm = torch.minimum(norm, torch.full_like(norm, 1 / decay))  # equation 8
                step = -rate * gradient / (rms[name] + 2e-5)
                theta.copy_(theta + step + decay * (g[name] - theta) * norm)
    return found


@pytest.mark.parametrize(
    ("rate", "decay", "steps"), [(0.003, 0.05, 4), (0.01, 0.0, 5), (0.002, 0.9, 1)]
)
def test_dynamic_evaluation_is_that_of_the_paper(
    rate: float, decay: float, steps: int, network: LanguageNetwork, statistics: dict[str, Tensor]
) -> None:
    options = AdaptationOptions(
        dynamic=True, dynamic_rate=rate, dynamic_decay=decay, dynamic_steps=steps
    )
    tokens = random_tokens(41 * steps + steps // 2)
    found = adapted(network, tokens, options, statistics)
    wanted = krause(network, tokens, statistics, rate, decay, steps)
    assert found.tolist() == pytest.approx(wanted, **CLOSE)
    plain = token_nats(network, tokens, boundary=None)
    assert found[:steps] == pytest.approx(plain[:steps], **CLOSE)
    assert np.abs(found - plain).max() > 0.01


def test_a_decay_that_is_large_is_clipped(
    network: LanguageNetwork, statistics: dict[str, Tensor]
) -> None:
    """A pull above 1 would overshoot: with a decay of 1 every weight returns at most to its own."""
    updates = Adaptation(
        AdaptationOptions(dynamic=True, dynamic_decay=1.0, dynamic_rate=1e-3), statistics
    ).updates
    assert updates is not None
    with updates.on(network):
        pulls = torch.cat([pull.flatten() for _, _, _, pull in updates._places])
    assert pulls.max() == 1.0
    assert pulls.min() >= 0.0


def test_weights_come_back_after_an_exception(
    network: LanguageNetwork, statistics: dict[str, Tensor]
) -> None:
    adapter, before = Adaptation(DYNAMIC, statistics), weights(network)
    assert adapter.updates is not None

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), adapter.updates.on(network):
        token_nats(network, random_tokens(40), boundary=None, adapter=adapter, progress=stop)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())


def test_a_model_is_what_it_was_and_says_what_it_did() -> None:
    model = small_model()
    before, plain = weights(model.network), model.evaluate([TEXT]).model
    first = model.evaluate([TEXT], dynamic=True, dynamic_rate=0.001, cache=True)
    assert all(torch.equal(p, before[name]) for name, p in model.network.named_parameters())
    assert model.evaluate([TEXT]).model == plain != first.model
    assert "every 20 tokens, rate 0.001, decay 0.002; cache of 500 tokens" in first.adaptation
    assert any("adapts while it reads" in note for note in first.notes)


def test_a_model_just_fitted_adapts_as_it_does_ever_after() -> None:
    model = fitted([TEXT])
    first = model.evaluate([TEXT], dynamic=True, dynamic_rate=0.001)
    assert model.evaluate([TEXT], dynamic=True, dynamic_rate=0.001).model == first.model


@pytest.mark.parametrize("options", [DYNAMIC, CACHE, BOTH])
@pytest.mark.parametrize("boundary", [None, 0])
def test_no_token_is_predicted_with_knowledge_of_itself(
    options: AdaptationOptions,
    boundary: int | None,
    network: LanguageNetwork,
    statistics: dict[str, Tensor],
) -> None:
    tokens = random_tokens(70)
    tokens[[30, 31, 60]] = 0
    wanted = adapted(network, tokens, options, statistics, boundary)
    assert len(wanted) == 70
    for place in (1, 5, 29, 32, 65):
        changed = tokens.copy()
        changed[place] = changed[place] % 8 + 1
        found = adapted(network, changed, options, statistics, boundary)
        # nats[k] are those of token k + 1.
        assert np.array_equal(found[: place - 1], wanted[: place - 1])
        assert not np.array_equal(found[place - 1 :], wanted[place - 1 :])


def grave(
    network: LanguageNetwork, tokens: np.ndarray, size: int, theta: float, share: float
) -> list[float]:
    """Grave 2017, equations 2 and 3, as a double loop."""
    with torch.no_grad():
        found = network(torch.from_numpy(tokens[:-1].astype(np.int64))[:, None])
        h = found.dropped[:, 0]
        p = network.head.logits(h).softmax(1)
    nats = []
    for t, token in enumerate(tokens[1:].tolist()):
        own = p[t, token].item()
        total = same = 0.0
        for i in range(max(0, t - size), t):
            weight = math.exp(theta * sum(a * b for a, b in zip(h[t].tolist(), h[i].tolist())))  # noqa: B905
            total += weight
            same += weight * (tokens[i + 1] == token)
        nats.append(-math.log((1 - share) * own + share * same / total if t else own))
    return nats


@pytest.mark.parametrize(
    ("size", "theta", "share"), [(20, 0.8, 0.3), (1, 0.5, 0.5), (500, 0.3, 0.1), (70, 0.0, 0.9)]
)
def test_the_cache_is_that_of_the_paper(
    size: int, theta: float, share: float, network: LanguageNetwork
) -> None:
    options = AdaptationOptions(
        cache=True, cache_size=size, cache_flatness=theta, cache_weight=share
    )
    tokens = random_tokens(150)
    found = adapted(network, tokens, options, {})
    assert found.tolist() == pytest.approx(grave(network, tokens, size, theta, share), **CLOSE)


def test_the_cache_keeps_no_more_than_its_size(network: LanguageNetwork) -> None:
    cache = Adaptation(CACHE, {}).cache
    assert cache is not None
    for count in (3, 30, 7):
        cache.mixed(torch.rand(count), torch.rand(count, 5), torch.ones(count, dtype=torch.long))
        assert cache._states is not None
        assert len(cache._states) <= 20


def test_the_cache_makes_no_token_impossible() -> None:
    cache = Adaptation(CACHE, {}).cache
    assert cache is not None
    target, h = torch.tensor([1, 2]), torch.ones(2, 5)
    found = cache.mixed(torch.tensor([120.0, 120.0]), h, target)
    assert found.tolist() == pytest.approx([120.0, 120.0 - math.log(0.7)], rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        AdaptationOptions(dynamic=True, dynamic_rate=0.0),
        AdaptationOptions(cache=True, cache_weight=0.0),
    ],
)
def test_a_rate_or_weight_of_zero_changes_nothing(
    options: AdaptationOptions, network: LanguageNetwork, statistics: dict[str, Tensor]
) -> None:
    tokens = random_tokens(130)
    found = adapted(network, tokens, options, statistics)
    assert found == pytest.approx(token_nats(network, tokens, boundary=None), **CLOSE)


def test_a_token_that_training_never_had_moves_no_further_than_others() -> None:
    """Its embedding has no gradient in training, so that only ε divides that of the text."""
    model = small_model("bytes")
    updates = Adaptation(AdaptationOptions(dynamic=True), model._ready("look").statistics)
    assert updates.updates is not None
    before = model.network.embedding.weight.detach().clone()
    tokens = np.array([0, *model.tokenizer.encode("the café the café the").tolist()])
    with updates.updates.on(model.network):
        token_nats(model.network, tokens, boundary=None, adapter=updates)
        moved = (model.network.embedding.weight.detach() - before).abs().max()
    # Five updates of a rate of 3e-5 are to be small beside weights that began within 0.1.
    assert moved < 0.1


def test_both_help_on_a_text_that_repeats_itself() -> None:
    model = small_model()
    text = "sea mat cat " * 100
    plain = model.evaluate([text]).model.nats
    assert model.evaluate([text], cache=True, cache_weight=0.3).model.nats < plain
    assert model.evaluate([text], dynamic=True, dynamic_rate=1e-3).model.nats < plain


def test_factors_are_exact_for_squares_of_rank_one() -> None:
    u, v = torch.rand(7) + 0.1, torch.rand(4) + 0.1
    squares = u[:, None] * v
    statistics = {"w.rows": squares.mean(1), "w.columns": squares.mean(0), "b.rows": u}
    assert torch.allclose(_root(statistics, "w", squares), squares.sqrt(), rtol=1e-6)
    assert torch.equal(_root(statistics, "b", u), u.sqrt())
    nothing = {"w.rows": torch.zeros(7), "w.columns": torch.zeros(4)}
    assert torch.equal(_root(nothing, "w", squares), torch.zeros(7, 4))


def test_statistics_are_the_mean_squared_gradients() -> None:
    """Of 41 tokens in two columns of 20 steps each, 10 of which are one segment."""
    network, tokens = small_network(tied=True), random_tokens(40)
    before = weights(network)
    found = gradient_statistics(network, tokens, 20)
    parts = torch.from_numpy(np.stack([tokens[:21], tokens[20:41]], 1).astype(np.int64))
    head = network.head.losses(network(parts[:-1]).dropped.flatten(0, 1), parts[1:].flatten())
    gradients = torch.autograd.grad(head.mean(), list(network.parameters()))
    names = []
    for (name, p), gradient in zip(network.named_parameters(), gradients, strict=True):
        rows = gradient.square() if p.ndim == 1 else gradient.square().mean(1)
        assert torch.allclose(found[f"{name}.rows"], rows, rtol=1e-5)
        names.append(f"{name}.rows")
        if p.ndim == 2:
            columns = gradient.square().mean(0)
            assert torch.allclose(found[f"{name}.columns"], columns, rtol=1e-5)
            names.append(f"{name}.columns")
    assert sorted(found) == sorted(names)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert all(p.grad is None for p in network.parameters())


def test_statistics_of_almost_no_text() -> None:
    found = gradient_statistics(small_network(), np.array([0, 3]), 20)
    assert all(torch.isfinite(t).all() for t in found.values())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dynamic_rate": 0.1}, "'dynamic_rate' belongs to 'dynamic', which is off"),
        ({"dynamic_decay": 0.1, "cache": True}, "'dynamic_decay' belongs to 'dynamic'"),
        ({"dynamic_steps": 3}, "'dynamic_steps'"),
        ({"cache_size": 3, "dynamic": True}, "'cache_size' belongs to 'cache', which is off"),
        ({"cache_flatness": 0.0}, "'cache_flatness'"),
        ({"cache_weight": 0.0}, "'cache_weight'"),
        ({"cache": True, "cache_weight": 1.5}, "from 0.0 to 1.0"),
        ({"cache": True, "cache_size": 0}, "at least 1"),
        ({"dynamic": True, "dynamic_rate": -1.0}, "at least 0"),
        ({"cash": True}, "did you mean 'cache'"),
    ],
)
def test_options_of_a_method_that_is_off_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        AdaptationOptions(**values)
    with pytest.raises(OptionError, match=words):
        small_model().evaluate([TEXT], **values)
