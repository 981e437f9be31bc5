"""A folder with an ini or several, and the real processes that serve it.

All servers of a site share one ledger, so they are one cluster.  What the ledger
knows is read through the ledger itself, also when nobody serves.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import textwrap
from typing import TYPE_CHECKING, Self

import cluster_processes
from pointsman.cluster import NodeState, State
from pointsman.ledger import open_ledger
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster_processes import Server
    from pointsman.cluster import Generation, NodeRecord
    from pointsman.interfaces import Ledger

#: A package that imports another: a torn answer has two versions in it.
_SHOP = """
import os

import stock
from pointsman import Service

VERSION = {version}


class Shop(Service):
    path = "/shop"

    def handle(self, request):
        versions = str(VERSION) + " " + str(stock.VERSION)
        if request.path_info == "/process":
            return str(os.getpid()) + " " + versions
        return versions
"""

_SETTINGS = {
    "work_dir": "%(here)s/var",
    "control.token_file": "%(here)s/control.token",
    "keep_warm": "0",
}


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def shop(version: int, more: str = "") -> str:
    """Return a module that answers ``/shop`` with its version and that of ``stock``."""
    return _SHOP.format(version=version) + textwrap.dedent(more)


def stock(version: int, more: str = "") -> str:
    """Return a module that ``shop`` imports."""
    return f"VERSION = {version}\n" + textwrap.dedent(more)


def digest(source: str) -> str:
    """Return the digest of a module."""
    return hashlib.sha256(source.encode()).hexdigest()


class ClusterSite:
    """Makes servers; ends those that it has made.  ``folder`` is given, and empty."""

    def __init__(self, folder: Path, ledger_url: str = "") -> None:
        self.folder = folder
        self.ledger_url = ledger_url or f"sqlite:///{folder}/ledger/ledger.sqlite"
        self.pickup = folder / "pickup"
        self.archives = folder / "archives"
        (folder / "ledger").mkdir(mode=0o700, exist_ok=True)
        self.servers: list[Server] = []

    # SERVERS

    def server(
        self, name: str = "one", kind: str = "paster", serving: str = "", **given: str
    ) -> Server:
        """Make a server with an ini of its own; start it yourself.

        ``kind`` is one of `cluster_processes.KINDS`.  ``given`` are settings, with
        ``__`` for a dot; ``work_dir`` is shared unless it is given; ``serving`` are
        more lines of ``[server:main]``.
        """
        own = {"ledger.url": self.ledger_url.replace("%", "%%")}
        settings = {
            **_SETTINGS,
            **own,
            **{k.replace("__", "."): v for k, v in given.items()},
        }
        lines = [f"{k} = {v}" for k, v in settings.items()]
        port = free_port()
        ini = self.folder / f"{name}.ini"
        ini.write_text(
            "[app:main]\nuse = egg:pointsman\n"
            + "\n".join(lines)
            + "\n\n[server:main]\nuse = egg:pointsman#server\n"
            + f"host = 127.0.0.1\nport = {port}\nthreads = 8\n{serving}"
        )
        made = cluster_processes.KINDS[kind](ini, port)
        self.servers.append(made)
        return made

    def close(self) -> None:
        """End all servers, with all that they have started."""
        for server in self.servers:
            server.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # THE LEDGER

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger, from the outside."""
        ledger = open_ledger(self.ledger_url)
        try:
            yield ledger
        finally:
            ledger.close()

    def generations(self) -> dict[int, Generation]:
        """Return all generations, with their votes, by number."""
        with self.ledger() as ledger:
            found = [ledger.generation(g.number) for g in ledger.generations()]
            return {one.number: one for one in found if one is not None}

    def states(self) -> dict[int, State]:
        """Return what became of each generation."""
        return {n: one.state for n, one in sorted(self.generations().items())}

    def active(self) -> dict[str, str]:
        """Return package and digest of all that the cluster shall serve."""
        with self.ledger() as ledger:
            contents = ledger.contents(ledger.observe("").active)
            assert contents is not None
            return {name: e.digest for name, e in contents.entries.items()}

    def nodes(self) -> tuple[NodeRecord, ...]:
        """Return all nodes that the ledger knows."""
        with self.ledger() as ledger:
            return ledger.nodes()

    def wait_for_nodes(self, count: int) -> tuple[NodeRecord, ...]:
        """Wait until so many nodes are ready, all with the active generation."""

        def all_ready() -> tuple[NodeRecord, ...]:
            with self.ledger() as ledger:
                active, nodes = ledger.observe("").active, ledger.nodes()
            ready = tuple(
                n
                for n in nodes
                if n.state is NodeState.READY and n.generation == active
            )
            return ready if len(ready) == count else ()

        return wait_for(all_ready, f"{count} nodes serve the active generation")

    def wait_until_decided(self) -> dict[int, Generation]:
        """Wait until nothing is on its way; return all generations."""

        def decided() -> dict[int, Generation]:
            found = self.generations()
            open_ = {State.QUEUED, State.STAGING}
            return {} if any(g.state in open_ for g in found.values()) else found

        return wait_for(decided, "nothing is on its way any more", 60)

    # FILES

    def drop(self, **sources: str) -> None:
        """Move modules into the pick-up directory, each complete."""
        for name, text in sources.items():
            _moved(self.pickup / f"{name}.py", text)

    def keep(self, **sources: str) -> None:
        """Move modules into the archive directory, each complete."""
        for name, text in sources.items():
            _moved(self.archives / f"{name}.py", text)

    def files_in(self, folder: Path) -> list[str]:
        """Return the names of all files below a folder, hidden ones too."""
        found = (p for p in folder.rglob("*") if p.is_file())
        return sorted(str(path.relative_to(folder)) for path in found)


def _moved(path: Path, source: str) -> None:
    path.parent.mkdir(exist_ok=True)
    beside = path.parent.parent / f"{path.name}.part"
    beside.write_text(source)
    beside.rename(path)
