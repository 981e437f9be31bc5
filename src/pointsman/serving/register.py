"""The server that runs in this process, for whoever asks about it.

Effects: one slot, guarded by a condition.  The runner puts its server in; status,
readiness and later hand-over look here.  A process has one server.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.serving.server import Server

_changed = threading.Condition()  # guards _servers
_servers: list[Server] = []


@contextmanager
def registered(server: Server) -> Iterator[None]:
    """Show the server while the caller runs it.  It listens already."""
    with _changed:
        _servers.append(server)
        _changed.notify_all()
    try:
        yield
    finally:
        with _changed:
            _servers.remove(server)


def current() -> Server | None:
    """Return the server that runs now; any thread may ask."""
    with _changed:
        return _servers[-1] if _servers else None


def awaited(timeout: float) -> Server | None:
    """Wait for a server, at most ``timeout`` seconds."""
    with _changed:
        _changed.wait_for(lambda: bool(_servers), timeout)
        return _servers[-1] if _servers else None
