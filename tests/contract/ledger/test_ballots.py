"""Ballots: who votes, what is decided, and that it is decided once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import ABSENT_AFTER, LEASE, TIMEOUT, digest_of, node_named
from pointsman.cluster import Change, Failed, NodeState, Proposed, State, Vote

if TYPE_CHECKING:
    from contract.ledger.scene import Scene


def staged(scene: Scene, *nodes: str) -> int:
    """Let nodes join and begin to stage a generation."""
    scene.join(*nodes)
    return scene.propose(scene.put("a", "x = 1")).number


# VOTES


def test_all_votes_decide(scene: Scene) -> None:
    """It is active with the last *loaded* vote, not before; when is written down."""
    number = staged(scene, "n1", "n2")
    scene.clock.now += 1
    scene.vote("n1", number, duration=0.25)
    assert not scene.ledger.advance()
    assert (State.STAGING, 0) == (scene.state(number), scene.active)
    scene.clock.now += 1
    scene.vote("n2", number)
    found = scene.record(number)

    now = scene.clock.now
    assert (State.ACTIVE, now, "") == (found.state, found.decided_at, found.reason)
    first, second = found.votes
    assert Vote("n1", loaded=True, duration=0.25, voted_at=now - 1) == first
    assert Vote("n2", loaded=True, voted_at=now) == second
    assert number == scene.active


def test_one_failed_vote_decides(scene: Scene) -> None:
    """One *failed* vote fails it, with node, reason and tracebacks; nothing changes."""
    number = staged(scene, "n1", "n2", "n3")
    failed = Failed("a", "SyntaxError", "Traceback ...\n  line 1")
    scene.vote("n1", number)
    scene.vote("n2", number, loaded=False, reason="a: SyntaxError", failures=(failed,))
    found = scene.record(number)

    assert (State.FAILED, 0) == (found.state, scene.active)
    assert "n2 cannot load it: a: SyntaxError" == found.reason
    assert (failed,) == found.votes[1].failures
    scene.vote("n3", number)
    assert (State.FAILED, None) == (
        scene.state(number),
        scene.record(1).votes[2].loaded,
    )


def test_a_vote_counts_once(scene: Scene) -> None:
    """A second vote of a node changes nothing; nor does one of a stranger."""
    number = staged(scene, "n1", "n2")
    scene.vote("n1", number)
    scene.vote("n1", number, loaded=False, reason="changed its mind")
    scene.vote("nobody", number, loaded=False)

    assert (State.STAGING, True) == (
        scene.state(number),
        scene.record(1).votes[0].loaded,
    )
    assert ["n1", "n2"] == scene.voters(number)


def test_votes_on_what_is_not_staging_do_nothing(scene: Scene) -> None:
    """A vote on a generation that is queued, decided or unknown is nothing."""
    number = staged(scene, "n1")
    queued = scene.propose(scene.put("b", "x = 1")).number
    scene.vote("n1", queued, loaded=False)
    scene.vote("n1", 77)
    assert ["staging", "queued"] == [scene.state(number), scene.state(queued)]
    scene.vote("n1", number)
    scene.vote("n1", number, loaded=False)

    assert ["active", "staging"] == [scene.state(number), scene.state(queued)]


def test_a_vote_without_an_opinion_is_none(scene: Scene) -> None:
    """A vote that does not say whether it loaded does not count."""
    number = staged(scene, "n1")
    scene.ledger.vote(Vote("n1"), number)

    assert (State.STAGING, None) == (
        scene.state(number),
        scene.record(1).votes[0].loaded,
    )


def test_decisions_are_events(scene: Scene) -> None:
    """What became of a proposal is told in the audit log, with the reason."""
    staged(scene, "n1")
    scene.vote("n1", 1)
    scene.propose(scene.put("a", "x ="))
    scene.vote("n1", 2, loaded=False, reason="SyntaxError")

    failed, _, active, *_ = scene.ledger.events()
    assert ("active", 1, "cli alice") == (
        active.what,
        active.generation,
        active.actor.name,
    )
    assert ("failed", 2, "n1 cannot load it: SyntaxError") == (
        failed.what,
        failed.generation,
        failed.detail,
    )


def test_deciding_twice_changes_nothing(scene: Scene) -> None:
    """Whoever comes later finds nothing to do."""
    staged(scene, "n1")
    scene.vote("n1", 1)
    before = scene.events()

    assert not scene.ledger.advance()
    assert not scene.place.open().advance(["nobody"], overdue=1)
    assert before == scene.events()


# WHO IS IN THE BALLOT


def test_the_ballot_are_ready_nodes_with_a_lease(scene: Scene) -> None:
    """Not those that join, drain or are behind, nor those that are absent."""
    scene.join("absent")
    scene.clock.now += ABSENT_AFTER + 1
    scene.join("ready", "drains", "behind", "voter", serves=False)
    scene.ledger.join(node_named("joins"), lease=LEASE)
    scene.ledger.set_state("drains", NodeState.DRAINING, generation=0)
    scene.ledger.set_state("behind", NodeState.BEHIND, generation=0, reason="no disk")
    number = scene.propose(scene.put("a", "x = 1")).number

    assert ["ready", "voter"] == scene.voters(number)


def test_who_is_behind_votes_when_nobody_else_can(scene: Scene) -> None:
    """What is active loads nowhere: what is deployed now may, and is the way out."""
    scene.join("n1", "n2", "silent")
    for name in ("n1", "n2", "silent"):
        scene.ledger.set_state(name, NodeState.BEHIND, generation=0, reason="no disk")
    scene.clock.now += LEASE - 1
    scene.beat("n1", "n2")
    scene.clock.now += 2

    number = scene.propose(scene.put("a", "1")).number
    assert ["n1", "n2"] == scene.voters(number)
    scene.vote("n1", number)
    assert State.STAGING == scene.state(number)
    scene.vote("n2", number)
    assert State.ACTIVE == scene.state(number)


def test_who_is_behind_waits_for_who_joins(scene: Scene) -> None:
    """A node that starts may be ready in a moment; the others' word is not asked for.

    Once that is behind, too, all of them are called up, by whoever looks.
    """
    scene.join("n1")
    scene.ledger.set_state("n1", NodeState.BEHIND, generation=0, reason="no disk")
    scene.ledger.join(node_named("n2"), lease=LEASE)
    number = scene.propose(scene.put("a", "1")).number
    assert not scene.ledger.advance()
    assert [] == scene.voters(number)

    scene.ledger.set_state("n2", NodeState.BEHIND, generation=0, reason="no disk")
    assert scene.ledger.advance()
    assert ["n1", "n2"] == scene.voters(number)
    assert not scene.ledger.advance()
    scene.vote_all(number)
    assert State.ACTIVE == scene.state(number)


def test_who_is_behind_is_called_when_all_have_left(scene: Scene) -> None:
    """A node that has left a ballot because it is behind votes in it after all."""
    scene.join("n1", "n2")
    number = scene.propose(scene.put("a", "1")).number
    scene.ledger.set_state("n1", NodeState.BEHIND, generation=0, reason="no disk")
    assert ["n2"] == scene.voters(number)

    scene.ledger.leave("n2")
    assert ["n1"] == scene.voters(number)
    scene.vote("n1", number, loaded=False, reason="no disk")
    assert "n1 cannot load it: no disk" == scene.record(number).reason


def test_an_empty_ballot_waits_for_a_node(scene: Scene) -> None:
    """With nobody there nothing is decided; the first node that is ready decides."""
    number = scene.propose(scene.put("a", "x = 1")).number
    assert not scene.ledger.advance()
    assert (State.STAGING, 0, []) == (
        scene.state(number),
        scene.active,
        scene.voters(number),
    )
    scene.join("n1")
    assert ["n1"] == scene.voters(number)
    scene.vote("n1", number)

    assert number == scene.active


def test_an_empty_ballot_fails_at_its_deadline(scene: Scene) -> None:
    """When nobody came in time, it fails, and says that nobody was there."""
    number = scene.propose(scene.put("a", "x = 1")).number
    scene.clock.now += TIMEOUT + 0.1

    assert scene.ledger.advance()
    assert (State.FAILED, 0) == (scene.state(number), scene.active)
    assert "no node could vote" in scene.record(number).reason


def test_a_ballot_that_all_have_left_is_empty(scene: Scene) -> None:
    """Also when they had voted: a generation that nobody has loaded is not active."""
    number = staged(scene, "n1", "n2")
    scene.vote("n1", number)
    scene.ledger.leave("n1")
    scene.ledger.leave("n2")
    assert (State.STAGING, []) == (scene.state(number), scene.voters(number))
    scene.join("n3")
    scene.vote("n3", number)

    assert number == scene.active


def test_a_node_that_gets_ready_takes_part(scene: Scene) -> None:
    """Whoever gets ready while a generation is staging votes on it, too."""
    number = staged(scene, "n1")
    scene.join("n2")
    scene.vote("n1", number)
    assert (State.STAGING, ["n1", "n2"]) == (scene.state(number), scene.voters(number))
    scene.vote("n2", number)

    assert State.ACTIVE == scene.state(number)


def test_getting_ready_again_keeps_the_vote(scene: Scene) -> None:
    """A node that says twice that it is ready has one vote, and keeps it."""
    number = staged(scene, "n1", "n2")
    scene.vote("n1", number)
    assert scene.ledger.ready("n1", 0)

    assert [True, None] == [vote.loaded for vote in scene.record(number).votes]


@pytest.mark.parametrize("way", ["leave", "gone", "drain", "behind", "join"])
def test_nodes_leave_the_ballot(scene: Scene, way: str) -> None:
    """Who leaves, is known dead, drains, is behind or joins anew is not waited for."""
    number = staged(scene, "n1", "n2")
    scene.vote("n1", number)
    ledger = scene.ledger
    if way == "leave":
        ledger.leave("n2")
    elif way == "gone":
        assert ledger.advance(["n2", "stranger"])
    elif way == "drain":
        ledger.set_state("n2", NodeState.DRAINING, generation=0)
    elif way == "behind":
        ledger.set_state("n2", NodeState.BEHIND, generation=0, reason="no disk")
    else:
        ledger.join(node_named("n2"), lease=LEASE)

    assert (State.ACTIVE, ["n1"]) == (scene.state(number), scene.voters(number))
    assert scene.record(number).votes[1].left
    known = way not in ("leave", "gone")
    assert known is (scene.ledger.observe("n2").me is not None)


def test_who_has_left_does_not_vote(scene: Scene) -> None:
    """The vote of a node that has left the ballot is nothing."""
    number = staged(scene, "n1", "n2")
    scene.ledger.set_state("n2", NodeState.DRAINING, generation=0)
    scene.vote("n2", number, loaded=False)
    assert State.STAGING == scene.state(number)
    scene.vote("n1", number)

    assert State.ACTIVE == scene.state(number)


def test_who_comes_back_votes_anew(scene: Scene) -> None:
    """A node that left the ballot, and gets ready, is asked again."""
    number = staged(scene, "n1", "n2")
    scene.vote("n2", number)
    scene.ledger.set_state("n2", NodeState.JOINING, generation=0)
    assert scene.ledger.ready("n2", 0)
    scene.vote("n1", number)
    assert (State.STAGING, ["n1", "n2"]) == (scene.state(number), scene.voters(number))
    scene.vote("n2", number)

    assert State.ACTIVE == scene.state(number)


# READY


def test_a_switch_that_was_not_recorded(scene: Scene) -> None:
    """Who is ready has switched: nobody waits for a record that was lost."""
    scene.join("n1", "n2")
    number = scene.deploy(scene.put("a", "1"))
    scene.ledger.switched("n1", number)
    first = scene.clock.now
    scene.clock.now += 5
    for name in ("n1", "n2"):
        assert scene.ledger.ready(name, number)

    times = [vote.switched_at for vote in scene.record(number).votes]
    assert [first, first + 5] == times


def test_ready_compares(scene: Scene) -> None:
    """Only a node that has loaded the active generation gets ready."""
    staged(scene, "n1")
    scene.ledger.join(node_named("n2"), lease=LEASE)
    scene.vote("n1", 1)
    assert not scene.ledger.ready("n2", 0)
    me = scene.ledger.observe("n2").me
    assert me is not None
    assert NodeState.JOINING == me.state
    assert scene.ledger.ready("n2", 1)
    me = scene.ledger.observe("n2").me
    assert me is not None

    assert (NodeState.READY, 1, "") == (me.state, me.generation, me.reason)


def test_unknown_nodes_are_not_ready(scene: Scene) -> None:
    """A node that the ledger has forgotten does not get ready, and has no vote."""
    number = scene.propose(scene.put("a", "x = 1")).number

    assert not scene.ledger.ready("n1", 0)
    assert [] == scene.voters(number)


# LEASES AND DEADLINES


def test_a_lease_that_ends_fails_it(scene: Scene) -> None:
    """Without proof that the node is dead, it is named, and the generation fails."""
    number = staged(scene, "n1", "n2")
    scene.clock.now += LEASE - 1
    assert not scene.ledger.advance()
    scene.beat("n1")
    scene.clock.now += 2

    assert scene.ledger.advance()
    assert State.FAILED == scene.state(number)
    assert "no sign of life from n2" in scene.record(number).reason


def test_a_silent_node_fails_all_until_it_is_absent(scene: Scene) -> None:
    """It may be serving: nothing new is decided without it, and it is named."""
    scene.join("n1", "n2")
    scene.clock.now += ABSENT_AFTER - 1
    scene.beat("n1")
    number = scene.propose(scene.put("a", "x = 1")).number
    assert ["n1", "n2"] == scene.voters(number)
    assert scene.ledger.advance()
    assert State.FAILED == scene.state(number)
    assert "no sign of life from n2" in scene.record(number).reason

    scene.clock.now += 2
    number = scene.propose(scene.put("a", "x = 1")).number
    assert ["n1"] == scene.voters(number)

    scene.beat("n2")
    scene.vote("n1", number)
    assert number == scene.active
    number = scene.propose(scene.put("a", "x = 2")).number
    assert ["n1", "n2"] == scene.voters(number), "it is there again"


def test_proof_counts_before_a_lease(scene: Scene) -> None:
    """A node that is known dead fails nothing, also where its lease has ended."""
    number = staged(scene, "n1", "n2")
    scene.vote("n1", number)
    scene.clock.now += LEASE + 1
    scene.beat("n1")

    assert scene.ledger.advance(["n2"])
    assert State.ACTIVE == scene.state(number)


def test_a_vote_is_a_sign_of_life(scene: Scene) -> None:
    """A node whose loading has stopped its heartbeats is not taken for silent."""
    number = staged(scene, "n1")
    scene.clock.now += LEASE + 1
    scene.vote("n1", number)

    assert State.ACTIVE == scene.state(number)


def test_the_deadline_fails_it(scene: Scene) -> None:
    """After it, the generation fails and names who has not voted."""
    number = staged(scene, "n1", "n2")
    scene.vote("n1", number)
    for _ in range(6):
        scene.clock.now += 10
        scene.beat("n1", "n2")
    assert not scene.ledger.advance()
    scene.clock.now += 0.1

    assert scene.ledger.advance()
    assert State.FAILED == scene.state(number)
    assert "not decided in time: n2 did not vote" == scene.record(number).reason


def test_overdue_by_the_callers_clock(scene: Scene) -> None:
    """The caller has seen the deadline pass: that fails it, whatever the clock says."""
    number = staged(scene, "n1")
    scene.propose(scene.put("b", "x = 1"))

    assert scene.ledger.advance(overdue=number)
    assert ["failed", "staging"] == [scene.state(n) for n in (1, 2)]
    assert not scene.ledger.advance(overdue=number), "meant the one before"
    assert State.STAGING == scene.state(2)


def test_a_clock_set_back_prolongs_little(scene: Scene) -> None:
    """After an hour back, leases and deadlines end after their own length again."""
    number = staged(scene, "n1", "n2")
    scene.clock.now -= 3600
    assert not scene.ledger.advance(), "nobody is silent only because of the clock"
    scene.clock.now += LEASE - 1
    scene.beat("n1")
    scene.clock.now += 2
    assert scene.ledger.advance()
    assert "no sign of life from n2" in scene.record(number).reason

    scene.clock.now += ABSENT_AFTER
    scene.beat("n1")
    number = scene.propose(scene.put("a", "x = 2")).number
    scene.clock.now -= 3600
    scene.ledger.advance()
    for _ in range(6):
        scene.clock.now += 10.1
        scene.beat("n1")
    assert scene.ledger.advance()
    assert "not decided in time" in scene.record(number).reason


def test_a_clock_set_back_stops_no_deployment(scene: Scene) -> None:
    """Whatever the clock does, what is voted becomes active, by order of numbers."""
    scene.join("n1")
    for count in range(1, 4):
        number = scene.propose(scene.put("a", f"x = {count}")).number
        scene.clock.now -= 3600
        scene.beat("n1")
        scene.vote("n1", number)
        assert (count, count) == (number, scene.active)

    assert [3, 2, 1] == [found.number for found in scene.ledger.generations()]
    assert (2, 1) == scene.ledger.was_active(3)


# THE QUEUE


def test_queued_proposals_are_rebased(scene: Scene) -> None:
    """One that touches other packages is put on what became active meanwhile."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"), scene.put("b", "1"))
    for change in (scene.put("a", "2"), scene.put("b", "2")):
        scene.propose(change)
    scene.vote_all(2)
    assert {"a": digest_of("2"), "b": digest_of("2")} == scene.served(3)
    scene.vote_all(3)

    assert {"a": digest_of("2"), "b": digest_of("2")} == scene.served()


@pytest.mark.parametrize("first", ["replaced", "removed", "added"])
def test_queued_proposals_conflict(scene: Scene, first: str) -> None:
    """One that touches a package which was changed meanwhile fails, and names it."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"), scene.put("b", "1"))
    name = "new" if first == "added" else "a"
    scene.propose(Change("a") if first == "removed" else scene.put(name, "2"))
    scene.propose(scene.put(name, "3"), scene.put("b", "3"))
    scene.propose(scene.put("c", "3"))
    scene.vote_all(2)

    assert ["active", "failed", "staging"] == [scene.state(n) for n in (2, 3, 4)]
    reason = scene.record(3).reason
    gone = "a was taken away" if first == "removed" else f"{name} is now {name}.py"
    assert gone in reason
    assert "generation 2" in reason
    scene.vote_all(4)
    assert digest_of("1") == scene.served()["b"], "nothing of the failed one is there"


def test_a_failed_one_is_no_conflict(scene: Scene) -> None:
    """What failed has changed nothing: the next one to that package goes ahead."""
    scene.join("n1")
    scene.propose(scene.put("a", "1"))
    scene.propose(scene.put("a", "2"))
    scene.vote("n1", 1, loaded=False)
    assert State.STAGING == scene.state(2)
    scene.vote("n1", 2)

    assert {"a": digest_of("2")} == scene.served()


def test_what_is_there_already_is_no_conflict(scene: Scene) -> None:
    """A package that became just what the queued proposal wants does not fail it."""
    scene.join("n1")
    scene.propose(scene.put("a", "1"))
    scene.propose(scene.put("a", "1"), scene.put("b", "1"))
    scene.vote_all(1)
    scene.vote_all(2)

    assert {"a": digest_of("1"), "b": digest_of("1")} == scene.served()


def test_the_next_begins_when_one_ends(scene: Scene) -> None:
    """However the staging one ends, the next one begins, with a ballot of its own."""
    scene.join("n1", "n2")
    for name in "abcd":
        scene.propose(scene.put(name, "1"))
    scene.vote("n1", 1, loaded=False)
    assert State.STAGING == scene.state(2)
    assert scene.ledger.abort(2, "not wanted any more")
    scene.ledger.leave("n2")
    assert ["n1"] == scene.voters(3)
    scene.vote("n1", 3)

    states = ["failed", "failed", "active", "staging"]
    assert states == [scene.state(n) for n in (1, 2, 3, 4)]


# ABORT


def test_abort(scene: Scene) -> None:
    """What is queued or staging can be given up, with a reason; nothing else can."""
    staged(scene, "n1")
    scene.propose(scene.put("b", "1"))
    scene.propose(scene.put("c", "1"))
    assert scene.ledger.abort(2, "changed my mind")
    assert scene.ledger.abort(1, "too slow")

    assert ["failed", "failed", "staging"] == [scene.state(n) for n in (1, 2, 3)]
    assert ("too slow", "changed my mind") == (
        scene.record(1).reason,
        scene.record(2).reason,
    )
    scene.vote_all(3)
    assert (False, False, False) == tuple(scene.ledger.abort(n, "") for n in (1, 3, 9))
    assert (State.ACTIVE, 3) == (scene.state(3), scene.active)


def test_numbers_never_come_again(scene: Scene) -> None:
    """A number belongs to one proposal, also when that has failed and was dropped."""
    scene.join("n1")
    for count in range(4):
        number = scene.propose(scene.put("a", f"{count}")).number
        scene.ledger.abort(number, "")
    scene.ledger.prune(2)

    assert Proposed(5) == scene.propose(scene.put("a", "x"))
