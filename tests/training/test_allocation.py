"""Memory that is freed comes back without the system, during a training and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from carousel.training import RunOptions, train
from carousel.training import allocation as module
from carousel.training.allocation import freed_memory_kept
from training.small_task import Example, SmallTask

LIBC, _, VERSION = os.confstr("CS_GNU_LIBC_VERSION").partition(" ") if module._glibc() else [""] * 3
glibc_only = pytest.mark.skipif(not LIBC, reason="the C library is not glibc")
keeps_all = pytest.mark.skipif(
    tuple(map(int, VERSION.split(".") if VERSION else ())) < (2, 35),
    reason="the C library is not glibc from 2.35 on, which keeps blocks of any size",
)

# Prints how many pages the system gives for a block where one was freed just before: usually,
# inside, and afterwards. The block is larger than what glibc keeps by itself. In a process of its
# own, because threads have heaps that are given back whatever the thresholds are.
PAGES_GOT = """
import resource, torch
from carousel.training.allocation import freed_memory_kept

def pages_got():
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(40 << 20, dtype=torch.uint8).fill_(1)
        got = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return got

print(pages_got())
with freed_memory_kept():
    print(pages_got())
print(pages_got())
"""
# Prints when thresholds are set.
SETTINGS = """
from carousel.training import allocation
allocation._set = lambda *_: print("set")
with allocation.freed_memory_kept():
    print("inside")
"""


def printed(code: str, **environment: str) -> list[str]:
    """Returns the lines that a program prints where the environment has no other wishes."""
    usual = {k: v for k, v in os.environ.items() if k not in module._OWN_WISHES}
    words = [sys.executable, "-c", code]
    found = subprocess.run(
        words, env={**usual, **environment}, capture_output=True, text=True, check=True
    )
    return found.stdout.splitlines()


@keeps_all
def test_what_is_freed_is_kept_inside_and_given_back_after() -> None:
    # Huge pages, where the system has them, are fewer: what counts is whether there are any.
    usual, inside, after = map(int, printed(PAGES_GOT))
    assert usual > 0
    assert inside < usual / 4
    assert after > usual / 2


@glibc_only
@pytest.mark.parametrize("name", [None, *module._OWN_WISHES])
def test_who_has_own_wishes_keeps_them(name: str | None) -> None:
    found = printed(SETTINGS, **({name: ""} if name else {}))
    assert found == (["inside"] if name else ["set", "inside", "set"])


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is set, one after the other, and the environment has no wishes."""
    found: list[int] = []
    for name in module._OWN_WISHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_set", lambda library, size: found.append(size))
    return found


@glibc_only
def test_an_error_ends_it_too(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="inside"), freed_memory_kept():
        raise ValueError("inside")
    assert sizes == [module._KEPT, module._USUAL]


def test_without_glibc_nothing_is_done(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_glibc", lambda: None)
    with freed_memory_kept():
        assert sizes == []
    assert sizes == []


@glibc_only
def test_a_training_keeps_what_its_steps_free(sizes: list[int]) -> None:
    seen: list[list[int]] = []

    class Watched(SmallTask):
        def loss(self, module: Any, batch: Example) -> Any:
            seen.append(sizes.copy())
            return super().loss(module, batch)

    run = RunOptions(max_steps=2, progress="none")
    train(Watched(run), run)
    assert seen == [[module._KEPT]] * 2
    assert sizes == [module._KEPT, module._USUAL]
