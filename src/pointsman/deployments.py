"""Everything that changes what the cluster serves goes through here.  Engine.

A change is proposed to the ledger, the nodes vote, and it is active or failed; who
asked can wait for that.  What is only looked at (`plan`, `diff`) proposes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman import faults
from pointsman.cluster import Change, Proposal
from pointsman.errors import Refused, did_you_mean
from pointsman.history import History
from pointsman.outlook import Outlook, no_package, require_once
from pointsman.uploads import Uploads
from pointsman.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from pointsman.artifacts import Artifacts
    from pointsman.cluster import Actor, Contents, Entry, Generation, Proposed, Sighting
    from pointsman.differences import Difference
    from pointsman.interfaces import Ledger
    from pointsman.outlook import Plan
    from pointsman.verdicts import Result


def _nobody(_: str) -> Collection[str]:
    return ()


def _asleep() -> None:
    pass


class Deployments:
    """Proposes changes and waits for them.  Any thread; blocks only where it says so.

    Raises `LedgerError` wherever the ledger cannot be used.
    """

    def __init__(
        self,
        ledger: Ledger,
        artifacts: Artifacts,
        *,
        uploads: Path,
        limit: int,
        timeout: float,
        wake: Callable[[], None] = _asleep,
        importers: Callable[[str], Collection[str]] = _nobody,
    ) -> None:
        """Take the collaborators.

        ``uploads`` is the folder for what is coming in, ``limit`` the bytes that an
        artifact may have (0: any), ``timeout`` the seconds that staging may take.
        ``wake`` lets the node of this process look at the ledger at once;
        ``importers`` says which packages import from one, at any distance.
        """
        self._ledger = ledger
        self._artifacts = artifacts
        self._timeout = timeout
        self._wake = wake
        self._importers = importers
        self._uploads = Uploads(ledger, artifacts, uploads, limit)
        self._history = History(ledger)
        self._outlook = Outlook(ledger, artifacts, importers)
        self._verdicts = Verdicts(ledger, wake)

    # WHAT COMES IN

    def receive(
        self,
        file: str,
        chunks: Iterable[bytes],
        *,
        package: str = "",
        source: str = "push",
        sha256: bytes | None = None,
    ) -> Entry:
        """Take an artifact in and store it in the ledger; nothing is proposed.

        Blocks as long as ``chunks`` take to come; what they raise goes through.
        Without ``file`` the content decides what it is, and ``package`` is needed.
        Whatever fails leaves nothing behind.

        Raises:
            Refused: 400, it has not the digest ``sha256``; 413, it is too large;
                507, this machine has no room for it.
            KindError: it is no artifact at all.
            ArtifactError: it is one, and cannot be used.

        """
        return self._uploads.receive(
            file, chunks, package=package, source=source, sha256=sha256
        )

    # WHAT IS PROPOSED

    def deploy(
        self,
        entries: Iterable[Entry],
        actor: Actor,
        *,
        note: str = "",
        if_match: int | None = None,
        remove: Iterable[str] = (),
        sightings: Iterable[Sighting] = (),
        claims: Iterable[str] = (),
    ) -> Proposed:
        """Propose that these packages are served, and those of ``remove`` are not.

        Raises:
            Refused: 400, a package is named twice; 409, 412 or 423; see
                `interfaces.Ledger.propose`.

        """
        changes = [Change(entry.package, entry) for entry in entries]
        changes += [Change(name) for name in remove]
        require_once(change.package for change in changes)
        proposal = Proposal(
            actor,
            "deploy" if any(change.entry for change in changes) else "undeploy",
            tuple(changes),
            note=note,
            if_match=if_match,
            sightings=tuple(sightings),
            claims=tuple(claims),
        )
        return self._propose(proposal)

    def undeploy(
        self,
        names: Iterable[str],
        actor: Actor,
        *,
        cascade: bool = False,
        note: str = "",
        if_match: int | None = None,
    ) -> Proposed:
        """Propose that packages are not served any more.

        With ``cascade`` those that import from them go with them.

        Raises:
            Refused: 404, there is no such package in the active generation; 409,
                others import from it; else as `deploy`.

        """
        active = self.active()
        gone = set(names)
        for name in sorted(gone):
            if name not in active.entries:
                raise no_package(name, active)
        importers = self.importers(gone)
        fixed = importers - active.entries.keys()
        if importers and (not cascade or fixed):
            raise _imported(gone, fixed or importers, can_cascade=not fixed)
        changes = tuple(Change(name) for name in sorted(gone | importers))
        return self._propose(
            Proposal(actor, "undeploy", changes, note=note, if_match=if_match)
        )

    def rollback(
        self,
        package: str,
        actor: Actor,
        *,
        to: int | str | None = None,
        note: str = "",
        if_match: int | None = None,
    ) -> Proposed:
        """Propose that a package is again what it was.

        ``to`` is a generation that was active, or the first hex digits of a digest;
        without it, what the package was before what it is.

        Raises:
            Refused: 404, there is nothing like that; 409, it was not there before,
                or it has to go and others import from it; else as `deploy`.

        """
        active = self.active()
        target = self._history.target(package, active, to)
        if target.entry is None and package in active.entries:
            importers = self.importers({package})
            if importers:
                raise _imported({package}, importers, can_cascade=False)
        if target.entry is None:
            note = note or f"generation {target.generation} did not have {package}"
        change = Change(package, target.entry)
        return self._propose(
            Proposal(actor, "rollback", (change,), note=note, if_match=if_match)
        )

    def rollback_to(
        self,
        number: int,
        actor: Actor,
        *,
        note: str = "",
        if_match: int | None = None,
    ) -> Proposed:
        """Propose the whole of a generation again, with its stopped services.

        Raises:
            Refused: 404, there is no such generation that was active; else as
                `deploy`.

        """
        active = self.active()
        wanted = self._history.once_active(number, active)
        changes = tuple(
            Change(name, wanted.entries.get(name))
            for name in sorted({*active.entries, *wanted.entries})
            if active.entries.get(name) != wanted.entries.get(name)
        )
        proposal = Proposal(
            actor,
            "rollback",
            changes,
            stop=wanted.stopped - active.stopped,
            start=active.stopped - wanted.stopped,
            note=note or f"to generation {number}",
            if_match=if_match,
        )
        return self._propose(proposal)

    def stop_services(
        self,
        names: Iterable[str],
        actor: Actor,
        known: Collection[str],
        *,
        note: str = "",
        if_match: int | None = None,
    ) -> Proposed:
        """Propose that services answer 503; ``known`` are all that there are.

        Raises:
            Refused: 404, there is no such service; else as `deploy`.

        """
        stop = _known(names, known)
        return self._propose(
            Proposal(actor, "stop", stop=stop, note=note, if_match=if_match)
        )

    def start_services(
        self,
        names: Iterable[str],
        actor: Actor,
        known: Collection[str],
        *,
        note: str = "",
        if_match: int | None = None,
    ) -> Proposed:
        """Propose that stopped services answer again.

        Raises:
            Refused: 404, there is no such service; else as `deploy`.

        """
        start = _known(names, {*known, *self.active().stopped})
        return self._propose(
            Proposal(actor, "start", start=start, note=note, if_match=if_match)
        )

    def _propose(self, proposal: Proposal) -> Proposed:
        proposed = self._ledger.propose(proposal, timeout=self._timeout)
        faults.point("proposed")
        self._wake()
        return proposed

    # WAITING

    def moved(self) -> None:
        """Let those who wait look at once: this process has voted or switched."""
        self._verdicts.moved()

    def wait(self, number: int, seconds: float) -> Generation:
        """Wait until it is decided, and all its voters serve it or have left.

        Blocks for ``seconds`` at most, and returns what is known then.

        Raises:
            Refused: 404, there is no such generation.

        """
        return self._verdicts.wait(number, seconds)

    def decide(self, proposed: Proposed, seconds: float) -> Result:
        """Wait as `wait` does; when the time is over, what we proposed is failed.

        What was there before (``proposed.unchanged``) is never failed by this.
        """
        return self._verdicts.decide(proposed, seconds)

    def generation(self, number: int) -> Generation:
        """Return the record of a generation.

        Raises:
            Refused: 404, there is none, or it is not kept any more.

        """
        return self._verdicts.generation(number)

    # LOOKING

    def importers(self, names: Collection[str]) -> set[str]:
        """Return the other packages that import from these, at any distance."""
        found = {other for name in names for other in self._importers(name)}
        return found - set(names)

    def active(self) -> Contents:
        """Return the active generation; an empty one with number 0 before the first."""
        return self._history.active()

    def plan(self, entries: Iterable[Entry], remove: Iterable[str] = ()) -> Plan:
        """Return what deploying would do; the entries are stored, nothing else.

        Raises:
            Refused: 400, a package is named twice; 404, one of ``remove`` is not
                there.

        """
        return self._outlook.plan(entries, remove)

    def diff(self, number: int) -> tuple[Difference, ...]:
        """Return what a generation changed of the one that was active before it.

        For one that is not active yet, or never was: what it wants to change.

        Raises:
            Refused: 404, it or the one before it is not kept any more.

        """
        return self._outlook.diff(self.generation(number))


def _imported(
    gone: Collection[str], importers: Collection[str], *, can_cascade: bool
) -> Refused:
    way = (
        "undeploy those first, or all with cascade"
        if can_cascade
        else "take the imports out of those first"
    )
    detail = (
        f"{', '.join(sorted(importers))} import from {', '.join(sorted(gone))}; {way}"
    )
    return Refused(409, "Conflict", detail)


def _known(names: Iterable[str], known: Collection[str]) -> frozenset[str]:
    wanted = frozenset(names)
    for name in sorted(wanted):
        if name not in known:
            near = did_you_mean(name, known)
            detail = f"there is no service {name[:200]!a}{near}"
            raise Refused(404, "Not Found", detail)
    return wanted
