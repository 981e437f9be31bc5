"""The thread that changes what a node serves."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pointsman.agent import Agent, Bell
from pointsman.errors import LedgerError
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class World:
    """What an agent asks and does, recorded."""

    def __init__(self) -> None:
        self.steps: list[str] = []  # names of the threads that took them
        self.delays: list[float] = []  # what the next steps answer; then an hour
        self.error: Exception | None = None
        self.has_changed = False
        self.is_busy = False
        self.agent = Agent(self.step, self.changed, lambda: self.is_busy)

    def step(self) -> float:
        self.steps.append(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        return self.delays.pop(0) if self.delays else 3600.0

    def changed(self) -> bool:
        found, self.has_changed = self.has_changed, False
        return found


@pytest.fixture(name="world")
def running_world() -> Iterator[World]:
    """Return an agent with all that it asks; closed afterwards."""
    world = World()
    yield world
    world.agent.close()


def settled(world: World) -> int:
    """Return how many steps were taken once it waits."""
    return wait_for(lambda: len(world.steps), "a first step")


def test_it_steps_in_a_thread_of_its_own(world: World) -> None:
    """Steps are taken by the node's thread, again at once while they answer 0."""
    world.delays = [0.0, 0.0]
    world.agent.start()

    wait_for(lambda: len(world.steps) == 3, "three steps")
    assert {"pointsman-node"} == set(world.steps)


def test_a_change_of_the_ledger_wakes_it(world: World) -> None:
    """A step follows what another process wrote, though nothing else was due."""
    world.agent.start()
    before = settled(world)
    world.has_changed = True

    wait_for(lambda: len(world.steps) > before, "another step")


def test_a_call_wakes_it_and_returns(world: World) -> None:
    """Work is done in the node's thread, and its result goes to the caller."""
    world.agent.start()
    settled(world)

    def work() -> str:
        return threading.current_thread().name

    assert "pointsman-node" == world.agent.call(work)


def test_a_call_raises_what_its_work_raises(world: World) -> None:
    """An error of the work is the caller's; the thread goes on."""
    world.agent.start()

    def work() -> str:
        raise ValueError("the work's own")

    with pytest.raises(ValueError, match="the work's own"):
        world.agent.call(work)
    assert 1 == world.agent.call(lambda: 1)


def test_nothing_else_is_done_while_something_is_staged(world: World) -> None:
    """Work waits until what is staged was switched or discarded.

    Caught on purpose: tasks taken without a look at ``busy``.
    """
    world.agent.start()
    settled(world)
    world.is_busy = True
    done: list[int] = []
    asks = threading.Thread(target=lambda: world.agent.call(lambda: done.append(1)))
    asks.start()
    before = len(world.steps)
    world.agent.wake()
    wait_for(lambda: len(world.steps) > before, "a step with something staged")
    assert [] == done

    world.is_busy = False
    world.agent.wake()
    asks.join(20)
    assert [1] == done


def test_without_a_thread_work_is_the_callers(world: World) -> None:
    """Before the start, work is done in the thread that asks for it."""
    name = world.agent.call(lambda: threading.current_thread().name)

    assert threading.current_thread().name == name


def test_a_fork_does_not_inherit_what_the_thread_holds(world: World) -> None:
    """A child works by itself, also when the thread was in a step at the fork."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        over.wait(20)

    holding = threading.Thread(target=world.agent.call, args=[hold])
    world.agent.start()
    holding.start()
    assert held.wait(20)
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(world.agent.call(lambda: 7))
    _, status = os.waitpid(child, 0)
    over.set()
    holding.join(20)

    assert 7 == os.waitstatus_to_exitcode(status)


def test_a_lost_ledger_is_told_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says why it is cut off, goes on stepping, and takes it back."""
    monkeypatch.setattr("pointsman.agent.AGAIN", 0.01)
    world.error = LedgerError("sqlite:///x", "is locked")
    world.agent.start()
    wait_for(lambda: world.agent.cut_off, "the reason")
    assert "the ledger sqlite:///x: is locked" == world.agent.cut_off

    world.error = None
    wait_for(lambda: not world.agent.cut_off, "the ledger back")


def test_an_error_of_ours_does_not_end_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A step that raises anything at all is logged, and the next one comes."""
    monkeypatch.setattr("pointsman.agent.AGAIN", 0.01)
    world.error = RuntimeError("a mistake")
    world.agent.start()
    wait_for(lambda: len(world.steps) > 2, "more steps")

    assert "an error of pointsman itself" in caplog.text


def test_what_was_asked_before_the_end_is_done(world: World) -> None:
    """Closing answers those who wait."""
    world.agent.start()
    settled(world)
    results = [_later(world, partial(abs, n)) for n in range(5)]
    world.agent.close()

    assert [0, 1, 2, 3, 4] == [result() for result in results]


def _later(world: World, work: Callable[[], int]) -> Callable[[], int]:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(world.agent.call(work)))
    thread.start()

    def result() -> int:
        thread.join(20)
        return found[0]

    return result


class Pipe:
    """Hints that the test gives."""

    def __init__(self) -> None:
        self.descriptor, self._other = os.pipe()
        os.set_blocking(self.descriptor, False)
        self.closed = False

    def give(self) -> None:
        os.write(self._other, b"x")

    def take(self) -> bool:
        try:
            return bool(os.read(self.descriptor, 100))
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.closed = True
        os.close(self.descriptor)
        os.close(self._other)


def test_a_hint_is_followed_by_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be seen yet when the hint comes is seen a moment later."""
    monkeypatch.setattr("pointsman.agent.HINTED", 3600.0)
    pipe = Pipe()
    world.agent = Agent(world.step, world.changed, lambda: False, lambda: pipe)
    looks: list[int] = []

    def changed() -> bool:
        looks.append(1)
        return len(looks) > 3

    world.agent._changed = changed
    world.agent.start()
    before = settled(world)
    pipe.give()
    wait_for(lambda: len(world.steps) > before, "a step after the fourth look")
    world.agent.close()

    assert pipe.closed


def test_without_a_hint_it_looks_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hints may be lost: polling is the truth."""
    monkeypatch.setattr("pointsman.agent.HINTED", 0.01)
    pipe = Pipe()
    world.agent = Agent(world.step, world.changed, lambda: False, lambda: pipe)
    world.agent.start()
    before = settled(world)
    world.has_changed = True

    wait_for(lambda: len(world.steps) > before, "another step")


def test_a_ring_after_the_end_is_nothing() -> None:
    """Who is late to wake a closed agent does no harm."""
    bell = Bell()
    bell.close()
    bell.ring()

    assert bell.wait(0.0, None)
