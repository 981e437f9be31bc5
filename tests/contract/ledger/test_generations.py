"""Records and contents of generations; what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import ALICE, digest_of, entry
from pointsman.cluster import Change, Contents, State
from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.ledger.scene import Scene

HOUR = 3600.0


def test_unknown_generations(scene: Scene) -> None:
    """There is no record and there are no contents of what is not there."""
    ledger = scene.ledger
    assert (None, None) == (ledger.generation(1), ledger.contents(1))
    assert (None, ()) == (ledger.contents(0), ledger.generations())
    assert () == ledger.was_active(9)


def test_contents_tell_all_of_an_entry(scene: Scene) -> None:
    """An entry comes back as it was proposed."""
    scene.join("n1")
    change = scene.put("a", "x", file="a-1.2.sar", source="archives:s/a", version="1.2")
    number = scene.deploy(change)

    contents = Contents(number, {"a": change.entry} if change.entry else {})
    assert contents == scene.place.open().contents(number)
    assert (change,) == scene.record(number).changes


def test_contents_before_and_after_staging(scene: Scene) -> None:
    """What is queued, or failed before it was staged, has none; the staged one has."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"))
    scene.propose(scene.put("b", "1"))
    scene.propose(scene.put("c", "1"))
    scene.ledger.abort(3, "")
    scene.propose(scene.put("d", "1"))
    other = scene.place.open()

    assert {"a", "b"} == scene.served(2).keys()
    assert (None, None) == (scene.ledger.contents(3), scene.ledger.contents(4))
    scene.vote("n1", 2, loaded=False)
    assert {"a", "d"} == scene.served(4).keys()
    assert scene.ledger.contents(2) == other.contents(2), "the failed one keeps its"


def test_contents_of_all_times(scene: Scene) -> None:
    """Each generation goes on serving what it did, however it is asked."""
    scene.join("n1")
    expected: dict[int, dict[str, str]] = {0: {}}
    for number in range(1, 12):
        before = expected[number - 1]
        change = scene.put(f"p{number % 4}", str(number))
        gone = number % 5 == 0 and f"p{(number + 2) % 4}"
        changes = [change, Change(gone)] if gone else [change]
        scene.deploy(*changes)
        expected[number] = {**before, change.package: digest_of(str(number))}
        if gone:
            del expected[number][gone]

    other = scene.elsewhere()
    for number in (11, 1, 5, 3, 10, 2, 9, 4, 8, 6, 7, 1, 11):
        assert expected[number] == other.served(number), number


def test_records_without_votes(scene: Scene) -> None:
    """A page of records has the newest first, with changes, without votes."""
    scene.join("n1")
    for count in range(1, 6):
        scene.deploy(scene.put("a", str(count)), stop=frozenset({f"a.{count}"}))
    page = scene.ledger.generations(limit=2, before=4)

    assert [3, 2] == [found.number for found in page]
    assert [(entry("a", "3"),), (entry("a", "2"),)] == [
        tuple(change.entry for change in found.changes) for found in page
    ]
    assert [frozenset({"a.3"}), frozenset({"a.2"})] == [found.stop for found in page]
    assert [(), ()] == [found.votes for found in page]
    assert [5, 4, 3, 2, 1] == [found.number for found in scene.ledger.generations()]


def test_was_active(scene: Scene) -> None:
    """Those that were active, below a number, the newest first."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"))
    scene.propose(scene.put("a", "2"))
    scene.vote("n1", 2, loaded=False)
    scene.deploy(scene.put("a", "3"))
    scene.deploy(scene.put("a", "4"))

    assert ((3, 1), (4, 3, 1), ()) == tuple(map(scene.ledger.was_active, (4, 5, 1)))


def test_switched_is_written_down(scene: Scene) -> None:
    """When each node went to it is in its record; once, with the first time."""
    scene.join("n1", "n2")
    number = scene.deploy(scene.put("a", "1"))
    scene.clock.now += 1
    scene.ledger.switched("n1", number)
    scene.clock.now += 1
    scene.ledger.switched("n1", number)
    scene.ledger.switched("stranger", number)

    switched = [vote.switched_at for vote in scene.record(number).votes]
    assert [scene.clock.now - 1, None] == switched
    one, two = scene.ledger.nodes()
    assert (number, 0) == (one.generation, two.generation)


# PRUNING


def test_prune_keeps_the_newest(scene: Scene) -> None:
    """The newest stay, and tell what they serve; the others are gone."""
    scene.join("n1")
    for count in range(1, 9):
        scene.deploy(scene.put("a", str(count)), scene.put("b", str(count % 3)))
    expected = {number: scene.served(number) for number in (6, 7, 8)}

    assert 5 == scene.ledger.prune(3)
    assert 0 == scene.ledger.prune(3)
    assert [8, 7, 6] == [found.number for found in scene.ledger.generations()]
    other = scene.elsewhere()
    assert expected == {number: other.served(number) for number in (6, 7, 8)}
    assert (None, None) == (other.ledger.generation(5), other.ledger.contents(5))
    assert () == other.ledger.check()


def test_prune_keeps_what_serves_and_what_comes(scene: Scene) -> None:
    """The active one, the one before it, the staging and the queued ones stay."""
    scene.join("n1")
    for count in range(1, 4):
        scene.deploy(scene.put("a", str(count)))
    for count in range(4, 9):
        scene.propose(scene.put("a", str(count)))
        scene.vote("n1", count, loaded=False, reason="broken")
    for name in "bcd":
        scene.propose(scene.put(name, "1"))

    assert 6 == scene.ledger.prune(1)
    kept = [found.number for found in scene.ledger.generations()]
    assert [11, 10, 9, 3, 2] == kept
    scene.vote_all(9)
    scene.vote_all(10)
    assert {"a", "b", "c"} == scene.served().keys()
    assert digest_of("2") == scene.elsewhere().served(2)["a"]


def test_prune_keeps_what_queued_ones_are_compared_with(scene: Scene) -> None:
    """What was taken away since a proposal is a conflict after pruning, too."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"), scene.put("b", "1"))
    scene.propose(Change("b"))
    for count, name in enumerate("acdb"):
        scene.propose(scene.put(name, "2"), scene.put(f"p{count}", "1"))
    for number in (2, 3, 4):
        scene.vote_all(number)
    assert ["active", "staging", "queued"] == [scene.state(n) for n in (4, 5, 6)]
    scene.ledger.prune(1)
    assert None is scene.ledger.generation(1)
    scene.vote_all(5)

    assert State.FAILED == scene.state(6)
    assert {"a", "c", "d", "p0", "p1", "p2"} == scene.served().keys()


def test_failed_ones_keep_their_contents(scene: Scene) -> None:
    """A failed one that stays tells what it would have served, on what was before."""
    scene.join("n1")
    scene.deploy(scene.put("a", "1"), scene.put("b", "1"))
    scene.propose(scene.put("a", "2"))
    scene.vote("n1", 2, loaded=False)
    for count in range(3, 5):
        scene.deploy(scene.put("b", str(count)))
    scene.ledger.prune(3)

    assert None is scene.ledger.generation(1)
    assert {"a": digest_of("2"), "b": digest_of("1")} == scene.elsewhere().served(2)


def test_prune_drops_artifacts_that_nobody_names(scene: Scene) -> None:
    """Not before they are an hour old, and never one that a generation names."""
    scene.join("n1")
    unused = scene.store("nobody wants it")
    for count in range(1, 6):
        scene.deploy(scene.put("a", str(count)))
    scene.clock.now += HOUR - 1
    fresh = scene.store("somebody is about to propose it")
    scene.ledger.prune(2)
    assert scene.ledger.has(unused)
    scene.clock.now += 2
    scene.ledger.prune(2)

    had = [scene.ledger.has(digest_of(str(count))) for count in range(1, 6)]
    assert ([False, False, False, True, True], False) == (had, scene.ledger.has(unused))
    assert scene.ledger.has(fresh)
    with pytest.raises(LedgerError, match="is not stored"):
        scene.ledger.chunks(unused)


def test_storing_again_keeps_it_for_another_hour(scene: Scene) -> None:
    """Who stores what is there already can count on it for as long as anybody."""
    digest = scene.store("x")
    scene.clock.now += HOUR + 1
    scene.store("x")
    scene.ledger.prune(2)

    assert scene.ledger.has(digest)


def test_half_stored_artifacts_are_dropped(scene: Scene) -> None:
    """What a killed process has stored of an artifact does not stay for ever."""
    data = bytes(6 * 1024 * 1024)

    def killed() -> Iterator[bytes]:
        yield data[: 5 * 1024 * 1024]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.ledger.store(digest_of("x"), len(data), killed())
    scene.clock.now += HOUR + 1
    scene.ledger.prune(2)
    assert () == scene.ledger.check()


def test_a_clock_set_back_drops_nothing_new(scene: Scene) -> None:
    """An artifact from what seems to be the future is new."""
    digest = scene.store("x")
    scene.clock.now -= 5 * HOUR
    scene.ledger.prune(2)

    assert scene.ledger.has(digest)


def test_events_are_kept_longer(scene: Scene) -> None:
    """Ten lines of the audit log for each generation that is kept, the newest."""
    for count in range(50):
        scene.ledger.record(ALICE, "note", str(count))
    scene.ledger.prune(3)
    events = scene.ledger.events(limit=1000)

    assert [str(count) for count in range(49, 19, -1)] == [e.subject for e in events]


def test_states_are_told_in_order(scene: Scene) -> None:
    """One generation is active at a time; those before it are retired."""
    scene.join("n1")
    for count in range(3):
        scene.deploy(scene.put("a", str(count)))

    states = [found.state for found in scene.ledger.generations()]
    assert [State.ACTIVE, State.RETIRED, State.RETIRED] == states
