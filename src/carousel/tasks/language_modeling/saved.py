"""Whether the plain values and statistics of a saved model can be those of a language model.

Whoever changes a model folder by hand is told what is wrong, and not that their text is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from torch import Tensor, nn

from carousel.tasks.language_modeling.options import MOST_MEMBERS, MOST_SHARE
from carousel.tasks.language_modeling.plan import Plan
from carousel.tasks.saved_values import expect, is_count
from carousel.tasks.trained import RUN_FACTS

_COUNTS = {
    "embedding_size": 1,
    "hidden_size": 1,
    "num_layers": 1,
    "samples": 0,
    "bptt": 2,
    "members": 1,
}
_RATES = (
    "embedding_dropout",
    "input_dropout",
    "hidden_dropout",
    "output_dropout",
    "weight_dropout",
    "alpha",
    "beta",
    "ngram_weight",
)
# What earlier versions had no value for.
_LATER = {f.name: f.default for f in fields(Plan) if f.default is not MISSING}
_ABOUT = (
    "source",
    "documents",
    "characters",
    "training_tokens",
    "ngram_tokens",
    "training_characters",
    "validation",
    "holdout_characters",
    *RUN_FACTS,
)


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses what no language model has written; the options check themselves.

    Args:
        config: as ``Fitted.config`` returns it.

    Raises:
        ModelError: names the value.
    """
    for name in ("options", "plan", "seen", "about"):
        expect(isinstance(config.get(name), dict), name, "named values", config.get(name))
    plan: Any = {**_LATER, **config["plan"]}
    seen = config["seen"]
    for name, least in _COUNTS.items():
        value = plan.get(name)
        expect(is_count(value, least), f"plan.{name}", f"a number from {least} on", value)
    for name in _RATES:
        value = plan.get(name)
        valid = type(value) in (int, float) and value >= 0
        expect(valid, f"plan.{name}", "a number from 0 on", value)
    weight, members = plan["ngram_weight"], plan["members"]
    expect(weight <= MOST_SHARE, "plan.ngram_weight", f"a share up to {MOST_SHARE}", weight)
    expect(members <= MOST_MEMBERS, "plan.members", f"up to {MOST_MEMBERS} networks", members)
    for name in ("tied", "vary_bptt"):
        expect(type(plan.get(name)) is bool, f"plan.{name}", "true or false", plan.get(name))
    cutoffs = plan.get("cutoffs")
    valid = isinstance(cutoffs, list) and all(is_count(cutoff, 1) for cutoff in cutoffs)
    expect(valid, "plan.cutoffs", "numbers of tokens", cutoffs)
    several = config.get("several")
    expect(type(several) is bool, "several", "true or false", several)
    characters = seen.get("characters")
    expect(is_count(characters, 1), "seen.characters", "a number from 1 on", characters)
    expect(isinstance(seen.get("digest"), str), "seen.digest", "text", seen.get("digest"))
    for name in _ABOUT:
        expect(name in config["about"], f"about.{name}", "a value", None)


def check_members(names: Iterable[str], members: int) -> None:
    """Refuses weights of more or fewer networks than the plan has.

    Args:
        names: of the weights.
        members: of the plan.

    Raises:
        ModelError: says how many there are.
    """
    several = {name.split(".")[1] for name in names if name.startswith("members.")}
    found = len(several) or 1
    expect(found == members, "plan.members", f"{found}, the networks that have weights", members)


def check_statistics(statistics: Mapping[str, Tensor], network: nn.Module) -> None:
    """Refuses statistics of gradients that do not fit the network's parameters.

    Raises:
        ModelError: names the first one.
    """
    for name, parameter in network.named_parameters():
        sides = {"rows": 0, "columns": 1} if parameter.ndim == 2 else {"rows": 0}
        for side, axis in sides.items():
            found = statistics.get(f"{name}.{side}")
            shape = None if found is None else tuple(found.shape)
            wanted = (parameter.shape[axis],)
            expect(shape == wanted, f"{name}.{side}", f"statistics {wanted}", shape)
