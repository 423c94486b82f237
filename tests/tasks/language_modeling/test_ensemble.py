"""Several networks that predict together: against each of them alone, averaged by hand."""

from __future__ import annotations

import dataclasses
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
    QUICK,
    SMALL,
    TEXT,
    fitted,
    random_tokens,
    restored,
)

from carousel.data.batching import Shard
from carousel.decoding.sampling import SamplingOptions
from carousel.errors import CheckpointError, ModelError, OptionError
from carousel.nn import State
from carousel.tasks.language_modeling import LanguageModel
from carousel.tasks.language_modeling.adaptation import (
    Adaptation,
    AdaptationOptions,
    gradient_statistics,
)
from carousel.tasks.language_modeling.ensemble import Ensemble, Network, make_network, sample_by
from carousel.tasks.language_modeling.evaluation import initial_state, token_nats
from carousel.tasks.language_modeling.generation import generated_tokens
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.plan import make_plan
from carousel.tasks.language_modeling.training import LanguageModelingTask
from carousel.training import RunOptions

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


def test_a_run_gives_each_member_the_gradient_that_it_would_have_alone() -> None:
    """Whatever the optimizer makes of it, and with what the options add to the loss."""
    options = LanguageModelingOptions(
        members=3, activation_regularization=2, temporal_activation_regularization=1, hidden_size=6,
        embedding_size=5, num_layers=2, bptt=8, input_dropout=0, output_dropout=0, weight_dropout=0,
    )  # fmt: skip
    plan, run = make_plan(options, V, 400)
    complete = RunOptions(max_steps=1).filled(**run).complete()
    tokens, nothing = random_tokens(400), np.zeros(0, np.uint16)
    made = ensemble(**plan.network()).train()

    def gradients(network: Network, members: int) -> dict[str, torch.Tensor]:
        task = LanguageModelingTask(
            network, tokens, nothing, dataclasses.replace(plan, members=members), complete,
            boundary=None,
        )  # fmt: skip
        network.zero_grad()
        total, weight = task.loss(network, next(task.batches(0, 0, Shard())))
        (total / weight).backward()
        return {"loss": total.detach(), **{n: p.grad for n, p in network.named_parameters()}}

    together = gradients(made, 3)
    together = {name: value.clone() for name, value in together.items()}
    losses = []
    for number, member in enumerate(made.members):
        alone = gradients(member, 1)
        losses.append(alone.pop("loss"))
        for name, gradient in alone.items():
            found = together[f"members.{number}.{name}"]
            torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together["loss"], torch.stack(losses).mean())


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
    counts = torch.arange(V)
    sample_by(made, counts, 4)
    assert all(member.head.inclusion is not None for member in made.members)
    # Members that are alike differ in what they drew.
    made.members[1].load_state_dict(made.members[0].state_dict())
    tokens, targets = drawn()
    features = made(tokens).dropped.flatten(0, 1).tensor_split(2, 1)
    torch.manual_seed(1)
    first, second = (m.head.losses(x, targets) for m, x in zip(made.members, features, strict=True))
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    found = made.head.losses(torch.cat(features, 1), targets)
    torch.testing.assert_close(found, (first + second) / 2)
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


def test_members_that_are_alike_are_one_network_to_the_cache() -> None:
    made, tokens = ensemble(2), random_tokens(200)
    made.members[1].load_state_dict(made.members[0].state_dict())
    options = AdaptationOptions(cache=True, cache_size=30, cache_flatness=0.7, cache_weight=0.4)
    both, one = (
        token_nats(network, tokens, boundary=None, adapter=Adaptation(options, {}))
        for network in (made, made.members[0])
    )
    np.testing.assert_allclose(both, one, atol=1e-5)


def test_a_repetition_penalty_is_felt() -> None:
    """Scores that are all below 0 would be multiplied, the likeliest by almost nothing."""
    made = ensemble()
    options = SamplingOptions(temperature=0.0, repetition_penalty=20.0)
    found = list(itertools.islice(generated_tokens(made, [0, 3], options, seed=0), 8))
    assert len({*found, 3}) == 9 - (len(found) - len(set(found)))
    plain = SamplingOptions(temperature=0.0)
    repeats = list(itertools.islice(generated_tokens(made, [0, 3], plain, seed=0), 8))
    assert len(set(found)) > len(set(repeats))


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


@pytest.mark.parametrize("softmax", ["sampled", "adaptive"])
def test_words_are_learned_by_members_too(softmax: str) -> None:
    model = fitted([TEXT], tokenizer="words", members=2, softmax=softmax, embedding_dropout=0.1)
    assert math.isfinite(model.evaluate([OTHER]).model.nats)


def test_the_share_of_n_grams_is_no_part_of_a_run(tmp_path: Path) -> None:
    run = dataclasses.replace(QUICK, checkpoint=str(tmp_path / "run"))
    model = LanguageModel(**SMALL, members=2).fit([TEXT], run=run)
    again = dataclasses.replace(run, resume=True)
    other = LanguageModel(**SMALL, members=2, ngram_weight=0.2).fit([TEXT], run=again)
    for one, two in zip(model.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(CheckpointError, match="members was 2, is 3"):
        LanguageModel(**SMALL, members=3).fit([TEXT], run=again)


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
    assert first.title.startswith("language model, network 0 of 2, “")
    with pytest.raises(OptionError, match=r"member expects the number of one of the 2 networks"):
        model.inspect(OTHER, member=2)
    with pytest.raises(OptionError, match=r"member expects 0, for one network answers"):
        fitted([TEXT]).inspect(OTHER, member=1)


def test_a_model_of_an_earlier_version_is_one_network() -> None:
    model = fitted([TEXT])
    assert restored(model, {}, without=["members"]).plan == model._ready("look").plan
    for found, said in (
        (0, "a number from 1 on"),
        (100_000, "up to 16 networks"),
        (2, "1, the networks that have weights"),
    ):
        with pytest.raises(ModelError, match=f"{said} as 'plan.members', got {found}"):
            restored(model, {"members": found})
