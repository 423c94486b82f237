"""What the hours of speech decide: sizes, dropout, augmentation, and how to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carousel.errors import OptionError
from carousel.tasks.speech_recognition.options import RecognitionOptions

READY = "ready"  # the kind of features that were given as such


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that the options leave open, filled in; see ``RecognitionOptions``."""

    features: str
    rate: int
    mel_filters: int
    cepstra: int
    deltas: int
    scaling: str
    channels: int
    hidden_size: int
    num_layers: int
    subsampling: int
    residual: bool
    bidirectional: bool
    input_dropout: float
    hidden_dropout: float
    output_dropout: float
    weight_dropout: float
    masking: float
    stretching: float
    noise: float
    warping: float = 0.0  # models of a version without it had none

    def network(self) -> dict[str, Any]:
        """Returns the options of the network."""
        names = (
            "channels",
            "hidden_size",
            "num_layers",
            "bidirectional",
            "subsampling",
            "residual",
            "input_dropout",
            "hidden_dropout",
            "output_dropout",
            "weight_dropout",
        )
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Takes back what ``to_dict`` returned."""
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class _Defaults:
    """What is taken where an option is left open; docs/speech-recognition.md has the comparison."""

    hidden_size: int
    channels: int
    subsampling: int
    output_dropout: float
    num_layers: int = 2
    input_dropout: float = 0.1
    hidden_dropout: float = 0.2
    weight_dropout: float = 0.0
    masking: float = 0.5
    stretching: float = 0.1
    warping: float = 0.0
    noise: float = 0.3


_SMALL = _Defaults(hidden_size=192, channels=128, subsampling=4, output_dropout=0.2)
_LARGE = _Defaults(hidden_size=384, channels=192, subsampling=2, output_dropout=0.3)
_SMALL_HOURS = 0.5  # up to which a small network is taken
_RUN = {
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "average": 0.998,
    "batch_size": 8,
    "max_minutes": 10.0,
}


def make_plan(
    options: RecognitionOptions,
    *,
    hours: float,
    rate: int,
    is_ready: bool,
    optimizer: str | None = None,
) -> tuple[Plan, dict[str, Any]]:
    """Fills in what the options leave open.

    Args:
        options: of the recogniser.
        hours: of the training part.
        rate: of the recordings, Hz.
        is_ready: whether features are given in place of recordings.
        optimizer: that the run was told to take; None for the default.

    Returns:
        The plan, and defaults for the training run.

    Raises:
        OptionError: for an option of sound where features are ready.
    """
    base = dataclasses.asdict(_SMALL if hours <= _SMALL_HOURS else _LARGE)
    given = {name: getattr(options, name) for name in base}
    chosen = {name: base[name] if value is None else value for name, value in given.items()}
    kind = READY if is_ready else options.features or "log_mel"
    if is_ready:
        of_sound = ("features", "rate", "mel_filters", "cepstra", "noise")
        if idle := [name for name in of_sound if getattr(options, name)]:
            raise OptionError(
                f"option {idle[0]!r} is for sound, and features are given that are ready; leave it "
                f"out, or give the recordings themselves"
            )
        chosen["noise"] = 0.0
    if kind != "log_mel":
        if options.warping:
            raise OptionError(
                f"option 'warping' = {options.warping:g} moves what mel filters heard, got "
                f"{'ready features' if is_ready else kind}; leave it out, or take log_mel"
            )
        chosen["warping"] = 0.0
    deltas = options.deltas
    if deltas is None:  # cepstra are few; the convolution sees the slopes of many filters itself
        deltas = 0 if kind == "log_mel" or options.streaming else 2
    plan = Plan(
        **chosen,
        features=kind,
        rate=rate,
        mel_filters=options.mel_filters or 40,
        cepstra=options.cepstra or 13,
        deltas=deltas,
        scaling=options.scaling or ("running" if options.streaming else "speaker"),
        residual=options.residual,
        bidirectional=not options.streaming,
    )
    run = dict(_RUN)
    if optimizer not in (None, run["optimizer"]):  # to which its rate does not belong
        del run["optimizer"], run["learning_rate"]
    return plan, run
