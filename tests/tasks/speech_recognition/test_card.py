"""The model card says what is known of the recogniser, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.speech_recognition.small_recordings import spoken
from tests.tasks.speech_recognition.test_fitted import (
    BONUS,
    SCORER,
    TEXTS,
    fitted,
    keen_recognizer,
    ready_recognizer,
    shared_rows,
    small_recognizer,
)

from carousel.tasks.speech_recognition import Recognizer
from carousel.tasks.speech_recognition.card import write_card
from carousel.tasks.speech_recognition.options import RecognitionOptions


def changed(**values: Any) -> str:
    """Returns the card of the small recogniser with other values of its plan, or of what it is."""
    parts = small_recognizer()._ready("look")
    own = {name: values.pop(name) for name in ("options", "words", "ngrams") if name in values}
    about = {**parts.about, **values.pop("about", {})}
    return write_card(replace(parts, **own, about=about, plan=replace(parts.plan, **values)))


def test_the_card_of_a_recogniser() -> None:
    model = small_recognizer()
    card, about = model.card, model._ready("look").about
    assert card.startswith("# Recogniser\n")
    # A convolution of 5 frames of 12 filters, both directions of 8 cells, and 4 symbols.
    own = 8 * (12 * 5 + 1) + 2 * 4 * 8 * (8 + 8 + 2) + 4 * (16 + 1)
    assert (
        f"\n1 bidirectional LSTM layer of 16 cells with CTC; {own:,} parameters in all, trained by "
        f"carousel-lstm {metadata.version('carousel-lstm')} (torch {torch.__version__}). It hears "
        f"12 log-mel filters at 8,000 Hz, and writes 3 different characters. It needs the whole "
        f"recording.\n"
    ) in card
    assert "- source: a list of 24 recordings\n- 24 recordings; left out: none\n" in card
    assert f"- training: 16 recordings, {about['training_minutes']:.1f} minutes by 4 spe" in card
    assert "- validation: 4 recordings by 1 other speaker, which chose the weights\n" in card
    assert "- holdout: 4 recordings, never heard\n" in card
    assert "- features scaled by speaker, 0 orders of slopes, a step every 2 frames\n" in card
    assert "- dropout of the input 0, layers 0, output 0, recurrent weights 0\n" in card
    assert "- masking 0, stretching 0, warping 0, noise 0\n" in card
    assert (
        f"- words: 4 different ones in training, no others are said; their 3-grams count "
        f"{SCORER:g} times, with {BONUS:g} for each word\n- the words: a, ab, b, ba\n"
    ) in card
    assert "- 3 steps in " in card
    assert f"{about['epochs']} passes over the recordings, stopped by max_steps; weights of" in card
    assert "weights of step 3 kept\n" in card
    score = f"{about['validation_score']:.2f} % (it chose the weights, so it flatters them)"
    assert f"- errors per character of the best path on the validation recordings: {score}" in card
    assert "| lexicon | True |" in card
    assert "| rate | none |" in card
    assert "| run: max_steps | 3 |" in card


def test_a_recogniser_that_streams_says_how_far_behind_it_is() -> None:
    card = keen_recognizer().card
    assert "\n1 LSTM layer of 16 cells with CTC; " in card
    # 15 frames more of a block, 2 of context, and half of the last one's 25 ms.
    behind = 0.01 * (15 + 2) + 0.025 / 2
    assert f"It can transcribe while somebody speaks, {behind:.2f} s behind.\n" in card
    assert "needs the whole" not in card
    assert "- features scaled by running, " in card
    assert "| streaming | True |" in card


def test_a_recogniser_of_ready_features_says_so() -> None:
    card = ready_recognizer().card
    assert "It hears ready features of 5, and writes 3 different characters." in card
    assert "It needs the whole recording.\n" in card
    assert "Hz" not in card
    assert "- features scaled by speaker, 2 orders of slopes, " in card
    # Of sound it could stream; of features that somebody else computes it cannot.
    assert "while somebody speaks" not in changed(features="ready", bidirectional=False)


def test_several_layers_cepstra_and_other_numbers() -> None:
    card = changed(
        features="mfcc",
        cepstra=7,
        rate=16_000,
        num_layers=3,
        hidden_size=1_024,
        deltas=2,
        subsampling=3,
        scaling="recording",
        input_dropout=0.125,
        hidden_dropout=0.25,
        output_dropout=0.375,
        weight_dropout=0.5,
        masking=1.5,
        stretching=0.1,
        warping=0.05,
        noise=0.3,
    )
    assert "\n3 bidirectional LSTM layers of 1,024 cells with CTC; " in card
    assert "It hears 7 cepstra of 12 mel filters at 16,000 Hz, and" in card
    assert "- features scaled by recording, 2 orders of slopes, a step every 3 frames\n" in card
    rates = "input 0.125, layers 0.25, output 0.375, recurrent weights 0.5"
    assert f"- dropout of the {rates}\n" in card
    assert "- masking 1.5, stretching 0.1, warping 0.05, noise 0.3\n" in card
    assert "\n2 LSTM layers of 16 cells" in changed(bidirectional=False, num_layers=2)


def test_what_was_left_out_is_counted() -> None:
    removed = {"empty transcript": 1_200, "duplicate": 0, "broken audio": 2}
    card = changed(about={"removed": removed})
    assert "; left out: 1,200 empty transcript, 2 broken audio\n" in card


def test_what_may_be_said_is_told() -> None:
    free = RecognitionOptions(lexicon=False, ngram=0)
    card = changed(options=free, ngrams=None)
    assert "ones in training; others may be spelled, letter by letter\n- the words: a," in card
    assert "| lexicon | False |" in card
    card = changed(options=RecognitionOptions(ngram=0), ngrams=None)
    assert "- words: 4 different ones in training, no others are said\n" in card
    card = changed(options=RecognitionOptions(ngram=2))
    assert "no others are said; their 2-grams count 0.6 times" in card


@pytest.mark.parametrize("number", [40, 41, 1_500])
def test_forty_words_are_named(number: int) -> None:
    words = [f"w{k:04}" for k in range(number)]
    card = changed(words=words)
    more = "" if number == 40 else ", ..."
    assert f"- words: {number:,} different ones in training" in card
    assert f"- the words: {', '.join(words[:40])}{more}\n" in card


def test_a_run_without_validation_or_holdout_says_so() -> None:
    card = keen_recognizer().card
    assert "- training: 24 recordings, " in card
    assert "minutes by 6 speakers\n" in card
    assert "- validation: none; the last weights were kept\n" in card
    assert "on the validation recordings: not measured\n" in card
    assert "- holdout: 0 recordings, never heard" in card
    assert "weights of step 3 kept\n" in card


def test_where_no_speaker_is_named_none_is_counted(tmp_path: Path) -> None:
    model = fitted(spoken(tmp_path / "a", TEXTS), validation=0.25)
    about = model._ready("look").about
    minutes = f"{about['training_minutes']:.1f} minutes\n"
    assert f"- training: {about['training_recordings']} recordings, {minutes}" in model.card
    # A quarter of 24 files, and a tenth, rounded by whole files.
    assert "- validation: 6 recordings, which chose the weights\n" in model.card
    assert "- holdout: 2 recordings, never heard\n" in model.card


def test_validation_recordings_of_ones_own_are_named(tmp_path: Path) -> None:
    others = spoken(tmp_path / "b", ["a", "b", "ba"], speakers=["gus"])
    card = fitted(valid=others).card
    assert "- validation: 3 recordings of a list of 3 recordings, which chose the wei" in card
    assert "- training: 20 recordings, " in card


def test_options_with_signs_of_a_table_are_escaped() -> None:
    rows = [{"a|b": row["audio"], "text": row["text"]} for row in shared_rows()]
    card = fitted(rows, audio_field="a|b", validation=0.0).card
    assert "| audio_field | a\\|b |" in card


def test_a_card_can_be_written_of_a_model_that_lost_it(tmp_path: Path) -> None:
    """From what the other files say alone."""
    for name, model in (("s", small_recognizer()), ("r", ready_recognizer())):
        (model.save(tmp_path / name) / "README.md").unlink()
        assert Recognizer.load(tmp_path / name).card == model.card


def test_a_card_that_somebody_edited_stays(tmp_path: Path) -> None:
    folder = small_recognizer().save(tmp_path / "m")
    (folder / "README.md").write_text("# Ours\n")
    assert Recognizer.load(folder).card == "# Ours\n"
