"""Recordings changed at random while a recogniser learns, so that a few teach as much as many.

Knows samples and features, nothing of transcripts and files. Each function depends on its arguments
and the generator alone and writes into neither samples nor features; what it leaves unchanged may
come back as the same array.

Letters: N samples, T frames, F features of a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64

from carousel.data.extras import import_extra
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.speech_recognition.feature_changes import (
    FASTEST,
    MOST_WARPING,
    SLOWEST,
    check_within,
    masked,
    stretched,
    warped,
)

Color = Literal["white", "pink"]
MOST_DECIBELS = 100.0  # of noise below or above the signal, and of gain


def speed(samples: Float32[np.ndarray, " N"], factor: float) -> Float32[np.ndarray, " M"]:
    """Returns the samples played faster or slower, which moves the pitch as well.

        y(t) = x(factor · t)

    What would then lie above half the sample rate is left out.

    Args:
        samples: (N,).
        factor: 0.5 to 2; above 1 is faster.

    Returns:
        (M,) with M = N / factor, rounded.

    Raises:
        OptionError: for a factor out of its range.
        MissingDependencyError: where soxr is not installed.

    Reference: Ko et al. 2015, "Audio augmentation for speech recognition", Interspeech,
    doi:10.21437/Interspeech.2015-711.
    """
    check_within("factor", factor, SLOWEST, FASTEST)
    if factor == 1:
        return samples
    # As if there were `factor` samples a second, of which one a second is kept.
    return import_extra("soxr", "speech").resample(samples, factor, 1.0)


def noisy(
    samples: Float32[np.ndarray, " N"],
    rng: np.random.Generator,
    *,
    decibels: float,
    color: Color = "white",
) -> Float32[np.ndarray, " N"]:
    """Adds noise of a given strength; silence stays as it is.

        decibels = 10 · log10(Σ x² / Σ noise²)

    Args:
        samples: (N,).
        rng: draws the noise.
        decibels: signal-to-noise ratio, −100 to 100; at 0 the noise is as strong as the signal.
        color: "white" is equally strong at all frequencies; "pink", with power proportional to
            1 / frequency, is nearer to rooms and streets.

    Raises:
        OptionError: for a ratio out of its range, or another colour.
    """
    check_within("decibels", decibels, -MOST_DECIBELS, MOST_DECIBELS)
    if color not in ("white", "pink"):
        raise OptionError(f"color: expected 'white' or 'pink', got {color!r}")
    signal = _energy(samples)
    if signal == 0:
        return samples
    noise = made_noise(len(samples), rng, color)
    noise *= math.sqrt(signal / _energy(noise)) * _amplitude(-decibels)
    return (samples + noise).astype(np.float32)


def made_noise(number: int, rng: np.random.Generator, color: Color) -> Float64[np.ndarray, " N"]:
    """Returns so many samples of noise, (N,); see ``noisy`` for the colours."""
    noise = rng.standard_normal(number)
    if color == "white" or number == 0:
        return noise
    spectrum = np.fft.rfft(noise)
    # The constant part, which has no finite share of 1 / f, gets that of the first frequency.
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    pink: np.ndarray = np.fft.irfft(spectrum, number)
    return pink


def gained(
    samples: Float32[np.ndarray, " N"], rng: np.random.Generator, *, decibels: float
) -> Float32[np.ndarray, " N"]:
    """Makes all samples louder or softer by one random factor; none is cut off at full scale.

        y = 10^(g / 20) · x,  g ~ U(−decibels, decibels)

    Args:
        samples: (N,).
        rng: draws the gain.
        decibels: the most gain and loss, 0 to 100.

    Raises:
        OptionError: for a gain out of its range.
    """
    check_within("decibels", decibels, 0, MOST_DECIBELS)
    return samples * np.float32(_amplitude(rng.uniform(-decibels, decibels)))


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to the samples of one utterance.

    Attributes:
        speed: how fast they are played.
        gain: by how many decibels they may become louder or softer.
        decibels: signal-to-noise ratio of the noise that is added; None adds none.
        color: of the noise.
    """

    speed: float
    gain: float = 0.0
    decibels: float | None = None
    color: Color = "white"

    @property
    def is_of_speed_alone(self) -> bool:
        """Whether the same samples are the same again after it, whatever is drawn."""
        return self.decibels is None and not self.gain

    def applied(
        self, samples: Float32[np.ndarray, " N"], rng: np.random.Generator
    ) -> Float32[np.ndarray, " M"]:
        """Returns the samples (N,) at another speed, then with noise, then gain.

        Raises:
            MissingDependencyError: where soxr is not installed and the speed changes.
        """
        samples = speed(samples, self.speed)
        if self.decibels is not None:
            samples = noisy(samples, rng, decibels=self.decibels, color=self.color)
        return gained(samples, rng, decibels=self.gain) if self.gain else samples


@options
class Augmentation:
    """How strongly recordings are changed while a recogniser learns.

    Raises:
        OptionError: for an unknown option, a value out of range, an impossible combination.
    """

    speeds: tuple[float, ...] = option(
        default=(0.9, 1.0, 1.1),
        help="how fast recordings are played, one of these each time, all equally often; 1 alone "
        "leaves them as they are",
        unit="times",
        low=SLOWEST,
        high=FASTEST,
        source="Ko et al. 2015",
    )
    noise_share: float = option(
        default=0.5,
        help="part of the recordings that noise is added to, white or pink; 0 adds none",
        unit="the recordings",
        low=0.0,
        high=1.0,
    )
    least_snr: float = option(
        default=10.0,
        help="smallest signal-to-noise ratio, the strongest noise",
        unit="dB",
        low=-MOST_DECIBELS,
        high=MOST_DECIBELS,
    )
    most_snr: float = option(
        default=40.0,
        help="largest signal-to-noise ratio, the weakest noise",
        unit="dB",
        low=-MOST_DECIBELS,
        high=MOST_DECIBELS,
    )
    gain: float = option(
        default=6.0,
        help="how much louder or softer recordings become at most; 0 leaves them",
        unit="dB",
        low=0.0,
        high=MOST_DECIBELS,
    )
    stretch: float = option(
        default=0.1,
        help="how much longer or shorter features become at most; 0 leaves them",
        unit="their length",
        low=0.0,
        high=1 - SLOWEST,
    )
    warp: float = option(
        default=0.0,
        help="how much higher or lower formants become at most; 0 leaves them",
        unit="their frequency",
        low=0.0,
        high=MOST_WARPING,
        source="Jaitly and Hinton 2013",
    )
    time_masks: int = option(
        default=2,
        help="runs of frames that are hidden; 0 hides none",
        unit="runs",
        low=0,
        source="Park et al. 2019, table 1, SM",
    )
    time_width: int = option(
        default=70,
        help="most frames of a hidden run",
        unit="frames",
        low=1,
        source="Park et al. 2019, table 1, SM",
    )
    time_share: float = option(
        default=0.2,
        help="most of an utterance that one hidden run may take",
        unit="its frames",
        low=0.0,
        high=1.0,
        source="Park et al. 2019, table 1, SM",
    )
    frequency_masks: int = option(
        default=2,
        help="bands of features that are hidden; 0 hides none",
        unit="bands",
        low=0,
        source="Park et al. 2019, table 1, SM",
    )
    frequency_width: int = option(
        default=7,
        help="most features of a hidden band",
        unit="features",
        low=1,
        source="Park et al. 2019, table 1, SM: 15 of 80, here for 40",
    )

    def __post_init__(self) -> None:
        if not self.speeds:
            raise OptionError("speeds: expected one or more, got none; give 1 to change nothing")
        if self.least_snr > self.most_snr:
            raise OptionError(
                f"least_snr: expected at most most_snr, got {self.least_snr} and {self.most_snr} "
                "dB; exchange them"
            )

    @classmethod
    def none(cls) -> Augmentation:
        """Returns the one that changes nothing."""
        return cls(speeds=(1.0,), noise_share=0, gain=0, stretch=0, time_masks=0, frequency_masks=0)

    def drawn(self, rng: np.random.Generator) -> Change:
        """Draws what will happen to the samples of an utterance."""
        factor = self.speeds[rng.integers(len(self.speeds))]
        if rng.random() >= self.noise_share:
            return Change(speed=factor, gain=self.gain)
        decibels = rng.uniform(self.least_snr, self.most_snr)
        color: Color = "white" if rng.random() < 0.5 else "pink"
        return Change(speed=factor, gain=self.gain, decibels=decibels, color=color)

    def features(
        self,
        x: Float32[np.ndarray, "T F"],
        rng: np.random.Generator,
        middles: Float64[np.ndarray, " F"] | None = None,
    ) -> Float32[np.ndarray, "S F"]:
        """Returns normalised features of an utterance stretched, warped, then with parts hidden.

        Args:
            x: (T, F).
            rng: draws the changes.
            middles: (F,) Hz, of the mel filters, which warping needs.
        """
        if self.stretch:
            x = stretched(x, 1 + rng.uniform(-self.stretch, self.stretch))
        if self.warp:
            assert middles is not None
            x = warped(x, 1 + rng.uniform(-self.warp, self.warp), middles)
        return masked(
            x,
            rng,
            time_masks=self.time_masks,
            time_width=self.time_width,
            time_share=self.time_share,
            frequency_masks=self.frequency_masks,
            frequency_width=self.frequency_width,
        )


def _energy(samples: np.ndarray) -> float:
    # In double precision: the squares of quiet samples are below what float32 can hold.
    return float(np.square(samples, dtype=np.float64).sum())


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)
