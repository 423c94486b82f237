"""Model folders of any task: whole, checked, and refused by name where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from carousel.errors import ModelError, OutputError
from carousel.tasks.loading import load
from carousel.tasks.model_folder import ModelFolder


def made(task: str = "weaving") -> ModelFolder:
    return ModelFolder(
        task=task,
        config={"threads": 3},
        tensors={"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(True)},
        assets={"pattern.txt": b"over, under"},
        card="# A loom\n",
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    found = ModelFolder.read(tmp_path / "m", task="weaving")
    assert found.config["threads"] == 3
    assert found.assets == {"pattern.txt": b"over, under"}
    assert found.card == "# A loom\n"
    for name, tensor in made().tensors.items():
        assert torch.equal(found.tensors[name], tensor)


def test_the_card_may_be_edited(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("# Our loom\n")
    assert ModelFolder.read(tmp_path / "m").card == "# Our loom\n"


def test_another_task_is_refused(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    with pytest.raises(ModelError, match="expected a model for forecasting, got one for weaving"):
        ModelFolder.read(tmp_path / "m", task="forecasting")
    with pytest.raises(ModelError, match="no task 'weaving'"):
        load(tmp_path / "m")


def test_a_listed_file_outside_the_folder_is_refused(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    (tmp_path / "secret").write_bytes(b"x")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    config["files"]["../secret"] = "0"
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="outside itself"):
        ModelFolder.read(tmp_path / "m")


def test_a_folder_that_is_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine").write_bytes(b"x")
    for force in (False, True):
        with pytest.raises(OutputError):
            made().write(tmp_path / "m", force=force)
    assert (tmp_path / "m" / "mine").read_bytes() == b"x"
