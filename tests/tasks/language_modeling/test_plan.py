"""The plan: nothing is left open, what is given is taken, and little text asks for less."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.errors import OptionError
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.tasks.language_modeling.plan import Plan, make_plan
from carousel.training import RunOptions

MANY, SMALL, TINY = 1_000_000, 500_000, 150_000  # tokens
LETTERS, WORDS = 70, 10_000  # vocabularies


def planned(vocabulary: int, tokens: int = MANY, optimizer: str | None = None, **values: Any):
    options = LanguageModelingOptions(tokenizer="words", **values)  # which may be in groups
    return make_plan(options, vocabulary, tokens, optimizer)


@pytest.mark.parametrize("softmax", ["auto", "full", "sampled", "adaptive"])
@pytest.mark.parametrize("vocabulary", [2, LETTERS, 999, 1_000, WORDS])
def test_nothing_is_left_open(vocabulary: int, softmax: str) -> None:
    plan, run = planned(vocabulary, softmax=softmax)
    assert None not in dataclasses.asdict(plan).values()
    complete = RunOptions().filled(**run).complete()
    decided = ("batch_size", "optimizer", "learning_rate", "weight_decay", "clip_norm", "average")
    assert None not in [getattr(complete, name) for name in decided]
    assert complete.max_minutes == 10
    with torch.device("meta"):
        network = LanguageNetwork(vocabulary, **plan.network())
    assert (plan.cutoffs != ()) == (softmax == "adaptive")
    assert len(network.layers) == plan.num_layers


def test_many_types_get_what_few_do_not() -> None:
    few, run_of_few = planned(LETTERS)
    many, run_of_many = planned(WORDS)
    assert (few.tied, many.tied) == (False, True)
    assert (run_of_few["optimizer"], run_of_many["optimizer"]) == ("adamw", "sgd")
    dropout = [field.name for field in dataclasses.fields(Plan) if "dropout" in field.name]
    assert len(dropout) == 5
    assert all(getattr(many, name) >= getattr(few, name) for name in dropout)
    assert planned(999)[0] == few
    assert planned(1_000)[0] == dataclasses.replace(many, samples=0)


@pytest.mark.parametrize("vocabulary", [LETTERS, WORDS])
@pytest.mark.parametrize(
    ("name", "value", "planned_as"),
    [
        ("embedding_size", 3, "embedding_size"),
        ("hidden_size", 5, "hidden_size"),
        ("num_layers", 3, "num_layers"),
        ("tied", False, "tied"),
        ("tied", True, "tied"),
        ("samples", 7, "samples"),
        ("embedding_dropout", 0.0, "embedding_dropout"),
        ("input_dropout", 0.125, "input_dropout"),
        ("hidden_dropout", 0.0, "hidden_dropout"),
        ("hidden_dropout", 0.125, "hidden_dropout"),
        ("output_dropout", 0.0, "output_dropout"),
        ("weight_dropout", 0.0, "weight_dropout"),
        ("activation_regularization", 2.0, "alpha"),
        ("temporal_activation_regularization", 1.0, "beta"),
        ("bptt", 33, "bptt"),
        ("vary_bptt", False, "vary_bptt"),
        ("ngram_weight", 0.25, "ngram_weight"),
    ],
)
def test_what_is_given_is_taken_and_changes_nothing_else(
    name: str, value: Any, planned_as: str, vocabulary: int
) -> None:
    # Between layers acts one, and one layer that is tied has another width.
    layers = {"num_layers": 2} if name in ("hidden_dropout", "tied") and value else {}
    plan, run = planned(vocabulary, **{name: value}, **layers)
    usual, usual_run = planned(vocabulary, **layers)
    assert getattr(plan, planned_as) == value
    assert plan == dataclasses.replace(usual, **{planned_as: value})
    assert run == usual_run


@pytest.mark.parametrize("vocabulary", [LETTERS, WORDS])
@pytest.mark.parametrize(
    ("sizes", "can_be_tied"),
    [
        ({"hidden_size": 48, "embedding_size": 32, "num_layers": 1}, False),
        ({"hidden_size": 31, "embedding_size": 32, "num_layers": 1}, False),
        ({"hidden_size": 48, "num_layers": 1}, False),
        ({"hidden_size": 32, "embedding_size": 32, "num_layers": 1}, True),
        ({"embedding_size": 32, "num_layers": 1}, True),
        ({"num_layers": 1}, True),
        ({"hidden_size": 48, "embedding_size": 32, "num_layers": 2}, True),
    ],
    ids=str,
)
def test_one_layer_of_another_width_than_the_embedding_is_not_tied(
    sizes: dict[str, int], can_be_tied: bool, vocabulary: int
) -> None:
    plan, run = planned(vocabulary, **sizes)
    assert plan.tied == (vocabulary == WORDS and can_be_tied)
    assert {name: getattr(plan, name) for name in sizes} == sizes
    if can_be_tied:
        tied, tied_run = planned(vocabulary, **sizes, tied=True)
        widths = {} if sizes["num_layers"] > 1 else {"hidden_size": tied.embedding_size}
        assert tied == dataclasses.replace(plan, tied=True, **widths)
        assert tied_run == run
        return
    assert planned(vocabulary, **sizes, tied=False) == (plan, run)
    with torch.device("meta"):
        network = LanguageNetwork(vocabulary, **plan.network())
    assert [layer.hidden_size for layer in network.layers] == [sizes["hidden_size"]]
    embedding = sizes.get("embedding_size", plan.embedding_size)
    message = f"'tied' and 'hidden_size' .* {embedding}, got hidden_size {sizes['hidden_size']}; "
    with pytest.raises(OptionError, match=message):
        planned(vocabulary, **sizes, tied=True)


def test_few_types_have_one_layer_which_is_tied_only_at_its_own_width() -> None:
    with pytest.raises(OptionError, match=r"'tied' and 'hidden_size' .*one layer"):
        planned(LETTERS, tied=True, hidden_size=512)
    assert planned(LETTERS, tied=True, hidden_size=64)[0].tied


@pytest.mark.parametrize(
    ("vocabulary", "layers"),
    [(LETTERS, {}), (LETTERS, {"num_layers": 1}), (WORDS, {"num_layers": 1})],
)
def test_dropout_between_layers_needs_two(vocabulary: int, layers: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"'hidden_dropout' .*between layers.*output_dropout"):
        planned(vocabulary, hidden_dropout=0.125, **layers)
    assert planned(vocabulary, **layers)[0].num_layers == 1  # what nobody gave is not refused
    assert planned(vocabulary, **layers, hidden_dropout=0.0)[0].hidden_dropout == 0


@pytest.mark.parametrize(
    ("softmax", "vocabulary", "samples"),
    [
        ("auto", LETTERS, 0),
        ("auto", 5_000, 0),
        ("auto", 5_001, 2_000),
        ("full", WORDS, 0),
        ("sampled", LETTERS, 2_000),
        ("adaptive", WORDS, 0),
    ],
)
def test_who_sums_over_a_sample(softmax: str, vocabulary: int, samples: int) -> None:
    assert planned(vocabulary, softmax=softmax)[0].samples == samples


def test_an_adaptive_softmax_has_weights_of_its_own() -> None:
    assert not planned(WORDS, softmax="adaptive")[0].tied


@given(vocabulary=st.one_of(st.integers(2, 70_000), st.integers(2, 10**6)))
def test_cutoffs_are_such_as_pytorch_takes(vocabulary: int) -> None:
    plan, _ = planned(vocabulary, softmax="adaptive")
    # On the meta device nothing is allocated, but all is checked.
    made = torch.nn.AdaptiveLogSoftmaxWithLoss(400, vocabulary, plan.cutoffs, device="meta")
    assert made.n_clusters == len(plan.cutoffs)
    assert all(isinstance(cutoff, int) for cutoff in plan.cutoffs)


@given(tokens=st.integers(1, 5_000), vocabulary=st.sampled_from([LETTERS, WORDS]))
def test_little_text_gets_short_segments_and_few_columns(tokens: int, vocabulary: int) -> None:
    plan, run = planned(vocabulary, tokens)
    usual, usual_run = planned(vocabulary, TINY)
    assert 1 <= run["batch_size"] <= min(tokens, usual_run["batch_size"])
    assert 2 <= plan.bptt <= usual.bptt
    if tokens > 2:
        assert plan.bptt < tokens
    # Either there is but one column, or each has steps for two segments.
    assert run["batch_size"] == 1 or tokens // run["batch_size"] >= 2 * plan.bptt
    assert plan == dataclasses.replace(usual, bptt=plan.bptt)


def test_enough_text_gets_all() -> None:
    for vocabulary in (LETTERS, WORDS):
        plan, run = planned(vocabulary, TINY)
        enough = run["batch_size"] * 2 * plan.bptt
        assert planned(vocabulary, enough) == (plan, run)
        assert planned(vocabulary, enough - 1)[1]["batch_size"] == run["batch_size"] - 1


def test_a_small_text_of_letters_has_dropout() -> None:
    small, run_of_small = planned(LETTERS, SMALL)
    usual, run = planned(LETTERS, SMALL + 1)
    assert usual == planned(LETTERS)[0]
    assert run == run_of_small
    tiny, run_of_tiny = planned(LETTERS, TINY)
    assert planned(LETTERS, TINY + 1)[0] == small
    assert run_of_tiny == run
    names = ("input_dropout", "output_dropout", "weight_dropout")
    for less, more in ((usual, small), (small, tiny)):
        pairs = [(getattr(less, name), getattr(more, name)) for name in names]
        assert all(one <= other for one, other in pairs)
        assert less != more
    without = dict.fromkeys(names, 0.0)
    for tokens, plan in ((SMALL, small), (TINY, tiny)):
        assert dataclasses.replace(plan, **without) == usual
        assert planned(LETTERS, tokens, **without)[0] == usual  # what is given outranks it
    assert planned(WORDS, SMALL) == planned(WORDS, SMALL + 1)  # words have dropout anyway


@pytest.mark.parametrize(
    ("vocabulary", "own", "other"), [(LETTERS, "adamw", "sgd"), (WORDS, "sgd", "adam")]
)
def test_rates_belong_to_their_optimizer(vocabulary: int, own: str, other: str) -> None:
    usual = planned(vocabulary)
    assert planned(vocabulary, optimizer=own) == usual
    plan, run = planned(vocabulary, optimizer=other)
    assert plan == usual[0]
    assert run == {name: usual[1][name] for name in ("average", "batch_size", "max_minutes")}
    complete = RunOptions(optimizer=other).filled(**run).complete()
    plain = RunOptions(optimizer=other, max_steps=1).complete()
    for name in ("learning_rate", "weight_decay", "momentum", "clip_norm"):
        assert getattr(complete, name) == getattr(plain, name)


@pytest.mark.parametrize("optimizer", [None, "adam", "sgd"])
def test_of_several_members_only_the_length_of_all_gradients_is_another(
    optimizer: str | None,
) -> None:
    for vocabulary in (LETTERS, WORDS):
        plan, run = planned(vocabulary, optimizer=optimizer)
        several, run_of_several = planned(vocabulary, optimizer=optimizer, members=4)
        assert several == dataclasses.replace(plan, members=4)
        assert several.network() == plan.network()
        usual = RunOptions().filled(**run).complete().clip_norm
        assert run_of_several == {**run, "clip_norm": 2 * usual}


def test_momentum_needs_the_optimizer_that_has_it() -> None:
    given = RunOptions(momentum=0.5)
    assert given.filled(**planned(WORDS)[1]).momentum == 0.5
    with pytest.raises(OptionError, match=r"'momentum' belongs to optimizer 'sgd', got .*'adamw'"):
        given.filled(**planned(LETTERS)[1])


def test_a_given_run_outranks_the_plan() -> None:
    _, run = planned(WORDS)
    given = RunOptions(max_steps=5, batch_size=3, clip_norm=0.0, average=0.0, learning_rate=1.0)
    filled = given.filled(**run)
    assert (filled.max_steps, filled.max_minutes, filled.batch_size) == (5, None, 3)
    assert (filled.clip_norm, filled.average, filled.learning_rate) == (0.0, 0.0, 1.0)
    assert filled.optimizer == "sgd"


@pytest.mark.parametrize("softmax", ["auto", "adaptive"])
def test_a_plan_is_plain_json(softmax: str) -> None:
    plan, _ = planned(WORDS, softmax=softmax, activation_regularization=2)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("unknown", [{"hidden": 3}, {}])
def test_a_plan_of_other_names_is_refused(unknown: dict[str, int]) -> None:
    values = planned(LETTERS)[0].to_dict()
    if not unknown:
        del values["bptt"]
    with pytest.raises(TypeError, match=r"hidden|bptt"):
        Plan.from_dict({**values, **unknown})
