"""What is pushed, proposed, waited for, planned and taken back, with a real ledger."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from pointsman.artifacts import Artifacts
from pointsman.cluster import (
    Actor,
    Entry,
    Failed,
    NodeRecord,
    NodeState,
    State,
    Vote,
)
from pointsman.deployments import Deployments
from pointsman.errors import ArtifactError, KindError, LedgerError, Refused
from pointsman.ledger import open_ledger
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.cluster import Proposed
    from pointsman.interfaces import Ledger

ME = Actor("token ci", "192.0.2.1")
OTHER = Actor("token other", "192.0.2.2")
SERVICE = b"from pointsman import Service\n\nVERSION = %d\n"


class Voter:
    """A node that loads everything but what it is told to refuse."""

    def __init__(self, ledger: Ledger, name: str, *, serves: bool = True) -> None:
        self.id = name
        self.refuses = ""
        self.votes = True
        self.switches = True
        self._ledger = ledger
        ledger.join(
            NodeRecord(
                name,
                "host",
                1,
                1,
                "1",
                "3",
                NodeState.JOINING,
                0,
                0.0,
                0.0,
                serves=serves,
            ),
            lease=60.0,
        )
        ledger.ready(name, ledger.observe(name).active)

    def step(self) -> None:
        """Vote, and switch to what is active."""
        seen = self._ledger.observe(self.id)
        if seen.staging is not None and self.votes:
            self._vote(seen.staging.number)
        seen = self._ledger.observe(self.id)
        if self.switches and seen.me and seen.me.generation != seen.active:
            self._ledger.switched(self.id, seen.active)

    def _vote(self, number: int) -> None:
        failures: tuple[Failed, ...] = ()
        contents = self._ledger.contents(number)
        if contents is not None and self.refuses in contents.entries:
            failures = (Failed(self.refuses, "ImportError: why", "Traceback ..."),)
        vote = Vote(self.id, not failures, "why" if failures else "", failures)
        self._ledger.vote(vote, number)


class Place:
    """A ledger, deployments on it, and nodes that vote as soon as they are woken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uploads = folder / "uploads"
        self.ledger = open_ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
        self.artifacts = Artifacts(self.ledger, folder / "artifacts")
        self.imports: dict[str, set[str]] = {}
        self.nodes: list[Voter] = []
        self.deployments = Deployments(
            self.ledger,
            self.artifacts,
            uploads=self.uploads,
            limit=100_000,
            timeout=60.0,
            wake=self.step,
            importers=lambda name: self.imports.get(name, set()),
        )

    def step(self) -> None:
        """Let all nodes do what is due."""
        for node in (*self.nodes, *self.nodes):  # the last vote decides for all
            node.step()

    def add(self, name: str = "one", *, serves: bool = True) -> Voter:
        """Add a node."""
        self.nodes.append(Voter(self.ledger, name, serves=serves))
        return self.nodes[-1]

    def receive(self, package: str, version: int = 1) -> Entry:
        """Take a module in."""
        content = SERVICE % version
        return self.deployments.receive(f"{package}.py", [content])

    def deploy(self, **packages: int) -> int:
        """Deploy versions of modules; return the generation."""
        entries = [self.receive(name, version) for name, version in packages.items()]
        return self.done(self.deployments.deploy(entries, ME))

    def done(self, proposed: Proposed) -> int:
        """Return the generation, which must be active."""
        result = self.deployments.decide(proposed, 20)

        assert State.ACTIVE == result.generation.state
        assert () == result.late
        return result.generation.number

    def active(self) -> dict[str, str]:
        """Return the digests that are active."""
        found = self.deployments.active().entries
        return {name: entry.digest for name, entry in found.items()}


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    place.add()
    yield place
    place.ledger.close()


def digest(version: int) -> str:
    """Return the digest of a version."""
    return hashlib.sha256(SERVICE % version).hexdigest()


# WHAT COMES IN


def test_receive(place: Place) -> None:
    """It is in the ledger and in the cache, and no temporary file stays."""
    content = SERVICE % 1
    entry = place.deployments.receive(
        "some/where\\crm.py",
        [content[:3], content[3:]],
        sha256=bytes.fromhex(digest(1)),
    )

    assert ("crm", digest(1), "crm.py", "push", len(content)) == (
        entry.package,
        entry.digest,
        entry.file,
        entry.source,
        entry.size,
    )
    assert content == b"".join(place.ledger.chunks(entry.digest))
    assert content == place.artifacts.path(entry.digest).read_bytes()
    assert [] == list(place.uploads.iterdir())
    assert 0o700 == place.uploads.stat().st_mode & 0o777


def _broken() -> Iterator[bytes]:
    yield b"a = 1\n"
    raise Refused(400, "Bad Request", "cut")


@pytest.mark.parametrize(
    ("file", "chunks", "kind", "status"),
    [
        ("crm.py", _broken, Refused, 400),
        ("crm.py", lambda: [b"x" * 60_000] * 2, Refused, 413),
        ("crm.py", lambda: [b"\x7fELF\0\0"], KindError, None),
        ("crm.sar", lambda: [b"a = 1\n"], KindError, None),
        ("1-2.py", lambda: [b"a = 1\n"], ArtifactError, None),
        ("crm.exe", lambda: [b"a = 1\n"], KindError, None),
        ("c\0rm.py", lambda: [b"a = 1\n"], Refused, 400),
        ("x" * 300 + ".py", lambda: [b"a = 1\n"], Refused, 400),
        ("сrm.py", lambda: [b"a = 1\n"], Refused, 400),
        ("..", lambda: [b"a = 1\n"], Refused, 400),
    ],
    ids=range(10),
)
def test_receive_that_fails(
    place: Place, file: str, chunks: object, kind: type[Exception], status: int | None
) -> None:
    """Nothing of it stays: no temporary file, nothing in the cache."""
    with pytest.raises(kind) as caught:
        place.deployments.receive(file, chunks())  # type: ignore[operator]

    assert status == getattr(caught.value, "status", None)
    folders = [place.uploads, place.folder / "artifacts"]
    assert [] == [path for f in folders if f.exists() for path in f.iterdir()]


def test_receive_of_a_wrong_digest(place: Place) -> None:
    """400 names both."""
    with pytest.raises(Refused, match=f"{digest(1)}, and {'00' * 32}") as caught:
        place.deployments.receive("crm.py", [SERVICE % 1], sha256=bytes(32))

    assert 400 == caught.value.status
    assert not place.ledger.has(digest(1))


def test_receive_for_another_package(place: Place) -> None:
    """A module is what its file is called, so another name is refused."""
    with pytest.raises(ArtifactError):
        place.deployments.receive("crm.py", [SERVICE % 1], package="shop")


def _sum(text: str) -> str:
    """Return what RECORD of a wheel says of a file."""
    total = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={total.decode().rstrip('=')}"


def test_file_without_a_name(place: Place) -> None:
    """The content tells what it is."""
    archive = place.folder / "made.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        manifest = (
            "[package]\nname = crm\nversion = 1.2\n\n[service:crm.a]\nuse = crm:app\n"
        )
        packed.writestr("service.ini", manifest)
        packed.writestr("crm.py", "app = None\n")
    wheel = place.folder / "made.whl"
    info = "crm-2.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as packed:
        files = {
            "crm.py": "app = None\n",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: crm\nVersion: 2.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
            f"{info}/entry_points.txt": "[pointsman.services]\ncrm.a = crm:app\n",
        }
        for name, content in files.items():
            packed.writestr(name, content)
        record = "".join(f"{name},{_sum(text)},\n" for name, text in files.items())
        packed.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    found = [
        place.deployments.receive("", [content], package="crm")
        for content in (SERVICE % 1, archive.read_bytes(), wheel.read_bytes())
    ]

    assert [
        ("module", "crm.py", ""),
        ("archive", "crm.sar", "1.2"),
        ("wheel", "crm-2.0-py3-none-any.whl", "2.0"),
    ] == [(entry.kind, entry.file, entry.version) for entry in found]


def test_what_killed_processes_left_is_swept(place: Place) -> None:
    """Old files that nobody holds go with the first upload; those of others stay."""
    place.uploads.mkdir()
    old, young = place.uploads / "old", place.uploads / "young"
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    place.receive("crm")

    assert [young] == list(place.uploads.iterdir())


def test_uploads_at_the_same_time(place: Place) -> None:
    """Fifty at once, of ten different contents, are all taken."""
    found: list[str] = []

    def receive(version: int) -> None:
        found.append(place.receive("crm", version % 10).digest)

    threads = [threading.Thread(target=receive, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(digest(n % 10) for n in range(50)) == sorted(found)
    assert [] == list(place.uploads.iterdir())


# WAITING


def test_deploy(place: Place) -> None:
    """All nodes of the ballot have it; who, what and when are recorded."""
    place.add("two")
    number = place.deploy(crm=1, shop=2)
    record = place.deployments.generation(number)

    assert {"crm": digest(1), "shop": digest(2)} == place.active()
    assert ("deploy", ME, ["one", "two"]) == (
        record.what,
        record.actor,
        sorted(vote.node for vote in record.votes),
    )
    assert all(vote.switched_at is not None for vote in record.votes)


def test_deploy_again(place: Place) -> None:
    """The same digest makes no generation."""
    number = place.deploy(crm=1)
    result = place.deployments.decide(
        place.deployments.deploy([place.receive("crm")], ME), 20
    )

    assert (number, True, False) == (
        result.generation.number,
        result.unchanged,
        result.timed_out,
    )


def test_deploy_that_is_refused(place: Place) -> None:
    """One node's vote fails it; the old one stays."""
    place.deploy(crm=1)
    place.add("two").refuses = "shop"
    proposed = place.deployments.deploy(
        [place.receive("crm", 2), place.receive("shop")], ME
    )
    result = place.deployments.decide(proposed, 20)
    failures = [f for vote in result.generation.votes for f in vote.failures]

    assert (State.FAILED, False) == (result.generation.state, result.timed_out)
    assert [Failed("shop", "ImportError: why", "Traceback ...")] == failures
    assert {"crm": digest(1)} == place.active()


def test_deploy_that_takes_too_long(place: Place) -> None:
    """It is taken back; a vote that comes afterwards changes nothing."""
    place.nodes[0].votes = False
    result = place.deployments.decide(
        place.deployments.deploy([place.receive("crm")], ME), 0.05
    )
    place.nodes[0].votes = True
    place.step()

    assert (State.FAILED, True) == (result.generation.state, result.timed_out)
    assert "not decided within 0.05 s" in result.generation.reason
    assert {} == place.active()


def test_what_others_proposed_is_not_taken_back(place: Place) -> None:
    """Whoever asks for what is on its way may lose patience, and no more."""
    place.nodes[0].votes = False
    entry = place.receive("crm")
    first = place.deployments.deploy([entry], ME)
    second = place.deployments.deploy([entry], OTHER)
    result = place.deployments.decide(second, 0.05)

    assert (first.number, True, True) == (
        second.number,
        result.unchanged,
        result.timed_out,
    )
    assert State.STAGING == result.generation.state
    place.nodes[0].votes = True
    place.step()
    place.done(first)


def test_waits_for_the_switch(place: Place) -> None:
    """Active is not enough: nodes that voted must serve it, or be late."""
    slow = place.add("slow")
    slow.switches = False
    place.add("command", serves=False).switches = False
    proposed = place.deployments.deploy([place.receive("crm")], ME)
    result = place.deployments.decide(proposed, 0.05)

    assert (State.ACTIVE, ("slow",)) == (result.generation.state, result.late)

    slow.switches = True
    waiting = threading.Thread(
        target=lambda: results.append(place.deployments.decide(proposed, 20))
    )
    results: list[object] = []
    waiting.start()
    slow.step()
    waiting.join()

    assert () == results[0].late  # type: ignore[attr-defined]


def test_a_node_that_is_gone_is_not_waited_for(place: Place) -> None:
    """It has left the list, so nobody waits for its switch."""
    gone = place.add("gone")
    gone.switches = False
    proposed = place.deployments.deploy([place.receive("crm")], ME)
    place.ledger.leave("gone")
    result = place.deployments.decide(proposed, 20)

    assert (State.ACTIVE, ()) == (result.generation.state, result.late)


def test_ledger_that_fails_for_a_moment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for goes on; the answer waits until it can be read."""
    proposed = place.deployments.deploy([place.receive("crm")], ME)
    real, failures = place.ledger.generation, iter([1, 2, 3])

    def fails(number: int) -> object:
        if next(failures, None):
            raise LedgerError("sqlite://", "locked")
        return real(number)

    monkeypatch.setattr(place.ledger, "generation", fails)

    assert State.ACTIVE == place.deployments.decide(proposed, 20).generation.state


def test_generation_that_is_not_there(place: Place) -> None:
    """404 for its record, its differences and for waiting."""
    for call in (
        lambda: place.deployments.generation(7),
        lambda: place.deployments.diff(7),
        lambda: place.deployments.wait(7, 0),
        lambda: place.deployments.rollback_to(7, ME),
    ):
        with pytest.raises(Refused, match="generation 7") as caught:
            call()

        assert 404 == caught.value.status


def test_if_match(place: Place) -> None:
    """412 for somebody who has not seen the last generation."""
    place.deploy(crm=1)
    with pytest.raises(Refused) as caught:
        place.deployments.deploy([place.receive("crm", 2)], ME, if_match=0)

    assert 412 == caught.value.status


def test_lock(place: Place) -> None:
    """423 for all but its holder."""
    place.ledger.lock(OTHER, "incident 42")
    with pytest.raises(Refused, match="incident 42") as caught:
        place.deployments.deploy([place.receive("crm")], ME)
    proposed = place.deployments.deploy([place.receive("crm")], OTHER)

    assert 423 == caught.value.status
    place.done(proposed)


# TAKING AWAY AND BACK


def test_undeploy(place: Place) -> None:
    """Several go at once."""
    place.deploy(crm=1, shop=1, kept=1)
    place.done(place.deployments.undeploy(["crm", "shop"], ME))

    assert {"kept": digest(1)} == place.active()


def test_undeploy_what_is_not_there(place: Place) -> None:
    """404 has a better word."""
    place.deploy(shopping=1)
    with pytest.raises(Refused, match="did you mean 'shopping'") as caught:
        place.deployments.undeploy(["shoping"], ME)

    assert 404 == caught.value.status


def test_undeploy_what_others_import(place: Place) -> None:
    """409 with their names; cascade takes them along."""
    place.deploy(base=1, crm=1, shop=1)
    place.imports = {"base": {"crm", "shop"}}
    with pytest.raises(Refused, match=r"crm, shop import from base.*cascade") as caught:
        place.deployments.undeploy(["base"], ME)
    place.done(place.deployments.undeploy(["base", "crm"], ME, cascade=True))

    assert (409, {}) == (caught.value.status, place.active())


def test_undeploy_what_static_ones_import(place: Place) -> None:
    """They are not the ledger's, so cascade does not reach them."""
    place.deploy(base=1, crm=1)
    place.imports = {"base": {"crm", "static"}}
    with pytest.raises(Refused, match=r"^static import from base; take") as caught:
        place.deployments.undeploy(["base"], ME, cascade=True)

    assert 409 == caught.value.status


def test_rollback(place: Place) -> None:
    """To the artifact before this one, whatever else changed in between."""
    place.deploy(crm=1)
    place.deploy(crm=2)
    place.deploy(shop=1)
    place.done(place.deployments.rollback("crm", ME))

    assert {"crm": digest(1), "shop": digest(1)} == place.active()

    place.done(place.deployments.rollback("crm", ME))

    assert digest(2) == place.active()["crm"]


def test_rollback_of_what_is_gone(place: Place) -> None:
    """An undeployed package comes back."""
    place.deploy(crm=1)
    place.done(place.deployments.undeploy(["crm"], ME))
    place.done(place.deployments.rollback("crm", ME))

    assert {"crm": digest(1)} == place.active()


def test_rollback_to_a_generation(place: Place) -> None:
    """The package is what it was there; absent, too, if nobody imports from it."""
    place.deploy(shop=1)
    first = place.deploy(crm=1)
    place.deploy(crm=2)
    place.deploy(crm=3)
    place.done(place.deployments.rollback("crm", ME, to=first))

    assert digest(1) == place.active()["crm"]

    place.imports = {"crm": {"shop"}}
    with pytest.raises(Refused, match="shop import from crm"):
        place.deployments.rollback("crm", ME, to=first - 1)
    place.imports = {}
    number = place.done(place.deployments.rollback("crm", ME, to=first - 1))

    assert {"shop": digest(1)} == place.active()
    assert f"generation {first - 1} did not have crm" == (
        place.deployments.generation(number).note
    )


def test_rollback_to_a_digest(place: Place) -> None:
    """Its first digits are enough."""
    for version in (1, 2, 3):
        place.deploy(crm=version)
    place.done(place.deployments.rollback("crm", ME, to=digest(1)[:8]))

    assert digest(1) == place.active()["crm"]


def test_rollback_to_what_failed(place: Place) -> None:
    """A generation that never was active is no place to go back to."""
    place.deploy(crm=1)
    place.nodes[0].refuses = "crm"
    failed = place.deployments.deploy([place.receive("crm", 2)], ME).number
    place.nodes[0].refuses = ""
    with pytest.raises(Refused, match=f"no generation {failed} that was active"):
        place.deployments.rollback("crm", ME, to=failed)
    with pytest.raises(Refused, match=f"no generation {failed} that was active"):
        place.deployments.rollback_to(failed, ME)


def test_rollback_to_what_is(place: Place) -> None:
    """Nothing changes, and the answer says so."""
    number = place.deploy(crm=1)

    assert place.deployments.rollback("crm", ME, to=number).unchanged
    assert place.deployments.rollback_to(number, ME).unchanged


def test_rollback_of_the_whole(place: Place) -> None:
    """All packages and all stopped services are as they were."""
    first = place.deploy(crm=1, shop=1)
    known = {"crm.a", "shop.a"}
    place.done(place.deployments.stop_services(["crm.a"], ME, known))
    second = place.deploy(crm=2, more=1)
    place.done(place.deployments.undeploy(["shop"], ME))
    place.done(place.deployments.rollback_to(first, ME))

    assert {"crm": digest(1), "shop": digest(1)} == place.active()
    assert frozenset() == place.deployments.active().stopped

    place.done(place.deployments.rollback_to(second, ME))

    assert {"crm": digest(2), "shop": digest(1), "more": digest(1)} == place.active()
    assert {"crm.a"} == place.deployments.active().stopped


def test_stop_and_start(place: Place) -> None:
    """Both are generations, and doing one twice changes nothing."""
    place.deploy(crm=1)
    place.done(place.deployments.stop_services(["crm.a"], ME, {"crm.a", "crm.b"}))

    assert {"crm.a"} == place.deployments.active().stopped
    assert place.deployments.stop_services(["crm.a"], ME, {"crm.a"}).unchanged

    place.done(place.deployments.start_services(["crm.a"], ME, set()))

    assert frozenset() == place.deployments.active().stopped
    with pytest.raises(Refused, match=r"did you mean 'crm\.a'") as caught:
        place.deployments.stop_services(["crm.aa"], ME, {"crm.a"})
    assert 404 == caught.value.status


# LOOKING


def test_plan(place: Place) -> None:
    """Each package with what would become of it; nothing is proposed."""
    place.deploy(base=1, crm=1, gone=1, same=1)
    place.imports = {"base": {"crm", "static"}, "same": {"crm"}}
    place.ledger.keep_mounts({"base.a": "base", "/base": "base", "x.a": "x"})
    before = place.ledger.generations()
    plan = place.deployments.plan(
        [place.receive("base", 2), place.receive("new"), place.receive("same")],
        ["gone"],
    )
    found = {each.difference.package: each for each in plan.packages}

    assert {
        "base": ("updated", ("crm", "static"), ("/base", "base.a")),
        "gone": ("removed", (), ()),
        "new": ("added", (), ()),
        "same": ("unchanged", (), ()),
    } == {
        name: (each.difference.status, each.importers, each.mounts)
        for name, each in found.items()
    }
    assert "-VERSION = 1\n+VERSION = 2\n" in found["base"].difference.files[0].diff
    assert () == found["same"].difference.files
    assert {""} == {each.clash for each in plan.packages}
    assert before == place.ledger.generations()


def test_plan_of_clashes(place: Place) -> None:
    """Another kind of source, and a path that somebody has."""
    archived = place.deployments.receive(
        "crm.py", [SERVICE % 1], source="archives:host/crm.py"
    )
    place.done(place.deployments.deploy([archived], ME))
    place.ledger.keep_mounts({"/shop": "other"})
    path = place.folder / "shop.zip"
    with zipfile.ZipFile(path, "w") as packed:
        manifest = (
            "[package]\nname = shop\n\n[service:shop.a]\nuse = shop:app\npath = /shop\n"
        )
        packed.writestr("service.ini", manifest)
        packed.writestr("shop.py", "app = None\n")
    shop = place.deployments.receive("shop.sar", [path.read_bytes()])
    plan = place.deployments.plan([place.receive("crm", 2), shop])
    clashes = [each.clash for each in plan.packages]

    assert "crm is from archives:host/crm.py (crm.py), and push cannot" in clashes[0]
    assert "/shop belongs to other, which keeps it" == clashes[1]
    assert ("/shop", "shop.a") == plan.packages[1].mounts


def test_diff(place: Place) -> None:
    """Against what was active before it; of one that failed, what it wanted."""
    first = place.deploy(crm=1)
    place.nodes[0].refuses = "bad"
    failed = place.deployments.deploy(
        [place.receive("bad"), place.receive("crm", 5)], ME
    ).number
    last = place.deploy(crm=2, shop=1)

    def told(number: int) -> list[tuple[str, str]]:
        return [(each.package, each.status) for each in place.deployments.diff(number)]

    assert [("crm", "added")] == told(first)
    assert [("bad", "added"), ("crm", "updated")] == told(failed)
    assert [("crm", "updated"), ("shop", "added")] == told(last)
    assert (
        "-VERSION = 1\n+VERSION = 2\n" in place.deployments.diff(last)[0].files[0].diff
    )


def test_diff_of_the_oldest_that_is_kept(place: Place) -> None:
    """What was before it is gone, and is not taken for nothing: 404 for both."""
    place.deploy(shop=1)
    place.deploy(crm=1)
    place.nodes[0].refuses = "bad"
    failed = place.deployments.deploy([place.receive("bad")], ME).number
    oldest, last = place.deploy(crm=2), place.deploy(crm=3)
    place.ledger.prune(3)

    for number in (failed, oldest):
        with pytest.raises(Refused, match="generation 2, which was active") as caught:
            place.deployments.diff(number)

        assert 404 == caught.value.status
    assert ["crm"] == [each.package for each in place.deployments.diff(last)]


def test_diff_of_what_waited(place: Place) -> None:
    """Against what was active when its turn came, not when it was proposed."""
    place.nodes[0].votes = False
    place.deployments.deploy([place.receive("crm")], ME)
    place.nodes[0].refuses = "bad"
    waiting = place.deployments.deploy([place.receive("bad")], ME)
    place.nodes[0].votes = True
    place.step()

    assert [("bad", "added")] == [
        (each.package, each.status) for each in place.deployments.diff(waiting.number)
    ]


def test_waiting_is_woken(place: Place) -> None:
    """Who has moved lets the others look at once, not after the next pause."""
    place.nodes[0].votes = False
    proposed = place.deployments.deploy([place.receive("crm")], ME)
    found: list[object] = []
    waiting = threading.Thread(
        target=lambda: found.append(place.deployments.wait(proposed.number, 20))
    )
    waiting.start()
    place.nodes[0].votes = True
    place.step()
    place.deployments.moved()
    wait_for(lambda: found, "the waiting thread has an answer")
    waiting.join()
