"""The model card says what is known of the translator, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tasks.translation.small_translators import (
    OTHER,
    PAIRS,
    QUICK,
    SMALL,
    fitted,
    small_translator,
)

from carousel.data.pairs import Pairs
from carousel.tasks.translation import Translator


@pytest.mark.parametrize("shared", [True, False])
def test_the_card_of_either_vocabulary(shared: bool) -> None:
    model = small_translator(shared)
    card, about, own = model.card, model._ready("look").about, model.tokenizers
    assert card.startswith("# Translator\n")
    parameters = sum(p.numel() for p in model.network.parameters())
    sizes = "of 4 cells in each direction and of 8; "
    assert f"\n1 bidirectional LSTM layer that reads and 1 that writes, {sizes}" in card
    assert f"{parameters:,} parameters in all" in card
    assert f"(torch {torch.__version__})" in card
    assert "It translates the first side to the second, over" in card
    words = (
        f"over {len(own.source)} subwords of both languages"
        if shared
        else f"over {len(own.source)} subwords of the source and {len(own.target)} of the target"
    )
    assert words in card
    assert "- source: a list of 100 pairs\n- 100 sentence pairs; left out: none\n" in card
    assert f"- training: {about['training_pairs']} pairs, {about['training_tokens']:,} sub" in card
    assert f"- validation: {about['validation']}\n" in card
    assert f"- holdout: {about['holdout_pairs']} pairs, never seen" in card
    assert f"{about['validation_score']:.4f} (it chose the weights" in card
    assert "- 3 steps in " in card
    assert "stopped by max_steps; weights of step 3 kept" in card
    both = " and by both languages" if shared else ""
    assert f"- embedding of 8, shared with the output{both}\n" in card
    assert f"| shared_vocabulary | {shared} |" in card
    assert "| attention | general |" in card
    assert "| run: max_steps | 3 |" in card


def test_whatever_was_chosen_is_told() -> None:
    model = fitted(
        [("", "x"), *PAIRS, PAIRS[0]],
        encoder_layers=2,
        decoder_layers=3,
        members=2,
        tied=False,
        attention="additive",
        input_feeding=True,
        guided_alignment=0.5,
        label_smoothing=0.25,
        word_dropout=0.125,
        reverse=True,
        source_field="a|b",
    )
    card = model.card
    assert "\n2 members, each with 2 bidirectional LSTM layers that read and 3 that write, " in card
    assert "It translates the second side of a pair to the first, over" in card
    assert "- 102 sentence pairs; left out: 1 empty, 1 duplicate\n" in card
    assert "- embedding of 8, apart from the output and by both languages\n" in card
    assert "- attention by additive scores, input feeding, guided by a word align" in card
    assert "alignment with weight 0.5\n" in card
    assert "- dropout of subwords 0.125, input " in card
    assert "label smoothing 0.25\n" in card
    assert "| source_field | a\\|b |" in card
    assert "guided" not in small_translator().card.split("## Options")[0]


def test_a_run_without_validation_or_holdout_says_so() -> None:
    card = fitted(validation=0.0, holdout=0.0).card
    assert "- training: 100 pairs" in card
    assert "- validation: none; the last weights were kept\n" in card
    assert "on the validation pairs: not measured\n" in card
    assert "- holdout: 0 pairs, never seen" in card
    assert "weights of step 3 kept" in card


def test_what_validation_shares_with_training_is_told() -> None:
    seen = small_translator()._ready("look").seen
    rows = np.flatnonzero(seen.knows(Pairs.read(PAIRS)))[:3]
    valid = [*OTHER, *(PAIRS[row] for row in rows)]
    model = Translator(**{**SMALL, "validation": 0.0, "holdout": 0.0})
    card = Translator(**SMALL, holdout=0.0).fit(PAIRS, valid=valid, run=QUICK).card
    apart = "By source: no source sentence is in two parts"
    shared = "but for 3 of the validation pairs, whose sources training has too"
    assert f"{apart}, {shared}.\n" in card
    assert f"{apart}.\n" in model.fit(PAIRS, run=QUICK).card


def test_validation_pairs_of_ones_own_are_named() -> None:
    model = Translator(**SMALL).fit(PAIRS, valid=OTHER, run=QUICK)
    name = f"a list of {len(OTHER)} pairs"
    assert f"- validation: {len(OTHER)} pairs of {name}, which chose the weights\n" in model.card


def test_a_card_can_be_written_of_a_model_that_lost_it(tmp_path: Path) -> None:
    """From what the other files say alone."""
    model = small_translator()
    (model.save(tmp_path / "m") / "README.md").unlink()
    assert Translator.load(tmp_path / "m").card == model.card
