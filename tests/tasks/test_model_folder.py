"""Model folders of any task: whole, checked, and refused by name where they are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from carousel.errors import ModelError, OutputError
from carousel.tasks.loading import load
from carousel.tasks.model_folder import ModelFolder, _config_digest, check_model_target


def made(task: str = "weaving") -> ModelFolder:
    return ModelFolder(
        task=task,
        config={"threads": 3},
        tensors={"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(True)},
        assets={"pattern.txt": b"over, under"},
        card="# A loom\n",
    )


def change_config(folder: Path, **changes: object) -> None:
    """Changes what a config says and its digest too, as only somebody does who means it."""
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    config["sha256"] = _config_digest(config)
    (folder / "config.json").write_text(json.dumps(config))


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
    files = json.loads((tmp_path / "m" / "config.json").read_text())["files"]
    change_config(tmp_path / "m", files={**files, "../secret": "0"})
    with pytest.raises(ModelError, match="outside itself"):
        ModelFolder.read(tmp_path / "m")


def test_a_folder_that_is_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine").write_bytes(b"x")
    for force in (False, True):
        with pytest.raises(OutputError):
            made().write(tmp_path / "m", force=force)
    assert (tmp_path / "m" / "mine").read_bytes() == b"x"


def test_force_replaces_only_what_a_model_folder_holds(tmp_path: Path) -> None:
    for name, config in [
        ("other", '{"architectures": ["Bert"], "model_type": "bert"}'),
        ("list", "[]"),
        ("text", "no JSON"),
    ]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "main.c").write_text("int x;")
        for refuse in (check_model_target, made().write):
            with pytest.raises(OutputError, match=r"no config\.json that carousel wrote"):
                refuse(folder, force=True)
        assert (folder / "main.c").exists()
    made().write(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("edited")
    made().write(tmp_path / "m", force=True)
    (tmp_path / "m" / "mynotes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"mynotes\.txt"):
        made().write(tmp_path / "m", force=True)
    assert (tmp_path / "m" / "mynotes.txt").read_text() == "mine"


def test_a_changed_config_is_noticed_and_a_new_layout_is_not(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert ModelFolder.read(tmp_path / "m").config["threads"] == 3
    path.write_text(path.read_text().replace('"threads": 3', '"threads": 4'))
    with pytest.raises(ModelError, match="damaged, its content is not what was saved"):
        ModelFolder.read(tmp_path / "m")


def test_the_card_is_not_needed(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    (tmp_path / "m" / "README.md").write_bytes(b"\xff\xfe\x00")
    assert ModelFolder.read(tmp_path / "m").config["threads"] == 3
    (tmp_path / "m" / "README.md").unlink()
    assert ModelFolder.read(tmp_path / "m").card == ""


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    made().write(tmp_path / "m")
    junk = b"junk"
    (tmp_path / "m" / "model.safetensors").write_bytes(junk)
    change_config(tmp_path / "m", files={"model.safetensors": hashlib.sha256(junk).hexdigest()})
    with pytest.raises(ModelError, match="expected weights as safetensors"):
        ModelFolder.read(tmp_path / "m")


def test_a_name_too_long_is_no_model() -> None:
    with pytest.raises(ModelError, match="no such model"):
        ModelFolder.read("x" * 300)
