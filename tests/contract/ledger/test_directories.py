"""What directories showed, who scans them, who has which path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.ledger.scene import LEASE, digest_of
from pointsman.cluster import Sighting

if TYPE_CHECKING:
    from contract.ledger.scene import Scene

A = Sighting("here", "a.py", digest_of("1"), "a")
B = Sighting("here", "b.py", digest_of("2"), "b")
THERE = Sighting("there", "a.py", digest_of("3"), "a")


def test_sightings_by_location(scene: Scene) -> None:
    """Each directory has its own, by file."""
    scene.ledger.sight([B, A, THERE])

    assert ((A, B), (THERE,), ()) == tuple(
        map(scene.ledger.sightings, ("here", "there", "nowhere"))
    )


def test_sightings_are_replaced(scene: Scene) -> None:
    """The last one counts; without a digest, the file is gone."""
    scene.ledger.sight([A, B])
    newer = Sighting("here", "a.py", digest_of("9"), "a")
    scene.ledger.sight(iter([A, newer, Sighting("here", "b.py")]))
    scene.ledger.sight([])

    assert (newer,) == scene.ledger.sightings("here")


def test_names_that_no_database_takes(scene: Scene) -> None:
    """A file's name may hold any byte; that disturbs nobody else."""
    odd = Sighting("here", "b\udcff\x00.py", digest_of("2"), "b")
    scene.ledger.sight([A, odd])

    assert A in scene.ledger.sightings("here")
    assert 2 == len(scene.ledger.sightings("here"))


def test_one_node_scans(scene: Scene) -> None:
    """The first one does, and goes on to; others do not, each directory apart."""
    scene.join("n1", "n2")
    scan = scene.ledger.scanner
    assert scan("here", "n1", lease=LEASE)
    assert not scan("here", "n2", lease=LEASE)
    assert scan("there", "n2", lease=LEASE)
    scene.clock.now += LEASE - 1
    assert scan("here", "n1", lease=LEASE), "this renews it"
    scene.clock.now += 2
    assert not scan("here", "n2", lease=LEASE)


def test_another_takes_over(scene: Scene) -> None:
    """When the lease has ended, or the node is not known any more."""
    scene.join("n1", "n2")
    scan = scene.ledger.scanner
    assert scan("here", "n1", lease=LEASE)
    scene.clock.now += LEASE
    assert scan("here", "n2", lease=LEASE)
    assert not scan("here", "n1", lease=LEASE)
    scene.ledger.leave("n2")
    assert scan("here", "n1", lease=LEASE)


def test_a_clock_set_back_keeps_nobody_from_scanning(scene: Scene) -> None:
    """The lease of one that is silent ends after its length, not an hour later."""
    scene.join("n1", "n2")
    scan = scene.ledger.scanner
    assert scan("here", "n1", lease=LEASE)
    scene.clock.now -= 3600
    assert not scan("here", "n2", lease=LEASE)
    scene.clock.now += LEASE
    assert scan("here", "n2", lease=LEASE)


def test_claims(scene: Scene) -> None:
    """The last proposal that names a picked-up file answers for it."""
    scene.join("n1")
    assert None is scene.ledger.claimed("c")
    scene.deploy(scene.put("a", "1"), claims=("c", "c"))
    scene.deploy(scene.put("a", "2"))
    assert 1 == scene.ledger.claimed("c")
    scene.deploy(scene.put("a", "3"), claims=("c",))
    scene.ledger.prune(2)

    assert 3 == scene.ledger.claimed("c")


def test_claims_outlive_their_generation(scene: Scene) -> None:
    """A directory may be looked at again long after: nothing in it is new then."""
    scene.join("n1")
    for count in range(6):
        scene.deploy(scene.put("a", str(count)), claims=(f"c{count}",))
    scene.ledger.prune(2)

    assert (None, 1) == (scene.ledger.generation(1), scene.ledger.claimed("c0"))


def test_mounts_are_replaced(scene: Scene) -> None:
    """Who has which name and path is kept as it was last given."""
    assert {} == scene.ledger.mounts()
    scene.ledger.keep_mounts({"a.one": "a", "/a": "a", "": "root"})
    scene.ledger.keep_mounts({"a.one": "b", "": "root", "/b": "b"})

    assert {"a.one": "b", "": "root", "/b": "b"} == scene.ledger.mounts()
