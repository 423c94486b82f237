"""What has come of a stream so far, so that it can be worked on together; nothing is waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def ready_groups(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yields the items in order, in groups of as many as have come when the last group is done.

    A person who types a line gets it back at once; a file is read in groups of ``most``. The items
    are read in a thread of their own, at most ``most`` ahead.

    Args:
        items: such as an open file's lines; their iterator is used in the other thread only.
        most: items of a group, from 1.

    Raises:
        BaseException: what reading them raised, behind the items that came before.
    """
    assert most >= 1
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(maxsize=most)
    given_up = threading.Event()

    def read() -> None:
        last: BaseException | None = None
        try:
            for item in items:
                if not _put(ready, (item,), given_up):
                    return
        except BaseException as error:
            last = error
        _put(ready, last, given_up)

    threading.Thread(target=read, name="carousel-reader", daemon=True).start()
    try:
        while True:
            found = ready.get()
            group: list[T] = []
            while isinstance(found, tuple):
                group.append(found[0])
                if len(group) == most or ready.empty():
                    break
                found = ready.get_nowait()
            if group:
                yield group
            if isinstance(found, BaseException):
                raise found
            if found is None:
                return
    finally:
        given_up.set()


def _put(ready: queue.Queue[T], item: T, given_up: threading.Event) -> bool:
    """Returns whether the item found a place before nobody wanted it any more."""
    while not given_up.is_set():
        try:
            ready.put(item, timeout=0.2)
            return True
        except queue.Full:
            continue
    return False
