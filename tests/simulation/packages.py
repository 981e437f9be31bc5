"""What is deployed: texts that load at once, slowly, not everywhere, or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.cluster import Entry
from pointsman.model import Artifact, Kind, Outcome, Package
from pointsman.planning import changes
from pointsman.round import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.interfaces import Ledger
    from pointsman.model import Scan
    from simulation.processes import Process


@dataclass(frozen=True, slots=True)
class Text:
    """One version of a package, and what happens where it is loaded."""

    package: str
    content: bytes
    seconds: float = 0.002  # of loading
    fails_on: frozenset[str] = frozenset()  # hosts
    fails: float = 0.0  # how many of all loads

    @property
    def digest(self) -> str:
        """Return its name in the ledger."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def entry(self) -> Entry:
        """Return what a generation has of it."""
        file = f"{self.package}.py"
        size = len(self.content)
        return Entry(self.package, self.digest, Kind.MODULE, file, size=size)


@dataclass(slots=True)
class Shelf:
    """All texts that there are, by digest."""

    texts: dict[str, Text] = field(default_factory=dict)

    def add(self, text: Text) -> Text:
        """Take in a text."""
        self.texts[text.digest] = text
        return text


class Cache:
    """One process's way to artifacts; what its machine has had, it keeps."""

    def __init__(self, process: Process, ledger: Ledger) -> None:
        self._process = process
        self._ledger = ledger

    def package(self, entry: Entry) -> Package:
        """Return what is to be loaded; from the ledger the first time.

        Raises:
            LedgerError: it cannot be read.

        """
        kept = self._process.host.kept
        if entry.digest not in kept:
            kept[entry.digest] = b"".join(self._ledger.chunks(entry.digest))
        artifact = Artifact(
            entry.package, Kind.MODULE, {entry.file: kept[entry.digest]}
        )
        return Package(entry.package, artifact, source=entry.source)


class Loads:
    """What `switching.Switching` does, with code that only takes time, or fails."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._staged: dict[str, Package | None] = {}
        self.active: dict[str, Package] = {}
        self.number = 0
        self.stopped: frozenset[str] = frozenset()
        self.is_loading = False

    def stage(self, wanted: Mapping[str, Package | None]) -> dict[str, Refusal]:
        """See `Switching.stage`."""
        refused = self._load(wanted)
        if not refused:
            self._staged = dict(wanted)
        return refused

    def _load(self, wanted: Mapping[str, Package | None]) -> dict[str, Refusal]:
        self.is_loading = True
        refused = self._loaded(wanted)
        self.is_loading = False
        return refused

    def _loaded(self, wanted: Mapping[str, Package | None]) -> dict[str, Refusal]:
        random = self._process.random
        refused = {}
        for name, package in sorted(wanted.items()):
            if package is None:
                continue
            text = self._process.shelf.texts[package.artifact.digest]
            self._process.pass_time(text.seconds * random.uniform(0.5, 1.5))
            name_of_host = self._process.host.name
            if name_of_host in text.fails_on or random.random() < text.fails:
                refused[name] = Refusal(f"does not load on {name_of_host}")
        return refused

    def switch(self, number: int, stopped: frozenset[str]) -> None:
        """See `Switching.switch`."""
        wanted, self._staged = self._staged, {}
        self._go(wanted, number, stopped)

    def discard(self) -> None:
        """See `Switching.discard`."""
        self._staged = {}

    def join(
        self, scan: Scan, required: frozenset[str], number: int, stopped: frozenset[str]
    ) -> tuple[bool, tuple[Outcome, ...]]:
        """See `Switching.join`."""
        wanted = changes(self.active, scan)
        refused = self._load(wanted)
        if refused:
            return False, tuple(
                Outcome(name, "failed", refusal.reason)
                for name, refusal in refused.items()
            )
        self._go(wanted, number, stopped)
        return True, ()

    def _go(
        self,
        wanted: Mapping[str, Package | None],
        number: int,
        stopped: frozenset[str],
    ) -> None:
        for name, package in wanted.items():
            if package is None:
                self.active.pop(name, None)
            else:
                self.active[name] = package
        self.number, self.stopped = number, stopped
        self._process.serves(number, self.active, stopped)
