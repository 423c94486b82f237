"""What a recogniser can be told."""

from __future__ import annotations

from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.speech_recognition.feature_changes import MOST_WARPING

KINDS = ("log_mel", "mfcc")
SCALINGS = ("speaker", "recording", "running")


@options
class RecognitionOptions:
    """Options of a ``Recognizer``; where one is None, the data decides (``plan``).

    Raises:
        OptionError: for an unknown option, a value out of range, an impossible combination.
    """

    audio_field: str = option(default="audio", help="column of a manifest that names the recording")
    text_field: str = option(default="text", help="column of a manifest that has what was said")
    encoding: str = option(default="utf-8", help="character encoding of the manifest")
    skip_broken: bool = option(
        default=False,
        help="leave out, and count, recordings that are missing or cannot be read",
    )
    lowercase: bool = option(default=False, help="write and learn all text in small letters")
    validation: float = option(
        default=0.1,
        help="part of the recordings that chooses the weights; where speakers are named none is "
        "in two parts",
        unit="the recordings",
        low=0.0,
        high=0.5,
    )
    holdout: float = option(
        default=0.1,
        help="part of the recordings, never seen, which evaluate scores",
        unit="the recordings",
        low=0.0,
        high=0.5,
    )
    streaming: bool = option(
        default=False,
        help="read forward only, so that words can come while somebody speaks; a model that reads "
        "both ways makes fewer errors",
    )
    features: str | None = option(
        default=None,
        help="what the network sees of sound; default: log_mel; ready features stay as they are",
        choices=KINDS,
    )
    rate: int | None = option(
        default=None,
        help="samples a second that recordings are brought to; default: the lowest among them, "
        "16000 at the most",
        unit="Hz",
        low=8_000,
        high=48_000,
    )
    mel_filters: int | None = option(
        default=None,
        help="filters of log-mel features, or below cepstra; default: 40",
        low=8,
        high=128,
    )
    cepstra: int | None = option(
        default=None, help="coefficients of mfcc features; default: 13", low=5, high=40
    )
    deltas: int | None = option(
        default=None,
        help="slopes (1) and their slopes (2) that stand beside the features",
        low=0,
        high=2,
    )
    scaling: str | None = option(
        default=None,
        help="over what features are brought to mean 0 and variance 1: all that a speaker said, a "
        "recording, or what has been heard so far, as a stream must",
        choices=SCALINGS,
    )
    channels: int | None = option(
        default=None, help="channels of the convolution below the layers", low=1
    )
    hidden_size: int | None = option(
        default=None,
        help="memory cells of a layer, both directions together; an even number",
        unit="cells",
        low=2,
    )
    num_layers: int | None = option(default=None, help="LSTM layers", unit="layers", low=1, high=16)
    subsampling: int | None = option(
        default=None,
        help="frames of 10 ms for a step of the layers",
        unit="frames",
        low=1,
        high=4,
    )
    residual: bool = option(
        default=True,
        help="add a layer's input to its output, from the second layer on",
        source="arXiv:1609.08144, section 3.1",
    )
    input_dropout: float | None = option(
        default=None,
        help="dropout behind the convolution, locked in time",
        low=0.0,
        high=0.9,
        source="arXiv:1512.05287",
    )
    hidden_dropout: float | None = option(
        default=None, help="dropout between layers, locked in time", low=0.0, high=0.9
    )
    output_dropout: float | None = option(
        default=None, help="dropout before the output, locked in time", low=0.0, high=0.9
    )
    weight_dropout: float | None = option(
        default=None,
        help="dropout of the recurrent weights",
        low=0.0,
        high=0.9,
        source="arXiv:1708.02182, section 2",
    )
    masking: float | None = option(
        default=None,
        help="how much SpecAugment blanks out of what is learned from: 0 nothing, 1 two stripes of "
        "time and two of the features",
        low=0.0,
        high=4.0,
        source="arXiv:1904.08779, section 2",
    )
    stretching: float | None = option(
        default=None,
        help="by how much recordings are made faster or slower at random: 0.1 is a tenth",
        low=0.0,
        high=0.5,
        source="Ko et al. 2015, section 2",
    )
    warping: float | None = option(
        default=None,
        help="by how much formants are moved up or down at random, as if others spoke (log_mel)",
        low=0.0,
        high=MOST_WARPING,
        source="Jaitly and Hinton 2013",
    )
    noise: float | None = option(
        default=None,
        help="part of the recordings that noise is added to, 10 to 40 dB below the speech; ready "
        "features get none",
        low=0.0,
        high=1.0,
    )
    lexicon: bool = option(
        default=True, help="say only words that were said in training; else anything may be spelled"
    )
    ngram: int = option(
        default=3,
        help="words that the language model counts together; 0 is without one",
        unit="words",
        low=0,
        high=6,
    )

    def __post_init__(self) -> None:
        if self.audio_field == self.text_field:
            raise OptionError(
                f"options 'audio_field' and 'text_field' name two columns, got "
                f"{self.audio_field!r} for both; give the names of the two"
            )
        if (self.hidden_size or 2) % 2:
            raise OptionError(
                f"option 'hidden_size' expects an even number, of which each direction has half, "
                f"got {self.hidden_size}; give {(self.hidden_size or 0) + 1}"
            )
        if self.validation + self.holdout >= 1:
            raise OptionError(
                f"options 'validation' and 'holdout' leave nothing to train on: {self.validation:g}"
                f" + {self.holdout:g}; give less"
            )
        if self.cepstra is not None and self.features != "mfcc":
            raise OptionError(
                f"option 'cepstra' = {self.cepstra} is for features = 'mfcc', got "
                f"{self.features!r}; give --features mfcc, or leave it out"
            )
        if self.streaming and self.scaling not in (None, "running"):
            raise OptionError(
                f"option 'streaming' hears nothing in advance, but 'scaling' = "
                f"{self.scaling!r} needs all of it; leave one of them out"
            )
        if self.streaming and self.deltas:
            raise OptionError(
                f"option 'streaming' hears nothing in advance, but 'deltas' = {self.deltas} are "
                f"slopes towards what comes; leave one of them out"
            )
        if self.ngram and not self.lexicon:
            raise OptionError(
                "option 'ngram' counts the lexicon's words, but 'lexicon' is off; give --ngram 0 "
                "with --no-lexicon"
            )
