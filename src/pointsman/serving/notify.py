"""What systemd is told of a server: sd_notify(3), without its library.

Effects: datagrams to the socket that ``NOTIFY_SOCKET`` names.  The variable is taken
out of the environment, so that no program that a service runs speaks for us; whoever
starts a successor gives it on.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

VARIABLE = "NOTIFY_SOCKET"
# How long systemd may take to have read what was sent.
_BARRIER = 5.0


class Notifier:
    """Speaks to systemd; silent where there is none.  Any thread."""

    def __init__(self, address: str = "") -> None:
        """Send to ``address``: a path, or an abstract name behind an @."""
        self.address = address

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Take the address out of the environment."""
        return cls(environ.pop(VARIABLE, ""))

    def ready(self, status: str) -> None:
        """Tell that requests are answered, and in a sentence by what."""
        self._send("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """Tell that the end has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    def successor(self, pid: int, status: str) -> None:
        """Tell that another process is the main one now; to be called by the former."""
        self._send(f"MAINPID={pid}", "READY=1", f"STATUS={status}")

    def wait_until_read(self) -> None:
        """Wait until what was said has been read; to be called before the end.

        systemd does not believe a process that it cannot find any more.
        """
        if not self.address:
            return
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            self._send("BARRIER=1", descriptors=[writer])
            os.close(writer)
            waiter = select.poll()
            waiter.register(reader, select.POLLHUP)
            waiter.poll(_BARRIER * 1000)
        finally:
            os.close(reader)

    def _send(self, *words: str, descriptors: list[int] | None = None) -> None:
        """Send one message; that systemd does not listen is no reason to fail."""
        if not self.address:
            return
        where = self.address
        if where.startswith("@"):
            where = "\0" + where[1:]
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking,
        ):
            speaking.connect(where)
            message = "\n".join(word.replace("\n", " ") for word in words).encode()
            socket.send_fds(speaking, [message], descriptors or [])
