"""Lines that a model has seen: found again however they are cut, and in a sample of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.language_modeling.small_texts import TEXT, fitted, small_model

from carousel.data.texts import Piece
from carousel.errors import ModelError
from carousel.tasks.language_modeling import LanguageModel, seen_lines
from carousel.tasks.language_modeling.seen_lines import SeenLines

LONG = [f"line number {number} of a long text" for number in range(400)]


def document(text: str, cuts: tuple[int, ...] = ()) -> Iterator[Piece]:
    """Yields a document in pieces."""
    edges = [0, *sorted(cuts), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(edges) if a < b]
    for number, part in enumerate(parts, start=1):
        yield Piece(part, number == len(parts), "")


def lines(*given: str) -> SeenLines:
    return SeenLines.of(document("\n".join(given)))


def test_a_line_is_known_again_wherever_it_stands() -> None:
    known = lines(*LONG[:100])
    assert len(known.digests) == 100
    assert known.overlap(document("\n".join(LONG[60:140]))) == (80, 40)
    assert known.overlap(document("  " + LONG[3] + " \n" + LONG[3])) == (1, 1)
    assert known.overlap(document(LONG[3][:-1] + "\n" + LONG[3].upper())) == (2, 0)


def test_short_lines_are_no_evidence() -> None:
    assert not len(lines("yes", "no", "x" * 19, " " * 40).digests)
    assert lines("x" * 20).overlap(document("x" * 20 + "\nyes\nyes\n")) == (1, 1)


@given(st.sets(st.integers(0, 700), max_size=8))
def test_however_a_text_is_cut_its_lines_are_the_same(cuts: set[int]) -> None:
    text = "\n".join(LONG[:20])
    found = SeenLines.of(document(text, tuple(cuts)))
    assert np.array_equal(found.digests, lines(*LONG[:20]).digests)


def test_documents_are_lines_of_their_own() -> None:
    parts = [Piece("a document of its own", True, ""), Piece("another document, later", True, "")]
    assert SeenLines.of(parts).overlap(document("a document of its own")) == (1, 1)
    cut = [Piece("a document that is cut", False, "")]
    assert len(SeenLines.of(cut).digests) == 1


def test_of_many_lines_a_fair_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_lines, "_MOST", 50)
    known = lines(*LONG)
    assert len(known.digests) == 50
    assert known.highest == known.digests[-1]
    # Of a text with the same lines exactly those are looked up, of another no more than as many.
    assert known.overlap(document("\n".join(reversed(LONG)))) == (50, 50)
    looked_up, seen = known.overlap(document("\n".join(f"new {line}" for line in LONG)))
    assert 20 < looked_up <= 50
    assert seen == 0
    few = lines(*LONG[:30])
    assert few.overlap(document("\n".join(LONG)))[0] == 50
    looked_up, seen = known.overlap(document("\n".join(LONG[:200])))
    assert looked_up == seen
    assert 10 < seen < 40


def test_lines_survive_saving() -> None:
    known = lines(*LONG[:9])
    found = SeenLines.from_tensors(known.tensors())
    assert np.array_equal(found.digests, known.digests)
    assert found.highest == known.highest == 2**64 - 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"digests": np.array([3, 1], np.uint64)},
        {"digests": np.array([1, 9], np.uint64), "highest": np.array([8], np.uint64)},
        {"digests": np.array([1.0, 2.0])},
        {"highest": np.array([], np.uint64)},
    ],
    ids=str,
)
def test_what_is_no_sample_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not in order|not enough values"):
        SeenLines.from_tensors({**lines(*LONG[:3]).tensors(), **wrong})


def test_a_report_warns_of_text_that_was_trained_on() -> None:
    model = fitted(["\n".join(LONG)], tokenizer="bytes", holdout=0.2, validation=0.0)
    others = [f"another line, number {number}" for number in range(20)]
    copied = model.evaluate(["\n".join(LONG[100:150] + others)])
    [warning] = [note for note in copied.notes if note.startswith("Warning")]
    assert "of 70 different lines that were looked up, 50 (71%) stand in the training" in warning
    assert warning in str(copied)
    assert (copied.to_dict()["lines"], copied.to_dict()["seen_lines"]) == (70, 50)
    rest = model.evaluate(["\n".join(LONG)])
    assert rest.seen_lines == 0 < rest.lines
    assert not any("Warning" in note for note in rest.notes)


def test_a_few_lines_that_recur_are_not_warned_of() -> None:
    model = fitted(["\n".join(LONG)], tokenizer="bytes", holdout=0.0, validation=0.0)
    assert model.evaluate(["\n".join(LONG[:4])]).seen_lines == 4
    for text in ("\n".join(LONG[:4]), "\n".join([*LONG[:5], *(f"new {one}" for one in LONG)])):
        assert not any("Warning" in note for note in model.evaluate([text]).notes)


def test_a_loaded_model_knows_its_lines_and_an_old_one_does_without(tmp_path: Any) -> None:
    model = small_model()
    model.save(tmp_path / "model")
    again = LanguageModel.load(tmp_path / "model")
    copy = TEXT[: len(TEXT) // 2]
    assert again.evaluate([copy]).seen_lines == model.evaluate([copy]).seen_lines > 20
    assert (tmp_path / "model" / "lines.safetensors").exists()


def test_lines_that_are_damaged_are_refused() -> None:
    model = small_model()
    fit = model._fitted
    assert fit is not None
    restored = type(fit).restore
    whole = {**fit.assets(), "history.jsonl": b""}
    old = {name: asset for name, asset in whole.items() if name != "lines.safetensors"}
    assert restored(fit.config(), fit.tensors(), old).seen.lines is None
    with pytest.raises(ModelError, match="do not fit together"):
        restored(fit.config(), fit.tensors(), {**whole, "lines.safetensors": b"nothing"})
