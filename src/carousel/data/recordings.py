"""Recordings and what is said in them: read, cleaned, compared, and split by their speakers.

Opens no audio file: it knows paths, times in seconds, texts and speakers, and nothing of samples.

Letters: N recordings.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from carousel.data.batching import derived_seed
from carousel.data.manifests import Entry, read_manifest
from carousel.errors import DataError, OptionError

EMPTY, DUPLICATE, MISSING = "empty transcript", "duplicate", "missing audio"


@dataclass(frozen=True, eq=False)
class Recordings:
    """Audio files, or parts of them, and what is said in each.

    Args:
        audio: N paths.
        texts: N transcripts, "" where nothing is said.
        starts: (N,) seconds from the file's beginning, NaN where none is given.
        ends: (N,) seconds from the file's beginning, NaN where none is given.
        speakers: N names, "" where unknown.
        names: N names of the recordings themselves.
        lines: (N,) where each stood in its manifest or list, from 1.
        source: what the user gave.
        removed: how many recordings were removed and why.
    """

    audio: list[str]
    texts: list[str]
    starts: Float64[np.ndarray, " N"]
    ends: Float64[np.ndarray, " N"]
    speakers: list[str]
    names: list[str]
    lines: Int64[np.ndarray, " N"]
    source: str
    removed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = (self.texts, self.starts, self.ends, self.speakers, self.names, self.lines)
        assert all(len(column) == len(self.audio) for column in columns)

    def __len__(self) -> int:
        return len(self.audio)

    @classmethod
    def read(
        cls, data: Any, *, audio: str = "audio", text: str = "text", encoding: str = "utf-8"
    ) -> Recordings:
        """Reads a manifest; the audio files are not opened and need not exist.

        The columns are ``audio`` (a path), ``text``, and where there are any ``start`` and ``end``
        (seconds), ``speaker`` and ``name``; others are ignored. A path that is relative is looked
        for beside the manifest, of a list in the working directory; ``~`` is the home folder. A run
        of white space in a text becomes one blank, and none stands at its ends.

        A recording without a name is called by its file's stem, and by its times where it has any:
        ``talk-1.5-3.0``, ``talk-1.5-end``. Who comes second to such a name gets ``-2`` behind it.

        Args:
            data: path of a table whose first line names the columns, either ``.csv`` (quotes are
                honoured) or ``.tsv`` (quotes are text), of JSON lines (``.jsonl``, ``.ndjson``; an
                object a line), or any of them with ``.gz``; of a Kaldi data folder (wav.scp and
                text, also segments and utt2spk where they are there); or a list of pairs
                (audio, text), or of dicts.
            audio: the column's name, if it is another.
            text: the column's name, if it is another.
            encoding: of the files, as Python names it.

        Raises:
            DataError: for what cannot be read or is no manifest, an empty path, times that are
                none, two recordings given one name, or no recording at all.
            OptionError: for an unknown encoding, or one column for both.
        """
        entries, source = read_manifest(data, audio=audio, text=text, encoding=encoding)
        return cls(
            audio=[entry.audio for entry in entries],
            texts=[entry.text for entry in entries],
            starts=np.array([entry.start for entry in entries], np.float64),
            ends=np.array([entry.end for entry in entries], np.float64),
            speakers=[entry.speaker for entry in entries],
            names=_names(entries),
            lines=np.array([entry.line for entry in entries], np.int64),
            source=source,
        )

    def cleaned(self) -> Recordings:
        """Returns the recordings that a model can learn from; what is removed is counted.

        A recording is removed as "empty transcript" if nothing is said, else as "duplicate" if the
        same part of the same file came before, whatever was said there.

        Raises:
            DataError: where nothing is left.
        """
        counts = {EMPTY: 0, DUPLICATE: 0}
        seen: set[tuple[str, float, float]] = set()
        kept: list[int] = []
        for row, audio in enumerate(self.audio):
            start, end = float(self.starts[row]), float(self.ends[row])
            # No NaN equals another; without times a part is the whole.
            part = (
                audio,
                0.0 if math.isnan(start) else start,
                math.inf if math.isnan(end) else end,
            )
            if not self.texts[row]:
                counts[EMPTY] += 1
            elif part in seen:
                counts[DUPLICATE] += 1
            else:
                seen.add(part)
                kept.append(row)
        return self._kept(kept, counts, "give recordings whose transcript is not empty")

    def missing(self) -> list[int]:
        """Returns the rows whose audio file is not there."""
        there = {audio: os.path.isfile(audio) for audio in dict.fromkeys(self.audio)}
        return [row for row, audio in enumerate(self.audio) if not there[audio]]

    def without_missing(self) -> Recordings:
        """Returns the recordings whose audio file is there; the others count as "missing audio".

        Raises:
            DataError: where none is there.
        """
        missing = self.missing()
        gone = set(missing)
        kept = [row for row in range(len(self)) if row not in gone]
        example = f", the first is {self.audio[missing[0]]}" if missing else ""
        remedy = f"check the paths{example}; relative ones are looked for beside the manifest"
        return self._kept(kept, {MISSING: len(missing)}, remedy)

    def overlap(self, other: Recordings) -> dict[str, int]:
        """Returns how many different speakers, audio files and texts both have.

        Returns:
            The counts under "speakers", "audio" and "texts", of which unknown speakers and empty
            texts are none. Where ``other`` is a test set the first two should be 0.
        """
        mine, theirs = (
            {
                "speakers": set(each.speakers) - {""},
                "audio": {os.path.abspath(audio) for audio in each.audio},
                "texts": set(each.texts) - {""},
            }
            for each in (self, other)
        )
        return {kind: len(found & theirs[kind]) for kind, found in mine.items()}

    def split_by_speaker(self, share: float, seed: int) -> tuple[Recordings, Recordings]:
        """Returns the recordings without a held-out part, and that part; no speaker is in both.

        Recordings of unknown speakers are split by their audio file, so that the parts of one long
        file stay together. A function of the speakers, the files' names and the seed: neither the
        order of the recordings nor the folder that they lie in matters. Both parts keep the order,
        and neither is empty.

        Speakers are drawn one by one, and those taken who fit into the share; last comes the one
        with the fewest recordings of the others, if that is nearer. So the share is missed by no
        more than half of what this one has, unless nobody fits. Of a share above one half the rest
        is drawn so.

        Args:
            share: of the recordings that is held out, above 0 and below 1.
            seed: of the choice.

        Raises:
            OptionError: for a share out of its range.
            DataError: for fewer than two speakers (or files, where speakers are unknown).
        """
        if not 0 < share < 1:
            raise OptionError(f"share: expected above 0 and below 1, got {share}")
        groups = list(zip(self.speakers, self.audio, strict=True))
        groups = [(speaker, "" if speaker else audio) for speaker, audio in groups]
        counts = Counter(groups)
        if len(counts) < 2:
            raise DataError(
                "expected two speakers or more to split, or two files of unknown speakers, got "
                f"{len(counts)}; give more data, or the held-out part by itself",
                source=self.source,
            )
        drawn = sorted(
            counts,
            key=lambda group: (
                derived_seed(seed, "held out", group[0], Path(group[1]).name),
                group,
            ),
        )
        # The smaller side is drawn: it cannot take all, however large a group is.
        taken = _nearest_groups(drawn, counts, min(share, 1 - share) * len(self))
        held = taken if share <= 0.5 else set(drawn) - taken
        rows: tuple[list[int], list[int]] = ([], [])
        for row, group in enumerate(groups):
            rows[group in held].append(row)
        return self.take(rows[0]), self.take(rows[1])

    def span(self, row: int) -> tuple[float | None, float | None]:
        """Returns where a recording begins and ends in its file, None where that is the file's."""
        start, end = float(self.starts[row]), float(self.ends[row])
        return None if math.isnan(start) else start, None if math.isnan(end) else end

    def place(self, row: int) -> tuple[str, float | None, float | None]:
        """Returns a recording's file, and where in it it begins and ends; see ``span``."""
        return self.audio[row], *self.span(row)

    def take(self, rows: Sequence[int] | np.ndarray) -> Recordings:
        """Returns the recordings at some places, in that order."""
        places = np.asarray(rows, np.int64)
        return replace(
            self,
            audio=[self.audio[row] for row in rows],
            texts=[self.texts[row] for row in rows],
            starts=self.starts[places],
            ends=self.ends[places],
            speakers=[self.speakers[row] for row in rows],
            names=[self.names[row] for row in rows],
            lines=self.lines[places],
        )

    def _kept(self, rows: list[int], removed: dict[str, int], remedy: str) -> Recordings:
        """Returns some recordings, and counts the others on."""
        if not rows:
            counts = ", ".join(f"{count} {reason}" for reason, count in removed.items() if count)
            raise DataError(
                f"expected recordings, but all were removed ({counts}); {remedy}",
                source=self.source,
            )
        total = {reason: self.removed.get(reason, 0) + n for reason, n in removed.items()}
        return replace(self.take(rows), removed=self.removed | total)


def _nearest_groups(
    drawn: Sequence[tuple[str, str]], counts: Counter[tuple[str, str]], target: float
) -> set[tuple[str, str]]:
    """Returns groups whose sizes add up to about ``target``, at most half of all; one at least.

    That is not the nearest sum there is, whose search would be long, and would favour few groups.
    """
    taken: set[tuple[str, str]] = set()
    size = 0
    for group in drawn:
        if size + counts[group] <= target:
            taken.add(group)
            size += counts[group]
    last = min((group for group in drawn if group not in taken), key=lambda group: counts[group])
    if not taken or size + counts[last] - target < target - size:
        taken.add(last)
    return taken


def _names(entries: Sequence[Entry]) -> list[str]:
    """Returns the names that are given, and for the other entries names that no other has."""
    taken = {entry.name for entry in entries}
    counts: dict[str, int] = {}
    names: list[str] = []
    for entry in entries:
        name = own = entry.name or _own_name(entry)
        while name in taken and not entry.name:
            counts[own] = counts.get(own, 1) + 1
            name = f"{own}-{counts[own]}"
        taken.add(name)
        names.append(name)
    return names


def _own_name(entry: Entry) -> str:
    stem = Path(entry.audio).stem
    if math.isnan(entry.start) and math.isnan(entry.end):
        return stem
    start = 0.0 if math.isnan(entry.start) else entry.start
    return f"{stem}-{start}-{'end' if math.isnan(entry.end) else entry.end}"
