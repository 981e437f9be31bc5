"""A node that was away for hours: its machine slept, or nothing got through.

Meanwhile it was left out of the ballots, and what it served was dropped from the
history.  Broken on purpose, and seen to fail: one that does not ask for a vote when it
is back; one that does not say that it is behind; one that nobody leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.reconcile.test_reconcile import LEASE, Cluster
from pointsman.cluster import NodeState, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOURS = 7
_NAP = 10 * LEASE  # seconds between two looks of the others
_OTHERS = ("a", "b")


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    for name in (*_OTHERS, "away"):
        node = cluster.add(name)
        node._history = 3  # generations that are kept
    cluster.settle()
    cluster.deploy("crm", "before")
    cluster.settle()
    yield cluster
    cluster.ledger.close()


def hours_pass(cluster: Cluster) -> list[int]:
    """Let the others deploy once an hour; return the generations that failed."""
    made = []
    for hour in range(_HOURS):
        for _ in range(int(3600 / _NAP)):
            cluster.now += _NAP
            for name in _OTHERS:
                cluster.nodes[name].step()
        made.append(cluster.deploy("crm", f"hour {hour}"))
        for _ in range(3):
            cluster.settle(*_OTHERS)
            cluster.now += 1
    found = {n: cluster.ledger.generation(n) for n in made}
    return [n for n, one in found.items() if one and one.state is State.FAILED]


def states(cluster: Cluster) -> dict[str, tuple[NodeState, int]]:
    """Return what the ledger says of each node."""
    return {one.id: (one.state, one.generation) for one in cluster.ledger.nodes()}


def lease_of(cluster: Cluster, name: str) -> float:
    """Return until when a node was believed to be alive."""
    return next(n.lease_until for n in cluster.ledger.nodes() if n.id == name)


def test_it_goes_to_what_is_active(cluster: Cluster) -> None:
    """In one step over all that it has missed; and it is in the next ballot."""
    assert [] == hours_pass(cluster)
    assert cluster.ledger.generation(1) is None  # what it serves is not kept any more
    assert (NodeState.READY, 1) == states(cluster)["away"]  # as it said last
    assert cluster.now - lease_of(cluster, "away") > (_HOURS - 1) * 3600

    cluster.settle()

    last = cluster.followers["a"].number
    assert [1, last] == cluster.followers["away"].served
    assert (NodeState.READY, last) == states(cluster)["away"]
    number = cluster.deploy("crm", "together")
    cluster.settle(*_OTHERS)
    assert State.STAGING is cluster.state(number)  # it is waited for
    cluster.settle()
    assert {number} == {*cluster.served().values()}


def test_nothing_happened_meanwhile(cluster: Cluster) -> None:
    """It is left out of what is staged when it comes, and asks to be let in."""
    cluster.now += _HOURS * 3600
    cluster.settle(*_OTHERS)
    number = cluster.deploy("crm", "together")
    generation = cluster.ledger.generation(number)
    assert generation is not None
    assert {*_OTHERS} == {vote.node for vote in generation.votes}

    cluster.nodes["away"].step()
    cluster.settle(*_OTHERS)
    assert State.STAGING is cluster.state(number)  # it is waited for
    cluster.settle()
    assert {number} == {*cluster.served().values()}


def test_it_was_about_to_switch(cluster: Cluster) -> None:
    """What it has staged and voted for failed without it, and is never served."""
    number = cluster.deploy("crm", "never")
    cluster.nodes["away"].step()
    assert number == cluster.followers["away"].staged
    cluster.now += 61  # its deadline
    cluster.settle(*_OTHERS)
    assert State.FAILED is cluster.state(number)

    hours_pass(cluster)
    cluster.settle()

    last = cluster.followers["a"].number
    assert [1, last] == cluster.followers["away"].served
    assert cluster.followers["away"].staged is None


def test_it_cannot_follow_at_first(cluster: Cluster) -> None:
    """It serves on what it had, says so, and keeps nobody from deploying."""
    cluster.followers["away"].broken = {"crm"}
    hours_pass(cluster)
    cluster.settle()
    assert (NodeState.BEHIND, 1) == states(cluster)["away"]

    cluster.followers["away"].broken = set()
    number = cluster.deploy("crm", "mended")
    cluster.settle()

    assert State.ACTIVE is cluster.state(number)
    assert [1, number] == cluster.followers["away"].served
    assert (NodeState.READY, number) == states(cluster)["away"]
