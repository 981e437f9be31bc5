"""What all directories of a node work with, and what they propose.  Engine."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman import archive
from pointsman.cluster import State
from pointsman.directories.failures import Why, failures
from pointsman.directories.imports import imports_among
from pointsman.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from pointsman.cluster import Actor, Entry, Generation, Sighting
    from pointsman.deployments import Deployments
    from pointsman.errors import Refused
    from pointsman.interfaces import Ledger

#: How many generations one batch may take.
ATTEMPTS = 3

#: Refusals that have nothing to do with the files: they may go in later.
LATER = (423, 507)

_DECIDED = (State.ACTIVE, State.RETIRED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Desk:
    """The collaborators.  ``wait`` is how long a batch may be staged, in seconds."""

    node: str
    ledger: Ledger
    deployments: Deployments
    alive: Callable[[str], bool]
    importers: Callable[[str], Collection[str]]
    wait: float
    clock: Callable[[], float]
    closing: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Part:
    """One package of a batch; without ``entry`` it is taken away.

    ``path`` is where its file can be read, as long as the batch is on its way.
    """

    package: str
    file: str = ""
    entry: Entry | None = None
    path: Path | None = None
    sighting: Sighting | None = None
    was: Sighting | None = None  # what was recorded of a file that is gone
    # The package that its file has become: both go, or none, for a file is recorded
    # with one package only, and the other would be forgotten.
    successor: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes together.  ``sightings`` are recorded beside those of its parts."""

    parts: Mapping[str, Part]
    sightings: tuple[Sighting, ...] = ()
    claim: str = ""
    attempt: int = 1
    adopted: bool = False  # proposed by a process that is gone

    def without(self, names: Collection[str]) -> Batch:
        """Return it with fewer packages, and without what goes only with those."""
        out = set(names)
        for name, part in self.parts.items():
            if part.successor and not out.isdisjoint((name, part.successor)):
                out |= {name, part.successor}
        parts = {n: part for n, part in self.parts.items() if n not in out}
        return Batch(parts, self.sightings, self.claim, self.attempt, self.adopted)

    def again(self, claim: str = "") -> Batch:
        """Return it as the next attempt."""
        return Batch(self.parts, self.sightings, claim, self.attempt + 1)


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a batch.  ``failed`` is empty when it is active."""

    batch: Batch
    generation: int
    active: bool
    failed: Mapping[str, Why]
    before: Mapping[str, Entry]  # what served when it was proposed


class Proposals:
    """One directory's proposals, one at a time.  One thread; never waits."""

    def __init__(self, desk: Desk, actor: Actor) -> None:
        """Nothing is on its way."""
        self.batch: Batch | None = None
        self.number = 0
        self.actor = actor
        self._desk = desk
        self._before: Mapping[str, Entry] = {}
        self._staged_at: float | None = None

    def propose(self, batch: Batch) -> None:
        """Propose a batch.

        Raises:
            Refused: see `interfaces.Ledger.propose`; nothing of it is proposed.
            LedgerError: it may have been proposed, or not.

        """
        before = self._desk.deployments.active().entries
        parts = batch.parts.values()
        seen = (part.sighting for part in parts if part.sighting is not None)
        proposed = self._desk.deployments.deploy(
            [part.entry for part in parts if part.entry is not None],
            self.actor,
            remove=[part.package for part in parts if part.entry is None],
            sightings=(*batch.sightings, *seen),
            claims=(batch.claim,) if batch.claim else (),
        )
        self._follow(batch, proposed.number, before)

    def adopt(self, batch: Batch, number: int) -> None:
        """Go on with what a process has proposed that is gone."""
        self._follow(batch, number, self._desk.deployments.active().entries)

    def _follow(self, batch: Batch, number: int, before: Mapping[str, Entry]) -> None:
        self.batch, self.number, self._before = batch, number, before
        self._staged_at = None

    def poll(self) -> Decided | None:
        """Return what became of the batch that is on its way, once it is decided."""
        batch = self.batch
        if batch is None:
            return None
        found = self._desk.ledger.generation(self.number)
        if found is not None and found.state not in _DECIDED:
            self._keep_time(found)
            return None
        self.batch = None
        failed: Mapping[str, Why] = {}
        active = found is not None and found.state is not State.FAILED
        if found is None:
            why = Why(f"generation {self.number} is not kept any more")
            failed = dict.fromkeys(batch.parts, why)
        elif not active:
            failed = self._failures(found, batch)
        return Decided(batch, self.number, active, failed, self._before)

    def _keep_time(self, generation: Generation) -> None:
        if generation.state is not State.STAGING:
            return
        now = self._desk.clock()
        self._staged_at = now if self._staged_at is None else self._staged_at
        if now - self._staged_at > self._desk.wait:
            reason = f"not decided within {self._desk.wait:g} s, and taken back"
            self._desk.ledger.abort(generation.number, reason)

    def _failures(self, generation: Generation, batch: Batch) -> Mapping[str, Why]:
        contents = {name: _files(part) for name, part in batch.parts.items()}
        return failures(
            generation, batch.parts, imports_among(contents), self._desk.importers
        )


def _files(part: Part) -> Mapping[str, bytes]:
    if part.entry is None or part.path is None:
        return {}
    try:
        return archive.open_package(part.path, part.entry).artifact.files
    except (ArtifactError, OSError):
        return {}


def blamed(refused: Refused, batch: Batch) -> dict[str, Why]:
    """Return for which packages a proposal was refused; all, if none is named."""
    why = Why(refused.detail)
    named = {name: why for name in batch.parts if name in refused.packages}
    return named or dict.fromkeys(batch.parts, why)
