"""Run options: what is refused, and how a task's defaults come in."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from carousel.errors import OptionError
from carousel.training import RunOptions
from carousel.training.options import WITHOUT_EFFECT_ON_WEIGHTS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"resume": True}, "'resume' needs a place"),
        ({"checkpoint_every": 5}, "'checkpoint_every' needs a place"),
        ({"checkpoint_minutes": 5.0}, "'checkpoint_minutes' needs a place"),
        ({"momentum": 0.9, "optimizer": "adam"}, "'momentum' belongs to optimizer 'sgd'"),
        ({"max_minutes": 0}, "more than 0 minutes"),
        ({"max_steps": 0}, "at least 1"),
        ({"optimizer": "adamax"}, "did you mean 'adam"),
        ({"learning_rat": 0.1}, "did you mean 'learning_rate'"),
        ({"average": 1.0}, "to 0.999999"),
        ({"precision": "fp16"}, "did you mean"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        RunOptions(**values)


def test_a_task_fills_what_was_not_given() -> None:
    options = RunOptions(learning_rate=0.5).filled(
        max_minutes=2.0, max_epochs=50, learning_rate=0.1, batch_size=64
    )
    assert (options.max_minutes, options.max_epochs) == (2.0, 50)
    assert (options.learning_rate, options.batch_size) == (0.5, 64)


def test_a_given_budget_is_not_cut_short_by_a_default_one() -> None:
    options = RunOptions(max_steps=7).filled(max_minutes=2.0, max_epochs=50)
    assert (options.max_steps, options.max_minutes, options.max_epochs) == (7, None, None)


def test_an_unknown_default_is_a_mistake_in_the_task() -> None:
    with pytest.raises(AttributeError, match="learning_rte"):
        RunOptions().filled(learning_rte=0.1)


@pytest.mark.parametrize(
    ("optimizer", "rate", "decay", "momentum"),
    [("adamw", 1e-3, 0.01, None), ("adam", 1e-3, 0.0, None), ("sgd", 0.1, 0.0, 0.9)],
)
def test_the_last_defaults_depend_on_the_optimizer(
    optimizer: str, rate: float, decay: float, momentum: float | None
) -> None:
    options = RunOptions(max_steps=1, optimizer=optimizer).complete()
    assert (options.learning_rate, options.weight_decay, options.momentum) == (
        rate,
        decay,
        momentum,
    )


def test_optimizer_and_clipping_are_open_until_the_end() -> None:
    open_ones = RunOptions(max_steps=1)
    assert (open_ones.optimizer, open_ones.clip_norm) == (None, None)
    plain = open_ones.complete()
    assert (plain.optimizer, plain.clip_norm) == ("adamw", 1.0)
    assert plain == RunOptions(max_steps=1, optimizer="adamw", clip_norm=1.0).complete()


def test_a_tasks_optimizer_comes_with_its_own_last_defaults() -> None:
    tasks = {"optimizer": "sgd", "clip_norm": 0.25}
    options = RunOptions(max_steps=1).filled(**tasks).complete()
    assert options == RunOptions(max_steps=1, **tasks).complete()
    assert (options.optimizer, options.clip_norm) == ("sgd", 0.25)
    assert (options.learning_rate, options.weight_decay, options.momentum) == (0.1, 0.0, 0.9)
    given = RunOptions(max_steps=1, optimizer="adam", clip_norm=3.0).filled(**tasks).complete()
    assert (given.optimizer, given.clip_norm, given.momentum) == ("adam", 3.0, None)


def test_no_clipping_is_an_answer_and_not_an_open_question() -> None:
    options = RunOptions(max_steps=1, clip_norm=0).filled(clip_norm=0.25).complete()
    assert options.clip_norm == 0.0


def test_momentum_waits_for_the_optimizer() -> None:
    options = RunOptions(max_steps=1, momentum=0.5)
    assert options.filled(optimizer="sgd").complete().momentum == 0.5
    for refused in (options.complete, lambda: options.filled(optimizer="adam")):
        with pytest.raises(
            OptionError, match=r"'momentum' belongs to optimizer 'sgd', got .*'adam"
        ):
            refused()


def test_a_budget_must_be_given() -> None:
    with pytest.raises(OptionError, match="max_steps, max_minutes, max_epochs"):
        RunOptions().complete()


def test_every_option_has_help_and_either_decides_the_weights_or_says_not() -> None:
    names = {field.name for field in dataclasses.fields(RunOptions)}
    assert set(WITHOUT_EFFECT_ON_WEIGHTS) <= names
    assert set(RunOptions().deciding()) == names - set(WITHOUT_EFFECT_ON_WEIGHTS)
    assert all(field.metadata["help"] for field in dataclasses.fields(RunOptions))
