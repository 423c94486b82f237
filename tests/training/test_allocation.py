"""Memory that is freed comes back without the system, during a training and no longer."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from typing import Any

import pytest
import torch

from carousel.training import RunOptions, train
from carousel.training import allocation as module
from carousel.training.allocation import freed_memory_kept
from training.small_task import Example, SmallTask

BLOCK = 40 << 20  # bytes: more than glibc keeps by itself
PAGES = BLOCK // resource.getpagesize()

LIBC, _, VERSION = os.confstr("CS_GNU_LIBC_VERSION").partition(" ") if module._glibc() else [""] * 3
glibc_only = pytest.mark.skipif(not LIBC, reason="the C library is not glibc")
keeps_all = pytest.mark.skipif(
    tuple(map(int, VERSION.split(".") if VERSION else ())) < (2, 35),
    reason="the C library is not glibc from 2.35 on, which keeps blocks of any size",
)


def pages_got() -> int:
    """Returns how many pages the system gives for a block, where one was freed just before.

    That is the median: now and then something small takes the room of a block that was freed.
    """
    got = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(BLOCK, dtype=torch.uint8).fill_(1)
        got.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return int(statistics.median(got))


@pytest.fixture
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module._OWN_WISHES:
        monkeypatch.delenv(name, raising=False)


@keeps_all
def test_what_is_freed_is_kept_inside_and_given_back_after(no_wishes: None) -> None:
    # Huge pages, where the system has them, are fewer: what counts is whether there are any.
    usual = pages_got()
    assert usual > 0
    with freed_memory_kept():
        assert pages_got() < usual / 4
    assert pages_got() > usual / 2


@glibc_only
def test_an_error_ends_it_too(no_wishes: None) -> None:
    with pytest.raises(ValueError, match="inside"), freed_memory_kept():
        raise ValueError("inside")
    assert pages_got() > PAGES / 1_000


@glibc_only
@pytest.mark.parametrize("name", [None, *module._OWN_WISHES])
def test_who_has_own_wishes_keeps_them(name: str | None) -> None:
    code = (
        "from carousel.training import allocation as a\n"
        "a._set = lambda *_: print('set')\n"
        "with a.freed_memory_kept(): print('inside')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in module._OWN_WISHES}
    wanted = "inside\n" if name else "set\ninside\nset\n"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **({name: ""} if name else {})},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == wanted


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "_glibc", lambda: None)
    monkeypatch.setattr(module, "_set", called)
    with freed_memory_kept():
        pass


@keeps_all
def test_a_training_keeps_what_its_steps_free(no_wishes: None) -> None:
    got: list[int] = []

    class Large(SmallTask):
        def loss(self, module: Any, batch: Example) -> Any:
            got.append(pages_got())
            return super().loss(module, batch)

    usual = pages_got()
    run = RunOptions(max_steps=5, progress="none")
    train(Large(run), run)
    assert statistics.median(got) < usual / 4
    assert pages_got() > usual / 2
