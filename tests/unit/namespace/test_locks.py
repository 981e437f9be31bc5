"""Locks of modules: exclusive, re-entrant, and never waiting in a circle.

Mutation that was tried, and fails a test here: `_closes_a_circle` answers no.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pointsman.namespace import locks
from pointsman.namespace.locks import ModuleLock
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable


def in_threads(*works: Callable[[], None]) -> None:
    """Run functions at the same time; all must come to an end."""
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [] == [thread for thread in threads if thread.is_alive()]


def waiting_threads() -> int:
    """Return how many threads wait for a lock."""
    return len(locks._waiting_for)


def test_one_at_a_time() -> None:
    """A second thread waits until the first lets go."""
    lock = ModuleLock()
    order: list[str] = []
    held = threading.Event()

    def first() -> None:
        with lock.hold() as is_held:
            held.set()
            wait_for(waiting_threads, "the second thread waits")
            order.append(f"first {is_held}")

    def second() -> None:
        held.wait(20)
        with lock.hold() as is_held:
            order.append(f"second {is_held}")

    in_threads(first, second)

    assert ["first True", "second True"] == order
    assert (0, 0) == (lock.owner, lock.depth)


def test_again_in_one_thread() -> None:
    """A thread may take a lock that it has, and gives it back at the outermost end."""
    lock = ModuleLock()
    with lock.hold() as outer, lock.hold() as inner:
        assert (True, True, 2) == (outer, inner, lock.depth)

    assert 0 == lock.owner


def test_free_after_an_exception() -> None:
    """A lock is given back whatever happens inside."""
    lock = ModuleLock()
    with pytest.raises(KeyboardInterrupt), lock.hold():
        raise KeyboardInterrupt

    assert (0, 0) == (lock.owner, lock.depth)


def circle(size: int) -> list[bool]:
    """Let each of ``size`` threads hold a lock and want the next one's."""
    ring = [ModuleLock() for _ in range(size)]
    all_hold = threading.Barrier(size)
    got: list[bool] = []

    def worker(number: int) -> None:
        with ring[number].hold():
            all_hold.wait(20)
            with ring[(number + 1) % size].hold() as held:
                got.append(held)

    in_threads(*(lambda n=n: worker(n) for n in range(size)))
    assert [0] * size == [lock.owner for lock in ring]
    assert 0 == waiting_threads()
    return got


def test_a_circle_of_two() -> None:
    """Of two threads that want each other's lock, one goes on without."""
    assert [False, True] == sorted(circle(2))


def test_a_circle_of_five() -> None:
    """A circle over five threads is broken at one place only."""
    assert [False, True, True, True, True] == sorted(circle(5))


def test_a_crowd() -> None:
    """Many threads take one lock in turn; none is inside with another."""
    lock = ModuleLock()
    inside: list[int] = []
    most: list[int] = []

    def worker() -> None:
        for _ in range(50):
            with lock.hold() as held:
                assert held
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    in_threads(*[worker] * 8)

    assert 400 == len(most)
    assert 1 == max(most)
