"""Nodes: joining, signs of life, what they see, what they are asked."""

from __future__ import annotations

import pytest

from contract.ledger.scene import ALICE, LEASE, Scene, node_named
from pointsman.cluster import NodeState, Observation, Question, State
from pointsman.errors import Refused
from waiting import wait_for

HOUR = 3600.0


def test_an_empty_ledger(scene: Scene) -> None:
    """Nothing is active, nothing comes, and nobody is known."""
    assert Observation(now=scene.clock.now, active=0) == scene.ledger.observe("n1")
    assert () == scene.ledger.nodes()


def test_joining(scene: Scene) -> None:
    """A node joins with what it says of itself; state, time and lease are set here."""
    said = node_named("n1", state=NodeState.READY, generation=7, serves=False)
    scene.ledger.join(said, lease=LEASE)
    me = scene.ledger.observe("n1").me

    now = scene.clock.now
    expected = node_named(
        "n1", generation=7, serves=False, joined_at=now, lease_until=now + LEASE
    )
    assert expected == me
    assert (expected,) == scene.ledger.nodes()


def test_joining_again(scene: Scene) -> None:
    """A node that the ledger knows already joins anew, and is one node."""
    scene.join("n1")
    scene.ledger.join(node_named("n1", release="2.0"), lease=LEASE)
    (one,) = scene.ledger.nodes()

    assert ("2.0", NodeState.JOINING) == (one.release, one.state)
    assert ["node joined"] == scene.events()


def test_beats_renew_the_lease(scene: Scene) -> None:
    """A sign of life moves the end of the lease, and replaces the report if given."""
    scene.join("n1", "n2")
    scene.clock.now += 10
    assert scene.ledger.beat("n1", lease=20.0, report={"in_flight": [1, {"a": "ß"}]})
    assert scene.ledger.beat("n1", lease=20.0)
    one, two = scene.ledger.nodes()

    assert (scene.clock.now + 20, scene.clock.now + LEASE - 10) == (
        one.lease_until,
        two.lease_until,
    )
    assert ({"in_flight": [1, {"a": "ß"}]}, {}) == (one.report, two.report)


def test_beats_of_strangers(scene: Scene) -> None:
    """A node that was forgotten is told so."""
    assert not scene.ledger.beat("n1", lease=LEASE, report={"a": 1})
    assert () == scene.ledger.nodes()


def test_nodes_are_listed_by_host_and_pid(scene: Scene) -> None:
    """All of them, also those whose lease has ended."""
    for name, host, pid in (("x", "beta", 1), ("y", "alpha", 20), ("z", "alpha", 3)):
        scene.ledger.join(node_named(name, host=host, pid=pid), lease=LEASE)
    scene.clock.now += HOUR

    assert ["z", "y", "x"] == [node.id for node in scene.ledger.nodes()]
    assert ["z", "y"] == [node.id for node in scene.ledger.nodes("alpha")]


def test_states_are_kept(scene: Scene) -> None:
    """A node says what it is able to do, and why not."""
    scene.join("n1")
    scene.ledger.set_state("n1", NodeState.BEHIND, generation=3, reason="no\x00 disk")
    scene.ledger.set_state("stranger", NodeState.BEHIND, generation=3)
    (one,) = scene.ledger.nodes()

    assert (NodeState.BEHIND, 3) == (one.state, one.generation)
    assert "disk" in one.reason
    assert ["node joined", "node behind"] == scene.events()


def test_leaving(scene: Scene) -> None:
    """A node that leaves is forgotten; leaving twice is nothing."""
    scene.join("n1")
    scene.ledger.leave("n1")
    scene.ledger.leave("n1")

    assert () == scene.ledger.nodes()
    assert ["node joined", "node left"] == scene.events()


def test_the_dead_are_forgotten(scene: Scene) -> None:
    """Who is known dead leaves the list; the event says why."""
    scene.join("n1", "n2")

    assert scene.ledger.advance(["n1", "n1", "n3"])
    assert ["n2"] == [node.id for node in scene.ledger.nodes()]
    assert not scene.ledger.advance(["n1"])
    assert "process is gone" in scene.ledger.events()[0].detail


def test_the_silent_are_forgotten_in_the_end(scene: Scene) -> None:
    """A node that nobody has heard of for a day is dropped with what is old."""
    scene.join("n1", "n2")
    scene.clock.now += 23 * HOUR
    scene.ledger.prune(5)
    assert 2 == len(scene.ledger.nodes())
    scene.beat("n2")
    scene.clock.now += 2 * HOUR
    scene.ledger.prune(5)

    assert ["n2"] == [node.id for node in scene.ledger.nodes()]


# OBSERVATIONS


def test_observing(scene: Scene) -> None:
    """One look has all: what is active, staging and queued, oneself, the clock."""
    scene.join("n1", "n2")
    scene.deploy(scene.put("a", "1"))
    scene.propose(scene.put("a", "2"), stop=frozenset({"a.one"}))
    scene.vote("n2", 2)
    scene.clock.now += 1
    seen = scene.ledger.observe("n1")
    assert (scene.clock.now, 1, False) == (seen.now, seen.active, seen.queued)
    assert seen.staging == scene.record(2)
    assert [None, True] == [vote.loaded for vote in scene.record(2).votes]
    assert seen.me == scene.ledger.nodes()[0]
    scene.propose(scene.put("b", "2"))

    assert scene.ledger.observe("stranger").queued
    assert scene.ledger.observe("stranger").me is None


def test_changed(scene: Scene) -> None:
    """It tells of all that others let nodes do, and, once asked, of nothing else."""
    scene.join("n1", "n2")
    ledger, other = scene.ledger, scene.elsewhere()
    change, another = other.put("a", "1"), other.put("a", "2")
    ledger.changed()
    assert (False, False) == (ledger.changed(), ledger.changed())
    for write in (
        lambda: other.propose(change),
        lambda: other.vote_all(1),
        lambda: other.propose(another),
        lambda: other.vote("n1", 2, loaded=False),
        lambda: other.propose(another),
        lambda: other.ledger.abort(3, "no"),
        lambda: other.ledger.ask("n1", "threads"),
        lambda: other.ledger.request_reload(ALICE),
        lambda: other.ledger.drain("n1", ALICE),
        lambda: other.ledger.resume("n1", ALICE),
    ):
        scene.clock.now += 1
        write()
        wait_for(ledger.changed, "it tells of it")
        assert not ledger.changed()


def test_changed_after_own_writes(scene: Scene) -> None:
    """What the other methods of the same ledger write may be told, reads may not."""
    scene.ledger.changed()
    scene.join("n1")
    scene.ledger.changed()
    scene.ledger.observe("n1")
    scene.ledger.nodes()
    scene.ledger.advance()

    assert not scene.ledger.changed()


# QUESTIONS AND RELOADS


def test_questions(scene: Scene) -> None:
    """A node sees what it is asked until it has answered; who asked sees the answer."""
    scene.join("n1", "n2")
    first, second = (scene.ledger.ask("n1", what) for what in ("threads", "leaks"))
    asked = Question(first, "n1", "threads"), Question(second, "n1", "leaks")
    assert asked == scene.ledger.observe("n1").questions
    assert () == scene.ledger.observe("n2").questions
    assert asked[0] == scene.ledger.question(first)
    scene.ledger.answer(first, {"threads": ["main"]})

    assert (asked[1],) == scene.ledger.observe("n1").questions
    answered = Question(first, "n1", "threads", {"threads": ["main"]})
    assert answered == scene.ledger.question(first)


def test_nobody_is_there_to_be_asked(scene: Scene) -> None:
    """A question for a node that is not there is refused by its name."""
    with pytest.raises(Refused, match="no node n1") as caught:
        scene.ledger.ask("n1", "threads")

    assert (404, None) == (caught.value.status, scene.ledger.question(1))
    scene.ledger.answer(17, {})


def test_questions_are_forgotten(scene: Scene) -> None:
    """After an hour, with the node, and never mixed up with later ones."""
    scene.join("n1")
    old = scene.ledger.ask("n1", "threads")
    scene.clock.now += HOUR + 1
    assert (None, ()) == (
        scene.ledger.question(old),
        scene.ledger.observe("n1").questions,
    )
    new = scene.ledger.ask("n1", "threads")
    assert new != old
    scene.ledger.leave("n1")

    assert None is scene.ledger.question(new)


def test_reloads_are_counted(scene: Scene) -> None:
    """Each request has the next number, and all nodes see it; confirmed ones, too."""
    assert (1, 2) == tuple(scene.ledger.request_reload(ALICE) for _ in range(2))
    assert 3 == scene.ledger.request_reload(ALICE, confirm_removals=True)
    assert 4 == scene.ledger.request_reload(ALICE)
    seen = scene.ledger.observe("anybody")

    assert (4, 3) == (seen.reloads, seen.confirming)
    assert ["reload"] * 4 == scene.events()


def test_a_clock_set_back_forgets_nobody(scene: Scene) -> None:
    """A lease of the time before is cut to its length; beats go on as ever."""
    scene.join("n1", "n2")
    scene.clock.now -= HOUR
    scene.beat("n1")
    one, two = scene.ledger.nodes()
    end = scene.clock.now + LEASE
    assert (end, end) == (one.lease_until, two.lease_until)
    number = scene.propose(scene.put("a", "1")).number

    assert ["n1", "n2"] == scene.voters(number)
    assert State.STAGING == scene.state(number)
