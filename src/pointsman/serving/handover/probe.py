"""A real request to the server of this process, over a connection of its own.

Effects.  The sockets that two servers share prove nothing: either may answer.  So one
end of a pair is given to the server as if it had been accepted, and the request goes
through its loop, its queue, its threads and the application like any other.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointsman.serving.server import Server

_REQUEST = (
    b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"User-Agent: paster-readiness\r\n\r\n"
)
_BROKEN = 500
_PAUSE = 1.0


def status_of(server: Server, timeout: float) -> int:
    """Return the status of an answer; 0 when there was none in time."""
    ours, theirs = socket.socketpair()
    with ours, suppress(OSError, ValueError, IndexError):
        ours.settimeout(timeout)
        server.welcome(theirs)
        ours.sendall(_REQUEST)
        with ours.makefile("rb") as answer:
            return int(answer.readline(100).split()[1])
    return 0


class Prober:
    """Asks again and again, in a thread of its own, until it is stopped."""

    def __init__(self, server: Server, timeout: float) -> None:
        """Ask ``server``; each answer may take ``timeout`` seconds."""
        self._server, self._timeout = server, timeout
        self._over = threading.Event()
        self._asked_at: float | None = None
        #: How often in a row the answer was a failure of the server's.
        self.broken = 0

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    @property
    def waiting(self) -> float:
        """Return for how many seconds an answer has been waited for."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    def _run(self) -> None:
        while not self._over.wait(_PAUSE):
            if self._asked_at is None:
                self._asked_at = time.monotonic()
            status = status_of(self._server, self._timeout)
            if status:
                self._asked_at = None
            self.broken = self.broken + 1 if status >= _BROKEN else 0
