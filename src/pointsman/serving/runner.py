"""``[server:main] use = egg:pointsman#server``: the paste.server_runner.

Effects.  Also runs without our ``paster``: then it stops on SIGTERM and SIGINT
itself.  ``settings`` are read by the module of that name.
"""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pointsman.serving import exposure, nodes, register, sockets
from pointsman.serving.server import Server
from pointsman.serving.settings import place_of, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType
    from wsgiref.types import WSGIApplication

    from pointsman.serving.settings import ServerSettings
    from pointsman.serving.sockets import Listening

log = logging.getLogger(__name__)


def server_runner(
    wsgi_app: WSGIApplication,
    global_conf: Mapping[str, str] | None,
    **settings: object,
) -> None:
    """Serve ``wsgi_app`` until SIGTERM or SIGINT, then drain.  PasteDeploy's call.

    Raises:
        ConfigError: a setting is unknown or bad.
        ReleaseError: an address cannot be had.

    """
    place = place_of(settings, global_conf or {})
    checked = read(settings, place, global_conf or {})
    serve(wsgi_app, checked, sockets.opened(checked))


def serve(
    application: WSGIApplication,
    settings: ServerSettings,
    listening: Listening,
    *,
    standing_by: bool = False,
    on_drain: Callable[[], object] = lambda: None,
) -> Server:
    """Serve on sockets that are open already; return the stopped server.

    With ``standing_by`` it waits until it may serve (``Server.resume``); ``on_drain``
    is called when a stop begins.

    Signals are handled in the main thread only; elsewhere, ``register.current()``
    gives the server, whose ``stop()`` does the same.
    """
    _hush_queue_warnings()
    server = Server(application, settings, listening, standing_by=standing_by)
    server.on_drain = on_drain
    with stopping_on_signals(server), register.registered(server):
        for address in server.addresses:
            log.info("serving on %s", address)
        _warn(settings, listening)
        server.run()
    log.info("stopped, %d requests cut", server.unanswered)
    return server


def _warn(settings: ServerSettings, listening: Listening) -> None:
    """Warn of tokens in clear; without a node there is nothing that takes them."""
    if nodes.running():
        addresses = [(each.family, each.getsockname()) for each in listening.sockets]
        sentence = exposure.warning(settings, addresses)
        if sentence:
            log.warning("%s", sentence)


def _hush_queue_warnings() -> None:
    """Waitress warns for each request that waits for a thread: not on our path."""
    queue_log = logging.getLogger("waitress.queue")
    if queue_log.level == logging.NOTSET:
        queue_log.setLevel(logging.ERROR)


@contextmanager
def stopping_on_signals(server: Server) -> Iterator[None]:
    """Let SIGTERM and SIGINT drain the server, a second SIGINT stop it at once.

    The handlers set a flag and wake the loop, no more; the former handlers are put
    back.  Outside the main thread nothing is done, because Python allows nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and interrupts:
            server.cut()
        if number == signal.SIGINT:
            interrupts.append(number)
        server.stop()

    former = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
