"""A real ledger with a node that votes as it is told, and directories beside it.

Nothing is loaded here: what directories do until a generation is decided, and after,
is seen faster and under more circumstances than with a node that serves.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import zipfile
from typing import TYPE_CHECKING, Any

from pointsman.artifacts import Artifacts
from pointsman.cluster import Actor, Failed, NodeRecord, NodeState, State, Vote
from pointsman.deployments import Deployments
from pointsman.directories import Directories
from pointsman.ledger import open_ledger
from pointsman.settings import parse
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from pointsman.cluster import Contents, Generation
    from pointsman.directories import DirectoryReport
    from pointsman.interfaces import Ledger

ACTOR = Actor("a test", "here")


class Voter(threading.Thread):
    """A node of the ledger: votes for every generation, or tells who fails.

    ``judge`` returns the failures for what a generation would serve; ``held`` keeps
    it from voting while it is set.
    """

    def __init__(self, ledger: Ledger, node: str) -> None:
        """Join; `start` begins to vote."""
        super().__init__(name=f"voter-{node}", daemon=True)
        self.judge: Callable[[Contents], tuple[Failed, ...]] = lambda _: ()
        self.held = threading.Event()
        self._ledger, self._node = ledger, node
        self._closing = threading.Event()
        record = NodeRecord(
            id=node,
            host="here",
            pid=os.getpid(),
            started=1,
            release="1",
            python="3",
            state=NodeState.JOINING,
            generation=0,
            joined_at=0.0,
            lease_until=0.0,
        )
        ledger.join(record, lease=600.0)
        ledger.ready(node, ledger.observe(node).active)

    def run(self) -> None:
        while not self._closing.wait(0.003):
            if self.held.is_set():
                continue
            staging = self._ledger.observe(self._node).staging
            mine = [v for v in staging.votes if v.node == self._node] if staging else []
            if staging and mine and mine[0].loaded is None:
                self._vote(staging.number)

    def _vote(self, number: int) -> None:
        contents = self._ledger.contents(number)
        failures = self.judge(contents) if contents is not None else ()
        reason = "; ".join(f"{f.package}: {f.reason}" for f in failures)
        vote = Vote(self._node, not failures, reason, failures)
        self._ledger.vote(vote, number)
        self._ledger.switched(self._node, number)

    def close(self) -> None:
        self._closing.set()
        self.join()


class WatchedSite:
    """A folder with a pick-up directory, two archive directories, and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pickup = folder / "pickup"
        self.archives = folder / "archives"
        self.outside = folder / "outside"
        for one in (self.pickup, self.archives, self.outside):
            one.mkdir()
        self.ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite")
        self.artifacts = Artifacts(self.ledger, folder / "artifacts")
        self.deployments = Deployments(
            self.ledger,
            self.artifacts,
            uploads=folder / "uploads",
            limit=10_000_000,
            timeout=30.0,
        )
        self.dead: set[str] = set()  # nodes
        self.wait = 20.0  # seconds until a generation is taken back
        self.importers: dict[str, set[str]] = {}  # among what is served
        self.voter = Voter(self.ledger, "voter")
        self.voter.start()
        self._made: list[Directories] = []

    def directories(self, node: str = "voter", **given: str) -> Directories:
        """Watch; without settings, the pick-up directory."""
        given = given or {"hot_deploy__pickup_dir": str(self.pickup)}
        strings = {key.replace("__", "."): text for key, text in given.items()}
        made = Directories(
            settings=parse({"work_dir": str(self.folder / "var"), **strings}),
            node=node,
            ledger=self.ledger,
            deployments=self.deployments,
            wait=self.wait,
            alive=lambda one: one not in self.dead,
            importers=lambda name: self.importers.get(name, ()),
        )
        self._made.append(made)
        made.start()
        return made

    def mirror(self, node: str = "voter", **given: str) -> Directories:
        """Watch the archive directory, which is called *one* in the ledger."""
        return self.directories(
            node,
            **{
                "archives__location": str(self.archives),
                "archives__id": "one",
                **given,
            },
        )

    # FILES

    def put(
        self, name: str, source: str = "x = 1\n", where: Path | None = None
    ) -> Path:
        """Put a whole file in, by a rename."""
        target = (where or self.pickup) / name
        hidden = self.outside / f"{name}.{time.monotonic_ns()}"
        hidden.write_text(source)
        hidden.replace(target)
        return target

    def put_all(self, files: dict[str, str], where: Path | None = None) -> None:
        """Put files in so that they arrive together."""
        for name, source in files.items():
            self.put(name, source, where)

    def archive(self, name: str, package: str, version: str = "1") -> Path:
        """Make an archive outside of all watched directories."""
        target = self.outside / name
        with zipfile.ZipFile(target, "w") as made:
            manifest = f"[package]\nname = {package}\nversion = {version}\n"
            made.writestr("service.ini", manifest)
            made.writestr(f"{package}.py", f"VERSION = {version!r}\n")
        return target

    def move_in(self, path: Path, where: Path | None = None) -> Path:
        """Move a file in from outside."""
        return path.replace((where or self.pickup) / path.name)

    # WHAT CAME OF IT

    def active(self) -> dict[str, str]:
        """Return the packages of the active generation, with their sources' text."""
        entries = self.deployments.active().entries
        return {name: self.text(entry.digest) for name, entry in entries.items()}

    def text(self, digest: str) -> str:
        """Return an artifact as text."""
        return b"".join(self.ledger.chunks(digest)).decode(errors="replace")

    def generations(self) -> list[Generation]:
        """Return all generations, the first one first, with their votes."""
        found = self.ledger.generations(limit=1000)
        records = [self.ledger.generation(one.number) for one in reversed(found)]
        return [one for one in records if one is not None and one.what != "start"]

    def states(self) -> list[State]:
        """Return the states of all generations, the first one first."""
        return [one.state for one in self.generations()]

    def until_active(self, expected: dict[str, str]) -> None:
        """Wait until just these packages are served."""
        wait_for(lambda: self.active() == expected, f"{expected} is served")

    def until_packages(self, *names: str) -> None:
        """Wait until just these packages are served."""
        wait_for(lambda: self.active().keys() == {*names}, f"{names} are served")

    def visible(self, where: Path | None = None) -> list[str]:
        """Return the names in a directory that people see."""
        return sorted(p.name for p in (where or self.pickup).iterdir() if _shown(p))

    def failed(self) -> list[str]:
        """Return the names in ``failed``."""
        folder = self.pickup / "failed"
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def error(self, name: str) -> str:
        """Return what is told of a file that failed."""
        return (self.pickup / "failed" / f"{name}.error.txt").read_text()

    def break_package(self, *names: str, reason: str = "it breaks") -> None:
        """Let every generation fail that has one of these packages."""

        def judge(contents: Contents) -> tuple[Failed, ...]:
            found = [name for name in names if name in contents.entries]
            return tuple(Failed(n, reason, f"Traceback of {n}") for n in found)

        self.voter.judge = judge

    def break_source(self, word: str, reason: str = "it breaks") -> None:
        """Let every generation fail that has a package with this in its source."""

        def judge(contents: Contents) -> tuple[Failed, ...]:
            entries = contents.entries.items()
            found = [n for n, e in entries if word in self.text(e.digest)]
            return tuple(Failed(n, reason, f"Traceback of {n}") for n in sorted(found))

        self.voter.judge = judge

    def break_when(
        self, condition: Callable[[Collection[str]], bool], name: str, reason: str
    ) -> None:
        """Let a package fail in every generation whose packages are so."""

        def judge(contents: Contents) -> tuple[Failed, ...]:
            fails = condition(contents.entries.keys())
            return (Failed(name, reason),) if fails else ()

        self.voter.judge = judge

    def close(self) -> None:
        """End everything."""
        for made in self._made:
            made.close()
        self.voter.close()
        self.ledger.close()
        shutil.rmtree(self.folder / "uploads", ignore_errors=True)


def _shown(path: Path) -> bool:
    return not path.name.startswith(".")


def only(reports: tuple[DirectoryReport, ...]) -> DirectoryReport:
    """Return the one report."""
    (report,) = reports
    return report


def place(directories: Directories, number: int = 0) -> dict[str, Any]:
    """Return what is known of one directory."""
    found: dict[str, Any] = directories.status()[number]
    return found
