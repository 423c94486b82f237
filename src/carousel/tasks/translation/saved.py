"""Whether the plain values of a saved model can be those of a translator.

Whoever changes a model folder by hand is told what is wrong, and not that their text is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carousel.tasks.saved_values import expect, expect_plan, is_count
from carousel.tasks.trained import RUN_FACTS
from carousel.tasks.translation.plan import Plan

UNKNOWN_LENGTH = 0  # subwords of the longest sentence, where a model was saved before they counted
ABOUT = (
    "source",
    "pairs",
    "removed",
    "training_pairs",
    "training_tokens",
    "validation",
    "holdout_pairs",
    *RUN_FACTS,
)


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses what no translator has written; the options check themselves.

    Args:
        config: as ``Fitted.config`` returns it.

    Raises:
        ModelError: names the value.
    """
    for name in ("options", "plan", "about"):
        expect(isinstance(config.get(name), dict), name, "named values", config.get(name))
    plan, options = config["plan"], config["options"]
    expect_plan(plan, Plan)
    shared = options.get("shared_vocabulary")
    expect(type(shared) is bool, "options.shared_vocabulary", "true or false", shared)
    expect(shared or not plan["tied_source"], "plan.tied_source", "false", True)
    expect(is_count(config.get("longest"), 1), "longest", "words", config.get("longest"))
    subwords = config.get("longest_subwords", UNKNOWN_LENGTH)
    expect(is_count(subwords, 0), "longest_subwords", "subwords", subwords)
    for name in ("characters", "seen"):
        expect(isinstance(config.get(name), str), name, "text", config.get(name))
    for name in ABOUT:
        expect(name in config["about"], f"about.{name}", "a value", None)
