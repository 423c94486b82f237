"""What cards of all tasks have in common."""

from __future__ import annotations

from carousel.tasks.cards import source_line


def test_a_sample_is_credited() -> None:
    line = source_line("sample:tatoeba-en-de")
    assert line.startswith("- source: sample:tatoeba-en-de (tatoeba.org, in the selection of")
    assert line.endswith("; CC-BY-2.0 (France))")
    assert source_line("pairs.tsv") == "- source: pairs.tsv"
    # A model may know a sample that this version has no more.
    assert source_line("sample:tatoeba-de") == "- source: sample:tatoeba-de"
