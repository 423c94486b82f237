"""One file that holds a whole run: ``checkpoint.safetensors``. No pickle.

Layout: the tensors of the run by name ("model/…", "average/…", "best/…", "optimizer/…"), and in
the safetensors metadata

    format    "carousel checkpoint"
    version   of this layout
    document  JSON: counters, options, fingerprint
    sha256    over the version, the document and every tensor's name, dtype, shape and bytes
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from carousel.data.storage import write_atomically
from carousel.errors import CheckpointError

CHECKPOINT_FILE = "checkpoint.safetensors"
FORMAT = "carousel checkpoint"
VERSION = 1
BEGIN_ANEW = "--force without --resume (restart=True) to begin anew"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Writes a checkpoint atomically.

    Args:
        path: the file.
        tensors: by name; any device and dtype.
        document: JSON values.

    Raises:
        OutputError: if it cannot be written; the last checkpoint is untouched.
    """
    # Cloned, because safetensors refuses tensors that share memory, as tied weights do.
    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    text = json.dumps(document, sort_keys=True)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "document": text,
        "sha256": _digest(plain, str(VERSION), text),
    }
    write_atomically(path, safetensors.torch.save(plain, metadata))


def read_checkpoint(data: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Takes a checkpoint's bytes apart.

    Args:
        data: the file's content.
        path: for the error's words.

    Returns:
        tensors: by name, on the CPU.
        document: as given to ``save_checkpoint``.

    Raises:
        CheckpointError: if the file is damaged, foreign, or of a newer version.
    """
    try:
        tensors = safetensors.torch.load(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected a checkpoint of a Carousel training run, found another safetensors "
            "file; give the folder that an earlier run got as 'checkpoint'"
        )
    version = metadata.get("version", "")
    if version.isdecimal() and int(version) > VERSION:
        raise CheckpointError(
            f"{path}: expected checkpoint version {VERSION} or older, found {version}; it was "
            "written by a newer Carousel: install that one to go on with this run"
        )
    text = metadata.get("document", "")
    if metadata.get("sha256") != _digest(tensors, version, text):
        raise _damaged(path, "its checksum does not fit its content")
    return tensors, json.loads(text)


def check_same_run(
    path: Path,
    saved: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Refuses a checkpoint of another run, and says in what they differ.

    Args:
        path: for the error's words.
        saved: the checkpoint's document, with "fingerprint" and "options".
        fingerprint: of the task that wants to resume.
        options: of the run that wants to resume, those that decide its weights.

    Raises:
        CheckpointError: if anything differs.
    """
    differences = [
        *_differences("", saved["fingerprint"], fingerprint),  # from which options may follow
        *_differences("option", saved["options"], options),
    ]
    if differences:
        raise CheckpointError(
            f"{path}: belongs to another run: {'; '.join(differences)}; "
            f"give what that run was given to go on with it, or {BEGIN_ANEW}"
        )


def named_fingerprint(fingerprint: str | Mapping[str, Any]) -> dict[str, Any]:
    """Returns a task's fingerprint as JSON gives it back, so that it can be compared."""
    named = {"task and data": fingerprint} if isinstance(fingerprint, str) else dict(fingerprint)
    return json.loads(json.dumps(named))


def _differences(kind: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    prefix = f"{kind} " if kind else ""
    return [
        f"{prefix}{name} was {_brief(saved.get(name))}, is {_brief(now.get(name))}"
        for name in [*saved, *(name for name in now if name not in saved)]
        if saved.get(name) != now.get(name)
    ]


def _brief(value: Any, longest: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: expected a whole checkpoint, found a damaged file ({reason}); "
        f"take it from a backup, or give {BEGIN_ANEW}"
    )


def _metadata(data: bytes) -> dict[str, str]:
    """Returns the metadata of safetensors bytes: 8 bytes of length, then a JSON header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _digest(tensors: Mapping[str, Tensor], version: str, document: str) -> str:
    digest = hashlib.sha256(f"{version}\n{document}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
