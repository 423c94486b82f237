"""Recordings as frames for the network: read, checked, scaled, and changed at random in training.

Letters: N recordings, T frames, F features of a frame, D features that the network sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64

from carousel.data.acoustic_features import AcousticFeatures
from carousel.data.audio import read_audio
from carousel.data.feature_scaling import Moments, RunningScale, scaled, with_deltas
from carousel.data.ready_features import read_features
from carousel.data.recordings import Recordings
from carousel.errors import DataError
from carousel.tasks.speech_recognition.augmentation import Augmentation, Color, made_noise
from carousel.tasks.speech_recognition.plan import READY, Plan

BROKEN = "broken audio"
READY_SECONDS = 0.01  # from frame to frame of ready features, which do not say it
_SLACK = 10  # frames by which a part may reach over the end, as it may of sound
_FAR = 0.1  # from one speed to the next
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

    def plain(
        self, path: str, start: float | None = None, end: float | None = None
    ) -> Float32[np.ndarray, "T F"]:
        """Returns the features of a file, or of a part of it, as they are.

        Args:
            path: of the recording, or of ready features.
            start: where it begins, in seconds; None for the file's beginning.
            end: where it ends, in seconds; None for the file's end.

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
    features: AcousticFeatures | None,
    path: str,
    start: float | None,
    end: float | None,
    size: int | None,
) -> Float32[np.ndarray, "T F"]:
    """Returns features of a file or a part of it; see ``Frontend.plain``."""
    if features is not None:
        return features.compute(read_audio(path, features.rate, start=start, end=end))
    x = read_features(path, size=size)
    first = 0 if start is None else round(start / READY_SECONDS)
    last = len(x) if end is None else round(end / READY_SECONDS)
    if not (first < min(last, len(x)) and last <= len(x) + _SLACK):
        raise DataError(
            f"expected a part of the file, which ends at {len(x) * READY_SECONDS:g} s, got "
            f"{first * READY_SECONDS:g} to {last * READY_SECONDS:g} s; see that the times are "
            f"seconds",
            source=path,
        )
    part: np.ndarray = x[first:last]
    return part.copy() if len(part) < len(x) else part  # which would keep the whole file


def unreadable(error: DataError, recordings: Recordings, row: int) -> DataError:
    """Returns what a recording's error says, with the line that names it and what to do."""
    return DataError(
        f"{error} (line {recordings.lines[row]:,} of {recordings.source}; give --skip-broken to go "
        f"on without what cannot be read)"
    )


# A file, from where to where in it, and at which speed its features are; None for its samples.
_Key = tuple[str, float | None, float | None, float | None]


class _Memory:
    """Samples and features that have been read, as many as there is room for."""

    def __init__(self) -> None:
        self._arrays: dict[_Key, np.ndarray] = {}
        self._bytes = 0

    def keep(self, key: _Key, array: np.ndarray) -> None:
        """Keeps an array, where there is room."""
        if key not in self._arrays and self._bytes + array.nbytes <= _KEPT_BYTES:
            self._bytes += array.nbytes
            self._arrays[key] = array

    def get(self, key: _Key, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns what is kept, or reads it and keeps it."""
        found = self._arrays.get(key)
        if found is None:
            found = read()
            self.keep(key, found)
        return found


class Utterances:
    """Recordings that have been read once, and are kept where memory allows.

    Args:
        recordings: N of them, all readable.
        features: of samples; None where they are ready.
        lengths: (N,) frames of each.
        moments: of each recording.
        size: F.
        memory: what is kept of them, which others may share.
    """

    def __init__(
        self,
        recordings: Recordings,
        features: AcousticFeatures | None,
        lengths: Int64[np.ndarray, " N"],
        moments: list[Moments | None],
        size: int,
        memory: _Memory | None = None,
    ) -> None:
        self.recordings, self.features = recordings, features
        self.lengths, self.size = lengths, size
        self._moments = moments
        self._memory = _Memory() if memory is None else memory
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
        keeps: bool = True,
    ) -> Utterances:
        """Reads recordings.

        Args:
            recordings: of which some may be missing or damaged.
            features: of samples; None where features are ready.
            size: F, where it is known; ready features of another are refused.
            skip_broken: whether what cannot be read is left out and counted, not refused.
            keeps: whether features are kept; where gain changes them all, samples have the room.

        Raises:
            DataError: names the file, and the line that names it.
        """
        memory = _Memory()
        kept: list[int] = []
        lengths: list[int] = []
        moments: list[Moments | None] = []
        for row in range(len(recordings)):
            place = recordings.place(row)
            try:
                x = plain_features(features, *place, size)
            except DataError as error:
                if skip_broken:
                    continue
                raise unreadable(error, recordings, row) from error
            size = x.shape[1]
            if keeps:
                memory.keep((*place, 1.0), x)
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
        return cls(found, features, np.array(lengths, np.int64), moments, size, memory)

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
            self._memory,
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
            x = self._changed(row, self.features, augmentation, rng)
        else:
            x = self._plain(row)
        own = self._of_speaker.get(self.recordings.speakers[row])
        x = frontend.scaled(x, own if frontend.scaling == "speaker" else None)
        if augmentation is not None:
            assert rng is not None
            middles = None
            if self.features is not None and augmentation.warp:
                middles = self.features.middles
            x = augmentation.features(x, rng, middles)
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
            color: Color = "white" if rng.random() < 0.5 else "pink"
            samples = (loudness * made_noise(number, rng, color)).astype(np.float32)
            plain = self.features.compute(samples)
        return frontend.seen(frontend.scaled(plain, None))

    def _plain(self, row: int) -> np.ndarray:
        place = self.recordings.place(row)
        return self._memory.get(
            (*place, 1.0), lambda: plain_features(self.features, *place, self.size)
        )

    def _changed(
        self,
        row: int,
        features: AcousticFeatures,
        augmentation: Augmentation,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Returns the features of changed samples; of those played at a speed they are kept."""
        change = augmentation.drawn(rng)
        audio, start, end = place = self.recordings.place(row)

        def read() -> np.ndarray:
            return read_audio(audio, features.rate, start=start, end=end)

        def computed() -> np.ndarray:
            used_again = augmentation.noise_share or augmentation.gain
            samples = self._memory.get((*place, None), read) if used_again else read()
            return features.compute(change.applied(samples, rng))

        if not change.is_of_speed_alone:
            return computed()
        if change.speed == 1.0:
            return self._plain(row)
        return self._memory.get((*place, change.speed), computed)


def augmentation_of(plan: Plan, size: int) -> Augmentation:
    """Returns how a plan changes recordings of F features."""
    ready = plan.features == READY
    spread = plan.stretching
    bands = size if plan.features == "log_mel" else 0
    masks = max(1, round(2 * plan.masking)) if plan.masking else 0
    return Augmentation(
        speeds=(1.0,) if ready or not spread else _speeds(spread),
        noise_share=0.0 if ready else plan.noise,
        gain=0.0 if ready or plan.scaling != "running" else 6.0,
        stretch=spread if ready else 0.0,
        warp=plan.warping,
        time_masks=masks,
        frequency_masks=masks if bands else 0,
        frequency_width=max(1, round(bands * 15 / 80)),
    )


def _speeds(spread: float) -> tuple[float, ...]:
    """Returns Ko's three speeds, and two between them where they lie far apart."""
    between = (1 - spread / 2, 1 + spread / 2) if spread > _FAR else ()
    return tuple(sorted((1 - spread, 1.0, 1 + spread, *between)))
