"""Apache with mod_wsgi, moved to another release process by process.  Effects.

A switch writes which tree new daemon processes load (`apache_files`), and then asks one
process after the other to end: SIGUSR1, which lets its requests finish on the old code
while the others answer.  Apache starts another in its place, which loads the new
release before it takes a request.  No ``graceful``: that cuts what the daemons do.

Which process runs from which tree is told by the locks that they hold.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases import listing, manifest, occupancy
from pointsman.releases.apache_files import ApacheFiles
from pointsman.releases.server import Account, Moved, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pointsman.releases.layout import Release, Root
    from pointsman.releases.server import OnStep

READY_TIMEOUT = 120.0
_LOOK = 0.1
_PROGRAMS = frozenset({"apache2", "httpd"})


@dataclass(frozen=True, slots=True)
class _Process:
    """One process of Apache: the trees that it has locked, and whether it serves."""

    trees: frozenset[Release]
    ready: bool


@dataclass(slots=True)
class _Move:
    """What has come of moving processes to ``target``; ``old`` were there before."""

    files: ApacheFiles
    target: Release
    old: frozenset[int]
    ended: int = 0
    arrived: set[int] = field(default_factory=set)
    reason: str = ""

    def look(self, processes: Mapping[int, _Process]) -> bool:
        """Note who has come; tell whether those that have ended are replaced."""
        new = {pid: one for pid, one in processes.items() if pid not in self.old}
        failed = self.files.failures()
        strayed = [p for p, one in new.items() if one.ready and self._strays(one)]
        self.arrived |= {pid for pid, one in new.items() if one.ready}
        gone = len(self.arrived - new.keys())
        if failed:
            self.reason = (
                f"pid {min(failed)} of Apache cannot load {failed[min(failed)]}"
            )
        elif strayed:
            self.reason = f"pid {strayed[0]} of Apache could not load it; see its log"
        elif gone > len(self.old):
            self.reason = f"{gone} processes of Apache have died with it"
        return bool(self.reason) or len(self.arrived) >= self.ended

    def _strays(self, process: _Process) -> bool:
        """Tell whether it has loaded another release, perhaps after a failure."""
        return process.trees != {self.target}


class Apache:
    """The daemon processes of one site.  One thread.

    ``ready_timeout``: for how many seconds a process may end its requests, and for how
    many another may take to load the release.  Signals reach only processes of our
    own user, or all when we are root.
    """

    decides = False

    def __init__(
        self,
        root: Root,
        *,
        ready_timeout: float = READY_TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Look at nothing yet."""
        self._root = root
        self._files = ApacheFiles(root, patience=min(ready_timeout, 20.0))
        self._ready_timeout, self._sleep = ready_timeout, sleep

    def seen(self) -> Seen:
        """Look which processes run, and what they would load now."""
        running = self._processes()
        if not running:
            return Seen()
        release = self._files.pointed()
        account = _account(min(running))
        return Seen(running=True, release=release, account=account)

    def switch(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Move all processes to the release, one after the other."""
        before, old = self._files.pointed(), self._processes()
        self._files.forget_failures()
        if self._files.prepare(target):
            on_step("configured", f"{self._files.configuration}, when Apache restarts")
        self._files.point(target, before)
        point("release.pointed")
        on_step("started", f"moving {len(old)} processes")
        move = _Move(self._files, target, frozenset(old))
        reason = self._move(old, move) or self._watch(move, watch, on_step)
        if reason:
            if before is not None:
                self.restore(before, reason, on_step)
            return Moved(kept=False, reason=reason)
        self._files.point(target)
        return Moved(kept=True, pid=min(self._processes(), default=0))

    def start(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Let Apache load the release when it starts; it is not ours to start."""
        del watch
        self._files.prepare(target)
        self._files.point(target)
        on_step("configured", f"Apache shall include {self._files.configuration}")
        return Moved(kept=True)

    def replace(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Do as for a switch: whether a process is deaf, Apache itself finds out."""
        return self.switch(target, watch=watch, on_step=on_step)

    def restore(self, release: Release | None, reason: str, on_step: OnStep) -> None:
        """Move back whoever has loaded, or tried to load, another release."""
        del reason
        if release is None:
            raise ReleaseError(
                "no release was committed before; stop Apache, then try again"
            )
        on_step("taking back", str(release))
        self._files.prepare(release)
        self._files.point(release)
        running = self._processes()
        failed = self._files.failures()
        strays = {
            pid
            for pid, one in running.items()
            if one.trees != {release} or pid in failed
        }
        self._files.forget_failures()
        move = _Move(self._files, release, frozenset(running))
        problem = self._move(strays, move)
        if problem:
            raise ReleaseError(f"{release} does not serve again: {problem}")

    # PROCESSES

    def _processes(self) -> dict[int, _Process]:
        """Return Apache's processes that run from trees of this site."""
        releases = listing.present(self._root)
        files = {self._root.tree(one) / manifest.FILE: one for one in releases}
        locked = occupancy.pids([*files, self._files.script])
        ready = locked.pop(self._files.script, ())
        trees: dict[int, set[Release]] = {}
        for path, pids in locked.items():
            for pid in filter(_is_apache, pids):
                trees.setdefault(pid, set()).add(files[path])
        return {p: _Process(frozenset(of), p in ready) for p, of in trees.items()}

    def _move(self, processes: Iterable[int], move: _Move) -> str:
        """End these processes one by one; return why that was given up, or nothing."""
        for pid in sorted(processes):
            if not self._ended(pid):
                return f"pid {pid} still has requests after {self._ready_timeout:g} s"
            point("release.moved")
            move.ended += 1
            if not self._wait(lambda: move.look(self._processes())):
                return (
                    f"no process of Apache has loaded it in {self._ready_timeout:g} s; "
                    "see its error log, and whether WSGIImportScript names the script"
                )
            if move.reason:
                return move.reason
        return ""

    def _ended(self, pid: int) -> bool:
        """Ask a process to finish; tell whether it has."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            process = self._processes().get(pid)
            if process is None:  # it was another's pid by then
                return True
            # Who is not ready has no request, and may never come back from its import.
            number = signal.SIGUSR1 if process.ready else signal.SIGKILL
            signal.pidfd_send_signal(descriptor, number)
            return self._wait(lambda: pid not in self._processes())
        except ProcessLookupError:
            return True
        except PermissionError as error:
            message = f"pid {pid} of Apache belongs to another user; run it as root"
            raise ReleaseError(message) from error
        finally:
            os.close(descriptor)

    def _watch(self, move: _Move, watch: float, on_step: OnStep) -> str:
        on_step("ready", f"{len(move.arrived)} processes")
        on_step("watching", f"{watch:g} s")
        end = time.monotonic() + watch
        while (left := end - time.monotonic()) > 0:
            self._sleep(min(_LOOK, left))
            move.look(self._processes())
            if move.reason:
                return move.reason
        return ""

    def _wait(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + self._ready_timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self._sleep(_LOOK)
        return True


def _is_apache(pid: int) -> bool:
    """Tell whether a process is Apache's own: no command of the tree, no child."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/exe").readlink().name in _PROGRAMS
    return False


def _account(pid: int) -> Account | None:
    with suppress(OSError):
        found = Path(f"/proc/{pid}").stat()
        return Account(found.st_uid, found.st_gid)
    return None
