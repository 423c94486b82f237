"""What a translator can be told."""

from __future__ import annotations

from carousel.errors import OptionError
from carousel.options import option, options

SUBWORDS = 257  # the least there can be: all bytes, and the sentence's end


@options
class TranslationOptions:
    """Options of a ``Translator``; where one is None, the data decides (``plan``).

    Raises:
        OptionError: for an unknown option, a value out of range, an impossible combination.
    """

    source_field: str = option(
        default="source", help="field of a JSON line that holds the text to translate"
    )
    target_field: str = option(
        default="target", help="field of a JSON line that holds the text translated to"
    )
    reverse: bool = option(
        default=False,
        help="translate the second side of each pair to the first; files, columns and fields keep "
        "their order, in evaluate too",
    )
    encoding: str = option(default="utf-8", help="character encoding of the files")
    max_words: int = option(
        default=200,
        help="leave out pairs of which a side has more words than this, or more than 20 "
        "characters for each of them",
        unit="words",
        low=1,
    )
    max_ratio: float = option(
        default=4.0,
        help="leave out pairs of which (words of the longer side + 1) / (words of the shorter + "
        "1) is above this; 1000 keeps all, as it must where a language writes no spaces",
        low=1.0,
        high=1_000.0,
    )
    validation: float = option(
        default=0.05,
        help="part of the pairs that chooses the weights; no source is in two parts",
        unit="the pairs",
        low=0.0,
        high=0.5,
    )
    holdout: float = option(
        default=0.05,
        help="part of the pairs, never seen, which evaluate scores",
        unit="the pairs",
        low=0.0,
        high=0.5,
    )
    vocabulary_size: int | None = option(
        default=None,
        help="most subwords known, in each language where they are not shared",
        unit="subwords",
        low=SUBWORDS,
        high=1_000_000,
    )
    shared_vocabulary: bool = option(
        default=True, help="learn one set of subwords from both languages"
    )
    embedding_size: int | None = option(
        default=None, help="numbers that stand for a subword", unit="numbers", low=1, high=8_192
    )
    hidden_size: int | None = option(
        default=None,
        help="memory cells of a layer that writes the target",
        unit="cells",
        low=1,
        high=8_192,
    )
    encoder_size: int | None = option(
        default=None,
        help="memory cells of each direction that reads the source; by default half of hidden_size",
        unit="cells",
        low=1,
        high=8_192,
    )
    encoder_layers: int | None = option(
        default=None,
        help="layers that read the source, in both directions",
        unit="layers",
        low=1,
        high=16,
    )
    decoder_layers: int | None = option(
        default=None,
        help="layers that write the target, of which the lowest attends",
        unit="layers",
        low=1,
        high=16,
    )
    residual: bool = option(
        default=True,
        help="add a layer's input to its output, from the second layer on",
        source="arXiv:1609.08144, section 3.1",
    )
    attention: str = option(
        default="general",
        help="how a state of the decoder is compared with those of the encoder",
        choices=("additive", "general", "dot"),
        source="additive: arXiv:1409.0473; general, dot: arXiv:1508.04025",
    )
    input_feeding: bool = option(
        default=False,
        help="give each step what the last one attended to; the decoder then learns step by step, "
        "which is slower",
        source="arXiv:1508.04025, section 3.3",
    )
    tied: bool = option(
        default=True,
        help="use the target's embedding as the output's weights",
        source="arXiv:1608.05859",
    )
    tied_source: bool | None = option(
        default=None,
        help="use one embedding for both languages (shared vocabulary only)",
        source="three-way tying, arXiv:1608.05859, section 4.3",
    )
    word_dropout: float | None = option(
        default=None, help="part of the subwords that a batch does without", low=0.0, high=0.9
    )
    input_dropout: float | None = option(
        default=None,
        help="dropout of the embedded input, locked in time",
        low=0.0,
        high=0.9,
        source="arXiv:1512.05287",
    )
    hidden_dropout: float | None = option(
        default=None, help="dropout between layers, locked in time", low=0.0, high=0.9
    )
    output_dropout: float | None = option(
        default=None, help="dropout before the output", low=0.0, high=0.9
    )
    weight_dropout: float | None = option(
        default=None,
        help="dropout of the recurrent weights",
        low=0.0,
        high=0.9,
        source="arXiv:1708.02182, section 2",
    )
    label_smoothing: float | None = option(
        default=None,
        help="part of the target's probability that is spread over all subwords in training",
        low=0.0,
        high=0.9,
        source="arXiv:1512.00567, section 7",
    )
    guided_alignment: float | None = option(
        default=None,
        help="weight of a loss by which the attention learns a statistical word alignment",
        low=0.0,
        high=10.0,
        source="arXiv:1607.01628",
    )
    members: int = option(
        default=1,
        help="models that learn side by side and translate together",
        unit="models",
        low=1,
        high=16,
    )

    def __post_init__(self) -> None:
        if self.source_field == self.target_field:
            raise OptionError(
                f"options 'source_field' and 'target_field' name two fields, got "
                f"{self.source_field!r} for both; give the names of the two"
            )
        if self.tied_source and not self.shared_vocabulary:
            raise OptionError(
                "option 'tied_source' needs one vocabulary for both languages; leave one of "
                "'tied_source' and 'shared_vocabulary' = false out"
            )
        if self.validation + self.holdout >= 1:
            raise OptionError(
                f"options 'validation' and 'holdout' leave nothing to train on: {self.validation:g}"
                f" + {self.holdout:g}; give less"
            )
