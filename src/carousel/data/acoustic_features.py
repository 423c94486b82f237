"""Acoustic features as Kaldi defines them: mel filters and cepstra, at once or as the sound comes.

Knows nothing of files, of words, and of the scale that a network wants.

Letters: N samples, T frames, F features of a frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from carousel.data.extras import import_extra
from carousel.errors import OptionError
from carousel.options import option, options

SHIFT = 10.0  # ms from one frame to the next
WINDOW = 25.0  # ms that a frame looks at
LOWEST = 20.0  # Hz where the first filter begins; the last ends at half the rate
FULL_SCALE = np.float32(32768)  # Kaldi's samples are 16-bit numbers

_LEAST_BINS, _MOST_BINS = 3, 512
_CEPSTRA = 13
_PIECE = 1 << 16  # samples computed at a time, so that their frames are few


@options
class AcousticFeatures:
    """What is computed from a sound of one rate: T frames of F numbers, one every 10 ms.

        log_mel_b = log max(ε, Σ_k w_bk |FFT(p ⋆ preemphasized(x - mean(x)))_k|²),  ε = 2⁻²³
        mfcc_c    = (1 + 11 sin(πc/22)) Σ_b DCT_cb log_mel_b

    x are the 25 ms around (t + 1/2) · 10 ms, mirrored where they reach over the sound's beginning
    or end; the preemphasis is 0.97; p is Povey's window, the Hann window to the power 0.85; w are
    triangles on the mel scale 1127 log(1 + f/700) from 20 Hz to half the rate; DCT is the
    orthonormal one of type II. These are Kaldi's defaults with ``--snip-edges=false``,
    ``--use-energy=false``, and ``--dither=0``, so that the same sound has the same features.

    Raises (on construction):
        OptionError: for a value out of its range; more filters than the rate has frequencies for;
            more cepstra than filters, or their number for ``log_mel``.
        MissingDependencyError: where kaldi_native_fbank is not installed.

    Reference:
        Davis and Mermelstein 1980, doi:10.1109/TASSP.1980.1163420; the options are those of
        https://kaldi-asr.org/doc/feat.html.
    """

    kind: str = option(
        default="log_mel",
        help="logarithms of the energies in mel filters, or their cepstrum",
        choices=("log_mel", "mfcc"),
    )
    rate: int = option(
        default=16_000, help="sampling rate of the sound", unit="Hz", low=8_000, high=192_000
    )
    bins: int = option(
        default=40, help="mel filters", unit="filters", low=_LEAST_BINS, high=_MOST_BINS
    )
    cepstra: int = option(
        default=_CEPSTRA,
        help="coefficients of mfcc; the first is the sum of the filters, not the energy",
        unit="coefficients",
        low=1,
    )

    def __post_init__(self) -> None:
        if self.kind == "log_mel" and self.cepstra != _CEPSTRA:
            raise OptionError(
                f"expected cepstra for the kind 'mfcc' alone, got {self.cepstra} for 'log_mel'; "
                "leave them out, or choose mfcc"
            )
        if self.kind == "mfcc" and self.cepstra > self.bins:
            raise OptionError(
                f"expected at most as many cepstra as filters, {self.bins}, got {self.cepstra}; "
                "raise bins, or take fewer"
            )
        if not _filters_hold(self.rate, self.bins):
            most = next(n for n in range(self.bins, 0, -1) if _filters_hold(self.rate, n))
            raise OptionError(
                f"expected filters that each hold a frequency, got {self.bins} at {self.rate:,} "
                f"Hz, of which some hold none; take {most} bins or fewer"
            )

    @property
    def size(self) -> int:
        """F, the features of a frame."""
        return self.bins if self.kind == "log_mel" else self.cepstra

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next: 0.01, or what of it is whole samples."""
        return self._shift / self.rate

    @property
    def middles(self) -> Float64[np.ndarray, " B"]:
        """Where each of the B filters is highest, in Hz: evenly apart on the mel scale."""
        low, high = (1127 * np.log1p(end / 700) for end in (LOWEST, self.rate / 2))
        return 700 * np.expm1(np.linspace(low, high, self.bins + 2)[1:-1] / 1127)

    def frames_of(self, samples: int) -> int:
        """Returns T, the frames of so many samples: one for each 10 ms, rounded, half upwards."""
        return (samples + self._shift // 2) // self._shift

    def compute(self, samples: Float32[np.ndarray, " N"]) -> Float32[np.ndarray, "T F"]:
        """Returns the features of a whole sound.

        Args:
            samples: (N,) at the rate, from -1 to 1; less than half a frame of them has no frame.
        """
        stream = self.stream()
        return np.concatenate([stream.feed(samples), stream.finish()])

    def stream(self) -> FeatureStream:
        """Returns what computes the features of a sound that comes in pieces."""
        return FeatureStream(self)

    @property
    def _shift(self) -> int:
        """Samples from one frame to the next."""
        # Kaldi's own arithmetic, in single precision and cut to whole samples.
        return int(np.float32(self.rate) * np.float32(0.001) * np.float32(SHIFT))

    def _begun(self) -> Any:
        """Returns the library's computer of frames, which has heard nothing."""
        library = import_extra("kaldi_native_fbank", "speech")
        mfcc = self.kind == "mfcc"
        given = library.MfccOptions() if mfcc else library.FbankOptions()
        given.frame_opts = _frame_options(self.rate)
        given.mel_opts = _filter_options(self.bins)
        given.use_energy = False
        if mfcc:
            given.num_ceps = self.cepstra
        return library.OnlineMfcc(given) if mfcc else library.OnlineFbank(given)


class FeatureStream:
    """Computes the features of a sound that comes in pieces; their cuts change no bit of it.

    Frame t is returned once the sound has reached its end, at 10 t + 17.5 ms.
    Memory does not grow with the length.

    Args:
        features: what is computed.
    """

    def __init__(self, features: AcousticFeatures) -> None:
        self._features = features
        self._online, self._taken = features._begun(), 0

    def feed(self, samples: Float32[np.ndarray, " N"]) -> Float32[np.ndarray, "T F"]:
        """Returns the frames that the next samples, 0 or more, complete: maybe none."""
        parts = [self._ready()]
        for begin in range(0, len(samples), _PIECE):
            piece = samples[begin : begin + _PIECE] * FULL_SCALE
            self._online.accept_waveform(self._features.rate, piece)
            parts.append(self._ready())
        return np.concatenate(parts)

    def finish(self) -> Float32[np.ndarray, "T F"]:
        """Returns the last frames of the sound, two at most; the next piece begins another."""
        self._online.input_finished()
        last = self._ready()
        self._online, self._taken = self._features._begun(), 0
        return last

    def _ready(self) -> Float32[np.ndarray, "T F"]:
        """Returns the frames that were not returned, and has the library forget them."""
        count = self._online.num_frames_ready
        found = np.empty((count - self._taken, self._features.size), np.float32)
        for row in range(len(found)):
            found[row] = self._online.get_frame(self._taken + row)
        self._online.pop(len(found))
        self._taken = count
        return found


def _filters_hold(rate: int, bins: int) -> bool:
    """Whether each filter holds a frequency of the Fourier transform."""
    library = import_extra("kaldi_native_fbank", "speech")
    try:
        library.MelBanks(_filter_options(bins), _frame_options(rate))
    except ValueError:  # for what else would be an empty sum
        return False
    return True


def _frame_options(rate: int) -> Any:
    given = import_extra("kaldi_native_fbank", "speech").FrameExtractionOptions()
    given.samp_freq = rate
    given.frame_shift_ms, given.frame_length_ms = SHIFT, WINDOW
    given.dither = 0.0
    given.snip_edges = False
    return given


def _filter_options(bins: int) -> Any:
    given = import_extra("kaldi_native_fbank", "speech").MelBanksOptions()
    given.num_bins = bins
    given.low_freq, given.high_freq = LOWEST, 0.0  # 0: half the rate
    return given
