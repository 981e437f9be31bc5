"""The desk: where a server answers the questions of other processes.

Effects.  What can be asked, and how, is told in ``status``.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pointsman.errors import ReleaseError
from pointsman.serving.status import describe, path_beside, send, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Handler = Callable[[dict[str, Any], "Conversation"], None]

_PATIENCE = 5.0
# How long the end of a server waits for answers that are being written.
_LAST_ANSWERS = 2.0
_LONGEST_QUESTION = 1 << 20  # a switch has a whole environment in it


class Conversation:
    """One connection to the desk, seen from the desk; one thread."""

    def __init__(self, connection: socket.socket) -> None:
        """Speak on ``connection``, which somebody else closes."""
        self._connection = connection

    def say(self, message: dict[str, Any]) -> None:
        """Send one line; whoever has gone need not know."""
        with suppress(OSError):
            send(self._connection, message)

    def is_trusted(self) -> bool:
        """Tell whether it is root or our own user who asks (SO_PEERCRED, unix(7))."""
        credentials = self._connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        _, user, _ = struct.unpack("3i", credentials)
        return user in {0, os.geteuid()}


class Desk:
    """Answers questions, each connection in a thread of its own.

    One thread at a time starts, pauses and closes it.  While it is paused, the
    questions wait in the queue of its socket: for us, or for who has the socket too.
    """

    def __init__(self, path: Path, listening: socket.socket) -> None:
        """Answer on ``listening``, which was bound to ``path``; see :func:`opened`."""
        self.path, self.socket = path, listening
        self._made = _stat(path)
        self._thread: threading.Thread | None = None
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._changed = threading.Condition()  # guards _waiting and _owed
        self._waiting: list[socket.socket] = []
        self._owed: set[socket.socket] = set()
        #: What else may be asked; it may say several lines.
        self.questions: dict[str, Handler] = {}
        #: What else belongs to the status.
        self.details: Callable[[], dict[str, Any]] = dict

    def start(self) -> None:
        """Answer from now on."""
        listening, bell = self.socket, self._bell
        listening.setblocking(False)  # noqa: FBT003 - no keyword
        self._thread = threading.Thread(
            target=self._run, args=(listening, bell), name="desk", daemon=True
        )
        self._thread.start()

    def pause(self) -> None:
        """Take no more questions; those that were begun are answered."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.eventfd_write(self._bell, 1)
            thread.join()
            os.eventfd_read(self._bell)

    def close(self, *, ours: bool = True) -> None:
        """Answer nobody any more; the file is removed if it is ``ours``.

        Who has asked already gets an answer.
        """
        self.pause()
        with self._changed:
            self._changed.wait_for(lambda: not self._owed, _LAST_ANSWERS)
        if ours:
            with suppress(OSError):
                if self._made and os.path.samestat(self.path.stat(), self._made):
                    self.path.unlink()
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        os.close(self._bell)

    def say_farewell(self, unanswered: int) -> None:
        """Tell those who wait for the end how it went."""
        with self._changed:
            waiting, self._waiting = self._waiting, []
        for connection in waiting:
            with connection, suppress(OSError):
                send(connection, {"unanswered": unanswered})

    def _run(self, listening: socket.socket, bell: int) -> None:
        watched = select.poll()
        watched.register(bell, select.POLLIN)
        watched.register(listening, select.POLLIN)
        while all(descriptor != bell for descriptor, _ in watched.poll()):
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                continue  # somebody else has the socket, too
            except OSError:
                return
            self._owe(connection)
            threading.Thread(
                target=self._answer, args=(connection,), name="status", daemon=True
            ).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE)
        try:
            with connection.makefile("rb") as lines:
                while line := lines.readline(_LONGEST_QUESTION):
                    self._owe(connection)
                    question = _question(line)
                    if question.get("ask") == "farewell":
                        self._keep(connection)
                        return
                    self._reply(question, Conversation(connection))
                    self._settle(connection)
        except OSError:
            pass  # whoever asked has gone
        self._settle(connection)
        connection.close()

    def _owe(self, connection: socket.socket) -> None:
        with self._changed:
            self._owed.add(connection)

    def _settle(self, connection: socket.socket) -> None:
        with self._changed:
            self._owed.discard(connection)
            self._changed.notify_all()

    def _reply(self, question: dict[str, Any], asker: Conversation) -> None:
        asked = question.get("ask")
        if asked == "status":
            asker.say({**describe(), **self.details()})
        elif asked in self.questions:
            self.questions[asked](question, asker)
        else:
            known = ", ".join(sorted({"status", "farewell", *self.questions}))
            asker.say({"error": f"unknown question {asked!r}; ask one of {known}"})

    def _keep(self, connection: socket.socket) -> None:
        with self._changed:
            self._waiting.append(connection)
        send(connection, {"noted": True})
        self._settle(connection)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # removed by somebody, or in a folder that we may not search
        return None


def _question(line: bytes) -> dict[str, Any]:
    try:
        question = json.loads(line)
    except ValueError:
        return {}
    return question if isinstance(question, dict) else {}


def opened(pid_file: Path) -> Desk:
    """Return a desk beside the pid file, which the caller holds; not started yet.

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
    return Desk(path, listening)


@contextmanager
def answering(pid_file: Path) -> Iterator[Desk]:
    """Answer questions beside the pid file, which the caller holds.

    Raises:
        ReleaseError: the socket cannot be made.

    """
    desk = opened(pid_file)
    desk.start()
    try:
        yield desk
    finally:
        desk.close()


def _bind(listening: socket.socket, path: Path) -> None:
    # Whoever holds the pid file may replace what a killed server left.
    path.unlink(missing_ok=True)
    # Linux takes the socket's own mode for the file: never wider, not for a moment.
    os.fchmod(listening.fileno(), 0o600)
    with short(path) as name:
        listening.bind(name)
    listening.listen()
