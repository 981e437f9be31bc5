"""``paster serve`` of a site, as an activation moves it to another release.  Effects.

The running server starts its successor itself (`pointsman.serving.handover`); this
tells it what to start, and starts one where none runs.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release
from pointsman.releases.server import Account, Moved, Seen
from pointsman.serving import handover, pidfile, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.releases.layout import Root
    from pointsman.releases.server import OnStep
    from pointsman.serving.handover import Serving

PID_FILE, LOG_FILE = "paster.pid", "paster.log"
READY_TIMEOUT = 120.0
_LOOK = 0.2
# For a server that ends, or takes back: its drain, and its own patience.
_PATIENCE = 120.0


class Paster:
    """The server with the pid file of the site.  One thread.

    ``account`` is who shall serve where nobody does, by default the owner of
    ``shared/var``; only root can choose.
    """

    decides = True

    def __init__(
        self,
        root: Root,
        *,
        pid_file: Path | None = None,
        account: Account | None = None,
        ready_timeout: float = READY_TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask nobody yet."""
        self._root, self._account = root, account
        self._pid_file = pid_file or root.var / PID_FILE
        self._ready_timeout = ready_timeout
        self._sleep = sleep

    def seen(self) -> Seen:
        """Ask the server."""
        try:
            serving = handover.current(self._pid_file)
        except ReleaseError:
            return Seen(running=True, deaf=True, account=self._owner_of_process())
        if serving is None:
            return Seen()
        last = serving.last
        failed = last if last is not None and not last.committed else None
        return Seen(
            running=True,
            release=self._release(serving.tree),
            tree=serving.tree,
            undecided=bool(serving.switching),
            refused=self._release(failed.tree) if failed else None,
            reason=failed.reason if failed else "",
            account=Account(serving.user, serving.group),
        )

    def switch(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Let the running server hand over to the release."""
        serving = handover.current(self._pid_file)
        if serving is None:
            raise ReleaseError(f"the server of {self._pid_file} has just ended")
        others: list[str] = []

        def hear(step: handover.Step) -> None:
            if step.name == "ready" and self._release(step.details["tree"]) != target:
                others.append(step.details["tree"])
                handover.take_back(self._pid_file, "another release was asked for")
            on_step(*_told(step, watch))

        outcome = handover.switch(
            self._pid_file,
            self._command_after(serving, target),
            # A folder that goes with the old release would lead back into it.
            cwd=self._root.path.resolve() if self._release(str(serving.cwd)) else None,
            probation=watch,
            ready_timeout=self._ready_timeout,
            on_step=hear,
        )
        if others:
            raise ReleaseError(
                f"{others[0]} was started in the place of {target}, and taken back; "
                f"start the server as {self._root.path}/bin/start does, then try again"
            )
        reason = outcome.reason
        if outcome.traceback:
            reason = f"{reason}\n{outcome.traceback.rstrip()}"
        return Moved(outcome.committed, reason, outcome.lost, outcome.pid)

    def start(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Start the release in the background, and see that it stays ready."""
        try:
            return self._started(target, watch=watch, on_step=on_step)
        except KeyboardInterrupt:
            self._end_serving()  # nobody served before, and nobody has asked for it now
            raise

    def _started(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        done = subprocess.run(  # noqa: S603 - a command of a verified tree
            self._command(target, daemon=True),
            cwd=self._root.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            return Moved(kept=False, reason=_last_words(done.stdout))
        serving = self._current()
        if serving is None:
            return Moved(kept=False, reason="it ended as soon as it had started")
        on_step("ready", f"pid {serving.pid}")
        on_step("watching", f"{watch:g} s")
        return self._watched(serving, watch)

    def replace(self, target: Release, *, watch: float, on_step: OnStep) -> Moved:
        """Kill the server that does not answer, and start the release."""
        recorded = pidfile.read(self._pid_file)
        identity = recorded.identity() if recorded else None
        if identity is not None:
            on_step("killing", f"pid {identity.pid}, which answers nothing")
            _end(identity, 0)
        return self._started(target, watch=watch, on_step=on_step)

    def restore(self, release: Release | None, reason: str, on_step: OnStep) -> None:
        """Let the server take its successor back, if it still can."""
        on_step("taking back", str(release or ""))
        serving = self._current()
        if serving is None or not serving.switching:
            return
        handover.take_back(self._pid_file, reason)
        limit = time.monotonic() + _PATIENCE
        while (serving := self._current()) is not None and serving.switching:
            if time.monotonic() > limit:
                raise ReleaseError("the server has not taken it back; see its log")
            self._sleep(_LOOK)

    def _watched(self, first: Serving, watch: float) -> Moved:
        """Look at what has no incumbent that would do it, until the time is over."""
        limit = time.monotonic() + watch
        while True:
            serving = self._current()
            if serving is None or serving.pid != first.pid:
                return Moved(kept=False, reason=f"pid {first.pid} ended on probation")
            if not serving.ready:
                self._end_serving()
                return Moved(kept=False, reason="it was no longer ready on probation")
            left = limit - time.monotonic()
            if left <= 0:
                return Moved(kept=True, pid=first.pid)
            self._sleep(min(_LOOK, left))

    def _end_serving(self) -> None:
        recorded = pidfile.read(self._pid_file)
        identity = recorded.identity() if recorded else None
        if identity is not None:
            _end(identity, _PATIENCE)

    def _current(self) -> Serving | None:
        return handover.current(self._pid_file)

    # WHO AND WHAT

    def _release(self, tree: str) -> Release | None:
        """Return the release that a path lies in; None for one that lies elsewhere."""
        releases = self._root.releases.resolve()
        path = Path(tree)
        if not path.is_relative_to(releases) or path == releases:
            return None
        try:
            return Release.parse(path.relative_to(releases).parts[0])
        except ReleaseError:
            return None

    def _owner_of_process(self) -> Account | None:
        recorded = pidfile.read(self._pid_file)
        try:
            found = Path(f"/proc/{recorded.pid}").stat() if recorded else None
        except OSError:
            return None
        return Account(found.st_uid, found.st_gid) if found else None

    def _owner_of_var(self) -> Account:
        found = self._root.var.stat()
        return Account(found.st_uid, found.st_gid)

    def _command_after(self, serving: Serving, target: Release) -> list[str]:
        """Return how ``target`` is started after ``serving``: with the same words."""
        old = self._release(serving.tree)
        if old is None:
            return self._command(target, daemon=False)
        old_tree, new_tree = (self._root.tree(one).resolve() for one in (old, target))
        words = [real_path(word, serving.cwd, old_tree) for word in serving.argv]
        if str(old_tree / "bin" / "paster") not in words:
            return self._command(target, daemon=False)
        return same_words(words, old_tree, new_tree)

    def _command(self, target: Release, *, daemon: bool) -> list[str]:
        tree = self._root.tree(target).resolve()
        words = [str(tree / "bin" / "paster"), "serve", f"--pid-file={self._pid_file}"]
        if daemon:
            log = self._root.logs / LOG_FILE
            words += ["--daemon", f"--log-file={log}"]
            words += [f"--start-timeout={self._ready_timeout:g}"]
            account = self._account or self._owner_of_var()
            if os.geteuid() == 0 != account.uid:
                words += [f"--user={_name(account)}", f"--group={account.gid}"]
        return [*words, str(tree / "etc" / "deploy.ini")]


def real_path(word: str, cwd: Path, tree: Path) -> str:
    """Return a word as the real path into ``tree`` that it is, by whatever links.

    A relative one leads there from ``cwd``; all other words stay.
    """
    name, equals, path = word.partition("=")
    if equals and "/" not in name:
        return f"{name}={real_path(path, cwd, tree)}"
    real = (cwd / word).resolve()
    return str(real) if word and real.exists() and real.is_relative_to(tree) else word


def same_words(argv: Sequence[str], old: Path, new: Path) -> list[str]:
    """Return the command line of one tree for another one.

    What stands before the script is the interpreter of the old tree; the script names
    its own.
    """
    paster = str(old / "bin" / "paster")
    words = argv[argv.index(paster) :] if paster in argv else argv
    return [_moved(word, old, new) for word in words]


def _moved(word: str, old: Path, new: Path) -> str:
    """Return a word whose path leads into the new tree; a name may stand before it."""
    name, equals, path = word.partition("=")
    if equals and "/" not in name:
        return f"{name}={_moved(path, old, new)}"
    if word == str(old) or word.startswith(f"{old}/"):
        return str(new) + word.removeprefix(str(old))
    return word


def _told(step: handover.Step, watch: float) -> tuple[str, str]:
    known = step.details
    if step.name == "started":
        return "started", f"pid {known.get('pid')}"
    if step.name == "ready":
        return "ready", f"after {float(known.get('seconds', 0)):.1f} s"
    if step.name == "probation":
        return "watching", f"{watch:g} s"
    return step.name, str(known.get("reason", ""))


def _last_words(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return "\n".join(lines[-20:]) or "it did not start, and did not say why"


def _name(account: Account) -> str:
    try:
        return pwd.getpwuid(account.uid).pw_name
    except KeyError:
        return str(account.uid)


def _end(identity: processes.Identity, patience: float) -> None:
    """End a process: politely when there is patience for it."""
    with processes.hold(identity) as handle:
        if handle is None:
            return
        if patience:
            handle.send(signal.SIGTERM)
            if handle.gone(patience):
                return
        handle.send(signal.SIGKILL)
        handle.gone(_PATIENCE)
