"""One serving process, from the ini to its end.

Effects.  The order matters, and each step undoes itself in reverse: output, signals,
pid file, status socket, logging, sockets (so that a port in use is told before a
long load), rights, application, server.  Then the drain, the nodes, the farewell.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.serving import (
    ini,
    logs,
    nodes,
    pidfile,
    readiness,
    rights,
    runner,
    signals,
    sockets,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.serving.arguments import Order
    from pointsman.serving.server import Server
    from pointsman.serving.sockets import Listening
    from pointsman.serving.status import Desk

    Ready = Callable[[tuple[str, ...]], None]

log = logging.getLogger(__name__)
# What may still happen when everything is closed: exit handlers, threads that end.
_LAST_WORDS = 5.0
_INTERRUPTED = 130


def run(
    order: Order,
    *,
    listening: Listening | None = None,
    desk_file: Path | None = None,
    on_ready: Ready | None = None,
) -> int:
    """Serve until stopped; return the exit code.  Main thread.

    ``listening`` are sockets of a supervisor.  ``desk_file`` is the pid file beside
    which status is answered, when another process holds it.  ``on_ready`` is called
    by another thread, with the addresses, once the server has answered a request
    over each of them.

    Raises:
        Error: the server could not be started; nothing of it is left.

    """
    with ExitStack() as stack:
        ini.check(order)
        if order.log_file is not None:
            logs.redirect(order.log_file)
        stack.enter_context(signals.handled(order.log_file))
        desk = _desk(order, desk_file, stack)
        logs.configure(order.ini_path, order.variables or {}, order.verbosity)
        try:
            return _serve(order, listening, desk, on_ready)
        except signals.Stopped as stopped:
            log.info("stopped by signal %d before it served", stopped.number)
            return 128 + stopped.number


def _desk(order: Order, desk_file: Path | None, stack: ExitStack) -> Desk | None:
    if order.pid_file is not None:
        stack.enter_context(pidfile.held(order.pid_file))
        return stack.enter_context(status.answering(order.pid_file))
    if desk_file is not None:
        return stack.enter_context(status.answering(desk_file))
    return None


def _serve(
    order: Order,
    listening: Listening | None,
    desk: Desk | None,
    on_ready: Ready | None,
) -> int:
    section = ini.server(order)
    who = rights.account(order.user, order.group)
    if section.settings is None:
        return _serve_foreign(order, section, on_ready)
    opened = listening or sockets.opened(section.settings)
    rights.take(who)
    try:
        application = ini.application(order)
        with _proving(order, on_ready):
            server = runner.serve(application, section.settings, opened)
    except BaseException:
        nodes.close_all()
        raise
    finally:
        for each in opened.sockets:
            each.close()
    return _end(server, desk)


def _serve_foreign(
    order: Order, section: ini.ServerSection, on_ready: Ready | None
) -> int:
    """Run a server of somebody else; it stops as it likes."""
    if order.user or order.group:
        raise ReleaseError(
            f"{order.ini}: --user and --group need a server that is bound before the "
            "application runs: use = egg:pointsman#server"
        )
    try:
        application = ini.application(order)
        with _proving(order, on_ready):
            section.run(application)
    except signals.Stopped as stopped:
        log.info("stopped by signal %d; this server does not drain", stopped.number)
    finally:
        nodes.close_all()
    return 0


def _end(server: Server, desk: Desk | None) -> int:
    if not server.was_cut:
        nodes.close_all()
    if desk is not None:
        desk.say_farewell(server.unanswered)
    code = _INTERRUPTED if server.was_cut else 0
    _end_anyway(0.1 if server.was_cut else _LAST_WORDS, code)
    return code


class _proving:  # noqa: N801 - reads as a function in a with statement
    """Proves in a thread of its own that the server answers, while it runs."""

    def __init__(self, order: Order, on_ready: Ready | None) -> None:
        self._order, self._on_ready = order, on_ready
        self._over = threading.Event()

    def __enter__(self) -> None:
        if self._on_ready is not None:
            threading.Thread(target=self._prove, name="readiness", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _prove(self) -> None:
        timeout = self._order.start_timeout
        addresses = readiness.proven(timeout, lambda: not self._over.is_set())
        if addresses is not None and self._on_ready is not None:
            self._on_ready(addresses)


def _end_anyway(patience: float, code: int) -> None:
    """See to it that the process ends, whatever threads services left behind."""

    def watch() -> None:
        time.sleep(patience)
        left = [
            thread.name
            for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()
        ]
        log.warning("ending although these threads still run: %s", ", ".join(left))
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)

    threading.Thread(target=watch, name="end", daemon=True).start()
