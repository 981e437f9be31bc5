"""Nodes that are taken out of a load balancer, and put back.

Broken on purpose, and seen to fail: a drained node that may say *ready* (it has a vote
and gets requests), or *behind* (the wish is forgotten); one that is forgotten and
joins as if nobody had drained it; a drain that leaves the vote in the ballot.
"""

from __future__ import annotations

import pytest

from contract.ledger.scene import ALICE, BOB, LEASE, Scene, node_named
from pointsman.cluster import NodeState, State
from pointsman.errors import Refused


def state(scene: Scene, name: str) -> NodeState:
    """Return what the ledger knows of a node."""
    me = scene.ledger.observe(name).me
    assert me is not None
    return me.state


def test_a_drained_node_has_no_vote(scene: Scene) -> None:
    """Nobody waits for it: it leaves the ballot that is open, and is in none later."""
    scene.join("n1", "n2")
    staging = scene.propose(scene.put("a", "1")).number
    scene.vote("n1", staging)
    assert scene.ledger.drain("n2", ALICE)

    assert (State.ACTIVE, ["n1"]) == (scene.state(staging), scene.voters(staging))
    assert ["n1"] == scene.voters(scene.propose(scene.put("a", "2")).number)
    left = {vote.node: vote.left for vote in scene.record(staging).votes}
    assert {"n1": "", "n2": "it is draining"} == left


def test_a_drained_node_stays_drained(scene: Scene) -> None:
    """Whatever it says of itself: ready, behind, joining; its generation is noted."""
    scene.join("n1", "n2")
    scene.ledger.drain("n1", ALICE)
    assert not scene.ledger.ready("n1", scene.active)
    for said in (NodeState.BEHIND, NodeState.JOINING):
        scene.ledger.set_state("n1", said, generation=3, reason="no disk")
    me = scene.ledger.observe("n1").me

    assert me is not None
    assert (NodeState.DRAINING, 3, "no disk") == (me.state, me.generation, me.reason)
    scene.ledger.switched("n1", 4)
    me = scene.ledger.observe("n1").me
    assert me is not None
    assert (NodeState.DRAINING, 4) == (me.state, me.generation)


def test_resuming(scene: Scene) -> None:
    """It joins again, and is ready and has its vote once it says so."""
    scene.join("n1", "n2")
    scene.ledger.drain("n1", ALICE)
    staging = scene.propose(scene.put("a", "1")).number
    assert scene.ledger.resume("n1", BOB)
    assert NodeState.JOINING == state(scene, "n1")
    assert ["n2"] == scene.voters(staging)
    assert scene.ledger.ready("n1", scene.active)

    assert NodeState.READY == state(scene, "n1")
    assert ["n1", "n2"] == scene.voters(staging)


def test_it_is_said_who_did_it(scene: Scene) -> None:
    """Each change is one event, with who asked for it; what changes nothing is none."""
    scene.join("n1")
    done = (
        scene.ledger.resume("n1", ALICE),
        scene.ledger.drain("n1", ALICE),
        scene.ledger.drain("n1", BOB),
        scene.ledger.resume("n1", BOB),
        scene.ledger.resume("n1", ALICE),
    )
    newest = [(e.what, e.actor, e.subject) for e in scene.ledger.events(limit=2)]

    assert (False, True, False, True, False) == done
    assert [("node resume", BOB, "n1"), ("node drain", ALICE, "n1")] == newest
    assert ["node joined", "node drain", "node resume"] == scene.events()


@pytest.mark.parametrize("what", ["drain", "resume"])
def test_nobody_is_there(scene: Scene, what: str) -> None:
    """A node that is not there is refused by its name."""
    with pytest.raises(Refused, match="no node n1") as caught:
        getattr(scene.ledger, what)("n1", ALICE)

    assert 404 == caught.value.status


def test_one_that_was_forgotten_comes_back_drained(scene: Scene) -> None:
    """It knows that it was drained, and joins so; a new one joins as ever."""
    scene.join("n1")
    scene.ledger.drain("n1", ALICE)
    scene.ledger.leave("n1")
    scene.ledger.join(node_named("n1", state=NodeState.DRAINING), lease=LEASE)
    scene.ledger.join(node_named("n2", state=NodeState.BEHIND), lease=LEASE)

    assert NodeState.DRAINING == state(scene, "n1")
    assert NodeState.JOINING == state(scene, "n2")


def test_the_last_one_drains(scene: Scene) -> None:
    """Then nobody can decide: what is staging waits for somebody, until its end."""
    scene.join("n1")
    staging = scene.propose(scene.put("a", "1")).number
    scene.ledger.drain("n1", ALICE)
    assert State.STAGING == scene.state(staging)
    scene.ledger.resume("n1", ALICE)
    scene.ledger.ready("n1", scene.active)
    scene.vote("n1", staging)

    assert State.ACTIVE == scene.state(staging)
