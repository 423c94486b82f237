"""What happened in a run, line by line, in memory and as ``history.jsonl``."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carousel.data.storage import write_atomically
from carousel.errors import DataError, OutputError

HISTORY_FILE = "history.jsonl"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of history.

    Args:
        step: updates made.
        epoch: passes over the data begun, from 0.
        loss: mean over the items since the last line; None where there were none.
        learning_rate: of the last update.
        grad_norm: of the last update's gradient, before clipping.
        throughput: items per second since the last line.
        elapsed: seconds of training, earlier parts of a resumed run included.
        metrics: scores on the validation data, where this line has them.
    """

    step: int
    epoch: int
    loss: float | None
    learning_rate: float
    grad_norm: float
    throughput: float
    elapsed: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON values; JSON has no NaN, so such a score becomes None."""
        scores = {name: v if math.isfinite(v) else None for name, v in self.metrics.items()}
        return {**dataclasses.asdict(self), "metrics": scores}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """Makes a record of what ``to_dict`` returned; a score of None becomes NaN."""
        scores = {n: math.nan if v is None else v for n, v in values["metrics"].items()}
        return cls(**{**values, "metrics": scores})


@dataclass
class History:
    """The records of a run, oldest first."""

    records: list[Record] = field(default_factory=list)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def scores(self, metric: str) -> list[tuple[int, float]]:
        """Returns (step, score) of every validation that gave ``metric``."""
        return [(r.step, r.metrics[metric]) for r in self.records if metric in r.metrics]

    def last_metrics(self) -> Mapping[str, float]:
        """Returns the scores of the last validation; none where there was none."""
        return next((r.metrics for r in reversed(self.records) if r.metrics), {})

    def save(self, path: str | Path) -> None:
        """Writes one JSON object a line, atomically."""
        write_atomically(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Returns what ``save`` writes: one JSON object a line."""
        return "".join(json.dumps(record.to_dict()) + "\n" for record in self.records).encode()

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Reads what ``save`` or a run wrote; a last line without its end is left out.

        A run that is killed may leave half a line at the end, and nowhere else.

        Raises:
            DataError: for any other line that is no record; names it.
        """
        return cls.from_bytes(Path(path).read_bytes(), source=path)

    @classmethod
    def from_bytes(cls, content: bytes, *, source: str | Path = HISTORY_FILE) -> History:
        """Reads what ``to_bytes`` returned; see ``load``."""
        records = []
        *whole, _unfinished = content.split(b"\n")
        for number, line in enumerate(whole, start=1):
            try:
                records.append(Record.from_dict(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise DataError(
                    f"expected one line of training history as JSON, got {line[:60]!r}; "
                    "delete the line, or the file if it is not needed",
                    source=source,
                    line=number,
                ) from error
        return cls(records)


class HistoryFile:
    """``history.jsonl`` of a running run: appended line by line, cut back on resume.

    Args:
        folder: where it lives; None keeps nothing on disk.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.path = None if folder is None else Path(folder) / HISTORY_FILE

    def begin(self, num_lines: int) -> History:
        """Cuts the file back to its first lines and returns what it then holds."""
        if self.path is None:
            return History()
        kept = History()
        if num_lines > 0 and self.path.exists():
            kept = History(History.load(self.path).records[:num_lines])
        kept.save(self.path)
        return kept

    def append(self, record: Record) -> None:
        """Adds one line."""
        self._write((json.dumps(record.to_dict()) + "\n").encode())

    def sync(self) -> None:
        """Waits until the lines are on the disk, so that a checkpoint is never ahead of them."""
        self._write(b"", sync=True)

    def _write(self, data: bytes, sync: bool = False) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("ab") as file:
                file.write(data)
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self.path}: the history cannot be written ({error.strerror}); the last "
                "checkpoint is untouched: free some space or restore access, and resume"
            ) from error
