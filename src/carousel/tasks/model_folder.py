"""A saved model is a folder: weights, what is needed to use them, and a card to read. No pickle.

    model.safetensors   the weights
    config.json         task, format, options, and the digests of itself and every other file
    README.md           the model card
    history.jsonl       the training run
    …                   the task's assets

Knows no task.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from carousel.data.storage import check_target, replace_folder
from carousel.errors import ModelError

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
CONFIG_DIGEST = "sha256"  # key of config.json: the digest over its other keys


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """What a model folder holds.

    Attributes:
        task: name of the task, such as "forecasting".
        config: plain values that the task understands.
        tensors: the weights by name.
        assets: further files by name, as bytes.
        card: the model card, Markdown.
    """

    task: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    assets: Mapping[str, bytes]
    card: str

    def write(self, folder: str | Path, *, force: bool = False) -> Path:
        """Writes the folder in one piece: it is there whole, or what was there before still is.

        Raises:
            OutputError: where the folder exists and ``force`` is not set, or cannot be written.
        """
        files = {
            WEIGHTS: safetensors.torch.save(
                {name: tensor.detach().contiguous().cpu() for name, tensor in self.tensors.items()}
            ),
            CARD: self.card.encode(),
            **self.assets,
        }
        config = {
            "format": FORMAT_VERSION,
            "task": self.task,
            "carousel": metadata.version("carousel-lstm"),
            "files": {name: _digest(content) for name, content in files.items() if name != CARD},
            **self.config,
        }
        config[CONFIG_DIGEST] = _config_digest(config)
        files[CONFIG] = json.dumps(config, indent=2).encode()
        with replace_folder(folder, force=force, foreign=_foreign) as new:
            for name, content in files.items():
                (new / name).write_bytes(content)
        return Path(folder)

    @classmethod
    def read(cls, folder: str | Path, *, task: str | None = None) -> ModelFolder:
        """Reads a folder that ``write`` wrote.

        Args:
            folder: its path.
            task: the task it has to be of; None takes any.

        Raises:
            ModelError: where it is missing, damaged, of another task or of a newer version.
        """
        path = Path(folder)
        config = read_config(path)
        if task is not None and config["task"] != task:
            raise ModelError(
                f"{path}: expected a model for {task}, got one for {config['task']}; "
                f"give one for {task}"
            )
        contents = {name: _read_whole(path, name, want) for name, want in config["files"].items()}
        try:
            tensors = safetensors.torch.load(contents.pop(WEIGHTS))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path / WEIGHTS}: expected weights as safetensors, got something else ({error}); "
                f"fit the model again or take it from a copy"
            ) from error
        return cls(
            task=config["task"],
            config=config,
            tensors=tensors,
            assets=contents,
            card=_read_card(path / CARD),
        )


def check_model_target(folder: str | Path, *, force: bool = False) -> None:
    """Raises what ``ModelFolder.write`` would, before hours of work and not after them.

    Raises:
        OutputError: where the folder exists and may not be replaced, or cannot be made.
    """
    check_target(folder, force=force, foreign=_foreign)


def read_config(folder: Path) -> dict[str, Any]:
    """Reads and checks ``config.json`` alone; see ``ModelFolder.read``."""
    remedy = "give the folder that carousel fit wrote"
    if not os.path.exists(folder):
        raise ModelError(f"{folder}: there is no such model; {remedy}")
    if not os.path.isdir(folder):
        raise ModelError(f"{folder}: a model is a folder, this is a file; {remedy}")
    file = folder / CONFIG
    if not file.exists():
        raise ModelError(f"{folder}: no model, it has no {CONFIG}; {remedy}")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{file}: damaged, it is not readable as JSON ({error}); fit the model again or "
            f"take it from a copy"
        ) from error
    if not _is_of_a_model(config):
        raise ModelError(f"{file}: it was not written by carousel; {remedy}")
    if config["format"] > FORMAT_VERSION:
        raise ModelError(
            f"{folder}: written by the newer carousel {config.get('carousel', '?')} (format "
            f"{config['format']}, this version reads up to {FORMAT_VERSION}); upgrade carousel-lstm"
        )
    # Folders of before the digest have none.
    if config.get(CONFIG_DIGEST, _config_digest(config)) != _config_digest(config):
        raise ModelError(
            f"{file}: damaged, its content is not what was saved; fit the model again or take it "
            f"from a copy"
        )
    files = config.get("files")
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise ModelError(f"{file}: damaged, its list of files is missing; fit the model again")
    return config


def _is_of_a_model(config: Any) -> bool:
    return (
        isinstance(config, dict)
        and isinstance(config.get("format"), int)
        and isinstance(config.get("task"), str)
    )


def _foreign(folder: Path) -> str:
    """Returns what in a folder no ``write`` has written, in words; "" where all of it is ours."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (ValueError, OSError):
        config = None
    files = config.get("files") if _is_of_a_model(config) else None
    if not isinstance(files, dict) or WEIGHTS not in files:
        return f"it has no {CONFIG} that carousel wrote"
    others = sorted({path.name for path in folder.iterdir()} - {CONFIG, CARD, *files})
    return f"{others[0]!r} is no file of a model" if others else ""


def _read_card(path: Path) -> str:
    """Returns the card; whatever became of it, the model can be used without."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read_whole(folder: Path, name: str, digest: str) -> bytes:
    path = folder / name
    if path.parent != folder:
        raise ModelError(f"{folder}: damaged, it lists the file {name!r} outside itself")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); the model is incomplete, fit it again or "
            f"take it from a copy"
        ) from error
    if _digest(content) != digest:
        raise ModelError(
            f"{path}: damaged, its content is not what was saved; fit the model again or take it "
            f"from a copy"
        )
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _config_digest(config: Mapping[str, Any]) -> str:
    """Returns the digest over what a config says, however its text is laid out."""
    plain = json.loads(json.dumps({k: v for k, v in config.items() if k != CONFIG_DIGEST}))
    return _digest(json.dumps(plain, sort_keys=True).encode())
