"""What the data decides: sizes, dropout, and how to train, from the number of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carousel.errors import OptionError
from carousel.tasks.translation.options import TranslationOptions


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The network's sizes and rates, with nothing left open; see ``TranslationOptions``."""

    embedding_size: int
    hidden_size: int
    encoder_size: int
    encoder_layers: int
    decoder_layers: int
    residual: bool
    attention: str
    input_feeding: bool
    tied: bool
    tied_source: bool
    word_dropout: float
    input_dropout: float
    hidden_dropout: float
    output_dropout: float
    weight_dropout: float
    label_smoothing: float
    guided_alignment: float
    members: int

    def network(self) -> dict[str, Any]:
        """Returns the options of each ``Member``."""
        others = ("label_smoothing", "guided_alignment", "members")
        return {name: v for name, v in self.to_dict().items() if name not in others}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Takes back what ``to_dict`` returned."""
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class _Defaults:
    """What is taken where an option is left open; docs/translation.md has the comparison."""

    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    encoder_layers: int = 2
    decoder_layers: int = 2
    tied_source: bool = True
    word_dropout: float = 0.1
    input_dropout: float = 0.2
    hidden_dropout: float = 0.2
    output_dropout: float = 0.2
    weight_dropout: float = 0.0
    label_smoothing: float = 0.1
    guided_alignment: float = 0.3


_SMALL = _Defaults(
    vocabulary_size=3_000,
    embedding_size=128,
    hidden_size=256,
    input_dropout=0.3,
    hidden_dropout=0.3,
    output_dropout=0.3,
)
_MEDIUM = _Defaults(vocabulary_size=4_000, embedding_size=192, hidden_size=256)
_LARGE = _Defaults(
    vocabulary_size=8_000,
    embedding_size=256,
    hidden_size=384,
)
_BANDS = ((12_000, _SMALL), (80_000, _MEDIUM))  # pairs up to which each holds
_RUN = {
    "optimizer": "adamw",
    "learning_rate": 4e-3,
    "average": 0.998,
    "batch_size": 64,
    "max_minutes": 10.0,
}


def vocabulary_size(options: TranslationOptions, num_pairs: int) -> int:
    """Returns the most subwords that are learned from so many pairs."""
    return options.vocabulary_size or _defaults(num_pairs).vocabulary_size


def make_plan(
    options: TranslationOptions, num_pairs: int, optimizer: str | None = None
) -> tuple[Plan, dict[str, Any]]:
    """Fills in what the options leave open.

    Args:
        options: of the translator.
        num_pairs: of the training part.
        optimizer: that the run was told to take; None for the default.

    Returns:
        The plan, and defaults for the training run.

    Raises:
        OptionError: for options that do not go together.
    """
    base = dataclasses.asdict(_defaults(num_pairs))
    del base["vocabulary_size"]
    base["tied_source"] = base["tied_source"] and options.shared_vocabulary
    given = {name: getattr(options, name) for name in base}
    chosen = {name: base[name] if value is None else value for name, value in given.items()}
    if options.input_feeding and chosen["weight_dropout"]:
        raise OptionError(
            "option 'weight_dropout' leaves out the same weights at every step, but "
            "'input_feeding' reads each step by itself; leave one of them out"
        )
    half = -(-chosen["hidden_size"] // 2)
    encoder_size = half if options.encoder_size is None else options.encoder_size
    if options.attention == "dot" and 2 * encoder_size != chosen["hidden_size"]:
        raise OptionError(
            f"option 'attention' = 'dot' compares states of the decoder with those of the encoder, "
            f"so 'hidden_size' must be twice 'encoder_size', got {chosen['hidden_size']} and "
            f"{encoder_size}; change one of them, or take 'general', which has a matrix between"
        )
    plan = Plan(
        **chosen,
        encoder_size=encoder_size,
        residual=options.residual,
        attention=options.attention,
        input_feeding=options.input_feeding,
        tied=options.tied,
        members=options.members,
    )
    run = dict(_RUN)
    if optimizer not in (None, run["optimizer"]):  # to which its rate does not belong
        del run["optimizer"], run["learning_rate"]
    run["batch_size"] = max(1, min(_RUN["batch_size"], num_pairs // 8))  # type: ignore[call-overload]
    return plan, run


def _defaults(num_pairs: int) -> _Defaults:
    return next((band for most, band in _BANDS if num_pairs <= most), _LARGE)
