"""``--device`` of evaluate, predict and inspect: it reaches the model, or is refused at once."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.small_models import saved_model
from tests.tasks.forecasting.small_data import csv_lines
from tests.tasks.language_modeling.small_texts import OTHER as OTHER_TEXT
from tests.tasks.language_modeling.small_texts import small_model
from tests.tasks.speech_recognition.test_fitted import shared_rows, small_recognizer
from tests.tasks.translation.small_translators import OTHER as OTHER_PAIRS
from tests.tasks.translation.small_translators import small_translator

from carousel.cli import main
from carousel.cli.places import AnyDevice, OneDevice
from carousel.tasks.trained import TrainedModel
from carousel.training.devices import DEVICES

TASKS = ("forecasting", "language-modeling", "translation", "speech-recognition")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """What stands behind each verb, by task: a model, and something for it."""
    folder = tmp_path_factory.mktemp("models")
    saved_model(folder, csv_lines())
    small_model().save(folder / "text")
    small_translator().save(folder / "pairs")
    small_recognizer().save(folder / "sound")
    (folder / "other.txt").write_text(OTHER_TEXT)
    pairs = "".join(f"{one}\t{other}\n" for one, other in OTHER_PAIRS[:3])
    (folder / "other.tsv").write_text(pairs)
    rows = shared_rows()[:2]
    (folder / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = dict(zip(TASKS, ("m", "text", "pairs", "sound"), strict=True))
    data = dict(zip(TASKS, ("data.csv", "other.txt", "other.tsv", "other.jsonl"), strict=True))
    given = {
        "forecasting": str(folder / "data.csv"),
        "language-modeling": "the cat",
        "translation": OTHER_PAIRS[0][0],
        "speech-recognition": rows[0]["audio"],
    }
    predicted = {**given, "translation": f"--text={OTHER_PAIRS[0][0]}"}
    return {
        task: {
            "evaluate": [str(folder / named[task]), str(folder / data[task])],
            "predict": [str(folder / named[task]), predicted[task]],
            "inspect": [str(folder / named[task]), given[task]],
        }
        for task in TASKS
    }


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that models are moved to; there is none but the CPU."""
    found: list[str] = []
    move = TrainedModel.to

    def moved(model: Any, device: str) -> Any:
        found.append(device)
        return move(model, device)

    monkeypatch.setattr(TrainedModel, "to", moved)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return found


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("verb", "usual"), [("evaluate", "auto"), ("predict", "cpu"), ("inspect", "cpu")]
)
def test_a_model_computes_where_it_is_told(
    task: str, verb: str, usual: str, words: dict[str, Any], moves: list[str]
) -> None:
    assert main([verb, *words[task][verb]]) == 0
    assert main([verb, *words[task][verb], "--device", "auto"]) == 0
    assert main([verb, *words[task][verb], "--device", "cpu"]) == 0
    assert moves == [usual, "auto", "cpu"]


@pytest.mark.parametrize("verb", ["evaluate", "predict", "inspect"])
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_read(
    verb: str, tmp_path: Path, moves: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert main([verb, nowhere, nowhere, "--device", "cuda"]) == 2
    message = capsys.readouterr().err
    assert "expects an NVIDIA GPU that PyTorch can use for 'cuda', found none" in message
    assert "give 'cpu' or 'auto'" in message
    assert main([verb, nowhere, nowhere, "--device", "gpu"]) == 2
    assert "cuda" in capsys.readouterr().err
    assert moves == []


def test_the_words_are_those_of_training() -> None:
    for parameter in (OneDevice, AnyDevice):
        assert typing.get_args(typing.get_args(parameter)[0]) == DEVICES
