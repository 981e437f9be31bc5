"""The two kinds of directories whose files stay.  Engine."""

from __future__ import annotations

import contextlib
import errno
import logging
from typing import TYPE_CHECKING

from pointsman.cluster import Sighting
from pointsman.directories import texts
from pointsman.directories.desk import Part
from pointsman.directories.standing import Removals, Standing
from pointsman.sources import archives
from pointsman.sources.arrivals import Look
from pointsman.sources.pickup import PickUp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointsman.cluster import Actor
    from pointsman.directories.desk import Desk
    from pointsman.directories.failures import Why
    from pointsman.directories.views import View

_log = logging.getLogger(__name__)

#: Seconds that a file must be gone before its package is taken away: who replaces it by
#: removing it first shall not have it undeployed in between.
GRACE = 1.0

_NOWHERE = -1  # the device of a directory that is not there


class ArchiveDirectory(Standing):
    """The directory is the desired state: add, replace and remove.  One thread."""

    kind = "archives"

    def __init__(self, desk: Desk, path: Path, location: str, actor: Actor) -> None:
        """Look at nothing yet."""
        super().__init__(desk, path, location, actor)
        self._gone: dict[str, float] = {}  # since when
        self._device: int | None = None
        self._doubt = ""  # why it was not believed, until all is there again

    def source(self, file: str) -> str:
        """Return ``archives:<id>/<file>``."""
        return f"archives:{self.location}/{file}"

    def owners(self, view: View) -> tuple[dict[str, str], list[Sighting]]:
        """Let the recorded file have its package, or the first one by name."""
        found, refused = archives.owners(view.packages(), view.recorded)
        self.problems.update(refused)
        return found, []

    def unreadable(self, error: OSError) -> Look | None:
        """Hold what was in it; where it is gone, its removal can be confirmed."""
        super().unreadable(error)
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return None
        return Look(_NOWHERE, {}, {})

    def removals(self, view: View) -> Removals:
        """Take away what is gone for a moment, unless the directory is in doubt.

        Gone is also what a file was that is another package now.
        """
        now = self.desk.clock()
        gone = view.recorded.keys() - view.look.files.keys()
        self._gone = {name: self._gone.get(name, now) for name in gone}
        waits = [t + GRACE - now for t in self._gone.values() if t + GRACE > now]
        again = min(waits) if waits else None
        self.settling = bool(waits)
        became = view.became()
        lost = self._lost(view, gone | became.keys())
        doubt = self._doubts(view, lost)
        ripe = {name for name, since in self._gone.items() if now >= since + GRACE}
        if doubt:
            if self._lost(view, ripe | became.keys()):
                self._doubt = doubt
                self.held = archives.held(doubt, lost)
            return Removals(again=again, doubt=True)
        self._doubt, self._device = "", view.look.device
        parts = [
            Part(was.package, file, sighting=Sighting(self.location, file), was=was)
            for file, was in ((name, view.recorded[name]) for name in sorted(ripe))
        ]
        parts += [
            Part(was.package, file, was=was, successor=became[file])
            for file, was in ((name, view.recorded[name]) for name in sorted(became))
        ]
        going = tuple(
            part
            for part in parts
            if part.package in lost and not self.is_stuck(part.package, part.file, view)
        )
        struck = tuple(
            Sighting(self.location, name)
            for name in sorted(ripe)
            if view.recorded[name].package not in lost
        )
        return Removals(going, struck, again)

    def _lost(self, view: View, names: Iterable[str]) -> tuple[str, ...]:
        gone = [view.recorded[name] for name in names]
        there = set(view.packages().values())
        return archives.lost(gone, there, view.active.entries)

    def _doubts(self, view: View, lost: tuple[str, ...]) -> str:
        """Say why what is missing is not believed to be taken away; "" if it is."""
        if self.confirmed or not lost:
            return ""
        device, empty = view.look.device, ""
        if not view.look.files:
            absent = device == _NOWHERE
            empty = "it is not there" if absent else "it is suddenly empty"
        had = archives.lost(view.recorded.values(), (), view.active.entries)
        elsewhere = self._device not in (None, device)
        reason = archives.doubt(lost, had, empty=empty, elsewhere=elsewhere)
        return reason or self._doubt


class KeptPickUp(Standing):
    """A pick-up directory whose files stay: what is new in it is deployed.

    One thread.
    """

    kind = "pick-up"
    source_kind = "push"

    def __init__(self, desk: Desk, path: Path, location: str, actor: Actor) -> None:
        """Look at nothing yet."""
        super().__init__(desk, path, location, actor)
        self._files = PickUp(path)

    def source(self, file: str) -> str:  # noqa: ARG002 - it is all one
        """Return ``push``."""
        return "push"

    def owners(self, view: View) -> tuple[dict[str, str], list[Sighting]]:
        """Let the newest of the files that are new have its package."""
        digests = {name: one.digest for name, one in view.known.items() if one.package}
        new = archives.changed(digests, view.recorded)
        packages = {name: view.known[name].package for name in new}
        modified = {name: view.look.files[name].modified for name in new}
        found, refused = archives.newest(packages, modified)
        for name, reason in refused.items():
            self.problems[name] = reason
        recorded = [
            Sighting(self.location, name, digests[name], packages[name])
            for name in refused
        ]
        return found, recorded

    def removals(self, view: View) -> Removals:
        """Forget the files that are gone; what they deployed stays."""
        gone = view.recorded.keys() - view.look.files.keys()
        return Removals(struck=tuple(Sighting(self.location, n) for n in sorted(gone)))

    def deployed(self, part: Part) -> None:
        """Take the text of an older failure away."""
        self._files.untell(part.file)

    def out(self, file: str, why: Why) -> None:
        """Write down in ``failed`` why a file was not deployed."""
        text = texts.error_text(file, why, advice=self.advice)
        with contextlib.suppress(OSError):  # the directory may be read-only
            self._files.tell(file, text)
