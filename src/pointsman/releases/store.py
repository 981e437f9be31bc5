"""The releases of one site: listed, verified, committed, put away.  Effects."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.releases import (
    access,
    arrival,
    committed,
    contents,
    disposal,
    events,
    listing,
    lock,
    manifest,
    parts,
    pruning,
    quarantine,
    sites,
)
from pointsman.releases.events import Event
from pointsman.releases.journal import Journal
from pointsman.releases.layout import Root
from pointsman.releases.listing import Listed
from pointsman.releases.occupancy import alone
from pointsman.releases.pruning import Pruned
from pointsman.releases.quarantine import Isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.releases.layout import Release
    from pointsman.releases.manifest import Manifest

__all__ = ["Event", "Listed", "Pruned", "Store"]

_log = logging.getLogger(__name__)


class Store:
    """All releases of the site at ``root``.  For one thread.

    Methods that change something take the store's lock for themselves; use `locked`
    around several of them.  They raise ReleaseError when the root belongs to somebody
    else.  Methods that read work for anybody who may read the files.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        """Touch nothing yet."""
        self.root = Root(root.absolute())
        self.journal = Journal(self.root.journal, clock)
        self._clock = clock
        self._depth = 0

    def prepare(self) -> None:
        """Make the folders of the site that are missing.

        Raises:
            ReleaseError: the root belongs to somebody else, or cannot be written to.

        """
        sites.prepare(self.root)

    # WHAT IS THERE

    def releases(self) -> tuple[Listed, ...]:
        """Return all releases, the oldest version first."""
        return listing.releases(self.root)

    def find(self, text: str) -> Release:
        """Return the release that is called ``text``: NAME-VERSION, or VERSION alone.

        Raises:
            ReleaseError: there is none, or several; names what there is.

        """
        there = listing.present(self.root)
        found = [one for one in there if text in {str(one), one.version}]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(map(str, found))
            raise ReleaseError(f"{text} may be {names}; write its name, too")
        names = ", ".join(map(str, there)) or "no release"
        raise ReleaseError(f"{self.root.path} has no release {text}; it has {names}")

    def manifest(self, release: Release) -> Manifest:
        """Return what the tree of a release says of itself.

        Raises:
            ReleaseError: it is not there, or broken.

        """
        return manifest.read(self.root.tree(release))

    def verify(self, release: Release) -> tuple[str, ...]:
        """Compare every file with the manifest; return what is wrong, one a line."""
        tree = self.root.tree(release)
        try:
            return contents.differences(manifest.read(tree), tree)
        except ReleaseError as error:
            return (str(error),)

    def readable_by(self, release: Release, uid: int, gid: int) -> str:
        """Return which folder or file keeps the user from serving it, or "".

        Looks as that user, with all of the user's groups: from ``/`` to the tree, at
        the tree, and at the interpreter.

        Raises:
            ReleaseError: only root can look as another user; or the release is broken.

        """
        interpreter = Path(self.manifest(release).python.path)
        return access.obstacle(self.root.tree(release), interpreter, uid, gid)

    def current(self) -> Release | None:
        """Return the committed release, which a reboot starts; None before the first.

        Raises:
            ReleaseError: ``current`` is there, and not ours.

        """
        return committed.current(self.root)

    def previous(self) -> Release | None:
        """Return what was committed before `current` and may be activated."""
        return listing.previous(self.root, listing.present(self.root))

    def quarantined(self, release: Release) -> str:
        """Return why a release must not be activated, or "" when it may be.

        It holds for the content: the same version, pruned and built again with other
        content, is not in quarantine.
        """
        record = quarantine.get(self.root, release)
        if record is None or not record.means(self._digest(release)):
            return ""
        return record.reason

    # CHANGES

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Be the only command that changes the site; ``what`` is told to others.

        May be nested in one `Store`.  Builds are not kept out: they only add.

        Raises:
            ReleaseError: another one is at work (which, whose, its pid, since when), or
                the root belongs to somebody else.

        """
        if self._depth:
            yield
            return
        sites.prepare(self.root)
        with lock.locked(self.root.lock, what, self._clock()):
            self._depth = 1
            try:
                self._mend()
                yield
            finally:
                self._depth = 0

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        with self.locked(what), sites.told(self.root.path, f"{what} has failed"):
            yield

    def commit(self, release: Release) -> None:
        """Let `current` name the release, in one moment; nothing if it does already.

        Not logged: whoever commits tells why.

        Raises:
            ReleaseError: the release is not there or broken, or the disk is full;
                `current` is as it was.

        """
        with self._changing(f"commit {release}"):
            self.manifest(release)
            if committed.current(self.root) == release:
                return
            committed.commit(self.root, release)

    def quarantine(self, release: Release, reason: str) -> None:
        """Keep a release from being activated, until somebody clears it.

        The same once more, after a kill, changes nothing.
        """
        with self._changing(f"quarantine {release}"):
            at, by = events.utc(self._clock()), sites.operator()
            record = Isolated(self._digest(release), reason, at, by)
            quarantine.put(self.root, release, record)

    def clear(self, release: Release) -> None:
        """Take a release out of quarantine.

        Raises:
            ReleaseError: it is not in quarantine.

        """
        with self._changing(f"clear {release}"):
            quarantine.clear(self.root, release, self._clock())

    def prune(self, keep: int, *, quarantined: bool = False) -> tuple[Pruned, ...]:
        """Remove all but the ``keep`` newest versions; return what became of each.

        Never removed: what a process runs from, what is current or previous, what the
        journal names, what is broken; and what is in quarantine, unless ``quarantined``
        is true.  Without its tree it is still in quarantine.
        """
        with self._changing("prune"):
            self.recover()
            under_way = self.journal.read()
            facts = under_way.facts.values() if under_way is not None else ()
            named = {fact for fact in facts if isinstance(fact, str)}
            found = pruning.verdicts(
                self.releases(), keep, named=named, quarantined=quarantined
            )
            return tuple(self._prune(one) if one.removed else one for one in found)

    def _prune(self, one: Pruned) -> Pruned:
        tree = self.root.tree(one.release)
        with alone(tree) as free:
            if not free:  # since a moment ago
                return replace(one, removed=False, reason="it is in use")
            place = disposal.discard(self.root, tree)
        freed = disposal.empty(self.root, place, self._clock())
        return replace(one, freed=freed)

    def recover(self) -> tuple[str, ...]:
        """Finish or undo what killed commands left in the store; tell what was done.

        Half-deleted trees, and trees whose builder is dead; deleting takes its time.
        Every other change finishes all else.  An activation that was under way is not
        the store's: see `journal`.
        """
        with self._changing("recover"):
            return (
                *parts.tidy(self.root),
                *disposal.finish(self.root, self._clock()),
            )

    def _mend(self) -> None:
        """Finish or undo what takes a moment, before anything else is changed.

        What cannot be mended keeps nobody from, say, going back to another release.
        """
        try:
            disposal.restore(self.root)
            for folder in (self.root.path, self.root.store, self.root.quarantine):
                durable.tidy(folder)
            arrival.catch_up(self.root)
            quarantine.catch_up(self.root)
        except (OSError, ReleaseError) as error:
            _log.warning("%s is not in order: %s", self.root.path, error)

    def _digest(self, release: Release) -> str:
        found = listing.read(self.root, release)
        return "" if isinstance(found, ReleaseError) else found.digest

    # THE RECORD

    def log(
        self, what: str, release: Release | None = None, /, **detail: object
    ) -> None:
        """Append a line to releases.log; on the disk before this returns.

        Raises:
            ReleaseError: it cannot be written.

        """
        name = str(release) if release is not None else ""
        event = Event.now(self._clock(), what, name, detail)
        with sites.told(self.root.log, "the record cannot be written"):
            events.append(self.root.log, event)

    def history(self) -> tuple[Event, ...]:
        """Return all lines of releases.log, the oldest first."""
        with sites.told(self.root.log, "the record cannot be read"):
            return events.read(self.root.log)
