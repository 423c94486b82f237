"""Recordings as frames for the network: read, checked, scaled, and changed at random in training.

Letters: N recordings, T frames, F features of a frame, D features that the network sees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int64

from carousel.data.acoustic_features import AcousticFeatures
from carousel.data.audio import read_audio
from carousel.data.feature_scaling import Moments, RunningScale, scaled, with_deltas
from carousel.data.ready_features import read_features
from carousel.data.recordings import Recordings
from carousel.errors import DataError
from carousel.tasks.speech_recognition.augmentation import Augmentation, made_noise
from carousel.tasks.speech_recognition.plan import READY, Plan

BROKEN = "broken audio"
READY_SECONDS = 0.01  # from frame to frame of ready features, which do not say it
_SLACK = 10  # frames by which a part may reach over the end, as it may of sound
RUNNING_WEIGHT = 300.0  # frames that the training data's moments count as in a running scale
_KEPT_BYTES = 1 << 30  # of samples and features that are kept; others are read each time


@dataclass(frozen=True, eq=False)
class Frontend:
    """From a sound to what the network sees.

    Args:
        features: of samples; None where features are given as such.
        size: F.
        deltas: how many slopes stand beside the features.
        scaling: over what they are scaled, see ``RecognitionOptions``.
        moments: of all training frames.
    """

    features: AcousticFeatures | None
    size: int
    deltas: int
    scaling: str
    moments: Moments

    @property
    def width(self) -> int:
        """D, what the network sees of a frame."""
        return self.size * (1 + self.deltas)

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return READY_SECONDS if self.features is None else self.features.frame_seconds

    def plain(self, path: str, start: float, end: float) -> Float32[np.ndarray, "T F"]:
        """Returns the features of a file, or of a part of it, as they are.

        Args:
            path: of the recording, or of ready features.
            start: where it begins, in seconds; NaN for the file's beginning.
            end: where it ends, in seconds; NaN for the file's end.

        Raises:
            DataError: for what cannot be read.
        """
        return plain_features(self.features, path, start, end, self.size)

    def scaled(
        self, x: Float32[np.ndarray, "T F"], own: Moments | None
    ) -> Float32[np.ndarray, "T F"]:
        """Returns features scaled, by the moments of their own speaker or recording if need be."""
        if self.scaling == "running":
            return RunningScale(self.moments, RUNNING_WEIGHT).feed(x)
        if own is None:
            own = Moments.of([x]) if len(x) else self.moments
        return scaled(x, own)

    def seen(self, x: Float32[np.ndarray, "T F"]) -> Float32[np.ndarray, "T D"]:
        """Returns scaled features as the network sees them."""
        return with_deltas(x, self.deltas) if self.deltas else x


def features_of(plan: Plan) -> AcousticFeatures | None:
    """Returns what computes features; None where they are given."""
    if plan.features == READY:
        return None
    own = {"cepstra": plan.cepstra} if plan.features == "mfcc" else {}
    return AcousticFeatures(kind=plan.features, rate=plan.rate, bins=plan.mel_filters, **own)


def plain_features(
    features: AcousticFeatures | None, path: str, start: float, end: float, size: int | None
) -> Float32[np.ndarray, "T F"]:
    """Returns features of a file or a part of it; see ``Frontend.plain``."""
    begin, stop = (None if np.isnan(value) else value for value in (start, end))
    if features is not None:
        return features.compute(read_audio(path, features.rate, start=begin, end=stop))
    x = read_features(path, size=size)
    first = 0 if begin is None else round(begin / READY_SECONDS)
    last = len(x) if stop is None else round(stop / READY_SECONDS)
    if not (first < min(last, len(x)) and last <= len(x) + _SLACK):
        raise DataError(
            f"expected a part of the file, which ends at {len(x) * READY_SECONDS:g} s, got "
            f"{first * READY_SECONDS:g} to {last * READY_SECONDS:g} s; see that the times are "
            f"seconds",
            source=path,
        )
    return x[first:last]


def unreadable(error: DataError, recordings: Recordings, row: int) -> DataError:
    """Returns what a recording's error says, with the line that names it and what to do."""
    return DataError(
        f"{error} (line {recordings.lines[row]:,} of {recordings.source}; give --skip-broken to go "
        f"on without what cannot be read)"
    )


class Utterances:
    """Recordings that have been read once, and are kept where memory allows.

    Args:
        recordings: N of them, all readable.
        features: of samples; None where they are ready.
        lengths: (N,) frames of each.
        moments: of each recording.
        size: F.
    """

    def __init__(
        self,
        recordings: Recordings,
        features: AcousticFeatures | None,
        lengths: Int64[np.ndarray, " N"],
        moments: list[Moments | None],
        size: int,
    ) -> None:
        self.recordings, self.features = recordings, features
        self.lengths, self.size = lengths, size
        self._moments = moments
        self._kept: dict[tuple[str, int], np.ndarray] = {}
        self._bytes = 0
        self._of_speaker: dict[str, Moments] = {}
        for speaker, own in zip(recordings.speakers, moments, strict=True):
            if speaker and own is not None:
                known = self._of_speaker.get(speaker)
                self._of_speaker[speaker] = own if known is None else known.merged(own)

    @classmethod
    def read(
        cls,
        recordings: Recordings,
        features: AcousticFeatures | None,
        *,
        size: int | None = None,
        skip_broken: bool = False,
    ) -> Utterances:
        """Reads recordings.

        Args:
            recordings: of which some may be missing or damaged.
            features: of samples; None where features are ready.
            size: F, where it is known; ready features of another are refused.
            skip_broken: whether what cannot be read is left out and counted, not refused.

        Raises:
            DataError: names the file, and the line that names it.
        """
        kept: list[int] = []
        lengths: list[int] = []
        moments: list[Moments | None] = []
        for row in range(len(recordings)):
            try:
                x = plain_features(
                    features,
                    recordings.audio[row],
                    float(recordings.starts[row]),
                    float(recordings.ends[row]),
                    size,
                )
            except DataError as error:
                if skip_broken:
                    continue
                raise unreadable(error, recordings, row) from error
            size = x.shape[1]
            kept.append(row)
            lengths.append(len(x))
            moments.append(Moments.of([x]) if len(x) else None)
        if not kept:
            raise DataError(
                f"expected recordings, but none of {len(recordings):,} can be read; check the "
                f"paths",
                source=recordings.source,
            )
        assert size is not None
        left_out = len(recordings) - len(kept)
        found = recordings.take(kept)
        if left_out:
            found = replace(found, removed={**found.removed, BROKEN: left_out})
        return cls(found, features, np.array(lengths, np.int64), moments, size)

    def __len__(self) -> int:
        return len(self.recordings)

    def take(self, rows: np.ndarray) -> Utterances:
        """Returns some of them; a speaker's moments are those of all that were read."""
        own = Utterances(
            self.recordings.take(rows),
            self.features,
            self.lengths[rows],
            [self._moments[row] for row in rows.tolist()],
            self.size,
        )
        own._of_speaker = self._of_speaker
        return own

    def all_moments(self) -> Moments:
        """Returns the moments of all frames."""
        found = [own for own in self._moments if own is not None]
        if not found:
            raise DataError(
                "expected sound, got recordings too short for a single frame",
                source=self.recordings.source,
            )
        first, *others = found
        for own in others:
            first = first.merged(own)
        return first

    def frames(
        self,
        row: int,
        frontend: Frontend,
        augmentation: Augmentation | None = None,
        rng: np.random.Generator | None = None,
    ) -> Float32[np.ndarray, "T D"]:
        """Returns what the network sees of a recording.

        Args:
            row: which one.
            frontend: as it was trained with.
            augmentation: changes it at random; None leaves it as it is.
            rng: what draws the changes.
        """
        if augmentation is not None and self.features is not None:
            assert rng is not None
            samples = augmentation.samples(self._samples(row), rng)
            x = self.features.compute(samples)
        else:
            x = self._plain(row)
        own = self._of_speaker.get(self.recordings.speakers[row])
        x = frontend.scaled(x, own if frontend.scaling == "speaker" else None)
        if augmentation is not None:
            assert rng is not None
            x = augmentation.features(x, rng)
        return frontend.seen(x)

    def silence(
        self, row: int, frontend: Frontend, rng: np.random.Generator
    ) -> Float32[np.ndarray, "T D"]:
        """Returns what the network sees where nothing is said, for as long as a recording takes.

        One in four is perfectly still, the others are noise of any loudness: white or pink, of
        ready features noise in each of them.

        Args:
            row: the recording whose length it has.
            frontend: as the network is trained with.
            rng: what draws it.
        """
        length = int(self.lengths[row])
        loudness = 0.0 if rng.random() < 0.25 else 10 ** -rng.uniform(1.0, 4.0)
        if self.features is None:
            x = rng.standard_normal((length, self.size)) * np.sqrt(frontend.moments.var)
            plain = (frontend.moments.mean + (x if loudness else 0.0 * x)).astype(np.float32)
        else:
            number = round(length * self.features.frame_seconds * self.features.rate)
            color: Literal["white", "pink"] = "white" if rng.random() < 0.5 else "pink"
            samples = (loudness * made_noise(number, rng, color)).astype(np.float32)
            plain = self.features.compute(samples)
        return frontend.seen(frontend.scaled(plain, None))

    def _plain(self, row: int) -> np.ndarray:
        start, end = float(self.recordings.starts[row]), float(self.recordings.ends[row])
        return self._cached(
            ("features", row),
            lambda: plain_features(
                self.features, self.recordings.audio[row], start, end, self.size
            ),
        )

    def _samples(self, row: int) -> np.ndarray:
        assert self.features is not None
        rate = self.features.rate
        begin, stop = self.recordings.span(row)
        return self._cached(
            ("samples", row),
            lambda: read_audio(self.recordings.audio[row], rate, start=begin, end=stop),
        )

    def _cached(self, key: tuple[str, int], read: Any) -> np.ndarray:
        if key not in self._kept:
            found: np.ndarray = read()
            if self._bytes + found.nbytes > _KEPT_BYTES:
                return found
            self._bytes += found.nbytes
            self._kept[key] = found
        return self._kept[key]


def augmentation_of(plan: Plan, size: int) -> Augmentation:
    """Returns how a plan changes recordings of F features."""
    ready = plan.features == READY
    spread = plan.stretching
    bands = size if plan.features == "log_mel" else 0
    masks = max(1, round(2 * plan.masking)) if plan.masking else 0
    return Augmentation(
        speeds=(1.0,) if ready or not spread else (1 - spread, 1.0, 1 + spread),
        noise_share=0.0 if ready else plan.noise,
        gain=0.0 if ready or plan.scaling != "running" else 6.0,
        stretch=spread if ready else 0.0,
        time_masks=masks,
        frequency_masks=masks if bands else 0,
        frequency_width=max(1, round(bands * 15 / 80)),
    )
