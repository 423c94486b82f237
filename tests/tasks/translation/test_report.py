"""The report's numbers against sacreBLEU by itself, and its sentences."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import sacrebleu

from carousel.errors import DataError, OptionError
from carousel.tasks.translation.report import LengthBand, Report, make_report
from carousel.tasks.translation.scores import Score, count_bleu, count_chrf

GIVEN: dict[str, Any] = {
    "scope": "48 held-out pairs of a book",
    "search": "beam 5, length penalty 0.6",
    "perplexity": 5.25,
    "tokens": 12_345,
    "seconds": 2.0,
}
Triple = tuple[float, float, float]


def score(numbers: Triple, signature: str = "nrefs:1") -> Score:
    value, low, high = numbers
    return Score(value=value, low=low, high=high, signature=signature)


def made(
    model: Triple = (30.0, 28.0, 32.0),
    best: Triple = (5.0, 4.0, 6.0),
    model_chrf: Triple = (50.0, 48.0, 52.0),
    best_chrf: Triple = (25.0, 24.0, 26.0),
    **values: Any,
) -> Report:
    """Returns a report of a model and two baselines with these scores and intervals."""
    bands = (
        LengthBand(low=0, high=0, sentences=1, bleu=0.0, chrf=0.0),
        LengthBand(low=6, high=10, sentences=1_200, bleu=31.25, chrf=50.5),
        LengthBand(low=31, high=None, sentences=33, bleu=22.0, chrf=45.0),
    )
    return Report(
        bleu={
            "this model": score(model, "nrefs:1|tok:13a"),
            "word by word": score(best),
            "copy": score((1.0, 0.5, 1.5)),
        },
        chrf={
            "this model": score(model_chrf, "nrefs:1|nc:6"),
            "word by word": score(best_chrf),
            "copy": score((20.0, 19.0, 21.0)),
        },
        **{"bands": bands, "examples": (), "sentences": 1_234, **GIVEN, **values},
    )


def made_texts(lengths: list[int]) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Returns sources of so many words, references, and translations of three systems.

    A translation is the source backwards in capitals; the systems get it more or less right.
    """
    rng = np.random.default_rng(11)
    words = [f"w{k}" for k in range(50)]
    sources = [" ".join(rng.choice(words, size=n)) for n in lengths]
    references = [" ".join(source.upper().split()[::-1]) for source in sources]

    def spoilt(part: float) -> list[str]:
        return [
            " ".join(word if rng.random() >= part else "NO" for word in reference.split())
            for reference in references
        ]

    systems = {"this model": spoilt(0.2), "word by word": spoilt(0.7), "copy": sources}
    return sources, references, systems


LENGTHS = [1, 5, 6, 10, 11, 15, 16, 20, 21, 30, 31, 45] * 4


def test_every_system_is_scored_on_the_same_sentences() -> None:
    sources, references, systems = made_texts(LENGTHS)
    report = make_report(sources, references, systems, **GIVEN, notes=("a note",))
    assert list(report.bleu) == list(report.chrf) == list(systems)
    for name, texts in systems.items():
        assert report.bleu[name] == count_bleu(texts, references).score()
        assert report.chrf[name] == count_chrf(texts, references).score()
    assert report.bleu_score is report.bleu["this model"]
    assert report.chrf_score is report.chrf["this model"]
    assert report.sentences == 48
    assert report.notes == ("a note",)
    assert {name: getattr(report, name) for name in GIVEN} == GIVEN
    assert report.verdict.startswith("This model translates better than every baseline")


def test_bands_hold_each_sentence_once() -> None:
    sources, references, systems = made_texts([*LENGTHS, 0, 0])
    report = make_report(sources, references, systems, **GIVEN)
    edges = [(0, 0), (1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, None)]
    assert [(band.low, band.high) for band in report.bands] == edges
    assert [band.sentences for band in report.bands] == [2, 8, 8, 8, 8, 8, 8]
    for band in report.bands:
        high = 10**6 if band.high is None else band.high
        own = [n for n, s in enumerate(sources) if band.low <= len(s.split()) <= high]
        texts = [systems["this model"][n] for n in own], [[references[n] for n in own]]
        assert band.bleu == pytest.approx(sacrebleu.corpus_bleu(*texts).score)
        assert band.chrf == pytest.approx(sacrebleu.corpus_chrf(*texts).score)


def test_bands_without_sentences_are_left_out() -> None:
    report = make_report(*made_texts([3, 40, 41]), **GIVEN)
    found = [(band.name, band.sentences) for band in report.bands]
    assert found == [("1–5", 1), ("31 or more", 2)]
    assert made().bands[0].name == "0"


def test_examples_go_from_the_worst_to_the_best_and_no_source_comes_twice() -> None:
    sources, references, systems = made_texts(LENGTHS)
    systems["this model"][5] = "nothing of it"
    systems["this model"][7] = references[7]
    twice = {name: texts * 2 for name, texts in systems.items()}
    report = make_report(sources * 2, references * 2, twice, **GIVEN)
    examples = report.examples
    assert len({example.source for example in examples}) == 5
    values = [example.chrf for example in examples]
    assert values == sorted(values)
    model = systems["this model"]
    each = [
        sacrebleu.sentence_chrf(text, [reference]).score
        for text, reference in zip(model, references, strict=True)
    ]
    assert (values[0], values[-1]) == pytest.approx((min(each), max(each)))
    for example in examples:
        n = sources.index(example.source)
        assert (example.reference, example.translation) == (references[n], model[n])
        assert example.chrf == pytest.approx(each[n])
    # Evenly: a quarter of the different sources lies between two that follow each other.
    different = sorted(each[sources.index(source)] for source in set(sources))
    ranks = np.searchsorted(different, values[1:-1]) / (len(different) - 1)
    assert np.abs(ranks - [0.25, 0.5, 0.75]).max() < 1.5 / len(different)
    again = make_report(sources * 2, references * 2, twice, **GIVEN)
    assert again.examples == examples


@pytest.mark.parametrize("number", [1, 2, 4, 5, 6])
def test_few_sources_are_all_examples(number: int) -> None:
    report = make_report(*made_texts(list(range(8, 8 + number))), **GIVEN)
    assert len({example.source for example in report.examples}) == min(number, 5)


def test_the_best_baseline_has_the_highest_bleu() -> None:
    assert made().best_baseline == "word by word"
    assert made(best=(0.5, 0.2, 0.9)).best_baseline == "copy"
    assert made(best=(1.0, 0.5, 1.5)).best_baseline == "word by word"  # by chrF: 25 against 20
    assert made(best=(1.0, 0.5, 1.5), best_chrf=(9.0, 8.0, 10.0)).best_baseline == "copy"


def test_the_verdict_of_a_model_that_wins() -> None:
    # By chrF the best baseline is another one than by BLEU.
    assert made(best_chrf=(10.0, 9.0, 11.0)).verdict == (
        "This model translates better than every baseline: BLEU 30.0 (95% interval 28.0–32.0) "
        "against 5.0 (4.0–6.0) for word by word; chrF 50.0 (95% interval 48.0–52.0) against 20.0 "
        "(19.0–21.0) for copy."
    )


@pytest.mark.parametrize(
    "scores",
    [
        {"model": (3.0, 2.5, 3.5), "model_chrf": (23.0, 22.5, 23.5)},
        {"model": (5.0, 4.0, 6.0), "model_chrf": (23.0, 22.5, 23.5)},
        {"model": (3.0, 2.5, 3.5), "model_chrf": (26.0, 25.5, 26.5)},
    ],
)
def test_the_verdict_of_a_model_that_loses(scores: dict[str, Triple]) -> None:
    verdict = made(**scores).verdict
    assert verdict.startswith("This model does NOT beat the best baseline: BLEU ")
    assert verdict.endswith("for word by word. Train it longer, or on more pairs.")


@pytest.mark.parametrize(
    "scores",
    [
        {"model": (6.5, 5.5, 7.5), "model_chrf": (26.5, 25.5, 27.5)},
        {"model": (30.0, 28.0, 32.0), "model_chrf": (26.5, 25.5, 27.5)},
        {"model": (6.5, 5.5, 7.5), "model_chrf": (50.0, 48.0, 52.0)},
        {"model": (7.0, 6.0, 8.0)},  # the ends touch
        {"model": (3.0, 2.0, 4.0)},
    ],
)
def test_overlapping_intervals_tell_nothing(scores: dict[str, Triple]) -> None:
    verdict = made(**scores).verdict
    assert verdict.startswith("Whether this model translates better than every baseline cannot be")
    assert "because 95% intervals overlap: BLEU " in verdict


def test_the_verdict_where_the_two_scores_disagree() -> None:
    found = made(model_chrf=(20.0, 19.0, 21.0)).verdict
    assert found.startswith("This model is better than every baseline by BLEU, but not by chrF: ")
    found = made(model=(2.0, 1.0, 3.0)).verdict
    assert found.startswith("This model is better than every baseline by chrF, but not by BLEU: ")


def test_a_handful_of_sentences_tells_nothing() -> None:
    assert made(sentences=20).verdict.startswith("This model translates better")
    assert made(sentences=19).verdict == (
        "Whether this model translates better than the baselines cannot be told from 19 sentences: "
        "give 20 or more."
    )
    assert "from 1 sentence:" in made(sentences=1).verdict


def test_pairs_that_the_model_was_fitted_to_tell_nothing() -> None:
    assert made(seen=61).verdict.startswith("This model translates better")  # a twentieth is 61.7
    assert made(seen=62).verdict == (
        "Whether this model translates better than the baselines cannot be told, because it was "
        "fitted to 62 of these 1,234 sources: give pairs that are new to it."
    )


def test_the_table_has_a_row_for_each_system() -> None:
    header, rows = made().table()
    assert header == ["system", "BLEU", "95% interval", "chrF", "95% interval"]
    assert rows == [
        ["this model", "30.0", "28.0–32.0", "50.0", "48.0–52.0"],
        ["word by word", "5.0", "4.0–6.0", "25.0", "24.0–26.0"],
        ["copy", "1.0", "0.5–1.5", "20.0", "19.0–21.0"],
    ]
    header, rows = made().length_table()
    assert header == ["words of the source", "sentences", "BLEU", "chrF"]
    assert rows == [
        ["0", "1", "0.0", "0.0"],
        ["6–10", "1,200", "31.2", "50.5"],
        ["31 or more", "33", "22.0", "45.0"],
    ]


def test_what_is_printed() -> None:
    sources, references, systems = made_texts(LENGTHS)
    # No reference has any of these characters: this is the worst of all.
    systems["this model"][0] = "two\nlines \x1b[m" + "x" * 300
    report = make_report(sources, references, systems, **GIVEN, notes=("a note",))
    lines = str(report).splitlines()
    assert lines[0] == "48 held-out pairs of a book"
    for header, rows in (report.table(), report.length_table()):
        first = next(n for n, line in enumerate(lines) if line.split() == " ".join(header).split())
        assert set(lines[first + 1]) == {"-"}
        for row, line in zip(rows, lines[first + 2 :], strict=False):
            assert line.split() == " ".join(row).split()
    for line in (
        "Perplexity of a target token: 5.25 (12,345 tokens).",
        "Translated with beam 5, length penalty 0.6.",
        "Sentences: 48 in 2.0 s, 24.0 a second.",
        f"BLEU: {report.bleu_score.signature}",
        f"chrF: {report.chrf_score.signature}",
        "a note",
    ):
        assert line in lines
    worst = report.examples[0]
    begin = lines.index(f"  chrF {worst.chrf:.1f}")
    assert lines[begin + 1] == f"    source       {worst.source}"
    assert lines[begin + 2] == f"    reference    {worst.reference}"
    assert lines[begin + 3].startswith("    translation  two lines  [mxxx")
    assert lines[begin + 3].endswith("x…")
    assert sum(line.startswith("    translation  ") for line in lines) == 5
    assert lines[-1] == report.verdict


def test_no_time_at_all_has_no_rate() -> None:
    assert "Sentences: 1,234 in 0.0 s." in str(made(seconds=0.0)).splitlines()


def test_plain_values_are_json() -> None:
    report = make_report(*made_texts(LENGTHS), **GIVEN, notes=("a note",), seen=2)
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert list(plain["systems"]) == ["this model", "word by word", "copy"]
    assert plain["systems"]["copy"]["bleu"] == report.bleu["copy"].to_dict()
    assert plain["systems"]["copy"]["chrf"] == report.chrf["copy"].to_dict()
    assert [band["sentences"] for band in plain["bands"]] == [8] * 6
    assert plain["bands"][-1]["high"] is None
    assert [example["chrf"] for example in plain["examples"]] == [e.chrf for e in report.examples]
    assert plain["best_baseline"] == report.best_baseline
    assert plain["verdict"] == report.verdict
    assert (plain["notes"], plain["seen"]) == (["a note"], 2)
    assert plain["sentences"] == 48
    assert {name: plain[name] for name in GIVEN} == GIVEN


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("一个男人在街上走路。", True),
        ("男の人が道を歩いている。", True),
        ("ผู้ชายกำลังเดินอยู่บนถนน", True),
        ("한 남자가 길을 걷고 있다.", False),
        ("Ein Mann geht die Straße entlang.", False),
        ("Donaudampfschifffahrtsgesellschaft", False),
        ("12.5", False),
        ("", False),
    ],
)
def test_scripts_without_blanks_are_spoken_of(text: str, unspaced: bool) -> None:
    def notes(references: list[str], **options: Any) -> tuple[str, ...]:
        systems = {"model": references, "copy": references}
        return make_report(["a"] * 5, references, systems, **GIVEN, **options).notes

    words = "The references are in a script that writes no blanks between words"
    found = notes([text] * 3 + ["Haus"] * 2)
    assert [note.startswith(words) for note in found] == [True] * unspaced
    assert notes([text] * 2 + ["Haus"] * 3) == ()
    assert len(notes([text] * 5, tokenizer="intl")) == unspaced
    for tokenizer in ("zh", "char"):
        assert notes([text] * 5, tokenizer=tokenizer) == ()


def test_tokenized_references_are_spoken_of() -> None:
    sources, references, systems = made_texts([8] * 4)
    plain = make_report(sources, [r + "." for r in references], systems, **GIVEN)
    assert plain.notes == ()
    half = [r + (" ." if n < 2 else ".") for n, r in enumerate(references)]
    assert make_report(sources, half, systems, **GIVEN).notes == ()
    most = [r + (" ." if n < 3 else ".") for n, r in enumerate(references)]
    (note,) = make_report(sources, most, systems, **GIVEN).notes
    assert note.startswith("3 of 4 references end in a full stop with a blank before it")


def test_the_tokenizer_of_bleu_can_be_chosen() -> None:
    report = make_report(*made_texts(LENGTHS), **GIVEN, tokenizer="char")
    assert "|tok:char|" in report.bleu_score.signature
    with pytest.raises(OptionError, match="no tokenizer for BLEU 'words'"):
        make_report(*made_texts(LENGTHS), **GIVEN, tokenizer="words")


def test_lists_of_unequal_length_are_refused() -> None:
    sources, references, systems = made_texts(LENGTHS)
    with pytest.raises(DataError, match="got 47 sources and 48 references"):
        make_report(sources[1:], references, systems, **GIVEN)
    systems["copy"] = sources[1:]
    with pytest.raises(DataError, match="got 47 translations and 48 references"):
        make_report(sources, references, systems, **GIVEN)
