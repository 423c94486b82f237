"""What the models of all tasks share: here that they are moved to where they compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.tasks.language_modeling.small_texts import TEXT, fitted

import carousel
from carousel.errors import ModelError, OptionError
from carousel.tasks.language_modeling import LanguageModel


def test_a_model_is_moved_and_returned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = fitted([TEXT])
    wanted = model.score("the cat").nats
    moves: list[torch.device] = []
    move = model.network.to
    monkeypatch.setattr(model.network, "to", lambda device: (moves.append(device), move(device)))
    assert model.to("cpu") is model
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert model.to("auto") is model
    assert moves == [torch.device("cpu")] * 2
    assert (model.score("the cat").nats == wanted).all()
    loaded = carousel.load(model.save(tmp_path / "model")).to("cpu")
    assert (loaded.score("the cat").nats == wanted).all()


def test_where_no_model_can_go_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="nothing to move yet; call fit first"):
        LanguageModel().to("cpu")
    model = fitted([TEXT])
    with pytest.raises(OptionError, match=r"expects an NVIDIA GPU .* found none; give 'cpu'"):
        model.to("cuda")
    with pytest.raises(OptionError, match=r"'cda'.*did you mean 'cuda'"):
        model.to("cda")
    assert {p.device.type for p in model.network.parameters()} == {"cpu"}
