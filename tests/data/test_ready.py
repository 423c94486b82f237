"""Groups of what has come: in order, none lost, at once, and no thread left behind."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.data.ready import ready_groups

FOREVER = 60.0  # seconds; only a broken program waits so long


@given(items=st.lists(st.integers(), max_size=40), most=st.integers(1, 7))
def test_nothing_is_lost_and_the_order_stays(items: list[int], most: int) -> None:
    groups = list(ready_groups(items, most))
    assert [item for group in groups for item in group] == items
    assert all(1 <= len(group) <= most for group in groups)


def test_an_item_is_there_before_the_next_one_is_made() -> None:
    """As with a person who types a line only when the last one has been answered."""
    answered = threading.Event()

    def typed() -> Iterator[str]:
        for line in "abc":
            yield line
            assert answered.wait(FOREVER)
            answered.clear()

    found = []
    for group in ready_groups(typed(), 64):
        found.append(group)
        answered.set()
    assert found == [["a"], ["b"], ["c"]]


def test_what_has_come_meanwhile_is_one_group() -> None:
    begun, came = threading.Event(), threading.Event()

    def arriving() -> Iterator[str]:
        yield "first"
        assert begun.wait(FOREVER)
        yield from "abc"
        came.set()  # "c" is in its place by now

    groups = ready_groups(arriving(), 3)
    assert next(groups) == ["first"]
    begun.set()
    assert came.wait(FOREVER)
    assert next(groups) == ["a", "b", "c"]
    assert list(groups) == []


def test_a_group_that_is_full_waits_for_nothing_more() -> None:
    wanted = threading.Event()

    def arriving() -> Iterator[int]:
        yield from range(2)
        assert wanted.wait(FOREVER)
        yield 2

    groups, found = ready_groups(arriving(), 2), []
    while len(found) < 2:
        found += next(groups)
    wanted.set()
    assert [*found, *itertools.chain(*groups)] == [0, 1, 2]


def test_it_is_not_read_far_ahead() -> None:
    most, delivered, ahead = 3, [0], [0]

    def counted() -> Iterator[int]:
        for item in range(2_000):
            ahead[0] = max(ahead[0], item - delivered[0])
            yield item

    for group in ready_groups(counted(), most):
        delivered[0] += len(group)
    assert delivered == [2_000]
    # A group that is just handed over, and as many that wait.
    assert ahead[0] <= 2 * most


@pytest.mark.parametrize("most", [1, 2, 64])
def test_a_failure_comes_behind_what_came_before_it(most: int) -> None:
    failure = KeyError("spilt")

    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise failure

    found: list[int] = []
    with pytest.raises(KeyError) as caught:
        for group in ready_groups(failing(), most):
            found += group
    assert found == [1, 2]
    assert caught.value is failure


def test_a_failure_that_is_an_item_is_an_item() -> None:
    items = [ValueError("a"), None, (1,), KeyboardInterrupt()]
    assert list(itertools.chain(*ready_groups(items, 2))) == items


def readers(before: list[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before]


def test_items_are_made_in_a_thread_that_ends_with_them() -> None:
    names: list[str] = []

    def named() -> Iterator[int]:
        names.append(threading.current_thread().name)
        yield 1

    before = threading.enumerate()
    groups = ready_groups(named(), 2)
    assert readers(before) == []  # until the first group is asked for
    assert list(groups) == [[1]]
    assert names == ["carousel-reader"]
    for thread in readers(before):
        thread.join(FOREVER)
        assert not thread.is_alive()


def test_who_stops_early_leaves_no_thread() -> None:
    before = threading.enumerate()
    groups = ready_groups(itertools.count(), 2)
    assert next(groups)[0] == 0
    (reader,) = readers(before)
    assert reader.daemon  # one that waits for a line must not keep the program
    groups.close()
    reader.join(FOREVER)
    assert not reader.is_alive()


def test_a_failure_that_nobody_waits_for_ends_the_thread() -> None:
    before, given_up = threading.enumerate(), threading.Event()

    def failing() -> Iterator[int]:
        yield 1
        assert given_up.wait(FOREVER)
        raise KeyError

    groups = ready_groups(failing(), 2)
    assert next(groups) == [1]
    (reader,) = readers(before)
    groups.close()
    given_up.set()
    reader.join(FOREVER)
    assert not reader.is_alive()


def test_a_group_has_one_item_at_least() -> None:
    with pytest.raises(AssertionError):
        next(ready_groups([1], 0))
