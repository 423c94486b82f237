"""Whether the plain values of a saved model can be those of a recogniser.

Whoever changes a model folder by hand is told what is wrong, and not that their sound is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from carousel.tasks.saved_values import expect, expect_plan, is_count
from carousel.tasks.speech_recognition.options import KINDS, SCALINGS
from carousel.tasks.speech_recognition.plan import READY, Plan
from carousel.tasks.trained import RUN_FACTS

ABOUT = (
    "source",
    "recordings",
    "removed",
    "training_recordings",
    "training_minutes",
    "training_speakers",
    "validation",
    "holdout_recordings",
    *RUN_FACTS,
)


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses what no recogniser has written; the options check themselves.

    Args:
        config: as ``Fitted.config`` returns it.

    Raises:
        ModelError: names the value.
    """
    for name in ("options", "plan", "about", "moments", "weights", "seen"):
        expect(isinstance(config.get(name), dict), name, "named values", config.get(name))
    plan = config["plan"]
    expect_plan(plan, Plan, from_zero=("deltas",))
    known: dict[str, tuple[str, ...]] = {"features": (READY, *KINDS), "scaling": SCALINGS}
    for name, choices in known.items():
        chosen = plan[name]
        expect(chosen in choices, f"plan.{name}", f"one of {', '.join(choices)}", chosen)
    expect(is_count(config.get("size"), 1), "size", "features of a frame", config.get("size"))
    found = config.get("characters")
    valid = isinstance(found, str) and " " in found and len(set(found)) == len(found)
    expect(valid, "characters", "different ones, a blank too", found)
    expect(isinstance(config.get("commonest"), str), "commonest", "text", config.get("commonest"))
    for name in ("scorer", "word_bonus"):
        value = config["weights"].get(name)
        valid = type(value) in (int, float) and math.isfinite(value)
        expect(valid, f"weights.{name}", "a number", value)
    scorer = config["weights"]["scorer"]
    expect(scorer >= 0, "weights.scorer", "a number from 0 on", scorer)
    digest, marks = (config["seen"].get(name) for name in ("digest", "marks"))
    expect(isinstance(digest, str), "seen.digest", "text", digest)
    valid = isinstance(marks, list) and all(isinstance(mark, str) for mark in marks)
    expect(valid, "seen.marks", "texts", marks)
    for name in ABOUT:
        expect(name in config["about"], f"about.{name}", "a value", None)
