"""What takes longer than a lease, and is no silence: loads, joins, reloads.

Broken on purpose, and seen to fail: each of the three without its signs of life; a
pulse that beats once only, or ends when the ledger is away; one that is not waited
for at the end.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from functional.reconcile.test_reconcile import LEASE, Cluster
from pointsman import pulse
from pointsman.cluster import NodeState, State
from pointsman.errors import LedgerError
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pointsman.cluster import Contents, Failed

_SOON = 0.002  # seconds between two beats


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return two nodes; the pulse of each is fast, and so is time."""
    cluster = Cluster(tmp_path)
    for name in ("a", "b"):
        node = cluster.add(name)
        node._beside = lambda beat, _: pulse.threaded(beat, _SOON)
    cluster.settle()
    yield cluster
    cluster.ledger.close()


def long_work(cluster: Cluster, name: str) -> None:
    """Take five leases, and as long as the others hear of it."""
    for _ in range(5):
        cluster.now += LEASE * 0.9
        until = cluster.now + LEASE
        wait_for(lambda: lease_of(cluster, name) >= until, f"{name} gives a sign")  # noqa: B023


def lease_of(cluster: Cluster, name: str) -> float:
    """Return until when a node is believed to be alive."""
    return next(n.lease_until for n in cluster.ledger.nodes() if n.id == name)


def test_a_long_load_is_no_silence(cluster: Cluster) -> None:
    """The others see it, and wait until its deadline."""
    follower = cluster.followers["a"]
    stage = follower.stage

    def slowly(contents: Contents) -> tuple[Failed, ...]:
        for _ in range(3):
            cluster.now += LEASE * 0.9
            until = cluster.now + LEASE
            wait_for(lambda: lease_of(cluster, "a") >= until, "a gives a sign")  # noqa: B023
            cluster.nodes["b"].step()
        return stage(contents)

    follower.stage = slowly  # type: ignore[method-assign]
    number = cluster.deploy("crm", "1")
    cluster.settle()

    assert State.ACTIVE == cluster.state(number), cluster.reason(number)


def test_a_long_join_is_no_silence(cluster: Cluster) -> None:
    """A node that comes late loads all that the others have."""
    cluster.deploy("crm", "1")
    cluster.settle()
    node = cluster.add("late")
    node._beside = lambda beat, _: pulse.threaded(beat, _SOON)
    follower = cluster.followers["late"]
    join = follower.join

    def slowly(contents: Contents) -> tuple[Failed, ...]:
        long_work(cluster, "late")
        return join(contents)

    follower.join = slowly  # type: ignore[method-assign]
    cluster.settle("late")
    (late,) = (one for one in cluster.ledger.nodes() if one.id == "late")

    assert (NodeState.READY, 1) == (late.state, late.generation)


def test_signs_of_life_go_on_when_the_ledger_was_away(cluster: Cluster) -> None:
    """What one beat could not write, the next one does."""
    node, beat = cluster.nodes["a"], cluster.ledger.beat
    tried = threading.Event()

    def away(*_: object, **__: object) -> bool:
        tried.set()
        raise LedgerError("sqlite://", "it is away")

    with node.alive():
        cluster.ledger.beat = away  # type: ignore[method-assign]
        assert tried.wait(20)
        cluster.ledger.beat = beat  # type: ignore[method-assign]
        long_work(cluster, "a")


# THE PULSE ITSELF


def test_a_pulse_ends_with_its_block() -> None:
    """A beat that is under way is waited for: the ledger may be closed afterwards."""
    begun, go_on, beats = threading.Event(), threading.Event(), []

    def beat() -> None:
        begun.set()
        go_on.wait(20)
        beats.append(time.monotonic())

    with pulse.threaded(beat, _SOON):
        assert begun.wait(20)
        threading.Timer(0.05, go_on.set).start()
    over = time.monotonic()

    assert beats
    assert all(at <= over for at in beats)
    assert not any(t.name == "pointsman-pulse" for t in threading.enumerate())


def test_a_pulse_ends_when_the_block_fails() -> None:
    """What it raises comes out."""

    def beats(work: Callable[[], None]) -> None:
        with pulse.threaded(lambda: None, _SOON):
            work()

    with pytest.raises(ZeroDivisionError):
        beats(lambda: 1 / 0)  # type: ignore[arg-type]
    assert not any(t.name == "pointsman-pulse" for t in threading.enumerate())
