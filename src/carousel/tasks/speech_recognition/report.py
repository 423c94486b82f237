"""What an evaluation found: errors of words and of characters, by speaker, with examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carousel.data.pictures import shortened
from carousel.data.recordings import Recordings
from carousel.tasks.printed import ruled
from carousel.tasks.speech_recognition.scores import (
    Confusions,
    Counts,
    ErrorRate,
    alignment_lines,
    by_speaker,
    character_counts,
    confusions,
    error_rate,
    word_counts,
)

MODEL_NAME = "this model"
BASELINE_NAME = "most frequent sentence"
_EXAMPLES = 5
_SPEAKERS = 12  # that are printed
_LONGEST_TEXT = 300  # characters of an example that are printed
_LEAST = 20  # intervals by resampling are far too narrow for a handful of recordings


@dataclass(frozen=True, kw_only=True)
class Example:
    """One recording that was not transcribed as it was said."""

    name: str
    reference: str
    hypothesis: str
    errors: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Errors of the model and of what a sceptic would try first.

    Attributes:
        wer: errors per word, in %, by name of the system; the model comes first.
        cer: errors per character, in %, by the same names.
        speakers: word counts of each speaker; one entry "" where none is named.
        confusions: what is mistaken for what most often.
        examples: the recordings with the most errors.
        recordings: how many were transcribed.
        exact: how many without an error.
        scope: which they were.
        audio_seconds: of all.
        seconds: that the model took.
        notes: what a reader must know beside the numbers.
    """

    wer: Mapping[str, ErrorRate]
    cer: Mapping[str, ErrorRate]
    speakers: Mapping[str, Counts]
    confusions: Confusions
    examples: tuple[Example, ...]
    recordings: int
    exact: int
    scope: str
    audio_seconds: float
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def word_errors(self) -> ErrorRate:
        """The model's."""
        return self.wer[MODEL_NAME]

    @property
    def character_errors(self) -> ErrorRate:
        """The model's."""
        return self.cer[MODEL_NAME]

    @property
    def verdict(self) -> str:
        """Says plainly whether the model makes fewer errors than the baseline.

        It does where its 95% interval of errors per word lies below the baseline's.
        """
        ours, theirs = self.wer[MODEL_NAME], self.wer[BASELINE_NAME]
        numbers = f"{_rate(ours)} of the words against {_rate(theirs)} for {BASELINE_NAME}"
        if self.recordings < _LEAST:
            return (
                f"Whether this model is better than guessing cannot be told from "
                f"{self.recordings} recording{'s' * (self.recordings > 1)}: give {_LEAST} or more."
            )
        if ours.high < theirs.low:
            return f"This model makes fewer errors than the {BASELINE_NAME}: {numbers}."
        if ours.low > theirs.high:
            return (
                f"This model does NOT beat the {BASELINE_NAME}: {numbers}. Train it longer, or on "
                f"more recordings."
            )
        return (
            f"Whether this model makes fewer errors than the {BASELINE_NAME} cannot be told, "
            f"because 95% intervals overlap: {numbers}. Evaluate it on more recordings."
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the table that is printed."""
        header = ["system", "WER %", "95% interval", "wrong", "missing", "too many", "CER %"]
        rows = []
        for name, rate in self.wer.items():
            counts = rate.counts
            rows.append(
                [
                    name,
                    f"{rate.value:.2f}",
                    f"{rate.low:.2f}–{rate.high:.2f}",
                    f"{counts.substitutions:,}",
                    f"{counts.deletions:,}",
                    f"{counts.insertions:,}",
                    f"{self.cer[name].value:.2f}",
                ]
            )
        return header, rows

    def speaker_table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the model's errors by speaker, the worst first."""
        header = ["speaker", "words", "errors", "WER %"]
        ranked = sorted(self.speakers.items(), key=lambda item: -item[1].rate)
        rows = [
            [shortened(name) or "unknown", f"{c.length:,}", f"{c.errors:,}", f"{100 * c.rate:.2f}"]
            for name, c in ranked[:_SPEAKERS]
        ]
        return header, rows

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "systems": {
                name: {"wer": self.wer[name].to_dict(), "cer": self.cer[name].to_dict()}
                for name in self.wer
            },
            "verdict": self.verdict,
            "speakers": {name: asdict(counts) for name, counts in self.speakers.items()},
            "confusions": asdict(self.confusions),
            "examples": [asdict(example) for example in self.examples],
            "recordings": self.recordings,
            "exact": self.exact,
            "scope": self.scope,
            "audio_seconds": self.audio_seconds,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """What was scored, the tables, what is confused, examples, and the verdict."""
        times = self.audio_seconds / self.seconds if self.seconds else 0.0
        speed = f", {times:,.0f} times as fast as it was spoken" if times else ""
        lines = [self.scope, "", *ruled(*self.table()), ""]
        if set(self.speakers) != {""}:
            lines += [*ruled(*self.speaker_table()), ""]
            if len(self.speakers) > _SPEAKERS:
                lines += [f"The {_SPEAKERS} worst of {len(self.speakers):,} speakers.", ""]
        share = self.exact / self.recordings
        lines += [
            f"Without an error: {self.exact:,} of {self.recordings:,} recordings ({share:.1%}).",
            f"Sound: {self.audio_seconds / 60:,.1f} minutes in {self.seconds:,.1f} s{speed}.",
            f"Intervals: over {self.word_errors.over}.",
            *self.notes,
        ]
        if found := _confused(self.confusions):
            lines += ["", "Most often:", *found]
        if self.examples:
            lines += ["", "The recordings with the most errors:"]
        for example in self.examples:
            lines += [f"  {shortened(example.name)}"]
            said = (shortened(t, _LONGEST_TEXT) for t in (example.reference, example.hypothesis))
            drawn = alignment_lines(*said)
            lines += [f"    {line}" for line in drawn.splitlines()]
        return "\n".join([*lines, "", self.verdict])

    def plot(self, path: str | Path) -> Path:
        """Draws the errors by speaker; PNG or SVG."""
        from carousel.tasks.speech_recognition.plots import draw_report

        return draw_report(self, Path(path))


def make_report(
    recordings: Recordings,
    hypotheses: Sequence[str],
    *,
    commonest: str,
    scope: str,
    audio_seconds: float,
    seconds: float,
    notes: Sequence[str] = (),
) -> Report:
    """Scores transcripts, and a baseline that always says the same.

    Args:
        recordings: N, with what is said in them.
        hypotheses: N, what the model wrote.
        commonest: what the baseline says.
        scope, audio_seconds, seconds, notes: see ``Report``.

    Raises:
        MissingDependencyError: where jiwer is not installed.
    """
    assert len(recordings) == len(hypotheses)
    references = recordings.texts
    named = any(recordings.speakers)
    groups = recordings.speakers if named else None
    systems = {MODEL_NAME: list(hypotheses), BASELINE_NAME: [commonest] * len(hypotheses)}
    words, characters = (
        {
            name: [count(*pair) for pair in zip(references, texts, strict=True)]
            for name, texts in systems.items()
        }
        for count in (word_counts, character_counts)
    )
    own = words[MODEL_NAME]
    ranked = sorted(range(len(own)), key=lambda row: -own[row].errors)
    return Report(
        wer={name: error_rate(counts, groups) for name, counts in words.items()},
        cer={name: error_rate(counts, groups) for name, counts in characters.items()},
        speakers=by_speaker(own, recordings.speakers),
        confusions=confusions(references, hypotheses),
        examples=tuple(
            Example(
                name=recordings.names[row],
                reference=references[row],
                hypothesis=hypotheses[row],
                errors=own[row].errors,
            )
            for row in ranked[:_EXAMPLES]
            if own[row].errors
        ),
        recordings=len(own),
        exact=sum(not counts.errors for counts in own),
        scope=scope,
        audio_seconds=audio_seconds,
        seconds=seconds,
        notes=tuple(notes),
    )


def _rate(rate: ErrorRate) -> str:
    return f"{rate.value:.2f} % (95% interval {rate.low:.2f}–{rate.high:.2f})"


def _confused(found: Confusions) -> list[str]:
    lines = []
    if found.substitutions:
        pairs = ", ".join(
            f"{shortened(a)} → {shortened(b)} ({n})" for a, b, n in found.substitutions
        )
        lines.append(f"  wrong     {pairs}")
    for name, words in (("missing", found.deletions), ("too many", found.insertions)):
        if words:
            counted = ", ".join(f"{shortened(word)} ({n})" for word, n in words)
            lines.append(f"  {name:<9} {counted}")
    return lines
