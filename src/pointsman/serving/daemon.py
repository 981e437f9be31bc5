"""``--daemon``: a server in the background, and the truth about its start.

Effects.  The process forks twice (setsid(2): no terminal can ever become its own),
keeps its folder and umask, and writes into the log file.  The command waits at a
pipe until the server has answered a request, or failed, or the time is up; while it
waits it shows what the server writes into the log.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from select import POLLIN, poll
from typing import TYPE_CHECKING, Any

from pointsman.errors import Error, LoadError, ReleaseError
from pointsman.serving import ini, pidfile, process, processes

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.serving.arguments import Order

log = logging.getLogger(__name__)
_TURN_MS = 50
# After SIGTERM, before SIGKILL, of a server that did not get ready.
_PATIENCE = 5.0


def start(order: Order) -> int:
    """Start the server in the background; return in both processes.

    In the command: 0 when the server answers.  In the server: when it has ended.

    Raises:
        Error: the server did not start; said by the server itself.

    """
    ini.check(order)
    _refuse_second(order)
    reader, writer = os.pipe()
    shown = _Shown(order.log_file) if order.verbosity >= 0 else None
    _flush()
    if os.fork():
        os.close(writer)
        os.wait()
        return _wait(_Reports(reader), order, shown)
    os.close(reader)
    _detach()
    return _serve(order, writer)


def _refuse_second(order: Order) -> None:
    recorded = pidfile.read(order.pid_file) if order.pid_file else None
    if recorded is not None and recorded.alive():
        raise ReleaseError(
            f"a server is running already with the pid file {order.pid_file} "
            f"(pid {recorded.pid}); stop it with --stop-daemon or give this one "
            "another --pid-file"
        )


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


# -- the server's side


def _detach() -> None:
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)


def _serve(order: Order, writer: int) -> int:
    _report(writer, pid=os.getpid(), start=processes.Identity.own().start)
    try:
        return process.run(
            order,
            on_ready=lambda addresses: _report(writer, ready=list(addresses)),
        )
    except Error as error:
        trace = error.traceback if isinstance(error, LoadError) else ""
        _report(writer, failed=str(error), trace=trace)
        log.error("not started: %s\n%s", error, trace)  # noqa: TRY400 - it is in trace
        return 1
    except BaseException:
        log.exception("not started")
        raise


def _report(writer: int, **words: Any) -> None:
    # The command may have been interrupted; the server does not depend on it.
    with suppress(OSError):
        os.write(writer, json.dumps(words).encode() + b"\n")


# -- the command's side


@dataclass(slots=True)
class _Shown:
    """Copies what is appended to the log file to standard error."""

    path: Path | None
    offset: int = 0

    def __post_init__(self) -> None:
        with suppress(OSError):
            self.offset = self.path.stat().st_size if self.path else 0

    def more(self) -> None:
        with suppress(OSError):
            if self.path is None:
                return
            with self.path.open("rb") as file:
                file.seek(self.offset)
                text = file.read()
            self.offset += len(text)
            sys.stderr.write(text.decode(errors="replace"))
            sys.stderr.flush()


class _Reports:
    """What the server says through the pipe, joined over its lines."""

    def __init__(self, reader: int) -> None:
        os.set_blocking(reader, False)
        self._reader = reader
        self._rest = b""
        self.said: dict[str, Any] = {}
        self.ended = False

    def receive(self) -> None:
        """Wait for a moment and take what has come."""
        waiter = poll()
        waiter.register(self._reader, POLLIN)
        if not waiter.poll(_TURN_MS):
            return
        with suppress(BlockingIOError):
            text = os.read(self._reader, 1 << 20)
            self.ended = not text
            *lines, self._rest = (self._rest + text).split(b"\n")
            for line in lines:
                self.said.update(json.loads(line))

    def identity(self) -> processes.Identity | None:
        if "pid" not in self.said:
            return None
        return processes.Identity(self.said["pid"], self.said["start"])


def _wait(reports: _Reports, order: Order, shown: _Shown | None) -> int:
    end = time.monotonic() + order.start_timeout
    try:
        while time.monotonic() < end:
            reports.receive()
            if "failed" in reports.said:
                said = reports.said
                raise _Failed(said["failed"], said["trace"])
            if shown is not None:
                shown.more()
            if "ready" in reports.said:
                return _say_ready(reports, order)
            if _has_died(reports):
                raise _died(order)
    except KeyboardInterrupt:
        _kill(reports)
        return 130
    _kill(reports)
    raise ReleaseError(
        f"the server did not answer within {order.start_timeout:g} s and was stopped; "
        f"see {order.log_file}, or give it longer with --start-timeout"
    )


class _Failed(Error):
    """What the server said when it failed, with the traceback of its application."""

    def __init__(self, sentence: str, trace: str) -> None:
        super().__init__(sentence)
        self.traceback = trace


def _has_died(reports: _Reports) -> bool:
    """Tell whether nothing more will be said.

    A helper that the server forked may hold the pipe open after its death.
    """
    identity = reports.identity()
    dead = identity is not None and not identity.alive()
    if dead:
        reports.receive()
    return (dead or reports.ended) and not reports.said.keys() & {"ready", "failed"}


def _died(order: Order) -> ReleaseError:
    message = f"the server died while it started; see the end of {order.log_file}"
    return ReleaseError(message)


def _say_ready(reports: _Reports, order: Order) -> int:
    if order.verbosity >= 0:
        addresses = ", ".join(reports.said["ready"])
        sys.stdout.write(
            f"serving on {addresses} (pid {reports.said['pid']}, {order.pid_file}; "
            f"log {order.log_file})\n"
        )
    return 0


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
