"""The model card says what is known of the model, and nothing else."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.language_modeling.small_texts import (
    DOCUMENTS,
    KINDS,
    QUICK,
    TEXT,
    fitted,
    small_model,
)

from carousel.tasks.language_modeling import LanguageModel


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_of_every_tokenizer(kind: str) -> None:
    model = small_model(kind)
    card, about = model.card, model._ready("look").about
    assert card.startswith(f"# Language model over {kind}\n")
    parameters = sum(p.numel() for p in model.network.parameters())
    assert f"1 LSTM layer of 8 cells with {parameters:,} parameters in all" in card
    assert f"torch {torch.__version__}" in card
    assert f"the next of {len(model.tokenizer):,} tokens" in card
    assert f"- 1 document, {len(TEXT):,} characters" in card
    assert f"- holdout: the last {about['holdout_characters']} characters, never seen" in card
    parts = ("training_characters", "holdout_characters")
    assert 0 < sum(about[part] for part in parts) < len(TEXT)
    assert f"{about['validation_score']:.4f} (it chose the weights" in card
    assert "- 4 steps in " in card
    assert f"| tokenizer | {kind} |" in card
    assert "| run: max_steps | 4 |" in card


def test_documents_layers_and_softmax_are_told() -> None:
    model = fitted(DOCUMENTS, tokenizer="words", num_layers=2, softmax="sampled", samples=5)
    size = sum(map(len, DOCUMENTS))
    assert "2 LSTM layers of 8 and 8 cells" in model.card
    assert f"- {len(DOCUMENTS)} documents, {size:,} characters" in model.card
    assert "over about 5 tokens, drawn anew for each batch" in model.card
    adaptive = fitted([TEXT], tokenizer="words", softmax="adaptive")
    assert f"rare tokens in groups from {len(adaptive.tokenizer) // 2} on" in adaptive.card
    tied = fitted([TEXT], tied=True)
    assert "embedding of 8, shared with the output" in tied.card
    assert "over all tokens" in tied.card


def test_a_run_without_validation_or_holdout_says_so() -> None:
    model = fitted([TEXT], validation=0.0, holdout=0.0)
    assert "- validation: none; the last weights were kept" in model.card
    assert "on the validation part: not measured" in model.card
    assert "- holdout: the last 0 characters" in model.card


def test_validation_text_of_ones_own_is_named() -> None:
    values = {"hidden_size": 8, "embedding_size": 8, "num_layers": 1}
    model = LanguageModel(**values).fit([TEXT], valid=[TEXT[:200]], run=QUICK)
    assert "- validation: 200 tokens, 200 characters of a list, which chose" in model.card
