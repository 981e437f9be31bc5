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
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pointsman
from pointsman.errors import ReleaseError
from pointsman.releases import occupancy
from pointsman.serving import (
    desk,
    ini,
    logs,
    nodes,
    office,
    readiness,
    rights,
    runner,
    signals,
    sockets,
)
from pointsman.serving.handover.switching import Switching
from pointsman.serving.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.serving.arguments import Order
    from pointsman.serving.desk import Desk
    from pointsman.serving.handover.successor import Successor
    from pointsman.serving.office import Office
    from pointsman.serving.server import Server
    from pointsman.serving.settings import ServerSettings
    from pointsman.serving.sockets import Listening

    Ready = Callable[[tuple[str, ...]], None]

log = logging.getLogger(__name__)
# What may still happen when everything is closed: exit handlers, threads that end.
_LAST_WORDS = 5.0
_INTERRUPTED = 130
# How long a switch that a stop has ended may take beyond our own drain.
_SUCCESSOR = 60.0


def run(
    order: Order,
    *,
    listening: Listening | None = None,
    desk_file: Path | None = None,
    on_ready: Ready | None = None,
    successor: Successor | None = None,
) -> int:
    """Serve until stopped; return the exit code.  Main thread.

    ``listening`` are sockets of a supervisor.  ``desk_file`` is the pid file beside
    which status is answered, when another process holds it.  ``on_ready`` is called
    by another thread, with the addresses, once the server has answered a request
    over each of them.  A ``successor`` serves when its incumbent lets it.

    Raises:
        Error: the server could not be started; nothing of it is left.

    """
    with ExitStack() as stack:
        _keep_tree()
        ini.check(order)
        if order.log_file is not None:
            logs.redirect(order.log_file)
        handling = stack.enter_context(signals.handled(order.log_file))
        seat = _seat(order, desk_file, successor, stack)
        if seat.switching is not None:
            handling.also.append(seat.switching.pass_on)
        logs.configure(order.ini_path, order.variables or {}, order.verbosity)
        try:
            return _serve(order, listening, seat, on_ready, handling.drain)
        except signals.Stopped as stopped:
            log.info("stopped by signal %d before it served", stopped.number)
            return 128 + stopped.number


@dataclass(frozen=True, slots=True)
class _Seat:
    """What connects this server to other processes."""

    notifier: Notifier
    desk: Desk | None = None
    office: Office | None = None
    switching: Switching | None = None
    successor: Successor | None = None

    def stopping(self) -> None:
        """Tell systemd, unless the service goes on without us."""
        if self.office is None or self.office.is_open:
            self.notifier.stopping("finishing what was begun")

    def end(self, server: Server) -> None:
        """Tell everybody how it went."""
        if self.desk is not None:
            self.desk.say_farewell(server.unanswered)
        if self.successor is not None:
            self.successor.end(server.unanswered)


def _seat(
    order: Order, desk_file: Path | None, successor: Successor | None, stack: ExitStack
) -> _Seat:
    if successor is not None:
        notifier, own = successor.notifier, stack.enter_context(successor.office())
    else:
        notifier = Notifier.of(os.environ)
        if order.pid_file is None:
            answering = desk.answering(desk_file) if desk_file else nullcontext()
            return _Seat(notifier, stack.enter_context(answering))
        own = stack.enter_context(office.held(order.pid_file))
    switching = Switching(own, notifier)
    return _Seat(notifier, own.desk, own, switching, successor)


def _keep_tree() -> None:
    """Keep the release that we run from on the disk, for as long as we live."""
    tree = occupancy.own_tree()
    if tree is not None:
        occupancy.hold(tree)


def _serve(
    order: Order,
    listening: Listening | None,
    seat: _Seat,
    on_ready: Ready | None,
    on_drain: Callable[[], None],
) -> int:
    def drain() -> None:
        on_drain()
        _stopping(seat)

    section = ini.server(order)
    who = rights.account(order.user, order.group)
    if section.settings is None:
        return _serve_foreign(order, section, seat, on_ready)
    opened = listening or _opened(section.settings, seat.successor)
    if order.log_file is not None and who.user is not None:
        logs.give(who.user.pw_uid, who.group)
    rights.take(who)
    try:
        application = ini.application(order)
        with _proving(order, seat, on_ready):
            server = runner.serve(
                application,
                section.settings,
                opened,
                standing_by=seat.successor is not None,
                on_drain=drain,
            )
    except BaseException:
        nodes.close_all()
        raise
    finally:
        for each in opened.sockets:
            each.close()
    return _end(server, seat)


def _stopping(seat: _Seat) -> None:
    """Tell the other nodes, whoever balances the load, and systemd.  The loop's."""
    nodes.drain_all()
    seat.stopping()


def _opened(settings: ServerSettings, successor: Successor | None) -> Listening:
    return successor.listening(settings) if successor else sockets.opened(settings)


def _serve_foreign(
    order: Order, section: ini.ServerSection, seat: _Seat, on_ready: Ready | None
) -> int:
    """Run a server of somebody else; it stops as it likes."""
    if order.user or order.group or seat.successor:
        raise ReleaseError(
            f"{order.ini}: --user, --group and a switch need a server that is bound "
            "before the application runs: use = egg:pointsman#server"
        )
    try:
        application = ini.application(order)
        with _proving(order, seat, on_ready):
            section.run(application)
    except signals.Stopped as stopped:
        log.info("stopped by signal %d; this server does not drain", stopped.number)
    finally:
        nodes.close_all()
    return 0


def _end(server: Server, seat: _Seat) -> int:
    if seat.switching is not None:
        seat.switching.finish(server.settings.drain_timeout + _SUCCESSOR)
    if not server.was_cut:
        nodes.close_all()
    seat.end(server)
    code = _INTERRUPTED if server.was_cut else 0
    _end_anyway(0.1 if server.was_cut else _LAST_WORDS, code)
    return code


class _proving:  # noqa: N801 - reads as a function in a with statement
    """Proves in a thread of its own that the server answers, while it runs."""

    def __init__(self, order: Order, seat: _Seat, on_ready: Ready | None) -> None:
        self._order, self._seat, self._on_ready = order, seat, on_ready
        self._over = threading.Event()

    def __enter__(self) -> None:
        prove = self._seat.successor.prove if self._seat.successor else self._prove
        if self._seat.successor or self._on_ready or self._seat.notifier.address:
            threading.Thread(target=prove, name="readiness", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _prove(self) -> None:
        timeout = self._order.start_timeout
        addresses = readiness.proven(timeout, lambda: not self._over.is_set())
        if addresses is None:
            return
        self._seat.notifier.ready(
            f"release {pointsman.__version__} on {', '.join(addresses)}"
        )
        if self._on_ready is not None:
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
