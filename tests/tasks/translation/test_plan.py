"""The plan: nothing is left open, what is given is taken, and few pairs ask for less."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import OptionError
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.options import TranslationOptions
from carousel.tasks.translation.plan import Plan, make_plan, vocabulary_size
from carousel.training import RunOptions

FEW, SOME, MANY = 12_000, 80_000, 80_001  # the last of two bands, and the first of the third


def planned(
    pairs: int = FEW, optimizer: str | None = None, **values: Any
) -> tuple[Plan, dict[str, Any]]:
    return make_plan(TranslationOptions(**values), pairs, optimizer)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("pairs", [10, FEW, FEW + 1, SOME, MANY, 10**7])
def test_nothing_is_left_open(pairs: int, shared: bool) -> None:
    plan, run = planned(pairs, shared_vocabulary=shared)
    assert None not in dataclasses.asdict(plan).values()
    complete = RunOptions().filled(**run).complete()
    decided = ("batch_size", "optimizer", "learning_rate", "weight_decay", "clip_norm", "average")
    assert None not in [getattr(complete, name) for name in decided]
    assert complete.max_minutes == 10
    with torch.device("meta"):
        network = TranslationNetwork(plan.members, 300, 300, **plan.network())
    assert len(network.members) == plan.members
    member = network.members[0]
    assert len(member.encoder.layers) == plan.encoder_layers
    assert len(member.decoder.layers) == plan.decoder_layers
    assert (member.encoder.embedding is member.decoder.embedding) == plan.tied_source == shared


def test_more_pairs_get_more_and_less_dropout() -> None:
    few, some, many = (planned(pairs)[0] for pairs in (FEW, SOME, MANY))
    assert planned(FEW + 1)[0] == some != few
    assert planned(10)[0] == few
    assert planned(10**7)[0] == many != some
    sizes = [(plan.embedding_size, plan.hidden_size) for plan in (few, some, many)]
    assert sizes == sorted(sizes)
    dropout = [field.name for field in dataclasses.fields(Plan) if "dropout" in field.name]
    assert len(dropout) == 5
    assert all(getattr(many, name) <= getattr(few, name) for name in dropout)
    none = TranslationOptions()
    vocabularies = [vocabulary_size(none, pairs) for pairs in (10, FEW, FEW + 1, SOME, MANY)]
    assert vocabularies == sorted(vocabularies)
    assert len(set(vocabularies)) == 3
    assert {vocabulary_size(TranslationOptions(vocabulary_size=999), n) for n in (10, MANY)} == {
        999
    }


@pytest.mark.parametrize("pairs", [FEW, SOME, MANY])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("embedding_size", 3),
        ("hidden_size", 6),
        ("encoder_size", 7),
        ("encoder_layers", 3),
        ("decoder_layers", 1),
        ("residual", False),
        ("attention", "dot"),
        ("input_feeding", True),
        ("tied", False),
        ("tied_source", False),
        ("word_dropout", 0.0),
        ("input_dropout", 0.125),
        ("hidden_dropout", 0.0),
        ("output_dropout", 0.125),
        ("weight_dropout", 0.125),
        ("label_smoothing", 0.0),
        ("guided_alignment", 2.0),
        ("members", 3),
    ],
)
def test_what_is_given_is_taken_and_changes_nothing_else(name: str, value: Any, pairs: int) -> None:
    plan, run = planned(pairs, **{name: value})
    usual, usual_run = planned(pairs)
    taken = {name: value}
    if name == "hidden_size":  # of which each direction that reads has half
        taken["encoder_size"] = value // 2
    assert plan == dataclasses.replace(usual, **taken)
    assert run == usual_run


@pytest.mark.parametrize("sizes", [{"hidden_size": 7}, {"hidden_size": 8, "encoder_size": 5}])
def test_dot_scores_need_states_of_one_size(sizes: dict[str, int]) -> None:
    made = {"hidden_size": 7} | {"encoder_size": 4} | sizes
    with pytest.raises(OptionError, match=f"{made['hidden_size']} and {made['encoder_size']}"):
        planned(attention="dot", **sizes)
    assert planned(**sizes)[0].encoder_size == made["encoder_size"]


def test_a_plan_has_every_option_that_makes_a_network() -> None:
    """Else one of them could be forgotten between the options and the network."""
    names = {field.name for field in dataclasses.fields(Plan)}
    others = {"source_field", "target_field", "reverse", "encoding", "max_words", "max_ratio"}
    others |= {"validation", "holdout", "vocabulary_size", "shared_vocabulary"}
    assert {field.name for field in dataclasses.fields(TranslationOptions)} == names | others
    plan = planned()[0]
    assert names - set(plan.network()) == {"label_smoothing", "guided_alignment", "members"}


def test_two_vocabularies_have_two_embeddings() -> None:
    assert planned()[0].tied_source
    for given_too in ({}, {"tied_source": False}):
        plan, _ = planned(shared_vocabulary=False, **given_too)
        assert plan == dataclasses.replace(planned()[0], tied_source=False)


def test_steps_that_are_read_by_themselves_drop_no_weights() -> None:
    with pytest.raises(OptionError, match=r"'weight_dropout' .*'input_feeding' .*leave one"):
        planned(input_feeding=True, weight_dropout=0.1)
    assert planned(input_feeding=True, weight_dropout=0.0)[0].input_feeding


@given(pairs=st.integers(1, 2_000))
def test_few_pairs_get_small_batches(pairs: int) -> None:
    _, run = planned(pairs)
    assert 1 <= run["batch_size"] <= planned()[1]["batch_size"]
    # Either a batch is one pair, or a pass over them has eight batches at least.
    assert run["batch_size"] == 1 or pairs // run["batch_size"] >= 8
    RunOptions().filled(**run)


def test_rates_belong_to_their_optimizer() -> None:
    usual = planned()
    assert planned(optimizer="adamw") == usual
    plan, run = planned(optimizer="sgd")
    assert plan == usual[0]
    assert run == {name: usual[1][name] for name in ("average", "batch_size", "max_minutes")}
    complete = RunOptions(optimizer="sgd").filled(**run).complete()
    plain = RunOptions(optimizer="sgd", max_steps=1).complete()
    for name in ("learning_rate", "weight_decay", "momentum", "clip_norm"):
        assert getattr(complete, name) == getattr(plain, name)


def test_a_given_run_outranks_the_plan() -> None:
    given = RunOptions(max_steps=5, batch_size=3, average=0.0, learning_rate=1.0)
    filled = given.filled(**planned()[1])
    assert (filled.max_steps, filled.max_minutes, filled.batch_size) == (5, None, 3)
    assert (filled.average, filled.learning_rate, filled.optimizer) == (0.0, 1.0, "adamw")
    assert planned()[1] == planned()[1]
    assert planned()[1] is not planned()[1]  # whoever changes one changes no other


@pytest.mark.parametrize("values", [{}, {"members": 2, "guided_alignment": 1}])
def test_a_plan_is_plain_json(values: dict[str, Any]) -> None:
    plan, _ = planned(**values)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("unknown", [{"hidden": 3}, {}])
def test_a_plan_of_other_names_is_refused(unknown: dict[str, int]) -> None:
    values = planned()[0].to_dict()
    if not unknown:
        del values["members"]
    with pytest.raises(TypeError, match=r"hidden|members"):
        Plan.from_dict({**values, **unknown})
