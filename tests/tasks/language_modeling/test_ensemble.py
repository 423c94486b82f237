"""Several networks that predict together: against each of them alone, averaged by hand."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.tasks.language_modeling.small_texts import (
    DOCUMENTS,
    KINDS,
    OTHER,
    TEXT,
    fitted,
    random_tokens,
)

from carousel.decoding.sampling import SamplingOptions
from carousel.errors import ModelError, OptionError
from carousel.nn import State
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling.adaptation import gradient_statistics
from carousel.tasks.language_modeling.ensemble import Ensemble, make_network, sample_by
from carousel.tasks.language_modeling.evaluation import initial_state, token_nats
from carousel.tasks.language_modeling.generation import generated_tokens
from carousel.tasks.language_modeling.network import LanguageNetwork

V, T, B = 9, 7, 3
SIZES: dict[str, Any] = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2, "tied": False}
# Softmaxes in single precision, of a few roundings each, of numbers below 20.
CLOSE = {"rtol": 0, "atol": 1e-5}


def ensemble(members: int = 3, **options: Any) -> Ensemble:
    """Returns members that differ, with weights that matter, in double precision."""
    torch.manual_seed(3)
    made = Ensemble(members, V, **{**SIZES, **options}).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.7)
    return made


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return torch.randint(1, V, (T, B)), torch.randint(1, V, (T * B,))


def mixed(made: Ensemble, tokens: torch.Tensor) -> torch.Tensor:
    """The mean of what each member says of every step, (T·B, V)."""
    shares = []
    for member in made.members:
        found = member(tokens)
        shares.append(member.head.logits(found.dropped.flatten(0, 1)).softmax(-1))
    return torch.stack(shares).mean(0)


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"cutoffs": (3, 6)}], ids=str)
def test_an_ensemble_says_the_mean_of_what_its_members_say(options: dict[str, Any]) -> None:
    made = ensemble(**options)
    tokens, targets = drawn()
    features = made(tokens).dropped.flatten(0, 1)
    wanted = mixed(made, tokens)
    torch.testing.assert_close(made.head.logits(features).exp(), wanted.float(), **CLOSE)
    own = -wanted[torch.arange(T * B), targets].log()
    found = made.head.losses(features, targets)
    torch.testing.assert_close(found.double(), own, **CLOSE)
    each = torch.stack(
        [m.head.losses(m(tokens).dropped.flatten(0, 1), targets) for m in made.members]
    )
    assert (found <= each.mean(0) + 1e-5).all()  # as Jensen's inequality has it
    assert (found < each.mean(0) - 1e-3).any()


def test_in_training_each_member_learns_as_it_would_alone() -> None:
    made = ensemble().train()
    tokens, targets = drawn()
    losses = made.head.losses(made(tokens).dropped.flatten(0, 1), targets)
    losses.sum().backward()
    for member in made.members:
        found = {name: p.grad.clone() for name, p in member.named_parameters()}
        member.zero_grad()
        member.head.losses(member(tokens).dropped.flatten(0, 1), targets).sum().backward()
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(3 * found[name], parameter.grad, rtol=1e-5, atol=1e-6)


def test_the_state_goes_on_from_call_to_call() -> None:
    made = ensemble()
    tokens, _ = drawn()
    whole = made(tokens)
    first = made(tokens[:4])
    assert [s.h.shape for s in first.state] == [(1, B, layer.hidden_size) for layer in made.layers]
    second = made(tokens[4:], first.state)
    torch.testing.assert_close(torch.cat([first.dropped, second.dropped]), whole.dropped)
    for one, other in zip(second.state, whole.state, strict=True):
        torch.testing.assert_close(one.c, other.c)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[4] = True
    torch.testing.assert_close(made(tokens, None, reset).dropped[4:], made(tokens[4:]).dropped)


def test_one_network_is_an_ensemble_of_itself() -> None:
    made = make_network(V, 1, **SIZES)
    assert isinstance(made, LanguageNetwork)
    assert made.members == [made]
    several = make_network(V, 2, **SIZES)
    assert isinstance(several, Ensemble)
    first, second = (list(member.parameters()) for member in several.members)
    assert any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_each_member_draws_a_sample_of_its_own() -> None:
    made = make_network(V, 2, **SIZES)
    sample_by(made, torch.arange(V), 4)
    assert all(member.head.inclusion is not None for member in made.members)
    grouped = make_network(V, 2, **SIZES, cutoffs=(3, 6))
    sample_by(grouped, torch.arange(V), 4)  # whose softmax is of another kind
    assert [type(member.head).__name__ for member in grouped.members] == ["AdaptiveSoftmax"] * 2


@pytest.mark.parametrize("boundary", [None, 0])
def test_a_text_costs_the_nats_of_the_mean(boundary: int | None) -> None:
    made, tokens = ensemble(), random_tokens(300)
    tokens[100] = 0
    found = token_nats(made, tokens, boundary=boundary)
    each = [token_nats(member, tokens, boundary=boundary) for member in made.members]
    np.testing.assert_allclose(found, -np.log(np.mean(np.exp(-np.array(each)), 0)), atol=1e-5)
    assert len(initial_state(made)) == 6


def test_generation_follows_the_mean_and_never_writes_what_is_forbidden() -> None:
    made, prompt = ensemble(), [0, 3, 1]
    greedy = SamplingOptions(temperature=0.0)
    found = list(itertools.islice(generated_tokens(made, prompt, greedy, seed=0), 30))
    text = list(prompt)
    for _ in range(30):
        text.append(int(mixed(made, torch.tensor(text)[:, None])[-1].argmax()))
    assert found == text[3:]
    common = max(set(found), key=found.count)
    others = generated_tokens(made, prompt, greedy, seed=0, forbidden=[common])
    assert common not in list(itertools.islice(others, 30))


def test_statistics_are_of_every_member() -> None:
    made = ensemble(2)
    found = gradient_statistics(made, random_tokens(400, seed=5), 5)
    names = {name for name, _ in made.named_parameters()}
    assert {name.rsplit(".", 1)[0] for name in found} == names
    assert all(bool((one >= 0).all()) and bool(one.any()) for one in found.values())


# --- a model that has members -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_members_does_what_others_do(kind: str, tmp_path: Path) -> None:
    model = fitted(DOCUMENTS, tokenizer=kind, members=2)
    report = model.evaluate(DOCUMENTS)
    assert math.isfinite(report.model.nats)
    both = model.evaluate([OTHER], dynamic=True, cache=True)
    assert math.isfinite(both.model.nats)
    plain = model.evaluate([OTHER])
    assert both.model.nats != plain.model.nats
    assert model.evaluate([OTHER]).model.nats == plain.model.nats  # it is what it was
    assert model.score(OTHER).total > 0
    assert "2 members, each with 1 LSTM layer of " in model.card
    kept = LanguageModel.load(model.save(tmp_path / "m"))
    assert kept.generate("the cat", max_tokens=20, seed=1) == model.generate(
        "the cat", max_tokens=20, seed=1
    )
    assert kept.evaluate([OTHER]).model.nats == plain.model.nats
    assert kept.evaluate([OTHER], dynamic=True, cache=True).model.nats == both.model.nats


@pytest.mark.parametrize("tied", [True, False])
def test_members_are_stored_each_with_its_own_weights(tied: bool, tmp_path: Path) -> None:
    model = fitted([TEXT], members=2, tied=tied)
    place = model.save(tmp_path / "m")
    names = set(safetensors.torch.load((place / "model.safetensors").read_bytes()))
    outputs = {name for name in names if name.endswith("head.weight")}
    wanted = set() if tied else {"members.0.head.weight", "members.1.head.weight"}
    assert outputs == wanted
    kept = dict(LanguageModel.load(place).network.named_parameters())
    for name, parameter in model.network.named_parameters():
        assert torch.equal(kept[name], parameter)


def test_one_of_the_members_is_inspected() -> None:
    model = fitted([TEXT], members=2)
    first, second = (model.inspect(OTHER, member=k, explain="both") for k in range(2))
    assert list(first.layers) == list(second.layers) == ["layers.0.l0"]
    tokens = torch.tensor(model.tokenizer.encode(OTHER).astype(np.int64))[:, None]
    for k, seen in enumerate((first, second)):
        member = model.network.members[k]
        begin = member(torch.tensor([[model.tokenizer.end]])).state
        with torch.no_grad():
            out, _ = member.layers[0](member.embedding(tokens), State(*begin[0]))
        np.testing.assert_allclose(seen.layers["layers.0.l0"].h, out[:, 0].numpy(), atol=1e-5)
    with pytest.raises(OptionError, match=r"member expects the number of one of the 2 networks"):
        model.inspect(OTHER, member=2)
    with pytest.raises(OptionError, match=r"member expects 0, for one network answers"):
        fitted([TEXT]).inspect(OTHER, member=1)


def test_a_model_of_an_earlier_version_is_one_network(tmp_path: Path) -> None:
    model = fitted([TEXT])
    parts = model._ready("save")
    config = parts.config()
    del config["plan"]["members"], config["options"]["members"]
    kept = type(parts).restore(config, parts.tensors(), {**parts.assets(), "history.jsonl": b""})
    assert kept.plan == parts.plan
    with pytest.raises(ModelError, match=r"'plan\.members', got 0"):
        config["plan"]["members"] = 0
        type(parts).restore(config, parts.tensors(), {**parts.assets(), "history.jsonl": b""})
