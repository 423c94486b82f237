"""Aligned sentence pairs: read, cleaned, compared, and split so that no source is on both sides.

Knows nothing of tokens. All is held in memory. Files are read by ``text_files``, as ``texts`` reads
them; ``.xz`` is not among them.

Letters: N pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from carousel.data import text_files
from carousel.data.batching import derived_seed
from carousel.errors import DataError, OptionError, unknown_name

REASONS = ("empty", "too long", "badly matched", "duplicate")
_LETTERS = 20  # of a word, on average, above which a side is too long too


def plain(text: str) -> str:
    """Returns a sentence with one blank between words and none around them.

    Sentences that are the same so are the same sentence.
    """
    found = " ".join(text.split())
    return text if found == text else found  # of which there is one in memory


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sentences and their translations, or other pairs of texts.

    Args:
        sources: N texts.
        targets: N texts, each belonging to the source at its place.
        lines: (N,) where each pair stood in its file or list, from 1.
        name: what the user gave.
        removed: how many pairs were removed and why.
    """

    sources: list[str]
    targets: list[str]
    lines: Int64[np.ndarray, " N"]
    name: str
    removed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.sources) == len(self.targets) == len(self.lines)

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def read(
        cls, data: Any, *, source: str = "source", target: str = "target", encoding: str = "utf-8"
    ) -> Pairs:
        """Reads pairs as they are, empty ones too.

        Args:
            data: two paths of text files, aligned line by line; one path of JSON lines
                (``.jsonl``, ``.ndjson``; an object a line), or else of a table whose first two
                columns are divided by a TAB, without header or quotes; any of them also as
                ``.gz``; or a list of pairs of texts. Blank lines of one file are left out.
            source: field of the JSON objects.
            target: field of the JSON objects.
            encoding: of the files, as Python names it.

        Raises:
            DataError: for what cannot be read, two files of unequal length, or no pair at all.
            OptionError: for an unknown encoding, or one field for both.
        """
        if source == target:
            raise OptionError(f"expected two fields, source and target, got {source!r} for both")
        encoding = text_files.known_encoding(encoding)
        if isinstance(data, str | Path):
            rows = list(_file_rows(data, (source, target), encoding))
            return cls._from_rows(rows, str(data))
        if isinstance(data, list | tuple):
            if len(data) == 2 and all(isinstance(each, str | Path) for each in data):
                return cls._from_two_files(data, encoding)
            name = f"a list of {len(data)} pair{'s' * (len(data) != 1)}"
            return cls._from_rows(list(_list_rows(data, name)), name)
        raise DataError(
            f"expected a path, two paths, or a list of pairs, got {type(data).__name__}; give two "
            "aligned files as (source_path, target_path), texts as [(source, target), ...]"
        )

    def cleaned(self, *, longest: int = 200, ratio: float = 4.0) -> Pairs:
        """Returns the pairs that a model can learn from; what is removed is counted by its reason.

            (words of the longer + 1) / (words of the shorter + 1) ≤ ratio

        A pair is removed as "empty" if either side has no word, as "too long" if either has more
        than ``longest`` or 20 characters for each of so many, as "badly matched" by the formula,
        and as "duplicate" if the same two sentences came before, blanks aside; it counts under the
        first of these.

        Args:
            longest: most words of a side. A word is what stands between spaces.
            ratio: from 1. Where a language is written without spaces, its sentences have a word
                or two by this count: give ``math.inf``.

        Raises:
            OptionError: for a number out of its range.
            DataError: where nothing is left.
        """
        if longest < 1:
            raise OptionError(f"longest: expected 1 word or more, got {longest}")
        if not ratio >= 1:
            raise OptionError(f"ratio: expected 1 or more, longer to shorter, got {ratio}")
        removed = {reason: self.removed.get(reason, 0) for reason in REASONS}
        seen: set[tuple[str, str]] = set()
        kept: list[int] = []
        for row, texts in enumerate(zip(self.sources, self.targets, strict=True)):
            shorter, longer = sorted(len(text.split()) for text in texts)
            if shorter == 0:
                removed["empty"] += 1
            elif longer > longest or max(map(len, texts)) > _LETTERS * longest:
                removed["too long"] += 1
            elif longer + 1 > ratio * (shorter + 1):
                removed["badly matched"] += 1
            elif (pair := (plain(texts[0]), plain(texts[1]))) in seen:
                removed["duplicate"] += 1
            else:
                seen.add(pair)
                kept.append(row)
        if not kept:
            counts = ", ".join(f"{count} {reason}" for reason, count in removed.items() if count)
            raise DataError(
                f"expected pairs to learn from, but all were removed ({counts}); check that the "
                "sides belong together, or raise longest or ratio",
                source=self.name,
            )
        return replace(self.take(kept), removed=removed)

    def overlap(self, other: Pairs) -> dict[str, int]:
        """Returns how many pairs of ``other`` have a source that is in here, or are whole in here.

        Blanks aside.

        Returns:
            The counts under "sources" and "pairs"; where ``other`` is a test set both should be 0.
        """
        ours, theirs = set(self._sentences()), list(other._sentences())
        sources = {source for source, _ in ours}
        return {
            "sources": sum(source in sources for source, _ in theirs),
            "pairs": sum(pair in ours for pair in theirs),
        }

    def split_by_source(self, share: float, seed: int) -> tuple[Pairs, Pairs]:
        """Returns the pairs without a held-out part, and that part; no source is in both.

        Sources that differ in blanks alone are the same. A function of the texts and the seed: the
        order of the pairs does not matter. Both parts keep it, and neither is empty.

        Args:
            share: of the pairs that is held out, above 0 and below 1. As pairs of one source stay
                together, it is met to within the number of pairs that the commonest source has.
            seed: of the choice.

        Raises:
            OptionError: for a share out of its range.
            DataError: for fewer than two different sources.
        """
        if not 0 < share < 1:
            raise OptionError(f"share: expected above 0 and below 1, got {share}")
        sources = [plain(text) for text in self.sources]
        counts = Counter(sources)
        if len(counts) < 2:
            raise DataError(
                f"expected two different sources or more to split, got {len(counts)}; give more "
                "data, or the held-out part by itself",
                source=self.name,
            )
        drawn = sorted(counts, key=lambda text: (derived_seed(seed, "held out", text), text))
        sizes = np.cumsum([counts[text] for text in drawn])[:-1]
        nearest = int(np.abs(sizes - share * len(self)).argmin())
        held = set(drawn[: nearest + 1])
        rows: tuple[list[int], list[int]] = ([], [])
        for row, text in enumerate(sources):
            rows[text in held].append(row)
        return self.take(rows[0]), self.take(rows[1])

    def take(self, rows: Sequence[int] | np.ndarray) -> Pairs:
        """Returns the pairs at some places, in that order."""
        return replace(
            self,
            sources=[self.sources[row] for row in rows],
            targets=[self.targets[row] for row in rows],
            lines=self.lines[np.asarray(rows, np.int64)],
        )

    def _sentences(self) -> Iterator[tuple[str, str]]:
        return zip(map(plain, self.sources), map(plain, self.targets), strict=True)

    @classmethod
    def _from_rows(cls, rows: list[tuple[int, str, str]], name: str) -> Pairs:
        if not rows:
            raise DataError("expected pairs, got none; give at least one", source=name)
        lines, sources, targets = zip(*rows, strict=True)
        return cls(list(sources), list(targets), np.array(lines, np.int64), name)

    @classmethod
    def _from_two_files(cls, paths: Sequence[str | Path], encoding: str) -> Pairs:
        one, other = paths
        sources, targets = (text_files.file_lines(path, encoding) for path in paths)
        if len(sources) != len(targets):
            raise DataError(
                f"expected as many lines in both files, got {len(sources)} in {one} and "
                f"{len(targets)} in {other}; line k of one belongs to line k of the other, and a "
                "carriage return ends a line too"
            )
        lines = np.arange(1, len(sources) + 1)
        return cls(sources, targets, lines, f"{one} and {other}")


def one_side(path: str | Path, *, field: str, column: int, encoding: str) -> list[str]:
    """Returns one text for each line of a file: the line, or one side of the pair that it holds.

    Args:
        path: text, or by its name JSON lines (``.jsonl``, ``.ndjson``) or a table (``.tsv``) with
            a TAB between columns; any of them also as ``.gz``. The other side may be missing.
        field: of the JSON objects.
        column: of the table, counted from 0.
        encoding: of the file, as Python names it.

    Returns:
        The texts, empty for blank lines.

    Raises:
        DataError: for what cannot be read, or a line without that side.
    """
    path = text_files.one_file(path)
    lines = text_files.file_lines(path, encoding)
    is_json = text_files.ends_in(text_files.JSON_SUFFIXES, path)
    if not is_json and not text_files.ends_in((".tsv",), path):
        return lines
    texts = []
    for number, line in enumerate(lines, start=1):
        place: dict[str, Any] = {"source": path, "line": number}
        if not line.strip():
            texts.append("")
        elif is_json:
            texts += _json_texts(line, (field,), place)
        else:
            columns = line.split("\t")
            if len(columns) <= column:
                raise DataError(
                    f"expected text in column {column + 1}, got {line[:40]!r}; put a TAB between "
                    "columns, or name the file .txt if it is no table",
                    **place,
                )
            texts.append(columns[column])
    return texts


def _file_rows(
    path: str | Path, fields: tuple[str, str], encoding: str
) -> Iterator[tuple[int, str, str]]:
    path = text_files.one_file(path)
    is_json = text_files.ends_in(text_files.JSON_SUFFIXES, path)
    for number, line in enumerate(text_files.file_lines(path, encoding), start=1):
        place: dict[str, Any] = {"source": path, "line": number}
        if is_json:
            if line.strip():
                one, other = _json_texts(line, fields, place)
                yield number, one, other
        elif line.strip(" "):
            columns = line.split("\t", maxsplit=2)
            if len(columns) < 2:
                raise DataError(
                    f"expected two columns with a TAB between them, got {line[:40]!r}; give two "
                    "aligned files as two paths, and JSON lines under a name that ends in .jsonl",
                    **place,
                )
            yield number, columns[0], columns[1]


def _json_texts(line: str, fields: tuple[str, ...], place: dict[str, Any]) -> list[str]:
    remedy = "name the file .tsv if it is a table"
    value = text_files.json_value(line, (dict,), "a JSON object", remedy, **place)
    for name in fields:
        if name not in value:
            problem = unknown_name("field", name, value)
            names = "--source-field and --target-field" if len(fields) > 1 else "--field"
            raise DataError(f"{problem}; name the fields by {names}", **place)
    return [_text(value[name], column=name, **place) for name in fields]


def _list_rows(data: Iterable[Any], name: str) -> Iterator[tuple[int, str, str]]:
    for index, pair in enumerate(data):
        place = f"{name}, index {index}"
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise DataError(
                f"expected a pair (source, target), got {repr(pair)[:40]}; two aligned files are "
                "given as two paths",
                source=place,
            )
        one, other = (_text(text, source=place) for text in pair)
        yield index + 1, one, other


def _text(value: Any, **place: Any) -> str:
    if not isinstance(value, str):
        raise DataError(
            f"expected text, got {repr(value)[:40]}; correct it or leave it out", **place
        )
    if wrong := text_files.unreadable_signs(value):
        raise DataError(f"expected text, got {wrong} in it; delete it", **place)
    return value
