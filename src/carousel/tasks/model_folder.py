"""A saved model is a folder: weights, what is needed to use them, and a card to read. No pickle.

    model.safetensors   the weights
    config.json         task, format, options, and the digest of every other file
    README.md           the model card
    history.jsonl       the training run
    …                   the task's assets

Knows no task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from carousel.data.storage import replace_folder
from carousel.errors import ModelError

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"


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
        files[CONFIG] = json.dumps(config, indent=2).encode()
        with replace_folder(folder, force=force, marker=CONFIG) as new:
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
                f"use the command of its task"
            )
        contents = {name: _read_whole(path, name, want) for name, want in config["files"].items()}
        tensors = safetensors.torch.load(contents.pop(WEIGHTS))
        card = path / CARD
        return cls(
            task=config["task"],
            config=config,
            tensors=tensors,
            assets=contents,
            card=card.read_text(encoding="utf-8") if card.exists() else "",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Reads and checks ``config.json`` alone; see ``ModelFolder.read``."""
    remedy = "give the folder that carousel fit wrote"
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such model; {remedy}")
    if not folder.is_dir():
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
    known = isinstance(config, dict) and isinstance(config.get("format"), int)
    if not known or not isinstance(config.get("task"), str):
        raise ModelError(f"{file}: it was not written by carousel; {remedy}")
    if config["format"] > FORMAT_VERSION:
        raise ModelError(
            f"{folder}: written by the newer carousel {config.get('carousel', '?')} (format "
            f"{config['format']}, this version reads up to {FORMAT_VERSION}); upgrade carousel-lstm"
        )
    files = config.get("files")
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise ModelError(f"{file}: damaged, its list of files is missing; fit the model again")
    return config


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
