"""Proof that a server answers: one real request over each of its addresses.

Effects.  Any status counts as an answer; what counts as healthy is the business of
the application.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pointsman.serving import register, sockets

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not bound
_PAUSE = 0.05


def proven(timeout: float, wanted: Callable[[], bool]) -> tuple[str, ...] | None:
    """Wait until the server of this process has answered; return its addresses.

    Runs in a thread of its own.  Returns None after ``timeout`` seconds, or when
    ``wanted`` says that nobody wants to know any more.
    """
    end = time.monotonic() + timeout
    while wanted() and time.monotonic() < end:
        listening = _listening()
        try:
            left = end - time.monotonic()
            if listening and all(answers(each, left) for each in listening):
                return _addresses(listening)
        finally:
            for each in listening:
                each.close()
        time.sleep(_PAUSE)
    return None


def _listening() -> list[socket.socket]:
    """Return duplicates of the sockets that serve, for any kind of server."""
    server = register.awaited(_PAUSE)
    if server is not None:
        return server.duplicates()
    found = []
    for each in sockets.own_listening():
        if each.family in {socket.AF_INET, socket.AF_INET6}:
            found.append(each)
        else:
            each.close()
    return found


def _addresses(listening: list[socket.socket]) -> tuple[str, ...]:
    server = register.current()
    if server is not None:
        return server.addresses
    return tuple("http://{}:{}".format(*each.getsockname()[:2]) for each in listening)


def answers(listening: socket.socket, timeout: float) -> bool:
    """Tell whether a request to this socket gets a status line."""
    address = listening.getsockname()
    if listening.family != socket.AF_UNIX:
        address = (_EVERYWHERE.get(address[0], address[0]), *address[1:])
    with (
        suppress(OSError),
        socket.socket(listening.family, socket.SOCK_STREAM) as client,
    ):
        client.settimeout(max(timeout, _PAUSE))
        client.connect(address)
        client.sendall(
            b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"User-Agent: paster-readiness\r\n\r\n"
        )
        with client.makefile("rb") as answer:
            return answer.readline(100).startswith(b"HTTP/1.")
    return False
