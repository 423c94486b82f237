"""What the data decides: sizes, dropout, and how to train, from the number of tokens and types."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carousel.errors import OptionError
from carousel.tasks.language_modeling.options import LanguageModelingOptions
from carousel.training.options import CLIP_NORM

_SAMPLED_FROM = 5_000  # tokens of a vocabulary above which training sums over a sample
_SAMPLES = 2_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The network's sizes and rates, with nothing left open.

    Attributes:
        embedding_size, hidden_size, num_layers, tied: see ``LanguageModelingOptions``.
        cutoffs: first token of each group of rare ones; none for a softmax without groups.
        samples: how many tokens the softmax sums over in training; 0 for all.
        embedding_dropout, input_dropout, hidden_dropout, output_dropout, weight_dropout: rates.
        alpha: weight of activation regularization, and
        beta: of temporal activation regularization.
        bptt: usual steps of a segment.
        vary_bptt: whether they vary.
        members: networks that predict together.
        ngram_weight: share of the n-grams in what they predict.
    """

    embedding_size: int
    hidden_size: int
    num_layers: int
    tied: bool
    cutoffs: tuple[int, ...]
    samples: int
    embedding_dropout: float
    input_dropout: float
    hidden_dropout: float
    output_dropout: float
    weight_dropout: float
    alpha: float
    beta: float
    bptt: int
    vary_bptt: bool
    members: int = 1  # models of a version without these are one network, which predicts alone
    ngram_weight: float = 0.0

    def network(self) -> dict[str, Any]:
        """Returns the arguments of each ``LanguageNetwork``."""
        loss = ("samples", "alpha", "beta", "bptt", "vary_bptt", "members", "ngram_weight")
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in loss}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**dataclasses.asdict(self), "cutoffs": list(self.cutoffs)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Takes back what ``to_dict`` returned."""
        return cls(**{**values, "cutoffs": tuple(values["cutoffs"])})


@dataclass(frozen=True, kw_only=True)
class _Defaults:
    """What is taken where an option is left open; docs/language-modeling.md has the comparison.

    Attributes:
        embedding_size, hidden_size, num_layers: of the network.
        tied: whether output and embedding share their weights.
        embedding_dropout, input_dropout, hidden_dropout, output_dropout, weight_dropout: rates.
        bptt: steps of a segment.
        run: defaults of ``RunOptions``.
    """

    embedding_size: int
    hidden_size: int
    num_layers: int
    tied: bool
    embedding_dropout: float = 0.0
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    output_dropout: float = 0.0
    weight_dropout: float = 0.0
    bptt: int = 64
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_ADAM = {"optimizer": "adamw", "learning_rate": 4e-3, "average": 0.998, "batch_size": 16}
_SGD = {
    "optimizer": "sgd",
    "learning_rate": 20.0,
    "momentum": 0.0,
    "weight_decay": 1.2e-6,  # as in AWD-LSTM's code
    "clip_norm": 0.25,
    "average": 0.999,
    "batch_size": 20,
}
# Few types, such as characters and bytes: the output costs nothing, so nothing is shared or
# sampled.
_LETTERS = _Defaults(
    embedding_size=64, hidden_size=512, num_layers=1, tied=False, bptt=48, run=_ADAM
)
# A small text is read so many times that the network would learn it by heart: with no dropout it
# was at its best after a quarter of its steps, and no better than a 7-gram.
_SMALL_TEXT = dataclasses.replace(_LETTERS, output_dropout=0.3, weight_dropout=0.3)
_TINY_TEXT = dataclasses.replace(
    _LETTERS, input_dropout=0.1, output_dropout=0.5, weight_dropout=0.5
)
# Many types, such as words and subwords.
_WORDS = _Defaults(
    embedding_size=400,
    hidden_size=400,
    num_layers=2,
    tied=True,
    embedding_dropout=0.05,
    input_dropout=0.3,
    hidden_dropout=0.25,
    output_dropout=0.35,
    weight_dropout=0.3,
    bptt=70,
    run=_SGD,
)
_FEW_TYPES = 1_000
_TINY, _SMALL = 150_000, 500_000  # letters of the training part, up to which a text is so
_COMMON = {"max_minutes": 10.0}


def make_plan(
    options: LanguageModelingOptions, vocabulary: int, num_tokens: int, optimizer: str | None = None
) -> tuple[Plan, dict[str, Any]]:
    """Fills in what the options leave open.

    Args:
        options: of the language model.
        vocabulary: V.
        num_tokens: of the training part.
        optimizer: that the run was told to take; None for the default.

    Returns:
        The plan, and defaults for the training run.

    Raises:
        OptionError: for options that would do nothing.
    """
    base = _letters(num_tokens) if vocabulary < _FEW_TYPES else _WORDS
    adaptive = options.softmax == "adaptive"

    def given(name: str) -> Any:
        value = getattr(options, name)
        return getattr(base, name) if value is None else value

    widened = given("num_layers") == 1 and options.hidden_size not in (
        None,
        given("embedding_size"),
    )
    tied = base.tied and not adaptive and not widened if options.tied is None else options.tied
    if tied and widened:
        raise OptionError(
            f"options 'tied' and 'hidden_size' do not go together with one layer, which is as wide "
            f"as the embedding: {given('embedding_size')}, got hidden_size {options.hidden_size}; "
            f"leave one of them out"
        )
    if options.hidden_dropout and given("num_layers") == 1:
        raise OptionError(
            "option 'hidden_dropout' acts between layers, and there is one; give output_dropout, "
            "or more layers"
        )

    layers, width = given("num_layers"), given("embedding_size")
    chosen: dict[str, Any] = {}
    if layers == 1:  # which has nothing between layers, and tied is as wide as the embedding
        chosen = {"hidden_dropout": 0.0, **({"hidden_size": width} if tied else {})}
    samples = options.samples
    if samples is None:
        many = options.softmax == "auto" and vocabulary > _SAMPLED_FROM
        samples = _SAMPLES if many or options.softmax == "sampled" else 0
    bptt = min(given("bptt"), max(2, num_tokens - 1))
    columns = max(1, min(base.run["batch_size"], num_tokens // (2 * bptt)))
    plan = Plan(
        **{
            name: chosen.get(name, given(name))
            for name in (
                "embedding_size",
                "hidden_size",
                "num_layers",
                "embedding_dropout",
                "input_dropout",
                "hidden_dropout",
                "output_dropout",
                "weight_dropout",
            )
        },
        tied=tied,
        cutoffs=_cutoffs(vocabulary) if adaptive else (),
        samples=samples,
        alpha=options.activation_regularization,
        beta=options.temporal_activation_regularization,
        bptt=bptt,
        vary_bptt=options.vary_bptt,
        members=options.members,
        ngram_weight=options.ngram_weight,
    )
    run = dict(base.run)
    if optimizer not in (None, run["optimizer"]):  # to which its rates do not belong
        run = {"average": run["average"]}
    if options.members > 1:  # whose gradients are clipped as one, which is so much longer
        run["clip_norm"] = math.sqrt(options.members) * run.get("clip_norm", CLIP_NORM)
    return plan, {**run, **_COMMON, "batch_size": columns}


def _letters(num_tokens: int) -> _Defaults:
    if num_tokens > _SMALL:
        return _LETTERS
    return _SMALL_TEXT if num_tokens > _TINY else _TINY_TEXT


def _cutoffs(vocabulary: int) -> tuple[int, ...]:
    """Returns the first token of each group of rare ones, each group several times the last."""
    return tuple(c for c in (2_000, 10_000, 50_000, 250_000) if c < vocabulary - 1) or (
        max(1, vocabulary // 2),
    )
