"""A directory whose files stay: an archive directory, or a kept pick-up.  Engine.

What was seen is recorded in the ledger with the proposal that it made, whether that
succeeds or not: a file that failed is not tried again until it changes.  A batch that a
dead process left half-way is found in the ledger's history, and finished.
"""

from __future__ import annotations

import contextlib
import logging
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pointsman import archive
from pointsman.cluster import Sighting, State
from pointsman.directories import texts
from pointsman.directories.desk import ATTEMPTS, LATER, Batch, Part, Proposals, blamed
from pointsman.directories.failures import Why
from pointsman.directories.leftovers import leftover
from pointsman.directories.place import Place
from pointsman.directories.views import Known, View, clash, differing, digest_of
from pointsman.errors import ArtifactError, LedgerError, Refused
from pointsman.sources import archives
from pointsman.sources.arrivals import mark_of
from pointsman.sources.pickup import pieces

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping
    from pathlib import Path

    from pointsman.cluster import Actor
    from pointsman.directories.desk import Decided, Desk
    from pointsman.sources.arrivals import Look, Seen

_log = logging.getLogger(__name__)

LOCKED = 2.0  # seconds until it is seen whether deployments are locked still
TRUSTED = 55.0  # seconds for which nothing to do stays so, if no file changes
_HISTORY = 100  # generations in which an unfinished batch is looked for


@dataclass(frozen=True, slots=True)
class Removals:
    """What goes: packages, and files that are only struck off the record.

    ``again`` is in how many seconds there may be more.  ``doubt``: for the moment,
    nothing of the directory is believed.
    """

    parts: tuple[Part, ...] = ()
    struck: tuple[Sighting, ...] = ()
    again: float | None = None
    doubt: bool = False


class Standing(Place):
    """A directory that is compared with what was recorded of it.  One thread."""

    advice = "correct the file; it is tried again as soon as it changes."

    def __init__(self, desk: Desk, path: Path, location: str, actor: Actor) -> None:
        """Look at nothing yet."""
        super().__init__(desk, path, location)
        self._proposals = Proposals(desk, actor)
        self._known: dict[str, Known] = {}
        self._failed: dict[str, tuple[str, Why]] = {}  # file: digest, why
        self._refused: dict[str, tuple[str, int, Why]] = {}  # digest, generation, why
        self._stuck: dict[str, tuple[int, Why]] = {}  # package that cannot be removed
        self._recovered = False
        self._quiet: tuple[frozenset[tuple[int, ...]], float] | None = None
        self.differs: dict[str, str] = {}

    # FOR SUBCLASSES

    source_kind = "archives"

    @abstractmethod
    def source(self, file: str) -> str:
        """Return what `Entry.source` is for a file."""

    @abstractmethod
    def owners(self, view: View) -> tuple[dict[str, str], list[Sighting]]:
        """Return which file has which package, and what is only recorded.

        Notes the problems of the files that have not.
        """

    @abstractmethod
    def removals(self, view: View) -> Removals:
        """Return what goes; sets ``held`` when the directory is not believed."""

    def deployed(self, part: Part) -> None:
        """Hear that a file is served."""

    def out(self, file: str, why: Why) -> None:
        """Hear that a file failed."""

    # WHAT THE PLACE ASKS FOR

    def pending(self) -> bool:
        """Tell whether a batch is on its way."""
        return self._proposals.batch is not None

    def relieved(self) -> None:
        """Hear that another process may look at the directory from now on."""
        self._recovered = False
        self._quiet = None

    def poll(self) -> None:
        """See whether the batch that is on its way is decided."""
        decided = self._proposals.poll()
        if decided is not None:
            self._finish(decided)

    def work(self, look: Look) -> Iterator[None]:
        """Propose what changed, once all that comes with it is there."""
        if not self._recovered:
            self._recover()
            self._recovered = True
        if self.pending():
            return
        wait = self.gathering(look)
        if wait is not None:
            self.again(wait)
        elif self._is_quiet(look):
            self.again(look.again)
        else:
            yield from self._compare(look)
            if not self.pending():
                self.again(look.again)
                if self.look_at is None and not self.trouble:
                    self._quiet = (_marks(look), self.desk.clock())

    def _is_quiet(self, look: Look) -> bool:
        """Tell whether nothing has changed since nothing was to be done."""
        if self._quiet is None or self.asked or self.held:
            return False
        marks, since = self._quiet
        if marks == _marks(look) and self.desk.clock() - since < TRUSTED:
            return True
        self._quiet = None
        return False

    def _compare(self, look: Look) -> Iterator[None]:
        view = yield from self._view(look)
        self.problems = dict(look.strangers)
        self.differs = differing(view)
        self._old_problems(view)
        owner, recorded = self.owners(view)
        was, self.held = self.held, ""
        removals = self.removals(view)
        self.again(removals.again)
        if self.held and self.held != was:
            _log.error("%s: %s", self.path, self.held)
        if removals.doubt:
            return
        try:
            parts = yield from self._parts(view, owner)
        except (OSError, LedgerError) as error:
            self.again(self.pause(str(error)))
            return
        except Refused as error:
            self.again(min(LOCKED, self.pause(error.detail)))
            return
        parts |= {p.package: p for p in removals.parts if _may_go(p, parts)}
        sightings = (*removals.struck, *recorded)
        if parts:
            self._propose(Batch(parts, sightings))
        elif sightings:
            self.desk.ledger.sight(sightings)

    # LOOKING

    def _view(self, look: Look) -> Generator[None, None, View]:
        recorded = {s.file: s for s in self.desk.ledger.sightings(self.location)}
        known = {}
        for name, seen in look.whole.items():
            with contextlib.suppress(FileNotFoundError):
                known[name] = self._found(seen, recorded.get(name))
            yield
        self._known = known
        return View(look, recorded, self.desk.deployments.active(), known)

    def _found(self, seen: Seen, recorded: Sighting | None) -> Known:
        """Find out what a file is; read it only when it changed."""
        known = self._known.get(seen.name)
        if known is not None and known.mark == seen.mark:
            return known
        try:
            digest = digest_of(seen.path)
            if recorded is not None and recorded.digest == digest:
                return Known(seen.mark, digest, recorded.package)
            found = archive.identify(seen.path, seen.name)
        except FileNotFoundError:
            raise
        except ArtifactError as error:
            return Known(seen.mark, digest, refusal=str(error))
        except OSError as error:
            reason = f"it cannot be read: {error.strerror or error}"
            return Known(seen.mark, "", refusal=reason)
        return Known(seen.mark, digest, found.package)

    def _old_problems(self, view: View) -> None:
        """Tell again what is known against files that have not changed."""
        for name, one in view.known.items():
            if one.refusal:
                self.problems[name] = one.refusal
                self._out(name, one.digest, Why(one.refusal))
        self._failed = {
            name: (digest, why)
            for name, (digest, why) in self._failed.items()
            if name in view.look.files
            and view.known.get(name, Known((), digest)).digest == digest
        }
        for name, (_, why) in self._failed.items():
            self.problems[name] = why.reason

    def _out(self, name: str, digest: str, why: Why) -> None:
        """Write down, once, that a file failed."""
        if self._failed.get(name) != (digest, why):
            self._failed[name] = (digest, why)
            self.problems[name] = why.reason
            self.note(texts.refused(name, name, why))
            self.out(name, why)

    # PROPOSING

    def _parts(
        self, view: View, owner: Mapping[str, str]
    ) -> Generator[None, None, dict[str, Part]]:
        digests = {name: one.digest for name, one in view.known.items() if one.package}
        parts = {}
        for name in archives.changed(digests, view.recorded):
            if self._is_wanted(name, view, owner):
                part = self._received(view.look.files[name], view.known[name])
                if part is not None:
                    parts[part.package] = part
                yield
        return parts

    def _is_wanted(self, name: str, view: View, owner: Mapping[str, str]) -> bool:
        package = view.known[name].package
        if owner.get(package) != name or self._is_refused(name, view):
            return False
        if self._is_bound(name, view):
            return False
        serving = view.active.entries.get(package)
        if serving is None or serving.source_kind == self.source_kind:
            return True
        self.problems[name] = clash(name, package, serving)
        return False

    def _is_bound(self, name: str, view: View) -> bool:
        """Tell whether a file must stay what it was: that cannot be taken away."""
        if not view.is_another(name):
            return False
        return self.is_stuck(view.recorded[name].package, name, view)

    def _is_refused(self, name: str, view: View) -> bool:
        """Tell whether the ledger refused a file, and nothing has changed since."""
        known = self._refused.get(name)
        if known is None:
            return False
        digest, number, why = known
        if (digest, number) != (view.known[name].digest, view.active.number):
            del self._refused[name]
            return False
        self.problems[name] = why.reason
        return True

    def _received(self, seen: Seen, known: Known) -> Part | None:
        """Bring a file into the ledger; None if it cannot be, or has changed."""
        name, source = seen.name, self.source(seen.name)
        try:
            entry = self.desk.deployments.receive(
                name, self._pieces(seen.path), source=source
            )
            same = (
                entry.digest == known.digest and mark_of(seen.path.stat()) == seen.mark
            )
        except FileNotFoundError:
            same = False
        except (ArtifactError, Refused) as error:
            if isinstance(error, Refused) and error.status in LATER:
                raise
            self._known[name] = replace(known, package="", refusal=str(error))
            self.problems[name] = str(error)
            self._out(name, known.digest, Why(str(error)))
            return None
        if not same:  # it changes just now; the next look finds it
            self._known.pop(name, None)
            return None
        sighting = Sighting(self.location, name, entry.digest, entry.package)
        return Part(entry.package, name, entry, seen.path, sighting)

    def _pieces(self, path: Path) -> Iterator[bytes]:
        for piece in pieces(path):
            if self.desk.closing.is_set():
                raise InterruptedError("this process ends")
            yield piece

    def _propose(self, batch: Batch) -> None:
        while batch.parts:
            try:
                self._proposals.propose(batch)
            except Refused as error:
                if error.status in LATER:
                    self.again(min(LOCKED, self.pause(error.detail)))
                    return
                out = blamed(error, batch)
                self._all_refused(batch, out)
                batch = batch.without(out)
            else:
                self.notes.generations.append(self._proposals.number)
                return

    def _all_refused(self, batch: Batch, out: Mapping[str, Why]) -> None:
        """Remember what the ledger refused, until another generation is active."""
        number = self.desk.deployments.active().number
        for package, why in out.items():
            part = batch.parts[package]
            self.note(texts.refused(package, part.file, why))
            self.problems[part.file] = why.reason
            if part.entry is None:
                self._stuck[package] = (number, why)
            else:
                self._refused[part.file] = (part.entry.digest, number, why)

    def is_stuck(self, package: str, file: str, view: View) -> bool:
        """Tell whether a package could not be taken away, and still cannot."""
        known = self._stuck.get(package)
        if known is None:
            return False
        number, why = known
        if number != view.active.number:
            del self._stuck[package]
            return False
        self.problems[file] = why.reason
        return True

    # WHAT BECAME OF IT

    def _finish(self, decided: Decided) -> None:
        batch = decided.batch
        if decided.active:
            for part in batch.parts.values():
                self.note(texts.done(part, decided.before))
                self._failed.pop(part.file, None)
                self.deployed(part)
            _log.info("%s: generation %d has it", self.path, decided.generation)
            return
        out = dict(decided.failed)
        rest = batch.without(out)
        if rest.parts and batch.attempt >= ATTEMPTS:
            reason = (
                f"others that changed with it failed in each of {ATTEMPTS} "
                f"generations, {', '.join(sorted(out))} in the last; nothing is known "
                "against it"
            )
            why = Why(reason, generation=decided.generation)
            out |= dict.fromkeys(rest.parts, why)
            rest = rest.without(out)
        self._all_out(batch, out)
        if rest.parts:
            self._propose(rest.again())

    def _all_out(self, batch: Batch, out: Mapping[str, Why]) -> None:
        back = []
        number = self.desk.deployments.active().number
        for package, why in out.items():
            part = batch.parts[package]
            if part.entry is not None:
                self._out(part.file, part.entry.digest, why)
                continue
            self.note(texts.refused(package, part.file, why))
            self._stuck[package] = (number, why)
            self.problems[part.file] = why.reason
            if part.was is not None:  # as far as is recorded, it is there still
                back.append(part.was)
        back += _as_they_were(batch, out)
        if back:
            self.desk.ledger.sight(back)

    # WHAT OTHERS HAVE LEFT

    def _recover(self) -> None:
        """Go on with the last batch of this directory, if it is not done."""
        actor = self._proposals.actor
        for one in self.desk.ledger.generations(limit=_HISTORY):
            if one.actor != actor:
                continue
            if one.state in (State.QUEUED, State.STAGING, State.FAILED):
                self._adopt(one.number)
            return

    def _adopt(self, number: int) -> None:
        generation = self.desk.ledger.generation(number)
        if generation is None:
            return
        recorded = self.desk.ledger.sightings(self.location)
        serving = self.desk.deployments.active().entries
        batch = leftover(generation, self.path, recorded, serving, self.source)
        if batch is not None:
            self._proposals.adopt(batch, number)
            self.poll()

    def status(self) -> dict[str, object]:
        """Return what is known, for people; it becomes JSON."""
        return {**super().status(), "differs": dict(self.differs)}


def _may_go(part: Part, parts: Mapping[str, Part]) -> bool:
    """Tell whether nothing keeps a removal back: that its file's content is refused."""
    new = parts.get(part.successor)
    return not part.successor or (new is not None and new.file == part.file)


def _as_they_were(batch: Batch, out: Collection[str]) -> list[Sighting]:
    """Return what is recorded of files that failed to become other packages.

    The content that failed, so that it is not tried again; and what each still stands
    for, so that this goes when the file does.
    """
    return [
        replace(new.sighting, package=part.package)
        for part in batch.parts.values()
        if part.successor in out
        and (new := batch.parts[part.successor]).sighting is not None
    ]


def _marks(look: Look) -> frozenset[tuple[int, ...]]:
    return frozenset(seen.mark for seen in look.files.values())
