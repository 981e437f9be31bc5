"""A pick-up directory: what is dropped into it is deployed, and gone.  Engine.

Whatever happens, a file is in one of three places: where it was put, claimed, or in
``failed``.  Told as a timeline, with what a start after `kill -9` does::

    claimed                     not proposed: it is put back
    proposed                    (the claim is in the proposal's transaction) it waits
    decided: active             the claimed file is removed
    decided: failed             it moves to failed; the others are put back

A newer file of the same name, put there meanwhile, is another file: it stays.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pointsman import faults
from pointsman.directories import texts
from pointsman.directories.desk import ATTEMPTS, LATER, Batch, Part, Proposals, blamed
from pointsman.directories.failures import Why
from pointsman.directories.place import Place
from pointsman.errors import ArtifactError, LedgerError, Refused
from pointsman.sources.archives import newest
from pointsman.sources.arrivals import mark_of, open_for_writing
from pointsman.sources.pickup import PickUp, pieces

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from pointsman.cluster import Actor, Generation
    from pointsman.directories.desk import Decided, Desk
    from pointsman.sources.arrivals import Look, Seen
    from pointsman.sources.pickup import Claim

_log = logging.getLogger(__name__)

LOCKED = 2.0  # seconds until it is seen whether deployments are locked still
STILL_WRITTEN = 0.1  # seconds that a file is left alone that is written to after all
_NEWER = "a newer file of this name came before this one was deployed"
_ADVICE = "correct it, and copy it into the directory again."


class Taking(Place):
    """One pick-up directory that is emptied.  One thread."""

    kind = "pick-up"

    def __init__(self, desk: Desk, path: Path, location: str, actor: Actor) -> None:
        """Look at nothing yet."""
        super().__init__(desk, path, location)
        self._files = PickUp(path)
        self._proposals = Proposals(desk, actor)
        self._claim: Claim | None = None  # of the batch that is on its way
        # Files that were put back: until when, and why.
        self._later: dict[tuple[int, ...], tuple[float, str]] = {}

    # WHAT THE PLACE ASKS FOR

    def pending(self) -> bool:
        """Tell whether a batch is on its way."""
        return self._proposals.batch is not None

    def poll(self) -> None:
        """See whether the batch that is on its way is decided."""
        decided = self._proposals.poll()
        if decided is not None:
            self._finish(decided)

    def work(self, look: Look) -> Iterator[None]:
        """Take what is whole, once all that comes with it is there."""
        self._resume()
        if self.pending():
            return
        self.problems = dict(look.strangers)
        ready = self._ready(look)
        wait = self.gathering(look)
        if wait is not None:
            self.again(wait)
            return
        if ready:
            yield from self._take(ready)
        if not self.pending():
            self.again(self._soonest(look))

    def _soonest(self, look: Look) -> float | None:
        now = self.desk.clock()
        times = [until - now for until, _ in self._later.values()]
        for _, reason in self._later.values():
            self.trouble = self.trouble or reason
        times += [] if look.again is None else [look.again]
        return max(0.0, min(times)) if times else None

    def _ready(self, look: Look) -> dict[str, Seen]:
        now = self.desk.clock()
        there = {_kept(seen) for seen in look.files.values()}
        self._later = {
            mark: (until, reason)
            for mark, (until, reason) in self._later.items()
            if mark in there and until > now
        }
        ready = {}
        for name, seen in look.whole.items():
            if seen.link:
                self.problems[name] = "it is a link; copy the file itself"
            elif _kept(seen) not in self._later:
                ready[name] = seen
        return ready

    # TAKING

    def _take(self, ready: Mapping[str, Seen]) -> Iterator[None]:
        marks = [_kept(seen) for seen in ready.values()]
        lock = self.desk.ledger.lock_of()
        if lock is not None:
            reason = f"deployments are locked by {lock.actor.name}: {lock.reason}"
            self._postpone(marks, reason, LOCKED)
            return
        try:
            claim = self._files.claim(ready, self.desk.node)
        except OSError as error:
            reason = f"its files cannot be moved: {error.strerror or error}"
            self._postpone(marks, reason)
            return
        faults.point("picked-up")
        self._propose(claim, (yield from self._received(claim, ready)))

    def _received(
        self, claim: Claim, ready: Mapping[str, Seen]
    ) -> Generator[None, None, Batch | None]:
        """Bring claimed files into the ledger; None if all had to be put back."""
        parts: dict[str, Part] = {}
        for name in claim.files():
            path = claim.path(name)
            try:
                entry = self.desk.deployments.receive(name, self._pieces(path))
                if not _is_as_it_was(path, ready[name]):
                    self._put_back_one(claim, name)
                    continue
            except (OSError, LedgerError) as error:
                self._put_back(claim, str(error))
                return None
            except (ArtifactError, Refused) as error:
                if isinstance(error, Refused) and error.status in LATER:
                    self._put_back(claim, error.detail)
                    return None
                self._fail(claim, name, Why(str(error)))
            else:
                parts[name] = Part(entry.package, name, entry, path)
            yield
        return Batch(self._unique(claim, parts, ready), claim=claim.id)

    def _pieces(self, path: Path) -> Iterator[bytes]:
        for piece in pieces(path):
            if self.desk.closing.is_set():
                raise InterruptedError("this process ends")
            yield piece

    def _unique(
        self, claim: Claim, parts: Mapping[str, Part], ready: Mapping[str, Seen]
    ) -> dict[str, Part]:
        """Return the newest file of each package; the others fail."""
        packages = {name: part.package for name, part in parts.items()}
        found, losers = newest(packages, {n: ready[n].modified for n in parts})
        for name, reason in losers.items():
            self._fail(claim, name, Why(reason), packages[name])
        return {package: parts[name] for package, name in found.items()}

    def _propose(self, claim: Claim, batch: Batch | None) -> None:
        """Propose what is left of a batch; who is refused is taken out."""
        if batch is None:
            return
        while batch.parts:
            try:
                self._claim = claim
                self._proposals.propose(batch)
            except LedgerError:
                # Nobody knows whether it is proposed; `_resume` finds that out.
                self._claim = None
                raise
            except Refused as error:
                self._claim = None
                if error.status in LATER:
                    self._put_back(claim, error.detail)
                    return
                out = blamed(error, batch)
                self._all_fail(claim, batch, out)
                batch = batch.without(out)
            else:
                self.notes.generations.append(self._proposals.number)
                return
        self._files.release(claim)

    # WHAT BECAME OF IT

    def _finish(self, decided: Decided) -> None:
        claim, batch = self._claim, decided.batch
        self._claim = None
        if claim is None:
            return
        if decided.active:
            self._remove(claim, decided)
            return
        self._all_fail(claim, batch, decided.failed)
        rest = batch.without(decided.failed)
        if batch.adopted:
            self._restore(claim)
        elif not rest.parts:
            self._files.release(claim)
        elif batch.attempt < ATTEMPTS:
            new = self._files.renew(claim, self.desk.node)
            parts = {
                name: replace(part, path=new.path(part.file))
                for name, part in rest.parts.items()
            }
            self._propose(new, replace(rest, parts=parts).again(new.id))
        else:
            self._give_up(claim, rest, decided)

    def _give_up(self, claim: Claim, rest: Batch, decided: Decided) -> None:
        others = ", ".join(sorted(decided.failed))
        reason = (
            f"it came with others of which some failed in each of {ATTEMPTS} "
            f"generations, {others} in the last; nothing is known against it"
        )
        why = Why(reason, generation=decided.generation)
        self._all_fail(claim, rest, dict.fromkeys(rest.parts, why))
        self._files.release(claim)

    def _remove(self, claim: Claim, decided: Decided) -> None:
        faults.point("removing")
        for name in claim.files():
            self._files.remove(claim, name)
        self._files.release(claim)
        for part in decided.batch.parts.values():
            self.note(texts.done(part, decided.before))
        _log.info(
            "%s: %d packages are in generation %d, and picked up",
            self.path,
            len(decided.batch.parts),
            decided.generation,
        )

    def _all_fail(self, claim: Claim, batch: Batch, out: Mapping[str, Why]) -> None:
        for name, why in out.items():
            self._fail(claim, batch.parts[name].file, why, name)

    def _fail(self, claim: Claim, name: str, why: Why, package: str = "") -> None:
        """Move a file to ``failed``; where that cannot be, back to its place for now.

        The others that came with it must not wait for it.
        """
        shown = texts.printable(name)
        text = texts.error_text(shown, why, advice=_ADVICE)
        self.note(texts.refused(package or shown, shown, why))
        try:
            self._files.fail(claim, name, text)
        except OSError as error:
            reason = f"{shown} cannot be moved to failed: {error.strerror or error}"
            self._postpone([mark_of(claim.path(name).stat())[:4]], reason)
            if not self._files.put_back_one(claim, name):
                raise  # a newer one lies there: neither may be lost
            return
        _log.error("%s: %s is in failed: %s", self.path, shown, why.reason)

    # PUTTING BACK

    def _put_back(self, claim: Claim, reason: str) -> None:
        """Put all files back for now; they are tried again."""
        marks = []
        for name in claim.files():
            with contextlib.suppress(FileNotFoundError):
                marks.append(mark_of(claim.path(name).stat())[:4])
        self._postpone(marks, reason)
        self._restore(claim)

    def _restore(self, claim: Claim) -> None:
        """Put all files of a claim back; where a newer one lies, the older fails."""
        for name in self._files.put_back(claim):
            self._fail(claim, name, Why(_NEWER))
        self._files.release(claim)

    def _put_back_one(self, claim: Claim, name: str) -> None:
        """Put a file back that somebody writes to after all."""
        _log.info("%s: somebody still writes to %s", self.path, name)
        mark = mark_of(claim.path(name).stat())[:4]
        self._later[mark] = (self.desk.clock() + STILL_WRITTEN, "")
        if not self._files.put_back_one(claim, name):
            self._fail(claim, name, Why(_NEWER))

    def _postpone(
        self, marks: Iterable[tuple[int, ...]], reason: str, at_most: float = 30.0
    ) -> None:
        until = self.desk.clock() + min(at_most, self.pause(reason))
        self._later.update(dict.fromkeys(marks, (until, reason)))

    # WHAT OTHERS HAVE LEFT

    def _resume(self) -> None:
        """Finish what a process has claimed that is gone, and what we lost track of."""
        for claim in self._files.claims():
            ours = claim.node == self.desk.node
            if self.pending() or not (ours or not self.desk.alive(claim.node)):
                continue
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                number = self.desk.ledger.claimed(claim.id)
                if not ours:
                    claim = self._files.adopt(claim, self.desk.node)  # noqa: PLW2901
                self._resumed(claim, number)

    def _resumed(self, claim: Claim, number: int | None) -> None:
        if number is None:
            self._restore(claim)
            return
        generation = self.desk.ledger.generation(number)
        if generation is None:
            why = Why(
                f"it was proposed as generation {number}, which is not kept any more; "
                "nobody can tell whether it was deployed"
            )
            for name in claim.files():
                self._fail(claim, name, why)
            self._files.release(claim)
            return
        _log.info(
            "%s: finishing what %s has picked up for generation %d",
            self.path,
            claim.node,
            number,
        )
        self._claim = claim
        self._proposals.adopt(_adopted(claim, generation), number)
        self.poll()


def _adopted(claim: Claim, generation: Generation) -> Batch:
    there = claim.files()
    parts = {
        entry.package: Part(entry.package, entry.file, entry, claim.path(entry.file))
        for entry in (change.entry for change in generation.changes)
        if entry is not None and entry.file in there
    }
    return Batch(parts, claim=claim.id, adopted=True)


def _kept(seen: Seen) -> tuple[int, ...]:
    """Return what stays of a file's mark when it is moved: not the time of change."""
    return seen.mark[:4]


def _is_as_it_was(path: Path, seen: Seen) -> bool:
    same = mark_of(path.stat())[:4] == _kept(seen)
    return same and not open_for_writing(path)
