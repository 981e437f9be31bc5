"""The UNIX socket beside the pid file: other processes ask the server here.

Effects.  ``FILE.sock`` beside the pid file ``FILE``, mode 0600.  One JSON object a
line, in both directions; a connection may ask many times.

==================== ==========================================================
``{"ask": …}``       answer
==================== ==========================================================
``"status"``         :func:`describe`'s object
``"farewell"``       none now; one last line when the server ends,
                     ``{"unanswered": n}``: how many requests it cut
anything else        ``{"error": …}``
==================== ==========================================================

**Place of the hand-over.**  The next release will connect here and ask
``"listeners"``; the answer will carry the listening sockets as SCM_RIGHTS, and
``sockets.adopted`` takes them there.  Until then that question is unknown.

A socket's path may have 107 bytes (unix(7)).  Both sides therefore go through a
descriptor of the folder, ``/proc/self/fd/N/FILE.sock``, which is always short.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pointsman
from pointsman.errors import ReleaseError
from pointsman.serving import nodes, register
from pointsman.serving.processes import Identity, uptime

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)
_PATIENCE = 5.0
_LONGEST_QUESTION = 4096


def path_beside(pid_file: Path) -> Path:
    """Return where the server with this pid file answers."""
    return pid_file.with_name(pid_file.name + ".sock")


def describe() -> dict[str, Any]:
    """Return what this process is doing.  Any thread.

    Keys: ``release`` (version), ``tree`` (the running files' folder), ``pid``,
    ``uptime`` (seconds), ``state`` (loading, serving, stopping), ``addresses``,
    ``in_flight`` (requests in the server), ``in_services`` (of these, in services of
    ours; None without any), ``nodes`` (each with ``status``, ``generation``, and
    ``reason`` or ``ledger`` when something is the matter), ``drain_timeout``.
    """
    own, server = Identity.own(), register.current()
    state = "loading" if server is None else "serving"
    return {
        "release": pointsman.__version__,
        "tree": tree(),
        "pid": own.pid,
        "uptime": uptime(own),
        "state": "stopping" if server is not None and server.draining else state,
        "addresses": list(server.addresses) if server else [],
        "in_flight": server.in_flight() if server else 0,
        "in_services": nodes.in_flight(),
        "nodes": nodes.readiness(),
        "drain_timeout": server.settings.drain_timeout if server else None,
    }


def tree() -> str:
    """Return the folder that the running code lies in."""
    return str(Path(pointsman.__file__).resolve().parent.parent)


class Desk:
    """Answers questions, each connection in a thread of its own."""

    def __init__(self, listening: socket.socket) -> None:
        """Use :func:`answering`."""
        self._listening = listening
        self._lock = threading.Lock()  # guards _waiting
        self._waiting: list[socket.socket] = []

    def run(self) -> None:
        """Accept questions until the socket is closed."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(
                target=self._answer, args=(connection,), name="status", daemon=True
            ).start()

    def say_farewell(self, unanswered: int) -> None:
        """Tell those who wait for the end how it went."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for connection in waiting:
            with connection, suppress(OSError):
                _send(connection, {"unanswered": unanswered})

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE)
        try:
            with connection.makefile("rb") as lines:
                while line := lines.readline(_LONGEST_QUESTION):
                    if _asks(line) == "farewell":
                        self._keep(connection)
                        return
                    _send(connection, _reply(line))
        except OSError:
            pass  # whoever asked has gone
        connection.close()

    def _keep(self, connection: socket.socket) -> None:
        with self._lock:
            self._waiting.append(connection)
        _send(connection, {"noted": True})


def _asks(line: bytes) -> object:
    try:
        question = json.loads(line)
    except ValueError:
        return None
    return question.get("ask") if isinstance(question, dict) else None


def _reply(line: bytes) -> dict[str, Any]:
    asked = _asks(line)
    if asked == "status":
        return describe()
    return {"error": f"unknown question {asked!r}; ask status or farewell"}


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


@contextmanager
def answering(pid_file: Path) -> Iterator[Desk]:
    """Answer questions beside the pid file, which the caller holds.

    Raises:
        ReleaseError: the socket cannot be made.

    """
    path = path_beside(pid_file)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(listening, path)
    except OSError as error:
        listening.close()
        raise ReleaseError(f"cannot answer on {path}: {error}") from error
    made = path.stat()
    desk = Desk(listening)
    threading.Thread(target=desk.run, name="status", daemon=True).start()
    try:
        yield desk
    finally:
        with suppress(OSError):
            if os.path.samestat(path.stat(), made):
                path.unlink()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _bind(listening: socket.socket, path: Path) -> None:
    # Whoever holds the pid file may replace what a killed server left.
    path.unlink(missing_ok=True)
    # Linux takes the socket's own mode for the file: never wider, not for a moment.
    os.fchmod(listening.fileno(), 0o600)
    with _short(path) as short:
        listening.bind(short)
    listening.listen()


@contextmanager
def _short(path: Path) -> Iterator[str]:
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

    def ask(self, question: str) -> dict[str, Any]:
        """Ask and return the answer; an empty one when nobody answers."""
        with suppress(OSError):
            _send(self._connection, {"ask": question})
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
    with suppress(OSError), _short(path_beside(pid_file)) as short:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(short)
        except OSError:
            connection.close()
            raise
        line = Line(connection)
    try:
        yield line
    finally:
        if line is not None:
            line.close()
