"""A ZEO server in the background, and the truth about its start.  Effects.

The command waits until the server has answered a client's question, or has failed, or
the time is up.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from select import POLLIN, poll
from typing import TYPE_CHECKING, Any

from pointsman.errors import Error, ReleaseError
from pointsman.serving import logs, pidfile, processes
from pointsman.zeo import asking
from pointsman.zeo.server import log_file, run

if TYPE_CHECKING:
    from pointsman.zeo.configured import Configured

_log = logging.getLogger(__name__)
_TURN = 0.02
_PATIENCE = 5.0  # after SIGTERM, before SIGKILL, of one that did not get ready


def start(server: Configured, timeout: float) -> int:
    """Start the server; return its pid when it answers.

    Returns -1 in the server, when that has ended.

    Raises:
        ReleaseError: it did not start, and why; nothing of it is left.

    """
    _refuse_second(server)
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if not os.fork():
        os.close(reader)
        _detach()
        _serve(server, writer)
        return -1
    os.close(writer)
    os.wait()
    with os.fdopen(reader, "rb") as reports:
        return _answering(server, _Reports(reports.fileno()), timeout)


def _refuse_second(server: Configured) -> None:
    recorded = pidfile.read(server.pid_file)
    if recorded is not None and recorded.alive():
        message = f"it is running already, with pid {recorded.pid} ({server.pid_file})"
        raise ReleaseError(message)


# -- the server's side


def _detach() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)


def _serve(server: Configured, writer: int) -> None:
    own = processes.Identity.own()
    _report(writer, pid=own.pid, start=own.start)
    try:
        logs.redirect(log_file(server))
        run(server, lambda: _report(writer, listening=True))
    except Error as error:
        _report(writer, failed=str(error))
        _log.error("not started: %s", error)
    except BaseException as error:
        _report(writer, failed=f"{type(error).__name__}: {error}")
        raise


def _report(writer: int, **words: Any) -> None:
    with suppress(OSError):  # the command may have been interrupted
        os.write(writer, json.dumps(words).encode() + b"\n")


# -- the command's side


class _Reports:
    """What the server says through the pipe, joined over its lines."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._waiter = poll()
        self._waiter.register(reader, POLLIN)
        self._rest = b""
        self.said: dict[str, Any] = {}
        self.ended = False

    def receive(self) -> None:
        """Wait for a moment, and take what has come."""
        if self.ended:
            time.sleep(_TURN)
        elif self._waiter.poll(_TURN * 1000):
            text = os.read(self._reader, 1 << 16)
            self.ended = not text
            *lines, self._rest = (self._rest + text).split(b"\n")
            for line in lines:
                self.said.update(json.loads(line))

    def identity(self) -> processes.Identity | None:
        if "pid" not in self.said:
            return None
        return processes.Identity(self.said["pid"], self.said["start"])


def _answering(server: Configured, reports: _Reports, timeout: float) -> int:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        reports.receive()
        if "failed" in reports.said:
            raise ReleaseError(reports.said["failed"])
        # Only after it has bound the address: before that, a stranger could answer.
        if "listening" in reports.said and asking.asked(server, _PATIENCE) is not None:
            return int(reports.said["pid"])
        identity = reports.identity()
        if reports.ended and (identity is None or not identity.alive()):
            message = f"it died while it started; see {log_file(server)}"
            raise ReleaseError(message)
    _kill(reports)
    raise ReleaseError(
        f"it did not answer within {timeout:g} s and was stopped; see "
        f"{log_file(server)}, or give it longer with --start-timeout"
    )


def _kill(reports: _Reports) -> None:
    identity = reports.identity()
    if identity is None:
        return
    with processes.hold(identity) as handle:
        if handle is None:
            return
        handle.send(signal.SIGTERM)
        if not handle.gone(_PATIENCE):
            handle.send(signal.SIGKILL)
            handle.gone(_PATIENCE)
