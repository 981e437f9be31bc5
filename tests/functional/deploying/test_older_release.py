"""A node of an older release beside newer ones, which deploy what it cannot know.

Broken on purpose, and seen to fail: a kind that is refused where a generation is read,
so that nobody votes; one that is taken for a module; one that is not kept as it was.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

import pointsman
from contract.ledger.scene import node_named
from functional.reconcile.test_reconcile import Follower
from pointsman.cluster import Actor, Change, Entry, Proposal, State
from pointsman.ledger import open_ledger
from pointsman.model import Kind
from pointsman.reconcile import Reconciler
from site_folder import SiteFolder, get
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.cluster import Generation
    from pointsman.wsgi import Host

GOOD = b"""
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"good"]
"""


class Newer:
    """A node of a release that knows one kind more; it loads everything."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/ledger.sqlite"
        self.ledger = open_ledger(self.url)
        self.node = Reconciler(
            node=node_named("newer", host="elsewhere", release="99.0"),
            ledger=self.ledger,
            local=Follower(),
            lease=600.0,
            history=100,
            gone=lambda _: frozenset(),
            report=dict,
            answer=lambda _: None,
            reload=lambda *_: None,
        )
        while not self.node.step():
            pass

    def deploy(self, name: str, content: bytes, kind: str) -> Generation:
        """Deploy a package; return what became of it."""
        digest = hashlib.sha256(content).hexdigest()
        self.ledger.store(digest, len(content), [content])
        entry = Entry(name, digest, Kind(kind), f"{name}.py", size=len(content))
        return self._decided(Change(name, entry))

    def remove(self, name: str) -> Generation:
        """Take a package away; return what became of it."""
        return self._decided(Change(name))

    def _decided(self, change: Change) -> Generation:
        proposal = Proposal(Actor("a newer release"), "deploy", (change,))
        number = self.ledger.propose(proposal, timeout=30.0).number

        def record() -> Generation:
            self.node.step()
            found = self.ledger.generation(number)
            assert found is not None
            return found

        on_way = (State.QUEUED, State.STAGING)
        wait_for(lambda: record().state not in on_way, "it is decided")
        return record()


@pytest.fixture(name="newer")
def _newer(site: SiteFolder) -> Iterator[Newer]:
    newer = Newer(site.folder)
    yield newer
    newer.ledger.close()


def test_it_votes_no_and_says_why(site: SiteFolder, newer: Newer) -> None:
    """All or nothing: the newer ones do not switch either; who runs it is told."""
    host = site.host(ledger__url=newer.url)
    wait_for(lambda: len(newer.ledger.nodes()) == 2, "both take part")
    assert State.ACTIVE is newer.deploy("good", GOOD, "module").state

    failed = newer.deploy("engine", b"x", "engine")

    assert State.FAILED is failed.state
    assert f"pointsman {pointsman.__version__} knows no artifacts of" in failed.reason
    assert "run that one here, too" in failed.reason
    assert "good" == get(host, "/good").text
    assert State.ACTIVE is newer.deploy("good", GOOD + b"#", "module").state


def test_it_comes_late(site: SiteFolder, newer: Newer) -> None:
    """Behind, with the reason, and in no ballot, until it knows all that is active."""
    assert State.ACTIVE is newer.deploy("engine", b"x", "engine").state
    host = site.host(ledger__url=newer.url)

    ready, detail = host.node.readiness()
    assert (False, True) == (ready, "of the kind engine" in str(detail))
    assert State.ACTIVE is newer.deploy("good", GOOD, "module").state
    assert "404 Not Found" == get(host, "/good").status
    assert [Kind("engine")] == [kind_of(host, "engine")]

    assert State.ACTIVE is newer.remove("engine").state
    wait_for(lambda: host.node.readiness()[0], "it is ready")
    assert "good" == get(host, "/good").text


def kind_of(host: Host, name: str) -> Kind:
    """Return of which kind an entry is, as this node tells others."""
    contents = host.node.ledger.contents(2)
    assert contents is not None
    return contents.entries[name].kind
