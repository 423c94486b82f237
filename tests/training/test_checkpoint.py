"""The checkpoint file: what goes in comes out, and what is not whole or not ours is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from carousel.errors import CheckpointError
from carousel.training.checkpoint import (
    check_same_run,
    named_fingerprint,
    read_checkpoint,
    save_checkpoint,
)

WEIGHT = torch.arange(6.0).reshape(2, 3)
TENSORS = {
    "model/weight": WEIGHT,
    "model/tied": WEIGHT,  # shares memory
    "model/across": WEIGHT.t(),  # is not contiguous
    "average/half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "average/n": torch.tensor(7),
    "optimizer/empty": torch.zeros(0, 3),
    "task/0/flags": torch.tensor([True, False]),
}
DOCUMENT = {"counters": {"step": 3, "loss_sum": 0.1 + 0.2}, "options": {}, "fingerprint": {}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "checkpoint.safetensors"
    save_checkpoint(path, TENSORS, DOCUMENT)
    return path


def test_what_goes_in_comes_out(saved: Path) -> None:
    tensors, document = read_checkpoint(saved.read_bytes(), saved)
    assert document == DOCUMENT
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_found_wherever_it_is(saved: Path, bit: int) -> None:
    whole = saved.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors: "):
            read_checkpoint(bytes(flipped), saved)


def test_a_cut_file_is_found_wherever_it_is_cut(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in range(len(whole)):
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(whole[:length], saved)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip of pickles", bytes(range(256)) * 9])
def test_a_file_of_another_kind_is_refused(saved: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(data, saved)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_weights_of_another_program_are_refused(
    saved: Path, metadata: dict[str, str] | None
) -> None:
    data = safetensors.torch.save({"weight": torch.ones(3)}, metadata)
    with pytest.raises(CheckpointError, match="another safetensors file"):
        read_checkpoint(data, saved)


def test_a_newer_version_is_refused(saved: Path) -> None:
    data = safetensors.torch.save(
        {}, {"format": "carousel checkpoint", "version": "2", "document": "?"}
    )
    with pytest.raises(CheckpointError, match="version 1 or older, found 2"):
        read_checkpoint(data, saved)


def test_it_holds_no_pickle(saved: Path) -> None:
    data = saved.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert set(header) == {"__metadata__", *TENSORS}
    assert sum(t.nbytes for t in TENSORS.values()) == len(data) - 8 - length


def test_every_difference_is_named() -> None:
    saved = {"options": {"seed": 0, "warmup": 0.1}, "fingerprint": {"rows": 5, "hidden": 8}}
    same = {"seed": 0, "warmup": 0.1}
    check_same_run(Path("c"), saved, {"rows": 5, "hidden": 8}, same)
    with pytest.raises(CheckpointError) as caught:
        check_same_run(Path("c"), saved, {"rows": 6, "new": "x" * 200}, {"seed": 1, "warmup": 0.1})
    message = str(caught.value)
    assert "option seed was 0, is 1" in message
    assert "rows was 5, is 6" in message
    assert "hidden was 8, is None" in message
    assert "new was None, is 'xxx" in message
    assert "warmup" not in message
    assert len(message) < 400


def test_a_fingerprint_may_be_a_text() -> None:
    saved = {"options": {}, "fingerprint": named_fingerprint("abc")}
    check_same_run(Path("c"), saved, named_fingerprint("abc"), {})
    with pytest.raises(CheckpointError, match="task and data was 'abc', is 'abd'"):
        check_same_run(Path("c"), saved, named_fingerprint("abd"), {})


def test_a_fingerprint_is_compared_as_json_keeps_it() -> None:
    assert named_fingerprint({"quantiles": (0.1, 0.9)}) == {"quantiles": [0.1, 0.9]}
