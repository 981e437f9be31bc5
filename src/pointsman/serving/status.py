"""The UNIX socket beside the pid file: other processes ask the server here.

Effects.  ``FILE.sock`` beside the pid file ``FILE``, mode 0600.  One JSON object a
line, in both directions; a connection may ask many times.

==================== ==========================================================
``{"ask": …}``       answer
==================== ==========================================================
``"status"``         :func:`describe`'s object
``"farewell"``       none now; one last line when the server ends,
                     ``{"unanswered": n}``: how many requests it cut
``"switch"``,        see ``handover.switching``
``"commit"``,
``"take back"``
anything else        ``{"error": …}``
==================== ==========================================================

A socket's path may have 107 bytes (unix(7)).  Both sides therefore go through a
descriptor of the folder, ``/proc/self/fd/N/FILE.sock``, which is always short.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pointsman
from pointsman.serving import nodes, register
from pointsman.serving.processes import Identity, uptime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.serving.server import Server

_PATIENCE = 5.0


def path_beside(pid_file: Path) -> Path:
    """Return where the server with this pid file answers."""
    return pid_file.with_name(pid_file.name + ".sock")


def describe() -> dict[str, Any]:
    """Return what this process is doing.  Any thread.

    Keys: ``release`` (version), ``tree`` (the running files' folder), ``pid``,
    ``argv`` (the whole command line), ``cwd``, ``user`` and ``group`` (numbers),
    ``uptime`` (seconds), ``state`` (loading, serving, standing by, stopping),
    ``ready`` (whether all nodes are), ``addresses``,
    ``in_flight`` (requests in the server), ``in_services`` (of these, in services of
    ours; None without any), ``nodes`` (each with ``status``, ``generation``, and
    ``reason`` or ``ledger`` when something is the matter), ``drain_timeout``.
    """
    own, server = Identity.own(), register.current()
    return {
        "release": pointsman.__version__,
        "tree": tree(),
        "pid": own.pid,
        "argv": sys.orig_argv,
        "cwd": os.readlink("/proc/self/cwd"),  # noqa: PTH115 - it may be gone
        "user": os.geteuid(),
        "group": os.getegid(),
        "uptime": uptime(own),
        "state": _state(server),
        "ready": server is not None and not nodes.unready(),
        "addresses": list(server.addresses) if server else [],
        "in_flight": server.in_flight() if server else 0,
        "in_services": nodes.in_flight(),
        "nodes": nodes.readiness(),
        "drain_timeout": server.settings.drain_timeout if server else None,
    }


def _state(server: Server | None) -> str:
    if server is None:
        return "loading"
    if server.draining:
        return "stopping"
    return "standing by" if server.stands_by else "serving"


def tree() -> str:
    """Return the folder that the running code lies in."""
    return str(Path(pointsman.__file__).resolve().parent.parent)


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one line.

    Raises:
        OSError: nobody takes it.

    """
    connection.sendall(json.dumps(message).encode() + b"\n")


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Yield a name of the socket that is never too long."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Line:
    """A connection to the desk of a running server."""

    def __init__(self, connection: socket.socket) -> None:
        """Use :func:`reached`."""
        self._connection = connection
        self._lines = connection.makefile("rb")

    def wait_at_most(self, seconds: float) -> None:
        """Wait so long for each answer."""
        self._connection.settimeout(seconds)

    def say(self, question: dict[str, Any]) -> None:
        """Ask something; :meth:`next` gives the answers, and none when it failed."""
        with suppress(OSError):
            send(self._connection, question)

    def ask(self, question: str) -> dict[str, Any]:
        """Ask and return the answer; an empty one when nobody answers."""
        with suppress(OSError):
            send(self._connection, {"ask": question})
            return self.next()
        return {}

    def next(self) -> dict[str, Any]:
        """Return the next line; an empty answer when there is none."""
        with suppress(OSError, ValueError):
            answer = json.loads(self._lines.readline() or b"{}")
            return answer if isinstance(answer, dict) else {}
        return {}

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._connection.close()


@contextmanager
def reached(pid_file: Path) -> Iterator[Line | None]:
    """Connect to the server with this pid file; yields None when nobody answers."""
    line = None
    with suppress(OSError), short(path_beside(pid_file)) as name:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(name)
        except OSError:
            connection.close()
            raise
        line = Line(connection)
    try:
        yield line
    finally:
        if line is not None:
            line.close()
