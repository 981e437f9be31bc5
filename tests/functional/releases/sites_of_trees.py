"""A site with small releases, and a server for it that is a file."""

from __future__ import annotations

import json
import os
import signal
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pointsman import faults
from pointsman.errors import ReleaseError
from pointsman.releases.activation import Activation
from pointsman.releases.layout import Release
from pointsman.releases.server import Account, Moved, Seen
from pointsman.releases.store import Store
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pointsman.releases.manifest import Python
    from pointsman.releases.server import OnStep

SELF_TEST = "#!/bin/sh\necho checked\nexit {code}\n"


def build(
    root: Path,
    version: str,
    files: Mapping[str, str] | None = None,
    python: Python | None = None,
) -> Release:
    """Seal a release; what lies in ``bin/`` can be executed."""
    with Building(root, "site", version) as building:
        building.write("lib/site.py", f"VERSION = {version!r}\n")
        for path, text in (files or {}).items():
            building.write(path, text, 0o555 if path.startswith("bin/") else 0o444)
        return building.seal(requires={}, python=python)


def killed_at(point: str, call: Callable[[], object]) -> None:
    """Call it in a child of this process, which must be killed at a point of it."""
    with warnings.catch_warnings():
        # The clients of a test are threads, which the child neither has nor needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            faults._WANTED = point
            call()
        finally:
            os._exit(0)
    assert -signal.SIGKILL == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class FileServer:
    """Serves in name only: which release, and what becomes of a switch, is in a file.

    So it outlives the process that asks.  ``fails`` is why the next switch is not
    kept; ``decides`` is whether it ends a switch when nobody waits.
    """

    def __init__(self, file: Path, *, decides: bool = True) -> None:
        self.decides = decides
        self._file = file

    @property
    def state(self) -> dict[str, Any]:
        """Return what is noted."""
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self._file.read_text())
            return found
        return {}

    def note(self, **facts: object) -> None:
        """Add to it."""
        self._file.write_text(json.dumps({**self.state, **facts}))

    def seen(self) -> Seen:
        state = self.state
        refused = state.get("refused")
        return Seen(
            running="serves" in state,
            release=Release.parse(state["serves"]) if state.get("serves") else None,
            deaf=bool(state.get("deaf")),
            undecided="candidate" in state,
            refused=Release.parse(refused) if refused else None,
            reason=state.get("reason", ""),
            account=Account(os.geteuid(), os.getegid()),
        )

    def switch(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        if self.state.get("says"):
            raise ReleaseError(self.state["says"])
        if self.decides:
            self.note(candidate=str(target))
        else:
            self.note(serves=str(target), before=self.state.get("serves", ""))
        on_step("started", "pid 4242")
        on_step("watching", f"{watch:g} s")
        faults.point("server.watched")
        return self.decide(target)

    def decide(self, target: Release) -> Moved:
        """End the switch, as a server does whether or not somebody waits."""
        state = self.state
        reason = state.get("fails", "")
        state.pop("candidate", None)
        if reason:
            state |= {"refused": str(target), "reason": reason}
            if not self.decides:
                state["serves"] = state["before"]
        else:
            state["serves"] = str(target)
        self._file.write_text(json.dumps(state))
        return Moved(not reason, reason, lost=2 if reason else 0, pid=4242)

    def start(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        return self.switch(target, watch=watch, on_step=on_step)

    def replace(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        self.note(deaf=False)
        return self.switch(target, watch=watch, on_step=on_step)

    def restore(self, release: Release | None, reason: str, on_step: OnStep) -> None:
        state = self.state
        candidate = state.pop("candidate", None)
        if candidate:
            state |= {"refused": candidate, "reason": reason}
        else:
            state["serves"] = str(release or "")
        self._file.write_text(json.dumps(state))


class Site:
    """The site, its releases 1.0 and 2.0, and its server."""

    def __init__(self, root: Path, *, decides: bool = True) -> None:
        self.root = root
        self.store = Store(root)
        self.server = FileServer(root.parent / "server.json", decides=decides)

    def activation(self, **options: Any) -> Activation:
        """Return one call."""
        return Activation(self.store, self.server, **options)

    def serve(self, version: str) -> Release:
        """Build a release that serves and is committed."""
        release = build(self.root, version)
        self.server.note(serves=str(release))
        self.store.commit(release)
        return release

    def records(self, *what: str) -> list[tuple[str, str]]:
        """Return what was logged of these kinds, with the releases."""
        found = self.store.history()
        return [(e.what, e.release) for e in found if not what or e.what in what]
