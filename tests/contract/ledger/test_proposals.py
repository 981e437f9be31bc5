"""Proposals: what is accepted, what is nothing new, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import ALICE, BOB, TIMEOUT, digest_of, entry
from pointsman.cluster import Change, Proposed, Sighting, State
from pointsman.errors import Refused

if TYPE_CHECKING:
    from contract.ledger.scene import Scene


def test_a_proposal_begins_to_stage(scene: Scene) -> None:
    """When no other is staging, it stages at once, with a deadline from then on."""
    scene.join("n1", "n2")
    change = scene.put("a", "x = 1")
    assert Proposed(1) == scene.propose(change, note="first")
    found = scene.record(1)

    assert (State.STAGING, 0, ALICE, "deploy", "first") == (
        found.state,
        found.base,
        found.actor,
        found.what,
        found.note,
    )
    assert ((change,), ["n1", "n2"]) == (found.changes, scene.voters(1))
    now = scene.clock.now
    assert (now, now, now + TIMEOUT, None) == (
        found.proposed_at,
        found.staged_at,
        found.deadline,
        found.decided_at,
    )


def test_one_at_a_time(scene: Scene) -> None:
    """Others queue behind what is staging, in order; deadlines run from staging."""
    scene.join("n1")
    for number, name in enumerate("abc", 1):
        assert Proposed(number) == scene.propose(scene.put(name, name), timeout=10.0)
    assert ["staging", "queued", "queued"] == [scene.state(n) for n in (1, 2, 3)]
    assert (None, None) == (scene.record(2).staged_at, scene.record(2).deadline)

    scene.clock.now += 5
    scene.vote("n1", 1)
    assert ["active", "staging", "queued"] == [scene.state(n) for n in (1, 2, 3)]
    assert scene.clock.now + 10 == scene.record(2).deadline
    scene.vote("n1", 2)
    scene.vote("n1", 3)
    assert ["retired", "retired", "active"] == [scene.state(n) for n in (1, 2, 3)]
    assert {"a", "b", "c"} == scene.served().keys()


def test_all_changes_at_once(scene: Scene) -> None:
    """A proposal adds, replaces and takes away; the rest stays."""
    scene.join("n1")
    scene.deploy(*(scene.put(name, name) for name in "abc"))
    number = scene.deploy(
        scene.put("a", "new"), scene.put("d", "d"), Change("b"), what="reload"
    )

    expected = {"a": digest_of("new"), "c": digest_of("c"), "d": digest_of("d")}
    assert expected == scene.served(number)
    assert {"a", "b", "c"} == scene.served(1).keys()


# NOTHING NEW


def test_the_same_again_is_nothing_new(scene: Scene) -> None:
    """What is active already makes no generation, and says which one has it."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"), scene.put("b", "x = 2"))
    scene.deploy(scene.put("c", "x = 3"))

    again = scene.propose(scene.put("a", "x = 1", file="other.py"))
    assert Proposed(2, unchanged=True) == again
    assert Proposed(2, unchanged=True) == scene.propose()
    assert 2 == scene.ledger.generations()[0].number
    assert "deploy" == scene.events()[-1]


def test_what_is_on_its_way_is_nothing_new(scene: Scene) -> None:
    """The artifact of a generation that is staging or queued is answered with that."""
    scene.join("n1")
    scene.propose(scene.put("a", "x = 1"))
    scene.propose(scene.put("b", "x = 2"))

    assert Proposed(1, unchanged=True) == scene.propose(scene.put("a", "x = 1"))
    both = scene.put("a", "x = 1"), scene.put("b", "x = 2")
    assert Proposed(2, unchanged=True) == scene.propose(*both)
    assert Proposed(3) == scene.propose(*both, scene.put("c", "x = 3"))


def test_going_back_while_another_is_staging_is_new(scene: Scene) -> None:
    """What is active is new against what will replace it."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"))
    scene.propose(scene.put("a", "x = 2"))

    assert Proposed(3) == scene.propose(scene.put("a", "x = 1"))


def test_taking_away_what_is_being_taken_away_is_nothing_new(scene: Scene) -> None:
    """A removal on its way is answered with its generation."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"))

    assert Proposed(2) == scene.propose(Change("a"), what="undeploy")
    assert Proposed(2, unchanged=True) == scene.propose(Change("a"), what="undeploy")


def test_after_a_failure_the_same_is_tried_again(scene: Scene) -> None:
    """A failed generation has nothing: its artifact makes a new one."""
    scene.join("n1")
    scene.propose(scene.put("a", "x ="))
    scene.vote("n1", 1, loaded=False, reason="SyntaxError")

    assert Proposed(2) == scene.propose(scene.put("a", "x ="))


def test_a_package_twice_counts_once(scene: Scene) -> None:
    """Of two changes to one package in one proposal, the last one counts."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"), scene.put("a", "x = 2"))

    assert {"a": digest_of("x = 2")} == scene.served()


# SERVICES


def test_services_stop_and_start(scene: Scene) -> None:
    """Stopped services are kept from one generation to the next, until started."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"))
    names = frozenset({"a.one", "a.two"})
    scene.deploy(what="stop", stop=names)
    scene.deploy(scene.put("a", "x = 2"))
    scene.deploy(what="start", start=frozenset({"a.one"}))

    stopped = [
        found.stopped for n in (1, 2, 3, 4) if (found := scene.ledger.contents(n))
    ]
    assert [frozenset(), names, names, frozenset({"a.two"})] == stopped
    assert (names, frozenset({"a.one"})) == (
        scene.record(2).stop,
        scene.record(4).start,
    )


def test_stopping_what_is_stopped_is_nothing_new(scene: Scene) -> None:
    """A service that is stopped, or will be, is answered with that generation."""
    scene.join("n1")
    scene.deploy(what="stop", stop=frozenset({"a.one"}))
    scene.propose(what="stop", stop=frozenset({"a.two"}))

    one, two = frozenset({"a.one"}), frozenset({"a.two"})
    assert Proposed(1, unchanged=True) == scene.propose(what="stop", stop=one)
    assert Proposed(2, unchanged=True) == scene.propose(what="stop", stop=one | two)
    assert Proposed(1, unchanged=True) == scene.propose(start=frozenset({"b.none"}))
    assert Proposed(3) == scene.propose(what="start", start=two)


# WHAT IS REFUSED


def test_another_kind_of_source_is_refused(scene: Scene) -> None:
    """A package of one kind of source is not replaced by another; both are named."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"))
    other = scene.put("a", "x = 2", source="archives:share/a.sar", file="a.sar")
    with pytest.raises(Refused) as caught:
        scene.propose(scene.put("source", "x = 1"), other)

    assert (409, frozenset("a")) == (caught.value.status, caught.value.packages)
    for word in ("a.py (push)", "a.sar (archives:share/a.sar)", "undeploy a"):
        assert word in caught.value.detail
    assert 1 == scene.ledger.generations()[0].number


def test_another_directory_of_the_same_kind_is_no_clash(scene: Scene) -> None:
    """Two archive directories are one kind of source: the content decides."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1", source="archives:one/a.sar"))

    same = scene.propose(scene.put("a", "x = 1", source="archives:two/a.sar"))
    assert Proposed(1, unchanged=True) == same
    assert Proposed(2) == scene.propose(
        scene.put("a", "x = 2", source="archives:two/a.sar")
    )


def test_artifacts_must_be_stored(scene: Scene) -> None:
    """An entry whose artifact is not in the ledger is refused by its package's name."""
    with pytest.raises(Refused, match="of a is not stored") as caught:
        scene.propose(scene.put("b", "x = 1"), Change("a", entry("a", "x = 2")))

    assert (409, frozenset("a")) == (caught.value.status, caught.value.packages)


def test_what_is_not_there_cannot_be_taken_away(scene: Scene) -> None:
    """Undeploying a package that is not there is refused; all of the proposal is."""
    scene.join("n1")
    with pytest.raises(Refused, match="no package a") as caught:
        scene.propose(scene.put("b", "x = 1"), Change("a"))

    assert (409, ()) == (caught.value.status, scene.ledger.generations())
    assert {"a"} == caught.value.packages


def test_what_is_not_there_yet_cannot_be_taken_away(scene: Scene) -> None:
    """Undeploying what is still on its way is refused with its generation."""
    scene.join("n1")
    scene.propose(scene.put("a", "x = 1"))
    with pytest.raises(Refused, match="on its way in generation 1"):
        scene.propose(Change("a"))


def test_if_match(scene: Scene) -> None:
    """A proposal for another generation than the active one is refused."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"), if_match=0)
    with pytest.raises(Refused, match="generation 1 is active, not 0") as caught:
        scene.propose(scene.put("a", "x = 2"), if_match=0)

    assert 412 == caught.value.status
    assert Proposed(2) == scene.propose(scene.put("a", "x = 2"), if_match=1)


def test_if_match_counts_before_nothing_new(scene: Scene) -> None:
    """A condition that does not hold is told, also where nothing would change."""
    scene.join("n1")
    scene.deploy(scene.put("a", "x = 1"))
    with pytest.raises(Refused, match="is active"):
        scene.propose(scene.put("a", "x = 1"), if_match=7)


def test_locked_deployments(scene: Scene) -> None:
    """While somebody holds the lock, nobody else proposes; holder and reason told."""
    scene.join("n1")
    scene.ledger.lock(BOB, "incident 42")
    with pytest.raises(Refused) as caught:
        scene.propose(scene.put("a", "x = 1"))
    assert 423 == caught.value.status
    assert "token bob has locked deployments: incident 42" in caught.value.detail

    assert Proposed(1) == scene.propose(scene.put("a", "x = 1"), actor=BOB)
    scene.ledger.unlock(BOB)
    assert Proposed(2) == scene.propose(scene.put("b", "x = 1"))


def test_what_is_refused_leaves_nothing(scene: Scene) -> None:
    """A refused proposal records no sighting, claim or event, and counts no number."""
    scene.join("n1")
    before = scene.events()
    sighting = Sighting("one", "a.py", digest_of("x"), "a")
    with pytest.raises(Refused):
        scene.propose(Change("a"), sightings=(sighting,), claims=("c",))

    assert ((), None) == (scene.ledger.sightings("one"), scene.ledger.claimed("c"))
    assert before == scene.events()
    assert Proposed(1) == scene.propose(scene.put("a", "x"))


# WHAT IS RECORDED WITH IT


@pytest.mark.parametrize("known", [False, True])
def test_sightings_and_claims_are_recorded(scene: Scene, *, known: bool) -> None:
    """They are kept in the proposal's transaction, also where nothing is new."""
    scene.join("n1")
    change = scene.put("a", "x")
    if known:
        scene.deploy(change)
    sighting = Sighting("one", "a.py", digest_of("x"), "a")
    number = scene.propose(change, sightings=(sighting,), claims=("c", "d")).number

    assert 1 == number
    assert (sighting,) == scene.ledger.sightings("one")
    assert (1, 1, None) == tuple(map(scene.ledger.claimed, "cde"))


def test_every_proposal_is_an_event(scene: Scene) -> None:
    """Who, from where, what, on what, with which generation; also nothing new."""
    scene.join("n1")
    change = scene.put("a", "x")
    scene.propose(change, scene.put("b", "y"), note="for the fair")
    scene.propose(change)
    second, first = scene.ledger.events(limit=2)

    assert ("deploy", ALICE, "a, b", 1, "for the fair") == (
        first.what,
        first.actor,
        first.subject,
        first.generation,
        first.detail,
    )
    assert (1, "nothing new") == (second.generation, second.detail)
    assert scene.clock.now == first.at
