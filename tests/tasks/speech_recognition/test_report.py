"""The report's numbers against jiwer by itself and draws by hand, and its sentences."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Any

import jiwer
import numpy as np
import pytest

from carousel.data.recordings import Recordings
from carousel.tasks.resampling import RESAMPLES, SEED
from carousel.tasks.speech_recognition.report import Example, Report, make_report
from carousel.tasks.speech_recognition.scores import Confusions, Counts, ErrorRate, alignment_lines

GIVEN: dict[str, Any] = {
    "scope": "1,234 recordings of test.tsv",
    "audio_seconds": 240.0,
    "seconds": 4.0,
}
Triple = tuple[float, float, float]
OURS, THEIRS = Counts(1_900, 60, 30, 1_010), Counts(0, 1_990, 0, 5)
SPEAKERS = {"ann": Counts(9, 1), "bob": Counts(5, 3, 2, 1), "": Counts(4), "cid": Counts(1, 1)}
CONFUSED = Confusions(
    substitutions=[("two", "too", 12), ("a", "the", 1)],
    deletions=[("and", 3)],
    insertions=[("uh", 1_000), ("um", 9)],
)
COMMONEST = "the cat"


def rate(numbers: Triple, counts: Counts) -> ErrorRate:
    value, low, high = numbers
    return ErrorRate(value=value, low=low, high=high, over="utterances", counts=counts)


def made(
    model: Triple = (10.0, 8.0, 12.0), baseline: Triple = (90.0, 88.0, 92.0), **values: Any
) -> Report:
    """Returns a report of a model and the baseline with these errors per word and intervals."""
    own = {
        "speakers": SPEAKERS,
        "confusions": CONFUSED,
        "examples": (),
        "recordings": 1_234,
        "exact": 617,
        **GIVEN,
    }
    return Report(
        wer={"this model": rate(model, OURS), "most frequent sentence": rate(baseline, THEIRS)},
        cer={
            "this model": rate((4.0, 3.0, 5.0), OURS),
            "most frequent sentence": rate((75.0, 70.0, 80.0), THEIRS),
        },
        **{**own, **values},
    )


def made_texts(number: int = 60) -> tuple[list[str], list[str]]:
    """Returns references of one to seven words, and what somebody hard of hearing makes of them."""
    rng = np.random.default_rng(5)
    words = ["the", "cat", "sat", "on", "a", "mat", "naïve", "漢字"]
    references, hypotheses = [], []
    for _ in range(number):
        said = [str(word) for word in rng.choice(words, rng.integers(1, 8))]
        heard: list[str] = []
        for word in said:
            heard += [[word], [word], [word], [], [str(rng.choice(words))], ["uh", word]][
                rng.integers(6)
            ]
        references.append(" ".join(said))
        hypotheses.append(" ".join(heard))
    return references, hypotheses


def recordings(texts: list[str], speakers: list[str] | None = None) -> Recordings:
    named = speakers or [""] * len(texts)
    rows = [
        {"audio": f"{place}.wav", "text": text, "speaker": speaker}
        for place, (text, speaker) in enumerate(zip(texts, named, strict=True))
    ]
    return Recordings.read(rows)


def scored(speakers: list[str] | None = None, **values: Any) -> Report:
    references, hypotheses = made_texts()
    own = {"commonest": COMMONEST, **GIVEN, **values}
    return make_report(recordings(references, speakers), hypotheses, **own)


def errors_and_lengths(references: list[str], hypotheses: list[str]) -> np.ndarray:
    """Returns jiwer's errors and words of each recording, (N, 2)."""
    found = []
    for pair in zip(references, hypotheses, strict=True):
        one = jiwer.process_words(*pair)
        errors = one.substitutions + one.deletions + one.insertions
        found.append((errors, one.hits + one.substitutions + one.deletions))
    return np.array(found)


def drawn(table: np.ndarray) -> tuple[float, float]:
    """Returns the interval of rates, in %, of as many draws as there are, one at a time."""
    rng = np.random.default_rng(SEED)
    sums = [
        table[rng.integers(len(table), size=len(table))].sum(0).tolist() for _ in range(RESAMPLES)
    ]
    rates = sorted(100 * errors / length for errors, length in sums)
    # Of 1,000, 25 lie below and 25 above.
    return rates[25], rates[974]


def test_the_numbers_are_those_of_jiwer() -> None:
    references, hypotheses = made_texts()
    report = scored(notes=("a note",))
    systems = {"this model": hypotheses, "most frequent sentence": [COMMONEST] * 60}
    assert list(report.wer) == list(report.cer) == list(systems)
    for name, texts in systems.items():
        for found, one in (
            (report.wer[name], jiwer.process_words(references, texts)),
            (report.cer[name], jiwer.process_characters(references, texts)),
        ):
            parts = (one.hits, one.substitutions, one.deletions, one.insertions)
            assert astuple(found.counts) == parts
        # The same fraction of whole numbers, in double precision.
        wer, cer = jiwer.wer(references, texts), jiwer.cer(references, texts)
        assert report.wer[name].value == pytest.approx(100 * wer, rel=1e-12)
        assert report.cer[name].value == pytest.approx(100 * cer, rel=1e-12)
    assert 10 < report.word_errors.value < report.wer["most frequent sentence"].value
    assert report.word_errors is report.wer["this model"]
    assert report.character_errors is report.cer["this model"]
    assert report.recordings == 60
    assert report.exact == sum(map(str.__eq__, references, hypotheses))
    assert 0 < report.exact < 60
    assert report.notes == ("a note",)
    assert {name: getattr(report, name) for name in GIVEN} == GIVEN
    assert report.verdict.startswith("This model makes fewer errors than the most frequent")


def test_without_speakers_recordings_are_drawn() -> None:
    references, hypotheses = made_texts()
    report = scored()
    found = report.word_errors
    table = errors_and_lengths(references, hypotheses)
    assert (found.low, found.high) == pytest.approx(drawn(table))
    baseline = report.wer["most frequent sentence"]
    table = errors_and_lengths(references, [COMMONEST] * 60)
    assert (baseline.low, baseline.high) == pytest.approx(drawn(table))
    assert {each.over for each in (*report.wer.values(), *report.cer.values())} == {"utterances"}
    assert report.speakers == {"": found.counts}


def test_with_speakers_they_are_drawn_whole_and_summed() -> None:
    references, hypotheses = made_texts()
    speakers = [f"s{place % 7}" for place in range(60)]
    report = scored(speakers)
    table = errors_and_lengths(references, hypotheses)
    sums = np.array([table[k::7].sum(0) for k in range(7)])
    found = report.word_errors
    assert (found.low, found.high) == pytest.approx(drawn(sums))
    assert {each.over for each in (*report.wer.values(), *report.cer.values())} == {"speakers"}
    assert found.value == scored().word_errors.value
    assert list(report.speakers) == [f"s{k}" for k in range(7)]
    assert [(c.errors, c.length) for c in report.speakers.values()] == [*map(tuple, sums.tolist())]


def test_examples_are_those_with_the_most_errors_the_first_of_equals_first() -> None:
    references, hypotheses = made_texts()
    report = scored()
    errors = errors_and_lengths(references, hypotheses)[:, 0].tolist()
    wanted = sorted(range(60), key=lambda place: (-errors[place], place))[:5]
    assert [
        (each.name, each.reference, each.hypothesis, each.errors) for each in report.examples
    ] == [(f"{k}", references[k], hypotheses[k], errors[k]) for k in wanted]


def test_what_is_right_is_no_example() -> None:
    given = recordings(["a b", "c", "d"])
    report = make_report(given, ["a b", "c", "e"], commonest="c", **GIVEN)
    assert report.examples == (Example(name="2", reference="d", hypothesis="e", errors=1),)
    assert (report.exact, report.recordings) == (2, 3)
    perfect = make_report(given, ["a b", "c", "d"], commonest="c", **GIVEN)
    assert (perfect.examples, perfect.exact, perfect.word_errors.value) == ((), 3, 0.0)
    assert "Most often:" not in str(perfect)
    assert "with the most errors" not in str(perfect)


def test_what_is_mistaken_for_what() -> None:
    given = recordings(["a b", "a b", "c d", "e", "f"])
    report = make_report(given, ["a x", "a x", "c", "", "f z z"], commonest="c", **GIVEN)
    assert report.confusions.substitutions == [("b", "x", 2)]
    assert report.confusions.deletions == [("d", 1), ("e", 1)]
    assert report.confusions.insertions == [("z", 2)]


NUMBERS = (
    "10.00 % (95% interval 8.00–12.00) of the words against 90.00 % (95% interval 88.00–92.00) "
    "for most frequent sentence"
)


def test_the_verdict_of_a_model_that_wins() -> None:
    assert made().verdict == (
        f"This model makes fewer errors than the most frequent sentence: {NUMBERS}."
    )


def test_the_verdict_of_a_model_that_loses() -> None:
    assert made((90.0, 88.0, 92.0), (10.0, 8.0, 12.0)).verdict == (
        "This model does NOT beat the most frequent sentence: 90.00 % (95% interval 88.00–92.00) "
        "of the words against 10.00 % (95% interval 8.00–12.00) for most frequent sentence. Train "
        "it longer, or on more recordings."
    )


@pytest.mark.parametrize(
    "model",
    [
        (89.0, 85.0, 93.0),
        (91.0, 90.0, 92.5),
        (86.0, 84.0, 88.0),  # the ends touch
        (94.0, 92.0, 96.0),  # and here
        (90.0, 0.0, 200.0),
    ],
)
def test_overlapping_intervals_tell_nothing(model: Triple) -> None:
    verdict = made(model).verdict
    assert verdict.startswith(
        "Whether this model makes fewer errors than the most frequent sentence cannot be told, "
        "because 95% intervals overlap: "
    )
    assert verdict.endswith("for most frequent sentence. Evaluate it on more recordings.")


def test_a_handful_of_recordings_tells_nothing() -> None:
    assert made(recordings=20).verdict.startswith("This model makes fewer errors")
    assert made(recordings=19).verdict == (
        "Whether this model is better than guessing cannot be told from 19 recordings: give 20 or "
        "more."
    )
    assert "from 1 recording:" in made((90.0, 88.0, 92.0), recordings=1).verdict


def test_the_table_has_a_row_for_each_system() -> None:
    header, rows = made().table()
    assert header == ["system", "WER %", "95% interval", "wrong", "missing", "too many", "CER %"]
    assert rows == [
        ["this model", "10.00", "8.00–12.00", "60", "30", "1,010", "4.00"],
        ["most frequent sentence", "90.00", "88.00–92.00", "1,990", "0", "5", "75.00"],
    ]


def test_speakers_are_listed_from_the_worst_on() -> None:
    header, rows = made().speaker_table()
    assert header == ["speaker", "words", "errors", "WER %"]
    assert rows == [
        ["bob", "10", "6", "60.00"],
        ["cid", "2", "1", "50.00"],
        ["ann", "10", "1", "10.00"],
        ["unknown", "4", "0", "0.00"],
    ]
    # Who said nothing and was heard to speak has more errors than can be divided.
    noise = {"dan": Counts(1, 1_999), "eve": Counts(insertions=2), "fay": Counts(2_000)}
    assert made(speakers=noise).speaker_table()[1] == [
        ["eve", "0", "2", "inf"],
        ["dan", "2,000", "1,999", "99.95"],
        ["fay", "2,000", "0", "0.00"],
    ]


def test_of_many_speakers_the_twelve_worst_are_printed() -> None:
    many = {f"s{k:02}": Counts(20 - k, k) for k in range(13)}
    printed = str(made(speakers=many))
    assert "The 12 worst of 13 speakers." in printed.splitlines()
    assert [row[0] for row in made(speakers=many).speaker_table()[1]] == [
        f"s{k:02}" for k in range(12, 0, -1)
    ]
    assert "s00 " not in printed
    del many["s00"]
    assert "worst of" not in str(made(speakers=many))


def test_what_is_printed() -> None:
    examples = (
        Example(name="one", reference="a b c", hypothesis="a x c d", errors=2),
        Example(name="two", reference="e", hypothesis="", errors=1),
    )
    report = made(examples=examples, notes=("a note", "another"))
    lines = str(report).splitlines()
    assert lines[0] == "1,234 recordings of test.tsv"
    for header, rows in (report.table(), report.speaker_table()):
        first = next(n for n, line in enumerate(lines) if line.split() == " ".join(header).split())
        assert set(lines[first + 1]) == {"-"}
        for row, line in zip(rows, lines[first + 2 :], strict=False):
            assert line.split() == " ".join(row).split()
    for line in (
        "Without an error: 617 of 1,234 recordings (50.0%).",
        "Sound: 4.0 minutes in 4.0 s, 60 times as fast as it was spoken.",
        "Intervals: over utterances.",
        "a note",
        "another",
        "Most often:",
        "  wrong     two → too (12), a → the (1)",
        "  missing   and (3)",
        "  too many  uh (1000), um (9)",
    ):
        assert line in lines
    begin = lines.index("The recordings with the most errors:")
    wanted = []
    for each in examples:
        drawn_lines = alignment_lines(each.reference, each.hypothesis).splitlines()
        wanted += [f"  {each.name}", *(f"    {line}" for line in drawn_lines)]
    assert lines[begin + 1 : -2] == wanted
    assert wanted[2].split() == ["HYP:", "a", "x", "c", "d"]
    assert lines[-2:] == ["", report.verdict]


def test_where_nobody_is_named_there_is_no_table_of_speakers() -> None:
    lines = str(made(speakers={"": OURS})).splitlines()
    assert not any(line.startswith("speaker") for line in lines)
    lines = str(made(speakers={"ann": OURS})).splitlines()
    assert any(line.startswith("speaker") for line in lines)


def test_plain_values_are_json() -> None:
    report = scored([f"s{place % 3}" for place in range(60)], notes=("a note",))
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert list(plain["systems"]) == ["this model", "most frequent sentence"]
    for name in plain["systems"]:
        assert plain["systems"][name]["wer"] == report.wer[name].to_dict()
        assert plain["systems"][name]["cer"] == report.cer[name].to_dict()
    assert plain["verdict"] == report.verdict
    for name, counts in report.speakers.items():
        assert tuple(plain["speakers"][name].values()) == astuple(counts)
    assert list(plain["speakers"]) == ["s0", "s1", "s2"]
    assert [tuple(each) for each in plain["confusions"]["deletions"]] == report.confusions.deletions
    assert set(plain["confusions"]) == {"substitutions", "deletions", "insertions"}
    assert [each["name"] for each in plain["examples"]] == [e.name for e in report.examples]
    assert set(plain["examples"][0]) == {"name", "reference", "hypothesis", "errors"}
    assert (plain["recordings"], plain["exact"]) == (60, report.exact)
    assert plain["notes"] == ["a note"]
    assert {name: plain[name] for name in GIVEN} == GIVEN


def test_a_terminal_is_not_told_what_to_do_by_a_name_or_a_text() -> None:
    """What comes from files is printed without its control characters."""
    example = Example(name="o\x1b[31mne", reference="a\x1b[2J b", hypothesis="c\x07", errors=2)
    report = made(
        examples=(example,),
        speakers={"a\x1bnn": OURS, "bob": OURS},
        confusions=Confusions(
            substitutions=[("a\x1b[2J", "c\x07", 1)], deletions=[], insertions=[]
        ),
    )
    assert not {c for c in str(report) if not c.isprintable()} - {"\n"}
