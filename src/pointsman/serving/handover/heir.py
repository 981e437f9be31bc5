"""The successor, as its incumbent sees it: a child process at the end of a wire.

Effects.  One thread owns it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pointsman.errors import ReleaseError
from pointsman.serving import notify
from pointsman.serving.handover import wire
from pointsman.serving.processes import Identity
from pointsman.serving.tally import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.serving.handover.outcome import Plan
    from pointsman.serving.office import Office
    from pointsman.serving.server import Server

# What systemd, or an incumbent, told this process is for no other.
_NOT_INHERITED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", notify.VARIABLE)


class Heir:
    """A child that is to take over."""

    def __init__(self, process: subprocess.Popen[bytes], line: wire.Wire) -> None:
        """Use :func:`spawned`."""
        self.process, self.line, self.page = process, line, Page()
        self._pidfd = os.pidfd_open(process.pid)
        self._hung_up = False

    def bequeath(
        self, plan: Plan, server: Server, office: Office, notify_address: str
    ) -> None:
        """Hand over all that it needs to serve, and to be in charge one day."""
        own, sockets = Identity.own(), server.duplicates()
        try:
            self.line.say(
                [
                    self.page.descriptor,
                    office.file.descriptor,
                    office.desk.socket.fileno(),
                    *(each.fileno() for each in sockets),
                ],
                do="inherit",
                version=wire.VERSION,
                pid=own.pid,
                start=own.start,
                pid_file=str(office.file.path),
                origin=server.origin,
                notify=notify_address,
                drain_timeout=server.settings.drain_timeout,
                hang_timeout=plan.hang_timeout,
            )
        finally:
            for each in sockets:
                each.close()

    @property
    def pid(self) -> int:
        """Return its pid; it is ours to reap, so it stays its own."""
        return self.process.pid

    def alive(self) -> bool:
        """Tell whether it lives."""
        return self.process.poll() is None

    def wait(self, seconds: float, bell: int) -> bool:
        """Wait until it dies or says something, or for a ring; tell whether it lives.

        The death is noticed within a turn of the scheduler, not by polling.
        """
        watched = select.poll()
        watched.register(self._pidfd, select.POLLIN)
        watched.register(bell, select.POLLIN)
        if not self._hung_up:
            watched.register(self.line.fileno(), select.POLLIN)
        events = dict(watched.poll(max(0.0, seconds) * 1000))
        return self._pidfd not in events

    def said(self) -> dict[str, Any]:
        """Return what it has said and nobody has heard; nothing when there is none."""
        received = self.line.receive(0)
        self._hung_up = received is None
        return dict(received[0]) if received else {}

    def send(self, number: int) -> None:
        """Send a signal; any thread, also when it is dead.

        Its descriptor is closed with the switch, and is then nobody's to signal.
        """
        with suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, number)

    def end(self, patience: float) -> None:
        """Ask it to end; after ``patience`` seconds kill it.  Blocks."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """End it now."""
        self.process.kill()
        self.process.wait()

    def let_go(self) -> None:
        """Be its parent no more: it outlives us, and that is no leak."""
        self.process.returncode = 0

    def killed_by(self) -> str:
        """Return the name of the signal that killed it, "" for another death."""
        code = self.process.poll()
        if code is None or code >= 0:
            return ""
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"

    def close(self) -> None:
        """Let go of it; a child that lives goes on."""
        self.line.close()
        self.page.close()
        os.close(self._pidfd)


@contextmanager
def spawned(plan: Plan) -> Iterator[Heir]:
    """Start the successor; it is told nothing yet.

    Raises:
        ReleaseError: the program cannot be started.

    """
    ours, theirs = wire.pair()
    environ = dict(os.environ if plan.env is None else plan.env)
    for name in _NOT_INHERITED:
        environ.pop(name, None)
    environ[wire.VARIABLE] = str(theirs.fileno())
    with theirs:
        try:
            process = _started(plan, environ, theirs.fileno())
        except OSError as error:
            ours.close()
            what = error.filename or plan.argv[0]
            reason = f"{what} cannot be started: {error.strerror}"
            raise ReleaseError(reason) from error
    heir = Heir(process, ours)
    try:
        yield heir
    finally:
        heir.close()


def _started(
    plan: Plan, environ: dict[str, str], descriptor: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - root or our own user asked for it
        list(plan.argv),
        env=environ,
        cwd=plan.cwd,
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
    )
