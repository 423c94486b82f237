"""How a run is trained: budget, optimizer, schedule, checkpoints. Knows no task."""

from __future__ import annotations

import dataclasses
from typing import Any

from carousel.errors import OptionError
from carousel.options import option, options, to_dict
from carousel.training.devices import DEVICES

BUDGETS = ("max_steps", "max_minutes", "max_epochs")

# They change where and how a run is watched and kept, and no number that it computes.
WITHOUT_EFFECT_ON_WEIGHTS = (
    "log_every",
    "checkpoint",
    "checkpoint_every",
    "checkpoint_minutes",
    "resume",
    "restart",
    "progress",
)

CLIP_NORM = 1.0  # where neither the user nor the task has another


@options
class RunOptions:
    """Options of a training run; where one is None, the task's own default applies.

    The run ends at whichever budget is used up first. The schedule knows all of them.

    Raises:
        OptionError: for an unknown option, a value out of range, an impossible combination.
    """

    max_steps: int | None = option(
        default=None, help="stop after so many updates of the weights", unit="steps", low=1
    )
    max_minutes: float | None = option(
        default=None, help="stop after so much training time", unit="minutes", low=0.0
    )
    max_epochs: int | None = option(
        default=None, help="stop after so many passes over the data", unit="epochs", low=1
    )
    batch_size: int | None = option(
        default=None, help="examples for each update, over all processes", unit="examples", low=1
    )
    optimizer: str | None = option(
        default=None,
        help="rule that turns gradients into updates; adamw where the task has no other",
        choices=("adamw", "adam", "sgd"),
        source="AdamW: arXiv:1711.05101; Adam: arXiv:1412.6980",
    )
    learning_rate: float | None = option(
        default=None, help="highest step size, reached after the warm-up", low=0.0
    )
    weight_decay: float | None = option(
        default=None,
        help="pull of the weight matrices towards zero; biases are spared",
        low=0.0,
        source="0.01 for adamw as in torch.optim.AdamW, 0 for the others",
    )
    momentum: float | None = option(
        default=None, help="share of the last update kept in the next (sgd only)", low=0.0, high=1.0
    )
    clip_norm: float | None = option(
        default=None,
        help="longest gradient allowed, as its Euclidean norm; 0 allows any; 1 where the task has "
        "no other",
        low=0.0,
        source="arXiv:1211.5063, section 3.2",
    )
    schedule: str = option(
        default="cosine",
        help="how the step size falls after the warm-up",
        choices=("cosine", "linear", "constant"),
        source="cosine: arXiv:1608.03983, equation 5, without restarts",
    )
    warmup: float = option(
        default=0.02,
        help="part of the budget in which the step size rises",
        unit="the run",
        low=0.0,
        high=1.0,
    )
    average: float | None = option(
        default=None,
        help="decay of the moving average of the weights, which is then what is kept; 0 is off",
        low=0.0,
        high=0.999999,
        source="Polyak and Juditsky 1992, doi:10.1137/0330046, as an exponential average",
    )
    precision: str = option(
        default="fp32", help="number format of the forward pass", choices=("fp32", "bf16")
    )
    patience: int = option(
        default=0,
        help="stop after so many validations without a better score; 0 never does",
        unit="validations",
        low=0,
    )
    validate_every: int | None = option(
        default=None,
        help="score the validation data every so many steps, else after each epoch",
        unit="steps",
        low=1,
    )
    log_every: int = option(
        default=10, help="write a line of history every so many steps", unit="steps", low=1
    )
    checkpoint: str | None = option(
        default=None, help="folder in which the run is kept, to resume it"
    )
    checkpoint_every: int | None = option(
        default=None, help="save the run every so many steps", unit="steps", low=1
    )
    checkpoint_minutes: float | None = option(
        default=None,
        help="save the run when so much time has passed; 1 where nothing is given",
        unit="minutes",
        low=0.0,
    )
    resume: bool = option(
        default=False, help="go on from the checkpoint if there is one, else begin"
    )
    restart: bool = option(
        default=False, help="begin anew, over the run that the checkpoint folder may hold"
    )
    seed: int = option(
        default=0,
        help="decides every random choice of the run",
        low=0,
        high=2**63 - 1,  # what a signed integer of PyTorch's generators holds
    )
    device: str = option(
        default="auto",
        help="where to compute; auto takes a GPU if there is one",
        choices=DEVICES,
    )
    progress: str = option(
        default="auto",
        help="live table, plain lines, JSON lines, or nothing; auto is live in a terminal",
        choices=("auto", "live", "plain", "json", "none"),
    )

    def __post_init__(self) -> None:
        if self.checkpoint is None:
            for name in ("resume", "restart", "checkpoint_every", "checkpoint_minutes"):
                if getattr(self, name) not in (None, False):
                    raise OptionError(
                        f"option {name!r} needs a place to keep the run; give 'checkpoint' too"
                    )
        if self.resume and self.restart:
            raise OptionError(
                "option 'resume' goes on with a run, 'restart' gives it up; leave one of them out"
            )
        if self.momentum is not None and self.optimizer not in (None, "sgd"):
            raise OptionError(
                f"option 'momentum' belongs to optimizer 'sgd', got optimizer {self.optimizer!r}; "
                "leave one of them out"
            )
        if self.max_minutes == 0:
            raise OptionError("option 'max_minutes' expects more than 0 minutes, got 0.0")

    def filled(self, **defaults: Any) -> RunOptions:
        """Returns these options with each None replaced by the task's default.

        A default budget is taken only where no budget at all was given, so that
        ``max_minutes=10`` is not cut short by a task's usual number of steps.

        Args:
            defaults: values by option name, such as ``max_minutes=2.0, learning_rate=2e-3``.
        """
        given = any(getattr(self, name) is not None for name in BUDGETS)
        values = {
            name: value
            for name, value in defaults.items()
            if getattr(self, name) is None and not (given and name in BUDGETS)
        }
        return dataclasses.replace(self, **values)

    def complete(self) -> RunOptions:
        """Returns these options with the defaults that hold for every task; the loop calls it.

        Raises:
            OptionError: if there is no budget.
        """
        if all(getattr(self, name) is None for name in BUDGETS):
            raise OptionError(f"expected a budget, got none; give one of {', '.join(BUDGETS)}")
        optimizer = self.optimizer or "adamw"
        sgd = optimizer == "sgd"
        return self.filled(
            optimizer=optimizer,
            clip_norm=CLIP_NORM,
            learning_rate=0.1 if sgd else 1e-3,
            weight_decay=0.01 if optimizer == "adamw" else 0.0,
            average=0.0,
            **({"momentum": 0.9} if sgd else {}),
        )

    def deciding(self) -> dict[str, Any]:
        """Returns the options that decide the weights, as plain values, to tell runs apart."""
        values = to_dict(self)
        return {name: v for name, v in values.items() if name not in WITHOUT_EFFECT_ON_WEIGHTS}
