"""A server in the background, and what it says of its start.  Effects.

The process forks twice (setsid(2): no terminal can ever become its own), keeps its
folder and umask, and tells the command that waits for it through a pipe how far it is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from select import POLLIN, poll
from typing import Any

from pointsman.serving.processes import Identity, hold

_TURN = 0.02  # seconds that `Reports.receive` waits
_PATIENCE = 5.0  # after SIGTERM, before SIGKILL, of one that did not get ready


class Teller:
    """The server's end of the pipe."""

    def __init__(self, writer: int) -> None:
        """Say who this is."""
        self._writer = writer
        own = Identity.own()
        self.say(pid=own.pid, start=own.start)

    def say(self, **words: Any) -> None:
        """Tell the command something that JSON can hold.

        It may have been interrupted: the server does not depend on it.
        """
        with suppress(OSError):
            os.write(self._writer, json.dumps(words).encode() + b"\n")


class Reports:
    """The command's end: what the server says, joined over its lines."""

    def __init__(self, reader: int) -> None:
        """Begin to listen."""
        self._reader = reader
        self._waiter = poll()
        self._waiter.register(reader, POLLIN)
        self._rest = b""
        self._ended = False
        self.said: dict[str, Any] = {}

    def receive(self) -> None:
        """Wait for a moment, and take what has come."""
        if self._ended:
            time.sleep(_TURN)
        elif self._waiter.poll(_TURN * 1000):
            text = os.read(self._reader, 1 << 16)
            self._ended = not text
            *lines, self._rest = (self._rest + text).split(b"\n")
            for line in lines:
                self.said.update(json.loads(line))

    def is_over(self) -> bool:
        """Tell whether nothing more will be said, and take what was said last.

        A helper that the server forked may hold the pipe open after its death.
        """
        identity = self._identity()
        is_dead = identity is not None and not identity.alive()
        if is_dead:
            self.receive()
        return is_dead or self._ended

    def kill(self) -> None:
        """End the server, gently first, and wait for it."""
        identity = self._identity()
        if identity is None:
            return
        with hold(identity) as handle:
            if handle is None:
                return
            handle.send(signal.SIGTERM)
            if not handle.gone(_PATIENCE):
                handle.send(signal.SIGKILL)
                handle.gone(_PATIENCE)

    def _identity(self) -> Identity | None:
        if "pid" not in self.said:
            return None
        return Identity(self.said["pid"], self.said["start"])


def divide() -> Teller | Reports:
    """Return twice: the server's end in a process of its own, the command's here."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(writer)
        os.wait()
        return Reports(reader)
    os.close(reader)
    _detach()
    return Teller(writer)


def _detach() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
