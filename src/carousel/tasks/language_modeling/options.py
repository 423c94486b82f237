"""What a language model can be told."""

from __future__ import annotations

from typing import Any

from carousel.errors import OptionError
from carousel.options import option, options

AWD = "arXiv:1708.02182"
SUBWORDS = 257  # the least there can be
MOST_MEMBERS = 16
MOST_SHARE = 0.9  # of the n-grams in a prediction


def share_option() -> Any:
    """Returns the option of what a model predicts with another share of n-grams than its own."""
    return option(
        default=None,
        help="share of the n-grams of the training text in every prediction; default: the model's",
        low=0.0,
        high=MOST_SHARE,
        source="doi:10.21437/Interspeech.2010-343, section 3",
    )


@options
class LanguageModelingOptions:
    """Options of a ``LanguageModel``; where one is None, the data decides (``plan``).

    Raises:
        OptionError: for an unknown option, a value out of range, an impossible combination.
    """

    tokenizer: str = option(
        default="characters",
        help="what a token is",
        choices=("characters", "bytes", "words", "subwords"),
    )
    vocabulary_size: int | None = option(
        default=None, help="most tokens known (words and subwords)", unit="tokens", low=4
    )
    min_count: int | None = option(
        default=None,
        help="words seen fewer times in training are unknown (words only; default 2, or 1 where "
        "the text has <unk> itself)",
        unit="times",
        low=1,
    )
    field: str = option(default="text", help="field of a JSON line that holds the text")
    encoding: str = option(default="utf-8", help="character encoding of the files")
    validation: float = option(
        default=0.05,
        help="part of the text, behind the training part, that chooses the weights",
        unit="the text",
        low=0.0,
        high=0.5,
    )
    holdout: float = option(
        default=0.05,
        help="last part of the text, never seen, which evaluate scores",
        unit="the text",
        low=0.0,
        high=0.5,
    )
    embedding_size: int | None = option(
        default=None, help="numbers that stand for a token", unit="numbers", low=1
    )
    hidden_size: int | None = option(
        default=None, help="memory cells of a layer", unit="cells", low=1
    )
    num_layers: int | None = option(default=None, help="LSTM layers", unit="layers", low=1, high=16)
    tied: bool | None = option(
        default=None,
        help="use the embedding as the output's weights; the last layer is then as wide as it",
        source="arXiv:1608.05859; arXiv:1611.01462",
    )
    softmax: str = option(
        default="auto",
        help="in training, sum over all tokens, over a sample, or over groups of rare ones; auto "
        "samples where there are more than 5,000",
        choices=("auto", "full", "sampled", "adaptive"),
        source="sampled: arXiv:1412.2007; adaptive: arXiv:1609.04309",
    )
    samples: int | None = option(
        default=None,
        help="tokens in the sample (default 2,000; sampled softmax only)",
        unit="tokens",
        low=1,
    )
    embedding_dropout: float | None = option(
        default=None,
        help="part of the words left out of each batch (dropoute)",
        low=0.0,
        high=0.9,
        source=f"{AWD}, section 4.3",
    )
    input_dropout: float | None = option(
        default=None,
        help="dropout of the embedded input (dropouti)",
        low=0.0,
        high=0.9,
        source=f"{AWD}, section 4.2",
    )
    hidden_dropout: float | None = option(
        default=None,
        help="dropout between layers (dropouth)",
        low=0.0,
        high=0.9,
        source=f"{AWD}, section 4.2",
    )
    output_dropout: float | None = option(
        default=None,
        help="dropout of the last layer's output (dropout)",
        low=0.0,
        high=0.9,
        source=f"{AWD}, section 4.2",
    )
    weight_dropout: float | None = option(
        default=None,
        help="dropout of the recurrent weights (wdrop)",
        low=0.0,
        high=0.9,
        source=f"{AWD}, section 2",
    )
    activation_regularization: float = option(
        default=0.0,
        help="weight of the squared output in the loss (alpha)",
        low=0.0,
        source=f"{AWD}, section 4.6",
    )
    temporal_activation_regularization: float = option(
        default=0.0,
        help="weight of the output's squared change from step to step in the loss (beta)",
        low=0.0,
        source=f"{AWD}, section 4.6",
    )
    bptt: int | None = option(
        default=None,
        help="steps through which gradients flow, on average",
        unit="steps",
        low=2,
        high=100_000,
    )
    vary_bptt: bool = option(
        default=True,
        help="let that length vary from batch to batch",
        source=f"{AWD}, section 4.1",
    )
    members: int = option(
        default=1,
        help="networks that learn side by side and predict together",
        unit="networks",
        low=1,
        high=MOST_MEMBERS,
        source="arXiv:1409.2329, table 1",
    )

    ngram_weight: float = option(
        default=0.0,
        help="share that the n-grams of the training text have in every prediction; 0 leaves it to "
        "the network",
        low=0.0,
        high=MOST_SHARE,
        source="doi:10.21437/Interspeech.2010-343, section 3",
    )

    def __post_init__(self) -> None:
        sized = self.tokenizer in ("words", "subwords")
        if self.vocabulary_size is not None and not sized:
            raise OptionError(
                f"option 'vocabulary_size' is for words and subwords, got tokenizer "
                f"{self.tokenizer!r}, whose vocabulary the text decides; leave one of them out"
            )
        if self.min_count is not None and self.tokenizer != "words":
            raise OptionError(
                f"option 'min_count' is for words, got tokenizer {self.tokenizer!r}; leave one of "
                f"them out"
            )
        if self.tied and self.softmax == "adaptive":
            raise OptionError(
                "option 'tied' needs softmax 'full' or 'sampled': the adaptive softmax has groups "
                "of its own sizes; leave one of them out"
            )
        if self.tokenizer == "subwords" and (self.vocabulary_size or SUBWORDS) < SUBWORDS:
            raise OptionError(
                f"option 'vocabulary_size' expects at least {SUBWORDS} for subwords, all bytes and "
                f"the boundary of documents, got {self.vocabulary_size}; give more"
            )
        if self.softmax == "adaptive" and self.tokenizer != "words":
            raise OptionError(
                f"option 'softmax' expects tokens in the order of their frequency to group the "
                f"rare ones, which words are in, and {self.tokenizer} are not; give 'sampled'"
            )
        if self.samples is not None and self.softmax not in ("auto", "sampled"):
            raise OptionError(
                f"option 'samples' needs softmax 'sampled', got {self.softmax!r}; leave one of "
                f"them out"
            )
        if self.validation + self.holdout >= 1:
            raise OptionError(
                f"options 'validation' and 'holdout' leave nothing to train on: {self.validation:g}"
                f" + {self.holdout:g}; give less"
            )
