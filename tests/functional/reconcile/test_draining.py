"""Nodes that are drained: not ready, without a vote, and up to date.

Broken on purpose, and seen to fail: a drained node that does not follow what becomes
active, or does not say what it serves; one that forgets the drain when the ledger has
forgotten it; a node that ends and leaves the others to wait for its vote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.reconcile.test_reconcile import ACTOR, LEASE, Cluster
from pointsman.cluster import NodeState, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    for name in ("a", "b"):
        cluster.add(name)
    cluster.settle()
    yield cluster
    cluster.ledger.close()


def known(cluster: Cluster) -> dict[str, tuple[NodeState, int]]:
    """Return what the ledger tells of each node."""
    return {one.id: (one.state, one.generation) for one in cluster.ledger.nodes()}


def test_a_drained_node_follows(cluster: Cluster) -> None:
    """It goes to what the others decide without it, and says so; it is not ready."""
    cluster.ledger.drain("b", ACTOR)
    cluster.settle()
    number = cluster.deploy("crm", "1")
    cluster.settle()

    assert (State.ACTIVE, {"a": number, "b": number}) == (
        cluster.state(number),
        cluster.served(),
    )
    assert {
        "a": (NodeState.READY, number),
        "b": (NodeState.DRAINING, number),
    } == known(cluster)
    assert (False, True) == (cluster.nodes["a"].draining, cluster.nodes["b"].draining)


def test_a_node_that_is_drained_during_a_vote_switches(cluster: Cluster) -> None:
    """What it has staged before is what it switches to, with the others."""
    number = cluster.deploy("crm", "1")
    cluster.settle("b")
    cluster.ledger.drain("b", ACTOR)
    cluster.settle()

    assert {
        "a": (NodeState.READY, number),
        "b": (NodeState.DRAINING, number),
    } == known(cluster)


def test_a_resumed_node_votes_again(cluster: Cluster) -> None:
    """It is ready, and the next generation waits for it."""
    cluster.ledger.drain("b", ACTOR)
    cluster.settle()
    cluster.ledger.resume("b", ACTOR)
    cluster.settle()
    assert not cluster.nodes["b"].draining
    number = cluster.deploy("crm", "1")
    cluster.settle("a")
    assert State.STAGING == cluster.state(number)
    cluster.settle()

    assert {"a": number, "b": number} == cluster.served()


def test_who_is_behind_is_that_after_a_drain(cluster: Cluster) -> None:
    """What it could not load while it was drained, it still cannot: it says so."""
    cluster.followers["b"].broken.add("crm")
    cluster.ledger.drain("b", ACTOR)
    cluster.settle()
    number = cluster.deploy("crm", "1")
    cluster.settle()
    assert {"a": (NodeState.READY, number), "b": (NodeState.DRAINING, 0)} == known(
        cluster
    )
    cluster.ledger.resume("b", ACTOR)
    cluster.settle()

    assert (NodeState.BEHIND, 0) == known(cluster)["b"]
    (record,) = (one for one in cluster.ledger.nodes() if one.id == "b")
    assert "does not load here" in record.reason


def test_who_was_forgotten_is_still_drained(cluster: Cluster) -> None:
    """The ledger may forget it, as after a restore; the node does not."""
    cluster.ledger.drain("b", ACTOR)
    cluster.settle()
    cluster.ledger.leave("b")
    cluster.settle()

    assert NodeState.DRAINING == known(cluster)["b"][0]
    assert cluster.nodes["b"].draining


def test_a_node_that_ends_is_not_waited_for(cluster: Cluster) -> None:
    """It says so in the ledger with its next look; nothing resumes it."""
    number = cluster.deploy("crm", "1")
    cluster.settle("a")
    cluster.nodes["b"].drain()
    assert cluster.nodes["b"].draining
    cluster.settle()
    assert (State.ACTIVE, NodeState.DRAINING) == (
        cluster.state(number),
        known(cluster)["b"][0],
    )
    cluster.ledger.resume("b", ACTOR)
    cluster.settle()

    assert NodeState.DRAINING == known(cluster)["b"][0]


def test_a_drained_node_gives_signs_of_life(cluster: Cluster) -> None:
    """Its lease is renewed like that of any other."""
    cluster.ledger.drain("b", ACTOR)
    for _ in range(8):
        cluster.now += LEASE / 4
        cluster.settle()

    assert [True, True] == [
        one.lease_until > cluster.now for one in cluster.ledger.nodes()
    ]
