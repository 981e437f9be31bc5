"""A small cluster for the tests of the ledger: clock, artifacts, nodes, proposals."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import postgresql_server
from pointsman.cluster import (
    Actor,
    Change,
    Entry,
    NodeRecord,
    NodeState,
    Proposal,
    State,
    Vote,
)
from pointsman.ledger import open_ledger
from pointsman.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.cluster import Generation, Proposed
    from pointsman.interfaces import Ledger

#: Where there is a disk of memory: most tests write, and none is about the disk.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

ALICE = Actor("cli alice", "alpha")
BOB = Actor("token bob", "10.0.0.2")
LEASE = 15.0
ABSENT_AFTER = 60.0
TIMEOUT = 60.0


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


class Place(Protocol):
    """Where a ledger is kept: each `open` is as by another process."""

    clock: Clock
    url: str
    code: str  # what makes the same place in another process

    def open(self, clock: Callable[[], float] | None = None) -> Ledger:
        """Open the same ledger once more."""
        ...

    def close(self) -> None:
        """Close all that were opened."""
        ...


class _Place:
    """What is opened as ``opened`` does it."""

    def __init__(self, url: str, opened: Callable[..., Ledger]) -> None:
        self.clock = Clock()
        self._open = opened
        self.url = url
        self.code = f"place = UrlPlace({url!r})"
        self._opened: list[Ledger] = []

    def open(self, clock: Callable[[], float] | None = None) -> Ledger:
        """Open it with the clock of the test."""
        ledger = self._open(
            self.url, clock=clock or self.clock, absent_after=ABSENT_AFTER
        )
        self._opened.append(ledger)
        return ledger

    def close(self) -> None:
        """Close them."""
        for ledger in self._opened:
            ledger.close()


class UrlPlace(_Place):
    """What another process has made, and takes away."""

    def __init__(self, url: str) -> None:
        super().__init__(url, open_ledger)


class SqlitePlace(_Place):
    """A file."""

    def __init__(
        self, folder: Path, opened: Callable[..., Ledger] = open_ledger
    ) -> None:
        super().__init__(f"sqlite:///{quote(str(folder))}/ledger.sqlite", opened)


class PostgresqlPlace(_Place):
    """A database of the server that the test process shares."""

    def __init__(
        self,
        folder: Path | None = None,
        opened: Callable[..., Ledger] = open_ledger,
    ) -> None:
        del folder
        self.server = postgresql_server.shared()
        self.database = self.server.create()
        super().__init__(self.server.url(self.database), opened)

    def close(self) -> None:
        """Close them, and leave the database empty."""
        super().close()
        self.server.give_back(self.database)


def digest_of(content: str) -> str:
    """Return the digest of a module with this content."""
    return hashlib.sha256(content.encode()).hexdigest()


def entry(package: str, content: str, **other: Any) -> Entry:
    """Make the entry of a module with this content."""
    values: dict[str, Any] = {"kind": Kind.MODULE, "file": f"{package}.py", **other}
    return Entry(package, digest_of(content), size=len(content), **values)


def node_named(name: str, **other: Any) -> NodeRecord:
    """Make what a node says of itself when it joins."""
    values: dict[str, Any] = {
        "id": name,
        "host": "alpha",
        "pid": 100,
        "started": 1,
        "release": "1.0",
        "python": "3.11",
        "state": NodeState.JOINING,
        "generation": 0,
        "joined_at": 0.0,
        "lease_until": 0.0,
        **other,
    }
    return NodeRecord(**values)


class Scene:
    """Says in one word what a cluster does in several calls."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.clock = place.clock
        self.ledger = place.open()

    def elsewhere(self) -> Scene:
        """Return the same cluster as another process sees it."""
        return Scene(self.place)

    # WHAT IS DEPLOYED

    def store(self, content: str) -> str:
        """Store the artifact of a module with this content."""
        data, digest = content.encode(), digest_of(content)
        self.ledger.store(digest, len(data), [data])
        return digest

    def put(self, package: str, content: str, **other: Any) -> Change:
        """Store a module and return the change that deploys it."""
        self.store(content)
        return Change(package, entry(package, content, **other))

    def propose(self, *changes: Change, timeout: float = TIMEOUT, **o: Any) -> Proposed:
        """Propose changes."""
        values: dict[str, Any] = {"actor": ALICE, "what": "deploy", **o}
        proposal = Proposal(changes=changes, **values)
        return self.ledger.propose(proposal, timeout=timeout)

    def deploy(self, *changes: Change, **other: Any) -> int:
        """Propose changes, and let all nodes of the ballot load them."""
        number = self.propose(*changes, **other).number
        self.vote_all(number)
        assert State.ACTIVE == self.state(number)
        return number

    # NODES

    def join(self, *names: str, **other: Any) -> None:
        """Let nodes join, and be ready for what is active."""
        for name in names:
            self.ledger.join(node_named(name, **other), lease=LEASE)
            active = self.ledger.observe(name).active
            assert self.ledger.ready(name, active)

    def vote(self, name: str, number: int, *, loaded: bool = True, **o: Any) -> None:
        """Give the vote of a node."""
        self.ledger.vote(Vote(name, loaded, **o), number)

    def vote_all(self, number: int) -> None:
        """Give the votes of all nodes that have not voted."""
        for vote in self.record(number).votes:
            if vote.loaded is None and not vote.left:
                self.vote(vote.node, number)

    def beat(self, *names: str) -> None:
        """Give a sign of life of nodes."""
        for name in names:
            assert self.ledger.beat(name, lease=LEASE)

    # RECORDS

    def record(self, number: int) -> Generation:
        """Return the record of a generation that is there."""
        found = self.ledger.generation(number)
        assert found is not None
        return found

    def state(self, number: int) -> State:
        """Return the state of a generation that is there."""
        return self.record(number).state

    @property
    def active(self) -> int:
        """Return the active generation."""
        return self.ledger.observe("nobody").active

    def served(self, number: int | None = None) -> dict[str, str]:
        """Return package to digest of a generation; of the active one by default."""
        found = self.ledger.contents(self.active if number is None else number)
        assert found is not None
        return {name: one.digest for name, one in found.entries.items()}

    def voters(self, number: int) -> list[str]:
        """Return who counts in a ballot."""
        return [vote.node for vote in self.record(number).votes if not vote.left]

    def events(self) -> list[str]:
        """Return what the audit log tells, the oldest first."""
        return [event.what for event in reversed(self.ledger.events(limit=1000))]
